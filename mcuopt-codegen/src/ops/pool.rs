//! MaxPool, AveragePool, LpPool and their global forms.
//!
//! <https://onnx.ai/onnx/operators/onnx__MaxPool.html>, opset 1 to 22;
//! <https://onnx.ai/onnx/operators/onnx__AveragePool.html>, <https://onnx.ai/onnx/operators/onnx__LpPool.html>, opset 1 to
//! 22. Channels-last in the graph.

use mcuopt_rt::v0 as rt;

use super::window::{self, Direction, Plane};
use super::{Io, Lowered, Op, Operator, Routine, Scales, eval_by_kernel, f32s, f32s_mut, i8s, i8s_mut, linear, result};
use crate::bounds::{Bounds, Known};
use crate::builder::Builder;
use crate::call::{Call, Data, struct_literals};
use crate::error::Error;
use crate::graph::{Type, ValueId};
use crate::onnx;
use crate::reference::Window;
use crate::tensor::{DType, Tensor};

/// What a window is reduced to.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Kind {
    Max,
    Average { count_include_pad: bool, clamp: rt::Clamp },
    /// The norm (Σ |x|^p)^(1/p).
    Lp { p: u32 },
}

/// A channels-last pool.
#[derive(Clone, Debug, PartialEq)]
pub struct Pool {
    /// Which one.
    pub kind: Kind,
    /// The sliding window.
    pub window: Window,
    /// `ceil_mode`: whether a last window may reach beyond the padding.
    pub round_up: bool,
}

/// Where the maxima of a channels-last pool are: ONNX's places, which count over the channels-first tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct MaxPoolIndices {
    /// The sliding window.
    pub window: Window,
    /// `ceil_mode`: whether a last window may reach beyond the padding.
    pub round_up: bool,
    /// Whether the first spatial axis is the innermost one in the places.
    pub column_major: bool,
    /// int64, as in the file, or int32.
    pub dtype: DType,
}

/// A pool → Transpose, Pool for each two spatial axes, Transpose; indices likewise, of all axes at once.
pub fn import(node: &onnx::Node, b: &mut Builder<'_>) -> Result<Vec<ValueId>, Error> {
    let x = b.input(0)?;
    let rank = window::spatial_rank(b.shape(x), "input 0")?;
    let (pools, global) = match node.op_type.strip_prefix("Global") {
        Some(pools) => (pools, true),
        None => (node.op_type.as_str(), false),
    };
    let kind = match pools {
        "MaxPool" => Kind::Max,
        "LpPool" => Kind::Lp { p: norm(b)? },
        _ => {
            Kind::Average { count_include_pad: b.int("count_include_pad", 0)? != 0, clamp: rt::Clamp::NONE }
        }
    };
    if global {
        return Ok(vec![global_pool(b, kind, x)?]);
    }
    let window = window::import(b, x, None)?;
    let round_up = b.int("ceil_mode", 0)? != 0;
    let column_major = b.int("storage_order", 0)? != 0;
    let last = b.transpose(x, &Direction::ToLast.perm(rank))?;
    let y = pool_axes(b, kind, &window, round_up, last)?;
    let mut outputs = vec![b.transpose(y, &Direction::ToFirst.perm(rank))?];
    if b.output_count() > 1 {
        let indices = b.push(MaxPoolIndices { window, round_up, column_major, dtype: DType::I64 }, &[last])?;
        outputs.push(b.transpose(indices, &Direction::ToFirst.perm(rank))?);
    }
    Ok(outputs)
}

/// The exponent of LpPool; a float in opset 1.
fn norm(b: &Builder<'_>) -> Result<u32, Error> {
    let p = match b.attribute("p") {
        Some(onnx::Attribute::Float(p)) if p.fract() == 0.0 => *p as i64,
        _ => b.int("p", 2)?,
    };
    let valid = u32::try_from(p).ok().filter(|p| (1..=64).contains(p));
    valid.ok_or_else(|| {
        Error::unsupported(format!("the exponent {p}")).instead("exponents from 1 to 64").part("attribute `p`")
    })
}

/// A pool over all of the image. More than two axes are one to it.
fn global_pool(b: &mut Builder<'_>, kind: Kind, x: ValueId) -> Result<ValueId, Error> {
    let shape = b.shape(x).to_vec();
    let merged = if shape.len() > 4 { vec![shape[2..].iter().product()] } else { shape[2..].to_vec() };
    let rank = merged.len();
    let x = b.reshape(x, &[&shape[..2], &merged].concat())?;
    let x = b.transpose(x, &Direction::ToLast.perm(rank))?;
    let window = Window { strides: vec![1; rank], dilations: vec![1; rank], pads: vec![[0; 2]; rank], kernel: merged };
    let y = b.push(Pool { kind, window, round_up: false }, &[x])?;
    let y = b.transpose(y, &Direction::ToFirst.perm(rank))?;
    b.reshape(y, &[&shape[..2], &vec![1; shape.len() - 2]].concat())
}

