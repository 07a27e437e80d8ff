//! int64 as int32 where the values fit: half the memory, and one word where a 32-bit core would need two.
//!
//! ONNX makes every index, length and position int64. [`Operator::bounds`](crate::ops::Operator::bounds) says what the
//! elements of a result can be; a value that always fits int32 becomes int32 if all operators at its two ends can do with
//! that. The graph's inputs and outputs keep the file's type: an operator reads or writes them as they are, so that no
//! conversion is added anywhere.

use std::collections::{BTreeMap, BTreeSet};

use ndarray::ArrayD;

use crate::bounds::{Bounds, Known};
use crate::error::Error;
use crate::graph::{Graph, Node, Type, ValueId};
use crate::ops::Op;
use crate::tensor::{DType, Tensor};

/// Gives int64 values the type int32 where nothing can be lost; returns how many.
pub fn narrow(graph: &mut Graph<Op>) -> Result<usize, Error> {
    let mut narrowed = candidates(graph);
    // Each node that cannot do with int32 takes its values out, which may change what the nodes around it can do.
    loop {
        let before = narrowed.len();
        for node in &graph.nodes {
            if !narrowed.is_empty() && form(graph, node, &narrowed).is_none() {
                for id in node.inputs.iter().chain(&node.outputs) {
                    narrowed.remove(id);
                }
            }
        }
        if narrowed.len() == before {
            break;
        }
    }
    if !narrowed.is_empty() {
        apply(graph, &narrowed)?;
    }
    Ok(narrowed.len())
}

/// The int64 values inside the graph whose elements fit int32.
fn candidates(graph: &Graph<Op>) -> BTreeSet<ValueId> {
    let mut bounds: Vec<Bounds> = graph.values.iter().map(|value| Bounds::of_type(value.ty.dtype)).collect();
    for id in graph.ids() {
        if let Some(tensor) = graph.constant(id) {
            bounds[id.index()] = Bounds::of_constant(tensor);
        }
    }
    let mut found = BTreeSet::new();
    for node in &graph.nodes {
        let operands: Vec<Known<'_>> =
            node.inputs.iter().map(|id| Known { ty: &graph.value(*id).ty, bounds: bounds[id.index()] }).collect();
        let [output] = node.outputs[..] else { continue };
        let dtype = graph.value(output).ty.dtype;
        let own = Bounds::of_type(dtype);
        // Bounds do not hold what uint64 does. What leaves the type wraps around, and then is any number of it.
        let signed = operands.iter().all(|operand| operand.ty.dtype != DType::U64);
        let result = node.op.bounds(&operands).filter(|result| result.within(own) && signed).unwrap_or(own);
        bounds[output.index()] = result;
        if dtype == DType::I64 && fits(result) && !graph.is_output(output) {
            found.insert(output);
        }
    }
    found
}

fn fits(bounds: Bounds) -> bool {
    bounds.within(Bounds::of_type(DType::I32))
}

/// The operator with `narrowed` values in int32; `None` if there is no such form.
///
/// Its int64 operands are narrowed together, constants among them, but for indices, whose type does not matter.
fn form(graph: &Graph<Op>, node: &Node<Op>, narrowed: &BTreeSet<ValueId>) -> Option<Op> {
    let touched = node.inputs.iter().chain(&node.outputs).any(|id| narrowed.contains(id));
    if !touched {
        return Some(node.op.clone());
    }
    let types: Vec<Type> = (0..node.inputs.len()).map(|operand| operand_type(graph, node, operand, narrowed)).collect();
    let tied = tied(graph, node);
    let narrow = tied.iter().filter(|&&operand| types[operand].dtype == DType::I32).count();
    if narrow != 0 && narrow != tied.len() {
        return None;
    }
    let [output] = node.outputs[..] else { return None };
    let mut expected = graph.value(output).ty.clone();
    if narrowed.contains(&output) {
        expected.dtype = DType::I32;
    }
    let makes = |op: &Op| {
        let types: Vec<&Type> = types.iter().collect();
        op.infer(&types).is_ok_and(|types| types == [expected.clone()])
    };
    let forms = [Some(node.op.clone()), node.op.narrowed()];
    forms.into_iter().flatten().find(makes)
}

/// The type of an operand once `narrowed` values are int32: a constant has that of the values it stands beside.
fn operand_type(graph: &Graph<Op>, node: &Node<Op>, operand: usize, narrowed: &BTreeSet<ValueId>) -> Type {
    let id = node.inputs[operand];
    let ty = graph.value(id).ty.clone();
    let follows = |id: ValueId| match graph.constant(id) {
        Some(tensor) => follows_others(graph, node, operand, narrowed) && fits(Bounds::of_constant(tensor)),
        None => narrowed.contains(&id),
    };
    let dtype = if ty.dtype == DType::I64 && follows(id) { DType::I32 } else { ty.dtype };
    Type { dtype, ..ty }
}

/// The int64 operands that change their type together: all but indices.
fn tied(graph: &Graph<Op>, node: &Node<Op>) -> Vec<usize> {
    let free = node.op.indices();
    let is_tied =
        |operand: &usize| !free.contains(operand) && graph.value(node.inputs[*operand]).ty.dtype == DType::I64;
    (0..node.inputs.len()).filter(is_tied).collect()
}

/// Whether a constant operand becomes int32: an index does, and what stands beside operands that do.
fn follows_others(graph: &Graph<Op>, node: &Node<Op>, operand: usize, narrowed: &BTreeSet<ValueId>) -> bool {
    if node.op.built_in().contains(&operand) || node.op.indices().contains(&operand) {
        return node.op.indices().contains(&operand);
    }
    let beside = tied(graph, node).into_iter().map(|other| node.inputs[other]);
    let mut computed = beside.filter(|id| graph.constant(*id).is_none()).peekable();
    match computed.peek() {
        Some(_) => computed.all(|id| narrowed.contains(&id)),
        // A table of constants, from which the result has its type.
        None => node.outputs.iter().all(|output| narrowed.contains(output)),
    }
}

fn apply(graph: &mut Graph<Op>, narrowed: &BTreeSet<ValueId>) -> Result<(), Error> {
    let mut constants: BTreeMap<ValueId, ValueId> = BTreeMap::new();
    for index in 0..graph.nodes.len() {
        let node = graph.nodes[index].clone();
        let Some(op) = form(graph, &node, narrowed) else {
            return Err(Error::bug(format!("`{}` has no form with int32", node.name)));
        };
        for operand in 0..node.inputs.len() {
            let id = node.inputs[operand];
            let Some(tensor) = graph.constant(id) else { continue };
            let touched = node.inputs.iter().chain(&node.outputs).any(|id| narrowed.contains(id));
            if !touched || tensor.dtype() == operand_type(graph, &node, operand, narrowed).dtype {
                continue;
            }
            let copy = match constants.get(&id) {
                Some(copy) => *copy,
                None => {
                    let values = as_i32(tensor)?;
                    let name = graph.value(id).name.clone();
                    graph.add_constant(name, values)
                }
            };
            constants.insert(id, copy);
            graph.nodes[index].inputs[operand] = copy;
        }
        graph.nodes[index].op = op;
    }
    for id in narrowed {
        graph.value_mut(*id).ty.dtype = DType::I32;
    }
    Ok(())
}

fn as_i32(tensor: &Tensor) -> Result<Tensor, Error> {
    let values = tensor.to_i64s().unwrap_or_default().into_iter().map(|value| value as i32).collect();
    let array = ArrayD::from_shape_vec(tensor.shape(), values);
    array.map(Tensor::from).map_err(|_| Error::bug("a constant changed its size"))
}
