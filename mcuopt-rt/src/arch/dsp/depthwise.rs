//! Depthwise convolution channel by channel, see [`crate::depthwise::planar`].
//!
//! About 17 cycles for an output of a 3×3 kernel on Cortex-M4, and 3 for each input to copy it. Working channel by
//! channel in a small plane, so that the layer can be in place, is an idea of TinyEngine (MIT HAN Lab); so is the plane
//! with its padding. Here its lines are words for SMLAD, taps come in two alignments, and four outputs share each load.

use crate::conv::Operands;
use crate::depthwise::planar::Planar;
use crate::fixed::Requantize;
use crate::geometry::Conv2d;

/// What [`channel`] needs beside the constants of a channel: the same for all of a layer but for `x`.
#[repr(C)]
pub(crate) struct ChannelArgs {
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
    x: *const u32,
    end: *const u32,
    /// Lines of outputs.
    lines: usize,
    /// Words of taps.
    words: usize,
}

/// `constants` are those of one output channel, `y` its first output.
pub(crate) type Channel = unsafe extern "C" fn(args: *const ChannelArgs, constants: *const u32, y: *mut i8);

/// What [`copy`] copies.
#[repr(C)]
struct CopyArgs {
    /// Elements of a line, at least 1.
    length: usize,
    /// Lines, at least 1.
    lines: usize,
    /// Bytes from an element to the next, and from the end of a line to the next line.
    x_step: usize,
    x_gap: usize,
    /// Bytes from the end of a line in the plane to the next.
    plane_gap: usize,
}

/// Computes a layer.
///
/// # Panics
/// If a slice is shorter than its shape.
#[inline(never)]
#[allow(clippy::too_many_arguments)]
pub(crate) fn convolve(
    p: &Conv2d,
    q: &Requantize,
    pad_value: i8,
    planar: &Planar,
    channel: Channel,
    constants: &[u32],
    operands: Operands<'_>,
    scratch: &mut [u32],
) {
    let ([in_h, in_w, in_c], [out_h, out_w, out_c]) = (p.input, p.output);
    let (image_len, output_len) = (in_h * in_w * in_c, out_h * out_w * out_c);
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
    let channel_words = planar.channel_words();
    assert!(constants.len() == out_c * channel_words, "constants");
    let plane = &mut scratch[..planar.plane_words];
    let pad = u32::from(pad_value as i16 as u16);
    plane.fill(pad << 16 | pad);
    let plane = plane.as_mut_ptr();

    let (along, across) = (planar.along, 1 - planar.along);
    // Bytes from a pixel to the next along either axis.
    let (x_steps, y_steps) = ([in_w * in_c, in_c], [out_w * out_c, out_c]);
    let [length, lines] = planar.inside;
    let copy_args = CopyArgs {
        length,
        lines,
        x_step: x_steps[along],
        x_gap: x_steps[across].wrapping_sub(length * x_steps[along]),
        plane_gap: 2 * (planar.line - length),
    };
    let (line, tile) = (2 * planar.line, 8 * planar.stride);
    let tap_line = p.dilation[across] * line;
    let args = ChannelArgs {
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
        x: plane,
        // Not read: only compared.
        end: plane.wrapping_byte_add(2 * planar.stride * p.output[along]),
        lines: p.output[across],
        words: planar.taps * planar.pairs,
    };
    let first = p.pad[across] * planar.line + p.pad[along];
    for image in 0..p.batch {
        let mut o = 0;
        for input in 0..in_c {
            if length > 0 && lines > 0 {
                // SAFETY: `inside` counts cells of the image, x holds `batch` of them; behind the padding so many
                // elements and lines fit the plane. The copy of an image's channel comes before its outputs, and no
                // earlier output lies there: those of other channels are elsewhere, those of earlier images end
                // before this image, as outputs are no larger than inputs where both share memory.
                unsafe {
                    copy(&copy_args, x.add(image * image_len + input), plane.cast::<i16>().add(first));
                }
            }
            for _ in 0..out_c / in_c {
                // SAFETY: the plane has all lines and tiles that the outputs of this geometry read, the constants have
                // `channel_words` for each of `out_c` channels, and y has `batch · output_len` elements.
                unsafe {
                    channel(&args, constants.as_ptr().add(o * channel_words), y.add(image * output_len + o));
                }
                o += 1;
            }
        }
    }
}

