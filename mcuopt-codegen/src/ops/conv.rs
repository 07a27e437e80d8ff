//! Conv: convolution of any spatial rank, group, stride, dilation and padding.
//!
//! <https://onnx.ai/onnx/operators/onnx__Conv.html>, opset 1, 11, 22. In the graph it is channels-last: x `[batch,
//! spatial…, channels]`, weights `[outputs, kernel…, channels / group]`, bias `[outputs]`.

use mcuopt_rt::v0 as rt;

use super::conv_transpose::{DynamicConv, VolumeF32, VolumeS8};
use super::linear::{self, Linear, Scaled};
use super::window::{self, Direction};
use super::{Io, Lowered, Operator, Overlap, Routine, f32s, f32s_mut, i8s, i8s_mut, i16s, i16s_mut, result};
use crate::builder::Builder;
use crate::call::{Call, Data, Literal as _, struct_literals};
use crate::error::Error;
use crate::graph::{Type, Value, ValueId};
use crate::onnx;
use crate::reference::{Window, dot, multiply_add};
use crate::tensor::{DType, Tensor};

/// A channels-last convolution, with the activation that follows it as a clamp.
#[derive(Clone, Debug, PartialEq)]
pub struct Conv {
    /// The sliding window.
    pub window: Window,
    /// Number of groups that the channels are divided into.
    pub group: usize,
    /// Limits of the output.
    pub clamp: rt::Clamp,
}

/// Conv → Transpose, Conv (or DynamicConv), Transpose: the layout becomes channels-last here and nowhere else.
pub fn import(_: &onnx::Node, b: &mut Builder<'_>) -> Result<Vec<ValueId>, Error> {
    let (x, weights) = (b.input(0)?, b.input(1)?);
    let rank = window::spatial_rank(b.shape(x), "input 0")?;
    if b.shape(weights).len() != rank + 2 {
        return Err(Error::invalid(format!("its shape is {:?}, but x is {:?}", b.shape(weights), b.shape(x))).part("input 1"));
    }
    let kernel = b.shape(weights)[2..].to_vec();
    let window = window::import(b, x, Some(kernel))?;
    let group = window::group(b)?;
    let outputs = b.shape(weights)[0];
    let bias = window::bias(b, outputs)?;
    let x = b.transpose(x, &Direction::ToLast.perm(rank))?;
    let weights = b.transpose(weights, &Direction::ToLast.perm(rank))?;
    let y = if [weights, bias].iter().all(|id| b.graph.constant(*id).is_some()) {
        b.push(Conv { window, group, clamp: rt::Clamp::NONE }, &[x, weights, bias])?
    } else {
        b.push(DynamicConv { window, group, transposed: None }, &[weights, bias, x])?
    };
    Ok(vec![b.transpose(y, &Direction::ToFirst.perm(rank))?])
}

impl Conv {
    /// Whether each output channel reads one input channel of several.
    fn is_depthwise(&self, channels: usize) -> bool {
        self.group == channels && channels > 1
    }

    /// The geometry for mcuopt-rt, one- and two-dimensional.
    fn geometry(&self, x: &Type, y: &Type) -> Result<rt::Conv2d, Error> {
        let plane = window::Plane::new(&self.window, x, y)?;
        Ok(rt::Conv2d {
            batch: plane.batch,
            input: plane.input,
            output: plane.output,
            kernel: plane.kernel,
            stride: plane.stride,
            pad: plane.pad,
            dilation: plane.dilation,
            groups: self.group,
        })
    }
}

