//! From an order of the layers and a choice of overlaps to blocks of memory.

use std::collections::BTreeMap;

use super::needs::Needs;
use super::place::{Blocks, Moment, Placement};
use super::{Life, Overlapping, Plan};
use crate::graph::{Graph, ValueId};
use crate::ops::{Layer, Overlap};

/// An order of the layers with the lives that follow from it.
pub(super) struct Sequence<'a> {
    pub(super) needs: &'a Needs,
    /// The layers' positions in the graph, in the order in which they run.
    pub(super) order: Vec<usize>,
    /// The life of each tensor that lies in the arena.
    lives: BTreeMap<ValueId, Life>,
}

/// For each layer of a sequence, which of its possible overlaps is meant.
pub(super) type Choice = Vec<Option<usize>>;

/// The blocks for one choice.
pub(super) struct Arrangement {
    pub(super) blocks: Blocks,
    block_of: BTreeMap<ValueId, usize>,
    /// By position in the sequence.
    scratch: BTreeMap<usize, usize>,
    choice: Choice,
}

/// A tensor, or a layer's work memory, in a block.
struct Tenant {
    bytes: i64,
    life: Life,
    value: Option<ValueId>,
}

impl<'a> Sequence<'a> {
    pub(super) fn new(needs: &'a Needs, order: Vec<usize>) -> Self {
        let mut lives: BTreeMap<ValueId, Life> =
            needs.inputs.iter().map(|id| (*id, Life { first: 0, last: 0 })).collect();
        for (position, layer) in order.iter().map(|index| &needs.layers[*index]).enumerate() {
            for operand in &layer.operands {
                lives.entry(*operand).and_modify(|life| life.last = position + 1);
            }
            lives.insert(layer.output, Life { first: position + 1, last: position + 1 });
        }
        for output in &needs.outputs {
            lives.entry(*output).and_modify(|life| life.last = order.len() + 1);
        }
        lives.extend(needs.kept.iter().map(|id| (*id, Life { first: 0, last: order.len() + 1 })));
        Self { needs, order, lives }
    }

    /// The overlaps that the layer at a position may make use of: with an operand that it reads as the last one.
    pub(super) fn overlaps(&self, position: usize) -> Vec<(ValueId, Overlapping)> {
        let dies = |(id, _): &&(ValueId, Overlapping)| self.lives[id].last == position + 1;
        self.needs.layers[self.order[position]].overlaps.iter().filter(dies).copied().collect()
    }

    /// The first possible overlap of each layer.
    pub(super) fn first_choice(&self) -> Choice {
        (0..self.order.len()).map(|position| (!self.overlaps(position).is_empty()).then_some(0)).collect()
    }

    /// The least that any placement takes, whatever the choice.
    pub(super) fn lower_bound(&self) -> usize {
        let live = |time: usize| {
            let alive = self.lives.iter().filter(|(_, life)| (life.first..=life.last).contains(&time));
            alive.map(|(id, _)| self.needs.bytes[id]).sum::<usize>()
        };
        let layer = |position: usize| {
            let layer = &self.needs.layers[self.order[position]];
            let saving = |(id, overlap): &(ValueId, Overlapping)| self.needs.saving(*id, layer.output, overlap.how);
            live(position + 1) + layer.scratch - self.overlaps(position).iter().map(saving).max().unwrap_or(0)
        };
        let ends = [live(0), live(self.order.len() + 1)];
        (0..self.order.len()).map(layer).chain(ends).max().unwrap_or(0)
    }

