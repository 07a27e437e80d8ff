//! ArgMax, ArgMin, TopK, Hardmax.
//!
//! <https://onnx.ai/onnx/operators/onnx__ArgMax.html>, opset 1 to 13, <https://onnx.ai/onnx/operators/onnx__TopK.html>,
//! opset 1 to 24, <https://onnx.ai/onnx/operators/onnx__Hardmax.html>, opset 1 to 13.

use mcuopt_rt::v0 as rt;

use super::reshape::axis;
use super::{Io, Lowered, Op, Operator, Overlap, Scales, gather, linear, softmax};
use crate::bounds::{Bounds, Known};
use crate::builder::Builder;
use crate::call::struct_literals;
use crate::error::Error;
use crate::graph::{Type, ValueId};
use crate::onnx;
use crate::tensor::DType;

/// Positions of the largest or smallest elements along an axis, which stays with extent 1.
#[derive(Clone, Debug, PartialEq)]
pub struct ArgExtreme {
    /// The axis.
    pub axis: usize,
    /// The largest, or the smallest.
    pub largest: bool,
    /// The last one among equals, or the first.
    pub last: bool,
    /// int64, as in the file, or int32.
    pub dtype: DType,
}

/// Positions of the `k` largest or smallest elements along an axis, the best ones first.
#[derive(Clone, Debug, PartialEq)]
pub struct TopK {
    /// The axis.
    pub axis: usize,
    /// How many.
    pub k: usize,
    /// The largest, or the smallest.
    pub largest: bool,
    /// int64, as in the file, or int32.
    pub dtype: DType,
}

/// 1 where the largest element along an axis stands, else 0.
#[derive(Clone, Debug, PartialEq)]
pub struct Hardmax {
    /// The axis.
    pub axis: usize,
}

/// ArgMax, ArgMin → ArgExtreme, Reshape; TopK → TopK, GatherElements; Hardmax → Hardmax.
pub fn import(node: &onnx::Node, b: &mut Builder<'_>) -> Result<Vec<ValueId>, Error> {
    match node.op_type.as_str() {
        "TopK" => import_top_k(b),
        "Hardmax" => {
            let x = b.input(0)?;
            softmax::along_axis(b, x, |axis| Hardmax { axis }.into())
        }
        name => {
            let x = b.input(0)?;
            let mut shape = b.shape(x).to_vec();
            let axis = axis(b.int("axis", 0)?, shape.len(), false)?;
            let (keep, last) = (b.int("keepdims", 1)? != 0, b.int("select_last_index", 0)? != 0);
            let y = b.push(ArgExtreme { axis, largest: name == "ArgMax", last, dtype: DType::I64 }, &[x])?;
            if keep {
                return Ok(vec![y]);
            }
            shape.remove(axis);
            Ok(vec![b.reshape(y, &shape)?])
        }
    }
}

fn import_top_k(b: &mut Builder<'_>) -> Result<Vec<ValueId>, Error> {
    let x = b.input(0)?;
    let shape = b.shape(x).to_vec();
    let axis = axis(b.int("axis", -1)?, shape.len(), false)?;
    let largest = b.int("largest", 1)? != 0;
    // Sorted results are among those that `sorted = 0` allows.
    b.int("sorted", 1)?;
    let k = match b.opset < 10 {
        true => vec![b.int("k", 0)?],
        false => b.integers(1)?.unwrap_or_default(),
    };
    let valid = match k[..] {
        [k] => usize::try_from(k).ok().filter(|&k| k <= shape[axis]),
        _ => None,
    };
    let k = valid.ok_or_else(|| Error::invalid(format!("k is {k:?}, and axis {axis} of {shape:?} is taken")))?;
    let indices = b.push(TopK { axis, k, largest, dtype: DType::I64 }, &[x])?;
    let values = b.push(gather::GatherElements { axis }, &[x, indices])?;
    Ok(vec![values, indices])
}

impl Operator for ArgExtreme {
    fn name(&self) -> &'static str {
        if self.largest { "ArgMax" } else { "ArgMin" }
    }

    fn infer(&self, inputs: &[&Type]) -> Result<Vec<Type>, Error> {
        let [x] = inputs else { return Err(Error::bug("ArgMax has one operand")) };
        let mut shape = x.shape.clone();
        if shape[self.axis] == 0 {
            return Err(Error::invalid(format!("axis {} of {shape:?} has no elements", self.axis)));
        }
        shape[self.axis] = 1;
        Ok(vec![Type { dtype: self.dtype, shape }])
    }

    fn bounds(&self, operands: &[Known<'_>]) -> Option<Bounds> {
        operands.first().map(|x| Bounds::positions(x.ty.shape[self.axis]))
    }

    fn narrowed(&self) -> Option<Op> {
        Some(Self { dtype: DType::I32, ..self.clone() }.into())
    }

    fn has_int16(&self) -> bool {
        true
    }

    fn lower(&self, io: &Io<'_>) -> Result<Lowered, Error> {
        let (rows, last) = (softmax::rows(&io.inputs[0].ty.shape, self.axis), self.last);
        Ok(if self.largest { ArgMax { rows, last }.into() } else { ArgMin { rows, last }.into() })
    }
}

