//! ONNX Softmax and LogSoftmax.

use crate::fixed::{Quantization, Requantize, RequantizeS16, left_shift_for, multiplier};
use crate::math;

/// Works along the middle axis of `[outer, len, inner]`; `inner` is 1 where the axis is the last.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rows {
    /// Elements before the axis.
    pub outer: usize,
    /// Elements of the axis, at least 1.
    pub len: usize,
    /// Elements after the axis.
    pub inner: usize,
}

impl Rows {
    /// Calls `f` with each row: iterators over its `len` elements can be had from it as often as needed.
    #[inline(always)]
    fn for_each<T>(&self, xy: &mut [T], mut f: impl FnMut(Row<'_, T>)) {
        assert_eq!(xy.len(), self.outer * self.len * self.inner, "x");
        for block in xy.chunks_exact_mut(self.len * self.inner) {
            for i in 0..self.inner {
                f(Row { elements: &mut block[i..], stride: self.inner });
            }
        }
    }
}

/// Every `stride`-th element.
struct Row<'a, T> {
    elements: &'a mut [T],
    stride: usize,
}

impl<T: Copy> Row<'_, T> {
    #[inline(always)]
    fn iter(&self) -> impl Iterator<Item = T> {
        self.elements.iter().step_by(self.stride).copied()
    }

    #[inline(always)]
    fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.elements.iter_mut().step_by(self.stride)
    }
}

/// Softmax in f32: `y = e^(x − max) / Σ e^(x − max)`, summed in order; `x` and `y`: `[outer, len, inner]`.
///
/// # Panics
/// If a slice's length is not that of its shape.
#[inline(always)]
pub fn softmax_f32(p: &Rows, x: &[f32], y: &mut [f32]) {
    y.copy_from_slice(x);
    softmax_f32_in_place(p, y);
}

/// [`softmax_f32`] where `x` and `y` share memory.
#[inline(always)]
pub fn softmax_f32_in_place(p: &Rows, xy: &mut [f32]) {
    p.for_each(xy, |mut row| {
        let max = max(row.iter());
        let mut sum = 0.0;
        for y in row.iter_mut() {
            *y = math::exp(*y - max);
            sum += *y;
        }
        for y in row.iter_mut() {
            *y /= sum;
        }
    });
}

/// Logarithm of softmax in f32: `y = (x − max) − ln Σ e^(x − max)`, summed in order; `x` and `y`:
/// `[outer, len, inner]`.
///
/// # Panics
/// If a slice's length is not that of its shape.
#[inline(always)]
pub fn log_softmax_f32(p: &Rows, x: &[f32], y: &mut [f32]) {
    y.copy_from_slice(x);
    log_softmax_f32_in_place(p, y);
}

/// [`log_softmax_f32`] where `x` and `y` share memory.
#[inline(always)]
pub fn log_softmax_f32_in_place(p: &Rows, xy: &mut [f32]) {
    p.for_each(xy, |mut row| {
        let max = max(row.iter());
        let ln_sum = math::ln(row.iter().fold(0.0, |sum, x| sum + math::exp(x - max)));
        for y in row.iter_mut() {
            *y = (*y - max) - ln_sum;
        }
    });
}

#[inline(always)]
fn max(row: impl Iterator<Item = f32>) -> f32 {
    row.fold(f32::NEG_INFINITY, |max, x| if x > max { x } else { max })
}

/// 1 in the table of exponentials.
const EXP_BITS: u32 = 15;

/// The table that the int8 kernels take: `exp[d] = round(2^15 · e^(−d · scale))` for `d = max − x` in steps of
/// the input's scale. Also returns its length without trailing zeros, 1 to 256.
///
/// For the host, where the compiler makes constants.
pub fn exp_table(scale: f64) -> ([u16; 256], usize) {
    let mut table = [0; 256];
    let mut len = 0;
    for (d, entry) in table.iter_mut().enumerate() {
        let power = d as f64 * scale;
        // e^−20 · 2^15 is 0 after rounding.
        *entry = if power < 20.0 { (math::exp_f64(-power) * f64::from(1 << EXP_BITS) + 0.5) as u16 } else { 0 };
        if *entry > 0 {
            len = d + 1;
        }
    }
    (table, len)
}

