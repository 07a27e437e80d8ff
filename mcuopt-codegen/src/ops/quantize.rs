//! QuantizeLinear and DequantizeLinear: how a file says in which integers its author wants a tensor.
//!
//! <https://onnx.ai/onnx/operators/onnx__QuantizeLinear.html> and
//! <https://onnx.ai/onnx/operators/onnx__DequantizeLinear.html>, opset 10 to 23. A pair of them on an activation
//! becomes the activation's quantization in `simplify`; on a constant it becomes the constant's at once.

use mcuopt_rt::v0 as rt;

use super::reshape::axis;
use super::{Io, Lowered, Operator, Overlap, Routine, Scales, f32s, f32s_mut, i8s, i8s_mut, linear, result};
use crate::builder::Builder;
use crate::call::{Call, struct_literals};
use crate::error::Error;
use crate::graph::{Quantization, Type, ValueId};
use crate::onnx;
use crate::tensor::{DType, Tensor};

/// Float → integers.
#[derive(Clone, Debug, PartialEq)]
pub struct QuantizeLinear {
    /// Scales, and zero points as the file has them.
    pub quantization: Quantization,
    /// int8 or uint8.
    pub dtype: DType,
}

/// Integers → float.
#[derive(Clone, Debug, PartialEq)]
pub struct DequantizeLinear {
    /// Scales, and zero points as the file has them.
    pub quantization: Quantization,
}

/// Rounds a float tensor to what a quantization can represent: QuantizeLinear and DequantizeLinear in one.
#[derive(Clone, Debug, PartialEq)]
pub struct FakeQuantize {
    /// Scale.
    pub scale: f32,
    /// Zero point, of int8.
    pub zero_point: i32,
}

/// The quantization in int8 that stands for the same reals.
pub fn in_int8(quantization: &Quantization, dtype: DType) -> Quantization {
    let shift = if dtype == DType::U8 { 128 } else { 0 };
    let zero_points = quantization.zero_points.iter().map(|zero_point| zero_point - shift).collect();
    Quantization { zero_points, ..quantization.clone() }
}

/// QuantizeLinear, DequantizeLinear → themselves; a dequantized constant keeps its quantization.
pub fn import(node: &onnx::Node, b: &mut Builder<'_>) -> Result<Vec<ValueId>, Error> {
    let x = b.input(0)?;
    let ty = b.graph.value(x).ty.clone();
    for ignored in ["saturate", "precision", "output_dtype"] {
        b.attribute(ignored);
    }
    if b.int("block_size", 0)? != 0 {
        let error = Error::unsupported("blocks of weights with a scale each").instead("one scale for each channel");
        return Err(error.part("attribute `block_size`"));
    }
    let scales = b.optional(1)?.and_then(|id| b.graph.constant(id)).and_then(Tensor::f32s).map(<[f32]>::to_vec);
    let scales = scales.ok_or_else(|| {
        Error::unsupported("the scale is computed at run time").instead("a constant scale").part("input 1")
    })?;
    if let Some(scale) = scales.iter().find(|scale| !(scale.is_finite() && **scale > 0.0)) {
        return Err(Error::invalid(format!("the scale {scale} is not a positive number")).part("input 1"));
    }
    if let Some(id) = b.optional(2)?.filter(|id| b.graph.value(*id).ty.dtype == DType::F32) {
        let part = format!("input 2 (`{}`)", b.graph.value(id).name);
        return Err(Error::unsupported("a zero point of type float8").instead("int8 or uint8").part(part));
    }
    let zero_points = match b.integers(2)? {
        Some(values) => values.iter().map(|&value| value as i32).collect(),
        None => vec![0; scales.len()],
    };
    let axis_attribute = b.int("axis", 1)?;
    let axis = if scales.len() == 1 { 0 } else { axis(axis_attribute, ty.shape.len(), false)? };
    if zero_points.len() != scales.len() || (scales.len() > 1 && ty.shape[axis] != scales.len()) {
        let message = format!("{} scales and {} zero points for {:?}", scales.len(), zero_points.len(), ty.shape);
        return Err(Error::invalid(message));
    }
    let quantization = Quantization { scales, zero_points, axis };
    if node.op_type == "DequantizeLinear" {
        let zero_point = b.optional(2)?.map_or(ty.dtype, |id| b.graph.value(id).ty.dtype);
        if zero_point != ty.dtype {
            return Err(Error::invalid(format!("the zero point is {zero_point}, x is {}", ty.dtype)).part("input 2"));
        }
        let y = b.push(DequantizeLinear { quantization: quantization.clone() }, &[x])?;
        if b.graph.constant(y).is_some() && matches!(ty.dtype, DType::I8 | DType::U8) {
            b.graph.value_mut(y).quantization = Some(in_int8(&quantization, ty.dtype));
        }
        return Ok(vec![y]);
    }
    let named = b.int("output_dtype", 0)?;
    let from_zero_point = b.optional(2)?.map(|id| b.graph.value(id).ty.dtype);
    let dtype = match (onnx::dtype(named), from_zero_point) {
        (None, _) if named != 0 => None,
        (Some(named), Some(other)) if named != other => None,
        (named, other) => Some(other.or(named).unwrap_or(DType::U8)),
    };
    let Some(dtype @ (DType::I8 | DType::U8)) = dtype else {
        let other = dtype.map_or("an element type of its own".to_string(), |dtype| dtype.to_string());
        return Err(Error::unsupported(format!("quantization to {other}")).instead("int8 or uint8"));
    };
    Ok(vec![b.push(QuantizeLinear { quantization, dtype }, &[x])?])
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
        let in_int8 = in_int8(&self.quantization, self.dtype);
        let channel = channels(&in_int8, shape);
        let integers: Vec<i8> = f32s(inputs[0])
            .iter()
            .enumerate()
            .map(|(index, &x)| rt::quantize_f32(x, in_int8.scales[channel(index)], in_int8.zero_points[channel(index)]))
            .collect();
        match self.dtype {
            DType::U8 => result(shape, integers.iter().map(|&q| (i32::from(q) + 128) as u8).collect::<Vec<u8>>()),
            _ => result(shape, integers),
        }
    }

    fn lower(&self, _: &Io<'_>) -> Result<Lowered, Error> {
        Err(Error::unsupported("integers that are used as such").instead("QuantizeLinear followed by DequantizeLinear"))
    }
}

