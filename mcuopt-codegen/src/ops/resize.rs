//! Resize and Upsample.
//!
//! <https://onnx.ai/onnx/operators/onnx__Resize.html>, opset 10 to 19;
//! <https://onnx.ai/onnx/operators/onnx__Upsample.html>, opset 7 and 9.
//!
//! All modes come down to tables for each axis: the inputs that an output depends on, and their weights. They are computed
//! here, in float32 as onnxruntime computes them, so that what lies halfway falls to the same side. Any axes of a tensor can be
//! resized, two in one operator.

use mcuopt_rt::v0 as rt;

use super::{Io, Lowered, Operator, Scales, linear, reshape, window};
use crate::builder::Builder;
use crate::call::struct_literals;
use crate::error::Error;
use crate::graph::{Type, ValueId};
use crate::onnx;
use crate::tensor::DType;

/// A tensor resized along one axis or two.
#[derive(Clone, Debug, PartialEq)]
pub struct Resize {
    /// The axes, ascending.
    pub axes: Vec<Axis>,
    /// Whether each output is a copy of one input.
    pub nearest: bool,
    /// The value of outputs that lie outside the input, at [`rt::OUTSIDE`].
    pub outside: f32,
}

/// The tables of an axis.
#[derive(Clone, Debug, PartialEq)]
pub struct Axis {
    /// Its number.
    pub axis: usize,
    /// Number of inputs that an output depends on.
    pub taps: usize,
    /// [outputs, taps]
    pub positions: Vec<u16>,
    /// [outputs, taps]
    pub weights: Vec<f32>,
}

