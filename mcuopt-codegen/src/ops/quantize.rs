//! QuantizeLinear and DequantizeLinear: how a file says in which integers its author wants a tensor.
//!
//! <https://onnx.ai/onnx/operators/onnx__QuantizeLinear.html> and
//! <https://onnx.ai/onnx/operators/onnx__DequantizeLinear.html>, opset 10 to 23, and their elder twins of the domain
//! com.microsoft. A pair of them on an activation becomes the activation's quantization in `simplify`; on a constant it
//! becomes the constant's at once. What has several scales, or a scale known at run time only, is converted as it is
//! written, and computed in float between.

use mcuopt_rt::v0 as rt;

use super::reshape::axis;
use super::{Io, Lowered, Operator, Overlap, Routine, Scales, f32s, f32s_mut, i8s, i8s_mut, i16s, i16s_mut};
use super::{linear, result};
use crate::builder::Builder;
use crate::call::{Call, struct_literals};
use crate::error::Error;
use crate::graph::{Graph, Node, Quantization, Type, Value, ValueId, Width};
use crate::onnx;
use crate::ops::Op;
use crate::ops::unary::{Function, Unary};
use crate::tensor::{DType, Tensor};

/// Float → integers of 8 or 16 bits, with one scale.
#[derive(Clone, Debug, PartialEq)]
pub struct QuantizeLinear {
    /// Scale, and zero point as the file has it.
    pub quantization: Quantization,
    /// int8, uint8, int16 or uint16.
    pub dtype: DType,
}

/// Integers → float: constants of any type, and activations of 8 or 16 bits with one scale.
#[derive(Clone, Debug, PartialEq)]
pub struct DequantizeLinear {
    /// Scales, and zero points as the file has them.
    pub quantization: Quantization,
    /// The type of the integers.
    pub dtype: DType,
}

/// Float → integers by operands: scales, zero points, x.
#[derive(Clone, Debug, PartialEq)]
pub struct QuantizeBy {
    /// Axis of several scales.
    pub axis: usize,
    /// Positions along the axis that share a scale; 0 where the scales have no other axis.
    pub block: usize,
    /// The smallest and the largest integer.
    pub limits: [i32; 2],
}

/// Integers → float by operands: scales, zero points, x.
#[derive(Clone, Debug, PartialEq)]
pub struct DequantizeBy {
    /// Axis of several scales.
    pub axis: usize,
    /// Positions along the axis that share a scale; 0 where the scales have no other axis.
    pub block: usize,
}

/// Rounds a float tensor to what a quantization can represent: QuantizeLinear and DequantizeLinear in one.
#[derive(Clone, Debug, PartialEq)]
pub struct FakeQuantize {
    /// One scale, of int8 or int16.
    pub quantization: Quantization,
}

/// The quantization in signed integers of as many bits that stands for the same reals.
pub fn signed(quantization: &Quantization, dtype: DType) -> Quantization {
    let (shift, width) = match dtype {
        DType::U8 => (128, Width::Int8),
        DType::U16 => (1 << 15, Width::Int16),
        DType::I16 => (0, Width::Int16),
        _ => (0, Width::Int8),
    };
    let zero_points = quantization.zero_points.iter().map(|zero_point| zero_point - shift).collect();
    Quantization { zero_points, width, ..quantization.clone() }
}

/// QuantizeLinear, DequantizeLinear → themselves; a dequantized constant keeps its quantization.
pub fn import(node: &onnx::Node, b: &mut Builder<'_>) -> Result<Vec<ValueId>, Error> {
    for ignored in ["saturate", "precision"] {
        b.attribute(ignored);
    }
    let x = b.input(0)?;
    let (scale, zero_point) = (b.input(1)?, b.optional(2)?);
    let layout = Layout { axis: b.int("axis", 1)?, block: b.int("block_size", 0)? };
    if node.op_type == "DequantizeLinear" {
        b.attribute("output_dtype");
        return Ok(vec![dequantize(b, x, scale, zero_point, layout)?]);
    }
    let code = b.int("output_dtype", 0)?;
    let named = onnx::dtype(code);
    let from_zero_point = zero_point.map(|id| b.graph.value(id).ty.dtype);
    let dtype = match (named, from_zero_point) {
        (None, _) if code != 0 => Err("an element type of its own".to_string()),
        (Some(named), Some(other)) if named != other => Err(format!("{named} with a zero point of type {other}")),
        (named, other) => Ok(other.or(named).unwrap_or(DType::U8)),
    };
    match dtype {
        Ok(dtype @ (DType::I8 | DType::U8 | DType::I16 | DType::U16)) => {
            Ok(vec![quantize(b, x, scale, zero_point, dtype, layout)?])
        }
        Ok(DType::F32) => Err(Error::unsupported("a zero point of type float8").instead("int8 or uint8").part("input 2")),
        Ok(other) => Err(Error::unsupported(format!("quantization to {other}")).instead("int8, uint8, int16 or uint16")),
        Err(what) => Err(Error::unsupported(format!("quantization to {what}")).instead("int8 or uint8")),
    }
}

