//! Trilu.
//!
//! <https://onnx.ai/onnx/operators/onnx__Trilu.html>, opset 14.

use mcuopt_rt::v0 as rt;

use super::pad::Fill;
use super::{Io, Lowered, Operator, Overlap, Routine, Scales};
use crate::builder::Builder;
use crate::call::{Call, struct_literals};
use crate::error::Error;
use crate::graph::{Type, ValueId};
use crate::onnx;
use crate::tensor::{DType, Element, Tensor, each_element};

/// A triangle of each matrix, with zeros beside it.
#[derive(Clone, Debug, PartialEq)]
pub struct Trilu {
    /// The diagonal that belongs to the triangle; 0 is the main one, positive ones are to its right.
    pub diagonal: i64,
    /// Whether the triangle is the one to the right of the diagonal.
    pub upper: bool,
}

/// Trilu → Trilu.
pub fn import(_: &onnx::Node, b: &mut Builder<'_>) -> Result<Vec<ValueId>, Error> {
    let x = b.input(0)?;
    let upper = b.int("upper", 1)? != 0;
    let diagonal = b.integers(1)?.map_or(Some(0), |values| values.first().copied());
    let diagonal = diagonal.ok_or_else(|| Error::invalid("it is empty").part("input 1"))?;
    Ok(vec![b.push(Trilu { diagonal, upper }, &[x])?])
}

impl Operator for Trilu {
    fn name(&self) -> &'static str {
        "Trilu"
    }

    fn infer(&self, inputs: &[&Type]) -> Result<Vec<Type>, Error> {
        let [x] = inputs else { return Err(Error::bug("Trilu has one operand")) };
        if x.shape.len() < 2 {
            return Err(Error::invalid(format!("{:?} holds no matrices", x.shape)).part("input 0"));
        }
        Ok(vec![(*x).clone()])
    }

    fn scales(&self) -> Scales {
        Scales::SameAsInput
    }

    fn lower(&self, io: &Io<'_>) -> Result<Lowered, Error> {
        let [.., rows, columns] = io.output.ty.shape[..] else { return Err(Error::bug("Trilu without matrices")) };
        // Beyond the corners all diagonals are alike, and the numbers stay those of any target.
        let (low, high) = (-(rows as i64), columns as i64);
        let diagonal = self.diagonal.clamp(low, high) as isize;
        let geometry = rt::Trilu { rows, columns, diagonal, upper: self.upper };
        Ok(Triangle { geometry, zero: Fill::new(0.0, io.output) }.into())
    }
}

struct_literals! {
    Trilu { rows, columns, diagonal, upper }
}

/// `trilu` with its constants.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Triangle {
    pub geometry: rt::Trilu,
    pub zero: Fill,
}

impl Routine for Triangle {
    fn call(&self, _: DType) -> Call {
        Call::new("trilu").params(&self.geometry).value(self.zero.clone())
    }

    fn run(&self, x: &[&Tensor], y: &mut Tensor) {
        each_element!(y.dtype(), T => rt::trilu(&self.geometry, self.zero.element::<T>(), T::of(x[0]), T::of_mut(y)));
    }

    fn overlap(&self, _: usize) -> Overlap {
        Overlap::Same
    }
}
