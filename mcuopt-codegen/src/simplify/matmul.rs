//! What products of two activations take over from their neighbours: Transposes, which cost a copy each, and factors.
//! Attention, as exporters write it, is full of both.

use mcuopt_rt::v0::Clamp;

use super::{Uses, substitute};
use crate::builder::push;
use crate::error::Error;
use crate::graph::{Graph, Node, ValueId};
use crate::ops::binary::{Binary, Kind};
use crate::ops::{Op, matmul::MatMul, reshape::Reshape};
use crate::tensor::Tensor;

/// `first`, and then `second`; empty for nothing.
fn composed(first: &[usize], second: &[usize]) -> Vec<usize> {
    let perm: Vec<usize> = match second {
        [] => first.to_vec(),
        second => second.iter().map(|&axis| if first.is_empty() { axis } else { first[axis] }).collect(),
    };
    if perm.is_sorted() { Vec::new() } else { perm }
}

/// The operand and permutation of the Transpose that makes `id`, if both have the same quantization.
fn transposed(graph: &Graph<Op>, uses: &Uses, id: ValueId) -> Option<(ValueId, Vec<usize>)> {
    let Node { op: Op::Transpose(transpose), inputs, .. } = uses.producer(graph, id)? else { return None };
    let same = graph.value(id).quantization == graph.value(inputs[0]).quantization;
    same.then(|| (inputs[0], transpose.perm.clone()))
}

/// MatMul(Transpose(x), …) → MatMul that steps over x, where that is not slow.
pub(super) fn fold_transpose_before(graph: &mut Graph<Op>, uses: &Uses, index: usize) -> Result<bool, Error> {
    let node = graph.nodes[index].clone();
    let (Op::MatMul(product), &[a, b]) = (&node.op, &node.inputs[..]) else { return Ok(false) };
    for (operand, id) in [a, b].into_iter().enumerate() {
        let Some((source, perm)) = transposed(graph, uses, id) else { continue };
        let (mut product, mut inputs) = (product.clone(), [a, b]);
        let own = if operand == 0 { &mut product.a } else { &mut product.b };
        *own = composed(&perm, own);
        inputs[operand] = source;
        let [a, b] = inputs.map(|id| graph.value(id).ty.shape.clone());
        if product.is_fast(&a, &b) {
            let y = push(graph, &node.name, product.into(), &inputs)?[0];
            substitute(graph, node.outputs[0], y)?;
            return Ok(true);
        }
    }
    Ok(false)
}

/// Transpose(MatMul) → MatMul that writes its rows where they belong.
pub(super) fn fold_transpose_behind(graph: &mut Graph<Op>, uses: &Uses, index: usize) -> Result<bool, Error> {
    let node = graph.nodes[index].clone();
    let Op::Transpose(transpose) = &node.op else { return Ok(false) };
    let product = node.inputs[0];
    let Some(before) = uses.producer(graph, product).cloned() else { return Ok(false) };
    let Op::MatMul(mut op) = before.op else { return Ok(false) };
    let quantization = |id: ValueId| &graph.value(id).quantization;
    let unchanged = quantization(product).is_none() || quantization(product) == quantization(node.outputs[0]);
    if uses.consumers(graph, product).count() != 1 || graph.is_output(product) || !unchanged {
        return Ok(false);
    }
    op.y = composed(&op.y, &transpose.perm);
    let [a, b] = [0, 1].map(|operand| graph.value(before.inputs[operand]).ty.shape.clone());
    if !op.is_fast(&a, &b) {
        return Ok(false);
    }
    let y = push(graph, &before.name, op.into(), &before.inputs)?[0];
    substitute(graph, node.outputs[0], y)?;
    Ok(true)
}

/// Whether `perm` exchanges the last two axes; `None` if it does anything else.
fn turns(perm: &[usize]) -> Option<bool> {
    let [batch @ .., a, b] = perm else { return perm.is_empty().then_some(false) };
    (batch.is_sorted() && a == &(batch.len() + 1) && b == &batch.len()).then_some(true)
}

/// The permutation of `rank` axes that exchanges the last two, or nothing.
fn turned(rank: usize, turn: bool) -> Vec<usize> {
    let mut perm: Vec<usize> = (0..rank).collect();
    perm[rank - 2..].reverse();
    if turn { perm } else { Vec::new() }
}