/// A channels-last pool over any number of axes: over the last two of them, then over those before. The maximum of maxima
/// is the maximum, and so it is with norms; with means, too, as their divisors are products of a number for each axis.
fn pool_axes(b: &mut Builder<'_>, kind: Kind, window: &Window, round_up: bool, x: ValueId) -> Result<ValueId, Error> {
    let mut shape = b.shape(x).to_vec();
    let rank = shape.len() - 2;
    if rank <= 2 {
        return b.push(Pool { kind, window: window.clone(), round_up }, &[x]);
    }
    let part = |axes: std::ops::Range<usize>| Window {
        kernel: window.kernel[axes.clone()].to_vec(),
        strides: window.strides[axes.clone()].to_vec(),
        dilations: window.dilations[axes.clone()].to_vec(),
        pads: window.pads[axes].to_vec(),
    };
    let pixels: usize = shape[..rank - 1].iter().product();
    let image = b.reshape(x, &[pixels, shape[rank - 1], shape[rank], shape[rank + 1]])?;
    let y = b.push(Pool { kind, window: part(rank - 2..rank), round_up }, &[image])?;
    shape.splice(rank - 1..rank + 1, b.shape(y)[1..3].iter().copied());
    // The axes that are done with go into the channels.
    let row = shape[rank - 1..].iter().product();
    let rest = b.reshape(y, &[&shape[..rank - 1], &[row]].concat())?;
    let y = pool_axes(b, kind, &part(0..rank - 2), round_up, rest)?;
    shape.splice(1..rank - 1, b.shape(y)[1..rank - 1].to_vec());
    b.reshape(y, &shape)
}

impl Pool {
    /// Number of cells that the average at `index` (row-major over `output`) divides by.
    fn divisor(&self, index: usize, inside: usize, input: &[usize], output: &[usize]) -> usize {
        let Kind::Average { count_include_pad: true, .. } = self.kind else { return inside };
        let mut rest = index;
        let mut count = 1;
        for axis in (0..output.len()).rev() {
            let start = rest % output[axis] * self.window.strides[axis];
            rest /= output[axis];
            let padded = input[axis] + self.window.pads[axis][0] + self.window.pads[axis][1];
            let cell = |k: &usize| start + k * self.window.dilations[axis] < padded;
            count *= (0..self.window.kernel[axis]).filter(cell).count();
        }
        count
    }

    fn geometry(&self, io: &Io<'_>) -> Result<rt::Pool2d, Error> {
        let plane = Plane::new(&self.window, &io.inputs[0].ty, &io.output.ty)?;
        Ok(rt::Pool2d {
            batch: plane.batch,
            input: plane.input,
            output: plane.output,
            kernel: plane.kernel,
            stride: plane.stride,
            pad: plane.pad,
            pad_end: plane.pad_end,
            dilation: plane.dilation,
        })
    }
}

