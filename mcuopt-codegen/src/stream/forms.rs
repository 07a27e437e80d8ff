//! The new graph under construction, and what has become of each value.

use std::collections::BTreeMap;

use super::Axes;
use crate::builder::push;
use crate::error::{Error, Errors};
use crate::graph::{Graph, Node, ValueId};
use crate::ops::{Op, history::History};

/// What a value of the network over the whole window is in the new one.
#[derive(Clone, Copy, Debug)]
pub(super) enum Form {
    /// The same.
    Same(ValueId),
    /// Its last frames.
    Last(Frames),
}

/// The last frames of a value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frames {
    /// The value in the new graph.
    pub(super) id: ValueId,
    /// The axis along which they lie.
    pub(super) axis: usize,
    /// How many there are.
    pub(super) count: usize,
    /// How many the value has over the whole window.
    pub(super) whole: usize,
    /// Whether the frames of all calls since a reset are those of the whole sequence, from its first one on.
    pub(super) exact: bool,
}

/// What came of an operator with an operand of which there are the last frames.
pub(super) enum Outcome {
    /// These forms of its results.
    Made(Form),
    /// It needs all frames.
    Whole,
    /// A stride does not divide the number of frames.
    Stride,
}

/// The new graph under construction.
pub(super) struct Rewriting<'a> {
    pub(super) source: &'a Graph<Op>,
    pub(super) graph: Graph<Op>,
    forms: BTreeMap<ValueId, Form>,
    /// Histories by value, number of frames and bits of what stands before the first one.
    histories: BTreeMap<(ValueId, usize, Option<u32>), ValueId>,
    axes: &'a [(ValueId, usize)],
    frames: usize,
    pub(super) keeps_state: bool,
}

impl<'a> Rewriting<'a> {
    pub(super) fn new(source: &'a Graph<Op>, axes: &'a Axes, frames: usize, keeps_state: bool) -> Self {
        let (graph, forms, histories) = Default::default();
        Self { source, graph, forms, histories, axes, frames, keeps_state }
    }

    /// The new graph; `None` where a stride does not divide the number of frames.
    pub(super) fn run(mut self) -> Result<Option<Graph<Op>>, Errors> {
        self.start();
        for &input in &self.source.inputs {
            if let (Form::Same(id), Some(&(_, axis))) =
                (self.form(input), self.axes.iter().find(|(streamed, _)| *streamed == input))
            {
                let (count, value) = (self.frames, self.graph.value_mut(id));
                let whole = std::mem::replace(&mut value.ty.shape[axis], count);
                self.set(input, Form::Last(Frames { id, axis, count, whole, exact: true }));
            }
        }
        let mut errors = Vec::new();
        for node in &self.source.nodes {
            match self.node(node) {
                Ok(true) => {}
                Ok(false) => return Ok(None),
                Err(error) => {
                    errors.push(error.at_node(&node.name, node.op.name()));
                    // What follows is looked at as well, so that all such nodes are named at once.
                    node.outputs.iter().for_each(|output| {
                        self.copy(*output);
                    });
                }
            }
        }
        Errors::check(errors, ())?;
        self.finish().map(Some)
    }

    /// Brings the inputs over.
    pub(super) fn start(&mut self) {
        for &input in &self.source.inputs {
            let id = self.copy(input);
            self.graph.inputs.push(id);
        }
    }

    /// Names the outputs.
    pub(super) fn finish(mut self) -> Result<Graph<Op>, Errors> {
        for output in &self.source.outputs {
            let id = match self.form(*output) {
                Form::Same(id) | Form::Last(Frames { id, .. }) => id,
            };
            self.graph.outputs.push(id);
        }
        self.remove_unread();
        self.graph.verify()?;
        Ok(self.graph)
    }

    /// Removes what passed on the state of layers that keep it themselves now.
    fn remove_unread(&mut self) {
        let unread = |graph: &Graph<Op>| -> Vec<bool> {
            let consumers = graph.consumers();
            graph.ids().map(|id| consumers[id.index()].is_empty() && !graph.is_output(id)).collect()
        };
        let unread_before = unread(self.source);
        loop {
            let count = self.graph.nodes.len();
            let now = unread(&self.graph);
            self.graph.nodes.retain(|node| node.outputs.iter().any(|id| !now[id.index()]));
            if self.graph.nodes.len() == count {
                break;
            }
        }
        // Inputs that nothing read before are the user's business.
        let now = unread(&self.graph);
        let kept = self
            .source
            .inputs
            .iter()
            .zip(&self.graph.inputs)
            .filter(|(old, new)| unread_before[old.index()] || !now[new.index()]);
        self.graph.inputs = kept.map(|(_, new)| *new).collect();
    }

