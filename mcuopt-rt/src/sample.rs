//! What reads an image at places that are not on its grid of pixels: ONNX GridSample, DeformConv, RoiAlign, and MaxRoiPool.

use crate::fixed::round_ties_even_f32;
use crate::number::Index;

/// How [`grid_sample_f32`] interpolates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interpolation {
    /// The nearest pixel, halves to even.
    Nearest,
    /// Between two pixels along each axis.
    Linear,
    /// Through four pixels along each axis: R. Keys, "Cubic Convolution Interpolation for Digital Image Processing",
    /// 1981, with a = −0.75.
    Cubic,
}

/// What [`grid_sample_f32`] reads outside the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outside {
    /// 0.
    Zeros,
    /// The nearest pixel of the image.
    Border,
    /// The image reflected at its ends.
    Reflection,
}

/// ONNX GridSample over up to three axes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GridSample {
    /// Number of images.
    pub batch: usize,
    /// Depth, height, width and channels of the image; the depth of a plane is 1.
    pub input: [usize; 4],
    /// Places that each image is read at.
    pub places: usize,
    /// Coordinates of a place: 2 (x, y), or 3 (x, y, z).
    pub axes: usize,
    /// How to interpolate.
    pub interpolation: Interpolation,
    /// What to read outside.
    pub outside: Outside,
    /// Whether −1 and 1 are the centres of the corner pixels, instead of their outer edges.
    pub align_corners: bool,
}

/// The pixels that an output depends on along one axis, and their weights; what reads 0 weighs 0.
#[derive(Clone, Copy, Default)]
struct Taps {
    positions: [usize; 4],
    weights: [f32; 4],
    count: usize,
}

impl Taps {
    const ONE: Taps = Taps { positions: [0; 4], weights: [1.0, 0.0, 0.0, 0.0], count: 1 };

    fn push(&mut self, position: usize, weight: f32) {
        self.positions[self.count] = position;
        self.weights[self.count] = weight;
        self.count += 1;
    }

    fn iter(&self) -> impl Iterator<Item = (usize, f32)> {
        self.positions.into_iter().zip(self.weights).take(self.count)
    }

    /// The two pixels around a coordinate, as far as there are any.
    fn linear(at: f32, extent: usize) -> Taps {
        let (low, mut taps) = (floor(at), Taps::default());
        let ratio = at - low as f32;
        for (position, weight) in [(low, 1.0 - ratio), (low.saturating_add(1), ratio)] {
            if let Some(position) = usize::try_from(position).ok().filter(|&position| position < extent) {
                taps.push(position, weight);
            }
        }
        taps
    }
}

/// The largest integer that is not above `x`; what does not fit is moved to the nearest end, NaN to 0.
fn floor(x: f32) -> i32 {
    let truncated = x as i32;
    if truncated as f32 > x { truncated.saturating_sub(1) } else { truncated }
}

/// The smallest integer that is not below `x`, likewise.
fn ceil(x: f32) -> i32 {
    floor(-x).saturating_neg()
}

/// `y[n, i, c]` is `x[n, …, c]` at the place `grid[n, i]`, whose coordinates run from −1 to 1.
///
/// `x: [batch, depth, height, width, channels]`, `grid: [batch, places, axes]`, `y: [batch, places, channels]`.
///
/// # Panics
/// If a slice's length is not that of its shape.
pub fn grid_sample_f32(p: &GridSample, x: &[f32], grid: &[f32], y: &mut [f32]) {
    let [depth, height, width, channels] = p.input;
    assert_eq!(x.len(), p.batch * depth * height * width * channels, "x");
    assert_eq!(grid.len(), p.batch * p.places * p.axes, "grid");
    assert_eq!(y.len(), p.batch * p.places * channels, "y");

    let images = x.chunks_exact(depth * height * width * channels);
    let grids = grid.chunks_exact(p.places * p.axes).zip(y.chunks_exact_mut(p.places * channels));
    for (image, (grid, y)) in images.zip(grids) {
        for (place, y) in grid.chunks_exact(p.axes).zip(y.chunks_exact_mut(channels)) {
            let mut taps = [Taps::ONE; 3];
            for (i, &coordinate) in place.iter().take(3).enumerate() {
                taps[2 - i] = p.taps(coordinate, p.input[2 - i]);
            }
            weigh(image, p.input, &taps, y);
        }
    }
}

