//! Operators that read an image at places off its grid of pixels: GridSample, AffineGrid, DeformConv, RoiAlign, MaxRoiPool.
//!
//! <https://onnx.ai/onnx/operators/onnx__GridSample.html>, opset 16 to 22;
//! <https://onnx.ai/onnx/operators/onnx__AffineGrid.html>, opset 20;
//! <https://onnx.ai/onnx/operators/onnx__DeformConv.html>, opset 19 to 22;
//! <https://onnx.ai/onnx/operators/onnx__RoiAlign.html>, opset 10 to 22;
//! <https://onnx.ai/onnx/operators/onnx__MaxRoiPool.html>, opset 1 to 22. Images are channels-last in the graph. float32
//! only: places and weights are computed at run time.

use mcuopt_rt::v0 as rt;
use proc_macro2::TokenStream;
use quote::quote;

use super::matmul::MatMul;
use super::window::{self, Direction};
use super::{Io, Lowered, Operator, Scales};
use crate::builder::Builder;
use crate::call::{Literal, struct_literals};
use crate::error::Error;
use crate::graph::{Type, ValueId};
use crate::onnx;
use crate::reference::Window;
use crate::tensor::{DType, Tensor};

/// An image read at the places of a grid.
#[derive(Clone, Debug, PartialEq)]
pub struct GridSample {
    /// How to interpolate.
    pub interpolation: rt::Interpolation,
    /// What to read outside.
    pub outside: rt::Outside,
    /// Whether −1 and 1 are the centres of the corner pixels.
    pub align_corners: bool,
}

/// A convolution whose taps are moved at run time; operands x, weights, offsets, bias, and a mask, if there is one.
#[derive(Clone, Debug, PartialEq)]
pub struct DeformConv {
    /// The sliding window.
    pub window: Window,
    /// Number of groups that the channels are divided into.
    pub group: usize,
    /// Number of groups of input channels that share their offsets.
    pub offset_group: usize,
}

/// Regions of images divided into cells.
#[derive(Clone, Debug, PartialEq)]
pub struct RoiAlign {
    /// Rows and columns.
    pub output: [usize; 2],
    /// Places along each axis at which a cell is read; 0 for one a pixel.
    pub sampling_ratio: usize,
    /// From the regions' coordinates to pixels.
    pub spatial_scale: f32,
    /// Whether the centre of the first pixel is 0.5.
    pub half_pixel: bool,
    /// Whether a cell is a maximum instead of a mean.
    pub max: bool,
}

/// Regions of images divided into cells of whole pixels, and the maximum of each.
#[derive(Clone, Debug, PartialEq)]
pub struct MaxRoiPool {
    /// Rows and columns.
    pub output: [usize; 2],
    /// From the regions' coordinates to pixels.
    pub spatial_scale: f32,
}

/// Each → Transpose, its operator, Transpose; AffineGrid is a matrix product.
pub fn import(node: &onnx::Node, b: &mut Builder<'_>) -> Result<Vec<ValueId>, Error> {
    let y = match node.op_type.as_str() {
        "GridSample" => grid_sample(b),
        "AffineGrid" => affine_grid(b),
        "DeformConv" => deform_conv(b),
        "RoiAlign" => roi_align(b),
        _ => max_roi_pool(b),
    };
    Ok(vec![y?])
}

/// Fails unless operand `index` has `rank` axes.
fn expect_rank(b: &Builder<'_>, index: usize, rank: usize) -> Result<ValueId, Error> {
    let id = b.input(index)?;
    match b.shape(id).len() == rank {
        true => Ok(id),
        false => Err(Error::invalid(format!("its shape is {:?}", b.shape(id))).part(format!("input {index}"))),
    }
}

fn unknown(name: &str, value: &str) -> Error {
    Error::invalid(format!("`{value}` is not one of its values")).part(format!("attribute `{name}`"))
}

