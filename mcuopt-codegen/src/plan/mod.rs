//! In which order the layers run, and where each tensor lies in the arena.
//!
//! Each tensor lives from the layer that makes it to the last one that reads it. Tensors whose lives meet must not
//! overlap in memory, except that a layer may write its result over an operand that nothing reads afterwards, as far as
//! its kernel allows ([`Overlap`]). A layer's work memory lives as long as the layer runs.
//!
//! [`schedule`] chooses the order, [`plan`] the places: which overlaps to use (`arrange`), then offsets (`place`).
//! Small networks get an optimal placement in most cases; that the lower bound is reached proves it. What the searches
//! may take is counted in steps, not in time, so that the same network has the same plan on any machine.

mod arrange;
mod needs;
mod place;
mod schedule;
#[cfg(test)]
mod tests;
mod verify;

use std::collections::BTreeMap;
use std::ops::Range;

use crate::error::Error;
use crate::graph::{Graph, ValueId};
use crate::ops::{Layer, Overlap};
use arrange::{Arrangement, Sequence};
use needs::Needs;
use place::Placement;

/// What the choice of overlaps may cost: packings times the square of the number of blocks.
const CHOICE_WORK: usize = 100_000;

/// What the search for a placement may cost: steps times the square of the number of blocks.
const SEARCH_WORK: usize = 3_000_000;

/// The memory plan of a lowered graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Bytes of the arena.
    pub arena_bytes: usize,
    /// Byte offset of each tensor that lies in the arena: inputs (unless borrowed) and all layers' outputs.
    pub offsets: BTreeMap<ValueId, usize>,
    /// For each layer, the operand whose memory the output shares.
    pub overlaps: Vec<Option<Overlapping>>,
    /// For each layer that needs work memory, the bytes of the arena that it has while it runs.
    pub scratch: BTreeMap<usize, Range<usize>>,
}

impl Plan {
    /// Bytes of the arena that a layer works on: its operands, its output and its work memory.
    pub fn layer_bytes(&self, graph: &Graph<Layer>, index: usize) -> usize {
        let node = &graph.nodes[index];
        let tensor = |id: &ValueId| self.offsets.get(id).map(|start| *start..*start + graph.value(*id).ty.bytes());
        let tensors = node.inputs.iter().chain(&node.outputs).filter_map(tensor);
        let mut ranges: Vec<Range<usize>> = tensors.chain(self.scratch.get(&index).cloned()).collect();
        ranges.sort_by_key(|range| range.start);
        let mut end = 0;
        let new_bytes = |range: &Range<usize>| {
            let new = range.end.saturating_sub(range.start.max(end));
            end = end.max(range.end);
            new
        };
        ranges.iter().map(new_bytes).sum()
    }
}

/// A layer's output lies over one of its operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overlapping {
    /// The operand's position.
    pub operand: usize,
    /// What the kernel asks for.
    pub how: Overlap,
}

/// The layers between which a tensor must keep its memory: `first` writes it, `last` reads it for the last time.
/// Layer numbers count from 1; 0 is the caller before the first layer, and outputs live past the last one. What a layer
/// keeps for the next run lives throughout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Life {
    first: usize,
    last: usize,
}

/// Puts the layers into the order that needs the least memory, as far as the graph leaves it free.
pub fn schedule(graph: &mut Graph<Layer>, borrowed_inputs: bool) -> Result<(), Error> {
    let needs = Needs::new(graph, borrowed_inputs);
    let own = Sequence::new(&needs, (0..graph.nodes.len()).collect());
    let bytes = best(&own).1.bytes;
    if bytes <= needs.lower_bound() as i64 {
        return Ok(());
    }
    let frugal = Sequence::new(&needs, schedule::frugal(&needs));
    if (frugal.lower_bound() as i64) < bytes && best(&frugal).1.bytes < bytes {
        graph.nodes = frugal.order.iter().map(|index| graph.nodes[*index].clone()).collect();
    }
    graph.verify()
}

/// Plans the arena; with `borrowed_inputs` the inputs stay outside.
pub fn plan(graph: &Graph<Layer>, borrowed_inputs: bool) -> Result<Plan, Error> {
    let needs = Needs::new(graph, borrowed_inputs);
    let sequence = Sequence::new(&needs, (0..graph.nodes.len()).collect());
    let (arrangement, placement) = best(&sequence);
    let plan = sequence.plan(graph, &arrangement, &placement);
    verify::verify(graph, &plan, borrowed_inputs)?;
    Ok(plan)
}

/// The best overlaps and places that were found for an order of the layers.
fn best(sequence: &Sequence<'_>) -> (Arrangement, Placement) {
    let bound = sequence.lower_bound() as i64;
    let mut choice = sequence.first_choice();
    let mut arrangement = sequence.arrange(&choice);
    let mut placement = place::place(&arrangement.blocks);
    let size = arrangement.blocks.bytes.len().max(1).pow(2);
    let mut packings = CHOICE_WORK / size;
    // One layer after the other gets another overlap, or none, while that helps.
    let mut changed = true;
    while std::mem::take(&mut changed) {
        for position in 0..choice.len() {
            let possible = sequence.overlaps(position).len();
            for other in (0..possible).map(Some).chain([None]).filter(|_| possible > 0) {
                if packings == 0 || placement.bytes <= bound {
                    break;
                }
                if other == choice[position] {
                    continue;
                }
                packings -= 1;
                let before = std::mem::replace(&mut choice[position], other);
                let tried = sequence.arrange(&choice);
                let tried_placement = place::place(&tried.blocks);
                if tried_placement.bytes < placement.bytes {
                    (arrangement, placement, changed) = (tried, tried_placement, true);
                } else {
                    choice[position] = before;
                }
            }
        }
    }
    if placement.bytes > bound {
        placement = place::search(&arrangement.blocks, placement, SEARCH_WORK / size);
    }
    (arrangement, placement)
}
