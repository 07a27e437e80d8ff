//! Elementary functions of f32: no std, no libm, no f64 on the target, and the same bits everywhere.
//!
//! They use only `+ − · /`, comparisons, integers and bit patterns, all of which are exactly defined. Errors are
//! given in ulp, the distance of neighbouring floats at the result; `tests/math.rs` measures them against f64.

use crate::fixed::round_ties_even_f32;
use core::f32::consts::{FRAC_1_SQRT_2, LOG2_E};

/// ln 2 in two parts. The first has 16 significant bits, so that its product with an exponent is exact
/// (W. J. Cody and W. Waite, *Software Manual for the Elementary Functions*, 1980).
const LN2_HIGH: f32 = 0.693_145_75;
const LN2_LOW: f32 = 1.428_606_8e-6;

const FRACTION_BITS: u32 = f32::MANTISSA_DIGITS - 1;
const FRACTION: u32 = (1 << FRACTION_BITS) - 1;

/// `e^x`; at most 1 ulp wrong, subnormal results included. ∞ from 88.73 on, 0 below −103.97.
///
/// The argument is reduced to `x = k ln 2 + r`, `|r| ≤ ln 2 / 2` (Cody and Waite), and `e^r` is the Taylor
/// polynomial of degree 7, whose remainder is below 2⁻²⁷.
pub fn exp(x: f32) -> f32 {
    // Beyond these ends the result is 0 or ∞, and k would leave the range below. NaN passes.
    let x = x.clamp(-104.0, 89.0);
    let k = round_ties_even_f32(x * LOG2_E);
    let r = (x - k * LN2_HIGH) - k * LN2_LOW;
    let series = 1.0 / 24.0 + r * (1.0 / 120.0 + r * (1.0 / 720.0 + r * (1.0 / 5040.0)));
    let series = 1.0 / 2.0 + r * (1.0 / 6.0 + r * series);
    // 2^k in two factors, as k is −150 to 128. Only the second multiplication can round.
    let k = k as i32;
    (1.0 + (r + r * r * series)) * power_of_two(k / 2) * power_of_two(k - k / 2)
}

/// `2^k`, for k in −126 ..= 127.
#[inline(always)]
const fn power_of_two(k: i32) -> f32 {
    f32::from_bits(((k + 127) as u32) << FRACTION_BITS)
}

/// Natural logarithm; at most 1 ulp wrong, subnormal arguments included. −∞ for 0, NaN below.
///
/// With `x = 2^k (1 + f)`, `√½ ≤ 1 + f < √2`, and `s = f / (2 + f)`, `ln(1 + f)` is `2 atanh s`. Arranged as
/// `f − (f²/2 − s (f²/2 + R))` with `R = 2s²/3 + 2s⁴/5 + …`, only small terms carry rounding errors (K. C. Ng's
/// method in Sun's fdlibm, `e_log.c`, 1993). Four terms of R leave less than 2⁻²⁷.
pub fn ln(x: f32) -> f32 {
    if x.is_nan() || x < 0.0 {
        return f32::NAN;
    }
    if x == 0.0 {
        return f32::NEG_INFINITY;
    }
    if x == f32::INFINITY {
        return x;
    }
    let (x, shift) = if x < f32::MIN_POSITIVE { (x * power_of_two(24), 24) } else { (x, 0) };
    // Exponents counted from √½ instead of 1 leave a mantissa in √½ .. √2.
    let from_sqrt_half = x.to_bits() as i32 - FRAC_1_SQRT_2.to_bits() as i32;
    let k = ((from_sqrt_half >> FRACTION_BITS) - shift) as f32;
    let f = f32::from_bits((from_sqrt_half as u32 & FRACTION) + FRAC_1_SQRT_2.to_bits()) - 1.0;

    let s = f / (2.0 + f);
    let z = s * s;
    let series = z * (2.0 / 3.0 + z * (2.0 / 5.0 + z * (2.0 / 7.0 + z * (2.0 / 9.0))));
    let half_square = 0.5 * f * f;
    k * LN2_HIGH - ((half_square - (s * (half_square + series) + k * LN2_LOW)) - f)
}

/// `e^x − 1` without cancellation; at most 3 ulp wrong.
///
/// For `u = e^x` as rounded, `(u − 1) · x / ln u` is accurate although `u − 1` is not: both are wrong in the same
/// way (W. Kahan; N. J. Higham, *Accuracy and Stability of Numerical Algorithms*, 2002, section 1.14.1).
pub fn exp_m1(x: f32) -> f32 {
    let u = exp(x);
    if u == 1.0 {
        x
    } else if x.abs() < 1.0 {
        (u - 1.0) * (x / ln(u))
    } else {
        u - 1.0
    }
}

/// `ln(1 + x)` for `x` in `0 ..= 1`; at most 3 ulp wrong. Corrects `1 + x` as [`exp_m1`] does.
pub fn ln_1p(x: f32) -> f32 {
    let u = 1.0 + x;
    if u == 1.0 { x } else { ln(u) * (x / (u - 1.0)) }
}

/// `1 / (1 + e^−x)`; at most 3 ulp wrong.
pub fn sigmoid(x: f32) -> f32 {
    let e = exp(-x.abs());
    // The exponent is negative on either side, so nothing overflows or cancels.
    (if x < 0.0 { e } else { 1.0 }) / (1.0 + e)
}

