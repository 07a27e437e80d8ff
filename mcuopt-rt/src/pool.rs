//! ONNX MaxPool and AveragePool.

use crate::fixed::{Requantize, RequantizeS16};
use crate::geometry::{Clamp, Pool2d, Window3d};
use crate::math;
use crate::number::{Index, Number};
use crate::value::{each, lanes, store};
use crate::window::{Taps, Window};

/// Maximum over each window in f32; `x: [batch, in_h, in_w, c]`, `y: [batch, out_h, out_w, c]`.
///
/// Padding is ignored; a window wholly in the padding gives −∞. So is NaN.
///
/// # Panics
/// If a slice's length is not that of its shape.
#[inline(always)]
pub fn max_pool_f32(p: &Pool2d, x: &[f32], y: &mut [f32]) {
    let max = |max, x| if x > max { x } else { max };
    pool(p, x, y, f32::NEG_INFINITY, max, |_, max| max);
}

/// Maximum over each window in int8; `x: [batch, in_h, in_w, c]`, `y: [batch, out_h, out_w, c]`, both with the
/// same quantization.
///
/// Padding is ignored; a window wholly in the padding gives −128.
///
/// # Panics
/// If a slice's length is not that of its shape.
#[inline(always)]
pub fn max_pool_s8(p: &Pool2d, x: &[i8], y: &mut [i8]) {
    let max = |_: &Cells, max: i8| max;
    #[cfg(mcuopt_dsp)]
    return pool_by_words(p, x, y, i8::MIN, |max: i8, x| Ord::max(max, x), max, crate::arch::dsp::pool::max);
    #[cfg(not(mcuopt_dsp))]
    pool(p, x, y, i8::MIN, |max: i8, x| Ord::max(max, x), max);
}

/// Maximum over each window, of any numbers: [`max_pool_f32`] and [`max_pool_s8`] for the other types.
///
/// # Panics
/// If a slice's length is not that of its shape.
pub fn max_pool<T: Number>(p: &Pool2d, x: &[T], y: &mut [T]) {
    pool(p, x, y, T::LOWEST, Number::max, |_, max| max);
}

/// Where the maximum of each window is, of any numbers; `x: [batch, in_d, in_h, in_w, c]`, `y: [batch, out_d, out_h,
/// out_w, c]`.
///
/// Places count over the whole tensor as ONNX lays it out, `[batch, c, in_d, in_h, in_w]`, or, if `column_major`,
/// `[batch, c, in_w, in_h, in_d]`. Of equal maxima it is the first in `x`; NaN is none. A window wholly in the padding
/// gives the first place of its channel.
///
/// # Panics
/// If a slice's length is not that of its shape.
pub fn max_pool_indices<T: Number, I: Index>(p: &Window3d, column_major: bool, x: &[T], y: &mut [I]) {
    let ([in_d, in_h, in_w, channels], [kd, kh, kw]) = (p.input, p.kernel);
    let (in_cells, out_cells) = p.cells();
    assert_eq!(x.len(), p.batch * in_cells * channels, "x");
    assert_eq!(y.len(), p.batch * out_cells * channels, "y");

    for (number, y) in y.chunks_exact_mut(channels).enumerate() {
        let (image, out) = (number / out_cells, p.place(number % out_cells));
        for (channel, y) in y.iter_mut().enumerate() {
            let mut best: Option<(T, usize)> = None;
            for tap in 0..kd * kh * kw {
                let taps = [tap / (kh * kw), tap / kw % kh, tap % kw];
                let at = [0, 1, 2].map(|axis| p.reads(axis, out[axis], taps[axis]));
                let [Some(z), Some(row), Some(column)] = at else { continue };
                let value = x[(((image * in_d + z) * in_h + row) * in_w + column) * channels + channel];
                // NaN is not above anything, itself included.
                if best.map_or(value >= T::LOWEST, |(max, _)| value > max) {
                    let place =
                        if column_major { (column * in_h + row) * in_d + z } else { (z * in_h + row) * in_w + column };
                    best = Some((value, place));
                }
            }
            *y = I::from_position((image * channels + channel) * in_cells + best.map_or(0, |(_, place)| place));
        }
    }
}

