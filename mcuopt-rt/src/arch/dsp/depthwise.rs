//! Depthwise convolution channel by channel, see [`crate::depthwise::planar`].
//!
//! About 17 cycles for an output of a 3×3 kernel on Cortex-M4, and 3 for each input to copy it. Working channel by
//! channel in a small plane, so that the layer can be in place, is an idea of TinyEngine (MIT HAN Lab); so is the plane
//! with its padding. Here its lines are words for SMLAD, taps come in two alignments, and four outputs share each load.

use crate::conv::Operands;
use crate::depthwise::planar::Planar;
use crate::geometry::Conv2d;

use super::convolution::Ends;

/// What [`channels`] needs to know about a layer.
#[repr(C)]
pub(crate) struct Args {
    zero_point: i32,
    min: i32,
    max: i32,
    left_shift: u32,
    /// Bytes from an output to the next of its line, and from a line to the next.
    y_step: usize,
    y_line: usize,
    /// Bytes from the plane's line of one kernel line to that of the next; for looped kernels less the step of a tile.
    tap_line: usize,
    /// Bytes from the lines of one line of outputs to those of the next.
    x_line: usize,
    /// For looped kernels: from behind the last kernel line to the next tile.
    rewind: usize,
    /// Kernel lines.
    taps: usize,
    /// The plane, and where the first line of outputs ends in it, in the measure of inputs.
    plane: *mut u32,
    end: *const u32,
    /// Lines of outputs, at least 1.
    lines: usize,
    /// Words of taps of an output channel.
    words: usize,
    /// The plane behind its padding.
    inside: *mut i16,
    /// Elements to copy of a line, at least 1, and how many lines, 0 for none at all.
    copy_length: usize,
    copy_lines: usize,
    /// Bytes of the image from an element to the next, and from the end of a line to the next line.
    copy_step: usize,
    copy_gap: usize,
    /// Bytes from the end of what is copied of a line to the next line, in the plane.
    plane_gap: usize,
    /// Input channels, and output channels for each of them; at least 1.
    inputs: usize,
    multiplier: usize,
}

/// Computes an image.
pub(crate) type Channels = unsafe extern "C" fn(args: *const Args, constants: *const u32, x: *const i8, y: *mut i8);

/// Computes a layer. Activations are int16 if INT16, and `operands` their bytes.
///
/// # Panics
/// If a slice is shorter than its shape.
#[inline(never)]
#[allow(clippy::too_many_arguments)]
pub(crate) fn convolve<const INT16: bool>(
    p: &Conv2d,
    q: impl Into<Ends>,
    pad_value: impl Into<i16>,
    planar: &Planar,
    channels: Channels,
    constants: &[u32],
    operands: Operands<'_>,
    scratch: &mut [u32],
) {
    let (bytes, q) = (1 + usize::from(INT16), q.into());
    let ([in_h, in_w, in_c], [out_h, out_w, out_c]) = (p.input, p.output);
    let (image_len, output_len) = (bytes * in_h * in_w * in_c, bytes * out_h * out_w * out_c);
    let (x, y) = match operands {
        Operands::Apart(x, y) => {
            assert!(x.len() == p.batch * image_len && y.len() == p.batch * output_len, "x, y");
            (x.as_ptr(), y.as_mut_ptr())
        }
        Operands::Overlapping(xy, x_start) => {
            assert!(x_start == 0 && xy.len() == p.batch * image_len && output_len <= image_len, "xy");
            let y = xy.as_mut_ptr();
            (y.cast_const(), y)
        }
    };
    assert!(constants.len() == out_c * planar.channel_words(), "constants");
    let plane = &mut scratch[..planar.plane_words];
    let pad = u32::from(pad_value.into() as u16);
    plane.fill(pad << 16 | pad);
    let plane = plane.as_mut_ptr();

    let (along, across) = (planar.along, 1 - planar.along);
    // Bytes from a pixel to the next along either axis.
    let (x_steps, y_steps) = ([bytes * in_w * in_c, bytes * in_c], [bytes * out_w * out_c, bytes * out_c]);
    let [length, lines] = planar.inside;
    let (line, tile) = (2 * planar.line, 8 * planar.stride);
    let tap_line = p.dilation[across] * line;
    let args = Args {
        zero_point: q.zero_point,
        min: q.min.into(),
        max: q.max.into(),
        left_shift: q.left_shift,
        y_step: y_steps[along],
        y_line: y_steps[across],
        tap_line: if planar.unrolled() { tap_line } else { tap_line.wrapping_sub(tile) },
        x_line: p.stride[across] * line,
        rewind: (planar.taps * tap_line).wrapping_sub(tile),
        taps: planar.taps,
        plane,
        // Not read: only compared.
        end: plane.cast_const().wrapping_byte_add(2 * planar.stride * p.output[along]),
        lines: p.output[across],
        words: planar.taps * planar.pairs,
        inside: plane.cast::<i16>().wrapping_add(p.pad[across] * planar.line + p.pad[along]),
        copy_length: length,
        copy_lines: if length > 0 { lines } else { 0 },
        copy_step: x_steps[along],
        copy_gap: x_steps[across].wrapping_sub(length * x_steps[along]),
        plane_gap: line - 2 * length,
        inputs: in_c,
        multiplier: out_c / in_c,
    };
    for image in 0..p.batch {
        // SAFETY: x and y hold `batch` images, the constants `channel_words` for each of `out_c` channels.
        // `Planar::inside` counts cells of the image that fit the plane behind the padding, and the plane has all lines
        // and tiles that the outputs of this geometry read. Where x and y share memory, a channel is copied before its
        // outputs are written, other channels are elsewhere, and an image's outputs end before the next image, as
        // outputs are no larger than inputs.
        unsafe { channels(&args, constants.as_ptr(), x.add(image * image_len), y.add(image * output_len)) };
    }
}

