//! What convolutions and pools have in common: the attributes of a sliding window, and layouts.

use mcuopt_rt::v0 as rt;

use crate::builder::Builder;
use crate::error::Error;
use crate::graph::{Type, ValueId};
use crate::reference::Window;
use crate::tensor::{DType, Tensor};

/// Between the file's channels-first layout and the compiler's channels-last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// [batch, channels, spatial…] → [batch, spatial…, channels]
    ToLast,
    /// [batch, spatial…, channels] → [batch, channels, spatial…]
    ToFirst,
}

impl Direction {
    /// The permutation for the given number of spatial axes.
    pub fn perm(self, rank: usize) -> Vec<usize> {
        let mut perm: Vec<usize> = (0..rank + 2).collect();
        match self {
            Direction::ToLast => perm[1..].rotate_left(1),
            Direction::ToFirst => perm[1..].rotate_right(1),
        }
        perm
    }
}

/// Number of spatial axes of a tensor with batch and channels.
pub fn spatial_rank(shape: &[usize], part: &str) -> Result<usize, Error> {
    match shape.len() {
        0..=2 => Err(Error::invalid(format!("its shape {shape:?} has no spatial axis")).part(part)),
        len => Ok(len - 2),
    }
}

/// Fails unless all operands are float tensors.
pub fn expect_float(inputs: &[&Type]) -> Result<(), Error> {
    match inputs.iter().position(|ty| ty.dtype != DType::F32) {
        None => Ok(()),
        Some(index) => Err(Error::unsupported(format!("elements of type {}", inputs[index].dtype))
            .instead("float elements, or a quantized model in the QDQ form")
            .part(format!("input {index}"))),
    }
}

/// The window of a Conv or pool whose operand `x` is channels-first. `kernel` is that of the weights; where there
/// are none, the attribute gives it.
pub fn import(b: &Builder<'_>, x: ValueId, kernel: Option<Vec<usize>>) -> Result<Window, Error> {
    let mut window = import_without_pads(b, x, kernel)?;
    let input = b.shape(x)[2..].to_vec();
    let rank = input.len();
    let pads = b.ints("pads")?;
    match b.string("auto_pad", "NOTSET")?.as_str() {
        "NOTSET" | "" => {
            if let Some(pads) = pads {
                window.pads = explicit_pads(&pads, rank)?;
            }
        }
        "VALID" => {}
        auto_pad @ ("SAME_UPPER" | "SAME_LOWER") => {
            window.pads = (0..rank).map(|axis| same_pads(&window, axis, input[axis], auto_pad == "SAME_UPPER")).collect();
        }
        other => return Err(Error::invalid(format!("`{other}` is not a padding")).part("attribute `auto_pad`")),
    }
    Ok(window)
}

/// [`import`] without the attributes that the padding comes from.
pub fn import_without_pads(b: &Builder<'_>, x: ValueId, kernel: Option<Vec<usize>>) -> Result<Window, Error> {
    let rank = b.shape(x).len() - 2;
    let attribute = positive(b, "kernel_shape", rank)?;
    let kernel = match (attribute, kernel) {
        (Some(attribute), Some(kernel)) if attribute != kernel => {
            let message = format!("it is {attribute:?}, but the weights are {kernel:?}");
            return Err(Error::invalid(message).part("attribute `kernel_shape`"));
        }
        (Some(kernel), _) | (None, Some(kernel)) => kernel,
        (None, None) => return Err(Error::invalid("it is missing").part("attribute `kernel_shape`")),
    };
    if kernel.contains(&0) {
        return Err(Error::invalid(format!("the kernel {kernel:?} is empty")));
    }
    let strides = positive(b, "strides", rank)?.unwrap_or_else(|| vec![1; rank]);
    let dilations = positive(b, "dilations", rank)?.unwrap_or_else(|| vec![1; rank]);
    Ok(Window { kernel, strides, dilations, pads: vec![[0; 2]; rank] })
}

/// The number of groups of a convolution.
pub fn group(b: &Builder<'_>) -> Result<usize, Error> {
    let group = usize::try_from(b.int("group", 1)?).ok().filter(|&group| group > 0);
    group.ok_or_else(|| Error::invalid("it should be positive").part("attribute `group`"))
}

/// The bias of a convolution, operand 2: zeros where it is left out.
pub fn bias(b: &mut Builder<'_>, outputs: usize) -> Result<ValueId, Error> {
    let bias = b.optional(2)?;
    Ok(bias.unwrap_or_else(|| b.constant(Tensor::zeros(DType::F32, &[outputs]))))
}

