//! What convolutions and dense layers have in common in integers: weights with one symmetric scale for each output
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

use crate::call::{self, Call, Constant, Data, Literal};
use crate::error::Error;
use crate::graph::{Value, Width};

/// How the sums of a linear layer become its outputs: for each width of activations one of mcuopt-rt's structs.
pub trait Rescale: Literal + Copy {
    /// The activations.
    const WIDTH: Width;
    /// mcuopt-rt's name for the constants of a layer with it.
    const LINEAR: &'static str;
    /// For an output clamped to reals.
    fn new(left_shift: u32, clamp: &rt::Clamp, output: (f32, i32)) -> Self;
}

impl Rescale for rt::Requantize {
    const WIDTH: Width = Width::Int8;
    const LINEAR: &'static str = "LinearS8";

    fn new(left_shift: u32, clamp: &rt::Clamp, output: (f32, i32)) -> Self {
        let (min, max) = clamp_to_i8(clamp, output);
        Self { left_shift, zero_point: output.1, min, max }
    }
}

impl Rescale for rt::RequantizeS16 {
    const WIDTH: Width = Width::Int16;
    const LINEAR: &'static str = "LinearS16";

    fn new(left_shift: u32, clamp: &rt::Clamp, output: (f32, i32)) -> Self {
        let quantize = |bound: f32| rt::quantize_f32_i16(bound, output.0, output.1);
        Self { left_shift, zero_point: output.1, min: quantize(clamp.min), max: quantize(clamp.max) }
    }
}

/// From a real factor to a requantization and its multiplier.
pub fn rescale<Q: Rescale>(factor: f64, clamp: &rt::Clamp, output: (f32, i32)) -> (Q, i32) {
    let left_shift = rt::left_shift_for(factor.abs());
    (Q::new(left_shift, clamp, output), rt::multiplier(factor, left_shift))
}

/// The integer form of a linear layer.
#[derive(Clone, Debug)]
pub struct Linear<Q = rt::Requantize> {
    /// [outputs, everything else], as the float weights lie.
    pub weights: Vec<i8>,
    /// One for each output channel, input zero point folded in.
    pub bias: Vec<i32>,
    /// One for each output channel.
    pub multipliers: Vec<i32>,
    /// The rest of the requantization.
    pub requantize: Q,
    /// Whether all weights are int4.
    pub four_bits: bool,
}

/// Largest bias that a scale of our own choice leads to. Channels whose weights are tiny beside their bias would
/// get a huge one otherwise; the requantization is exact to 2^-8 of a step up to here.
const MAX_BIAS: f64 = (1 << 24) as f64;