impl Operator for Conv {
    fn name(&self) -> &'static str {
        "Conv"
    }

    fn infer(&self, inputs: &[&Type]) -> Result<Vec<Type>, Error> {
        let [x, weights, bias] = inputs else { return Err(Error::bug("Conv has three operands")) };
        window::expect_float(inputs)?;
        let rank = window::spatial_rank(&x.shape, "input 0")?;
        let (channels, outputs) = (x.shape[rank + 1], weights.shape[0]);
        let per_group = weights.shape[rank + 1];
        if per_group.checked_mul(self.group) != Some(channels) || !outputs.is_multiple_of(self.group) {
            return Err(Error::invalid(format!(
                "x has {channels} channels, the weights {per_group} for each of {} groups and {outputs} outputs",
                self.group
            )));
        }
        if bias.shape != [outputs] {
            return Err(Error::invalid(format!("its shape is {:?} for {outputs} outputs", bias.shape)).part("input 2"));
        }
        let spatial = window::output(&self.window, &x.shape[1..=rank], false)?;
        let shape = [&[x.shape[0]], spatial.as_slice(), &[outputs]].concat();
        Ok(vec![Type::f32(shape)])
    }

    fn eval(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>, Error> {
        let types: Vec<_> = inputs.iter().map(|tensor| Type::f32(tensor.shape())).collect();
        let ty = self.infer(&types.iter().collect::<Vec<_>>())?.remove(0);
        let rank = ty.shape.len() - 2;
        let shape = inputs[0].shape();
        let (spatial, channels) = (&shape[1..=rank], shape[rank + 1]);
        let (windows, outputs) = (&ty.shape[1..=rank], ty.shape[rank + 1]);
        let [x, weights, bias] = [f32s(inputs[0]), f32s(inputs[1]), f32s(inputs[2])];
        let mut y = vec![0f32; ty.len()];
        let image = spatial.iter().product::<usize>() * channels;
        let feature_map = windows.iter().product::<usize>() * outputs;
        for (x, y) in x.chunks_exact(image.max(1)).zip(y.chunks_exact_mut(feature_map.max(1))) {
            if self.is_depthwise(channels) {
                self.eval_depthwise((x, spatial, channels), weights, bias, (y, windows, outputs));
            } else {
                self.eval_dense((x, spatial, channels), weights, bias, (y, windows, outputs));
            }
        }
        for y in &mut y {
            *y = self.clamp.apply(*y);
        }
        result(&ty.shape, y)
    }

    fn built_in(&self) -> &'static [usize] {
        &[1, 2]
    }

    fn has_int16(&self) -> bool {
        self.window.kernel.len() <= 2
    }

    fn packs_weights(&self) -> bool {
        self.window.kernel.len() <= 2
    }

    fn lower(&self, io: &Io<'_>) -> Result<Lowered, Error> {
        let [x, weights, bias] = io.inputs[..] else { return Err(Error::bug("Conv has three operands")) };
        if self.window.kernel.len() > 2 {
            return self.lower_volume(io, x, weights, bias);
        }
        let geometry = self.geometry(&x.ty, &io.output.ty)?;
        let depthwise = self.is_depthwise(geometry.input[2]);
        if io.output.ty.dtype == DType::F32 {
            let clamp = self.clamp;
            if let Some(mut linear) = Scaled::new(weights, bias)? {
                if depthwise {
                    linear.weights = taps_first(&linear.weights, &geometry);
                }
                return Ok(ConvF32W8 { geometry, depthwise, clamp, linear }.into());
            }
            let (weights, bias) = (linear::constant_f32s(weights)?.to_vec(), linear::constant_f32s(bias)?.to_vec());
            return Ok(if depthwise {
                DepthwiseF32 { weights: taps_first(&weights, &geometry), geometry, clamp, bias }.into()
            } else {
                ConvF32 { geometry, clamp, weights, bias }.into()
            });
        }
        if io.output.ty.dtype == DType::I16 {
            let pad_value = linear::scale_of(x)?.1 as i16;
            let mut linear = linear::quantize(x, weights, bias, io.output, &self.clamp)?;
            if depthwise {
                linear.weights = taps_first(&linear.weights, &geometry);
            }
            return Ok(ConvS16 { geometry, depthwise, pad_value, linear }.into());
        }
        let pad_value = linear::scale_of(x)?.1 as i8;
        let mut linear = linear::quantize(x, weights, bias, io.output, &self.clamp)?;
        Ok(if depthwise {
            linear.weights = taps_first(&linear.weights, &geometry);
            DepthwiseS8 { geometry, pad_value, linear }.into()
        } else {
            ConvS8 { geometry, pad_value, linear }.into()
        })
    }
}

