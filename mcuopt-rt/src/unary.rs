//! Functions of one element, as layers and as the source of int8 tables.

use crate::fixed::round_ties_even_f32;
use crate::function::{Function, functions};
use crate::geometry::Clamp;
use crate::math::{erf, erfc, exp, exp_m1, ln, ln_1p, sigmoid, sqrt, tanh};
use crate::number::Number;
use core::f32::consts::FRAC_1_SQRT_2;

/// `y = f(x)`, element by element.
///
/// # Panics
/// If the lengths of `x` and `y` differ.
pub fn unary<F: Function<X, Y> + ?Sized, X: Copy, Y>(f: &F, x: &[X], y: &mut [Y]) {
    assert_eq!(x.len(), y.len(), "x and y");
    for (y, &x) in y.iter_mut().zip(x) {
        *y = f.apply(x);
    }
}

/// [`unary`] where `x` and `y` share memory.
pub fn unary_in_place<F: Function<T, T> + ?Sized, T: Copy>(f: &F, xy: &mut [T]) {
    for y in xy {
        *y = f.apply(*y);
    }
}

/// `x`, or `alpha · x` where negative.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs)] // The attributes, here and below, are ONNX's.
pub struct LeakyRelu {
    pub alpha: f32,
}

/// `x`, or `alpha · (e^x − 1)` where negative.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct Elu {
    pub alpha: f32,
}

/// `x`, or `alpha · (e^(x / alpha) − 1)` where negative, for a positive `alpha`.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct Celu {
    pub alpha: f32,
}

/// `gamma · x`, or `gamma · alpha · (e^x − 1)` where negative.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct Selu {
    pub alpha: f32,
    pub gamma: f32,
}

/// `x` above `alpha`, else 0.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct ThresholdedRelu {
    pub alpha: f32,
}

/// `x + bias` below `−lambd`, `x − bias` above `lambd`, else 0.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct Shrink {
    pub lambd: f32,
    pub bias: f32,
}

/// `alpha · x + beta` limited to `0 ..= 1`.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct HardSigmoid {
    pub alpha: f32,
    pub beta: f32,
}

/// `x · sigmoid(alpha · x)`: with 1 SiLU, with 1.702 a quick Gelu.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct Swish {
    pub alpha: f32,
}

/// 1 where `x` is −∞, if `negative`, or +∞, if `positive`.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct IsInf {
    pub negative: bool,
    pub positive: bool,
}

/// `x^(halves / 2)` by multiplications, a division and a square root; integers wrap around and ignore an odd half.
///
/// A few ulp wrong for small exponents, and each power of two more doubles that.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HalfPower {
    /// Twice the exponent.
    pub halves: i32,
}

functions! {
    /// `1 / (1 + e^−x)`.
    Sigmoid
    /// `x · HardSigmoid(x)` with alpha 1/6 and beta 1/2.
    HardSwish
    /// Hyperbolic tangent.
    Tanh
    /// `ln(1 + e^x)`.
    Softplus
    /// `x / (1 + |x|)`.
    Softsign
    /// `x · tanh(softplus(x))`.
    Mish
    /// `x · Φ(x)` with the normal distribution Φ.
    Gelu
    /// The approximation `x/2 · (1 + tanh(√(2/π) · (x + 0.044715 x³)))` of [`Gelu`].
    GeluTanh
    /// The error function.
    Erf
    /// `e^x`.
    Exp
    /// Natural logarithm.
    Log
    /// Square root, correctly rounded.
    Sqrt
    /// `1 / x`.
    Reciprocal
    /// `−x`.
    Neg
    /// `|x|`.
    Abs
    /// −1, 0 or 1; NaN passes.
    Sign
    /// The largest integer that is not above `x`.
    Floor
    /// The smallest integer that is not below `x`.
    Ceil
    /// The nearest integer, ties to even.
    Round
    /// 1 where `x` is NaN.
    IsNaN
    /// 1 where `x` is 0.
    Not
    /// All bits inverted.
    BitwiseNot
    /// To another type: floats become integers towards zero and stop at the ends of their range, integers keep their
    /// low bits.
    Cast
    /// 1 where `x` is not 0.
    CastBool
    /// Sine. Feature `libm`.
    Sin
    /// Cosine. Feature `libm`.
    Cos
    /// Tangent. Feature `libm`.
    Tan
    /// Inverse sine. Feature `libm`.
    Asin
    /// Inverse cosine. Feature `libm`.
    Acos
    /// Inverse tangent. Feature `libm`.
    Atan
    /// Hyperbolic sine. Feature `libm`.
    Sinh
    /// Hyperbolic cosine. Feature `libm`.
    Cosh
    /// Inverse hyperbolic sine. Feature `libm`.
    Asinh
    /// Inverse hyperbolic cosine. Feature `libm`.
    Acosh
    /// Inverse hyperbolic tangent. Feature `libm`.
    Atanh
}

