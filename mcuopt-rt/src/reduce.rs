//! ONNX ReduceMean, ReduceSum and its siblings over neighbouring axes, and GlobalAveragePool.

use crate::fixed::{Requantize, RequantizeS16};
use crate::geometry::Clamp;
use crate::math;
use crate::number::Number;
use crate::value::{each, lanes, store};

/// Reduces the middle axis: `[outer, len, inner]` → `[outer, inner]`. In NHWC, global pooling has
/// `len = height · width` and `inner = channels`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reduce {
    /// Elements before the reduced axes.
    pub outer: usize,
    /// Elements of the reduced axes. Of none, the sum is 0, the product 1, the maximum the lowest number.
    pub len: usize,
    /// Elements after the reduced axes.
    pub inner: usize,
}

/// Mean in f32, summed in order; `x: [outer, len, inner]`, `y: [outer, inner]`.
///
/// # Panics
/// If a slice's length is not that of its shape.
#[inline(always)]
pub fn reduce_mean_f32(p: &Reduce, clamp: &Clamp, x: &[f32], y: &mut [f32]) {
    reduce(p, x, y, 0.0, |sum, x| sum + x, |sum| clamp.apply(sum / p.len as f32));
}

/// Sum, in order; `x: [outer, len, inner]`, `y: [outer, inner]`.
///
/// # Panics
/// If a slice's length is not that of its shape.
pub fn reduce_sum<T: Number>(p: &Reduce, x: &[T], y: &mut [T]) {
    reduce(p, x, y, T::default(), T::add, |sum| sum);
}

/// Product, in order; `x: [outer, len, inner]`, `y: [outer, inner]`.
///
/// # Panics
/// If a slice's length is not that of its shape.
pub fn reduce_product<T: Number>(p: &Reduce, x: &[T], y: &mut [T]) {
    reduce(p, x, y, T::ONE, T::mul, |product| product);
}

/// Maximum, NaN ignored; `x: [outer, len, inner]`, `y: [outer, inner]`. In int8 both have the same quantization.
///
/// # Panics
/// If a slice's length is not that of its shape.
pub fn reduce_max<T: Number>(p: &Reduce, x: &[T], y: &mut [T]) {
    reduce(p, x, y, T::LOWEST, T::max, |max| max);
}

/// Minimum, NaN ignored; `x: [outer, len, inner]`, `y: [outer, inner]`. In int8 both have the same quantization.
///
/// # Panics
/// If a slice's length is not that of its shape.
pub fn reduce_min<T: Number>(p: &Reduce, x: &[T], y: &mut [T]) {
    reduce(p, x, y, T::HIGHEST, T::min, |min| min);
}

/// Sum of the magnitudes, in order; `x: [outer, len, inner]`, `y: [outer, inner]`.
///
/// # Panics
/// If a slice's length is not that of its shape.
pub fn reduce_l1<T: Number>(p: &Reduce, x: &[T], y: &mut [T]) {
    let zero = T::default();
    reduce(p, x, y, zero, |sum, x| sum.add(if x < zero { zero.sub(x) } else { x }), |sum| sum);
}

/// Sum of the squares, in order; `x: [outer, len, inner]`, `y: [outer, inner]`.
///
/// # Panics
/// If a slice's length is not that of its shape.
pub fn reduce_sum_square<T: Number>(p: &Reduce, x: &[T], y: &mut [T]) {
    reduce(p, x, y, T::default(), |sum, x| sum.add(x.mul(x)), |sum| sum);
}

/// Square root of the sum of the squares; `x: [outer, len, inner]`, `y: [outer, inner]`.
///
/// # Panics
/// If a slice's length is not that of its shape.
pub fn reduce_l2_f32(p: &Reduce, x: &[f32], y: &mut [f32]) {
    reduce(p, x, y, 0.0, |sum, x| sum + x * x, math::sqrt);
}

