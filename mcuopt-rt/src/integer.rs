//! ONNX MatMulInteger and ConvInteger: sums of products of 8-bit integers, left as they are in 32 bits.
//!
//! Plain loops: files use these between a DynamicQuantizeLinear and a conversion back to floats, which cost more than what
//! better loops would save. Sums wrap around.

use crate::quantize::Integer;

/// Matrices `a` [batch…, rows, inner] and `b` [batch…, inner, columns], row-major.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MatMulInteger {
    /// The result's batch axes, right-aligned, padded with 1.
    pub batch: [usize; 4],
    /// Matrices of `a` to the next one along each batch axis; 0 where it is repeated.
    pub a_strides: [usize; 4],
    /// Matrices of `b` to the next one along each batch axis; 0 where it is repeated.
    pub b_strides: [usize; 4],
    /// Rows of `a`.
    pub rows: usize,
    /// Columns of `a`.
    pub inner: usize,
    /// Columns of `b`.
    pub columns: usize,
}

/// `y = (a − a_zero) · (b − b_zero)`. `a_zero` has one element or one for each row of `a`, `b_zero` one or one for each
/// column of `b`.
///
/// # Panics
/// If a tensor is shorter than the geometry says, or a zero point has another number of elements.
pub fn matmul_integer<A: Integer, B: Integer>(
    p: &MatMulInteger,
    a: &[A],
    b: &[B],
    a_zero: &[A],
    b_zero: &[B],
    y: &mut [i32],
) {
    let matrices: usize = p.batch.iter().product();
    for matrix in 0..matrices {
        let (mut rest, mut a_matrix, mut b_matrix) = (matrix, 0, 0);
        for axis in (0..4).rev() {
            let position = rest % p.batch[axis];
            rest /= p.batch[axis];
            a_matrix += position * p.a_strides[axis];
            b_matrix += position * p.b_strides[axis];
        }
        let a = &a[a_matrix * p.rows * p.inner..][..p.rows * p.inner];
        let b = &b[b_matrix * p.inner * p.columns..][..p.inner * p.columns];
        let y = &mut y[matrix * p.rows * p.columns..][..p.rows * p.columns];
        for row in 0..p.rows {
            let a_zero = a_zero[if a_zero.len() == 1 { 0 } else { row }].to_i32();
            for column in 0..p.columns {
                let b_zero = b_zero[if b_zero.len() == 1 { 0 } else { column }].to_i32();
                let mut sum = 0i32;
                for k in 0..p.inner {
                    let (a, b) = (a[row * p.inner + k].to_i32(), b[k * p.columns + column].to_i32());
                    sum = sum.wrapping_add(a.wrapping_sub(a_zero).wrapping_mul(b.wrapping_sub(b_zero)));
                }
                y[row * p.columns + column] = sum;
            }
        }
    }
}

/// A convolution of `x` [batch, channels, spatial…] with `w` [filters, channels / groups, spatial…]; up to three spatial
/// axes, right-aligned.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ConvInteger {
    /// Images.
    pub batch: usize,
    /// Channels of an image.
    pub channels: usize,
    /// Filters.
    pub filters: usize,
    /// Groups that channels and filters fall into.
    pub groups: usize,
    /// Spatial extents of `x`.
    pub input: [usize; 3],
    /// Spatial extents of `y`.
    pub output: [usize; 3],
    /// Spatial extents of `w`.
    pub kernel: [usize; 3],
    /// Step between windows.
    pub stride: [usize; 3],
    /// Step between taps.
    pub dilation: [usize; 3],
    /// Padding before the input; it holds the zero point.
    pub pad: [usize; 3],
}

/// `y` [batch, filters, spatial…] = the sums of `(x − x_zero) · (w − w_zero)` over each window. `x_zero` has one element,
/// `w_zero` one or one for each filter.
///
/// # Panics
/// If a tensor is shorter than the geometry says, or a zero point has another number of elements.
pub fn conv_integer<X: Integer, W: Integer>(
    p: &ConvInteger,
    x: &[X],
    w: &[W],
    x_zero: &[X],
    w_zero: &[W],
    y: &mut [i32],
) {
    let (channels, filters) = (p.channels / p.groups, p.filters / p.groups);
    let image: usize = p.input.iter().product();
    let taps: usize = p.kernel.iter().product();
    let pixels: usize = p.output.iter().product();
    let x_zero = x_zero[0].to_i32();
    for batch in 0..p.batch {
        for filter in 0..p.filters {
            let w_zero = w_zero[if w_zero.len() == 1 { 0 } else { filter }].to_i32();
            for pixel in 0..pixels {
                let at = coordinates(pixel, &p.output);
                let mut sum = 0i32;
                for tap in 0..taps {
                    let offset = coordinates(tap, &p.kernel);
                    let Some(position) = p.position(at, offset) else { continue };
                    for channel in 0..channels {
                        let from = filter / filters * channels + channel;
                        let x = x[(batch * p.channels + from) * image + position].to_i32().wrapping_sub(x_zero);
                        let w = w[(filter * channels + channel) * taps + tap].to_i32().wrapping_sub(w_zero);
                        sum = sum.wrapping_add(x.wrapping_mul(w));
                    }
                }
                y[(batch * p.filters + filter) * pixels + pixel] = sum;
            }
        }
    }
}

impl ConvInteger {
    /// The pixel of the input under a tap of a window; `None` in the padding.
    fn position(&self, window: [usize; 3], tap: [usize; 3]) -> Option<usize> {
        let mut position = 0;
        for axis in 0..3 {
            let at = window[axis] * self.stride[axis] + tap[axis] * self.dilation[axis];
            let at = at.checked_sub(self.pad[axis]).filter(|at| *at < self.input[axis])?;
            position = position * self.input[axis] + at;
        }
        Some(position)
    }
}

fn coordinates(mut index: usize, shape: &[usize; 3]) -> [usize; 3] {
    let mut at = [0; 3];
    for axis in (0..3).rev() {
        at[axis] = index % shape[axis];
        index /= shape[axis];
    }
    at
}
