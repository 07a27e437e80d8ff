//! Offsets for buffers with lives.

use super::Life;

/// A piece of memory that is needed for some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Buffer {
    /// Its size, a multiple of the alignment.
    pub(super) bytes: usize,
    /// When it is needed.
    pub(super) life: Life,
}

impl Buffer {
    fn meets(&self, other: &Buffer) -> bool {
        self.life.first <= other.life.last && other.life.first <= self.life.last
    }
}

/// The offset of each buffer, and the size of the arena: the best of several orders of placement.
pub(super) fn place(buffers: &[Buffer]) -> (Vec<usize>, usize) {
    let duration = |index: &usize| buffers[*index].life.last - buffers[*index].life.first;
    let mut orders: Vec<Vec<usize>> = vec![(0..buffers.len()).collect(); 3];
    // Largest first; longest-lived first; then as they come up.
    orders[0].sort_by_key(|index| std::cmp::Reverse((buffers[*index].bytes, duration(index))));
    orders[1].sort_by_key(|index| std::cmp::Reverse((duration(index), buffers[*index].bytes)));
    let placements = orders.iter().map(|order| place_in_order(buffers, order));
    placements.min_by_key(|(_, bytes)| *bytes).unwrap_or_default()
}

/// Puts each buffer into the tightest gap between those placed before it that live at the same time, or behind them.
fn place_in_order(buffers: &[Buffer], order: &[usize]) -> (Vec<usize>, usize) {
    let mut offsets = vec![0; buffers.len()];
    let mut placed: Vec<usize> = Vec::new();
    let mut arena = 0;
    for &index in order {
        let buffer = &buffers[index];
        let mut neighbours: Vec<(usize, usize)> = placed
            .iter()
            .filter(|&&other| buffers[other].meets(buffer))
            .map(|&other| (offsets[other], offsets[other] + buffers[other].bytes))
            .collect();
        neighbours.sort_unstable();
        let mut end = 0;
        let mut best: Option<(usize, usize)> = None;
        for (start, stop) in neighbours {
            let fits = start.checked_sub(end).filter(|gap| *gap >= buffer.bytes);
            if let Some(gap) = fits.filter(|gap| best.is_none_or(|(smallest, _)| *gap < smallest)) {
                best = Some((gap, end));
            }
            end = end.max(stop);
        }
        offsets[index] = best.map_or(end, |(_, offset)| offset);
        arena = arena.max(offsets[index] + buffer.bytes);
        placed.push(index);
    }
    (offsets, arena)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buffer(bytes: usize, first: usize, last: usize) -> Buffer {
        Buffer { bytes, life: Life { first, last } }
    }

    #[test]
    fn a_chain_needs_the_largest_neighbours_only() {
        let chain = [buffer(100, 0, 1), buffer(400, 1, 2), buffer(200, 2, 3), buffer(40, 3, 4)];
        assert_eq!(place(&chain).1, 600);
    }

    #[test]
    fn a_gap_is_filled_before_the_arena_grows() {
        let buffers = [buffer(64, 0, 4), buffer(32, 0, 1), buffer(64, 1, 4), buffer(32, 2, 4)];
        assert_eq!(place(&buffers).1, 160);
    }

    #[test]
    fn random_buffers_never_meet_and_the_arena_is_no_larger_than_their_sum() {
        let mut state = 0x2545_f491_4f6c_dd1du64;
        let mut random = |limit: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state % limit as u64) as usize
        };
        for _ in 0..200 {
            let buffers: Vec<Buffer> = (0..random(20) + 1)
                .map(|_| {
                    let first = random(12);
                    buffer(4 * (random(50) + 1), first, first + random(6))
                })
                .collect();
            let (offsets, arena) = place(&buffers);
            for a in 0..buffers.len() {
                assert!(offsets[a] + buffers[a].bytes <= arena);
                for b in 0..a {
                    let apart =
                        offsets[a] + buffers[a].bytes <= offsets[b] || offsets[b] + buffers[b].bytes <= offsets[a];
                    assert!(apart || !buffers[a].meets(&buffers[b]), "{buffers:?} {offsets:?}");
                }
            }
            assert!(arena <= buffers.iter().map(|buffer| buffer.bytes).sum());
        }
    }
}
