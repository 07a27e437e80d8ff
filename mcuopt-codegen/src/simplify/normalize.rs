//! Layer and RMS normalisation that an exporter wrote out in single steps.

use mcuopt_rt::v0::{Clamp, HalfPower, Normalize as Geometry};

use super::{Uses, substitute};
use crate::builder::push;
use crate::error::Error;
use crate::graph::{Graph, Node, ValueId};
use crate::ops::binary::{Binary, Kind};
use crate::ops::unary::{Function, Unary};
use crate::ops::window::Direction;
use crate::ops::{Op, normalize::Normalize, reduce, reduce::Reduce, reshape::Reshape, transpose::Transpose};
use crate::tensor::Tensor;

/// The producer of a value that the file's author did not quantize: what becomes part of one kernel is not rounded.
fn step<'a>(graph: &'a Graph<Op>, uses: &Uses, id: ValueId) -> Option<&'a Node<Op>> {
    uses.producer(graph, id).filter(|_| graph.value(id).quantization.is_none())
}

/// The operands of an arithmetic operation without limits.
fn operands(node: &Node<Op>, wanted: Kind) -> Option<[ValueId; 2]> {
    match (&node.op, &node.inputs[..]) {
        (Op::Binary(Binary { kind, clamp: Clamp::NONE }), &[a, b]) if *kind == wanted => Some([a, b]),
        _ => None,
    }
}

/// The operand of a function.
fn argument(node: &Node<Op>, wanted: Function) -> Option<ValueId> {
    match &node.op {
        Op::Unary(Unary { function }) if *function == wanted => node.inputs.first().copied(),
        _ => None,
    }
}

/// The operand of a mean over some axes.
fn mean(node: &Node<Op>) -> Option<(ValueId, &[usize])> {
    match &node.op {
        Op::Reduce(Reduce { kind: reduce::Kind::Mean, axes, clamp: Clamp::NONE }) => Some((node.inputs[0], axes)),
        _ => None,
    }
}

/// A constant with one element.
fn number(graph: &Graph<Op>, id: ValueId) -> Option<f32> {
    match graph.constant(id).and_then(Tensor::f32s) {
        Some(&[value]) => Some(value),
        _ => None,
    }
}

/// What is divided, and by the root of what: `d / √s`, `d · (1 / √s)`, `d · s^−½`.
fn quotient(graph: &Graph<Op>, uses: &Uses, node: &Node<Op>) -> Option<(ValueId, ValueId)> {
    let root = |id: ValueId| argument(step(graph, uses, id)?, Function::Sqrt(mcuopt_rt::v0::Sqrt));
    if let Some([d, r]) = operands(node, Kind::Div) {
        return Some((d, root(r)?));
    }
    let [a, b] = operands(node, Kind::Mul)?;
    let inverse = |id: ValueId| {
        let node = step(graph, uses, id)?;
        let halved = argument(node, Function::HalfPower(HalfPower { halves: -1 }));
        let reciprocal = argument(node, Function::Reciprocal(mcuopt_rt::v0::Reciprocal));
        let divided = operands(node, Kind::Div).filter(|[one, _]| number(graph, *one) == Some(1.0)).map(|[_, r]| r);
        halved.or_else(|| root(reciprocal.or(divided)?))
    };
    inverse(b).map(|s| (a, s)).or_else(|| Some((b, inverse(a)?)))
}

/// x − mean(x), divided by the root of its mean square plus a number → LayerNormalization; without the mean →
/// RMSNormalization.
pub(super) fn recognise(graph: &mut Graph<Op>, uses: &Uses, index: usize) -> Result<bool, Error> {
    let node = graph.nodes[index].clone();
    let Some((x, axes, epsilon, subtract_mean)) = found(graph, uses, &node) else { return Ok(false) };
    let shape = graph.value(x).ty.shape.clone();
    if axes.is_empty() || !axes.iter().copied().eq(shape.len() - axes.len()..shape.len()) {
        return Ok(false);
    }
    let (outer, width) = (shape[..axes[0]].iter().product(), shape[axes[0]..].iter().product());
    let filled =
        |value: f32| Tensor::new(&[width], vec![value; width]).ok_or_else(|| Error::bug("a vector has a shape"));
    let gain = graph.add_constant(format!("{}.gain", node.name), filled(1.0)?);
    let offset = graph.add_constant(format!("{}.offset", node.name), filled(0.0)?);
    let geometry = Geometry { outer, positions: 1, groups: 1, width, subtract_mean };
    let y = push(graph, &node.name, Normalize { geometry, epsilon }.into(), &[x, gain, offset])?[0];
    substitute(graph, node.outputs[0], y)?;
    Ok(true)
}

