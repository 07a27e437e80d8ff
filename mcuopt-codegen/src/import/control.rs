//! If, Loop and Scan: bodies that are translated in place, as often as they run.
//!
//! <https://onnx.ai/onnx/operators/onnx__If.html>, <https://onnx.ai/onnx/operators/onnx__Loop.html> and
//! <https://onnx.ai/onnx/operators/onnx__Scan.html>, opset 8 on.

use std::collections::BTreeMap;

use super::{Importer, Meaning, Place, Scope, needed_in_order};
use crate::builder::{Builder, push};
use crate::error::Error;
use crate::graph::ValueId;
use crate::onnx::{Attribute, Graph, Node};
use crate::ops::{self, concat::Concat, reshape::Reshape, reshape::axis, slice::Slice};
use crate::tensor::Tensor;

/// The operators with graphs among their attributes.
pub(super) const OPERATORS: [&str; 3] = ["If", "Loop", "Scan"];

/// A graph that is an attribute, ready to be translated.
struct Body<'b> {
    graph: &'b Graph,
    order: Vec<&'b Node>,
    /// Its own constants, inside what is known around the node.
    constants: Scope<'b>,
    place: Place<'b>,
    /// The node's name.
    label: &'b str,
}

/// What becomes of the values that a body yields in each step.
#[derive(Clone, Copy)]
struct Stacking {
    axis: i64,
    backwards: bool,
}

