//! Building a graph node by node: what importers and rewriting passes use.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use crate::error::Error;
use crate::graph::{Graph, Node, Quantization, Type, ValueId};
use crate::onnx::{self, Attribute};
use crate::ops::{self, Op, reshape::Reshape, transpose::Transpose};
use crate::tensor::Tensor;

/// Elements of the largest tensor that is taken seriously: a gigabyte of floats.
pub const MAX_ELEMENTS: usize = 1 << 28;

/// The version of ONNX's operator set that importers write for [`Builder::import`].
const STANDARD: i64 = 21;

/// Appends operators to a graph: infers types, and evaluates at once what depends on constants alone.
pub struct Builder<'a> {
    /// The graph under construction.
    pub graph: &'a mut Graph<Op>,
    /// Version of the operator set of the node's domain that the file uses.
    pub opset: i64,
    /// Name given to the nodes that are added.
    pub name: String,
    /// Whether the file gives the result, or the operand that says its type, 4 bits; they are held in 8.
    pub four_bits: bool,
    /// What the user should know, a sentence each.
    pub notes: Vec<String>,
    node: &'a onnx::Node,
    values: &'a BTreeMap<String, ValueId>,
    seen: RefCell<BTreeSet<String>>,
}

impl<'a> Builder<'a> {
    /// A builder for the operators that `node` stands for; `values` holds what the file's names mean so far.
    pub fn new(
        graph: &'a mut Graph<Op>,
        opset: i64,
        node: &'a onnx::Node,
        values: &'a BTreeMap<String, ValueId>,
    ) -> Self {
        Self {
            graph,
            opset,
            name: node_name(node),
            four_bits: false,
            notes: Vec::new(),
            node,
            values,
            seen: RefCell::default(),
        }
    }

    /// Operand `index`, which the operator requires.
    pub fn input(&self, index: usize) -> Result<ValueId, Error> {
        self.optional(index)?.ok_or_else(|| Error::invalid("it is missing").part(format!("input {index}")))
    }

    /// Operand `index`, or `None` where the file leaves it out.
    pub fn optional(&self, index: usize) -> Result<Option<ValueId>, Error> {
        let Some(name) = self.node.inputs.get(index).filter(|name| !name.is_empty()) else { return Ok(None) };
        let unknown = || Error::bug(format!("`{name}` has no value")).part(format!("input {index}"));
        self.values.get(name).copied().map(Some).ok_or_else(unknown)
    }

    /// All operands in order, none left out.
    pub fn inputs(&self) -> Result<Vec<ValueId>, Error> {
        (0..self.node.inputs.len()).map(|index| self.input(index)).collect()
    }

    /// Number of outputs that the node names.
    pub fn output_count(&self) -> usize {
        self.node.outputs.iter().rposition(|name| !name.is_empty()).map_or(0, |last| last + 1)
    }

    /// Dimensions of a value.
    pub fn shape(&self, id: ValueId) -> &[usize] {
        &self.graph.value(id).ty.shape
    }

    /// The integers of operand `index`, which must be known at compile time; `None` where it is left out.
    pub fn integers(&self, index: usize) -> Result<Option<Vec<i64>>, Error> {
        let Some(id) = self.optional(index)? else { return Ok(None) };
        let part = || format!("input {index} (`{}`)", self.graph.value(id).name);
        let Some(tensor) = self.graph.constant(id) else {
            return Err(Error::unsupported("its value is computed at run time")
                .instead("a constant, or arithmetic on the shapes of tensors")
                .part(part()));
        };
        tensor.to_i64s().map(Some).ok_or_else(|| Error::invalid("it should hold integers").part(part()))
    }

