//! Which quantization each activation gets.

use crate::calibrate::{Range, Ranges};
use crate::error::Error;
use crate::graph::{Graph, Node, Quantization, ValueId};
use crate::ops::{Op, Scales, unary::is_identity};
use crate::tensor::DType;

/// Gives every float activation a quantization, except behind operators that have no int8 form.
///
/// What the file's author fixed stays. Without `ranges` (a quantized file), only what follows from the author's
/// quantizations and the operators' own is added; the rest stays float.
pub fn assign(graph: &mut Graph<Op>, ranges: Option<&Ranges>) -> Result<(), Error> {
    let authored: Vec<bool> = graph.values.iter().map(|value| value.quantization.is_some()).collect();
    for index in 0..graph.inputs.len() {
        let input = graph.inputs[index];
        from_range(graph, input, ranges)?;
    }
    for index in 0..graph.nodes.len() {
        let scales = graph.nodes[index].op.scales();
        let inputs = graph.nodes[index].inputs.clone();
        let first = inputs.first().and_then(|id| graph.value(*id).quantization.clone());
        let unchanged = first.is_some_and(|quantization| is_identity(&graph.nodes[index].op, &quantization));
        let quantized = inputs.iter().all(|id| has_integers(graph, *id));
        for (position, output) in graph.nodes[index].outputs.clone().into_iter().enumerate() {
            if graph.value(output).quantization.is_some() {
                continue;
            }
            // What calibration saw inside an operator.
            if position > 0 {
                from_range(graph, output, ranges)?;
                continue;
            }
            match scales {
                Scales::Authored(scale, zero_point) => {
                    graph.value_mut(output).quantization = Some(Quantization::per_tensor(scale, zero_point));
                }
                // An operator that the author of a quantized file left in float stays there.
                Scales::Fixed(scale, zero_point) if quantized && ranges.is_some() => {
                    graph.value_mut(output).quantization = Some(Quantization::per_tensor(scale, zero_point));
                }
                _ if unchanged => graph.value_mut(output).quantization = graph.value(inputs[0]).quantization.clone(),
                Scales::SameAsInput => {
                    let quantization = match ranges {
                        Some(_) => graph.value(inputs[0]).quantization.clone().or_else(|| of_table(graph, inputs[0])),
                        None => graph.value(inputs[0]).quantization.clone(),
                    };
                    graph.value_mut(output).quantization = quantization;
                }
                // Nothing has to be rounded where all operands have one quantization.
                Scales::Joined if shared(graph, &inputs).is_some() => {
                    let quantization = shared(graph, &inputs);
                    graph.value_mut(output).quantization = quantization;
                }
                Scales::PowerOfTwo(largest) => {
                    let known = ranges.and_then(|ranges| ranges.get(&output));
                    graph.value_mut(output).quantization = known.map(|known| power_of_two(known.range, largest));
                }
                Scales::Calibrated | Scales::Joined | Scales::Fixed(..) | Scales::Float => {
                    from_range(graph, output, ranges)?;
                }
            }
        }
    }
    join(graph, &authored);
    super::tables::spell_out(graph)
}

/// The quantization that all operands have.
fn shared(graph: &Graph<Op>, operands: &[ValueId]) -> Option<Quantization> {
    let mut quantizations = operands.iter().map(|id| graph.value(*id).quantization.clone());
    let first = quantizations.next().flatten()?;
    quantizations.all(|other| other.as_ref() == Some(&first)).then_some(first)
}

/// Whether an operand is, or as a constant can become, int8.
fn has_integers(graph: &Graph<Op>, id: ValueId) -> bool {
    let value = graph.value(id);
    value.quantization.is_some() || value.constant.is_some()
}

/// The quantization that holds all of a constant: samples need not have read every row of a table.
fn of_table(graph: &Graph<Op>, id: ValueId) -> Option<Quantization> {
    graph.constant(id)?.f32s().and_then(Range::of).map(asymmetric)
}

