//! Where: each element from one of two operands.
//!
//! <https://onnx.ai/onnx/operators/onnx__Where.html>, opset 9 on.

use mcuopt_rt::v0 as rt;

use super::binary::broadcast;
use super::unary::by_name;
use super::{Io, Kernel, Lowered, Operator, Overlap, Routine, Scales};
use crate::bounds::{Bounds, Known};
use crate::builder::Builder;
use crate::call::{Call, Constant, struct_literals};
use crate::error::Error;
use crate::graph::{Type, ValueId};
use crate::onnx;
use crate::tensor::{DType, Element, Tensor, each_element};

/// Operand 0 where operand 2 is true, operand 1 elsewhere: the condition comes last, as it does in mcuopt-rt.
#[derive(Clone, Debug, PartialEq)]
pub struct Where;

/// Where → Where.
pub fn import(_: &onnx::Node, b: &mut Builder<'_>) -> Result<Vec<ValueId>, Error> {
    let [condition, x, y] = [b.input(0)?, b.input(1)?, b.input(2)?];
    Ok(vec![b.push(Where, &[x, y, condition])?])
}

impl Operator for Where {
    fn name(&self) -> &'static str {
        "Where"
    }

    fn infer(&self, inputs: &[&Type]) -> Result<Vec<Type>, Error> {
        let [x, y, condition] = inputs else { return Err(Error::bug("three operands are needed")) };
        if x.dtype != y.dtype || condition.dtype != DType::Bool {
            let message = format!("the condition is {}, the operands are {} and {}", condition.dtype, x.dtype, y.dtype);
            return Err(Error::invalid(message));
        }
        let both = broadcast(&x.shape, &y.shape).and_then(|shape| broadcast(&shape, &condition.shape));
        let shape = both.ok_or_else(|| {
            let message = format!("the shapes {:?}, {:?} and {:?} do not broadcast", condition.shape, x.shape, y.shape);
            Error::invalid(message)
        })?;
        Ok(vec![Type { dtype: x.dtype, shape }])
    }

    fn scales(&self) -> Scales {
        Scales::Joined
    }

    fn pointwise(&self) -> bool {
        true
    }

    fn bounds(&self, operands: &[Known<'_>]) -> Option<Bounds> {
        let [x, y, _] = operands else { return None };
        Some(x.bounds.join(y.bounds))
    }

    fn lower(&self, io: &Io<'_>) -> Result<Lowered, Error> {
        let [x, y, condition] = io.inputs[..] else { return Err(Error::bug("three operands are needed")) };
        let geometry = collapse([&x.ty.shape, &y.ty.shape, &condition.ty.shape], &io.output.ty.shape)?;
        Ok(WhereLoop { negated: false, geometry }.into())
    }
}

/// Merges axes along which each operand moves as along the next, down to the six that mcuopt-rt's loops have.
fn collapse(operands: [&[usize]; 3], y: &[usize]) -> Result<rt::Broadcast3, Error> {
    let extent = |shape: &[usize], axis: usize| (axis + shape.len()).checked_sub(y.len()).map_or(1, |axis| shape[axis]);
    let mut axes: Vec<(usize, [bool; 3])> = Vec::new();
    for (axis, &count) in y.iter().enumerate().filter(|(_, count)| **count != 1) {
        let moves = operands.map(|shape| extent(shape, axis) != 1);
        match axes.last_mut() {
            Some(last) if last.1 == moves => last.0 *= count,
            _ => axes.push((count, moves)),
        }
    }
    if axes.len() > 6 {
        return Err(Error::unsupported(format!("broadcasting {operands:?}"))
            .instead("operands whose axes fall into at most six runs that broadcast alike"));
    }
    let mut geometry = rt::Broadcast3 { shape: [1; 6], strides: [[0; 6]; 3] };
    let mut next = [1; 3];
    for (slot, &(count, moves)) in (0..6).rev().zip(axes.iter().rev()) {
        geometry.shape[slot] = count;
        for operand in (0..3).filter(|&operand| moves[operand]) {
            geometry.strides[operand][slot] = next[operand];
            next[operand] *= count;
        }
    }
    Ok(geometry)
}

struct_literals! {
    Broadcast3 { shape, strides }
}

/// `ternary` with `Where` and its constants, for every element type.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct WhereLoop {
    /// Whether operand 0 is taken where the condition is false.
    pub negated: bool,
    pub geometry: rt::Broadcast3,
}

impl Routine for WhereLoop {
    fn call(&self, _: DType) -> Call {
        let mut call = Call::new("ternary").params(&self.geometry);
        call.constants.push(Constant::Value(by_name(if self.negated { "WhereNot" } else { "Where" })));
        call
    }

    fn run(&self, x: &[&Tensor], y: &mut Tensor) {
        let (p, condition) = (&self.geometry, u8::of(x[2]));
        each_element!(y.dtype(), T => match self.negated {
            true => rt::ternary(p, &rt::WhereNot, T::of(x[0]), T::of(x[1]), condition, T::of_mut(y)),
            false => rt::ternary(p, &rt::Where, T::of(x[0]), T::of(x[1]), condition, T::of_mut(y)),
        });
    }

    fn overlap(&self, operand: usize) -> Overlap {
        let strides = &self.geometry.strides[operand];
        let full = (0..6).all(|axis| self.geometry.shape[axis] == 1 || strides[axis] != 0);
        if full && operand < 2 { Overlap::Same } else { Overlap::Never }
    }

    fn swapped(&self) -> Option<Kernel> {
        let [a, b, condition] = self.geometry.strides;
        let geometry = rt::Broadcast3 { shape: self.geometry.shape, strides: [b, a, condition] };
        Some(Kernel::WhereLoop(Self { negated: !self.negated, geometry }))
    }
}
