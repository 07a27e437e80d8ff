//! ONNX Pad in constant mode.

use crate::rows::for_each_row;

/// A tensor placed inside a larger one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pad {
    /// Shape of the input, with leading 1s.
    pub input: [usize; 6],
    /// Shape of the output; along each axis at least `start + input`.
    pub output: [usize; 6],
    /// Where the input begins in the output.
    pub start: [usize; 6],
}

/// `x` with `value` all around it.
///
/// # Panics
/// If a slice's length is not that of its shape, or the input does not fit into the output.
#[inline(always)]
pub fn pad<T: Copy>(p: &Pad, value: T, x: &[T], y: &mut [T]) {
    let ([outer @ .., len], [.., x_len], [.., start]) = (p.output, p.input, p.start);
    assert_eq!(x.len(), p.input.iter().product(), "x");
    assert_eq!(y.len(), p.output.iter().product(), "y");

    // Rows of the output pass the rows of the input in the same order.
    let mut x_rows = x.chunks_exact(x_len);
    for_each_row(outer, len, y, |index, row| {
        let inside = |axis: usize| (p.start[axis]..p.start[axis] + p.input[axis]).contains(&index[axis]);
        let x = if (0..5).all(inside) { x_rows.next() } else { None };
        match x {
            Some(x) => {
                let (before, rest) = row.split_at_mut(start);
                let (middle, after) = rest.split_at_mut(x_len);
                before.fill(value);
                middle.copy_from_slice(x);
                after.fill(value);
            }
            None => row.fill(value),
        }
    });
}
