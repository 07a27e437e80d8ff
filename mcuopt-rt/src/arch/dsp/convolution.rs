//! Convolution and dense layers: activations are gathered and widened four pixels at a time, and all filters run over
//! them; pixels that remain go one by one.

use super::dot::{Row, RowArgs, Tile, TileArgs, tile_skip};
use crate::conv::Operands;
use crate::conv::stream::{Sizes, TILE_PIXELS, is_row};
use crate::fixed::Requantize;
use crate::geometry::Conv2d;
use core::ops::Range;

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
    let (x, y, overlapping) = pointers(operands, x_len, y_len);
    assert!(constants.len() == p.groups * sizes.group_words, "constants");
    let (lanes, patch) = scratch.split_at_mut(sizes.lane_words);
    assert!(patch.len() >= sizes.patch_words, "scratch");

    let mut source = Source {
        p,
        sizes,
        inside: Inside::new(p, &sizes),
        row_step: p.dilation[0] * p.input[1] * p.input[2],
        pixel_step: p.stride[1] * p.input[2],
        pad_value,
        x,
        x_len,
        image: 0,
        patch: patch.as_mut_ptr().cast(),
    };
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
                // SAFETY: there are TILE_PIXELS words for each two taps of each group.
                unsafe {
                    if source.inside.has(pixel, TILE_PIXELS) && source.readable(pixel, TILE_PIXELS) {
                        source.widen(pixel, lanes.as_mut_ptr(), TILE_PIXELS);
                        pixel = pixel.next(p, TILE_PIXELS);
                    } else {
                        for lane in 0..TILE_PIXELS {
                            source.widen_one(pixel, lanes.as_mut_ptr().add(lane));
                            pixel = pixel.next(p, 1);
                        }
                    }
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
                pixel = pixel.next(p, 1);
                left -= 1;
            }
        }
        source.image += image_len;
    }
}

/// Input and output, and whether they share memory.
///
/// # Panics
/// If a slice is shorter than its shape.
#[inline(always)]
pub(crate) fn pointers(operands: Operands<'_>, x_len: usize, y_len: usize) -> (*const i8, *mut i8, bool) {
    match operands {
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
    /// The pixel `count` behind this one, at most the first of the next row.
    #[inline(always)]
    fn next(self, p: &Conv2d, count: usize) -> Self {
        if self.x + count < p.output[1] { Pixel { x: self.x + count, ..self } } else { Pixel { y: self.y + 1, x: 0 } }
    }
}

/// The output pixels whose taps can be read where they are: kernel rows are runs of whole words inside the image.
struct Inside {
    y: Range<usize>,
    x: Range<usize>,
}

impl Inside {
    fn new(p: &Conv2d, sizes: &Sizes) -> Self {
        let axis = |axis: usize| {
            let reach = (p.kernel[axis] - 1) * p.dilation[axis];
            let end = (p.input[axis] + p.pad[axis]).saturating_sub(reach).div_ceil(p.stride[axis]);
            p.pad[axis].div_ceil(p.stride[axis])..end.min(p.output[axis])
        };
        let rows = p.groups == 1 && p.dilation[1] == 1 && sizes.row_stride.is_multiple_of(4);
        Inside { y: if rows { axis(0) } else { 0..0 }, x: axis(1) }
    }

    /// Whether `count` neighbours in a row, from `pixel` on, are all there.
    #[inline(always)]
    fn has(&self, pixel: Pixel, count: usize) -> bool {
        self.y.start <= pixel.y && pixel.y < self.y.end && self.x.start <= pixel.x && pixel.x + count <= self.x.end
    }
}

/// Where the taps of a pixel come from.
struct Source<'a> {
    p: &'a Conv2d,
    sizes: Sizes,
    inside: Inside,
    /// Bytes from one kernel row of a pixel to the next.
    row_step: usize,
    /// Bytes from the taps of one output pixel to those of the next.
    pixel_step: usize,
    pad_value: i8,
    x: *const i8,
    x_len: usize,
    /// Where the image starts in `x`.
    image: usize,
    patch: *mut i8,
}

impl Source<'_> {
    /// Where the taps of a pixel inside the image start.
    #[inline(always)]
    fn first(&self, pixel: Pixel) -> usize {
        let p = self.p;
        let y = pixel.y * p.stride[0] - p.pad[0];
        self.image + y * p.input[1] * p.input[2] + pixel.x * self.pixel_step - p.pad[1] * p.input[2]
    }

    /// Whether what is read behind the last taps of `count` pixels exists. It meets weights of 0.
    #[inline(always)]
    fn readable(&self, pixel: Pixel, count: usize) -> bool {
        let last = self.first(pixel) + (count - 1) * self.pixel_step + (self.p.kernel[0] - 1) * self.row_step;
        last + self.sizes.row_stride <= self.x_len
    }

    /// The taps of `count` pixels inside the image as pairs of int16: a word in each [`TILE_PIXELS`] from `lanes` on for
    /// the first one, from the next word on for the second one.
    #[inline(always)]
    unsafe fn widen(&self, pixel: Pixel, lanes: *mut u32, count: usize) {
        let (p, sizes) = (self.p, &self.sizes);
        let words = sizes.row_stride / 4;
        // SAFETY: the pixels are inside and readable, and the lanes hold all their taps.
        unsafe {
            widen(self.x.add(self.first(pixel)), lanes, words, p.kernel[0], self.row_step, count, self.pixel_step)
        };
    }

    /// The taps of any pixel.
    #[inline(always)]
    unsafe fn widen_one(&self, pixel: Pixel, lane: *mut u32) {
        // SAFETY: reads stay inside `x` or the patch, and writes inside the lanes.
        unsafe {
            if self.inside.has(pixel, 1) && self.readable(pixel, 1) {
                self.widen(pixel, lane, 1);
            } else {
                self.gather(pixel);
                widen(self.patch, lane, self.p.groups * self.sizes.taps4 / 4, 1, 0, 1, 0);
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
/// bytes, each [`TILE_PIXELS`] words behind the one before. That for `pixels` pixels, `pixel_step` bytes and a word of
/// the result apart. 25 cycles for four words.
///
/// # Safety
/// All of that must be valid for reads and writes; `words`, `rows` and `pixels` are above 0. No alignment is asked of `from`.
#[unsafe(naked)]
unsafe extern "C" fn widen(
    from: *const i8,
    to: *mut u32,
    words: usize,
    rows: usize,
    row_step: usize,
    pixels: usize,
    pixel_step: usize,
) {
    // r0 from, r1 to, r2 words, r3 rows left, r10 from one row's end to the next one's start, lr words left. On the
    // stack: 0 from, 4 to, 8 rows; behind the saved registers 48 row step, 52 pixels, 56 pixel step.
    dsp_asm!(naked_asm:
        "push {{r4-r11, lr}}",
        "sub sp, #12",
        "str r3, [sp, #8]",
        "ldr r10, [sp, #48]",
        "sub r10, r10, r2, lsl #2",
        "ldr r11, [sp, #56]",
        "0:",
        "str r0, [sp]",
        "str r1, [sp, #4]",
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
        "add r0, r0, r10",
        "subs r3, #1",
        "bne 1b",
        "ldr r0, [sp]",
        "ldr r1, [sp, #4]",
        "ldr r3, [sp, #8]",
        "ldr r12, [sp, #52]",
        "add r0, r0, r11",
        "adds r1, #4",
        "subs r12, #1",
        "str r12, [sp, #52]",
        "bne 0b",
        "add sp, #12",
        "pop {{r4-r11, pc}}",
    )
}
