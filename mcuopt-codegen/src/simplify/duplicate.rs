//! Nodes that compute the same twice.

use super::{Uses, substitute};
use crate::error::Error;
use crate::graph::Graph;
use crate::ops::Op;

/// Of two nodes with one operator and the same operands, the first serves both.
pub(super) fn apply(graph: &mut Graph<Op>, uses: &Uses, index: usize) -> Result<bool, Error> {
    let node = &graph.nodes[index];
    let same = |other: &&usize| {
        let other = &graph.nodes[**other];
        let quantization = |node: &crate::graph::Node<Op>| graph.value(node.outputs[0]).quantization.clone();
        other.op == node.op && other.inputs == node.inputs && quantization(other) == quantization(node)
    };
    let Some(input) = node.inputs.first() else { return Ok(false) };
    let readers = &uses.consumers[input.index()];
    let Some(&first) = readers.iter().take_while(|&&reader| reader < index).find(same) else { return Ok(false) };
    let pairs: Vec<_> = node.outputs.iter().copied().zip(graph.nodes[first].outputs.clone()).collect();
    for (duplicate, original) in pairs {
        // Two names of one output tensor would leave one of them without a producer.
        if graph.is_output(duplicate) && graph.is_output(original) {
            graph.replace(duplicate, original);
        } else {
            substitute(graph, duplicate, original)?;
        }
    }
    Ok(true)
}
