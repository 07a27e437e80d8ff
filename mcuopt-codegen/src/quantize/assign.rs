//! Which quantization each activation gets.

use std::collections::BTreeMap;

use super::Precisions;
use crate::calibrate::{Range, Ranges};
use crate::error::Error;
use crate::graph::{Graph, Node, Quantization, ValueId, Width};
use crate::ops::quantize::FakeQuantize;
use crate::ops::{Op, Scales, unary::is_identity};
use crate::tensor::DType;

/// [`assign_mixed`] with int8 for all layers.
pub fn assign(graph: &mut Graph<Op>, ranges: Option<&Ranges>) -> Result<(), Error> {
    assign_mixed(graph, ranges, &Precisions::default())
}

/// Gives every float activation a quantization of the width in which its layer computes, except behind operators that have
/// no integer form and behind layers that are to run in float32.
///
/// A layer that reads another width than it computes in gets its operand through a step from one to the other
/// ([`FakeQuantize`]); int8 becomes int16 without a rounding. What only moves elements computes in what it reads. An input
/// of the model has the width of the layers that read it: int16 if the whole network has that, or all of these; float32
/// if all of these have.
///
/// What the file's author fixed stays. Without `ranges` (a quantized file), only what follows from the author's
/// quantizations and the operators' own is added, in the author's widths; the rest stays float.
pub fn assign_mixed(graph: &mut Graph<Op>, ranges: Option<&Ranges>, precisions: &Precisions) -> Result<(), Error> {
    let authored: Vec<bool> = graph.values.iter().map(|value| value.quantization.is_some()).collect();
    let extremes = keep_extremes(graph);
    let assigner = Assigner { ranges, precisions, extremes };
    for index in 0..graph.inputs.len() {
        let input = graph.inputs[index];
        if let Some(width) = assigner.width_of_input(graph, input) {
            assigner.quantize_by_range(graph, input, width)?;
        }
    }
    let mut converted = BTreeMap::new();
    let mut nodes = Vec::new();
    for node in graph.nodes.clone() {
        nodes.extend(assigner.node(graph, node, &mut converted)?);
    }
    graph.nodes = nodes;
    join(graph, &authored);
    super::tables::spell_out(graph)
}

/// What all values are judged by.
struct Assigner<'a> {
    ranges: Option<&'a Ranges>,
    precisions: &'a Precisions,
    /// For each value of the graph as it was, whether its largest elements matter most.
    extremes: Vec<bool>,
}