/// `y[c] = Σ weight · image[…, c]`.
fn weigh(image: &[f32], [_, height, width, channels]: [usize; 4], taps: &[Taps; 3], y: &mut [f32]) {
    y.fill(0.0);
    for (z, weight_z) in taps[0].iter() {
        for (row, weight_y) in taps[1].iter() {
            for (column, weight_x) in taps[2].iter() {
                let weight = weight_z * weight_y * weight_x;
                let pixel = &image[((z * height + row) * width + column) * channels..][..channels];
                y.iter_mut().zip(pixel).for_each(|(y, &x)| *y += weight * x);
            }
        }
    }
}

impl GridSample {
    fn taps(&self, coordinate: f32, extent: usize) -> Taps {
        let size = extent as f32;
        let at = if self.align_corners {
            (coordinate + 1.0) / 2.0 * (size - 1.0)
        } else {
            ((coordinate + 1.0) * size - 1.0) / 2.0
        };
        let at = if self.interpolation == Interpolation::Nearest { round_ties_even_f32(at) } else { at };
        let at = match self.outside {
            // The border's pixels continue beyond it, which the cubic through them knows.
            Outside::Border if self.interpolation != Interpolation::Cubic => at.clamp(0.0, size - 1.0),
            Outside::Reflection => self.reflected(at, extent),
            Outside::Border | Outside::Zeros => at,
        };
        let low = floor(at);
        let ratio = at - low as f32;
        let mut taps = Taps::default();
        let mut push = |offset: i32, weight: f32| {
            if let Some(position) = self.position(low.saturating_add(offset), extent) {
                taps.push(position, weight);
            }
        };
        match self.interpolation {
            Interpolation::Nearest => push(0, 1.0),
            Interpolation::Linear => {
                push(0, 1.0 - ratio);
                push(1, ratio);
            }
            Interpolation::Cubic => {
                for (offset, weight) in (-1..).zip(cubic(ratio)) {
                    push(offset, weight);
                }
            }
        }
        taps
    }

    /// A coordinate reflected at the ends of the image until it is inside.
    fn reflected(&self, at: f32, extent: usize) -> f32 {
        let (min, max) = if self.align_corners { (0.0, extent as f32 - 1.0) } else { (-0.5, extent as f32 - 0.5) };
        let beyond = if at < min {
            min - at
        } else if at > max {
            at - max
        } else {
            return at;
        };
        let range = max - min;
        if range <= 0.0 {
            return min;
        }
        let times = (beyond / range) as i32;
        let rest = beyond - times as f32 * range;
        // An even number of reflections ends at the side where it began.
        if (times % 2 == 0) == (at < min) { min + rest } else { max - rest }
    }

    /// The pixel that is read at a position along an axis; `None` where it is 0.
    fn position(&self, at: i32, extent: usize) -> Option<usize> {
        let last = extent as i32 - 1;
        let at = match self.outside {
            Outside::Zeros if at < 0 || at > last => return None,
            Outside::Reflection => self.reflected(at as f32, extent) as i32,
            _ => at,
        };
        Some(at.clamp(0, last) as usize)
    }
}

/// The weights of the pixels at −1, 0, 1 and 2 for the place `t`, from 0 to 1.
fn cubic(t: f32) -> [f32; 4] {
    const A: f32 = -0.75;
    let near = |t: f32| ((A + 2.0) * t - (A + 3.0)) * t * t + 1.0;
    let far = |t: f32| ((A * t - 5.0 * A) * t + 8.0 * A) * t - 4.0 * A;
    [far(t + 1.0), near(t), near(1.0 - t), far(2.0 - t)]
}