/// Copies one channel of an image into a plane, widened to 16 bits: 3 cycles an element.
///
/// # Safety
/// What `args` describes must be memory to be read at `x` and written at `plane`.
#[unsafe(naked)]
unsafe extern "C" fn copy(args: *const CopyArgs, x: *const i8, plane: *mut i16) {
    // r1 x, r2 plane, r3 length, r4 lines, r5 step, r6 and r7 gaps, r8 elements left, r9 three steps; others: data.
    // Two elements make a word as soon as the plane is at an even one.
    dsp_asm!(naked_asm:
        "push {{r4-r11, lr}}",
        "ldm r0, {{r3-r7}}",
        "add r9, r5, r5, lsl #1",
        "1:",
        "mov r8, r3",
        "tst r2, #2",
        "beq 2f",
        "ldrsb r0, [r1]",
        "add r1, r1, r5",
        "strh r0, [r2], #2",
        "sub r8, r8, #1",
        "2:",
        "subs r8, r8, #8",
        "blt 4f",
        "3:",
        ".rept 2",
        "ldrsb r0, [r1]",
        "ldrsb r10, [r1, r5]",
        "ldrsb r11, [r1, r5, lsl #1]",
        "ldrsb r12, [r1, r9]",
        "add r1, r1, r5, lsl #2",
        "pkhbt r0, r0, r10, lsl #16",
        "pkhbt r11, r11, r12, lsl #16",
        "str r0, [r2], #4",
        "str r11, [r2], #4",
        ".endr",
        "subs r8, r8, #8",
        "bge 3b",
        // The low bits of what is left are right, although it is negative.
        "4:",
        "tst r8, #4",
        "beq 5f",
        "ldrsb r0, [r1]",
        "ldrsb r10, [r1, r5]",
        "ldrsb r11, [r1, r5, lsl #1]",
        "ldrsb r12, [r1, r9]",
        "add r1, r1, r5, lsl #2",
        "pkhbt r0, r0, r10, lsl #16",
        "pkhbt r11, r11, r12, lsl #16",
        "str r0, [r2], #4",
        "str r11, [r2], #4",
        "5:",
        "tst r8, #2",
        "beq 6f",
        "ldrsb r0, [r1]",
        "ldrsb r10, [r1, r5]",
        "add r1, r1, r5, lsl #1",
        "pkhbt r0, r0, r10, lsl #16",
        "str r0, [r2], #4",
        "6:",
        "tst r8, #1",
        "beq 7f",
        "ldrsb r0, [r1]",
        "add r1, r1, r5",
        "strh r0, [r2], #2",
        "7:",
        "add r1, r1, r6",
        "add r2, r2, r7",
        "subs r4, r4, #1",
        "bne 1b",
        "pop {{r4-r11, pc}}",
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

/// Convolves the plane of one channel. STRIDE along lines is 1 or 2; TAPS, the kernel's lines, 1, 3 or 0 for a loop;
/// PAIRS of taps in each, at most 7, for stride 2 and loops 3. GENERAL layers have a left shift, or an output range of
/// their own.
///
/// # Safety
/// What `args` and `constants` describe must be memory to be read, the outputs to be written; whole tiles are read.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn channel<
    const STRIDE: usize,
    const TAPS: usize,
    const PAIRS: usize,
    const GENERAL: bool,
>(
    args: *const ChannelArgs,
    constants: *const u32,
    y: *mut i8,
) {
    // r0–r3 sums, r4 and r5 taps, r6–r8 (stride 2: lr, too) inputs, r12 y.
    // Unrolled: r9–r11 inputs of each kernel line. Loop: r9 inputs, r10 kernel lines left, r11 taps.
    // lr with stride 1: unrolled y_step, loop tap_line.
    // On the stack: 0 y of the line, 4 bias, 8 multiplier, 12 zero point, 16 min, 20 max, 24 left shift, 28 y_step,
    // 32 y_line, 36 tap_line, 40 x_line, 44 rewind, 48 taps, 52 x of the line, 56 its end, 60 lines left, 64 words,
    // 68 pairs of taps.
    dsp_asm!(naked_asm:
        "push {{r4-r11, lr}}",
        "ldr r3, [r0, #52]",
        "sub sp, sp, r3, lsl #3",
        "mov r12, sp",
        "add r4, r1, #8",
        "1:",
        "ldr r5, [r4], #4",
        "sxtb16 r6, r5",
        "sxtb16 r7, r5, ror #8",
        "strd r6, r7, [r12], #8",
        "subs r3, r3, #1",
        "bne 1b",
        "add r0, r0, #56",
        "ldmdb r0!, {{r3-r9}}",
        "push {{r3-r9}}",
        "ldmdb r0!, {{r3-r9}}",
        "push {{r3-r9}}",
        "ldm r1, {{r3, r4}}",
        "push {{r2-r4}}",
        // A line of outputs.
        "2:",
        "ldr r12, [sp]",
        "ldr r9, [sp, #52]",
        ".if {stride} == 1 && {taps} > 0",
        "ldr lr, [sp, #28]",
        ".elseif {stride} == 1",
        "ldr lr, [sp, #36]",
        ".endif",
        ".if {taps} == 3",
        "ldr r11, [sp, #36]",
        "add r10, r9, r11",
        "add r11, r10, r11",
        ".endif",
        // Four outputs.
        "3:",
        "ldr r3, [sp, #4]",
        ".if {taps} > 0",
        ".if {stride} == 1",
        line1!("r9", "sp, #68", "r3", "r3", "r3"),
        ".if {taps} == 3",
        line1!("r10", "sp, #76", "r0", "r1", "r2"),
        line1!("r11", "sp, #84", "r0", "r1", "r2"),
        ".endif",
        ".else",
        line2!("r9", "sp, #68", "r3", "r3", "r3"),
        ".if {taps} == 3",
        line2!("r10", "sp, #76", "r0", "r1", "r2"),
        line2!("r11", "sp, #84", "r0", "r1", "r2"),
        ".endif",
        ".endif",
        ".else",
        "ldr r10, [sp, #48]",
        "mov r0, r3",
        "mov r1, r3",
        "mov r2, r3",
        "add r11, sp, #68",
        "4:",
        ".if {stride} == 1",
        line1!("r9", "r11, #0", "r0", "r1", "r2"),
        "add r9, r9, lr",
        ".else",
        line2!("r9", "r11, #0", "r0", "r1", "r2"),
        "ldr r6, [sp, #36]",
        "add r9, r9, r6",
        ".endif",
        "add r11, r11, #8 * {pairs}",
        "subs r10, r10, #1",
        "bne 4b",
        "ldr r6, [sp, #44]",
        "sub r9, r9, r6",
        ".endif",
        // Requantize them.
        ".if {general}",
        "ldr r4, [sp, #24]",
        "lsl r0, r0, r4",
        "lsl r1, r1, r4",
        "lsl r2, r2, r4",
        "lsl r3, r3, r4",
        ".endif",
        "ldr r4, [sp, #8]",
        "ldr r5, [sp, #12]",
        "ldr r6, [sp, #56]",
        ".if {stride} == 2 || {taps} == 0",
        "ldr lr, [sp, #28]",
        ".endif",
        "smmlar r0, r0, r4, r5",
        "smmlar r1, r1, r4, r5",
        "smmlar r2, r2, r4, r5",
        "smmlar r3, r3, r4, r5",
        ".if {general}",
        "ldr r4, [sp, #16]",
        "ldr r5, [sp, #20]",
        ".irp sum, r0, r1, r2, r3",
        "cmp \\sum, r4",
        "it lt",
        "movlt \\sum, r4",
        "cmp \\sum, r5",
        "it gt",
        "movgt \\sum, r5",
        ".endr",
        ".else",
        "ssat r0, #8, r0",
        "ssat r1, #8, r1",
        "ssat r2, #8, r2",
        "ssat r3, #8, r3",
        ".endif",
        // x is where the next tile starts: behind the end, this one is not whole.
        "cmp r9, r6",
        "bhi 5f",
        "strb r0, [r12]",
        "strb r1, [r12, lr]",
        "add r12, r12, lr, lsl #1",
        "strb r2, [r12]",
        "strb r3, [r12, lr]",
        "add r12, r12, lr, lsl #1",
        ".if {stride} == 1 && {taps} == 0",
        "ldr lr, [sp, #36]",
        ".endif",
        "blo 3b",
        "b 6f",
        "5:",
        "sub r6, r9, r6",
        "strb r0, [r12]",
        "cmp r6, #6 * {stride}",
        "beq 6f",
        "strb r1, [r12, lr]",
        "cmp r6, #4 * {stride}",
        "beq 6f",
        "strb r2, [r12, lr, lsl #1]",
        "6:",
        "ldr r3, [sp, #40]",
        "ldr r4, [sp, #32]",
        "ldr r5, [sp]",
        "ldr r6, [sp, #52]",
        "ldr r7, [sp, #56]",
        "ldr r8, [sp, #60]",
        "add r5, r5, r4",
        "add r6, r6, r3",
        "add r7, r7, r3",
        "subs r8, r8, #1",
        "str r5, [sp]",
        "str r6, [sp, #52]",
        "str r7, [sp, #56]",
        "str r8, [sp, #60]",
        "bne 2b",
        "ldr r3, [sp, #64]",
        "add sp, sp, #68",
        "add sp, sp, r3, lsl #3",
        "pop {{r4-r11, pc}}",
        stride = const STRIDE,
        taps = const TAPS,
        pairs = const PAIRS,
        general = const GENERAL as usize,
    )
}
