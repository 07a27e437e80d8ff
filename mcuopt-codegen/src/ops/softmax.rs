//! Softmax and LogSoftmax.
//!
//! <https://onnx.ai/onnx/operators/onnx__Softmax.html>, opset 1 to 13.

use mcuopt_rt::v0 as rt;

use super::reshape::axis;
use super::{Io, Lowered, Op, Operator, Overlap, Routine, Scales, f32s, f32s_mut, i8s, i8s_mut, i16s, i16s_mut};
use super::{linear, result, window};
use crate::builder::Builder;
use crate::call::{Call, Data, struct_literals};
use crate::error::Error;
use crate::graph::{Type, ValueId};
use crate::onnx;
use crate::tensor::{DType, Tensor};

/// Softmax along an axis, or its logarithm.
#[derive(Clone, Debug, PartialEq)]
pub struct Softmax {
    /// The axis.
    pub axis: usize,
    /// Whether it is LogSoftmax.
    pub log: bool,
}

/// Softmax → Softmax; before opset 13, over all axes from `axis` on, hence between two Reshapes.
pub fn import(node: &onnx::Node, b: &mut Builder<'_>) -> Result<Vec<ValueId>, Error> {
    let x = b.input(0)?;
    let log = node.op_type == "LogSoftmax";
    along_axis(b, x, |axis| Softmax { axis, log }.into())
}

/// An operator along the attribute `axis`, before opset 13 along all axes from it on, as one.
pub fn along_axis(b: &mut Builder<'_>, x: ValueId, op: impl Fn(usize) -> Op) -> Result<Vec<ValueId>, Error> {
    let shape = b.shape(x).to_vec();
    if b.opset >= 13 {
        let axis = axis(b.int("axis", -1)?, shape.len(), false)?;
        return Ok(vec![b.push(op(axis), &[x])?]);
    }
    let axis = axis(b.int("axis", 1)?, shape.len(), true)?;
    let flat = [shape[..axis].iter().product(), shape[axis..].iter().product()];
    let x = b.reshape(x, &flat)?;
    let y = b.push(op(1), &[x])?;
    Ok(vec![b.reshape(y, &shape)?])
}

/// The rows along an axis.
pub fn rows(shape: &[usize], axis: usize) -> rt::Rows {
    let product = |extents: &[usize]| extents.iter().product::<usize>();
    rt::Rows { outer: product(&shape[..axis]), len: shape[axis], inner: product(&shape[axis + 1..]) }
}

impl Operator for Softmax {
    fn name(&self) -> &'static str {
        if self.log { "LogSoftmax" } else { "Softmax" }
    }

    fn infer(&self, inputs: &[&Type]) -> Result<Vec<Type>, Error> {
        let [x] = inputs else { return Err(Error::bug("Softmax has one operand")) };
        window::expect_float(inputs)?;
        Ok(vec![(*x).clone()])
    }

    fn eval(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>, Error> {
        let rows = rows(inputs[0].shape(), self.axis);
        let x = f32s(inputs[0]);
        let mut y = vec![0f32; x.len()];
        for outer in 0..rows.outer {
            for inner in 0..rows.inner {
                let at = |k: usize| (outer * rows.len + k) * rows.inner + inner;
                let max = (0..rows.len).fold(f32::NEG_INFINITY, |max, k| max.max(x[at(k)]));
                let sum: f64 = (0..rows.len).map(|k| f64::from(x[at(k)] - max).exp()).sum();
                for k in 0..rows.len {
                    let shifted = f64::from(x[at(k)] - max);
                    y[at(k)] = if self.log { shifted - sum.ln() } else { shifted.exp() / sum } as f32;
                }
            }
        }
        result(inputs[0].shape(), y)
    }

    fn scales(&self) -> Scales {
        if self.log { Scales::Calibrated } else { Scales::Fixed(1.0 / 256.0, -128) }
    }

    fn has_int16(&self) -> bool {
        true
    }

    fn lower(&self, io: &Io<'_>) -> Result<Lowered, Error> {
        let rows = rows(&io.output.ty.shape, self.axis);
        if io.output.ty.dtype == DType::F32 {
            return Ok(SoftmaxF32 { rows, log: self.log }.into());
        }
        if rows.len > 32_768 {
            return Err(Error::unsupported(format!("{} classes", rows.len)).instead("at most 32768, or float32"));
        }
        let (x_scale, _) = linear::scale_of(io.inputs[0])?;
        let (scale, zero_point) = linear::scale_of(io.output)?;
        let y = rt::Quantization { scale, zero_point };
        if io.output.ty.dtype == DType::I16 {
            let factor = 1.0 / (65536.0 * f64::from(scale));
            let (requantize, multiplier) = linear::rescale(factor, &rt::Clamp::NONE, (scale, zero_point));
            let (coarse, fine) = rt::exp_tables(f64::from(x_scale));
            let (coarse, fine) = (coarse.to_vec(), fine.to_vec());
            if self.log {
                if x_scale > 0.4 {
                    return Err(Error::unsupported(format!("an int16 operand whose step is {x_scale}"))
                        .instead("smaller numbers, or float32"));
                }
                return Ok(LogSoftmaxS16 { rows, params: rt::LogSoftmaxS16::new(x_scale, y), coarse, fine }.into());
            }
            return Ok(SoftmaxS16 { rows, requantize, multiplier, coarse, fine }.into());
        }
        let (table, len) = rt::exp_table(f64::from(x_scale));
        let exp = table[..len].to_vec();
        Ok(if self.log {
            LogSoftmaxS8 { rows, params: rt::LogSoftmaxS8::new(x_scale, y), exp }.into()
        } else {
            SoftmaxS8 { rows, params: rt::SoftmaxS8::new(y), exp }.into()
        })
    }
}

