//! MatMulInteger, ConvInteger and DynamicQuantizeLinear: integers whose scale is found at run time.
//!
//! <https://onnx.ai/onnx/operators/onnx__MatMulInteger.html>, <https://onnx.ai/onnx/operators/onnx__ConvInteger.html> and
//! <https://onnx.ai/onnx/operators/onnx__DynamicQuantizeLinear.html>.

use mcuopt_rt::v0 as rt;

use super::quantize::{self, Layout};
use super::window;
use super::{Io, Lowered, Operator, Scales};
use crate::builder::Builder;
use crate::call::struct_literals;
use crate::error::Error;
use crate::graph::{Type, ValueId};
use crate::onnx;
use crate::reference::Window;
use crate::tensor::{DType, Tensor};

/// Products of matrices of integers; operands a, b, and their zero points.
#[derive(Clone, Debug, PartialEq)]
pub struct MatMulInteger;

/// A convolution of integers, channels first; operands x, w, and their zero points.
#[derive(Clone, Debug, PartialEq)]
pub struct ConvInteger {
    /// The sliding window.
    pub window: Window,
    /// Groups that channels and filters fall into.
    pub group: usize,
}

/// The scale that DynamicQuantizeLinear finds.
#[derive(Clone, Debug, PartialEq)]
pub struct DynamicScale;

/// The zero point that DynamicQuantizeLinear finds; operands x and the scale.
#[derive(Clone, Debug, PartialEq)]
pub struct DynamicZeroPoint;

/// The integer operators → themselves; DynamicQuantizeLinear → its scale, its zero point and a QuantizeLinear.
pub fn import(node: &onnx::Node, b: &mut Builder<'_>) -> Result<Vec<ValueId>, Error> {
    let x = b.input(0)?;
    if node.op_type == "DynamicQuantizeLinear" {
        let scale = b.push(DynamicScale, &[x])?;
        let zero_point = b.push(DynamicZeroPoint, &[x, scale])?;
        let y = quantize::quantize(b, x, scale, Some(zero_point), DType::U8, Layout::along(0))?;
        return Ok(vec![y, scale, zero_point]);
    }
    let w = b.input(1)?;
    for (index, id) in [x, w].into_iter().enumerate() {
        let dtype = b.graph.value(id).ty.dtype;
        if !matches!(dtype, DType::I8 | DType::U8) {
            return Err(Error::invalid(format!("{dtype} is no type of 8 bits")).part(format!("input {index}")));
        }
    }
    let zero_points = [zero_point(b, 2, x)?, zero_point(b, 3, w)?];
    if node.op_type == "MatMulInteger" {
        return matmul(b, x, w, zero_points).map(|y| vec![y]);
    }
    let (x_shape, w_shape) = (b.shape(x).to_vec(), b.shape(w).to_vec());
    let rank = window::spatial_rank(&x_shape, "input 0")?;
    if rank > 3 {
        return Err(Error::unsupported(format!("{rank} spatial axes")).instead("up to three spatial axes"));
    }
    if w_shape.len() != rank + 2 {
        return Err(Error::invalid(format!("weights of shape {w_shape:?} for {x_shape:?}")));
    }
    let window = window::import(b, x, Some(w_shape[2..].to_vec()))?;
    let group = usize::try_from(b.int("group", 1)?).map_err(|_| Error::invalid("it is negative").part("attribute `group`"))?;
    Ok(vec![b.push(ConvInteger { window, group }, &[x, w, zero_points[0], zero_points[1]])?])
}

/// Vectors become matrices, and the added axis is dropped behind.
fn matmul(b: &mut Builder<'_>, x: ValueId, w: ValueId, zero_points: [ValueId; 2]) -> Result<ValueId, Error> {
    let (left, right) = (b.shape(x).to_vec(), b.shape(w).to_vec());
    if left.is_empty() || right.is_empty() {
        return Err(Error::invalid("an operand is a scalar"));
    }
    let x = if left.len() == 1 { b.reshape(x, &[1, left[0]])? } else { x };
    let w = if right.len() == 1 { b.reshape(w, &[right[0], 1])? } else { w };
    let y = b.push(MatMulInteger, &[x, w, zero_points[0], zero_points[1]])?;
    let mut shape = b.shape(y).to_vec();
    if right.len() == 1 {
        shape.pop();
    }
    if left.len() == 1 {
        shape.remove(shape.len() - if right.len() == 1 { 1 } else { 2 });
    }
    b.reshape(y, &shape)
}

