//! Convolution and dense layers: activations are gathered and widened four pixels at a time, and all filters run over
//! them; pixels that remain go one by one.

use super::dot::{Row, RowArgs, Tile, TileArgs, row_passes, row_skip, tile_skip};
use crate::conv::Operands;
use crate::conv::stream::{Form, Sizes, TILE_PIXELS, is_row};
use crate::fixed::{Requantize, RequantizeS16};
use crate::geometry::Conv2d;

/// The loops of one layer.
#[derive(Clone, Copy)]
pub(crate) struct Loops {
    /// For four pixels; `None` where a layer has fewer.
    pub(crate) tile: Option<Tile>,
    /// For one pixel.
    pub(crate) row: Option<Row>,
    /// What they take the weights for.
    pub(crate) form: Form,
}

/// What becomes of sums: [`Requantize`] or [`RequantizeS16`].
#[derive(Clone, Copy)]
pub(crate) struct Ends {
    pub(crate) left_shift: u32,
    pub(crate) zero_point: i32,
    pub(crate) min: i16,
    pub(crate) max: i16,
}

impl From<&Requantize> for Ends {
    fn from(q: &Requantize) -> Self {
        Ends { left_shift: q.left_shift, zero_point: q.zero_point, min: q.min.into(), max: q.max.into() }
    }
}

impl From<&RequantizeS16> for Ends {
    fn from(q: &RequantizeS16) -> Self {
        Ends { left_shift: q.left_shift, zero_point: q.zero_point, min: q.min, max: q.max }
    }
}

/// Bytes of an activation: int16 if WIDE, else int8.
const fn bytes<const WIDE: bool>() -> usize {
    1 + WIDE as usize
}

/// Computes a layer; the constants are a stream for each group. Activations are int16 if WIDE, and `operands` their bytes.
///
/// # Panics
/// If a slice is shorter than its shape.
#[inline(never)]
#[allow(clippy::too_many_arguments)]
pub(crate) fn convolve<const WIDE: bool>(
    p: &Conv2d,
    sizes: &Sizes,
    q: impl Into<Ends>,
    pad_value: impl Into<i16>,
    loops: Loops,
    constants: &[u32],
    operands: Operands<'_>,
    scratch: &mut [u32],
) {
    let (size, q) = (bytes::<WIDE>(), q.into());
    let x_len = size * p.batch * p.input.iter().product::<usize>();
    let (x, y, overlapping) = pointers(operands, x_len, size * p.batch * sizes.pixels * p.output[2]);
    assert!(constants.len() == p.groups * sizes.group_words, "constants");
    let (lanes, patch) = scratch.split_at_mut(sizes.lane_words);
    // A single pixel's taps are read where they are, if they can be.
    let in_place = sizes.pixels == 1 && is_row(p) && !overlapping;
    assert!(in_place || patch.len() >= sizes.patch_words, "scratch");

    let mut source = Source::<WIDE> {
        p,
        sizes,
        row_step: size * p.dilation[0] * p.input[1] * p.input[2],
        pixel_step: size * p.stride[1] * p.input[2],
        pad_value: pad_value.into(),
        x,
        x_len,
        image: 0,
        patch: patch.as_mut_ptr().cast(),
    };
    let tile_args = TileArgs {
        activations: lanes.as_ptr(),
        // Of the first group.
        end: lanes.as_ptr().wrapping_add(sizes.taps4 * 2),
        skip: tile_skip(loops.form, sizes.taps4),
        pixel_stride: size * p.output[2],
        filters: size * (sizes.filters & !1),
        zero_point: q.zero_point,
        min: u32::from(q.min as u16) * 0x1_0001,
        max: u32::from(q.max as u16) * 0x1_0001,
        left_shift: q.left_shift,
    };
    let lanes_of = |end: i16| if WIDE { u32::from(end as u16) * 0x1_0001 } else { u32::from(end as u8) * 0x0101_0101 };
    let row_args = RowArgs {
        passes: row_passes(sizes.taps4),
        skip: row_skip(loops.form, WIDE, sizes.taps4),
        quads: sizes.filters / 4,
        stream: 4 * sizes.stream_words,
        zero_point: q.zero_point,
        min: lanes_of(q.min),
        max: lanes_of(q.max),
        left_shift: q.left_shift,
    };
    let image_len = size * p.input.iter().product::<usize>();
    let mut y = y;
    for _ in 0..p.batch {
        let mut pixel = Pixel { y: 0, x: 0 };
        let mut left = sizes.pixels;
        if let Some(tile) = loops.tile {
            while left >= TILE_PIXELS {
                // As many tiles as there are of pixels side by side that can be read where they are.
                let tiles = source.tiles_inside(pixel).min(left / TILE_PIXELS);
                if tiles > 0 {
                    // SAFETY: as below.
                    y = unsafe { source.run_tiles(tile, &tile_args, constants.as_ptr(), pixel, tiles, lanes, y) };
                    pixel = pixel.next(p, tiles * TILE_PIXELS);
                    left -= tiles * TILE_PIXELS;
                    continue;
                }
                for lane in 0..TILE_PIXELS {
                    // SAFETY: there are TILE_PIXELS words for each two taps of each group.
                    unsafe { source.widen(pixel, lanes.as_mut_ptr().add(lane)) };
                    pixel = pixel.next(p, 1);
                }
                for group in 0..p.groups {
                    // SAFETY: all pointers stay inside their slices; the outputs of the four pixels are written after
                    // all they depend on was read.
                    unsafe {
                        let activations = lanes.as_ptr().add(group * sizes.taps4 * 2);
                        let args = TileArgs { activations, end: activations.add(sizes.taps4 * 2), ..tile_args };
                        let weights = constants.as_ptr().add(group * sizes.group_words);
                        tile_pixels::<WIDE>(tile, &args, sizes, weights, y.add(size * group * sizes.filters));
                    }
                }
                // SAFETY: still inside `y`, or one past it.
                y = unsafe { y.add(size * TILE_PIXELS * p.output[2]) };
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
                        let x = taps.add(size * group * sizes.taps4);
                        row_filters::<WIDE>(row, &row_args, sizes, x, weights, y.add(size * group * sizes.filters));
                    }
                    y = y.add(size * p.output[2]);
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
            assert!(xy.len() >= y_len && xy.len().checked_sub(x_start).is_some_and(|len| len >= x_len), "xy");
            let y = xy.as_mut_ptr();
            // SAFETY: the input lies inside the slice.
            (unsafe { y.add(x_start) }.cast_const(), y, true)
        }
    }
}