fn grid_sample(b: &mut Builder<'_>) -> Result<ValueId, Error> {
    let (x, grid) = (b.input(0)?, b.input(1)?);
    let rank = window::spatial_rank(b.shape(x), "input 0")?;
    let interpolation = match b.string("mode", "linear")?.as_str() {
        "linear" | "bilinear" => rt::Interpolation::Linear,
        "nearest" => rt::Interpolation::Nearest,
        "cubic" | "bicubic" => rt::Interpolation::Cubic,
        other => return Err(unknown("mode", other)),
    };
    let outside = match b.string("padding_mode", "zeros")?.as_str() {
        "zeros" => rt::Outside::Zeros,
        "border" => rt::Outside::Border,
        "reflection" => rt::Outside::Reflection,
        other => return Err(unknown("padding_mode", other)),
    };
    let align_corners = b.int("align_corners", 0)? != 0;
    let x = b.transpose(x, &Direction::ToLast.perm(rank))?;
    let y = b.push(GridSample { interpolation, outside, align_corners }, &[x, grid])?;
    b.transpose(y, &Direction::ToFirst.perm(rank))
}

/// theta [batch, axes, axes + 1] times the homogeneous coordinates [axes + 1, places].
fn affine_grid(b: &mut Builder<'_>) -> Result<ValueId, Error> {
    let theta = expect_rank(b, 0, 3)?;
    let size = b.integers(1)?.unwrap_or_default();
    let align_corners = b.int("align_corners", 0)? != 0;
    let invalid = || Error::invalid(format!("the size {size:?} for theta {:?}", b.shape(theta)));
    let positive = |&value: &i64| u32::try_from(value).ok().filter(|&value| value > 0).map(|value| value as usize);
    let extents: Vec<usize> = size.iter().skip(2).map(positive).collect::<Option<_>>().ok_or_else(invalid)?;
    let axes = extents.len();
    if !(2..=3).contains(&axes) || b.shape(theta)[1..] != [axes, axes + 1] {
        return Err(invalid());
    }
    let batch = b.shape(theta)[0];
    let count = extents.iter().try_fold(1usize, |count, &extent| count.checked_mul(extent)).ok_or_else(invalid)?;
    if count > crate::builder::MAX_ELEMENTS / 4 {
        return Err(invalid());
    }
    let coordinate = |index: usize, extent: usize| match (align_corners, extent) {
        (true, 1) => -1.0,
        (true, _) => 2.0 * index as f32 / (extent - 1) as f32 - 1.0,
        (false, _) => (2 * index + 1) as f32 / extent as f32 - 1.0,
    };
    let mut base = Vec::with_capacity((axes + 1) * count);
    // The last axis is the first coordinate, x.
    let mut inner = 1;
    for &extent in extents.iter().rev() {
        base.extend((0..count).map(|place| coordinate(place / inner % extent, extent)));
        inner *= extent;
    }
    base.extend(vec![1.0; count]);
    let base = Tensor::new(&[axes + 1, count], base).ok_or_else(|| Error::bug("a grid of another size"))?;
    let base = b.constant(base);
    let rows = b.reshape(theta, &[batch * axes, axes + 1])?;
    let grid = b.push(MatMul::new(1.0), &[rows, base])?;
    let grid = b.reshape(grid, &[batch, axes, count])?;
    let grid = b.transpose(grid, &[0, 2, 1])?;
    b.reshape(grid, &[&[batch], extents.as_slice(), &[axes]].concat())
}

