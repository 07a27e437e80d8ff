//! Gather, GatherElements, GatherND, and Compress with a constant condition.
//!
//! <https://onnx.ai/onnx/operators/onnx__Gather.html>, opset 1 to 13, and its siblings. Indices may be constants or
//! computed; constant ones in even steps are a Slice. A computed index outside the axis is moved to its nearest end.

use mcuopt_rt::v0 as rt;
use ndarray::{ArrayD, IxDyn};

use super::reshape::axis;
use super::slice::Slice;
use super::{Io, Lowered, Operator, Scales, axes};
use crate::builder::Builder;
use crate::call::struct_literals;
use crate::error::Error;
use crate::graph::{Type, ValueId};
use crate::onnx;
use crate::tensor::{DType, Tensor};

/// `y[o…, i…, k…] = x[o…, indices[i…], k…]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Gather {
    /// The axis of `x` that the indices count along.
    pub axis: usize,
}

/// `y[i, j, k] = x[i, indices[i, j, k], k]`, where `axis` is the middle one.
#[derive(Clone, Debug, PartialEq)]
pub struct GatherElements {
    /// The axis of `x` that the indices count along.
    pub axis: usize,
}

/// `y[b…, i…, k…] = x[b…, indices[b…, i…, 0], indices[b…, i…, 1], …, k…]`.
#[derive(Clone, Debug, PartialEq)]
pub struct GatherND {
    /// Axes that both operands begin with.
    pub batch_dims: usize,
}

/// Gather, GatherElements, GatherND → themselves; indices in even steps, and Compress → Slice or Gather.
pub fn import(node: &onnx::Node, b: &mut Builder<'_>) -> Result<Vec<ValueId>, Error> {
    if node.op_type == "Compress" {
        return compress(b);
    }
    let x = b.input(0)?;
    let shape = b.shape(x).to_vec();
    if node.op_type == "GatherND" {
        let batch_dims = b.int("batch_dims", 0)?;
        let batch_dims = usize::try_from(batch_dims).ok().filter(|&dims| dims < shape.len()).ok_or_else(|| {
            Error::invalid(format!("{batch_dims} for {} axes", shape.len())).part("attribute `batch_dims`")
        })?;
        let extents = &shape[batch_dims..];
        let indices = indices(b, extents)?;
        return Ok(vec![b.push(GatherND { batch_dims }, &[x, indices])?]);
    }
    let axis = axis(b.int("axis", 0)?, shape.len(), false)?;
    let indices = indices(b, &shape[axis..=axis])?;
    if node.op_type == "GatherElements" {
        return Ok(vec![b.push(GatherElements { axis }, &[x, indices])?]);
    }
    let Some(constant) = b.graph.constant(indices) else { return Ok(vec![b.push(Gather { axis }, &[x, indices])?]) };
    let target = [&shape[..axis], constant.shape(), &shape[axis + 1..]].concat();
    let positions = constant.to_i64s().unwrap_or_default();
    let positions: Vec<usize> =
        positions.iter().map(|&i| if i < 0 { i + shape[axis] as i64 } else { i } as usize).collect();
    let y = select(b, x, axis, &positions)?;
    Ok(vec![b.reshape(y, &target)?])
}

/// The operand of indices, whose last axis counts along axes of the given extents (or each of which does along the
/// only one). Constant ones are checked, and become int32.
pub fn indices(b: &mut Builder<'_>, extents: &[usize]) -> Result<ValueId, Error> {
    let id = b.input(1)?;
    let shape = b.shape(id).to_vec();
    let Some(constant) = b.graph.constant(id) else { return Ok(id) };
    let values = constant.to_i64s().ok_or_else(|| Error::invalid("it should hold integers").part("input 1"))?;
    let along = if extents.len() == 1 { 1 } else { shape.last().copied().unwrap_or(1) };
    let outside = values.iter().enumerate().find_map(|(position, &index)| {
        let extent = *extents.get(position % along.max(1))? as i64;
        (index < -extent || index >= extent).then_some((index, extent))
    });
    if let Some((index, extent)) = outside {
        return Err(Error::invalid(format!("the index {index} is outside an axis of {extent}")).part("input 1"));
    }
    let narrow: Vec<i32> = values.iter().map(|&value| value as i32).collect();
    let narrow = Tensor::new(&shape, narrow).ok_or_else(|| Error::bug("indices changed their number"))?;
    Ok(b.constant(narrow))
}

