//! The last frames of a sequence that comes in parts: what `stream/` puts before an operator that looks back.

use mcuopt_rt::v0 as rt;

use super::{Io, Lowered, Operator, Routine, Scales};
use crate::builder::Builder;
use crate::call::{Call, struct_literals};
use crate::error::Error;
use crate::graph::{Type, ValueId};
use crate::onnx;
use crate::tensor::{DType, Element, Tensor, each_element};

/// The last `frames` frames along an axis, the new ones behind those that earlier calls brought.
#[derive(Clone, Debug, PartialEq)]
pub struct History {
    /// The axis.
    pub axis: usize,
    /// Number of frames.
    pub frames: usize,
    /// What stands for the frames before the first one; `None` where nothing depends on them.
    pub fill: Option<f32>,
}

/// Files do not have it.
pub fn import(_: &onnx::Node, _: &mut Builder<'_>) -> Result<Vec<ValueId>, Error> {
    Err(Error::bug("a file cannot name a history"))
}

impl Operator for History {
    fn name(&self) -> &'static str {
        "History"
    }

    fn infer(&self, inputs: &[&Type]) -> Result<Vec<Type>, Error> {
        let [x] = inputs else { return Err(Error::bug("History has one operand")) };
        let mut ty = (*x).clone();
        match ty.shape.get_mut(self.axis).filter(|frames| **frames <= self.frames) {
            Some(frames) => *frames = self.frames,
            None => return Err(Error::bug(format!("{} frames of {:?}", self.frames, x.shape))),
        }
        Ok(vec![ty])
    }

    fn eval(&self, _: &[&Tensor]) -> Result<Vec<Tensor>, Error> {
        Err(Error::bug("a history is run step by step"))
    }

    fn scales(&self) -> Scales {
        Scales::SameAsInput
    }

    fn lower(&self, io: &Io<'_>) -> Result<Lowered, Error> {
        let shape = &io.inputs[0].ty.shape;
        let geometry = rt::Slide {
            outer: shape[..self.axis].iter().product(),
            frames: self.frames,
            new: shape[self.axis],
            inner: shape[self.axis + 1..].iter().product(),
        };
        let fill = match (self.fill, io.output.ty.dtype) {
            (Some(fill), DType::I8 | DType::I16) => {
                let rounded = io.output.quantization.as_ref().and_then(|quantization| quantization.round(fill));
                rounded.ok_or_else(|| Error::bug("a history has no quantization"))? as f32
            }
            (fill, _) => fill.unwrap_or(0.0),
        };
        Ok(Slide { geometry, fill }.into())
    }
}

struct_literals! {
    Slide { outer, frames, new, inner }
}

/// `slide`, and what stands for the frames before the first one.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Slide {
    pub geometry: rt::Slide,
    pub fill: f32,
}

impl Routine for Slide {
    fn call(&self, _: DType) -> Call {
        Call::new("slide").params(&self.geometry)
    }

    fn run(&self, x: &[&Tensor], y: &mut Tensor) {
        each_element!(y.dtype(), T => rt::slide(&self.geometry, T::of(x[0]), T::of_mut(y)));
    }

    fn initial(&self) -> Option<f32> {
        Some(self.fill)
    }
}