impl Operator for Pool {
    fn name(&self) -> &'static str {
        match self.kind {
            Kind::Max => "MaxPool",
            Kind::Average { .. } => "AveragePool",
            Kind::Lp { .. } => "LpPool",
        }
    }

    fn infer(&self, inputs: &[&Type]) -> Result<Vec<Type>, Error> {
        let [x] = inputs else { return Err(Error::bug("a pool has one operand")) };
        if self.kind != Kind::Max || x.dtype == DType::Bool {
            window::expect_float(inputs)?;
        }
        let rank = window::spatial_rank(&x.shape, "input 0")?;
        let spatial = window::output(&self.window, &x.shape[1..=rank], self.round_up)?;
        let shape = [&[x.shape[0]], spatial.as_slice(), &[x.shape[rank + 1]]].concat();
        Ok(vec![Type { dtype: x.dtype, shape }])
    }

    fn eval(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>, Error> {
        let shape = inputs[0].shape();
        let ty = self.infer(&[&Type { dtype: inputs[0].dtype(), shape: shape.to_vec() }])?.remove(0);
        if ty.dtype != DType::F32 {
            return eval_by_kernel(vec![ty], &mut |io| self.lower(io), self.built_in(), inputs);
        }
        let rank = shape.len() - 2;
        let (input, output, channels) = (&shape[1..=rank], &ty.shape[1..=rank], shape[rank + 1]);
        let mut y = vec![0f32; ty.len()];
        let image = input.iter().product::<usize>() * channels;
        let pooled = output.iter().product::<usize>() * channels;
        for (x, y) in f32s(inputs[0]).chunks_exact(image.max(1)).zip(y.chunks_exact_mut(pooled.max(1))) {
            self.window.visit(input, output, |index, inside| {
                let y = &mut y[index * channels..(index + 1) * channels];
                match self.kind {
                    Kind::Max => {
                        y.fill(f32::NEG_INFINITY);
                        for &(_, pixel) in inside {
                            for (y, x) in y.iter_mut().zip(&x[pixel * channels..]) {
                                *y = if x > y || x.is_nan() { *x } else { *y };
                            }
                        }
                    }
                    Kind::Average { clamp, .. } => {
                        for &(_, pixel) in inside {
                            for (y, x) in y.iter_mut().zip(&x[pixel * channels..]) {
                                *y += x;
                            }
                        }
                        // Like the kernels: a window that lies in the padding alone has the average 0.
                        let divisor = self.divisor(index, inside.len(), input, output).max(1) as f32;
                        for y in y {
                            *y = clamp.apply(*y / divisor);
                        }
                    }
                    Kind::Lp { p } => {
                        for (channel, y) in y.iter_mut().enumerate() {
                            let cells = inside.iter().map(|&(_, pixel)| x[pixel * channels + channel].abs());
                            let sum: f64 = cells.map(|x| f64::from(x).powi(p as i32)).sum();
                            *y = sum.powf(1.0 / f64::from(p)) as f32;
                        }
                    }
                }
            });
        }
        result(&ty.shape, y)
    }

    fn scales(&self) -> Scales {
        match self.kind {
            Kind::Max => Scales::SameAsInput,
            Kind::Average { .. } => Scales::Calibrated,
            Kind::Lp { .. } => Scales::Float,
        }
    }

    fn has_int16(&self) -> bool {
        !matches!(self.kind, Kind::Lp { .. })
    }

    fn lower(&self, io: &Io<'_>) -> Result<Lowered, Error> {
        let geometry = self.geometry(io)?;
        let (count_include_pad, clamp) = match self.kind {
            Kind::Average { count_include_pad, clamp } => (count_include_pad, clamp),
            Kind::Lp { p } => return Ok(LpPoolF32 { geometry, p }.into()),
            Kind::Max if matches!(io.output.ty.dtype, DType::F32 | DType::I8) => return Ok(MaxPool { geometry }.into()),
            Kind::Max => return Ok(MaxPoolOfAny { geometry }.into()),
        };
        if io.output.ty.dtype == DType::F32 {
            return Ok(AveragePoolF32 { geometry, count_include_pad, clamp }.into());
        }
        let (x_scale, input_zero_point) = linear::scale_of(io.inputs[0])?;
        let (y_scale, zero_point) = linear::scale_of(io.output)?;
        let (min, max) = linear::clamp_to_i8(&clamp, (y_scale, zero_point));
        let cells = geometry.kernel[0] * geometry.kernel[1];
        let factor = |divisor: usize| f64::from(x_scale) / (f64::from(y_scale) * divisor as f64);
        // Windows inside the image divide by all cells; only smaller ones, at a border, need the whole table.
        let left_shift = rt::left_shift_for(factor(1));
        let multipliers = (1..=cells).map(|divisor| rt::multiplier(factor(divisor), left_shift)).collect();
        if io.output.ty.dtype == DType::I16 {
            let requantize = linear::Rescale::new(left_shift, &clamp, (y_scale, zero_point));
            return Ok(AveragePoolS16 { geometry, requantize, input_zero_point, count_include_pad, multipliers }.into());
        }
        Ok(AveragePoolS8 {
            geometry,
            requantize: rt::Requantize { left_shift, zero_point, min, max },
            input_zero_point,
            count_include_pad,
            multipliers,
        }
        .into())
    }
}

routine! {
    /// `average_pool_s16` with its constants; a multiplier for each divisor, from 1.
    pub struct AveragePoolS16 {
        params "" geometry: rt::Pool2d,
        params "_REQUANTIZE" requantize: rt::RequantizeS16,
        value input_zero_point: i32,
        value count_include_pad: bool,
        array "_MULTIPLIERS" multipliers: Vec<i32>,
    }
    fn average_pool_s16(i16) -> i16
    ; macs |layer| macs(&layer.geometry)
}

