//! MatMul with a constant as a dense layer, and what can be folded into a dense layer's weights.

use ndarray::ArrayD;

use super::{Uses, substitute};
use crate::builder::push;
use crate::error::Error;
use crate::graph::Graph;
use crate::ops::binary::{Binary, Kind};
use crate::ops::{Op, dense::Dense, matmul::MatMul, reshape::Reshape, transpose::Transpose};
use crate::tensor::Tensor;

/// MatMul(x, constant matrix) → Dense with a bias of zero.
pub(super) fn from_matmul(graph: &mut Graph<Op>, _: &Uses, index: usize) -> Result<bool, Error> {
    let node = graph.nodes[index].clone();
    let (Op::MatMul(product), [x, matrix]) = (&node.op, &node.inputs[..]) else { return Ok(false) };
    let MatMul { factor, .. } = *product;
    if *product != MatMul::new(factor) {
        return Ok(false);
    }
    let shape = graph.value(*matrix).ty.shape.clone();
    let [batch @ .., rows, columns] = &shape[..] else { return Ok(false) };
    if graph.constant(*matrix).is_none() || batch.iter().any(|&extent| extent != 1) {
        return Ok(false);
    }
    // Batch axes of the constant would lengthen the result's shape.
    if graph.value(*x).ty.shape.len() < shape.len() {
        return Ok(false);
    }
    let flat = push(graph, &node.name, Op::Reshape(Reshape { shape: vec![*rows, *columns] }), &[*matrix])?[0];
    let mut weights = push(graph, &node.name, Op::Transpose(Transpose { perm: vec![1, 0] }), &[flat])?[0];
    if factor != 1.0 {
        let factor = graph.add_constant(format!("{}.factor", node.name), Tensor::scalar(factor));
        weights = push(graph, &node.name, Op::Binary(Binary::new(Kind::Mul)), &[weights, factor])?[0];
    }
    let bias = graph.add_constant(format!("{}.bias", node.name), Tensor::F32(ArrayD::zeros(vec![*columns])));
    let dense = Op::Dense(Dense { clamp: mcuopt_rt::v0::Clamp::NONE });
    let y = push(graph, &node.name, dense, &[*x, weights, bias])?;
    substitute(graph, node.outputs[0], y[0])?;
    Ok(true)
}

/// Dense(Reshape(Transpose(x))) → Dense(Reshape(x)) with the weights' columns in x's order.
pub(super) fn fold_transpose(graph: &mut Graph<Op>, uses: &Uses, index: usize) -> Result<bool, Error> {
    let node = graph.nodes[index].clone();
    let (Op::Dense(_), [flat, weights, bias]) = (&node.op, &node.inputs[..]) else { return Ok(false) };
    let Some(reshape) = uses.producer(graph, *flat) else { return Ok(false) };
    let Op::Reshape(_) = reshape.op else { return Ok(false) };
    let Some(transpose) = uses.producer(graph, reshape.inputs[0]) else { return Ok(false) };
    let Op::Transpose(Transpose { perm }) = &transpose.op else { return Ok(false) };
    let (source, perm) = (transpose.inputs[0], perm.clone());
    let moved = graph.value(reshape.inputs[0]).ty.shape.clone();
    let width = graph.value(*weights).ty.shape[1];
    // The flattened rows must be whole samples: the moved axes all lie behind the first one.
    if perm[0] != 0 || moved[1..].iter().product::<usize>() != width || graph.constant(*weights).is_none() {
        return Ok(false);
    }
    let outputs = graph.value(*weights).ty.shape[0];
    let shape = [&[outputs], &moved[1..]].concat();
    let inverse = Transpose { perm }.inverse();
    let unfolded = push(graph, &node.name, Op::Reshape(Reshape { shape }), &[*weights])?[0];
    let restored = push(graph, &node.name, Op::Transpose(Transpose { perm: inverse }), &[unfolded])?[0];
    let weights = push(graph, &node.name, Op::Reshape(Reshape { shape: vec![outputs, width] }), &[restored])?[0];
    let target = graph.value(*flat).ty.shape.clone();
    let quantization = graph.value(*flat).quantization.clone();
    let x = push(graph, &node.name, Op::Reshape(Reshape { shape: target }), &[source])?[0];
    graph.value_mut(x).quantization = quantization;
    let y = push(graph, &node.name, node.op, &[x, weights, *bias])?;
    substitute(graph, node.outputs[0], y[0])?;
    Ok(true)
}
