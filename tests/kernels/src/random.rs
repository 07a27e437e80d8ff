//! Numbers that are the same on every machine.

use mcuopt_rt::v0::Requantize;

/// Xorshift32 (G. Marsaglia, 2003).
pub struct Random(u32);

impl Random {
    /// The numbers of one case of a suite.
    pub fn new(suite: &str, number: u32) -> Self {
        // FNV-1a, and a finisher so that neighbours have nothing in common.
        let bytes = suite.bytes().chain(number.to_le_bytes());
        let mut hash = bytes.fold(0x811c_9dc5, |hash: u32, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
        hash = (hash ^ hash >> 16).wrapping_mul(0x85eb_ca6b);
        Random((hash ^ hash >> 13) | 1)
    }

    fn u32(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0
    }

    /// From `min ..= max`.
    pub fn range(&mut self, min: i32, max: i32) -> i32 {
        let count = (i64::from(max) - i64::from(min) + 1) as u64;
        (i64::from(min) + ((u64::from(self.u32()) * count) >> 32) as i64) as i32
    }

    /// From `min ..= max`.
    pub fn size(&mut self, min: usize, max: usize) -> usize {
        self.range(min as i32, max as i32) as usize
    }

    /// A number for each axis, from `min ..= max`.
    pub fn sizes(&mut self, min: usize, max: usize) -> [usize; 2] {
        [self.size(min, max), self.size(min, max)]
    }

    /// One of them.
    pub fn choose<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.size(0, items.len() - 1)]
    }

    /// Once in `n` times.
    pub fn once_in(&mut self, n: i32) -> bool {
        self.range(1, n) == 1
    }

    /// Any value, the extremes more often.
    pub fn i8(&mut self) -> i8 {
        match self.range(0, 15) {
            0 => i8::MIN,
            1 => i8::MAX,
            _ => self.range(-128, 127) as i8,
        }
    }

    /// A zero point: often at an end, as behind a Relu, or 0.
    pub fn zero_point(&mut self) -> i32 {
        let any = self.range(-128, 127);
        self.choose(&[-128, 127, 0, any, any, any])
    }

    /// Fills a tensor; some are as extreme as can be.
    pub fn fill(&mut self, tensor: &mut [i8]) {
        match self.range(0, 9) {
            0 => tensor.fill(i8::MIN),
            1 => tensor.fill(i8::MAX),
            2 => tensor.fill_with(|| self.choose(&[i8::MIN, i8::MAX])),
            3 => tensor.fill_with(|| if self.once_in(8) { self.i8() } else { 0 }),
            _ => tensor.fill_with(|| self.i8()),
        }
    }

    /// A requantization: mostly without a left shift and with the whole range, as layers have it.
    pub fn requantize(&mut self) -> Requantize {
        let any = self.size(0, 31) as u32;
        let left_shift = self.choose(&[0, 0, 0, 0, 0, 0, 1, 2, 3, any]);
        let zero_point = self.zero_point();
        let (a, b) = (self.i8(), self.i8());
        let (min, max) = match self.range(0, 3) {
            0 => (a.min(b), a.max(b)),
            1 => (zero_point as i8, i8::MAX),
            _ => (i8::MIN, i8::MAX),
        };
        Requantize { left_shift, zero_point, min, max }
    }
}
