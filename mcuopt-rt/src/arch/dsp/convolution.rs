//! Convolution and dense layers: activations are gathered and widened four pixels at a time, and all filters run over
//! them; pixels that remain go one by one.

use super::dot::{Row, RowArgs, Tile, TileArgs, tile_skip};
use crate::conv::Operands;
use crate::conv::stream::{Sizes, TILE_PIXELS, is_pointwise, is_row};
use crate::fixed::Requantize;
use crate::geometry::Conv2d;

/// The loops of one layer.
#[derive(Clone, Copy)]
pub(crate) struct Loops {
    /// For four pixels; `None` where a layer has fewer.
    pub(crate) tile: Option<Tile>,
    /// For one pixel.
    pub(crate) row: Option<Row>,
    /// Whether they work with split sums.
    pub(crate) split: bool,
}

/// Computes a layer; the constants are a stream for each group.
///
/// # Panics
/// If a slice is shorter than its shape.
#[inline(never)]
pub(crate) fn convolve(
    p: &Conv2d,
    q: &Requantize,
    pad_value: i8,
    loops: Loops,
    constants: &[u32],
    operands: Operands<'_>,
    scratch: &mut [u32],
) {
    let sizes = Sizes::new(p);
    let (x_len, y_len) = (p.batch * p.input.iter().product::<usize>(), p.batch * sizes.pixels * p.output[2]);
    let (x, y, overlapping) = match operands {
        Operands::Apart(x, y) => {
            assert!(x.len() == x_len && y.len() == y_len, "x, y");
            (x.as_ptr(), y.as_mut_ptr(), false)
        }
        Operands::Overlapping(xy, x_start) => {
            assert!(xy.len() >= y_len && xy.len() - x_start >= x_len, "xy");
            let y = xy.as_mut_ptr();
            // SAFETY: the input lies inside the slice.
            (unsafe { y.add(x_start) }.cast_const(), y, true)
        }
    };
    assert!(constants.len() == p.groups * sizes.group_words, "constants");
    let (lanes, patch) = scratch.split_at_mut(sizes.lane_words);
    assert!(patch.len() >= sizes.patch_words, "scratch");

    let mut source = Source { p, sizes, pad_value, x, x_len, image: 0, patch: patch.as_mut_ptr().cast() };
    let mut tile_args = TileArgs {
        activations: lanes.as_ptr(),
        end: lanes.as_ptr(),
        skip: tile_skip(loops.split, sizes.taps4),
        pixel_stride: p.output[2],
        filters: sizes.filters & !1,
        zero_point: q.zero_point,
        min: u32::from(i16::from(q.min) as u16) * 0x1_0001,
        max: u32::from(i16::from(q.max) as u16) * 0x1_0001,
        left_shift: q.left_shift,
    };
    let row_args = RowArgs {
        zero_point: q.zero_point,
        min: u32::from(q.min as u8) * 0x0101_0101,
        max: u32::from(q.max as u8) * 0x0101_0101,
        left_shift: q.left_shift,
    };
    let image_len = p.input.iter().product::<usize>();
    let mut y = y;
    for _ in 0..p.batch {
        let mut pixel = Pixel { y: 0, x: 0 };
        let mut left = sizes.pixels;
        if let Some(tile) = loops.tile {
            while left >= TILE_PIXELS {
                for lane in 0..TILE_PIXELS {
                    // SAFETY: there are TILE_PIXELS words for each two taps of each group.
                    unsafe { source.widen(pixel, lanes.as_mut_ptr().add(lane)) };
                    pixel = pixel.next(p);
                }
                for group in 0..p.groups {
                    // SAFETY: all pointers stay inside their slices; the outputs of the four pixels are written after
                    // all they depend on was read.
                    unsafe {
                        tile_args.activations = lanes.as_ptr().add(group * sizes.taps4 * 2);
                        tile_args.end = tile_args.activations.add(sizes.taps4 * 2);
                        let weights = constants.as_ptr().add(group * sizes.group_words);
                        tile_pixels(tile, &tile_args, &sizes, weights, y.add(group * sizes.filters));
                    }
                }
                // SAFETY: still inside `y`, or one past it.
                y = unsafe { y.add(TILE_PIXELS * p.output[2]) };
                left -= TILE_PIXELS;
            }
        }
        if let Some(row) = loops.row {
            while left > 0 {
                // SAFETY: as above. An overlapping output must not overwrite taps that later filters read.
                unsafe {
                    let taps = source.taps(pixel, overlapping);
                    for group in 0..p.groups {
                        let weights = constants.as_ptr().add(group * sizes.group_words);
                        let x = taps.add(group * sizes.taps4);
                        row_filters(row, &row_args, &sizes, x, weights, y.add(group * sizes.filters));
                    }
                    y = y.add(p.output[2]);
                }
                pixel = pixel.next(p);
                left -= 1;
            }
        }
        source.image += image_len;
    }
}

