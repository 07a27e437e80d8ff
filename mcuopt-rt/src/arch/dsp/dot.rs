//! The inner loops of convolutions and dense layers: dot products of int8 or int16 activations and int8 or int4 weights, two
//! products an instruction.
//!
//! How the weights lie, and what split sums are, says `conv::stream`.

use crate::conv::stream::Form;

/// What a tile needs besides weights and output. The order of the fields is known to the assembly.
#[repr(C)]
pub(crate) struct TileArgs {
    /// Activations as pairs of int16, `[taps / 2, TILE_PIXELS]` words.
    pub(crate) activations: *const u32,
    /// Their end.
    pub(crate) end: *const u32,
    /// Bytes of the unrolled loop that the first pass leaves out: [`tile_skip`].
    pub(crate) skip: usize,
    /// Bytes from one pixel of the output to the next.
    pub(crate) pixel_stride: usize,
    /// Filters to compute, an even number above 0, times the bytes of an output.
    pub(crate) filters: usize,
    /// Zero point of the output.
    pub(crate) zero_point: i32,
    /// Lower end of the output, in both halves.
    pub(crate) min: u32,
    /// Upper end of the output, in both halves.
    pub(crate) max: u32,
    /// Left shift of the sums.
    pub(crate) left_shift: u32,
}

/// Tap pairs in the unrolled loop of a tile.
const TILE_UNROLL: usize = 16;

/// [`TileArgs::skip`] for `taps4` taps.
pub(crate) const fn tile_skip(form: Form, taps4: usize) -> usize {
    // Of two tap pairs.
    let instructions = match form {
        Form::Split => 28,
        Form::Bytes => 30,
        Form::Nibbles => 33,
    };
    (TILE_UNROLL - taps4 / 2 % TILE_UNROLL) % TILE_UNROLL / 2 * 4 * instructions
}

/// `weights` is the stream of `args.filters` filters, `y` the first output of the first pixel.
pub(crate) type Tile = unsafe extern "C" fn(args: *const TileArgs, weights: *const u32, y: *mut i8);

