//! Operators that leave the elements where they lie: Reshape, Flatten, Squeeze, Unsqueeze, Identity, Dropout.
//!
//! <https://onnx.ai/onnx/operators/onnx__Reshape.html> and its siblings, opset 5 on. All become Reshape or nothing.

use ndarray::{ArrayD, IxDyn};

use super::{Io, Lowered, Operator, Scales};
use crate::builder::Builder;
use crate::error::Error;
use crate::graph::{Quantization, Type, ValueId};
use crate::onnx;
use crate::tensor::Tensor;

/// The same elements in the same order under another shape.
#[derive(Clone, Debug, PartialEq)]
pub struct Reshape {
    /// The new shape.
    pub shape: Vec<usize>,
}

/// Resolves the node's target shape; the result is a Reshape, or nothing where the shape stays.
pub fn import(node: &onnx::Node, b: &mut Builder<'_>) -> Result<Vec<ValueId>, Error> {
    let x = b.input(0)?;
    let shape = b.shape(x).to_vec();
    let target = match node.op_type.as_str() {
        "Reshape" => reshape_target(b, &shape)?,
        "Flatten" => {
            let axis = axis(b.int("axis", 1)?, shape.len(), true)?;
            vec![shape[..axis].iter().product(), shape[axis..].iter().product()]
        }
        "Squeeze" => squeezed(&shape, axes(b)?)?,
        "Unsqueeze" => unsqueezed(&shape, &axes(b)?.unwrap_or_default())?,
        "Dropout" => return dropout(b),
        _ => shape,
    };
    Ok(vec![b.reshape(x, &target)?])
}

/// Dropout is the identity at inference, and its mask keeps every element.
fn dropout(b: &mut Builder<'_>) -> Result<Vec<ValueId>, Error> {
    let x = b.input(0)?;
    for ignored in ["ratio", "seed", "is_test"] {
        b.attribute(ignored);
    }
    if b.integers(2)?.is_some_and(|mode| mode != [0]) {
        return Err(Error::unsupported("training mode").instead("the model exported for inference").part("input 2"));
    }
    let mut outputs = vec![x];
    if b.output_count() > 1 {
        let shape = IxDyn(b.shape(x));
        let bools = b.opset >= 10;
        let mask: Tensor = if bools { ArrayD::from_elem(shape, true).into() } else { ArrayD::from_elem(shape, 1_f32).into() };
        outputs.push(b.constant(mask));
    }
    Ok(outputs)
}

/// The shape operand with 0 (copy) and −1 (whatever remains) resolved.
fn reshape_target(b: &Builder<'_>, shape: &[usize]) -> Result<Vec<usize>, Error> {
    let requested = b.integers(1)?.ok_or_else(|| Error::invalid("it is missing").part("input 1"))?;
    let allow_zero = b.int("allowzero", 0)? != 0;
    let mismatch = || Error::invalid(format!("{shape:?} does not reshape to {requested:?}"));
    let count: usize = shape.iter().product();
    let mut target = Vec::with_capacity(requested.len());
    let mut inferred = None;
    for (axis, &extent) in requested.iter().enumerate() {
        target.push(match extent {
            -1 if inferred.is_none() => {
                inferred = Some(axis);
                1
            }
            0 if !allow_zero => *shape.get(axis).ok_or_else(mismatch)?,
            extent => usize::try_from(extent).map_err(|_| mismatch())?,
        });
    }
    let known = target.iter().try_fold(1usize, |product, &extent| product.checked_mul(extent)).ok_or_else(mismatch)?;
    if let Some(axis) = inferred {
        target[axis] = count.checked_div(known).ok_or_else(mismatch)?;
    }
    if target.iter().product::<usize>() == count { Ok(target) } else { Err(mismatch()) }
}

/// The axes of Squeeze and Unsqueeze: an attribute up to opset 12, an operand since.
fn axes(b: &Builder<'_>) -> Result<Option<Vec<i64>>, Error> {
    Ok(b.integers(1)?.or(b.ints("axes")?))
}

/// A possibly negative axis as an index below `rank` (or up to it, where `end` is allowed).
pub fn axis(axis: i64, rank: usize, end: bool) -> Result<usize, Error> {
    let index = if axis < 0 { axis + rank as i64 } else { axis };
    let limit = if end { rank + 1 } else { rank };
    let valid = usize::try_from(index).ok().filter(|&index| index < limit);
    valid.ok_or_else(|| Error::invalid(format!("the axis {axis} of a tensor with {rank} axes")))
}

fn squeezed(shape: &[usize], axes: Option<Vec<i64>>) -> Result<Vec<usize>, Error> {
    let Some(axes) = axes else { return Ok(shape.iter().copied().filter(|&extent| extent != 1).collect()) };
    let mut keep = vec![true; shape.len()];
    for value in axes {
        let axis = axis(value, shape.len(), false)?;
        if shape[axis] != 1 {
            return Err(Error::invalid(format!("axis {axis} of {shape:?} is not 1")));
        }
        keep[axis] = false;
    }
    Ok(shape.iter().zip(keep).filter(|(_, keep)| *keep).map(|(&extent, _)| extent).collect())
}

fn unsqueezed(shape: &[usize], axes: &[i64]) -> Result<Vec<usize>, Error> {
    let rank = shape.len() + axes.len();
    let mut inserted = vec![false; rank];
    for &value in axes {
        let axis = axis(value, rank, false)?;
        if std::mem::replace(&mut inserted[axis], true) {
            return Err(Error::invalid(format!("the axis {value} stands twice in {axes:?}")));
        }
    }
    let mut rest = shape.iter().copied();
    Ok(inserted.into_iter().map(|inserted| if inserted { 1 } else { rest.next().unwrap_or(1) }).collect())
}

impl Operator for Reshape {
    fn name(&self) -> &'static str {
        "Reshape"
    }

    fn infer(&self, inputs: &[&Type]) -> Result<Vec<Type>, Error> {
        let [x] = inputs else { return Err(Error::bug("Reshape has one operand")) };
        if x.len() != self.shape.iter().product::<usize>() {
            return Err(Error::invalid(format!("{:?} does not reshape to {:?}", x.shape, self.shape)));
        }
        Ok(vec![Type { dtype: x.dtype, shape: self.shape.clone() }])
    }

    fn eval(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>, Error> {
        let reshaped = inputs[0].reshaped(&self.shape);
        reshaped.map(|tensor| vec![tensor]).ok_or_else(|| Error::bug("a Reshape changed the number of elements"))
    }

    fn scales(&self) -> Scales {
        Scales::SameAsInput
    }

    /// A channel axis survives where an axis of the same extent starts at the same element.
    fn carry(&self, quantization: &Quantization, input: &Type) -> Option<Quantization> {
        if quantization.scales.len() == 1 {
            return Some(quantization.clone());
        }
        let outer: usize = input.shape[..quantization.axis].iter().product();
        let mut before = 1;
        for (axis, &extent) in self.shape.iter().enumerate() {
            if before == outer && extent == quantization.scales.len() {
                return Some(Quantization { axis, ..quantization.clone() });
            }
            before *= extent;
        }
        None
    }

    fn lower(&self, _: &Io<'_>) -> Result<Lowered, Error> {
        Ok(Lowered::Alias)
    }
}