fn deform_conv(b: &mut Builder<'_>) -> Result<ValueId, Error> {
    let x = b.input(0)?;
    if b.shape(x).len() != 4 {
        let error = Error::unsupported(format!("an image {:?}", b.shape(x)));
        return Err(error.instead("two spatial axes").part("input 0"));
    }
    let (weights, offsets) = (expect_rank(b, 1, 4)?, expect_rank(b, 2, 4)?);
    let kernel = b.shape(weights)[2..].to_vec();
    let window = window::import(b, x, Some(kernel))?;
    let group = window::group(b)?;
    let offset_group = usize::try_from(b.int("offset_group", 1)?).ok().filter(|&group| group > 0);
    let offset_group = offset_group.ok_or_else(|| Error::invalid("it should be positive").part("attribute `offset_group`"))?;
    let outputs = b.shape(weights)[0];
    let bias = match b.optional(3)? {
        Some(bias) => bias,
        None => b.constant(Tensor::zeros(DType::F32, &[outputs])),
    };
    let mask = match b.optional(4)? {
        Some(_) => Some(expect_rank(b, 4, 4)?),
        None => None,
    };
    let to_last = Direction::ToLast.perm(2);
    let mut operands = vec![b.transpose(x, &to_last)?, b.transpose(weights, &to_last)?];
    operands.extend([b.transpose(offsets, &to_last)?, bias]);
    if let Some(mask) = mask {
        operands.push(b.transpose(mask, &to_last)?);
    }
    let y = b.push(DeformConv { window, group, offset_group }, &operands)?;
    b.transpose(y, &Direction::ToFirst.perm(2))
}

fn roi_align(b: &mut Builder<'_>) -> Result<ValueId, Error> {
    let (x, rois, images) = (expect_rank(b, 0, 4)?, expect_rank(b, 1, 2)?, expect_rank(b, 2, 1)?);
    // Opset 10 knows no half pixels.
    let default = if b.opset < 16 { "output_half_pixel" } else { "half_pixel" };
    let half_pixel = match b.string("coordinate_transformation_mode", default)?.as_str() {
        "half_pixel" => true,
        "output_half_pixel" => false,
        other => return Err(unknown("coordinate_transformation_mode", other)),
    };
    let max = match b.string("mode", "avg")?.as_str() {
        "avg" => false,
        "max" => true,
        other => return Err(unknown("mode", other)),
    };
    let natural = |name: &str, default: i64| -> Result<usize, Error> {
        let value = b.int(name, default)?;
        let valid = u32::try_from(value).ok().filter(|&value| value <= 1 << 12).map(|value| value as usize);
        valid.ok_or_else(|| Error::invalid(format!("it is {value}")).part(format!("attribute `{name}`")))
    };
    let output = [natural("output_height", 1)?, natural("output_width", 1)?];
    let sampling_ratio = natural("sampling_ratio", 0)?;
    let spatial_scale = b.float("spatial_scale", 1.0)?;
    let x = b.transpose(x, &Direction::ToLast.perm(2))?;
    let y = b.push(RoiAlign { output, sampling_ratio, spatial_scale, half_pixel, max }, &[x, rois, images])?;
    b.transpose(y, &Direction::ToFirst.perm(2))
}

fn max_roi_pool(b: &mut Builder<'_>) -> Result<ValueId, Error> {
    let (x, rois) = (expect_rank(b, 0, 4)?, expect_rank(b, 1, 2)?);
    let shape = window::positive(b, "pooled_shape", 2)?;
    let Some(&[rows, columns]) = shape.as_deref() else {
        return Err(Error::invalid("it is missing").part("attribute `pooled_shape`"));
    };
    let spatial_scale = b.float("spatial_scale", 1.0)?;
    let x = b.transpose(x, &Direction::ToLast.perm(2))?;
    let y = b.push(MaxRoiPool { output: [rows, columns], spatial_scale }, &[x, rois])?;
    b.transpose(y, &Direction::ToFirst.perm(2))
}