    /// Says what a value has become.
    pub(super) fn set(&mut self, id: ValueId, form: Form) {
        self.forms.insert(id, form);
    }

    /// The operands of a node all of which are the same as before.
    pub(super) fn inputs(&mut self, node: &Node<Op>) -> Vec<ValueId> {
        let id = |form: Form| match form {
            Form::Same(id) | Form::Last(Frames { id, .. }) => id,
        };
        node.inputs.iter().map(|input| id(self.form(*input))).collect()
    }

    /// Brings a node over all of whose operands are the same as before.
    pub(super) fn pass(&mut self, node: &Node<Op>) {
        let inputs = self.inputs(node);
        let outputs = node.outputs.iter().map(|id| self.copy(*id)).collect();
        self.graph.nodes.push(Node { inputs, outputs, ..node.clone() });
    }

    /// Whether a stride left the number of frames whole.
    fn node(&mut self, node: &Node<Op>) -> Result<bool, Error> {
        let operands: Vec<Form> = node.inputs.iter().map(|id| self.form(*id)).collect();
        if operands.iter().any(|form| matches!(form, Form::Last(_))) {
            match self.operator(node, &operands)? {
                Outcome::Made(form) => {
                    self.set(node.outputs[0], form);
                    return Ok(true);
                }
                Outcome::Stride => return Ok(false),
                Outcome::Whole => {}
            }
        }
        let mut inputs = Vec::with_capacity(operands.len());
        for form in operands {
            inputs.push(self.whole(form)?);
        }
        let outputs = node.outputs.iter().map(|id| self.copy(*id)).collect();
        self.graph.nodes.push(Node { inputs, outputs, ..node.clone() });
        Ok(true)
    }

    /// The form of a value; constants come over when something asks for them.
    pub(super) fn form(&mut self, id: ValueId) -> Form {
        match self.forms.get(&id) {
            Some(form) => *form,
            None => Form::Same(self.copy(id)),
        }
    }

    /// Brings a value over as it is.
    fn copy(&mut self, id: ValueId) -> ValueId {
        let value = self.source.value(id).clone();
        let copy = self.graph.add_value(&value.name, value.ty.clone());
        *self.graph.value_mut(copy) = value;
        self.forms.insert(id, Form::Same(copy));
        copy
    }

    /// A value with all its frames.
    pub(super) fn whole(&mut self, form: Form) -> Result<ValueId, Error> {
        match form {
            Form::Same(id) => Ok(id),
            Form::Last(frames) => self.history(&frames, frames.whole, None),
        }
    }

    /// The last `count` frames of a value. `fill` stands for those before the first one, where something depends on them.
    pub(super) fn history(&mut self, frames: &Frames, count: usize, fill: Option<f32>) -> Result<ValueId, Error> {
        if count == frames.count {
            return Ok(frames.id);
        }
        let key = (frames.id, count, fill.map(f32::to_bits));
        if let Some(known) = self.histories.get(&key) {
            return Ok(*known);
        }
        let op = History { axis: frames.axis, frames: count, fill };
        let name = format!("{}.history", self.graph.value(frames.id).name);
        let id = self.add(&name, op.into(), &[frames.id], &name, frames.id)?;
        self.histories.insert(key, id);
        Ok(id)
    }

    /// Adds an operator whose result has the quantization of a value of the new graph.
    pub(super) fn add(
        &mut self,
        node: &str,
        op: Op,
        inputs: &[ValueId],
        name: &str,
        quantized_as: ValueId,
    ) -> Result<ValueId, Error> {
        let id = push(&mut self.graph, node, op, inputs)?[0];
        let quantization = self.graph.value(quantized_as).quantization.clone();
        let value = self.graph.value_mut(id);
        (value.name, value.quantization) = (name.to_string(), quantization);
        Ok(id)
    }

    /// Adds a node's operator on other operands; its results keep their names and quantizations.
    pub(super) fn add_for(&mut self, node: &Node<Op>, op: Op, inputs: &[ValueId]) -> Result<ValueId, Error> {
        let outputs = push(&mut self.graph, &node.name, op, inputs)?;
        for (new, old) in outputs.iter().zip(&node.outputs) {
            let old = self.source.value(*old);
            let value = self.graph.value_mut(*new);
            (value.name, value.quantization) = (old.name.clone(), old.quantization.clone());
        }
        Ok(outputs[0])
    }
}
