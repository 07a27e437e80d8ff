//! ConvTranspose: transposed convolution over up to three axes; and convolutions whose weights are known at run time only.
//!
//! <https://onnx.ai/onnx/operators/onnx__ConvTranspose.html>, opset 1 to 22. In the graph all is channels-last: x `[batch,
//! spatial…, channels]`, weights `[outputs, kernel…, channels / group]`, bias `[outputs]`. In int8 a ConvTranspose over one
//! or two axes becomes convolutions ([`phases`](crate::simplify)), which have faster kernels.

use mcuopt_rt::v0 as rt;

use super::linear::{self, Linear};
use super::window::{self, Direction};
use super::{Io, Lowered, Operator, Routine};
use crate::builder::Builder;
use crate::call::{Call, Data, struct_literals};
use crate::error::Error;
use crate::graph::{Type, ValueId};
use crate::onnx;
use crate::reference::Window;
use crate::tensor::{DType, Element, Tensor};

/// A channels-last transposed convolution, with the activation that follows it as a clamp.
#[derive(Clone, Debug, PartialEq)]
pub struct ConvTranspose {
    /// How the taps of an input lie over the output; what lies in the padding is left out. The padding at the end follows
    /// from the output.
    pub window: Window,
    /// Extents of the output.
    pub output: Vec<usize>,
    /// Number of groups that the channels are divided into.
    pub group: usize,
    /// Limits of the output.
    pub clamp: rt::Clamp,
}

/// A convolution, plain or transposed, with operands weights, bias, x, none of which need be constant. float32 only.
#[derive(Clone, Debug, PartialEq)]
pub struct DynamicConv {
    /// The sliding window.
    pub window: Window,
    /// Number of groups that the channels are divided into.
    pub group: usize,
    /// Of a transposed convolution the extents of the output.
    pub transposed: Option<Vec<usize>>,
}

/// ConvTranspose → Transpose, ConvTranspose, Transpose.
pub fn import(_: &onnx::Node, b: &mut Builder<'_>) -> Result<Vec<ValueId>, Error> {
    let (x, weights) = (b.input(0)?, b.input(1)?);
    let rank = window::spatial_rank(b.shape(x), "input 0")?;
    let shape = b.shape(weights).to_vec();
    if shape.len() != rank + 2 {
        let message = format!("its shape is {shape:?}, but x is {:?}", b.shape(x));
        return Err(Error::invalid(message).part("input 1"));
    }
    let group = window::group(b)?;
    if !shape[0].is_multiple_of(group) || shape[0] != b.shape(x)[1] {
        let message = format!("x has {} channels, the weights {} in {group} groups", b.shape(x)[1], shape[0]);
        return Err(Error::invalid(message).part("input 1"));
    }
    let mut window = window::import_without_pads(b, x, Some(shape[2..].to_vec()))?;
    let output = output(b, x, &mut window)?;
    let outputs = shape[1] * group;
    let bias = window::bias(b, outputs)?;
    // [channels, outputs / group, …] → [outputs, …, channels / group]
    let taps = &shape[2..];
    let weights = b.reshape(weights, &[&[group, shape[0] / group, shape[1]], taps].concat())?;
    let perm: Vec<usize> = [0, 2].into_iter().chain(3..rank + 3).chain([1]).collect();
    let weights = b.transpose(weights, &perm)?;
    let weights = b.reshape(weights, &[&[outputs], taps, &[shape[0] / group]].concat())?;
    let x = b.transpose(x, &Direction::ToLast.perm(rank))?;
    let y = if [weights, bias].iter().all(|id| b.graph.constant(*id).is_some()) {
        b.push(ConvTranspose { window, output, group, clamp: rt::Clamp::NONE }, &[x, weights, bias])?
    } else {
        b.push(DynamicConv { window, group, transposed: Some(output) }, &[weights, bias, x])?
    };
    Ok(vec![b.transpose(y, &Direction::ToFirst.perm(rank))?])
}

