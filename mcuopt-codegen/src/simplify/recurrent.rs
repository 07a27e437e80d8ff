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
    let hidden = op.rows(steps) * row;
    let mut slices = Vec::new();
    let whole = !slices_of(graph, uses, packed, &mut slices);
    let last = if op.reverse { 0..row } else { hidden - row..hidden };
    let reads_cells = whole || slices.iter().any(|(_, range)| range.end > hidden);
    let reads_others = whole
        || slices
            .iter()
            .any(|(_, range)| range.start < hidden && !(last.start <= range.start && range.end <= last.end));
    let narrowed = Recurrent {
        sequence: op.sequence && (reads_others || steps == 1),
        state_rows: if reads_cells { op.state_rows } else { 0 },
        ..op.clone()
    };
    if narrowed == *op || slices.is_empty() {
        return Ok(false);
    }
    let rows = narrowed.rows(steps);
    let narrow = push(graph, &node.name, narrowed.clone().into(), &node.inputs)?[0];
    for (slice, range) in slices {
        let target = graph.value(slice).ty.shape.clone();
        let moved = match range.start >= hidden {
            true => range.start - hidden + rows * row,
            false if narrowed.sequence => range.start,
            false => range.start - last.start,
        };
        let flat =
            push(graph, &node.name, Reshape { shape: vec![(rows + narrowed.state_rows) * row] }.into(), &[narrow])?[0];
        let op = Slice { starts: vec![moved], steps: vec![1], shape: vec![range.len()] };
        let part = if graph.value(flat).ty.len() == range.len() {
            flat
        } else {
            push(graph, &node.name, op.into(), &[flat])?[0]
        };
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