impl Conv {
    /// Three axes.
    fn lower_volume(&self, io: &Io<'_>, x: &Value, weights: &Value, bias: &Value) -> Result<Lowered, Error> {
        let geometry = window::volume(&self.window, &x.ty, &io.output.ty)?;
        let (transposed, group, clamp) = (false, self.group, self.clamp);
        if io.output.ty.dtype == DType::F32 {
            let (weights, bias) = (linear::constant_f32s(weights)?.to_vec(), linear::constant_f32s(bias)?.to_vec());
            return Ok(VolumeF32 { transposed, geometry, group, clamp, weights, bias }.into());
        }
        let linear = linear::quantize(x, weights, bias, io.output, &clamp)?;
        VolumeS8::lowered(transposed, geometry, group, linear, linear::scale_of(x)?.1)
    }
}

/// One image: elements, spatial extents, channels.
type Image<'a> = (&'a [f32], &'a [usize], usize);
/// One result, likewise.
type ImageMut<'a> = (&'a mut [f32], &'a [usize], usize);

impl Conv {
    fn eval_dense(&self, (x, spatial, channels): Image<'_>, weights: &[f32], bias: &[f32], y: ImageMut<'_>) {
        let (y, windows, outputs) = y;
        let per_group = channels / self.group;
        let group_outputs = outputs / self.group;
        let taps = self.window.kernel.iter().product::<usize>();
        let mut column = vec![0f32; taps * per_group];
        self.window.visit(spatial, windows, |index, inside| {
            for group in 0..self.group {
                column.fill(0.0);
                for &(tap, pixel) in inside {
                    let source = pixel * channels + group * per_group;
                    column[tap * per_group..(tap + 1) * per_group].copy_from_slice(&x[source..source + per_group]);
                }
                for output in group * group_outputs..(group + 1) * group_outputs {
                    let row = &weights[output * column.len()..(output + 1) * column.len()];
                    y[index * outputs + output] = bias[output] + dot(&column, row);
                }
            }
        });
    }

    fn eval_depthwise(&self, (x, spatial, channels): Image<'_>, weights: &[f32], bias: &[f32], y: ImageMut<'_>) {
        let (y, windows, outputs) = y;
        let multiplier = outputs / channels;
        let taps = self.window.kernel.iter().product::<usize>();
        let weights: Vec<f32> = (0..taps * outputs).map(|i| weights[i % outputs * taps + i / outputs]).collect();
        let mut pixel_channels = vec![0f32; outputs];
        self.window.visit(spatial, windows, |index, inside| {
            let y = &mut y[index * outputs..(index + 1) * outputs];
            y.copy_from_slice(bias);
            for &(tap, pixel) in inside {
                let pixel = &x[pixel * channels..(pixel + 1) * channels];
                let weights = &weights[tap * outputs..(tap + 1) * outputs];
                if multiplier == 1 {
                    multiply_add(y, pixel, weights);
                } else {
                    for (output, value) in pixel_channels.iter_mut().enumerate() {
                        *value = pixel[output / multiplier];
                    }
                    multiply_add(y, &pixel_channels, weights);
                }
            }
        });
    }
}

/// Depthwise weights [outputs, taps] as the kernels of mcuopt-rt want them: [taps, outputs].
fn taps_first<T: Copy>(weights: &[T], geometry: &rt::Conv2d) -> Vec<T> {
    let outputs = geometry.output[2];
    let taps = geometry.kernel[0] * geometry.kernel[1];
    (0..taps * outputs).map(|i| weights[i % outputs * taps + i / outputs]).collect()
}

fn macs(geometry: &rt::Conv2d) -> u64 {
    let outputs: usize = geometry.output.iter().product();
    let taps = geometry.kernel[0] * geometry.kernel[1] * (geometry.input[2] / geometry.groups);
    (geometry.batch * outputs * taps) as u64
}

struct_literals! {
    Conv2d { batch, input, output, kernel, stride, pad, dilation, groups }
    Clamp { min, max }
    Requantize { left_shift, zero_point, min, max }
    RequantizeS16 { left_shift, zero_point, min, max }
}

