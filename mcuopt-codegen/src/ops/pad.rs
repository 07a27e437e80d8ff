//! Pad and CenterCropPad.
//!
//! <https://onnx.ai/onnx/operators/onnx__Pad.html>, opset 2 to 25;
//! <https://onnx.ai/onnx/operators/onnx__CenterCropPad.html>, opset 18. A Pad in front of a convolution or pool becomes
//! part of it in `simplify`.

use mcuopt_rt::v0 as rt;

use super::reshape::axis;
use super::slice::Slice;
use super::{Io, Lowered, Operator, Routine, Scales, axes};
use crate::bounds::{Bounds, Known};
use crate::builder::{Builder, MAX_ELEMENTS};
use crate::call::{Call, Literal, struct_literals};
use crate::error::Error;
use crate::graph::{Type, Value, ValueId};
use crate::onnx;
use crate::tensor::{DType, Element, Tensor, each_element};

/// Elements added around a tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct Pad {
    /// How many before and after, for each axis.
    pub pads: Vec<[usize; 2]>,
    /// Their value.
    pub value: f64,
}

/// A tensor continued by its own elements.
#[derive(Clone, Debug, PartialEq)]
pub struct PadEdges {
    /// How many before and after, for each axis.
    pub pads: Vec<[usize; 2]>,
    /// Which ones.
    pub edges: rt::Edges,
}

/// Pad → Pad or PadEdges; negative pads are a Slice before it. CenterCropPad → Slice, Pad.
pub fn import(node: &onnx::Node, b: &mut Builder<'_>) -> Result<Vec<ValueId>, Error> {
    let x = b.input(0)?;
    let rank = b.shape(x).len();
    if node.op_type == "CenterCropPad" {
        let changes = center(b, b.shape(x))?;
        return Ok(vec![changed(b, x, &changes, |pads| Pad { pads, value: 0.0 })?]);
    }
    let (pads, value) =
        if b.opset < 11 { (b.ints("pads")?, f64::from(b.float("value", 0.0)?)) } else { (b.integers(1)?, value(b)?) };
    let pads = pads.ok_or_else(|| Error::invalid("it is missing").part("`pads`"))?;
    let axes: Vec<usize> = match b.integers(3)? {
        Some(axes) => axes.iter().map(|&value| axis(value, rank, false)).collect::<Result<_, _>>()?,
        None => (0..rank).collect(),
    };
    if pads.len() != 2 * axes.len() {
        return Err(Error::invalid(format!("{} entries for {} axes", pads.len(), axes.len())).part("`pads`"));
    }
    let mut changes = vec![[0; 2]; rank];
    for (index, &axis) in axes.iter().enumerate() {
        changes[axis] = [pads[index], pads[axes.len() + index]];
    }
    let edges = match b.string("mode", "constant")?.as_str() {
        "constant" => return Ok(vec![changed(b, x, &changes, |pads| Pad { pads, value })?]),
        "reflect" => rt::Edges::Reflect,
        "edge" => rt::Edges::Edge,
        "wrap" => rt::Edges::Wrap,
        other => {
            let error = Error::unsupported(format!("`{other}`")).instead("`constant`, `reflect`, `edge` or `wrap`");
            return Err(error.part("attribute `mode`"));
        }
    };
    Ok(vec![changed(b, x, &changes, |pads| PadEdges { pads, edges })?])
}

/// The constant that is added.
fn value(b: &Builder<'_>) -> Result<f64, Error> {
    let Some(id) = b.optional(2)? else { return Ok(0.0) };
    // A float holds all but large integers.
    let wide =
        b.graph.constant(id).and_then(Tensor::to_i64s).filter(|values| values.len() == 1).map(|values| values[0]);
    match wide {
        Some(wide) if wide as f64 as i64 == wide => Ok(wide as f64),
        Some(wide) => Err(Error::unsupported(format!("padding with {wide}")).instead("less than 2^53").part("input 2")),
        None => Ok(f64::from(b.scalar(2)?.unwrap_or(0.0))),
    }
}

