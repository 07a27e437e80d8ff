//! Functions of two elements with broadcasting: arithmetic, comparisons, logic, bits; and BatchNormalization as a Mul and
//! an Add.
//!
//! <https://onnx.ai/onnx/operators/onnx__Add.html> and its siblings, opset 7 on;
//! <https://onnx.ai/onnx/operators/onnx__BatchNormalization.html>, opset 7 to 15, inference form.

use mcuopt_rt::v0 as rt;
use ndarray::{ArrayD, IxDyn, Zip};
use proc_macro2::TokenStream;
use quote::quote;

use super::cast::Cast;
use super::unary::{Function, Unary, by_name};
use super::{
    Io, Kernel, Lowered, Operator, Overlap, Routine, Scales, eval_by_kernel, f32s, f32s_mut, i8s, i8s_mut, i16s,
    i16s_mut, linear,
};
use crate::bounds::{Bounds, Known};
use crate::builder::Builder;
use crate::call::{Call, Constant, struct_literals};
use crate::error::Error;
use crate::graph::{Type, Value, ValueId};
use crate::onnx;
use crate::tensor::{DType, Element, Tensor, each_element, each_integer};

/// Which operation; the names are those of mcuopt-rt's functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Kind {
    Add,
    Sub,
    Mul,
    Div,
    Max,
    Min,
    Mod,
    Fmod,
    PRelu,
    Pow,
    Equal,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
    And,
    Or,
    Xor,
    BitwiseAnd,
    BitwiseOr,
    BitwiseXor,
    ShiftLeft,
    ShiftRight,
}

impl Kind {
    /// Those with a kernel of their own in float, which takes limits for the output as well.
    pub fn takes_clamp(self) -> bool {
        matches!(self, Kind::Add | Kind::Sub | Kind::Mul | Kind::Div)
    }

    /// The type of the result for operands of the given types, if there is one.
    fn output(self, a: DType, b: DType) -> Option<DType> {
        use Kind::*;
        let is_number = a != DType::Bool;
        let is_integer = is_number && a != DType::F32;
        let in_three_types = |dtype: DType| matches!(dtype, DType::F32 | DType::I32 | DType::I64);
        let found = match self {
            Add | Sub | Mul | Div | Max | Min | Mod | Fmod | PRelu => is_number.then_some(a),
            Pow => return (in_three_types(a) && in_three_types(b)).then_some(a),
            Greater | GreaterOrEqual | Less | LessOrEqual => is_number.then_some(DType::Bool),
            Equal => Some(DType::Bool),
            And | Or | Xor => (!is_number).then_some(a),
            BitwiseAnd | BitwiseOr | BitwiseXor | ShiftLeft | ShiftRight => is_integer.then_some(a),
        };
        found.filter(|_| a == b)
    }

