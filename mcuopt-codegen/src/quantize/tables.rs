//! Pointwise operators that depend on one tensor alone → one table of 256 entries: [`tables`] before calibration, so that
//! nothing inside is rounded, and [`compose`] for kernels, which keeps every rounding that a file's author wanted.

use std::collections::{BTreeMap, BTreeSet};

use mcuopt_rt::v0 as rt;

use super::Precisions;
use crate::error::Error;
use crate::graph::{Graph, Node, ValueId, Width};
use crate::ops::table::{Operand, Step, Table};
use crate::ops::unary::{LutBool, LutS8};
use crate::ops::{Kernel, Layer, Op, Scales};
use crate::tensor::{DType, Tensor};

/// [`tables_mixed`] with int8 for all layers.
pub fn tables(graph: &mut Graph<Op>, calibrated: bool) -> Result<(), Error> {
    tables_mixed(graph, calibrated, &Precisions::default())
}

/// Replaces each maximal connected subgraph of pointwise operators whose operands are one float tensor and numbers by a
/// [`Table`], if operand and result are going to be int8: all are if ranges will be known (`calibrated`), else those
/// that the file's author quantized.
///
/// What others read as well is kept, and is an operand like any other. Layers that are to run in float32 stay as they are.
pub fn tables_mixed(graph: &mut Graph<Op>, calibrated: bool, precisions: &Precisions) -> Result<(), Error> {
    let is_pointwise = |node: &Node<Op>, root: ValueId| {
        let (root, output) = (graph.value(root), graph.value(node.outputs[0]));
        let fits = root.ty.dtype == DType::F32 && root.ty.shape == output.ty.shape;
        fits && node.op.pointwise()
            && !matches!(node.op.scales(), Scales::Authored(_))
            && precisions.of(&node.name).activations().is_some()
    };
    let sources = Sources::find(graph, is_pointwise, |id| graph.value(id).quantization.is_some());
    let is_integer = |id: ValueId| calibrated || graph.value(id).quantization.is_some();
    let mut replaced = Vec::new();
    for (index, node) in graph.nodes.iter().enumerate() {
        let (Some(root), Some(&output)) = (sources.of(node), node.outputs.first()) else { continue };
        let fits = match graph.value(output).ty.dtype {
            DType::F32 => is_integer(output),
            // Truth values of int16 have no table.
            dtype => {
                let authored = graph.value(root).quantization.as_ref().map(|quantization| quantization.width);
                let width = authored.or(precisions.of(&node.name).activations());
                dtype == DType::Bool && width == Some(Width::Int8)
            }
        };
        if sources.visible.contains(&output) && fits && is_integer(root) {
            replaced.extend(table(graph, &sources, index, root).map(|table| (index, root, table)));
        }
    }
    for (index, root, table) in replaced {
        let node = &mut graph.nodes[index];
        (node.op, node.inputs) = (table.into(), vec![root]);
    }
    remove_unread(graph);
    graph.verify()
}

