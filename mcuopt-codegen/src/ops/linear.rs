//! What convolutions and dense layers have in common in int8: weights with one symmetric scale for each output
//! channel, an int32 bias that has taken up the input's zero point, and a multiplier for each output channel.
//!
//! With real values x = sx·(qx − zx), w = sw·qw and y = sy·(qy − zy):
//!
//! qy = zy + (sx·sw/sy) · (Σ qx·qw + b/(sx·sw) − zx·Σ qw)
//!
//! See Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
//! Inference", 2018.

use mcuopt_rt::v0 as rt;
use proc_macro2::TokenStream;
use quote::quote;

use crate::call::{self, Call, Constant, Data, Literal as _};
use crate::error::Error;
use crate::graph::Value;

/// The integer form of a linear layer.
#[derive(Clone, Debug)]
pub struct Linear {
    /// [outputs, everything else], as the float weights lie.
    pub weights: Vec<i8>,
    /// One for each output channel, input zero point folded in.
    pub bias: Vec<i32>,
    /// One for each output channel.
    pub multipliers: Vec<i32>,
    /// The rest of the requantization.
    pub requantize: rt::Requantize,
}

/// Largest bias that a scale of our own choice leads to. Channels whose weights are tiny beside their bias would
/// get a huge one otherwise; the requantization is exact to 2^-8 of a step up to here.
const MAX_BIAS: f64 = (1 << 24) as f64;

/// Largest bias that a scale of the file's author may lead to before it is widened.
const MAX_AUTHORED_BIAS: f64 = (1 << 30) as f64;

/// Scale and zero point of an activation.
pub fn scale_of(value: &Value) -> Result<(f32, i32), Error> {
    let single = value.quantization.as_ref().and_then(|quantization| quantization.single());
    single.ok_or_else(|| Error::bug(format!("`{}` has no quantization", value.name)))
}

/// The smallest and largest integer that a clamped output takes.
pub fn clamp_to_i8(clamp: &rt::Clamp, (scale, zero_point): (f32, i32)) -> (i8, i8) {
    let quantize = |bound: f32| rt::quantize_f32(bound, scale, zero_point);
    (quantize(clamp.min), quantize(clamp.max))
}

/// Quantizes a linear layer; `weights` are `[outputs, …]`, `bias` `[outputs]`, both constant floats.
pub fn quantize(x: &Value, weights: &Value, bias: &Value, y: &Value, clamp: &rt::Clamp) -> Result<Linear, Error> {
    let (x_scale, x_zero_point) = scale_of(x)?;
    let (y_scale, y_zero_point) = scale_of(y)?;
    let float_weights = constant_f32s(weights)?;
    let float_bias = constant_f32s(bias)?;
    let outputs = float_bias.len();
    let row = float_weights.len() / outputs.max(1);

    let mut linear = Vec::with_capacity(outputs);
    for (channel, &b) in float_bias.iter().enumerate() {
        let w = &float_weights[channel * row..(channel + 1) * row];
        linear.push(Channel::new(w, b, weight_scale(weights, channel, w, b, x_scale), x_scale, x_zero_point)?);
    }

    let factors: Vec<f64> =
        linear.iter().map(|channel| f64::from(x_scale) * f64::from(channel.scale) / f64::from(y_scale)).collect();
    let largest = factors.iter().copied().fold(0.0, f64::max);
    let left_shift = rt::left_shift_for(largest);
    let (min, max) = clamp_to_i8(clamp, (y_scale, y_zero_point));
    Ok(Linear {
        weights: linear.iter().flat_map(|channel| channel.weights.iter().copied()).collect(),
        bias: linear.iter().map(|channel| channel.bias).collect(),
        multipliers: factors.iter().map(|&factor| rt::multiplier(factor, left_shift)).collect(),
        requantize: rt::Requantize { left_shift, zero_point: y_zero_point, min, max },
    })
}

/// One output channel.
#[allow(missing_docs)]
pub struct Channel {
    pub weights: Vec<i8>,
    /// Input zero point folded in.
    pub bias: i32,
    /// Of the weights.
    pub scale: f32,
}

