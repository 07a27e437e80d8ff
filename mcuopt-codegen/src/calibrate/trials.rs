//! What a change of a network does to its outputs: the measure by which ranges and repairs are chosen.

use std::collections::{BTreeMap, BTreeSet};

use mcuopt_rt::v0 as rt;

use super::Samples;
use crate::error::Error;
use crate::graph::{Graph, Quantization, ValueId, Width};
use crate::interp;
use crate::ops::Op;
use crate::parallel;
use crate::tensor::{DType, Element as _, Tensor};

/// Numbers of all runs together that are kept, 256 MB of them: of a large network fewer samples are run.
const NUMBERS: usize = 1 << 26;

/// What a float network computes from some samples. Changed forms of it run from the change on.
pub struct Trials {
    /// For each sample every value.
    runs: Vec<BTreeMap<ValueId, Tensor>>,
    targets: Vec<Target>,
}

/// A value in which the error is measured.
struct Target {
    id: ValueId,
    /// Elements along the last axis, if a softmax reads it: what they have in common makes no difference.
    row: Option<usize>,
    /// Its power, summed over all runs.
    signal: f64,
}

/// Where the error of a network that ends with a softmax is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Before the softmax: each sample says something about each change, however sure the network is of its class.
    Scores,
    /// Behind it: what is clipped of a score that is far above all others is no loss.
    Outputs,
}

/// What differs from the float network.
#[derive(Clone, Debug, Default)]
pub struct Change {
    /// Nodes whose operator or constants are others.
    pub nodes: BTreeSet<usize>,
    /// Values that are rounded, with one scale each.
    pub rounded: BTreeMap<ValueId, Quantization>,
}

impl Trials {
    /// Runs about `count` samples, from all over the set. The error is measured where `place` says.
    pub fn new(graph: &Graph<Op>, samples: &Samples, count: usize, place: Place) -> Result<Self, Error> {
        let numbers: usize =
            graph.nodes.iter().flat_map(|node| &node.outputs).map(|id| graph.value(*id).ty.len()).sum();
        let count = count.min(NUMBERS / numbers.max(1)).clamp(1, samples.len());
        let indices: Vec<usize> = (0..count).map(|index| index * samples.len() / count).collect();
        let runs = parallel::map(&indices, |index| {
            let mut values = BTreeMap::new();
            interp::run_float(graph, &samples.sample(*index)?, |id, tensor| {
                values.insert(id, tensor.clone());
            })?;
            Ok(values)
        })?;
        let mut targets: Vec<Target> = Vec::new();
        for target in graph.outputs.iter().filter_map(|id| target(graph, *id, place)) {
            let signal =
                runs.iter().filter_map(|run| run.get(&target.id)).map(|y| target.power(f32::of(y), None)).sum();
            if signal > 0.0 && !targets.iter().any(|other| other.id == target.id) {
                targets.push(Target { signal, ..target });
            }
        }
        Ok(Self { runs, targets })
    }

    /// The error of a graph with the same values that differs from the float network by `change`: the mean of each sample's
    /// error in an output, relative to the output's root mean square; its square, summed over the outputs.
    ///
    /// A mean of powers would be that of the one sample that is far outside of what ranges hold.
    pub fn noise(&self, graph: &Graph<Op>, change: &Change) -> Result<f64, Error> {
        let errors = parallel::map(&self.runs, |run| {
            let changed = rerun(graph, run, change)?;
            let error = |target: &Target| match changed.get(&target.id) {
                Some(y) => target.power(f32::of(y), run.get(&target.id).map(f32::of)).sqrt(),
                None => 0.0,
            };
            Ok(self.targets.iter().map(error).collect::<Vec<f64>>())
        })?;
        let of_target = |(index, target): (usize, &Target)| {
            let mean = errors.iter().map(|sample| sample[index]).sum::<f64>() / errors.len().max(1) as f64;
            mean * mean * errors.len() as f64 / target.signal
        };
        Ok(self.targets.iter().enumerate().map(of_target).sum())
    }
}

/// Where the error of an output is measured: never behind what makes integers of it.
fn target(graph: &Graph<Op>, output: ValueId, place: Place) -> Option<Target> {
    let producers = graph.producers();
    let mut id = output;
    loop {
        let node = producers[id.index()].map(|producer| &graph.nodes[producer]);
        let operand = node.and_then(|node| node.inputs.first().copied());
        match node.map(|node| &node.op) {
            Some(Op::Softmax(_)) if place == Place::Scores => {
                let id = operand?;
                let row = graph.value(id).ty.shape.last().copied();
                return Some(Target { id, row, signal: 0.0 });
            }
            _ if graph.value(id).ty.dtype == DType::F32 && graph.constant(id).is_none() => {
                return Some(Target { id, row: None, signal: 0.0 });
            }
            _ => id = operand?,
        }
    }
}

impl Target {
    /// Σ (y − reference)².
    fn power(&self, y: &[f32], reference: Option<&[f32]>) -> f64 {
        let difference = |i: usize| f64::from(y[i]) - reference.map_or(0.0, |reference| f64::from(reference[i]));
        let mut sum = 0f64;
        for start in (0..y.len()).step_by(self.row.unwrap_or(y.len()).max(1)) {
            let end = self.row.map_or(y.len(), |row| start + row);
            let mut common = 0f64;
            if self.row.is_some() {
                (start..end).for_each(|i| common += difference(i));
                common /= (end - start) as f64;
            }
            let mut i = start;
            while i < end {
                let difference = difference(i) - common;
                // An infinity that is as it should be is no error.
                if difference.is_finite() {
                    sum += difference * difference;
                }
                i += 1;
            }
        }
        sum
    }
}

/// The values that become others by a change.
fn rerun(
    graph: &Graph<Op>,
    run: &BTreeMap<ValueId, Tensor>,
    change: &Change,
) -> Result<BTreeMap<ValueId, Tensor>, Error> {
    let known = |(id, quantization): (&ValueId, &Quantization)| Some((*id, rounded(run.get(id)?, quantization)));
    let changed = change.rounded.iter().filter_map(known).collect();
    let settle = |id: ValueId, tensor: Tensor| match change.rounded.get(&id) {
        Some(quantization) => rounded(&tensor, quantization),
        None => tensor,
    };
    interp::rerun_float(graph, run, changed, |index| change.nodes.contains(&index), settle)
}

/// A tensor as its integers stand for it.
///
/// A plain loop, for the reason that the `reference` module gives.
pub fn rounded(tensor: &Tensor, quantization: &Quantization) -> Tensor {
    let mut tensor = tensor.clone();
    let Some((scale, zero_point)) = quantization.single().filter(|_| tensor.f32s().is_some()) else { return tensor };
    let elements = f32::of_mut(&mut tensor);
    let mut i = 0;
    while i < elements.len() {
        elements[i] = match quantization.width {
            Width::Int16 => rt::dequantize_i16(rt::quantize_f32_i16(elements[i], scale, zero_point), scale, zero_point),
            _ => rt::dequantize(rt::quantize_f32(elements[i], scale, zero_point), scale, zero_point),
        };
        i += 1;
    }
    tensor
}
