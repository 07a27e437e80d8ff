//! Concat.
//!
//! <https://onnx.ai/onnx/operators/onnx__Concat.html>, opset 4 to 13.

use mcuopt_rt::v0 as rt;

use super::reshape::axis;
use super::{Io, Lowered, Operator, Routine, Scales};
use crate::bounds::{Bounds, Known};
use crate::builder::Builder;
use crate::call::{Call, Literal};
use crate::error::Error;
use crate::graph::{Type, ValueId};
use crate::onnx;
use crate::tensor::{DType, Element, Tensor, each_element};

/// Tensors joined along an axis.
#[derive(Clone, Debug, PartialEq)]
pub struct Concat {
    /// The axis.
    pub axis: usize,
}

/// Concat → Concat of the operands that have elements; of one operand, nothing.
pub fn import(_: &onnx::Node, b: &mut Builder<'_>) -> Result<Vec<ValueId>, Error> {
    let inputs = b.inputs()?;
    let Some(first) = inputs.first() else { return Err(Error::invalid("it has no operands")) };
    let axis = axis(b.int("axis", 1)?, b.shape(*first).len(), false)?;
    let types: Vec<&Type> = inputs.iter().map(|id| &b.graph.value(*id).ty).collect();
    Concat { axis }.infer(&types)?;
    let filled: Vec<ValueId> = inputs.iter().copied().filter(|id| !b.graph.value(*id).ty.is_empty()).collect();
    match filled[..] {
        [] => Ok(vec![b.push(Concat { axis }, &inputs)?]),
        [only] => Ok(vec![only]),
        _ => Ok(vec![b.push(Concat { axis }, &filled)?]),
    }
}

impl Operator for Concat {
    fn name(&self) -> &'static str {
        "Concat"
    }

    fn infer(&self, inputs: &[&Type]) -> Result<Vec<Type>, Error> {
        let (first, rest) = inputs.split_first().ok_or_else(|| Error::bug("Concat has operands"))?;
        let mut shape = first.shape.clone();
        for (index, ty) in rest.iter().enumerate() {
            let fits = ty.dtype == first.dtype
                && ty.shape.len() == shape.len()
                && (0..shape.len()).all(|axis| axis == self.axis || shape[axis] == ty.shape[axis]);
            if !fits {
                let message = format!(
                    "{} {:?} does not join {} {:?} along axis {}",
                    ty.dtype, ty.shape, first.dtype, first.shape, self.axis
                );
                return Err(Error::invalid(message).part(format!("input {}", index + 1)));
            }
            shape[self.axis] += ty.shape[self.axis];
        }
        Ok(vec![Type { dtype: first.dtype, shape }])
    }

    fn scales(&self) -> Scales {
        Scales::Joined
    }

    fn bounds(&self, operands: &[Known<'_>]) -> Option<Bounds> {
        operands.iter().map(|operand| operand.bounds).reduce(Bounds::join)
    }

    fn lower(&self, io: &Io<'_>) -> Result<Lowered, Error> {
        let block = |ty: &Type| ty.shape[self.axis..].iter().product::<usize>();
        let outer = io.output.ty.shape[..self.axis].iter().product();
        Ok(ConcatBlocks { outer, lens: io.inputs.iter().map(|value| block(&value.ty)).collect() }.into())
    }
}

/// `concat` with its constants, for every element type.
#[derive(Clone, Debug)]
pub struct ConcatBlocks {
    /// Number of times the operands take turns.
    pub outer: usize,
    /// Elements that each operand contributes to a turn.
    pub lens: Vec<usize>,
}

impl Routine for ConcatBlocks {
    fn call(&self, _: DType) -> Call {
        Call::inlined("concat").params(self).operands_in_array()
    }

    fn run(&self, x: &[&Tensor], y: &mut Tensor) {
        let params = rt::Concat { outer: self.outer, lens: &self.lens };
        each_element!(y.dtype(), T => {
            rt::concat(&params, &x.iter().map(|x| T::of(x)).collect::<Vec<_>>(), T::of_mut(y));
        });
    }
}

impl Literal for ConcatBlocks {
    fn ty(&self) -> proc_macro2::TokenStream {
        quote::quote!(rt::Concat<'static>)
    }

    fn literal(&self) -> proc_macro2::TokenStream {
        let outer = self.outer.literal();
        let lens = self.lens.iter().map(Literal::literal);
        quote::quote!(rt::Concat { outer: #outer, lens: &[#(#lens),*] })
    }
}