/// Elements at constant positions along an axis.
fn select(b: &mut Builder<'_>, x: ValueId, axis: usize, positions: &[usize]) -> Result<ValueId, Error> {
    let shape = b.shape(x).to_vec();
    let step = match positions {
        [first, second, ..] => *second as isize - *first as isize,
        _ => 1,
    };
    let even = positions.windows(2).all(|pair| pair[1] as isize - pair[0] as isize == step);
    if even && step != 0 {
        let start = positions.first().copied().unwrap_or(0);
        return Slice::whole(&shape).take(axis, start, step, positions.len()).push(b, x);
    }
    let positions: Vec<i32> = positions.iter().map(|&position| position as i32).collect();
    let indices = b.constant(Tensor::I32(ArrayD::from_shape_fn(IxDyn(&[positions.len()]), |i| positions[i[0]])));
    b.push(Gather { axis }, &[x, indices])
}

/// The elements for which a constant condition holds, along an axis or of the flat tensor.
fn compress(b: &mut Builder<'_>) -> Result<Vec<ValueId>, Error> {
    let mut x = b.input(0)?;
    let condition = b.integers(1)?.ok_or_else(|| Error::invalid("it is missing").part("input 1"))?;
    let rank = b.shape(x).len();
    let axis = match b.attribute("axis") {
        Some(_) => axis(b.int("axis", 0)?, rank, false)?,
        None => {
            let count = b.shape(x).iter().product();
            x = b.reshape(x, &[count])?;
            0
        }
    };
    if condition.len() > b.shape(x)[axis] {
        return Err(Error::invalid(format!("{} conditions for an axis of {}", condition.len(), b.shape(x)[axis])));
    }
    let positions: Vec<usize> = (0..condition.len()).filter(|&position| condition[position] != 0).collect();
    Ok(vec![select(b, x, axis, &positions)?])
}

/// Fails on indices that are no int32 or int64.
pub fn expect_indices(indices: &Type) -> Result<(), Error> {
    if matches!(indices.dtype, DType::I32 | DType::I64) {
        return Ok(());
    }
    Err(Error::invalid(format!("indices of type {}", indices.dtype)).part("input 1"))
}

impl Operator for Gather {
    fn name(&self) -> &'static str {
        "Gather"
    }

    fn infer(&self, inputs: &[&Type]) -> Result<Vec<Type>, Error> {
        let [x, indices] = inputs else { return Err(Error::bug("Gather has two operands")) };
        expect_indices(indices)?;
        let shape = [&x.shape[..self.axis], &indices.shape, &x.shape[self.axis + 1..]].concat();
        Ok(vec![Type { dtype: x.dtype, shape }])
    }

    fn scales(&self) -> Scales {
        Scales::SameAsInput
    }

    fn indices(&self) -> &'static [usize] {
        &[1]
    }

    fn lower(&self, io: &Io<'_>) -> Result<Lowered, Error> {
        let shape = &io.inputs[0].ty.shape;
        let geometry = rt::Gather {
            outer: shape[..self.axis].iter().product(),
            extent: shape[self.axis],
            inner: shape[self.axis + 1..].iter().product(),
        };
        Ok(GatherRows { geometry }.into())
    }
}

/// How indices of one shape name elements of a tensor along an axis.
pub fn along_axis(tensor: &[usize], indices: &[usize], axis: usize) -> Result<rt::AlongAxis, Error> {
    let mut strides = axes::strides(tensor);
    let stride = std::mem::take(&mut strides[axis]);
    let (shape, strides) = axes::merged(indices, &strides);
    Ok(rt::AlongAxis {
        shape: axes::padded(&shape, 1)?,
        strides: axes::padded(&strides, 0)?,
        extent: tensor[axis],
        stride,
    })
}

/// Fails where indices reach out of a tensor along another axis than theirs.
pub fn expect_along_axis(tensor: &Type, indices: &Type, axis: usize) -> Result<(), Error> {
    expect_indices(indices)?;
    let (x, i) = (&tensor.shape, &indices.shape);
    if x.len() == i.len() && (0..x.len()).all(|other| other == axis || i[other] <= x[other]) {
        return Ok(());
    }
    Err(Error::invalid(format!("indices of shape {i:?} along axis {axis} of {x:?}")).part("input 1"))
}

