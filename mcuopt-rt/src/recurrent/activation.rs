//! The functions that a file may choose for the gates of a recurrent layer.

use crate::math::{exp, exp_m1, ln_1p, sigmoid, tanh};

/// A function of a gate, by its ONNX name.
///
/// Generated code passes closures that apply a constant one, so only the functions that a model uses are linked.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs)] // The attributes are ONNX's.
pub enum Activation {
    /// Hyperbolic tangent.
    Tanh,
    /// `1 / (1 + e^−x)`.
    Sigmoid,
    /// `x`, or 0 where negative.
    Relu,
    /// `alpha · x + beta`.
    Affine { alpha: f32, beta: f32 },
    /// `x`, or `alpha · x` where negative.
    LeakyRelu { alpha: f32 },
    /// `x`, or 0 where below `alpha`.
    ThresholdedRelu { alpha: f32 },
    /// `alpha · tanh(beta · x)`.
    ScaledTanh { alpha: f32, beta: f32 },
    /// `alpha · x + beta` limited to `0 ..= 1`.
    HardSigmoid { alpha: f32, beta: f32 },
    /// `x`, or `alpha · (e^x − 1)` where negative.
    Elu { alpha: f32 },
    /// `x / (1 + |x|)`.
    Softsign,
    /// `ln(1 + e^x)`.
    Softplus,
}

impl Activation {
    /// The function's value, the same bits on every target.
    #[inline(always)]
    pub fn apply(self, x: f32) -> f32 {
        let negative = |alpha: f32, value: f32| if x < 0.0 { alpha * value } else { x };
        match self {
            Activation::Tanh => tanh(x),
            Activation::Sigmoid => sigmoid(x),
            Activation::Relu => negative(0.0, 0.0),
            Activation::Affine { alpha, beta } => alpha * x + beta,
            Activation::LeakyRelu { alpha } => negative(alpha, x),
            Activation::ThresholdedRelu { alpha } => {
                if x < alpha {
                    0.0
                } else {
                    x
                }
            }
            Activation::ScaledTanh { alpha, beta } => alpha * tanh(beta * x),
            Activation::HardSigmoid { alpha, beta } => (alpha * x + beta).clamp(0.0, 1.0),
            Activation::Elu { alpha } => {
                if x < 0.0 {
                    alpha * exp_m1(x)
                } else {
                    x
                }
            }
            Activation::Softsign => x / (1.0 + x.abs()),
            // So that e^x cannot overflow.
            Activation::Softplus => {
                let (positive, negative) = if x > 0.0 { (x, -x) } else { (0.0, x) };
                positive + ln_1p(exp(negative))
            }
        }
    }
}
