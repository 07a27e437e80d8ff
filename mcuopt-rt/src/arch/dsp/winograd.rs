//! Winograd's convolution: the loops, and what drives them. The maths are in `conv::winograd`.

use super::convolution::pointers;
use crate::conv::Operands;
use crate::conv::winograd::{Sizes, TILES};
use crate::fixed::Requantize;
use crate::geometry::Conv2d;
use core::hint::black_box;

/// Where the outputs of a tile go. The order of the fields is known to the assembly.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct TileOutputs {
    /// The first filter's output at the upper left.
    y: *mut i8,
    /// Bytes to the output at its right, and to the one below it; 0 where there is none: what exists is written last.
    right: usize,
    down: usize,
    /// Whether this is not the last tile.
    more: usize,
}

/// What the products need besides the weights. The order of the fields is known to the assembly.
#[repr(C)]
pub(crate) struct ProductArgs {
    /// Transformed inputs, `[pairs of channels, 4 columns, 4 rows, TILES]`; so many pairs before them as the first pass
    /// of the unrolled loop leaves out.
    inputs: *const u32,
    /// From which address on a pass is the last one.
    last_pass: *const u32,
    /// Bytes of the unrolled loop that the first pass leaves out.
    skip: usize,
    /// Room for the sums by columns: `[4 columns, 2 rows, 2 filters, TILES]`.
    sums: *mut i32,
    zero_point: i32,
    /// Lower and upper end of the output, in both halves.
    min: u32,
    max: u32,
    /// Left shift of the sums.
    left_shift: u32,
    /// Number of pairs of filters, above 0, and the first filter.
    filter_pairs: usize,
    first: usize,
    /// 1, or 0 where the second filter of the pair does not exist.
    second: usize,
    tiles: [TileOutputs; TILES],
}

/// Pairs of channels in the unrolled loop.
const UNROLL: usize = 16;

/// Bytes of the loop for a pair, and from one pair of the inputs to the next.
const PAIR_CODE: usize = 4 * 14;
const PAIR_BYTES: usize = 4 * 16 * TILES;

/// `weights` are the streams of the filters.
pub(crate) type Products = unsafe extern "C" fn(args: *const ProductArgs, weights: *const u32);

/// An instruction sequence that starts the loop over the channels of the given row; it returns to `label`.
macro_rules! sum_row {
    ($row:literal, $label:literal) => {
        concat!(
            "adr.w r12, ",
            $label,
            "f + 1\n",
            "str r12, [sp]\n",
            "ldr r0, [sp, #4]\n",
            "ldr r2, [sp, #8]\n",
            "ldr r3, [sp, #12]\n",
            "add r0, r0, #16 * ",
            $row,
            "\n",
            "cmp r0, r2\n",
            "bx r3\n",
            ".p2align 2\n",
            $label,
            ":",
        )
    };
}

