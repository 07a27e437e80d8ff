//! LayerNormalization, RMSNormalization, InstanceNormalization, GroupNormalization, MeanVarianceNormalization,
//! LpNormalization.
//!
//! <https://onnx.ai/onnx/operators/onnx__LayerNormalization.html>, opset 17, and its siblings. In the graph, x is seen as
//! [outer, positions, groups, width] whatever its shape; images are channels-last.

use mcuopt_rt::v0 as rt;
use ndarray::{ArrayD, IxDyn};

use super::binary::{Binary, Kind};
use super::reshape::axis;
use super::window::{self, Direction};
use super::{Io, Lowered, Operator, Overlap, Scales, linear, reduce};
use crate::builder::Builder;
use crate::call::struct_literals;
use crate::error::Error;
use crate::graph::{Type, ValueId};
use crate::onnx;
use crate::tensor::{DType, Tensor};

/// `(x − mean) / √(variance + epsilon) · gain + offset`, or without a mean; gain and offset are constants [groups · width].
#[derive(Clone, Debug, PartialEq)]
pub struct Normalize {
    /// Which elements are normalised together.
    pub geometry: rt::Normalize,
    /// What is added to the variance.
    pub epsilon: f32,
}

impl Normalize {
    /// How many gains and offsets there are.
    pub fn channels(&self) -> usize {
        self.geometry.groups * self.geometry.width
    }
}

/// `1 / √(variance + epsilon)` over the axes from `axis` on, which become 1.
#[derive(Clone, Debug, PartialEq)]
pub struct InverseDeviation {
    /// The first axis that is normalised over.
    pub axis: usize,
    /// What is added to the variance.
    pub epsilon: f32,
}

/// A normalisation → Normalize, between Transposes where the channels are not last; with a Mul and an Add where gain and
/// offset are no constants. LpNormalization → ReduceL1 or ReduceL2, Div.
pub fn import(node: &onnx::Node, b: &mut Builder<'_>) -> Result<Vec<ValueId>, Error> {
    // The type of intermediate results: float32 always.
    b.attribute("stash_type");
    match node.op_type.as_str() {
        "LayerNormalization" => layer_normalization(b, true),
        "RMSNormalization" => layer_normalization(b, false),
        "MeanVarianceNormalization" => mean_variance(b),
        "LpNormalization" => lp(b),
        _ => channels(b, node.op_type == "InstanceNormalization"),
    }
}

fn layer_normalization(b: &mut Builder<'_>, subtract_mean: bool) -> Result<Vec<ValueId>, Error> {
    let (x, gain, offset) = (b.input(0)?, b.input(1)?, b.optional(2)?);
    let shape = b.shape(x).to_vec();
    let axis = axis(b.int("axis", -1)?, shape.len(), false)?;
    let epsilon = b.float("epsilon", 1e-5)?;
    let (outer, width) = (shape[..axis].iter().product(), shape[axis..].iter().product());
    let geometry = rt::Normalize { outer, positions: 1, groups: 1, width, subtract_mean };
    let y = with_channels(b, Normalize { geometry, epsilon }, x, &shape[axis..], Some(gain), offset)?;
    let mut outputs = vec![y];
    if b.output_count() > 1 {
        outputs.push(reduce::over(b, reduce::Kind::Mean, x, (axis..shape.len()).collect(), true)?);
    }
    if b.output_count() > 2 {
        outputs.push(b.push(InverseDeviation { axis, epsilon }, &[x])?);
    }
    Ok(outputs)
}

