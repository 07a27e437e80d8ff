//! What the author of a quantized file left unrounded between values that are rounded.
//!
//! A convolution whose result is added before the next rounding, a Concat of operands with scales of their own, an
//! activation that a tool has no pattern for: alone they would run in float, between conversions. In int16 they keep what
//! training learned as well: the range is one that no input leaves, so that nothing is clipped, and a step is a small part
//! of the steps around it.

use crate::calibrate::Range;
use crate::error::Error;
use crate::graph::{Graph, Node, Quantization, ValueId, Width};
use crate::ops::quantize::FakeQuantize;
use crate::ops::{Op, Scales, binary, pool, reduce};
use crate::tensor::{DType, Tensor};

/// Gives int16 to what lies between quantized values, and to the layers that read it, before they round as the author
/// wants. What cannot run in integers, or whose range nothing tells, stays float.
pub fn fill_gaps(graph: &mut Graph<Op>) -> Result<(), Error> {
    let wanted = wanted(graph);
    let mut filled = vec![false; graph.values.len()];
    for index in 0..graph.nodes.len() {
        let node = &graph.nodes[index];
        let output = node.outputs[0];
        if let Scales::Authored(quantization) = node.op.scales() {
            graph.value_mut(output).quantization.get_or_insert(quantization);
            continue;
        }
        if !wanted[output.index()] {
            continue;
        }
        let known = match same(graph, node) {
            Some(known) => Some(known),
            None => reach(graph, node)?.map(of_reach),
        };
        filled[output.index()] = known.as_ref().is_some_and(|known| known.width == Width::Int16);
        graph.value_mut(output).quantization = known;
    }
    let mut nodes = Vec::new();
    for mut node in std::mem::take(&mut graph.nodes) {
        let output = node.outputs[0];
        let reads = node.inputs.iter().any(|id| filled.get(id.index()) == Some(&true));
        let value = graph.value(output).clone();
        // What moves elements rounds them once by itself.
        let moves = matches!(node.op.scales(), Scales::Joined | Scales::SameAsInput | Scales::Authored(_));
        let rounds = value.quantization.filter(|known| known.width == Width::Int8 && reads && !moves);
        let Some(quantization) = rounds else {
            nodes.push(node);
            continue;
        };
        let (scale, name) = (quantization.scales[0] / 128.0, node.name.clone());
        let fine = graph.add_value(format!("{}.int16", value.name), value.ty);
        let width = Width::Int16;
        graph.value_mut(fine).quantization = Some(Quantization { width, ..Quantization::per_tensor(scale, 0) });
        node.outputs[0] = fine;
        nodes.push(node);
        let op = FakeQuantize { quantization }.into();
        nodes.push(Node { name, op, inputs: vec![fine], outputs: vec![output] });
    }
    graph.nodes = nodes;
    Ok(())
}

/// The values that only integer layers read, directly or through others of these.
fn wanted(graph: &Graph<Op>) -> Vec<bool> {
    let consumers = graph.consumers();
    let mut wanted = vec![false; graph.values.len()];
    for node in graph.nodes.iter().rev() {
        let output = node.outputs[0];
        let value = graph.value(output);
        let readers = &consumers[output.index()];
        let reads = |&reader: &usize| {
            let Node { op, outputs, .. } = &graph.nodes[reader];
            let result = graph.value(outputs[0]).quantization.as_ref();
            let ends = result.is_some_and(|known| known.single().is_some()) || wanted[outputs[0].index()];
            let is_known = match op.scales() {
                Scales::Calibrated | Scales::Joined | Scales::SameAsInput => true,
                _ => matches!(op, Op::Unary(_) | Op::FakeQuantize(_)),
            };
            ends && is_known && op.has_int16()
        };
        let is_gap = value.ty.dtype == DType::F32 && value.quantization.is_none() && !graph.is_output(output);
        wanted[output.index()] = is_gap && node.op.has_int16() && !readers.is_empty() && readers.iter().all(reads);
    }
    wanted
}

/// The quantization that moved elements keep.
fn same(graph: &Graph<Op>, node: &Node<Op>) -> Option<Quantization> {
    let mut known = node.inputs.iter().map(|id| graph.value(*id).quantization.clone());
    match node.op.scales() {
        Scales::SameAsInput => known.next()?,
        Scales::Joined => known.next()?.filter(|first| known.all(|other| other.as_ref() == Some(first))),
        _ => None,
    }
    .filter(|known| known.single().is_some())
}