/// From an output's number to its place in the input.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Coordinates {
    HalfPixel,
    HalfPixelSymmetric,
    PytorchHalfPixel,
    AlignCorners,
    Asymmetric,
    TfHalfPixelForNn,
    TfCropAndResize,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Rounding {
    PreferFloor,
    PreferCeil,
    Floor,
    Ceil,
    /// Opset 10: up where the axis shrinks, else down.
    Simple,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Mode {
    Nearest(Rounding),
    Linear,
    Cubic { a: f32 },
}

/// What all axes have in common.
struct Method {
    mode: Mode,
    coordinates: Coordinates,
    antialias: bool,
    exclude_outside: bool,
}

/// How an axis is resized.
struct Extent {
    input: usize,
    output: usize,
    scale: f32,
    /// The output's extent before it was rounded.
    exact: f32,
    /// The part of the input that `tf_crop_and_resize` takes.
    crop: [f32; 2],
}

/// Resize → a Resize for each two axes that change.
pub fn import(node: &onnx::Node, b: &mut Builder<'_>) -> Result<Vec<ValueId>, Error> {
    let x = b.input(0)?;
    let shape = b.shape(x).to_vec();
    let upsample = node.op_type == "Upsample";
    let old = upsample || b.opset < 11;
    let method = method(b, old)?;
    let outside = b.float("extrapolation_value", 0.0)?;
    let axes = match b.ints("axes")? {
        None => (0..shape.len()).collect(),
        Some(axes) => axes.iter().map(|&axis| reshape::axis(axis, shape.len(), false)).collect::<Result<Vec<_>, _>>()?,
    };
    if (1..axes.len()).any(|index| axes[..index].contains(&axes[index])) {
        return Err(Error::invalid(format!("an axis stands twice in {axes:?}")).part("attribute `axes`"));
    }
    if shape.contains(&0) {
        return Err(Error::invalid(format!("its shape {shape:?} is empty")).part("input 0"));
    }
    let extents = extents(b, &shape, &axes, old)?;
    let mut tables = Vec::new();
    for (&axis, extent) in axes.iter().zip(&extents) {
        let kept = extent.scale == 1.0 && extent.output == extent.input;
        if kept && method.coordinates != Coordinates::TfCropAndResize {
            continue;
        }
        let table = Axis::new(axis, extent, &method)?;
        if !table.is_identity(extent.input) {
            tables.push(table);
        }
    }
    tables.sort_by_key(|table| table.axis);
    let nearest = matches!(method.mode, Mode::Nearest(_)) && !tables.iter().any(Axis::reaches_outside);
    // From the last axes on, so that what is read across is still small.
    let mut y = x;
    for axes in tables.rchunks(2) {
        y = b.push(Resize { axes: axes.to_vec(), nearest, outside }, &[y])?;
    }
    Ok(vec![y])
}

fn method(b: &Builder<'_>, old: bool) -> Result<Method, Error> {
    let unknown = |name: &str, value: &str| {
        Error::invalid(format!("`{value}` is not one of its values")).part(format!("attribute `{name}`"))
    };
    let rounding = match b.string("nearest_mode", if old { "simple" } else { "round_prefer_floor" })?.as_str() {
        "round_prefer_floor" => Rounding::PreferFloor,
        "round_prefer_ceil" => Rounding::PreferCeil,
        "floor" => Rounding::Floor,
        "ceil" => Rounding::Ceil,
        "simple" if old => Rounding::Simple,
        other => return Err(unknown("nearest_mode", other)),
    };
    let a = b.float("cubic_coeff_a", -0.75)?;
    let mode = match b.string("mode", "nearest")?.as_str() {
        "nearest" => Mode::Nearest(rounding),
        "linear" | "bilinear" => Mode::Linear,
        "cubic" | "bicubic" => Mode::Cubic { a },
        other => return Err(unknown("mode", other)),
    };
    let name = "coordinate_transformation_mode";
    let coordinates = match b.string(name, if old { "asymmetric" } else { "half_pixel" })?.as_str() {
        "half_pixel" => Coordinates::HalfPixel,
        "half_pixel_symmetric" => Coordinates::HalfPixelSymmetric,
        "pytorch_half_pixel" => Coordinates::PytorchHalfPixel,
        "align_corners" => Coordinates::AlignCorners,
        "asymmetric" => Coordinates::Asymmetric,
        "tf_half_pixel_for_nn" => Coordinates::TfHalfPixelForNn,
        "tf_crop_and_resize" => Coordinates::TfCropAndResize,
        other => return Err(unknown(name, other)),
    };
    let antialias = b.int("antialias", 0)? != 0;
    let exclude_outside = b.int("exclude_outside", 0)? != 0;
    Ok(Method { mode, coordinates, antialias, exclude_outside })
}

/// The extents of the axes named by `axes`.
fn extents(b: &Builder<'_>, shape: &[usize], axes: &[usize], old: bool) -> Result<Vec<Extent>, Error> {
    let (roi_index, scales_index, sizes_index) = if old { (None, 1, None) } else { (Some(1), 2, Some(3)) };
    let scales = match b.attribute("scales") {
        Some(onnx::Attribute::Floats(scales)) => Some(scales.clone()),
        Some(_) => return Err(Error::invalid("it should be a list of floats").part("attribute `scales`")),
        None => floats(b, scales_index)?,
    };
    let sizes = match sizes_index {
        Some(index) => b.integers(index)?.filter(|sizes| !sizes.is_empty()),
        None => None,
    };
    let policy = b.string("keep_aspect_ratio_policy", "stretch")?;
    // Before there were `axes`, the lists have an entry for each axis of the tensor.
    let counted = |count: usize, what: &str| match count == axes.len() {
        true => Ok(()),
        false => Err(Error::invalid(format!("{count} {what} for {} axes", axes.len()))),
    };
    let mut extents = Vec::new();
    match (sizes, scales) {
        (Some(sizes), _) => {
            counted(sizes.len(), "sizes")?;
            let invalid = |size: i64| Error::invalid(format!("the size {size}")).part(format!("input {}", sizes_index.unwrap_or(0)));
            for (&axis, &size) in axes.iter().zip(&sizes) {
                let output = u32::try_from(size).ok().filter(|&size| size > 0).ok_or_else(|| invalid(size))? as usize;
                let scale = output as f32 / shape[axis] as f32;
                extents.push(Extent { input: shape[axis], output, scale, exact: output as f32, crop: [0.0, 1.0] });
            }
            let scales = extents.iter().map(|extent| extent.scale);
            let common = match policy.as_str() {
                "not_larger" => scales.reduce(f32::min),
                "not_smaller" => scales.reduce(f32::max),
                "stretch" => None,
                other => {
                    let message = format!("`{other}` is not one of its values");
                    return Err(Error::invalid(message).part("attribute `keep_aspect_ratio_policy`"));
                }
            };
            if let Some(scale) = common {
                for extent in &mut extents {
                    let output = (scale * extent.input as f32 + 0.5) as usize;
                    *extent = Extent { output: output.max(1), scale, exact: output as f32, ..*extent };
                }
            }
        }
        (None, Some(scales)) => {
            counted(scales.len(), "scales")?;
            for (&axis, &scale) in axes.iter().zip(&scales) {
                let exact = scale * shape[axis] as f32;
                if !(exact >= 1.0 && exact < rt::OUTSIDE as f32) {
                    return Err(Error::invalid(format!("the scale {scale} for an axis of {}", shape[axis])));
                }
                extents.push(Extent { input: shape[axis], output: exact as usize, scale, exact, crop: [0.0, 1.0] });
            }
        }
        (None, None) => return Err(Error::invalid("it has neither scales nor sizes")),
    }
    let roi = match roi_index {
        Some(index) if b.string("coordinate_transformation_mode", "half_pixel")? == "tf_crop_and_resize" => floats(b, index)?,
        _ => None,
    };
    if let Some(roi) = roi {
        counted(roi.len() / 2, "ends of the region")?;
        for (index, extent) in extents.iter_mut().enumerate() {
            extent.crop = [roi[index], roi[axes.len() + index]];
        }
    }
    Ok(extents)
}

/// The floats of operand `index`, which must be known at compile time; `None` where it is left out or empty.
fn floats(b: &Builder<'_>, index: usize) -> Result<Option<Vec<f32>>, Error> {
    let Some(id) = b.optional(index)? else { return Ok(None) };
    let part = || format!("input {index} (`{}`)", b.graph.value(id).name);
    let Some(tensor) = b.graph.constant(id) else {
        return Err(Error::unsupported("its value is computed at run time").instead("a constant").part(part()));
    };
    let floats = tensor.f32s().ok_or_else(|| Error::invalid("it should hold floats").part(part()))?;
    Ok(Some(floats.to_vec()).filter(|floats| !floats.is_empty()))
}

impl Extent {
    /// Where output `index` lies in the input; `None` outside of it, where nothing is read.
    fn place(&self, index: usize, coordinates: Coordinates) -> Option<f32> {
        let (x, input) = (index as f32, self.input as f32);
        let place = match coordinates {
            Coordinates::HalfPixel => (x + 0.5) / self.scale - 0.5,
            Coordinates::HalfPixelSymmetric => {
                let adjustment = self.output as f32 / self.exact;
                input / 2.0 * (1.0 - adjustment) + (x + 0.5) / self.scale - 0.5
            }
            Coordinates::PytorchHalfPixel if self.output > 1 => (x + 0.5) / self.scale - 0.5,
            Coordinates::PytorchHalfPixel => 0.0,
            Coordinates::AlignCorners if self.exact == 1.0 => 0.0,
            Coordinates::AlignCorners => x * (input - 1.0) / (self.exact - 1.0),
            Coordinates::Asymmetric => x / self.scale,
            Coordinates::TfHalfPixelForNn => (x + 0.5) / self.scale,
            Coordinates::TfCropAndResize => {
                let [start, end] = self.crop;
                let last = input - 1.0;
                let place = match self.output {
                    1 => 0.5 * (start + end) * last,
                    output => start * last + x * (end - start) * last / (output as f32 - 1.0),
                };
                return (0.0..=last).contains(&place).then_some(place);
            }
        };
        Some(place)
    }
}

impl Method {
    /// The first input that an output at `place` depends on, which may lie outside, and the weights from there on.
    fn taps(&self, place: f32, scale: f32) -> (i64, Vec<f32>) {
        let low = place.floor();
        let ratio = place - low;
        // Where an axis shrinks, antialiasing widens the interpolation by so much.
        let widened = if self.antialias { scale.min(1.0) } else { 1.0 };
        let hat = |x: f32| (1.0 - x.abs()).max(0.0);
        match self.mode {
            Mode::Nearest(rounding) => {
                let nearest = match rounding {
                    Rounding::PreferFloor if ratio == 0.5 => low,
                    Rounding::PreferFloor | Rounding::PreferCeil => (place + 0.5).floor(),
                    Rounding::Ceil => place.ceil(),
                    Rounding::Simple if scale < 1.0 => place.ceil(),
                    Rounding::Floor | Rounding::Simple => low,
                };
                (nearest as i64, vec![1.0])
            }
            Mode::Linear => weighed(low, ratio, widened, 1.0, hat),
            Mode::Cubic { a } => weighed(low, ratio, widened, 2.0, |x| keys(x, a)),
        }
    }
}

/// The weights of an interpolation that reaches `reach` inputs to both sides before it is widened by `1 / scale`.
fn weighed(low: f32, ratio: f32, scale: f32, reach: f32, weight: impl Fn(f32) -> f32) -> (i64, Vec<f32>) {
    let start = (-reach / scale).floor() as i64 + 1;
    let weights: Vec<f32> = (start..2 - start).map(|i| weight(scale * (i as f32 - ratio))).collect();
    let sum: f32 = weights.iter().sum();
    let normal = if scale < 1.0 { sum } else { 1.0 };
    (low as i64 + start, weights.into_iter().map(|weight| weight / normal).collect())
}

/// R. Keys, "Cubic Convolution Interpolation for Digital Image Processing", 1981.
fn keys(x: f32, a: f32) -> f32 {
    let x = x.abs();
    match x {
        0.0..=1.0 => ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0,
        1.0..2.0 => ((a * x - 5.0 * a) * x + 8.0 * a) * x - 4.0 * a,
        _ => 0.0,
    }
}

impl Axis {
    fn new(axis: usize, extent: &Extent, method: &Method) -> Result<Self, Error> {
        let large = extent.input.max(extent.output) >= usize::from(rt::OUTSIDE);
        let rows: Vec<_> = match large {
            true => Vec::new(),
            false => {
                let place = |index| extent.place(index, method.coordinates);
                (0..extent.output).map(|index| Some(method.taps(place(index)?, extent.scale))).collect()
            }
        };
        let taps = rows.iter().flatten().map(|(_, weights)| weights.len()).max().unwrap_or(1);
        if large || taps > 1 << 12 {
            return Err(Error::unsupported(format!("from {} to {} along axis {axis}", extent.input, extent.output))
                .instead("axes shorter than 65535"));
        }
        let mut table = Self { axis, taps, positions: Vec::new(), weights: Vec::new() };
        for row in rows {
            let Some((first, mut weights)) = row else {
                table.positions.extend(vec![rt::OUTSIDE; taps]);
                table.weights.extend(vec![0.0; taps]);
                continue;
            };
            weights.resize(taps, 0.0);
            let inside = |position: i64| (0..extent.input as i64).contains(&position);
            if method.exclude_outside {
                let (mut sum, mut position) = (0.0, first);
                for weight in &mut weights {
                    *weight = if inside(position) { *weight } else { 0.0 };
                    (sum, position) = (sum + *weight, position + 1);
                }
                weights.iter_mut().for_each(|weight| *weight /= sum);
            }
            let clamped = (first..).map(|position| position.clamp(0, extent.input as i64 - 1) as u16);
            table.positions.extend(clamped.take(taps));
            table.weights.extend(weights);
        }
        Ok(table)
    }

    /// Number of outputs.
    fn outputs(&self) -> usize {
        self.positions.len() / self.taps
    }

    /// Whether an output lies outside the input.
    fn reaches_outside(&self) -> bool {
        self.positions.contains(&rt::OUTSIDE)
    }

    /// Whether each output is the input of the same number.
    fn is_identity(&self, input: usize) -> bool {
        let rows = self.positions.chunks_exact(self.taps).zip(self.weights.chunks_exact(self.taps));
        let same = |(index, (positions, weights)): (usize, (&[u16], &[f32]))| {
            positions.iter().zip(weights).all(|(&position, &weight)| {
                weight == 0.0 && position != rt::OUTSIDE || weight == 1.0 && usize::from(position) == index
            })
        };
        self.outputs() == input && rows.enumerate().all(same)
    }

    /// The largest sum of an output's magnitudes of weights.
    fn magnitude(&self) -> f32 {
        let rows = self.weights.chunks_exact(self.taps);
        rows.map(|row| row.iter().map(|weight| weight.abs()).sum()).fold(0.0, f32::max)
    }

    /// The weights with [`rt::RESIZE_BITS`] binary digits, whose sums are exactly those of the real ones, 1.
    fn integers(&self, bits: u32) -> Vec<i16> {
        let one = 1i32 << bits;
        let integers = self.weights.chunks_exact(self.taps).flat_map(|row| {
            let mut integers: Vec<i32> = row.iter().map(|weight| (weight * one as f32).round() as i32).collect();
            let missing = one - integers.iter().sum::<i32>();
            if let Some(largest) = integers.iter_mut().max_by_key(|weight| weight.abs()) {
                *largest += missing;
            }
            integers.into_iter().map(|weight| weight as i16)
        });
        integers.collect()
    }
}

impl Resize {
    fn geometry(&self, shape: &[usize]) -> Result<rt::Resize, Error> {
        let product = |axes: &[usize]| axes.iter().product::<usize>();
        Ok(match &self.axes[..] {
            [only] => rt::Resize {
                outer: product(&shape[..only.axis]),
                between: 1,
                inner: product(&shape[only.axis + 1..]),
                input: [1, shape[only.axis]],
                output: [1, only.outputs()],
                taps: [1, only.taps],
            },
            [first, second] => rt::Resize {
                outer: product(&shape[..first.axis]),
                between: product(&shape[first.axis + 1..second.axis]),
                inner: product(&shape[second.axis + 1..]),
                input: [shape[first.axis], shape[second.axis]],
                output: [first.outputs(), second.outputs()],
                taps: [first.taps, second.taps],
            },
            _ => return Err(Error::bug("a Resize has one axis or two")),
        })
    }

    /// The tables of both axes; a missing first one is an axis of extent 1.
    fn table<T: Clone>(&self, one: T, of: impl Fn(&Axis) -> Vec<T>) -> Vec<T> {
        let mut table = if self.axes.len() == 1 { vec![one] } else { Vec::new() };
        self.axes.iter().for_each(|axis| table.extend(of(axis)));
        table
    }
}

impl Operator for Resize {
    fn name(&self) -> &'static str {
        "Resize"
    }

    fn infer(&self, inputs: &[&Type]) -> Result<Vec<Type>, Error> {
        let [x] = inputs else { return Err(Error::bug("Resize has one operand")) };
        if !self.nearest {
            window::expect_float(inputs)?;
        }
        let mut shape = x.shape.clone();
        for axis in &self.axes {
            shape[axis.axis] = axis.outputs();
        }
        Ok(vec![Type { dtype: x.dtype, shape }])
    }

    fn scales(&self) -> Scales {
        // What the sums of the int8 kernel have room for; the usual cubic weights reach 1.4 along an axis.
        let magnitude: f32 = self.axes.iter().map(Axis::magnitude).product();
        if self.nearest || magnitude < 3.9 { Scales::SameAsInput } else { Scales::Float }
    }

    fn has_int16(&self) -> bool {
        // Their integers have one digit before the point.
        self.nearest || self.axes.iter().all(|axis| axis.weights.iter().all(|weight| weight.abs() < 1.99))
    }

    fn lower(&self, io: &Io<'_>) -> Result<Lowered, Error> {
        let geometry = self.geometry(&io.inputs[0].ty.shape)?;
        let positions = self.table(0, |axis| axis.positions.clone());
        if self.nearest {
            return Ok(ResizeNearest { geometry, positions }.into());
        }
        if io.output.ty.dtype == DType::F32 {
            let weights = self.table(1.0, |axis| axis.weights.clone());
            return Ok(ResizeF32 { geometry, outside: self.outside, positions, weights }.into());
        }
        let (scale, zero_point) = linear::scale_of(io.output)?;
        if io.output.ty.dtype == DType::I16 {
            let outside = rt::quantize_f32_i16(self.outside, scale, zero_point);
            let weights = self.table(1 << rt::RESIZE_BITS_S16, |axis| axis.integers(rt::RESIZE_BITS_S16));
            return Ok(ResizeS16 { geometry, outside, positions, weights }.into());
        }
        let outside = rt::quantize_f32(self.outside, scale, zero_point);
        let weights = self.table(1 << rt::RESIZE_BITS, |axis| axis.integers(rt::RESIZE_BITS));
        Ok(ResizeS8 { geometry, outside, positions, weights }.into())
    }
}

