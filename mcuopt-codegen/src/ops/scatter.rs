//! ScatterElements (Scatter in older files), ScatterND and TensorScatter.
//!
//! <https://onnx.ai/onnx/operators/onnx__ScatterElements.html>, opset 9 to 18;
//! <https://onnx.ai/onnx/operators/onnx__ScatterND.html>, opset 11 to 18;
//! <https://onnx.ai/onnx/operators/onnx__TensorScatter.html>, opset 24. A computed index outside the axis is moved to
//! its nearest end.

use mcuopt_rt::v0 as rt;

use super::reshape::axis;
use super::{Io, Lowered, Operator, Overlap, Scales, gather};
use crate::bounds::{Bounds, Known};
use crate::builder::Builder;
use crate::call::{Literal, struct_literals};
use crate::error::Error;
use crate::graph::{Type, ValueId};
use crate::onnx;
use crate::tensor::{DType, Tensor};

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

/// Steps written into a cache of sequences; operands: cache, steps, and where they begin in each sequence.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorScatter {
    /// The axis of the steps.
    pub axis: usize,
    /// Whether what would be written behind the end goes to the beginning.
    pub circular: bool,
}

/// ScatterElements, Scatter → ScatterElements; ScatterND and TensorScatter → themselves.
pub fn import(node: &onnx::Node, b: &mut Builder<'_>) -> Result<Vec<ValueId>, Error> {
    if node.op_type == "TensorScatter" {
        return tensor_scatter(b);
    }
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

fn tensor_scatter(b: &mut Builder<'_>) -> Result<Vec<ValueId>, Error> {
    let (x, updates) = (b.input(0)?, b.input(1)?);
    let axis = axis(b.int("axis", -2)?, b.shape(x).len(), false)?;
    let circular = match b.string("mode", "linear")?.as_str() {
        "linear" => false,
        "circular" => true,
        other => return Err(Error::invalid(format!("`{other}` is no mode")).part("attribute `mode`")),
    };
    if axis == 0 {
        return Err(Error::invalid("steps along the batch").part("attribute `axis`"));
    }
    let starts = match b.optional(2)? {
        Some(starts) => starts,
        None => b.constant(Tensor::zeros(DType::I32, &[b.shape(x)[0]])),
    };
    Ok(vec![b.push(TensorScatter { axis, circular }, &[x, updates, starts])?])
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

fn expect_updates(x: &Type, updates: &Type, shape: &[usize], operand: usize) -> Result<Vec<Type>, Error> {
    if updates.dtype == x.dtype && updates.shape == shape {
        return Ok(vec![x.clone()]);
    }
    let message = format!("{} {:?} instead of {} {shape:?}", updates.dtype, updates.shape, x.dtype);
    Err(Error::invalid(message).part(format!("input {operand}")))
}

impl Operator for ScatterElements {
    fn name(&self) -> &'static str {
        "ScatterElements"
    }

    fn infer(&self, inputs: &[&Type]) -> Result<Vec<Type>, Error> {
        let [x, indices, updates] = inputs else { return Err(Error::bug("ScatterElements has three operands")) };
        gather::expect_along_axis(x, indices, self.axis)?;
        expect_updates(x, updates, &indices.shape, 2)
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
        expect_updates(x, updates, &[points, &x.shape[len..]].concat(), 2)
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

impl Operator for TensorScatter {
    fn name(&self) -> &'static str {
        "TensorScatter"
    }

    fn infer(&self, inputs: &[&Type]) -> Result<Vec<Type>, Error> {
        let [x, updates, starts] = inputs else { return Err(Error::bug("TensorScatter has three operands")) };
        gather::expect_indices(starts)?;
        if starts.shape != [x.shape[0]] {
            return Err(Error::invalid(format!("{:?} for {} sequences", starts.shape, x.shape[0])).part("input 2"));
        }
        let steps = updates.shape.get(self.axis).copied().unwrap_or(0).min(x.shape[self.axis]);
        let mut shape = x.shape.clone();
        shape[self.axis] = steps;
        expect_updates(x, updates, &shape, 1)
    }

    fn scales(&self) -> Scales {
        Scales::Joined
    }

    fn bounds(&self, operands: &[Known<'_>]) -> Option<Bounds> {
        let [x, updates, _] = operands else { return None };
        Some(x.bounds.join(updates.bounds))
    }

    fn indices(&self) -> &'static [usize] {
        &[2]
    }

    fn lower(&self, io: &Io<'_>) -> Result<Lowered, Error> {
        let [x, updates, _] = io.inputs[..] else { return Err(Error::bug("TensorScatter has three operands")) };
        let (x, updates) = (&x.ty.shape, &updates.ty.shape);
        let geometry = rt::Cache {
            batch: x[0],
            outer: x[1..self.axis].iter().product(),
            extent: x[self.axis],
            steps: updates[self.axis],
            inner: x[self.axis + 1..].iter().product(),
            circular: self.circular,
        };
        Ok(ScatterSteps { geometry }.into())
    }
}

struct_literals! {
    Cache { batch, outer, extent, steps, inner, circular }
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

routine! {
    /// `tensor_scatter` with its constants.
    pub struct ScatterSteps { params "" geometry: rt::Cache }
    with [T: each_element of y] [I: each_index of x[2]]
    fn tensor_scatter(T, T, I) -> T
    ; overlap |kernel, operand| if operand == 0 { Overlap::Same } else { Overlap::Never }
}
