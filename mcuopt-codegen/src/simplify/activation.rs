//! Relu and Clip as the limits of the layer before.

use mcuopt_rt::v0::Clamp;

use super::{Uses, substitute};
use crate::builder::push;
use crate::error::Error;
use crate::graph::Graph;
use crate::ops::{Op, pool, reduce, unary::Function};

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