/// All filters of a group over the pixels that have been widened.
unsafe fn tile_pixels(tile: Tile, args: &TileArgs, sizes: &Sizes, weights: *const u32, y: *mut i8) {
    // SAFETY: the caller's.
    unsafe {
        if args.filters > 0 {
            tile(args, weights, y);
        }
        if sizes.filters % 2 == 1 {
            // The last filter's partner does not exist, and its outputs must not be written to `y`.
            let last = TileArgs { filters: 2, pixel_stride: 2, ..*args };
            let mut outputs = [0; 2 * TILE_PIXELS];
            tile(&last, weights.add(sizes.filters / 2 * sizes.stream_words), outputs.as_mut_ptr());
            for pixel in 0..TILE_PIXELS {
                y.add(pixel * args.pixel_stride + sizes.filters - 1).write(outputs[2 * pixel]);
            }
        }
    }
}

/// All filters of a group over one pixel.
unsafe fn row_filters(row: Row, args: &RowArgs, sizes: &Sizes, x: *const i8, weights: *const u32, y: *mut i8) {
    let stream = sizes.stream_words;
    let (mut weights, mut y, mut left) = (weights, y, sizes.filters);
    // SAFETY: the caller's; where there is no second stream, the first takes its place.
    unsafe {
        while left > 2 {
            let outputs = row(x, weights, weights.add(stream), sizes.taps4, args);
            if left == 3 {
                store(y, outputs, 3);
                return;
            }
            y.cast::<u32>().write_unaligned(outputs);
            weights = weights.add(2 * stream);
            y = y.add(4);
            left -= 4;
        }
        if left > 0 {
            store(y, row(x, weights, weights, sizes.taps4, args), left);
        }
    }
}

/// The first `count` bytes of `outputs`.
unsafe fn store(y: *mut i8, outputs: u32, count: usize) {
    for i in 0..count {
        // SAFETY: the caller's.
        unsafe { y.add(i).write((outputs >> (8 * i)) as i8) };
    }
}

/// A pixel of the output.
#[derive(Clone, Copy)]
struct Pixel {
    y: usize,
    x: usize,
}

impl Pixel {
    #[inline(always)]
    fn next(self, p: &Conv2d) -> Self {
        if self.x + 1 < p.output[1] { Pixel { x: self.x + 1, ..self } } else { Pixel { y: self.y + 1, x: 0 } }
    }
}

/// Where the taps of a pixel come from.
struct Source<'a> {
    p: &'a Conv2d,
    sizes: Sizes,
    pad_value: i8,
    x: *const i8,
    x_len: usize,
    /// Where the image starts in `x`.
    image: usize,
    patch: *mut i8,
}

