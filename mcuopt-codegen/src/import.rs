//! The file's graph → operators of the compiler, checked: the stage behind the `onnx` module.

use std::collections::{BTreeMap, BTreeSet};

use crate::builder::{Builder, MAX_ELEMENTS, node_name};
use crate::error::{Error, Errors};
use crate::graph::{Graph, Type, ValueId};
use crate::onnx::{self, Dim};
use crate::ops::{self, Op};
use crate::options::{Bindings, Number};
use crate::tensor::{DType, Tensor, each_element};
use mcuopt_rt::number::Number as Cast;

/// Versions of the `ai.onnx` operator set whose meaning the importers know.
pub const OPSETS: std::ops::RangeInclusive<i64> = 7..=28;

/// A graph, and what the user should know about how it was read.
pub struct Imported {
    /// The graph.
    pub graph: Graph<Op>,
    /// Remarks, a sentence each.
    pub notes: Vec<String>,
}

/// Translates a model, with some inputs and dimensions bound to what the user says. All nodes that cannot be
/// translated are reported together.
pub fn import(model: &onnx::Model, bind: &Bindings) -> Result<Imported, Errors> {
    let opset = opset(model)?;
    check_bindings(&model.graph, bind)?;
    let order = needed_in_order(&model.graph)?;
    let mut graph = Graph::default();
    let mut notes = Vec::new();
    let mut values = BTreeMap::new();
    for info in &model.graph.inputs {
        // Up to IR version 3 the initializers stand among the inputs, too.
        if !model.graph.initializers.contains_key(&info.name) && !model.graph.unreadable.contains_key(&info.name) {
            let ty = input_type(info, bind, &mut notes)?;
            let id = match bind.get(&info.name) {
                Some(numbers) => graph.add_constant(&info.name, bound(&info.name, &ty, numbers)?),
                None => {
                    let id = graph.add_value(&info.name, ty);
                    graph.inputs.push(id);
                    id
                }
            };
            if values.insert(info.name.clone(), id).is_some() {
                return Err(Error::invalid("two inputs have this name").part(format!("input `{}`", info.name)).into());
            }
        }
    }
    for (name, tensor) in &model.graph.initializers {
        let id = graph.add_constant(name, tensor.clone());
        values.insert(name.clone(), id);
    }
    import_nodes(model, opset, &order, &mut graph, &mut values)?;
    for info in &model.graph.outputs {
        match values.get(&info.name) {
            Some(id) => graph.outputs.push(*id),
            None => return Err(Error::invalid("nothing computes it").part(format!("output `{}`", info.name)).into()),
        }
    }
    if graph.outputs.is_empty() {
        return Err(Error::invalid("the graph has no output").into());
    }
    graph.verify()?;
    Ok(Imported { graph, notes })
}

/// The version of the standard operators that the file uses.
fn opset(model: &onnx::Model) -> Result<i64, Error> {
    let version = model.opsets.get("").or(model.opsets.get("ai.onnx")).copied();
    let version = version.ok_or_else(|| Error::invalid("it names no version of the `ai.onnx` operators"))?;
    if OPSETS.contains(&version) {
        return Ok(version);
    }
    let (first, last) = (OPSETS.start(), OPSETS.end());
    Err(Error::unsupported(format!("opset {version}")).instead(format!("an export with opset {first} to {last}")))
}

/// Translates the nodes one by one; a node behind one that failed is passed over in silence.
fn import_nodes(
    model: &onnx::Model,
    opset: i64,
    order: &[&onnx::Node],
    graph: &mut Graph<Op>,
    values: &mut BTreeMap<String, ValueId>,
) -> Result<(), Errors> {
    let mut errors = Vec::new();
    let mut failed: BTreeSet<&str> = BTreeSet::new();
    for node in order {
        if node.inputs.iter().any(|name| failed.contains(name.as_str())) {
            failed.extend(node.outputs.iter().map(String::as_str));
            continue;
        }
        match import_node(model, opset, node, graph, values) {
            Ok(outputs) => {
                for (name, id) in node.outputs.iter().zip(outputs).filter(|(name, _)| !name.is_empty()) {
                    // The name in the file is what errors and layers are known by.
                    if graph.constant(id).is_none() && !graph.inputs.contains(&id) {
                        graph.value_mut(id).name = name.clone();
                    }
                    values.insert(name.clone(), id);
                }
            }
            Err(error) => {
                errors.push(error.at_node(&node_name(node), &node.op_type));
                failed.extend(node.outputs.iter().map(String::as_str));
            }
        }
    }
    Errors::check(errors, ())
}

