//! Which channels of a tensor stay.

/// The channels that stay, of as many as there were.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    keep: Vec<bool>,
}

impl Kept {
    pub(super) fn new(keep: Vec<bool>) -> Self {
        Self { keep }
    }

    /// Whether none goes.
    pub(super) fn is_all(&self) -> bool {
        self.keep.iter().all(|&keep| keep)
    }

    /// How many there were.
    pub(super) fn before(&self) -> usize {
        self.keep.len()
    }

    /// How many stay.
    pub(super) fn len(&self) -> usize {
        self.len_below(self.keep.len())
    }

    /// How many stay of the first `channel` ones.
    pub(super) fn len_below(&self, channel: usize) -> usize {
        self.keep[..channel].iter().filter(|&&keep| keep).count()
    }

    /// Those that stay, by their old numbers.
    pub(super) fn stay(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.keep.len()).filter(|&channel| self.keep[channel])
    }

    /// Those that go.
    pub(super) fn removed(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.keep.len()).filter(|&channel| !self.keep[channel])
    }

    /// What stays of `[rows, channels]`.
    pub(super) fn pick<T: Copy>(&self, elements: &[T]) -> Vec<T> {
        let kept = elements.iter().zip(self.keep.iter().cycle()).filter(|(_, keep)| **keep);
        kept.map(|(&element, _)| element).collect()
    }

    /// How many elements stay of a run of `elements`, which is whole rows.
    pub(super) fn scale(&self, elements: usize) -> usize {
        elements / self.before().max(1) * self.len()
    }
}