struct_literals! {
    Rows { outer, len, inner }
    SoftmaxS8 { requantize, multiplier }
    LogSoftmaxS8 { log2_step, requantize, multiplier }
    LogSoftmaxS16 { log2_step, requantize, multiplier }
}

/// `softmax_f32` or `log_softmax_f32` with its constants.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct SoftmaxF32 {
    pub rows: rt::Rows,
    pub log: bool,
}

impl Routine for SoftmaxF32 {
    fn call(&self, _: DType) -> Call {
        Call::inlined(if self.log { "log_softmax_f32" } else { "softmax_f32" }).params(&self.rows)
    }

    fn run(&self, x: &[&Tensor], y: &mut Tensor) {
        match self.log {
            true => rt::log_softmax_f32(&self.rows, f32s(x[0]), f32s_mut(y)),
            false => rt::softmax_f32(&self.rows, f32s(x[0]), f32s_mut(y)),
        }
    }

    fn overlap(&self, _: usize) -> Overlap {
        Overlap::Same
    }
}

/// `softmax_s8` with its constants.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct SoftmaxS8 {
    pub rows: rt::Rows,
    pub params: rt::SoftmaxS8,
    /// e^(−d·scale) in units of 2^-15.
    pub exp: Vec<u16>,
}

impl Routine for SoftmaxS8 {
    fn call(&self, _: DType) -> Call {
        let call = Call::inlined("softmax_s8").params(&self.rows).named("_SCALES", &self.params);
        call.array("_EXP", Data::U16(self.exp.clone()))
    }

    fn run(&self, x: &[&Tensor], y: &mut Tensor) {
        rt::softmax_s8(&self.rows, &self.params, &self.exp, i8s(x[0]), i8s_mut(y));
    }

    fn overlap(&self, _: usize) -> Overlap {
        Overlap::Same
    }
}

/// `softmax_s16` with its constants.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct SoftmaxS16 {
    pub rows: rt::Rows,
    pub requantize: rt::RequantizeS16,
    pub multiplier: i32,
    /// Exponentials of multiples of 256 steps, 256 of them.
    pub coarse: Vec<u16>,
    /// Exponentials of multiples of a step, 256 of them.
    pub fine: Vec<u16>,
}

impl Routine for SoftmaxS16 {
    fn call(&self, _: DType) -> Call {
        let call = Call::new("softmax_s16").params(&self.rows).named("_REQUANTIZE", &self.requantize);
        let call = call.value(self.multiplier).array("_COARSE", Data::U16(self.coarse.clone()));
        call.array("_FINE", Data::U16(self.fine.clone()))
    }

    fn run(&self, x: &[&Tensor], y: &mut Tensor) {
        let (mut coarse, mut fine) = ([0; 256], [0; 256]);
        coarse.copy_from_slice(&self.coarse);
        fine.copy_from_slice(&self.fine);
        rt::softmax_s16(&self.rows, &self.requantize, self.multiplier, &coarse, &fine, i16s(x[0]), i16s_mut(y));
    }

    fn overlap(&self, _: usize) -> Overlap {
        Overlap::Same
    }
}

/// `log_softmax_s16` with its constants.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct LogSoftmaxS16 {
    pub rows: rt::Rows,
    pub params: rt::LogSoftmaxS16,
    /// As in [`SoftmaxS16`].
    pub coarse: Vec<u16>,
    pub fine: Vec<u16>,
}

impl Routine for LogSoftmaxS16 {
    fn call(&self, _: DType) -> Call {
        let call = Call::new("log_softmax_s16").params(&self.rows).named("_SCALES", &self.params);
        call.array("_COARSE", Data::U16(self.coarse.clone())).array("_FINE", Data::U16(self.fine.clone()))
    }

    fn run(&self, x: &[&Tensor], y: &mut Tensor) {
        let (mut coarse, mut fine) = ([0; 256], [0; 256]);
        coarse.copy_from_slice(&self.coarse);
        fine.copy_from_slice(&self.fine);
        rt::log_softmax_s16(&self.rows, &self.params, &coarse, &fine, i16s(x[0]), i16s_mut(y));
    }

    fn overlap(&self, _: usize) -> Overlap {
        Overlap::Same
    }
}

/// `log_softmax_s8` with its constants.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct LogSoftmaxS8 {
    pub rows: rt::Rows,
    pub params: rt::LogSoftmaxS8,
    /// e^(−d·scale) in units of 2^-15.
    pub exp: Vec<u16>,
}

impl Routine for LogSoftmaxS8 {
    fn call(&self, _: DType) -> Call {
        let call = Call::inlined("log_softmax_s8").params(&self.rows).named("_SCALES", &self.params);
        call.array("_EXP", Data::U16(self.exp.clone()))
    }

    fn run(&self, x: &[&Tensor], y: &mut Tensor) {
        rt::log_softmax_s8(&self.rows, &self.params, &self.exp, i8s(x[0]), i8s_mut(y));
    }

    fn overlap(&self, _: usize) -> Overlap {
        Overlap::Same
    }
}