/// The loops for activations that are int16 if INT16, else int8. Only those that a layer needs get into the program, as it is
/// a constant where this is inlined.
#[inline(always)]
pub(crate) fn loops<const INT16: bool>(planar: &Planar, general: bool) -> Channels {
    macro_rules! instances {
        ($($stride:literal, $taps:literal, $pairs:literal, $wide:literal;)*) => {
            match (planar.stride, planar.unrolled_taps(), planar.pairs, planar.wide, general) {
                $(
                    ($stride, $taps, $pairs, $wide, false) => channels::<$stride, $taps, $pairs, $wide, INT16, false>,
                    ($stride, $taps, $pairs, $wide, true) => channels::<$stride, $taps, $pairs, $wide, INT16, true>,
                )*
                _ => unreachable!(),
            }
        };
    }
    instances! {
        1, 1, 1, false; 1, 1, 2, false; 1, 1, 3, false; 1, 1, 4, false; 1, 1, 5, false; 1, 1, 6, false; 1, 1, 7, false;
        1, 3, 1, false; 1, 3, 1, true;
        1, 0, 1, false; 1, 0, 2, false; 1, 0, 3, false;
        2, 1, 1, false; 2, 1, 2, false; 2, 1, 3, false;
        2, 3, 1, false;
        2, 0, 1, false; 2, 0, 2, false; 2, 0, 3, false;
    }
}

/// Loads an activation.
macro_rules! load {
    ($operands:literal) => {
        concat!(".if {int16}\n", "ldrsh ", $operands, "\n", ".else\n", "ldrsb ", $operands, "\n", ".endif\n")
    };
}

/// Stores an output.
macro_rules! store {
    ($operands:literal) => {
        concat!(".if {int16}\n", "strh ", $operands, "\n", ".else\n", "strb ", $operands, "\n", ".endif\n")
    };
}

/// Copies four elements.
macro_rules! copy4 {
    () => {
        concat!(
            load!("r0, [r1]"),
            load!("r10, [r1, r5]"),
            load!("r11, [r1, r5, lsl #1]"),
            load!("r12, [r1, r9]"),
            "add r1, r1, r5, lsl #2\n",
            "pkhbt r0, r0, r10, lsl #16\n",
            "pkhbt r11, r11, r12, lsl #16\n",
            "str r0, [r2], #4\n",
            "str r11, [r2], #4\n",
        )
    };
}