/// int16 over a range.
fn of_reach(range: Range) -> Quantization {
    Quantization::int16(range.max.abs().max(range.min.abs()))
}

/// A range that a node's result does not leave, whatever the model's input.
fn reach(graph: &Graph<Op>, node: &Node<Op>) -> Result<Option<Range>, Error> {
    let built_in = node.op.built_in();
    let passed = (0..node.inputs.len()).filter(|index| !built_in.contains(index)).map(|index| node.inputs[index]);
    let operands: Option<Vec<Range>> = passed.map(|id| range(graph, id)).collect();
    let Some(operands) = operands else { return Ok(None) };
    let [x, others @ ..] = &operands[..] else { return Ok(None) };
    let limited =
        |range: Range, clamp: &mcuopt_rt::v0::Clamp| Range { min: clamp.apply(range.min), max: clamp.apply(range.max) };
    Ok(match (&node.op, others) {
        (Op::Conv(conv), []) => weighed(graph, node, *x).map(|range| limited(range, &conv.clamp)),
        (Op::Dense(dense), []) => weighed(graph, node, *x).map(|range| limited(range, &dense.clamp)),
        (Op::Binary(binary), [y]) => {
            let function: fn(f32, f32) -> f32 = match binary.kind {
                binary::Kind::Add => |a, b| a + b,
                binary::Kind::Sub => |a, b| a - b,
                binary::Kind::Mul => |a, b| a * b,
                _ => return Ok(joined(&node.op, &operands)),
            };
            let corners = [(x.min, y.min), (x.min, y.max), (x.max, y.min), (x.max, y.max)];
            Range::of(&corners.map(|(a, b)| function(a, b))).map(|range| limited(range, &binary.clamp))
        }
        (Op::Reduce(reduce), []) if reduce.kind == reduce::Kind::Mean => Some(limited(*x, &reduce.clamp)),
        (Op::Pool(pool::Pool { kind: pool::Kind::Average { clamp, .. }, .. }), []) => Some(limited(*x, clamp)),
        (Op::Unary(_) | Op::Table(_), []) => {
            let Some(known) = &graph.value(node.inputs[0]).quantization else { return Ok(None) };
            let Some((scale, zero_point)) = known.single() else { return Ok(None) };
            let (min, max) = known.width.limits();
            let reals: Vec<f32> = (min..=max).map(|q| (q - zero_point) as f32 * scale).collect();
            let Some(reals) = Tensor::new(&[reals.len()], reals) else { return Ok(None) };
            node.op.eval(&[&reals])?.first().and_then(Tensor::f32s).and_then(Range::of)
        }
        _ => joined(&node.op, &operands),
    })
}

/// All operands' ranges, and the zeros that paddings are.
fn joined(op: &Op, operands: &[Range]) -> Option<Range> {
    let ends = operands.iter().flat_map(|range| [range.min, range.max]).chain([0.0]);
    Range::of(&ends.collect::<Vec<f32>>()).filter(|_| op.scales() == Scales::Joined)
}

/// The reals that a quantized value, or a constant, can be.
fn range(graph: &Graph<Op>, id: ValueId) -> Option<Range> {
    let value = graph.value(id);
    if let Some(tensor) = &value.constant {
        return tensor.f32s().and_then(Range::of);
    }
    let known = value.quantization.as_ref()?;
    let (scale, zero_point) = known.single()?;
    let (min, max) = known.width.limits();
    Some(Range { min: (min - zero_point) as f32 * scale, max: (max - zero_point) as f32 * scale })
}

/// What the sums of a layer with these inputs can be, padded ones included.
fn weighed(graph: &Graph<Op>, node: &Node<Op>, x: Range) -> Option<Range> {
    let constant = |index: usize| node.inputs.get(index).and_then(|id| graph.constant(*id)).and_then(Tensor::f32s);
    let (weights, bias) = (constant(1)?, constant(2)?);
    let rows = weights.chunks_exact(weights.len().checked_div(bias.len()).filter(|len| *len > 0)?);
    let ends = rows.zip(bias).flat_map(|(row, bias)| {
        let products = row.iter().map(|w| [w * x.min.min(0.0), w * x.max.max(0.0)]);
        let (low, high) = products.fold((*bias, *bias), |(low, high), [a, b]| (low + a.min(b), high + a.max(b)));
        [low, high]
    });
    Range::of(&ends.collect::<Vec<f32>>())
}