/// Along which axis a tensor has several scales.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// The axis; without meaning for a single scale.
    pub axis: i64,
    /// Positions along the axis that share a scale; 0 where the scales have no other axis.
    pub block: i64,
}

impl Layout {
    /// One scale, or one for each position along the axis.
    pub fn along(axis: i64) -> Self {
        Self { axis, block: 0 }
    }

    /// Axis and block, checked against the shapes.
    fn resolved(self, x: &[usize], scale: &[usize]) -> Result<(usize, usize), Error> {
        let count: usize = scale.iter().product();
        if count == 1 && self.block == 0 {
            return Ok((0, 0));
        }
        let along = axis(self.axis, x.len(), false)?;
        let block = usize::try_from(self.block).map_err(|_| Error::invalid("it is negative").part("attribute `block_size`"))?;
        let mut expected = vec![x[along]];
        if block > 0 {
            expected = x.to_vec();
            expected[along] = x[along].div_ceil(block);
        }
        match scale == expected {
            true => Ok((along, block)),
            false => Err(Error::invalid(format!("scales of shape {scale:?} for {x:?} along axis {along}")).part("input 1")),
        }
    }
}

/// The scales, if they are known; they must be positive.
fn known_scales(b: &Builder<'_>, scale: ValueId) -> Result<Option<Vec<f32>>, Error> {
    let Some(scales) = b.graph.constant(scale) else { return Ok(None) };
    let scales = scales.f32s().ok_or_else(|| Error::invalid("a scale is a float").part("input 1"))?;
    match scales.iter().find(|scale| !(scale.is_finite() && **scale > 0.0)) {
        Some(scale) => Err(Error::invalid(format!("the scale {scale} is not a positive number")).part("input 1")),
        None => Ok(Some(scales.to_vec())),
    }
}

/// Scales and zero points that are known, and the number of them that fits.
fn known(
    b: &Builder<'_>,
    shape: &[usize],
    scale: ValueId,
    zero_point: Option<ValueId>,
    layout: Layout,
) -> Result<Option<Quantization>, Error> {
    let (axis, block) = layout.resolved(shape, b.shape(scale))?;
    let scales = known_scales(b, scale)?;
    if let Some(id) = zero_point
        && b.shape(id).iter().product::<usize>() != b.shape(scale).iter().product::<usize>()
    {
        let (scale, zero_point) = (b.shape(scale), b.shape(id));
        return Err(Error::invalid(format!("scales of shape {scale:?} and zero points of shape {zero_point:?}")));
    }
    let zero_points = match zero_point {
        None => scales.as_ref().map(|scales| vec![0; scales.len()]),
        Some(id) => b.graph.constant(id).and_then(Tensor::to_i64s).map(|v| v.iter().map(|&v| v as i32).collect()),
    };
    let known = scales.zip(zero_points).filter(|_| block == 0);
    Ok(known.map(|(scales, zero_points)| Quantization { scales, zero_points, axis, width: Width::Int8 }))
}

/// Zero points, or as many zeros as there are scales.
fn zero_points(b: &mut Builder<'_>, scale: ValueId, zero_point: Option<ValueId>, dtype: DType) -> ValueId {
    let zeros = Tensor::zeros(dtype, b.shape(scale));
    zero_point.unwrap_or_else(|| b.constant(zeros))
}

/// The smallest and the largest integer of a type.
fn limits(dtype: DType, four_bits: bool) -> [i32; 2] {
    match dtype {
        DType::I8 if four_bits => [-8, 7],
        DType::U8 if four_bits => [0, 15],
        DType::I8 => [i8::MIN.into(), i8::MAX.into()],
        DType::I16 => [i16::MIN.into(), i16::MAX.into()],
        DType::U16 => [0, u16::MAX.into()],
        _ => [0, u8::MAX.into()],
    }
}

