//! The dataflow graph that every stage works on.
//!
//! [`Graph`] is generic over what a node does: after import a node is an ONNX-level operator
//! ([`ops::Op`](crate::ops::Op)) on float tensors, after quantization a kernel of mcuopt-rt with its constants
//! ([`ops::Layer`](crate::ops::Layer)). The two graphs are different types, so what is not lowered cannot be
//! planned.
//!
//! Invariants, checked by [`Graph::verify`]: nodes stand in topological order; each value has one producer (a node,
//! the graph's input, or its own constant); a node's input exists.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use crate::error::Error;
use crate::tensor::{DType, Tensor};

/// Names a [`Value`] of one graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ValueId(usize);

impl ValueId {
    /// Position in [`Graph::values`].
    pub fn index(self) -> usize {
        self.0
    }
}

/// How a tensor's integers stand for reals: real = scale · (q − zero_point).
///
/// Activations have one scale; weights one for each index along `axis`. Integers are signed in all of the compiler:
/// a uint8 tensor of the file is the int8 tensor with its zero point lowered by 128.
#[derive(Clone, Debug, PartialEq)]
pub struct Quantization {
    /// One scale, or one for each index along `axis`.
    pub scales: Vec<f32>,
    /// As many as `scales`, within the limits of the width.
    pub zero_points: Vec<i32>,
    /// Axis of a per-channel quantization; without meaning for a single scale.
    pub axis: usize,
    /// The integers' width: int8 or int16 for activations, int8 or int4 for weights.
    pub width: Width,
}

/// The width of quantized integers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Width {
    Int4,
    #[default]
    Int8,
    Int16,
}

impl Width {
    /// The smallest and the largest integer.
    pub fn limits(self) -> (i32, i32) {
        match self {
            Width::Int4 => (-8, 7),
            Width::Int8 => (i8::MIN.into(), i8::MAX.into()),
            Width::Int16 => (i16::MIN.into(), i16::MAX.into()),
        }
    }

    /// The element type that holds them at run time.
    pub fn dtype(self) -> DType {
        match self {
            Width::Int4 | Width::Int8 => DType::I8,
            Width::Int16 => DType::I16,
        }
    }

    /// The width of a tensor's elements, if quantized activations can have that type.
    pub fn of(dtype: DType) -> Option<Width> {
        match dtype {
            DType::I8 => Some(Width::Int8),
            DType::I16 => Some(Width::Int16),
            _ => None,
        }
    }
}

impl Quantization {
    /// int8 with one scale and zero point for the whole tensor.
    pub fn per_tensor(scale: f32, zero_point: i32) -> Self {
        Self { scales: vec![scale], zero_points: vec![zero_point], axis: 0, width: Width::Int8 }
    }

    /// int16 with zero point 0 that holds reals of magnitudes up to `largest`; up to 1 where that says nothing.
    pub fn int16(largest: f32) -> Self {
        let scale = (f64::from(largest) / f64::from(i16::MAX)) as f32;
        let scale = if scale.is_normal() { scale } else { 1.0 / f32::from(i16::MAX) };
        Self { width: Width::Int16, ..Self::per_tensor(scale, 0) }
    }

    /// A real as an integer under the tensor's only scale: rounded to the nearest, ties to even, and saturated.
    pub fn round(&self, x: f32) -> Option<i32> {
        let ((scale, zero_point), (min, max)) = (self.single()?, self.width.limits());
        let steps = mcuopt_rt::fixed::round_ties_even_f32(x / scale) as i32;
        Some(steps.saturating_add(zero_point).clamp(min, max))
    }

    /// Scale and zero point if they are the same for the whole tensor.
    pub fn single(&self) -> Option<(f32, i32)> {
        (self.scales.len() == 1).then(|| (self.scales[0], self.zero_points[0]))
    }
}

/// Element type and dimensions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Type {
    /// Element type.
    pub dtype: DType,
    /// Dimensions, outermost first; all known.
    pub shape: Vec<usize>,
}

