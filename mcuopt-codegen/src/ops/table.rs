//! Any function of one element that a model spells out in several operators, for int8: x · sigmoid(x), the hard-swish of
//! exporters x · relu6(x + 3) / 6, a Gelu by Erf, comparisons with a number. `quantize::tables` makes them.

use std::sync::Arc;

use mcuopt_rt::v0 as rt;

use super::unary::{LutBool, reals_of_table, table, table_s16};
use super::{Io, Lowered, Op, Operator, Scales, linear};
use crate::builder::Builder;
use crate::error::Error;
use crate::graph::{Type, ValueId};
use crate::onnx;
use crate::tensor::{DType, Tensor};

/// A chain of pointwise operators whose only operand that is no number is one tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// The operators in order; the last one makes the result.
    pub steps: Vec<Step>,
    /// The result's element type: float or bool.
    pub dtype: DType,
}

/// One operator of a [`Table`].
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// The operator.
    pub op: Op,
    /// What it reads.
    pub operands: Vec<Operand>,
}

/// What an operator of a [`Table`] reads.
#[derive(Clone, Debug, PartialEq)]
pub enum Operand {
    /// The table's operand.
    Input,
    /// A number.
    Constant(Arc<Tensor>),
    /// The result of an earlier step.
    Step(usize),
}

/// No file has such an operator.
pub fn import(node: &onnx::Node, _: &mut Builder<'_>) -> Result<Vec<ValueId>, Error> {
    Err(Error::bug(format!("{} is no table", node.op_type)))
}

impl Operator for Table {
    fn name(&self) -> &'static str {
        match &self.steps[..] {
            [only] => only.op.name(),
            _ => "Table",
        }
    }

    fn infer(&self, inputs: &[&Type]) -> Result<Vec<Type>, Error> {
        super::window::expect_float(inputs)?;
        let [x] = inputs else { return Err(Error::bug("one operand is needed")) };
        Ok(vec![Type { dtype: self.dtype, shape: x.shape.clone() }])
    }

    fn eval(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>, Error> {
        let mut results: Vec<Tensor> = Vec::new();
        for step in &self.steps {
            let operand = |operand| match operand {
                &Operand::Input => inputs.first().copied(),
                Operand::Constant(tensor) => Some(&**tensor),
                &Operand::Step(step) => results.get(step),
            };
            let operands: Option<Vec<&Tensor>> = step.operands.iter().map(operand).collect();
            let operands = operands.ok_or_else(|| Error::bug("a step without its operand"))?;
            results.extend(step.op.eval(&operands)?.into_iter().next());
        }
        Ok(results.pop().into_iter().collect())
    }

    fn scales(&self) -> Scales {
        match self.steps.last().map(|step| step.op.scales()) {
            Some(fixed @ Scales::Fixed(..)) => fixed,
            _ => Scales::Calibrated,
        }
    }

    fn has_int16(&self) -> bool {
        self.dtype == DType::F32
    }

    fn pointwise(&self) -> bool {
        true
    }

    fn lower(&self, io: &Io<'_>) -> Result<Lowered, Error> {
        let (x_scale, x_zero_point) = linear::scale_of(io.inputs[0])?;
        if io.inputs[0].ty.dtype == DType::I16 {
            let x = reals_of_table((x_scale, x_zero_point));
            let x = Tensor::new(&[x.len()], x).ok_or_else(|| Error::bug("a list has a shape"))?;
            let y = self.eval(&[&x])?;
            let reals = y.first().and_then(Tensor::f32s).ok_or_else(|| Error::bug("a table of no reals"))?;
            return table_s16(reals.iter().copied(), linear::scale_of(io.output)?);
        }
        let reals: Vec<f32> = (i8::MIN..=i8::MAX).map(|q| rt::dequantize(q, x_scale, x_zero_point)).collect();
        let x = Tensor::new(&[reals.len()], reals).ok_or_else(|| Error::bug("a list has a shape"))?;
        match &self.eval(&[&x])?[..] {
            [Tensor::Bool(truths)] => Ok(LutBool { table: truths.iter().map(|&truth| truth.into()).collect() }.into()),
            [Tensor::F32(reals)] => {
                let (scale, zero_point) = linear::scale_of(io.output)?;
                Ok(table(reals.iter().map(|&y| rt::quantize_f32(y, scale, zero_point)).collect(), io))
            }
            _ => Err(Error::bug("a table of neither reals nor truth values")),
        }
    }
}