    /// The single float of operand `index`, which must be known at compile time; `None` where it is left out.
    pub fn scalar(&self, index: usize) -> Result<Option<f32>, Error> {
        let Some(id) = self.optional(index)? else { return Ok(None) };
        let part = format!("input {index} (`{}`)", self.graph.value(id).name);
        let Some(tensor) = self.graph.constant(id) else {
            let error = Error::unsupported("its value is computed at run time").instead("a constant");
            return Err(error.part(part));
        };
        let value = match (tensor.f32s(), tensor.to_i64s()) {
            (Some([value]), _) => Some(*value),
            (_, Some(values)) if values.len() == 1 => Some(values[0] as f32),
            _ => None,
        };
        value.map(Some).ok_or_else(|| Error::invalid("it should be a single number").part(part))
    }

    /// An attribute, marked as understood.
    pub fn attribute(&self, name: &str) -> Option<&'a Attribute> {
        self.seen.borrow_mut().insert(name.to_string());
        self.node.attributes.get(name)
    }

    /// An int attribute.
    pub fn int(&self, name: &str, default: i64) -> Result<i64, Error> {
        match self.attribute(name) {
            None => Ok(default),
            Some(Attribute::Int(value)) => Ok(*value),
            Some(_) => Err(wrong_type(name, "an int")),
        }
    }

    /// A float attribute.
    pub fn float(&self, name: &str, default: f32) -> Result<f32, Error> {
        match self.attribute(name) {
            None => Ok(default),
            Some(Attribute::Float(value)) => Ok(*value),
            Some(_) => Err(wrong_type(name, "a float")),
        }
    }

    /// A list of ints.
    pub fn ints(&self, name: &str) -> Result<Option<Vec<i64>>, Error> {
        match self.attribute(name) {
            None => Ok(None),
            Some(Attribute::Ints(values)) => Ok(Some(values.clone())),
            Some(_) => Err(wrong_type(name, "a list of ints")),
        }
    }

    /// A string attribute.
    pub fn string(&self, name: &str, default: &str) -> Result<String, Error> {
        match self.attribute(name) {
            None => Ok(default.to_string()),
            Some(Attribute::String(value)) => Ok(value.clone()),
            Some(_) => Err(wrong_type(name, "a string")),
        }
    }

    /// Fails on attributes that the importer did not look at: ignoring one could change the result.
    pub fn check_attributes(&self) -> Result<(), Error> {
        let seen = self.seen.borrow();
        match self.node.attributes.keys().find(|name| !seen.contains(*name)) {
            None => Ok(()),
            Some(name) => Err(Error::unsupported("this attribute is not known")
                .instead(format!("{} without it", self.node.op_type))
                .part(format!("attribute `{name}`"))),
        }
    }

    /// Tells the user something.
    pub fn note(&mut self, note: String) {
        self.notes.push(note);
    }

    /// Adds a constant.
    pub fn constant(&mut self, tensor: Tensor) -> ValueId {
        let name = format!("{}.constant", self.name);
        self.graph.add_constant(name, tensor)
    }

    /// Adds an operator with one output.
    pub fn push(&mut self, op: impl Into<Op>, inputs: &[ValueId]) -> Result<ValueId, Error> {
        Ok(push(self.graph, &self.name, op.into(), inputs)?[0])
    }

    /// Attributes as the file has them, marked as understood: for an operator that another one hands them on to.
    pub fn attributes(&self, names: &[&str]) -> Vec<(String, Attribute)> {
        let given = |name: &&str| self.attribute(name).map(|value| (name.to_string(), value.clone()));
        names.iter().filter_map(given).collect()
    }

    /// Adds what a node of a standard operator, of the newest operator set known, stands for; returns its first output.
    pub fn import(
        &mut self,
        op_type: &str,
        inputs: &[Option<ValueId>],
        attributes: Vec<(String, Attribute)>,
    ) -> Result<ValueId, Error> {
        let name = |(index, id): (usize, &Option<ValueId>)| id.map_or(String::new(), |_| index.to_string());
        let node = onnx::Node {
            name: self.name.clone(),
            op_type: op_type.into(),
            inputs: inputs.iter().enumerate().map(name).collect(),
            outputs: vec!["y".into()],
            attributes: attributes.into_iter().collect(),
            ..onnx::Node::default()
        };
        let values = node.inputs.iter().cloned().zip(inputs).filter_map(|(name, id)| Some((name, (*id)?))).collect();
        let import = ops::importer("", op_type).ok_or_else(|| Error::unsupported(format!("the operator {op_type}")))?;
        let mut inner = Builder::new(self.graph, STANDARD, &node, &values);
        let outputs = import(&node, &mut inner)?;
        inner.check_attributes()?;
        let notes = inner.notes;
        self.notes.extend(notes);
        outputs.first().copied().ok_or_else(|| Error::bug(format!("{op_type} without an output")))
    }

    /// Adds a Reshape, unless the shape is the same already.
    pub fn reshape(&mut self, id: ValueId, shape: &[usize]) -> Result<ValueId, Error> {
        if self.shape(id) == shape { Ok(id) } else { self.push(Reshape { shape: shape.to_vec() }, &[id]) }
    }

    /// Adds a Transpose, unless it would change nothing.
    pub fn transpose(&mut self, id: ValueId, perm: &[usize]) -> Result<ValueId, Error> {
        if perm.is_sorted() { Ok(id) } else { self.push(Transpose { perm: perm.to_vec() }, &[id]) }
    }
}

