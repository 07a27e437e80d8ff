//! ONNX ArgMax, ArgMin, TopK and Hardmax: which elements of a row are the largest.

use crate::number::Index;
use crate::softmax::Rows;

/// Positions of the largest elements along the middle axis; `x: [outer, len, inner]`, `y: [outer, inner]`. Among equals
/// it is the first, or the last one if `last`. NaN is larger than nothing.
///
/// # Panics
/// If a slice's length is not that of its shape.
pub fn arg_max<T: Copy + PartialOrd, I: Index>(p: &Rows, last: bool, x: &[T], y: &mut [I]) {
    arg_best(p, x, y, |new, best| new > best || (last && new == best));
}

/// Positions of the smallest elements, as [`arg_max`].
///
/// # Panics
/// If a slice's length is not that of its shape.
pub fn arg_min<T: Copy + PartialOrd, I: Index>(p: &Rows, last: bool, x: &[T], y: &mut [I]) {
    arg_best(p, x, y, |new, best| new < best || (last && new == best));
}

fn arg_best<T: Copy, I: Index>(p: &Rows, x: &[T], y: &mut [I], better: impl Fn(T, T) -> bool) {
    assert_eq!(x.len(), p.outer * p.len * p.inner, "x");
    assert_eq!(y.len(), p.outer * p.inner, "y");
    for (x, y) in x.chunks_exact(p.len * p.inner).zip(y.chunks_exact_mut(p.inner)) {
        for (at, y) in y.iter_mut().enumerate() {
            *y = I::from_position(best_of(p, &x[at..], &better));
        }
    }
}

/// Where the best element stands in the row that starts `x`.
fn best_of<T: Copy>(p: &Rows, x: &[T], better: impl Fn(T, T) -> bool) -> usize {
    let (mut best, mut best_at) = (x[0], 0);
    for (position, &x) in x.iter().step_by(p.inner).enumerate() {
        if better(x, best) {
            (best, best_at) = (x, position);
        }
    }
    best_at
}

/// The `k` largest or smallest elements along the middle axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TopK {
    /// The axis.
    pub rows: Rows,
    /// How many, from 1 to `rows.len`.
    pub k: usize,
    /// The largest, or the smallest.
    pub largest: bool,
}

/// Positions of the best elements along the middle axis, the best one first, the first one among equals;
/// `x: [outer, len, inner]`, `y: [outer, k, inner]`. Takes up to `k` comparisons for each element.
///
/// # Panics
/// If a slice's length is not that of its shape.
pub fn top_k<T: Copy + PartialOrd, I: Index>(p: &TopK, x: &[T], y: &mut [I]) {
    let Rows { outer, len, inner } = p.rows;
    assert_eq!(x.len(), outer * len * inner, "x");
    assert_eq!(y.len(), outer * p.k * inner, "y");
    for (x, y) in x.chunks_exact(len * inner).zip(y.chunks_exact_mut(p.k * inner)) {
        for at in 0..inner {
            insert_best(p, &x[at..], &mut y[at..]);
        }
    }
}

/// One row: each element is sorted into the list of the best so far, which `y` is.
fn insert_best<T: Copy + PartialOrd, I: Index>(p: &TopK, x: &[T], y: &mut [I]) {
    let Rows { len, inner, .. } = p.rows;
    for (position, &new) in x.iter().step_by(inner).enumerate() {
        let mut place = position.min(p.k);
        while place > 0 {
            let other = y[(place - 1) * inner];
            let kept = x[other.position(len) * inner];
            if if p.largest { kept >= new } else { kept <= new } {
                break;
            }
            if place < p.k {
                y[place * inner] = other;
            }
            place -= 1;
        }
        if place < p.k {
            y[place * inner] = I::from_position(position);
        }
    }
}

/// `one` where the largest element along the middle axis stands (the first among equals), `zero` elsewhere; `x` and `y`:
/// `[outer, len, inner]`.
///
/// # Panics
/// If a slice's length is not that of its shape.
pub fn hardmax<T: Copy + PartialOrd>(p: &Rows, zero: T, one: T, x: &[T], y: &mut [T]) {
    y.copy_from_slice(x);
    hardmax_in_place(p, zero, one, y);
}

/// [`hardmax`] where `x` and `y` share memory.
pub fn hardmax_in_place<T: Copy + PartialOrd>(p: &Rows, zero: T, one: T, xy: &mut [T]) {
    assert_eq!(xy.len(), p.outer * p.len * p.inner, "x");
    for block in xy.chunks_exact_mut(p.len * p.inner) {
        for at in 0..p.inner {
            let best = best_of(p, &block[at..], |new, best| new > best);
            block[at..].iter_mut().step_by(p.inner).for_each(|y| *y = zero);
            block[best * p.inner + at] = one;
        }
    }
}