/// InstanceNormalization and GroupNormalization.
fn channels(b: &mut Builder<'_>, instance: bool) -> Result<Vec<ValueId>, Error> {
    let (x, gain, offset) = (b.input(0)?, b.input(1)?, b.input(2)?);
    let [batch, channels, ..] = b.shape(x)[..] else {
        return Err(Error::invalid(format!("the shape {:?} has no channels", b.shape(x))).part("input 0"));
    };
    let epsilon = b.float("epsilon", 1e-5)?;
    let groups = match instance {
        true => channels,
        false => {
            let groups = b.int("num_groups", 0)?;
            let valid = usize::try_from(groups).ok().filter(|&groups| groups > 0 && channels % groups == 0);
            let message = format!("{groups} for {channels} channels");
            valid.ok_or_else(|| Error::invalid(message).part("attribute `num_groups`"))?
        }
    };
    let (rank, count) = (b.shape(x).len() - 2, b.shape(x).iter().product::<usize>());
    let positions = count / (batch * channels).max(1);
    let geometry = rt::Normalize { outer: batch, positions, groups, width: channels / groups, subtract_mean: true };
    let uniform = |id: ValueId| {
        let values = b.graph.constant(id).and_then(Tensor::f32s)?;
        values.iter().all(|value| *value == values[0]).then(|| Tensor::scalar(values[0]))
    };
    if let (true, Some(gain), Some(offset)) = (instance, uniform(gain), uniform(offset)) {
        // All channels alike: they are rows as they lie, as in the GroupNormalization of PyTorch's exporters.
        let geometry = rt::Normalize { outer: batch * channels, groups: 1, width: 1, ..geometry };
        let [gain, offset] = [gain, offset].map(|value| b.constant(value));
        let op = Normalize { geometry, epsilon };
        return Ok(vec![with_channels(b, op, x, &[1], Some(gain), Some(offset))?]);
    }
    let x = b.transpose(x, &Direction::ToLast.perm(rank))?;
    // Up to opset 20, GroupNormalization has one gain and offset for each group.
    let per_group = !instance && b.opset < 21;
    let view = if per_group { [groups, 1] } else { [groups, channels / groups] };
    let [gain, offset] = [gain, offset].map(|id| b.reshape(id, &view));
    let op = Normalize { geometry, epsilon };
    let y = with_channels(b, op, x, &[groups, channels / groups], Some(gain?), Some(offset?))?;
    Ok(vec![b.transpose(y, &Direction::ToFirst.perm(rank))?])
}

fn mean_variance(b: &mut Builder<'_>) -> Result<Vec<ValueId>, Error> {
    let x = b.input(0)?;
    let shape = b.shape(x).to_vec();
    let across = b.int("across_channels", 0)? != 0;
    let axes = b.ints("axes")?.unwrap_or(if across { vec![0, 1, 2, 3] } else { vec![0, 2, 3] });
    let mut axes: Vec<usize> = axes.iter().map(|&value| axis(value, shape.len(), false)).collect::<Result<_, _>>()?;
    axes.sort_unstable();
    axes.dedup();
    let kept: Vec<usize> = (0..shape.len()).filter(|axis| !axes.contains(axis)).collect();
    let product = |axes: &[usize]| axes.iter().map(|&axis| shape[axis]).product::<usize>();
    let (reduced, rest) = (product(&axes), product(&kept));
    let last = [&kept[..], &axes].concat().is_sorted();
    let (outer, positions, groups, width) = if last { (rest, 1, 1, reduced) } else { (1, reduced, rest, 1) };
    let geometry = rt::Normalize { outer, positions, groups, width, subtract_mean: true };
    // ONNX adds 1e-9 to the deviation, which matters where that is 0 only.
    let op = Normalize { geometry, epsilon: 1e-18 };
    let view = [groups, width];
    if last {
        return Ok(vec![with_channels(b, op, x, &view, None, None)?]);
    }
    let perm = [&axes[..], &kept].concat();
    let inverse = super::transpose::Transpose { perm: perm.clone() }.inverse();
    let x = b.transpose(x, &perm)?;
    let y = with_channels(b, op, x, &view, None, None)?;
    Ok(vec![b.transpose(y, &inverse)?])
}

fn lp(b: &mut Builder<'_>) -> Result<Vec<ValueId>, Error> {
    let x = b.input(0)?;
    let axis = axis(b.int("axis", -1)?, b.shape(x).len(), false)?;
    let kind = match b.int("p", 2)? {
        1 => reduce::Kind::L1,
        2 => reduce::Kind::L2,
        other => return Err(Error::invalid(format!("it is {other}, not 1 or 2")).part("attribute `p`")),
    };
    let norm = reduce::over(b, kind, x, vec![axis], true)?;
    Ok(vec![b.push(Binary::new(Kind::Div), &[x, norm])?])
}