/// Logarithm of the sum; `x: [outer, len, inner]`, `y: [outer, inner]`.
///
/// # Panics
/// If a slice's length is not that of its shape.
pub fn reduce_log_sum_f32(p: &Reduce, x: &[f32], y: &mut [f32]) {
    reduce(p, x, y, 0.0, |sum, x| sum + x, math::ln);
}

/// Logarithm of the sum of exponentials, `max + ln Σ e^(x − max)`; `x: [outer, len, inner]`, `y: [outer, inner]`.
///
/// # Panics
/// If a slice's length is not that of its shape.
pub fn reduce_log_sum_exp_f32(p: &Reduce, x: &[f32], y: &mut [f32]) {
    reduce_max(p, x, y);
    if x.is_empty() {
        return;
    }
    for (x, y) in x.chunks_exact(p.len * p.inner).zip(y.chunks_exact_mut(p.inner)) {
        for (at, y) in y.iter_mut().enumerate() {
            // Infinities and NaN are their own result.
            let max = *y;
            if max.is_finite() {
                let sum = x[at..].iter().step_by(p.inner).fold(0.0, |sum, &x| sum + math::exp(x - max));
                *y = max + math::ln(sum);
            }
        }
    }
}

/// Mean in int8: `y = q.apply(Σ (x − input_zero_point), multiplier)`; `x: [outer, len, inner]`,
/// `y: [outer, inner]`.
///
/// The multiplier holds the division by `len`, and without it this is the sum. `len` is less than 2²³.
///
/// # Panics
/// If a slice's length is not that of its shape.
#[inline(always)]
pub fn reduce_mean_s8(p: &Reduce, q: &Requantize, multiplier: i32, input_zero_point: i32, x: &[i8], y: &mut [i8]) {
    let start = -(p.len as i32 * input_zero_point);
    reduce(p, x, y, start, |sum, x| sum + i32::from(x), |sum| q.apply(sum, multiplier));
}

/// Mean in int16, as [`reduce_mean_s8`], summed in 64 bits.
///
/// # Panics
/// If a slice's length is not that of its shape.
pub fn reduce_mean_s16(
    p: &Reduce,
    q: &RequantizeS16,
    multiplier: i32,
    input_zero_point: i32,
    x: &[i16],
    y: &mut [i16],
) {
    let start = -(p.len as i64 * i64::from(input_zero_point));
    reduce(p, x, y, start, |sum, x| sum + i64::from(x), |sum| q.apply_wide(sum, multiplier));
}

#[inline(always)]
fn reduce<T: Copy, A: Copy>(
    p: &Reduce,
    x: &[T],
    y: &mut [T],
    start: A,
    add: impl Fn(A, T) -> A,
    finish: impl Fn(A) -> T,
) {
    assert_eq!(x.len(), p.outer * p.len * p.inner, "x");
    assert_eq!(y.len(), p.outer * p.inner, "y");
    if x.is_empty() {
        y.fill_with(|| finish(start));
        return;
    }

    for (x, y) in x.chunks_exact(p.len * p.inner).zip(y.chunks_exact_mut(p.inner)) {
        let (y4, y1) = y.as_chunks_mut::<4>();
        let mut at = 0;
        for y in y4 {
            store(y, 0, fold(p, x, at, [start; 4], &add), |_, sum| finish(sum));
            at += 4;
        }
        for y in y1 {
            let [sum] = fold(p, x, at, [start], &add);
            *y = finish(sum);
            at += 1;
        }
    }
}

/// Folds `N` neighbouring elements, from `at` on, over all rows of `x: [len, inner]`.
#[inline(always)]
fn fold<T: Copy, A: Copy, const N: usize>(
    p: &Reduce,
    x: &[T],
    at: usize,
    mut sums: [A; N],
    add: impl Fn(A, T) -> A,
) -> [A; N] {
    for row in x.chunks_exact(p.inner) {
        sums = each(sums, lanes(row, at), &add);
    }
    sums
}