impl Operator for GridSample {
    fn name(&self) -> &'static str {
        "GridSample"
    }

    fn infer(&self, inputs: &[&Type]) -> Result<Vec<Type>, Error> {
        let [x, grid] = inputs else { return Err(Error::bug("GridSample has two operands")) };
        window::expect_float(inputs)?;
        let rank = window::spatial_rank(&x.shape, "input 0")?;
        if !(2..=3).contains(&rank) {
            return Err(Error::unsupported(format!("{rank} spatial axes")).instead("two or three").part("input 0"));
        }
        if grid.shape.len() != rank + 2 || grid.shape[0] != x.shape[0] || grid.shape[rank + 1] != rank {
            return Err(Error::invalid(format!("its shape is {:?}", grid.shape)).part("input 1"));
        }
        Ok(vec![Type::f32([&grid.shape[..=rank], &[x.shape[rank + 1]]].concat())])
    }

    fn scales(&self) -> Scales {
        Scales::Float
    }

    fn lower(&self, io: &Io<'_>) -> Result<Lowered, Error> {
        let (x, grid) = (&io.inputs[0].ty.shape, &io.inputs[1].ty.shape);
        let axes = x.len() - 2;
        let mut input = [1; 4];
        input[3 - axes..].copy_from_slice(&x[1..]);
        let geometry = rt::GridSample {
            batch: x[0],
            input,
            places: grid[1..=axes].iter().product(),
            axes,
            interpolation: self.interpolation,
            outside: self.outside,
            align_corners: self.align_corners,
        };
        Ok(GridSampleF32 { geometry }.into())
    }
}

impl Operator for DeformConv {
    fn name(&self) -> &'static str {
        "DeformConv"
    }

    fn infer(&self, inputs: &[&Type]) -> Result<Vec<Type>, Error> {
        let [x, weights, offsets, bias, mask @ ..] = inputs else { return Err(Error::bug("DeformConv has operands")) };
        window::expect_float(inputs)?;
        let (channels, outputs) = (x.shape[3], weights.shape[0]);
        let spatial = window::output(&self.window, &x.shape[1..3], false)?;
        let places = [&[x.shape[0]], spatial.as_slice()].concat();
        let taps: usize = self.window.kernel.iter().product();
        let moved = self.offset_group.saturating_mul(taps);
        let fits = weights.shape[3].checked_mul(self.group) == Some(channels)
            && outputs.is_multiple_of(self.group)
            && channels.is_multiple_of(self.offset_group)
            && bias.shape == [outputs]
            && offsets.shape == [places.as_slice(), &[moved.saturating_mul(2)]].concat()
            && mask.iter().all(|mask| mask.shape == [places.as_slice(), &[moved]].concat());
        if !fits {
            return Err(Error::invalid(format!(
                "the channels-last shapes {:?} in {} groups, {} for the offsets",
                inputs.iter().map(|ty| &ty.shape).collect::<Vec<_>>(),
                self.group,
                self.offset_group
            )));
        }
        Ok(vec![Type::f32([places.as_slice(), &[outputs]].concat())])
    }

    fn scales(&self) -> Scales {
        Scales::Float
    }

    fn lower(&self, io: &Io<'_>) -> Result<Lowered, Error> {
        let plane = window::Plane::new(&self.window, &io.inputs[0].ty, &io.output.ty)?;
        let geometry = rt::DeformConv {
            batch: plane.batch,
            input: plane.input,
            output: plane.output,
            kernel: plane.kernel,
            stride: plane.stride,
            pad: plane.pad,
            dilation: plane.dilation,
            groups: self.group,
            offset_groups: self.offset_group,
        };
        Ok(match io.inputs.len() {
            4 => DeformConvF32 { geometry }.into(),
            _ => MaskedDeformConvF32 { geometry }.into(),
        })
    }
}

impl Operator for RoiAlign {
    fn name(&self) -> &'static str {
        "RoiAlign"
    }

    fn infer(&self, inputs: &[&Type]) -> Result<Vec<Type>, Error> {
        let [x, rois, images] = inputs else { return Err(Error::bug("RoiAlign has three operands")) };
        window::expect_float(&[x, rois])?;
        let regions = rois.shape[0];
        if rois.shape[1] != 4 || images.shape != [regions] || !matches!(images.dtype, DType::I64 | DType::I32) {
            return Err(Error::invalid(format!("regions {rois:?} of images {images:?}")));
        }
        let [rows, columns] = self.output;
        Ok(vec![Type::f32([regions, rows, columns, x.shape[3]])])
    }

    fn scales(&self) -> Scales {
        Scales::Float
    }

    fn lower(&self, io: &Io<'_>) -> Result<Lowered, Error> {
        let x = &io.inputs[0].ty.shape;
        let geometry = rt::RoiAlign {
            batch: x[0],
            input: [x[1], x[2], x[3]],
            regions: io.output.ty.shape[0],
            output: self.output,
            sampling_ratio: self.sampling_ratio,
            spatial_scale: self.spatial_scale,
            half_pixel: self.half_pixel,
            max: self.max,
        };
        Ok(RoiAlignF32 { geometry }.into())
    }
}