/// The normalised tensor, the axes, the number, and whether a mean is subtracted.
fn found(graph: &Graph<Op>, uses: &Uses, node: &Node<Op>) -> Option<(ValueId, Vec<usize>, f32, bool)> {
    let (d, s) = quotient(graph, uses, node)?;
    let [a, b] = operands(step(graph, uses, s)?, Kind::Add)?;
    let (variance, epsilon) = number(graph, b).map(|epsilon| (a, epsilon)).or_else(|| Some((b, number(graph, a)?)))?;
    let (square, axes) = mean(step(graph, uses, variance)?)?;
    let square = step(graph, uses, square)?;
    let squared = argument(square, Function::HalfPower(HalfPower { halves: 4 }));
    let squared = squared.or_else(|| operands(square, Kind::Mul).filter(|[a, b]| a == b).map(|[a, _]| a))?;
    if squared != d || epsilon < 0.0 {
        return None;
    }
    let centered = step(graph, uses, d).and_then(|difference| {
        let [x, m] = operands(difference, Kind::Sub)?;
        let (of, over) = mean(step(graph, uses, m)?)?;
        (of == x && over == axes).then_some(x)
    });
    Some((centered.unwrap_or(d), axes.to_vec(), epsilon, centered.is_some()))
}

/// Rows of a channels-first image that are normalised, each alike → channels of the image as it was before the Transpose,
/// in groups where a Reshape joined several to one row.
pub(super) fn by_channels(graph: &mut Graph<Op>, uses: &Uses, index: usize) -> Result<bool, Error> {
    let node = graph.nodes[index].clone();
    let Op::Normalize(layer) = &node.op else { return Ok(false) };
    let Geometry { outer, positions, groups: 1, width: 1, .. } = layer.geometry else { return Ok(false) };
    let mut x = node.inputs[0];
    if let Some(Node { op: Op::Reshape(_), inputs, .. }) = uses.producer(graph, x) {
        x = inputs[0];
    }
    let Some(Node { op: Op::Transpose(transpose), inputs, .. }) = uses.producer(graph, x) else { return Ok(false) };
    let (source, perm) = (inputs[0], transpose.perm.clone());
    let shape = graph.value(source).ty.shape.clone();
    let &[batch, ref spatial @ .., channels] = &shape[..] else { return Ok(false) };
    let same = graph.value(node.inputs[0]).quantization == graph.value(source).quantization;
    let pixels: usize = spatial.iter().product();
    let first = Direction::ToFirst.perm(spatial.len());
    if perm != first || positions % pixels != 0 || outer % batch != 0 || !same {
        return Ok(false);
    }
    let (groups, width) = (outer / batch, positions / pixels);
    let constant = |id: ValueId| graph.constant(id).and_then(Tensor::f32s).map(|values| values[0]);
    let (Some(gain), Some(offset), true) =
        (constant(node.inputs[1]), constant(node.inputs[2]), groups * width == channels)
    else {
        return Ok(false);
    };
    let filled = |x: f32| Tensor::new(&[channels], vec![x; channels]).ok_or_else(|| Error::bug("a vector has a shape"));
    let gain = graph.add_constant(format!("{}.gain", node.name), filled(gain)?);
    let offset = graph.add_constant(format!("{}.offset", node.name), filled(offset)?);
    let geometry = Geometry { outer: batch, positions: pixels, groups, width, ..layer.geometry };
    let op = Normalize { geometry, epsilon: layer.epsilon };
    let y = push(graph, &node.name, op.into(), &[source, gain, offset])?[0];
    graph.value_mut(y).quantization = graph.value(node.outputs[0]).quantization.clone();
    let moved = push(graph, &node.name, Transpose { perm }.into(), &[y])?[0];
    let shape = graph.value(node.outputs[0]).ty.shape.clone();
    let y = push(graph, &node.name, Reshape { shape }.into(), &[moved])?[0];
    substitute(graph, node.outputs[0], y)?;
    Ok(true)
}
