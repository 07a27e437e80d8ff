//! Sums of two int8 tensors, four elements at a time.

/// What the loop computes with. The order of the fields is known to the assembly.
#[repr(C)]
pub(crate) struct AddArgs {
    /// `a_multiplier` in the lower half, `b_multiplier` in the upper one.
    pub(crate) multipliers: u32,
    pub(crate) bias: i32,
    pub(crate) shift: u32,
    /// Lower and upper end of the output, in all four bytes.
    pub(crate) min: u32,
    pub(crate) max: u32,
}

/// Adds the first `len` elements, a multiple of 4; the caller adds the rest. `ay` is the first operand where `a` is
/// `None`.
///
/// # Panics
/// If a slice is shorter.
#[inline(never)]
pub(crate) fn add(args: &AddArgs, len: usize, a: Option<&[i8]>, b: &[i8], ay: &mut [i8]) {
    assert!(b.len() >= len && ay.len() >= len && a.is_none_or(|a| a.len() >= len), "a, b, y");
    let y = ay.as_mut_ptr();
    if len >= 4 {
        // SAFETY: the slices are long enough. Where `a` and `y` are the same, elements are read before they are written.
        unsafe { add_words(a.map_or(y.cast_const(), <[i8]>::as_ptr), b.as_ptr(), y, len / 4, args) };
    }
}

/// 33 cycles for four elements, 4 more with an output range of its own.
///
/// # Safety
/// All pointers must be valid for `words` words, above 0; no alignment is asked of them.
#[unsafe(naked)]
unsafe extern "C" fn add_words(a: *const i8, b: *const i8, y: *mut i8, words: usize, args: *const AddArgs) {
    // r0 a, r1 b, r2 y, r3 words left, r4 multipliers, r5 bias, r6 shift; r7–r12 elements; on the stack: min, max.
    dsp_asm!(naked_asm:
        "push {{r4-r11, lr}}",
        "ldr lr, [sp, #36]",
        "ldm lr, {{r4-r8}}",
        "push {{r7, r8}}",
        "1:",
        "ldr r7, [r0], #4",
        "ldr r8, [r1], #4",
        "sxtb16 r9, r7",
        "sxtb16 r7, r7, ror #8",
        "sxtb16 r10, r8",
        "sxtb16 r8, r8, ror #8",
        // Each element beside its partner.
        "pkhbt r11, r9, r10, lsl #16",
        "pkhtb r9, r10, r9, asr #16",
        "pkhbt r12, r7, r8, lsl #16",
        "pkhtb r7, r8, r7, asr #16",
        "smlad r11, r11, r4, r5",
        "smlad r9, r9, r4, r5",
        "smlad r12, r12, r4, r5",
        "smlad r7, r7, r4, r5",
        "asr r11, r11, r6",
        "asr r9, r9, r6",
        "asr r12, r12, r6",
        "asr r7, r7, r6",
        "ssat r11, #8, r11",
        "ssat r9, #8, r9",
        "ssat r12, #8, r12",
        "ssat r7, #8, r7",
        "pkhbt r11, r11, r9, lsl #16",
        "pkhbt r12, r12, r7, lsl #16",
        "uxtb16 r11, r11",
        "uxtb16 r12, r12",
        "orr r11, r11, r12, lsl #8",
        "ldrd r7, r8, [sp]",
        "ssub8 r9, r11, r7",
        "sel r11, r11, r7",
        "ssub8 r9, r8, r11",
        "sel r11, r11, r8",
        "str r11, [r2], #4",
        "subs r3, #1",
        "bne 1b",
        "add sp, #8",
        "pop {{r4-r11, pc}}",
    )
}
