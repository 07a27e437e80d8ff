//! What differs between number formats where kernels are otherwise the same.

#[cfg(mcuopt_dsp)]
use crate::arch::dsp::rows;
#[cfg(not(mcuopt_dsp))]
use crate::arch::scalar as rows;

/// An element of activations and weights, and the accumulator that sums their products.
pub(crate) trait Value: Copy + Default + PartialEq {
    type Sum: Copy;

    /// `sum + x · weight`.
    fn mac(sum: Self::Sum, x: Self, weight: Self) -> Self::Sum;

    /// Adds `Σ x[i] · weights[j][i]` to `sums[j]`, in the order of `i`.
    #[inline(always)]
    fn dot4(sums: [Self::Sum; 4], x: &[Self], weights: [&[Self]; 4]) -> [Self::Sum; 4] {
        dot4(sums, x, weights)
    }
}

impl Value for i8 {
    type Sum = i32;

    #[inline(always)]
    fn mac(sum: i32, x: i8, weight: i8) -> i32 {
        sum + i32::from(x) * i32::from(weight)
    }

    #[inline(always)]
    fn dot4(sums: [i32; 4], x: &[i8], weights: [&[i8]; 4]) -> [i32; 4] {
        // A call takes as long as some elements.
        if x.len() < 16 { dot4(sums, x, weights) } else { rows::dot4(sums, x, weights) }
    }
}

impl Value for f32 {
    type Sum = f32;

    #[inline(always)]
    fn mac(sum: f32, x: f32, weight: f32) -> f32 {
        sum + x * weight
    }
}

#[inline(always)]
fn dot4<T: Value>(sums: [T::Sum; 4], x: &[T], weights: [&[T]; 4]) -> [T::Sum; 4] {
    let ([mut t0, mut t1, mut t2, mut t3], [w0, w1, w2, w3]) = (sums, weights);
    for ((((&x, &w0), &w1), &w2), &w3) in x.iter().zip(w0).zip(w1).zip(w2).zip(w3) {
        t0 = T::mac(t0, x, w0);
        t1 = T::mac(t1, x, w1);
        t2 = T::mac(t2, x, w2);
        t3 = T::mac(t3, x, w3);
    }
    [t0, t1, t2, t3]
}

/// Adds `Σ x[i] · weights[j][i]` to `sums[j]`, in the order of `i`: `N` outputs share each load of `x`.
#[inline(always)]
pub(crate) fn dot<T: Value, const N: usize>(mut sums: [T::Sum; N], x: &[T], weights: [&[T]; N]) -> [T::Sum; N] {
    match (&mut sums[..], &weights[..]) {
        // Four lanes are spelled out: at opt-level s and z LLVM unrolls no loop over them, and then the sums would
        // live in memory instead of registers.
        ([s0, s1, s2, s3], [w0, w1, w2, w3]) => {
            [*s0, *s1, *s2, *s3] = T::dot4([*s0, *s1, *s2, *s3], x, [w0, w1, w2, w3]);
        }
        (sums, weights) => {
            for (sum, weights) in sums.iter_mut().zip(weights) {
                *sum = x.iter().zip(*weights).fold(*sum, |sum, (&x, &weight)| T::mac(sum, x, weight));
            }
        }
    }
    sums
}

/// [`dot`] for a handful of elements: LLVM does not unroll this form, which for so few costs more than it saves.
#[inline(always)]
pub(crate) fn short_dot<T: Value, const N: usize>(mut sums: [T::Sum; N], x: &[T], weights: [&[T]; N]) -> [T::Sum; N] {
    // Equal lengths, known to be so: no bounds checks in the loop.
    let weights = weights.map(|row| &row[..x.len()]);
    for (i, &x) in x.iter().enumerate() {
        for j in 0..N {
            sums[j] = T::mac(sums[j], x, weights[j][i]);
        }
    }
    sums
}

/// `sums[j] = f(sums[j], x[j])`.
#[inline(always)]
pub(crate) fn each<S: Copy, T: Copy, const N: usize>(mut sums: [S; N], x: &[T; N], f: impl Fn(S, T) -> S) -> [S; N] {
    match (&mut sums[..], &x[..]) {
        // Spelled out as in `dot`.
        ([s0, s1, s2, s3], [x0, x1, x2, x3]) => {
            (*s0, *s1, *s2, *s3) = (f(*s0, *x0), f(*s1, *x1), f(*s2, *x2), f(*s3, *x3));
        }
        (sums, x) => sums.iter_mut().zip(x).for_each(|(sum, &x)| *sum = f(*sum, x)),
    }
    sums
}

/// `N` elements from `at` on.
#[inline(always)]
pub(crate) fn lanes<T, const N: usize>(elements: &[T], at: usize) -> &[T; N] {
    elements[at..].first_chunk().expect("N more channels")
}

/// Stores `finish(first + j, sums[j])` in `outputs[j]`.
#[inline(always)]
pub(crate) fn store<S: Copy, T, const N: usize>(
    outputs: &mut [T; N],
    first: usize,
    sums: [S; N],
    finish: impl Fn(usize, S) -> T,
) {
    for j in 0..N {
        outputs[j] = finish(first + j, sums[j]);
    }
}