fn from_range(graph: &mut Graph<Op>, id: ValueId, ranges: Option<&Ranges>) -> Result<(), Error> {
    let value = graph.value(id);
    if value.quantization.is_some() || value.ty.dtype != DType::F32 {
        return Ok(());
    }
    // A value that is infinite in some sample has no range, and stays float.
    let Some(known) = ranges.and_then(|ranges| ranges.get(&id)) else { return Ok(()) };
    let quantization = asymmetric(if keeps_extremes(graph, id) { known.range } else { known.best() });
    if !is_too_coarse(graph, id, &quantization) {
        graph.value_mut(id).quantization = Some(quantization);
    }
    Ok(())
}

/// Whether trees read a tensor whose columns differ too much for one scale; they and the tensor stay in float.
fn is_too_coarse(graph: &Graph<Op>, id: ValueId, quantization: &Quantization) -> bool {
    graph.nodes.iter().any(|node| match &node.op {
        Op::Trees(trees) => node.inputs.contains(&id) && !trees.is_divided_by(quantization),
        _ => false,
    })
}

/// Whether the largest elements of a tensor matter most: what the user gives and gets, what a softmax weighs, and what
/// is inside an operator. Elsewhere a range with the least mean square error may clip them.
fn keeps_extremes(graph: &Graph<Op>, id: ValueId) -> bool {
    let weighed = |node: &Node<Op>| {
        matches!(node.op, Op::Softmax(_)) && node.inputs.contains(&id) || node.outputs.iter().skip(1).any(|y| *y == id)
    };
    graph.inputs.contains(&id) || graph.is_output(id) || graph.nodes.iter().any(weighed)
}

/// A tensor that only goes into a Concat is computed in the Concat's scale at once: one rounding instead of two.
///
/// Not where the author chose its scale: tools drop a Relu whose limit is the end of the scale it is quantized in.
fn join(graph: &mut Graph<Op>, authored: &[bool]) {
    let consumers = graph.consumers();
    let producers = graph.producers();
    for index in (0..graph.nodes.len()).rev() {
        let node = &graph.nodes[index];
        if node.op.scales() != Scales::Joined {
            continue;
        }
        let target = graph.value(node.outputs[0]).quantization.clone();
        for input in node.inputs.clone() {
            // Layers that only move elements have one scale before and behind.
            let mut changed = Vec::new();
            let mut at = input;
            let joined = loop {
                let free = consumers[at.index()].len() == 1 && !graph.is_output(at) && !authored[at.index()];
                let Some(producer) = producers[at.index()].filter(|_| free && graph.value(at).quantization.is_some())
                else {
                    break false;
                };
                changed.push(at);
                match graph.nodes[producer].op.scales() {
                    Scales::Calibrated | Scales::Joined => break true,
                    Scales::SameAsInput => at = graph.nodes[producer].inputs[0],
                    _ => break false,
                }
            };
            for id in changed.into_iter().filter(|_| joined && target.is_some()) {
                graph.value_mut(id).quantization = target.clone();
            }
        }
    }
}

/// The finest power of two from 2⁻¹² on, at most `largest`, with which int8 reaches over a range; zero point 0.
fn power_of_two(range: Range, largest: f32) -> Quantization {
    let needed = range.max.abs().max(range.min.abs()) / 127.0;
    let mut scale = 1.0 / 4096.0;
    while scale < needed && scale < largest {
        scale *= 2.0;
    }
    Quantization::per_tensor(scale, 0)
}

/// The int8 quantization of a range, widened to hold 0 exactly.
pub(crate) fn asymmetric(range: Range) -> Quantization {
    let (min, max) = (f64::from(range.min.min(0.0)), f64::from(range.max.max(0.0)));
    let scale = ((max - min) / 255.0) as f32;
    // A tensor that was zero in every sample says nothing about its scale; this one represents −1 to 1.
    if !scale.is_normal() {
        return Quantization::per_tensor(1.0 / 128.0, 0);
    }
    let zero_point = (-128.0 - min / f64::from(scale)).round_ties_even().clamp(-128.0, 127.0);
    Quantization::per_tensor(scale, zero_point as i32)
}
