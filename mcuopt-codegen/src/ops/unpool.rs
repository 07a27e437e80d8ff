//! MaxUnpool and Col2Im.
//!
//! <https://onnx.ai/onnx/operators/onnx__MaxUnpool.html>, opset 9 to 22;
//! <https://onnx.ai/onnx/operators/onnx__Col2Im.html>, opset 18. Both stay channels-first, which their elements are ordered by.

use mcuopt_rt::v0 as rt;

use super::pad::Pad;
use super::{Io, Lowered, Operator, Scales, window};
use crate::builder::Builder;
use crate::error::Error;
use crate::graph::{Type, ValueId};
use crate::onnx;
use crate::reference::Window;
use crate::tensor::DType;

/// The elements of the first operand at the places that the second one gives, zeros elsewhere.
#[derive(Clone, Debug, PartialEq)]
pub struct MaxUnpool {
    /// The result's shape.
    pub shape: Vec<usize>,
}

/// The image that blocks add up to.
#[derive(Clone, Debug, PartialEq)]
pub struct Col2Im {
    /// How the blocks lie in the image.
    pub window: Window,
    /// Number of blocks along each axis.
    pub blocks: Vec<usize>,
    /// Extents of the image.
    pub image: Vec<usize>,
}

/// MaxUnpool → MaxUnpool, Pad; Col2Im → Col2Im.
pub fn import(node: &onnx::Node, b: &mut Builder<'_>) -> Result<Vec<ValueId>, Error> {
    if node.op_type == "Col2Im" { col2im(b) } else { max_unpool(b) }
}

fn max_unpool(b: &mut Builder<'_>) -> Result<Vec<ValueId>, Error> {
    let (x, indices) = (b.input(0)?, b.input(1)?);
    window::spatial_rank(b.shape(x), "input 0")?;
    let window = window::import(b, x, None)?;
    let mut shape = b.shape(x)[..2].to_vec();
    for (axis, &extent) in b.shape(x)[2..].iter().enumerate() {
        let full = extent.saturating_sub(1).saturating_mul(window.strides[axis]).saturating_add(window.kernel[axis]);
        let inside = full.checked_sub(window.pads[axis][0]).and_then(|rest| rest.checked_sub(window.pads[axis][1]));
        shape.push(inside.filter(|&inside| inside > 0).ok_or_else(|| Error::invalid("the padding leaves nothing"))?);
    }
    let y = b.push(MaxUnpool { shape: shape.clone() }, &[x, indices])?;
    let Some(requested) = b.integers(2)? else { return Ok(vec![y]) };
    // A larger result has zeros behind.
    let added = |(&requested, &extent): (&i64, &usize)| usize::try_from(requested).ok()?.checked_sub(extent);
    let added: Option<Vec<usize>> = requested.iter().zip(&shape).map(added).collect();
    let added = added.filter(|_| requested.len() == shape.len()).ok_or_else(|| {
        Error::unsupported(format!("the output shape {requested:?}")).instead(format!("at least {shape:?}")).part("input 2")
    })?;
    if added.iter().all(|&added| added == 0) {
        return Ok(vec![y]);
    }
    let pads = added.into_iter().map(|added| [0, added]).collect();
    Ok(vec![b.push(Pad { pads, value: 0.0 }, &[y])?])
}

