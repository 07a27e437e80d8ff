//! ONNX Add, Sub, Mul and Div with broadcasting.

use crate::fixed::{Quantization, Requantize, RequantizeS16, clamp_i8};
use crate::geometry::Clamp;
use crate::rows::{for_each_row, offset};

/// How the elements of two operands meet: `y[i…] = f(a[Σ i · a_strides], b[Σ i · b_strides])`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Broadcast {
    /// Shape of the output, with leading 1s; the fewer axes the compiler needs, the faster.
    pub shape: [usize; 4],
    /// For each axis, the elements of `a` from one index to the next; 0 repeats.
    pub a_strides: [usize; 4],
    /// The same for `b`.
    pub b_strides: [usize; 4],
}

/// What [`add_s8`] computes with: `y = clamp((a · a_multiplier + b · b_multiplier + bias) >> shift, min, max)`.
///
/// The bias holds all zero points and the rounding constant `2^(shift − 1)`; the sum fits `i32`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AddS8 {
    /// (scale of a / scale of y) · 2^shift, magnitude below 2¹⁵.
    pub a_multiplier: i32,
    /// ±(scale of b / scale of y) · 2^shift, magnitude below 2¹⁵; negative for Sub.
    pub b_multiplier: i32,
    /// Zero points and rounding.
    pub bias: i32,
    /// 1 to 22.
    pub shift: u32,
    /// Lower end of the output.
    pub min: i8,
    /// Upper end of the output.
    pub max: i8,
}

impl AddS8 {
    /// `y = a + sign_b · b` of real numbers, with `sign_b` 1 for Add and −1 for Sub.
    ///
    /// Takes the largest shift up to 22 that keeps both multipliers below 2¹⁵. Before the final rounding the
    /// result is wrong by at most `(|a − a.zero_point| + |b − b.zero_point|) / 2^(shift + 1)` output steps, for
    /// equal scales (shift 14) 0.016 of a step. A scale ratio above 2¹⁴ saturates; no useful network has one.
    pub const fn new(a: Quantization, b: Quantization, y: Quantization, sign_b: f64, min: i8, max: i8) -> Self {
        let a_factor = a.scale as f64 / y.scale as f64;
        let b_factor = sign_b * b.scale as f64 / y.scale as f64;
        let mut shift = 22;
        while shift > 1 && (too_large(a_factor, shift) || too_large(b_factor, shift)) {
            shift -= 1;
        }
        let (a_multiplier, b_multiplier) = (fixed_point(a_factor, shift), fixed_point(b_factor, shift));
        // All terms together: below 2^29 + 2^21 + 2 · 2^22.
        let bias =
            (y.zero_point << shift) + (1 << (shift - 1)) - a.zero_point * a_multiplier - b.zero_point * b_multiplier;
        AddS8 { a_multiplier, b_multiplier, bias, shift, min, max }
    }

    /// `clamp((a · a_multiplier + b · b_multiplier + bias) >> shift, min, max)`.
    #[inline(always)]
    pub const fn apply(&self, a: i8, b: i8) -> i8 {
        let sum = a as i32 * self.a_multiplier + b as i32 * self.b_multiplier + self.bias;
        clamp_i8(sum >> self.shift, self.min, self.max)
    }
}

const MULTIPLIER_LIMIT: f64 = (1 << 15) as f64;

const fn too_large(factor: f64, shift: u32) -> bool {
    factor.abs() * (1u32 << shift) as f64 + 0.5 >= MULTIPLIER_LIMIT
}

/// `factor · 2^shift`, to the nearest integer below the limit.
const fn fixed_point(factor: f64, shift: u32) -> i32 {
    rounded(factor, shift, MULTIPLIER_LIMIT)
}

/// What [`add_s16`] computes with: `y = clamp((a · a_multiplier + b · b_multiplier + bias) >> shift, min, max)`, in 64 bits.
///
/// The bias holds all zero points and the rounding constant `2^(shift − 1)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AddS16 {
    /// (scale of a / scale of y) · 2^shift, magnitude below 2³⁰.
    pub a_multiplier: i32,
    /// ±(scale of b / scale of y) · 2^shift, magnitude below 2³⁰; negative for Sub.
    pub b_multiplier: i32,
    /// Zero points and rounding.
    pub bias: i64,
    /// 1 to 30.
    pub shift: u32,
    /// Lower end of the output.
    pub min: i16,
    /// Upper end of the output.
    pub max: i16,
}