/// The output's extents, and the padding that leads to them.
fn output(b: &Builder<'_>, x: ValueId, window: &mut Window) -> Result<Vec<usize>, Error> {
    let input = b.shape(x)[2..].to_vec();
    let rank = input.len();
    let natural = |value: i64| u32::try_from(value).ok().map(|value| value as usize);
    let list = |name: &str| -> Result<Option<Vec<usize>>, Error> {
        let Some(values) = b.ints(name)?.filter(|values| !values.is_empty()) else { return Ok(None) };
        // `output_shape` may have the batch and the channels before it.
        let spatial = &values[values.len().saturating_sub(rank)..];
        let converted: Option<Vec<usize>> = spatial.iter().map(|&value| natural(value)).collect();
        let invalid = || Error::invalid(format!("{values:?} for {rank} spatial axes")).part(format!("attribute `{name}`"));
        converted.filter(|values| values.len() == rank).map(Some).ok_or_else(invalid)
    };
    let added = list("output_padding")?.unwrap_or_else(|| vec![0; rank]);
    let requested = list("output_shape")?;
    let auto_pad = b.string("auto_pad", "NOTSET")?;
    let pads = b.ints("pads")?;
    let too_large = || Error::invalid("its result is too large");
    // Without padding.
    let full = (0..rank).map(|axis| {
        let steps = window.strides[axis].checked_mul(input[axis].saturating_sub(1))?;
        steps.checked_add(window.extent(axis))?.checked_add(added[axis])
    });
    let full: Vec<usize> = full.collect::<Option<_>>().ok_or_else(too_large)?;
    let same = matches!(auto_pad.as_str(), "SAME_UPPER" | "SAME_LOWER");
    let scaled = || (0..rank).map(|axis| input[axis].checked_mul(window.strides[axis])).collect::<Option<Vec<_>>>();
    let output = match requested {
        Some(requested) => Some(requested),
        None if same => Some(scaled().ok_or_else(too_large)?),
        None => None,
    };
    if let Some(output) = output {
        for axis in 0..rank {
            let total = full[axis].saturating_sub(output[axis]);
            let (smaller, larger) = (total / 2, total - total / 2);
            window.pads[axis] = if auto_pad == "SAME_UPPER" { [smaller, larger] } else { [larger, smaller] };
        }
        return check_extents(output);
    }
    match auto_pad.as_str() {
        "NOTSET" | "" => {
            if let Some(pads) = pads {
                window.pads = window::explicit_pads(&pads, rank)?;
            }
        }
        "VALID" => {}
        other => return Err(Error::invalid(format!("`{other}` is not a padding")).part("attribute `auto_pad`")),
    }
    let output = (0..rank).map(|axis| full[axis].checked_sub(window.pads[axis][0])?.checked_sub(window.pads[axis][1]));
    check_extents(output.collect::<Option<_>>().unwrap_or_default())
}

fn check_extents(output: Vec<usize>) -> Result<Vec<usize>, Error> {
    let valid = !output.is_empty() && !output.contains(&0);
    if valid { Ok(output) } else { Err(Error::invalid("the padding leaves nothing of its result")) }
}

/// Types of x, weights and bias → the shape of the result with the given extents.
fn result_type(x: &Type, weights: &Type, bias: &Type, group: usize, spatial: &[usize]) -> Result<Vec<Type>, Error> {
    window::expect_float(&[x, weights, bias])?;
    let (channels, outputs) = (x.shape[spatial.len() + 1], weights.shape[0]);
    let per_group = weights.shape[spatial.len() + 1];
    if per_group.checked_mul(group) != Some(channels) || !outputs.is_multiple_of(group) || bias.shape != [outputs] {
        return Err(Error::invalid(format!(
            "x has {channels} channels, the weights {per_group} for each of {group} groups and {outputs} outputs, the \
             bias is {:?}",
            bias.shape
        )));
    }
    Ok(vec![Type::f32([&[x.shape[0]], spatial, &[outputs]].concat())])
}