impl Operator for MaxRoiPool {
    fn name(&self) -> &'static str {
        "MaxRoiPool"
    }

    fn infer(&self, inputs: &[&Type]) -> Result<Vec<Type>, Error> {
        let [x, rois] = inputs else { return Err(Error::bug("MaxRoiPool has two operands")) };
        window::expect_float(inputs)?;
        if rois.shape[1] != 5 {
            return Err(Error::invalid(format!("its shape is {:?}", rois.shape)).part("input 1"));
        }
        Ok(vec![Type::f32([rois.shape[0], self.output[0], self.output[1], x.shape[3]])])
    }

    fn scales(&self) -> Scales {
        Scales::Float
    }

    fn lower(&self, io: &Io<'_>) -> Result<Lowered, Error> {
        let x = &io.inputs[0].ty.shape;
        let geometry = rt::MaxRoiPool {
            batch: x[0],
            input: [x[1], x[2], x[3]],
            regions: io.output.ty.shape[0],
            output: self.output,
            spatial_scale: self.spatial_scale,
        };
        Ok(MaxRoiPoolF32 { geometry }.into())
    }
}

struct_literals! {
    GridSample { batch, input, places, axes, interpolation, outside, align_corners }
    DeformConv { batch, input, output, kernel, stride, pad, dilation, groups, offset_groups }
    RoiAlign { batch, input, regions, output, sampling_ratio, spatial_scale, half_pixel, max }
    MaxRoiPool { batch, input, regions, output, spatial_scale }
}

impl Literal for rt::Interpolation {
    fn ty(&self) -> TokenStream {
        quote!(rt::Interpolation)
    }

    fn literal(&self) -> TokenStream {
        match self {
            rt::Interpolation::Nearest => quote!(rt::Interpolation::Nearest),
            rt::Interpolation::Linear => quote!(rt::Interpolation::Linear),
            rt::Interpolation::Cubic => quote!(rt::Interpolation::Cubic),
        }
    }
}

impl Literal for rt::Outside {
    fn ty(&self) -> TokenStream {
        quote!(rt::Outside)
    }

    fn literal(&self) -> TokenStream {
        match self {
            rt::Outside::Zeros => quote!(rt::Outside::Zeros),
            rt::Outside::Border => quote!(rt::Outside::Border),
            rt::Outside::Reflection => quote!(rt::Outside::Reflection),
        }
    }
}

routine! {
    /// `grid_sample_f32` with its constants.
    pub struct GridSampleF32 { params "" geometry: rt::GridSample }
    fn grid_sample_f32(f32, f32) -> f32
}

routine! {
    /// `deform_conv_f32` with its constants.
    pub struct DeformConvF32 { params "" geometry: rt::DeformConv }
    fn deform_conv_f32(f32, f32, f32, f32) -> f32
}

routine! {
    /// `masked_deform_conv_f32` with its constants.
    pub struct MaskedDeformConvF32 { params "" geometry: rt::DeformConv }
    fn masked_deform_conv_f32(f32, f32, f32, f32, f32) -> f32
}

routine! {
    /// `roi_align_f32` with its constants.
    pub struct RoiAlignF32 { params "" geometry: rt::RoiAlign }
    with [I: each_index of x[2]]
    fn roi_align_f32(f32, f32, I) -> f32
}

routine! {
    /// `max_roi_pool_f32` with its constants.
    pub struct MaxRoiPoolF32 { params "" geometry: rt::MaxRoiPool }
    fn max_roi_pool_f32(f32, f32) -> f32
}
