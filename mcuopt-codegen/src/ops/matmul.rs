//! MatMul of two activations; with a constant it becomes Dense in `simplify`.
//!
//! <https://onnx.ai/onnx/operators/onnx__MatMul.html>, opset 1 to 13: numpy's `matmul`.

use mcuopt_rt::v0 as rt;

use super::{Io, Lowered, Operator, Routine, f32s, f32s_mut, i8s, i8s_mut, linear, result, window};
use crate::builder::Builder;
use crate::call::{Call, struct_literals};
use crate::error::Error;
use crate::graph::{Type, ValueId};
use crate::onnx;
use crate::tensor::{DType, Tensor};

/// a [batch…, rows, inner] · b [batch…, inner, columns], the batch axes broadcast.
#[derive(Clone, Debug, PartialEq)]
pub struct MatMul;

/// MatMul → MatMul; vectors become matrices and the added axis is dropped behind.
pub fn import(_: &onnx::Node, b: &mut Builder<'_>) -> Result<Vec<ValueId>, Error> {
    let (mut left, mut right) = (b.input(0)?, b.input(1)?);
    let (left_shape, right_shape) = (b.shape(left).to_vec(), b.shape(right).to_vec());
    if left_shape.is_empty() || right_shape.is_empty() {
        return Err(Error::invalid("an operand is a scalar"));
    }
    if left_shape.len() == 1 {
        left = b.reshape(left, &[1, left_shape[0]])?;
    }
    if right_shape.len() == 1 {
        right = b.reshape(right, &[right_shape[0], 1])?;
    }
    let y = b.push(MatMul, &[left, right])?;
    let mut shape = b.shape(y).to_vec();
    if right_shape.len() == 1 {
        shape.pop();
    }
    if left_shape.len() == 1 {
        shape.remove(shape.len() - if right_shape.len() == 1 { 1 } else { 2 });
    }
    Ok(vec![b.reshape(y, &shape)?])
}

/// The geometry for operands of the given shapes: one batch axis, which either operand may lack.
fn geometry(a: &[usize], b: &[usize]) -> Result<rt::MatMul, Error> {
    let [a_batch @ .., rows, inner] = a else { return Err(Error::bug("a matrix has two axes")) };
    let [b_batch @ .., _, columns] = b else { return Err(Error::bug("a matrix has two axes")) };
    let (a_count, b_count) = (a_batch.iter().product::<usize>(), b_batch.iter().product::<usize>());
    let strip = |batch: &[usize]| batch.iter().copied().skip_while(|&extent| extent == 1).collect::<Vec<_>>();
    if strip(a_batch) != strip(b_batch) && a_count != 1 && b_count != 1 {
        return Err(Error::unsupported(format!("batch axes {a_batch:?} against {b_batch:?}"))
            .instead("equal batch axes, or none on one side"));
    }
    Ok(rt::MatMul {
        batch: a_count.max(b_count),
        a_batch_stride: if a_count == 1 { 0 } else { rows * inner },
        b_batch_stride: if b_count == 1 { 0 } else { inner * columns },
        rows: *rows,
        inner: *inner,
        columns: *columns,
    })
}

