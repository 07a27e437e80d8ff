//! What spreads elements over a larger tensor: ONNX MaxUnpool and Col2Im.

use crate::geometry::Window3d;
use crate::number::{Index, Number};

/// ONNX MaxUnpool: `y[indices[i]] = x[i]`, and `zero` (the integer that stands for it) elsewhere. Indices count over all of `y`; of several equal ones the
/// last wins, and one that lies outside is moved to the nearest end.
///
/// # Panics
/// If `x` and `indices` differ in length, or `y` is empty.
pub fn max_unpool<T: Number, I: Index>(zero: i64, x: &[T], indices: &[I], y: &mut [T]) {
    assert_eq!(x.len(), indices.len(), "indices");
    y.fill(T::from_i64(zero));
    for (&x, index) in x.iter().zip(indices) {
        y[index.position(y.len())] = x;
    }
}

/// ONNX Col2Im: each cell of an image is the sum of the elements of all blocks that cover it.
///
/// | slice | shape |
/// |---|---|
/// | `x` | `[batch, channels, kd · kh · kw, in_d · in_h · in_w]`: for each cell of a block, all blocks |
/// | `y` | `[batch, channels, out_d, out_h, out_w]` |
///
/// A block is a window of a convolution over the image, so this is a transposed convolution.
///
/// # Panics
/// If a slice's length is not that of its shape.
pub fn col2im<T: Number>(p: &Window3d, x: &[T], y: &mut [T]) {
    let ([_, in_h, in_w, channels], [kd, kh, kw]) = (p.input, p.kernel);
    let (blocks, cells) = p.cells();
    let column = kd * kh * kw * blocks;
    assert_eq!(x.len(), p.batch * channels * column, "x");
    assert_eq!(y.len(), p.batch * channels * cells, "y");

    for (x, y) in x.chunks_exact(column).zip(y.chunks_exact_mut(cells)) {
        for (cell, y) in y.iter_mut().enumerate() {
            let at = p.place(cell);
            *y = T::default();
            for tap_z in 0..kd {
                let Some(block_z) = p.receives(0, at[0], tap_z) else { continue };
                for tap_y in 0..kh {
                    let Some(block_y) = p.receives(1, at[1], tap_y) else { continue };
                    for tap_x in 0..kw {
                        let Some(block_x) = p.receives(2, at[2], tap_x) else { continue };
                        let tap = (tap_z * kh + tap_y) * kw + tap_x;
                        *y = y.add(x[tap * blocks + (block_z * in_h + block_y) * in_w + block_x]);
                    }
                }
            }
        }
    }
}