impl Operator for GatherElements {
    fn name(&self) -> &'static str {
        "GatherElements"
    }

    fn infer(&self, inputs: &[&Type]) -> Result<Vec<Type>, Error> {
        let [x, indices] = inputs else { return Err(Error::bug("GatherElements has two operands")) };
        expect_along_axis(x, indices, self.axis)?;
        Ok(vec![Type { dtype: x.dtype, shape: indices.shape.clone() }])
    }

    fn scales(&self) -> Scales {
        Scales::SameAsInput
    }

    fn indices(&self) -> &'static [usize] {
        &[1]
    }

    fn lower(&self, io: &Io<'_>) -> Result<Lowered, Error> {
        let [x, indices] = io.inputs[..] else { return Err(Error::bug("GatherElements has two operands")) };
        Ok(GatherAlong { geometry: along_axis(&x.ty.shape, &indices.ty.shape, self.axis)? }.into())
    }
}

/// The number of axes that each index tuple counts along.
pub fn tuple_len(tensor: &[usize], indices: &Type, batch_dims: usize) -> Result<usize, Error> {
    expect_indices(indices)?;
    let len = indices.shape.last().copied().unwrap_or(0);
    let fits = len > 0
        && len <= tensor.len().saturating_sub(batch_dims)
        && indices.shape.len() > batch_dims
        && indices.shape[..batch_dims] == tensor[..batch_dims];
    if fits {
        return Ok(len);
    }
    Err(Error::invalid(format!("indices of shape {:?} into {tensor:?}", indices.shape)).part("input 1"))
}

impl Operator for GatherND {
    fn name(&self) -> &'static str {
        "GatherND"
    }

    fn infer(&self, inputs: &[&Type]) -> Result<Vec<Type>, Error> {
        let [x, indices] = inputs else { return Err(Error::bug("GatherND has two operands")) };
        let len = tuple_len(&x.shape, indices, self.batch_dims)?;
        let points = &indices.shape[..indices.shape.len() - 1];
        Ok(vec![Type { dtype: x.dtype, shape: [points, &x.shape[self.batch_dims + len..]].concat() }])
    }

    fn scales(&self) -> Scales {
        Scales::SameAsInput
    }

    fn indices(&self) -> &'static [usize] {
        &[1]
    }

    fn lower(&self, io: &Io<'_>) -> Result<Lowered, Error> {
        let [x, indices] = io.inputs[..] else { return Err(Error::bug("GatherND has two operands")) };
        let len = tuple_len(&x.ty.shape, &indices.ty, self.batch_dims)?;
        Ok(GatherPoints { geometry: points(&x.ty.shape, self.batch_dims, len)? }.into())
    }
}

struct_literals! {
    Gather { outer, extent, inner }
    AlongAxis { shape, strides, extent, stride }
    Points { batch, axes, extents, inner }
}

/// How indices name blocks of a tensor by its first axes behind the batch.
pub fn points(tensor: &[usize], batch_dims: usize, axes: usize) -> Result<rt::Points, Error> {
    let (batch, rest) = tensor.split_at(batch_dims);
    let (extents, inner) = rest.split_at(axes);
    let extents = axes::padded(extents, 1)?;
    Ok(rt::Points { batch: batch.iter().product(), axes, extents, inner: inner.iter().product() })
}

routine! {
    /// `gather` with its constants.
    pub struct GatherRows { params "" geometry: rt::Gather }
    with [T: each_element of y] [I: each_index of x[1]]
    fn gather(T, I) -> T
}

routine! {
    /// `gather_elements` with its constants.
    pub struct GatherAlong { params "" geometry: rt::AlongAxis }
    with [T: each_element of y] [I: each_index of x[1]]
    fn gather_elements(T, I) -> T
}

routine! {
    /// `gather_nd` with its constants.
    pub struct GatherPoints { params "" geometry: rt::Points }
    with [T: each_element of y] [I: each_index of x[1]]
    fn gather_nd(T, I) -> T
}
