//! Drawing a model node by node.

use std::collections::BTreeMap;

use mcuopt_codegen::onnx::{Attribute, Graph, Model, Node, ValueInfo};
use mcuopt_codegen::tensor::{DType, Tensor};

use super::Synthetic;
use super::random::Random;

/// A model under construction. Values are referred to by their names.
pub(super) struct Sketch {
    name: String,
    graph: Graph,
    random: Random,
}

impl Sketch {
    pub(super) fn new(name: &str) -> Self {
        Self { name: name.into(), graph: Graph { name: name.into(), ..Graph::default() }, random: Random::new(name) }
    }

    /// A float input.
    pub(super) fn input(&mut self, name: &str, shape: &[usize]) -> String {
        self.graph.inputs.push(ValueInfo::tensor(name, DType::F32, shape));
        name.into()
    }

    /// Weights of a size that keeps the sums of `shape[1..]` products within reach.
    pub(super) fn weights(&mut self, shape: &[usize]) -> String {
        let terms: usize = shape.iter().skip(1).product();
        self.numbers(shape, 2.0 / (terms as f32).sqrt())
    }

    /// Random numbers between −`range` and `range`.
    pub(super) fn numbers(&mut self, shape: &[usize], range: f32) -> String {
        let numbers = self.random.numbers(shape.iter().product(), range);
        self.constant(Tensor::new(shape, numbers).expect("as many numbers as the shape says"))
    }

    /// Integers: axes, shapes, indices.
    pub(super) fn integers(&mut self, values: &[i64]) -> String {
        self.constant(Tensor::from_i64s(values))
    }

    /// A constant.
    pub(super) fn constant(&mut self, tensor: Tensor) -> String {
        let name = format!("number_{}", self.graph.initializers.len());
        self.graph.initializers.insert(name.clone(), tensor);
        name
    }

    /// An operator with one result, whose name is returned.
    pub(super) fn node<'a>(
        &mut self,
        op_type: &str,
        inputs: &[&str],
        attributes: impl IntoIterator<Item = (&'a str, Attribute)>,
    ) -> String {
        let name = format!("{}_{}", op_type.to_lowercase(), self.graph.nodes.len());
        self.graph.nodes.push(Node {
            name: name.clone(),
            op_type: op_type.into(),
            domain: String::new(),
            inputs: inputs.iter().map(|input| (*input).to_string()).collect(),
            outputs: vec![name.clone()],
            attributes: attributes.into_iter().map(|(name, value)| (name.to_string(), value)).collect(),
        });
        name
    }

    /// Declares a value an output, under a name of its own.
    pub(super) fn output(&mut self, value: &str, name: &str) {
        let producer = self.graph.nodes.iter_mut().find(|node| node.outputs[0] == value).expect("a node makes it");
        producer.outputs[0] = name.into();
        for input in self.graph.nodes.iter_mut().flat_map(|node| &mut node.inputs).filter(|input| *input == value) {
            *input = name.into();
        }
        let type_name = "tensor(float)".into();
        self.graph.outputs.push(ValueInfo { name: name.into(), dtype: Some(DType::F32), type_name, shape: None });
    }

    pub(super) fn finish(self, opset: i64) -> Synthetic {
        let opsets = BTreeMap::from([(String::new(), opset)]);
        let model = Model { ir_version: 8, opsets, graph: self.graph, ..Model::default() };
        Synthetic { name: self.name, model }
    }
}

/// A list attribute.
pub(super) fn ints(values: &[i64]) -> Attribute {
    Attribute::Ints(values.to_vec())
}
