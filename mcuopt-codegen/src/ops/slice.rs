//! Slice, and Split as Slices.
//!
//! <https://onnx.ai/onnx/operators/onnx__Slice.html>, opset 1 to 13;
//! <https://onnx.ai/onnx/operators/onnx__Split.html>, opset 2 to 18.

use mcuopt_rt::v0 as rt;

use super::reshape::axis;
use super::{Io, Lowered, Operator, Scales, axes};
use crate::builder::Builder;
use crate::call::struct_literals;
use crate::error::Error;
use crate::graph::{Type, ValueId};
use crate::onnx;

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

impl Slice {
    /// All of a tensor.
    pub fn whole(shape: &[usize]) -> Self {
        Self { starts: vec![0; shape.len()], steps: vec![1; shape.len()], shape: shape.to_vec() }
    }

    /// Takes `count` elements from `start` on along an axis, in steps of `step`.
    pub fn take(mut self, axis: usize, start: usize, step: isize, count: usize) -> Self {
        (self.starts[axis], self.steps[axis], self.shape[axis]) = (start, step, count);
        self
    }

    /// Adds the operator, unless it takes all there is.
    pub fn push(self, b: &mut Builder<'_>, x: ValueId) -> Result<ValueId, Error> {
        let all = b.shape(x).to_vec();
        if self == Slice::whole(&all) {
            return Ok(x);
        }
        let touched = |axis: usize| self.shape[axis] != all[axis] || self.steps[axis] != 1;
        let (x, groups) = axes::with_few_axes(b, x, touched)?;
        let mut op = Slice::whole(b.shape(x));
        for (axis, group) in groups.iter().enumerate().filter(|(_, group)| touched(group[0])) {
            let of = group[0];
            op = op.take(axis, self.starts[of], self.steps[of], self.shape[of]);
        }
        let y = b.push(op, &[x])?;
        b.reshape(y, &self.shape)
    }
}

/// Slice → Slice; Split → a Slice for each part.
pub fn import(node: &onnx::Node, b: &mut Builder<'_>) -> Result<Vec<ValueId>, Error> {
    if node.op_type == "Split" { import_split(b) } else { import_slice(b) }
}

fn import_slice(b: &mut Builder<'_>) -> Result<Vec<ValueId>, Error> {
    let x = b.input(0)?;
    let shape = b.shape(x).to_vec();
    let (starts, ends, axes, steps) = if b.opset < 10 {
        (b.ints("starts")?, b.ints("ends")?, b.ints("axes")?, None)
    } else {
        (b.integers(1)?, b.integers(2)?, b.integers(3)?, b.integers(4)?)
    };
    let (Some(starts), Some(ends)) = (starts, ends) else {
        return Err(Error::invalid("`starts` or `ends` is missing"));
    };
    let axes = axes.unwrap_or_else(|| (0..starts.len() as i64).collect());
    let steps = steps.unwrap_or_else(|| vec![1; starts.len()]);
    if ends.len() != starts.len() || axes.len() != starts.len() || steps.len() != starts.len() {
        return Err(Error::invalid("`starts`, `ends`, `axes` and `steps` differ in length"));
    }
    let mut op = Slice::whole(&shape);
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
        let count = (distance.max(0) as u64).div_ceil(step.unsigned_abs()) as usize;
        // A step over the end is any step: only the first element is taken.
        op = op.take(axis, start as usize, if count > 1 { step as isize } else { 1 }, count);
    }
    Ok(vec![op.push(b, x)?])
}

fn import_split(b: &mut Builder<'_>) -> Result<Vec<ValueId>, Error> {
    let x = b.input(0)?;
    let shape = b.shape(x).to_vec();
    let axis = axis(b.int("axis", 0)?, shape.len(), false)?;
    let sizes = if b.opset < 13 { b.ints("split")? } else { b.integers(1)? };
    let count = match b.int("num_outputs", 0)? {
        0 => b.output_count(),
        count => usize::try_from(count).ok().filter(|&count| count >= b.output_count()).ok_or_else(|| {
            Error::invalid(format!("{count} for {} outputs", b.output_count())).part("attribute `num_outputs`")
        })?,
    };
    let sizes = match sizes {
        Some(sizes) => sizes.iter().map(|&size| usize::try_from(size).ok()).collect::<Option<Vec<_>>>(),
        // Equal parts, but for a smaller last one.
        None => {
            let size = shape[axis].div_ceil(count.max(1));
            (0..b.output_count()).map(|part| Some(size.min(shape[axis].saturating_sub(part * size)))).collect()
        }
    };
    let fits = |sizes: &Vec<usize>| {
        let total = sizes.iter().try_fold(0usize, |total, &size| total.checked_add(size));
        sizes.len() >= b.output_count() && total.is_some_and(|total| total <= shape[axis])
    };
    let sizes = sizes.filter(fits).ok_or_else(|| {
        Error::invalid(format!("axis {axis} of {shape:?} does not split into {} such parts", b.output_count()))
    })?;
    let mut start = 0;
    let mut parts = Vec::with_capacity(sizes.len());
    for &size in sizes.iter().take(b.output_count()) {
        parts.push(Slice::whole(&shape).take(axis, start, 1, size).push(b, x)?);
        start += size;
    }
    Ok(parts)
}

impl Operator for Slice {
    fn name(&self) -> &'static str {
        "Slice"
    }

    fn infer(&self, inputs: &[&Type]) -> Result<Vec<Type>, Error> {
        let [x] = inputs else { return Err(Error::bug("Slice has one operand")) };
        Ok(vec![Type { dtype: x.dtype, shape: self.shape.clone() }])
    }

    fn scales(&self) -> Scales {
        Scales::SameAsInput
    }

    fn lower(&self, io: &Io<'_>) -> Result<Lowered, Error> {
        let geometry = rt::Slice {
            input: axes::padded(&io.inputs[0].ty.shape, 1)?,
            start: axes::padded(&self.starts, 0)?,
            step: axes::padded(&self.steps, 1)?,
            output: axes::padded(&self.shape, 1)?,
        };
        Ok(SliceCopy { geometry }.into())
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
