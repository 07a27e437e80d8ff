//! Pointwise operators that depend on one tensor alone → one table of 256 entries.

use std::collections::BTreeSet;

use crate::error::Error;
use crate::graph::{Graph, Node, ValueId};
use crate::ops::table::{Operand, Step, Table};
use crate::ops::{Op, Scales};
use crate::tensor::DType;

/// Replaces each maximal connected subgraph of pointwise operators whose operands are one float tensor and numbers by a
/// [`Table`], if operand and result are going to be int8: all are if ranges will be known (`calibrated`), else those
/// that the file's author quantized.
///
/// What others read as well is kept, and is an operand like any other.
pub fn tables(graph: &mut Graph<Op>, calibrated: bool) -> Result<(), Error> {
    let sources = Sources::find(graph);
    let is_integer = |id: ValueId| calibrated || graph.value(id).quantization.is_some();
    let mut replaced = Vec::new();
    for (index, node) in graph.nodes.iter().enumerate() {
        let (Some(root), Some(&output)) = (sources.of(node), node.outputs.first()) else { continue };
        let fits = match graph.value(output).ty.dtype {
            DType::F32 => is_integer(output),
            dtype => dtype == DType::Bool,
        };
        if sources.visible.contains(&output) && fits && is_integer(root) {
            replaced.extend(sources.table(graph, index, root).map(|table| (index, root, table)));
        }
    }
    for (index, root, table) in replaced {
        let node = &mut graph.nodes[index];
        (node.op, node.inputs) = (table.into(), vec![root]);
    }
    remove_unread(graph);
    graph.verify()
}

/// Which tensor each pointwise result is a function of.
struct Sources {
    /// For each value.
    roots: Vec<Option<ValueId>>,
    /// Those values with a root that others read than operators with the same root.
    visible: BTreeSet<ValueId>,
}

impl Sources {
    fn find(graph: &Graph<Op>) -> Self {
        let consumers = graph.consumers();
        let mut sources = Self { roots: vec![None; graph.values.len()], visible: BTreeSet::new() };
        // A value that turns out to be visible is a root for its readers, which may make others visible.
        loop {
            for node in &graph.nodes {
                if let [output] = node.outputs[..] {
                    sources.roots[output.index()] = sources.root(graph, node);
                }
            }
            let root_of = |id: ValueId| sources.roots[id.index()];
            let reads_elsewhere = |id: ValueId| {
                let inside = |&reader: &usize| root_of(graph.nodes[reader].outputs[0]) == root_of(id);
                !consumers[id.index()].iter().all(inside)
            };
            let is_visible = |id: &ValueId| {
                let authored = graph.value(*id).quantization.is_some();
                root_of(*id).is_some() && (authored || graph.is_output(*id) || reads_elsewhere(*id))
            };
            let found: BTreeSet<ValueId> = graph.ids().filter(is_visible).collect();
            // Those that lost their root since stay in the set, so that this ends.
            let before = sources.visible.len();
            sources.visible.extend(found);
            if sources.visible.len() == before {
                return sources;
            }
        }
    }

    fn of(&self, node: &Node<Op>) -> Option<ValueId> {
        node.outputs.first().and_then(|output| self.roots[output.index()])
    }

    /// The float tensor that the result of `node` is a function of, place by place.
    fn root(&self, graph: &Graph<Op>, node: &Node<Op>) -> Option<ValueId> {
        if !node.op.pointwise() || matches!(node.op.scales(), Scales::Authored(..)) {
            return None;
        }
        let is_number = |id: ValueId| graph.constant(id).is_some_and(|tensor| tensor.len() == 1);
        let mut roots = node.inputs.iter().filter(|id| !is_number(**id)).map(|&id| self.as_operand(id));
        let root = roots.next()?;
        let (value, output) = (graph.value(root), graph.value(node.outputs[0]));
        let fits = value.constant.is_none() && value.ty.dtype == DType::F32 && value.ty.shape == output.ty.shape;
        (fits && roots.all(|other| other == root)).then_some(root)
    }

    /// What a reader of `id` is a function of.
    fn as_operand(&self, id: ValueId) -> ValueId {
        self.roots[id.index()].filter(|_| !self.visible.contains(&id)).unwrap_or(id)
    }

    /// The operators from `root` to the node at `last`; `None` for one that is a table by itself.
    fn table(&self, graph: &Graph<Op>, last: usize, root: ValueId) -> Option<Table> {
        let output = graph.nodes[last].outputs[0];
        let mut needed = BTreeSet::from([output]);
        let mut nodes = Vec::new();
        for node in graph.nodes[..=last].iter().rev() {
            if !needed.contains(&node.outputs[0]) {
                continue;
            }
            let inside = |id: &&ValueId| graph.constant(**id).is_none() && self.as_operand(**id) != **id;
            needed.extend(node.inputs.iter().filter(inside));
            nodes.push(node);
        }
        nodes.reverse();
        if let [Node { op: Op::Unary(_), .. }] = nodes[..] {
            return None;
        }
        let position = |id: ValueId| nodes.iter().position(|node| node.outputs[0] == id);
        let operand = |&id: &ValueId| match graph.constant(id) {
            Some(tensor) => tensor.reshaped(&[]).map(|number| Operand::Constant(number.into())),
            None if id == root => Some(Operand::Input),
            None => position(id).map(Operand::Step),
        };
        let step = |node: &&Node<Op>| {
            let operands: Option<Vec<Operand>> = node.inputs.iter().map(operand).collect();
            Some(Step { op: node.op.clone(), operands: operands? })
        };
        let steps: Option<Vec<Step>> = nodes.iter().map(step).collect();
        Some(Table { steps: steps?, dtype: graph.value(output).ty.dtype })
    }
}

/// Removes the nodes that tables took up.
fn remove_unread(graph: &mut Graph<Op>) {
    let mut read: BTreeSet<ValueId> = graph.outputs.iter().copied().collect();
    let mut kept = Vec::new();
    for node in std::mem::take(&mut graph.nodes).into_iter().rev() {
        if node.outputs.iter().any(|output| read.contains(output)) {
            read.extend(&node.inputs);
            kept.push(node);
        }
    }
    kept.reverse();
    graph.nodes = kept;
}
