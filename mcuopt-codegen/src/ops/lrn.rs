//! LRN: local response normalisation across channels.
//!
//! <https://onnx.ai/onnx/operators/onnx__LRN.html>, opset 1 to 13. In the graph: channels-last.

use mcuopt_rt::v0 as rt;

use super::window::{self, Direction};
use super::{Io, Lowered, Operator, Scales};
use crate::builder::Builder;
use crate::call::struct_literals;
use crate::error::Error;
use crate::graph::{Type, ValueId};
use crate::onnx;

/// `y = x / (bias + alpha / size · Σ x²)^beta`, summed over `size` neighbouring channels.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct Lrn {
    pub size: usize,
    pub alpha: f32,
    pub beta: f32,
    pub bias: f32,
}

/// LRN → LRN between two Transposes.
pub fn import(_: &onnx::Node, b: &mut Builder<'_>) -> Result<Vec<ValueId>, Error> {
    let x = b.input(0)?;
    let shape = b.shape(x).to_vec();
    let size = b.int("size", 0)?;
    let Some(size) = usize::try_from(size).ok().filter(|&size| size > 0) else {
        return Err(Error::invalid(format!("it is {size}")).part("attribute `size`"));
    };
    let op = Lrn { size, alpha: b.float("alpha", 1e-4)?, beta: b.float("beta", 0.75)?, bias: b.float("bias", 1.0)? };
    if shape.len() < 2 {
        return Err(Error::invalid(format!("its shape {shape:?} has no channels")).part("input 0"));
    }
    let rank = shape.len() - 2;
    let x = b.transpose(x, &Direction::ToLast.perm(rank))?;
    let y = b.push(op, &[x])?;
    Ok(vec![b.transpose(y, &Direction::ToFirst.perm(rank))?])
}

impl Operator for Lrn {
    fn name(&self) -> &'static str {
        "LRN"
    }

    fn infer(&self, inputs: &[&Type]) -> Result<Vec<Type>, Error> {
        let [x] = inputs else { return Err(Error::bug("LRN has one operand")) };
        window::expect_float(inputs)?;
        Ok(vec![(*x).clone()])
    }

    fn scales(&self) -> Scales {
        Scales::Float
    }

    fn lower(&self, io: &Io<'_>) -> Result<Lowered, Error> {
        let Lrn { size, alpha, beta, bias } = *self;
        let channels = io.output.ty.shape.last().copied().unwrap_or(1);
        let pixels = io.output.ty.len() / channels.max(1);
        Ok(LocalResponse { geometry: rt::Lrn { pixels, channels, size, alpha, beta, bias } }.into())
    }
}

struct_literals! {
    Lrn { pixels, channels, size, alpha, beta, bias }
}

routine! {
    /// `lrn_f32` with its constants.
    pub struct LocalResponse { params "" geometry: rt::Lrn }
    fn lrn_f32(f32) -> f32
}