/// A zero point, or 0 where it is left out.
fn zero_point(b: &mut Builder<'_>, index: usize, x: ValueId) -> Result<ValueId, Error> {
    let dtype = b.graph.value(x).ty.dtype;
    let Some(id) = b.optional(index)? else {
        return Ok(b.constant(Tensor::zeros(dtype, &[])));
    };
    let part = || format!("input {index}");
    let ty = &b.graph.value(id).ty;
    if ty.dtype != dtype {
        return Err(Error::invalid(format!("it is {}, its operand {dtype}", ty.dtype)).part(part()));
    }
    match ty.shape.len() {
        0 | 1 => Ok(id),
        _ if ty.len() == 1 => b.reshape(id, &[]),
        _ => Err(Error::unsupported(format!("zero points of shape {:?}", ty.shape)).instead("a vector").part(part())),
    }
}

/// Fails unless there is one zero point or `count` of them.
fn expect_zero_points(ty: &Type, count: usize, index: usize) -> Result<(), Error> {
    match ty.len() {
        1 => Ok(()),
        len if len == count => Ok(()),
        len => Err(Error::invalid(format!("{len} zero points for {count}")).part(format!("input {index}"))),
    }
}

/// Matrices to the next one along each of the result's batch axes.
fn strides(operand: &[usize], batch: &[usize; 4]) -> [usize; 4] {
    let missing = batch.len() - operand.len();
    std::array::from_fn(|axis| match axis.checked_sub(missing) {
        Some(own) if operand[own] != 1 => operand[own + 1..].iter().product(),
        _ => 0,
    })
}

impl Operator for MatMulInteger {
    fn name(&self) -> &'static str {
        "MatMulInteger"
    }

    fn infer(&self, inputs: &[&Type]) -> Result<Vec<Type>, Error> {
        let [a, b, a_zero, b_zero] = inputs else { return Err(Error::bug("MatMulInteger has four operands")) };
        let ([a_batch @ .., rows, inner], [b_batch @ .., depth, columns]) = (&a.shape[..], &b.shape[..]) else {
            return Err(Error::invalid(format!("the shapes {:?} and {:?} are no matrices", a.shape, b.shape)));
        };
        let batch = super::binary::broadcast(a_batch, b_batch).filter(|_| inner == depth);
        let mut shape =
            batch.ok_or_else(|| Error::invalid(format!("the shapes {:?} and {:?} do not fit", a.shape, b.shape)))?;
        if shape.len() > 4 {
            return Err(Error::unsupported(format!("{} batch axes", shape.len())).instead("up to four"));
        }
        expect_zero_points(a_zero, *rows, 2)?;
        expect_zero_points(b_zero, *columns, 3)?;
        shape.extend([*rows, *columns]);
        Ok(vec![Type { dtype: DType::I32, shape }])
    }

    fn scales(&self) -> Scales {
        Scales::Float
    }

    fn lower(&self, io: &Io<'_>) -> Result<Lowered, Error> {
        let (a, b) = (&io.inputs[0].ty.shape, &io.inputs[1].ty.shape);
        let ([a_batch @ .., rows, inner], [b_batch @ .., _, columns]) = (&a[..], &b[..]) else {
            return Err(Error::bug("a matrix has two axes"));
        };
        let y = &io.output.ty.shape;
        let y = &y[..y.len() - 2];
        let batch: [usize; 4] = std::array::from_fn(|axis| if axis < 4 - y.len() { 1 } else { y[axis + y.len() - 4] });
        let (a_strides, b_strides) = (strides(a_batch, &batch), strides(b_batch, &batch));
        let (rows, inner, columns) = (*rows, *inner, *columns);
        let geometry = rt::MatMulInteger { batch, a_strides, b_strides, rows, inner, columns };
        Ok(MatMulS32 { geometry }.into())
    }
}