/// Functions of a float.
macro_rules! of_f32 {
    ($($name:ident: |$f:pat_param, $x:ident| $value:expr;)*) => {$(
        impl Function<f32, f32> for $name {
            #[inline(always)]
            fn apply(&self, $x: f32) -> f32 {
                let $f = self;
                $value
            }
        }
    )*};
}

of_f32! {
    Clamp: |f, x| Clamp::apply(f, x);
    LeakyRelu: |f, x| if x < 0.0 { f.alpha * x } else { x };
    Elu: |f, x| if x < 0.0 { f.alpha * exp_m1(x) } else { x };
    Celu: |f, x| if x < 0.0 { f.alpha * exp_m1(x / f.alpha) } else { x };
    Selu: |f, x| f.gamma * if x < 0.0 { f.alpha * exp_m1(x) } else { x };
    ThresholdedRelu: |f, x| if x <= f.alpha { 0.0 } else { x };
    Shrink: |f, x| if x < -f.lambd { x + f.bias } else if x > f.lambd { x - f.bias } else if x.is_nan() { x } else { 0.0 };
    Sigmoid: |_, x| sigmoid(x);
    HardSigmoid: |f, x| Clamp { min: 0.0, max: 1.0 }.apply(f.alpha * x + f.beta);
    Swish: |f, x| gated(x, sigmoid(f.alpha * x));
    HardSwish: |_, x| if x <= -3.0 { -0.0 } else if x >= 3.0 { x } else { x * (x + 3.0) / 6.0 };
    Tanh: |_, x| tanh(x);
    // So that e^x cannot overflow.
    Softplus: |_, x| if x > 0.0 { x + ln_1p(exp(-x)) } else { ln_1p(exp(x)) };
    Softsign: |_, x| if x.is_infinite() { 1f32.copysign(x) } else { x / (1.0 + x.abs()) };
    Mish: |_, x| mish(x);
    Gelu: |_, x| gated(x, 0.5 * erfc(-x * FRAC_1_SQRT_2));
    // 1 + tanh(u) is 2 · sigmoid(2u), which does not cancel.
    GeluTanh: |_, x| gated(x, sigmoid(x * (1.595_769_2 + 0.071_354_82 * (x * x))));
    Erf: |_, x| erf(x);
    Exp: |_, x| exp(x);
    Log: |_, x| ln(x);
    Sqrt: |_, x| sqrt(x);
    Reciprocal: |_, x| 1.0 / x;
    Neg: |_, x| -x;
    Abs: |_, x| x.abs();
    Floor: |_, x| floor(x);
    Ceil: |_, x| -floor(-x);
    Round: |_, x| round_ties_even_f32(x);
    HalfPower: |f, x| {
        let power = power(x, u64::from(f.halves.unsigned_abs() / 2));
        let power = if f.halves & 1 == 0 { power } else { power * sqrt(x) };
        if f.halves < 0 { 1.0 / power } else { power }
    };
}