impl Operator for DequantizeLinear {
    fn name(&self) -> &'static str {
        "DequantizeLinear"
    }

    fn infer(&self, inputs: &[&Type]) -> Result<Vec<Type>, Error> {
        match inputs[0].dtype {
            // Constants of float8 are floats by now.
            DType::F32 | DType::Bool => Err(Error::unsupported(format!("quantized elements of type {}", inputs[0].dtype))
                .instead("int8 or uint8")
                .part("input 0")),
            _ => Ok(vec![Type::f32(inputs[0].shape.clone())]),
        }
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

    fn lower(&self, _: &Io<'_>) -> Result<Lowered, Error> {
        Err(Error::unsupported("integers that no QuantizeLinear made").instead("a float input"))
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
        let round = |x: f32| rt::dequantize(rt::quantize_f32(x, self.scale, self.zero_point), self.scale, self.zero_point);
        result(inputs[0].shape(), f32s(inputs[0]).iter().map(|&x| round(x)).collect())
    }

    fn scales(&self) -> Scales {
        Scales::Authored(self.scale, self.zero_point)
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
        let (x_scale, input_zero_point) = linear::scale_of(x)?;
        let factor = f64::from(x_scale) / f64::from(scale);
        let left_shift = rt::left_shift_for(factor);
        let requantize = rt::Requantize { left_shift, zero_point, min: i8::MIN, max: i8::MAX };
        Ok(Requantize { requantize, multiplier: rt::multiplier(factor, left_shift), input_zero_point }.into())
    }
}

struct_literals! {
    Quantization { scale, zero_point }
}

/// `quantize_f32_s8` with its constants.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Quantize {
    pub quantization: rt::Quantization,
}

impl Routine for Quantize {
    fn call(&self, _: DType) -> Call {
        Call::inlined("quantize_f32_s8").params(&self.quantization)
    }

    fn run(&self, x: &[&Tensor], y: &mut Tensor) {
        rt::quantize_f32_s8(&self.quantization, f32s(x[0]), i8s_mut(y));
    }
}

/// `dequantize_s8_f32` with its constants.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Dequantize {
    pub quantization: rt::Quantization,
}

impl Routine for Dequantize {
    fn call(&self, _: DType) -> Call {
        Call::inlined("dequantize_s8_f32").params(&self.quantization)
    }

    fn run(&self, x: &[&Tensor], y: &mut Tensor) {
        rt::dequantize_s8_f32(&self.quantization, i8s(x[0]), f32s_mut(y));
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