/// Copies a channel into the plane. For [`channels`] only: it has arguments of its own and keeps no registers.
#[unsafe(naked)]
unsafe extern "C" fn copy<const INT16: bool>() {
    // r1 x, r2 plane, r3 length, r4 lines left, r5 step, r6 and r7 gaps, r8 elements left, r9 three steps; r0, r10–r12
    // data. Two elements make a word as soon as the plane is at an even one.
    dsp_asm!(naked_asm:
        "add r9, r5, r5, lsl #1",
        "cmp r4, #0",
        "it eq",
        "bxeq lr",
        "2:",
        "mov r8, r3",
        "tst r2, #2",
        "beq 5f",
        load!("r0, [r1]"),
        "add r1, r1, r5",
        "strh r0, [r2], #2",
        "sub r8, r8, #1",
        "5:",
        "subs r8, r8, #8",
        "blt 6f",
        "3:",
        copy4!(),
        copy4!(),
        "subs r8, r8, #8",
        "bge 3b",
        // The low bits of what is left are right, although it is negative: the next one becomes the sign.
        "6:",
        "lsls r8, r8, #29",
        "beq 9f",
        "bpl 7f",
        copy4!(),
        "7:",
        "lsls r8, r8, #1",
        "beq 9f",
        "bpl 8f",
        load!("r0, [r1]"),
        load!("r10, [r1, r5]"),
        "add r1, r1, r5, lsl #1",
        "pkhbt r0, r0, r10, lsl #16",
        "str r0, [r2], #4",
        "8:",
        "lsls r8, r8, #1",
        "beq 9f",
        load!("r0, [r1]"),
        "add r1, r1, r5",
        "strh r0, [r2], #2",
        "9:",
        "add r1, r1, r6",
        "add r2, r2, r7",
        "subs r4, r4, #1",
        "bne 2b",
        "bx lr",
        int16 = const INT16 as usize,
    )
}

/// Four neighbouring outputs and one pair of taps with stride 1, behind the first pair.
macro_rules! pair {
    ($j:literal, $x:literal, $taps:literal, $x0:literal, $x1:literal, $x2:literal) => {
        concat!(
            ".if {pairs} > ",
            $j,
            "\n",
            "ldr r4, [",
            $taps,
            " + 8 * ",
            $j,
            "]\n",
            "ldr r5, [",
            $taps,
            " + 8 * ",
            $j,
            " + 4]\n",
            "ldr ",
            $x2,
            ", [",
            $x,
            ", #4 * ",
            $j,
            "]\n",
            "smlad r0, ",
            $x0,
            ", r4, r0\n",
            "smlad r2, ",
            $x1,
            ", r4, r2\n",
            "smlad r1, ",
            $x1,
            ", r5, r1\n",
            "smlad r3, ",
            $x2,
            ", r5, r3\n",
            ".endif\n",
            // The last tap of even places.
            ".if {pairs} == ",
            $j,
            " + 1\n",
            "smlabt r0, ",
            $x1,
            ", r5, r0\n",
            "smlabt r2, ",
            $x2,
            ", r5, r2\n",
            ".endif\n",
        )
    };
}

/// Four neighbouring outputs r0 to r3 and one kernel line with stride 1: `6 + 8 · pairs` cycles. Steps `x` to the next
/// tile. The first line adds to r3, the others to each output's sum.
macro_rules! line1 {
    ($x:literal, $taps:literal, $s0:literal, $s1:literal, $s2:literal) => {
        concat!(
            "ldr r4, [",
            $taps,
            "]\n",
            "ldr r5, [",
            $taps,
            " + 4]\n",
            "ldr r6, [",
            $x,
            "], #8\n",
            "ldr r7, [",
            $x,
            ", #-4]\n",
            "ldr r8, [",
            $x,
            "]\n",
            "smlad r0, r6, r4, ",
            $s0,
            "\n",
            "smlatb r1, r6, r4, ",
            $s1,
            "\n",
            "smlad r2, r7, r4, ",
            $s2,
            "\n",
            "smlatb r3, r7, r4, r3\n",
            "smlad r1, r7, r5, r1\n",
            "smlad r3, r8, r5, r3\n",
            ".if {pairs} == 1\n",
            "smlabt r0, r7, r5, r0\n",
            "smlabt r2, r8, r5, r2\n",
            ".endif\n",
            pair!("1", $x, $taps, "r7", "r8", "r6"),
            pair!("2", $x, $taps, "r8", "r6", "r7"),
            pair!("3", $x, $taps, "r6", "r7", "r8"),
            pair!("4", $x, $taps, "r7", "r8", "r6"),
            pair!("5", $x, $taps, "r8", "r6", "r7"),
            pair!("6", $x, $taps, "r6", "r7", "r8"),
        )
    };
}

