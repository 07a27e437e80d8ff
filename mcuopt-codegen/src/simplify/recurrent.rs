//! Rows of a recurrent layer's result that nobody reads.

use std::ops::Range;

use super::{Uses, substitute};
use crate::builder::push;
use crate::error::Error;
use crate::graph::{Graph, ValueId};
use crate::ops::{Op, recurrent::Recurrent, reshape::Reshape, slice::Slice};

/// A recurrent layer of which only the last hidden state is read → one that gives no other; likewise cells that nobody
/// reads.
pub(super) fn narrow(graph: &mut Graph<Op>, uses: &Uses, index: usize) -> Result<bool, Error> {
    let node = graph.nodes[index].clone();
    let Op::Recurrent(op) = &node.op else { return Ok(false) };
    let (x, packed) = (node.inputs[0], node.outputs[0]);
    let shape = graph.value(packed).ty.shape.clone();
    let (steps, row) = (graph.value(x).ty.shape[0], shape[1] * shape[2]);
    let mut slices = Vec::new();
    if !slices_of(graph, uses, packed, &mut slices) || slices.is_empty() {
        return Ok(false);
    }
    // Where the parts of the result start: all steps, the last ones, cells.
    let parts = |op: &Recurrent| {
        let [all, last] = op.rows(steps).map(|rows| rows * row);
        [0, all, all + last, all + last + op.directions * op.state_rows * row]
    };
    let [_, last, cells, end] = parts(op);
    // The last of all steps is the same as the last one.
    let is_single = op.directions == 1;
    let final_step = if op.reverse { 0 } else { steps - 1 } * row;
    let is_final =
        |range: &Range<usize>| is_single && final_step <= range.start && range.end <= (final_step + row).min(last);
    let among = |range: &Range<usize>, part: Range<usize>| part.start <= range.start && range.end <= part.end;
    let known = |range: &Range<usize>| [0..last, last..cells, cells..end].into_iter().any(|part| among(range, part));
    if !slices.iter().all(|(_, range)| known(range)) {
        return Ok(false);
    }
    let sequence = slices.iter().any(|(_, range)| among(range, 0..last) && !is_final(range));
    let reads_last = slices.iter().any(|(_, range)| among(range, last..cells));
    let reads_cells = slices.iter().any(|(_, range)| among(range, cells..end));
    let narrowed = Recurrent {
        sequence,
        last: !sequence || (reads_last && !is_single),
        state_rows: if reads_cells { op.state_rows } else { 0 },
        ..op.clone()
    };
    if narrowed == *op {
        return Ok(false);
    }
    let narrow = push(graph, &node.name, narrowed.clone().into(), &node.inputs)?[0];
    let [_, new_last, new_cells, new_end] = parts(&narrowed);
    for (slice, range) in slices {
        let target = graph.value(slice).ty.shape.clone();
        let start = if among(&range, cells..end) {
            range.start - cells + new_cells
        } else if among(&range, 0..last) {
            if sequence { range.start } else { range.start - final_step + new_last }
        } else if narrowed.last {
            range.start - last + new_last
        } else {
            range.start - last + final_step
        };
        let flat = push(graph, &node.name, Reshape { shape: vec![new_end] }.into(), &[narrow])?[0];
        let op = Slice { starts: vec![start], steps: vec![1], shape: vec![range.len()] };
        let part = if range.len() == new_end { flat } else { push(graph, &node.name, op.into(), &[flat])?[0] };
        let part = push(graph, &node.name, Reshape { shape: target }.into(), &[part])?[0];
        substitute(graph, slice, part)?;
    }
    Ok(true)
}

/// Gathers the results of the Slices that read `id`, directly or behind Reshapes, with the elements that each takes;
/// `false` if something else reads it.
fn slices_of(graph: &Graph<Op>, uses: &Uses, id: ValueId, found: &mut Vec<(ValueId, Range<usize>)>) -> bool {
    if graph.is_output(id) {
        return false;
    }
    uses.consumers(graph, id).all(|reader| match &reader.op {
        Op::Reshape(_) => slices_of(graph, uses, reader.outputs[0], found),
        Op::Slice(slice) => match elements(slice, &graph.value(id).ty.shape) {
            Some(range) => {
                found.push((reader.outputs[0], range));
                true
            }
            None => false,
        },
        _ => false,
    })
}

/// The elements that a Slice takes, if they lie side by side.
fn elements(slice: &Slice, shape: &[usize]) -> Option<Range<usize>> {
    let full = |axis: usize| slice.shape[axis] == shape[axis];
    let cut = (0..shape.len()).rev().find(|&axis| !full(axis)).unwrap_or(0);
    let side_by_side = (0..cut).all(|axis| slice.shape[axis] == 1) && slice.steps.iter().all(|&step| step == 1);
    let start = (0..shape.len()).fold(0, |start, axis| start * shape[axis] + slice.starts[axis]);
    side_by_side.then(|| start..start + slice.shape.iter().product::<usize>())
}
