//! Repairs that need the quantized network's own numbers: it and the float network run side by side over some samples,
//! layer by layer, and each linear layer is fitted to what the float network computes before the next one runs.

use std::collections::BTreeMap;

use super::adaround::Problem;
use super::filters::Filters;
use super::repair::{Repair, decibels};
use super::scales;
use crate::calibrate::{self, Samples};
use crate::error::Error;
use crate::graph::{Graph, ValueId, Width};
use crate::ops::Op;
use crate::parallel;
use crate::reference::dot;
use crate::tensor::{Element as _, Tensor};

/// What to fit.
#[derive(Clone, Copy, Debug)]
pub struct Fit {
    /// Biases: empirical bias correction.
    pub bias: bool,
    /// The rounding of weights: of all, or of none; of those that gain most, if it is `None`.
    pub adaround: Option<bool>,
}

impl Fit {
    /// Whether the rounding of a layer's weights is learned.
    ///
    /// int4 weights err most; and where activations are int16, what remains of a network's error is that of its weights.
    fn learns(self, graph: &Graph<Op>, filters: &Filters) -> bool {
        let is_wide = || graph.value(filters.y).quantization.as_ref().is_some_and(|y| y.width == Width::Int16);
        self.adaround.unwrap_or_else(|| filters.bits(graph) < 8 || is_wide())
    }
}

/// Samples that the networks run on.
const SAMPLES: usize = 64;

/// Columns of a layer's input that weights are fitted to, over all samples.
const COLUMNS: usize = 2048;

/// Weights of a filter that are fitted together; longer filters are divided.
const BLOCK: usize = 768;

/// Columns for each weight from which a filter may learn to make good the errors of its inputs. From fewer it would learn
/// these samples' own errors.
const ENOUGH: usize = 8;

/// The values that are alive, of one sample.
#[derive(Clone, Default)]
struct Sample {
    float: BTreeMap<ValueId, Tensor>,
    quantized: BTreeMap<ValueId, Tensor>,
}

/// Whether [`refine`] would learn the rounding of any of these layers' weights.
pub fn learns(graph: &Graph<Op>, layers: &[usize], fit: Fit) -> bool {
    layers.iter().filter_map(|index| Filters::of(graph, *index)).any(|filters| fit.learns(graph, &filters))
}

/// Fits the linear `layers`, whose weights have scales already.
pub fn refine(graph: &mut Graph<Op>, layers: &[usize], samples: &Samples, fit: Fit) -> Result<Vec<Repair>, Error> {
    let count = samples.len().min(SAMPLES);
    let mut runs = Vec::with_capacity(count);
    for index in 0..count {
        let mut run = Sample::default();
        for (id, tensor) in graph.inputs.iter().zip(samples.sample(index * samples.len() / count)?) {
            let tensor =
                tensor.reshaped(&graph.value(*id).ty.shape).ok_or_else(|| Error::bug("a sample of another size"))?;
            run.quantized.insert(*id, rounded(graph, *id, &tensor));
            run.float.insert(*id, tensor);
        }
        runs.push(run);
    }
    let last_use: Vec<Option<usize>> = graph.consumers().iter().map(|readers| readers.last().copied()).collect();
    let original = graph.clone();
    let mut repairs = Vec::new();
    for index in 0..graph.nodes.len() {
        let floats = parallel::map(&runs, |run| evaluate(&original, index, &original.nodes[index].op, &run.float))?;
        let fitted = Filters::of(graph, index).filter(|_| layers.contains(&index));
        if let Some(filters) = fitted {
            let bits = filters.bits(graph);
            if fit.learns(graph, &filters) {
                repairs.extend(fit_weights(graph, &original, &filters, &runs, bits)?);
            }
            round_weights(graph, &filters, bits)?;
            if fit.bias {
                repairs.extend(fit_bias(graph, &original, &filters, &runs)?);
            }
        }
        let ours = parallel::map(&runs, |run| evaluate(graph, index, &graph.nodes[index].op, &run.quantized))?;
        for ((run, float), ours) in runs.iter_mut().zip(floats).zip(ours) {
            for ((id, float), ours) in graph.nodes[index].outputs.iter().zip(float).zip(ours) {
                run.quantized.insert(*id, rounded(graph, *id, &ours));
                run.float.insert(*id, float);
            }
            for id in original.nodes[index].inputs.iter().filter(|id| last_use[id.index()] == Some(index)) {
                run.float.remove(id);
                run.quantized.remove(id);
            }
        }
    }
    Ok(repairs)
}