/// Float → integers of a type.
pub fn quantize(
    b: &mut Builder<'_>,
    x: ValueId,
    scale: ValueId,
    zero_point: Option<ValueId>,
    dtype: DType,
    layout: Layout,
) -> Result<ValueId, Error> {
    let shape = b.shape(x).to_vec();
    let known = known(b, &shape, scale, zero_point, layout)?;
    let plain = matches!(dtype, DType::I8 | DType::U8 | DType::I16);
    match known.filter(|known| known.single().is_some() && plain) {
        Some(quantization) if b.four_bits => push_clipped(b, x, quantization, dtype, limits(dtype, true)),
        Some(quantization) => b.push(QuantizeLinear { quantization, dtype }, &[x]),
        None => {
            let (axis, block) = layout.resolved(&shape, b.shape(scale))?;
            let zero_point = zero_points(b, scale, zero_point, dtype);
            b.push(QuantizeBy { axis, block, limits: limits(dtype, b.four_bits) }, &[scale, zero_point, x])
        }
    }
}

/// Quantizes what was limited to the reals of the smallest and the largest integer: that rounds to the same integers as
/// limiting these would, and the layer before can take real limits.
fn push_clipped(
    b: &mut Builder<'_>,
    x: ValueId,
    quantization: Quantization,
    dtype: DType,
    limits: [i32; 2],
) -> Result<ValueId, Error> {
    let (scale, zero_point) = single(&quantization)?;
    let [min, max] = limits.map(|q| (i64::from(q) - i64::from(zero_point)) as f32 * scale);
    let clipped = b.push(Unary { function: Function::clip(min, max) }, &[x])?;
    b.push(QuantizeLinear { quantization, dtype }, &[clipped])
}

/// Clip(QuantizeLinear(x)): how files narrow integers to fewer bits, or to 127 levels. `None` if `integers` were not just
/// quantized with one scale, or limits are not constant.
pub fn clip_before_rounding(
    b: &mut Builder<'_>,
    integers: ValueId,
    limits: [Option<ValueId>; 2],
) -> Result<Option<ValueId>, Error> {
    let producer = b.graph.nodes.iter().rev().find(|node| node.outputs.contains(&integers));
    let Some(Node { op: Op::QuantizeLinear(quantize), inputs, .. }) = producer.cloned() else { return Ok(None) };
    let [smallest, largest] = self::limits(quantize.dtype, false);
    let mut known = [smallest, largest];
    for (known, limit) in known.iter_mut().zip(limits) {
        let Some(limit) = limit else { continue };
        let constant = b.graph.constant(limit).and_then(Tensor::to_i64s);
        let Some(&[limit]) = constant.as_deref() else { return Ok(None) };
        *known = limit.clamp(smallest.into(), largest.into()) as i32;
    }
    // ONNX: where the lower limit is above the upper one, everything becomes the upper one.
    let [min, max] = known;
    push_clipped(b, inputs[0], quantize.quantization, quantize.dtype, [min.min(max), max]).map(Some)
}

/// Whether integers, less their zero point, are those of int4.
fn fit_four_bits(integers: &Tensor, quantization: &Quantization) -> bool {
    let (min, max) = Width::Int4.limits();
    let within = |q: i64| (i64::from(min)..=i64::from(max)).contains(&q);
    quantization.zero_points.iter().all(|zero_point| *zero_point == 0)
        && integers.to_i64s().is_some_and(|integers| integers.into_iter().all(within))
}

