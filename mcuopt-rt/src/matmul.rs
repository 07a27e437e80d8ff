//! ONNX MatMul of two activations.

use crate::fixed::{Requantize, RequantizeS16};
use crate::geometry::Clamp;
use crate::value::{Arithmetic, Float, Int8, each, lanes, store};

/// Matrix products `y[r][c] = Σ a[r][k] · b[k][c]` along up to three batch axes.
///
/// Strides say where the operands' elements lie, so that transposed operands need no copy. The columns of `y` lie side
/// by side. Fast forms are those where the columns of `b` do, too, or where the elements of one column of `b` and
/// of one row of `a` do. Strides other than those of batch axes are at least 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MatMul {
    /// Extents of the batch axes.
    pub batch: [usize; 3],
    /// Elements from one matrix of `a` to the next; 0 along an axis where all products share one.
    pub a_batch: [usize; 3],
    /// Likewise of `b`.
    pub b_batch: [usize; 3],
    /// Likewise of `y`.
    pub y_batch: [usize; 3],
    /// Rows of `a` and `y`.
    pub rows: usize,
    /// Columns of `a`, rows of `b`.
    pub inner: usize,
    /// Columns of `b` and `y`.
    pub columns: usize,
    /// Elements from one row of `a` to the next.
    pub a_row: usize,
    /// Elements from one column of `a` to the next.
    pub a_inner: usize,
    /// Elements from one row of `b` to the next.
    pub b_inner: usize,
    /// Elements from one column of `b` to the next.
    pub b_column: usize,
    /// Elements from one row of `y` to the next.
    pub y_row: usize,
}

impl MatMul {
    /// One product of matrices that lie row by row.
    pub const fn new(rows: usize, inner: usize, columns: usize) -> Self {
        let ([batch, none], a_row) = ([[1; 3], [0; 3]], inner);
        let (a_inner, b_inner, b_column, y_row) = (1, columns, 1, columns);
        let (a_batch, b_batch, y_batch) = (none, none, none);
        MatMul { batch, a_batch, b_batch, y_batch, rows, inner, columns, a_row, a_inner, b_inner, b_column, y_row }
    }

    /// Elements that an operand with these strides spans.
    #[inline(always)]
    fn span(&self, batch: [usize; 3], extents: [(usize, usize); 2]) -> usize {
        let axes = self.batch.into_iter().zip(batch).chain(extents);
        1 + axes.map(|(extent, stride)| (extent - 1) * stride).sum::<usize>()
    }

    /// Calls `f` with where the matrices of each product start.
    #[inline(always)]
    fn for_each_product(&self, a: usize, b: usize, y: usize, mut f: impl FnMut([usize; 3])) {
        assert!(a >= self.span(self.a_batch, [(self.rows, self.a_row), (self.inner, self.a_inner)]), "a");
        assert!(b >= self.span(self.b_batch, [(self.inner, self.b_inner), (self.columns, self.b_column)]), "b");
        assert!(y >= self.span(self.y_batch, [(self.rows, self.y_row), (self.columns, 1)]), "y");
        let [outer, middle, inner] = self.batch;
        for i in 0..outer {
            for j in 0..middle {
                for k in 0..inner {
                    f([self.a_batch, self.b_batch, self.y_batch].map(|s| i * s[0] + j * s[1] + k * s[2]));
                }
            }
        }
    }

    /// Whether rows of `a` meet columns of `b` as slices.
    #[inline(always)]
    fn meets_slices(&self) -> bool {
        self.a_inner == 1 && self.b_inner == 1
    }
}

/// Matrix product in f32: `y[r][c] = clamp(factor · Σ a[r][k] · b[k][c])`, in the order of `k`.
///
/// # Panics
/// If a slice is shorter than `p` says.
#[inline(always)]
pub fn matmul_f32(p: &MatMul, factor: f32, clamp: &Clamp, a: &[f32], b: &[f32], y: &mut [f32]) {
    p.for_each_product(a.len(), b.len(), y.len(), |[a_at, b_at, y_at]| {
        let (a, b, y) = (&a[a_at..], &b[b_at..], &mut y[y_at..]);
        if p.meets_slices() {
            by_columns::<Float>(p, a, b, y, |_| 0.0, |_| 0.0, |sum| clamp.apply(factor * sum));
        } else {
            by_rows(p, a, b, y, |_| 0.0, |sum, a, b| sum + a * b, |sum| clamp.apply(factor * sum));
        }
    });
}

/// Matrix product in int8: `y[r][c] = q.apply(Σ (a[r][k] − a_zero_point) · (b[k][c] − b_zero_point), multiplier)`.
///
/// `p.inner` is at most 2¹⁵, so that the sum fits `i32`.
///
/// # Panics
/// If a slice is shorter than `p` says, or `p.inner` is too large.
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
    let finish = |sum| q.apply(sum, multiplier);
    p.for_each_product(a.len(), b.len(), y.len(), |[a_at, b_at, y_at]| {
        let (a, b, y) = (&a[a_at..], &b[b_at..], &mut y[y_at..]);
        if p.meets_slices() {
            // Σ (a − za)(b − zb) = Σ a · b − zb · Σ (a − za) − za · Σ b: plain products, and sums of each row and column.
            let of_row = |row: &[i8]| -b_zero_point * row.iter().map(|&a| i32::from(a) - a_zero_point).sum::<i32>();
            let of_column = |column: &[i8]| -a_zero_point * column.iter().map(|&b| i32::from(b)).sum::<i32>();
            by_columns::<Int8>(p, a, b, y, of_row, of_column, finish);
        } else {
            // Σ (a − za)(b − zb) = Σ (a − za) · b − zb · Σ (a − za): the last term is the same for a whole row of y,
            // and so the inner loop need not touch b's zero point.
            let of_row = |row: &[i8]| {
                let row = row.iter().step_by(p.a_inner).take(p.inner);
                -b_zero_point * row.map(|&a| i32::from(a) - a_zero_point).sum::<i32>()
            };
            let mac = |sum, a, b| sum + (i32::from(a) - a_zero_point) * i32::from(b);
            by_rows(p, a, b, y, of_row, mac, finish);
        }
    });
}