/// ONNX DeformConv: a convolution over a plane whose taps are moved by offsets that are given at run time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DeformConv {
    /// Number of images.
    pub batch: usize,
    /// Height, width, channels of the input.
    pub input: [usize; 3],
    /// Height, width, channels of the output.
    pub output: [usize; 3],
    /// Height and width of the kernel.
    pub kernel: [usize; 2],
    /// Steps of the kernel between outputs, at least 1.
    pub stride: [usize; 2],
    /// Padding at the top and the left.
    pub pad: [usize; 2],
    /// Distance of neighbouring taps, at least 1.
    pub dilation: [usize; 2],
    /// Number of groups; divides input and output channels.
    pub groups: usize,
    /// Number of groups of input channels that share their offsets.
    pub offset_groups: usize,
}

/// `y[o] = bias[o] + Σ mask · weights[o] · x` where `x` is read at the tap's place plus its offset, interpolated
/// linearly, and 0 outside.
///
/// | slice | shape |
/// |---|---|
/// | `x` | `[batch, in_h, in_w, in_c]` |
/// | `weights` | `[out_c, kh, kw, in_c / groups]` |
/// | `offsets` | `[batch, out_h, out_w, offset_groups, kh, kw, 2]`: downwards, to the right |
/// | `bias` | `[out_c]` |
/// | `y` | `[batch, out_h, out_w, out_c]` |
///
/// # Panics
/// If a slice's length is not that of its shape.
pub fn deform_conv_f32(p: &DeformConv, x: &[f32], weights: &[f32], offsets: &[f32], bias: &[f32], y: &mut [f32]) {
    deform_conv(p, x, weights, offsets, bias, None, y);
}

/// [`deform_conv_f32`] with `mask: [batch, out_h, out_w, offset_groups, kh, kw]`.
///
/// # Panics
/// If a slice's length is not that of its shape.
pub fn masked_deform_conv_f32(
    p: &DeformConv,
    x: &[f32],
    weights: &[f32],
    offsets: &[f32],
    bias: &[f32],
    mask: &[f32],
    y: &mut [f32],
) {
    deform_conv(p, x, weights, offsets, bias, Some(mask), y);
}

fn deform_conv(
    p: &DeformConv,
    x: &[f32],
    weights: &[f32],
    offsets: &[f32],
    bias: &[f32],
    mask: Option<&[f32]>,
    y: &mut [f32],
) {
    let ([in_h, in_w, in_c], [out_h, out_w, out_c], [kh, kw]) = (p.input, p.output, p.kernel);
    let (in_group, out_group, offset_group) = (in_c / p.groups, out_c / p.groups, in_c / p.offset_groups);
    let (taps, pixels) = (kh * kw, p.batch * out_h * out_w);
    assert_eq!(x.len(), p.batch * in_h * in_w * in_c, "x");
    assert_eq!(weights.len(), out_c * taps * in_group, "weights");
    assert_eq!(offsets.len(), pixels * p.offset_groups * taps * 2, "offsets");
    assert_eq!(bias.len(), out_c, "bias");
    assert!(mask.is_none_or(|mask| mask.len() == pixels * p.offset_groups * taps), "mask");
    assert_eq!(y.len(), pixels * out_c, "y");

    for (pixel, y) in y.chunks_exact_mut(out_c).enumerate() {
        let (image, out_y, out_x) = (pixel / (out_h * out_w), pixel / out_w % out_h, pixel % out_w);
        let image = &x[image * in_h * in_w * in_c..][..in_h * in_w * in_c];
        y.copy_from_slice(bias);
        for (group, tap) in (0..p.offset_groups).flat_map(|group| (0..taps).map(move |tap| (group, tap))) {
            let moved = (pixel * p.offset_groups + group) * taps + tap;
            let place = |axis: usize, output: usize, tap: usize| {
                let still = (output * p.stride[axis] + tap * p.dilation[axis]) as f32 - p.pad[axis] as f32;
                Taps::linear(still + offsets[2 * moved + axis], p.input[axis])
            };
            let (rows, columns) = (place(0, out_y, tap / kw), place(1, out_x, tap % kw));
            let scale = mask.map_or(1.0, |mask| mask[moved]);
            for channel in group * offset_group..(group + 1) * offset_group {
                let mut value = 0.0;
                for (row, weight_y) in rows.iter() {
                    for (column, weight_x) in columns.iter() {
                        value += weight_y * weight_x * image[(row * in_w + column) * in_c + channel];
                    }
                }
                let (own, within) = (channel / in_group, channel % in_group);
                for o in own * out_group..(own + 1) * out_group {
                    y[o] += scale * value * weights[(o * taps + tap) * in_group + within];
                }
            }
        }
    }
}