/// Hyperbolic tangent; at most 3 ulp wrong.
pub fn tanh(x: f32) -> f32 {
    if x.abs() < 0.625 {
        // Lambert's continued fraction x / (1 + x²/(3 + x²/(5 + x²/(7 + x²/9)))) as a quotient of polynomials,
        // and that as x minus a small term.
        let z = x * x;
        x - x * (z * (315.0 + z * 14.0) / (945.0 + z * (420.0 + z * 15.0)))
    } else {
        let magnitude = 1.0 - 2.0 / (exp(2.0 * x.abs()) + 1.0);
        magnitude.copysign(x)
    }
}

/// The error function; at most 3 ulp wrong.
pub fn erf(x: f32) -> f32 {
    if x.abs() < 1.0 {
        erf_near_0(x)
    } else {
        // From here on 1 is nearest.
        let magnitude = if x.abs() > 4.0 { 1.0 } else { 1.0 - erfc_behind_1(x.abs()) };
        if x.is_nan() { x } else { magnitude.copysign(x) }
    }
}

/// `1 − erf(x)` without cancellation; at most 8 ulp wrong where it is a normal number.
pub fn erfc(x: f32) -> f32 {
    if x.abs() < 1.0 {
        // Halves are subtracted so that a difference of nearly equal numbers is exact.
        if x < 0.5 { 1.0 - erf_near_0(x) } else { 0.5 - (erf_near_0(x) - 0.5) }
    } else if x < 0.0 {
        2.0 - erfc_behind_1(-x)
    } else {
        erfc_behind_1(x)
    }
}

/// `erf(x) / x − 1` by a polynomial in x² through the Chebyshev nodes of `0 ..= 1`, whose relative error is 2⁻²⁹.
#[inline(always)]
fn erf_near_0(x: f32) -> f32 {
    let z = x * x;
    let series = 0.112_835_97 + z * (-0.026_854_329 + z * (0.005_189_312 + z * (-0.000_801_885_5 + z * 7.882_497e-5)));
    x + x * (0.128_379_17 + z * (-0.376_126_26 + z * series))
}

/// For `x` from 1 on; `e^(x²) erfc(x) (1 + 2x)` is a smooth function of `u = (x − 2) / (x + 2)` (M. M. Shepherd and
/// J. G. Laframboise, *Chebyshev Approximation of (1 + 2x) exp(x²) erfc x*, 1981). The polynomial goes through the
/// Chebyshev nodes of `0.9 ..= 10.2`; its relative error is 2⁻²⁹.
fn erfc_behind_1(x: f32) -> f32 {
    // 0 is nearest from 10.06 on. NaN passes.
    let x = if x > 10.2 { 10.2 } else { x };
    let u = (x - 2.0) / (x + 2.0);
    let series =
        -0.054_224_23 + u * (-0.008_015_891 + u * (0.008_759_501 + u * (0.001_123_758_4 + u * -0.001_525_076_7)));
    let series = -0.092_763_81 + u * (-0.166_030_26 + u * (0.164_050_34 + u * series));
    let scaled = 1.0 + (0.276_978_37 + u * series);
    // A square of 12 bits is exact; what is left of x² is a small factor.
    let high = f32::from_bits(x.to_bits() & !0xfff);
    exp(-high * high) * (exp((high - x) * (high + x)) * (scaled / (1.0 + 2.0 * x)))
}

/// Square root, correctly rounded, as the FPU's instruction (which stable `core` does not offer).
pub fn sqrt(x: f32) -> f32 {
    if x == 0.0 || x.is_nan() || x == f32::INFINITY {
        return x;
    }
    if x < 0.0 {
        return f32::NAN;
    }
    let (x, shift) = if x < f32::MIN_POSITIVE { (x * power_of_two(24), 24) } else { (x, 0) };
    // x = mantissa · 2^exponent, the mantissa in 2^23 .. 2^24.
    let exponent = (x.to_bits() >> FRACTION_BITS) as i32 - 127 - FRACTION_BITS as i32 - shift;
    let mantissa = u64::from(x.to_bits() & FRACTION | 1 << FRACTION_BITS);
    // 23 or 24 more bits, whichever leaves an even exponent, and the root has 24.
    let extra = 23 + ((exponent + 23) & 1);
    let square = mantissa << extra;
    let floor = square.isqrt();
    // (floor + 1/2)² = floor² + floor + 1/4: there are no ties.
    let root = if square - floor * floor > floor { floor + 1 } else { floor };
    root as f32 * power_of_two((exponent - extra) / 2)
}

/// `e^x` in f64, for tables that the host computes; relative error below 10⁻¹² for x in −700 ..= 700.
pub const fn exp_f64(x: f64) -> f64 {
    // e^x = (e^(x / 2^10))^(2^10), with 1 carried apart until the end: (1 + t)² − 1 = t (2 + t). A positive
    // exponent keeps t away from −1.
    const HALVINGS: u32 = 10;
    let r = x.abs() / (1u32 << HALVINGS) as f64;
    let mut t = 0.0;
    let mut n = 20;
    while n > 0 {
        t = r / n as f64 * (1.0 + t);
        n -= 1;
    }
    let mut i = 0;
    while i < HALVINGS {
        t *= 2.0 + t;
        i += 1;
    }
    if x < 0.0 { 1.0 / (1.0 + t) } else { 1.0 + t }
}
