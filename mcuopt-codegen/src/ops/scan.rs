//! CumSum.
//!
//! <https://onnx.ai/onnx/operators/onnx__CumSum.html>, opset 11 to 14.

use mcuopt_rt::v0 as rt;

use super::reshape::axis;
use super::{Io, Lowered, Operator, Overlap, Scales, softmax};
use crate::builder::Builder;
use crate::call::struct_literals;
use crate::error::Error;
use crate::graph::{Type, ValueId};
use crate::onnx;
use crate::tensor::DType;

/// Running sums along an axis.
#[derive(Clone, Debug, PartialEq)]
pub struct CumSum {
    /// The axis.
    pub axis: usize,
    /// Whether an element is left out of its own sum.
    pub exclusive: bool,
    /// Whether sums run from the end.
    pub reverse: bool,
}

/// CumSum → CumSum.
pub fn import(_: &onnx::Node, b: &mut Builder<'_>) -> Result<Vec<ValueId>, Error> {
    let x = b.input(0)?;
    let along = b.integers(1)?.unwrap_or_default();
    let [along] = along[..] else { return Err(Error::invalid("it should be a single number").part("input 1")) };
    let axis = axis(along, b.shape(x).len(), false)?;
    let (exclusive, reverse) = (b.int("exclusive", 0)? != 0, b.int("reverse", 0)? != 0);
    Ok(vec![b.push(CumSum { axis, exclusive, reverse }, &[x])?])
}

impl Operator for CumSum {
    fn name(&self) -> &'static str {
        "CumSum"
    }

    fn infer(&self, inputs: &[&Type]) -> Result<Vec<Type>, Error> {
        let [x] = inputs else { return Err(Error::bug("CumSum has one operand")) };
        if x.dtype == DType::Bool {
            return Err(Error::invalid("sums of bool"));
        }
        Ok(vec![(*x).clone()])
    }

    fn scales(&self) -> Scales {
        Scales::Float
    }

    fn lower(&self, io: &Io<'_>) -> Result<Lowered, Error> {
        let rows = softmax::rows(&io.output.ty.shape, self.axis);
        Ok(RunningSums { geometry: rt::CumSum { rows, exclusive: self.exclusive, reverse: self.reverse } }.into())
    }
}

struct_literals! {
    CumSum { rows, exclusive, reverse }
}

routine! {
    /// `cum_sum` with its geometry.
    pub struct RunningSums { params "" geometry: rt::CumSum }
    with [T: each_element of y]
    fn cum_sum(T) -> T
    ; overlap |kernel, operand| Overlap::Same
}
