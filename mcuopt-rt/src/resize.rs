//! ONNX Resize and Upsample, along two axes of a tensor.
//!
//! Where an output lies in the input, and what its neighbours weigh, depends on the axis alone. The compiler computes
//! both for each axis, for all of ONNX's modes, and what is left is a sum of products, or a copy for nearest neighbours.

use crate::fixed::{clamp_i8, clamp_i16, rounding_shift_right};

/// Where outputs lie that are given the value `outside`.
pub const OUTSIDE: u16 = u16::MAX;

/// Binary digits of an integer weight of [`resize_s8`] behind the point.
pub const RESIZE_BITS: u32 = 11;

/// Binary digits of an integer weight of [`resize_s16`] behind the point.
pub const RESIZE_BITS_S16: u32 = 14;

/// Which two axes of a tensor are resized. Tensors are `[outer, first axis, between, second axis, inner]`.
///
/// Tables have one row of `taps` entries for each output of the first axis, and then those of the second axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Resize {
    /// Elements before the first axis.
    pub outer: usize,
    /// Elements between the axes.
    pub between: usize,
    /// Elements behind the second axis.
    pub inner: usize,
    /// Sizes of the axes in the input.
    pub input: [usize; 2],
    /// Sizes of the axes in the output.
    pub output: [usize; 2],
    /// Inputs that an output depends on, along each axis.
    pub taps: [usize; 2],
}

/// Copies for each output the input at a position: `y[i, j] = x[positions[i], positions[j]]`. One tap.
///
/// # Panics
/// If a slice's length is not that of its shape, or a position is not on its axis.
pub fn resize_nearest<T: Copy>(p: &Resize, positions: &[u16], x: &[T], y: &mut [T]) {
    assert_eq!(p.taps, [1; 2], "taps");
    for_each_cell(p, positions, x, y, |x, rows, columns, cell, y| y.copy_from_slice(cell.of(x, rows[0], columns[0])));
}

/// Weighs for each output the inputs at some positions: `y[i, j] = Σ weights[i, a] · weights[j, b] · x[positions[i, a],
/// positions[j, b]]`, or `outside` if the first position is [`OUTSIDE`].
///
/// # Panics
/// If a slice's length is not that of its shape, or a position is not on its axis.
pub fn resize_f32(p: &Resize, outside: f32, positions: &[u16], weights: &[f32], x: &[f32], y: &mut [f32]) {
    weighted(p, outside, positions, weights, x, y, |a, b| a * b, |sum: f32, w, x| sum + w * x, |sum| sum);
}

/// [`resize_f32`] in int8, input and output with the same quantization. Weights have [`RESIZE_BITS`] binary digits behind
/// the point and sum up to 1 for each output of an axis, exactly; their magnitudes to at most 2. So the zero point has no
/// part in it.
///
/// # Panics
/// If a slice's length is not that of its shape, or a position is not on its axis.
pub fn resize_s8(p: &Resize, outside: i8, positions: &[u16], weights: &[i16], x: &[i8], y: &mut [i8]) {
    let multiply = |sum: i32, w: i32, x: i8| sum + w * i32::from(x);
    let finish = |sum| clamp_i8(rounding_shift_right(sum, 2 * RESIZE_BITS), i8::MIN, i8::MAX);
    weighted(p, outside, positions, weights, x, y, |a, b| i32::from(a) * i32::from(b), multiply, finish);
}

/// [`resize_s8`] for int16; weights have [`RESIZE_BITS_S16`] binary digits behind the point.
///
/// # Panics
/// If a slice's length is not that of its shape, or a position is not on its axis.
pub fn resize_s16(p: &Resize, outside: i16, positions: &[u16], weights: &[i16], x: &[i16], y: &mut [i16]) {
    let multiply = |sum: i64, w: i32, x: i16| sum + i64::from(w) * i64::from(x);
    let half = 1 << (2 * RESIZE_BITS_S16 - 1);
    let finish = |sum: i64| clamp_i16(((sum + half) >> (2 * RESIZE_BITS_S16)) as i32, i16::MIN, i16::MAX);
    weighted(p, outside, positions, weights, x, y, |a, b| i32::from(a) * i32::from(b), multiply, finish);
}