impl Operator for MaxPoolIndices {
    fn name(&self) -> &'static str {
        "MaxPool"
    }

    fn infer(&self, inputs: &[&Type]) -> Result<Vec<Type>, Error> {
        let [x] = inputs else { return Err(Error::bug("a pool has one operand")) };
        let rank = window::spatial_rank(&x.shape, "input 0")?;
        let spatial = window::output(&self.window, &x.shape[1..=rank], self.round_up)?;
        let shape = [&[x.shape[0]], spatial.as_slice(), &[x.shape[rank + 1]]].concat();
        Ok(vec![Type { dtype: self.dtype, shape }])
    }

    fn bounds(&self, operands: &[Known<'_>]) -> Option<Bounds> {
        operands.first().map(|x| Bounds::positions(x.ty.len()))
    }

    fn narrowed(&self) -> Option<Op> {
        Some(Self { dtype: DType::I32, ..self.clone() }.into())
    }

    fn lower(&self, io: &Io<'_>) -> Result<Lowered, Error> {
        let geometry = window::volume(&self.window, &io.inputs[0].ty, &io.output.ty)?;
        Ok(MaxPoolPlaces { geometry, column_major: self.column_major }.into())
    }
}

routine! {
    /// `max_pool` with its constants.
    pub struct MaxPoolOfAny { params "" geometry: rt::Pool2d }
    with [T: each_element of y]
    fn max_pool(T) -> T
}

routine! {
    /// `max_pool_indices` with its constants.
    pub struct MaxPoolPlaces { params "" geometry: rt::Window3d, value column_major: bool }
    with [T: each_element of x[0]] [I: each_index of y]
    fn max_pool_indices(T) -> I
}

routine! {
    /// `lp_pool_f32` with its constants.
    pub struct LpPoolF32 { params "" geometry: rt::Pool2d, value p: u32 }
    fn lp_pool_f32(f32) -> f32
    ; macs |layer| macs(&layer.geometry)
}

struct_literals! {
    Pool2d { batch, input, output, kernel, stride, pad, pad_end, dilation }
}

/// Additions of one pass, counted like multiply-accumulates.
fn macs(geometry: &rt::Pool2d) -> u64 {
    let outputs: usize = geometry.output.iter().product();
    (geometry.batch * outputs * geometry.kernel[0] * geometry.kernel[1]) as u64
}

/// `max_pool_f32` or `max_pool_s8`.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct MaxPool {
    pub geometry: rt::Pool2d,
}

impl Routine for MaxPool {
    fn call(&self, output: DType) -> Call {
        Call::inlined(if output == DType::F32 { "max_pool_f32" } else { "max_pool_s8" }).params(&self.geometry)
    }

    fn run(&self, x: &[&Tensor], y: &mut Tensor) {
        match y {
            Tensor::F32(_) => rt::max_pool_f32(&self.geometry, f32s(x[0]), f32s_mut(y)),
            _ => rt::max_pool_s8(&self.geometry, i8s(x[0]), i8s_mut(y)),
        }
    }
}

/// `average_pool_f32` with its constants.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct AveragePoolF32 {
    pub geometry: rt::Pool2d,
    pub count_include_pad: bool,
    pub clamp: rt::Clamp,
}

impl Routine for AveragePoolF32 {
    fn call(&self, _: DType) -> Call {
        Call::inlined("average_pool_f32").params(&self.geometry).value(self.count_include_pad).named("_CLAMP", &self.clamp)
    }

    fn run(&self, x: &[&Tensor], y: &mut Tensor) {
        rt::average_pool_f32(&self.geometry, self.count_include_pad, &self.clamp, f32s(x[0]), f32s_mut(y));
    }

    fn macs(&self) -> u64 {
        macs(&self.geometry)
    }
}

/// `average_pool_s8` with its constants.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct AveragePoolS8 {
    pub geometry: rt::Pool2d,
    pub requantize: rt::Requantize,
    pub input_zero_point: i32,
    pub count_include_pad: bool,
    /// One for each divisor, from 1.
    pub multipliers: Vec<i32>,
}

impl Routine for AveragePoolS8 {
    fn call(&self, _: DType) -> Call {
        Call::inlined("average_pool_s8")
            .params(&self.geometry)
            .named("_REQUANTIZE", &self.requantize)
            .value(self.input_zero_point)
            .value(self.count_include_pad)
            .array("_MULTIPLIERS", Data::I32(self.multipliers.clone()))
    }

    fn run(&self, x: &[&Tensor], y: &mut Tensor) {
        let (p, q, multipliers) = (&self.geometry, &self.requantize, &self.multipliers);
        let (zero_point, padded) = (self.input_zero_point, self.count_include_pad);
        rt::average_pool_s8(p, q, zero_point, padded, multipliers, i8s(x[0]), i8s_mut(y));
    }

    fn macs(&self) -> u64 {
        macs(&self.geometry)
    }
}
