//! ONNX MatMul of two activations.

use crate::fixed::Requantize;
use crate::geometry::Clamp;
use crate::value::{each, lanes, store};

/// A batch of matrix products: `a: [batch, rows, inner]` times `b: [batch, inner, columns]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MatMul {
    /// Number of products.
    pub batch: usize,
    /// Elements from one matrix of `a` to the next; 0 if all products share one.
    pub a_batch_stride: usize,
    /// Elements from one matrix of `b` to the next; 0 if all products share one.
    pub b_batch_stride: usize,
    /// Rows of `a` and `y`.
    pub rows: usize,
    /// Columns of `a`, rows of `b`.
    pub inner: usize,
    /// Columns of `b` and `y`.
    pub columns: usize,
}

/// Matrix product in f32: `y[r][c] = clamp(Σ a[r][k] · b[k][c])`, in the order of `k`; `y: [batch, rows, columns]`.
///
/// # Panics
/// If a slice's length is not that of its shape.
#[inline(always)]
pub fn matmul_f32(p: &MatMul, clamp: &Clamp, a: &[f32], b: &[f32], y: &mut [f32]) {
    matmul(p, a, b, y, |_| 0.0, |sum, a, b| sum + a * b, |sum| clamp.apply(sum));
}

/// Matrix product in int8: `y[r][c] = q.apply(Σ (a[r][k] − a_zero_point) · (b[k][c] − b_zero_point), multiplier)`;
/// `y: [batch, rows, columns]`.
///
/// `p.inner` is at most 2¹⁵, so that the sum fits `i32`.
///
/// # Panics
/// If a slice's length is not that of its shape.
#[inline(always)]
#[allow(clippy::too_many_arguments)]
pub fn matmul_s8(
    p: &MatMul,
    q: &Requantize,
    multiplier: i32,
    a_zero_point: i32,
    b_zero_point: i32,
    a: &[i8],
    b: &[i8],
    y: &mut [i8],
) {
    assert!(p.inner <= 1 << 15, "inner");
    // Σ (a − za)(b − zb) = Σ (a − za) · b − zb · Σ (a − za): the last term is the same for a whole row of y,
    // and so the inner loop need not touch b's zero point.
    matmul(
        p,
        a,
        b,
        y,
        |a_row| -b_zero_point * a_row.iter().map(|&a| i32::from(a) - a_zero_point).sum::<i32>(),
        |sum, a, b| sum + (i32::from(a) - a_zero_point) * i32::from(b),
        |sum| q.apply(sum, multiplier),
    );
}

/// `start` gives the initial sum for a row of `a`.
#[inline(always)]
fn matmul<T: Copy, S: Copy>(
    p: &MatMul,
    a: &[T],
    b: &[T],
    y: &mut [T],
    start: impl Fn(&[T]) -> S,
    mac: impl Fn(S, T, T) -> S,
    finish: impl Fn(S) -> T,
) {
    let (a_len, b_len) = (p.rows * p.inner, p.inner * p.columns);
    assert_eq!(a.len(), (p.batch - 1) * p.a_batch_stride + a_len, "a");
    assert_eq!(b.len(), (p.batch - 1) * p.b_batch_stride + b_len, "b");
    assert_eq!(y.len(), p.batch * p.rows * p.columns, "y");

    for (batch, y) in y.chunks_exact_mut(p.rows * p.columns).enumerate() {
        let a = &a[batch * p.a_batch_stride..][..a_len];
        let b = &b[batch * p.b_batch_stride..][..b_len];
        for (a_row, y) in a.chunks_exact(p.inner).zip(y.chunks_exact_mut(p.columns)) {
            let start = start(a_row);
            // Four columns at a time share each load of `a`.
            let (y4, y1) = y.as_chunks_mut::<4>();
            let mut column = 0;
            for y in y4 {
                let sums = product(a_row, b, p.columns, column, [start; 4], &mac);
                store(y, 0, sums, |_, sum| finish(sum));
                column += 4;
            }
            for y in y1 {
                let [sum] = product(a_row, b, p.columns, column, [start], &mac);
                *y = finish(sum);
                column += 1;
            }
        }
    }
}

/// One row of `a` times `N` columns of `b`, added to `sums`.
#[inline(always)]
fn product<T: Copy, S: Copy, const N: usize>(
    a_row: &[T],
    b: &[T],
    columns: usize,
    column: usize,
    mut sums: [S; N],
    mac: impl Fn(S, T, T) -> S,
) -> [S; N] {
    for (&a, b_row) in a_row.iter().zip(b.chunks_exact(columns)) {
        sums = each(sums, lanes(b_row, column), |sum, b| mac(sum, a, b));
    }
    sums
}