/// Integers → float; a constant keeps its quantization.
pub fn dequantize(
    b: &mut Builder<'_>,
    x: ValueId,
    scale: ValueId,
    zero_point: Option<ValueId>,
    layout: Layout,
) -> Result<ValueId, Error> {
    let Type { dtype, shape } = b.graph.value(x).ty.clone();
    let other = zero_point.map_or(dtype, |id| b.graph.value(id).ty.dtype);
    // Constants of float8 are floats by now.
    if !matches!(dtype, DType::I8 | DType::U8 | DType::I16 | DType::U16 | DType::I32) {
        let error = Error::unsupported(format!("quantized elements of type {dtype}")).instead("int8 or uint8");
        return Err(error.part("input 0"));
    }
    if other != dtype {
        return Err(Error::invalid(format!("the zero point is {other}, x is {dtype}")).part("input 2"));
    }
    let known = known(b, &shape, scale, zero_point, layout)?;
    let is_short = matches!(dtype, DType::I8 | DType::U8 | DType::I16);
    let is_constant = b.graph.constant(x).is_some();
    match known.filter(|known| is_constant || (is_short && known.single().is_some())) {
        Some(quantization) => {
            let y = b.push(DequantizeLinear { quantization: quantization.clone(), dtype }, &[x])?;
            if is_constant && matches!(dtype, DType::I8 | DType::U8) {
                let mut quantization = signed(&quantization, dtype);
                if b.four_bits {
                    // uint4 is int4 with its zero point lowered by 8, which is 120 less than uint8's.
                    let shift = if dtype == DType::U8 { 120 } else { 0 };
                    quantization.zero_points.iter_mut().for_each(|zero_point| *zero_point += shift);
                    quantization.width = Width::Int4;
                }
                // Tools that train with four bits store these as int8.
                if dtype == DType::I8 && b.graph.constant(x).is_some_and(|x| fit_four_bits(x, &quantization)) {
                    quantization.width = Width::Int4;
                }
                b.graph.value_mut(y).quantization = Some(quantization);
            }
            Ok(y)
        }
        None => {
            let (axis, block) = layout.resolved(&shape, b.shape(scale))?;
            let zero_point = zero_points(b, scale, zero_point, dtype);
            b.push(DequantizeBy { axis, block }, &[scale, zero_point, x])
        }
    }
}

/// Turns a QuantizeLinear into one that leaves its operand in float.
pub fn detach(graph: &mut Graph<Op>, index: usize) {
    let Op::QuantizeLinear(QuantizeLinear { quantization, dtype }) = graph.nodes[index].op.clone() else { return };
    let Some((scale, zero_point)) = quantization.single() else { return };
    let name = graph.nodes[index].name.clone();
    let zero_point = match dtype {
        DType::I8 => Tensor::new(&[], vec![zero_point as i8]),
        DType::I16 => Tensor::new(&[], vec![zero_point as i16]),
        _ => Tensor::new(&[], vec![zero_point as u8]),
    };
    let scale = graph.add_constant(&name, Tensor::scalar(scale));
    let operands = zero_point.map(|zero_point| [scale, graph.add_constant(&name, zero_point)]);
    let node = &mut graph.nodes[index];
    node.op = QuantizeBy { axis: 0, block: 0, limits: limits(dtype, false) }.into();
    node.inputs.splice(0..0, operands.into_iter().flatten());
}

/// Which scale each element has.
fn scaling(x: &[usize], scale: &[usize], axis: usize, block: usize) -> rt::Scaling {
    if scale.iter().product::<usize>() == 1 {
        return rt::Scaling { shape: [1, 1, x.iter().product()], block: 1, strides: [0; 3] };
    }
    let (outer, inner) = (x[..axis].iter().product(), x[axis + 1..].iter().product());
    let strides = if block == 0 { [0, 1, 0] } else { [scale[axis] * inner, inner, 1] };
    rt::Scaling { shape: [outer, x[axis], inner], block: block.max(1), strides }
}

/// The index into the scales of each element.
fn channels<'a>(quantization: &'a Quantization, shape: &'a [usize]) -> impl Fn(usize) -> usize + 'a {
    let inner: usize = shape.get(quantization.axis + 1..).unwrap_or_default().iter().product();
    move |element| if quantization.scales.len() == 1 { 0 } else { element / inner.max(1) % quantization.scales.len() }
}