impl Type {
    /// A float tensor.
    pub fn f32(shape: impl Into<Vec<usize>>) -> Self {
        Self { dtype: DType::F32, shape: shape.into() }
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of all elements.
    pub fn bytes(&self) -> usize {
        self.len() * self.dtype.size()
    }
}

/// A tensor of the graph.
#[derive(Clone, Debug)]
pub struct Value {
    /// Name in the file, or one made from the node's.
    pub name: String,
    /// Element type and dimensions.
    pub ty: Type,
    /// Its elements, where they are known at compile time.
    pub constant: Option<Arc<Tensor>>,
    /// The quantization that the file's author or the calibration gave it.
    pub quantization: Option<Quantization>,
}

/// One operation.
#[derive(Clone, Debug)]
pub struct Node<O> {
    /// Name in the file; nodes that the compiler added carry the name of the one they were made for.
    pub name: String,
    /// What it does.
    pub op: O,
    /// Its operands, as many as the operator takes (absent optional ones are filled in or left off at the end).
    pub inputs: Vec<ValueId>,
    /// Its results.
    pub outputs: Vec<ValueId>,
}

/// A dataflow graph; see the module's text for the invariants.
#[derive(Clone, Debug)]
pub struct Graph<O> {
    /// The model's tensors; a [`ValueId`] is a position here. Values that nothing uses may remain.
    pub values: Vec<Value>,
    /// The operations in topological order.
    pub nodes: Vec<Node<O>>,
    /// What the caller provides, in the file's order.
    pub inputs: Vec<ValueId>,
    /// What the caller gets, in the file's order.
    pub outputs: Vec<ValueId>,
}

impl<O> Default for Graph<O> {
    fn default() -> Self {
        Self { values: Vec::new(), nodes: Vec::new(), inputs: Vec::new(), outputs: Vec::new() }
    }
}

impl<O> Graph<O> {
    /// The value named by `id`.
    pub fn value(&self, id: ValueId) -> &Value {
        &self.values[id.0]
    }

    /// The value named by `id`, to change it.
    pub fn value_mut(&mut self, id: ValueId) -> &mut Value {
        &mut self.values[id.0]
    }

    /// The elements of `id` if they are known at compile time.
    pub fn constant(&self, id: ValueId) -> Option<&Tensor> {
        self.value(id).constant.as_deref()
    }

    /// Adds a value without a producer.
    pub fn add_value(&mut self, name: impl Into<String>, ty: Type) -> ValueId {
        self.values.push(Value { name: name.into(), ty, constant: None, quantization: None });
        ValueId(self.values.len() - 1)
    }

    /// Adds a constant.
    pub fn add_constant(&mut self, name: impl Into<String>, tensor: Tensor) -> ValueId {
        let id = self.add_value(name, Type { dtype: tensor.dtype(), shape: tensor.shape().to_vec() });
        self.value_mut(id).constant = Some(Arc::new(tensor));
        id
    }

    /// All ids in order.
    pub fn ids(&self) -> impl Iterator<Item = ValueId> + use<O> {
        (0..self.values.len()).map(ValueId)
    }

    /// For each value, the position of the node that produces it.
    pub fn producers(&self) -> Vec<Option<usize>> {
        let mut producers = vec![None; self.values.len()];
        for (index, node) in self.nodes.iter().enumerate() {
            for output in &node.outputs {
                producers[output.0] = Some(index);
            }
        }
        producers
    }

    /// For each value, the positions of the nodes that read it, in order, once for each operand.
    pub fn consumers(&self) -> Vec<Vec<usize>> {
        let mut consumers = vec![Vec::new(); self.values.len()];
        for (index, node) in self.nodes.iter().enumerate() {
            for input in &node.inputs {
                consumers[input.0].push(index);
            }
        }
        consumers
    }

    /// Whether `id` is one of the graph's outputs.
    pub fn is_output(&self, id: ValueId) -> bool {
        self.outputs.contains(&id)
    }

    /// Lets every reader of `old` (nodes and graph outputs) read `new`.
    pub fn replace(&mut self, old: ValueId, new: ValueId) {
        let operands = self.nodes.iter_mut().flat_map(|node| &mut node.inputs);
        for id in operands.chain(&mut self.outputs).filter(|id| **id == old) {
            *id = new;
        }
    }

