//! Cast, CastLike: conversion to another element type.
//!
//! <https://onnx.ai/onnx/operators/onnx__Cast.html>, opset 6 on. Floats become integers towards zero and stop at the
//! ends of their range; what is not zero becomes true. All float types are float32.

use mcuopt_rt::v0 as rt;

use super::constant::dtype;
use super::unary::by_name;
use super::{Io, Lowered, Op, Operator, Overlap, Routine, Scales};
use crate::bounds::{Bounds, Known};
use crate::builder::Builder;
use crate::call::{Call, Constant};
use crate::error::Error;
use crate::graph::{Type, ValueId};
use crate::onnx;
use crate::tensor::{DType, Element, Tensor, each_element};

/// Conversion to another element type.
#[derive(Clone, Debug, PartialEq)]
pub struct Cast {
    /// The type to convert to.
    pub to: DType,
}

/// Cast, CastLike → Cast, or nothing where the type stays.
pub fn import(node: &onnx::Node, b: &mut Builder<'_>) -> Result<Vec<ValueId>, Error> {
    let x = b.input(0)?;
    // Both concern float types of 8 bits, which are float32 here.
    for ignored in ["saturate", "round_mode"] {
        b.attribute(ignored);
    }
    let to = if node.op_type == "CastLike" {
        b.graph.value(b.input(1)?).ty.dtype
    } else {
        match b.int("to", 0)? {
            UINT4 => return nibbles(b, x, DType::U8, [0.0, 15.0]),
            INT4 => return nibbles(b, x, DType::I8, [-8.0, 7.0]),
            _ => dtype(b, "to")?,
        }
    };
    Ok(vec![if b.graph.value(x).ty.dtype == to { x } else { b.push(Cast { to }, &[x])? }])
}

/// `TensorProto.DataType` of the types of four bits, which are wider in firmware.
const UINT4: i64 = 21;
const INT4: i64 = 22;

/// Floats as numbers of four bits: rounded, as ONNX's reference has it, and with the limits of their range.
fn nibbles(b: &mut Builder<'_>, x: ValueId, to: DType, limits: [f32; 2]) -> Result<Vec<ValueId>, Error> {
    if b.graph.value(x).ty.dtype != DType::F32 {
        return Err(Error::unsupported("integers of four bits from other integers").instead("from float"));
    }
    let [min, max] = limits.map(|limit| Some(b.constant(Tensor::scalar(limit))));
    let x = b.import("Clip", &[Some(x), min, max], Vec::new())?;
    let x = b.import("Round", &[Some(x)], Vec::new())?;
    Ok(vec![b.push(Cast { to }, &[x])?])
}

impl Operator for Cast {
    fn name(&self) -> &'static str {
        "Cast"
    }

    fn infer(&self, inputs: &[&Type]) -> Result<Vec<Type>, Error> {
        let [x] = inputs else { return Err(Error::bug("Cast has one operand")) };
        Ok(vec![Type { dtype: self.to, shape: x.shape.clone() }])
    }

    fn scales(&self) -> Scales {
        Scales::Float
    }

    fn pointwise(&self) -> bool {
        true
    }

    /// Floats have no bounds, and integers that the new type does not hold wrap around.
    fn bounds(&self, operands: &[Known<'_>]) -> Option<Bounds> {
        operands.first().filter(|x| x.ty.dtype != DType::F32).map(|x| x.bounds)
    }

    fn narrowed(&self) -> Option<Op> {
        (self.to == DType::I64).then(|| Self { to: DType::I32 }.into())
    }

    fn lower(&self, io: &Io<'_>) -> Result<Lowered, Error> {
        if self.to != DType::Bool && io.inputs[0].ty.dtype == io.output.ty.dtype {
            return Ok(Lowered::Alias);
        }
        Ok(CastLoop { from: io.inputs[0].ty.dtype, to: self.to }.into())
    }
}

/// `unary` with one of the functions that change an element's type.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct CastLoop {
    pub from: DType,
    pub to: DType,
}

impl Routine for CastLoop {
    fn call(&self, _: DType) -> Call {
        let mut call = Call::new("unary");
        call.constants.push(Constant::Value(by_name(if self.to == DType::Bool { "CastBool" } else { "Cast" })));
        call
    }

    fn run(&self, x: &[&Tensor], y: &mut Tensor) {
        let x = x[0];
        match self.to {
            DType::Bool => each_element!(x.dtype(), X => rt::unary(&rt::CastBool, X::of(x), u8::of_mut(y))),
            to => each_element!(x.dtype(), X => each_element!(to, Y => rt::unary(&rt::Cast, X::of(x), Y::of_mut(y)))),
        }
    }

    fn overlap(&self, _: usize) -> Overlap {
        if self.from == self.to.at_run_time() { Overlap::Same } else { Overlap::Never }
    }
}
