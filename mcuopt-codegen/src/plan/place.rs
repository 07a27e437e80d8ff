//! Offsets for blocks of memory of which some must keep a distance.
//!
//! Every pair of blocks that are needed at the same time has two distances: how far the second must start above the
//! first, if it does not start below it, and the other way around. Without overlaps the distance is the size of the
//! lower block.
//!
//! In an arrangement in which no block can move down, each block starts at 0 or at its distance above another. So
//! putting the blocks, in the order of their offsets, each at its lowest place gives the arrangement back: one of the
//! orders of placement gives the smallest arena. A search through the orders, cut off by bounds, finds it where there
//! are not too many blocks; where there are, what counts is the best of some good orders.

use std::cmp::Reverse;

/// What is to be placed.
#[derive(Clone, Debug, Default)]
pub(super) struct Blocks {
    /// The size of each.
    pub(super) bytes: Vec<i64>,
    /// `distances[a][b]`: how far `b` must start above `a`, unless it keeps `distances[b][a]` below it. `None` for both
    /// if they are not needed at the same time. At most the size of `a`, and not negative.
    pub(super) distances: Vec<Vec<Option<i64>>>,
    /// What is needed at the same time.
    pub(super) moments: Vec<Moment>,
}

/// The blocks that are needed at some time.
#[derive(Clone, Debug, Default)]
pub(super) struct Moment {
    /// Each with the bytes of it that are needed.
    pub(super) blocks: Vec<(usize, i64)>,
    /// Two of them that together may take so much less than their sum.
    pub(super) saving: Option<(usize, usize, i64)>,
}

/// Where the blocks lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Placement {
    pub(super) offsets: Vec<i64>,
    /// End of the last one.
    pub(super) bytes: i64,
}

/// The best placement that some orders give.
pub(super) fn place(blocks: &Blocks) -> Placement {
    let life = |block: &usize| blocks.moments.iter().filter(|moment| moment.has(*block)).count();
    // The most that is needed while the block is.
    let crowd = |block: &usize| blocks.moments.iter().filter(|m| m.has(*block)).map(Moment::bytes).max();
    let as_given: Vec<usize> = (0..blocks.bytes.len()).collect();
    let mut orders = vec![as_given; 5];
    orders[1].reverse();
    orders[2].sort_by_cached_key(|block| Reverse((blocks.bytes[*block], life(block))));
    orders[3].sort_by_cached_key(|block| Reverse((life(block), blocks.bytes[*block])));
    orders[4].sort_by_cached_key(|block| Reverse((crowd(block), blocks.bytes[*block])));
    let mirrored = blocks.mirrored();
    let from_both_ends = orders.iter().flat_map(|order| {
        let from_top = mirrored.first_fit(order);
        let offset = |block: usize| from_top.bytes - from_top.offsets[block] - blocks.bytes[block];
        let from_top = Placement { offsets: (0..blocks.bytes.len()).map(offset).collect(), bytes: from_top.bytes };
        [blocks.first_fit(order), from_top]
    });
    let best = from_both_ends.min_by_key(|placement| placement.bytes);
    best.unwrap_or(Placement { offsets: Vec::new(), bytes: 0 })
}

/// A better placement than `known`, if the search finds one within so many steps.
pub(super) fn search(blocks: &Blocks, known: Placement, steps: usize) -> Placement {
    let mut search = Search { blocks, bound: blocks.lower_bound(), best: known, steps };
    let start = State {
        offsets: vec![None; blocks.bytes.len()],
        lowest: vec![0; blocks.bytes.len()],
        last: None,
        missing: blocks.bytes.len(),
    };
    search.extend(&start);
    search.best
}

impl Moment {
    fn has(&self, block: usize) -> bool {
        self.blocks.iter().any(|(other, _)| *other == block)
    }

    fn bytes(&self) -> i64 {
        self.blocks.iter().map(|(_, bytes)| bytes).sum::<i64>() - self.saving.map_or(0, |(_, _, saving)| saving)
    }
}

impl Blocks {
    /// The least that any placement takes: what is needed at once.
    pub(super) fn lower_bound(&self) -> i64 {
        self.moments.iter().map(Moment::bytes).max().unwrap_or(0)
    }

    /// The same blocks upside down.
    fn mirrored(&self) -> Self {
        let count = self.bytes.len();
        let distance = |b: usize, a: usize| self.distances[a][b].map(|d| d + self.bytes[b] - self.bytes[a]);
        let distances = (0..count).map(|b| (0..count).map(|a| distance(b, a)).collect()).collect();
        Self { bytes: self.bytes.clone(), distances, moments: Vec::new() }
    }

