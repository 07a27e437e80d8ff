//! Add, Sub, Mul, Div with broadcasting, and BatchNormalization as a Mul and an Add.
//!
//! <https://onnx.ai/onnx/operators/onnx__Add.html> and its siblings, opset 7 to 14;
//! <https://onnx.ai/onnx/operators/onnx__BatchNormalization.html>, opset 7 to 15, inference form.

use mcuopt_rt::v0 as rt;
use ndarray::{ArrayD, IxDyn, Zip};

use super::linear;
use super::{Io, Kernel, Lowered, Operator, Overlap, Routine, Scales, f32s, f32s_mut, i8s, i8s_mut};
use crate::builder::Builder;
use crate::call::{Call, struct_literals};
use crate::error::Error;
use crate::graph::{Type, Value, ValueId};
use crate::onnx;
use crate::tensor::{DType, Tensor};

/// Which operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Kind {
    Add,
    Sub,
    Mul,
    Div,
}

/// An elementwise operation on two operands, with the activation that follows it as a clamp.
#[derive(Clone, Debug, PartialEq)]
pub struct Binary {
    /// Which one.
    pub kind: Kind,
    /// Limits of the output.
    pub clamp: rt::Clamp,
}

impl Binary {
    /// The operation without an activation.
    pub fn new(kind: Kind) -> Self {
        Self { kind, clamp: rt::Clamp::NONE }
    }
}

/// The shape that two shapes broadcast to, by ONNX's (numpy's) rules.
pub fn broadcast(a: &[usize], b: &[usize]) -> Option<Vec<usize>> {
    let rank = a.len().max(b.len());
    let extent = |shape: &[usize], axis: usize| (axis + shape.len()).checked_sub(rank).map_or(1, |axis| shape[axis]);
    (0..rank)
        .map(|axis| match (extent(a, axis), extent(b, axis)) {
            (a, b) if a == b => Some(a),
            (1, b) => Some(b),
            (a, 1) => Some(a),
            _ => None,
        })
        .collect()
}

/// Whether a tensor of this shape broadcasts along the last axis only: a number, or one for each channel.
pub fn is_per_channel(shape: &[usize], channels: usize) -> bool {
    let count: usize = shape.iter().product();
    count == 1 || (count == channels && shape.last() == Some(&channels))
}

/// Add, Sub, Mul, Div → Binary; BatchNormalization → Mul, Add.
pub fn import(node: &onnx::Node, b: &mut Builder<'_>) -> Result<Vec<ValueId>, Error> {
    let kind = match node.op_type.as_str() {
        "Add" => Kind::Add,
        "Sub" => Kind::Sub,
        "Mul" => Kind::Mul,
        "Div" => Kind::Div,
        _ => return batch_normalization(b),
    };
    let (left, right) = (b.input(0)?, b.input(1)?);
    let divisor = b.graph.constant(right).and_then(Tensor::f32s).filter(|_| kind == Kind::Div);
    if let (Some(divisor), None) = (divisor, b.graph.constant(left)) {
        let reciprocal = divisor.iter().map(|value| 1.0 / value).collect();
        let reciprocal = Tensor::new(b.shape(right), reciprocal).ok_or_else(|| Error::bug("a shape changed"))?;
        let reciprocal = b.constant(reciprocal);
        return Ok(vec![b.push(Binary::new(Kind::Mul), &[left, reciprocal])?]);
    }
    Ok(vec![b.push(Binary::new(kind), &[left, right])?])
}

