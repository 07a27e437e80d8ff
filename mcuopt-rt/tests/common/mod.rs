//! What the kernel tests share: random numbers, and references that are slow and obviously right.
#![allow(dead_code, unused_imports, unused_macros)] // Each test crate uses its part.

use mcuopt_rt::fixed::Requantize;

/// Runs a kernel and its twin in `shared` and returns what both wrote to an output of `len` times `fill`.
macro_rules! run {
    ($kernel:ident($($arg:expr),* $(,)?) -> $len:expr, $fill:expr) => {{
        let mut y = vec![$fill; $len];
        let mut shared = y.clone();
        mcuopt_rt::v0::$kernel($($arg,)* &mut y);
        mcuopt_rt::v0::shared::$kernel($($arg,)* &mut shared);
        assert_eq!(y, shared, "shared twin of {}", stringify!($kernel));
        y
    }};
}
pub(crate) use run;

/// Xorshift64* (S. Vigna, 2016): the same numbers in every run.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn u64(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// From `min ..= max`.
    pub(crate) fn range(&mut self, min: i64, max: i64) -> i64 {
        min + (self.u64() >> 1).rem_euclid((max - min + 1) as u64) as i64
    }

    pub(crate) fn size(&mut self, min: usize, max: usize) -> usize {
        self.range(min as i64, max as i64) as usize
    }

    pub(crate) fn sizes<const N: usize>(&mut self, min: usize, max: usize) -> [usize; N] {
        std::array::from_fn(|_| self.size(min, max))
    }

    /// Often the extremes.
    pub(crate) fn i8(&mut self) -> i8 {
        match self.range(0, 7) {
            0 => i8::MIN,
            1 => i8::MAX,
            _ => self.range(-128, 127) as i8,
        }
    }

    pub(crate) fn i8s(&mut self, len: usize) -> Vec<i8> {
        (0..len).map(|_| self.i8()).collect()
    }

    pub(crate) fn i32s(&mut self, len: usize, limit: i64) -> Vec<i32> {
        (0..len).map(|_| self.range(-limit, limit) as i32).collect()
    }

    /// From −2 to 2.
    pub(crate) fn f32(&mut self) -> f32 {
        self.range(-1 << 20, 1 << 20) as f32 / (1 << 19) as f32
    }

    pub(crate) fn f32s(&mut self, len: usize) -> Vec<f32> {
        (0..len).map(|_| self.f32()).collect()
    }

    pub(crate) fn multiplier(&mut self) -> i32 {
        // Factors from 2^-14 to 2^-4 spread sums of some taps over the whole output range.
        self.range(1 << 18, 1 << 28) as i32
    }

    pub(crate) fn multipliers(&mut self, len: usize) -> Vec<i32> {
        (0..len).map(|_| self.multiplier()).collect()
    }

    pub(crate) fn requantize(&mut self) -> Requantize {
        let (a, b) = (self.i8(), self.i8());
        let (min, max) = if self.range(0, 1) == 0 { (a.min(b), a.max(b)) } else { (i8::MIN, i8::MAX) };
        Requantize { left_shift: self.range(0, 2) as u32, zero_point: self.range(-128, 127) as i32, min, max }
    }
}

/// `clamp(floor(sum · 2^shift · multiplier / 2^32 + 1/2) + zero_point)` by the formula.
pub(crate) fn requantized(q: &Requantize, sum: i64, multiplier: i32) -> i8 {
    let product = (i128::from(sum) << q.left_shift) * i128::from(multiplier);
    let rounded = (product + (1 << 31)).div_euclid(1 << 32) as i64;
    (rounded + i64::from(q.zero_point)).clamp(q.min.into(), q.max.into()) as i8
}

/// All indices of a shape, in memory order.
pub(crate) fn indices(shape: &[usize]) -> Vec<Vec<usize>> {
    let mut all = vec![vec![]];
    for &size in shape {
        all = all.iter().flat_map(|index| (0..size).map(move |i| [&index[..], &[i]].concat())).collect();
    }
    all
}

/// The place in memory of an index into a row-major tensor.
pub(crate) fn at(shape: &[usize], index: &[usize]) -> usize {
    shape.iter().zip(index).fold(0, |at, (size, i)| {
        assert!(i < size);
        at * size + i
    })
}
