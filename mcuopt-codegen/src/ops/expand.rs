//! Expand and Tile: elements repeated along axes.
//!
//! <https://onnx.ai/onnx/operators/onnx__Expand.html>, opset 8 to 13;
//! <https://onnx.ai/onnx/operators/onnx__Tile.html>, opset 6 to 13.

use mcuopt_rt::v0 as rt;

use super::transpose::TransposeCopy;
use super::{Io, Lowered, Operator, Scales, axes, binary};
use crate::builder::{Builder, MAX_ELEMENTS};
use crate::error::Error;
use crate::graph::{Type, ValueId};
use crate::onnx;

/// A tensor repeated along its axes of extent 1, and along axes in front that it does not have.
#[derive(Clone, Debug, PartialEq)]
pub struct Expand {
    /// The result's shape.
    pub shape: Vec<usize>,
}

/// Expand → Expand; Tile → Reshape, Expand, Reshape.
pub fn import(node: &onnx::Node, b: &mut Builder<'_>) -> Result<Vec<ValueId>, Error> {
    let x = b.input(0)?;
    let numbers = b.integers(1)?.ok_or_else(|| Error::invalid("it is missing").part("input 1"))?;
    let numbers: Option<Vec<usize>> = numbers.iter().map(|&value| usize::try_from(value).ok()).collect();
    let numbers = numbers.filter(|numbers| numbers.iter().all(|&number| number <= MAX_ELEMENTS));
    let numbers = numbers.ok_or_else(|| Error::invalid("negative or too large numbers").part("input 1"))?;
    if node.op_type == "Tile" {
        return Ok(vec![tile(b, x, &numbers)?]);
    }
    let mismatch = || Error::invalid(format!("{:?} does not expand to {numbers:?}", b.shape(x)));
    let shape = binary::broadcast(b.shape(x), &numbers).ok_or_else(mismatch)?;
    if b.shape(x) == shape {
        return Ok(vec![x]);
    }
    Ok(vec![b.push(Expand { shape }, &[x])?])
}

/// The tensor `repeats[axis]` times along each axis: an axis of extent 1 in front of each one that is repeated, which
/// Expand then widens.
fn tile(b: &mut Builder<'_>, x: ValueId, repeats: &[usize]) -> Result<ValueId, Error> {
    let rank = b.shape(x).len();
    if repeats.len() != rank {
        return Err(Error::invalid(format!("{} repeats for {rank} axes", repeats.len())).part("input 1"));
    }
    let repeated: Vec<usize> = (0..rank).filter(|&axis| repeats[axis] != 1).collect();
    // With two repeated axes there are at most five that move apart.
    let at_once = if repeated.len() == 3 && repeated[0] == 0 { 3 } else { 2 };
    let mut y = x;
    for axes in repeated.chunks(at_once) {
        let (mut apart, mut widened, mut whole) = (Vec::new(), Vec::new(), b.shape(y).to_vec());
        for axis in 0..rank {
            if axes.contains(&axis) {
                apart.push(1);
                widened.push(repeats[axis]);
                whole[axis] = whole[axis]
                    .checked_mul(repeats[axis])
                    .ok_or_else(|| Error::invalid("the result is too large").part("input 1"))?;
            }
            apart.push(b.shape(y)[axis]);
            widened.push(b.shape(y)[axis]);
        }
        let reshaped = b.reshape(y, &apart)?;
        let wide = b.push(Expand { shape: widened }, &[reshaped])?;
        y = b.reshape(wide, &whole)?;
    }
    Ok(y)
}

impl Operator for Expand {
    fn name(&self) -> &'static str {
        "Expand"
    }

    fn infer(&self, inputs: &[&Type]) -> Result<Vec<Type>, Error> {
        let [x] = inputs else { return Err(Error::bug("Expand has one operand")) };
        if binary::broadcast(&x.shape, &self.shape).as_ref() != Some(&self.shape) {
            return Err(Error::bug(format!("{:?} does not expand to {:?}", x.shape, self.shape)));
        }
        Ok(vec![Type { dtype: x.dtype, shape: self.shape.clone() }])
    }

    fn scales(&self) -> Scales {
        Scales::SameAsInput
    }

    fn lower(&self, io: &Io<'_>) -> Result<Lowered, Error> {
        let x = &io.inputs[0].ty.shape;
        if x.iter().product::<usize>() == io.output.ty.len() {
            return Ok(Lowered::Alias);
        }
        let mut strides = vec![0; self.shape.len() - x.len()];
        strides.extend(axes::strides(x).iter().zip(x).map(|(&stride, &extent)| if extent == 1 { 0 } else { stride }));
        let (shape, strides) = axes::merged(&self.shape, &strides);
        let geometry = rt::Transpose { shape: axes::padded(&shape, 1)?, strides: axes::padded(&strides, 0)? };
        Ok(TransposeCopy { geometry }.into())
    }
}