/// y = scale · (x − mean) / √(variance + ε) + bias for each channel.
fn batch_normalization(b: &mut Builder<'_>) -> Result<Vec<ValueId>, Error> {
    let x = b.input(0)?;
    let epsilon = f64::from(b.float("epsilon", 1e-5)?);
    b.attribute("momentum");
    if b.int("spatial", 1)? == 0 {
        let error = Error::unsupported("a mean and variance for each element").instead("one for each channel");
        return Err(error.part("attribute `spatial`"));
    }
    if b.int("training_mode", 0)? != 0 {
        return Err(Error::unsupported("training mode").instead("the model exported for inference"));
    }
    let mut parameters = Vec::new();
    for (index, name) in ["scale", "bias", "mean", "variance"].into_iter().enumerate() {
        let id = b.input(index + 1)?;
        let part = format!("input {} ({name})", index + 1);
        let Some(values) = b.graph.constant(id).and_then(Tensor::f32s) else {
            let error = Error::unsupported("it is computed at run time").instead("a constant");
            return Err(error.part(part));
        };
        if b.shape(x).len() < 2 || values.len() != b.shape(x)[1] {
            let message = format!("it has {} values, x the shape {:?}", values.len(), b.shape(x));
            return Err(Error::invalid(message).part(part));
        }
        parameters.push(values.to_vec());
    }
    let channels = parameters[0].len();
    let gain = |c: usize| f64::from(parameters[0][c]) / (f64::from(parameters[3][c]) + epsilon).sqrt();
    let gains = (0..channels).map(|c| gain(c) as f32).collect();
    let offset = |c: usize| f64::from(parameters[1][c]) - f64::from(parameters[2][c]) * gain(c);
    let offsets = (0..channels).map(|c| offset(c) as f32).collect();
    let mut shape = vec![1; b.shape(x).len() - 1];
    shape[0] = channels;
    let [gains, offsets] = [gains, offsets].map(|values| {
        let tensor = ArrayD::from_shape_vec(IxDyn(&shape), values).unwrap_or_default();
        b.constant(Tensor::F32(tensor))
    });
    let scaled = b.push(Binary::new(Kind::Mul), &[x, gains])?;
    Ok(vec![b.push(Binary::new(Kind::Add), &[scaled, offsets])?])
}

/// Applies `f` to broadcast operands.
fn zip<T: Copy + Default>(a: &ArrayD<T>, b: &ArrayD<T>, f: impl Fn(T, T) -> Option<T>) -> Result<Tensor, Error>
where
    Tensor: From<ArrayD<T>>,
{
    let shape = broadcast(a.shape(), b.shape()).ok_or_else(|| Error::bug("shapes do not broadcast"))?;
    let (Some(a), Some(b)) = (a.broadcast(IxDyn(&shape)), b.broadcast(IxDyn(&shape))) else {
        return Err(Error::bug("shapes do not broadcast"));
    };
    let mut failed = false;
    let y = Zip::from(a).and(b).map_collect(|&a, &b| {
        f(a, b).unwrap_or_else(|| {
            failed = true;
            T::default()
        })
    });
    if failed {
        return Err(Error::invalid("the arithmetic on its constants overflows or divides by zero"));
    }
    Ok(y.into())
}

impl Operator for Binary {
    fn name(&self) -> &'static str {
        match self.kind {
            Kind::Add => "Add",
            Kind::Sub => "Sub",
            Kind::Mul => "Mul",
            Kind::Div => "Div",
        }
    }

    fn infer(&self, inputs: &[&Type]) -> Result<Vec<Type>, Error> {
        let [a, b] = inputs else { return Err(Error::bug("two operands are needed")) };
        if a.dtype != b.dtype {
            return Err(Error::invalid(format!("the operands are {} and {}", a.dtype, b.dtype)));
        }
        let shape = broadcast(&a.shape, &b.shape).ok_or_else(|| {
            Error::invalid(format!("the shapes {:?} and {:?} do not broadcast", a.shape, b.shape))
        })?;
        Ok(vec![Type { dtype: a.dtype, shape }])
    }

    fn eval(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>, Error> {
        macro_rules! integers {
            ($a:expr, $b:expr) => {
                match self.kind {
                    Kind::Add => zip($a, $b, |a, b| a.checked_add(b)),
                    Kind::Sub => zip($a, $b, |a, b| a.checked_sub(b)),
                    Kind::Mul => zip($a, $b, |a, b| a.checked_mul(b)),
                    Kind::Div => zip($a, $b, |a, b| a.checked_div(b)),
                }
            };
        }
        let y = match (inputs[0], inputs[1]) {
            (Tensor::F32(a), Tensor::F32(b)) => zip(a, b, |a, b| {
                let y = match self.kind {
                    Kind::Add => a + b,
                    Kind::Sub => a - b,
                    Kind::Mul => a * b,
                    Kind::Div => a / b,
                };
                Some(self.clamp.apply(y))
            }),
            (Tensor::I64(a), Tensor::I64(b)) => integers!(a, b),
            (Tensor::I32(a), Tensor::I32(b)) => integers!(a, b),
            (Tensor::I8(a), Tensor::I8(b)) => integers!(a, b),
            (Tensor::U8(a), Tensor::U8(b)) => integers!(a, b),
            (a, _) => Err(Error::unsupported(format!("arithmetic on {}", a.dtype())).instead("float, int32, int64")),
        };
        Ok(vec![y?])
    }

    fn scales(&self) -> Scales {
        if self.kind == Kind::Div { Scales::Float } else { Scales::Calibrated }
    }

    fn lower(&self, io: &Io<'_>) -> Result<Lowered, Error> {
        let [a, b] = io.inputs[..] else { return Err(Error::bug("two operands are needed")) };
        let geometry = collapse(&a.ty.shape, &b.ty.shape, &io.output.ty.shape)?;
        if io.output.ty.dtype == DType::F32 {
            return Ok(BinaryF32 { kind: self.kind, geometry, clamp: self.clamp }.into());
        }
        let y = linear::scale_of(io.output)?;
        let (min, max) = linear::clamp_to_i8(&self.clamp, y);
        let [a_quantization, b_quantization] = [runtime_quantization(a)?, runtime_quantization(b)?];
        if self.kind == Kind::Mul {
            let factor = f64::from(a_quantization.scale) * f64::from(b_quantization.scale) / f64::from(y.0);
            let left_shift = rt::left_shift_for(factor);
            return Ok(MulS8 {
                geometry,
                requantize: rt::Requantize { left_shift, zero_point: y.1, min, max },
                multiplier: rt::multiplier(factor, left_shift),
                a_zero_point: a_quantization.zero_point,
                b_zero_point: b_quantization.zero_point,
            }
            .into());
        }
        let sign = if self.kind == Kind::Sub { -1.0 } else { 1.0 };
        let params =
            rt::AddS8::new(a_quantization, b_quantization, runtime_quantization(io.output)?, sign, min, max);
        Ok(AddS8 { geometry, params }.into())
    }
}