/// What [`softmax_s8`] ends with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SoftmaxS8 {
    /// From probabilities in units of 2⁻¹⁶ to the output.
    pub requantize: Requantize,
    /// Its multiplier: the factor is 2⁻¹⁶ / (scale of the output).
    pub multiplier: i32,
}

impl SoftmaxS8 {
    /// For an output with the quantization `y`, usually scale 1/256 and zero point −128.
    pub const fn new(y: Quantization) -> Self {
        let factor = 1.0 / (65536.0 * y.scale as f64);
        let left_shift = left_shift_for(factor);
        let requantize = Requantize { left_shift, zero_point: y.zero_point, min: i8::MIN, max: i8::MAX };
        SoftmaxS8 { requantize, multiplier: multiplier(factor, left_shift) }
    }
}

/// Softmax in int8, with integers only; `x` and `y`: `[outer, len, inner]`, `len` at most 2¹⁵.
///
/// With `e = exp[max − x]`, 0 past the table's end (see [`exp_table`]), the probability in units of 2⁻¹⁶ is
/// `floor((e · 2^16 + floor(sum / 2)) / sum)`, and `y = q.requantize.apply(probability, q.multiplier)`.
///
/// # Panics
/// If a slice's length is not that of its shape, or `len` is too large, or `exp` is empty.
#[inline(always)]
pub fn softmax_s8(p: &Rows, q: &SoftmaxS8, exp: &[u16], x: &[i8], y: &mut [i8]) {
    y.copy_from_slice(x);
    softmax_s8_in_place(p, q, exp, y);
}

/// [`softmax_s8`] where `x` and `y` share memory.
#[inline(always)]
pub fn softmax_s8_in_place(p: &Rows, q: &SoftmaxS8, exp: &[u16], xy: &mut [i8]) {
    assert!(p.len <= 1 << 15, "the sum of exponentials must fit u32");
    p.for_each(xy, |mut row| {
        let (max, sum) = max_and_sum(&row, exp);
        for y in row.iter_mut() {
            // At most 2^31 + 2^29.
            let probability = ((lookup(exp, max - i32::from(*y)) << 16) + sum / 2) / sum;
            *y = q.requantize.apply(probability as i32, q.multiplier);
        }
    });
}

/// The tables that [`softmax_s16`] takes: `coarse[k] = round(2^15 · e^(−256 k · scale))` and `fine[k] = round(2^15 ·
/// e^(−k · scale))`, for `max − x = 256 · coarse + fine` in steps of the input's scale.
///
/// For the host, where the compiler makes constants.
pub fn exp_tables(scale: f64) -> ([u16; 256], [u16; 256]) {
    let table = |step: f64| {
        core::array::from_fn(|k| {
            let power = k as f64 * step;
            if power < 20.0 { (math::exp_f64(-power) * f64::from(1 << EXP_BITS) + 0.5) as u16 } else { 0 }
        })
    };
    (table(256.0 * scale), table(scale))
}

/// Softmax in int16, with integers only; `x` and `y`: `[outer, len, inner]`, `len` at most 2¹⁵.
///
/// With `e = coarse[d / 256] · fine[d mod 256]` for `d = max − x` (see [`exp_tables`]), the probability in units of 2⁻¹⁶ is
/// `floor((e · 2^16 + floor(sum / 2)) / sum)`, and `y = q.apply(probability, multiplier)`: the factor is 2⁻¹⁶ / (scale of
/// the output).
///
/// # Panics
/// If a slice's length is not that of its shape, or `len` is too large.
pub fn softmax_s16(
    p: &Rows,
    q: &RequantizeS16,
    multiplier: i32,
    coarse: &[u16; 256],
    fine: &[u16; 256],
    x: &[i16],
    y: &mut [i16],
) {
    y.copy_from_slice(x);
    softmax_s16_in_place(p, q, multiplier, coarse, fine, y);
}