impl Operator for ConvTranspose {
    fn name(&self) -> &'static str {
        "ConvTranspose"
    }

    fn infer(&self, inputs: &[&Type]) -> Result<Vec<Type>, Error> {
        let [x, weights, bias] = inputs else { return Err(Error::bug("ConvTranspose has three operands")) };
        result_type(x, weights, bias, self.group, &self.output)
    }

    fn built_in(&self) -> &'static [usize] {
        &[1, 2]
    }

    fn lower(&self, io: &Io<'_>) -> Result<Lowered, Error> {
        let [x, weights, bias] = io.inputs[..] else { return Err(Error::bug("ConvTranspose has three operands")) };
        let geometry = window::volume(&self.window, &x.ty, &io.output.ty)?;
        let group = self.group;
        if io.output.ty.dtype == DType::F32 {
            let (weights, bias) = (linear::constant_f32s(weights)?.to_vec(), linear::constant_f32s(bias)?.to_vec());
            return Ok(VolumeF32 { transposed: true, geometry, group, clamp: self.clamp, weights, bias }.into());
        }
        let linear = linear::quantize(x, weights, bias, io.output, &self.clamp)?;
        VolumeS8::lowered(true, geometry, group, linear, linear::scale_of(x)?.1)
    }
}

impl Operator for DynamicConv {
    fn name(&self) -> &'static str {
        if self.transposed.is_some() { "ConvTranspose" } else { "Conv" }
    }

    fn infer(&self, inputs: &[&Type]) -> Result<Vec<Type>, Error> {
        let [weights, bias, x] = inputs else { return Err(Error::bug("a convolution has three operands")) };
        let rank = window::spatial_rank(&x.shape, "input 0")?;
        let spatial = match &self.transposed {
            Some(output) => output.clone(),
            None => window::output(&self.window, &x.shape[1..=rank], false)?,
        };
        result_type(x, weights, bias, self.group, &spatial)
    }

    fn scales(&self) -> super::Scales {
        super::Scales::Float
    }

    fn lower(&self, io: &Io<'_>) -> Result<Lowered, Error> {
        let geometry = window::volume(&self.window, &io.inputs[2].ty, &io.output.ty)?;
        let (group, clamp) = (self.group, rt::Clamp::NONE);
        Ok(match self.transposed {
            None => DynamicConvF32 { geometry, group, clamp }.into(),
            Some(_) => DynamicConvTransposeF32 { geometry, group, clamp }.into(),
        })
    }
}

struct_literals! {
    Window3d { batch, input, output, kernel, stride, pad, dilation }
}

/// `conv3d_f32` or `conv_transpose_f32` with its constants.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct VolumeF32 {
    pub transposed: bool,
    pub geometry: rt::Window3d,
    pub group: usize,
    pub clamp: rt::Clamp,
    /// [outputs, kernel depth, height, width, channels / group]
    pub weights: Vec<f32>,
    pub bias: Vec<f32>,
}

/// Multiply-accumulates, those with the padding included.
fn macs(geometry: &rt::Window3d, transposed: bool, group: usize) -> u64 {
    let places: usize = if transposed { geometry.input } else { geometry.output }[..3].iter().product();
    let filters = geometry.kernel.iter().product::<usize>() * (geometry.input[3] / group) * geometry.output[3];
    (geometry.batch * places * filters) as u64
}

impl Routine for VolumeF32 {
    fn call(&self, _: DType) -> Call {
        Call::new(if self.transposed { "conv_transpose_f32" } else { "conv3d_f32" })
            .params(&self.geometry)
            .value(self.group)
            .named("_CLAMP", &self.clamp)
            .array("_WEIGHTS", Data::F32(self.weights.clone()))
            .array("_BIAS", Data::F32(self.bias.clone()))
    }

