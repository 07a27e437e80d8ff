//! MatMul of two activations; with a constant it becomes Dense in `simplify`.
//!
//! <https://onnx.ai/onnx/operators/onnx__MatMul.html>, opset 1 to 13: numpy's `matmul`.

use mcuopt_rt::v0 as rt;

use super::transpose::Transpose;
use super::{Io, Lowered, Operator, binary, f32s, linear, result, window};
use crate::builder::Builder;
use crate::call::struct_literals;
use crate::error::Error;
use crate::graph::{Type, ValueId};
use crate::onnx;
use crate::tensor::{DType, Tensor};

/// a [batch…, rows, inner] · b [batch…, inner, columns] · factor, the batch axes broadcast.
///
/// Operands and result may be transposed: the kernel steps over memory as it has to, so this costs nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct MatMul {
    /// What the products are multiplied with.
    pub factor: f32,
    /// The permutation that the operand `a` goes through before; empty for none.
    pub a: Vec<usize>,
    /// Likewise for `b`.
    pub b: Vec<usize>,
    /// The permutation that the result goes through.
    pub y: Vec<usize>,
}

impl MatMul {
    /// Of matrices as they are.
    pub fn new(factor: f32) -> Self {
        Self { factor, a: Vec::new(), b: Vec::new(), y: Vec::new() }
    }
}

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
    let y = b.push(MatMul::new(1.0), &[left, right])?;
    let mut shape = b.shape(y).to_vec();
    if right_shape.len() == 1 {
        shape.pop();
    }
    if left_shape.len() == 1 {
        shape.remove(shape.len() - if right_shape.len() == 1 { 1 } else { 2 });
    }
    Ok(vec![b.reshape(y, &shape)?])
}

/// Elements from one index to the next along each axis of a tensor.
fn strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis] * shape[axis];
    }
    strides
}

/// An operand's axes in the order of the product: extents and strides.
fn axes(shape: &[usize], perm: &[usize]) -> Vec<(usize, usize)> {
    let strides = strides(shape);
    let axes: Vec<(usize, usize)> = shape.iter().copied().zip(strides).collect();
    if perm.is_empty() { axes } else { perm.iter().map(|&axis| axes[axis]).collect() }
}

/// Extents in the order of the product.
fn extents(shape: &[usize], perm: &[usize]) -> Vec<usize> {
    axes(shape, perm).into_iter().map(|(extent, _)| extent).collect()
}

/// A batch axis: its extent, and the strides of `a`, `b` and `y`.
type Batch = (usize, [usize; 3]);

impl MatMul {
    /// The result's extents before its permutation.
    fn product(&self, a: &[usize], b: &[usize]) -> Result<Vec<usize>, Error> {
        let (a, b) = (extents(a, &self.a), extents(b, &self.b));
        let ([a_batch @ .., rows, inner], [b_batch @ .., depth, columns]) = (&a[..], &b[..]) else {
            return Err(Error::invalid(format!("the shapes {a:?} and {b:?} are no matrices")));
        };
        let batch = binary::broadcast(a_batch, b_batch).filter(|_| inner == depth);
        let batch = batch.ok_or_else(|| Error::invalid(format!("the shapes {a:?} and {b:?} do not fit")))?;
        Ok([&batch[..], &[*rows, *columns]].concat())
    }

