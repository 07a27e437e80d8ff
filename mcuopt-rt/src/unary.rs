//! Functions of one float, as float layers and as the source of int8 tables.

use crate::fixed::round_ties_even_f32;
use crate::math::{exp, exp_m1, ln, ln_1p, sigmoid, sqrt, tanh};

/// A function of one variable, by its ONNX name.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs)] // The attributes are ONNX's.
pub enum Unary {
    /// `x` limited to `min ..= max`: Clip, Relu, Relu6.
    Clamp { min: f32, max: f32 },
    /// `x`, or `alpha · x` where negative.
    LeakyRelu { alpha: f32 },
    /// `x`, or `alpha · (e^x − 1)` where negative.
    Elu { alpha: f32 },
    /// `gamma · x`, or `gamma · alpha · (e^x − 1)` where negative.
    Selu { alpha: f32, gamma: f32 },
    /// `1 / (1 + e^−x)`.
    Sigmoid,
    /// `alpha · x + beta` limited to `0 ..= 1`.
    HardSigmoid { alpha: f32, beta: f32 },
    /// `x · sigmoid(x)`, also called Swish.
    Silu,
    /// `x · HardSigmoid(x)` with alpha 1/6 and beta 1/2.
    HardSwish,
    /// Hyperbolic tangent.
    Tanh,
    /// `ln(1 + e^x)`.
    Softplus,
    /// `x / (1 + |x|)`.
    Softsign,
    /// `e^x`.
    Exp,
    /// Natural logarithm.
    Log,
    /// Square root, correctly rounded.
    Sqrt,
    /// `1 / x`.
    Reciprocal,
    /// `−x`.
    Neg,
    /// `|x|`.
    Abs,
    /// The largest integer that is not above `x`.
    Floor,
    /// The smallest integer that is not below `x`.
    Ceil,
    /// The nearest integer, ties to even.
    Round,
}

impl Unary {
    /// The function's value, the same bits on every target. NaN gives NaN.
    #[inline(always)]
    pub fn apply(self, x: f32) -> f32 {
        match self {
            Unary::Clamp { min, max } => clamp(x, min, max),
            Unary::LeakyRelu { alpha } => {
                if x < 0.0 {
                    alpha * x
                } else {
                    x
                }
            }
            Unary::Elu { alpha } => {
                if x < 0.0 {
                    alpha * exp_m1(x)
                } else {
                    x
                }
            }
            Unary::Selu { alpha, gamma } => gamma * if x < 0.0 { alpha * exp_m1(x) } else { x },
            Unary::Sigmoid => sigmoid(x),
            Unary::HardSigmoid { alpha, beta } => clamp(alpha * x + beta, 0.0, 1.0),
            // For −∞ the product would be −∞ · 0.
            Unary::Silu => {
                if x == f32::NEG_INFINITY {
                    -0.0
                } else {
                    x * sigmoid(x)
                }
            }
            Unary::HardSwish => {
                if x <= -3.0 {
                    -0.0
                } else if x >= 3.0 {
                    x
                } else {
                    x * (x + 3.0) / 6.0
                }
            }
            Unary::Tanh => tanh(x),
            // So that e^x cannot overflow.
            Unary::Softplus => {
                if x > 0.0 {
                    x + ln_1p(exp(-x))
                } else {
                    ln_1p(exp(x))
                }
            }
            Unary::Softsign => {
                if x.is_infinite() {
                    1f32.copysign(x)
                } else {
                    x / (1.0 + x.abs())
                }
            }
            Unary::Exp => exp(x),
            Unary::Log => ln(x),
            Unary::Sqrt => sqrt(x),
            Unary::Reciprocal => 1.0 / x,
            Unary::Neg => -x,
            Unary::Abs => x.abs(),
            Unary::Floor => floor(x),
            Unary::Ceil => -floor(-x),
            Unary::Round => round_ties_even_f32(x),
        }
    }
}

#[inline(always)]
fn clamp(x: f32, min: f32, max: f32) -> f32 {
    crate::geometry::Clamp { min, max }.apply(x)
}

#[inline(always)]
fn floor(x: f32) -> f32 {
    let nearest = round_ties_even_f32(x);
    if nearest > x { nearest - 1.0 } else { nearest }
}

/// `y = op(x)`, element by element.
///
/// # Panics
/// If the lengths of `x` and `y` differ.
#[inline(always)]
pub fn unary_f32(op: &Unary, x: &[f32], y: &mut [f32]) {
    assert_eq!(x.len(), y.len(), "x and y");
    for (y, &x) in y.iter_mut().zip(x) {
        *y = op.apply(x);
    }
}

/// [`unary_f32`] where `x` and `y` share memory.
#[inline(always)]
pub fn unary_f32_in_place(op: &Unary, xy: &mut [f32]) {
    for y in xy {
        *y = op.apply(*y);
    }
}