/// Padding with which there are ⌈input / stride⌉ windows; an odd one is larger at the end (`upper`) or the start.
fn same_pads(window: &Window, axis: usize, input: usize, upper: bool) -> [usize; 2] {
    let windows = input.div_ceil(window.strides[axis]);
    let covered = (windows.saturating_sub(1) * window.strides[axis]).saturating_add(window.extent(axis));
    let total = covered.saturating_sub(input);
    let (smaller, larger) = (total / 2, total - total / 2);
    if upper { [smaller, larger] } else { [larger, smaller] }
}

/// ONNX's [start of each axis…, end of each axis…] as pairs.
pub fn explicit_pads(pads: &[i64], rank: usize) -> Result<Vec<[usize; 2]>, Error> {
    let part = "attribute `pads`";
    if pads.len() != 2 * rank {
        return Err(Error::invalid(format!("it has {} entries for {rank} spatial axes", pads.len())).part(part));
    }
    let pad = |value: i64| {
        u32::try_from(value).map(|value| value as usize).map_err(|_| {
            Error::unsupported(format!("the padding {value}")).instead("paddings that are not negative").part(part)
        })
    };
    (0..rank).map(|axis| Ok([pad(pads[axis])?, pad(pads[rank + axis])?])).collect()
}

/// A list attribute with one positive entry for each spatial axis.
pub fn positive(b: &Builder<'_>, name: &str, rank: usize) -> Result<Option<Vec<usize>>, Error> {
    let Some(values) = b.ints(name)? else { return Ok(None) };
    let converted: Option<Vec<usize>> =
        values.iter().map(|&value| u32::try_from(value).ok().filter(|&v| v > 0).map(|v| v as usize)).collect();
    converted.filter(|values| values.len() == rank).map(Some).ok_or_else(|| {
        let message = format!("{values:?} should be {rank} positive numbers");
        Error::invalid(message).part(format!("attribute `{name}`"))
    })
}

/// Number of windows along each axis, or an error naming what does not fit.
pub fn output(window: &Window, input: &[usize], round_up: bool) -> Result<Vec<usize>, Error> {
    window.output(input, round_up).ok_or_else(|| {
        Error::invalid(format!(
            "the window {:?} with dilations {:?} is larger than the input {input:?} with its padding {:?}",
            window.kernel, window.dilations, window.pads
        ))
    })
}

/// A window over one or two spatial axes, as mcuopt-rt wants it: one axis is an image of height 1.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct Plane {
    pub batch: usize,
    pub input: [usize; 3],
    pub output: [usize; 3],
    pub kernel: [usize; 2],
    pub stride: [usize; 2],
    pub pad: [usize; 2],
    pub pad_end: [usize; 2],
    pub dilation: [usize; 2],
}

impl Plane {
    /// The window over channels-last tensors of the given types.
    pub fn new(window: &Window, x: &Type, y: &Type) -> Result<Self, Error> {
        let pair = |values: &[usize], missing: usize| match *values {
            [width] => Ok([missing, width]),
            [height, width] => Ok([height, width]),
            _ => Err(Error::unsupported(format!("{} spatial axes", values.len())).instead("one or two spatial axes")),
        };
        let image = |shape: &[usize]| -> Result<[usize; 3], Error> {
            let [height, width] = pair(&shape[1..shape.len() - 1], 1)?;
            Ok([height, width, shape[shape.len() - 1]])
        };
        let side = |end: usize| window.pads.iter().map(|pads| pads[end]).collect::<Vec<_>>();
        Ok(Self {
            batch: x.shape[0],
            input: image(&x.shape)?,
            output: image(&y.shape)?,
            kernel: pair(&window.kernel, 1)?,
            stride: pair(&window.strides, 1)?,
            pad: pair(&side(0), 0)?,
            pad_end: pair(&side(1), 0)?,
            dilation: pair(&window.dilations, 1)?,
        })
    }
}

/// A window over up to three spatial axes of channels-last tensors, as mcuopt-rt wants it: missing axes are 1.
pub fn volume(window: &Window, x: &Type, y: &Type) -> Result<rt::Window3d, Error> {
    let rank = window.kernel.len();
    let triple = |values: &[usize], missing: usize| {
        let mut triple = [missing; 3];
        triple[3 - rank..].copy_from_slice(values);
        triple
    };
    if rank > 3 {
        return Err(Error::unsupported(format!("{rank} spatial axes")).instead("up to three spatial axes"));
    }
    let image = |shape: &[usize]| {
        let [depth, height, width] = triple(&shape[1..=rank], 1);
        [depth, height, width, shape[rank + 1]]
    };
    let starts: Vec<usize> = window.pads.iter().map(|pads| pads[0]).collect();
    Ok(rt::Window3d {
        batch: x.shape[0],
        input: image(&x.shape),
        output: image(&y.shape),
        kernel: triple(&window.kernel, 1),
        stride: triple(&window.strides, 1),
        pad: triple(&starts, 0),
        dilation: triple(&window.dilations, 1),
    })
}