fn import_node(
    model: &onnx::Model,
    opset: i64,
    node: &onnx::Node,
    graph: &mut Graph<Op>,
    values: &BTreeMap<String, ValueId>,
) -> Result<Vec<ValueId>, Error> {
    if let Some(error) = node.inputs.iter().find_map(|name| model.graph.unreadable.get(name)) {
        return Err(error.clone());
    }
    let Some(import) = ops::importer(&node.domain, &node.op_type) else {
        let name = ops::qualified(&node.domain, &node.op_type);
        return Err(Error::unsupported(format!("the operator {name}"))
            .instead(format!("a model made of: {}", ops::operators().join(", "))));
    };
    let standard = matches!(node.domain.as_str(), "" | "ai.onnx");
    let opset = if standard { opset } else { model.opsets.get(&node.domain).copied().unwrap_or(1) };
    let mut builder = Builder::new(graph, opset, node, values);
    let outputs = import(node, &mut builder)?;
    builder.check_attributes()?;
    Ok(outputs)
}

/// Fails on a binding of something that the model does not have.
fn check_bindings(graph: &onnx::Graph, bind: &Bindings) -> Result<(), Error> {
    let dims = graph.inputs.iter().flat_map(|info| info.shape.iter().flatten());
    let dims = dims.filter_map(|dim| if let Dim::Symbolic(name) = dim { Some(name.as_str()) } else { None });
    let known: BTreeSet<&str> = graph.inputs.iter().map(|info| info.name.as_str()).chain(dims).collect();
    match bind.keys().find(|name| !known.contains(name.as_str())) {
        None => Ok(()),
        Some(name) => {
            let known: Vec<&str> = known.into_iter().collect();
            let message = format!("the model has no input or dimension `{name}`; it has {}", known.join(", "));
            Err(Error::options(message).part("option `bind`"))
        }
    }
}

/// The constant that an input becomes.
fn bound(name: &str, ty: &Type, numbers: &[Number]) -> Result<Tensor, Error> {
    let integers = || numbers.iter().map(|number| number.to_i64());
    let tensor = match ty.dtype {
        DType::Bool => Tensor::new(&ty.shape, integers().map(|value| value != 0).collect::<Vec<bool>>()),
        DType::F32 => Tensor::new(&ty.shape, numbers.iter().map(|number| number.to_f32()).collect::<Vec<f32>>()),
        other => each_element!(other, T => {
            Tensor::new(&ty.shape, integers().map(<T as Cast>::from_i64).collect::<Vec<T>>())
        }),
    };
    tensor.ok_or_else(|| {
        let message = format!("`{name}` is {} {:?}, which {} numbers do not fill", ty.dtype, ty.shape, numbers.len());
        Error::options(message).part("option `bind`")
    })
}