impl Source<'_> {
    /// The taps of a pixel as pairs of int16: a word in each [`TILE_PIXELS`] from `lane` on.
    #[inline(always)]
    unsafe fn widen(&self, pixel: Pixel, lane: *mut u32) {
        let (p, sizes) = (self.p, &self.sizes);
        // SAFETY: reads stay inside `x` or the patch, and writes inside the lanes, which hold all taps.
        unsafe {
            if let Some(first) = self.whole_rows(pixel) {
                let row_step = p.dilation[0] * p.input[1] * p.input[2];
                widen(self.x.add(first), lane, sizes.row_stride / 4, p.kernel[0], row_step);
            } else {
                self.gather(pixel);
                widen(self.patch, lane, p.groups * sizes.taps4 / 4, 1, 0);
            }
        }
    }

    /// The taps of a pixel: `taps4` for each group.
    unsafe fn taps(&self, pixel: Pixel, copy: bool) -> *const i8 {
        let p = self.p;
        // SAFETY: the pixel lies in `x`; the patch has room.
        unsafe {
            if is_row(p) && !copy {
                let first = (pixel.y * p.stride[0] * p.input[1] + pixel.x * p.stride[1]) * p.input[2];
                return self.x.add(self.image + first);
            }
            self.gather(pixel);
        }
        self.patch
    }

    /// Where the taps start, if the kernel's rows can be read where they are: as runs of whole words inside the image.
    /// What is read behind the last tap of a row meets weights of 0, but it must exist.
    #[inline(always)]
    fn whole_rows(&self, pixel: Pixel) -> Option<usize> {
        let (p, sizes) = (self.p, &self.sizes);
        if p.groups > 1 || p.dilation[1] > 1 || !sizes.row_stride.is_multiple_of(4) {
            return None;
        }
        let y = (pixel.y * p.stride[0]).wrapping_sub(p.pad[0]);
        let x = (pixel.x * p.stride[1]).wrapping_sub(p.pad[1]);
        let last_y = y.wrapping_add((p.kernel[0] - 1) * p.dilation[0]);
        // Rows and columns before the image have wrapped around.
        let inside = y < p.input[0] && last_y < p.input[0] && x < p.input[1] && x + p.kernel[1] <= p.input[1];
        let row_start = self.image + (last_y * p.input[1] + x) * p.input[2];
        (inside && row_start + sizes.row_stride <= self.x_len).then(|| self.image + (y * p.input[1] + x) * p.input[2])
    }

    /// Copies the taps of a pixel to the patch, padding included.
    #[inline(never)]
    unsafe fn gather(&self, pixel: Pixel) {
        let (p, sizes) = (self.p, &self.sizes);
        let [in_h, in_w, in_c] = p.input;
        // Neighbouring taps are one run of memory if all channels are taken.
        let run = if p.groups == 1 && p.dilation[1] == 1 { p.kernel[1] } else { 1 };
        let depth = sizes.row_taps / p.kernel[1];
        for group in 0..p.groups {
            for kx in (0..p.kernel[1]).step_by(run) {
                let start = pixel.x * p.stride[1] + kx * p.dilation[1];
                // Taps of the run before the image, inside it, and behind it.
                let before = p.pad[1].saturating_sub(start).min(run);
                let inside = (in_w + p.pad[1]).saturating_sub(start).min(run).max(before) - before;
                let [before, inside, behind] = [before, inside, run - before - inside].map(|taps| taps * depth);
                let column = (start.max(p.pad[1]) - p.pad[1]) * in_c + group * depth;
                // SAFETY: the patch has room for the taps of all groups and three bytes more. Copies of a row end up to
                // three bytes behind it, where the next row or group starts, which is written later; runs of a single
                // tap do not.
                let mut to = unsafe { self.patch.add(group * sizes.taps4 + kx * depth) };
                for ky in 0..p.kernel[0] {
                    let y = (pixel.y * p.stride[0] + ky * p.dilation[0]).wrapping_sub(p.pad[0]);
                    // SAFETY: as above, and the taps that are inside are inside `x`.
                    unsafe {
                        if run == 1 {
                            self.copy_tap(to, y, if inside > 0 { Some(column) } else { None }, depth);
                        } else if y < in_h {
                            fill(to, self.pad_value, before);
                            self.copy(to.add(before), self.image + y * in_w * in_c + column, inside);
                            fill(to.add(before + inside), self.pad_value, behind);
                        } else {
                            fill(to, self.pad_value, sizes.row_taps);
                        }
                        to = to.add(sizes.row_stride);
                    }
                }
            }
        }
    }

    /// Copies one tap's channels, byte by byte.
    #[inline(always)]
    unsafe fn copy_tap(&self, to: *mut i8, y: usize, column: Option<usize>, depth: usize) {
        let [in_h, in_w, in_c] = self.p.input;
        for i in 0..depth {
            let value = match column {
                // SAFETY: the tap is inside `x`.
                Some(column) if y < in_h => unsafe { self.x.add(self.image + y * in_w * in_c + column + i).read() },
                _ => self.pad_value,
            };
            // SAFETY: the caller's. Volatile as in `copy`.
            unsafe { to.add(i).write_volatile(value) };
        }
    }

    /// Copies `len` bytes of `x`, by the word where the last one does not reach behind its end.
    #[inline(always)]
    unsafe fn copy(&self, to: *mut i8, at: usize, len: usize) {
        // SAFETY: the caller's.
        unsafe {
            let from = self.x.add(at);
            if at + len.next_multiple_of(4) <= self.x_len {
                let mut i = 0;
                while i < len {
                    to.add(i).cast::<u32>().write_unaligned(from.add(i).cast::<u32>().read_unaligned());
                    i += 4;
                }
            } else {
                for i in 0..len {
                    // Volatile, so that this does not become a call of memcpy, which would take longer.
                    to.add(i).write_volatile(from.add(i).read());
                }
            }
        }
    }
}

