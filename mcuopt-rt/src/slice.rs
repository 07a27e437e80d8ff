//! ONNX Slice, with steps in either direction.

use crate::rows::for_each_row;

/// A part of a tensor: along each axis, `output` elements from `start` on in steps of `step`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Slice {
    /// Shape of the input, with leading 1s.
    pub input: [usize; 6],
    /// Index of the first element taken.
    pub start: [usize; 6],
    /// From one element taken to the next; not 0; negative to go backwards.
    pub step: [isize; 6],
    /// Shape of the output.
    pub output: [usize; 6],
}

/// `y[i…] = x[start + i · step…]`.
///
/// # Panics
/// If a slice's length is not that of its shape, or an index leaves `x`.
#[inline(always)]
pub fn slice<T: Copy>(p: &Slice, x: &[T], y: &mut [T]) {
    let [outer @ .., len] = p.output;
    let [.., start] = p.start;
    let [.., step] = p.step;
    assert_eq!(x.len(), p.input.iter().product(), "x");
    assert_eq!(y.len(), p.output.iter().product(), "y");

    for_each_row(outer, len, y, |index, row| {
        let input_row = index.iter().enumerate().fold(0, |at, (axis, &i)| {
            at * p.input[axis] + p.start[axis].wrapping_add_signed(i as isize * p.step[axis])
        });
        let x = &x[input_row * p.input[5]..][..p.input[5]];
        if step == 1 {
            row.copy_from_slice(&x[start..][..len]);
        } else {
            for (i, y) in row.iter_mut().enumerate() {
                *y = x[start.wrapping_add_signed(i as isize * step)];
            }
        }
    });
}