impl Assigner<'_> {
    /// The width in which an input of the model is taken; `None` for float32.
    fn width_of_input(&self, graph: &Graph<Op>, input: ValueId) -> Option<Width> {
        let mut readers = Vec::new();
        let mut seen = vec![input];
        while let Some(id) = seen.pop() {
            for node in graph.nodes.iter().filter(|node| node.inputs.contains(&id)) {
                match node.op.scales() {
                    Scales::SameAsInput => seen.extend(&node.outputs),
                    _ => readers.push(self.precisions.of(&node.name).activations()),
                }
            }
        }
        let default = self.precisions.default.activations();
        let all = |width: Option<Width>| readers.iter().all(|reader| *reader == width);
        match readers.first() {
            None => default,
            Some(None) if all(None) => None,
            Some(Some(Width::Int16)) if all(Some(Width::Int16)) => Some(Width::Int16),
            Some(_) => Some(default.unwrap_or_default()),
        }
    }

    /// Gives the outputs of a node their quantizations. Returns the node, behind the steps that its operands need.
    fn node(
        &self,
        graph: &mut Graph<Op>,
        mut node: Node<Op>,
        converted: &mut BTreeMap<(ValueId, Width), ValueId>,
    ) -> Result<Vec<Node<Op>>, Error> {
        let scales = node.op.scales();
        let width = self.width(graph, &node);
        let mut steps = Vec::new();
        let is_step = match scales {
            Scales::SameAsInput | Scales::Authored(_) | Scales::Float => true,
            // What it joins under the author's scale is rounded to that at once.
            Scales::Joined => self.ranges.is_none(),
            _ => false,
        };
        if let Some(width) = width.filter(|width| !is_step && (*width != Width::Int16 || node.op.has_int16())) {
            let built_in = node.op.built_in();
            for index in (0..node.inputs.len()).filter(|index| !built_in.contains(index)) {
                node.inputs[index] = self.converted(graph, node.inputs[index], width, converted, &mut steps)?;
            }
        }
        let first = node.inputs.first().and_then(|id| graph.value(*id).quantization.clone());
        let unchanged = first.as_ref().is_some_and(|quantization| is_identity(&node.op, quantization));
        let quantized = node.inputs.iter().all(|id| has_integers(graph, *id));
        for (position, &output) in node.outputs.iter().enumerate() {
            if graph.value(output).quantization.is_some() {
                continue;
            }
            // What calibration saw inside an operator.
            if position > 0 {
                self.quantize_by_range(graph, output, Width::Int8)?;
                continue;
            }
            let known = match (&scales, width) {
                (Scales::Authored(quantization), _) => Some(quantization.clone()),
                (Scales::SameAsInput, _) => match self.ranges {
                    Some(_) => first.clone().or_else(|| of_table(graph, node.inputs[0], width?)),
                    None => first.clone(),
                },
                _ if unchanged && first.as_ref().map(|known| known.width) == width => first.clone(),
                (_, None) => None,
                // An operator that the author of a quantized file left in float stays there.
                (Scales::Fixed(..), Some(Width::Int16)) if quantized && self.ranges.is_some() => {
                    Some(Quantization::int16(1.0))
                }
                (Scales::Fixed(scale, zero_point), _) if quantized && self.ranges.is_some() => {
                    Some(Quantization::per_tensor(*scale, *zero_point))
                }
                // Nothing has to be rounded where all operands have one quantization.
                (Scales::Joined, _) if shared(graph, &node.inputs).is_some() => shared(graph, &node.inputs),
                (Scales::PowerOfTwo(largest), Some(Width::Int8)) => {
                    let known = self.ranges.and_then(|ranges| ranges.get(&output));
                    known.map(|known| power_of_two(known.range, *largest))
                }
                (_, Some(width)) => {
                    self.quantize_by_range(graph, output, width)?;
                    continue;
                }
            };
            if known.is_some() {
                graph.value_mut(output).quantization = known;
            }
        }
        steps.push(node);
        Ok(steps)
    }

    /// The width in which a node is to compute; `None` for float32.
    fn width(&self, graph: &Graph<Op>, node: &Node<Op>) -> Option<Width> {
        let authored = |id: &ValueId| graph.value(*id).quantization.as_ref().map(|quantization| quantization.width);
        let operands = || node.inputs.iter().filter(|id| graph.constant(**id).is_none());
        match self.ranges {
            Some(_) => self.precisions.of(&node.name).activations(),
            // Of different widths the wider one, unless the author gave the result's.
            None => node.outputs.first().and_then(authored).or_else(|| operands().filter_map(authored).max()),
        }
    }

    /// The operand in integers of a width.
    fn converted(
        &self,
        graph: &mut Graph<Op>,
        id: ValueId,
        width: Width,
        converted: &mut BTreeMap<(ValueId, Width), ValueId>,
        steps: &mut Vec<Node<Op>>,
    ) -> Result<ValueId, Error> {
        let value = graph.value(id).clone();
        if value.constant.is_some() || value.ty.dtype != DType::F32 {
            return Ok(id);
        }
        if let Some(known) = converted.get(&(id, width)) {
            return Ok(*known);
        }
        let seen = self.ranges.and_then(|ranges| ranges.get(&id));
        let quantization = match &value.quantization {
            Some(known) if known.width == width => return Ok(id),
            // A scale for each channel is not for activations.
            Some(known) if known.single().is_none() => return Ok(id),
            // 128 steps of int16 are one of int8.
            Some(known) if width == Width::Int16 => {
                Quantization { scales: vec![known.scales[0] / 128.0], zero_points: vec![0], width, ..known.clone() }
            }
            _ if seen.is_some() => match self.quantization(graph, id, width)? {
                Some(quantization) if !is_too_coarse(graph, id, &quantization) => quantization,
                _ => return Ok(id),
            },
            Some(known) => {
                let largest = known.scales[0] * f32::from(i16::MAX);
                of_range(Range { min: -largest, max: largest }, width)
            }
            None => return Ok(id),
        };
        let name = format!("{}.{}", value.name, if width == Width::Int16 { "int16" } else { "int8" });
        let output = graph.add_value(name.clone(), value.ty.clone());
        graph.value_mut(output).quantization = Some(quantization.clone());
        let op = FakeQuantize { quantization }.into();
        steps.push(Node { name, op, inputs: vec![id], outputs: vec![output] });
        converted.insert((id, width), output);
        Ok(output)
    }

    /// The quantization that suits the range observed in calibration.
    fn quantization(&self, graph: &Graph<Op>, id: ValueId, width: Width) -> Result<Option<Quantization>, Error> {
        let value = graph.value(id);
        let Some(ranges) = self.ranges.filter(|_| value.ty.dtype == DType::F32) else { return Ok(None) };
        // A value that is infinite in some sample has no range, and stays float.
        let Some(known) = ranges.get(&id) else { return Ok(None) };
        if let Some(given) = known.given.as_ref().filter(|given| given.width == width) {
            return Ok(Some(given.clone()));
        }
        // Steps of int16 are fine enough for all elements.
        let whole = width == Width::Int16 || self.extremes.get(id.index()).copied().unwrap_or_default();
        Ok(Some(of_range(if whole { known.range } else { known.best() }, width)))
    }

    fn quantize_by_range(&self, graph: &mut Graph<Op>, id: ValueId, width: Width) -> Result<(), Error> {
        if graph.value(id).quantization.is_none()
            && let Some(quantization) = self.quantization(graph, id, width)?
            && !is_too_coarse(graph, id, &quantization)
        {
            graph.value_mut(id).quantization = Some(quantization);
        }
        Ok(())
    }
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
fn of_table(graph: &Graph<Op>, id: ValueId, width: Width) -> Option<Quantization> {
    graph.constant(id)?.f32s().and_then(Range::of).map(|range| of_range(range, width))
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
fn keep_extremes(graph: &Graph<Op>) -> Vec<bool> {
    let mut keep = vec![false; graph.values.len()];
    let weighed = graph.nodes.iter().filter(|node| matches!(node.op, Op::Softmax(_))).flat_map(|node| &node.inputs);
    let inside = graph.nodes.iter().flat_map(|node| node.outputs.iter().skip(1));
    for id in graph.inputs.iter().chain(&graph.outputs).chain(weighed).chain(inside) {
        keep[id.index()] = true;
    }
    keep
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
                let known = authored.get(at.index()).copied().unwrap_or(true);
                let free = consumers[at.index()].len() == 1 && !graph.is_output(at) && !known;
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

/// How far int16 reaches beyond what samples had: a step is so fine that a bit of it costs nothing, and inputs that no
/// sample was like are not clipped.
const HEADROOM: f32 = 2.0;

/// The quantization of a range for a width.
pub(crate) fn of_range(range: Range, width: Width) -> Quantization {
    match width {
        Width::Int16 => Quantization::int16(HEADROOM * range.max.abs().max(range.min.abs())),
        _ => asymmetric(range),
    }
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
