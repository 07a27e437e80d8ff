//! Where each tensor lies in the arena.
//!
//! The layers run in the graph's order, so each tensor lives from the layer that makes it to the last one that reads
//! it. Tensors whose lives overlap must not overlap in memory, except that a layer may write its result over an
//! operand that nothing reads afterwards. Offsets come from best-fit placement in several orders, of which the
//! smallest arena wins; see Pisarchyk and Lee, "Efficient Memory Management for Deep Neural Net Inference", 2020.

mod place;
mod verify;

use std::collections::BTreeMap;
use std::ops::Range;

use crate::error::Error;
use crate::graph::{Graph, ValueId};
use crate::ops::Layer;
use place::Buffer;

/// Every tensor starts at a multiple of so many bytes.
pub const ALIGNMENT: usize = 4;

/// The memory plan of a lowered graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Bytes of the arena.
    pub arena_bytes: usize,
    /// Byte offset of each tensor that lies in the arena: inputs (unless borrowed) and all layers' outputs.
    pub offsets: BTreeMap<ValueId, usize>,
    /// For each layer, the operand whose memory the output takes.
    pub in_place: Vec<Option<usize>>,
    /// For each layer that needs work memory, the bytes of the arena that it has while it runs.
    pub scratch: BTreeMap<usize, Range<usize>>,
}

/// The layers between which a tensor must keep its memory: `first` writes it, `last` reads it for the last time.
/// Layer numbers count from 1; 0 is the caller before the first layer, and outputs live past the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    /// When it is written.
    pub first: usize,
    /// When it is last read.
    pub last: usize,
}

/// Plans the arena; with `borrowed_inputs` the inputs stay outside.
pub fn plan(graph: &Graph<Layer>, borrowed_inputs: bool) -> Result<Plan, Error> {
    let lives = lives(graph);
    let in_place = choose_in_place(graph, &lives, borrowed_inputs);
    // Tensors that share memory form one buffer.
    let mut buffers: Vec<Buffer> = Vec::new();
    let mut buffer_of: BTreeMap<ValueId, usize> = BTreeMap::new();
    for (&id, &life) in &lives {
        if borrowed_inputs && graph.inputs.contains(&id) {
            continue;
        }
        let bytes = graph.value(id).ty.bytes().next_multiple_of(ALIGNMENT);
        let node = life.first.checked_sub(1).map(|index| (&graph.nodes[index], in_place[index]));
        let shared = node.and_then(|(node, in_place)| in_place.map(|operand| buffer_of[&node.inputs[operand]]));
        let buffer = shared.unwrap_or_else(|| {
            buffers.push(Buffer { bytes, life });
            buffers.len() - 1
        });
        buffers[buffer].bytes = buffers[buffer].bytes.max(bytes);
        buffers[buffer].life.last = buffers[buffer].life.last.max(life.last);
        buffer_of.insert(id, buffer);
    }
    let mut scratch_buffers = BTreeMap::new();
    for (index, node) in graph.nodes.iter().enumerate() {
        let bytes = node.op.scratch_bytes().next_multiple_of(ALIGNMENT);
        if bytes > 0 {
            scratch_buffers.insert(index, buffers.len());
            buffers.push(Buffer { bytes, life: Life { first: index + 1, last: index + 1 } });
        }
    }
    let (offsets, arena_bytes) = place::place(&buffers);
    let scratch = |buffer: usize| offsets[buffer]..offsets[buffer] + buffers[buffer].bytes;
    let plan = Plan {
        arena_bytes,
        offsets: buffer_of.into_iter().map(|(id, buffer)| (id, offsets[buffer])).collect(),
        in_place,
        scratch: scratch_buffers.into_iter().map(|(index, buffer)| (index, scratch(buffer))).collect(),
    };
    verify::verify(graph, &plan, borrowed_inputs)?;
    Ok(plan)
}

/// The life of each tensor that is not a constant. Ids ascend with the layers that make them, as lowering adds them.
pub fn lives(graph: &Graph<Layer>) -> BTreeMap<ValueId, Life> {
    let mut lives: BTreeMap<ValueId, Life> = BTreeMap::new();
    for id in &graph.inputs {
        lives.insert(*id, Life { first: 0, last: 0 });
    }
    for (index, node) in graph.nodes.iter().enumerate() {
        for input in &node.inputs {
            if let Some(life) = lives.get_mut(input) {
                life.last = index + 1;
            }
        }
        for output in &node.outputs {
            lives.insert(*output, Life { first: index + 1, last: index + 1 });
        }
    }
    for output in &graph.outputs {
        if let Some(life) = lives.get_mut(output) {
            life.last = graph.nodes.len() + 1;
        }
    }
    lives
}

/// For each layer, the first operand that it may overwrite and that nobody needs any more.
fn choose_in_place(graph: &Graph<Layer>, lives: &BTreeMap<ValueId, Life>, borrowed_inputs: bool) -> Vec<Option<usize>> {
    let choose = |(index, node): (usize, &crate::graph::Node<Layer>)| {
        let output = &graph.value(node.outputs[0]).ty;
        node.op.kernel.in_place().iter().copied().find(|&operand| {
            let id = node.inputs[operand];
            let dies = lives.get(&id).is_some_and(|life| life.last == index + 1);
            let twice = node.inputs.iter().filter(|other| **other == id).count() > 1;
            let foreign = borrowed_inputs && graph.inputs.contains(&id);
            let input = &graph.value(id).ty;
            dies && !twice && !foreign && input.dtype == output.dtype && input.len() == output.len()
        })
    };
    graph.nodes.iter().enumerate().map(choose).collect()
}
