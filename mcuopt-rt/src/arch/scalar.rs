//! The inner loop of int8 kernels for cores without SIMD, one copy for all layers: what the compiler makes of it does not
//! depend on what surrounds it, where inlined loops run out of registers in one layer and not in the next.

/// Adds `Σ x[i] · weights[j][i]` to `sums[j]`.
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
#[cfg(not(mcuopt_thumb2))]
#[inline(never)]
unsafe fn dot4_at(sums: &mut [i32; 4], x: *const i8, len: usize, weights: &[*const i8; 4]) {
    let ([mut s0, mut s1, mut s2, mut s3], [w0, w1, w2, w3]) = (*sums, *weights);
    for i in 0..len {
        // SAFETY: the caller's.
        unsafe {
            let value = i32::from(*x.add(i));
            s0 += value * i32::from(*w0.add(i));
            s1 += value * i32::from(*w1.add(i));
            s2 += value * i32::from(*w2.add(i));
            s3 += value * i32::from(*w3.add(i));
        }
    }
    *sums = [s0, s1, s2, s3];
}

/// As the other one. With twelve registers in use there is one order of instructions that needs no stack, and rustc does
/// not find it.
///
/// # Safety
/// As the other one.
#[cfg(mcuopt_thumb2)]
#[unsafe(naked)]
unsafe extern "C" fn dot4_at(sums: &mut [i32; 4], x: *const i8, len: usize, weights: &[*const i8; 4]) {
    // r1 x, r2 elements left, r3–r6 weights, r8–r11 sums, r0 and r12 an element of each.
    core::arch::naked_asm!(
        "push {{r0, r4-r11, lr}}",
        "ldm r3, {{r3-r6}}",
        "ldm r0, {{r8-r11}}",
        "subs r2, #4",
        "blo 2f",
        "1:",
        ".rept 4",
        "ldrsb r0, [r1], #1",
        "ldrsb r12, [r3], #1",
        "mla r8, r0, r12, r8",
        "ldrsb r12, [r4], #1",
        "mla r9, r0, r12, r9",
        "ldrsb r12, [r5], #1",
        "mla r10, r0, r12, r10",
        "ldrsb r12, [r6], #1",
        "mla r11, r0, r12, r11",
        ".endr",
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
