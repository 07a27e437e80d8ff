//! Which channels an output of the network depends on.
//!
//! Channels that layers tie together form a set that stays or goes as a whole. A set stays if the caller sees one of
//! its channels, if a layer needs all of its operand, or if a filter of a set that stays has to see it.

use super::filters::Filters;
use super::kept::Kept;
use super::range::Range;
use super::ties::{self, Tie};
use crate::graph::{Graph, Node, ValueId};
use crate::ops::Layer;

/// Sets of channels, and what stays.
pub(super) struct Live {
    /// For each value, the number of its first channel, counted over all values; one more at the end.
    first: Vec<usize>,
    /// For each channel, another one of its set, or itself.
    parent: Vec<usize>,
    /// For the channel that stands for a set: whether an output depends on it.
    live: Vec<bool>,
    /// The same: whether it must stay, because an output depends on it or a tensor would be left without channels.
    stays: Vec<bool>,
}

impl Live {
    /// Finds out; `ranges` has an entry for each channel.
    pub(super) fn find(graph: &Graph<Layer>, ranges: &[Vec<Range>]) -> Self {
        let mut first = vec![0];
        for channels in ranges {
            first.push(first[first.len() - 1] + channels.len());
        }
        let count = first[first.len() - 1];
        let mut live = Self { first, parent: (0..count).collect(), live: vec![false; count], stays: Vec::new() };
        let mut seen: Vec<ValueId> = [graph.inputs.as_slice(), &graph.outputs].concat();
        let mut layers = Vec::new();
        for node in &graph.nodes {
            match live.filters(node) {
                Some(filters) => layers.push(filters),
                None => seen.extend(live.tie(node)),
            }
        }
        for id in seen {
            (0..live.channels(id)).for_each(|channel| live.mark(id, channel));
        }
        // From the last layer to the first one, and again where sets reach back.
        let mut changed = true;
        while changed {
            changed = false;
            for layer in layers.iter().rev() {
                changed |= live.look(layer, ranges);
            }
        }
        live.stays = live.live.clone();
        for id in graph.ids() {
            let sets: Vec<usize> = (0..live.channels(id)).map(|channel| live.set(id, channel)).collect();
            if let Some(&set) = sets.first().filter(|_| !sets.iter().any(|&set| live.stays[set])) {
                live.stays[set] = true;
            }
        }
        live
    }

    fn channels(&self, id: ValueId) -> usize {
        self.first[id.index() + 1] - self.first[id.index()]
    }

    /// The channel that stands for the set of another one.
    fn set(&self, id: ValueId, channel: usize) -> usize {
        let mut at = self.first[id.index()] + channel;
        while self.parent[at] != at {
            at = self.parent[at];
        }
        at
    }

    fn mark(&mut self, id: ValueId, channel: usize) {
        let set = self.set(id, channel);
        self.live[set] = true;
    }

    fn join(&mut self, a: (ValueId, usize), b: (ValueId, usize)) {
        let (a, b) = (self.set(a.0, a.1), self.set(b.0, b.1));
        self.parent[a.max(b)] = a.min(b);
    }

    /// The filters of a layer that has some, with operand and result.
    fn filters<'a>(&self, node: &'a Node<Layer>) -> Option<(Filters<'a>, ValueId, ValueId)> {
        let (&[x], &[y]) = (&node.inputs[..], &node.outputs[..]) else { return None };
        let filters = Filters::of(&node.op.kernel, self.channels(x), self.channels(y));
        filters.map(|filters| (filters, x, y))
    }

    /// Joins what another layer ties together; returns the values that it needs as they are.
    fn tie(&mut self, node: &Node<Layer>) -> Vec<ValueId> {
        let all = || node.inputs.iter().chain(&node.outputs).copied().collect();
        let &[y] = &node.outputs[..] else { return all() };
        let inputs: Vec<usize> = node.inputs.iter().map(|id| self.channels(*id)).collect();
        let Some(ties) = ties::of(&node.op.kernel, &inputs, self.channels(y)) else { return all() };
        let mut whole = Vec::new();
        for (&x, tie) in node.inputs.iter().zip(ties) {
            match tie {
                Tie::Whole => whole.push(x),
                Tie::Channels(pairs) => pairs.into_iter().for_each(|(from, to)| self.join((x, from), (y, to))),
            }
        }
        whole
    }

    /// Marks what the live filters of a layer have to see; returns whether that was news.
    fn look(&mut self, (filters, x, y): &(Filters<'_>, ValueId, ValueId), ranges: &[Vec<Range>]) -> bool {
        let (inputs, outputs) = (&ranges[x.index()], &ranges[y.index()]);
        // A filter that gives a constant needs nothing to do so.
        let active = |&filter: &usize| self.is_live(*y, filter) && outputs[filter].constant().is_none();
        let active: Vec<usize> = (0..outputs.len()).filter(active).collect();
        let needed = |&channel: &usize| {
            let is_needed = |&filter: &usize| filters.needs(filter, channel, inputs[channel]);
            !self.is_live(*x, channel) && active.iter().any(is_needed)
        };
        let needed: Vec<usize> = (0..inputs.len()).filter(needed).collect();
        needed.iter().for_each(|&channel| self.mark(*x, channel));
        !needed.is_empty()
    }

    /// Whether an output of the network depends on a channel.
    pub(super) fn is_live(&self, id: ValueId, channel: usize) -> bool {
        self.live[self.set(id, channel)]
    }

    /// The channels of a value that stay.
    pub(super) fn kept(&self, id: ValueId) -> Kept {
        Kept::new((0..self.channels(id)).map(|channel| self.stays[self.set(id, channel)]).collect())
    }
}
