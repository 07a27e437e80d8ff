//! Floats of 8 and 16 bits, widened exactly.

/// How a format uses its extreme bit patterns.
#[derive(Clone, Copy)]
enum Special {
    /// The highest exponent means infinity (mantissa 0) or NaN.
    Ieee,
    /// NaN is all ones below the sign; no infinity.
    Finite,
    /// NaN is the pattern of negative zero; neither infinity nor negative zero.
    FiniteUnsignedZero,
}

/// Widens a float of `exponent` and `mantissa` bits below a sign bit.
fn widen(bits: u16, exponent: u32, mantissa: u32, bias: i32, special: Special) -> f32 {
    let sign = if bits >> (exponent + mantissa) & 1 == 1 { -1.0 } else { 1.0 };
    let magnitude = bits & ((1 << (exponent + mantissa)) - 1);
    let fraction = bits & ((1 << mantissa) - 1);
    let power = i32::from(magnitude >> mantissa);
    match special {
        Special::Ieee if power == (1 << exponent) - 1 => {
            return if fraction == 0 { sign * f32::INFINITY } else { f32::NAN };
        }
        Special::Finite if magnitude == (1 << (exponent + mantissa)) - 1 => return f32::NAN,
        Special::FiniteUnsignedZero if magnitude == 0 => return if sign < 0.0 { f32::NAN } else { 0.0 },
        _ => {}
    }
    // A zero exponent has no implicit leading one and the scale of exponent 1.
    let digits = if power == 0 { fraction } else { fraction | 1 << mantissa };
    let scale = power.max(1) - bias - mantissa as i32;
    // The product is exact: at most 11 digits, and every scale of these formats is a normal f32.
    sign * f32::from(digits) * f32::from_bits(((scale + 127) as u32) << 23)
}

/// IEEE half precision.
pub(super) fn float16(bits: u16) -> f32 {
    widen(bits, 5, 10, 15, Special::Ieee)
}

/// The upper half of an f32.
pub(super) fn bfloat16(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

pub(super) fn float8e4m3fn(bits: u8) -> f32 {
    widen(bits.into(), 4, 3, 7, Special::Finite)
}

pub(super) fn float8e4m3fnuz(bits: u8) -> f32 {
    widen(bits.into(), 4, 3, 8, Special::FiniteUnsignedZero)
}

pub(super) fn float8e5m2(bits: u8) -> f32 {
    widen(bits.into(), 5, 2, 15, Special::Ieee)
}

pub(super) fn float8e5m2fnuz(bits: u8) -> f32 {
    widen(bits.into(), 5, 2, 16, Special::FiniteUnsignedZero)
}