impl AddS16 {
    /// `y = a + sign_b · b` of real numbers, with `sign_b` 1 for Add and −1 for Sub.
    ///
    /// Takes the largest shift up to 30 that keeps both multipliers below 2³⁰: rounding them changes the result by less
    /// than 2^-12 of a step for scales of the same order. A scale ratio above 2²⁹ saturates.
    pub const fn new(a: Quantization, b: Quantization, y: Quantization, sign_b: f64, min: i16, max: i16) -> Self {
        const LIMIT: f64 = (1 << 30) as f64;
        let a_factor = a.scale as f64 / y.scale as f64;
        let b_factor = sign_b * b.scale as f64 / y.scale as f64;
        let largest = if a_factor > b_factor.abs() { a_factor } else { b_factor.abs() };
        let mut shift = 30;
        while shift > 1 && largest * (1u32 << shift) as f64 + 0.5 >= LIMIT {
            shift -= 1;
        }
        let (a_multiplier, b_multiplier) = (rounded(a_factor, shift, LIMIT), rounded(b_factor, shift, LIMIT));
        let bias = ((y.zero_point as i64) << shift) + (1 << (shift - 1))
            - a.zero_point as i64 * a_multiplier as i64
            - b.zero_point as i64 * b_multiplier as i64;
        AddS16 { a_multiplier, b_multiplier, bias, shift, min, max }
    }

    /// `clamp((a · a_multiplier + b · b_multiplier + bias) >> shift, min, max)`.
    #[inline(always)]
    pub const fn apply(&self, a: i16, b: i16) -> i16 {
        let sum = a as i64 * self.a_multiplier as i64 + b as i64 * self.b_multiplier as i64 + self.bias;
        let value = sum >> self.shift;
        if value < self.min as i64 {
            self.min
        } else if value > self.max as i64 {
            self.max
        } else {
            value as i16
        }
    }
}

/// `factor · 2^shift`, to the nearest integer below the limit.
const fn rounded(factor: f64, shift: u32, limit: f64) -> i32 {
    let magnitude = factor.abs() * (1u32 << shift) as f64 + 0.5;
    let magnitude = if magnitude < limit { magnitude as i32 } else { limit as i32 - 1 };
    if factor < 0.0 { -magnitude } else { magnitude }
}

/// A float operator: two operands, and the twin that overwrites the first.
macro_rules! binary_f32 {
    ($name:ident, $in_place:ident, $formula:literal, $f:expr) => {
        #[doc = concat!("`y = clamp(", $formula, ")` in f32, broadcast as `p` says.")]
        ///
        /// # Panics
        /// If a slice's length is not what `p` reaches.
        #[inline(always)]
        pub fn $name(p: &Broadcast, clamp: &Clamp, a: &[f32], b: &[f32], y: &mut [f32]) {
            let f: fn(f32, f32) -> f32 = $f;
            zip(p, a, b, y, |a, b| clamp.apply(f(a, b)));
        }

        #[doc = concat!("[`", stringify!($name), "`] where `a` and `y` share memory: `a` has the output's shape.")]
        ///
        /// # Panics
        /// If a slice's length is not what `p` reaches.
        #[inline(always)]
        pub fn $in_place(p: &Broadcast, clamp: &Clamp, ay: &mut [f32], b: &[f32]) {
            let f: fn(f32, f32) -> f32 = $f;
            zip_in_place(p, ay, b, |a, b| clamp.apply(f(a, b)));
        }
    };
}

binary_f32!(add_f32, add_f32_in_place, "a + b", |a, b| a + b);
binary_f32!(sub_f32, sub_f32_in_place, "a - b", |a, b| a - b);
binary_f32!(mul_f32, mul_f32_in_place, "a · b", |a, b| a * b);
binary_f32!(div_f32, div_f32_in_place, "a / b", |a, b| a / b);