/// Writes `len` bytes, and up to three more.
#[inline(always)]
unsafe fn fill(to: *mut i8, value: i8, len: usize) {
    let word = u32::from(value as u8) * 0x0101_0101;
    let mut i = 0;
    while i < len {
        // SAFETY: the caller's.
        unsafe { to.add(i).cast::<u32>().write_unaligned(word) };
        i += 4;
    }
}

/// Takes `rows` rows of `words` words, `row_step` bytes apart, into pairs of int16: (0, 2) and (1, 3) of each four
/// bytes, each [`TILE_PIXELS`] words behind the one before. 25 cycles for four words.
///
/// # Safety
/// All of that must be valid for reads and writes; `words` and `rows` are above 0. No alignment is asked of `from`.
#[unsafe(naked)]
unsafe extern "C" fn widen(from: *const i8, to: *mut u32, words: usize, rows: usize, row_step: usize) {
    // r0 from, r1 to, r2 words, r3 rows, r12 from one row's end to the next one's start, lr words left.
    dsp_asm!(naked_asm:
        "push {{r4-r9, lr}}",
        "ldr r12, [sp, #28]",
        "sub r12, r12, r2, lsl #2",
        "1:",
        "subs lr, r2, #4",
        "blo 3f",
        "2:",
        "ldr r4, [r0], #4",
        "ldr r5, [r0], #4",
        "ldr r6, [r0], #4",
        "ldr r7, [r0], #4",
        "sxtb16 r8, r4",
        "sxtb16 r9, r4, ror #8",
        "str r8, [r1], #16",
        "str r9, [r1], #16",
        "sxtb16 r8, r5",
        "sxtb16 r9, r5, ror #8",
        "str r8, [r1], #16",
        "str r9, [r1], #16",
        "sxtb16 r8, r6",
        "sxtb16 r9, r6, ror #8",
        "str r8, [r1], #16",
        "str r9, [r1], #16",
        "sxtb16 r8, r7",
        "sxtb16 r9, r7, ror #8",
        "str r8, [r1], #16",
        "str r9, [r1], #16",
        "subs lr, #4",
        "bhs 2b",
        "3:",
        // One word, and two: the lowest bits of their number.
        "lsls lr, r2, #31",
        "beq 4f",
        "ldr r4, [r0], #4",
        "sxtb16 r8, r4",
        "sxtb16 r9, r4, ror #8",
        "str r8, [r1], #16",
        "str r9, [r1], #16",
        "4:",
        "lsls lr, r2, #30",
        "bpl 5f",
        "ldr r4, [r0], #4",
        "ldr r5, [r0], #4",
        "sxtb16 r8, r4",
        "sxtb16 r9, r4, ror #8",
        "str r8, [r1], #16",
        "str r9, [r1], #16",
        "sxtb16 r8, r5",
        "sxtb16 r9, r5, ror #8",
        "str r8, [r1], #16",
        "str r9, [r1], #16",
        "5:",
        "add r0, r0, r12",
        "subs r3, #1",
        "bne 1b",
        "pop {{r4-r9, pc}}",
    )
}