/// The norm `(Σ |x|^p)^(1/p)` over each window in f32, for `p` of at least 1; `x: [batch, in_h, in_w, c]`, `y: [batch,
/// out_h, out_w, c]`. Padding is 0.
///
/// # Panics
/// If a slice's length is not that of its shape.
pub fn lp_pool_f32(geometry: &Pool2d, p: u32, x: &[f32], y: &mut [f32]) {
    let power = |x: f32| (1..p).fold(x.abs(), |power, _| power * x.abs());
    let root = |_: &Cells, sum: f32| match p {
        1 => sum,
        2 => math::sqrt(sum),
        _ if sum > 0.0 => math::exp(math::ln(sum) / p as f32),
        _ => sum,
    };
    pool(geometry, x, y, 0.0, |sum, x| sum + power(x), root);
}

/// Mean over each window in f32; `x: [batch, in_h, in_w, c]`, `y: [batch, out_h, out_w, c]`.
///
/// The divisor is the number of the window's cells inside the image; with `count_include_pad` the number inside
/// the padded image. (A window may reach beyond even that under `ceil_mode`; those cells never count.)
///
/// # Panics
/// If a slice's length is not that of its shape.
#[inline(always)]
pub fn average_pool_f32(p: &Pool2d, count_include_pad: bool, clamp: &Clamp, x: &[f32], y: &mut [f32]) {
    let mean = |cells: &Cells, sum: f32| clamp.apply(sum / cells.divisor(count_include_pad) as f32);
    pool(p, x, y, 0.0, |sum, x| sum + x, mean);
}

/// Mean over each window in int8; shapes and divisor `d` as in [`average_pool_f32`].
///
/// `y = q.apply(Σ (x − input_zero_point), multipliers[d − 1])` over the cells inside the image; `multipliers`
/// has one entry for each possible `d`, `kh · kw` in all. The window has less than 2²³ cells.
///
/// # Panics
/// If a slice's length is not that of its shape.
#[inline(always)]
pub fn average_pool_s8(
    p: &Pool2d,
    q: &Requantize,
    input_zero_point: i32,
    count_include_pad: bool,
    multipliers: &[i32],
    x: &[i8],
    y: &mut [i8],
) {
    assert_eq!(multipliers.len(), p.kernel[0] * p.kernel[1], "multipliers");
    let mean = |cells: &Cells, sum: i32| {
        let sum = sum - cells.inside as i32 * input_zero_point;
        q.apply(sum, multipliers[cells.divisor(count_include_pad) - 1])
    };
    // Windows whose sums fit int16.
    #[cfg(mcuopt_dsp)]
    if p.kernel[0] * p.kernel[1] <= 255 {
        return pool_by_words(p, x, y, 0, |sum, x| sum + i32::from(x), mean, crate::arch::dsp::pool::sum);
    }
    pool(p, x, y, 0, |sum, x| sum + i32::from(x), mean);
}

/// Mean over each window in int16, as [`average_pool_s8`], summed in 64 bits.
///
/// # Panics
/// If a slice's length is not that of its shape.
pub fn average_pool_s16(
    p: &Pool2d,
    q: &RequantizeS16,
    input_zero_point: i32,
    count_include_pad: bool,
    multipliers: &[i32],
    x: &[i16],
    y: &mut [i16],
) {
    assert_eq!(multipliers.len(), p.kernel[0] * p.kernel[1], "multipliers");
    let mean = |cells: &Cells, sum: i64| {
        let sum = sum - cells.inside as i64 * i64::from(input_zero_point);
        q.apply_wide(sum, multipliers[cells.divisor(count_include_pad) - 1])
    };
    pool(p, x, y, 0, |sum, x| sum + i64::from(x), mean);
}

