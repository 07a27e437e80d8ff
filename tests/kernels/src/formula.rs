//! What the layers are defined to compute, as plainly as can be.

use mcuopt_rt::v0::{AddS8, Broadcast, Conv2d, MatMul, Pool2d, Requantize, RequantizeS16};

/// `clamp(floor(sum · 2^left_shift · multiplier / 2^32 + 1/2) + zero_point)`.
pub fn requantized(q: &Requantize, sum: i64, multiplier: i32) -> i8 {
    let sum = i32::try_from(sum).expect("sums of a valid layer fit");
    let shifted = i64::from(sum.clamp(i32::MIN >> q.left_shift, i32::MAX >> q.left_shift)) << q.left_shift;
    let rounded = (shifted * i64::from(multiplier) + (1 << 31)) >> 32;
    (rounded + i64::from(q.zero_point)).clamp(q.min.into(), q.max.into()) as i8
}

/// The same to int16, for sums of any size.
pub fn requantized_s16(q: &RequantizeS16, sum: i64, multiplier: i32) -> i16 {
    let rounded = ((i128::from(sum) << q.left_shift) * i128::from(multiplier) + (1 << 31)) >> 32;
    (rounded + i128::from(q.zero_point)).clamp(q.min.into(), q.max.into()) as i16
}

/// The cell of the input, on one axis, that a tap reads; `None` in the padding.
fn cell(out: usize, tap: usize, stride: usize, dilation: usize, pad: usize, size: usize) -> Option<usize> {
    (out * stride + tap * dilation).checked_sub(pad).filter(|&cell| cell < size)
}

/// A convolution; `weight(o, i)` is the place of the weight `i`, in the order ky, kx, channel, of output channel `o`.
#[allow(clippy::too_many_arguments)]
pub fn conv(
    p: &Conv2d,
    q: &Requantize,
    pad_value: i8,
    weights: &[i8],
    weight: impl Fn(usize, usize) -> usize,
    bias: &[i32],
    multipliers: &[i32],
    x: &[i8],
    y: &mut [i8],
) {
    sums(
        p,
        |at| i64::from(at.map_or(pad_value, |at| x[at])),
        weights,
        weight,
        |index, sum| {
            let o = index % p.output[2];
            y[index] = requantized(q, sum + i64::from(bias[o]), multipliers[o]);
        },
    );
}

/// Calls `each` with the place of each output of a convolution and the sum of its products; `x` gives the element at a
/// place, or that of the padding.
pub fn sums(
    p: &Conv2d,
    x: impl Fn(Option<usize>) -> i64,
    weights: &[i8],
    weight: impl Fn(usize, usize) -> usize,
    mut each: impl FnMut(usize, i64),
) {
    let ([in_h, in_w, in_c], [out_h, out_w, out_c]) = (p.input, p.output);
    let (depth, group_outputs) = (in_c / p.groups, out_c / p.groups);
    for index in 0..p.batch * out_h * out_w * out_c {
        let (o, pixel) = (index % out_c, index / out_c);
        let (out_x, row) = (pixel % out_w, pixel / out_w);
        let (out_y, image) = (row % out_h, row / out_h);
        let mut sum = 0;
        let mut i = 0;
        for ky in 0..p.kernel[0] {
            let in_y = cell(out_y, ky, p.stride[0], p.dilation[0], p.pad[0], in_h);
            for kx in 0..p.kernel[1] {
                let in_x = cell(out_x, kx, p.stride[1], p.dilation[1], p.pad[1], in_w);
                let first =
                    in_y.zip(in_x).map(|(y, x)| ((image * in_h + y) * in_w + x) * in_c + o / group_outputs * depth);
                for c in 0..depth {
                    sum += x(first.map(|first| first + c)) * i64::from(weights[weight(o, i)]);
                    i += 1;
                }
            }
        }
        each(index, sum);
    }
}

/// Calls `each` for each output of a pool: its index, the places of its cells inside the image, as many of them as
/// there are, and how many cells are inside the padded image.
pub fn pool(p: &Pool2d, mut each: impl FnMut(usize, &[usize], usize)) {
    let ([in_h, in_w, channels], [out_h, out_w, _]) = (p.input, p.output);
    let mut cells = [0; 256];
    for index in 0..p.batch * out_h * out_w * channels {
        let (c, pixel) = (index % channels, index / channels);
        let (out_x, row) = (pixel % out_w, pixel / out_w);
        let (out_y, image) = (row % out_h, row / out_h);
        let (mut inside, mut padded) = (0, 0);
        for ky in 0..p.kernel[0] {
            for kx in 0..p.kernel[1] {
                let position = [out_y * p.stride[0] + ky * p.dilation[0], out_x * p.stride[1] + kx * p.dilation[1]];
                let ends = [p.pad[0] + in_h + p.pad_end[0], p.pad[1] + in_w + p.pad_end[1]];
                padded += usize::from(position[0] < ends[0] && position[1] < ends[1]);
                let in_y = cell(out_y, ky, p.stride[0], p.dilation[0], p.pad[0], in_h);
                let in_x = cell(out_x, kx, p.stride[1], p.dilation[1], p.pad[1], in_w);
                if let (Some(y), Some(x)) = (in_y, in_x) {
                    cells[inside] = ((image * in_h + y) * in_w + x) * channels + c;
                    inside += 1;
                }
            }
        }
        each(index, &cells[..inside], padded);
    }
}

/// Calls `each` with the places in `y`, `a` and `b` of each element of an operator with broadcasting.
pub fn broadcast(p: &Broadcast, mut each: impl FnMut(usize, usize, usize)) {
    let [s0, s1, s2, s3] = p.shape;
    for index in 0..s0 * s1 * s2 * s3 {
        let place = [index / (s1 * s2 * s3), index / (s2 * s3) % s1, index / s3 % s2, index % s3];
        let at = |strides: &[usize; 4]| place.iter().zip(strides).map(|(i, stride)| i * stride).sum();
        each(index, at(&p.a_strides), at(&p.b_strides));
    }
}

/// One sum or difference.
pub fn added(q: &AddS8, a: i8, b: i8) -> i8 {
    let sum = i64::from(a) * i64::from(q.a_multiplier) + i64::from(b) * i64::from(q.b_multiplier) + i64::from(q.bias);
    (sum >> q.shift).clamp(q.min.into(), q.max.into()) as i8
}

/// A product of matrices.
#[allow(clippy::too_many_arguments)]
pub fn matmul(p: &MatMul, q: &Requantize, multiplier: i32, zero_points: [i32; 2], a: &[i8], b: &[i8], y: &mut [i8]) {
    let [outer, middle, inner] = p.batch;
    for index in 0..outer * middle * inner * p.rows * p.columns {
        let (column, row) = (index % p.columns, index / p.columns % p.rows);
        let batch = index / p.columns / p.rows;
        let place = [batch / inner / middle, batch / inner % middle, batch % inner];
        let of = |strides: [usize; 3]| (0..3).map(|axis| place[axis] * strides[axis]).sum::<usize>();
        let sum = (0..p.inner).map(|k| {
            let a = a[of(p.a_batch) + row * p.a_row + k * p.a_inner];
            let b = b[of(p.b_batch) + k * p.b_inner + column * p.b_column];
            i64::from(i32::from(a) - zero_points[0]) * i64::from(i32::from(b) - zero_points[1])
        });
        y[of(p.y_batch) + row * p.y_row + column] = requantized(q, sum.sum(), multiplier);
    }
}
