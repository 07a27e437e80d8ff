//! Transpose.
//!
//! <https://onnx.ai/onnx/operators/onnx__Transpose.html>, opset 1 to 23.

use mcuopt_rt::v0 as rt;

use super::{Io, Lowered, Operator, Scales, axes};
use crate::builder::Builder;
use crate::call::struct_literals;
use crate::error::Error;
use crate::graph::{Quantization, Type, ValueId};
use crate::onnx;
use crate::ops::reshape::axis;
use crate::tensor::Tensor;

/// Axes reordered: output axis `i` is input axis `perm[i]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Transpose {
    /// A permutation of the axes.
    pub perm: Vec<usize>,
}

impl Transpose {
    /// Whether the elements stay where they lie: only axes of extent 1 move against the others.
    pub fn keeps_order(&self, shape: &[usize]) -> bool {
        self.perm.iter().filter(|&&axis| shape[axis] != 1).is_sorted()
    }

    /// The permutation that undoes this one.
    pub fn inverse(&self) -> Vec<usize> {
        let mut inverse = vec![0; self.perm.len()];
        for (to, &from) in self.perm.iter().enumerate() {
            inverse[from] = to;
        }
        inverse
    }
}

/// Transpose → Transpose; without `perm` the axes are reversed.
pub fn import(_: &onnx::Node, b: &mut Builder<'_>) -> Result<Vec<ValueId>, Error> {
    let x = b.input(0)?;
    let rank = b.shape(x).len();
    let perm = match b.ints("perm")? {
        None => (0..rank).rev().collect::<Vec<_>>(),
        Some(perm) => perm.iter().map(|&value| axis(value, rank, false)).collect::<Result<_, _>>()?,
    };
    let mut sorted = perm.clone();
    sorted.sort_unstable();
    if !sorted.into_iter().eq(0..rank) {
        return Err(Error::invalid(format!("{perm:?} does not permute {rank} axes")).part("attribute `perm`"));
    }
    Ok(vec![b.transpose(x, &perm)?])
}

impl Operator for Transpose {
    fn name(&self) -> &'static str {
        "Transpose"
    }

    fn infer(&self, inputs: &[&Type]) -> Result<Vec<Type>, Error> {
        let [x] = inputs else { return Err(Error::bug("Transpose has one operand")) };
        if x.shape.len() != self.perm.len() {
            return Err(Error::bug(format!("{:?} on the shape {:?}", self.perm, x.shape)));
        }
        Ok(vec![Type { dtype: x.dtype, shape: self.perm.iter().map(|&axis| x.shape[axis]).collect() }])
    }

    fn eval(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>, Error> {
        Ok(vec![inputs[0].transposed(&self.perm)])
    }

    fn scales(&self) -> Scales {
        Scales::SameAsInput
    }

    fn carry(&self, quantization: &Quantization, _: &Type) -> Option<Quantization> {
        let axis = if quantization.scales.len() == 1 { 0 } else { self.inverse()[quantization.axis] };
        Some(Quantization { axis, ..quantization.clone() })
    }

    fn lower(&self, io: &Io<'_>) -> Result<Lowered, Error> {
        let shape = &io.inputs[0].ty.shape;
        if self.keeps_order(shape) {
            return Ok(Lowered::Alias);
        }
        let strides = axes::strides(shape);
        let permuted: Vec<usize> = self.perm.iter().map(|&axis| shape[axis]).collect();
        let strides: Vec<usize> = self.perm.iter().map(|&axis| strides[axis]).collect();
        let (shape, strides) = axes::merged(&permuted, &strides);
        let geometry = rt::Transpose { shape: axes::padded(&shape, 1)?, strides: axes::padded(&strides, 0)? };
        Ok(TransposeCopy { geometry }.into())
    }
}

struct_literals! {
    Transpose { shape, strides }
}

routine! {
    /// `transpose` with its constants.
    pub struct TransposeCopy { params "" geometry: rt::Transpose }
    with [T: each_element of y]
    @inlined fn transpose(T) -> T
}
