//! The only rounding, saturation and requantization code.
//!
//! Integers have one rounding rule: round half up, `floor(x + 1/2)`, ties towards +∞. It is what ARM's SMMULR
//! computes and what an added half followed by an arithmetic shift computes, so no target needs a fix-up step.
//! Floats become integers by round half to even, as ONNX QuantizeLinear demands.

/// `round(a · multiplier / 2^32)`, ties towards +∞: exactly ARM's SMMULR, one cycle on Cortex-M4.
///
/// Cannot overflow: the result lies in `-2^30 ..= 2^30`.
#[inline(always)]
pub const fn multiply_high(a: i32, multiplier: i32) -> i32 {
    ((a as i64 * multiplier as i64 + (1 << 31)) >> 32) as i32
}

/// `x · 2^shift`, for shift in `0..=31`. What would overflow stops at the largest or smallest multiple of
/// `2^shift` that fits.
#[inline(always)]
pub const fn saturating_shift_left(x: i32, shift: u32) -> i32 {
    let (min, max) = (i32::MIN >> shift, i32::MAX >> shift);
    let clamped = if x < min {
        min
    } else if x > max {
        max
    } else {
        x
    };
    clamped << shift
}

/// `floor(x / 2^shift + 1/2)`, for shift in `0..=31`.
#[inline(always)]
pub const fn rounding_shift_right(x: i32, shift: u32) -> i32 {
    // The bit below the cut decides; adding a half before the shift could overflow.
    if shift == 0 { x } else { (x >> shift) + ((x >> (shift - 1)) & 1) }
}

/// `x` limited to `min ..= max`.
#[inline(always)]
pub const fn clamp_i8(x: i32, min: i8, max: i8) -> i8 {
    if x < min as i32 {
        min
    } else if x > max as i32 {
        max
    } else {
        x as i8
    }
}

/// `x` limited to `min ..= max`.
#[inline(always)]
pub const fn clamp_i16(x: i32, min: i16, max: i16) -> i16 {
    if x < min as i32 {
        min
    } else if x > max as i32 {
        max
    } else {
        x as i16
    }
}

/// `round(a · multiplier / 2^32)`, ties towards +∞: [`multiply_high`] for accumulators of 64 bits, exact for all of them.
#[inline(always)]
pub const fn multiply_high_wide(a: i64, multiplier: i32) -> i64 {
    // a = high · 2^32 + low: the first product is a whole number of units already.
    let (high, low) = (a >> 32, a & 0xffff_ffff);
    high * multiplier as i64 + ((low * multiplier as i64 + (1 << 31)) >> 32)
}

/// `1/√x` as `(m, shift)`: `m · 2^−shift`, `m` in `2^30 ..= 2^31`, `shift` in `31 ..= 62`; relative error below 2⁻²⁸.
///
/// With `x = a · 4^k`, `a` in `1/4 .. 1`, Newton's steps `y ← y (3 − a y²) / 2` from a straight line, which is wrong by
/// less than 9.4 %; each step squares the relative error and multiplies it by 1.6 at most. 0 counts as 1.
pub const fn reciprocal_sqrt(x: u64) -> (u32, u32) {
    let x = if x == 0 { 1 } else { x };
    // An even shift brings the leading bit to one of the two highest places.
    let shift = x.leading_zeros() & !1;
    let a = (x << shift) >> 32;
    // 2.12 − 1.16 a, in units of 2^-30.
    let mut y = 2_276_332_666 - ((a * 1_245_540_516) >> 32);
    let mut step = 0;
    while step < 4 {
        let square = (y * y) >> 30;
        y = (y * ((3 << 30) - ((a * square) >> 32))) >> 31;
        step += 1;
    }
    (y as u32, 62 - shift / 2)
}

/// From a 32-bit accumulator to an int8 activation; what a whole layer has in common.
///
/// The real factor, (scale of the accumulator) / (scale of the output), is `multiplier · 2^(left_shift − 32)`.
/// The multiplier is passed separately because convolutions have one for each output channel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Requantize {
    /// From [`left_shift_for`] the layer's largest factor: 0 for nearly every layer (factor < 1/2), at most 31.
    pub left_shift: u32,
    /// Zero point of the output, −128 to 127.
    pub zero_point: i32,
    /// Lower end of the output: −128, or the quantized lower end of a fused activation.
    pub min: i8,
    /// Upper end of the output.
    pub max: i8,
}

impl Requantize {
    /// `clamp(round(sum · 2^left_shift · multiplier / 2^32) + zero_point, min, max)`.
    ///
    /// A sum whose magnitude exceeds `2^(31 − left_shift)` saturates there first. The compiler proves that
    /// accumulators stay below, except where saturation of the output follows anyway.
    #[inline(always)]
    pub const fn apply(&self, sum: i32, multiplier: i32) -> i8 {
        let shifted = saturating_shift_left(sum, self.left_shift);
        clamp_i8(multiply_high(shifted, multiplier) + self.zero_point, self.min, self.max)
    }
}