impl Operator for MatMul {
    fn name(&self) -> &'static str {
        "MatMul"
    }

    fn infer(&self, inputs: &[&Type]) -> Result<Vec<Type>, Error> {
        let [a, b] = inputs else { return Err(Error::bug("MatMul has two operands")) };
        window::expect_float(inputs)?;
        let ([a_batch @ .., rows, inner], [b_batch @ .., depth, columns]) = (&a.shape[..], &b.shape[..]) else {
            return Err(Error::invalid(format!("the shapes {:?} and {:?} are no matrices", a.shape, b.shape)));
        };
        let batch = super::binary::broadcast(a_batch, b_batch).filter(|_| inner == depth);
        let mut shape =
            batch.ok_or_else(|| Error::invalid(format!("the shapes {:?} and {:?} do not fit", a.shape, b.shape)))?;
        shape.extend([*rows, *columns]);
        geometry(&a.shape, &b.shape)?;
        Ok(vec![Type::f32(shape)])
    }

    fn eval(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>, Error> {
        let (a, b) = (inputs[0], inputs[1]);
        let ty = self.infer(&[&Type::f32(a.shape()), &Type::f32(b.shape())])?.remove(0);
        let p = geometry(a.shape(), b.shape())?;
        let mut y = vec![0f32; ty.len()];
        for batch in 0..p.batch {
            let a = &f32s(a)[batch * p.a_batch_stride..];
            let b = &f32s(b)[batch * p.b_batch_stride..];
            for row in 0..p.rows {
                let start = (batch * p.rows + row) * p.columns;
                let y = &mut y[start..start + p.columns];
                for k in 0..p.inner {
                    let factor = a[row * p.inner + k];
                    for (y, b) in y.iter_mut().zip(&b[k * p.columns..(k + 1) * p.columns]) {
                        *y += factor * b;
                    }
                }
            }
        }
        result(&ty.shape, y)
    }

    fn lower(&self, io: &Io<'_>) -> Result<Lowered, Error> {
        let [a, b] = io.inputs[..] else { return Err(Error::bug("MatMul has two operands")) };
        let geometry = geometry(&a.ty.shape, &b.ty.shape)?;
        if io.output.ty.dtype == DType::F32 {
            return Ok(MatMulF32 { geometry, clamp: rt::Clamp::NONE }.into());
        }
        let [(a_scale, a_zero_point), (b_scale, b_zero_point)] = [linear::scale_of(a)?, linear::scale_of(b)?];
        let (scale, zero_point) = linear::scale_of(io.output)?;
        let factor = f64::from(a_scale) * f64::from(b_scale) / f64::from(scale);
        let left_shift = rt::left_shift_for(factor);
        if geometry.inner > 32_767 {
            return Err(Error::unsupported(format!("{} products in one sum overflow 32 bits", geometry.inner))
                .instead("at most 32767, or float32"));
        }
        Ok(MatMulS8 {
            geometry,
            requantize: rt::Requantize { left_shift, zero_point, min: i8::MIN, max: i8::MAX },
            multiplier: rt::multiplier(factor, left_shift),
            a_zero_point,
            b_zero_point,
        }
        .into())
    }
}

struct_literals! {
    MatMul { batch, a_batch_stride, b_batch_stride, rows, inner, columns }
}

fn macs(geometry: &rt::MatMul) -> u64 {
    (geometry.batch * geometry.rows * geometry.inner * geometry.columns) as u64
}

/// `matmul_f32` with its constants.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct MatMulF32 {
    pub geometry: rt::MatMul,
    pub clamp: rt::Clamp,
}

impl Routine for MatMulF32 {
    fn call(&self, _: DType) -> Call {
        Call::inlined("matmul_f32").params(&self.geometry).named("_CLAMP", &self.clamp)
    }

    fn run(&self, x: &[&Tensor], y: &mut Tensor) {
        rt::matmul_f32(&self.geometry, &self.clamp, f32s(x[0]), f32s(x[1]), f32s_mut(y));
    }

    fn macs(&self) -> u64 {
        macs(&self.geometry)
    }
}

/// `matmul_s8` with its constants.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct MatMulS8 {
    pub geometry: rt::MatMul,
    pub requantize: rt::Requantize,
    pub multiplier: i32,
    pub a_zero_point: i32,
    pub b_zero_point: i32,
}

impl Routine for MatMulS8 {
    fn call(&self, _: DType) -> Call {
        Call::inlined("matmul_s8")
            .params(&self.geometry)
            .named("_REQUANTIZE", &self.requantize)
            .value(self.multiplier)
            .value(self.a_zero_point)
            .value(self.b_zero_point)
    }

    fn run(&self, x: &[&Tensor], y: &mut Tensor) {
        let zero_points = (self.a_zero_point, self.b_zero_point);
        let (a, b) = (i8s(x[0]), i8s(x[1]));
        rt::matmul_s8(&self.geometry, &self.requantize, self.multiplier, zero_points.0, zero_points.1, a, b, i8s_mut(y));
    }

    fn macs(&self) -> u64 {
        macs(&self.geometry)
    }
}