/// MatMul(Reshape(Transpose(x)), …) where the Reshape changes the batch axes alone → MatMul of x's batch axes, so that
/// the Transpose meets it.
pub(super) fn lift_reshape(graph: &mut Graph<Op>, uses: &Uses, index: usize) -> Result<bool, Error> {
    let node = graph.nodes[index].clone();
    let (Op::MatMul(product), &[a, b]) = (&node.op, &node.inputs[..]) else { return Ok(false) };
    let (Some(turn_a), Some(turn_b), []) = (turns(&product.a), turns(&product.b), &product.y[..]) else {
        return Ok(false);
    };
    let shape = |graph: &Graph<Op>, id: ValueId| graph.value(id).ty.shape.clone();
    let shapes = [a, b].map(|id| shape(graph, id));
    let rank = shapes[0].len();
    if shapes[1].len() != rank || shapes[0][..rank - 2] != shapes[1][..rank - 2] {
        return Ok(false);
    }
    for operand in 0..2 {
        let other = 1 - operand;
        let Some(reshape) = uses.producer(graph, node.inputs[operand]) else { continue };
        let source = reshape.inputs[0];
        let Some((inner, perm)) = transposed(graph, uses, source).filter(|_| matches!(reshape.op, Op::Reshape(_)))
        else {
            continue;
        };
        let outer = shape(graph, source);
        let new_rank = outer.len();
        if new_rank < 2 || outer[new_rank - 2..] != shapes[operand][rank - 2..] {
            continue;
        }
        let seen = [&outer[..new_rank - 2], &shapes[other][rank - 2..]].concat();
        let product = MatMul { a: turned(new_rank, turn_a), b: turned(new_rank, turn_b), ..product.clone() };
        // Only if the Transpose then goes: two operands with batch axes of their own would take turns for ever.
        let mut folded = product.clone();
        let own = if operand == 0 { &mut folded.a } else { &mut folded.b };
        *own = composed(&perm, own);
        let before = shape(graph, inner);
        let [a, b] = if operand == 0 { [&before, &seen] } else { [&seen, &before] };
        if !folded.is_fast(a, b) {
            continue;
        }
        let quantization = graph.value(node.inputs[other]).quantization.clone();
        let mut inputs = [source; 2];
        inputs[other] = push(graph, &node.name, Reshape { shape: seen }.into(), &[node.inputs[other]])?[0];
        graph.value_mut(inputs[other]).quantization = quantization;
        let y = push(graph, &node.name, product.into(), &inputs)?[0];
        graph.value_mut(y).quantization = graph.value(node.outputs[0]).quantization.clone();
        let target = shape(graph, node.outputs[0]);
        let restored = push(graph, &node.name, Reshape { shape: target }.into(), &[y])?[0];
        substitute(graph, node.outputs[0], restored)?;
        return Ok(true);
    }
    Ok(false)
}

/// The other operand of a multiplication with a number, and the number.
fn scaled(graph: &Graph<Op>, node: &Node<Op>) -> Option<(ValueId, f32)> {
    let (Op::Binary(Binary { kind: Kind::Mul, clamp: Clamp::NONE }), &[a, b]) = (&node.op, &node.inputs[..]) else {
        return None;
    };
    let number = |id: ValueId| match graph.constant(id).and_then(Tensor::f32s) {
        Some(&[value]) if graph.value(id).ty.shape.len() <= graph.value(node.outputs[0]).ty.shape.len() => Some(value),
        _ => None,
    };
    let (x, factor) = number(b).map(|factor| (a, factor)).or_else(|| Some((b, number(a)?)))?;
    (graph.value(x).ty == graph.value(node.outputs[0]).ty).then_some((x, factor))
}

/// Mul(MatMul, number) and MatMul(Mul(x, number), …) → MatMul with a factor.
pub(super) fn fold_factor(graph: &mut Graph<Op>, uses: &Uses, index: usize) -> Result<bool, Error> {
    let node = graph.nodes[index].clone();
    let plain = |graph: &Graph<Op>, id: ValueId| uses.is_private(graph, id) && graph.value(id).quantization.is_none();
    let replaced = if let Some((product, factor)) = scaled(graph, &node).filter(|(id, _)| plain(graph, *id)) {
        let Some(before) = uses.producer(graph, product) else { return Ok(false) };
        let Op::MatMul(op) = &before.op else { return Ok(false) };
        Some((MatMul { factor: op.factor * factor, ..op.clone() }, before.inputs.clone()))
    } else if let Op::MatMul(op) = &node.op {
        (0..2).find_map(|operand| {
            let id = node.inputs[operand];
            let before = uses.producer(graph, id).filter(|_| plain(graph, id))?;
            let (x, factor) = scaled(graph, before)?;
            let mut inputs = node.inputs.clone();
            inputs[operand] = x;
            Some((MatMul { factor: op.factor * factor, ..op.clone() }, inputs))
        })
    } else {
        None
    };
    let Some((op, inputs)) = replaced.filter(|(op, _)| op.factor.is_finite()) else { return Ok(false) };
    let y = push(graph, &node.name, op.into(), &inputs)?[0];
    substitute(graph, node.outputs[0], y)?;
    Ok(true)
}