    /// Puts each block at the lowest place that those before it leave.
    fn first_fit(&self, order: &[usize]) -> Placement {
        let mut offsets = vec![None; self.bytes.len()];
        for &block in order {
            offsets[block] = Some(self.lowest(block, 0, &offsets));
        }
        let offsets: Vec<i64> = offsets.into_iter().map(Option::unwrap_or_default).collect();
        let bytes = offsets.iter().zip(&self.bytes).map(|(offset, bytes)| offset + bytes).max().unwrap_or(0);
        Placement { offsets, bytes }
    }

    /// The lowest place for a block, not below `start`, among those that have one.
    fn lowest(&self, block: usize, mut start: i64, offsets: &[Option<i64>]) -> i64 {
        loop {
            let before = start;
            for (other, offset) in offsets.iter().enumerate() {
                let (Some(offset), Some(above)) = (offset, self.distances[other][block]) else { continue };
                let below = self.distances[block][other].unwrap_or(0);
                if start < offset + above && offset - start < below {
                    start = offset + above;
                }
            }
            if start == before {
                return start;
            }
        }
    }
}

/// A search in depth through the orders of placement by offset.
struct Search<'a> {
    blocks: &'a Blocks,
    /// No placement is smaller.
    bound: i64,
    best: Placement,
    /// How many more states may be looked at.
    steps: usize,
}

/// Some blocks have a place; the others come at or above the last one's.
#[derive(Clone)]
struct State {
    offsets: Vec<Option<i64>>,
    /// Where each of the others could lie.
    lowest: Vec<i64>,
    last: Option<usize>,
    missing: usize,
}