/// ONNX RoiAlign.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RoiAlign {
    /// Number of images.
    pub batch: usize,
    /// Height, width, channels of the images.
    pub input: [usize; 3],
    /// Number of regions.
    pub regions: usize,
    /// Rows and columns that a region is divided into.
    pub output: [usize; 2],
    /// Places along each axis at which a cell is read; 0 for one a pixel (up to some times as many as the image has).
    pub sampling_ratio: usize,
    /// From the regions' coordinates to pixels.
    pub spatial_scale: f32,
    /// Whether the centre of the first pixel is 0.5 (and not 0), and regions may be smaller than a pixel.
    pub half_pixel: bool,
    /// Whether a cell is the largest of its weighted pixels instead of the mean of its places.
    pub max: bool,
}

/// Divides regions of images into cells and reads each at some places, interpolated linearly.
///
/// | slice | shape |
/// |---|---|
/// | `x` | `[batch, height, width, channels]` |
/// | `rois` | `[regions, 4]`: left, top, right, bottom |
/// | `images` | `[regions]`: the image that a region is of |
/// | `y` | `[regions, rows, columns, channels]` |
///
/// # Panics
/// If a slice's length is not that of its shape.
pub fn roi_align_f32<I: Index>(p: &RoiAlign, x: &[f32], rois: &[f32], images: &[I], y: &mut [f32]) {
    let ([height, width, channels], [rows, columns]) = (p.input, p.output);
    assert_eq!(x.len(), p.batch * height * width * channels, "x");
    assert_eq!(rois.len(), p.regions * 4, "rois");
    assert_eq!(images.len(), p.regions, "images");
    assert_eq!(y.len(), p.regions * rows * columns * channels, "y");

    let regions = y.chunks_exact_mut(rows * columns * channels).zip(rois.as_chunks::<4>().0).zip(images);
    for ((y, region), image) in regions {
        let image = &x[image.position(p.batch) * height * width * channels..][..height * width * channels];
        let bounds = region.map(|bound| bound * p.spatial_scale - if p.half_pixel { 0.5 } else { 0.0 });
        let axes: [Bins; 2] = core::array::from_fn(|axis| {
            let (start, end) = (bounds[1 - axis], bounds[3 - axis]);
            let extent = if p.half_pixel { end - start } else { (end - start).max(1.0) };
            let bin = extent / p.output[axis] as f32;
            // A region that is much larger than the image is not worth more places than the image has pixels.
            let most = 4 * p.input[axis].max(16) as i32;
            let places = if p.sampling_ratio > 0 { p.sampling_ratio as i32 } else { ceil(bin).clamp(0, most) };
            Bins { start, bin, places: places as usize, extent: p.input[axis] }
        });
        for (cell, y) in y.chunks_exact_mut(channels).enumerate() {
            roi_cell(p, image, &axes, [cell / columns, cell % columns], y);
        }
    }
}

/// The cells of a region along one axis.
struct Bins {
    start: f32,
    bin: f32,
    places: usize,
    extent: usize,
}

impl Bins {
    /// The two pixels around a place of a cell; `None` outside the image.
    fn taps(&self, cell: usize, place: usize) -> Option<Taps> {
        let step = (place as f32 + 0.5) * self.bin / self.places as f32;
        let at = self.start + cell as f32 * self.bin + step;
        let size = self.extent as f32;
        if !(-1.0..=size).contains(&at) {
            return None;
        }
        let at = at.clamp(0.0, size - 1.0);
        let low = at as usize;
        let ratio = at - low as f32;
        // Both, even where the second weighs nothing: in ONNX it counts for a maximum.
        let mut taps = Taps::default();
        taps.push(low, 1.0 - ratio);
        taps.push((low + 1).min(self.extent - 1), ratio);
        Some(taps)
    }
}

