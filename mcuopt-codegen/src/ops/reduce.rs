//! ReduceMean, ReduceSum and their siblings.
//!
//! <https://onnx.ai/onnx/operators/onnx__ReduceMean.html> and its siblings, opset 1 to 20.

use mcuopt_rt::v0 as rt;

use super::reshape::axis;
use super::{Io, Lowered, Operator, Scales, linear};
use crate::builder::Builder;
use crate::call::struct_literals;
use crate::error::Error;
use crate::graph::{Type, ValueId};
use crate::onnx;
use crate::tensor::DType;

/// What becomes of the elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Kind {
    Mean,
    Sum,
    Product,
    Max,
    Min,
    L1,
    L2,
    LogSum,
    LogSumExp,
    SumSquare,
}

/// A reduction over some axes, which stay as axes of extent 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Reduce {
    /// Which one.
    pub kind: Kind,
    /// The axes, ascending.
    pub axes: Vec<usize>,
    /// Limits of a mean; of no other kind.
    pub clamp: rt::Clamp,
}

impl Reduce {
    /// Without limits.
    pub fn new(kind: Kind, axes: Vec<usize>) -> Self {
        Self { kind, axes, clamp: rt::Clamp::NONE }
    }
}

/// A reduction → Reduce, and a Reshape where the axes are dropped. Axes that do not lie side by side are brought
/// together by a Transpose.
pub fn import(node: &onnx::Node, b: &mut Builder<'_>) -> Result<Vec<ValueId>, Error> {
    let kind = match node.op_type.as_str() {
        "ReduceMean" => Kind::Mean,
        "ReduceSum" => Kind::Sum,
        "ReduceProd" => Kind::Product,
        "ReduceMax" => Kind::Max,
        "ReduceMin" => Kind::Min,
        "ReduceL1" => Kind::L1,
        "ReduceL2" => Kind::L2,
        "ReduceLogSum" => Kind::LogSum,
        "ReduceLogSumExp" => Kind::LogSumExp,
        "ReduceSumSquare" => Kind::SumSquare,
        other => return Err(Error::bug(format!("{other} is no reduction"))),
    };
    let x = b.input(0)?;
    let rank = b.shape(x).len();
    let keep = b.int("keepdims", 1)? != 0;
    let nothing = b.int("noop_with_empty_axes", 0)? != 0;
    let requested = b.integers(1)?.or(b.ints("axes")?).unwrap_or_default();
    if requested.is_empty() && nothing {
        return Ok(vec![x]);
    }
    let mut axes: Vec<usize> = requested.iter().map(|&value| axis(value, rank, false)).collect::<Result<_, _>>()?;
    if axes.is_empty() {
        axes = (0..rank).collect();
    }
    Ok(vec![over(b, kind, x, axes, keep)?])
}

/// `x` reduced over `axes`, in any order, which stay with extent 1 if they are to be kept.
pub fn over(b: &mut Builder<'_>, kind: Kind, x: ValueId, mut axes: Vec<usize>, keep: bool) -> Result<ValueId, Error> {
    let shape = b.shape(x).to_vec();
    axes.sort_unstable();
    axes.dedup();
    let kept: Vec<usize> = (0..shape.len()).filter(|axis| !axes.contains(axis)).collect();
    let target: Vec<usize> = match keep {
        true => (0..shape.len()).map(|axis| if axes.contains(&axis) { 1 } else { shape[axis] }).collect(),
        false => kept.iter().map(|&axis| shape[axis]).collect(),
    };
    let y = if contiguous(&axes, &shape) {
        b.push(Reduce::new(kind, axes), &[x])?
    } else {
        let x = b.transpose(x, &[kept.as_slice(), &axes].concat())?;
        b.push(Reduce::new(kind, (kept.len()..shape.len()).collect()), &[x])?
    };
    b.reshape(y, &target)
}

