//! Det.
//!
//! <https://onnx.ai/onnx/operators/onnx__Det.html>, opset 11 to 22.

use mcuopt_rt::v0 as rt;

use super::{Io, Lowered, Operator, Scales, window};
use crate::builder::Builder;
use crate::error::Error;
use crate::graph::{Type, ValueId};
use crate::onnx;

/// Determinants: [batch…, size, size] → [batch…].
#[derive(Clone, Debug, PartialEq)]
pub struct Det;

/// Det → Det.
pub fn import(_: &onnx::Node, b: &mut Builder<'_>) -> Result<Vec<ValueId>, Error> {
    let x = b.input(0)?;
    Ok(vec![b.push(Det, &[x])?])
}

impl Operator for Det {
    fn name(&self) -> &'static str {
        "Det"
    }

    fn infer(&self, inputs: &[&Type]) -> Result<Vec<Type>, Error> {
        let [x] = inputs else { return Err(Error::bug("Det has one operand")) };
        window::expect_float(inputs)?;
        match &x.shape[..] {
            [batch @ .., rows, columns] if rows == columns && (1..=rt::MAX_DETERMINANT).contains(rows) => Ok(vec![Type::f32(batch)]),
            [.., rows, columns] if rows == columns => Err(Error::unsupported(format!("matrices of {rows} rows"))
                .instead(format!("up to {} rows", rt::MAX_DETERMINANT))),
            _ => Err(Error::invalid(format!("the shape {:?} is no square matrix", x.shape)).part("input 0")),
        }
    }

    fn scales(&self) -> Scales {
        Scales::Float
    }

    fn lower(&self, io: &Io<'_>) -> Result<Lowered, Error> {
        Ok(Determinants { size: io.inputs[0].ty.shape.last().copied().unwrap_or(1) }.into())
    }
}

routine! {
    /// `determinant_f32` with its constants.
    pub struct Determinants { value size: usize }
    fn determinant_f32(f32) -> f32
}
