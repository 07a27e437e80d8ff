//! The author's quantization: from QuantizeLinear and DequantizeLinear nodes to a property of the tensor.

use super::{Uses, substitute};
use crate::builder::push;
use crate::error::Error;
use crate::graph::{Graph, Node, Quantization, ValueId};
use crate::ops::quantize::{FakeQuantize, signed};
use crate::ops::unary::{Function, Unary, is_identity};
use crate::ops::{Op, Scales};
use crate::tensor::DType;

/// DequantizeLinear(QuantizeLinear(x)) → FakeQuantize(x).
pub(super) fn pair(graph: &mut Graph<Op>, uses: &Uses, index: usize) -> Result<bool, Error> {
    let node = graph.nodes[index].clone();
    let Op::DequantizeLinear(dequantize) = &node.op else { return Ok(false) };
    let Some(producer) = uses.producer(graph, node.inputs[0]) else { return Ok(false) };
    let Op::QuantizeLinear(quantize) = &producer.op else { return Ok(false) };
    if quantize.quantization != dequantize.quantization {
        return Err(Error::unsupported("another scale than the QuantizeLinear before it").instead("equal scales"));
    }
    let quantization = signed(&quantize.quantization, quantize.dtype);
    if quantization.single().is_none() {
        return Err(Error::unsupported("an activation with a scale for each channel").instead("one scale a tensor"));
    }
    let x = producer.inputs[0];
    let y = push(graph, &node.name, Op::FakeQuantize(FakeQuantize { quantization }), &[x])?;
    substitute(graph, node.outputs[0], y[0])?;
    Ok(true)
}

/// The quantization that an operator rounds its operand to.
fn rounds_to(op: &Op) -> Option<Quantization> {
    match op {
        Op::FakeQuantize(FakeQuantize { quantization }) => Some(quantization.clone()),
        Op::QuantizeLinear(quantize) => Some(signed(&quantize.quantization, quantize.dtype)),
        _ => None,
    }
}

/// FakeQuantize(x) → x with a quantization, where every reader of x sees it quantized alike. Where x is wanted as
/// integers of its author, QuantizeLinear(x) stays, on an x or FakeQuantize(x) with the same quantization.
pub(super) fn annotate(graph: &mut Graph<Op>, uses: &Uses, index: usize) -> Result<bool, Error> {
    let node = graph.nodes[index].clone();
    let Some(quantization) = rounds_to(&node.op) else { return Ok(false) };
    if quantization.single().is_none() {
        return Ok(false);
    }
    let stays = matches!(node.op, Op::QuantizeLinear(_));
    let x = node.inputs[0];
    let same = |value: &Option<Quantization>| value.as_ref().is_none_or(|value| *value == quantization);
    let alike = |consumer: &Node<Op>| rounds_to(&consumer.op).as_ref() == Some(&quantization);
    let alone = !graph.is_output(x) && uses.consumers(graph, x).all(alike);
    let known = graph.value(x).quantization.is_some();
    if graph.constant(x).is_some() || !same(&graph.value(x).quantization) || !(alone || known) {
        let rounded = uses.producer(graph, x).is_some_and(|producer| {
            matches!(producer.op, Op::FakeQuantize(_)) && rounds_to(&producer.op).as_ref() == Some(&quantization)
        });
        if !stays || rounded {
            return Ok(false);
        }
        let rounded = push(graph, &node.name, Op::FakeQuantize(FakeQuantize { quantization }), &[x])?;
        graph.nodes[index].inputs[0] = rounded[0];
        return Ok(true);
    }
    if stays && known {
        return Ok(false);
    }
    graph.value_mut(x).quantization = Some(quantization);
    if !stays {
        // The user knows the output by its name.
        if graph.is_output(node.outputs[0]) && !graph.inputs.contains(&x) {
            graph.value_mut(x).name = graph.value(node.outputs[0]).name.clone();
        }
        graph.replace(node.outputs[0], x);
    }
    Ok(true)
}

/// DequantizeLinear(move(x)) → move(DequantizeLinear(x)): what only moves or selects integers moves or selects reals.
pub(super) fn hoist(graph: &mut Graph<Op>, uses: &Uses, index: usize) -> Result<bool, Error> {
    let node = graph.nodes[index].clone();
    let Op::DequantizeLinear(dequantize) = &node.op else { return Ok(false) };
    if dequantize.quantization.single().is_none() {
        return Ok(false);
    }
    let Some(mover) = uses.producer(graph, node.inputs[0]).cloned() else { return Ok(false) };
    let [x] = mover.inputs[..] else { return Ok(false) };
    if mover.op.scales() != Scales::SameAsInput || graph.value(x).ty.dtype != dequantize.dtype {
        return Ok(false);
    }
    let real = push(graph, &node.name, node.op.clone(), &[x])?;
    let moved = push(graph, &mover.name, mover.op, &real)?;
    substitute(graph, node.outputs[0], moved[0])?;
    Ok(true)
}

/// Whether a value can be given the quantization of its only reader's result: the author gave it none.
fn is_free(graph: &Graph<Op>, uses: &Uses, id: ValueId) -> bool {
    let given = |producer: &Node<Op>| matches!(producer.op.scales(), Scales::Authored(_));
    uses.is_private(graph, id) && !uses.producer(graph, id).is_some_and(given)
}

/// A quantized result of a Clip that no layer before can take, of a Concat, of a Max → its operands are quantized so, too:
/// what limits elements or chooses among them gives the same integers, whether they are rounded before or behind it.
pub(super) fn round_before(graph: &mut Graph<Op>, uses: &Uses, index: usize) -> Result<bool, Error> {
    let node = &graph.nodes[index];
    let chooses =
        matches!(node.op, Op::Unary(Unary { function: Function::Clip(_) })) || node.op.scales() == Scales::Joined;
    let Some(known) = graph.value(node.outputs[0]).quantization.clone().filter(|_| chooses) else { return Ok(false) };
    let is_real = |id: &&ValueId| graph.value(**id).ty.dtype == DType::F32 && graph.constant(**id).is_none();
    let operands = node.inputs.iter().filter(is_real).filter(|id| is_free(graph, uses, **id));
    let operands: Vec<ValueId> = operands.copied().collect();
    for id in &operands {
        graph.value_mut(*id).quantization = Some(known.clone());
    }
    Ok(!operands.is_empty())
}

/// Operators that only move elements have one quantization on both sides, so what is known of one side holds for
/// the other. Likewise an activation whose result's integers cannot stand for more than its range.
pub(super) fn share(graph: &mut Graph<Op>, uses: &Uses, index: usize) -> Result<bool, Error> {
    let node = &graph.nodes[index];
    let [x, y] = [node.inputs[0], node.outputs[0]];
    if graph.constant(x).is_some() || graph.inputs.is_empty() {
        return Ok(false);
    }
    let quantization = |id: ValueId| graph.value(id).quantization.clone();
    let moves = node.op.scales() == Scales::SameAsInput;
    match (quantization(x), quantization(y)) {
        (Some(known), None) if moves => graph.value_mut(y).quantization = Some(known),
        (None, Some(known)) if is_free(graph, uses, x) && (moves || is_identity(&node.op, &known)) => {
            graph.value_mut(x).quantization = Some(known);
        }
        _ => return Ok(false),
    }
    Ok(true)
}