    fn commutes(self) -> bool {
        use Kind::*;
        matches!(self, Add | Mul | Max | Min | Equal | And | Or | Xor | BitwiseAnd | BitwiseOr | BitwiseXor)
    }
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

/// A function of two elements → Binary; of several → a chain; BatchNormalization → Mul, Add.
pub fn import(node: &onnx::Node, b: &mut Builder<'_>) -> Result<Vec<ValueId>, Error> {
    let kind = match node.op_type.as_str() {
        "Add" => Kind::Add,
        "Sub" => Kind::Sub,
        "Mul" => Kind::Mul,
        "Div" => Kind::Div,
        "Max" => return chain(b, Kind::Max),
        "Min" => return chain(b, Kind::Min),
        "Sum" => return chain(b, Kind::Add),
        "Mean" => return mean(b),
        "Mod" => if b.int("fmod", 0)? == 0 { Kind::Mod } else { Kind::Fmod },
        "Pow" => return pow(b),
        "Equal" => Kind::Equal,
        "Greater" => Kind::Greater,
        "GreaterOrEqual" => Kind::GreaterOrEqual,
        "Less" => Kind::Less,
        "LessOrEqual" => Kind::LessOrEqual,
        "And" => Kind::And,
        "Or" => Kind::Or,
        "Xor" => Kind::Xor,
        "BitwiseAnd" => Kind::BitwiseAnd,
        "BitwiseOr" => Kind::BitwiseOr,
        "BitwiseXor" => Kind::BitwiseXor,
        "BitShift" => match b.string("direction", "")?.as_str() {
            "LEFT" => Kind::ShiftLeft,
            "RIGHT" => Kind::ShiftRight,
            other => return Err(Error::invalid(format!("the direction `{other}`")).part("attribute `direction`")),
        },
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

/// A function of any number of operands, two by two.
fn chain(b: &mut Builder<'_>, kind: Kind) -> Result<Vec<ValueId>, Error> {
    let operands = b.inputs()?;
    let mut y = b.input(0)?;
    for &x in &operands[1..] {
        y = b.push(Binary::new(kind), &[y, x])?;
    }
    Ok(vec![y])
}

fn mean(b: &mut Builder<'_>) -> Result<Vec<ValueId>, Error> {
    let sum = chain(b, Kind::Add)?;
    let count = b.inputs()?.len();
    if count == 1 {
        return Ok(sum);
    }
    let share = b.constant(Tensor::scalar(1.0 / count as f32));
    Ok(vec![b.push(Binary::new(Kind::Mul), &[sum[0], share])?])
}

/// Largest whole exponent that becomes multiplications: four of them, and few ulp wrong.
const MAX_POWER: f64 = 16.0;

/// Small constant exponents, also halves, need multiplications, a root and a division at most.
fn pow(b: &mut Builder<'_>) -> Result<Vec<ValueId>, Error> {
    let (x, mut exponent) = (b.input(0)?, b.input(1)?);
    let (dtype, exponent_type) = (b.graph.value(x).ty.dtype, b.graph.value(exponent).ty.dtype);
    let constant = match b.graph.constant(exponent).filter(|tensor| tensor.len() == 1) {
        Some(tensor) => match (tensor.f32s(), tensor.to_i64s()) {
            (Some(values), _) => Some(f64::from(values[0])),
            (None, Some(values)) => Some(values[0] as f64),
            (None, None) => None,
        },
        None => None,
    };
    let keeps_shape = b.shape(exponent).len() <= b.shape(x).len();
    if let Some(exponent) = constant.filter(|exponent| keeps_shape && exponent.abs() <= MAX_POWER) {
        let halves = exponent * 2.0;
        let function = match exponent {
            1.0 => return Ok(vec![x]),
            0.5 if dtype == DType::F32 => Some(Function::Sqrt(rt::Sqrt)),
            -1.0 if dtype == DType::F32 => Some(Function::Reciprocal(rt::Reciprocal)),
            _ if exponent == exponent.trunc() || (dtype == DType::F32 && halves == halves.trunc()) => {
                Some(Function::HalfPower(rt::HalfPower { halves: halves as i32 }))
            }
            _ => None,
        };
        if let Some(function) = function {
            return Ok(vec![b.push(Unary { function }, &[x])?]);
        }
    }
    if !matches!(exponent_type, DType::F32 | DType::I32 | DType::I64 | DType::Bool) {
        exponent = b.push(Cast { to: DType::I64 }, &[exponent])?;
    }
    Ok(vec![b.push(Binary::new(Kind::Pow), &[x, exponent])?])
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
    let Some(&channels) = b.shape(x).get(1) else {
        return Err(Error::invalid(format!("x has the shape {:?}, without channels", b.shape(x))).part("input 0"));
    };
    let mut shape = vec![1; b.shape(x).len() - 1];
    shape[0] = channels;
    let mut operands = Vec::new();
    for (index, name) in ["scale", "bias", "mean", "variance"].into_iter().enumerate() {
        let id = b.input(index + 1)?;
        let ty = &b.graph.value(id).ty;
        if ty.len() != channels || ty.dtype != DType::F32 {
            let message = format!("it is {} of shape {:?}, x has the shape {:?}", ty.dtype, ty.shape, b.shape(x));
            return Err(Error::invalid(message).part(format!("input {} ({name})", index + 1)));
        }
        operands.push(id);
    }
    let constant = |id: &ValueId| b.graph.constant(*id).and_then(Tensor::f32s).map(<[f32]>::to_vec);
    let Some(parameters) = operands.iter().map(constant).collect::<Option<Vec<_>>>() else {
        return normalized(b, x, &operands, &shape, epsilon as f32);
    };
    let gain = |c: usize| f64::from(parameters[0][c]) / (f64::from(parameters[3][c]) + epsilon).sqrt();
    let gains = (0..channels).map(|c| gain(c) as f32).collect();
    let offset = |c: usize| f64::from(parameters[1][c]) - f64::from(parameters[2][c]) * gain(c);
    let offsets = (0..channels).map(|c| offset(c) as f32).collect();
    let [gains, offsets] = [gains, offsets].map(|values| {
        let tensor = ArrayD::from_shape_vec(IxDyn(&shape), values).unwrap_or_default();
        b.constant(Tensor::F32(tensor))
    });
    let scaled = b.push(Binary::new(Kind::Mul), &[x, gains])?;
    Ok(vec![b.push(Binary::new(Kind::Add), &[scaled, offsets])?])
}

/// The same with parameters that come at run time.
fn normalized(
    b: &mut Builder<'_>,
    x: ValueId,
    operands: &[ValueId],
    shape: &[usize],
    epsilon: f32,
) -> Result<Vec<ValueId>, Error> {
    let mut spread = Vec::new();
    for &operand in operands {
        spread.push(b.reshape(operand, shape)?);
    }
    let epsilon = b.constant(Tensor::scalar(epsilon));
    let variance = b.push(Binary::new(Kind::Add), &[spread[3], epsilon])?;
    let deviation = b.push(Unary { function: Function::Sqrt(rt::Sqrt) }, &[variance])?;
    let gain = b.push(Binary::new(Kind::Div), &[spread[0], deviation])?;
    let centred = b.push(Binary::new(Kind::Sub), &[x, spread[2]])?;
    let scaled = b.push(Binary::new(Kind::Mul), &[centred, gain])?;
    Ok(vec![b.push(Binary::new(Kind::Add), &[scaled, spread[1]])?])
}

/// Applies `f` to broadcast floats: the loop of a calibration.
fn zip(a: &ArrayD<f32>, b: &ArrayD<f32>, f: impl Fn(f32, f32) -> f32) -> Result<Vec<Tensor>, Error> {
    let shape = broadcast(a.shape(), b.shape()).ok_or_else(|| Error::bug("shapes do not broadcast"))?;
    let (Some(a), Some(b)) = (a.broadcast(IxDyn(&shape)), b.broadcast(IxDyn(&shape))) else {
        return Err(Error::bug("shapes do not broadcast"));
    };
    Ok(vec![Zip::from(a).and(b).map_collect(|&a, &b| f(a, b)).into()])
}

impl Operator for Binary {
    fn name(&self) -> &'static str {
        match self.kind {
            Kind::Fmod => "Mod",
            Kind::ShiftLeft | Kind::ShiftRight => "BitShift",
            kind => rust_name(kind),
        }
    }

    fn infer(&self, inputs: &[&Type]) -> Result<Vec<Type>, Error> {
        let [a, b] = inputs else { return Err(Error::bug("two operands are needed")) };
        if a.dtype != b.dtype && self.kind != Kind::Pow {
            return Err(Error::invalid(format!("the operands are {} and {}", a.dtype, b.dtype)));
        }
        let dtype = self.kind.output(a.dtype, b.dtype).ok_or_else(|| {
            let types = format!("{} of {} and {}", self.name(), a.dtype, b.dtype);
            Error::unsupported(types).instead("float operands, or a Cast before it")
        })?;
        let shape = broadcast(&a.shape, &b.shape).ok_or_else(|| {
            Error::invalid(format!("the shapes {:?} and {:?} do not broadcast", a.shape, b.shape))
        })?;
        Ok(vec![Type { dtype, shape }])
    }

    fn eval(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>, Error> {
        let clamp = self.clamp;
        match (inputs[0], inputs[1], self.kind) {
            (Tensor::F32(a), Tensor::F32(b), Kind::Add) => zip(a, b, |a, b| clamp.apply(a + b)),
            (Tensor::F32(a), Tensor::F32(b), Kind::Sub) => zip(a, b, |a, b| clamp.apply(a - b)),
            (Tensor::F32(a), Tensor::F32(b), Kind::Mul) => zip(a, b, |a, b| clamp.apply(a * b)),
            (Tensor::F32(a), Tensor::F32(b), Kind::Div) => zip(a, b, |a, b| clamp.apply(a / b)),
            _ => {
                let ty = |tensor: &Tensor| Type { dtype: tensor.dtype(), shape: tensor.shape().to_vec() };
                let types = self.infer(&[&ty(inputs[0]), &ty(inputs[1])])?;
                eval_by_kernel(types, &mut |io| self.lower(io), &[], inputs)
            }
        }
    }

    fn scales(&self) -> Scales {
        match self.kind {
            Kind::Add | Kind::Sub | Kind::Mul => Scales::Calibrated,
            Kind::Max | Kind::Min => Scales::Joined,
            _ => Scales::Float,
        }
    }

    fn pointwise(&self) -> bool {
        true
    }

    fn has_int16(&self) -> bool {
        matches!(self.kind, Kind::Add | Kind::Sub | Kind::Mul | Kind::Max | Kind::Min)
    }

    fn bounds(&self, operands: &[Known<'_>]) -> Option<Bounds> {
        let [a, b] = operands else { return None };
        let (a, b) = (a.bounds, b.bounds);
        Some(match self.kind {
            Kind::Add => a.corners(b, |a, b| a + b),
            Kind::Sub => a.corners(b, |a, b| a - b),
            Kind::Mul => a.corners(b, |a, b| a * b),
            Kind::Max => a.corners(b, i128::max),
            Kind::Min => a.corners(b, i128::min),
            Kind::Div if b.min > 0 => a.corners(b, |a, b| a / b),
            Kind::Mod if b.min > 0 => Bounds { min: 0, max: b.max - 1 },
            _ => return None,
        })
    }

    fn lower(&self, io: &Io<'_>) -> Result<Lowered, Error> {
        let [a, b] = io.inputs[..] else { return Err(Error::bug("two operands are needed")) };
        let geometry = collapse(&a.ty.shape, &b.ty.shape, &io.output.ty.shape)?;
        if io.output.ty.dtype == DType::F32 && self.kind.takes_clamp() {
            return Ok(BinaryF32 { kind: self.kind, geometry, clamp: self.clamp }.into());
        }
        if self.scales() != Scales::Calibrated || io.output.quantization.is_none() {
            return Ok(BinaryLoop { kind: self.kind, reversed: false, geometry, types: [a.ty.dtype, b.ty.dtype] }.into());
        }
        let y = linear::scale_of(io.output)?;
        let (min, max) = linear::clamp_to_i8(&self.clamp, y);
        let [a_quantization, b_quantization] = [runtime_quantization(a)?, runtime_quantization(b)?];
        if io.output.ty.dtype == DType::I16 {
            return self.lower_int16(geometry, [a_quantization, b_quantization], runtime_quantization(io.output)?);
        }
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

impl Binary {
    /// Add, Sub and Mul.
    fn lower_int16(
        &self,
        geometry: rt::Broadcast,
        [a, b]: [rt::Quantization; 2],
        y: rt::Quantization,
    ) -> Result<Lowered, Error> {
        let output = (y.scale, y.zero_point);
        if self.kind == Kind::Mul {
            let factor = f64::from(a.scale) * f64::from(b.scale) / f64::from(y.scale);
            let (requantize, multiplier) = linear::rescale(factor, &self.clamp, output);
            let (a_zero_point, b_zero_point) = (a.zero_point, b.zero_point);
            return Ok(MulS16 { geometry, requantize, multiplier, a_zero_point, b_zero_point }.into());
        }
        let rt::RequantizeS16 { min, max, .. } = linear::Rescale::new(0, &self.clamp, output);
        let sign = if self.kind == Kind::Sub { -1.0 } else { 1.0 };
        Ok(AddS16 { geometry, params: rt::AddS16::new(a, b, y, sign, min, max) }.into())
    }
}

fn runtime_quantization(value: &Value) -> Result<rt::Quantization, Error> {
    let (scale, zero_point) = linear::scale_of(value)?;
    Ok(rt::Quantization { scale, zero_point })
}

/// Merges axes along which both operands move alike, down to the four that mcuopt-rt's loops have.
pub(super) fn collapse(a: &[usize], b: &[usize], y: &[usize]) -> Result<rt::Broadcast, Error> {
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
pub(super) fn overlap(geometry: &rt::Broadcast, operand: usize, commutes: bool) -> Overlap {
    let strides = if operand == 0 { &geometry.a_strides } else { &geometry.b_strides };
    let full = (0..4).all(|axis| geometry.shape[axis] == 1 || strides[axis] != 0);
    if full && (operand == 0 || commutes) { Overlap::Same } else { Overlap::Never }
}

struct_literals! {
    Broadcast { shape, a_strides, b_strides }
    AddS8 { a_multiplier, b_multiplier, bias, shift, min, max }
    AddS16 { a_multiplier, b_multiplier, bias, shift, min, max }
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
            _ => "div_f32",
        };
        Call::inlined(function).params(&self.geometry).named("_CLAMP", &self.clamp)
    }

    fn run(&self, x: &[&Tensor], y: &mut Tensor) {
        let (a, b, y) = (f32s(x[0]), f32s(x[1]), f32s_mut(y));
        match self.kind {
            Kind::Add => rt::add_f32(&self.geometry, &self.clamp, a, b, y),
            Kind::Sub => rt::sub_f32(&self.geometry, &self.clamp, a, b, y),
            Kind::Mul => rt::mul_f32(&self.geometry, &self.clamp, a, b, y),
            _ => rt::div_f32(&self.geometry, &self.clamp, a, b, y),
        }
    }

    fn overlap(&self, operand: usize) -> Overlap {
        overlap(&self.geometry, operand, self.kind.commutes())
    }

    fn swapped(&self) -> Option<Kernel> {
        let geometry = swapped(&self.geometry);
        self.kind.commutes().then(|| Kernel::BinaryF32(Self { geometry, ..self.clone() }))
    }
}

/// The name of the function's struct in mcuopt-rt.
fn rust_name(kind: Kind) -> &'static str {
    use Kind::*;
    macro_rules! names {
        ($($name:ident)*) => { match kind { $($name => stringify!($name)),* } };
    }
    names!(Add Sub Mul Div Max Min Mod Fmod PRelu Pow Equal Greater GreaterOrEqual Less LessOrEqual And Or Xor BitwiseAnd
        BitwiseOr BitwiseXor ShiftLeft ShiftRight)
}

/// `binary` with its function and constants, for every element type.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct BinaryLoop {
    pub kind: Kind,
    /// Whether the operands come in the opposite order.
    pub reversed: bool,
    pub geometry: rt::Broadcast,
    /// Element types of the operands.
    pub types: [DType; 2],
}

impl BinaryLoop {
    fn run_as<T: Element, Y: Element>(&self, f: &dyn rt::Function<(T, T), Y>, x: &[&Tensor], y: &mut Tensor) {
        rt::binary(&self.geometry, f, T::of(x[0]), T::of(x[1]), Y::of_mut(y));
    }

    fn makes_bool(&self) -> bool {
        use Kind::*;
        matches!(self.kind, Equal | Greater | GreaterOrEqual | Less | LessOrEqual)
    }
}

impl Routine for BinaryLoop {
    fn call(&self, _: DType) -> Call {
        let mut call = Call::new("binary").params(&self.geometry);
        let function = by_name(rust_name(self.kind));
        call.constants.push(Constant::Value(match self.reversed {
            true => {
                let function = function.into_iter().skip(1).collect::<TokenStream>();
                quote!(&rt::Reversed(#function))
            }
            false => function,
        }));
        call
    }

    fn run(&self, x: &[&Tensor], y: &mut Tensor) {
        if self.reversed {
            let turned = Self { reversed: false, geometry: swapped(&self.geometry), ..self.clone() };
            return turned.run(&[x[1], x[0]], y);
        }
        let dtype = x[0].dtype();
        macro_rules! of_numbers {
            ($Y:ident: $($name:ident)*) => {
                each_element!(dtype, T => match self.kind {
                    $(Kind::$name => of_numbers!(@run $Y $name T),)*
                    _ => {}
                })
            };
            (@run same $name:ident $T:ident) => { self.run_as::<$T, $T>(&rt::$name, x, y) };
            (@run bool $name:ident $T:ident) => { self.run_as::<$T, u8>(&rt::$name, x, y) };
        }
        match self.kind {
            Kind::Equal | Kind::Greater | Kind::GreaterOrEqual | Kind::Less | Kind::LessOrEqual => {
                of_numbers!(bool: Equal Greater GreaterOrEqual Less LessOrEqual)
            }
            Kind::And => self.run_as::<u8, u8>(&rt::And, x, y),
            Kind::Or => self.run_as::<u8, u8>(&rt::Or, x, y),
            Kind::Xor => self.run_as::<u8, u8>(&rt::Xor, x, y),
            Kind::BitwiseAnd => each_integer!(dtype, T => self.run_as::<T, T>(&rt::BitwiseAnd, x, y)),
            Kind::BitwiseOr => each_integer!(dtype, T => self.run_as::<T, T>(&rt::BitwiseOr, x, y)),
            Kind::BitwiseXor => each_integer!(dtype, T => self.run_as::<T, T>(&rt::BitwiseXor, x, y)),
            Kind::ShiftLeft => each_integer!(dtype, T => self.run_as::<T, T>(&rt::ShiftLeft, x, y)),
            Kind::ShiftRight => each_integer!(dtype, T => self.run_as::<T, T>(&rt::ShiftRight, x, y)),
            Kind::Pow => {
                let p = &self.geometry;
                macro_rules! pow {
                    ($($T:ident)*; $exponents:tt) => { $(pow! { @base $T $exponents })* };
                    (@base $T:ident [$($E:ident)*]) => {
                        $(if dtype == $T::DTYPE && x[1].dtype() == $E::DTYPE {
                            rt::binary(p, &rt::Pow, $T::of(x[0]), $E::of(x[1]), $T::of_mut(y));
                        })*
                    };
                }
                pow! { f32 i32 i64; [f32 i32 i64] }
            }
            _ => of_numbers!(same: Add Sub Mul Div Max Min Mod Fmod PRelu),
        }
    }

    fn overlap(&self, operand: usize) -> Overlap {
        let result = if self.makes_bool() { DType::U8 } else { self.types[0] };
        if self.types[operand] == result { overlap(&self.geometry, operand, true) } else { Overlap::Never }
    }

    fn swapped(&self) -> Option<Kernel> {
        let [a, b] = self.types;
        let reversed = self.reversed == self.kind.commutes();
        Some(Kernel::BinaryLoop(Self { reversed, geometry: swapped(&self.geometry), types: [b, a], ..self.clone() }))
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

/// `add_s16` with its constants: Add, and Sub as the addition of a negative multiple.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct AddS16 {
    pub geometry: rt::Broadcast,
    pub params: rt::AddS16,
}

impl Routine for AddS16 {
    fn call(&self, _: DType) -> Call {
        Call::new("add_s16").params(&self.geometry).named("_SCALES", &self.params)
    }

    fn run(&self, x: &[&Tensor], y: &mut Tensor) {
        rt::add_s16(&self.geometry, &self.params, i16s(x[0]), i16s(x[1]), i16s_mut(y));
    }

    fn overlap(&self, operand: usize) -> Overlap {
        overlap(&self.geometry, operand, true)
    }

    fn swapped(&self) -> Option<Kernel> {
        let rt::AddS16 { a_multiplier, b_multiplier, .. } = self.params;
        let params = rt::AddS16 { a_multiplier: b_multiplier, b_multiplier: a_multiplier, ..self.params };
        Some(Kernel::AddS16(Self { geometry: swapped(&self.geometry), params }))
    }
}

/// `mul_s16` with its constants.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct MulS16 {
    pub geometry: rt::Broadcast,
    pub requantize: rt::RequantizeS16,
    pub multiplier: i32,
    pub a_zero_point: i32,
    pub b_zero_point: i32,
}

impl Routine for MulS16 {
    fn call(&self, _: DType) -> Call {
        Call::new("mul_s16")
            .params(&self.geometry)
            .named("_REQUANTIZE", &self.requantize)
            .value(self.multiplier)
            .value(self.a_zero_point)
            .value(self.b_zero_point)
    }

    fn run(&self, x: &[&Tensor], y: &mut Tensor) {
        let (p, q, zero_points) = (&self.geometry, &self.requantize, [self.a_zero_point, self.b_zero_point]);
        let (a, b) = (i16s(x[0]), i16s(x[1]));
        rt::mul_s16(p, q, self.multiplier, zero_points[0], zero_points[1], a, b, i16s_mut(y));
    }

    fn overlap(&self, operand: usize) -> Overlap {
        overlap(&self.geometry, operand, true)
    }

    fn swapped(&self) -> Option<Kernel> {
        Some(Kernel::MulS16(Self {
            geometry: swapped(&self.geometry),
            a_zero_point: self.b_zero_point,
            b_zero_point: self.a_zero_point,
            ..self.clone()
        }))
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
