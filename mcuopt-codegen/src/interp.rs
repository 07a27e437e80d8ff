//! Running a graph on the host: float graphs by the operators' reference evaluation, lowered graphs by the very
//! kernels of mcuopt-rt that the firmware calls.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::Error;
use crate::graph::{Graph, ValueId};
use crate::ops::{Layer, Op};
use crate::tensor::Tensor;

/// Runs a float graph. `see` is called with each value that is computed, inputs included; the outputs come back in
/// the graph's order. Values are dropped when nothing reads them any more.
pub fn run_float(
    graph: &Graph<Op>,
    inputs: &[Tensor],
    mut see: impl FnMut(ValueId, &Tensor),
) -> Result<Vec<Tensor>, Error> {
    let mut values = Values::start(graph, inputs)?;
    for (id, tensor) in graph.inputs.iter().zip(inputs) {
        see(*id, tensor);
    }
    for (index, node) in graph.nodes.iter().enumerate() {
        let operands = values.operands(graph, &node.inputs)?;
        let results = node.op.eval(&operands).map_err(|error| error.at_node(&node.name, node.op.name()))?;
        for (id, tensor) in node.outputs.iter().zip(results) {
            see(*id, &tensor);
            values.set(*id, tensor);
        }
        values.drop_unused(graph, index);
    }
    values.outputs(graph)
}

/// The values of a run of a float graph that become others by a change; `values` are all of that run.
///
/// `changed` are those that are others to begin with. Nodes run anew that read one of them, or that are others themselves by
/// `is_changed`; their results are what `settle` makes of them.
pub fn rerun_float(
    graph: &Graph<Op>,
    values: &BTreeMap<ValueId, Tensor>,
    mut changed: BTreeMap<ValueId, Tensor>,
    is_changed: impl Fn(usize) -> bool,
    settle: impl Fn(ValueId, Tensor) -> Tensor,
) -> Result<BTreeMap<ValueId, Tensor>, Error> {
    for (index, node) in graph.nodes.iter().enumerate() {
        if !is_changed(index) && !node.inputs.iter().any(|id| changed.contains_key(id)) {
            continue;
        }
        let operand = |id: &ValueId| {
            let missing = || Error::bug(format!("`{}` has no value", graph.value(*id).name));
            changed.get(id).or(graph.constant(*id)).or(values.get(id)).ok_or_else(missing)
        };
        let operands = node.inputs.iter().map(operand).collect::<Result<Vec<_>, _>>()?;
        let results = node.op.eval(&operands).map_err(|error| error.at_node(&node.name, node.op.name()))?;
        changed.extend(node.outputs.iter().zip(results).map(|(id, tensor)| (*id, settle(*id, tensor))));
    }
    Ok(changed)
}

/// Runs a lowered graph once. `see` is called with each layer's index and output.
pub fn run_lowered(
    graph: &Graph<Layer>,
    inputs: &[Tensor],
    see: impl FnMut(usize, &Tensor),
) -> Result<Vec<Tensor>, Error> {
    Steps::new(graph).run(inputs, see)
}

/// Runs a lowered graph again and again: layers that keep something for the next run find it there.
#[derive(Clone, Debug)]
pub struct Steps<'a> {
    graph: &'a Graph<Layer>,
    /// What the layers keep, by position.
    kept: BTreeMap<usize, Tensor>,
}

impl<'a> Steps<'a> {
    /// Before the first run.
    pub fn new(graph: &'a Graph<Layer>) -> Self {
        Self { graph, kept: BTreeMap::new() }
    }

    /// The next run. `see` is called with each layer's index and output.
    pub fn run(&mut self, inputs: &[Tensor], mut see: impl FnMut(usize, &Tensor)) -> Result<Vec<Tensor>, Error> {
        let graph = self.graph;
        let mut values = Values::start(graph, inputs)?;
        for (index, node) in graph.nodes.iter().enumerate() {
            let operands = values.operands(graph, &node.inputs)?;
            let [output] = node.outputs[..] else { return Err(Error::bug("a kernel has one output")) };
            let ty = &graph.value(output).ty;
            let initial = node.op.kernel.initial();
            let mut result = match (self.kept.remove(&index), initial) {
                (Some(kept), _) => kept,
                (None, Some(number)) => Tensor::filled(ty.dtype, &ty.shape, number),
                (None, None) => Tensor::zeros(ty.dtype, &ty.shape),
            };
            node.op.kernel.run(&operands, &mut result);
            see(index, &result);
            if initial.is_some() {
                self.kept.insert(index, result.clone());
            }
            values.set(output, result);
            values.drop_unused(graph, index);
        }
        values.outputs(graph)
    }
}

/// The values that are known at some point of a run.
struct Values {
    tensors: Vec<Option<Arc<Tensor>>>,
    /// The last node that reads each value.
    last_use: Vec<Option<usize>>,
}

impl Values {
    fn start<O>(graph: &Graph<O>, inputs: &[Tensor]) -> Result<Self, Error> {
        if inputs.len() != graph.inputs.len() {
            return Err(Error::bug(format!("{} inputs for {}", inputs.len(), graph.inputs.len())));
        }
        let mut tensors: Vec<_> = graph.values.iter().map(|value| value.constant.clone()).collect();
        for (id, tensor) in graph.inputs.iter().zip(inputs) {
            let ty = &graph.value(*id).ty;
            if tensor.dtype() != ty.dtype || tensor.len() != ty.len() {
                return Err(Error::bug(format!("`{}` is {ty:?}, not {tensor:?}", graph.value(*id).name)));
            }
            tensors[id.index()] = tensor.reshaped(&ty.shape).map(Arc::new);
        }
        let last_use = graph.consumers().iter().map(|readers| readers.last().copied()).collect();
        Ok(Self { tensors, last_use })
    }

    fn operands<O>(&self, graph: &Graph<O>, ids: &[ValueId]) -> Result<Vec<&Tensor>, Error> {
        ids.iter().map(|id| self.get(graph, *id)).collect()
    }

    fn get<O>(&self, graph: &Graph<O>, id: ValueId) -> Result<&Tensor, Error> {
        let missing = || Error::bug(format!("`{}` is read before it is made", graph.value(id).name));
        self.tensors[id.index()].as_deref().ok_or_else(missing)
    }

    fn set(&mut self, id: ValueId, tensor: Tensor) {
        self.tensors[id.index()] = Some(Arc::new(tensor));
    }

    fn drop_unused<O>(&mut self, graph: &Graph<O>, index: usize) {
        for id in &graph.nodes[index].inputs {
            if self.last_use[id.index()] == Some(index) && !graph.is_output(*id) {
                self.tensors[id.index()] = None;
            }
        }
    }

    fn outputs<O>(&self, graph: &Graph<O>) -> Result<Vec<Tensor>, Error> {
        graph.outputs.iter().map(|id| self.get(graph, *id).cloned()).collect()
    }
}