/// All positions of two filters and four tiles at a time: 16 cycles for 16 products, and about 1000 for 32 outputs.
///
/// GENERAL layers have a left shift, or an output range of their own.
///
/// # Safety
/// What `args` points to must be valid: inputs and weights to be read, sums and outputs to be written, and these must
/// overlap none of the others.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn products<const GENERAL: bool>(args: *const ProductArgs, weights: *const u32) {
    // In the loop: r0 inputs, r1 weights, r2 and r3 those of filter 0 and 1, r12 and lr inputs of two tiles, r4–r7 sums of
    // filter 0, r8–r11 those of filter 1. On the stack: 0 where the loop returns to, 4 inputs of the column, 8 last pass,
    // 12 where to enter the loop, 16 args, 20 filter, 24 pairs of filters left, 28 sums of the column, 32 a row's sums.
    dsp_asm!(naked_asm:
        "push {{r4-r11, lr}}",
        "sub sp, #64",
        "ldm r0, {{r4-r6}}",
        "adr.w r12, 2f + 1",
        "add r12, r12, r6",
        "str r5, [sp, #8]",
        "str r12, [sp, #12]",
        "str r0, [sp, #16]",
        "ldr r2, [r0, #36]",
        "ldr r3, [r0, #32]",
        "str r2, [sp, #20]",
        "str r3, [sp, #24]",
        // Two filters.
        "1:",
        "ldr r2, [sp, #16]",
        "ldr r3, [r2]",
        "ldr r2, [r2, #12]",
        "str r3, [sp, #4]",
        "str r2, [sp, #28]",
        // A column: M1.
        "3:",
        "movs r4, #0",
        "movs r5, #0",
        "movs r6, #0",
        "movs r7, #0",
        "mov r8, r4",
        "mov r9, r4",
        "mov r10, r4",
        "mov r11, r4",
        sum_row!(1, "4"),
        "str r4, [sp, #32]",
        "str r5, [sp, #36]",
        "str r6, [sp, #40]",
        "str r7, [sp, #44]",
        "str r8, [sp, #48]",
        "str r9, [sp, #52]",
        "str r10, [sp, #56]",
        "str r11, [sp, #60]",
        // S = M1 + M2; 2 M1 − S is left for later.
        sum_row!(2, "5"),
        "ldr r2, [sp, #32]",
        "ldr r3, [sp, #36]",
        "ldr r12, [sp, #40]",
        "ldr lr, [sp, #44]",
        "rsb r2, r4, r2, lsl #1",
        "rsb r3, r5, r3, lsl #1",
        "rsb r12, r6, r12, lsl #1",
        "rsb lr, r7, lr, lsl #1",
        "str r2, [sp, #32]",
        "str r3, [sp, #36]",
        "str r12, [sp, #40]",
        "str lr, [sp, #44]",
        "ldr r2, [sp, #48]",
        "ldr r3, [sp, #52]",
        "ldr r12, [sp, #56]",
        "ldr lr, [sp, #60]",
        "rsb r2, r8, r2, lsl #1",
        "rsb r3, r9, r3, lsl #1",
        "rsb r12, r10, r12, lsl #1",
        "rsb lr, r11, lr, lsl #1",
        "str r2, [sp, #48]",
        "str r3, [sp, #52]",
        "str r12, [sp, #56]",
        "str lr, [sp, #60]",
        // S + M0, the upper outputs.
        sum_row!(0, "6"),
        "ldr r2, [sp, #28]",
        "stm r2!, {{r4-r11}}",
        "str r2, [sp, #28]",
        "ldr r4, [sp, #32]",
        "ldr r5, [sp, #36]",
        "ldr r6, [sp, #40]",
        "ldr r7, [sp, #44]",
        "ldr r8, [sp, #48]",
        "ldr r9, [sp, #52]",
        "ldr r10, [sp, #56]",
        "ldr r11, [sp, #60]",
        // 2 M1 − S − M3, the lower outputs.
        sum_row!(3, "7"),
        "ldr r2, [sp, #28]",
        "ldr r3, [sp, #4]",
        "ldr r12, [sp, #16]",
        "ldr r12, [r12, #12]",
        "stm r2!, {{r4-r11}}",
        "adds r3, #64",
        "str r2, [sp, #28]",
        "str r3, [sp, #4]",
        "sub r0, r2, r12",
        "cmp r0, #256",
        "bne 3b",
        "b 9f",
        // The unrolled loop over channels; flags keep whether this pass is the last.
        ".p2align 2",
        "2:",
        ".irp pair, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15",
        "ldr r2, [r1], #4",
        "ldr r3, [r1], #4",
        "ldr r12, [r0, #256 * \\pair]",
        "ldr lr, [r0, #256 * \\pair + 4]",
        "smlad r4, r12, r2, r4",
        "smlad r5, lr, r2, r5",
        "smlad r8, r12, r3, r8",
        "smlad r9, lr, r3, r9",
        "ldr r12, [r0, #256 * \\pair + 8]",
        "ldr lr, [r0, #256 * \\pair + 12]",
        "smlad r6, r12, r2, r6",
        "smlad r7, lr, r2, r7",
        "smlad r10, r12, r3, r10",
        "smlad r11, lr, r3, r11",
        ".endr",
        "blo 8f",
        "ldr pc, [sp]",
        "8:",
        "ldr r2, [sp, #8]",
        "add r0, r0, #4096",
        "cmp r0, r2",
        "b 2b",
        // Filter 1, then filter 0: r0 sums, r1 zero point, r2 bias, r3 multiplier, r12 tiles, lr filter.
        "9:",
        "ldr lr, [sp, #20]",
        "ldr r12, [sp, #16]",
        "ldr r0, [r12, #12]",
        "ldr r2, [r12, #40]",
        "adds r0, #16",
        "add lr, lr, r2",
        "20:",
        "ldm r1!, {{r2, r3}}",
        "str r1, [sp, #4]",
        "ldr r1, [r12, #16]",
        "add r12, r12, #44",
        "21:",
        // The sums of a tile by columns: r4–r7 upper row, r8–r11 lower row.
        "ldr r4, [r0]",
        "ldr r5, [r0, #64]",
        "ldr r6, [r0, #128]",
        "ldr r7, [r0, #192]",
        "ldr r8, [r0, #32]",
        "ldr r9, [r0, #96]",
        "ldr r10, [r0, #160]",
        "ldr r11, [r0, #224]",
        "adds r0, #4",
        "add r4, r4, r5",
        "add r4, r4, r6",
        "sub r5, r5, r6",
        "sub r5, r5, r7",
        "add r8, r8, r9",
        "add r8, r8, r10",
        "sub r9, r9, r10",
        "sub r9, r9, r11",
        "add r4, r2, r4, asr #2",
        "add r5, r2, r5, asr #2",
        "add r8, r2, r8, asr #2",
        "add r9, r2, r9, asr #2",
        ".if {general}",
        "ldr r10, [sp, #16]",
        "ldr r6, [r10, #20]",
        "ldr r7, [r10, #24]",
        "ldr r10, [r10, #28]",
        "lsl r4, r4, r10",
        "lsl r5, r5, r10",
        "lsl r8, r8, r10",
        "lsl r9, r9, r10",
        ".endif",
        "smmlar r4, r4, r3, r1",
        "smmlar r5, r5, r3, r1",
        "smmlar r8, r8, r3, r1",
        "smmlar r9, r9, r3, r1",
        ".if {general}",
        "ssat r4, #16, r4",
        "ssat r5, #16, r5",
        "ssat r8, #16, r8",
        "ssat r9, #16, r9",
        "pkhbt r4, r4, r5, lsl #16",
        "pkhbt r8, r8, r9, lsl #16",
        // The lower end where it is above, then the upper end where it is below.
        "ssub16 r10, r4, r6",
        "sel r4, r4, r6",
        "ssub16 r10, r7, r4",
        "sel r4, r4, r7",
        "ssub16 r10, r8, r6",
        "sel r8, r8, r6",
        "ssub16 r10, r7, r8",
        "sel r8, r8, r7",
        "lsr r5, r4, #16",
        "lsr r9, r8, #16",
        ".else",
        "ssat r4, #8, r4",
        "ssat r5, #8, r5",
        "ssat r8, #8, r8",
        "ssat r9, #8, r9",
        ".endif",
        "ldm r12!, {{r6, r7, r10, r11}}",
        "add r6, r6, lr",
        "add r10, r10, r6",
        "strb r9, [r10, r7]",
        "strb r8, [r10]",
        "strb r5, [r6, r7]",
        "strb r4, [r6]",
        "cmp r11, #0",
        "bne 21b",
        // Whether that was filter 1.
        "ldr r1, [sp, #4]",
        "ldr r12, [sp, #16]",
        "ldr lr, [sp, #20]",
        "ldr r2, [r12, #12]",
        "subs r0, r0, r2",
        "cmp r0, #32",
        "mov r0, r2",
        "beq 20b",
        "ldr r3, [sp, #24]",
        "add lr, lr, #2",
        "subs r3, #1",
        "str lr, [sp, #20]",
        "str r3, [sp, #24]",
        "bne 1b",
        "add sp, #64",
        "pop {{r4-r11, pc}}",
        general = const GENERAL as usize,
    )
}

