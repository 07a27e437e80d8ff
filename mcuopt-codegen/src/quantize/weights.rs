//! The scales of weights that the compiler chooses before it lowers a layer: int4, and int8 in float layers.

use std::collections::BTreeSet;

use mcuopt_rt::v0 as rt;

use super::Precisions;
use super::grid::grid;
use crate::graph::{Graph, Quantization, ValueId, Width};
use crate::ops::Op;
use crate::tensor::Tensor;

/// Gives the weights of layers with int4 weights their scales; returns these weights.
///
/// What the file's author fixed stays.
pub fn pack_weights(graph: &mut Graph<Op>, precisions: &Precisions) -> BTreeSet<ValueId> {
    let mut packed = BTreeSet::new();
    for index in 0..graph.nodes.len() {
        if precisions.of(&graph.nodes[index].name).has_int4_weights() {
            packed.extend(quantize_weights(graph, index, Width::Int4, int4_scale));
        }
    }
    packed
}

/// Gives the weights of all layers that can compute with int8 weights in float32 their scales.
pub fn weights8(graph: &mut Graph<Op>, is_float32: impl Fn(&str) -> bool) {
    for index in 0..graph.nodes.len() {
        if !is_float32(&graph.nodes[index].name) {
            quantize_weights(graph, index, Width::Int8, |row| grid(row, 127).unwrap_or(largest(row) / 127.0));
        }
    }
}

/// Weights may be shared by layers, so this one gets its own.
fn quantize_weights(
    graph: &mut Graph<Op>,
    index: usize,
    width: Width,
    scale: impl Fn(&[f32]) -> f32,
) -> Option<ValueId> {
    let node = &graph.nodes[index];
    let weights = *node.inputs.get(1).filter(|_| node.op.packs_weights())?;
    let quantization = scales(graph, weights, width, scale)?;
    let mut own = graph.value(weights).clone();
    own.quantization = Some(quantization);
    let id = graph.add_value(own.name.clone(), own.ty.clone());
    *graph.value_mut(id) = own;
    graph.nodes[index].inputs[1] = id;
    Some(id)
}

fn scales(graph: &Graph<Op>, weights: ValueId, width: Width, scale: impl Fn(&[f32]) -> f32) -> Option<Quantization> {
    let value = graph.value(weights);
    let outputs = *value.ty.shape.first()?;
    let elements = value.constant.as_deref().and_then(Tensor::f32s).filter(|_| value.quantization.is_none())?;
    let positive = |scale: f32| if scale.is_normal() { scale } else { 1.0 };
    let rows = elements.chunks_exact(elements.len().checked_div(outputs).filter(|len| *len > 0)?);
    let scales = rows.map(|row| positive(scale(row))).collect();
    Some(Quantization { scales, zero_points: vec![0; outputs], axis: 0, width })
}

fn largest(row: &[f32]) -> f32 {
    row.iter().fold(0f32, |largest, w| largest.max(w.abs()))
}

/// The scale with the least square error of the rounded weights: with sixteen levels it pays to clip the largest ones.
fn int4_scale(row: &[f32]) -> f32 {
    if let Some(scale) = grid(row, 7) {
        return scale;
    }
    let largest = largest(row);
    let error = |scale: f32| -> f64 {
        let rounded = |w: f32| rt::round_ties_even_f32(w / scale).clamp(-8.0, 7.0) * scale;
        row.iter().map(|&w| f64::from(w - rounded(w)).powi(2)).sum()
    };
    let candidates = (40..=100).map(|part| largest * part as f32 / 700.0);
    let with_error = candidates.map(|scale| (error(scale), scale));
    let best =
        with_error.fold((f64::INFINITY, largest / 7.0), |best, other| if other.0 < best.0 { other } else { best });
    best.1
}