    fn run(&self, x: &[&Tensor], y: &mut Tensor) {
        let run = if self.transposed { rt::conv_transpose_f32 } else { rt::conv3d_f32 };
        let (x, y) = (f32::of(x[0]), f32::of_mut(y));
        run(&self.geometry, self.group, &self.clamp, &self.weights, &self.bias, x, y);
    }

    fn macs(&self) -> u64 {
        macs(&self.geometry, self.transposed, self.group)
    }
}

/// `conv3d_s8` or `conv_transpose_s8` with its constants.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct VolumeS8 {
    pub transposed: bool,
    pub geometry: rt::Window3d,
    pub group: usize,
    pub input_zero_point: i32,
    /// The bias has not taken up the zero point, as not every output has all taps.
    pub linear: Linear,
}

impl VolumeS8 {
    /// From a linear layer whose bias has taken up the input's zero point.
    pub fn lowered(
        transposed: bool,
        geometry: rt::Window3d,
        group: usize,
        mut linear: Linear,
        input_zero_point: i32,
    ) -> Result<Lowered, Error> {
        let row = linear.weights.len() / linear.bias.len().max(1);
        for (bias, weights) in linear.bias.iter_mut().zip(linear.weights.chunks_exact(row.max(1))) {
            let sum: i64 = weights.iter().map(|&w| i64::from(w)).sum();
            let magnitude: i64 = weights.iter().map(|&w| i64::from(w).abs()).sum();
            let own = i64::from(*bias) + i64::from(input_zero_point) * sum;
            if own.abs() + 255 * magnitude > i64::from(i32::MAX) {
                return Err(Error::unsupported(format!("{row} weights for one output overflow the 32-bit accumulator"))
                    .instead("fewer inputs, or float32"));
            }
            *bias = own as i32;
        }
        Ok(Self { transposed, geometry, group, input_zero_point, linear }.into())
    }
}

impl Routine for VolumeS8 {
    fn call(&self, _: DType) -> Call {
        Call::new(if self.transposed { "conv_transpose_s8" } else { "conv3d_s8" })
            .params(&self.geometry)
            .value(self.group)
            .named("_REQUANTIZE", &self.linear.requantize)
            .value(self.input_zero_point)
            .array("_WEIGHTS", Data::I8(self.linear.weights.clone()))
            .array("_BIAS", Data::I32(self.linear.bias.clone()))
            .array("_MULTIPLIERS", Data::I32(self.linear.multipliers.clone()))
    }

    fn run(&self, x: &[&Tensor], y: &mut Tensor) {
        let run = if self.transposed { rt::conv_transpose_s8 } else { rt::conv3d_s8 };
        let Linear { weights, bias, multipliers, requantize, .. } = &self.linear;
        let (p, zero_point) = (&self.geometry, self.input_zero_point);
        run(p, self.group, requantize, zero_point, weights, bias, multipliers, i8::of(x[0]), i8::of_mut(y));
    }

    fn macs(&self) -> u64 {
        macs(&self.geometry, self.transposed, self.group)
    }
}

routine! {
    /// `conv3d_f32` with weights that are operands.
    pub struct DynamicConvF32 { params "" geometry: rt::Window3d, value group: usize, params "_CLAMP" clamp: rt::Clamp }
    fn conv3d_f32(f32, f32, f32) -> f32
    ; macs |layer| macs(&layer.geometry, false, layer.group)
}

routine! {
    /// `conv_transpose_f32` with weights that are operands.
    pub struct DynamicConvTransposeF32 {
        params "" geometry: rt::Window3d,
        value group: usize,
        params "_CLAMP" clamp: rt::Clamp,
    }
    fn conv_transpose_f32(f32, f32, f32) -> f32
    ; macs |layer| macs(&layer.geometry, true, layer.group)
}