fn evaluate(
    graph: &Graph<Op>,
    index: usize,
    op: &Op,
    values: &BTreeMap<ValueId, Tensor>,
) -> Result<Vec<Tensor>, Error> {
    let node = &graph.nodes[index];
    let operand = |id: &ValueId| {
        let missing = || Error::bug(format!("`{}` has no value", graph.value(*id).name));
        graph.constant(*id).or(values.get(id)).ok_or_else(missing)
    };
    let operands = node.inputs.iter().map(operand).collect::<Result<Vec<_>, _>>()?;
    op.eval(&operands).map_err(|error| error.at_node(&node.name, node.op.name()))
}

/// A tensor as its integers stand for it.
fn rounded(graph: &Graph<Op>, id: ValueId, tensor: &Tensor) -> Tensor {
    let quantization = graph.value(id).quantization.as_ref();
    quantization.map_or_else(|| tensor.clone(), |quantization| calibrate::rounded(tensor, quantization))
}

/// Puts the numbers that the integers stand for into the place of the weights.
fn round_weights(graph: &mut Graph<Op>, filters: &Filters, bits: u32) -> Result<(), Error> {
    let scales = weight_scales(graph, filters);
    let limits = scales::limits(bits);
    let round = |(filter, w): (usize, &[f32])| {
        let scale = scales[filter];
        w.iter().map(|w| scales::round(*w, scale, limits)).collect::<Vec<f32>>()
    };
    let weights = filters.weights(graph).chunks_exact(filters.len()).enumerate().flat_map(round).collect();
    filters.set_weights(graph, weights)
}

pub(super) fn weight_scales(graph: &Graph<Op>, filters: &Filters) -> Vec<f32> {
    let quantization = graph.value(graph.nodes[filters.node].inputs[1]).quantization.as_ref();
    let scales = quantization.map(|quantization| quantization.scales.clone()).unwrap_or_default();
    if scales.len() == 1 { vec![scales[0]; filters.outputs] } else { scales }
}

/// The outputs of a linear layer before its clamp, in both networks.
fn before_clamp(
    graph: &Graph<Op>,
    original: &Graph<Op>,
    filters: &Filters,
    runs: &[Sample],
) -> Result<Vec<[Vec<f32>; 2]>, Error> {
    let op = filters.unclamped(graph);
    parallel::map(runs, |run| {
        let float = evaluate(original, filters.node, &op, &run.float)?;
        let ours = evaluate(graph, filters.node, &op, &run.quantized)?;
        Ok([f32::of(&float[0]).to_vec(), f32::of(&ours[0]).to_vec()])
    })
}

