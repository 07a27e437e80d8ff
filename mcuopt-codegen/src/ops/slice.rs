//! Slice, and Gather with constant indices.
//!
//! <https://onnx.ai/onnx/operators/onnx__Slice.html>, opset 1 to 13;
//! <https://onnx.ai/onnx/operators/onnx__Gather.html>, opset 1 to 13.

use mcuopt_rt::v0 as rt;
use ndarray::{Axis, SliceInfoElem};

use super::reshape::axis;
use super::{Io, Lowered, Operator, Scales};
use crate::builder::Builder;
use crate::call::struct_literals;
use crate::each_dtype;
use crate::error::Error;
use crate::graph::{Type, ValueId};
use crate::onnx;
use crate::tensor::Tensor;

/// Every `step`th element from `start`, along each axis.
#[derive(Clone, Debug, PartialEq)]
pub struct Slice {
    /// First element along each axis.
    pub starts: Vec<usize>,
    /// Step along each axis, not 0; negative ones go backwards.
    pub steps: Vec<isize>,
    /// Number of elements along each axis.
    pub shape: Vec<usize>,
}

/// The elements at constant indices along an axis; constants only.
#[derive(Clone, Debug, PartialEq)]
pub struct Gather {
    /// The axis.
    pub axis: usize,
    /// Positions along it, each below the extent.
    pub indices: Vec<usize>,
}

/// Slice → Slice; Gather of one index → Slice, Reshape; of several on a constant → Gather, which is evaluated.
pub fn import(node: &onnx::Node, b: &mut Builder<'_>) -> Result<Vec<ValueId>, Error> {
    if node.op_type == "Gather" { import_gather(b) } else { import_slice(b) }
}

fn import_slice(b: &mut Builder<'_>) -> Result<Vec<ValueId>, Error> {
    let x = b.input(0)?;
    let shape = b.shape(x).to_vec();
    let (starts, ends, axes, steps) = if b.opset < 10 {
        (b.ints("starts")?, b.ints("ends")?, b.ints("axes")?, None)
    } else {
        (b.integers(1)?, b.integers(2)?, b.integers(3)?, b.integers(4)?)
    };
    let (Some(starts), Some(ends)) = (starts, ends) else { return Err(Error::invalid("`starts` or `ends` is missing")) };
    let axes = axes.unwrap_or_else(|| (0..starts.len() as i64).collect());
    let steps = steps.unwrap_or_else(|| vec![1; starts.len()]);
    if ends.len() != starts.len() || axes.len() != starts.len() || steps.len() != starts.len() {
        return Err(Error::invalid("`starts`, `ends`, `axes` and `steps` differ in length"));
    }
    let mut op = Slice { starts: vec![0; shape.len()], steps: vec![1; shape.len()], shape: shape.clone() };
    for index in 0..starts.len() {
        let axis = axis(axes[index], shape.len(), false)?;
        let (extent, step) = (shape[axis] as i64, steps[index]);
        if step == 0 {
            return Err(Error::invalid("a step is 0").part("`steps`"));
        }
        let wrap = |value: i64| if value < 0 { value.saturating_add(extent) } else { value };
        let (start, end) = (wrap(starts[index]), wrap(ends[index]));
        let (start, end) = match step > 0 {
            true => (start.clamp(0, extent), end.clamp(0, extent)),
            false => (start.clamp(0, (extent - 1).max(0)), end.clamp(-1, extent - 1)),
        };
        let distance = if step > 0 { end - start } else { start - end };
        op.shape[axis] = (distance.max(0) as u64).div_ceil(step.unsigned_abs()) as usize;
        op.starts[axis] = start as usize;
        op.steps[axis] = step.clamp(-extent.max(1), extent.max(1)) as isize;
    }
    if op.shape == shape && op.steps.iter().all(|&step| step == 1) {
        return Ok(vec![x]);
    }
    Ok(vec![b.push(op, &[x])?])
}