/// The name of a node: its own, or that of its first output.
pub fn node_name(node: &onnx::Node) -> String {
    let output = || node.outputs.iter().find(|name| !name.is_empty()).cloned().unwrap_or_default();
    if node.name.is_empty() { output() } else { node.name.clone() }
}

/// Appends an operator to `graph`: infers the outputs' types, and evaluates it if all operands are constants.
pub fn push(graph: &mut Graph<Op>, name: &str, op: Op, inputs: &[ValueId]) -> Result<Vec<ValueId>, Error> {
    let types: Vec<_> = inputs.iter().map(|id| &graph.value(*id).ty).collect();
    let types = op.infer(&types)?;
    types.iter().try_for_each(check_size)?;
    let constants: Option<Vec<_>> = inputs.iter().map(|id| graph.constant(*id)).collect();
    if let Some(constants) = constants.filter(|_| !inputs.is_empty()) {
        let results = op.eval(&constants)?;
        let carried = carried_quantization(graph, &op, inputs[0]);
        let outputs: Vec<_> = results.into_iter().map(|tensor| graph.add_constant(name, tensor)).collect();
        for output in &outputs {
            graph.value_mut(*output).quantization = carried.clone();
        }
        return Ok(outputs);
    }
    // What has no elements is known.
    if types.iter().all(Type::is_empty) {
        let empty = types.iter().map(|ty| Tensor::zeros(ty.dtype, &ty.shape));
        return Ok(empty.map(|tensor| graph.add_constant(name, tensor)).collect());
    }
    let outputs: Vec<_> = types.into_iter().map(|ty| graph.add_value(name, ty)).collect();
    graph.nodes.push(Node { name: name.to_string(), op, inputs: inputs.to_vec(), outputs: outputs.clone() });
    Ok(outputs)
}

/// Fails on a tensor that no memory holds; what is computed from sizes later on then does not overflow.
fn check_size(ty: &Type) -> Result<(), Error> {
    // Zeros are left out, so that the extents of an empty tensor stay within bounds, too.
    let count = ty.shape.iter().try_fold(1usize, |count, &extent| count.checked_mul(extent.max(1)));
    match count.filter(|&count| count <= MAX_ELEMENTS) {
        Some(_) => Ok(()),
        None => Err(Error::invalid(format!("the shape {:?} of its result is too large", ty.shape))),
    }
}

/// What is left of the first operand's quantization behind `op`.
pub fn carried_quantization(graph: &Graph<Op>, op: &Op, input: ValueId) -> Option<Quantization> {
    let value = graph.value(input);
    op.carry(value.quantization.as_ref()?, &value.ty)
}

fn wrong_type(name: &str, expected: &str) -> Error {
    Error::invalid(format!("it should be {expected}")).part(format!("attribute `{name}`"))
}