/// The type of a graph input: static, but for dimensions that the user binds, and a batch of unknown size, which
/// becomes 1.
fn input_type(info: &onnx::ValueInfo, bind: &Bindings, notes: &mut Vec<String>) -> Result<Type, Error> {
    let part = || format!("input `{}`", info.name);
    let Some(dtype) = info.dtype else {
        return Err(Error::unsupported(format!("an input of type {}", info.type_name))
            .instead("tensor(float)")
            .part(part()));
    };
    let Some(dims) = &info.shape else {
        let error = Error::unsupported("its shape is not in the file");
        return Err(error.instead("an export with fixed input shapes").part(part()));
    };
    let mut shape = Vec::with_capacity(dims.len());
    for (axis, dim) in dims.iter().enumerate() {
        let numbers = if let Dim::Symbolic(name) = dim { bind.get(name) } else { None };
        match (dim, numbers.map(Vec::as_slice)) {
            (Dim::Known(extent), _) => shape.push(*extent),
            (Dim::Symbolic(name), Some(numbers)) => {
                let size = match numbers {
                    [number] => usize::try_from(number.to_i64()).ok().filter(|size| *size > 0),
                    _ => None,
                };
                let wrong = || Error::options(format!("the dimension `{name}` takes one number above 0"));
                shape.push(size.ok_or_else(|| wrong().part("option `bind`"))?);
            }
            (Dim::Symbolic(_) | Dim::Unknown, _) if axis == 0 => {
                notes.push(format!(
                    "the batch dimension of input `{}` is not fixed in the file: it is taken as 1",
                    info.name
                ));
                shape.push(1);
            }
            (dim, _) => {
                let (name, instead) = match dim {
                    Dim::Symbolic(name) => (format!("`{name}`"), format!(", or its size: bind = {{ {name} = 16 }}")),
                    _ => ("unknown".to_string(), String::new()),
                };
                return Err(Error::unsupported(format!("axis {axis} of its shape is {name}, known only at run time"))
                    .instead(format!("an export with fixed input shapes{instead}"))
                    .part(part()));
            }
        }
    }
    let count = shape.iter().try_fold(1usize, |count, &extent| count.checked_mul(extent));
    if count.is_none_or(|count| count > MAX_ELEMENTS || (count == 0 && !bind.contains_key(&info.name))) {
        return Err(Error::invalid(format!("its shape {shape:?} is empty or too large")).part(part()));
    }
    Ok(Type { dtype, shape })
}

/// The nodes that the outputs depend on, each behind what it reads.
fn needed_in_order(graph: &onnx::Graph) -> Result<Vec<&onnx::Node>, Errors> {
    let given: BTreeSet<&str> = (graph.inputs.iter().map(|info| info.name.as_str()))
        .chain(graph.initializers.keys().map(String::as_str))
        .chain(graph.unreadable.keys().map(String::as_str))
        .collect();
    let mut producers: BTreeMap<&str, usize> = BTreeMap::new();
    for (index, node) in graph.nodes.iter().enumerate() {
        for output in node.outputs.iter().filter(|name| !name.is_empty()) {
            if producers.insert(output, index).is_some() || given.contains(output.as_str()) {
                let error = Error::invalid(format!("`{output}` has two producers"));
                return Err(error.at_node(&node_name(node), &node.op_type).into());
            }
        }
    }
    #[derive(Clone, Copy, PartialEq)]
    enum Mark {
        New,
        Open,
        Done,
    }
    let mut marks = vec![Mark::New; graph.nodes.len()];
    let mut order = Vec::new();
    // Depth first, with an explicit stack: a hostile file may be deep.
    let mut stack: Vec<(usize, usize)> = Vec::new();
    for output in &graph.outputs {
        if let Some(&index) = producers.get(output.name.as_str()) {
            stack.push((index, 0));
        }
        while let Some((index, position)) = stack.pop() {
            let node = &graph.nodes[index];
            if marks[index] == Mark::Done {
                continue;
            }
            if position == 0 && marks[index] == Mark::Open {
                let error = Error::invalid("it depends on its own output: the graph has a cycle");
                return Err(error.at_node(&node_name(node), &node.op_type).into());
            }
            marks[index] = Mark::Open;
            let Some(name) = node.inputs.get(position) else {
                marks[index] = Mark::Done;
                order.push(index);
                continue;
            };
            stack.push((index, position + 1));
            match producers.get(name.as_str()) {
                Some(&source) => stack.push((source, 0)),
                None if name.is_empty() || given.contains(name.as_str()) => {}
                None => {
                    let error = Error::invalid(format!("nothing makes `{name}`")).part(format!("input {position}"));
                    return Err(error.at_node(&node_name(node), &node.op_type).into());
                }
            }
        }
    }
    // Independent nodes keep the file's order, which the schedule starts from.
    let needed: BTreeSet<usize> = order.iter().copied().collect();
    let mut ready: BTreeSet<&str> = given;
    ready.insert("");
    let mut sorted = Vec::with_capacity(order.len());
    let mut waiting: Vec<usize> = needed.into_iter().collect();
    if waiting.iter().all(|&index| {
        let fits = graph.nodes[index].inputs.iter().all(|name| ready.contains(name.as_str()));
        ready.extend(graph.nodes[index].outputs.iter().map(String::as_str));
        fits
    }) {
        sorted.append(&mut waiting);
    } else {
        sorted = order;
    }
    Ok(sorted.into_iter().map(|index| &graph.nodes[index]).collect())
}
