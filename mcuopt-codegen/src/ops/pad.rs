//! Pad with a constant.
//!
//! <https://onnx.ai/onnx/operators/onnx__Pad.html>, opset 2 to 25. A Pad in front of a convolution or pool becomes
//! part of it in `simplify`.

use mcuopt_rt::v0 as rt;

use super::reshape::axis;
use super::{Io, Lowered, Operator, Routine, Scales, f32s, f32s_mut, i8s, i8s_mut, linear, result, window};
use crate::builder::Builder;
use crate::call::{Call, struct_literals};
use crate::error::Error;
use crate::graph::{Type, ValueId};
use crate::onnx;
use crate::tensor::{DType, Tensor};

/// Elements added around a tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct Pad {
    /// How many before and after, for each axis.
    pub pads: Vec<[usize; 2]>,
    /// Their value.
    pub value: f32,
}

/// Pad → Pad; negative pads, and modes other than `constant`, are refused.
pub fn import(_: &onnx::Node, b: &mut Builder<'_>) -> Result<Vec<ValueId>, Error> {
    let x = b.input(0)?;
    let rank = b.shape(x).len();
    let mode = b.string("mode", "constant")?;
    if mode != "constant" {
        return Err(Error::unsupported(format!("`{mode}`")).instead("`constant`").part("attribute `mode`"));
    }
    let (pads, value) = if b.opset < 11 {
        (b.ints("pads")?, b.float("value", 0.0)?)
    } else {
        (b.integers(1)?, b.scalar(2)?.unwrap_or(0.0))
    };
    let pads = pads.ok_or_else(|| Error::invalid("it is missing").part("`pads`"))?;
    let axes: Vec<usize> = match b.integers(3)? {
        Some(axes) => axes.iter().map(|&value| axis(value, rank, false)).collect::<Result<_, _>>()?,
        None => (0..rank).collect(),
    };
    if pads.len() != 2 * axes.len() {
        return Err(Error::invalid(format!("{} entries for {} axes", pads.len(), axes.len())).part("`pads`"));
    }
    let amount = |value: i64| {
        u32::try_from(value).map(|value| value as usize).map_err(|_| {
            Error::unsupported(format!("the padding {value}")).instead("paddings that are not negative").part("`pads`")
        })
    };
    let mut op = Pad { pads: vec![[0; 2]; rank], value };
    for (index, &axis) in axes.iter().enumerate() {
        op.pads[axis] = [amount(pads[index])?, amount(pads[axes.len() + index])?];
    }
    if op.pads.iter().all(|pads| *pads == [0; 2]) {
        return Ok(vec![x]);
    }
    Ok(vec![b.push(op, &[x])?])
}

impl Pad {
    fn geometry(&self, input: &[usize]) -> Result<rt::Pad, Error> {
        if input.len() > 6 {
            return Err(Error::unsupported(format!("{} axes", input.len())).instead("up to six axes"));
        }
        let mut geometry = rt::Pad { input: [1; 6], output: [1; 6], start: [0; 6] };
        for (slot, axis) in (0..6).rev().zip((0..input.len()).rev()) {
            geometry.input[slot] = input[axis];
            geometry.output[slot] = input[axis] + self.pads[axis][0] + self.pads[axis][1];
            geometry.start[slot] = self.pads[axis][0];
        }
        Ok(geometry)
    }
}

impl Operator for Pad {
    fn name(&self) -> &'static str {
        "Pad"
    }

    fn infer(&self, inputs: &[&Type]) -> Result<Vec<Type>, Error> {
        let [x] = inputs else { return Err(Error::bug("Pad has one operand")) };
        window::expect_float(inputs)?;
        Ok(vec![Type::f32(x.shape.iter().zip(&self.pads).map(|(extent, pads)| extent + pads[0] + pads[1]).collect::<Vec<_>>())])
    }

    fn eval(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>, Error> {
        let ty = self.infer(&[&Type::f32(inputs[0].shape())])?.remove(0);
        let mut y = vec![0.0; ty.len()];
        rt::pad(&self.geometry(inputs[0].shape())?, self.value, f32s(inputs[0]), &mut y);
        result(&ty.shape, y)
    }

    fn scales(&self) -> Scales {
        // Zero has an exact integer in every quantization; another value may need a wider range.
        if self.value == 0.0 { Scales::SameAsInput } else { Scales::Joined }
    }

    fn lower(&self, io: &Io<'_>) -> Result<Lowered, Error> {
        let quantized = match io.output.ty.dtype {
            DType::F32 => None,
            _ => {
                let (scale, zero_point) = linear::scale_of(io.output)?;
                Some(rt::quantize_f32(self.value, scale, zero_point))
            }
        };
        let geometry = self.geometry(&io.inputs[0].ty.shape)?;
        Ok(PadConstant { geometry, value: self.value, quantized }.into())
    }
}

struct_literals! {
    Pad { input, output, start }
}

/// `pad` with its constants.
#[derive(Clone, Debug)]
pub struct PadConstant {
    /// Extents and offsets.
    pub geometry: rt::Pad,
    /// The added elements' value.
    pub value: f32,
    /// The same as int8, where the tensor is.
    pub quantized: Option<i8>,
}

impl Routine for PadConstant {
    fn call(&self, _: DType) -> Call {
        let call = Call::inlined("pad").params(&self.geometry);
        match self.quantized {
            Some(value) => call.value(value),
            None => call.value(self.value),
        }
    }

    fn run(&self, x: &[&Tensor], y: &mut Tensor) {
        match self.quantized {
            Some(value) => rt::pad(&self.geometry, value, i8s(x[0]), i8s_mut(y)),
            None => rt::pad(&self.geometry, self.value, f32s(x[0]), f32s_mut(y)),
        }
    }
}