/// Largest bias that a scale of the file's author may lead to before it is widened; with int16 activations, whose steps
/// are finer and sums larger, that any scale may lead to.
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
pub fn quantize<Q: Rescale>(
    x: &Value,
    weights: &Value,
    bias: &Value,
    y: &Value,
    clamp: &rt::Clamp,
) -> Result<Linear<Q>, Error> {
    let (x_scale, x_zero_point) = scale_of(x)?;
    let (y_scale, y_zero_point) = scale_of(y)?;
    let float_weights = constant_f32s(weights)?;
    let float_bias = constant_f32s(bias)?;
    let outputs = float_bias.len();
    let row = float_weights.len() / outputs.max(1);

    let mut linear = Vec::with_capacity(outputs);
    for (channel, &b) in float_bias.iter().enumerate() {
        let w = &float_weights[channel * row..(channel + 1) * row];
        let scale = weight_scale(weights, channel, w, b, (x_scale, Q::WIDTH));
        linear.push(Channel::new(w, b, (scale, weight_width(weights)), (x_scale, x_zero_point, Q::WIDTH))?);
    }

    let factors: Vec<f64> =
        linear.iter().map(|channel| f64::from(x_scale) * f64::from(channel.scale) / f64::from(y_scale)).collect();
    let largest = factors.iter().copied().fold(0.0, f64::max);
    let left_shift = rt::left_shift_for(largest);
    Ok(Linear {
        weights: linear.iter().flat_map(|channel| channel.weights.iter().copied()).collect(),
        bias: linear.iter().map(|channel| channel.bias).collect(),
        multipliers: factors.iter().map(|&factor| rt::multiplier(factor, left_shift)).collect(),
        requantize: Q::new(left_shift, clamp, (y_scale, y_zero_point)),
        four_bits: weight_width(weights) == Width::Int4,
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
    pub fn new(
        weights: &[f32],
        bias: f32,
        (scale, width): (f32, Width),
        (x_scale, x_zero_point, x_width): (f32, i32, Width),
    ) -> Result<Self, Error> {
        let weights: Vec<i8> = weights.iter().map(|&w| round_weight(w, scale, width)).collect();
        let sum: i64 = weights.iter().map(|&w| i64::from(w)).sum();
        let magnitude: i64 = weights.iter().map(|&w| i64::from(w).abs()).sum();
        let bias = (f64::from(bias) / (f64::from(x_scale) * f64::from(scale))).round_ties_even() as i64;
        let folded = bias - i64::from(x_zero_point) * sum;
        // Kernels for int16 sum in 64 bits where they have to.
        let products = if x_width == Width::Int16 { 0 } else { 128 * magnitude };
        if folded.abs() + products > i64::from(i32::MAX) {
            return Err(Error::unsupported(format!(
                "{} weights for one output overflow the 32-bit accumulator",
                weights.len()
            ))
            .instead("fewer inputs, or float32"));
        }
        Ok(Self { weights, bias: folded as i32, scale })
    }
}

/// A weight as an integer.
pub fn round_weight(w: f32, scale: f32, width: Width) -> i8 {
    let q = rt::quantize_f32(w, scale, 0);
    if width == Width::Int4 { q.clamp(-8, 7) } else { q }
}

/// int4 if the weights have scales for that.
pub fn weight_width(weights: &Value) -> Width {
    match &weights.quantization {
        Some(quantization) if quantization.width == Width::Int4 && zero_points_are_zero(weights) => Width::Int4,
        _ => Width::Int8,
    }
}

/// Whether integers of weights are multiples of their scale.
pub fn zero_points_are_zero(weights: &Value) -> bool {
    weights.quantization.as_ref().is_some_and(|q| q.zero_points.iter().all(|zero_point| *zero_point == 0))
}

/// The scale of an output channel whose weights are `w` and whose bias is `b`.
pub fn weight_scale(weights: &Value, channel: usize, w: &[f32], b: f32, (x_scale, width): (f32, Width)) -> f32 {
    let (scale, max_bias) = match authored_scale(weights, channel, w) {
        Some(scale) => (scale, MAX_AUTHORED_BIAS),
        None if width == Width::Int16 => (symmetric_scale(w), MAX_AUTHORED_BIAS),
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

impl<Q: Rescale> Linear<Q> {
    /// A call of the kernel `ty` of mcuopt-rt that `choose`, of a pair for int8 and for int4 weights, takes for the target,
    /// given `params` and these constants.
    pub fn call(
        &self,
        function: &'static str,
        ty: &'static str,
        choose: [&'static str; 2],
        params: Vec<TokenStream>,
    ) -> Call {
        let choose = choose[usize::from(self.four_bits)];
        let linear = call::Linear {
            weights: Data::I8(self.weights.clone()),
            bias: Data::I32(self.bias.clone()),
            multipliers: Data::I32(self.multipliers.clone()),
            requantize: self.requantize.literal(),
            ty: Q::LINEAR,
        };
        Call::inlined(function).chosen(Constant::Chosen { ty, choose, params, linear: Box::new(linear) })
    }

    /// Runs `f` with the constants as mcuopt-rt's choice of a kernel takes them.
    pub fn with_bytes<T>(&self, f: impl FnOnce(&rt::Linear<'_, Q>) -> T) -> T {
        let bias = Data::I32(self.bias.clone()).bytes();
        let multipliers = Data::I32(self.multipliers.clone()).bytes();
        let requantize = self.requantize;
        f(&rt::Linear { weights: rt::as_bytes(&self.weights), bias: &bias, multipliers: &multipliers, requantize })
    }
}

impl Linear<rt::RequantizeS16> {
    /// Runs the kernel of mcuopt-rt that `choose` takes for the host.
    pub fn run_s16(
        &self,
        choose: impl FnOnce(&rt::LinearS16<'_>, rt::Prefer, rt::Arch) -> rt::ConvS16,
        x: &[i16],
        y: &mut [i16],
    ) {
        self.with_bytes(|linear| {
            let kernel = choose(linear, rt::Prefer::Size, rt::Arch::Portable);
            let mut constants = vec![0; kernel.words()];
            kernel.pack_into(linear, &mut constants);
            kernel.run(&constants, x, y, &mut vec![0; kernel.choice().scratch_bytes / 4]);
        });
    }
}

/// int8 weights of a float layer.
#[derive(Clone, Debug)]
pub struct Scaled {
    /// As the float weights lie.
    pub weights: Vec<i8>,
    /// One for each output channel, in units of its scale.
    pub bias: Vec<f32>,
    /// One for each output channel.
    pub scales: Vec<f32>,
}

impl Scaled {
    /// The weights in int8, if they have symmetric scales along the first axis: chosen for that, or given by the file's
    /// author, whose rounded weights they are then exactly.
    pub fn new(weights: &Value, bias: &Value) -> Result<Option<Self>, Error> {
        let (elements, float_bias) = (constant_f32s(weights)?, constant_f32s(bias)?);
        let row = elements.len() / float_bias.len().max(1);
        let mut scaled = Scaled { weights: Vec::new(), bias: Vec::new(), scales: Vec::new() };
        if !zero_points_are_zero(weights) {
            return Ok(None);
        }
        for (channel, &b) in float_bias.iter().enumerate() {
            let w = &elements[channel * row..][..row];
            let Some(scale) = authored_scale(weights, channel, w) else { return Ok(None) };
            // A bias beside which the weights vanish would be infinite in units of their scale.
            let scale = scale.max(b.abs() / MAX_BIAS as f32);
            scaled.weights.extend(w.iter().map(|&w| rt::quantize_f32(w, scale, 0)));
            scaled.bias.push(b / scale);
            scaled.scales.push(scale);
        }
        Ok(Some(scaled))
    }

    /// Adds these constants to a call.
    pub fn arguments(&self, call: Call) -> Call {
        call.array("_WEIGHTS", Data::I8(self.weights.clone()))
            .array("_BIAS", Data::F32(self.bias.clone()))
            .array("_SCALES", Data::F32(self.scales.clone()))
    }
}