impl Operator for QuantizeLinear {
    fn name(&self) -> &'static str {
        "QuantizeLinear"
    }

    fn infer(&self, inputs: &[&Type]) -> Result<Vec<Type>, Error> {
        super::window::expect_float(inputs)?;
        Ok(vec![Type { dtype: self.dtype, shape: inputs[0].shape.clone() }])
    }

    fn eval(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>, Error> {
        let shape = inputs[0].shape();
        let signed = signed(&self.quantization, self.dtype);
        let integers: Vec<i32> = f32s(inputs[0]).iter().map(|&x| signed.round(x).unwrap_or_default()).collect();
        match self.dtype {
            DType::U8 => result(shape, integers.iter().map(|&q| (q + 128) as u8).collect::<Vec<u8>>()),
            DType::I16 => result(shape, integers.iter().map(|&q| q as i16).collect::<Vec<i16>>()),
            _ => result(shape, integers.iter().map(|&q| q as i8).collect::<Vec<i8>>()),
        }
    }

    fn lower(&self, io: &Io<'_>) -> Result<Lowered, Error> {
        let x = io.inputs[0];
        let target = signed(&self.quantization, self.dtype);
        let (scale, zero_point) = single(&target)?;
        match (x.ty.dtype, self.dtype) {
            (DType::I8 | DType::I16, _) if x.quantization.as_ref() != Some(&target) => {
                Err(Error::bug("integers of another scale than those of the result"))
            }
            (DType::I8, DType::I8) | (DType::I16, DType::I16) => Ok(Lowered::Alias),
            (DType::I8, _) => Ok(FlipSign {}.into()),
            (_, DType::I8 | DType::I16) => Ok(Quantize { quantization: rt::Quantization { scale, zero_point } }.into()),
            _ => Ok(QuantizeU8::new(x, &self.quantization).into()),
        }
    }
}

impl Operator for DequantizeLinear {
    fn name(&self) -> &'static str {
        "DequantizeLinear"
    }

    fn infer(&self, inputs: &[&Type]) -> Result<Vec<Type>, Error> {
        Ok(vec![Type::f32(inputs[0].shape.clone())])
    }

    fn eval(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>, Error> {
        let shape = inputs[0].shape();
        let channel = channels(&self.quantization, shape);
        let real = |index: usize, q: i64| {
            let zero_point = i64::from(self.quantization.zero_points[channel(index)]);
            (q - zero_point) as f32 * self.quantization.scales[channel(index)]
        };
        let integers = inputs[0].to_i64s().unwrap_or_default();
        result(shape, integers.into_iter().enumerate().map(|(index, q)| real(index, q)).collect())
    }

    fn scales(&self) -> Scales {
        match self.quantization.single() {
            Some(_) => Scales::Authored(signed(&self.quantization, self.dtype)),
            None => Scales::Float,
        }
    }

    fn lower(&self, io: &Io<'_>) -> Result<Lowered, Error> {
        let x = io.inputs[0];
        let (scale, zero_point) = single(&self.quantization)?;
        match (io.output.ty.dtype, self.dtype) {
            (DType::I8, DType::I8) | (DType::I16, DType::I16) => Ok(Lowered::Alias),
            (DType::I8, _) => Ok(FlipSign {}.into()),
            (_, DType::I8 | DType::I16) => {
                let from = Width::of(self.dtype).unwrap_or_default();
                Ok(Dequantize { quantization: rt::Quantization { scale, zero_point }, from }.into())
            }
            _ => Ok(DequantizeU8::new(x, &self.quantization).into()),
        }
    }
}

fn single(quantization: &Quantization) -> Result<(f32, i32), Error> {
    quantization.single().ok_or_else(|| Error::bug("one scale is needed"))
}

impl Operator for QuantizeBy {
    fn name(&self) -> &'static str {
        "QuantizeLinear"
    }

    fn infer(&self, inputs: &[&Type]) -> Result<Vec<Type>, Error> {
        let [scale, zero_point, x] = inputs else { return Err(Error::bug("QuantizeLinear has three operands")) };
        super::window::expect_float(&[x, scale])?;
        Ok(vec![Type { dtype: zero_point.dtype, shape: x.shape.clone() }])
    }

    fn scales(&self) -> Scales {
        Scales::Float
    }

    fn lower(&self, io: &Io<'_>) -> Result<Lowered, Error> {
        let (x, scale) = (&io.inputs[2].ty.shape, &io.inputs[0].ty.shape);
        let [min, max] = self.limits;
        Ok(QuantizeScaled { scaling: scaling(x, scale, self.axis, self.block), min, max }.into())
    }
}

impl Operator for DequantizeBy {
    fn name(&self) -> &'static str {
        "DequantizeLinear"
    }

    fn infer(&self, inputs: &[&Type]) -> Result<Vec<Type>, Error> {
        let [scale, _, x] = inputs else { return Err(Error::bug("DequantizeLinear has three operands")) };
        super::window::expect_float(&[scale])?;
        Ok(vec![Type::f32(x.shape.clone())])
    }

    fn scales(&self) -> Scales {
        Scales::Float
    }

    fn lower(&self, io: &Io<'_>) -> Result<Lowered, Error> {
        let (x, scale) = (&io.inputs[2].ty.shape, &io.inputs[0].ty.shape);
        Ok(DequantizeScaled { scaling: scaling(x, scale, self.axis, self.block) }.into())
    }
}

