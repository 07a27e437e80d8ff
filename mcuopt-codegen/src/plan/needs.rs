//! What each layer needs of the arena while it runs, whatever the order of the layers.

use std::collections::BTreeMap;

use super::Overlapping;
use crate::graph::{Graph, Node, ValueId};
use crate::ops::{Layer, Overlap};
use crate::tensor::DType;

/// The needs of all layers.
pub(super) struct Needs {
    /// Every tensor starts at a multiple of so many bytes: 4, or 8 where there are 64-bit elements.
    pub(super) alignment: usize,
    /// Bytes of each tensor that lies in the arena, a multiple of the alignment.
    pub(super) bytes: BTreeMap<ValueId, usize>,
    /// The inputs that lie in the arena.
    pub(super) inputs: Vec<ValueId>,
    /// The outputs of the network.
    pub(super) outputs: Vec<ValueId>,
    /// What layers keep from run to run: always there, and never over anything else.
    pub(super) kept: Vec<ValueId>,
    /// The layers, in the graph's order.
    pub(super) layers: Vec<LayerNeeds>,
}

/// The needs of one layer.
pub(super) struct LayerNeeds {
    /// The operands that lie in the arena, each once.
    pub(super) operands: Vec<ValueId>,
    pub(super) output: ValueId,
    /// Bytes of work memory, a multiple of the alignment.
    pub(super) scratch: usize,
    /// The overlaps that the kernel allows, if the operand is not needed later.
    pub(super) overlaps: Vec<(ValueId, Overlapping)>,
}

impl Needs {
    pub(super) fn new(graph: &Graph<Layer>, borrowed_inputs: bool) -> Self {
        let inputs = if borrowed_inputs { Vec::new() } else { graph.inputs.clone() };
        let made = graph.nodes.iter().map(|node| node.outputs[0]);
        let tensors: Vec<ValueId> = inputs.iter().copied().chain(made).collect();
        let widest = tensors.iter().map(|id| graph.value(*id).ty.dtype.size()).max();
        let alignment = widest.unwrap_or(0).max(4);
        let size = |id: ValueId| (id, graph.value(id).ty.bytes().max(1).next_multiple_of(alignment));
        let bytes: BTreeMap<ValueId, usize> = tensors.into_iter().map(size).collect();
        let layers = graph.nodes.iter().map(|node| LayerNeeds::new(graph, node, &bytes, alignment)).collect();
        let kept = graph.nodes.iter().filter(|node| node.op.kernel.initial().is_some()).map(|node| node.outputs[0]);
        Self { alignment, bytes, inputs, outputs: graph.outputs.clone(), kept: kept.collect(), layers }
    }

    /// The least that any order of the layers takes.
    pub(super) fn lower_bound(&self) -> usize {
        let sum = |ids: &[ValueId]| {
            let kept = self.kept.iter().filter(|id| !ids.contains(id));
            ids.iter().chain(kept).filter_map(|id| self.bytes.get(id)).sum::<usize>()
        };
        let layer = |layer: &LayerNeeds| {
            let savings = layer.overlaps.iter().map(|(id, overlap)| self.saving(*id, layer.output, overlap.how));
            let tensors = [&layer.operands[..], &[layer.output]].concat();
            sum(&tensors) + layer.scratch - savings.max().unwrap_or(0)
        };
        self.layers.iter().map(layer).chain([sum(&self.inputs), sum(&self.outputs)]).max().unwrap_or(0)
    }

    /// By how many bytes an overlap lets two tensors together take less than their sum.
    pub(super) fn saving(&self, operand: ValueId, output: ValueId, overlap: Overlap) -> usize {
        let (x, y) = (self.bytes[&operand], self.bytes[&output]);
        match overlap {
            Overlap::Never => 0,
            Overlap::Same => x.min(y),
            Overlap::Ahead(distance) => (x + y).saturating_sub(y.max(self.aligned(distance) + x)),
        }
    }

    /// The next multiple of the alignment.
    pub(super) fn aligned(&self, bytes: usize) -> usize {
        bytes.next_multiple_of(self.alignment)
    }
}

impl LayerNeeds {
    fn new(graph: &Graph<Layer>, node: &Node<Layer>, bytes: &BTreeMap<ValueId, usize>, alignment: usize) -> Self {
        let mut operands: Vec<ValueId> = node.inputs.iter().copied().filter(|id| bytes.contains_key(id)).collect();
        operands.sort_unstable();
        operands.dedup();
        let overlaps = node.inputs.iter().enumerate().filter_map(|(operand, &id)| {
            let how = node.op.overlap(operand);
            let twice = node.inputs.iter().filter(|other| **other == id).count() > 1;
            let lasting = graph.is_output(id) || !bytes.contains_key(&id);
            let (x, y) = (&graph.value(id).ty, &graph.value(node.outputs[0]).ty);
            let fits = match how {
                Overlap::Never => false,
                Overlap::Same => x.dtype == y.dtype && y.len() <= x.len(),
                Overlap::Ahead(_) => x.dtype == y.dtype && matches!(x.dtype, DType::I8 | DType::I16),
            };
            (fits && !twice && !lasting).then_some((id, Overlapping { operand, how }))
        });
        Self {
            overlaps: overlaps.collect(),
            operands,
            output: node.outputs[0],
            scratch: node.op.scratch_bytes().next_multiple_of(alignment),
        }
    }
}
