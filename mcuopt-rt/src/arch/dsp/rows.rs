//! Dot products of int8 or int16 with four rows of int8 weights that lie as they are: for operands that cannot be arranged beforehand,
//! and for kernels that need the sums themselves.

/// Adds `Σ x[i] · weights[j][i]` to `sums[j]`: 32 cycles for 16 products.
///
/// # Panics
/// If a row of weights is shorter than `x`.
#[inline(always)]
pub(crate) fn dot4(sums: [i32; 4], x: &[i8], weights: [&[i8]; 4]) -> [i32; 4] {
    assert!(weights.iter().all(|row| row.len() >= x.len()), "weights");
    let mut sums = sums;
    if !x.is_empty() {
        // SAFETY: all rows have at least as many elements as `x`.
        unsafe { dot4_at(&mut sums, x.as_ptr(), x.len(), &weights.map(<[i8]>::as_ptr)) };
    }
    sums
}

/// # Safety
/// `x` and all of `weights` must be valid for reads of `len` elements, more than 0.
#[unsafe(naked)]
unsafe extern "C" fn dot4_at(sums: &mut [i32; 4], x: *const i8, len: usize, weights: &[*const i8; 4]) {
    // r1 x, r2 elements left, r3–r6 weights, r8–r11 sums; r12 and r0 pairs of x, lr and r7 pairs of weights.
    dsp_asm!(naked_asm:
        "push {{r0, r4-r11, lr}}",
        "ldm r3, {{r3-r6}}",
        "ldm r0, {{r8-r11}}",
        "subs r2, #4",
        "blo 2f",
        "1:",
        "ldr r0, [r1], #4",
        "ldr r7, [r3], #4",
        "sxtb16 r12, r0",
        "sxtb16 r0, r0, ror #8",
        "sxtb16 lr, r7",
        "sxtb16 r7, r7, ror #8",
        "smlad r8, r12, lr, r8",
        "smlad r8, r0, r7, r8",
        "ldr r7, [r4], #4",
        "sxtb16 lr, r7",
        "sxtb16 r7, r7, ror #8",
        "smlad r9, r12, lr, r9",
        "smlad r9, r0, r7, r9",
        "ldr r7, [r5], #4",
        "sxtb16 lr, r7",
        "sxtb16 r7, r7, ror #8",
        "smlad r10, r12, lr, r10",
        "smlad r10, r0, r7, r10",
        "ldr r7, [r6], #4",
        "sxtb16 lr, r7",
        "sxtb16 r7, r7, ror #8",
        "smlad r11, r12, lr, r11",
        "smlad r11, r0, r7, r11",
        "subs r2, #4",
        "bhs 1b",
        "2:",
        "adds r2, #4",
        "beq 4f",
        "3:",
        "ldrsb r0, [r1], #1",
        "ldrsb r12, [r3], #1",
        "mla r8, r0, r12, r8",
        "ldrsb r12, [r4], #1",
        "mla r9, r0, r12, r9",
        "ldrsb r12, [r5], #1",
        "mla r10, r0, r12, r10",
        "ldrsb r12, [r6], #1",
        "mla r11, r0, r12, r11",
        "subs r2, #1",
        "bne 3b",
        "4:",
        "pop {{r0}}",
        "stm r0, {{r8-r11}}",
        "pop {{r4-r11, pc}}",
    )
}

/// [`dot4`] for int16 activations: 34 cycles for 16 products.
///
/// # Panics
/// If a row of weights is shorter than `x`.
#[inline(always)]
pub(crate) fn dot4_s16(sums: [i32; 4], x: &[i16], weights: [&[i8]; 4]) -> [i32; 4] {
    assert!(weights.iter().all(|row| row.len() >= x.len()), "weights");
    let mut sums = sums;
    if !x.is_empty() {
        // SAFETY: all rows have at least as many elements as `x`.
        unsafe { dot4_s16_at(&mut sums, x.as_ptr(), x.len(), &weights.map(<[i8]>::as_ptr)) };
    }
    sums
}

/// # Safety
/// `x` and all of `weights` must be valid for reads of `len` elements, more than 0.
#[unsafe(naked)]
unsafe extern "C" fn dot4_s16_at(sums: &mut [i32; 4], x: *const i16, len: usize, weights: &[*const i8; 4]) {
    // As in `dot4_at`; int16 come in pairs of neighbours and are paired anew as SXTB16 pairs the weights: (0, 2), (1, 3).
    dsp_asm!(naked_asm:
        "push {{r0, r4-r11, lr}}",
        "ldm r3, {{r3-r6}}",
        "ldm r0, {{r8-r11}}",
        "subs r2, #4",
        "blo 2f",
        "1:",
        "ldr r0, [r1], #4",
        "ldr lr, [r1], #4",
        "ldr r7, [r3], #4",
        "pkhbt r12, r0, lr, lsl #16",
        "pkhtb r0, lr, r0, asr #16",
        "sxtb16 lr, r7",
        "sxtb16 r7, r7, ror #8",
        "smlad r8, r12, lr, r8",
        "smlad r8, r0, r7, r8",
        "ldr r7, [r4], #4",
        "sxtb16 lr, r7",
        "sxtb16 r7, r7, ror #8",
        "smlad r9, r12, lr, r9",
        "smlad r9, r0, r7, r9",
        "ldr r7, [r5], #4",
        "sxtb16 lr, r7",
        "sxtb16 r7, r7, ror #8",
        "smlad r10, r12, lr, r10",
        "smlad r10, r0, r7, r10",
        "ldr r7, [r6], #4",
        "sxtb16 lr, r7",
        "sxtb16 r7, r7, ror #8",
        "smlad r11, r12, lr, r11",
        "smlad r11, r0, r7, r11",
        "subs r2, #4",
        "bhs 1b",
        "2:",
        "adds r2, #4",
        "beq 4f",
        "3:",
        "ldrsh r0, [r1], #2",
        "ldrsb r12, [r3], #1",
        "mla r8, r0, r12, r8",
        "ldrsb r12, [r4], #1",
        "mla r9, r0, r12, r9",
        "ldrsb r12, [r5], #1",
        "mla r10, r0, r12, r10",
        "ldrsb r12, [r6], #1",
        "mla r11, r0, r12, r11",
        "subs r2, #1",
        "bne 3b",
        "4:",
        "pop {{r0}}",
        "stm r0, {{r8-r11}}",
        "pop {{r4-r11, pc}}",
    )
}