    /// Checks the invariants named in the module's text.
    pub fn verify(&self) -> Result<(), Error> {
        let mut ready: Vec<bool> = self.values.iter().map(|value| value.constant.is_some()).collect();
        self.inputs.iter().for_each(|id| ready[id.0] = true);
        for node in &self.nodes {
            for input in &node.inputs {
                if !ready[input.0] {
                    return Err(Error::bug(format!(
                        "`{}` reads `{}` before it is made",
                        node.name,
                        self.value(*input).name
                    )));
                }
            }
            for output in &node.outputs {
                if std::mem::replace(&mut ready[output.0], true) {
                    return Err(Error::bug(format!("`{}` makes `{}` again", node.name, self.value(*output).name)));
                }
            }
        }
        match self.outputs.iter().find(|id| !ready[id.0]) {
            Some(id) => Err(Error::bug(format!("nothing makes the output `{}`", self.value(*id).name))),
            None => Ok(()),
        }
    }

    /// Puts the nodes into topological order, keeping their present order where it is free.
    ///
    /// # Errors
    /// The positions of the nodes on or behind a cycle.
    pub fn sort(&mut self) -> Result<(), Vec<usize>>
    where
        O: Clone,
    {
        let producers = self.producers();
        let behind = |(index, node): (usize, &Node<O>)| {
            node.inputs.iter().all(|id| producers[id.0].is_none_or(|producer| producer < index))
        };
        if self.nodes.iter().enumerate().all(behind) {
            return Ok(());
        }
        let mut readers: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        let mut missing: Vec<usize> = vec![0; self.nodes.len()];
        for (index, node) in self.nodes.iter().enumerate() {
            let sources: BTreeSet<usize> = node.inputs.iter().filter_map(|id| producers[id.0]).collect();
            missing[index] = sources.len();
            for source in sources {
                readers.entry(source).or_default().push(index);
            }
        }
        let mut free: BTreeSet<usize> = (0..self.nodes.len()).filter(|&index| missing[index] == 0).collect();
        let mut order = Vec::with_capacity(self.nodes.len());
        while let Some(index) = free.pop_first() {
            order.push(index);
            for &reader in readers.get(&index).into_iter().flatten() {
                missing[reader] -= 1;
                if missing[reader] == 0 {
                    free.insert(reader);
                }
            }
        }
        if order.len() < self.nodes.len() {
            return Err((0..self.nodes.len()).filter(|index| missing[*index] > 0).collect());
        }
        self.nodes = order.into_iter().map(|index| self.nodes[index].clone()).collect();
        Ok(())
    }
}

/// A line for each input, node and output: what snapshots and reports show.
impl<O: fmt::Debug> fmt::Display for Graph<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let show = |id: &ValueId| {
            let Value { name, ty, constant, quantization } = self.value(*id);
            let kind = if constant.is_some() { "const " } else { "" };
            let quantization = match quantization {
                None => String::new(),
                Some(q) => match q.single() {
                    Some((scale, zero_point)) if q.width == Width::Int8 => format!(" ({scale}, {zero_point})"),
                    Some((scale, zero_point)) => format!(" ({scale}, {zero_point}, {:?})", q.width),
                    None => format!(" ({} scales along axis {})", q.scales.len(), q.axis),
                },
            };
            format!("{kind}`{name}` {}{:?}{quantization}", ty.dtype, ty.shape)
        };
        for input in &self.inputs {
            writeln!(f, "input {}", show(input))?;
        }
        for node in &self.nodes {
            writeln!(f, "{}: {:?}", node.name, node.op)?;
            node.inputs.iter().try_for_each(|id| writeln!(f, "    from {}", show(id)))?;
            node.outputs.iter().try_for_each(|id| writeln!(f, "    to   {}", show(id)))?;
        }
        self.outputs.iter().try_for_each(|id| writeln!(f, "output {}", show(id)))
    }
}