/// [`softmax_s16`] where `x` and `y` share memory.
pub fn softmax_s16_in_place(
    p: &Rows,
    q: &RequantizeS16,
    multiplier: i32,
    coarse: &[u16; 256],
    fine: &[u16; 256],
    xy: &mut [i16],
) {
    assert!(p.len <= 1 << 15, "the sum of exponentials must fit 46 bits");
    p.for_each(xy, |mut row| {
        let max = i32::from(row.iter().fold(i16::MIN, |max, x| max.max(x)));
        let exp = |x: i16| {
            let d = (max - i32::from(x)) as usize;
            u64::from(coarse[d / 256 % 256]) * u64::from(fine[d % 256])
        };
        let sum: u64 = row.iter().map(exp).sum();
        for y in row.iter_mut() {
            // At most 2^46 + 2^44.
            let probability = ((exp(*y) << 16) + sum / 2) / sum;
            *y = q.apply(probability as i32, multiplier);
        }
    });
}

/// What [`log_softmax_s8`] computes with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LogSoftmaxS8 {
    /// `round(2^16 · (scale of the input) / ln 2)`: one step of the input as a binary logarithm; below 2²³.
    pub log2_step: i32,
    /// From binary logarithms in units of 2⁻¹⁶ to the output.
    pub requantize: Requantize,
    /// Its multiplier: the factor is 2⁻¹⁶ · ln 2 / (scale of the output).
    pub multiplier: i32,
}

impl LogSoftmaxS8 {
    /// For an input with the scale `x_scale`, below 88, and an output with the quantization `y`.
    pub const fn new(x_scale: f32, y: Quantization) -> Self {
        const LN_2: f64 = core::f64::consts::LN_2;
        let log2_step = (x_scale as f64 / LN_2 * 65536.0 + 0.5) as i32;
        let factor = LN_2 / (65536.0 * y.scale as f64);
        let left_shift = left_shift_for(factor);
        let requantize = Requantize { left_shift, zero_point: y.zero_point, min: i8::MIN, max: i8::MAX };
        LogSoftmaxS8 { log2_step, requantize, multiplier: multiplier(factor, left_shift) }
    }
}

/// Logarithm of softmax in int8, with integers only; `x` and `y`: `[outer, len, inner]`, `len` at most 2¹⁵.
///
/// `y = q.requantize.apply(−((max − x) · log2_step + log2 Σ exp[max − x]), q.multiplier)`, where the logarithm is
/// in units of 2⁻¹⁶ and relative to the table's unit. Before the final rounding, `y · scale` is wrong by at most
/// `len / 2^16` (the table's rounding) + 0.0015: far below a step for any usual classifier.
///
/// # Panics
/// If a slice's length is not that of its shape, or `len` is too large, or `exp` is empty.
#[inline(always)]
pub fn log_softmax_s8(p: &Rows, q: &LogSoftmaxS8, exp: &[u16], x: &[i8], y: &mut [i8]) {
    y.copy_from_slice(x);
    log_softmax_s8_in_place(p, q, exp, y);
}

/// [`log_softmax_s8`] where `x` and `y` share memory.
#[inline(always)]
pub fn log_softmax_s8_in_place(p: &Rows, q: &LogSoftmaxS8, exp: &[u16], xy: &mut [i8]) {
    assert!(p.len <= 1 << 15, "the sum of exponentials must fit u32");
    p.for_each(xy, |mut row| {
        let (max, sum) = max_and_sum(&row, exp);
        let log2_sum = log2_q16(sum) - ((EXP_BITS as i32) << 16);
        for y in row.iter_mut() {
            let below_zero = (max - i32::from(*y)) * q.log2_step + log2_sum;
            *y = q.requantize.apply(-below_zero, q.multiplier);
        }
    });
}

/// What [`log_softmax_s16`] computes with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LogSoftmaxS16 {
    /// `round(2^32 · (scale of the input) / ln 2)`: one step of the input as a binary logarithm; below 2³⁹.
    pub log2_step: i64,
    /// From binary logarithms in units of 2⁻¹⁶ to the output.
    pub requantize: RequantizeS16,
    /// Its multiplier: the factor is 2⁻¹⁶ · ln 2 / (scale of the output).
    pub multiplier: i32,
}