/// Normalize with gain and offset that broadcast to `view`, the shape of the channels; 1 and 0 where they are left out.
fn with_channels(
    b: &mut Builder<'_>,
    op: Normalize,
    x: ValueId,
    view: &[usize],
    gain: Option<ValueId>,
    offset: Option<ValueId>,
) -> Result<ValueId, Error> {
    let count: usize = view.iter().product();
    let known = |b: &Builder<'_>, id: Option<ValueId>| id.is_none_or(|id| b.graph.constant(id).is_some());
    let constant = known(b, gain) && known(b, offset);
    let spread = |b: &mut Builder<'_>, id: Option<ValueId>, default: f32| -> Result<ValueId, Error> {
        let values = id.filter(|_| constant).and_then(|id| b.graph.constant(id)).cloned();
        let values = values.unwrap_or_else(|| Tensor::scalar(default));
        let Tensor::F32(values) = &values else {
            return Err(Error::unsupported(format!("a gain or offset of type {}", values.dtype())).instead("floats"));
        };
        let Some(values) = values.broadcast(IxDyn(view)) else {
            return Err(Error::invalid(format!("the shape {:?} of a gain or offset is not {view:?}", values.shape())));
        };
        let values = ArrayD::from_shape_vec(IxDyn(&[count]), values.iter().copied().collect());
        Ok(b.constant(Tensor::F32(values.unwrap_or_default())))
    };
    let (ones, zeros) = (spread(b, gain, 1.0)?, spread(b, offset, 0.0)?);
    let shape = b.shape(x).to_vec();
    let mut y = b.push(op.clone(), &[x, ones, zeros])?;
    if !constant {
        let rt::Normalize { outer, positions, .. } = op.geometry;
        y = b.reshape(y, &[&[outer * positions], view].concat())?;
        for (id, kind) in [(gain, Kind::Mul), (offset, Kind::Add)] {
            if let Some(id) = id {
                y = b.push(Binary::new(kind), &[y, id])?;
            }
        }
        y = b.reshape(y, &shape)?;
    }
    Ok(y)
}

impl Operator for Normalize {
    fn name(&self) -> &'static str {
        let rt::Normalize { positions, width, subtract_mean, .. } = self.geometry;
        match (positions, width, subtract_mean) {
            (_, _, false) => "RMSNormalization",
            (1, ..) => "LayerNormalization",
            (_, 1, _) => "InstanceNormalization",
            _ => "GroupNormalization",
        }
    }

    fn infer(&self, inputs: &[&Type]) -> Result<Vec<Type>, Error> {
        let [x, gain, offset] = inputs else { return Err(Error::bug("a normalisation has three operands")) };
        window::expect_float(inputs)?;
        let rt::Normalize { outer, positions, groups, width, .. } = self.geometry;
        if x.len() != outer * positions * groups * width || [gain.len(), offset.len()] != [groups * width; 2] {
            return Err(Error::bug(format!("{:?} of {:?}", self.geometry, x.shape)));
        }
        Ok(vec![(*x).clone()])
    }

    fn has_int16(&self) -> bool {
        true
    }

    fn built_in(&self) -> &'static [usize] {
        &[1, 2]
    }

    fn lower(&self, io: &Io<'_>) -> Result<Lowered, Error> {
        let [x, gain, offset] = io.inputs[..] else { return Err(Error::bug("a normalisation has three operands")) };
        let (gain, offset) = (linear::constant_f32s(gain)?.to_vec(), linear::constant_f32s(offset)?.to_vec());
        let (geometry, epsilon) = (self.geometry, self.epsilon);
        if io.output.ty.dtype == DType::F32 {
            return Ok(NormalizeF32 { geometry, epsilon, gain, offset }.into());
        }
        let wide = io.output.ty.dtype == DType::I16;
        let (width, most) = if wide { ("int16", 1 << 15) } else { ("int8", 1 << 17) };
        let count = geometry.positions * geometry.width;
        if count > most {
            let error = Error::unsupported(format!("{count} elements that are normalised together in {width}"));
            return Err(error.instead(format!("at most {most}, or float32")));
        }
        let (scale, zero_point) = linear::scale_of(io.output)?;
        let x = linear::scale_of(x)?;
        let too_small = || {
            Error::unsupported(format!("an epsilon of {epsilon} for an {width} input whose step is {}", x.0))
                .instead("calibration samples in which the input is not always 0, or float32")
        };
        let channel_of = if wide { rt::NormalizeS16::channel } else { rt::NormalizeS8::channel };
        let channel = |(&gain, &offset): (&f32, &f32)| {
            channel_of(gain, offset, scale).ok_or_else(|| {
                Error::unsupported(format!("a gain of {gain} for an {width} output whose step is {scale}"))
                    .instead("a smaller gain, or float32")
            })
        };
        let channels: Vec<(i32, i32)> = gain.iter().zip(&offset).map(channel).collect::<Result<_, _>>()?;
        let (multipliers, bias) = channels.into_iter().unzip();
        if wide {
            let params = rt::NormalizeS16::new(&geometry, epsilon, x, zero_point).ok_or_else(too_small)?;
            return Ok(NormalizeS16 { geometry, params, multipliers, bias }.into());
        }
        let params = rt::NormalizeS8::new(&geometry, epsilon, x, zero_point).ok_or_else(too_small)?;
        Ok(NormalizeS8 { geometry, params, multipliers, bias }.into())
    }
}