fn runtime_quantization(value: &Value) -> Result<rt::Quantization, Error> {
    let (scale, zero_point) = linear::scale_of(value)?;
    Ok(rt::Quantization { scale, zero_point })
}

/// Merges axes along which both operands move alike, down to the four that mcuopt-rt's loops have.
fn collapse(a: &[usize], b: &[usize], y: &[usize]) -> Result<rt::Broadcast, Error> {
    let extent = |shape: &[usize], axis: usize| (axis + shape.len()).checked_sub(y.len()).map_or(1, |axis| shape[axis]);
    // (extent, whether a moves, whether b moves) of each merged axis.
    let mut axes: Vec<(usize, bool, bool)> = Vec::new();
    for (axis, &count) in y.iter().enumerate().filter(|(_, count)| **count != 1) {
        let moves = (extent(a, axis) != 1, extent(b, axis) != 1);
        match axes.last_mut() {
            Some(last) if (last.1, last.2) == moves => last.0 *= count,
            _ => axes.push((count, moves.0, moves.1)),
        }
    }
    if axes.len() > 4 {
        return Err(Error::unsupported(format!("broadcasting {a:?} with {b:?}"))
            .instead("operands whose axes fall into at most four runs that broadcast alike"));
    }
    let mut geometry = rt::Broadcast { shape: [1; 4], a_strides: [0; 4], b_strides: [0; 4] };
    let (mut a_stride, mut b_stride) = (1, 1);
    for (slot, &(count, a_moves, b_moves)) in (0..4).rev().zip(axes.iter().rev()) {
        geometry.shape[slot] = count;
        if a_moves {
            geometry.a_strides[slot] = a_stride;
            a_stride *= count;
        }
        if b_moves {
            geometry.b_strides[slot] = b_stride;
            b_stride *= count;
        }
    }
    Ok(geometry)
}

fn swapped(geometry: &rt::Broadcast) -> rt::Broadcast {
    rt::Broadcast { shape: geometry.shape, a_strides: geometry.b_strides, b_strides: geometry.a_strides }
}

/// An operand that has as many elements as the result can hold it; the second one only if the operation can be turned
/// around.
fn overlap(geometry: &rt::Broadcast, operand: usize, commutes: bool) -> Overlap {
    let strides = if operand == 0 { &geometry.a_strides } else { &geometry.b_strides };
    let full = (0..4).all(|axis| geometry.shape[axis] == 1 || strides[axis] != 0);
    if full && (operand == 0 || commutes) { Overlap::Same } else { Overlap::Never }
}