/// Two filters times four pixels at a time: 16 cycles for 16 products (17 without SPLIT, 18.5 with NIBBLES), and about 70
/// for 8 outputs.
///
/// GENERAL layers have a left shift, or an output range of their own; with WIDE, outputs are int16.
///
/// # Safety
/// What `args` points to must be valid: activations and weights to be read, the outputs to be written, and these must
/// overlap neither of them.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn tile<const SPLIT: bool, const NIBBLES: bool, const WIDE: bool, const GENERAL: bool>(
    args: *const TileArgs,
    weights: *const u32,
    y: *mut i8,
) {
    // r0 activations, r1 weights, r2 and r3 a word of weights, r4–r7 sums of filter 1 (A), r8–r11 those of filter 0
    // (B), r12 and lr activations. On the stack: 0 activations, 4 their end, 8 where to enter the loop, 12 y,
    // 16 pixel stride, 20 end of y, 24 zero point, 28 min, 32 max, 36 left shift.
    dsp_asm!(naked_asm:
        "push {{r4-r11, lr}}",
        "sub sp, #40",
        "ldm r0, {{r3-r11}}",
        "adr r12, 2f",
        "add r12, r12, r5",
        "add r12, r12, #1",
        "add r7, r7, r2",
        "str r3, [sp]",
        "str r4, [sp, #4]",
        "str r12, [sp, #8]",
        "str r2, [sp, #12]",
        "str r6, [sp, #16]",
        "str r7, [sp, #20]",
        "str r8, [sp, #24]",
        "str r9, [sp, #28]",
        "str r10, [sp, #32]",
        "str r11, [sp, #36]",
        // Two filters.
        "1:",
        "ldr r8, [r1], #4",
        "ldr r0, [sp]",
        "ldr r3, [sp, #8]",
        "mov r9, r8",
        "mov r10, r8",
        "mov r11, r8",
        ".if {split}",
        "mov r4, r8",
        "mov r5, r8",
        "mov r6, r8",
        "mov r7, r8",
        ".else",
        "movs r4, #0",
        "movs r5, #0",
        "movs r6, #0",
        "movs r7, #0",
        ".endif",
        "bx r3",
        ".p2align 2",
        "2:",
        ".rept {unroll} / 2",
        ".irp second, 0, 1",
        ".if {nibbles} == 0",
        "ldr r2, [r1], #4",
        ".elseif \\second",
        "ldr r2, [r1], #4",
        ".else",
        "ldr.w r2, [r1]",
        ".endif",
        "ldr r12, [r0], #4",
        "ldr lr, [r0], #4",
        ".if {nibbles}",
        ".if \\second",
        "lsl.w r2, r2, #4",
        ".endif",
        "and r2, r2, #0xf0f0f0f0",
        ".endif",
        ".if {split}",
        "smlad r4, r12, r2, r4",
        "smlad r5, lr, r2, r5",
        "sxtb16 r3, r2",
        ".else",
        "sxtb16 r3, r2",
        "sxtb16 r2, r2, ror #8",
        "smlad r4, r12, r2, r4",
        "smlad r5, lr, r2, r5",
        ".endif",
        "smlad r8, r12, r3, r8",
        "smlad r9, lr, r3, r9",
        "ldr r12, [r0], #4",
        "ldr lr, [r0], #4",
        "smlad r6, r12, r2, r6",
        "smlad r7, lr, r2, r7",
        "smlad r10, r12, r3, r10",
        "smlad r11, lr, r3, r11",
        ".endr",
        ".endr",
        "ldr r3, [sp, #4]",
        "cmp r0, r3",
        "bne 2b",
        // The bias of filter 1, and what requantization needs.
        "ldr r0, [r1], #4",
        "ldr r2, [r1], #4",
        "ldr r3, [r1], #4",
        "ldr r12, [sp, #24]",
        "ldr lr, [sp, #12]",
        ".if {split}",
        "sub r4, r4, r8",
        "sub r5, r5, r9",
        "sub r6, r6, r10",
        "sub r7, r7, r11",
        "add r4, r0, r4, asr #8",
        "add r5, r0, r5, asr #8",
        "add r6, r0, r6, asr #8",
        "add r7, r0, r7, asr #8",
        ".elseif {nibbles}",
        "add r4, r0, r4, asr #4",
        "add r5, r0, r5, asr #4",
        "add r6, r0, r6, asr #4",
        "add r7, r0, r7, asr #4",
        ".irp sum, r8, r9, r10, r11",
        "asr \\sum, \\sum, #4",
        ".endr",
        ".else",
        "add r4, r4, r0",
        "add r5, r5, r0",
        "add r6, r6, r0",
        "add r7, r7, r0",
        ".endif",
        ".if {general}",
        "ldr r0, [sp, #36]",
        ".irp sum, r4, r5, r6, r7, r8, r9, r10, r11",
        "lsl \\sum, \\sum, r0",
        ".endr",
        ".endif",
        ".if {general} | {wide}",
        ".irp sum, r8, r9, r10, r11",
        "smmlar \\sum, \\sum, r2, r12",
        ".endr",
        ".irp sum, r4, r5, r6, r7",
        "smmlar \\sum, \\sum, r3, r12",
        ".endr",
        "ldr r2, [sp, #28]",
        "ldr r3, [sp, #32]",
        "ldr r0, [sp, #16]",
        ".irp pixel, 0, 1, 2, 3",
        ".if \\pixel == 0",
        "ssat r8, #16, r8",
        "ssat r4, #16, r4",
        "pkhbt r8, r8, r4, lsl #16",
        ".elseif \\pixel == 1",
        "ssat r9, #16, r9",
        "ssat r5, #16, r5",
        "pkhbt r8, r9, r5, lsl #16",
        ".elseif \\pixel == 2",
        "ssat r10, #16, r10",
        "ssat r6, #16, r6",
        "pkhbt r8, r10, r6, lsl #16",
        ".else",
        "ssat r11, #16, r11",
        "ssat r7, #16, r7",
        "pkhbt r8, r11, r7, lsl #16",
        ".endif",
        ".if {general}",
        // The lower end where it is above, then the upper end where it is below.
        "ssub16 r12, r8, r2",
        "sel r8, r8, r2",
        "ssub16 r12, r3, r8",
        "sel r8, r8, r3",
        ".endif",
        ".if {wide}",
        "str r8, [lr]",
        ".else",
        "strb r8, [lr]",
        "lsr r8, r8, #16",
        "strb r8, [lr, #1]",
        ".endif",
        "add lr, lr, r0",
        ".endr",
        ".else",
        "smmlar r8, r8, r2, r12",
        "smmlar r4, r4, r3, r12",
        "smmlar r9, r9, r2, r12",
        "smmlar r5, r5, r3, r12",
        "smmlar r10, r10, r2, r12",
        "smmlar r6, r6, r3, r12",
        "smmlar r11, r11, r2, r12",
        "smmlar r7, r7, r3, r12",
        ".irp sum, r4, r5, r6, r7, r8, r9, r10, r11",
        "ssat \\sum, #8, \\sum",
        ".endr",
        // The pixels are 0, r0, 2 · r0 and r3 bytes behind lr and r12.
        "strb r8, [lr]",
        "strb r4, [lr, #1]",
        "ldr r0, [sp, #16]",
        "adds r12, lr, #1",
        "add r3, r0, r0, lsl #1",
        "strb r9, [lr, r0]",
        "strb r5, [r12, r0]",
        "strb r10, [lr, r0, lsl #1]",
        "strb r6, [r12, r0, lsl #1]",
        "strb r11, [lr, r3]",
        "strb r7, [r12, r3]",
        ".endif",
        "ldr r3, [sp, #20]",
        ".if {general} | {wide}",
        "ldr lr, [sp, #12]",
        ".endif",
        "add lr, lr, #2 << {wide}",
        "str lr, [sp, #12]",
        "cmp lr, r3",
        "bne 1b",
        "add sp, #40",
        "pop {{r4-r11, pc}}",
        split = const SPLIT as usize,
        nibbles = const NIBBLES as usize,
        wide = const WIDE as usize,
        general = const GENERAL as usize,
        unroll = const TILE_UNROLL,
    )
}