/// [`pool`], where `fold4` folds four channels of a window at once.
#[cfg(mcuopt_dsp)]
#[inline(always)]
fn pool_by_words<A: Copy>(
    p: &Pool2d,
    x: &[i8],
    y: &mut [i8],
    start: A,
    add: impl Fn(A, i8) -> A,
    finish: impl Fn(&Cells, A) -> i8,
    fold4: fn(&crate::arch::dsp::pool::Cells, &[i8]) -> [A; 4],
) {
    let ([in_h, in_w, channels], [out_h, out_w, _]) = (p.input, p.output);
    assert_eq!(x.len(), p.batch * in_h * in_w * channels, "x");
    assert_eq!(y.len(), p.batch * out_h * out_w * channels, "y");

    for (image, y) in x.chunks_exact(in_h * in_w * channels).zip(y.chunks_exact_mut(out_h * out_w * channels)) {
        for (pixel, y) in y.chunks_exact_mut(channels).enumerate() {
            let (window, cells) = window(p, [pixel / out_w, pixel % out_w]);
            let first = (window.rows.start() * in_w + window.columns.start()) * channels;
            let (y4, y1) = y.as_chunks_mut::<4>();
            let mut words = crate::arch::dsp::pool::Cells {
                first,
                rows: window.rows.count(),
                columns: window.columns.count(),
                column_step: p.dilation[1] * channels,
                row_step: p.dilation[0] * in_w * channels,
            };
            for y in y4 {
                store(y, 0, fold4(&words, image), |_, sum| finish(&cells, sum));
                words.first += 4;
            }
            for (y, channel) in y1.iter_mut().zip(words.first - first..) {
                let [sum] = fold(p, &window, image, channel, [start], &add);
                *y = finish(&cells, sum);
            }
        }
    }
}

/// How many cells of a window there are to divide by.
struct Cells {
    inside: usize,
    inside_padded: usize,
}

impl Cells {
    /// At least 1, even for windows that no valid layer has.
    #[inline(always)]
    fn divisor(&self, count_include_pad: bool) -> usize {
        (if count_include_pad { self.inside_padded } else { self.inside }).max(1)
    }
}

#[inline(always)]
fn pool<T: Copy, A: Copy>(
    p: &Pool2d,
    x: &[T],
    y: &mut [T],
    start: A,
    add: impl Fn(A, T) -> A,
    finish: impl Fn(&Cells, A) -> T,
) {
    let ([in_h, in_w, channels], [out_h, out_w, _]) = (p.input, p.output);
    assert_eq!(x.len(), p.batch * in_h * in_w * channels, "x");
    assert_eq!(y.len(), p.batch * out_h * out_w * channels, "y");

    for (image, y) in x.chunks_exact(in_h * in_w * channels).zip(y.chunks_exact_mut(out_h * out_w * channels)) {
        for (out_y, y) in y.chunks_exact_mut(out_w * channels).enumerate() {
            for (out_x, y) in y.chunks_exact_mut(channels).enumerate() {
                let (window, cells) = window(p, [out_y, out_x]);
                let (y4, y1) = y.as_chunks_mut::<4>();
                let mut channel = 0;
                for y in y4 {
                    let sums = fold(p, &window, image, channel, [start; 4], &add);
                    store(y, 0, sums, |_, sum| finish(&cells, sum));
                    channel += 4;
                }
                for y in y1 {
                    let [sum] = fold(p, &window, image, channel, [start], &add);
                    *y = finish(&cells, sum);
                    channel += 1;
                }
            }
        }
    }
}

/// The window of one output pixel.
#[inline(always)]
fn window(p: &Pool2d, out: [usize; 2]) -> (Window, Cells) {
    let taps = |axis: usize, pad: usize, size: usize| {
        Taps::new(out[axis], p.stride[axis], pad, p.dilation[axis], p.kernel[axis], size)
    };
    let inside = |axis: usize| taps(axis, p.pad[axis], p.input[axis]);
    let padded = |axis: usize| taps(axis, 0, p.pad[axis] + p.input[axis] + p.pad_end[axis]).count();
    let (rows, columns) = (inside(0), inside(1));
    let cells = Cells { inside: rows.count() * columns.count(), inside_padded: padded(0) * padded(1) };
    (Window { rows, columns }, cells)
}

/// Folds the cells of a window that are inside the image, for `N` channels from `channel` on.
#[inline(always)]
fn fold<T: Copy, A: Copy, const N: usize>(
    p: &Pool2d,
    window: &Window,
    image: &[T],
    channel: usize,
    mut sums: [A; N],
    add: impl Fn(A, T) -> A,
) -> [A; N] {
    let [_, in_w, channels] = p.input;
    let Window { rows, columns } = window;
    for ky in rows.inside() {
        for kx in columns.inside() {
            let cell = (rows.position(ky) * in_w + columns.position(kx)) * channels;
            sums = each(sums, lanes(image, cell + channel), &add);
        }
    }
    sums
}