impl Channel {
    /// Rounds a channel's weights and bias to integers.
    pub fn new(weights: &[f32], bias: f32, scale: f32, x_scale: f32, x_zero_point: i32) -> Result<Self, Error> {
        let weights: Vec<i8> = weights.iter().map(|&w| rt::quantize_f32(w, scale, 0)).collect();
        let sum: i64 = weights.iter().map(|&w| i64::from(w)).sum();
        let magnitude: i64 = weights.iter().map(|&w| i64::from(w).abs()).sum();
        let bias = (f64::from(bias) / (f64::from(x_scale) * f64::from(scale))).round_ties_even() as i64;
        let folded = bias - i64::from(x_zero_point) * sum;
        if folded.abs() + 128 * magnitude > i64::from(i32::MAX) {
            return Err(Error::unsupported(format!(
                "{} weights for one output overflow the 32-bit accumulator",
                weights.len()
            ))
            .instead("fewer inputs, or float32"));
        }
        Ok(Self { weights, bias: folded as i32, scale })
    }
}

/// The scale of an output channel whose weights are `w` and whose bias is `b`.
pub fn weight_scale(weights: &Value, channel: usize, w: &[f32], b: f32, x_scale: f32) -> f32 {
    let (scale, max_bias) = match authored_scale(weights, channel, w) {
        Some(scale) => (scale, MAX_AUTHORED_BIAS),
        None => (symmetric_scale(w), MAX_BIAS),
    };
    let widest = (f64::from(b.abs()) / (f64::from(x_scale) * max_bias)) as f32;
    scale.max(widest)
}

/// The narrowest weight scale that keeps the integer of a bias exact enough.
pub fn narrowest_scale(bias: f32, x_scale: f32) -> f32 {
    (f64::from(bias.abs()) / (f64::from(x_scale) * MAX_BIAS)) as f32
}

/// The scale that the file's author gave an output channel's weights `w`, if an int8 kernel can keep it: with a zero
/// point other than 0 the integers need a ninth bit, unless they are small.
fn authored_scale(weights: &Value, channel: usize, w: &[f32]) -> Option<f32> {
    let quantization = weights.quantization.as_ref()?;
    let by_output = quantization.scales.len() == 1 || quantization.axis == 0;
    let index = if quantization.scales.len() == 1 { 0 } else { channel };
    let (scale, zero_point) = (*quantization.scales.get(index)?, *quantization.zero_points.get(index)?);
    let fits = |w: &f32| (-128.0..=127.0).contains(&rt::round_ties_even_f32(w / scale));
    (by_output && (zero_point == 0 || w.iter().all(fits))).then_some(scale)
}

/// The scale under which the largest weight becomes ±127; 1 if all are zero.
fn symmetric_scale(weights: &[f32]) -> f32 {
    let largest = weights.iter().fold(0f32, |largest, w| largest.max(w.abs()));
    let scale = largest / 127.0;
    if scale.is_normal() { scale } else { f32::MIN_POSITIVE.max(scale) }
}

/// `&value`.
pub fn by_reference(value: &impl call::Literal) -> TokenStream {
    let value = value.literal();
    quote!(&#value)
}

/// The elements of a constant float operand.
pub fn constant_f32s(value: &Value) -> Result<&[f32], Error> {
    let elements = value.constant.as_ref().and_then(|tensor| tensor.f32s());
    elements.ok_or_else(|| {
        Error::unsupported(format!("`{}` is computed at run time", value.name)).instead("constant weights and bias")
    })
}

impl Linear {
    /// A call of the kernel `ty` of mcuopt-rt that `choose`, given `params` and these constants, takes for the target.
    pub fn call(&self, function: &'static str, ty: &'static str, choose: &'static str, params: Vec<TokenStream>) -> Call {
        let linear = call::Linear {
            weights: Data::I8(self.weights.clone()),
            bias: Data::I32(self.bias.clone()),
            multipliers: Data::I32(self.multipliers.clone()),
            requantize: self.requantize.literal(),
        };
        Call::inlined(function).chosen(Constant::Chosen { ty, choose, params, linear: Box::new(linear) })
    }

    /// Runs `f` with the constants as mcuopt-rt's choice of a kernel takes them.
    pub fn with_bytes<T>(&self, f: impl FnOnce(&rt::LinearS8<'_>) -> T) -> T {
        let bias = Data::I32(self.bias.clone()).bytes();
        let multipliers = Data::I32(self.multipliers.clone()).bytes();
        let requantize = self.requantize;
        let weights = rt::as_bytes(&self.weights);
        f(&rt::LinearS8 { weights, bias: &bias, multipliers: &multipliers, requantize })
    }
}