/// What a row needs besides its operands. The order of the fields is known to the assembly.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct RowArgs {
    /// Passes through the unrolled loop: [`row_passes`].
    pub(crate) passes: usize,
    /// Bytes of the unrolled loop that the first pass leaves out: [`row_skip`].
    pub(crate) skip: usize,
    /// Number of times that four filters are to be computed, above 0.
    pub(crate) quads: usize,
    /// Bytes from one stream to the next.
    pub(crate) stream: usize,
    /// Zero point of the output.
    pub(crate) zero_point: i32,
    /// Lower end of the output, in all four bytes or both halves.
    pub(crate) min: u32,
    /// Upper end of the output, likewise.
    pub(crate) max: u32,
    /// Left shift of the sums.
    pub(crate) left_shift: u32,
}

/// Groups of four taps in the unrolled loop of a row.
const ROW_UNROLL: usize = 8;

/// [`RowArgs::passes`] for `taps4` taps.
pub(crate) const fn row_passes(taps4: usize) -> usize {
    (taps4 / 4).div_ceil(ROW_UNROLL)
}

/// [`RowArgs::skip`] for `taps4` taps.
pub(crate) const fn row_skip(form: Form, wide: bool, taps4: usize) -> usize {
    let instructions = match form {
        Form::Split => 19,
        Form::Bytes => 23,
        Form::Nibbles => 27,
    } - wide as usize;
    (ROW_UNROLL - taps4 / 4 % ROW_UNROLL) % ROW_UNROLL * 4 * instructions
}