    /// The geometry for operands of the given shapes.
    fn geometry(&self, a: &[usize], b: &[usize]) -> Result<rt::MatMul, Error> {
        let product = self.product(a, b)?;
        let (a, b) = (axes(a, &self.a), axes(b, &self.b));
        let y_perm = if self.y.is_empty() { (0..product.len()).collect() } else { self.y.clone() };
        let written: Vec<usize> = y_perm.iter().map(|&axis| product[axis]).collect();
        let y = axes(&written, &Transpose { perm: y_perm }.inverse());
        let (rank, columns) = (product.len(), y[y.len() - 1]);
        if columns.0 != 1 && columns.1 != 1 {
            return Err(Error::unsupported("a product whose columns lie apart").instead("a Transpose behind it"));
        }
        let mut batch: Vec<Batch> = Vec::new();
        for (axis, &count) in product[..rank - 2].iter().enumerate() {
            // The operands' axes end where the result's do; one of extent 1 is the same for all products.
            let of = |axes: &[(usize, usize)]| {
                let own = (axis + axes.len()).checked_sub(rank).map_or((1, 0), |axis| axes[axis]);
                if own.0 == 1 { 0 } else { own.1 }
            };
            let strides = [of(&a), of(&b), of(&y)];
            match batch.last_mut() {
                _ if count == 1 => {}
                Some((extent, last)) if (0..3).all(|i| last[i] == count * strides[i]) => {
                    (*extent, *last) = (*extent * count, strides);
                }
                _ => batch.push((count, strides)),
            }
        }
        // A stride along an extent of 1 says nothing.
        let stride = |(extent, stride): (usize, usize)| if extent == 1 { 1 } else { stride };
        let ([.., a_row, a_inner], [.., b_inner, b_column], [.., y_row, _]) = (&a[..], &b[..], &y[..]) else {
            return Err(Error::bug("a matrix has two axes"));
        };
        let mut p = rt::MatMul {
            a_row: stride(*a_row),
            a_inner: stride(*a_inner),
            b_inner: stride(*b_inner),
            b_column: stride(*b_column),
            y_row: stride(*y_row),
            ..rt::MatMul::new(a_row.0, a_inner.0, b_column.0)
        };
        if let Some(&(extent, [a, 0, y])) = batch.last() {
            // Rows of several products with one `b` are rows of one product.
            if p.rows == 1 || (a == p.rows * p.a_row && y == p.rows * p.y_row) {
                (p.a_row, p.y_row) = if p.rows == 1 { (a, y) } else { (p.a_row, p.y_row) };
                p.rows *= extent;
                batch.pop();
            }
        }
        let Some(missing) = 3usize.checked_sub(batch.len()) else {
            return Err(Error::unsupported(format!("{} batch axes that move against each other", batch.len()))
                .instead("up to three"));
        };
        for (axis, (extent, [a, b, y])) in batch.into_iter().enumerate() {
            (p.batch[missing + axis], p.a_batch[missing + axis]) = (extent, a);
            (p.b_batch[missing + axis], p.y_batch[missing + axis]) = (b, y);
        }
        Ok(p)
    }

    /// Whether the kernel has a fast form for operands of the given shapes as they lie.
    pub fn is_fast(&self, a: &[usize], b: &[usize]) -> bool {
        self.geometry(a, b).is_ok_and(|p| p.b_column == 1 || (p.a_inner == 1 && p.b_inner == 1))
    }
}

