//! Operands as small as broadcasting allows: what elementwise operators repeat themselves takes no memory.

use ndarray::{Axis, Slice};

use super::{Uses, substitute};
use crate::builder::push;
use crate::each_dtype;
use crate::error::Error;
use crate::graph::{Graph, Node, Type, Value, ValueId};
use crate::ops::{Io, Op};
use crate::tensor::Tensor;

/// op(Expand(x), y) → op(x, y), and a constant that is the same all along an axis → one with extent 1 there.
pub(super) fn apply(graph: &mut Graph<Op>, uses: &Uses, index: usize) -> Result<bool, Error> {
    let node = graph.nodes[index].clone();
    if !node.op.pointwise() || node.inputs.len() < 2 {
        return Ok(false);
    }
    for operand in 0..node.inputs.len() {
        let id = node.inputs[operand];
        let smaller = match graph.constant(id) {
            Some(tensor) => {
                let Some(smaller) = without_repetition(tensor) else { continue };
                let Value { name, quantization, .. } = graph.value(id).clone();
                if quantization.as_ref().is_some_and(|known| known.single().is_none()) {
                    continue;
                }
                if !stays(graph, &node, operand, smaller.shape()) {
                    continue;
                }
                let smaller = graph.add_constant(name, smaller);
                graph.value_mut(smaller).quantization = quantization;
                smaller
            }
            None => {
                let Some(x) = expanded(graph, uses, id) else { continue };
                if !stays(graph, &node, operand, &graph.value(x).ty.shape.clone()) {
                    continue;
                }
                x
            }
        };
        let mut inputs = node.inputs.clone();
        inputs[operand] = smaller;
        let y = push(graph, &node.name, node.op, &inputs)?[0];
        substitute(graph, node.outputs[0], y)?;
        return Ok(true);
    }
    Ok(false)
}

/// The operand of the Expand that makes `id`, if both have the same quantization.
fn expanded(graph: &Graph<Op>, uses: &Uses, id: ValueId) -> Option<ValueId> {
    let producer = uses.producer(graph, id)?;
    let Op::Expand(_) = producer.op else { return None };
    let known = &graph.value(id).quantization;
    let same = known.is_none() || *known == graph.value(producer.inputs[0]).quantization;
    same.then_some(producer.inputs[0])
}

/// Whether the node makes the same of an operand of another shape, and has a kernel for it.
fn stays(graph: &Graph<Op>, node: &Node<Op>, operand: usize, shape: &[usize]) -> bool {
    let value = |id: &ValueId| {
        let Value { name, ty, .. } = graph.value(*id);
        let ty = Type { dtype: ty.dtype.at_run_time(), shape: ty.shape.clone() };
        Value { name: name.clone(), ty, constant: None, quantization: None }
    };
    let mut declared: Vec<Type> = node.inputs.iter().map(|id| graph.value(*id).ty.clone()).collect();
    let mut operands: Vec<Value> = node.inputs.iter().map(value).collect();
    declared[operand].shape = shape.to_vec();
    operands[operand].ty.shape = shape.to_vec();
    let [output] = node.outputs[..] else { return false };
    let same = node.op.infer(&declared.iter().collect::<Vec<_>>());
    same.is_ok_and(|types| types == [graph.value(output).ty.clone()])
        && node.op.lower(&Io { inputs: operands.iter().collect(), output: &value(&output), inner: Vec::new() }).is_ok()
}

/// The tensor with extent 1 along each axis on which all elements are the same; `None` if there is no such axis.
fn without_repetition(tensor: &Tensor) -> Option<Tensor> {
    each_dtype!(tensor, array => {
        let mut array = array.view();
        for axis in (0..array.ndim()).map(Axis) {
            let mut slices = array.axis_iter(axis);
            let first = slices.next()?;
            if slices.all(|slice| slice == first) {
                array.slice_axis_inplace(axis, Slice::from(..1));
            }
        }
        (array.shape() != tensor.shape()).then(|| Tensor::from(array.to_owned()))
    })
}
