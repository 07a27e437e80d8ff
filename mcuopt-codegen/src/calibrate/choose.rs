//! Choosing between ranges by the error that they cause.

use std::collections::BTreeMap;

use mcuopt_rt::v0 as rt;

use super::{Method, Ranges, Samples};
use crate::error::Error;
use crate::graph::{Graph, Node, ValueId};
use crate::interp;
use crate::ops::Op;
use crate::quantize::asymmetric;
use crate::tensor::{Element as _, Tensor};

/// Samples that are enough to tell ranges apart.
pub(super) const SAMPLES: usize = 32;

/// Gives each value the method with the smallest error: the square of what its quantization changes in the results of
/// the layers that read it, relative to these results, over some of the samples.
///
/// A range that looks good in the tensor itself may be bad for what is computed from it: a softmax wants its largest
/// operand exact, a convolution the mass of small ones.
pub fn choose(graph: &Graph<Op>, samples: &Samples, ranges: &mut Ranges) -> Result<(), Error> {
    let count = samples.len().min(SAMPLES);
    let mut errors: BTreeMap<(ValueId, usize), f64> = BTreeMap::new();
    for index in 0..count {
        let inputs = samples.sample(index * samples.len() / count)?;
        let mut values: BTreeMap<ValueId, Tensor> = BTreeMap::new();
        interp::run_float(graph, &inputs, |id, tensor| {
            values.insert(id, tensor.clone());
        })?;
        for node in &graph.nodes {
            for (operand, id) in node.inputs.iter().enumerate() {
                let Some(statistics) = ranges.get(id) else { continue };
                for (candidate, range) in statistics.candidates.iter().enumerate() {
                    // Equal ranges have equal errors.
                    let first = statistics.candidates.iter().position(|other| other == range).unwrap_or(candidate);
                    let error = match first < candidate {
                        true => errors[&(*id, first)],
                        false => {
                            let known = errors.get(&(*id, candidate)).copied().unwrap_or(0.0);
                            let (scale, zero_point) = asymmetric(*range).single().unwrap_or((1.0, 0));
                            known + error(graph, node, operand, (scale, zero_point), &values)?
                        }
                    };
                    errors.insert((*id, candidate), error);
                }
            }
        }
    }
    for (id, statistics) in ranges.iter_mut() {
        let error = |candidate: usize| errors.get(&(*id, candidate)).copied().unwrap_or(f64::INFINITY);
        // Of equal errors the first: the widest range.
        let best =
            (0..Method::DIRECT.len()).fold(0, |best, other| if error(other) < error(best) { other } else { best });
        statistics.method = Method::DIRECT[best];
    }
    Ok(())
}

/// The squared relative error in a node's result if one of its operands is quantized.
fn error(
    graph: &Graph<Op>,
    node: &Node<Op>,
    operand: usize,
    (scale, zero_point): (f32, i32),
    values: &BTreeMap<ValueId, Tensor>,
) -> Result<f64, Error> {
    let mut operands = Vec::with_capacity(node.inputs.len());
    for id in &node.inputs {
        let tensor = values.get(id).or_else(|| graph.constant(*id));
        operands.push(tensor.ok_or_else(|| Error::bug(format!("`{}` has no value", graph.value(*id).name)))?);
    }
    let mut rounded = operands[operand].clone();
    let elements = f32::of_mut(&mut rounded);
    let mut i = 0;
    while i < elements.len() {
        elements[i] = rt::dequantize(rt::quantize_f32(elements[i], scale, zero_point), scale, zero_point);
        i += 1;
    }
    operands[operand] = &rounded;
    let results = node.op.eval(&operands).map_err(|error| error.at_node(&node.name, node.op.name()))?;
    let (Some(found), Some(expected)) = (results.first(), values.get(&node.outputs[0])) else { return Ok(0.0) };
    let (found, expected) = (f32::of(found), f32::of(expected));
    let (mut difference, mut size) = (0f64, 0f64);
    let mut i = 0;
    while i < expected.len().min(found.len()) {
        let (y, expected) = (f64::from(found[i]), f64::from(expected[i]));
        difference += (y - expected) * (y - expected);
        size += expected * expected;
        i += 1;
    }
    Ok(if size > 0.0 { difference / size } else { 0.0 })
}