/// Puts a [`Table`]'s own operators back where operand or result got no quantization: what is infinite in a sample, say.
pub(super) fn spell_out(graph: &mut Graph<Op>) -> Result<(), Error> {
    let is_float = |graph: &Graph<Op>, id: ValueId| {
        let value = graph.value(id);
        value.ty.dtype == DType::F32 && value.quantization.is_none()
    };
    let nodes = std::mem::take(&mut graph.nodes);
    for node in nodes {
        let (x, y) = (node.inputs[0], node.outputs[0]);
        let table = match &node.op {
            Op::Table(table) if is_float(graph, x) || is_float(graph, y) => table.clone(),
            _ => {
                graph.nodes.push(node);
                continue;
            }
        };
        let mut results: Vec<ValueId> = Vec::new();
        let last = table.steps.len().saturating_sub(1);
        for (index, step) in table.steps.into_iter().enumerate() {
            let operand = |operand: &Operand| match operand {
                Operand::Input => Some(x),
                Operand::Constant(tensor) => Some(graph.add_constant(&node.name, (**tensor).clone())),
                Operand::Step(step) => results.get(*step).copied(),
            };
            let inputs: Option<Vec<ValueId>> = step.operands.iter().map(operand).collect();
            let inputs = inputs.ok_or_else(|| Error::bug("a step without its operand"))?;
            let result = match index == last {
                true => y,
                false => {
                    let types: Vec<_> = inputs.iter().map(|id| &graph.value(*id).ty).collect();
                    let ty = step.op.infer(&types)?.swap_remove(0);
                    graph.add_value(&node.name, ty)
                }
            };
            results.push(result);
            graph.nodes.push(Node { name: node.name.clone(), op: step.op, inputs, outputs: vec![result] });
        }
    }
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
    /// `is_pointwise` tells whether an operator's result is a function of one tensor, place by place, if its other
    /// operands are or are numbers; `stays` whether a value must not vanish into a table.
    fn find<O>(
        graph: &Graph<O>,
        is_pointwise: impl Fn(&Node<O>, ValueId) -> bool,
        stays: impl Fn(ValueId) -> bool,
    ) -> Self {
        let consumers = graph.consumers();
        let mut sources = Self { roots: vec![None; graph.values.len()], visible: BTreeSet::new() };
        // A value that turns out to be visible is a root for its readers, which may make others visible.
        loop {
            for node in &graph.nodes {
                if let [output] = node.outputs[..] {
                    let root = sources.root(graph, node).filter(|root| is_pointwise(node, *root));
                    sources.roots[output.index()] = root;
                }
            }
            let root_of = |id: ValueId| sources.roots[id.index()];
            let reads_elsewhere = |id: ValueId| {
                let inside = |&reader: &usize| root_of(graph.nodes[reader].outputs[0]) == root_of(id);
                !consumers[id.index()].iter().all(inside)
            };
            let is_visible =
                |id: &ValueId| root_of(*id).is_some() && (stays(*id) || graph.is_output(*id) || reads_elsewhere(*id));
            let found: BTreeSet<ValueId> = graph.ids().filter(is_visible).collect();
            // Those that lost their root since stay in the set, so that this ends.
            let before = sources.visible.len();
            sources.visible.extend(found);
            if sources.visible.len() == before {
                return sources;
            }
        }
    }

    fn of<O>(&self, node: &Node<O>) -> Option<ValueId> {
        node.outputs.first().and_then(|output| self.roots[output.index()])
    }

    /// The only tensor that `node` depends on, but for numbers.
    fn root<O>(&self, graph: &Graph<O>, node: &Node<O>) -> Option<ValueId> {
        let is_number = |id: ValueId| graph.constant(id).is_some_and(|tensor| tensor.len() == 1);
        let mut roots = node.inputs.iter().filter(|id| !is_number(**id)).map(|&id| self.as_operand(id));
        let root = roots.next().filter(|root| graph.constant(*root).is_none())?;
        roots.all(|other| other == root).then_some(root)
    }

    /// What a reader of `id` is a function of.
    fn as_operand(&self, id: ValueId) -> ValueId {
        self.roots[id.index()].filter(|_| !self.visible.contains(&id)).unwrap_or(id)
    }

    /// The operators from the root to the node at `last`, in order.
    fn between<'g, O>(&self, graph: &'g Graph<O>, last: usize) -> Vec<&'g Node<O>> {
        let mut needed = BTreeSet::from([graph.nodes[last].outputs[0]]);
        let mut nodes = Vec::new();
        for node in graph.nodes[..=last].iter().rev() {
            if needed.contains(&node.outputs[0]) {
                let inside = |id: &&ValueId| graph.constant(**id).is_none() && self.as_operand(**id) != **id;
                needed.extend(node.inputs.iter().filter(inside));
                nodes.push(node);
            }
        }
        nodes.reverse();
        nodes
    }
}