/// Matrix product in int16, as [`matmul_s8`], summed in 64 bits.
///
/// # Panics
/// If a slice is shorter than `p` says.
#[allow(clippy::too_many_arguments)]
pub fn matmul_s16(
    p: &MatMul,
    q: &RequantizeS16,
    multiplier: i32,
    a_zero_point: i32,
    b_zero_point: i32,
    a: &[i16],
    b: &[i16],
    y: &mut [i16],
) {
    p.for_each_product(a.len(), b.len(), y.len(), |[a_at, b_at, y_at]| {
        let (a, b, y) = (&a[a_at..], &b[b_at..], &mut y[y_at..]);
        let mac = |sum, a, b| sum + i64::from(i32::from(a) - a_zero_point) * i64::from(i32::from(b) - b_zero_point);
        by_rows(p, a, b, y, |_| 0_i64, mac, |sum| q.apply_wide(sum, multiplier));
    });
}

/// One product, row by row; `start` gives the first term of a row, for what `a` holds from that row on.
#[inline(always)]
fn by_rows<T: Copy, S: Copy>(
    p: &MatMul,
    a: &[T],
    b: &[T],
    y: &mut [T],
    start: impl Fn(&[T]) -> S,
    mac: impl Fn(S, T, T) -> S,
    finish: impl Fn(S) -> T,
) {
    for row in 0..p.rows {
        let a = &a[row * p.a_row..];
        let y = &mut y[row * p.y_row..][..p.columns];
        let start = start(a);
        if p.b_column != 1 {
            for (column, y) in y.iter_mut().enumerate() {
                let b = b[column * p.b_column..].iter().step_by(p.b_inner);
                let products = a.iter().step_by(p.a_inner).take(p.inner).zip(b);
                *y = finish(products.fold(start, |sum, (&a, &b)| mac(sum, a, b)));
            }
            continue;
        }
        // Four columns at a time share each load of `a`.
        let (y4, y1) = y.as_chunks_mut::<4>();
        let mut column = 0;
        for y in y4 {
            store(y, 0, product(p, a, b, column, [start; 4], &mac), |_, sum| finish(sum));
            column += 4;
        }
        for y in y1 {
            let [sum] = product(p, a, b, column, [start], &mac);
            *y = finish(sum);
            column += 1;
        }
    }
}

/// One row of `a` times `N` columns of `b`, added to `sums`.
#[inline(always)]
fn product<T: Copy, S: Copy, const N: usize>(
    p: &MatMul,
    a: &[T],
    b: &[T],
    column: usize,
    mut sums: [S; N],
    mac: impl Fn(S, T, T) -> S,
) -> [S; N] {
    let a = a.iter().step_by(p.a_inner).take(p.inner);
    let mut at = column;
    for &a in a {
        sums = each(sums, lanes(b, at), |sum, b| mac(sum, a, b));
        at += p.b_inner;
    }
    sums
}

/// Rows whose first terms are kept while all columns pass.
const ROWS: usize = 16;

/// One product whose rows of `a` and columns of `b` are slices; `of_row` and `of_column` give their first terms.
#[inline(always)]
fn by_columns<M>(
    p: &MatMul,
    a: &[M::X],
    b: &[M::X],
    y: &mut [M::X],
    of_row: impl Fn(&[M::X]) -> M::Sum,
    of_column: impl Fn(&[M::X]) -> M::Sum,
    finish: impl Fn(M::Sum) -> M::X,
) where
    M: for<'a> Arithmetic<W = <M as Arithmetic>::X, Weights<'a> = &'a [<M as Arithmetic>::X]>,
    M::X: 'static,
    M::Sum: Default + core::ops::Add<Output = M::Sum>,
{
    let a_row = |row: usize| &a[row * p.a_row..][..p.inner];
    let b_column = |column: usize| &b[column * p.b_column..][..p.inner];
    for first in (0..p.rows).step_by(ROWS) {
        let rows = first..(first + ROWS).min(p.rows);
        let mut starts = [M::Sum::default(); ROWS];
        for (start, row) in starts.iter_mut().zip(rows.clone()) {
            *start = of_row(a_row(row));
        }
        let fours = p.columns / 4 * 4;
        for column in (0..fours).step_by(4) {
            let weights = [0, 1, 2, 3].map(|j| b_column(column + j));
            let terms = weights.map(&of_column);
            for (&start, row) in starts.iter().zip(rows.clone()) {
                let sums = M::dot(terms.map(|term| start + term), a_row(row), weights);
                let y = y[row * p.y_row + column..].first_chunk_mut::<4>().expect("four more columns");
                store(y, 0, sums, |_, sum| finish(sum));
            }
        }
        for column in fours..p.columns {
            let (weights, term) = (b_column(column), of_column(b_column(column)));
            for (&start, row) in starts.iter().zip(rows.clone()) {
                let [sum] = M::dot([start + term], a_row(row), [weights]);
                y[row * p.y_row + column] = finish(sum);
            }
        }
    }
}
