//! ReverseSequence.
//!
//! <https://onnx.ai/onnx/operators/onnx__ReverseSequence.html>, opset 10.

use mcuopt_rt::v0 as rt;

use super::{Io, Lowered, Operator, Scales, gather};
use crate::builder::Builder;
use crate::call::struct_literals;
use crate::error::Error;
use crate::graph::{Type, ValueId};
use crate::onnx;

/// The first steps of each sequence turned around; operand 1 says how many. The first two axes are batch and time.
#[derive(Clone, Debug, PartialEq)]
pub struct ReverseSequence {
    /// Whether time is the first axis.
    pub time_major: bool,
}

/// ReverseSequence → ReverseSequence.
pub fn import(_: &onnx::Node, b: &mut Builder<'_>) -> Result<Vec<ValueId>, Error> {
    let time_major = match (b.int("batch_axis", 1)?, b.int("time_axis", 0)?) {
        (1, 0) => true,
        (0, 1) => false,
        (batch, time) => {
            return Err(Error::invalid(format!("the batch is axis {batch}, time axis {time}; they are 0 and 1")));
        }
    };
    let (x, lens) = (b.input(0)?, b.input(1)?);
    Ok(vec![b.push(ReverseSequence { time_major }, &[x, lens])?])
}

impl Operator for ReverseSequence {
    fn name(&self) -> &'static str {
        "ReverseSequence"
    }

    fn infer(&self, inputs: &[&Type]) -> Result<Vec<Type>, Error> {
        let [x, lens] = inputs else { return Err(Error::bug("ReverseSequence has two operands")) };
        gather::expect_indices(lens)?;
        let batch = x.shape.get(usize::from(self.time_major)).copied();
        if x.shape.len() < 2 || lens.shape.len() != 1 || batch != Some(lens.shape[0]) {
            return Err(Error::invalid(format!("lengths of shape {:?} for {:?}", lens.shape, x.shape)).part("input 1"));
        }
        Ok(vec![(*x).clone()])
    }

    fn scales(&self) -> Scales {
        Scales::SameAsInput
    }

    fn indices(&self) -> &'static [usize] {
        &[1]
    }

    fn lower(&self, io: &Io<'_>) -> Result<Lowered, Error> {
        let [first, second, rest @ ..] = &io.inputs[0].ty.shape[..] else {
            return Err(Error::bug("ReverseSequence without batch and time"));
        };
        let (shape, inner) = ([*first, *second], rest.iter().product());
        Ok(ReverseSteps { geometry: rt::ReverseSequence { shape, inner, time_major: self.time_major } }.into())
    }
}

struct_literals! {
    ReverseSequence { shape, inner, time_major }
}

routine! {
    /// `reverse_sequence` with its constants.
    pub struct ReverseSteps { params "" geometry: rt::ReverseSequence }
    with [T: each_element of y] [I: each_index of x[1]]
    fn reverse_sequence(T, I) -> T
}
