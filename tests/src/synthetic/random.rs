//! Numbers without a pattern that are the same in every run.

/// A generator: xorshift64*.
pub(super) struct Random {
    state: u64,
}

impl Random {
    /// One whose numbers depend on `name` alone.
    pub(super) fn new(name: &str) -> Self {
        // FNV-1a, which spreads short names well enough; xorshift needs a state that is not 0.
        let mix = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        Self { state: name.bytes().fold(0xcbf2_9ce4_8422_2325, mix) | 1 }
    }

    /// Between −`range` and `range`.
    pub(super) fn number(&mut self, range: f32) -> f32 {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        let bits = (self.state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 40) as f32;
        (bits / (1u32 << 23) as f32 - 1.0) * range
    }

    /// `count` of them.
    pub(super) fn numbers(&mut self, count: usize, range: f32) -> Vec<f32> {
        (0..count).map(|_| self.number(range)).collect()
    }

    /// One of 0, 1, … `count` − 1.
    pub(super) fn below(&mut self, count: usize) -> usize {
        ((self.number(0.5) + 0.5) * count as f32) as usize % count
    }

    /// One of the choices.
    pub(super) fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    /// True `percent` times of a hundred.
    pub(super) fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}