impl Search<'_> {
    fn extend(&mut self, state: &State) {
        if state.missing == 0 {
            let offsets: Vec<i64> = state.offsets.iter().copied().map(Option::unwrap_or_default).collect();
            let bytes = offsets.iter().zip(&self.blocks.bytes).map(|(offset, bytes)| offset + bytes).max();
            self.best = Placement { offsets, bytes: bytes.unwrap_or(0) };
            return;
        }
        for block in self.candidates(state) {
            if self.steps == 0 || self.best.bytes <= self.bound {
                return;
            }
            self.steps -= 1;
            let next = self.put(state, block);
            if self.least(&next) < self.best.bytes {
                self.extend(&next);
            }
        }
    }

    /// The blocks that may come next, the most promising first.
    fn candidates(&self, state: &State) -> Vec<usize> {
        let bytes = &self.blocks.bytes;
        let floor = state.last.and_then(|last| state.offsets[last]).unwrap_or(0);
        let missing = || (0..bytes.len()).filter(|block| state.offsets[*block].is_none());
        let fits = |block: &usize| {
            let lowest = state.lowest[*block];
            // Above what another one could still take as a whole: that one could then move down there.
            let leaves_a_gap = missing().any(|other| other != *block && state.lowest[other] + bytes[other] <= lowest);
            // Blocks that are indifferent to each other come in the order of their numbers.
            let exchanged = lowest == floor
                && state.last.is_some_and(|last| self.blocks.distances[last][*block].is_none() && *block < last);
            lowest >= floor && !leaves_a_gap && !exchanged
        };
        let mut candidates: Vec<usize> = missing().filter(fits).collect();
        candidates.sort_by_key(|block| (state.lowest[*block], Reverse(bytes[*block])));
        candidates
    }

    fn put(&self, state: &State, block: usize) -> State {
        let mut next = state.clone();
        next.offsets[block] = Some(state.lowest[block]);
        next.last = Some(block);
        next.missing -= 1;
        for other in 0..next.offsets.len() {
            if next.offsets[other].is_none() && self.blocks.distances[block][other].is_some() {
                next.lowest[other] = self.blocks.lowest(other, state.lowest[other], &next.offsets);
            }
        }
        next
    }

    /// The least that the whole can take from here on.
    fn least(&self, state: &State) -> i64 {
        let floor = state.last.and_then(|last| state.offsets[last]).unwrap_or(0);
        let start = |block: usize| state.offsets[block].unwrap_or(state.lowest[block].max(floor));
        let ends = self.blocks.bytes.iter().enumerate().map(|(block, bytes)| start(block) + bytes);
        let moment = |moment: &Moment| {
            let missing = || moment.blocks.iter().filter(|(block, _)| state.offsets[*block].is_none());
            let first = missing().map(|(block, _)| start(*block)).min().unwrap_or(0);
            let saving = moment.saving.filter(|(a, b, _)| [a, b].iter().all(|block| state.offsets[**block].is_none()));
            first + missing().map(|(_, bytes)| bytes).sum::<i64>() - saving.map_or(0, |(_, _, saving)| saving)
        };
        ends.chain(self.blocks.moments.iter().map(moment)).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::tests::Random;

    /// Random blocks of which neighbours in time may overlap.
    fn random_blocks(random: &mut Random, count: usize) -> Blocks {
        let bytes: Vec<i64> = (0..count).map(|_| 4 * (1 + random.below(12)) as i64).collect();
        let lives: Vec<(usize, usize)> = (0..count)
            .map(|_| {
                let first = random.below(5);
                (first, first + random.below(3))
            })
            .collect();
        let mut blocks = Blocks { bytes, ..Blocks::default() };
        let met = |a: usize, b: usize| lives[a].0 <= lives[b].1 && lives[b].0 <= lives[a].1;
        for a in 0..count {
            let distance = |b: usize| (a != b && met(a, b)).then_some(blocks.bytes[a]);
            blocks.distances.push((0..count).map(distance).collect());
        }
        for time in 0..8 {
            let alive = |block: &usize| (lives[*block].0..=lives[*block].1).contains(&time);
            let alive: Vec<usize> = (0..count).filter(alive).collect();
            let mut moment = Moment { blocks: alive.iter().map(|b| (*b, blocks.bytes[*b])).collect(), saving: None };
            // `y` is made when `x` dies.
            let x = alive.iter().copied().find(|block| lives[*block].1 == time);
            let y = alive.iter().copied().find(|block| lives[*block].0 == time && Some(*block) != x);
            if let Some((x, y)) = x.zip(y) {
                let distance = (4 * random.below(6) as i64).min(blocks.bytes[y]);
                blocks.distances[y][x] = Some(distance);
                let (x_bytes, y_bytes) = (blocks.bytes[x], blocks.bytes[y]);
                moment.saving = Some((x, y, (x_bytes + y_bytes - y_bytes.max(distance + x_bytes)).max(0)));
            }
            blocks.moments.push(moment);
        }
        blocks
    }

    fn keeps_distances(blocks: &Blocks, placement: &Placement) -> bool {
        let (offsets, count) = (&placement.offsets, blocks.bytes.len());
        let inside = (0..count).all(|b| 0 <= offsets[b] && offsets[b] + blocks.bytes[b] <= placement.bytes);
        let pair = |a: usize, b: usize| match (blocks.distances[a][b], blocks.distances[b][a]) {
            (Some(above), Some(below)) => offsets[b] - offsets[a] >= above || offsets[a] - offsets[b] >= below,
            _ => true,
        };
        inside && (0..count).all(|a| (0..a).all(|b| pair(a, b)))
    }

    /// The smallest arena, from all orders of placement.
    fn smallest(blocks: &Blocks, order: &mut Vec<usize>) -> i64 {
        if order.len() == blocks.bytes.len() {
            return blocks.first_fit(order).bytes;
        }
        let mut best = i64::MAX;
        for block in 0..blocks.bytes.len() {
            if !order.contains(&block) {
                order.push(block);
                best = best.min(smallest(blocks, order));
                order.pop();
            }
        }
        best
    }

    #[test]
    fn the_search_finds_the_smallest_arena() {
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        for _ in 0..120 {
            let count = 1 + random.below(6);
            let blocks = random_blocks(&mut random, count);
            // From the worst placement, so that all is left to the search.
            let ends = blocks.bytes.iter().scan(0, |end, bytes| {
                *end += bytes;
                Some(*end)
            });
            let ends: Vec<i64> = ends.collect();
            let offsets = ends.iter().zip(&blocks.bytes).map(|(end, bytes)| end - bytes).collect();
            let stack = Placement { offsets, bytes: ends[count - 1] };
            let best = search(&blocks, stack, usize::MAX);
            assert!(keeps_distances(&blocks, &best), "{blocks:?}");
            assert_eq!(best.bytes, smallest(&blocks, &mut Vec::new()), "{blocks:?}");
            assert!(blocks.lower_bound() <= best.bytes && best.bytes <= place(&blocks).bytes);
        }
    }

    #[test]
    fn a_search_that_is_cut_short_keeps_what_is_known() {
        let mut random = Random(0xdead_beef_cafe_f00d);
        for steps in 0..60 {
            let blocks = random_blocks(&mut random, 30);
            let quick = place(&blocks);
            let best = search(&blocks, quick.clone(), steps);
            assert!(keeps_distances(&blocks, &quick) && keeps_distances(&blocks, &best));
            assert!(best.bytes <= quick.bytes);
        }
    }

    #[test]
    fn a_chain_needs_the_largest_neighbours_only() {
        let bytes = vec![100, 400, 200, 40];
        let distance = |a: usize, b: usize| (a.abs_diff(b) == 1).then_some(bytes[a]);
        let distances = (0..4).map(|a| (0..4).map(|b| distance(a, b)).collect()).collect();
        assert_eq!(place(&Blocks { bytes, distances, moments: Vec::new() }).bytes, 600);
    }

    #[test]
    fn nothing_takes_no_memory() {
        assert_eq!(search(&Blocks::default(), place(&Blocks::default()), 10).bytes, 0);
    }
}
