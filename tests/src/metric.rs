//! How good a network's answers are.

use std::iter;

use crate::shared::Model;
use crate::test_set::TestSet;

/// What is measured on a model's test set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// Share of items whose largest output is that of the label.
    Top1,
    /// Share of items for which "class 0 or another" is right: the wakeword.
    Wakeword,
    /// Mean square of output minus input, as an autoencoder is judged.
    Reconstruction,
    /// Mean square of output minus the sine of the input.
    Sine,
}

impl Metric {
    /// The one that the reference models' own measurements use.
    pub fn of(model: Model) -> Self {
        match model {
            Model::Ad => Metric::Reconstruction,
            Model::Sine => Metric::Sine,
            Model::Sww => Metric::Wakeword,
            Model::Ic | Model::Kws | Model::Mnist | Model::Person | Model::Speech | Model::Vww => Metric::Top1,
        }
    }

    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Metric::Top1 => "top-1",
            Metric::Wakeword => "wakeword or not",
            Metric::Reconstruction => "squared error of reconstruction",
            Metric::Sine => "squared error against sin x",
        }
    }

    /// Whether the network chooses between classes, so that agreement on the largest output means something.
    pub fn is_of_classes(self) -> bool {
        matches!(self, Metric::Top1 | Metric::Wakeword)
    }

    /// The figure for the answers to all items of a test set.
    pub fn measure(self, test: &TestSet, answers: &[Vec<f32>]) -> f64 {
        assert_eq!(test.inputs.len(), answers.len(), "an answer for each item");
        let classes = iter::zip(answers, &test.labels);
        match self {
            Metric::Top1 => mean(classes.map(|(answer, &label)| f64::from(largest(answer) as f32 == label))),
            Metric::Wakeword => {
                mean(classes.map(|(answer, &label)| f64::from((largest(answer) == 0) == (label == 0.0))))
            }
            Metric::Reconstruction => {
                mean(iter::zip(answers, &test.inputs).map(|(answer, input)| squared_error(answer, input)))
            }
            Metric::Sine => mean(iter::zip(answers, &test.inputs).map(|(answer, input)| {
                let truth: Vec<f32> = input.iter().map(|x| f64::from(*x).sin() as f32).collect();
                squared_error(answer, &truth)
            })),
        }
    }
}

/// Share of items for which two networks' largest outputs are the same.
pub fn agreement(a: &[Vec<f32>], b: &[Vec<f32>]) -> f64 {
    assert_eq!(a.len(), b.len(), "as many answers of both");
    mean(iter::zip(a, b).map(|(a, b)| f64::from(largest(a) == largest(b))))
}

/// Largest difference of an element, relative to the largest element of the answer it belongs to.
pub fn deviation(answers: &[Vec<f32>], expected: &[Vec<f32>]) -> f32 {
    let of_one = |(answer, expected): (&Vec<f32>, &Vec<f32>)| {
        assert_eq!(answer.len(), expected.len(), "answers of the same length");
        let size = expected.iter().fold(1e-3, |size: f32, x| size.max(x.abs()));
        // A NaN must not get lost: `max` would drop it.
        iter::zip(answer, expected).fold(0.0, |worst: f32, (x, y)| {
            let deviation = (x - y).abs() / size;
            if deviation <= worst { worst } else { deviation }
        })
    };
    iter::zip(answers, expected).map(of_one).fold(0.0, |worst, one| if one <= worst { worst } else { one })
}

/// Index of the largest element, the first of equals.
pub fn largest(answer: &[f32]) -> usize {
    (0..answer.len()).fold(0, |best, index| if answer[index] > answer[best] { index } else { best })
}

fn squared_error(a: &[f32], b: &[f32]) -> f64 {
    mean(iter::zip(a, b).map(|(a, b)| f64::from(a - b).powi(2)))
}

fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = values.len() as f64;
    values.sum::<f64>() / count
}