/// All filters of a group over the pixels that have been widened.
#[inline(always)]
unsafe fn tile_pixels<const WIDE: bool>(tile: Tile, args: &TileArgs, sizes: &Sizes, weights: *const u32, y: *mut i8) {
    // SAFETY: the caller's.
    unsafe {
        if args.filters > 0 {
            tile(args, weights, y);
        }
        if sizes.filters % 2 == 1 {
            last_filter::<WIDE>(tile, args, sizes, weights, y);
        }
    }
}

/// The last of an odd number of filters. Its partner does not exist, and has no place in `y`.
#[inline(never)]
unsafe fn last_filter<const WIDE: bool>(tile: Tile, args: &TileArgs, sizes: &Sizes, weights: *const u32, y: *mut i8) {
    let size = bytes::<WIDE>();
    let last = TileArgs { filters: 2 * size, pixel_stride: 2 * size, ..*args };
    let mut outputs = [0_u32; TILE_PIXELS];
    // SAFETY: the caller's; there is room for four outputs of two int16.
    unsafe {
        let outputs: *mut i8 = outputs.as_mut_ptr().cast();
        tile(&last, weights.add(sizes.filters / 2 * sizes.stream_words), outputs);
        let y = y.add(size * (sizes.filters - 1));
        for pixel in 0..TILE_PIXELS {
            store::<WIDE>(outputs.add(2 * size * pixel), y.add(pixel * args.pixel_stride));
        }
    }
}

/// Copies an output.
#[inline(always)]
unsafe fn store<const WIDE: bool>(from: *const i8, to: *mut i8) {
    // SAFETY: the caller's.
    unsafe {
        if WIDE {
            to.cast::<i16>().write(from.cast::<i16>().read());
        } else {
            to.write(from.read());
        }
    }
}