impl Operator for FakeQuantize {
    fn name(&self) -> &'static str {
        "QuantizeLinear"
    }

    fn infer(&self, inputs: &[&Type]) -> Result<Vec<Type>, Error> {
        super::window::expect_float(inputs)?;
        Ok(vec![inputs[0].clone()])
    }

    fn eval(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>, Error> {
        let (scale, zero_point) = single(&self.quantization)?;
        let round = |x: f32| (self.quantization.round(x).unwrap_or_default() - zero_point) as f32 * scale;
        result(inputs[0].shape(), f32s(inputs[0]).iter().map(|&x| round(x)).collect())
    }

    fn scales(&self) -> Scales {
        Scales::Authored(self.quantization.clone())
    }

    fn pointwise(&self) -> bool {
        true
    }

    fn lower(&self, io: &Io<'_>) -> Result<Lowered, Error> {
        let x = io.inputs[0];
        if io.output.ty.dtype == DType::F32 || x.quantization == io.output.quantization {
            return Ok(Lowered::Alias);
        }
        let (scale, zero_point) = linear::scale_of(io.output)?;
        if x.ty.dtype == DType::F32 {
            return Ok(Quantize { quantization: rt::Quantization { scale, zero_point } }.into());
        }
        requantize(x, io.output)
    }
}

/// From one quantization to another.
pub fn requantize(x: &Value, y: &Value) -> Result<Lowered, Error> {
    let (x_scale, input_zero_point) = linear::scale_of(x)?;
    let (scale, zero_point) = linear::scale_of(y)?;
    let factor = f64::from(x_scale) / f64::from(scale);
    let (none, output) = (rt::Clamp::NONE, (scale, zero_point));
    Ok(match (x.ty.dtype, y.ty.dtype) {
        (DType::I16, DType::I16) => RequantizeS16::new(x, y, &none)?.into(),
        (DType::I16, _) => {
            let (requantize, multiplier) = linear::rescale(factor, &none, output);
            RequantizeS16S8 { requantize, multiplier, input_zero_point }.into()
        }
        (_, DType::I16) => {
            let (requantize, multiplier) = linear::rescale(factor, &none, output);
            RequantizeS8S16 { requantize, multiplier, input_zero_point }.into()
        }
        _ => {
            let (requantize, multiplier) = linear::rescale(factor, &none, output);
            Requantize { requantize, multiplier, input_zero_point }.into()
        }
    })
}

routine! {
    /// `requantize_s16` with its constants: to another scale, or a clamp.
    pub struct RequantizeS16 { params "" requantize: rt::RequantizeS16, value multiplier: i32, value input_zero_point: i32 }
    fn requantize_s16(i16) -> i16
    ; overlap |_kernel, _operand| Overlap::Same
}

impl RequantizeS16 {
    /// From int16 to int16.
    pub fn new(x: &Value, y: &Value, clamp: &rt::Clamp) -> Result<Self, Error> {
        let ((x_scale, input_zero_point), output) = (linear::scale_of(x)?, linear::scale_of(y)?);
        let (requantize, multiplier) = linear::rescale(f64::from(x_scale) / f64::from(output.0), clamp, output);
        Ok(Self { requantize, multiplier, input_zero_point })
    }
}

routine! {
    /// `requantize_s8_s16` with its constants: from int8 to int16.
    pub struct RequantizeS8S16 { params "" requantize: rt::RequantizeS16, value multiplier: i32, value input_zero_point: i32 }
    fn requantize_s8_s16(i8) -> i16
}

routine! {
    /// `requantize_s16_s8` with its constants: from int16 to int8.
    pub struct RequantizeS16S8 { params "" requantize: rt::Requantize, value multiplier: i32, value input_zero_point: i32 }
    fn requantize_s16_s8(i16) -> i8
}

struct_literals! {
    Quantization { scale, zero_point }
    Scaling { shape, block, strides }
}