fn roi_cell(p: &RoiAlign, image: &[f32], axes: &[Bins; 2], cell: [usize; 2], y: &mut [f32]) {
    let [_, width, channels] = p.input;
    let (mut first, count) = (true, axes[0].places * axes[1].places);
    y.fill(0.0);
    for place in 0..count {
        let rows = axes[0].taps(cell[0], place / axes[1].places);
        let columns = axes[1].taps(cell[1], place % axes[1].places);
        let (Some(rows), Some(columns)) = (rows, columns) else {
            // Reads 0.
            y.iter_mut().filter(|_| p.max).for_each(|y| *y = if first { 0.0 } else { y.max(0.0) });
            first = false;
            continue;
        };
        for (row, weight_y) in rows.iter() {
            for (column, weight_x) in columns.iter() {
                let pixel = &image[(row * width + column) * channels..][..channels];
                for (y, &x) in y.iter_mut().zip(pixel) {
                    let value = weight_y * weight_x * x;
                    *y = match p.max {
                        false => *y + value,
                        true if first => value,
                        true => y.max(value),
                    };
                }
                first = false;
            }
        }
    }
    if !p.max {
        y.iter_mut().for_each(|y| *y /= count.max(1) as f32);
    }
}

/// ONNX MaxRoiPool.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MaxRoiPool {
    /// Number of images.
    pub batch: usize,
    /// Height, width, channels of the images.
    pub input: [usize; 3],
    /// Number of regions.
    pub regions: usize,
    /// Rows and columns that a region is divided into.
    pub output: [usize; 2],
    /// From the regions' coordinates to pixels.
    pub spatial_scale: f32,
}

/// The maximum over each cell of regions of images, whose bounds are rounded to pixels; 0 for a cell without pixels.
///
/// | slice | shape |
/// |---|---|
/// | `x` | `[batch, height, width, channels]` |
/// | `rois` | `[regions, 5]`: image, left, top, right, bottom, all of them inside |
/// | `y` | `[regions, rows, columns, channels]` |
///
/// R. Girshick, "Fast R-CNN", 2015.
///
/// # Panics
/// If a slice's length is not that of its shape.
pub fn max_roi_pool_f32(p: &MaxRoiPool, x: &[f32], rois: &[f32], y: &mut [f32]) {
    let ([height, width, channels], [rows, columns]) = (p.input, p.output);
    assert_eq!(x.len(), p.batch * height * width * channels, "x");
    assert_eq!(rois.len(), p.regions * 5, "rois");
    assert_eq!(y.len(), p.regions * rows * columns * channels, "y");

    for (y, region) in y.chunks_exact_mut(rows * columns * channels).zip(rois.as_chunks::<5>().0) {
        let [image, bounds @ ..] = region;
        let image = &x[(*image as i32).position(p.batch) * height * width * channels..][..height * width * channels];
        let rounded = bounds.map(|bound| floor(bound * p.spatial_scale + 0.5));
        // The pixels of a cell along an axis.
        let pixels = |axis: usize, cell: usize| {
            let (start, end) = (rounded[1 - axis], rounded[3 - axis]);
            let extent = end.saturating_sub(start).saturating_add(1).max(1) as f32;
            let bin = extent / p.output[axis] as f32;
            let last = p.input[axis] as i32;
            let low = floor(cell as f32 * bin).saturating_add(start).clamp(0, last);
            let high = ceil((cell + 1) as f32 * bin).saturating_add(start).clamp(0, last);
            low as usize..high as usize
        };
        for (cell, y) in y.chunks_exact_mut(channels).enumerate() {
            let (in_rows, in_columns) = (pixels(0, cell / columns), pixels(1, cell % columns));
            let empty = in_rows.is_empty() || in_columns.is_empty();
            y.fill(if empty { 0.0 } else { f32::NEG_INFINITY });
            for row in in_rows {
                for column in in_columns.clone() {
                    let pixel = &image[(row * width + column) * channels..][..channels];
                    y.iter_mut().zip(pixel).for_each(|(y, &x)| *y = y.max(x));
                }
            }
        }
    }
}