/// `conv2d_f32` with its constants.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct ConvF32 {
    pub geometry: rt::Conv2d,
    pub clamp: rt::Clamp,
    /// [outputs, kernel height, kernel width, channels / group]
    pub weights: Vec<f32>,
    pub bias: Vec<f32>,
}

impl Routine for ConvF32 {
    fn call(&self, _: DType) -> Call {
        Call::inlined("conv2d_f32")
            .params(&self.geometry)
            .named("_CLAMP", &self.clamp)
            .array("_WEIGHTS", Data::F32(self.weights.clone()))
            .array("_BIAS", Data::F32(self.bias.clone()))
    }

    fn run(&self, x: &[&Tensor], y: &mut Tensor) {
        rt::conv2d_f32(&self.geometry, &self.clamp, &self.weights, &self.bias, f32s(x[0]), f32s_mut(y));
    }

    fn macs(&self) -> u64 {
        macs(&self.geometry)
    }
}

/// `depthwise_f32` with its constants.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct DepthwiseF32 {
    pub geometry: rt::Conv2d,
    pub clamp: rt::Clamp,
    /// [kernel height, kernel width, outputs]
    pub weights: Vec<f32>,
    pub bias: Vec<f32>,
}

impl Routine for DepthwiseF32 {
    fn call(&self, _: DType) -> Call {
        Call::inlined("depthwise_f32")
            .params(&self.geometry)
            .named("_CLAMP", &self.clamp)
            .array("_WEIGHTS", Data::F32(self.weights.clone()))
            .array("_BIAS", Data::F32(self.bias.clone()))
    }

    fn run(&self, x: &[&Tensor], y: &mut Tensor) {
        rt::depthwise_f32(&self.geometry, &self.clamp, &self.weights, &self.bias, f32s(x[0]), f32s_mut(y));
    }

    fn macs(&self) -> u64 {
        macs(&self.geometry)
    }
}

/// `conv2d_f32_w8` or `depthwise_f32_w8` with its constants; weights as in [`ConvF32`] and [`DepthwiseF32`].
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct ConvF32W8 {
    pub geometry: rt::Conv2d,
    pub depthwise: bool,
    pub clamp: rt::Clamp,
    pub linear: Scaled,
}

impl Routine for ConvF32W8 {
    fn call(&self, _: DType) -> Call {
        let function = if self.depthwise { "depthwise_f32_w8" } else { "conv2d_f32_w8" };
        self.linear.arguments(Call::inlined(function).params(&self.geometry).named("_CLAMP", &self.clamp))
    }

    fn run(&self, x: &[&Tensor], y: &mut Tensor) {
        let run = if self.depthwise { rt::depthwise_f32_w8 } else { rt::conv2d_f32_w8 };
        let Scaled { weights, bias, scales } = &self.linear;
        run(&self.geometry, &self.clamp, weights, bias, scales, f32s(x[0]), f32s_mut(y));
    }

    fn macs(&self) -> u64 {
        macs(&self.geometry)
    }
}

/// `ConvS16` with its constants; weights as in [`ConvS8`] and [`DepthwiseS8`].
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct ConvS16 {
    pub geometry: rt::Conv2d,
    pub depthwise: bool,
    /// What padded taps read: the input's zero point.
    pub pad_value: i16,
    pub linear: Linear<rt::RequantizeS16>,
}

impl ConvS16 {
    fn chosen(&self, linear: &rt::LinearS16<'_>, prefer: rt::Prefer, arch: rt::Arch) -> rt::ConvS16 {
        let choose = match (self.depthwise, self.linear.four_bits) {
            (false, false) => rt::ConvS16::choose,
            (false, true) => rt::ConvS16::choose_w4,
            (true, false) => rt::ConvS16::choose_depthwise,
            (true, true) => rt::ConvS16::choose_depthwise_w4,
        };
        choose(&self.geometry, self.pad_value, linear, prefer, arch)
    }
}