impl LogSoftmaxS16 {
    /// For an input with the scale `x_scale`, below 0.4 (so that a difference is below 2¹⁵ as a binary logarithm), and an
    /// output with the quantization `y`.
    pub const fn new(x_scale: f32, y: Quantization) -> Self {
        const LN_2: f64 = core::f64::consts::LN_2;
        let log2_step = (x_scale as f64 / LN_2 * 4294967296.0 + 0.5) as i64;
        let factor = LN_2 / (65536.0 * y.scale as f64);
        let left_shift = left_shift_for(factor);
        let requantize = RequantizeS16 { left_shift, zero_point: y.zero_point, min: i16::MIN, max: i16::MAX };
        LogSoftmaxS16 { log2_step, requantize, multiplier: multiplier(factor, left_shift) }
    }
}

/// Logarithm of softmax in int16, with integers only; `x` and `y`: `[outer, len, inner]`, `len` at most 2¹⁵.
///
/// As [`log_softmax_s8`], with the exponentials of [`softmax_s16`]. Before the final rounding, `y · scale` is wrong by at most
/// `len / 2^14` (the tables' rounding) + 0.0001.
///
/// # Panics
/// If a slice's length is not that of its shape, or `len` is too large.
pub fn log_softmax_s16(p: &Rows, q: &LogSoftmaxS16, coarse: &[u16; 256], fine: &[u16; 256], x: &[i16], y: &mut [i16]) {
    y.copy_from_slice(x);
    log_softmax_s16_in_place(p, q, coarse, fine, y);
}

/// [`log_softmax_s16`] where `x` and `y` share memory.
pub fn log_softmax_s16_in_place(p: &Rows, q: &LogSoftmaxS16, coarse: &[u16; 256], fine: &[u16; 256], xy: &mut [i16]) {
    assert!(p.len <= 1 << 15, "the sum of exponentials must fit 46 bits");
    p.for_each(xy, |mut row| {
        let max = i32::from(row.iter().fold(i16::MIN, |max, x| max.max(x)));
        let exp = |x: i16| {
            let d = (max - i32::from(x)) as usize;
            u64::from(coarse[d / 256 % 256]) * u64::from(fine[d % 256])
        };
        let sum: u64 = row.iter().map(exp).sum();
        // At least 2^30; 32 bits of it are enough.
        let shift = 33_u32.saturating_sub(sum.leading_zeros());
        let log2_sum = log2_q16((sum >> shift) as u32) + ((shift as i32 - 2 * EXP_BITS as i32) << 16);
        for y in row.iter_mut() {
            let below_zero = ((i64::from(max - i32::from(*y)) * q.log2_step + (1 << 15)) >> 16) as i32 + log2_sum;
            *y = q.requantize.apply(-below_zero, q.multiplier);
        }
    });
}

/// The row's maximum and its sum of exponentials, 2^15 to 2^30.
#[inline(always)]
fn max_and_sum(row: &Row<'_, i8>, exp: &[u16]) -> (i32, u32) {
    let max = i32::from(row.iter().fold(i8::MIN, |max, x| max.max(x)));
    let sum = row.iter().fold(0, |sum, x| sum + lookup(exp, max - i32::from(x)));
    (max, sum)
}

#[inline(always)]
fn lookup(exp: &[u16], below_max: i32) -> u32 {
    exp.get(below_max as usize).map_or(0, |&e| u32::from(e))
}

/// `floor(2^16 · log2 x)` for x ≥ 1, up to an error of 1 in the last place.
///
/// Squaring a number doubles its logarithm; each time the mantissa, in 1 .. 2, passes 2, the next bit of the
/// logarithm is 1 (C. S. Turner, *A Fast Binary Logarithm Algorithm*, IEEE Signal Processing Magazine, 2010).
fn log2_q16(x: u32) -> i32 {
    let exponent = x.ilog2();
    let mut mantissa = u64::from(x << (31 - exponent));
    let mut log2 = exponent as i32;
    for _ in 0..16 {
        mantissa = (mantissa * mantissa) >> 31;
        let bit = mantissa >> 32;
        mantissa >>= bit;
        log2 = log2 << 1 | bit as i32;
    }
    log2
}
