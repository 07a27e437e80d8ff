//! Multiplication and addition of a number for each channel: BatchNormalization, biases, scales.

use mcuopt_rt::v0::Clamp;
use ndarray::{ArrayD, IxDyn};

use super::{Uses, substitute};
use crate::builder::push;
use crate::error::Error;
use crate::graph::{Graph, Node, ValueId};
use crate::ops::binary::{Binary, Kind, is_per_channel};
use crate::ops::{Op, conv::Conv, reshape::Reshape};
use crate::reference::Window;
use crate::tensor::{DType, Tensor};

/// y = gain · x + offset along the last axis.
struct Affine {
    gain: Vec<f32>,
    offset: Vec<f32>,
}

/// What `node` does to its operand `x`, if that is an affine function of each channel.
fn affine(graph: &Graph<Op>, node: &Node<Op>) -> Option<(ValueId, Affine, Clamp)> {
    let Op::Binary(Binary { kind, clamp }) = &node.op else { return None };
    let &[a, b] = &node.inputs[..] else { return None };
    let constant = |id: ValueId| graph.constant(id).and_then(Tensor::f32s);
    let (x, values, swapped) = match (constant(a), constant(b)) {
        (None, Some(values)) => (a, values, false),
        (Some(values), None) => (b, values, true),
        _ => return None,
    };
    let constant_id = if swapped { a } else { b };
    let value = graph.value(x);
    let channels = *value.ty.shape.last()?;
    let unchanged = value.ty.shape == graph.value(node.outputs[0]).ty.shape && value.ty.dtype == DType::F32;
    if !unchanged || !is_per_channel(&graph.value(constant_id).ty.shape, channels) {
        return None;
    }
    let spread: Vec<f32> = (0..channels).map(|channel| values[channel % values.len()]).collect();
    let (ones, zeros) = (vec![1.0; channels], vec![0.0; channels]);
    let negated = |values: Vec<f32>| values.into_iter().map(|value| -value).collect::<Vec<f32>>();
    let function = match (kind, swapped) {
        (Kind::Mul, _) => Affine { gain: spread, offset: zeros },
        (Kind::Add, _) => Affine { gain: ones, offset: spread },
        (Kind::Sub, false) => Affine { gain: ones, offset: negated(spread) },
        (Kind::Sub, true) => Affine { gain: negated(ones), offset: spread },
        _ => return None,
    };
    Some((x, function, *clamp))
}

/// affine(Conv(x)) → Conv with other weights and bias; likewise Dense.
pub(super) fn fold(graph: &mut Graph<Op>, uses: &Uses, index: usize) -> Result<bool, Error> {
    let node = graph.nodes[index].clone();
    let Some((x, function, clamp)) = affine(graph, &node) else { return Ok(false) };
    let Some(layer) = uses.producer(graph, x).cloned() else { return Ok(false) };
    let (mut op, mut unlimited) = (layer.op.clone(), Clamp::NONE);
    let limits = match &mut op {
        Op::Conv(conv) => &mut conv.clamp,
        Op::ConvTranspose(conv) => &mut conv.clamp,
        Op::Dense(dense) => &mut dense.clamp,
        // It takes no limits; its gain and offset are as the weights and the bias of a layer.
        Op::Normalize(layer) if layer.channels() == function.gain.len() && clamp == Clamp::NONE => &mut unlimited,
        _ => return Ok(false),
    };
    let constant = |id: ValueId| graph.constant(id).and_then(Tensor::f32s);
    let (Some(weights), Some(bias)) = (constant(layer.inputs[1]), constant(layer.inputs[2])) else { return Ok(false) };
    if *limits != Clamp::NONE || !uses.is_private(graph, x) {
        return Ok(false);
    }
    *limits = clamp;
    let row = weights.len() / bias.len().max(1);
    let scaled = weights.iter().enumerate().map(|(i, w)| w * function.gain[i / row.max(1)]).collect();
    let shifted = bias.iter().enumerate().map(|(c, b)| b * function.gain[c] + function.offset[c]).collect();
    let shape = graph.value(layer.inputs[1]).ty.shape.clone();
    let weights = add_constant(graph, &layer, "weights", &shape, scaled)?;
    let bias = add_constant(graph, &layer, "bias", &[function.gain.len()], shifted)?;
    // The author's weight scales grow with the gains.
    let quantization = graph.value(layer.inputs[1]).quantization.clone().filter(|quantization| quantization.axis == 0);
    graph.value_mut(weights).quantization = quantization.map(|mut quantization| {
        let count = function.gain.len();
        let old = quantization.scales.clone();
        quantization.scales = (0..count).map(|c| old[c % old.len()] * function.gain[c].abs()).collect();
        let old = quantization.zero_points.clone();
        quantization.zero_points = (0..count).map(|c| old[c % old.len()]).collect();
        quantization
    });
    let valid = |scale: &f32| scale.is_normal() && *scale > 0.0;
    if graph.value(weights).quantization.as_ref().is_some_and(|quantization| !quantization.scales.iter().all(valid)) {
        graph.value_mut(weights).quantization = None;
    }
    let y = push(graph, &layer.name, op, &[layer.inputs[0], weights, bias])?;
    substitute(graph, node.outputs[0], y[0])?;
    Ok(true)
}

/// Add(Mul(x, constant), constant) that no layer before can take → a depthwise convolution of width 1.
pub(super) fn to_depthwise(graph: &mut Graph<Op>, uses: &Uses, index: usize) -> Result<bool, Error> {
    let node = graph.nodes[index].clone();
    let Some((scaled, second, clamp)) = affine(graph, &node) else { return Ok(false) };
    let Some(before) = uses.producer(graph, scaled).cloned() else { return Ok(false) };
    let Some((x, first, Clamp::NONE)) = affine(graph, &before) else { return Ok(false) };
    if !uses.is_private(graph, scaled) {
        return Ok(false);
    }
    let shape = graph.value(x).ty.shape.clone();
    let channels = first.gain.len();
    let gain = first.gain.iter().zip(&second.gain).map(|(a, b)| a * b).collect();
    let offset = (0..channels).map(|c| first.offset[c] * second.gain[c] + second.offset[c]).collect();
    let weights = add_constant(graph, &node, "weights", &[channels, 1, 1], gain)?;
    let bias = add_constant(graph, &node, "bias", &[channels], offset)?;
    let pixels = shape.iter().product::<usize>() / channels.max(1);
    let image = Op::Reshape(Reshape { shape: vec![1, pixels, channels] });
    let image = push(graph, &node.name, image, &[x])?[0];
    let window = Window { kernel: vec![1], strides: vec![1], dilations: vec![1], pads: vec![[0; 2]] };
    let conv = Op::Conv(Conv { window, group: channels, clamp });
    let y = push(graph, &node.name, conv, &[image, weights, bias])?[0];
    graph.value_mut(y).quantization = graph.value(node.outputs[0]).quantization.clone();
    let restored = push(graph, &node.name, Op::Reshape(Reshape { shape }), &[y])?;
    substitute(graph, node.outputs[0], restored[0])?;
    Ok(true)
}

fn add_constant(
    graph: &mut Graph<Op>,
    layer: &Node<Op>,
    what: &str,
    shape: &[usize],
    values: Vec<f32>,
) -> Result<ValueId, Error> {
    let array = ArrayD::from_shape_vec(IxDyn(shape), values).map_err(|_| Error::bug("a constant changed its size"))?;
    Ok(graph.add_constant(format!("{}.{what}", layer.name), Tensor::F32(array)))
}
