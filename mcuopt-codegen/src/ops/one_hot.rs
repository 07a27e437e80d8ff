//! OneHot.
//!
//! <https://onnx.ai/onnx/operators/onnx__OneHot.html>, opset 9 to 11.

use mcuopt_rt::v0 as rt;

use super::cast::Cast;
use super::reshape::axis;
use super::{Io, Lowered, Operator, Scales, gather};
use crate::bounds::{Bounds, Known};
use crate::builder::{Builder, MAX_ELEMENTS};
use crate::call::struct_literals;
use crate::error::Error;
use crate::graph::{Type, ValueId};
use crate::onnx;
use crate::tensor::DType;

/// `values[1]` where the place along a new axis is the index, `values[0]` elsewhere; operands: indices, values.
#[derive(Clone, Debug, PartialEq)]
pub struct OneHot {
    /// The new axis.
    pub axis: usize,
    /// Its extent.
    pub depth: usize,
}

/// OneHot → Cast of the indices to int64 where they have another type, OneHot.
pub fn import(_: &onnx::Node, b: &mut Builder<'_>) -> Result<Vec<ValueId>, Error> {
    let (mut indices, values) = (b.input(0)?, b.input(2)?);
    let axis = axis(b.int("axis", -1)?, b.shape(indices).len() + 1, false)?;
    let depth = b.scalar(1)?.filter(|&depth| depth >= 1.0 && depth <= MAX_ELEMENTS as f32).map(|depth| depth as usize);
    let depth = depth.ok_or_else(|| Error::invalid("it is not positive").part("input 1"))?;
    if !matches!(b.graph.value(indices).ty.dtype, DType::I32 | DType::I64) {
        indices = b.push(Cast { to: DType::I64 }, &[indices])?;
    }
    Ok(vec![b.push(OneHot { axis, depth }, &[indices, values])?])
}

impl Operator for OneHot {
    fn name(&self) -> &'static str {
        "OneHot"
    }

    fn infer(&self, inputs: &[&Type]) -> Result<Vec<Type>, Error> {
        let [indices, values] = inputs else { return Err(Error::bug("OneHot has two operands")) };
        gather::expect_indices(indices)?;
        if values.len() != 2 {
            return Err(Error::invalid(format!("{} values instead of two", values.len())).part("input 2"));
        }
        let mut shape = indices.shape.clone();
        shape.insert(self.axis, self.depth);
        Ok(vec![Type { dtype: values.dtype, shape }])
    }

    fn scales(&self) -> Scales {
        Scales::Joined
    }

    fn bounds(&self, operands: &[Known<'_>]) -> Option<Bounds> {
        operands.get(1).map(|values| values.bounds)
    }

    fn indices(&self) -> &'static [usize] {
        &[0]
    }

    fn lower(&self, io: &Io<'_>) -> Result<Lowered, Error> {
        let inner = io.inputs[0].ty.shape[self.axis..].iter().product();
        Ok(OneHotRows { geometry: rt::OneHot { depth: self.depth, inner } }.into())
    }
}

struct_literals! {
    OneHot { depth, inner }
}

routine! {
    /// `one_hot` with its constants.
    pub struct OneHotRows { params "" geometry: rt::OneHot }
    with [I: each_index of x[0]] [T: each_element of y]
    fn one_hot(I, T) -> T
}
