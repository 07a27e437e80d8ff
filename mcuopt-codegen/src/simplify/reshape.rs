//! Reshapes that follow each other or change nothing.

use super::{Uses, substitute};
use crate::builder::push;
use crate::error::Error;
use crate::graph::Graph;
use crate::ops::Op;

/// Reshape(Reshape(x)) → Reshape(x); a Reshape to the same shape → nothing.
pub(super) fn cancel(graph: &mut Graph<Op>, uses: &Uses, index: usize) -> Result<bool, Error> {
    let node = graph.nodes[index].clone();
    let Op::Reshape(reshape) = &node.op else { return Ok(false) };
    let (x, y) = (node.inputs[0], node.outputs[0]);
    if graph.value(x).ty.shape == reshape.shape {
        substitute(graph, y, x)?;
        return Ok(true);
    }
    let Some(before) = uses.producer(graph, x).filter(|before| matches!(before.op, Op::Reshape(_))) else {
        return Ok(false);
    };
    let source = before.inputs[0];
    let reshaped = push(graph, &node.name, node.op, &[source])?;
    substitute(graph, y, reshaped[0])?;
    Ok(true)
}
