//! The nodes of a graph or function that its outputs depend on, each behind what it reads.

use std::collections::{BTreeMap, BTreeSet};

use super::scope::Scope;
use crate::builder::node_name;
use crate::error::Error;
use crate::onnx::{Attribute, Graph, Node};

/// The graphs among a node's attributes.
pub(super) fn graphs(node: &Node) -> impl Iterator<Item = &Graph> {
    node.attributes.values().flat_map(|attribute| match attribute {
        Attribute::Graph(graph) => std::slice::from_ref(graph),
        Attribute::Graphs(graphs) => graphs,
        _ => &[],
    })
}

/// What a node reads: its operands, and what its graphs take from around them.
pub(super) fn reads(node: &Node) -> Vec<&str> {
    let mut names: Vec<&str> = node.inputs.iter().map(String::as_str).filter(|name| !name.is_empty()).collect();
    for graph in graphs(node) {
        let own: BTreeSet<&str> = (graph.inputs.iter().map(|info| info.name.as_str()))
            .chain(graph.initializers.keys().map(String::as_str))
            .chain(graph.unreadable.keys().map(String::as_str))
            .chain(graph.nodes.iter().flat_map(|node| node.outputs.iter().map(String::as_str)))
            .collect();
        let results = graph.outputs.iter().map(|info| info.name.as_str());
        let inner = graph.nodes.iter().flat_map(reads).chain(results);
        names.extend(inner.filter(|name| !own.contains(name)));
    }
    names
}

/// Sorts `nodes`, where `scope` holds what is given before the first of them. Independent nodes keep the file's
/// order, which the schedule starts from.
pub(super) fn needed_in_order<'n>(
    nodes: &'n [Node],
    outputs: &[&str],
    scope: &Scope<'_>,
) -> Result<Vec<&'n Node>, Error> {
    let mut producers: BTreeMap<&str, usize> = BTreeMap::new();
    for (index, node) in nodes.iter().enumerate() {
        for output in node.outputs.iter().filter(|name| !name.is_empty()) {
            if producers.insert(output, index).is_some() || scope.is_own(output) {
                let error = Error::invalid(format!("`{output}` has two producers"));
                return Err(error.at_node(&node_name(node), &node.op_type));
            }
        }
    }
    #[derive(Clone, Copy, PartialEq)]
    enum Mark {
        New,
        Open,
        Done,
    }
    let reads: Vec<Vec<&str>> = nodes.iter().map(reads).collect();
    let mut marks = vec![Mark::New; nodes.len()];
    let mut order = Vec::new();
    // Depth first, with an explicit stack: a hostile file may be deep.
    let mut stack: Vec<(usize, usize)> = Vec::new();
    for output in outputs {
        if let Some(&index) = producers.get(output) {
            stack.push((index, 0));
        }
        while let Some((index, position)) = stack.pop() {
            let node = &nodes[index];
            if marks[index] == Mark::Done {
                continue;
            }
            if position == 0 && marks[index] == Mark::Open {
                let error = Error::invalid("it depends on its own output: the graph has a cycle");
                return Err(error.at_node(&node_name(node), &node.op_type));
            }
            marks[index] = Mark::Open;
            let Some(name) = reads[index].get(position) else {
                marks[index] = Mark::Done;
                order.push(index);
                continue;
            };
            stack.push((index, position + 1));
            match producers.get(name) {
                Some(&source) => stack.push((source, 0)),
                None if scope.get(name).is_some() => {}
                None => {
                    let operand = node.inputs.iter().position(|input| input == name);
                    let part = operand.map_or("its graphs".to_string(), |position| format!("input {position}"));
                    let error = Error::invalid(format!("nothing makes `{name}`")).part(part);
                    return Err(error.at_node(&node_name(node), &node.op_type));
                }
            }
        }
    }
    let mut sorted = order.clone();
    sorted.sort_unstable();
    let mut made: BTreeSet<&str> = BTreeSet::new();
    let fits = sorted.iter().all(|&index| {
        let ready = reads[index].iter().all(|name| made.contains(name) || !producers.contains_key(name));
        made.extend(nodes[index].outputs.iter().map(String::as_str));
        ready
    });
    let order = if fits { sorted } else { order };
    Ok(order.into_iter().map(|index| &nodes[index]).collect())
}