struct_literals! {
    Resize { outer, between, inner, input, output, taps }
}

/// Multiply-accumulates of all outputs.
fn macs(p: &rt::Resize) -> u64 {
    (p.outer * p.between * p.inner * p.output[0] * p.output[1] * p.taps[0] * p.taps[1]) as u64
}

routine! {
    /// `resize_nearest` with its constants.
    pub struct ResizeNearest { params "" geometry: rt::Resize, array "_POSITIONS" positions: Vec<u16> }
    with [T: each_element of y]
    fn resize_nearest(T) -> T
}

routine! {
    /// `resize_f32` with its constants.
    pub struct ResizeF32 {
        params "" geometry: rt::Resize,
        value outside: f32,
        array "_POSITIONS" positions: Vec<u16>,
        array "_WEIGHTS" weights: Vec<f32>,
    }
    fn resize_f32(f32) -> f32
    ; macs |layer| macs(&layer.geometry)
}

routine! {
    /// `resize_s8` with its constants.
    pub struct ResizeS8 {
        params "" geometry: rt::Resize,
        value outside: i8,
        array "_POSITIONS" positions: Vec<u16>,
        array "_WEIGHTS" weights: Vec<i16>,
    }
    fn resize_s8(i8) -> i8
    ; macs |layer| macs(&layer.geometry)
}

routine! {
    /// `resize_s16` with its constants.
    pub struct ResizeS16 {
        params "" geometry: rt::Resize,
        value outside: i16,
        array "_POSITIONS" positions: Vec<u16>,
        array "_WEIGHTS" weights: Vec<i16>,
    }
    fn resize_s16(i16) -> i16
    ; macs |layer| macs(&layer.geometry)
}