/// Six neighbouring outputs r0 to r3, r10 and r11 and one kernel line of a pair of taps with stride 1: 19 cycles.
macro_rules! line_wide {
    ($first:literal, $step:literal, $taps:literal, $s0:literal, $s1:literal, $s2:literal, $s4:literal, $s5:literal) => {
        concat!(
            "ldr r4, [",
            $taps,
            "]\n",
            "ldr r5, [",
            $taps,
            " + 4]\n",
            "ldr r6, ",
            $first,
            "\n",
            "ldr r7, [r9, #4 - ",
            $step,
            "]\n",
            "ldr r8, [r9, #8 - ",
            $step,
            "]\n",
            "ldr lr, [r9, #12 - ",
            $step,
            "]\n",
            "smlad r0, r6, r4, ",
            $s0,
            "\n",
            "smlatb r1, r6, r4, ",
            $s1,
            "\n",
            "smlad r2, r7, r4, ",
            $s2,
            "\n",
            "smlad r10, r8, r4, ",
            $s4,
            "\n",
            "smlatb r11, r8, r4, ",
            $s5,
            "\n",
            "smlatb r3, r7, r4, r3\n",
            "smlabt r0, r7, r5, r0\n",
            "smlad r1, r7, r5, r1\n",
            "smlabt r2, r8, r5, r2\n",
            "smlad r3, r8, r5, r3\n",
            "smlabt r10, lr, r5, r10\n",
            "smlad r11, lr, r5, r11\n",
        )
    };
}

/// As [`pair!`], for stride 2. The word that is new here takes the place of the one that is done with.
macro_rules! pair2 {
    ($j:literal, $x:literal, $taps:literal, $x0:literal, $x1:literal, $x2:literal, $x3:literal) => {
        concat!(
            ".if {pairs} > ",
            $j,
            "\n",
            "ldr r4, [",
            $taps,
            " + 8 * ",
            $j,
            "]\n",
            "ldr ",
            $x3,
            ", [",
            $x,
            ", #4 * ",
            $j,
            " - 4]\n",
            "smlad r0, ",
            $x0,
            ", r4, r0\n",
            "smlad r1, ",
            $x1,
            ", r4, r1\n",
            "smlad r2, ",
            $x2,
            ", r4, r2\n",
            "smlad r3, ",
            $x3,
            ", r4, r3\n",
            ".endif\n",
            // The last tap.
            ".if {pairs} == ",
            $j,
            "\n",
            "ldr r5, [",
            $taps,
            " + 8 * ",
            $j,
            " - 4]\n",
            "ldr ",
            $x3,
            ", [",
            $x,
            ", #4 * ",
            $j,
            " - 4]\n",
            "smlabt r0, ",
            $x0,
            ", r5, r0\n",
            "smlabt r1, ",
            $x1,
            ", r5, r1\n",
            "smlabt r2, ",
            $x2,
            ", r5, r2\n",
            "smlabt r3, ",
            $x3,
            ", r5, r3\n",
            ".endif\n",
        )
    };
}