/// What CenterCropPad adds before and after each axis, or takes away.
fn center(b: &Builder<'_>, shape: &[usize]) -> Result<Vec<[i64; 2]>, Error> {
    let targets = b.integers(1)?.ok_or_else(|| Error::invalid("it is missing").part("input 1"))?;
    let axes = b.ints("axes")?.unwrap_or_else(|| (0..shape.len() as i64).collect());
    if axes.len() != targets.len() {
        return Err(Error::invalid(format!("{} extents for {} axes", targets.len(), axes.len())).part("input 1"));
    }
    let mut changes = vec![[0; 2]; shape.len()];
    for (&value, &target) in axes.iter().zip(&targets) {
        let axis = axis(value, shape.len(), false)?;
        if !(0..=MAX_ELEMENTS as i64).contains(&target) {
            return Err(Error::invalid(format!("the extent {target}")).part("input 1"));
        }
        let added = target - shape[axis] as i64;
        // The odd one goes, or is added, at the end.
        changes[axis] = [added / 2, added - added / 2];
    }
    Ok(changes)
}

/// Takes elements away where `changes` is negative, before and after each axis, and adds some with `op` where it is
/// positive.
fn changed<O: Into<crate::ops::Op>>(
    b: &mut Builder<'_>,
    x: ValueId,
    changes: &[[i64; 2]],
    op: impl Fn(Vec<[usize; 2]>) -> O,
) -> Result<ValueId, Error> {
    let mut slice = Slice::whole(b.shape(x));
    let mut pads = Vec::with_capacity(changes.len());
    for (axis, change) in changes.iter().enumerate() {
        let extent = b.shape(x)[axis];
        let [before, after] = change.map(|change| usize::try_from(change.unsigned_abs()).unwrap_or(usize::MAX));
        let [removed, cut] = [(change[0], before), (change[1], after)].map(|(c, n)| if c < 0 { n } else { 0 });
        let added = [(change[0], before), (change[1], after)].map(|(c, n)| if c > 0 { n } else { 0 });
        let left = extent.checked_sub(removed).and_then(|left| left.checked_sub(cut)).ok_or_else(|| {
            Error::invalid(format!("{change:?} takes more away than the {extent} elements of axis {axis}"))
        })?;
        slice = slice.take(axis, removed, 1, left);
        pads.push(added);
    }
    let x = slice.push(b, x)?;
    if pads.iter().all(|pads| *pads == [0; 2]) {
        return Ok(x);
    }
    let shape = padded_shape(b.shape(x), &pads);
    let touched = |axis: usize| pads[axis] != [0; 2];
    let (x, groups) = axes::with_few_axes(b, x, touched)?;
    let y = b.push(op(groups.iter().map(|group| pads[group[0]]).collect()), &[x])?;
    b.reshape(y, &shape)
}

fn padded_shape(input: &[usize], pads: &[[usize; 2]]) -> Vec<usize> {
    input.iter().zip(pads).map(|(extent, pads)| extent.saturating_add(pads[0]).saturating_add(pads[1])).collect()
}

fn geometry(input: &[usize], pads: &[[usize; 2]]) -> Result<rt::Pad, Error> {
    let starts: Vec<usize> = pads.iter().map(|pads| pads[0]).collect();
    Ok(rt::Pad {
        input: axes::padded(input, 1)?,
        output: axes::padded(&padded_shape(input, pads), 1)?,
        start: axes::padded(&starts, 0)?,
    })
}

fn infer(inputs: &[&Type], pads: &[[usize; 2]]) -> Result<Vec<Type>, Error> {
    let [x] = inputs else { return Err(Error::bug("Pad has one operand")) };
    Ok(vec![Type { dtype: x.dtype, shape: padded_shape(&x.shape, pads) }])
}

impl Operator for Pad {
    fn name(&self) -> &'static str {
        "Pad"
    }

    fn infer(&self, inputs: &[&Type]) -> Result<Vec<Type>, Error> {
        infer(inputs, &self.pads)
    }

    fn scales(&self) -> Scales {
        // Zero has an exact integer in every quantization; another value may need a wider range.
        if self.value == 0.0 { Scales::SameAsInput } else { Scales::Joined }
    }

    fn bounds(&self, operands: &[Known<'_>]) -> Option<Bounds> {
        let value = Bounds { min: self.value as i64, max: self.value as i64 };
        operands.first().map(|x| x.bounds.join(value))
    }

    fn lower(&self, io: &Io<'_>) -> Result<Lowered, Error> {
        let geometry = geometry(&io.inputs[0].ty.shape, &self.pads)?;
        Ok(PadConstant { geometry, fill: Fill::new(self.value, io.output) }.into())
    }
}

