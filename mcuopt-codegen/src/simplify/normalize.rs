//! Layer and RMS normalisation that an exporter wrote out in single steps.

use mcuopt_rt::v0::{Clamp, HalfPower, Normalize as Geometry};

use super::{Uses, substitute};
use crate::builder::push;
use crate::error::Error;
use crate::graph::{Graph, Node, ValueId};
use crate::ops::binary::{Binary, Kind};
use crate::ops::unary::{Function, Unary};
use crate::ops::{Op, normalize::Normalize, reduce, reduce::Reduce};
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
fn mean<'a>(node: &'a Node<Op>) -> Option<(ValueId, &'a [usize])> {
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
