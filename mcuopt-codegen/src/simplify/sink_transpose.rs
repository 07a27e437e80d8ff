//! Moving Transposes towards the outputs, where they meet others and cancel.

use super::{Uses, substitute};
use crate::builder::push;
use crate::error::Error;
use crate::graph::{Graph, Node, ValueId};
use crate::ops::{Op, reshape::Reshape, transpose::Transpose};

/// op(Transpose(x)) → Transpose(op'(x)) for operators that work along any axes.
pub(super) fn apply(graph: &mut Graph<Op>, uses: &Uses, index: usize) -> Result<bool, Error> {
    let node = graph.nodes[index].clone();
    let Some(perm) = node.inputs.iter().find_map(|id| transposed(graph, uses, *id).map(|(_, perm)| perm)) else {
        return Ok(false);
    };
    let Some(op) = permuted(&node.op, &perm) else { return Ok(false) };
    // The permutation that brings an operand to where the Transpose's operand is.
    let inverse = Transpose { perm: perm.clone() }.inverse();
    if !node.inputs.iter().all(|id| can_follow(graph, uses, &node, *id, &perm, &inverse)) {
        return Ok(false);
    }
    let mut inputs = Vec::with_capacity(node.inputs.len());
    for &id in &node.inputs {
        inputs.push(match transposed(graph, uses, id) {
            Some((source, found)) if found == perm => source,
            _ => moved(graph, &node.name, id, &inverse)?,
        });
    }
    let y = push(graph, &node.name, op, &inputs)?[0];
    // What the author says of the result holds before it is moved, too.
    graph.value_mut(y).quantization = graph.value(node.outputs[0]).quantization.clone();
    let restored = push(graph, &node.name, Op::Transpose(Transpose { perm }), &[y])?;
    substitute(graph, node.outputs[0], restored[0])?;
    Ok(true)
}

/// The operand and permutation of the Transpose that makes `id`.
fn transposed(graph: &Graph<Op>, uses: &Uses, id: ValueId) -> Option<(ValueId, Vec<usize>)> {
    let producer = uses.producer(graph, id)?;
    let Op::Transpose(transpose) = &producer.op else { return None };
    Some((producer.inputs[0], transpose.perm.clone()))
}

/// The operator for operands that have not been transposed by `perm` yet, if it has such a form.
fn permuted(op: &Op, perm: &[usize]) -> Option<Op> {
    let mut op = op.clone();
    match &mut op {
        Op::Concat(concat) => concat.axis = perm[concat.axis],
        Op::Softmax(softmax) => softmax.axis = perm[softmax.axis],
        Op::Reduce(reduce) => {
            let mut axes: Vec<usize> = reduce.axes.iter().map(|&axis| perm[axis]).collect();
            axes.sort_unstable();
            // The kernel needs the axes side by side, which they may be only as they stand.
            if !axes.windows(2).all(|pair| pair[1] == pair[0] + 1) {
                return None;
            }
            reduce.axes = axes;
        }
        Op::GatherElements(gather) => gather.axis = perm[gather.axis],
        Op::Expand(expand) if expand.shape.len() == perm.len() => expand.shape = scattered(&expand.shape, perm),
        Op::Resize(resize) => {
            resize.axes.iter_mut().for_each(|axis| axis.axis = perm[axis.axis]);
            resize.axes.sort_by_key(|axis| axis.axis);
        }
        Op::Pad(pad) => pad.pads = scattered(&pad.pads, perm),
        Op::PadEdges(pad) => pad.pads = scattered(&pad.pads, perm),
        Op::Slice(slice) => {
            slice.starts = scattered(&slice.starts, perm);
            slice.steps = scattered(&slice.steps, perm);
            slice.shape = scattered(&slice.shape, perm);
        }
        op if op.pointwise() => {}
        _ => return None,
    }
    Some(op)
}

/// Per-axis properties of a transposed tensor, for the tensor before: axis `perm[i]` gets what axis `i` has.
fn scattered<T: Clone>(values: &[T], perm: &[usize]) -> Vec<T> {
    let inverse = Transpose { perm: perm.to_vec() }.inverse();
    inverse.iter().map(|&axis| values[axis].clone()).collect()
}

/// Whether operand `id` can be had in the order before the Transpose without adding work.
fn can_follow(graph: &Graph<Op>, uses: &Uses, node: &Node<Op>, id: ValueId, perm: &[usize], inverse: &[usize]) -> bool {
    if transposed(graph, uses, id).is_some_and(|(_, found)| found == perm) {
        return true;
    }
    let rank = graph.value(id).ty.shape.len();
    if graph.constant(id).is_some() {
        // One with more axes than the Transpose gives the result axes that `perm` does not know.
        return rank <= perm.len();
    }
    let same_rank = rank == perm.len();
    let output = node.outputs[0];
    // A Transpose of this operand is no loss where the one behind the result then cancels with its readers.
    same_rank
        && !graph.is_output(output)
        && uses.consumers(graph, output).all(|consumer| matches!(&consumer.op, Op::Transpose(t) if t.perm == inverse))
}

/// The operand moved by `perm`, after it got as many axes as `perm` has.
fn moved(graph: &mut Graph<Op>, name: &str, id: ValueId, perm: &[usize]) -> Result<ValueId, Error> {
    let mut shape = graph.value(id).ty.shape.clone();
    let missing = perm.len().saturating_sub(shape.len());
    shape.splice(0..0, vec![1; missing]);
    let id = if missing == 0 { id } else { push(graph, name, Op::Reshape(Reshape { shape }), &[id])?[0] };
    Ok(push(graph, name, Op::Transpose(Transpose { perm: perm.to_vec() }), &[id])?[0])
}
