//! Relu and Clip as the limits of the layer before.

use mcuopt_rt::v0::Clamp;

use super::{Uses, substitute};
use crate::builder::push;
use crate::error::Error;
use crate::graph::{Graph, Node, ValueId};
use crate::ops::unary::{Function, Unary};
use crate::ops::{Op, pool, reduce};

/// Clamp(layer(x)) → layer with limits.
pub(super) fn fold(graph: &mut Graph<Op>, uses: &Uses, index: usize) -> Result<bool, Error> {
    let node = graph.nodes[index].clone();
    let Op::Unary(unary) = &node.op else { return Ok(false) };
    let Function::Clip(outer) = unary.function else { return Ok(false) };
    if !uses.is_private(graph, node.inputs[0]) {
        return Ok(false);
    }
    let Some(layer) = uses.producer(graph, node.inputs[0]).cloned() else { return Ok(false) };
    let limit = |inner: &mut Clamp| *inner = Clamp { min: outer.apply(inner.min), max: outer.apply(inner.max) };
    let mut op = layer.op.clone();
    match &mut op {
        Op::Conv(conv) => limit(&mut conv.clamp),
        Op::ConvTranspose(conv) => limit(&mut conv.clamp),
        Op::Dense(dense) => limit(&mut dense.clamp),
        Op::Binary(binary) if binary.kind.takes_clamp() => limit(&mut binary.clamp),
        Op::Reduce(reduce) if reduce.kind == reduce::Kind::Mean => limit(&mut reduce.clamp),
        Op::Pool(pool::Pool { kind: pool::Kind::Average { clamp, .. }, .. }) => limit(clamp),
        Op::Unary(before) => {
            let Function::Clip(inner) = &mut before.function else { return Ok(false) };
            limit(inner);
        }
        _ => return Ok(false),
    }
    // The layer keeps its own name: reports speak of the convolution, not of its Relu.
    let y = push(graph, &layer.name, op, &layer.inputs)?;
    substitute(graph, node.outputs[0], y[0])?;
    Ok(true)
}

/// Clamp(x) → x, where x is within the limits: tools limit again what a pool, a Concat or a mean made of limited elements.
pub(super) fn drop(graph: &mut Graph<Op>, uses: &Uses, index: usize) -> Result<bool, Error> {
    let node = &graph.nodes[index];
    let (x, y) = (node.inputs[0], node.outputs[0]);
    let Op::Unary(Unary { function: Function::Clip(limits) }) = node.op else { return Ok(false) };
    let quantization = |id: ValueId| graph.value(id).quantization.as_ref();
    // Rounding may lead out of limits, unless these were rounded so as well.
    let rounds_alike = quantization(x) == quantization(y) || quantization(x).is_none();
    if graph.is_output(y) || !rounds_alike || !is_within(graph, uses, x, &limits, DEPTH) {
        return Ok(false);
    }
    substitute(graph, y, x)?;
    Ok(true)
}

/// How many layers back limits are looked for.
const DEPTH: usize = 8;

/// Whether all elements are within limits by what made them.
fn is_within(graph: &Graph<Op>, uses: &Uses, id: ValueId, limits: &Clamp, depth: usize) -> bool {
    let producer = uses.producer(graph, id).filter(|_| depth > 0);
    let Some(Node { op, inputs, .. }) = producer else { return false };
    let narrower = |clamp: &Clamp| limits.min <= clamp.min && clamp.max <= limits.max;
    let of_operands = || inputs.iter().all(|id| is_within(graph, uses, *id, limits, depth - 1));
    match op {
        Op::Conv(conv) => narrower(&conv.clamp),
        Op::Dense(dense) => narrower(&dense.clamp),
        Op::Binary(binary) if binary.kind.takes_clamp() => narrower(&binary.clamp),
        Op::Unary(Unary { function: Function::Clip(clamp) }) => narrower(clamp),
        Op::Reduce(reduce) if reduce.kind == reduce::Kind::Mean => narrower(&reduce.clamp) || of_operands(),
        // Zeros may be counted.
        Op::Pool(pool::Pool { kind: pool::Kind::Average { clamp, .. }, .. }) => {
            narrower(clamp) || (limits.apply(0.0) == 0.0 && of_operands())
        }
        Op::Pool(pool::Pool { kind: pool::Kind::Max, .. })
        | Op::Concat(_)
        | Op::Reshape(_)
        | Op::Transpose(_)
        | Op::Slice(_) => of_operands(),
        _ => false,
    }
}
