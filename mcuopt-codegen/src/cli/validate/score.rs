//! How good answers are.

use std::fmt::Write as _;
use std::iter;

use serde::Serialize;

use super::data_set::DataSet;
use crate::inference::largest;
use crate::table::{Table, shortened};

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(super) enum Metric {
    /// Share of items whose largest element is the label's; of one element, whether it is above 0.5
    Accuracy,
    /// Mean squared error against the targets
    Targets,
    /// Mean squared error against the input
    Reconstruction,
    /// Mean squared difference from the float reference
    Difference,
}

impl Metric {
    /// What it takes, for a message.
    pub(super) fn needs(self) -> &'static str {
        match self {
            Metric::Accuracy => "and labels are whole numbers below the number of classes, one an item",
            Metric::Targets => "and targets are as many numbers an item",
            Metric::Reconstruction => "and reconstruction is of one input with as many",
            Metric::Difference => "",
        }
    }

    /// The column's head.
    pub(super) fn column(self) -> &'static str {
        match self {
            Metric::Accuracy => ">accuracy",
            Metric::Targets => ">squared error",
            Metric::Reconstruction => ">reconstruction error",
            Metric::Difference => ">squared difference",
        }
    }

    /// The figure as the table shows it.
    pub(super) fn shown(self, score: f64) -> String {
        match self {
            Metric::Accuracy => format!("{:.2} %", score * 100.0),
            _ => format!("{score:.6}"),
        }
    }

    /// The figure for all items.
    pub(super) fn measure(self, answers: &[Vec<f32>], data: &DataSet, expected: &[Vec<f32>], length: usize) -> f64 {
        match self {
            Metric::Accuracy => {
                let classes = data.classes(length.max(2)).unwrap_or_default();
                mean(iter::zip(answers, &classes).map(|(answer, class)| f64::from(chosen(answer) == *class)))
            }
            Metric::Targets => data.targets(length).map_or(f64::NAN, |targets| mean_square(answers, targets)),
            Metric::Reconstruction => {
                let inputs: Vec<Vec<f32>> =
                    data.items.iter().map(|item| item[0].f32s().unwrap_or_default().to_vec()).collect();
                mean_square(answers, &inputs)
            }
            Metric::Difference => mean_square(answers, expected),
        }
    }

    /// Share of items on which both choose the same class; `None` where there is nothing to choose.
    pub(super) fn agreement(self, answers: &[Vec<f32>], expected: &[Vec<f32>], length: usize) -> Option<f64> {
        let chooses = match self {
            Metric::Accuracy => true,
            Metric::Difference => length > 1,
            Metric::Targets | Metric::Reconstruction => false,
        };
        chooses.then(|| mean(iter::zip(answers, expected).map(|(a, b)| f64::from(chosen(a) == chosen(b)))))
    }
}

/// The class that an answer stands for.
fn chosen(answer: &[f32]) -> usize {
    match answer {
        [probability] => usize::from(*probability > 0.5),
        _ => largest(answer),
    }
}

/// Mean over all elements of all items.
pub(super) fn mean_square(answers: &[Vec<f32>], expected: &[Vec<f32>]) -> f64 {
    let square = |(a, b): (&f32, &f32)| f64::from(a - b).powi(2);
    let item = |(answer, expected): (&Vec<f32>, &Vec<f32>)| iter::zip(answer, expected).map(square).collect::<Vec<_>>();
    mean(iter::zip(answers, expected).flat_map(item))
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0_u64), |(sum, count), value| (sum + value, count + 1));
    sum / count as f64
}

/// How often each class was taken for each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Confusion {
    pub(super) classes: Vec<String>,
    /// A row for each label, a column for each answer.
    pub(super) matrix: Vec<Vec<usize>>,
}

impl Confusion {
    pub(super) fn new(answers: &[Vec<f32>], data: &DataSet, length: usize, classes: Vec<String>) -> Self {
        let mut matrix = vec![vec![0; classes.len()]; classes.len()];
        let labels = data.classes(length.max(2)).unwrap_or_default();
        for (answer, label) in iter::zip(answers, labels) {
            matrix[label][chosen(answer)] += 1;
        }
        Self { classes, matrix }
    }

    /// The matrix, or of more classes than `most` the pairs that are confused most.
    pub(super) fn text(&self, most: usize) -> String {
        if self.classes.len() <= most {
            let heads = self.classes.iter().map(|name| format!(">{}", shortened(name, 8)));
            let columns: Vec<String> = iter::once(String::new()).chain(heads).chain([">recall".into()]).collect();
            let mut table = Table::new(&columns.iter().map(String::as_str).collect::<Vec<_>>());
            for (index, (name, row)) in iter::zip(&self.classes, &self.matrix).enumerate() {
                let total: usize = row.iter().sum();
                let recall = row[index] as f64 / total.max(1) as f64 * 100.0;
                let cells = row.iter().map(|count| if *count == 0 { "·".into() } else { count.to_string() });
                let recall = if total == 0 { "–".into() } else { format!("{recall:.1} %") };
                table.row(iter::once(shortened(name, 16)).chain(cells).chain([recall]).collect());
            }
            return table.to_string();
        }
        let pairs =
            (0..self.classes.len()).flat_map(|label| (0..self.classes.len()).map(move |answer| (label, answer)));
        let mut pairs: Vec<(usize, usize, usize)> = pairs
            .filter(|(label, answer)| label != answer)
            .map(|(label, answer)| (self.matrix[label][answer], label, answer))
            .filter(|(count, ..)| *count > 0)
            .collect();
        pairs.sort_by_key(|(count, ..)| std::cmp::Reverse(*count));
        let mut text = String::new();
        for (count, label, answer) in pairs.into_iter().take(most) {
            let _ = writeln!(text, "  {count:>5} × {} taken for {}", self.classes[label], self.classes[answer]);
        }
        text
    }
}
