//! ScatterElements (Scatter in older files) and ScatterND.
//!
//! <https://onnx.ai/onnx/operators/onnx__ScatterElements.html>, opset 9 to 18;
//! <https://onnx.ai/onnx/operators/onnx__ScatterND.html>, opset 11 to 18. A computed index outside the axis is moved to
//! its nearest end.

use mcuopt_rt::v0 as rt;

use super::reshape::axis;
use super::{Io, Lowered, Operator, Overlap, Scales, gather};
use crate::bounds::{Bounds, Known};
use crate::builder::Builder;
use crate::call::Literal;
use crate::error::Error;
use crate::graph::{Type, ValueId};
use crate::onnx;

/// `y = x`, then `updates[i, j, k]` goes to `y[i, indices[i, j, k], k]`, where `axis` is the middle one.
#[derive(Clone, Debug, PartialEq)]
pub struct ScatterElements {
    /// The axis of `x` that the indices count along.
    pub axis: usize,
    /// What becomes of an element that is written to.
    pub scatter: rt::Scatter,
}

/// `y = x`, then `updates[i…, k…]` goes to `y[indices[i…, 0], indices[i…, 1], …, k…]`.
#[derive(Clone, Debug, PartialEq)]
pub struct ScatterND {
    /// What becomes of an element that is written to.
    pub scatter: rt::Scatter,
}

/// ScatterElements, Scatter → ScatterElements; ScatterND → ScatterND.
pub fn import(node: &onnx::Node, b: &mut Builder<'_>) -> Result<Vec<ValueId>, Error> {
    let (x, updates) = (b.input(0)?, b.input(2)?);
    let shape = b.shape(x).to_vec();
    let scatter = match b.string("reduction", "none")?.as_str() {
        "none" => rt::Scatter::Replace,
        "add" => rt::Scatter::Add,
        "mul" => rt::Scatter::Mul,
        "max" => rt::Scatter::Max,
        "min" => rt::Scatter::Min,
        other => {
            let error = Error::unsupported(format!("`{other}`")).instead("`none`, `add`, `mul`, `max` or `min`");
            return Err(error.part("attribute `reduction`"));
        }
    };
    if node.op_type == "ScatterND" {
        let indices = gather::indices(b, &shape)?;
        return Ok(vec![b.push(ScatterND { scatter }, &[x, indices, updates])?]);
    }
    let axis = axis(b.int("axis", 0)?, shape.len(), false)?;
    let indices = gather::indices(b, &shape[axis..=axis])?;
    Ok(vec![b.push(ScatterElements { axis, scatter }, &[x, indices, updates])?])
}

/// The largest and the smallest of several integers of one scale are those of the reals; sums and products are not.
fn scales(scatter: rt::Scatter) -> Scales {
    match scatter {
        rt::Scatter::Replace | rt::Scatter::Max | rt::Scatter::Min => Scales::Joined,
        rt::Scatter::Add | rt::Scatter::Mul => Scales::Float,
    }
}

/// Sums and products depend on how many updates meet.
fn bounds(scatter: rt::Scatter, operands: &[Known<'_>]) -> Option<Bounds> {
    let [x, _, updates] = operands else { return None };
    (scales(scatter) == Scales::Joined).then(|| x.bounds.join(updates.bounds))
}

fn expect_updates(x: &Type, updates: &Type, shape: &[usize]) -> Result<Vec<Type>, Error> {
    if updates.dtype == x.dtype && updates.shape == shape {
        return Ok(vec![x.clone()]);
    }
    let message = format!("{} {:?} instead of {} {shape:?}", updates.dtype, updates.shape, x.dtype);
    Err(Error::invalid(message).part("input 2"))
}

impl Operator for ScatterElements {
    fn name(&self) -> &'static str {
        "ScatterElements"
    }

    fn infer(&self, inputs: &[&Type]) -> Result<Vec<Type>, Error> {
        let [x, indices, updates] = inputs else { return Err(Error::bug("ScatterElements has three operands")) };
        gather::expect_along_axis(x, indices, self.axis)?;
        expect_updates(x, updates, &indices.shape)
    }

    fn scales(&self) -> Scales {
        scales(self.scatter)
    }

    fn bounds(&self, operands: &[Known<'_>]) -> Option<Bounds> {
        bounds(self.scatter, operands)
    }

    fn indices(&self) -> &'static [usize] {
        &[1]
    }

    fn lower(&self, io: &Io<'_>) -> Result<Lowered, Error> {
        let (x, indices) = (&io.inputs[0].ty.shape, &io.inputs[1].ty.shape);
        let geometry = gather::along_axis(x, indices, self.axis)?;
        Ok(ScatterAlong { geometry, scatter: self.scatter }.into())
    }
}

impl Operator for ScatterND {
    fn name(&self) -> &'static str {
        "ScatterND"
    }

    fn infer(&self, inputs: &[&Type]) -> Result<Vec<Type>, Error> {
        let [x, indices, updates] = inputs else { return Err(Error::bug("ScatterND has three operands")) };
        let len = gather::tuple_len(&x.shape, indices, 0)?;
        let points = &indices.shape[..indices.shape.len() - 1];
        expect_updates(x, updates, &[points, &x.shape[len..]].concat())
    }

    fn scales(&self) -> Scales {
        scales(self.scatter)
    }

    fn bounds(&self, operands: &[Known<'_>]) -> Option<Bounds> {
        bounds(self.scatter, operands)
    }

    fn indices(&self) -> &'static [usize] {
        &[1]
    }

    fn lower(&self, io: &Io<'_>) -> Result<Lowered, Error> {
        let len = gather::tuple_len(&io.inputs[0].ty.shape, &io.inputs[1].ty, 0)?;
        Ok(ScatterPoints { geometry: gather::points(&io.inputs[0].ty.shape, 0, len)?, scatter: self.scatter }.into())
    }
}

impl Literal for rt::Scatter {
    fn ty(&self) -> proc_macro2::TokenStream {
        quote::quote!(rt::Scatter)
    }

    fn literal(&self) -> proc_macro2::TokenStream {
        match self {
            rt::Scatter::Replace => quote::quote!(rt::Scatter::Replace),
            rt::Scatter::Add => quote::quote!(rt::Scatter::Add),
            rt::Scatter::Mul => quote::quote!(rt::Scatter::Mul),
            rt::Scatter::Max => quote::quote!(rt::Scatter::Max),
            rt::Scatter::Min => quote::quote!(rt::Scatter::Min),
        }
    }
}

routine! {
    /// `scatter_elements` with its constants.
    pub struct ScatterAlong { params "" geometry: rt::AlongAxis, value scatter: rt::Scatter }
    with [T: each_element of y] [I: each_index of x[1]]
    fn scatter_elements(T, I, T) -> T;
    overlap |kernel, operand| if operand == 0 { Overlap::Same } else { Overlap::Never }
}

routine! {
    /// `scatter_nd` with its constants.
    pub struct ScatterPoints { params "" geometry: rt::Points, value scatter: rt::Scatter }
    with [T: each_element of y] [I: each_index of x[1]]
    fn scatter_nd(T, I, T) -> T;
    overlap |kernel, operand| if operand == 0 { Overlap::Same } else { Overlap::Never }
}