/// As [`line1!`], for stride 2: `10 + 7 · pairs` cycles. Also uses lr.
macro_rules! line2 {
    ($x:literal, $taps:literal, $s0:literal, $s1:literal, $s2:literal) => {
        concat!(
            "ldr r4, [",
            $taps,
            "]\n",
            "ldr r6, [",
            $x,
            "], #16\n",
            "ldr r7, [",
            $x,
            ", #-12]\n",
            "ldr r8, [",
            $x,
            ", #-8]\n",
            "ldr lr, [",
            $x,
            ", #-4]\n",
            "smlad r0, r6, r4, ",
            $s0,
            "\n",
            "smlad r1, r7, r4, ",
            $s1,
            "\n",
            "smlad r2, r8, r4, ",
            $s2,
            "\n",
            "smlad r3, lr, r4, r3\n",
            pair2!("1", $x, $taps, "r7", "r8", "lr", "r6"),
            pair2!("2", $x, $taps, "r8", "lr", "r6", "r7"),
            pair2!("3", $x, $taps, "lr", "r6", "r7", "r8"),
        )
    };
}

/// Limits sums to the output range in r4 and r5.
macro_rules! clamp {
    ($sums:literal) => {
        concat!(
            ".irp sum, ",
            $sums,
            "\n",
            "cmp \\sum, r4\n",
            "it lt\n",
            "movlt \\sum, r4\n",
            "cmp \\sum, r5\n",
            "it gt\n",
            "movgt \\sum, r5\n",
            ".endr\n",
        )
    };
}

/// Computes the channels of an image, one after the other. STRIDE along lines is 1 or 2; TAPS, the kernel's lines, 1,
/// 3 or 0 for a loop; PAIRS of taps in each, at most 7, for stride 2 and loops 3. WIDE tiles have six outputs, not four: for 3×3
/// kernels with stride 1. INT16 is what activations are, not int8. GENERAL layers have a left shift, or an output range of
/// their own.
///
/// Cycles on Cortex-M4: 3 for each element that is copied; for each tile its kernel lines ([`line1!`], [`line2!`],
/// [`line_wide!`]) and about 6 for each output to requantize and store it; and about 20 for each line and 60 for each
/// channel.
///
/// # Safety
/// What `args` describes must be memory: `x`, the constants and the plane to be read, `y` and the plane to be written.
/// Of the plane whole tiles are read.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn channels<
    const STRIDE: usize,
    const TAPS: usize,
    const PAIRS: usize,
    const WIDE: bool,
    const INT16: bool,
    const GENERAL: bool,