impl Operator for InverseDeviation {
    fn name(&self) -> &'static str {
        "LayerNormalization"
    }

    fn infer(&self, inputs: &[&Type]) -> Result<Vec<Type>, Error> {
        let [x] = inputs else { return Err(Error::bug("a deviation has one operand")) };
        window::expect_float(inputs)?;
        if x.is_empty() {
            return Err(Error::invalid(format!("the deviations of {:?}, which has no elements", x.shape)));
        }
        let mut shape = x.shape.clone();
        shape[self.axis..].fill(1);
        Ok(vec![Type::f32(shape)])
    }

    fn scales(&self) -> Scales {
        Scales::Float
    }

    fn lower(&self, _: &Io<'_>) -> Result<Lowered, Error> {
        Ok(InverseDeviations { epsilon: self.epsilon }.into())
    }
}

struct_literals! {
    Normalize { outer, positions, groups, width, subtract_mean }
    NormalizeS8 { epsilon, input_zero_point, zero_point }
    NormalizeS16 { epsilon, input_zero_point, zero_point }
}

routine! {
    /// `normalize_f32` with its constants.
    pub struct NormalizeF32 {
        params "" geometry: rt::Normalize,
        value epsilon: f32,
        array "_GAIN" gain: Vec<f32>,
        array "_OFFSET" offset: Vec<f32>,
    }
    fn normalize_f32(f32) -> f32
    ; overlap |kernel, operand| Overlap::Same
}

routine! {
    /// `normalize_s8` with its constants.
    pub struct NormalizeS8 {
        params "" geometry: rt::Normalize,
        params "_SCALES" params: rt::NormalizeS8,
        array "_MULTIPLIERS" multipliers: Vec<i32>,
        array "_BIAS" bias: Vec<i32>,
    }
    fn normalize_s8(i8) -> i8
    ; overlap |kernel, operand| Overlap::Same
}

routine! {
    /// `normalize_s16` with its constants.
    pub struct NormalizeS16 {
        params "" geometry: rt::Normalize,
        params "_SCALES" params: rt::NormalizeS16,
        array "_MULTIPLIERS" multipliers: Vec<i32>,
        array "_BIAS" bias: Vec<i32>,
    }
    fn normalize_s16(i16) -> i16
    ; overlap |kernel, operand| Overlap::Same
}

routine! {
    /// `inverse_deviation_f32` with its constants.
    pub struct InverseDeviations { value epsilon: f32 }
    fn inverse_deviation_f32(f32) -> f32
}