impl Operator for PadEdges {
    fn name(&self) -> &'static str {
        "Pad"
    }

    fn infer(&self, inputs: &[&Type]) -> Result<Vec<Type>, Error> {
        let types = infer(inputs, &self.pads)?;
        match inputs.iter().any(|x| x.is_empty()) {
            true => Err(Error::invalid("a tensor without elements cannot be continued by them").part("input 0")),
            false => Ok(types),
        }
    }

    fn scales(&self) -> Scales {
        Scales::SameAsInput
    }

    fn lower(&self, io: &Io<'_>) -> Result<Lowered, Error> {
        let geometry = geometry(&io.inputs[0].ty.shape, &self.pads)?;
        Ok(PadOwn { geometry, edges: self.edges }.into())
    }
}

/// A tensor of one element, of the type that firmware has for it.
#[derive(Clone, Debug)]
pub struct Fill(pub Tensor);

impl Fill {
    /// The number `value` as an element of `output`.
    pub fn new(value: f64, output: &Value) -> Self {
        let float = Tensor::scalar(value as f32);
        let single = output.quantization.as_ref().and_then(|quantization| quantization.single());
        Self(match (output.ty.dtype, single) {
            (DType::F32, _) => float,
            (dtype @ (DType::I8 | DType::I16), Some(_)) => {
                let rounded = output.quantization.as_ref().and_then(|quantization| quantization.round(value as f32));
                Tensor::scalar(rounded.unwrap_or(0) as f32).cast(dtype).unwrap_or(float)
            }
            (dtype, _) => each_element!(dtype, T => {
                Tensor::new(&[], vec![<T as mcuopt_rt::number::Number>::from_i64(value as i64)]).unwrap_or(float)
            }),
        })
    }

    /// The element, of a tensor of type `T`.
    pub fn element<T: Element>(&self) -> T {
        T::of(&self.0).first().copied().unwrap_or_default()
    }
}

impl Literal for Fill {
    fn ty(&self) -> proc_macro2::TokenStream {
        match self.0.f32s() {
            Some(_) => quote::quote!(f32),
            None => quote::quote!(i64),
        }
    }

    fn literal(&self) -> proc_macro2::TokenStream {
        match (self.0.f32s(), self.0.to_i64s()) {
            (Some([value, ..]), _) => value.literal(),
            (_, Some(values)) if !values.is_empty() => values[0].literal(),
            _ => 0_i64.literal(),
        }
    }
}

impl Literal for rt::Edges {
    fn ty(&self) -> proc_macro2::TokenStream {
        quote::quote!(rt::Edges)
    }

    fn literal(&self) -> proc_macro2::TokenStream {
        match self {
            rt::Edges::Reflect => quote::quote!(rt::Edges::Reflect),
            rt::Edges::Edge => quote::quote!(rt::Edges::Edge),
            rt::Edges::Wrap => quote::quote!(rt::Edges::Wrap),
        }
    }
}

struct_literals! {
    Pad { input, output, start }
}

/// `pad` with its constants.
#[derive(Clone, Debug)]
pub struct PadConstant {
    /// Extents and offsets.
    pub geometry: rt::Pad,
    /// The added elements' value.
    pub fill: Fill,
}

impl Routine for PadConstant {
    fn call(&self, _: DType) -> Call {
        Call::inlined("pad").params(&self.geometry).value(self.fill.clone())
    }

    fn run(&self, x: &[&Tensor], y: &mut Tensor) {
        each_element!(y.dtype(), T => rt::pad(&self.geometry, self.fill.element::<T>(), T::of(x[0]), T::of_mut(y)));
    }
}

routine! {
    /// `pad_edges` with its constants.
    pub struct PadOwn { params "" geometry: rt::Pad, value edges: rt::Edges }
    with [T: each_element of y]
    fn pad_edges(T) -> T
}
