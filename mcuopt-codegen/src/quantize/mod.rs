//! Float graph → kernels of mcuopt-rt, in int8 where the tensors have a quantization and in float32 elsewhere.
//!
//! [`assign`] gives each activation its quantization: the author's, the operator's own, or the calibrated range's.
//! [`lower`] then asks each operator for its kernel. Where a float operator meets an int8 one, a Quantize or
//! Dequantize is put between.

mod assign;
mod bias;
mod lower;

pub use assign::assign;
pub use bias::correct_bias;
pub use lower::lower;

use crate::graph::Graph;
use crate::ops::Op;

/// Takes the author's quantization out of a graph that is to run in float: constants keep their rounded values,
/// activations are no longer rounded.
pub fn forget(graph: &mut Graph<Op>) {
    for value in &mut graph.values {
        value.quantization = None;
    }
    for index in 0..graph.nodes.len() {
        let (Op::DequantizeLinear(_), &[input]) = (&graph.nodes[index].op, &graph.nodes[index].inputs[..]) else {
            continue;
        };
        let producer = graph.nodes.iter().find(|node| node.outputs.contains(&input));
        let source = producer.filter(|node| matches!(node.op, Op::QuantizeLinear(_))).map(|node| node.inputs[0]);
        if let Some(source) = source {
            let output = graph.nodes[index].outputs[0];
            graph.replace(output, source);
        }
    }
}