>(
    args: *const Args,
    constants: *const u32,
    x: *const i8,
    y: *mut i8,
) {
    // On the stack, of the channel: 0 y of the line, 4 bias, 8 multiplier, 12 plane at the line, 16 its end, 20 lines
    // left. Args: 24 zero point, 28 min, 32 max, 36 left shift, 40 y_step, 44 y_line, 48 tap_line, 52 x_line,
    // 56 rewind, 60 taps (WIDE: y), 64 plane, 68 end, 72 lines, 76 words, 80 inside, 84 copy_length, 88 copy_lines,
    // 92 copy_step, 96 copy_gap, 100 plane_gap, 104 inputs (left), 108 multiplier. Of the image: 112 outputs left of an
    // input, 116 x, 120 constants, 124 y, 128 pairs of taps.
    dsp_asm!(naked_asm:
        "push {{r4-r11, lr}}",
        "ldr r4, [r0, #52]",
        "sub sp, sp, r4, lsl #3",
        "sub sp, sp, #128",
        "str r2, [sp, #116]",
        "str r1, [sp, #120]",
        "str r3, [sp, #124]",
        "add r5, sp, #24",
        ".rept 2",
        "ldm r0!, {{r1-r4, r6-r12}}",
        "stm r5!, {{r1-r4, r6-r12}}",
        ".endr",
        // An input channel.
        "1:",
        "ldr r1, [sp, #116]",
        "ldr r0, [sp, #108]",
        "add r2, r1, #1 << {int16}",
        "str r2, [sp, #116]",
        "str r0, [sp, #112]",
        "add r0, sp, #80",
        "ldm r0, {{r2-r7}}",
        "bl {copy}",
        // An output channel: r0–r3 sums, r4 and r5 taps, r6–r8 (stride 2: lr, too) inputs, r12 y. Unrolled: r9–r11
        // inputs of each kernel line. Loop: r9 inputs, r10 kernel lines left, r11 taps. lr with stride 1: unrolled
        // y_step, loop tap_line. WIDE: r10 and r11 sums, r6–r8 and lr inputs, r9 inputs, r12 tap_line.
        "4:",
        "ldr r1, [sp, #120]",
        "add r0, sp, #128",
        "ldm r1!, {{r3, r4}}",
        ".if {taps} > 0",
        ".rept {taps} * {pairs}",
        "ldr r5, [r1], #4",
        "sxtb16 r6, r5",
        "sxtb16 r7, r5, ror #8",
        "strd r6, r7, [r0], #8",
        ".endr",
        ".else",
        "ldr r8, [sp, #76]",
        "3:",
        "ldr r5, [r1], #4",
        "subs r8, r8, #1",
        "sxtb16 r6, r5",
        "sxtb16 r7, r5, ror #8",
        "strd r6, r7, [r0], #8",
        "bne 3b",
        ".endif",
        "str r1, [sp, #120]",
        "ldr r2, [sp, #124]",
        "ldr r5, [sp, #64]",
        "ldr r6, [sp, #68]",
        "ldr r7, [sp, #72]",
        "add r0, r2, #1 << {int16}",
        "str r0, [sp, #124]",
        "stm sp, {{r2-r7}}",
        // A line of outputs.
        "5:",
        "ldr r12, [sp]",
        "ldr r9, [sp, #12]",
        ".if {wide}",
        "str r12, [sp, #60]",
        "ldr r12, [sp, #48]",
        ".else",
        ".if {stride} == 1 && {taps} > 0",
        "ldr lr, [sp, #40]",
        ".elseif {stride} == 1",
        "ldr lr, [sp, #48]",
        ".endif",
        ".if {taps} == 3",
        "ldr r11, [sp, #48]",
        "add r10, r9, r11",
        "add r11, r10, r11",
        ".endif",
        ".endif",
        // A tile of outputs.
        "6:",
        "ldr r3, [sp, #4]",
        ".if {wide}",
        line_wide!("[r9]", "0", "sp, #128", "r3", "r3", "r3", "r3", "r3"),
        "add r9, r9, r12",
        line_wide!("[r9]", "0", "sp, #136", "r0", "r1", "r2", "r10", "r11"),
        "add r9, r9, r12",
        line_wide!("[r9], #12", "12", "sp, #144", "r0", "r1", "r2", "r10", "r11"),
        "sub r9, r9, r12, lsl #1",
        ".elseif {taps} > 0",
        ".if {stride} == 1",
        line1!("r9", "sp, #128", "r3", "r3", "r3"),
        ".if {taps} == 3",
        line1!("r10", "sp, #136", "r0", "r1", "r2"),
        line1!("r11", "sp, #144", "r0", "r1", "r2"),
        ".endif",
        ".else",
        line2!("r9", "sp, #128", "r3", "r3", "r3"),
        ".if {taps} == 3",
        line2!("r10", "sp, #136", "r0", "r1", "r2"),
        line2!("r11", "sp, #144", "r0", "r1", "r2"),
        ".endif",
        ".endif",
        ".else",
        "ldr r10, [sp, #60]",
        "mov r0, r3",
        "mov r1, r3",
        "mov r2, r3",
        "add r11, sp, #128",
        "7:",
        ".if {stride} == 1",
        line1!("r9", "r11, #0", "r0", "r1", "r2"),
        "add r9, r9, lr",
        ".else",
        line2!("r9", "r11, #0", "r0", "r1", "r2"),
        "ldr r6, [sp, #48]",
        "add r9, r9, r6",
        ".endif",
        "add r11, r11, #8 * {pairs}",
        "subs r10, r10, #1",
        "bne 7b",
        "ldr r6, [sp, #56]",
        "sub r9, r9, r6",
        ".endif",
        // Requantize them.
        ".if {general}",
        "ldr r4, [sp, #36]",
        "lsl r0, r0, r4",
        "lsl r1, r1, r4",
        "lsl r2, r2, r4",
        "lsl r3, r3, r4",
        ".if {wide}",
        "lsl r10, r10, r4",
        "lsl r11, r11, r4",
        ".endif",
        ".endif",
        "ldr r4, [sp, #8]",
        "ldr r5, [sp, #24]",
        "ldr r6, [sp, #16]",
        ".if {stride} == 2 || {taps} == 0 || {wide}",
        "ldr lr, [sp, #40]",
        ".endif",
        ".if {wide}",
        "ldr r7, [sp, #60]",
        "smmlar r10, r10, r4, r5",
        "smmlar r11, r11, r4, r5",
        ".endif",
        "smmlar r0, r0, r4, r5",
        "smmlar r1, r1, r4, r5",
        "smmlar r2, r2, r4, r5",
        "smmlar r3, r3, r4, r5",
        ".if {general}",
        "ldr r4, [sp, #28]",
        "ldr r5, [sp, #32]",
        clamp!("r0, r1, r2, r3"),
        ".if {wide}",
        clamp!("r10, r11"),
        ".endif",
        ".else",
        ".irp sum, r0, r1, r2, r3",
        "ssat \\sum, #8 << {int16}, \\sum",
        ".endr",
        ".if {wide}",
        "ssat r10, #8 << {int16}, r10",
        "ssat r11, #8 << {int16}, r11",
        ".endif",
        ".endif",
        // x is where the next tile starts: behind the end, this one is not whole.
        "cmp r9, r6",
        "bhi 8f",
        ".if {wide}",
        store!("r0, [r7]"),
        store!("r1, [r7, lr]"),
        "add r7, r7, lr, lsl #1",
        store!("r2, [r7]"),
        store!("r3, [r7, lr]"),
        "add r7, r7, lr, lsl #1",
        store!("r10, [r7]"),
        store!("r11, [r7, lr]"),
        "add r7, r7, lr, lsl #1",
        "str r7, [sp, #60]",
        "blo 6b",
        "b 9f",
        "8:",
        "sub r6, r9, r6",
        store!("r0, [r7]"),
        "cmp r6, #10",
        "beq 9f",
        store!("r1, [r7, lr]"),
        "cmp r6, #8",
        "beq 9f",
        store!("r2, [r7, lr, lsl #1]"),
        "add r7, r7, lr, lsl #1",
        "cmp r6, #6",
        "beq 9f",
        store!("r3, [r7, lr]"),
        "cmp r6, #4",
        "beq 9f",
        store!("r10, [r7, lr, lsl #1]"),
        ".else",
        store!("r0, [r12]"),
        store!("r1, [r12, lr]"),
        "add r12, r12, lr, lsl #1",
        store!("r2, [r12]"),
        store!("r3, [r12, lr]"),
        "add r12, r12, lr, lsl #1",
        ".if {stride} == 1 && {taps} == 0",
        "ldr lr, [sp, #48]",
        ".endif",
        "blo 6b",
        "b 9f",
        "8:",
        "sub r6, r9, r6",
        store!("r0, [r12]"),
        "cmp r6, #6 * {stride}",
        "beq 9f",
        store!("r1, [r12, lr]"),
        "cmp r6, #4 * {stride}",
        "beq 9f",
        store!("r2, [r12, lr, lsl #1]"),
        ".endif",
        "9:",
        "ldr r8, [sp, #20]",
        "ldr r3, [sp, #52]",
        "ldr r4, [sp, #44]",
        "ldr r5, [sp]",
        "ldr r6, [sp, #12]",
        "ldr r7, [sp, #16]",
        "subs r8, r8, #1",
        "add r5, r5, r4",
        "add r6, r6, r3",
        "add r7, r7, r3",
        "str r8, [sp, #20]",
        "str r5, [sp]",
        "str r6, [sp, #12]",
        "str r7, [sp, #16]",
        "bne 5b",
        "ldr r3, [sp, #112]",
        "ldr r4, [sp, #104]",
        "subs r3, r3, #1",
        "str r3, [sp, #112]",
        "bne 4b",
        "subs r4, r4, #1",
        "str r4, [sp, #104]",
        "bne 1b",
        "ldr r3, [sp, #76]",
        "add sp, sp, #128",
        "add sp, sp, r3, lsl #3",
        "pop {{r4-r11, pc}}",
        copy = sym copy::<INT16>,
        stride = const STRIDE,
        taps = const TAPS,
        pairs = const PAIRS,
        wide = const WIDE as usize,
        int16 = const INT16 as usize,
        general = const GENERAL as usize,
    )
}