#[cfg(feature = "libm")]
of_f32! {
    Sin: |_, x| libm::sinf(x);
    Cos: |_, x| libm::cosf(x);
    Tan: |_, x| libm::tanf(x);
    Asin: |_, x| libm::asinf(x);
    Acos: |_, x| libm::acosf(x);
    Atan: |_, x| libm::atanf(x);
    Sinh: |_, x| libm::sinhf(x);
    Cosh: |_, x| libm::coshf(x);
    Asinh: |_, x| libm::asinhf(x);
    Acosh: |_, x| libm::acoshf(x);
    Atanh: |_, x| libm::atanhf(x);
}

/// `x · gate`, where a gate of 0 for −∞ gives 0.
#[inline(always)]
fn gated(x: f32, gate: f32) -> f32 {
    if gate == 0.0 { -0.0 } else { x * gate }
}

/// With `e = e^x`, tanh(ln(1 + e)) is `(e² + 2e) / (e² + 2e + 2)`.
fn mish(x: f32) -> f32 {
    // From here on the quotient is 1.
    if x > 20.0 {
        return x;
    }
    let e = exp(x);
    let w = e * (e + 2.0);
    gated(x, w / (w + 2.0))
}

#[inline(always)]
fn floor(x: f32) -> f32 {
    let nearest = round_ties_even_f32(x);
    if nearest > x { nearest - 1.0 } else { nearest }
}

/// `base^exponent` by squaring.
#[inline(always)]
pub(crate) fn power<T: Number>(mut base: T, mut exponent: u64) -> T {
    let mut power = T::ONE;
    while exponent > 0 {
        if exponent & 1 == 1 {
            power = power.mul(base);
        }
        base = base.mul(base);
        exponent >>= 1;
    }
    power
}

impl<T: Number> Function<T, T> for Sign {
    #[inline(always)]
    fn apply(&self, x: T) -> T {
        let zero = T::default();
        if x > zero {
            T::ONE
        } else if x < zero {
            zero.sub(T::ONE)
        } else {
            x
        }
    }
}

impl Function<f32, u8> for IsNaN {
    #[inline(always)]
    fn apply(&self, x: f32) -> u8 {
        x.is_nan().into()
    }
}

impl Function<f32, u8> for IsInf {
    #[inline(always)]
    fn apply(&self, x: f32) -> u8 {
        (self.negative && x == f32::NEG_INFINITY || self.positive && x == f32::INFINITY).into()
    }
}

impl Function<u8, u8> for Not {
    #[inline(always)]
    fn apply(&self, x: u8) -> u8 {
        (x == 0).into()
    }
}

impl<T: Number> Function<T, u8> for CastBool {
    #[inline(always)]
    fn apply(&self, x: T) -> u8 {
        (x != T::default()).into()
    }
}

macro_rules! integers {
    ($($type:ident)*) => {$(
        impl Function<$type, $type> for BitwiseNot {
            #[inline(always)]
            fn apply(&self, x: $type) -> $type { !x }
        }

        impl Function<$type, $type> for HalfPower {
            #[inline(always)]
            fn apply(&self, x: $type) -> $type {
                let power = power(x, u64::from(self.halves.unsigned_abs() / 2));
                if self.halves < 0 { Number::div(1, power) } else { power }
            }
        }
    )*};
}
integers! { i8 u8 i16 u16 i32 u32 i64 u64 }

macro_rules! signed {
    ($($type:ident)*) => {$(
        impl Function<$type, $type> for Neg {
            #[inline(always)]
            fn apply(&self, x: $type) -> $type { x.wrapping_neg() }
        }

        impl Function<$type, $type> for Abs {
            #[inline(always)]
            fn apply(&self, x: $type) -> $type { x.wrapping_abs() }
        }
    )*};
}
signed! { i8 i16 i32 i64 }

macro_rules! casts {
    ($($from:ident)*; $to:tt) => { $(casts! { @from $from $to })* };
    (@from $from:ident [$($to:ident)*]) => {$(
        impl Function<$from, $to> for Cast {
            #[inline(always)]
            fn apply(&self, x: $from) -> $to { x as $to }
        }
    )*};
}
casts! { f32 i8 u8 i16 u16 i32 u32 i64 u64; [f32 i8 u8 i16 u16 i32 u32 i64 u64] }