/// Sum or difference in int8, see [`AddS8`]; broadcast as `p` says.
///
/// # Panics
/// If a slice's length is not what `p` reaches.
#[inline(always)]
pub fn add_s8(p: &Broadcast, q: &AddS8, a: &[i8], b: &[i8], y: &mut [i8]) {
    #[cfg(mcuopt_dsp)]
    if let Some(len) = one_run(p) {
        assert!(a.len() == len && b.len() == len && y.len() == len, "a, b, y");
        crate::arch::dsp::add::add(&dsp_args(q), len & !3, Some(a), b, y);
        for i in len & !3..len {
            y[i] = q.apply(a[i], b[i]);
        }
        return;
    }
    zip(p, a, b, y, |a, b| q.apply(a, b));
}

/// [`add_s8`] where `a` and `y` share memory: `a` has the output's shape.
///
/// # Panics
/// If a slice's length is not what `p` reaches.
#[inline(always)]
pub fn add_s8_in_place(p: &Broadcast, q: &AddS8, ay: &mut [i8], b: &[i8]) {
    #[cfg(mcuopt_dsp)]
    if let Some(len) = one_run(p) {
        assert!(b.len() == len && ay.len() == len, "ay, b");
        crate::arch::dsp::add::add(&dsp_args(q), len & !3, None, b, ay);
        for i in len & !3..len {
            ay[i] = q.apply(ay[i], b[i]);
        }
        return;
    }
    zip_in_place(p, ay, b, |a, b| q.apply(a, b));
}

/// The number of elements, if they meet one to one.
#[cfg(mcuopt_dsp)]
#[inline(always)]
fn one_run(p: &Broadcast) -> Option<usize> {
    let [a, b, c, len] = p.shape;
    let contiguous = p.a_strides[3] == 1 && p.b_strides[3] == 1;
    (a * b * c == 1 && contiguous).then_some(len)
}

#[cfg(mcuopt_dsp)]
#[inline(always)]
fn dsp_args(q: &AddS8) -> crate::arch::dsp::add::AddArgs {
    crate::arch::dsp::add::AddArgs {
        multipliers: (q.a_multiplier as u32 & 0xffff) | (q.b_multiplier as u32) << 16,
        bias: q.bias,
        shift: q.shift,
        min: u32::from(q.min as u8) * 0x0101_0101,
        max: u32::from(q.max as u8) * 0x0101_0101,
    }
}

/// Product in int8: `y = q.apply((a − a_zero_point) · (b − b_zero_point), multiplier)`; broadcast as `p` says.
///
/// # Panics
/// If a slice's length is not what `p` reaches.
#[inline(always)]
#[allow(clippy::too_many_arguments)]
pub fn mul_s8(
    p: &Broadcast,
    q: &Requantize,
    multiplier: i32,
    a_zero_point: i32,
    b_zero_point: i32,
    a: &[i8],
    b: &[i8],
    y: &mut [i8],
) {
    zip(p, a, b, y, |a, b| q.apply((i32::from(a) - a_zero_point) * (i32::from(b) - b_zero_point), multiplier));
}

/// [`mul_s8`] where `a` and `y` share memory: `a` has the output's shape.
///
/// # Panics
/// If a slice's length is not what `p` reaches.
#[inline(always)]
pub fn mul_s8_in_place(
    p: &Broadcast,
    q: &Requantize,
    multiplier: i32,
    a_zero_point: i32,
    b_zero_point: i32,
    ay: &mut [i8],
    b: &[i8],
) {
    zip_in_place(p, ay, b, |a, b| q.apply((i32::from(a) - a_zero_point) * (i32::from(b) - b_zero_point), multiplier));
}

/// Sum or difference in int16, see [`AddS16`]; broadcast as `p` says.
///
/// # Panics
/// If a slice's length is not what `p` reaches.
pub fn add_s16(p: &Broadcast, q: &AddS16, a: &[i16], b: &[i16], y: &mut [i16]) {
    zip(p, a, b, y, |a, b| q.apply(a, b));
}

/// [`add_s16`] where `a` and `y` share memory: `a` has the output's shape.
///
/// # Panics
/// If a slice's length is not what `p` reaches.
pub fn add_s16_in_place(p: &Broadcast, q: &AddS16, ay: &mut [i16], b: &[i16]) {
    zip_in_place(p, ay, b, |a, b| q.apply(a, b));
}

