//! Orders of the layers that need little memory at once.

use std::collections::BTreeMap;

use super::needs::Needs;

/// What the search for an order may cost: sets of finished layers times the square of the number of layers.
const WORK: usize = 100_000;

/// Never are more sets of finished layers followed at a time. Where there are no more, the order found has the smallest
/// peak of all.
const MOST: usize = 64;

/// The order with the smallest peak that a search finds.
///
/// It goes in breadth: all orders of one layer, of two, and so on, of which only the best few of each length stay.
/// After the same layers in another order the same tensors are alive, so of those only the best is followed.
pub(super) fn frugal(needs: &Needs) -> Vec<usize> {
    let count = needs.layers.len();
    let breadth = (WORK / count.pow(2).max(1)).clamp(1, MOST);
    let uses = Uses::new(needs);
    // The steps of all orders: the layer, and the step before.
    let mut steps: Vec<(usize, Option<usize>)> = Vec::new();
    let mut states = vec![uses.start()];
    for _ in 0..count {
        let mut next: Vec<State> = Vec::new();
        let mut seen: BTreeMap<Set, usize> = BTreeMap::new();
        for state in &states {
            for &layer in &state.ready {
                let mut after = uses.run(state, layer);
                let same = seen.get(&after.done).copied();
                if same.is_some_and(|same| next[same].peak <= after.peak) {
                    continue;
                }
                after.step = Some(steps.len());
                steps.push((layer, state.step));
                match same {
                    Some(same) => next[same] = after,
                    None => {
                        seen.insert(after.done.clone(), next.len());
                        next.push(after);
                    }
                }
            }
        }
        next.sort_by_key(|state| (state.peak, state.live));
        next.truncate(breadth);
        states = next;
    }
    let mut step = states.first().and_then(|state| state.step);
    let mut order = Vec::with_capacity(count);
    while let Some((layer, before)) = step.map(|step| steps[step]) {
        order.push(layer);
        step = before;
    }
    order.reverse();
    order
}

/// A set of layers, a bit each.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Set(Vec<u64>);

impl Set {
    fn has(&self, layer: usize) -> bool {
        self.0[layer / 64] >> (layer % 64) & 1 == 1
    }

    fn add(&mut self, layer: usize) {
        self.0[layer / 64] |= 1 << (layer % 64);
    }
}

/// Some layers are done.
struct State {
    done: Set,
    /// The layers that can run next.
    ready: Vec<usize>,
    /// Bytes of the tensors that are needed later.
    live: usize,
    /// The most bytes that were needed at once so far.
    peak: usize,
    /// The last step.
    step: Option<usize>,
}

/// Who makes and reads the tensors, which are numbered for this search.
struct Uses<'a> {
    needs: &'a Needs,
    /// Bytes of each tensor.
    bytes: Vec<usize>,
    /// The layers that read each tensor.
    readers: Vec<Vec<usize>>,
    /// The tensors that the caller reads in the end, and those that are kept.
    lasting: Vec<bool>,
    /// The tensors that are kept from run to run.
    kept: Vec<bool>,
    /// The layer that makes each tensor.
    makers: Vec<Option<usize>>,
    /// The operands of each layer.
    operands: Vec<Vec<usize>>,
    /// The output of each layer.
    outputs: Vec<usize>,
    /// For each layer, the operands that its output may lie over, and what that saves.
    savings: Vec<Vec<(usize, usize)>>,
}

impl<'a> Uses<'a> {
    fn new(needs: &'a Needs) -> Self {
        let number: BTreeMap<_, usize> = needs.bytes.keys().enumerate().map(|(number, id)| (*id, number)).collect();
        let mut readers = vec![Vec::new(); number.len()];
        let mut makers = vec![None; number.len()];
        for (index, layer) in needs.layers.iter().enumerate() {
            layer.operands.iter().for_each(|id| readers[number[id]].push(index));
            makers[number[&layer.output]] = Some(index);
        }
        let layers = || needs.layers.iter();
        Self {
            needs,
            bytes: needs.bytes.values().copied().collect(),
            readers,
            lasting: number.keys().map(|id| needs.outputs.contains(id) || needs.kept.contains(id)).collect(),
            kept: number.keys().map(|id| needs.kept.contains(id)).collect(),
            makers,
            operands: layers().map(|layer| layer.operands.iter().map(|id| number[id]).collect()).collect(),
            outputs: layers().map(|layer| number[&layer.output]).collect(),
            savings: layers()
                .map(|layer| {
                    let overlaps = layer.overlaps.iter();
                    overlaps.map(|(id, o)| (number[id], needs.saving(*id, layer.output, o.how))).collect()
                })
                .collect(),
        }
    }

    /// Before the first layer.
    fn start(&self) -> State {
        let done = Set(vec![0; self.needs.layers.len().div_ceil(64)]);
        let inputs = || (0..self.bytes.len()).filter(|tensor| self.makers[*tensor].is_none() || self.kept[*tensor]);
        let bytes = |tensor: usize| self.bytes[tensor];
        let peak = inputs().map(bytes).sum();
        let live = inputs().filter(|tensor| self.is_needed(*tensor, &done)).map(bytes).sum();
        let ready = (0..self.needs.layers.len()).filter(|layer| self.is_ready(*layer, &done)).collect();
        State { done, ready, live, peak, step: None }
    }

    /// After one more layer.
    fn run(&self, state: &State, layer: usize) -> State {
        let mut done = state.done.clone();
        done.add(layer);
        let output = self.outputs[layer];
        let savings = self.savings[layer].iter().filter(|(operand, _)| !self.is_needed(*operand, &done));
        let saving = savings.map(|(_, saving)| *saving).max().unwrap_or(0);
        let with_output = state.live + if self.kept[output] { 0 } else { self.bytes[output] };
        let finished = self.operands[layer].iter().chain([&output]).filter(|tensor| !self.is_needed(**tensor, &done));
        let live = with_output - finished.map(|tensor| self.bytes[*tensor]).sum::<usize>();
        let peak = state.peak.max(with_output + self.needs.layers[layer].scratch - saving);
        let mut ready: Vec<usize> = state.ready.iter().copied().filter(|other| *other != layer).collect();
        ready.extend(self.readers[output].iter().copied().filter(|reader| self.is_ready(*reader, &done)));
        ready.sort_unstable();
        State { done, ready, live, peak, step: None }
    }

    fn is_ready(&self, layer: usize, done: &Set) -> bool {
        self.operands[layer].iter().all(|tensor| self.makers[*tensor].is_none_or(|maker| done.has(maker)))
    }

    fn is_needed(&self, tensor: usize, done: &Set) -> bool {
        self.lasting[tensor] || self.readers[tensor].iter().any(|reader| !done.has(*reader))
    }
}