impl Importer<'_> {
    /// Translates If, Loop and Scan; `None` for other operators.
    pub(super) fn control(
        &mut self,
        node: &Node,
        place: &Place<'_>,
        scope: &Scope<'_>,
    ) -> Result<Option<Vec<Meaning>>, Error> {
        if !node.domain.is_empty() || !OPERATORS.contains(&node.op_type.as_str()) {
            return Ok(None);
        }
        let label = place.label(node);
        let body = |importer: &mut Self, name: &str| match node.attributes.get(name) {
            Some(Attribute::Graph(graph)) => importer.body(graph, *place, scope, &label),
            _ => Err(Error::invalid("it should be a graph").part(format!("attribute `{name}`"))),
        };
        match node.op_type.as_str() {
            "If" => {
                let branches = [body(self, "then_branch")?, body(self, "else_branch")?];
                self.branch(node, scope, branches)
            }
            "Loop" => {
                let body = body(self, "body")?;
                self.unroll(node, scope, &body)
            }
            _ => {
                let body = body(self, "body")?;
                self.scan(node, scope, &body)
            }
        }
        .map(Some)
    }

    fn body<'b>(
        &mut self,
        graph: &'b Graph,
        place: Place<'b>,
        scope: &'b Scope<'b>,
        label: &'b str,
    ) -> Result<Body<'b>, Error> {
        let mut constants = Scope::inside(scope);
        self.constants(graph, &mut constants);
        let mut first = Scope::inside(&constants);
        for input in &graph.inputs {
            first.define(&input.name, Meaning::Absent);
        }
        let outputs: Vec<&str> = graph.outputs.iter().map(|info| info.name.as_str()).collect();
        let order = needed_in_order(&graph.nodes, &outputs, &first)?;
        Ok(Body { graph, order, constants, place, label })
    }

    /// Translates a body once and returns its outputs; `None` if something in it failed.
    fn step(&mut self, body: &Body<'_>, step: &str, operands: &[ValueId]) -> Result<Option<Vec<ValueId>>, Error> {
        if operands.len() != body.graph.inputs.len() {
            let (given, taken) = (operands.len(), body.graph.inputs.len());
            return Err(Error::invalid(format!("{given} operands for a body that takes {taken}")));
        }
        let mut scope = Scope::inside(&body.constants);
        for (info, operand) in body.graph.inputs.iter().zip(operands) {
            scope.define(&info.name, Meaning::Value(*operand));
        }
        let prefix = format!("{}/{step}", body.label);
        self.spend(1)?;
        self.enter(("", ""))?;
        self.nodes(&body.order, &Place { prefix: &prefix, ..body.place }, &mut scope);
        self.open.pop();
        let mut outputs = Vec::new();
        for info in &body.graph.outputs {
            match scope.get(&info.name) {
                Some(Meaning::Value(id)) => outputs.push(*id),
                Some(Meaning::Failed) => return Ok(None),
                Some(Meaning::Refused(error)) => return Err(error.clone()),
                Some(Meaning::Absent) | None => {
                    return Err(Error::invalid(format!("nothing makes the output `{}` of the body", info.name)));
                }
            }
        }
        Ok(Some(outputs))
    }

    /// Operand `index`; `None` where it is left out.
    fn operand(&self, node: &Node, index: usize, scope: &Scope<'_>) -> Option<ValueId> {
        let name = node.inputs.get(index).filter(|name| !name.is_empty())?;
        match scope.get(name)? {
            Meaning::Value(id) => Some(*id),
            _ => None,
        }
    }

    /// The operands from `first` on, none left out.
    fn operands(&self, node: &Node, first: usize, scope: &Scope<'_>) -> Result<Vec<ValueId>, Error> {
        let missing = |index: usize| Error::invalid("it is missing").part(format!("input {index}"));
        let operand = |index| self.operand(node, index, scope).ok_or_else(|| missing(index));
        (first..node.inputs.len()).map(operand).collect()
    }

    /// The number or truth value that is known of a value.
    fn known(&self, id: ValueId) -> Option<i64> {
        match self.graph.constant(id)?.to_i64s()?[..] {
            [value] => Some(value),
            _ => None,
        }
    }

    /// If: the branch that is taken. Where that is decided at run time, both are computed and one result is chosen.
    fn branch(&mut self, node: &Node, scope: &Scope<'_>, branches: [Body<'_>; 2]) -> Result<Vec<Meaning>, Error> {
        let missing = || Error::invalid("it is missing").part("input 0");
        let condition = self.operand(node, 0, scope).ok_or_else(missing)?;
        let [then, otherwise] = &branches;
        let failed = vec![Meaning::Failed; node.outputs.len()];
        let results = match self.known(condition) {
            Some(0) => self.step(otherwise, "", &[])?,
            Some(_) => self.step(then, "", &[])?,
            None => {
                let then_results = self.step(then, "then/", &[])?;
                let else_results = self.step(otherwise, "else/", &[])?;
                let (Some(a), Some(b)) = (then_results, else_results) else { return Ok(failed) };
                self.notes
                    .push(format!("`{}` is decided at run time: both branches are computed each time", then.label));
                Some(self.select(condition, &a, &b, then.label)?)
            }
        };
        Ok(results.map_or(failed, |values| values.into_iter().map(Meaning::Value).collect()))
    }

    /// `a` where the condition holds, else `b`.
    fn select(&mut self, condition: ValueId, a: &[ValueId], b: &[ValueId], label: &str) -> Result<Vec<ValueId>, Error> {
        let instead = "a condition that follows from constants and shapes, or branches with results of one shape";
        if ops::importer("", "Where").is_none() {
            let error = Error::unsupported("a condition that is computed at run time");
            return Err(error.instead(instead).part("input 0"));
        }
        let condition = push(&mut self.graph, label, Reshape { shape: Vec::new() }.into(), &[condition])?[0];
        let mut results = Vec::new();
        for (&a, &b) in a.iter().zip(b) {
            let types = [a, b].map(|id| &self.graph.value(id).ty);
            if types[0] != types[1] {
                let shown = types.map(|ty| format!("{} {:?}", ty.dtype, ty.shape));
                let what = format!("a condition known at run time only, with results {} and {}", shown[0], shown[1]);
                return Err(Error::unsupported(what).instead(instead));
            }
            if a == b {
                results.push(a);
                continue;
            }
            let node = Node { name: label.into(), ..Node::default() };
            let values = BTreeMap::new();
            let mut builder = Builder::new(&mut self.graph, 0, &node, &values);
            results.push(builder.import("Where", &[condition, a, b].map(Some), Vec::new())?);
        }
        Ok(results)
    }

    /// Loop: its body as often as the trip count and the condition say, which must follow from constants.
    fn unroll(&mut self, node: &Node, scope: &Scope<'_>, body: &Body<'_>) -> Result<Vec<Meaning>, Error> {
        let run_time = |part: &str| {
            let error =
                Error::unsupported("it is computed at run time").instead("a number of iterations that is fixed");
            error.part(part.to_string())
        };
        let trips = self.operand(node, 0, scope);
        let trips = trips.map(|id| self.known(id).ok_or_else(|| run_time("input 0 (the trip count)"))).transpose()?;
        let start = self.operand(node, 1, scope);
        let start = start.map(|id| self.known(id).ok_or_else(|| run_time("input 1 (the condition)"))).transpose()?;
        let mut condition = start != Some(0);
        let mut carried = self.operands(node, 2, scope)?;
        let mut yielded = Vec::new();
        let mut step = 0;
        while condition && trips.is_none_or(|trips| step < trips) {
            let position = self.graph.add_constant(body.label, Tensor::from_i64(step));
            let holds = self.graph.add_constant(body.label, Tensor::from_bool(true));
            let operands = [&[position, holds], &carried[..]].concat();
            let Some(outputs) = self.step(body, &format!("{step}/"), &operands)? else {
                return Ok(vec![Meaning::Failed; node.outputs.len()]);
            };
            let Some((next, results)) = outputs.split_first().filter(|(_, results)| results.len() >= carried.len())
            else {
                return Err(Error::invalid("the body has too few outputs"));
            };
            condition = self.known(*next).ok_or_else(|| run_time("the condition that the body computes"))? != 0;
            let (values, yields) = results.split_at(carried.len());
            carried = values.to_vec();
            yielded.push(yields.to_vec());
            step += 1;
        }
        let count = body.graph.outputs.len().saturating_sub(1 + carried.len());
        let stacked = self.stack_all(&yielded, &vec![Stacking { axis: 0, backwards: false }; count], body.label)?;
        Ok(carried.into_iter().map(Meaning::Value).chain(stacked).collect())
    }

    /// What a body yielded, one list for each step, as one tensor for each output. Where there was no step, the
    /// tensors have no elements, which is an error for whoever reads them.
    fn stack_all(
        &mut self,
        yielded: &[Vec<ValueId>],
        stackings: &[Stacking],
        label: &str,
    ) -> Result<Vec<Meaning>, Error> {
        let mut stacked = Vec::new();
        for (index, stacking) in stackings.iter().enumerate() {
            let mut slices: Vec<ValueId> = yielded.iter().filter_map(|step| step.get(index).copied()).collect();
            if slices.is_empty() {
                let error = Error::unsupported("a result without elements, as the body is never run");
                stacked.push(Meaning::Refused(error.instead("at least one iteration")));
                continue;
            }
            if stacking.backwards {
                slices.reverse();
            }
            stacked.push(Meaning::Value(self.stack(&slices, stacking.axis, label)?));
        }
        Ok(stacked)
    }

    /// Tensors of one shape as one tensor with a further axis.
    fn stack(&mut self, slices: &[ValueId], along: i64, label: &str) -> Result<ValueId, Error> {
        let mut parts = Vec::new();
        let mut place = 0;
        for id in slices {
            let mut shape = self.graph.value(*id).ty.shape.clone();
            place = axis(along, shape.len() + 1, false)?;
            shape.insert(place, 1);
            parts.extend(push(&mut self.graph, label, Reshape { shape }.into(), &[*id])?);
        }
        match parts[..] {
            [part] => Ok(part),
            _ => Ok(push(&mut self.graph, label, Concat { axis: place }.into(), &parts)?[0]),
        }
    }

    /// The slice of a tensor at a position of an axis, without that axis.
    fn slice(&mut self, id: ValueId, along: usize, position: usize, label: &str) -> Result<ValueId, Error> {
        let mut shape = self.graph.value(id).ty.shape.clone();
        let mut op = Slice { starts: vec![0; shape.len()], steps: vec![1; shape.len()], shape: shape.clone() };
        (op.starts[along], op.shape[along]) = (position, 1);
        shape.remove(along);
        let slice = if self.graph.value(id).ty.shape[along] == 1 {
            id
        } else {
            push(&mut self.graph, label, op.into(), &[id])?[0]
        };
        Ok(push(&mut self.graph, label, Reshape { shape }.into(), &[slice])?[0])
    }

    /// Scan: its body once for each position along the scanned axes. Up to opset 8 there is a batch around it.
    fn scan(&mut self, node: &Node, scope: &Scope<'_>, body: &Body<'_>) -> Result<Vec<Meaning>, Error> {
        let list = |name: &str| match node.attributes.get(name) {
            None => Ok(Vec::new()),
            Some(Attribute::Ints(values)) => Ok(values.clone()),
            Some(_) => Err(Error::invalid("it should be a list of ints").part(format!("attribute `{name}`"))),
        };
        let Some(Attribute::Int(count)) = node.attributes.get("num_scan_inputs") else {
            return Err(Error::invalid("it is missing").part("attribute `num_scan_inputs`"));
        };
        let batched = body.place.version("").is_some_and(|version| version < 9);
        let known: &[&str] = match batched {
            true => &["body", "num_scan_inputs", "directions"],
            false => &[
                "body",
                "num_scan_inputs",
                "scan_input_axes",
                "scan_input_directions",
                "scan_output_axes",
                "scan_output_directions",
            ],
        };
        if let Some(name) = node.attributes.keys().find(|name| !known.contains(&name.as_str())) {
            return Err(Error::unsupported("this attribute is not known").part(format!("attribute `{name}`")));
        }
        if batched && self.operand(node, 0, scope).is_some() {
            let error = Error::unsupported("sequences of unequal length").instead("sequence_lens left out");
            return Err(error.part("input 0"));
        }
        let mut operands = self.operands(node, usize::from(batched), scope)?;
        let wrong_count = || Error::invalid(format!("{count} of {} operands", node.inputs.len()));
        let states = usize::try_from(*count).ok().and_then(|count| operands.len().checked_sub(count));
        let states = states.filter(|_| *count > 0).ok_or_else(wrong_count)?;
        let inputs = operands.split_off(states);
        let (axes, directions) = match batched {
            true => (Vec::new(), list("directions")?),
            false => (list("scan_input_axes")?, list("scan_input_directions")?),
        };
        let (out_axes, out_directions) = (list("scan_output_axes")?, list("scan_output_directions")?);
        let at = |list: &[i64], index: usize| list.get(index).copied().unwrap_or(0);
        let outputs = body.graph.outputs.len().saturating_sub(states);
        let stacking = |index| Stacking { axis: at(&out_axes, index), backwards: at(&out_directions, index) != 0 };
        let stackings: Vec<Stacking> = (0..outputs).map(stacking).collect();
        let scanned = |(index, &id): (usize, &ValueId)| (id, at(&axes, index), at(&directions, index) != 0);
        let inputs: Vec<_> = inputs.iter().enumerate().map(scanned).collect();
        let failed = vec![Meaning::Failed; node.outputs.len()];
        if !batched {
            return Ok(self.scan_once(body, "", operands, &inputs, &stackings)?.unwrap_or(failed));
        }
        let shape = |id: ValueId| self.graph.value(id).ty.shape.clone();
        let batch = shape(inputs[0].0).first().copied().unwrap_or(0);
        let all = operands.iter().copied().chain(inputs.iter().map(|input| input.0));
        if let Some(id) = all.into_iter().find(|id| shape(*id).first() != Some(&batch)) {
            return Err(Error::invalid(format!("{:?} has another batch than {batch}", shape(id))));
        }
        let mut results = Vec::new();
        for index in 0..batch {
            let mut slice = |id: ValueId| self.slice(id, 0, index, body.label);
            let states = operands.iter().map(|id| slice(*id)).collect::<Result<_, _>>()?;
            let inputs = inputs.iter().map(|&(id, axis, backwards)| Ok((slice(id)?, axis, backwards)));
            let inputs = inputs.collect::<Result<Vec<_>, Error>>()?;
            let Some(found) = self.scan_once(body, &format!("{index}/"), states, &inputs, &stackings)? else {
                return Ok(failed);
            };
            results.push(found.into_iter().map(|meaning| super::value(&meaning)).collect::<Result<Vec<_>, _>>()?);
        }
        self.stack_all(&results, &vec![Stacking { axis: 0, backwards: false }; states + outputs], body.label)
    }

    /// A Scan over operands `(value, axis, backwards)`; the last states and the stacked outputs.
    fn scan_once(
        &mut self,
        body: &Body<'_>,
        prefix: &str,
        mut states: Vec<ValueId>,
        inputs: &[(ValueId, i64, bool)],
        stackings: &[Stacking],
    ) -> Result<Option<Vec<Meaning>>, Error> {
        let mut scanned = Vec::new();
        for &(id, along, backwards) in inputs {
            let shape = &self.graph.value(id).ty.shape;
            let along = axis(along, shape.len(), false)?;
            scanned.push((id, along, shape[along], backwards));
        }
        let length = scanned.first().map_or(0, |input| input.2);
        if let Some((.., other, _)) = scanned.iter().find(|input| input.2 != length) {
            return Err(Error::invalid(format!("sequences of {length} and {other} steps")));
        }
        let mut yielded = Vec::new();
        for step in 0..length {
            let mut operands = states.clone();
            for &(id, along, _, backwards) in &scanned {
                let position = if backwards { length - 1 - step } else { step };
                operands.push(self.slice(id, along, position, body.label)?);
            }
            let Some(outputs) = self.step(body, &format!("{prefix}{step}/"), &operands)? else { return Ok(None) };
            if outputs.len() < states.len() {
                return Err(Error::invalid("the body has too few outputs"));
            }
            let (values, yields) = outputs.split_at(states.len());
            states = values.to_vec();
            yielded.push(yields.to_vec());
        }
        let stacked = self.stack_all(&yielded, stackings, body.label)?;
        Ok(Some(states.into_iter().map(Meaning::Value).chain(stacked).collect()))
    }
}