impl Operator for MatMul {
    fn name(&self) -> &'static str {
        "MatMul"
    }

    fn infer(&self, inputs: &[&Type]) -> Result<Vec<Type>, Error> {
        let [a, b] = inputs else { return Err(Error::bug("MatMul has two operands")) };
        window::expect_float(inputs)?;
        self.geometry(&a.shape, &b.shape)?;
        Ok(vec![Type::f32(extents(&self.product(&a.shape, &b.shape)?, &self.y))])
    }

    fn eval(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>, Error> {
        let product = self.product(inputs[0].shape(), inputs[1].shape())?;
        let moved = |tensor: &Tensor, perm: &[usize]| match perm {
            [] => tensor.clone(),
            perm => tensor.transposed(perm),
        };
        let (a, b) = (moved(inputs[0], &self.a), moved(inputs[1], &self.b));
        let p = MatMul::new(1.0).geometry(a.shape(), b.shape())?;
        let mut y = vec![0f32; product.iter().product()];
        for index in 0..p.batch.iter().product() {
            let place = [index / p.batch[2] / p.batch[1], index / p.batch[2] % p.batch[1], index % p.batch[2]];
            let of = |strides: [usize; 3]| (0..3).map(|axis| place[axis] * strides[axis]).sum::<usize>();
            let (a, b) = (&f32s(&a)[of(p.a_batch)..], &f32s(&b)[of(p.b_batch)..]);
            for row in 0..p.rows {
                let start = of(p.y_batch) + row * p.y_row;
                let y = &mut y[start..start + p.columns];
                for k in 0..p.inner {
                    let factor = a[row * p.a_row + k];
                    for (y, b) in y.iter_mut().zip(&b[k * p.columns..(k + 1) * p.columns]) {
                        *y += factor * b;
                    }
                }
                y.iter_mut().for_each(|y| *y *= self.factor);
            }
        }
        let y = result(&product, y)?;
        Ok(if self.y.is_empty() { y } else { vec![y[0].transposed(&self.y)] })
    }

    fn has_int16(&self) -> bool {
        true
    }

    fn lower(&self, io: &Io<'_>) -> Result<Lowered, Error> {
        let [a, b] = io.inputs[..] else { return Err(Error::bug("MatMul has two operands")) };
        let geometry = self.geometry(&a.ty.shape, &b.ty.shape)?;
        if io.output.ty.dtype == DType::F32 {
            return Ok(MatMulF32 { geometry, factor: self.factor, clamp: rt::Clamp::NONE }.into());
        }
        let [(a_scale, a_zero_point), (b_scale, b_zero_point)] = [linear::scale_of(a)?, linear::scale_of(b)?];
        let (scale, zero_point) = linear::scale_of(io.output)?;
        let factor = f64::from(self.factor) * f64::from(a_scale) * f64::from(b_scale) / f64::from(scale);
        let left_shift = rt::left_shift_for(factor.abs());
        if io.output.ty.dtype == DType::I16 {
            let (requantize, multiplier) = linear::rescale(factor, &rt::Clamp::NONE, (scale, zero_point));
            return Ok(MatMulS16 { geometry, requantize, multiplier, a_zero_point, b_zero_point }.into());
        }
        if geometry.inner > 1 << 15 {
            return Err(Error::unsupported(format!("{} products in one sum overflow 32 bits", geometry.inner))
                .instead("at most 32768, or float32"));
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
    MatMul { batch, a_batch, b_batch, y_batch, rows, inner, columns, a_row, a_inner, b_inner, b_column, y_row }
}

fn macs(p: &rt::MatMul) -> u64 {
    (p.batch.iter().product::<usize>() * p.rows * p.inner * p.columns) as u64
}

routine! {
    /// `matmul_f32` with its constants.
    pub struct MatMulF32 {
        params "" geometry: rt::MatMul,
        value factor: f32,
        params "_CLAMP" clamp: rt::Clamp,
    }
    @inlined fn matmul_f32(f32, f32) -> f32
    ; macs |kernel| macs(&kernel.geometry)
}

routine! {
    /// `matmul_s8` with its constants.
    pub struct MatMulS8 {
        params "" geometry: rt::MatMul,
        params "_REQUANTIZE" requantize: rt::Requantize,
        value multiplier: i32,
        value a_zero_point: i32,
        value b_zero_point: i32,
    }
    @inlined fn matmul_s8(i8, i8) -> i8
    ; macs |kernel| macs(&kernel.geometry)
}

routine! {
    /// `matmul_s16` with its constants.
    pub struct MatMulS16 {
        params "" geometry: rt::MatMul,
        params "_REQUANTIZE" requantize: rt::RequantizeS16,
        value multiplier: i32,
        value a_zero_point: i32,
        value b_zero_point: i32,
    }
    fn matmul_s16(i16, i16) -> i16
    ; macs |kernel| macs(&kernel.geometry)
}
