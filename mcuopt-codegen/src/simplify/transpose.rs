//! Transposes that undo each other or move nothing.

use super::{Uses, substitute};
use crate::builder::push;
use crate::error::Error;
use crate::graph::Graph;
use crate::ops::{Op, reshape::Reshape, transpose::Transpose};

/// Transpose(Transpose(x)) → one or none; a Transpose that moves axes of extent 1 alone → Reshape.
pub(super) fn cancel(graph: &mut Graph<Op>, uses: &Uses, index: usize) -> Result<bool, Error> {
    let node = graph.nodes[index].clone();
    let Op::Transpose(transpose) = &node.op else { return Ok(false) };
    let (x, y) = (node.inputs[0], node.outputs[0]);
    if transpose.keeps_order(&graph.value(x).ty.shape) {
        let shape = graph.value(y).ty.shape.clone();
        let reshaped = push(graph, &node.name, Op::Reshape(Reshape { shape }), &[x])?;
        substitute(graph, y, reshaped[0])?;
        return Ok(true);
    }
    let Some(before) = uses.producer(graph, x) else { return Ok(false) };
    let Op::Transpose(first) = &before.op else { return Ok(false) };
    let source = before.inputs[0];
    let perm: Vec<usize> = transpose.perm.iter().map(|&axis| first.perm[axis]).collect();
    let replacement = match perm.is_sorted() {
        true => source,
        false => push(graph, &node.name, Op::Transpose(Transpose { perm }), &[source])?[0],
    };
    substitute(graph, y, replacement)?;
    Ok(true)
}
