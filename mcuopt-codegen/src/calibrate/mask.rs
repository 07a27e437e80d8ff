//! What masked positions of an attention hold.
//!
//! Networks hide positions from a softmax by minus infinity, or by a number that is as good, put in place of scores or
//! added to them. Such numbers leave no steps for the scores in a range of 256 integers. They become numbers that are
//! only as low as they must be.

use std::collections::{BTreeMap, BTreeSet};

use super::Samples;
use super::choose::SAMPLES;
use crate::error::Error;
use crate::graph::{Graph, ValueId};
use crate::interp;
use crate::ops::binary::Kind;
use crate::ops::{Op, softmax};
use crate::tensor::{DType, Element as _, Tensor};

/// Numbers from here down hide a position: among scores of a softmax they weigh nothing.
const HIDDEN: f32 = -1000.0;

/// How far below the largest score of its row a hidden position lies: its weight is then below 2⁻¹⁴ of that score's.
const MARGIN: f32 = 10.0;

/// Replaces the numbers that hide positions; `samples` are read only if there are any.
pub fn moderate_masks(
    graph: &mut Graph<Op>,
    samples: impl FnOnce(&Graph<Op>) -> Result<Samples, Error>,
) -> Result<(), Error> {
    let masks = masks(graph);
    if masks.is_empty() {
        return Ok(());
    }
    let samples = samples(graph)?;
    let scores: BTreeSet<ValueId> = masks.values().flatten().copied().collect();
    let known = extremes(graph, &samples, &scores)?;
    for (mask, softmaxes) in masks {
        let depths = softmaxes.iter().filter_map(|id| known.get(id));
        // Low enough in place of a score, and added to the largest one.
        let depth = depths.map(|known| known.largest.max(0.0) - known.row.min(known.largest)).fold(0.0, f32::max);
        let Some(Tensor::F32(array)) = graph.constant(mask) else { continue };
        let hidden = array.mapv(|x| if x < HIDDEN { -(depth + MARGIN) } else { x });
        graph.value_mut(mask).constant = Some(Tensor::F32(hidden).into());
    }
    Ok(())
}

/// The constants that hide positions, and for each the operands of the softmaxes in which it does.
fn masks(graph: &Graph<Op>) -> BTreeMap<ValueId, Vec<ValueId>> {
    let hides = |id: &ValueId| {
        let elements = graph.constant(*id).map_or(&[][..], f32::of);
        elements.iter().any(|x| *x < HIDDEN) && elements.iter().all(|x| *x < HIDDEN || *x > HIDDEN / 10.0)
    };
    let consumers = graph.consumers();
    let candidates = graph.ids().filter(hides);
    candidates.filter_map(|mask| Some((mask, softmaxes(graph, &consumers, mask)?))).collect()
}

/// The operands of softmaxes that a mask ends in; `None` if it ends elsewhere as well, where its value may matter.
fn softmaxes(graph: &Graph<Op>, consumers: &[Vec<usize>], mask: ValueId) -> Option<Vec<ValueId>> {
    let mut found = BTreeSet::new();
    let mut seen = BTreeSet::from([mask]);
    let mut open = vec![mask];
    while let Some(id) = open.pop() {
        if graph.is_output(id) {
            return None;
        }
        for &consumer in &consumers[id.index()] {
            let node = &graph.nodes[consumer];
            let passes = match &node.op {
                Op::Softmax(softmax) if !softmax.log => {
                    found.insert(id);
                    continue;
                }
                Op::Where(_) | Op::Reshape(_) | Op::Transpose(_) | Op::Expand(_) | Op::Slice(_) | Op::Concat(_) => true,
                Op::Binary(binary) => match binary.kind {
                    Kind::Add => true,
                    Kind::Sub => node.inputs[0] == id && node.inputs[1] != id,
                    Kind::Mul => node.inputs.iter().any(|other| *other != id && is_switch(graph, *other)),
                    _ => false,
                },
                _ => false,
            };
            if !passes {
                return None;
            }
            open.extend(node.outputs.iter().filter(|output| seen.insert(**output)));
        }
    }
    Some(found.into_iter().collect()).filter(|found: &Vec<_>| !found.is_empty())
}

/// Whether a value is made of a bool, so that it is 0 or 1.
fn is_switch(graph: &Graph<Op>, id: ValueId) -> bool {
    let Some(node) = graph.nodes.iter().find(|node| node.outputs.contains(&id)) else { return false };
    match &node.op {
        Op::Cast(_) => graph.value(node.inputs[0]).ty.dtype == DType::Bool || is_switch(graph, node.inputs[0]),
        Op::Reshape(_) | Op::Transpose(_) | Op::Expand(_) | Op::Slice(_) => is_switch(graph, node.inputs[0]),
        Op::Binary(binary) if binary.kind == Kind::Sub => {
            let one = graph.constant(node.inputs[0]).is_some_and(|tensor| f32::of(tensor).iter().all(|x| *x == 1.0));
            one && is_switch(graph, node.inputs[1])
        }
        _ => false,
    }
}

/// What a softmax is given.
struct Scores {
    /// The largest of all.
    largest: f32,
    /// The smallest of the rows' largest.
    row: f32,
}

fn extremes(
    graph: &Graph<Op>,
    samples: &Samples,
    scores: &BTreeSet<ValueId>,
) -> Result<BTreeMap<ValueId, Scores>, Error> {
    let axis = |id: &ValueId| {
        let axis = |op: &Op| if let Op::Softmax(softmax) = op { Some(softmax.axis) } else { None };
        graph.nodes.iter().filter(|node| node.inputs.first() == Some(id)).find_map(|node| axis(&node.op))
    };
    let axes: BTreeMap<ValueId, usize> = scores.iter().filter_map(|id| Some((*id, axis(id)?))).collect();
    let mut known: BTreeMap<ValueId, Scores> = BTreeMap::new();
    let count = samples.len().min(SAMPLES);
    for index in 0..count {
        let inputs = samples.sample(index * samples.len() / count)?;
        interp::run_float(graph, &inputs, |id, tensor| {
            let Some(&axis) = axes.get(&id) else { return };
            let (rows, x) = (softmax::rows(tensor.shape(), axis), f32::of(tensor));
            let known = known.entry(id).or_insert(Scores { largest: f32::NEG_INFINITY, row: f32::INFINITY });
            for outer in 0..rows.outer {
                for inner in 0..rows.inner {
                    let row = (0..rows.len).map(|k| x[(outer * rows.len + k) * rows.inner + inner]);
                    let largest = row.fold(f32::NEG_INFINITY, f32::max);
                    // A row with nothing to see says nothing about scores.
                    if largest > HIDDEN {
                        *known = Scores { largest: known.largest.max(largest), row: known.row.min(largest) };
                    }
                }
            }
        })?;
    }
    known.retain(|_, scores| scores.largest.is_finite());
    Ok(known)
}