#[inline(always)]
#[allow(clippy::too_many_arguments)]
fn weighted<T: Copy, W: Copy, P: Copy, S: Copy + Default>(
    p: &Resize,
    outside: T,
    positions: &[u16],
    weights: &[W],
    x: &[T],
    y: &mut [T],
    product: impl Fn(W, W) -> P,
    multiply: impl Fn(S, P, T) -> S,
    finish: impl Fn(S) -> T,
) {
    assert_eq!(weights.len(), positions.len(), "weights");
    let split = p.output[0] * p.taps[0];
    for_each_cell(p, positions, x, y, |x, rows, columns, cell, y| {
        if rows.first() == Some(&OUTSIDE) || columns.first() == Some(&OUTSIDE) {
            return y.fill(outside);
        }
        let row_weights = &weights[cell.row * p.taps[0]..][..p.taps[0]];
        let column_weights = &weights[split + cell.column * p.taps[1]..][..p.taps[1]];
        // Four elements at once, so that a weight is computed for each four.
        let (y4, y1) = y.as_chunks_mut::<4>();
        let sums = |first: usize, y: &mut [T]| {
            let mut sums = [S::default(); 4];
            for (&row, &row_weight) in rows.iter().zip(row_weights) {
                for (&column, &column_weight) in columns.iter().zip(column_weights) {
                    let weight = product(row_weight, column_weight);
                    let pixel = &cell.of(x, row, column)[first..];
                    for (sum, &x) in sums.iter_mut().zip(&pixel[..y.len()]) {
                        *sum = multiply(*sum, weight, x);
                    }
                }
            }
            y.iter_mut().zip(sums).for_each(|(y, sum)| *y = finish(sum));
        };
        for (block, y) in y4.iter_mut().enumerate() {
            sums(4 * block, y);
        }
        let first = 4 * y4.len();
        if !y1.is_empty() {
            sums(first, y1);
        }
    });
}

/// `inner` elements of the output.
struct Cell<'a> {
    p: &'a Resize,
    outer: usize,
    between: usize,
    row: usize,
    column: usize,
}

impl Cell<'_> {
    /// The elements of the input at positions of the two axes.
    #[inline(always)]
    fn of<'x, T>(&self, x: &'x [T], row: u16, column: u16) -> &'x [T] {
        let [rows, columns] = self.p.input;
        let (row, column) = (usize::from(row), usize::from(column));
        assert!(row < rows && column < columns, "positions");
        let at = ((self.outer * rows + row) * self.p.between + self.between) * columns + column;
        &x[at * self.p.inner..][..self.p.inner]
    }
}

/// Calls `f(x, positions along the first axis, along the second, cell, output)` for each cell of the output.
#[inline(always)]
fn for_each_cell<T>(
    p: &Resize,
    positions: &[u16],
    x: &[T],
    y: &mut [T],
    mut f: impl FnMut(&[T], &[u16], &[u16], &Cell<'_>, &mut [T]),
) {
    let ([in_rows, in_columns], [out_rows, out_columns]) = (p.input, p.output);
    assert_eq!(positions.len(), out_rows * p.taps[0] + out_columns * p.taps[1], "positions");
    assert_eq!(x.len(), p.outer * in_rows * p.between * in_columns * p.inner, "x");
    assert_eq!(y.len(), p.outer * out_rows * p.between * out_columns * p.inner, "y");

    let (rows, columns) = positions.split_at(out_rows * p.taps[0]);
    let mut cells = y.chunks_exact_mut(p.inner);
    for outer in 0..p.outer {
        for (row, rows) in rows.chunks_exact(p.taps[0]).enumerate() {
            for between in 0..p.between {
                for (column, columns) in columns.chunks_exact(p.taps[1]).enumerate() {
                    if let Some(y) = cells.next() {
                        f(x, rows, columns, &Cell { p, outer, between, row, column }, y);
                    }
                }
            }
        }
    }
}
