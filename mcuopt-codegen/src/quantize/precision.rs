//! The precision of each layer: integers of which width its activations and weights are, or float32.

use std::collections::BTreeMap;

use super::pattern;
use crate::error::Error;
use crate::graph::{Graph, Node, Width};
use crate::ops::Op;

/// In what a layer computes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LayerPrecision {
    /// int8 activations and weights.
    #[default]
    Int8,
    /// int16 activations, int8 weights.
    Int16x8,
    /// int8 activations, int4 weights.
    Int8x4,
    /// int16 activations, int4 weights.
    Int16x4,
    /// float32.
    Float32,
}

impl LayerPrecision {
    /// All of them.
    pub const ALL: [LayerPrecision; 5] = [
        LayerPrecision::Int8,
        LayerPrecision::Int16x8,
        LayerPrecision::Int8x4,
        LayerPrecision::Int16x4,
        LayerPrecision::Float32,
    ];

    /// Its name in options and reports.
    pub fn name(self) -> &'static str {
        match self {
            LayerPrecision::Int8 => "int8",
            LayerPrecision::Int16x8 => "int16x8",
            LayerPrecision::Int8x4 => "int4",
            LayerPrecision::Int16x4 => "int16x4",
            LayerPrecision::Float32 => "float32",
        }
    }

    /// The precision of a name.
    pub fn of(name: &str) -> Option<LayerPrecision> {
        Self::ALL.into_iter().find(|precision| precision.name() == name)
    }

    /// The width of activations; `None` for float32.
    pub fn activations(self) -> Option<Width> {
        match self {
            LayerPrecision::Int8 | LayerPrecision::Int8x4 => Some(Width::Int8),
            LayerPrecision::Int16x8 | LayerPrecision::Int16x4 => Some(Width::Int16),
            LayerPrecision::Float32 => None,
        }
    }

    /// Whether weights are int4.
    pub fn has_int4_weights(self) -> bool {
        matches!(self, LayerPrecision::Int8x4 | LayerPrecision::Int16x4)
    }
}

/// The precision of every layer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Precisions {
    /// Of layers that `layers` does not name.
    pub default: LayerPrecision,
    /// By the node's name. What is made of one node of the file has its name, and hence its precision.
    pub layers: BTreeMap<String, LayerPrecision>,
}

impl Precisions {
    /// One precision for all layers.
    pub fn all(default: LayerPrecision) -> Self {
        Self { default, layers: BTreeMap::new() }
    }

    /// The precision of a node.
    pub fn of(&self, node: &str) -> LayerPrecision {
        self.layers.get(node).copied().unwrap_or(self.default)
    }

    /// Finds the layers that the user's names mean: a node's name as in the file or in snake_case; `*` stands for any
    /// characters.
    ///
    /// A name without `*` goes before one with it, among these the longer one. With int4 for the whole network the layers
    /// that lose most by it and save little keep int8 weights, unless they are named: depthwise convolutions, the smallest
    /// layers that together have at most an eighth of all weights, and the first and the last one if it has no more.
    ///
    /// # Errors
    /// If no layer has such a name.
    pub fn resolve(
        default: LayerPrecision,
        named: &BTreeMap<String, LayerPrecision>,
        graph: &Graph<Op>,
    ) -> Result<Self, Error> {
        let names = || graph.nodes.iter().map(|node| node.name.as_str());
        pattern::check(named, names, "layer").map_err(|error| error.part("option `layers`"))?;
        let mut layers = BTreeMap::new();
        if default.has_int4_weights() {
            let whole = if default == LayerPrecision::Int8x4 { LayerPrecision::Int8 } else { LayerPrecision::Int16x8 };
            layers.extend(sensitive(graph).into_iter().map(|name| (name, whole)));
        }
        for node in &graph.nodes {
            let best = pattern::best(named, &node.name);
            layers.extend(best.map(|precision| (node.name.clone(), *precision)));
        }
        Ok(Self { default, layers })
    }
}

/// The layers that int4 weights harm most for the flash that they save.
fn sensitive(graph: &Graph<Op>) -> Vec<String> {
    let weights = |node: &Node<Op>| node.inputs.get(1).map_or(0, |id| graph.value(*id).ty.len());
    let weighted: Vec<&Node<Op>> = graph.nodes.iter().filter(|node| node.op.packs_weights()).collect();
    let few = weighted.iter().map(|node| weights(node)).sum::<usize>() / 8;
    let mut in_all = 0;
    let mut by_size = weighted.clone();
    by_size.sort_by_key(|node| weights(node));
    let smallest = by_size.into_iter().filter(|node| {
        in_all += weights(node);
        in_all <= few
    });
    let others = weighted.iter().enumerate().filter(|(index, node)| {
        let channels = graph.value(node.inputs[0]).ty.shape.last().copied().unwrap_or(1);
        let is_depthwise = matches!(&node.op, Op::Conv(conv) if conv.group > 1 && conv.group == channels);
        let is_end = *index == 0 || index + 1 == weighted.len();
        is_depthwise || (is_end && weights(node) <= few)
    });
    smallest.chain(others.map(|(_, node)| *node)).map(|node| node.name.clone()).collect()
}