/// `x` are the activations of a pixel, of which those behind the last tap may be anything; `weights` the streams, two for
/// each four filters; `y` the outputs.
pub(crate) type Row = unsafe extern "C" fn(args: *const RowArgs, x: *const i8, weights: *const u32, y: *mut i8);

/// Four filters at a time times one pixel, whose activations are widened on the way: 20 cycles for 16 products (25
/// without SPLIT, 29 with NIBBLES), and about 55 for 4 outputs. With WIDE, activations and outputs are int16.
///
/// # Safety
/// The operands must be valid for reads and writes of what `args` says; no alignment is asked of `x` and `y`.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn row<const SPLIT: bool, const NIBBLES: bool, const WIDE: bool, const GENERAL: bool>(
    args: *const RowArgs,
    x: *const i8,
    weights: *const u32,
    y: *mut i8,
) {
    // r0 x, r1 and r2 weights, r3 passes through the loop; sums: r4 and r5 filters 1 and 0, r6 and r7 filters 3 and 2;
    // r8 and r9 activations, r10, r11, r12, lr weights. On the stack: 0 passes, 4 where to enter the loop, 8 quads left,
    // 12 stream, 16 zero point, 20 min, 24 max, 28 left shift, 32 x, 36 y.
    dsp_asm!(naked_asm:
        "push {{r4-r11, lr}}",
        "sub sp, #40",
        "ldm r0, {{r4-r11}}",
        "adr r0, 2f",
        "add r5, r5, r0",
        "adds r5, #1",
        "stm sp, {{r4-r11}}",
        "str r1, [sp, #32]",
        "str r3, [sp, #36]",
        "mov r1, r2",
        // Four filters, from the stream at r1 on.
        "1:",
        "ldr r2, [sp, #12]",
        "ldr r3, [sp]",
        "ldr r0, [sp, #32]",
        "ldr r10, [sp, #4]",
        "add r2, r2, r1",
        "ldr r5, [r1], #4",
        "ldr r7, [r2], #4",
        ".if {split}",
        "mov r4, r5",
        "mov r6, r7",
        ".else",
        "movs r4, #0",
        "movs r6, #0",
        ".endif",
        "bx r10",
        ".p2align 2",
        "2:",
        ".rept {unroll}",
        "ldr r8, [r0], #4",
        ".if {nibbles}",
        "ldr r11, [r1], #4",
        "and r10, r11, #0xf0f0f0f0",
        "lsl.w r11, r11, #4",
        "and r11, r11, #0xf0f0f0f0",
        ".else",
        "ldr r10, [r1], #4",
        "ldr r11, [r1], #4",
        ".endif",
        ".if {split}",
        "ldr r12, [r2], #4",
        "ldr lr, [r2], #4",
        "sxtb16 r9, r8, ror #8",
        "sxtb16 r8, r8",
        "smlad r4, r8, r10, r4",
        "sxtb16 r10, r10",
        "smlad r5, r8, r10, r5",
        "smlad r4, r9, r11, r4",
        "sxtb16 r11, r11",
        "smlad r5, r9, r11, r5",
        "smlad r6, r8, r12, r6",
        "sxtb16 r12, r12",
        "smlad r7, r8, r12, r7",
        "smlad r6, r9, lr, r6",
        "sxtb16 lr, lr",
        "smlad r7, r9, lr, r7",
        ".else",
        ".if {wide}",
        "ldr r9, [r0], #4",
        ".else",
        "sxtb16 r9, r8, ror #8",
        "sxtb16 r8, r8",
        ".endif",
        "sxtb16 r12, r10",
        "sxtb16 r10, r10, ror #8",
        "smlad r5, r8, r12, r5",
        "smlad r4, r8, r10, r4",
        "sxtb16 r12, r11",
        "sxtb16 r11, r11, ror #8",
        "smlad r5, r9, r12, r5",
        "smlad r4, r9, r11, r4",
        ".if {nibbles}",
        "ldr r11, [r2], #4",
        "and r10, r11, #0xf0f0f0f0",
        "lsl.w r11, r11, #4",
        "and r11, r11, #0xf0f0f0f0",
        ".else",
        "ldr r10, [r2], #4",
        "ldr r11, [r2], #4",
        ".endif",
        "sxtb16 r12, r10",
        "sxtb16 r10, r10, ror #8",
        "smlad r7, r8, r12, r7",
        "smlad r6, r8, r10, r6",
        "sxtb16 r12, r11",
        "sxtb16 r11, r11, ror #8",
        "smlad r7, r9, r12, r7",
        "smlad r6, r9, r11, r6",
        ".endif",
        ".endr",
        "subs r3, #1",
        "bne 2b",
        // Biases of filters 1 and 3, multipliers, zero point.
        "ldr r8, [r1]",
        "ldr r9, [r1, #4]",
        "ldr r10, [r1, #8]",
        "ldr r3, [r2]",
        "ldr r11, [r2, #4]",
        "ldr r12, [r2, #8]",
        "ldr r0, [sp, #16]",
        ".if {split}",
        "subs r4, r4, r5",
        "subs r6, r6, r7",
        "add r4, r8, r4, asr #8",
        "add r6, r3, r6, asr #8",
        ".elseif {nibbles}",
        "add r4, r8, r4, asr #4",
        "add r6, r3, r6, asr #4",
        "asr r5, r5, #4",
        "asr r7, r7, #4",
        ".else",
        "add r4, r4, r8",
        "add r6, r6, r3",
        ".endif",
        ".if {general}",
        "ldr r8, [sp, #28]",
        "lsl r4, r4, r8",
        "lsl r5, r5, r8",
        "lsl r6, r6, r8",
        "lsl r7, r7, r8",
        ".endif",
        "smmlar r5, r5, r9, r0",
        "smmlar r4, r4, r10, r0",
        "smmlar r7, r7, r11, r0",
        "smmlar r6, r6, r12, r0",
        "ldr r8, [sp, #36]",
        "ldr r3, [sp, #8]",
        ".if {wide}",
        ".irp sum, r4, r5, r6, r7",
        "ssat \\sum, #16, \\sum",
        ".endr",
        "pkhbt r5, r5, r4, lsl #16",
        "pkhbt r7, r7, r6, lsl #16",
        ".if {general}",
        "ldr r9, [sp, #20]",
        "ldr r10, [sp, #24]",
        ".irp sum, r5, r7",
        "ssub16 r0, \\sum, r9",
        "sel \\sum, \\sum, r9",
        "ssub16 r0, r10, \\sum",
        "sel \\sum, \\sum, r10",
        ".endr",
        ".endif",
        "str r5, [r8], #4",
        "str r7, [r8], #4",
        ".else",
        "ssat r5, #8, r5",
        "ssat r4, #8, r4",
        "ssat r7, #8, r7",
        "ssat r6, #8, r6",
        "bfi r5, r4, #8, #8",
        "bfi r5, r7, #16, #8",
        "bfi r5, r6, #24, #8",
        ".if {general}",
        // The lower end where it is above, then the upper end where it is below.
        "ldr r9, [sp, #20]",
        "ldr r10, [sp, #24]",
        "ssub8 r0, r5, r9",
        "sel r5, r5, r9",
        "ssub8 r0, r10, r5",
        "sel r5, r5, r10",
        ".endif",
        "str r5, [r8], #4",
        ".endif",
        "str r8, [sp, #36]",
        "add r1, r2, #12",
        "subs r3, #1",
        "str r3, [sp, #8]",
        "bne 1b",
        "add sp, #40",
        "pop {{r4-r11, pc}}",
        unroll = const ROW_UNROLL,
        split = const SPLIT as usize,
        nibbles = const NIBBLES as usize,
        wide = const WIDE as usize,
        general = const GENERAL as usize,
    )
}
