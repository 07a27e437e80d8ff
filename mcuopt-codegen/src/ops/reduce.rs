//! ReduceMean.
//!
//! <https://onnx.ai/onnx/operators/onnx__ReduceMean.html>, opset 1 to 18.

use mcuopt_rt::v0 as rt;

use super::reshape::axis;
use super::{Io, Lowered, Operator, Routine, f32s, f32s_mut, i8s, i8s_mut, linear, result, window};
use crate::builder::Builder;
use crate::call::{Call, struct_literals};
use crate::error::Error;
use crate::graph::{Type, ValueId};
use crate::onnx;
use crate::reference::advance;
use crate::tensor::{DType, Tensor};

/// The mean over some axes, which stay as axes of extent 1.
#[derive(Clone, Debug, PartialEq)]
pub struct ReduceMean {
    /// The axes, ascending.
    pub axes: Vec<usize>,
    /// Limits of the output.
    pub clamp: rt::Clamp,
}

/// ReduceMean → ReduceMean, and a Reshape where the axes are dropped. Axes that do not lie side by side are brought
/// together by a Transpose.
pub fn import(_: &onnx::Node, b: &mut Builder<'_>) -> Result<Vec<ValueId>, Error> {
    let x = b.input(0)?;
    let shape = b.shape(x).to_vec();
    let keep = b.int("keepdims", 1)? != 0;
    let nothing = b.int("noop_with_empty_axes", 0)? != 0;
    let requested = b.integers(1)?.or(b.ints("axes")?).unwrap_or_default();
    if requested.is_empty() && nothing {
        return Ok(vec![x]);
    }
    let mut axes: Vec<usize> =
        requested.iter().map(|&value| axis(value, shape.len(), false)).collect::<Result<_, _>>()?;
    if axes.is_empty() {
        axes = (0..shape.len()).collect();
    }
    axes.sort_unstable();
    axes.dedup();
    let mut target: Vec<usize> =
        (0..shape.len()).map(|axis| if axes.contains(&axis) { 1 } else { shape[axis] }).collect();
    if !keep {
        target = (0..shape.len()).filter(|axis| !axes.contains(axis)).map(|axis| shape[axis]).collect();
    }
    let kept: Vec<usize> = (0..shape.len()).filter(|axis| !axes.contains(axis)).collect();
    let op = |axes: Vec<usize>| ReduceMean { axes, clamp: rt::Clamp::NONE };
    let y = if contiguous(&axes, &shape) {
        b.push(op(axes), &[x])?
    } else {
        let x = b.transpose(x, &[kept.as_slice(), &axes].concat())?;
        b.push(op((kept.len()..shape.len()).collect()), &[x])?
    };
    Ok(vec![b.reshape(y, &target)?])
}

/// Whether no axis of extent above 1 lies between the given ones.
fn contiguous(axes: &[usize], shape: &[usize]) -> bool {
    let moving: Vec<usize> = axes.iter().copied().filter(|&axis| shape[axis] != 1).collect();
    let (Some(&first), Some(&last)) = (moving.first(), moving.last()) else { return true };
    (first..=last).all(|axis| shape[axis] == 1 || moving.contains(&axis))
}

impl Operator for ReduceMean {
    fn name(&self) -> &'static str {
        "ReduceMean"
    }

    fn infer(&self, inputs: &[&Type]) -> Result<Vec<Type>, Error> {
        let [x] = inputs else { return Err(Error::bug("ReduceMean has one operand")) };
        window::expect_float(inputs)?;
        let mut shape = x.shape.clone();
        for &axis in &self.axes {
            shape[axis] = 1;
        }
        Ok(vec![Type::f32(shape)])
    }

    fn eval(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>, Error> {
        let shape = inputs[0].shape();
        let ty = self.infer(&[&Type::f32(shape)])?.remove(0);
        let mut sums = vec![0f64; ty.len()];
        let mut position = vec![0; shape.len()];
        for &x in f32s(inputs[0]) {
            let index = (0..shape.len()).fold(0, |index, axis| {
                index * ty.shape[axis] + if ty.shape[axis] == 1 { 0 } else { position[axis] }
            });
            sums[index] += f64::from(x);
            advance(&mut position, shape);
        }
        let count = (inputs[0].len() / ty.len().max(1)) as f64;
        result(&ty.shape, sums.into_iter().map(|sum| self.clamp.apply((sum / count) as f32)).collect())
    }

    fn lower(&self, io: &Io<'_>) -> Result<Lowered, Error> {
        let shape = &io.inputs[0].ty.shape;
        if !contiguous(&self.axes, shape) {
            return Err(Error::unsupported(format!("the mean over axes {:?} of {shape:?}", self.axes))
                .instead("axes that lie side by side"));
        }
        let moving: Vec<usize> = self.axes.iter().copied().filter(|&axis| shape[axis] != 1).collect();
        let (first, last) = (moving.first().copied().unwrap_or(0), moving.last().map_or(0, |last| last + 1));
        let product = |extents: &[usize]| extents.iter().product::<usize>();
        let geometry = rt::Reduce {
            outer: product(&shape[..first]),
            len: product(&shape[first..last]),
            inner: product(&shape[last..]),
        };
        if io.output.ty.dtype == DType::F32 {
            return Ok(ReduceMeanF32 { geometry, clamp: self.clamp }.into());
        }
        let (x_scale, input_zero_point) = linear::scale_of(io.inputs[0])?;
        let (y_scale, zero_point) = linear::scale_of(io.output)?;
        let (min, max) = linear::clamp_to_i8(&self.clamp, (y_scale, zero_point));
        let factor = f64::from(x_scale) / (f64::from(y_scale) * geometry.len as f64);
        let left_shift = rt::left_shift_for(factor);
        Ok(ReduceMeanS8 {
            geometry,
            requantize: rt::Requantize { left_shift, zero_point, min, max },
            multiplier: rt::multiplier(factor, left_shift),
            input_zero_point,
        }
        .into())
    }
}

struct_literals! {
    Reduce { outer, len, inner }
}

/// `reduce_mean_f32` with its constants.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct ReduceMeanF32 {
    pub geometry: rt::Reduce,
    pub clamp: rt::Clamp,
}

impl Routine for ReduceMeanF32 {
    fn call(&self, _: DType) -> Call {
        Call::inlined("reduce_mean_f32").params(&self.geometry).named("_CLAMP", &self.clamp)
    }

    fn run(&self, x: &[&Tensor], y: &mut Tensor) {
        rt::reduce_mean_f32(&self.geometry, &self.clamp, f32s(x[0]), f32s_mut(y));
    }
}

/// `reduce_mean_s8` with its constants.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct ReduceMeanS8 {
    pub geometry: rt::Reduce,
    pub requantize: rt::Requantize,
    pub multiplier: i32,
    pub input_zero_point: i32,
}

impl Routine for ReduceMeanS8 {
    fn call(&self, _: DType) -> Call {
        Call::inlined("reduce_mean_s8")
            .params(&self.geometry)
            .named("_REQUANTIZE", &self.requantize)
            .value(self.multiplier)
            .value(self.input_zero_point)
    }

    fn run(&self, x: &[&Tensor], y: &mut Tensor) {
        let (p, q) = (&self.geometry, &self.requantize);
        rt::reduce_mean_s8(p, q, self.multiplier, self.input_zero_point, i8s(x[0]), i8s_mut(y));
    }
}