routine! {
    /// `quantize_linear` with scales and zero points as operands.
    pub struct QuantizeScaled { params "" scaling: rt::Scaling, value min: i32, value max: i32 }
    with [T: each_quantized of y]
    fn quantize_linear(f32, T, f32) -> T
}

routine! {
    /// `dequantize_linear` with scales and zero points as operands.
    pub struct DequantizeScaled { params "" scaling: rt::Scaling }
    with [T: each_quantized of x[2]]
    fn dequantize_linear(f32, T, T) -> f32
}

routine! {
    /// `quantize_linear` to uint8 with one scale.
    pub struct QuantizeU8 {
        params "" scaling: rt::Scaling,
        value min: i32,
        value max: i32,
        array "_SCALE" scales: Vec<f32>,
        array "_ZERO_POINT" zero_points: Vec<u8>,
    }
    fn quantize_linear(f32) -> u8
}

routine! {
    /// `dequantize_linear` from uint8 with one scale.
    pub struct DequantizeU8 {
        params "" scaling: rt::Scaling,
        array "_SCALE" scales: Vec<f32>,
        array "_ZERO_POINT" zero_points: Vec<u8>,
    }
    fn dequantize_linear(u8) -> f32
}

impl QuantizeU8 {
    fn new(x: &Value, quantization: &Quantization) -> Self {
        let DequantizeU8 { scaling, scales, zero_points } = DequantizeU8::new(x, quantization);
        let [min, max] = limits(DType::U8, false);
        Self { scaling, min, max, scales, zero_points }
    }
}

impl DequantizeU8 {
    fn new(x: &Value, quantization: &Quantization) -> Self {
        let zero_points = quantization.zero_points.iter().map(|&zero_point| zero_point as u8).collect();
        let scaling = scaling(&x.ty.shape, &[], 0, 0);
        Self { scaling, scales: quantization.scales.clone(), zero_points }
    }
}

routine! {
    /// `flip_sign`: between the file's uint8 and int8.
    pub struct FlipSign {}
    with [T: each_byte of x[0]] [U: each_byte of y]
    fn flip_sign(T) -> U;
    overlap |_kernel, _operand| Overlap::Same
}

/// `quantize_f32_s8` or `quantize_f32_s16` with its constants.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Quantize {
    pub quantization: rt::Quantization,
}

impl Routine for Quantize {
    fn call(&self, output: DType) -> Call {
        match output {
            DType::I16 => Call::new("quantize_f32_s16").params(&self.quantization),
            _ => Call::inlined("quantize_f32_s8").params(&self.quantization),
        }
    }

    fn run(&self, x: &[&Tensor], y: &mut Tensor) {
        match y.dtype() {
            DType::I16 => rt::quantize_f32_s16(&self.quantization, f32s(x[0]), i16s_mut(y)),
            _ => rt::quantize_f32_s8(&self.quantization, f32s(x[0]), i8s_mut(y)),
        }
    }
}

/// `dequantize_s8_f32` or `dequantize_s16_f32` with its constants.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Dequantize {
    pub quantization: rt::Quantization,
    /// The width of the operand.
    pub from: Width,
}

impl Routine for Dequantize {
    fn call(&self, _: DType) -> Call {
        match self.from {
            Width::Int16 => Call::new("dequantize_s16_f32").params(&self.quantization),
            _ => Call::inlined("dequantize_s8_f32").params(&self.quantization),
        }
    }

    fn run(&self, x: &[&Tensor], y: &mut Tensor) {
        match self.from {
            Width::Int16 => rt::dequantize_s16_f32(&self.quantization, i16s(x[0]), f32s_mut(y)),
            _ => rt::dequantize_s8_f32(&self.quantization, i8s(x[0]), f32s_mut(y)),
        }
    }
}

/// `requantize_s8` with its constants: to another scale.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Requantize {
    pub requantize: rt::Requantize,
    pub multiplier: i32,
    pub input_zero_point: i32,
}

impl Routine for Requantize {
    fn call(&self, _: DType) -> Call {
        let call = Call::inlined("requantize_s8").params(&self.requantize);
        call.value(self.multiplier).value(self.input_zero_point)
    }

    fn run(&self, x: &[&Tensor], y: &mut Tensor) {
        rt::requantize_s8(&self.requantize, self.multiplier, self.input_zero_point, i8s(x[0]), i8s_mut(y));
    }

    fn overlap(&self, _: usize) -> Overlap {
        Overlap::Same
    }
}