/// The operators from `root` to the node at `last`; `None` for one that is a table by itself.
fn table(graph: &Graph<Op>, sources: &Sources, last: usize, root: ValueId) -> Option<Table> {
    let dtype = graph.value(graph.nodes[last].outputs[0]).ty.dtype;
    let nodes = sources.between(graph, last);
    if matches!(nodes[..], [Node { op: Op::Unary(_), .. }]) && dtype == DType::F32 {
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
    Some(Table { steps: steps?, dtype })
}

/// Replaces kernels that depend on one int8 tensor alone by one table. No byte of any output changes.
pub fn compose(graph: &mut Graph<Layer>) -> Result<(), Error> {
    let is_pointwise = |node: &Node<Layer>, root: ValueId| {
        let (root, output) = (&graph.value(root).ty, &graph.value(node.outputs[0]).ty);
        let fits = root.dtype == DType::I8 && root.len() == output.len();
        fits && of_256(&node.op.kernel, root.len()).is_some()
    };
    let sources = Sources::find(graph, is_pointwise, |_| false);
    let mut replaced = Vec::new();
    for (index, node) in graph.nodes.iter().enumerate() {
        let (Some(root), Some(output)) = (sources.of(node), node.outputs.first()) else { continue };
        let nodes = sources.between(graph, index);
        // One of these is as good as a table, or is one.
        let alone = matches!(
            nodes[..],
            [Node { op: Layer { kernel: Kernel::LutS8(_) | Kernel::LutBool(_) | Kernel::Requantize(_), .. }, .. }]
        );
        if sources.visible.contains(output) && !alone {
            replaced.extend(composed(graph, &nodes, root).map(|kernel| (index, root, kernel)));
        }
    }
    for (index, root, kernel) in replaced {
        let node = &mut graph.nodes[index];
        (node.op.kernel, node.inputs) = (kernel, vec![root]);
    }
    remove_unread(graph);
    graph.verify()
}

/// The table that `nodes`, run on all int8 numbers, come to.
fn composed(graph: &Graph<Layer>, nodes: &[&Node<Layer>], root: ValueId) -> Option<Kernel> {
    let all = Tensor::new(&[256], (i8::MIN..=i8::MAX).collect())?;
    let len = graph.value(root).ty.len();
    let mut made = BTreeMap::from([(root, all)]);
    for node in nodes {
        let operands = node.inputs.iter().map(|id| graph.constant(*id).or(made.get(id)));
        let operands: Option<Vec<&Tensor>> = operands.collect();
        let mut result = Tensor::zeros(graph.value(node.outputs[0]).ty.dtype, &[256]);
        of_256(&node.op.kernel, len)?.run(&operands?, &mut result);
        made.insert(node.outputs[0], result);
    }
    match made.remove(&nodes.last()?.outputs[0])? {
        Tensor::I8(table) => Some(Kernel::LutS8(LutS8 { table: table.iter().copied().collect() })),
        Tensor::U8(table) => Some(Kernel::LutBool(LutBool { table: table.iter().copied().collect() })),
        _ => None,
    }
}

/// A kernel that computes each of `len` elements by itself, for 256 elements; `None` for other kernels.
fn of_256(kernel: &Kernel, len: usize) -> Option<Kernel> {
    let mut kernel = kernel.clone();
    let rows = |outer: &[usize], row: &mut usize| {
        // A single element has no stride, of an operand as of a number.
        let is_one_row = outer.iter().all(|extent| *extent == 1) && *row == len && len > 1;
        *row = 256;
        is_one_row
    };
    let broadcast = |p: &mut rt::Broadcast| {
        let [outer @ .., row] = &mut p.shape;
        rows(outer, row)
    };
    let fits = match &mut kernel {
        Kernel::LutS8(_) | Kernel::LutBool(_) | Kernel::Requantize(_) | Kernel::UnaryLoop(_) => true,
        Kernel::AddS8(layer) => broadcast(&mut layer.geometry),
        Kernel::MulS8(layer) => broadcast(&mut layer.geometry),
        Kernel::BinaryLoop(layer) => broadcast(&mut layer.geometry),
        Kernel::WhereLoop(layer) => {
            let [outer @ .., row] = &mut layer.geometry.shape;
            rows(outer, row)
        }
        _ => false,
    };
    fits.then_some(kernel)
}

/// Removes the nodes that tables took up.
fn remove_unread<O>(graph: &mut Graph<O>) {
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