/// All filters of a group over one pixel.
unsafe fn row_filters<const WIDE: bool>(
    row: Row,
    args: &RowArgs,
    sizes: &Sizes,
    x: *const i8,
    weights: *const u32,
    y: *mut i8,
) {
    let size = bytes::<WIDE>();
    // SAFETY: the caller's.
    unsafe {
        if args.quads > 0 {
            row(args, x, weights, y);
        }
        let done = 4 * args.quads;
        if done < sizes.filters {
            // The filters that are left, and others in place of those that would make up four.
            let stream = if sizes.filters - done > 2 { args.stream } else { 0 };
            let last = RowArgs { quads: 1, stream, ..*args };
            let mut outputs = [0_u32; 2];
            let outputs: *mut i8 = outputs.as_mut_ptr().cast();
            row(&last, x, weights.add(done / 2 * sizes.stream_words), outputs);
            for i in done..sizes.filters {
                store::<WIDE>(outputs.add(size * (i - done)), y.add(size * i));
            }
        }
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

/// Where the taps of a pixel come from.
struct Source<'a, const WIDE: bool> {
    p: &'a Conv2d,
    sizes: &'a Sizes,
    /// Bytes from one kernel row of a pixel to the next.
    row_step: usize,
    /// Bytes from the taps of one output pixel to those of the next.
    pixel_step: usize,
    pad_value: i16,
    x: *const i8,
    /// Bytes of all images.
    x_len: usize,
    /// Where the image starts in `x`.
    image: usize,
    patch: *mut i8,
}

impl<const WIDE: bool> Source<'_, WIDE> {
    /// Bytes of the taps that lie side by side in a kernel row, padded.
    #[inline(always)]
    fn row_bytes(&self) -> usize {
        bytes::<WIDE>() * self.sizes.row_stride
    }

    /// How many tiles of pixels side by side, from `pixel` on, can be read where they are.
    #[inline(always)]
    fn tiles_inside(&self, pixel: Pixel) -> usize {
        let Sizes { inside_y: [top, bottom], inside_x: [left, right], .. } = *self.sizes;
        if pixel.y < top || pixel.y >= bottom || pixel.x < left || pixel.x + TILE_PIXELS > right {
            return 0;
        }
        let pixels = right - pixel.x;
        // What is read behind the last taps must exist. It meets weights of 0.
        let reach = self.first(pixel) + (self.p.kernel[0] - 1) * self.row_step + self.row_bytes();
        if reach + (pixels - 1) * self.pixel_step <= self.x_len {
            pixels / TILE_PIXELS
        } else {
            // All but the last one, if there are more.
            let last = pixels.saturating_sub(TILE_PIXELS + 1);
            (pixels / TILE_PIXELS - 1) * usize::from(reach + last * self.pixel_step <= self.x_len)
        }
    }

    /// Computes tiles of pixels side by side that can be read where they are; returns where the next output goes.
    #[inline(never)]
    #[allow(clippy::too_many_arguments)]
    unsafe fn run_tiles(
        &self,
        tile: Tile,
        args: &TileArgs,
        weights: *const u32,
        pixel: Pixel,
        tiles: usize,
        lanes: &mut [u32],
        y: *mut i8,
    ) -> *mut i8 {
        let (words, rows) = (self.sizes.row_stride / 4, self.p.kernel[0]);
        let gap = self.row_step.wrapping_sub(self.row_bytes());
        let (mut from, mut y) = (self.x.wrapping_add(self.first(pixel)), y);
        for _ in 0..tiles {
            // SAFETY: the caller's.
            unsafe {
                if WIDE {
                    spread_tile(from, lanes.as_mut_ptr(), words, rows, gap, self.pixel_step);
                } else {
                    widen_tile(from, lanes.as_mut_ptr(), words, rows, gap, self.pixel_step);
                }
                tile_pixels::<WIDE>(tile, args, self.sizes, weights, y);
            }
            from = from.wrapping_add(TILE_PIXELS * self.pixel_step);
            y = y.wrapping_add(TILE_PIXELS * args.pixel_stride);
        }
        y
    }

    /// Where the taps of a pixel inside the image start.
    #[inline(always)]
    fn first(&self, pixel: Pixel) -> usize {
        let p = self.p;
        let y = pixel.y * p.stride[0] - p.pad[0];
        let size = bytes::<WIDE>();
        self.image + size * y * p.input[1] * p.input[2] + pixel.x * self.pixel_step - size * p.pad[1] * p.input[2]
    }

    /// Whether the taps of a pixel can be read where they are.
    #[inline(always)]
    fn is_inside(&self, pixel: Pixel) -> bool {
        let Sizes { inside_y: [top, bottom], inside_x: [left, right], .. } = *self.sizes;
        let inside = top <= pixel.y && pixel.y < bottom && left <= pixel.x && pixel.x < right;
        inside && self.first(pixel) + (self.p.kernel[0] - 1) * self.row_step + self.row_bytes() <= self.x_len
    }

    /// The taps of any pixel as pairs of int16: a word in each [`TILE_PIXELS`] from `lane` on.
    unsafe fn widen(&self, pixel: Pixel, lane: *mut u32) {
        let (words, gap) = (self.sizes.row_stride / 4, self.row_step.wrapping_sub(self.row_bytes()));
        let widen = if WIDE { spread } else { widen };
        // SAFETY: reads stay inside `x` or the patch, and writes inside the lanes.
        unsafe {
            if self.is_inside(pixel) {
                widen(self.x.add(self.first(pixel)), lane, words, self.p.kernel[0], gap);
            } else {
                self.gather(pixel);
                widen(self.patch, lane, self.p.groups * self.sizes.taps4 / 4, 1, 0);
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
                return self.x.add(self.image + bytes::<WIDE>() * first);
            }
            self.gather(pixel);
        }
        self.patch
    }

    /// Copies the taps of a pixel to the patch, padding included.
    #[inline(never)]
    unsafe fn gather(&self, pixel: Pixel) {
        let (p, sizes) = (self.p, self.sizes);
        let [in_h, in_w, in_c] = p.input;
        let (size, row_step, row_bytes) = (bytes::<WIDE>(), self.row_step, self.row_bytes());
        let pad = self.pad_value;
        let padding = if WIDE { u32::from(pad as u16) * 0x1_0001 } else { u32::from(pad as u8) * 0x0101_0101 };
        for word in 0..size * p.groups * sizes.taps4 / 4 {
            // SAFETY: the patch has room for the taps of all groups, and is aligned.
            unsafe { self.patch.cast::<u32>().add(word).write(padding) };
        }
        // Kernel rows inside the image, and where the first one is.
        let start_y = pixel.y * p.stride[0];
        let Some(rows) = Run::new(start_y, p.pad[0], p.dilation[0], p.kernel[0], in_h) else { return };
        let start_x = pixel.x * p.stride[1];
        // Neighbouring taps are one run of memory if all channels are taken.
        let run = if p.groups == 1 && p.dilation[1] == 1 { p.kernel[1] } else { 1 };
        let depth = sizes.row_taps / p.kernel[1];
        for kx in (0..p.kernel[1]).step_by(run) {
            let columns = Run::new(start_x + kx * p.dilation[1], p.pad[1], 1, run, in_w);
            let Some(columns) = columns else { continue };
            for group in 0..p.groups {
                let from = self.image + size * ((rows.position * in_w + columns.position) * in_c + group * depth);
                let to = group * sizes.taps4 + rows.first * sizes.row_stride + (kx + columns.first) * depth;
                // SAFETY: taps that are inside are inside `x`, and the patch has room for them.
                unsafe {
                    let (mut from, mut to) = (self.x.add(from), self.patch.add(size * to));
                    for _ in 0..rows.count {
                        copy(from, to, size * columns.count * depth);
                        from = from.wrapping_add(row_step);
                        to = to.wrapping_add(row_bytes);
                    }
                }
            }
        }
    }
}

