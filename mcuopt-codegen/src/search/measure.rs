//! How good a quantized network is over samples.

use crate::calibrate::Samples;
use crate::error::Error;
use crate::graph::{Graph, ValueId};
use crate::interp;
use crate::ops::{Layer, Op};
use crate::parallel;
use crate::quantize::{reals, stored};
use crate::tensor::{DType, Tensor};

/// Samples that say enough about the error of the outputs.
pub(super) const SAMPLES: usize = 64;

/// What the float network answers to samples.
pub(super) struct Reference {
    /// Which samples are run.
    pub(super) samples: Vec<usize>,
    /// For each of them the outputs.
    pub(super) outputs: Vec<Vec<Tensor>>,
    /// For each of them the class that it is.
    pub(super) labels: Option<Vec<i64>>,
}

/// How a quantized network compares with the float network.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quality {
    /// Signal-to-quantization-noise ratio of the outputs in decibels, of the worst of several; +∞ without an error.
    pub sqnr: f64,
    /// Share of the samples for which the largest element of the first output is the one of the label.
    pub accuracy: Option<f64>,
    /// Share of the samples for which it is the float network's.
    pub agreement: f64,
}

impl Reference {
    /// Runs the float network: on all labelled samples, else on some.
    pub(super) fn run(float: &Graph<Op>, samples: &Samples) -> Result<Self, Error> {
        let labels = samples.labels();
        let count = if labels.is_some() { samples.len() } else { samples.len().min(SAMPLES) };
        let chosen: Vec<usize> = (0..count).map(|index| index * samples.len() / count).collect();
        let run = |index: &usize| interp::run_float(float, &samples.sample(*index)?, |_, _| {});
        let outputs = parallel::map(&chosen, run)?;
        let labels = labels.map(|labels| chosen.iter().map(|&index| labels[index]).collect());
        Ok(Self { samples: chosen, outputs, labels })
    }

    /// The float network's own accuracy.
    pub(super) fn accuracy(&self) -> Option<f64> {
        let labels = self.labels.as_ref()?;
        let right = self.outputs.iter().zip(labels).filter(|(outputs, label)| answer(&outputs[0]) == Some(**label));
        Some(right.count() as f64 / labels.len().max(1) as f64)
    }

    /// What a network reaches, in words.
    pub(super) fn describe(&self, quality: &Quality) -> String {
        match (quality.accuracy, self.accuracy()) {
            (Some(accuracy), Some(float)) => {
                format!("{:.1} dB and an accuracy of {accuracy:.4}, where float32 has {float:.4}", quality.sqnr)
            }
            _ => format!("{:.1} dB and float32's answer to {:.4} of the samples", quality.sqnr, quality.agreement),
        }
    }

    /// Runs the kernels on the same samples.
    pub(super) fn compare(&self, lowered: &Graph<Layer>, samples: &Samples) -> Result<Quality, Error> {
        let run = |index: &usize| {
            let inputs = samples.sample(*index)?;
            let inputs: Vec<Tensor> =
                lowered.inputs.iter().zip(&inputs).map(|(id, tensor)| stored(lowered, *id, tensor)).collect();
            let outputs = interp::run_lowered(lowered, &inputs, |_, _| {})?;
            Ok(lowered.outputs.iter().zip(&outputs).map(|(id, tensor)| as_reals(lowered, *id, tensor)).collect())
        };
        let found: Vec<Vec<Tensor>> = parallel::map(&self.samples, run)?;
        let mut errors = Errors::new(lowered.outputs.len());
        let (mut right, mut same) = (0, 0);
        for (index, (outputs, expected)) in found.iter().zip(&self.outputs).enumerate() {
            errors.add(outputs, expected);
            let class = answer(&outputs[0]);
            same += usize::from(class == answer(&expected[0]));
            right += usize::from(self.labels.as_ref().is_some_and(|labels| class == Some(labels[index])));
        }
        let share = |count: usize| count as f64 / self.samples.len().max(1) as f64;
        let accuracy = self.labels.as_ref().map(|_| share(right));
        Ok(Quality { sqnr: errors.decibels(), accuracy, agreement: share(same) })
    }
}

/// A tensor of the lowered graph with the reals that its integers stand for; the file's integers as they are.
pub(super) fn as_reals(lowered: &Graph<Layer>, id: ValueId, tensor: &Tensor) -> Tensor {
    let reals = reals(lowered, id, tensor).and_then(|reals| Tensor::new(tensor.shape(), reals));
    reals.unwrap_or_else(|| tensor.clone())
}

/// What a classifier's output says: the position of its largest element; a single number itself, rounded.
pub(super) fn answer(output: &Tensor) -> Option<i64> {
    let numbers = output.cast(DType::F32)?;
    match numbers.f32s()? {
        [number] => Some(number.round() as i64),
        numbers => {
            let best = numbers.iter().enumerate().fold(None, |best: Option<(usize, f32)>, (index, &x)| match best {
                Some((_, largest)) if x <= largest || x.is_nan() => best,
                _ => Some((index, x)),
            });
            best.map(|(index, _)| index as i64)
        }
    }
}

/// Energies of signal and error, of each output.
#[derive(Clone, Debug)]
pub(super) struct Errors(Vec<[f64; 2]>);

impl Errors {
    pub(super) fn new(outputs: usize) -> Self {
        Self(vec![[0.0; 2]; outputs])
    }

    /// Adds a sample's outputs; integers of the file count as they are.
    pub(super) fn add(&mut self, found: &[Tensor], expected: &[Tensor]) {
        for (sums, (found, expected)) in self.0.iter_mut().zip(found.iter().zip(expected)) {
            let (Some(found), Some(expected)) = (found.cast(DType::F32), expected.cast(DType::F32)) else { continue };
            let (Some(found), Some(expected)) = (found.f32s(), expected.f32s()) else { continue };
            for (&y, &x) in found.iter().zip(expected).filter(|(_, x)| x.is_finite()) {
                sums[0] += f64::from(x).powi(2);
                sums[1] += (f64::from(x) - f64::from(y)).powi(2);
            }
        }
    }

    pub(super) fn join(&mut self, other: &Errors) {
        for (sums, other) in self.0.iter_mut().zip(&other.0) {
            sums[0] += other[0];
            sums[1] += other[1];
        }
    }

    /// Energy of the error by energy of the signal, of the worst output.
    pub(super) fn noise(&self) -> f64 {
        let ratio = |[signal, noise]: &[f64; 2]| match (*noise > 0.0, *signal > 0.0) {
            (false, _) => 0.0,
            (true, true) => noise / signal,
            (true, false) => f64::MAX,
        };
        self.0.iter().map(ratio).fold(0.0, f64::max)
    }

    pub(super) fn decibels(&self) -> f64 {
        decibels(self.noise())
    }
}

/// A relative noise as a signal-to-noise ratio.
pub(super) fn decibels(noise: f64) -> f64 {
    if noise == 0.0 { f64::INFINITY } else { -10.0 * noise.log10() }
}
