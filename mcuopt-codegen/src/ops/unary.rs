//! Functions of one element: activations. In int8 each is a table of 256 entries.
//!
//! <https://onnx.ai/onnx/operators/onnx__Relu.html> and its siblings, opset 6 on.

use mcuopt_rt::v0 as rt;
use proc_macro2::TokenStream;
use quote::quote;

use super::{Io, Lowered, Op, Operator, Overlap, Routine, Scales, f32s, f32s_mut, i8s, i8s_mut, linear, result, window};
use crate::builder::Builder;
use crate::call::{Call, Data, Literal};
use crate::error::Error;
use crate::graph::{Quantization, Type, ValueId};
use crate::onnx;
use crate::tensor::{DType, Tensor};

/// An elementwise function.
#[derive(Clone, Debug, PartialEq)]
pub struct Unary {
    /// Which one.
    pub function: rt::Unary,
}

/// An activation → Unary. Relu and Clip are both the function `Clamp`.
pub fn import(node: &onnx::Node, b: &mut Builder<'_>) -> Result<Vec<ValueId>, Error> {
    let x = b.input(0)?;
    let function = match node.op_type.as_str() {
        "Relu" => rt::Unary::Clamp { min: 0.0, max: f32::INFINITY },
        "Clip" => clip(b)?,
        "LeakyRelu" => rt::Unary::LeakyRelu { alpha: b.float("alpha", 0.01)? },
        "Elu" => rt::Unary::Elu { alpha: b.float("alpha", 1.0)? },
        "Sigmoid" => rt::Unary::Sigmoid,
        "HardSigmoid" => rt::Unary::HardSigmoid { alpha: b.float("alpha", 0.2)?, beta: b.float("beta", 0.5)? },
        "HardSwish" => rt::Unary::HardSwish,
        "Tanh" => rt::Unary::Tanh,
        "Exp" => rt::Unary::Exp,
        "Log" => rt::Unary::Log,
        "Neg" => rt::Unary::Neg,
        "Abs" => rt::Unary::Abs,
        other => return Err(Error::bug(format!("{other} is no function of one element"))),
    };
    Ok(vec![b.push(Unary { function }, &[x])?])
}

/// The limits are attributes up to opset 10, operands since.
fn clip(b: &Builder<'_>) -> Result<rt::Unary, Error> {
    let (lowest, highest) = (f32::NEG_INFINITY, f32::INFINITY);
    let (min, max) = match b.opset < 11 {
        true => (b.float("min", lowest)?, b.float("max", highest)?),
        false => (b.scalar(1)?.unwrap_or(lowest), b.scalar(2)?.unwrap_or(highest)),
    };
    // ONNX: where min is above max, everything becomes max.
    Ok(rt::Unary::Clamp { min: min.min(max), max })
}

/// Whether `op` changes no number that a quantization can represent: quantizing alone limits the values.
pub fn is_identity(op: &Op, quantization: &Quantization) -> bool {
    let (Op::Unary(Unary { function: rt::Unary::Clamp { min, max } }), Some((scale, zero_point))) =
        (op, quantization.single())
    else {
        return false;
    };
    let real = |q: i8| rt::dequantize(q, scale, zero_point);
    real(i8::MIN) >= *min && real(i8::MAX) <= *max
}

impl Operator for Unary {
    fn name(&self) -> &'static str {
        match self.function {
            rt::Unary::Clamp { min, max } if min == 0.0 && max == f32::INFINITY => "Relu",
            rt::Unary::Clamp { .. } => "Clip",
            rt::Unary::LeakyRelu { .. } => "LeakyRelu",
            rt::Unary::Elu { .. } => "Elu",
            rt::Unary::Sigmoid => "Sigmoid",
            rt::Unary::HardSigmoid { .. } => "HardSigmoid",
            rt::Unary::HardSwish => "HardSwish",
            rt::Unary::Tanh => "Tanh",
            rt::Unary::Exp => "Exp",
            rt::Unary::Log => "Log",
            rt::Unary::Neg => "Neg",
            rt::Unary::Abs => "Abs",
            _ => "Unary",
        }
    }

    fn infer(&self, inputs: &[&Type]) -> Result<Vec<Type>, Error> {
        let [x] = inputs else { return Err(Error::bug("one operand is needed")) };
        window::expect_float(inputs)?;
        Ok(vec![(*x).clone()])
    }

    fn eval(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>, Error> {
        result(inputs[0].shape(), f32s(inputs[0]).iter().map(|&x| self.function.apply(x)).collect())
    }

    fn scales(&self) -> Scales {
        match self.function {
            rt::Unary::Sigmoid | rt::Unary::HardSigmoid { .. } => Scales::Fixed(1.0 / 256.0, -128),
            rt::Unary::Tanh => Scales::Fixed(1.0 / 128.0, 0),
            _ => Scales::Calibrated,
        }
    }

    fn lower(&self, io: &Io<'_>) -> Result<Lowered, Error> {
        if io.output.ty.dtype == DType::F32 {
            return Ok(UnaryF32 { function: self.function }.into());
        }
        let [(x_scale, x_zero_point), (scale, zero_point)] =
            [linear::scale_of(io.inputs[0])?, linear::scale_of(io.output)?];
        let entry = |q: i8| {
            let y = self.function.apply(rt::dequantize(q, x_scale, x_zero_point));
            rt::quantize_f32(y, scale, zero_point)
        };
        let table: Vec<i8> = (i8::MIN..=i8::MAX).map(entry).collect();
        // A Relu whose input's quantization holds no negative number, say.
        if table.iter().copied().eq(i8::MIN..=i8::MAX) {
            return Ok(Lowered::Alias);
        }
        Ok(LutS8 { table }.into())
    }
}

impl Literal for rt::Unary {
    fn ty(&self) -> TokenStream {
        quote!(rt::Unary)
    }

    fn literal(&self) -> TokenStream {
        // The derived Debug form of a variant is its expression, but for floats that are not finite.
        match self {
            rt::Unary::Clamp { min, max } => {
                let (min, max) = (min.literal(), max.literal());
                quote!(rt::Unary::Clamp { min: #min, max: #max })
            }
            other => {
                let variant: TokenStream = format!("{other:?}").parse().unwrap_or_default();
                quote!(rt::Unary::#variant)
            }
        }
    }
}

/// `unary_f32` with its constants.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct UnaryF32 {
    pub function: rt::Unary,
}

impl Routine for UnaryF32 {
    fn call(&self, _: DType) -> Call {
        Call::inlined("unary_f32").params(&self.function)
    }

    fn run(&self, x: &[&Tensor], y: &mut Tensor) {
        rt::unary_f32(&self.function, f32s(x[0]), f32s_mut(y));
    }

    fn overlap(&self, _: usize) -> Overlap {
        Overlap::Same
    }
}

/// `lut_s8` with its table.
#[derive(Clone, Debug)]
pub struct LutS8 {
    /// The output for −128, −127, … 127.
    pub table: Vec<i8>,
}

impl Routine for LutS8 {
    fn call(&self, _: DType) -> Call {
        Call::inlined("lut_s8").array("_TABLE", Data::I8(self.table.clone()))
    }

    fn run(&self, x: &[&Tensor], y: &mut Tensor) {
        let mut table = [0; 256];
        table.copy_from_slice(&self.table);
        rt::lut_s8(&table, i8s(x[0]), i8s_mut(y));
    }

    fn overlap(&self, _: usize) -> Overlap {
        Overlap::Same
    }
}