/// The taps of a window along one axis that are inside the image.
struct Run {
    first: usize,
    count: usize,
    /// Where the first one lands.
    position: usize,
}

impl Run {
    /// `start` is where the window starts, counted from the start of the padding. `None` where no tap is inside.
    #[inline(always)]
    fn new(start: usize, pad: usize, dilation: usize, taps: usize, size: usize) -> Option<Self> {
        let before = |end: usize| if dilation == 1 { end } else { end.div_ceil(dilation) };
        let first = before(pad.saturating_sub(start)).min(taps);
        let end = before((pad + size).saturating_sub(start)).min(taps);
        (first < end).then(|| Run { first, count: end - first, position: start + first * dilation - pad })
    }
}

/// Copies `len` bytes by the word, the last one overlapping the one before: exactly, and without a call.
#[inline(always)]
unsafe fn copy(from: *const i8, to: *mut i8, len: usize) {
    // SAFETY: the caller's; all accesses are inside the `len` bytes.
    unsafe {
        let word = |i: usize| to.add(i).cast::<u32>().write_unaligned(from.add(i).cast::<u32>().read_unaligned());
        if len >= 4 {
            let mut i = 0;
            while i + 4 <= len {
                word(i);
                i += 4;
            }
            if i < len {
                word(len - 4);
            }
        } else {
            for i in 0..len {
                // Volatile, so that this does not become a call of memcpy.
                to.add(i).write_volatile(from.add(i).read());
            }
        }
    }
}