fn import_gather(b: &mut Builder<'_>) -> Result<Vec<ValueId>, Error> {
    let (x, indices) = (b.input(0)?, b.input(1)?);
    let shape = b.shape(x).to_vec();
    let axis = axis(b.int("axis", 0)?, shape.len(), false)?;
    let extent = shape[axis] as i64;
    let values = b.integers(1)?.unwrap_or_default();
    let wrapped: Option<Vec<usize>> = values
        .iter()
        .map(|&value| usize::try_from(if value < 0 { value + extent } else { value }).ok().filter(|&v| v < shape[axis]))
        .collect();
    let wrapped = wrapped.ok_or_else(|| {
        Error::invalid(format!("{values:?} reaches outside axis {axis} of {shape:?}")).part("input 1")
    })?;
    let target = [&shape[..axis], b.shape(indices), &shape[axis + 1..]].concat();
    let y = match (&wrapped[..], b.graph.constant(x)) {
        (&[index], None) => {
            let mut op = Slice { starts: vec![0; shape.len()], steps: vec![1; shape.len()], shape };
            (op.starts[axis], op.shape[axis]) = (index, 1);
            b.push(op, &[x])?
        }
        _ => b.push(Gather { axis, indices: wrapped }, &[x])?,
    };
    Ok(vec![b.reshape(y, &target)?])
}

impl Operator for Slice {
    fn name(&self) -> &'static str {
        "Slice"
    }

    fn infer(&self, inputs: &[&Type]) -> Result<Vec<Type>, Error> {
        let [x] = inputs else { return Err(Error::bug("Slice has one operand")) };
        Ok(vec![Type { dtype: x.dtype, shape: self.shape.clone() }])
    }

    fn eval(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>, Error> {
        let part = |axis: usize| {
            let (start, step, count) = (self.starts[axis] as isize, self.steps[axis], self.shape[axis] as isize);
            // ndarray steps backwards from the end of the range that the elements span.
            let (low, high) = match (count, step > 0) {
                (0, _) => (0, 0),
                (_, true) => (start, start + (count - 1) * step + 1),
                (_, false) => (start + (count - 1) * step, start + 1),
            };
            SliceInfoElem::Slice { start: low, end: Some(high), step }
        };
        let parts: Vec<_> = (0..self.shape.len()).map(part).collect();
        Ok(vec![each_dtype!(inputs[0], array => Tensor::from(array.slice(parts.as_slice()).to_owned()))])
    }

    fn scales(&self) -> Scales {
        Scales::SameAsInput
    }

    fn lower(&self, io: &Io<'_>) -> Result<Lowered, Error> {
        let shape = &io.inputs[0].ty.shape;
        if shape.len() > 6 {
            return Err(Error::unsupported(format!("{} axes", shape.len())).instead("up to six axes"));
        }
        let mut geometry = rt::Slice { input: [1; 6], start: [0; 6], step: [1; 6], output: [1; 6] };
        for (slot, axis) in (0..6).rev().zip((0..shape.len()).rev()) {
            geometry.input[slot] = shape[axis];
            geometry.start[slot] = self.starts[axis];
            geometry.step[slot] = self.steps[axis];
            geometry.output[slot] = self.shape[axis];
        }
        Ok(SliceCopy { geometry }.into())
    }
}

impl Operator for Gather {
    fn name(&self) -> &'static str {
        "Gather"
    }

    fn infer(&self, inputs: &[&Type]) -> Result<Vec<Type>, Error> {
        let [x] = inputs else { return Err(Error::bug("Gather has one operand")) };
        let mut shape = x.shape.clone();
        shape[self.axis] = self.indices.len();
        Ok(vec![Type { dtype: x.dtype, shape }])
    }

    fn eval(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>, Error> {
        Ok(vec![each_dtype!(inputs[0], array => Tensor::from(array.select(Axis(self.axis), &self.indices)))])
    }

    fn scales(&self) -> Scales {
        Scales::SameAsInput
    }

    fn lower(&self, _: &Io<'_>) -> Result<Lowered, Error> {
        let instead = "one constant index, or Slice";
        Err(Error::unsupported(format!("{} indices into a computed tensor", self.indices.len())).instead(instead))
    }
}

struct_literals! {
    Slice { input, start, step, output }
}

routine! {
    /// `slice` with its constants.
    pub struct SliceCopy { params "" geometry: rt::Slice }
    with [T: each_element of y]
    @inlined fn slice(T) -> T
}