/// From an accumulator to an int16 activation; what a whole layer has in common. As [`Requantize`] otherwise.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RequantizeS16 {
    /// From [`left_shift_for`] the layer's largest factor.
    pub left_shift: u32,
    /// Zero point of the output; 0 in quantizations of the compiler's choice.
    pub zero_point: i32,
    /// Lower end of the output: −32768, or the quantized lower end of a fused activation.
    pub min: i16,
    /// Upper end of the output.
    pub max: i16,
}

impl RequantizeS16 {
    /// `clamp(round(sum · 2^left_shift · multiplier / 2^32) + zero_point, min, max)`; saturates as [`Requantize::apply`].
    #[inline(always)]
    pub const fn apply(&self, sum: i32, multiplier: i32) -> i16 {
        let shifted = saturating_shift_left(sum, self.left_shift);
        clamp_i16(multiply_high(shifted, multiplier) + self.zero_point, self.min, self.max)
    }

    /// [`apply`](Self::apply) for a sum of 64 bits, below 2^62 in magnitude when it is shifted.
    #[inline(always)]
    pub const fn apply_wide(&self, sum: i64, multiplier: i32) -> i16 {
        let value = multiply_high_wide(sum << self.left_shift, multiplier) + self.zero_point as i64;
        if value < self.min as i64 {
            self.min
        } else if value > self.max as i64 {
            self.max
        } else {
            value as i16
        }
    }
}

/// The smallest left shift, at most 31, with which `max_factor` still has a [`multiplier`] in `i32`.
///
/// `max_factor` is the largest magnitude of a layer's factors, in `0 .. 2^30`.
pub const fn left_shift_for(max_factor: f64) -> u32 {
    let mut shift = 0;
    while shift < 31 && scaled(max_factor, 32 - shift) + 0.5 >= (1u64 << 31) as f64 {
        shift += 1;
    }
    shift
}

/// `round(factor · 2^(32 − left_shift))`, ties away from zero, saturated to `i32`. Negative factors are fine.
///
/// The relative error of the factor is at most `2^-(33 − left_shift) / factor`: 2⁻¹⁷ for a factor of 2⁻¹⁶.
pub const fn multiplier(factor: f64, left_shift: u32) -> i32 {
    let scaled = scaled(factor, 32 - left_shift);
    // The cast truncates towards zero and saturates.
    (if scaled < 0.0 { scaled - 0.5 } else { scaled + 0.5 }) as i32
}

const fn scaled(factor: f64, bits: u32) -> f64 {
    factor * (1u64 << bits) as f64
}

/// `x` rounded to an integer, ties to even: exact for all finite `x`; infinities and NaN come back as they are.
#[inline(always)]
pub const fn round_ties_even_f32(x: f32) -> f32 {
    // Floats from 2^23 on are integers; below, adding 2^23 leaves no bits for a fraction, and the addition
    // itself rounds to even.
    const INTEGERS: f32 = (1 << 23) as f32;
    if x.abs() < INTEGERS { ((x.abs() + INTEGERS) - INTEGERS).copysign(x) } else { x }
}

/// ONNX QuantizeLinear to int8: `saturate(round_ties_even(x / scale) + zero_point)`. NaN becomes the zero point.
#[inline(always)]
pub const fn quantize_f32(x: f32, scale: f32, zero_point: i32) -> i8 {
    // The cast saturates and sends NaN to 0.
    let steps = round_ties_even_f32(x / scale) as i32;
    clamp_i8(steps.saturating_add(zero_point), i8::MIN, i8::MAX)
}

/// ONNX DequantizeLinear from int8: `(q − zero_point) · scale`.
#[inline(always)]
pub const fn dequantize(q: i8, scale: f32, zero_point: i32) -> f32 {
    (q as i32 - zero_point) as f32 * scale
}

/// [`quantize_f32`] to int16.
#[inline(always)]
pub const fn quantize_f32_i16(x: f32, scale: f32, zero_point: i32) -> i16 {
    let steps = round_ties_even_f32(x / scale) as i32;
    clamp_i16(steps.saturating_add(zero_point), i16::MIN, i16::MAX)
}

/// [`dequantize`] from int16.
#[inline(always)]
pub const fn dequantize_i16(q: i16, scale: f32, zero_point: i32) -> f32 {
    (q as i32 - zero_point) as f32 * scale
}

/// How a tensor of int8 or int16 stands for real numbers: `real = (q − zero_point) · scale`.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Quantization {
    /// The step between neighbouring values; positive.
    pub scale: f32,
    /// The value that stands for 0: −128 to 127, or −32768 to 32767.
    pub zero_point: i32,
}

impl Quantization {
    /// See [`quantize_f32`].
    #[inline(always)]
    pub const fn quantize(&self, x: f32) -> i8 {
        quantize_f32(x, self.scale, self.zero_point)
    }

    /// See [`dequantize`].
    #[inline(always)]
    pub const fn dequantize(&self, q: i8) -> f32 {
        dequantize(q, self.scale, self.zero_point)
    }
}
