//! ONNX Transpose; with strides of 0, Expand and Tile.

use crate::rows::{for_each_row, offset};

/// A tensor read in another order of its axes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Transpose {
    /// Shape of the output, with leading 1s.
    pub shape: [usize; 6],
    /// For each axis of the output, the elements from one index to the next in the input; 0 repeats.
    pub strides: [usize; 6],
}

/// `y[i…] = x[Σ i · strides]`; `y` has the shape `p.shape`.
///
/// # Panics
/// If a slice's length is not what the shape and the strides reach.
#[inline(always)]
pub fn transpose<T: Copy>(p: &Transpose, x: &[T], y: &mut [T]) {
    let [outer @ .., len] = p.shape;
    let [.., stride] = p.strides;
    assert_eq!(y.len(), p.shape.iter().product(), "y");
    if y.is_empty() {
        return;
    }
    assert_eq!(x.len(), offset(p.shape.map(|size| size - 1), &p.strides) + 1, "x");

    for_each_row(outer, len, y, |index, row| {
        let at = offset(index, &p.strides);
        if stride == 1 {
            row.copy_from_slice(&x[at..][..len]);
        } else {
            for (i, y) in row.iter_mut().enumerate() {
                *y = x[at + i * stride];
            }
        }
    });
}
