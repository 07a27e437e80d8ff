//! PRelu: a slope for negative numbers, for each channel or as broadcasting has it.
//!
//! <https://onnx.ai/onnx/operators/onnx__PRelu.html>, opset 7 on.

use mcuopt_rt::v0 as rt;

use super::binary::{Binary, Kind, broadcast, collapse, overlap};
use super::unary::{Function, Unary};
use super::{Io, Lowered, Operator, Overlap, Routine, f32s, f32s_mut, i8s, i8s_mut, i16s, i16s_mut, linear};
use crate::builder::Builder;
use crate::call::{Call, Data, struct_literals};
use crate::error::Error;
use crate::graph::{Type, ValueId};
use crate::onnx;
use crate::tensor::{DType, Tensor};

/// `x`, or `slope · x` where negative, with slopes (operand 1) that are constants.
#[derive(Clone, Debug, PartialEq)]
pub struct PRelu;

/// PRelu → LeakyRelu for one slope, PRelu for constant slopes, and Binary for others.
pub fn import(_: &onnx::Node, b: &mut Builder<'_>) -> Result<Vec<ValueId>, Error> {
    let (x, slopes) = (b.input(0)?, b.input(1)?);
    let constant = b.graph.constant(slopes).and_then(Tensor::f32s).map(<[f32]>::to_vec);
    let keeps_shape = b.shape(slopes).len() <= b.shape(x).len();
    Ok(vec![match constant.as_deref() {
        Some(&[alpha]) if keeps_shape => {
            b.push(Unary { function: Function::LeakyRelu(rt::LeakyRelu { alpha }) }, &[x])?
        }
        Some(_) => b.push(PRelu, &[x, slopes])?,
        None => b.push(Binary::new(Kind::PRelu), &[x, slopes])?,
    }])
}

impl Operator for PRelu {
    fn name(&self) -> &'static str {
        "PRelu"
    }

    fn infer(&self, inputs: &[&Type]) -> Result<Vec<Type>, Error> {
        super::window::expect_float(inputs)?;
        let [x, slopes] = inputs else { return Err(Error::bug("two operands are needed")) };
        // ONNX broadcasts the slopes to x, not x to them.
        if broadcast(&x.shape, &slopes.shape).is_none_or(|shape| shape != x.shape) {
            let message = format!("the slopes' shape {:?} does not broadcast to {:?}", slopes.shape, x.shape);
            return Err(Error::invalid(message));
        }
        Ok(vec![(*x).clone()])
    }

    fn pointwise(&self) -> bool {
        true
    }

    fn has_int16(&self) -> bool {
        true
    }

    fn built_in(&self) -> &'static [usize] {
        &[1]
    }

    fn lower(&self, io: &Io<'_>) -> Result<Lowered, Error> {
        let [x, slopes] = io.inputs[..] else { return Err(Error::bug("two operands are needed")) };
        let geometry = collapse(&x.ty.shape, &slopes.ty.shape, &io.output.ty.shape)?;
        let slopes = linear::constant_f32s(slopes)?;
        if io.output.ty.dtype == DType::F32 {
            return Ok(PReluF32 { geometry, slopes: slopes.to_vec() }.into());
        }
        let ((x_scale, input_zero_point), (scale, zero_point)) = (linear::scale_of(x)?, linear::scale_of(io.output)?);
        let factor = f64::from(x_scale) / f64::from(scale);
        let largest = slopes.iter().fold(1.0, |largest: f64, slope| largest.max(f64::from(slope.abs())));
        let left_shift = rt::left_shift_for(factor * largest);
        let multiplier = |slope: f32| rt::multiplier(factor * f64::from(slope), left_shift);
        let multipliers = slopes.iter().map(|&slope| multiplier(slope)).collect();
        let positive = multiplier(1.0);
        if io.output.ty.dtype == DType::I16 {
            let requantize = rt::RequantizeS16 { left_shift, zero_point, min: i16::MIN, max: i16::MAX };
            let params = rt::PReluS16 { input_zero_point, positive, requantize };
            return Ok(PReluS16 { geometry, params, multipliers }.into());
        }
        let params = rt::PReluS8 {
            input_zero_point,
            positive,
            requantize: rt::Requantize { left_shift, zero_point, min: i8::MIN, max: i8::MAX },
        };
        Ok(PReluS8 { geometry, params, multipliers }.into())
    }
}

struct_literals! {
    PReluS8 { input_zero_point, positive, requantize }
    PReluS16 { input_zero_point, positive, requantize }
}

/// `prelu_f32` with its constants.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct PReluF32 {
    pub geometry: rt::Broadcast,
    pub slopes: Vec<f32>,
}

impl Routine for PReluF32 {
    fn call(&self, _: DType) -> Call {
        Call::new("prelu_f32").params(&self.geometry).array("_SLOPES", Data::F32(self.slopes.clone()))
    }

    fn run(&self, x: &[&Tensor], y: &mut Tensor) {
        rt::prelu_f32(&self.geometry, &self.slopes, f32s(x[0]), f32s_mut(y));
    }

    fn overlap(&self, operand: usize) -> Overlap {
        overlap(&self.geometry, operand, false)
    }
}

/// `prelu_s8` with its constants.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct PReluS8 {
    pub geometry: rt::Broadcast,
    pub params: rt::PReluS8,
    pub multipliers: Vec<i32>,
}

impl Routine for PReluS8 {
    fn call(&self, _: DType) -> Call {
        let call = Call::new("prelu_s8").params(&self.geometry).named("_SCALES", &self.params);
        call.array("_MULTIPLIERS", Data::I32(self.multipliers.clone()))
    }

    fn run(&self, x: &[&Tensor], y: &mut Tensor) {
        rt::prelu_s8(&self.geometry, &self.params, &self.multipliers, i8s(x[0]), i8s_mut(y));
    }

    fn overlap(&self, operand: usize) -> Overlap {
        overlap(&self.geometry, operand, false)
    }
}

/// `prelu_s16` with its constants.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct PReluS16 {
    pub geometry: rt::Broadcast,
    pub params: rt::PReluS16,
    pub multipliers: Vec<i32>,
}

impl Routine for PReluS16 {
    fn call(&self, _: DType) -> Call {
        let call = Call::new("prelu_s16").params(&self.geometry).named("_SCALES", &self.params);
        call.array("_MULTIPLIERS", Data::I32(self.multipliers.clone()))
    }

    fn run(&self, x: &[&Tensor], y: &mut Tensor) {
        rt::prelu_s16(&self.geometry, &self.params, &self.multipliers, i16s(x[0]), i16s_mut(y));
    }

    fn overlap(&self, operand: usize) -> Overlap {
        overlap(&self.geometry, operand, false)
    }
}