/// `Bᵀ d B` for one tile and all channels: about 200 cycles for four of them. `pixels` are the 16 input pixels, row by
/// row, of which `4 · words` channels are read; the tile's results go to the first lane of `inputs`.
///
/// # Safety
/// All of that must be valid for reads and writes; `words` is above 0. No alignment is asked of the pixels.
#[unsafe(naked)]
unsafe extern "C" fn transform(pixels: *const [*const i8; 16], inputs: *mut u32, words: usize) {
    /// The four columns of row `$i` of the result, of which `Bᵀ d` is in registers.
    macro_rules! row {
        ($i:literal, $a:literal, $b:literal, $c:literal, $d:literal) => {
            concat!(
                "ssub16 ",
                $a,
                ", ",
                $a,
                ", ",
                $c,
                "\n",
                "ssub16 ",
                $d,
                ", ",
                $b,
                ", ",
                $d,
                "\n",
                "str ",
                $a,
                ", [r1, #16 * ",
                $i,
                "]\n",
                "str ",
                $d,
                ", [r1, #16 * (12 + ",
                $i,
                ")]\n",
                "sadd16 ",
                $a,
                ", ",
                $b,
                ", ",
                $c,
                "\n",
                "ssub16 ",
                $c,
                ", ",
                $c,
                ", ",
                $b,
                "\n",
                "str ",
                $a,
                ", [r1, #16 * (4 + ",
                $i,
                ")]\n",
                "str ",
                $c,
                ", [r1, #16 * (8 + ",
                $i,
                ")]",
            )
        };
    }
    /// The channels 0 and 2, or 1 and 3, of the four pixels from `$pixel` on.
    macro_rules! load {
        ($pixel:literal, $a:literal, $b:literal, $c:literal, $d:literal) => {
            concat!(
                "ldr ",
                $a,
                ", [sp, #4 * ",
                $pixel,
                "]\n",
                "ldr ",
                $b,
                ", [sp, #4 * ",
                $pixel,
                " + 4]\n",
                "ldr ",
                $c,
                ", [sp, #4 * ",
                $pixel,
                " + 8]\n",
                "ldr ",
                $d,
                ", [sp, #4 * ",
                $pixel,
                " + 12]\n",
                "ldr ",
                $a,
                ", [",
                $a,
                ", r0]\n",
                "ldr ",
                $b,
                ", [",
                $b,
                ", r0]\n",
                "ldr ",
                $c,
                ", [",
                $c,
                ", r0]\n",
                "ldr ",
                $d,
                ", [",
                $d,
                ", r0]\n",
                "sxtb16 ",
                $a,
                ", ",
                $a,
                ", ror #\\rotation\n",
                "sxtb16 ",
                $b,
                ", ",
                $b,
                ", ror #\\rotation\n",
                "sxtb16 ",
                $c,
                ", ",
                $c,
                ", ror #\\rotation\n",
                "sxtb16 ",
                $d,
                ", ",
                $d,
                ", ror #\\rotation",
            )
        };
    }
    // r0 offset of the channels, r1 results, the others values. On the stack: 0 the pixels, 64 end of the offsets.
    dsp_asm!(naked_asm:
        "push {{r4-r11, lr}}",
        "sub sp, #68",
        "lsls r2, r2, #2",
        "str r2, [sp, #64]",
        "mov r2, sp",
        "ldm r0!, {{r4-r11}}",
        "stm r2!, {{r4-r11}}",
        "ldm r0!, {{r4-r11}}",
        "stm r2!, {{r4-r11}}",
        "movs r0, #0",
        "1:",
        ".irp rotation, 0, 8",
        load!(4, "r2", "r3", "r4", "r5"),
        load!(8, "r6", "r7", "r8", "r9"),
        load!(0, "r10", "r11", "r12", "lr"),
        "ssub16 r10, r10, r6",
        "ssub16 r11, r11, r7",
        "ssub16 r12, r12, r8",
        "ssub16 lr, lr, r9",
        row!(0, "r10", "r11", "r12", "lr"),
        load!(12, "r10", "r11", "r12", "lr"),
        "ssub16 r10, r2, r10",
        "ssub16 r11, r3, r11",
        "ssub16 r12, r4, r12",
        "ssub16 lr, r5, lr",
        row!(3, "r10", "r11", "r12", "lr"),
        "sadd16 r10, r2, r6",
        "sadd16 r11, r3, r7",
        "sadd16 r12, r4, r8",
        "sadd16 lr, r5, r9",
        row!(1, "r10", "r11", "r12", "lr"),
        "ssub16 r6, r6, r2",
        "ssub16 r7, r7, r3",
        "ssub16 r8, r8, r4",
        "ssub16 r9, r9, r5",
        row!(2, "r6", "r7", "r8", "r9"),
        "add r1, r1, #256",
        ".endr",
        "ldr r2, [sp, #64]",
        "adds r0, #4",
        "cmp r0, r2",
        "bne 1b",
        "add sp, #68",
        "pop {{r4-r11, pc}}",
    )
}