impl Operator for ConvInteger {
    fn name(&self) -> &'static str {
        "ConvInteger"
    }

    fn infer(&self, inputs: &[&Type]) -> Result<Vec<Type>, Error> {
        let [x, w, x_zero, w_zero] = inputs else { return Err(Error::bug("ConvInteger has four operands")) };
        let (channels, filters) = (x.shape[1], w.shape[0]);
        let fits = self.group > 0
            && channels.is_multiple_of(self.group)
            && filters.is_multiple_of(self.group)
            && w.shape[1] == channels / self.group;
        if !fits {
            let what = format!("weights of shape {:?} for {:?} in {} groups", w.shape, x.shape, self.group);
            return Err(Error::invalid(what));
        }
        expect_zero_points(x_zero, 1, 2)?;
        expect_zero_points(w_zero, filters, 3)?;
        let spatial = window::output(&self.window, &x.shape[2..], false)?;
        Ok(vec![Type { dtype: DType::I32, shape: [&[x.shape[0], filters], &spatial[..]].concat() }])
    }

    fn scales(&self) -> Scales {
        Scales::Float
    }

    fn lower(&self, io: &Io<'_>) -> Result<Lowered, Error> {
        let (x, w, y) = (&io.inputs[0].ty.shape, &io.inputs[1].ty.shape, &io.output.ty.shape);
        // Missing spatial axes are the first ones, of extent 1.
        let three = |values: &[usize], missing: usize| -> [usize; 3] {
            std::array::from_fn(|axis| (axis + values.len()).checked_sub(3).map_or(missing, |own| values[own]))
        };
        let pads: Vec<usize> = self.window.pads.iter().map(|pads| pads[0]).collect();
        let geometry = rt::ConvInteger {
            batch: x[0],
            channels: x[1],
            filters: w[0],
            groups: self.group,
            input: three(&x[2..], 1),
            output: three(&y[2..], 1),
            kernel: three(&self.window.kernel, 1),
            stride: three(&self.window.strides, 1),
            dilation: three(&self.window.dilations, 1),
            pad: three(&pads, 0),
        };
        Ok(ConvS32 { geometry }.into())
    }
}

impl Operator for DynamicScale {
    fn name(&self) -> &'static str {
        "DynamicQuantizeLinear"
    }

    fn infer(&self, inputs: &[&Type]) -> Result<Vec<Type>, Error> {
        window::expect_float(inputs)?;
        Ok(vec![Type::f32([])])
    }

    fn scales(&self) -> Scales {
        Scales::Float
    }

    fn lower(&self, _: &Io<'_>) -> Result<Lowered, Error> {
        Ok(ScaleF32 {}.into())
    }
}

impl Operator for DynamicZeroPoint {
    fn name(&self) -> &'static str {
        "DynamicQuantizeLinear"
    }

    fn infer(&self, inputs: &[&Type]) -> Result<Vec<Type>, Error> {
        window::expect_float(inputs)?;
        Ok(vec![Type { dtype: DType::U8, shape: Vec::new() }])
    }

    fn scales(&self) -> Scales {
        Scales::Float
    }

    fn lower(&self, _: &Io<'_>) -> Result<Lowered, Error> {
        Ok(ZeroPointU8 {}.into())
    }
}

struct_literals! {
    MatMulInteger { batch, a_strides, b_strides, rows, inner, columns }
    ConvInteger { batch, channels, filters, groups, input, output, kernel, stride, dilation, pad }
}

routine! {
    /// `matmul_integer` with its constants.
    pub struct MatMulS32 { params "" geometry: rt::MatMulInteger }
    with [A: each_byte of x[0]] [B: each_byte of x[1]]
    fn matmul_integer(A, B, A, B) -> i32;
    macs |kernel| {
        let p = &kernel.geometry;
        (p.batch.iter().product::<usize>() * p.rows * p.inner * p.columns) as u64
    }
}

routine! {
    /// `conv_integer` with its constants.
    pub struct ConvS32 { params "" geometry: rt::ConvInteger }
    with [X: each_byte of x[0]] [W: each_byte of x[1]]
    fn conv_integer(X, W, X, W) -> i32;
    macs |kernel| {
        let p = &kernel.geometry;
        let outputs = p.batch * p.filters * p.output.iter().product::<usize>();
        (outputs * p.channels / p.groups.max(1) * p.kernel.iter().product::<usize>()) as u64
    }
}

routine! {
    /// `dynamic_scale`.
    pub struct ScaleF32 {}
    fn dynamic_scale(f32) -> f32
}

routine! {
    /// `dynamic_zero_point`.
    pub struct ZeroPointU8 {}
    fn dynamic_zero_point(f32, f32) -> u8
}
