//! Orders of the layers that need little memory at once.

use std::collections::{BTreeMap, BTreeSet};

use super::needs::Needs;
use crate::graph::ValueId;

/// How many sets of finished layers are followed at a time. Where there are no more, the order found has the smallest
/// peak of all.
const BREADTH: usize = 32;

/// Orders worth trying: the graph's own, and the one with the smallest peak.
pub(super) fn orders(needs: &Needs) -> Vec<Vec<usize>> {
    let own: Vec<usize> = (0..needs.layers.len()).collect();
    let frugal = Search::new(needs).run();
    let frugal = frugal.into_iter().filter(|order| *order != own && order.len() == own.len());
    std::iter::once(own.clone()).chain(frugal).collect()
}

/// A search in breadth: all orders of one layer, of two, and so on, of which only the best few for each length stay.
/// After the same layers in another order, the same tensors are alive.
struct Search<'a> {
    needs: &'a Needs,
    /// The layers that read each tensor.
    readers: BTreeMap<ValueId, BTreeSet<usize>>,
    /// The layer that makes each tensor.
    makers: BTreeMap<ValueId, usize>,
    /// The steps of all orders: the layer, and the step before.
    steps: Vec<(usize, Option<usize>)>,
}

/// Some layers are done.
struct State {
    done: BTreeSet<usize>,
    /// Bytes of the tensors that are needed later.
    live: usize,
    /// The most bytes that were needed at once so far.
    peak: usize,
    /// The last step, a position in `steps`.
    step: Option<usize>,
}

impl<'a> Search<'a> {
    fn new(needs: &'a Needs) -> Self {
        let mut readers: BTreeMap<ValueId, BTreeSet<usize>> = BTreeMap::new();
        for (index, layer) in needs.layers.iter().enumerate() {
            for operand in &layer.operands {
                readers.entry(*operand).or_default().insert(index);
            }
        }
        let makers = needs.layers.iter().enumerate().map(|(index, layer)| (layer.output, index)).collect();
        Self { needs, readers, makers, steps: Vec::new() }
    }

    fn run(mut self) -> Option<Vec<usize>> {
        let read = |id: &&ValueId| self.readers.contains_key(*id) || self.needs.outputs.contains(*id);
        let live = self.needs.inputs.iter().filter(read).map(|id| self.needs.bytes[id]).sum();
        let peak = self.needs.inputs.iter().map(|id| self.needs.bytes[id]).sum();
        let mut states = vec![State { done: BTreeSet::new(), live, peak, step: None }];
        for _ in 0..self.needs.layers.len() {
            let mut next: Vec<State> = Vec::new();
            let mut seen: BTreeMap<BTreeSet<usize>, usize> = BTreeMap::new();
            for state in &states {
                for layer in self.ready(state) {
                    let state = self.run_layer(state, layer);
                    match seen.get(&state.done) {
                        Some(&other) if next[other].peak <= state.peak => {}
                        Some(&other) => next[other] = state,
                        None => {
                            seen.insert(state.done.clone(), next.len());
                            next.push(state);
                        }
                    }
                }
            }
            next.sort_by_key(|state| (state.peak, state.live));
            next.truncate(BREADTH);
            states = next;
        }
        let mut step = states.first()?.step;
        let mut order = Vec::new();
        while let Some((layer, before)) = step.map(|step| self.steps[step]) {
            order.push(layer);
            step = before;
        }
        order.reverse();
        Some(order)
    }

    /// The layers that can run next.
    fn ready(&self, state: &State) -> Vec<usize> {
        let made = |id: &ValueId| self.makers.get(id).is_none_or(|maker| state.done.contains(maker));
        let ready = |layer: &usize| self.needs.layers[*layer].operands.iter().all(made);
        (0..self.needs.layers.len()).filter(|layer| !state.done.contains(layer)).filter(ready).collect()
    }

    fn run_layer(&mut self, state: &State, index: usize) -> State {
        let layer = &self.needs.layers[index];
        let mut done = state.done.clone();
        done.insert(index);
        let needed = |id: &ValueId| {
            self.needs.outputs.contains(id) || self.readers.get(id).is_some_and(|readers| !readers.is_subset(&done))
        };
        let savings = layer.overlaps.iter().filter(|(id, _)| !needed(id));
        let saving = savings.map(|(id, overlap)| self.needs.saving(*id, layer.output, overlap.how)).max().unwrap_or(0);
        let with_output = state.live + self.needs.bytes[&layer.output];
        let finished: usize =
            layer.operands.iter().chain([&layer.output]).filter(|id| !needed(id)).map(|id| self.needs.bytes[id]).sum();
        let peak = state.peak.max(with_output + layer.scratch - saving);
        self.steps.push((index, state.step));
        State { done, live: with_output - finished, peak, step: Some(self.steps.len() - 1) }
    }
}
