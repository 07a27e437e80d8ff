//! What changed from one report to another.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use serde::Serialize;

use super::{FORMAT, Report, Target};
use crate::answer::{Answer, BAD, BOLD, DIM, Failure, GOOD, grouped};
use crate::table::{Table, shortened};

/// What `--json` prints.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Comparison {
    pub(crate) old: String,
    pub(crate) new: String,
    /// `ram_bytes`, `macs`, and for each core that both have `<core>.cycles`, `.flash_bytes`, `.weight_bytes`: old and new.
    pub(crate) figures: Vec<Figure>,
    /// Layers that differ, by their names in the generated code.
    pub(crate) layers: Vec<LayerChange>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Figure {
    pub(crate) name: String,
    pub(crate) old: u64,
    pub(crate) new: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct LayerChange {
    pub(crate) layer: String,
    /// `added`, `removed` or `changed`.
    pub(crate) change: &'static str,
    /// What is different, old and new: `kernel`, `cycles`, `weight_bytes`, `output_bytes`, `macs`, `own_sqnr`.
    pub(crate) differences: BTreeMap<String, [serde_json::Value; 2]>,
}

pub(super) fn run(old: &Path, new: &Path) -> Result<Answer, Failure> {
    let (old, new) = (read(old)?, read(new)?);
    let comparison = Comparison::new(&old, &new);
    let json = serde_json::to_value(&comparison).unwrap_or_default();
    Ok(Answer { text: comparison.text(), json, ..Answer::default() })
}

fn read(path: &Path) -> Result<Report, Failure> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| Failure::Other(format!("{shown}: {error}")))?;
    let wrong = |error| Failure::Other(format!("{shown} is no report that `mcuopt report --json` wrote: {error}"));
    let report: Report = serde_json::from_str(&text).map_err(wrong)?;
    match report.format {
        FORMAT => Ok(report),
        other => {
            Err(Failure::Other(format!("{shown} has the form {other} of another version; this one reads {FORMAT}")))
        }
    }
}

impl Comparison {
    pub(crate) fn new(old: &Report, new: &Report) -> Self {
        let mut figures = vec![
            Figure { name: "macs".into(), old: old.macs, new: new.macs },
            Figure { name: "ram_bytes".into(), old: old.ram_bytes, new: new.ram_bytes },
        ];
        let both: Vec<(&Target, &Target)> = (old.targets.iter())
            .filter_map(|a| Some((a, new.targets.iter().find(|b| a.target == b.target)?)))
            .collect();
        for (a, b) in &both {
            let figure = |name: &str, old, new| Figure { name: format!("{}.{name}", a.target), old, new };
            figures.push(figure("cycles", a.cycles, b.cycles));
            figures.push(figure("flash_bytes", a.flash_bytes, b.flash_bytes));
            figures.push(figure("weight_bytes", a.weight_bytes, b.weight_bytes));
        }
        let mut layers = Vec::new();
        for (index, layer) in old.layers.iter().enumerate() {
            let Some(other) = new.layers.iter().position(|other| other.name == layer.name) else {
                layers.push(LayerChange { layer: layer.name.clone(), change: "removed", differences: BTreeMap::new() });
                continue;
            };
            let differences = differences(old, index, new, other, both.first().copied());
            if !differences.is_empty() {
                layers.push(LayerChange { layer: layer.name.clone(), change: "changed", differences });
            }
        }
        let added = new.layers.iter().filter(|layer| old.layers.iter().all(|other| other.name != layer.name));
        layers.extend(added.map(|layer| LayerChange {
            layer: layer.name.clone(),
            change: "added",
            differences: BTreeMap::new(),
        }));
        Self { old: old.model.clone(), new: new.model.clone(), figures, layers }
    }

    pub(crate) fn text(&self) -> String {
        let mut text = format!("{BOLD}{}{BOLD:#} {DIM}→{DIM:#} {BOLD}{}{BOLD:#}\n\n", self.old, self.new);
        let mut table = Table::new(&["", ">old", ">new", ">change"]);
        for Figure { name, old, new } in &self.figures {
            let cells = vec![name.clone(), grouped(*old), grouped(*new), change(*old as f64, *new as f64)];
            let style = match new.cmp(old) {
                std::cmp::Ordering::Less => GOOD,
                std::cmp::Ordering::Equal => Default::default(),
                std::cmp::Ordering::Greater => BAD,
            };
            table.styled(cells, style);
        }
        let _ = write!(text, "{table}");
        if self.layers.is_empty() {
            let _ = writeln!(text, "\nThe layers are the same.");
            return text;
        }
        let _ = writeln!(text, "\n{BOLD}Layers{BOLD:#}");
        let mut table = Table::new(&["layer", "", "what", ">old", ">new", ">change"]);
        for layer in &self.layers {
            let name = shortened(&layer.layer, 36);
            if layer.differences.is_empty() {
                table.row(vec![name.clone(), layer.change.into()]);
            }
            for (index, (what, [old, new])) in layer.differences.iter().enumerate() {
                let first = index == 0;
                let shown = |value: &serde_json::Value| match (value.as_u64(), value.as_f64(), value.as_str()) {
                    (Some(number), ..) => grouped(number),
                    (_, Some(number), _) => format!("{number:.1}"),
                    (.., Some(text)) => text.to_string(),
                    _ => "–".into(),
                };
                let by = old.as_f64().zip(new.as_f64()).map(|(old, new)| change(old, new));
                table.row(vec![
                    if first { name.clone() } else { String::new() },
                    if first { layer.change.into() } else { String::new() },
                    what.clone(),
                    shown(old),
                    shown(new),
                    by.unwrap_or_default(),
                ]);
            }
        }
        let _ = write!(text, "{table}");
        text
    }
}

fn differences(
    old: &Report,
    a: usize,
    new: &Report,
    b: usize,
    targets: Option<(&Target, &Target)>,
) -> BTreeMap<String, [serde_json::Value; 2]> {
    let mut differences = BTreeMap::new();
    let mut note = |what: &str, old: serde_json::Value, new: serde_json::Value| {
        if old != new {
            differences.insert(what.to_string(), [old, new]);
        }
    };
    let (x, y) = (&old.layers[a], &new.layers[b]);
    note("macs", x.macs.into(), y.macs.into());
    note("output_bytes", x.output_bytes.into(), y.output_bytes.into());
    note("operator", x.operator.clone().into(), y.operator.clone().into());
    // A tenth of a decibel is as much as the table shows.
    let rounded = |sqnr: Option<f64>| serde_json::Value::from(sqnr.map(|sqnr| (sqnr * 10.0).round() / 10.0));
    if old.quantization.is_some() && new.quantization.is_some() {
        note("own_sqnr", rounded(x.own_sqnr), rounded(y.own_sqnr));
    }
    if let Some((x, y)) = targets.and_then(|(old, new)| Some((old.layers.get(a)?, new.layers.get(b)?))) {
        note("kernel", x.kernel.clone().into(), y.kernel.clone().into());
        note("cycles", x.cycles.into(), y.cycles.into());
        note("weight_bytes", x.weight_bytes.into(), y.weight_bytes.into());
    }
    differences
}

/// In percent, or as it is where there was nothing.
fn change(old: f64, new: f64) -> String {
    match (old == new, old == 0.0) {
        (true, _) => "=".into(),
        (false, true) => "new".into(),
        (false, false) => format!("{:+.1} %", (new - old) / old.abs() * 100.0),
    }
}