impl Operator for TopK {
    fn name(&self) -> &'static str {
        "TopK"
    }

    fn infer(&self, inputs: &[&Type]) -> Result<Vec<Type>, Error> {
        let [x] = inputs else { return Err(Error::bug("TopK has one operand")) };
        let mut shape = x.shape.clone();
        shape[self.axis] = self.k;
        Ok(vec![Type { dtype: self.dtype, shape }])
    }

    fn bounds(&self, operands: &[Known<'_>]) -> Option<Bounds> {
        operands.first().map(|x| Bounds::positions(x.ty.shape[self.axis]))
    }

    fn narrowed(&self) -> Option<Op> {
        Some(Self { dtype: DType::I32, ..self.clone() }.into())
    }

    fn has_int16(&self) -> bool {
        true
    }

    fn lower(&self, io: &Io<'_>) -> Result<Lowered, Error> {
        let rows = softmax::rows(&io.inputs[0].ty.shape, self.axis);
        Ok(TopKPositions { geometry: rt::TopK { rows, k: self.k, largest: self.largest } }.into())
    }
}

impl Operator for Hardmax {
    fn name(&self) -> &'static str {
        "Hardmax"
    }

    fn infer(&self, inputs: &[&Type]) -> Result<Vec<Type>, Error> {
        let [x] = inputs else { return Err(Error::bug("Hardmax has one operand")) };
        super::window::expect_float(inputs)?;
        Ok(vec![(*x).clone()])
    }

    fn scales(&self) -> Scales {
        Scales::Fixed(1.0 / 127.0, 0)
    }

    fn has_int16(&self) -> bool {
        true
    }

    fn lower(&self, io: &Io<'_>) -> Result<Lowered, Error> {
        let rows = softmax::rows(&io.output.ty.shape, self.axis);
        if io.output.ty.dtype == DType::F32 {
            return Ok(HardmaxF32 { rows, zero: 0.0, one: 1.0 }.into());
        }
        let (scale, zero_point) = linear::scale_of(io.output)?;
        if io.output.ty.dtype == DType::I16 {
            let [zero, one] = [0.0, 1.0].map(|x| rt::quantize_f32_i16(x, scale, zero_point));
            return Ok(HardmaxS16 { rows, zero, one }.into());
        }
        let [zero, one] = [0.0, 1.0].map(|x| rt::quantize_f32(x, scale, zero_point));
        Ok(HardmaxS8 { rows, zero, one }.into())
    }
}

struct_literals! {
    TopK { rows, k, largest }
}

routine! {
    /// `arg_max` with its constants.
    pub struct ArgMax { params "" rows: rt::Rows, value last: bool }
    with [T: each_element of x[0]] [I: each_index of y]
    fn arg_max(T) -> I
}

routine! {
    /// `arg_min` with its constants.
    pub struct ArgMin { params "" rows: rt::Rows, value last: bool }
    with [T: each_element of x[0]] [I: each_index of y]
    fn arg_min(T) -> I
}

routine! {
    /// `top_k` with its geometry.
    pub struct TopKPositions { params "" geometry: rt::TopK }
    with [T: each_element of x[0]] [I: each_index of y]
    fn top_k(T) -> I
}

routine! {
    /// `hardmax` with its constants.
    pub struct HardmaxF32 { params "" rows: rt::Rows, value zero: f32, value one: f32 }
    fn hardmax(f32) -> f32
    ; overlap |kernel, operand| Overlap::Same
}

routine! {
    /// `hardmax` with its constants.
    pub struct HardmaxS8 { params "" rows: rt::Rows, value zero: i8, value one: i8 }
    fn hardmax(i8) -> i8
    ; overlap |kernel, operand| Overlap::Same
}

routine! {
    /// `hardmax` with its constants.
    pub struct HardmaxS16 { params "" rows: rt::Rows, value zero: i16, value one: i16 }
    fn hardmax(i16) -> i16
    ; overlap |kernel, operand| Overlap::Same
}