struct_literals! {
    Broadcast { shape, a_strides, b_strides }
    AddS8 { a_multiplier, b_multiplier, bias, shift, min, max }
}

/// `add_f32`, `sub_f32`, `mul_f32` or `div_f32` with its constants.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct BinaryF32 {
    pub kind: Kind,
    pub geometry: rt::Broadcast,
    pub clamp: rt::Clamp,
}

impl Routine for BinaryF32 {
    fn call(&self, _: DType) -> Call {
        let function = match self.kind {
            Kind::Add => "add_f32",
            Kind::Sub => "sub_f32",
            Kind::Mul => "mul_f32",
            Kind::Div => "div_f32",
        };
        Call::inlined(function).params(&self.geometry).named("_CLAMP", &self.clamp)
    }

    fn run(&self, x: &[&Tensor], y: &mut Tensor) {
        let (a, b, y) = (f32s(x[0]), f32s(x[1]), f32s_mut(y));
        match self.kind {
            Kind::Add => rt::add_f32(&self.geometry, &self.clamp, a, b, y),
            Kind::Sub => rt::sub_f32(&self.geometry, &self.clamp, a, b, y),
            Kind::Mul => rt::mul_f32(&self.geometry, &self.clamp, a, b, y),
            Kind::Div => rt::div_f32(&self.geometry, &self.clamp, a, b, y),
        }
    }

    fn overlap(&self, operand: usize) -> Overlap {
        overlap(&self.geometry, operand, matches!(self.kind, Kind::Add | Kind::Mul))
    }

    fn swapped(&self) -> Option<Kernel> {
        let commutes = matches!(self.kind, Kind::Add | Kind::Mul);
        commutes.then(|| Kernel::BinaryF32(Self { geometry: swapped(&self.geometry), ..self.clone() }))
    }
}

/// `add_s8` with its constants: Add, and Sub as the addition of a negative multiple.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct AddS8 {
    pub geometry: rt::Broadcast,
    pub params: rt::AddS8,
}

impl Routine for AddS8 {
    fn call(&self, _: DType) -> Call {
        Call::inlined("add_s8").params(&self.geometry).named("_SCALES", &self.params)
    }

    fn run(&self, x: &[&Tensor], y: &mut Tensor) {
        rt::add_s8(&self.geometry, &self.params, i8s(x[0]), i8s(x[1]), i8s_mut(y));
    }

    fn overlap(&self, operand: usize) -> Overlap {
        overlap(&self.geometry, operand, true)
    }

    fn swapped(&self) -> Option<Kernel> {
        let rt::AddS8 { a_multiplier, b_multiplier, .. } = self.params;
        let params = rt::AddS8 { a_multiplier: b_multiplier, b_multiplier: a_multiplier, ..self.params };
        Some(Kernel::AddS8(Self { geometry: swapped(&self.geometry), params }))
    }
}

/// `mul_s8` with its constants.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct MulS8 {
    pub geometry: rt::Broadcast,
    pub requantize: rt::Requantize,
    pub multiplier: i32,
    pub a_zero_point: i32,
    pub b_zero_point: i32,
}

impl Routine for MulS8 {
    fn call(&self, _: DType) -> Call {
        Call::inlined("mul_s8")
            .params(&self.geometry)
            .named("_REQUANTIZE", &self.requantize)
            .value(self.multiplier)
            .value(self.a_zero_point)
            .value(self.b_zero_point)
    }

    fn run(&self, x: &[&Tensor], y: &mut Tensor) {
        let zero_points = (self.a_zero_point, self.b_zero_point);
        let (a, b) = (i8s(x[0]), i8s(x[1]));
        rt::mul_s8(&self.geometry, &self.requantize, self.multiplier, zero_points.0, zero_points.1, a, b, i8s_mut(y));
    }

    fn overlap(&self, operand: usize) -> Overlap {
        overlap(&self.geometry, operand, true)
    }

    fn swapped(&self) -> Option<Kernel> {
        Some(Kernel::MulS8(Self {
            geometry: swapped(&self.geometry),
            a_zero_point: self.b_zero_point,
            b_zero_point: self.a_zero_point,
            ..self.clone()
        }))
    }
}