/// Computes a layer.
///
/// # Panics
/// If a slice is shorter than its shape.
#[inline(never)]
pub(crate) fn convolve(
    p: &Conv2d,
    q: &Requantize,
    pad_value: i8,
    products: Products,
    constants: &[u32],
    operands: Operands<'_>,
    scratch: &mut [u32],
) {
    let sizes = Sizes::new(p);
    let x_len = p.batch * p.input.iter().product::<usize>();
    let (x, y, _) = pointers(operands, x_len, p.batch * p.output.iter().product::<usize>());
    assert!(constants.len() == sizes.words, "constants");
    let (inputs, scratch) = scratch.split_at_mut(sizes.input_words);
    let (sums, scratch) = scratch.split_at_mut(sizes.sum_words);
    let (padding, scratch) = scratch.split_at_mut(sizes.pixel_words);
    let last = &mut scratch[..sizes.pixel_words];
    padding.fill(u32::from(pad_value as u8) * 0x0101_0101);
    let last_pixel = x_len - p.input[2];
    let mut source = Source { p, x, last_pixel, padding: padding.as_ptr().cast(), last: x };
    // Channels are read by the word. What is read behind the last pixel's is multiplied by 0, but has to exist.
    source.last = if p.input[2].is_multiple_of(4) {
        source.at(source.last_pixel)
    } else {
        let copy = last.as_mut_ptr().cast::<i8>();
        // SAFETY: `last` has room for all channels of a pixel.
        unsafe { copy.copy_from_nonoverlapping(source.at(source.last_pixel), p.input[2]) };
        copy.cast_const()
    };

    let skip = (UNROLL - sizes.pairs % UNROLL) % UNROLL;
    let first_pass = inputs.as_ptr().wrapping_byte_sub(skip * PAIR_BYTES);
    let passes = sizes.pairs.div_ceil(UNROLL);
    let mut args = ProductArgs {
        inputs: first_pass,
        last_pass: first_pass.wrapping_byte_add((passes - 1) * UNROLL * PAIR_BYTES),
        skip: skip * PAIR_CODE,
        sums: sums.as_mut_ptr().cast(),
        zero_point: q.zero_point,
        min: u32::from(i16::from(q.min) as u16) * 0x1_0001,
        max: u32::from(i16::from(q.max) as u16) * 0x1_0001,
        left_shift: q.left_shift,
        filter_pairs: 0,
        first: 0,
        second: 1,
        tiles: [TileOutputs { y, right: 0, down: 0, more: 0 }; TILES],
    };
    let mut tile = Tile { image: 0, row: 0, column: 0 };
    let mut left = p.batch * sizes.tiles[0] * sizes.tiles[1];
    let mut pixels = [source.padding; 16];
    while left > 0 {
        let mut lane = 0;
        while lane < TILES {
            // SAFETY: the transform reads pixels of `x` and the two spare ones, and writes one of TILES lanes.
            unsafe {
                source.pixels(&tile, &mut pixels);
                transform(&pixels, inputs.as_mut_ptr().add(lane), sizes.pixel_words);
            }
            args.tiles[lane] = tile.outputs(p, y, lane == TILES - 1);
            // At the end the last tile takes the other lanes, too.
            if left > 1 {
                tile.next(&sizes);
                left -= 1;
            } else if lane == TILES - 1 {
                left = 0;
            }
            // As in `Source::pixels`.
            lane = black_box(lane + 1);
        }
        // SAFETY: all pointers are inside their slices, and outputs are written after all that they depend on was read.
        unsafe {
            (args.first, args.second, args.filter_pairs) = (0, 1, p.output[2] / 2);
            if args.filter_pairs > 0 {
                products(&args, constants.as_ptr());
            }
            if p.output[2] % 2 == 1 {
                (args.first, args.second, args.filter_pairs) = (p.output[2] - 1, 0, 1);
                products(&args, constants.as_ptr().add(p.output[2] / 2 * sizes.stream_words));
            }
        }
    }
}

