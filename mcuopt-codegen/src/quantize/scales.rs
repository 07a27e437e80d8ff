//! The scale of each filter's weights: the largest weight need not be the largest integer.
//!
//! A smaller scale clips large weights and rounds all others more finely. What counts is the error of the filter's output,
//! Σ (ŵ − w)²·E\[x²\], for each filter by itself; with eight bits it hardly ever pays, with four it nearly always does.

use std::collections::BTreeSet;

use super::filters::Filters;
use crate::calibrate::{Channel, Ranges};
use crate::error::Error;
use crate::graph::{Graph, Quantization, ValueId, Width};
use crate::ops::{Op, linear};

/// Smallest and largest integer of a weight.
pub(super) fn limits(bits: u32) -> (f32, f32) {
    let half = (1u32 << (bits - 1)) as f32;
    // The kernels for eight bits rely on weights being symmetric.
    if bits == 8 { (1.0 - half, half - 1.0) } else { (-half, half - 1.0) }
}

/// The number that a weight becomes.
pub(super) fn round(w: f32, scale: f32, (min, max): (f32, f32)) -> f32 {
    mcuopt_rt::v0::round_ties_even_f32(w / scale).clamp(min, max) * scale
}

/// Gives the weights of every linear layer that will run in integers a scale for each filter, where the file's author
/// did not, or where the compiler did (`own`); returns these layers. Without `search`, the scale that clips nothing.
pub fn choose_scales(
    graph: &mut Graph<Op>,
    ranges: &Ranges,
    own: &BTreeSet<ValueId>,
    search: bool,
) -> Result<Vec<usize>, Error> {
    let mut layers = Vec::new();
    for index in 0..graph.nodes.len() {
        let Some(filters) = Filters::of(graph, index) else { continue };
        let Some((x_scale, _)) = graph.value(filters.x).quantization.as_ref().and_then(Quantization::single) else {
            continue;
        };
        let is_own = own.contains(&graph.nodes[index].inputs[1]);
        if graph.value(filters.y).quantization.is_none() || filters.is_authored(graph) && !is_own {
            continue;
        }
        let bits = filters.bits(graph);
        let Some(statistics) = filters.seen(graph, ranges) else { continue };
        // The mean of an error goes into the bias; what remains of it where windows reach into the padding counts a little.
        let power = |c: &Channel| c.mean_square - 0.9 * c.mean * c.mean;
        let powers: Vec<f32> = statistics.channels.iter().map(power).collect();
        let floor = powers.iter().sum::<f32>() / powers.len().max(1) as f32 * 0.01 + f32::MIN_POSITIVE;
        let (weights, bias) = (filters.weights(graph).to_vec(), filters.bias(graph).to_vec());
        let scale = |(filter, w): (usize, &[f32])| {
            let power = |k: usize| powers.get(filters.input_channel(filter, k)).map_or(floor, |p| p.max(floor));
            let powers: Vec<f32> = (0..w.len()).map(power).collect();
            let scale = if search || bits < 8 { least_error(w, &powers, bits) } else { widest(w, bits) };
            scale.max(linear::narrowest_scale(bias[filter], x_scale))
        };
        let scales: Vec<f32> = weights.chunks_exact(filters.len()).enumerate().map(scale).collect();
        filters.set_weights(graph, weights)?;
        let id = graph.nodes[index].inputs[1];
        let zero_points = vec![0; scales.len()];
        let width = if bits == 8 { Width::Int8 } else { Width::Int4 };
        graph.value_mut(id).quantization = Some(Quantization { scales, zero_points, axis: 0, width });
        layers.push(index);
    }
    Ok(layers)
}

/// The scale under which the largest weight becomes the largest integer.
pub(super) fn widest(w: &[f32], bits: u32) -> f32 {
    let scale = w.iter().fold(0f32, |largest, w| largest.max(w.abs())) / limits(bits).1;
    if scale.is_normal() { scale } else { f32::MIN_POSITIVE.max(scale) }
}

/// The scale with the least error of a filter; the one that clips nothing if all are as good.
fn least_error(w: &[f32], powers: &[f32], bits: u32) -> f32 {
    let limits = limits(bits);
    let widest = widest(w, bits);
    let error = |scale: f32| {
        let mut sum = 0f32;
        let mut k = 0;
        while k < w.len() {
            let error = round(w[k], scale, limits) - w[k];
            sum += error * error * powers[k];
            k += 1;
        }
        sum
    };
    let candidates = (1..=20).map(|part| widest * (1.0 - part as f32 * 0.03));
    let with_error = candidates.map(|scale| (error(scale), scale));
    with_error.fold((error(widest), widest), |best, other| if other.0 < best.0 { other } else { best }).1
}

/// Puts the numbers that the integers of weights stand for into their place, with a scale for each filter, and takes what
/// that shifts the filter's output by on average off its bias: Σ (ŵ − w)·E\[x\], with the `means` of the input's channels.
/// See Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction", 2019, section 4.2. Taps in the
/// padding count like others; their share is small.
pub(super) fn round_layer(
    graph: &mut Graph<Op>,
    filters: &Filters,
    bits: u32,
    scale: impl Fn(usize, &[f32]) -> f32,
    means: &[f32],
) -> Result<(), Error> {
    let limits = limits(bits);
    let (mut weights, mut biases) = (Vec::new(), Vec::new());
    let rows = filters.weights(graph).chunks_exact(filters.len()).zip(filters.bias(graph));
    for (filter, (row, bias)) in rows.enumerate() {
        let scale = scale(filter, row);
        let mut shift = 0f64;
        for (k, &w) in row.iter().enumerate() {
            let rounded = round(w, scale, limits);
            let mean = means.get(filters.input_channel(filter, k)).copied().unwrap_or(0.0);
            shift += f64::from(rounded - w) * f64::from(mean);
            weights.push(rounded);
        }
        biases.push((f64::from(*bias) - shift) as f32);
    }
    filters.set_weights(graph, weights)?;
    filters.set_bias(graph, biases)
}