/// Product in int16: `y = q.apply((a − a_zero_point) · (b − b_zero_point), multiplier)`, the product in 64 bits; broadcast
/// as `p` says.
///
/// # Panics
/// If a slice's length is not what `p` reaches.
#[allow(clippy::too_many_arguments)]
pub fn mul_s16(
    p: &Broadcast,
    q: &RequantizeS16,
    multiplier: i32,
    a_zero_point: i32,
    b_zero_point: i32,
    a: &[i16],
    b: &[i16],
    y: &mut [i16],
) {
    zip(p, a, b, y, |a, b| q.apply_wide(product(a, a_zero_point, b, b_zero_point), multiplier));
}

/// [`mul_s16`] where `a` and `y` share memory: `a` has the output's shape.
///
/// # Panics
/// If a slice's length is not what `p` reaches.
pub fn mul_s16_in_place(
    p: &Broadcast,
    q: &RequantizeS16,
    multiplier: i32,
    a_zero_point: i32,
    b_zero_point: i32,
    ay: &mut [i16],
    b: &[i16],
) {
    zip_in_place(p, ay, b, |a, b| q.apply_wide(product(a, a_zero_point, b, b_zero_point), multiplier));
}

#[inline(always)]
fn product(a: i16, a_zero_point: i32, b: i16, b_zero_point: i32) -> i64 {
    i64::from(i32::from(a) - a_zero_point) * i64::from(i32::from(b) - b_zero_point)
}

/// The length of an operand with these strides: one past the last element that it reaches.
#[inline(always)]
fn reach(shape: [usize; 4], strides: &[usize; 4]) -> usize {
    offset(shape.map(|size| size - 1), strides) + 1
}

/// `y = f(a, b)`, broadcast as `p` says.
#[inline(always)]
pub(crate) fn zip<A: Copy, B: Copy, Y>(p: &Broadcast, a: &[A], b: &[B], y: &mut [Y], f: impl Fn(A, B) -> Y) {
    let [outer @ .., len] = p.shape;
    assert_eq!(a.len(), reach(p.shape, &p.a_strides), "a");
    assert_eq!(b.len(), reach(p.shape, &p.b_strides), "b");
    assert_eq!(y.len(), p.shape.iter().product(), "y");

    for_each_row(outer, len, y, |index, row| {
        let (a, b) = (&a[offset(index, &p.a_strides)..], &b[offset(index, &p.b_strides)..]);
        // Plain loops for operands that are contiguous or constant along the row.
        match (p.a_strides[3], p.b_strides[3]) {
            (1, 1) => row.iter_mut().zip(&a[..len]).zip(&b[..len]).for_each(|((y, &a), &b)| *y = f(a, b)),
            (1, 0) => row.iter_mut().zip(&a[..len]).for_each(|(y, &a)| *y = f(a, b[0])),
            (0, 1) => row.iter_mut().zip(&b[..len]).for_each(|(y, &b)| *y = f(a[0], b)),
            (a_stride, b_stride) => {
                row.iter_mut().enumerate().for_each(|(i, y)| *y = f(a[i * a_stride], b[i * b_stride]));
            }
        }
    });
}

/// `ay = f(ay, b)`, broadcast as `p` says.
#[inline(always)]
pub(crate) fn zip_in_place<A: Copy, B: Copy>(p: &Broadcast, ay: &mut [A], b: &[B], f: impl Fn(A, B) -> A) {
    let [outer @ .., len] = p.shape;
    assert_eq!(ay.len(), p.shape.iter().product(), "ay");
    assert_eq!(b.len(), reach(p.shape, &p.b_strides), "b");

    for_each_row(outer, len, ay, |index, row| {
        let b = &b[offset(index, &p.b_strides)..];
        match p.b_strides[3] {
            1 => row.iter_mut().zip(&b[..len]).for_each(|(ay, &b)| *ay = f(*ay, b)),
            0 => row.iter_mut().for_each(|ay| *ay = f(*ay, b[0])),
            b_stride => row.iter_mut().enumerate().for_each(|(i, ay)| *ay = f(*ay, b[i * b_stride])),
        }
    });
}