/// [`widen`] for activations that are int16 already: `words` times two words a row.
///
/// # Safety
/// As [`widen`].
unsafe extern "C" fn spread(from: *const i8, to: *mut u32, words: usize, rows: usize, row_gap: usize) {
    let (mut from, mut to) = (from.cast::<u32>(), to);
    for _ in 0..rows {
        for _ in 0..2 * words {
            // SAFETY: the caller's.
            unsafe {
                to.write(from.read_unaligned());
                from = from.add(1);
            }
            to = to.wrapping_add(TILE_PIXELS);
        }
        from = from.wrapping_byte_add(row_gap);
    }
}

/// [`widen_tile`] for activations that are int16 already. 16 cycles for a word of each pixel.
///
/// # Safety
/// As [`widen`].
unsafe extern "C" fn spread_tile(
    from: *const i8,
    to: *mut u32,
    words: usize,
    rows: usize,
    row_gap: usize,
    pixel_step: usize,
) {
    let (mut from, mut to) = (from.cast::<u32>(), to);
    for _ in 0..rows {
        for _ in 0..2 * words {
            // SAFETY: the caller's.
            unsafe {
                for pixel in 0..TILE_PIXELS {
                    to.add(pixel).write(from.wrapping_byte_add(pixel * pixel_step).read_unaligned());
                }
                from = from.add(1);
            }
            to = to.wrapping_add(TILE_PIXELS);
        }
        from = from.wrapping_byte_add(row_gap);
    }
}

/// Takes `rows` rows of `words` words, `row_gap` bytes from one's end to the next one's start, into pairs of int16: (0, 2)
/// and (1, 3) of each four bytes, each [`TILE_PIXELS`] words behind the one before. 25 cycles for four words.
///
/// # Safety
/// All of that must be valid for reads and writes; `words` and `rows` are above 0. No alignment is asked of `from`.
#[unsafe(naked)]
unsafe extern "C" fn widen(from: *const i8, to: *mut u32, words: usize, rows: usize, row_gap: usize) {
    // r0 from, r1 to, r2 words, r3 rows left, r12 row gap, lr words left.
    dsp_asm!(naked_asm:
        "push {{r4-r9, lr}}",
        "ldr r12, [sp, #28]",
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

/// [`widen`] for [`TILE_PIXELS`] pixels at once, `pixel_step` bytes apart; all lanes from `to` on. 27 cycles for a word
/// of each.
///
/// # Safety
/// As [`widen`].
#[unsafe(naked)]
unsafe extern "C" fn widen_tile(
    from: *const i8,
    to: *mut u32,
    words: usize,
    rows: usize,
    row_gap: usize,
    pixel_step: usize,
) {
    // r0, r9, r10, r11 the pixels, r1 to, lr words left; on the stack: 0 words, 4 rows left; behind the saved registers
    // 44 row gap, 48 pixel step.
    dsp_asm!(naked_asm:
        "push {{r4-r11, lr}}",
        "ldr r4, [sp, #40]",
        "add r9, r0, r4",
        "add r10, r9, r4",
        "add r11, r10, r4",
        "push {{r2, r3}}",
        "1:",
        "ldr lr, [sp]",
        "2:",
        "ldr r4, [r0], #4",
        "ldr r5, [r9], #4",
        "ldr r6, [r10], #4",
        "ldr r7, [r11], #4",
        "sxtb16 r2, r4",
        "sxtb16 r3, r5",
        "sxtb16 r8, r6",
        "sxtb16 r12, r7",
        "stm r1!, {{r2, r3, r8, r12}}",
        "sxtb16 r4, r4, ror #8",
        "sxtb16 r5, r5, ror #8",
        "sxtb16 r6, r6, ror #8",
        "sxtb16 r7, r7, ror #8",
        "stm r1!, {{r4-r7}}",
        "subs lr, #1",
        "bne 2b",
        "ldr r2, [sp, #4]",
        "ldr r3, [sp, #44]",
        "add r0, r0, r3",
        "add r9, r9, r3",
        "add r10, r10, r3",
        "add r11, r11, r3",
        "subs r2, #1",
        "str r2, [sp, #4]",
        "bne 1b",
        "add sp, #8",
        "pop {{r4-r11, pc}}",
    )
}