/// Lets the mean of each filter's output be that of the float network.
fn fit_bias(
    graph: &mut Graph<Op>,
    original: &Graph<Op>,
    filters: &Filters,
    runs: &[Sample],
) -> Result<Option<Repair>, Error> {
    let outputs = before_clamp(graph, original, filters, runs)?;
    let n = filters.outputs;
    let mut sums = vec![0f64; n];
    let mut counts = vec![0usize; n];
    for [float, ours] in &outputs {
        let (mut i, mut filter) = (0, 0);
        while i < float.len() {
            sums[filter] += f64::from(float[i] - ours[i]);
            counts[filter] += 1;
            filter = if filter + 1 == n { 0 } else { filter + 1 };
            i += 1;
        }
    }
    let shifts: Vec<f32> = sums.iter().zip(&counts).map(|(sum, count)| (sum / (*count).max(1) as f64) as f32).collect();
    let (mut signal, mut before, mut after) = (0f64, 0f64, 0f64);
    for [float, ours] in &outputs {
        for (i, (&float, &ours)) in float.iter().zip(ours).enumerate() {
            let (y, old, new) =
                (filters.clamp.apply(float), filters.clamp.apply(ours), filters.clamp.apply(ours + shifts[i % n]));
            signal += f64::from(y) * f64::from(y);
            before += f64::from(y - old) * f64::from(y - old);
            after += f64::from(y - new) * f64::from(y - new);
        }
    }
    if after >= before {
        return Ok(None);
    }
    let bias = filters.bias(graph).iter().zip(&shifts).map(|(bias, shift)| bias + shift).collect();
    filters.set_bias(graph, bias)?;
    let node = graph.nodes[filters.node].name.clone();
    Ok(Some(Repair {
        step: "bias_correction",
        node,
        before_db: decibels(signal, before),
        after_db: decibels(signal, after),
    }))
}

/// Chooses the integers of all weights.
fn fit_weights(
    graph: &mut Graph<Op>,
    original: &Graph<Op>,
    filters: &Filters,
    runs: &[Sample],
    bits: u32,
) -> Result<Option<Repair>, Error> {
    let k = filters.len();
    let scales = weight_scales(graph, filters);
    let weights = filters.weights(graph).to_vec();
    let mut found = weights.clone();
    let (mut signal, mut before, mut after) = (0f64, 0f64, 0f64);
    let each = COLUMNS.div_ceil(runs.len());
    let windows = |of: fn(&Sample) -> &BTreeMap<ValueId, Tensor>| {
        let tensors = runs.iter().filter_map(|run| of(run).get(&filters.x));
        tensors.flat_map(|x| filters.windows(original, x, each)).collect::<Vec<f32>>()
    };
    let windows = [windows(|run| &run.quantized), windows(|run| &run.float)];
    let blocks: Vec<std::ops::Range<usize>> = (0..k).step_by(BLOCK).map(|start| start..k.min(start + BLOCK)).collect();
    let parts: Vec<(usize, std::ops::Range<usize>)> =
        (0..filters.groups).flat_map(|group| blocks.iter().map(move |block| (group, block.clone()))).collect();
    let results = parallel::map(&parts, |(group, block)| {
        let (gram, cross, floats) = covariances(filters, &windows, *group, block);
        let k = block.len();
        let scale_of_diagonal = (0..k).map(|i| gram[i * k + i]).sum::<f32>() / k as f32;
        // What the samples do not tell apart stays where it is.
        let mut damped = gram.clone();
        (0..k).for_each(|i| damped[i * k + i] += 0.01 * scale_of_diagonal);
        let group_filters: Vec<usize> = filters.of_group(*group).collect();
        let solve = |filter: &usize| -> Result<(Vec<f32>, [f64; 3]), Error> {
            let scale = scales[*filter];
            let row = &weights[filter * filters.len()..][block.clone()];
            let w: Vec<f32> = row.iter().map(|w| w / scale).collect();
            let wanted: Vec<f32> = (0..k).map(|i| dot(&cross[i * k..(i + 1) * k], &w)).collect();
            let target: Vec<f32> = wanted.iter().zip(&w).map(|(r, w)| r + 0.01 * scale_of_diagonal * w).collect();
            let plain = Problem { gram: &gram, target: &wanted, weights: &w, bits };
            let problem = Problem { gram: &damped, target: &target, weights: &w, bits };
            let nearest = problem.nearest();
            let mut learned = problem.learn(super::adaround::STEPS);
            problem.descend(&mut learned);
            let mut greedy = nearest.clone();
            problem.descend(&mut greedy);
            let best = if problem.error(&learned) < problem.error(&greedy) { learned } else { greedy };
            // What the filter is to compute, and how far from it the quantized one is with integers `q`.
            let power: f64 = floats.chunks_exact(k).map(|x| f64::from(dot(x, &w)).powi(2)).sum();
            let power = power / (floats.len() / k).max(1) as f64;
            let noise = |q: &[f32]| plain.error(q) + power;
            let sums = [power, noise(&nearest), noise(&best)].map(|sum| sum * f64::from(scale) * f64::from(scale));
            Ok((best.iter().map(|q| q * scale).collect(), sums))
        };
        // One group of many filters: the filters are what is done side by side.
        let solved = if parts.len() == 1 {
            parallel::map(&group_filters, solve)?
        } else {
            group_filters.iter().map(solve).collect::<Result<Vec<_>, Error>>()?
        };
        Ok(solved)
    })?;
    for ((group, block), solved) in parts.iter().zip(results) {
        for (filter, (row, sums)) in filters.of_group(*group).zip(solved) {
            found[filter * k..(filter + 1) * k][block.clone()].copy_from_slice(&row);
            signal += sums[0];
            before += sums[1];
            after += sums[2];
        }
    }
    filters.set_weights(graph, found)?;
    let node = graph.nodes[filters.node].name.clone();
    Ok(Some(Repair { step: "adaround", node, before_db: decibels(signal, before), after_db: decibels(signal, after) }))
}