    /// The blocks for a choice: tensors that start at the same place are one.
    pub(super) fn arrange(&self, choice: &Choice) -> Arrangement {
        let mut tenants: Vec<Vec<Tenant>> = Vec::new();
        let mut block_of: BTreeMap<ValueId, usize> = BTreeMap::new();
        let mut scratch = BTreeMap::new();
        // Pairs (output, operand) and the distance between their starts.
        let mut ahead: BTreeMap<(ValueId, ValueId), i64> = BTreeMap::new();
        let tenant =
            |id: ValueId| Tenant { bytes: self.needs.bytes[&id] as i64, life: self.lives[&id], value: Some(id) };
        for id in &self.needs.inputs {
            block_of.insert(*id, tenants.len());
            tenants.push(vec![tenant(*id)]);
        }
        for (position, layer) in self.order.iter().map(|index| &self.needs.layers[*index]).enumerate() {
            let chosen = choice[position].map(|index| self.overlaps(position)[index]);
            let block = match chosen {
                Some((operand, Overlapping { how: Overlap::Same, .. })) => block_of[&operand],
                _ => tenants.len(),
            };
            if let Some((operand, Overlapping { how: Overlap::Ahead(distance), .. })) = chosen {
                ahead.insert((layer.output, operand), self.needs.aligned(distance) as i64);
            }
            if block == tenants.len() {
                tenants.push(Vec::new());
            }
            tenants[block].push(tenant(layer.output));
            block_of.insert(layer.output, block);
            if layer.scratch > 0 {
                let life = Life { first: position + 1, last: position + 1 };
                scratch.insert(position, tenants.len());
                tenants.push(vec![Tenant { bytes: layer.scratch as i64, life, value: None }]);
            }
        }
        let blocks = self.blocks(&tenants, &ahead);
        Arrangement { blocks, block_of, scratch, choice: choice.clone() }
    }

    fn blocks(&self, tenants: &[Vec<Tenant>], ahead: &BTreeMap<(ValueId, ValueId), i64>) -> Blocks {
        let distance = |lower: &Tenant, upper: &Tenant| {
            let special = lower.value.zip(upper.value).and_then(|pair| ahead.get(&pair));
            let met = lower.life.first <= upper.life.last && upper.life.first <= lower.life.last;
            met.then(|| special.map_or(lower.bytes, |distance| lower.bytes.min(*distance)))
        };
        let between = |(lower, upper): (usize, usize)| {
            let pairs = tenants[lower].iter().flat_map(|a| tenants[upper].iter().filter_map(move |b| distance(a, b)));
            if lower == upper { None } else { pairs.max() }
        };
        let count = tenants.len();
        let moment = |time: usize| {
            let alive = |tenant: &&Tenant| (tenant.life.first..=tenant.life.last).contains(&time);
            let size = |block: &Vec<Tenant>| block.iter().filter(alive).map(|tenant| tenant.bytes).max();
            let sizes = tenants.iter().enumerate().filter_map(|(block, tenants)| Some((block, size(tenants)?)));
            Moment { blocks: sizes.collect(), saving: None }
        };
        let mut moments: Vec<Moment> = (0..=self.order.len() + 1).map(moment).collect();
        let home = |id: ValueId| tenants.iter().position(|block| block.iter().any(|tenant| tenant.value == Some(id)));
        for (&(output, operand), &distance) in ahead {
            let saving = self.needs.saving(operand, output, Overlap::Ahead(distance as usize)) as i64;
            if let (Some(y), Some(x)) = (home(output), home(operand)) {
                moments[self.lives[&output].first].saving = Some((y, x, saving));
            }
        }
        Blocks {
            bytes: tenants.iter().map(|block| block.iter().map(|tenant| tenant.bytes).max().unwrap_or(0)).collect(),
            distances: (0..count).map(|a| (0..count).map(|b| between((a, b))).collect()).collect(),
            moments,
        }
    }

    /// The plan that a placement of an arrangement's blocks comes down to. The sequence is the graph's own order.
    pub(super) fn plan(&self, graph: &Graph<Layer>, arrangement: &Arrangement, placement: &Placement) -> Plan {
        let offset = |block: usize| placement.offsets[block] as usize;
        let offsets: BTreeMap<ValueId, usize> =
            arrangement.block_of.iter().map(|(id, block)| (*id, offset(*block))).collect();
        let range = |id: ValueId| offsets[&id]..offsets[&id] + graph.value(id).ty.bytes();
        let overlaps = arrangement.choice.iter().enumerate().map(|(position, choice)| {
            let (operand, overlapping) = self.overlaps(position)[(*choice)?];
            let (x, y) = (range(operand), range(self.needs.layers[position].output));
            let apart = x.end <= y.start || y.end <= x.start;
            (overlapping.how == Overlap::Same || !apart).then_some(overlapping)
        });
        let scratch = arrangement.scratch.iter().map(|(position, block)| {
            let start = offset(*block);
            (*position, start..start + self.needs.layers[*position].scratch)
        });
        Plan {
            arena_bytes: placement.bytes as usize,
            overlaps: overlaps.collect(),
            scratch: scratch.collect(),
            offsets,
        }
    }
}