/// A tile's place.
struct Tile {
    image: usize,
    row: usize,
    column: usize,
}

impl Tile {
    #[inline(always)]
    fn next(&mut self, sizes: &Sizes) {
        self.column += 1;
        if self.column == sizes.tiles[1] {
            (self.column, self.row) = (0, self.row + 1);
            if self.row == sizes.tiles[0] {
                (self.row, self.image) = (0, self.image + 1);
            }
        }
    }

    #[inline(always)]
    fn outputs(&self, p: &Conv2d, y: *mut i8, last: bool) -> TileOutputs {
        let [height, width, channels] = p.output;
        let (row, column) = (2 * self.row, 2 * self.column);
        TileOutputs {
            y: y.wrapping_add(((self.image * height + row) * width + column) * channels),
            right: if column + 1 < width { channels } else { 0 },
            down: if row + 1 < height { width * channels } else { 0 },
            more: usize::from(!last),
        }
    }
}

/// Where the inputs of a tile come from.
struct Source<'a> {
    p: &'a Conv2d,
    x: *const i8,
    /// Where the last pixel starts in `x`.
    last_pixel: usize,
    /// A pixel of padding, and the last pixel of `x` with room behind it.
    padding: *const i8,
    last: *const i8,
}

impl Source<'_> {
    #[inline(always)]
    fn at(&self, offset: usize) -> *const i8 {
        self.x.wrapping_add(offset)
    }

    /// The pixels that a tile depends on. Loops whose counters the compiler does not know are not unrolled: that would
    /// take much flash for little speed.
    #[inline(never)]
    fn pixels(&self, tile: &Tile, pixels: &mut [*const i8; 16]) {
        let [height, width, channels] = self.p.input;
        let mut y = (2 * tile.row).wrapping_sub(self.p.pad[0]);
        for row in pixels.as_chunks_mut::<4>().0 {
            let start = (tile.image * height).wrapping_add(y).wrapping_mul(width);
            let mut x = (2 * tile.column).wrapping_sub(self.p.pad[1]);
            for pixel in row {
                let offset = start.wrapping_add(x).wrapping_mul(channels);
                *pixel = match y < height && x < width {
                    true if offset == self.last_pixel => self.last,
                    true => self.at(offset),
                    false => self.padding,
                };
                x = black_box(x.wrapping_add(1));
            }
            y = black_box(y.wrapping_add(1));
        }
    }
}