/// Covariance of the inputs that the filters of `group` meet in the quantized network, and that of these with the same
/// inputs of the float network, of the part `block` of a window; and these inputs, less their means. Where samples are
/// [not enough](ENOUGH), the quantized network's inputs stand for the float network's.
fn covariances(
    filters: &Filters,
    [ours, floats]: &[Vec<f32>; 2],
    group: usize,
    block: &std::ops::Range<usize>,
) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
    let k = block.len();
    let channels = filters.channels * filters.groups;
    let of_group = |windows: &Vec<f32>| {
        let mut columns = Vec::with_capacity(windows.len() / filters.groups);
        for window in windows.chunks_exact(filters.taps * channels) {
            let place = |k: usize| k / filters.channels * channels + group * filters.channels + k % filters.channels;
            columns.extend(block.clone().map(|k| window[place(k)]));
        }
        centre(&mut columns, k);
        columns
    };
    let (ours, floats) = (of_group(ours), of_group(floats));
    let floats = if ours.len() < ENOUGH * k * k { ours.clone() } else { floats };
    let (mut gram, mut cross) = (vec![0f32; k * k], vec![0f32; k * k]);
    for (q, x) in ours.chunks_exact(k).zip(floats.chunks_exact(k)) {
        for (i, &qi) in q.iter().enumerate() {
            if qi != 0.0 {
                add_scaled(&mut gram[i * k..(i + 1) * k], q, qi);
                add_scaled(&mut cross[i * k..(i + 1) * k], x, qi);
            }
        }
    }
    let columns = (ours.len() / k).max(1) as f32;
    gram.iter_mut().chain(&mut cross).for_each(|sum| *sum /= columns);
    (gram, cross, floats)
}

/// y += a·x.
fn add_scaled(y: &mut [f32], x: &[f32], a: f32) {
    let len = y.len().min(x.len());
    let (y, x) = (&mut y[..len], &x[..len]);
    let mut i = 0;
    while i < len {
        y[i] += a * x[i];
        i += 1;
    }
}

/// Takes the mean off each of `k` coordinates.
fn centre(columns: &mut [f32], k: usize) {
    let mut means = vec![0f32; k];
    let count = (columns.len() / k).max(1);
    for column in columns.chunks_exact(k) {
        add_scaled(&mut means, column, 1.0 / count as f32);
    }
    for column in columns.chunks_exact_mut(k) {
        add_scaled(column, &means, -1.0);
    }
}