fn col2im(b: &mut Builder<'_>) -> Result<Vec<ValueId>, Error> {
    let x = b.input(0)?;
    let positive = |index: usize| -> Result<Vec<usize>, Error> {
        let values = b.integers(index)?.unwrap_or_default();
        let converted = values.iter().map(|&value| u32::try_from(value).ok().filter(|&v| v > 0).map(|v| v as usize));
        let invalid = || Error::invalid(format!("{values:?} should be positive")).part(format!("input {index}"));
        converted.collect::<Option<Vec<_>>>().filter(|values| !values.is_empty()).ok_or_else(invalid)
    };
    let (image, kernel) = (positive(1)?, positive(2)?);
    let rank = image.len();
    let list = |name: &str| -> Result<Vec<usize>, Error> {
        Ok(window::positive(b, name, rank)?.unwrap_or_else(|| vec![1; rank]))
    };
    let (strides, dilations) = (list("strides")?, list("dilations")?);
    let pads = match b.ints("pads")? {
        Some(pads) => window::explicit_pads(&pads, rank)?,
        None => vec![[0; 2]; rank],
    };
    if kernel.len() != rank {
        return Err(Error::invalid(format!("a block {kernel:?} of an image {image:?}")).part("input 2"));
    }
    let window = Window { kernel, strides, dilations, pads };
    let blocks = window::output(&window, &image, false)?;
    let [batch, rows, columns] = b.shape(x)[..] else {
        return Err(Error::invalid(format!("its shape is {:?}", b.shape(x))).part("input 0"));
    };
    let product = |extents: &[usize]| extents.iter().try_fold(1usize, |product, &extent| product.checked_mul(extent));
    let taps = product(&window.kernel).filter(|&taps| rows.is_multiple_of(taps));
    let (Some(taps), true) = (taps, product(&blocks) == Some(columns)) else {
        let message = format!("[{batch}, {rows}, {columns}] for blocks {:?} at {blocks:?} places", window.kernel);
        return Err(Error::invalid(message).part("input 0"));
    };
    let x = b.reshape(x, &[batch, rows / taps, taps, columns])?;
    Ok(vec![b.push(Col2Im { window, blocks, image }, &[x])?])
}

impl Operator for MaxUnpool {
    fn name(&self) -> &'static str {
        "MaxUnpool"
    }

    fn infer(&self, inputs: &[&Type]) -> Result<Vec<Type>, Error> {
        let [x, indices] = inputs else { return Err(Error::bug("MaxUnpool has two operands")) };
        if !matches!(indices.dtype, DType::I32 | DType::I64) || indices.shape != x.shape || x.dtype == DType::Bool {
            return Err(Error::invalid(format!("indices {indices:?} for {x:?}")).part("input 1"));
        }
        Ok(vec![Type { dtype: x.dtype, shape: self.shape.clone() }])
    }

    fn scales(&self) -> Scales {
        Scales::SameAsInput
    }

    fn indices(&self) -> &'static [usize] {
        &[1]
    }

    fn lower(&self, io: &Io<'_>) -> Result<Lowered, Error> {
        let zero = io.output.quantization.as_ref().and_then(|quantization| quantization.single());
        let zero = zero.filter(|_| matches!(io.output.ty.dtype, DType::I8 | DType::I16)).map_or(0, |(_, zero_point)| i64::from(zero_point));
        Ok(UnpoolMaxima { zero }.into())
    }
}

impl Operator for Col2Im {
    fn name(&self) -> &'static str {
        "Col2Im"
    }

    fn infer(&self, inputs: &[&Type]) -> Result<Vec<Type>, Error> {
        let [x] = inputs else { return Err(Error::bug("Col2Im has one operand")) };
        if x.dtype == DType::Bool {
            window::expect_float(inputs)?;
        }
        let shape = [&x.shape[..2], &self.image].concat();
        Ok(vec![Type { dtype: x.dtype, shape }])
    }

    fn scales(&self) -> Scales {
        Scales::Float
    }

    fn lower(&self, io: &Io<'_>) -> Result<Lowered, Error> {
        let [batch, channels, ..] = io.inputs[0].ty.shape[..] else { return Err(Error::bug("Col2Im has four axes")) };
        let image = |extents: &[usize]| Type::f32([&[batch], extents, &[channels]].concat());
        let geometry = window::volume(&self.window, &image(&self.blocks), &image(&self.image))?;
        Ok(AddBlocks { geometry }.into())
    }
}

routine! {
    /// `max_unpool` with its constants.
    pub struct UnpoolMaxima { value zero: i64 }
    with [T: each_element of x[0]] [I: each_index of x[1]]
    fn max_unpool(T, I) -> T
}

routine! {
    /// `col2im` with its constants.
    pub struct AddBlocks { params "" geometry: rt::Window3d }
    with [T: each_element of y]
    fn col2im(T) -> T
}