/// Whether no axis of extent above 1 lies between the given ones.
pub fn contiguous(axes: &[usize], shape: &[usize]) -> bool {
    let moving: Vec<usize> = axes.iter().copied().filter(|&axis| shape[axis] != 1).collect();
    let (Some(&first), Some(&last)) = (moving.first(), moving.last()) else { return true };
    (first..=last).all(|axis| shape[axis] == 1 || moving.contains(&axis))
}

impl Operator for Reduce {
    fn name(&self) -> &'static str {
        match self.kind {
            Kind::Mean => "ReduceMean",
            Kind::Sum => "ReduceSum",
            Kind::Product => "ReduceProd",
            Kind::Max => "ReduceMax",
            Kind::Min => "ReduceMin",
            Kind::L1 => "ReduceL1",
            Kind::L2 => "ReduceL2",
            Kind::LogSum => "ReduceLogSum",
            Kind::LogSumExp => "ReduceLogSumExp",
            Kind::SumSquare => "ReduceSumSquare",
        }
    }

    fn infer(&self, inputs: &[&Type]) -> Result<Vec<Type>, Error> {
        let [x] = inputs else { return Err(Error::bug("a reduction has one operand")) };
        let allowed = match self.kind {
            Kind::Mean | Kind::L2 | Kind::LogSum | Kind::LogSumExp => x.dtype == DType::F32,
            Kind::Sum | Kind::Product | Kind::L1 | Kind::SumSquare => x.dtype != DType::Bool,
            Kind::Max | Kind::Min => true,
        };
        if !allowed {
            let error = Error::unsupported(format!("{} of {} elements", self.name(), x.dtype));
            return Err(error.instead("float elements, by a Cast before"));
        }
        let mut shape = x.shape.clone();
        for &axis in &self.axes {
            shape[axis] = 1;
        }
        Ok(vec![Type { dtype: x.dtype, shape }])
    }

    fn scales(&self) -> Scales {
        match self.kind {
            Kind::Mean | Kind::Sum => Scales::Calibrated,
            Kind::Max | Kind::Min => Scales::SameAsInput,
            _ => Scales::Float,
        }
    }

    fn has_int16(&self) -> bool {
        matches!(self.kind, Kind::Mean | Kind::Sum | Kind::Max | Kind::Min)
    }

    fn lower(&self, io: &Io<'_>) -> Result<Lowered, Error> {
        let shape = &io.inputs[0].ty.shape;
        if !contiguous(&self.axes, shape) {
            return Err(Error::unsupported(format!("{} over axes {:?} of {shape:?}", self.name(), self.axes))
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
        let quantized = io.inputs[0].quantization.is_some() && matches!(self.kind, Kind::Mean | Kind::Sum);
        match io.inputs[0].ty.dtype {
            DType::I8 if quantized => return self.in_int8(io, geometry),
            DType::I16 if quantized => return self.in_int16(io, geometry),
            _ => {}
        }
        Ok(match self.kind {
            Kind::Mean => ReduceMeanF32 { geometry, clamp: self.clamp }.into(),
            Kind::Sum => ReduceSum { geometry }.into(),
            Kind::Product => ReduceProduct { geometry }.into(),
            Kind::Max => ReduceMax { geometry }.into(),
            Kind::Min => ReduceMin { geometry }.into(),
            Kind::L1 => ReduceL1 { geometry }.into(),
            Kind::L2 => ReduceL2 { geometry }.into(),
            Kind::LogSum => ReduceLogSum { geometry }.into(),
            Kind::LogSumExp => ReduceLogSumExp { geometry }.into(),
            Kind::SumSquare => ReduceSumSquare { geometry }.into(),
        })
    }
}

impl Reduce {
    /// [`in_int8`](Self::in_int8) for int16.
    fn in_int16(&self, io: &Io<'_>, geometry: rt::Reduce) -> Result<Lowered, Error> {
        let ((x_scale, input_zero_point), y) = (linear::scale_of(io.inputs[0])?, linear::scale_of(io.output)?);
        let divisor = if self.kind == Kind::Mean { geometry.len } else { 1 };
        let factor = f64::from(x_scale) / (f64::from(y.0) * divisor as f64);
        let (requantize, multiplier) = linear::rescale(factor, &self.clamp, y);
        Ok(ReduceMeanS16 { geometry, requantize, multiplier, input_zero_point }.into())
    }

    /// A mean, or a sum, which is a mean without the division.
    fn in_int8(&self, io: &Io<'_>, geometry: rt::Reduce) -> Result<Lowered, Error> {
        let (x_scale, input_zero_point) = linear::scale_of(io.inputs[0])?;
        let (y_scale, zero_point) = linear::scale_of(io.output)?;
        if geometry.len >= 1 << 23 {
            let error = Error::unsupported(format!("{} elements in one sum overflow 32 bits", geometry.len));
            return Err(error.instead("less than 2^23, or float32"));
        }
        let (min, max) = linear::clamp_to_i8(&self.clamp, (y_scale, zero_point));
        let divisor = if self.kind == Kind::Mean { geometry.len } else { 1 };
        let factor = f64::from(x_scale) / (f64::from(y_scale) * divisor as f64);
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

routine! {
    /// `reduce_mean_f32` with its constants.
    pub struct ReduceMeanF32 { params "" geometry: rt::Reduce, params "_CLAMP" clamp: rt::Clamp }
    @inlined fn reduce_mean_f32(f32) -> f32
}

routine! {
    /// `reduce_mean_s8` with its constants.
    pub struct ReduceMeanS8 {
        params "" geometry: rt::Reduce,
        params "_REQUANTIZE" requantize: rt::Requantize,
        value multiplier: i32,
        value input_zero_point: i32,
    }
    @inlined fn reduce_mean_s8(i8) -> i8
}

routine! {
    /// `reduce_mean_s16` with its constants.
    pub struct ReduceMeanS16 {
        params "" geometry: rt::Reduce,
        params "_REQUANTIZE" requantize: rt::RequantizeS16,
        value multiplier: i32,
        value input_zero_point: i32,
    }
    fn reduce_mean_s16(i16) -> i16
}

routine! {
    /// `reduce_sum` with its geometry.
    pub struct ReduceSum { params "" geometry: rt::Reduce }
    with [T: each_element of y]
    fn reduce_sum(T) -> T
}

routine! {
    /// `reduce_product` with its geometry.
    pub struct ReduceProduct { params "" geometry: rt::Reduce }
    with [T: each_element of y]
    fn reduce_product(T) -> T
}

routine! {
    /// `reduce_max` with its geometry.
    pub struct ReduceMax { params "" geometry: rt::Reduce }
    with [T: each_element of y]
    fn reduce_max(T) -> T
}

routine! {
    /// `reduce_min` with its geometry.
    pub struct ReduceMin { params "" geometry: rt::Reduce }
    with [T: each_element of y]
    fn reduce_min(T) -> T
}

routine! {
    /// `reduce_l1` with its geometry.
    pub struct ReduceL1 { params "" geometry: rt::Reduce }
    with [T: each_element of y]
    fn reduce_l1(T) -> T
}

routine! {
    /// `reduce_sum_square` with its geometry.
    pub struct ReduceSumSquare { params "" geometry: rt::Reduce }
    with [T: each_element of y]
    fn reduce_sum_square(T) -> T
}

routine! {
    /// `reduce_l2_f32` with its geometry.
    pub struct ReduceL2 { params "" geometry: rt::Reduce }
    fn reduce_l2_f32(f32) -> f32
}

routine! {
    /// `reduce_log_sum_f32` with its geometry.
    pub struct ReduceLogSum { params "" geometry: rt::Reduce }
    fn reduce_log_sum_f32(f32) -> f32
}

routine! {
    /// `reduce_log_sum_exp_f32` with its geometry.
    pub struct ReduceLogSumExp { params "" geometry: rt::Reduce }
    fn reduce_log_sum_exp_f32(f32) -> f32
}
