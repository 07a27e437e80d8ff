//! Moving Reshapes behind elementwise operators, so that these meet the layer they can be folded into.

use super::{Uses, substitute};
use crate::builder::push;
use crate::error::Error;
use crate::graph::Graph;
use crate::ops::{Op, binary::is_per_channel, reshape::Reshape};

/// op(Reshape(x)) → Reshape(op(x)) for an elementwise `op`, with a constant for each channel at most.
pub(super) fn apply(graph: &mut Graph<Op>, uses: &Uses, index: usize) -> Result<bool, Error> {
    let node = graph.nodes[index].clone();
    let Some(before) = uses.producer(graph, node.inputs[0]) else { return Ok(false) };
    let Op::Reshape(_) = before.op else { return Ok(false) };
    let source = before.inputs[0];
    let shape = graph.value(node.outputs[0]).ty.shape.clone();
    let mut inputs = node.inputs.clone();
    match &node.op {
        Op::Binary(_) => {
            let channels = graph.value(source).ty.shape.last().copied();
            let constant = node.inputs[1];
            let constant_shape = graph.value(constant).ty.shape.clone();
            let fits = channels.is_some_and(|channels| is_per_channel(&constant_shape, channels));
            let same_channels = shape.last().copied() == channels || constant_shape.iter().product::<usize>() == 1;
            let unchanged = graph.value(node.inputs[0]).ty.shape == shape;
            if graph.constant(constant).is_none() || !(fits && same_channels && unchanged) {
                return Ok(false);
            }
            let flat = vec![constant_shape.iter().product()];
            inputs[1] = push(graph, &node.name, Op::Reshape(Reshape { shape: flat }), &[constant])?[0];
        }
        op if op.pointwise() && inputs.len() == 1 => {}
        _ => return Ok(false),
    }
    inputs[0] = source;
    let y = push(graph, &node.name, node.op, &inputs)?[0];
    graph.value_mut(y).quantization = graph.value(node.outputs[0]).quantization.clone();
    let restored = push(graph, &node.name, Op::Reshape(Reshape { shape }), &[y])?;
    substitute(graph, node.outputs[0], restored[0])?;
    Ok(true)
}