impl Routine for ConvS16 {
    fn call(&self, _: DType) -> Call {
        let params = vec![linear::by_reference(&self.geometry), self.pad_value.literal()];
        let choose = match self.depthwise {
            true => ["choose_depthwise", "choose_depthwise_w4"],
            false => ["choose", "choose_w4"],
        };
        self.linear.call("ConvS16::run", "ConvS16", choose, params)
    }

    fn choice(&self, prefer: rt::Prefer, arch: rt::Arch) -> Option<rt::Choice> {
        Some(self.linear.with_bytes(|linear| self.chosen(linear, prefer, arch).choice()))
    }

    fn run(&self, x: &[&Tensor], y: &mut Tensor) {
        self.linear.run_s16(|linear, prefer, arch| self.chosen(linear, prefer, arch), i16s(x[0]), i16s_mut(y));
    }

    fn overlap(&self, _: usize) -> Overlap {
        match self.depthwise {
            true if rt::ConvS16::works_in_place(&self.geometry) => Overlap::Same,
            true => Overlap::Never,
            false => Overlap::Ahead(2 * self.geometry.distance()),
        }
    }

    fn macs(&self) -> u64 {
        macs(&self.geometry)
    }
}

/// `conv2d_s8` with its constants; weights [outputs, kernel height, kernel width, channels / group].
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct ConvS8 {
    pub geometry: rt::Conv2d,
    /// What padded taps read: the input's zero point.
    pub pad_value: i8,
    pub linear: Linear,
}

impl Routine for ConvS8 {
    fn call(&self, _: DType) -> Call {
        let params = vec![linear::by_reference(&self.geometry), self.pad_value.literal()];
        self.linear.call("ConvS8::run", "ConvS8", ["choose", "choose_w4"], params)
    }

    fn choice(&self, prefer: rt::Prefer, arch: rt::Arch) -> Option<rt::Choice> {
        let choose = if self.linear.four_bits { rt::ConvS8::choose_w4 } else { rt::ConvS8::choose };
        let choice = |linear: &rt::LinearS8<'_>| choose(&self.geometry, self.pad_value, linear, prefer, arch).choice();
        Some(self.linear.with_bytes(choice))
    }

    fn run(&self, x: &[&Tensor], y: &mut Tensor) {
        let Linear { weights, bias, multipliers, requantize, .. } = &self.linear;
        rt::conv2d_s8(&self.geometry, requantize, self.pad_value, weights, bias, multipliers, i8s(x[0]), i8s_mut(y));
    }

    fn overlap(&self, _: usize) -> Overlap {
        Overlap::Ahead(self.geometry.distance())
    }

    fn macs(&self) -> u64 {
        macs(&self.geometry)
    }
}

/// `depthwise_s8` with its constants; weights [kernel height, kernel width, outputs].
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct DepthwiseS8 {
    pub geometry: rt::Conv2d,
    /// What padded taps read: the input's zero point.
    pub pad_value: i8,
    pub linear: Linear,
}

impl Routine for DepthwiseS8 {
    fn call(&self, _: DType) -> Call {
        let params = vec![linear::by_reference(&self.geometry), self.pad_value.literal()];
        self.linear.call("DepthwiseS8::run", "DepthwiseS8", ["choose", "choose_w4"], params)
    }

    fn choice(&self, prefer: rt::Prefer, arch: rt::Arch) -> Option<rt::Choice> {
        let choose = if self.linear.four_bits { rt::DepthwiseS8::choose_w4 } else { rt::DepthwiseS8::choose };
        let choice = |linear: &rt::LinearS8<'_>| choose(&self.geometry, self.pad_value, linear, prefer, arch).choice();
        Some(self.linear.with_bytes(choice))
    }

    fn run(&self, x: &[&Tensor], y: &mut Tensor) {
        let Linear { weights, bias, multipliers, requantize, .. } = &self.linear;
        rt::depthwise_s8(&self.geometry, requantize, self.pad_value, weights, bias, multipliers, i8s(x[0]), i8s_mut(y));
    }

    fn overlap(&self, _: usize) -> Overlap {
        if rt::DepthwiseS8::works_in_place(&self.geometry) { Overlap::Same } else { Overlap::Never }
    }

    fn macs(&self) -> u64 {
        macs(&self.geometry)
    }
}
