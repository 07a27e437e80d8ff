//! Tables of text in columns.

use std::fmt;

use anstyle::Style;

use crate::answer::DIM;

/// On which side a column's cells begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Right,
}

/// Rows of cells below a header.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    columns: Vec<(String, Align)>,
    rows: Vec<(Vec<String>, Style)>,
}

impl Table {
    /// `"name"` is a column of words, `">name"` one of numbers.
    pub(crate) fn new(columns: &[&str]) -> Self {
        let column = |name: &&str| match name.strip_prefix('>') {
            Some(name) => (name.to_string(), Align::Right),
            None => (name.to_string(), Align::Left),
        };
        Self { columns: columns.iter().map(column).collect(), rows: Vec::new() }
    }

    pub(crate) fn row(&mut self, cells: Vec<String>) {
        self.styled(cells, Style::new());
    }

    pub(crate) fn styled(&mut self, cells: Vec<String>, style: Style) {
        self.rows.push((cells, style));
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|(cells, _)| cells.get(column));
            cells.chain([&self.columns[column].0]).map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.columns.len()).map(width).collect();
        let line = |cells: &mut dyn Iterator<Item = &String>| {
            let cells = cells.zip(&self.columns).zip(&widths).map(|((cell, (_, align)), &width)| match align {
                Align::Left => format!("{cell:width$}"),
                Align::Right => format!("{cell:>width$}"),
            });
            cells.collect::<Vec<_>>().join("  ").trim_end().to_string()
        };
        let header = line(&mut self.columns.iter().map(|(name, _)| name));
        if !header.is_empty() {
            writeln!(f, "  {DIM}{header}{DIM:#}")?;
        }
        for (cells, style) in &self.rows {
            writeln!(f, "  {style}{}{style:#}", line(&mut cells.iter()))?;
        }
        Ok(())
    }
}

/// The end of a long name: where names are paths, it is what tells them apart.
pub(crate) fn shortened(name: &str, width: usize) -> String {
    let length = name.chars().count();
    if length <= width {
        return name.to_string();
    }
    let end: String = name.chars().skip(length + 1 - width).collect();
    format!("…{end}")
}
