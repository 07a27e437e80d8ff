//! Errors, each drawn with the node that it speaks of, and that node's neighbours in the file.
//!
//! ```text
//! error: model.onnx: node `blur` (Blur): not supported: the operator Blur; what works: … [ai.onnx 17]
//!
//!       ┌─ conv1 (Conv) ─ y  float[1, 8, 16, 16]
//!       ├─ k  constant float[3, 3]
//!     ▶ blur (Blur)
//!       ├─ z ─ relu (Relu)
//!       └─ z ─ output
//! ```

use std::path::Path;

use mcuopt_codegen::builder::node_name;
use mcuopt_codegen::onnx::{Attribute, Dim, Graph, Model, Node, ValueInfo};
use mcuopt_codegen::{Error, Errors};
use serde_json::{Value, json};

use crate::answer::{BAD, BOLD, DIM, NAME};

/// Neighbours on a side that are shown; of a hub's hundred readers, the first say enough.
const MOST_NEIGHBOURS: usize = 6;

/// The errors as text.
pub(crate) fn draw(errors: &Errors, model: &Path) -> String {
    // A file that cannot be read has no neighbourhoods, and the error says why.
    let model = Model::read(model).ok();
    let mut text = String::new();
    for error in errors.iter() {
        text.push_str(&format!("{BAD}error:{BAD:#} {error}\n"));
        if let Some(drawing) = model.as_ref().and_then(|model| neighbourhood(model, &error.site.node)) {
            text.push_str(&format!("\n{drawing}\n"));
        }
    }
    text
}

/// The errors as a list of objects: file, node, operator, part and opset (where they apply), and message.
pub(crate) fn json(errors: &Errors) -> Value {
    let one = |error: &Error| {
        let site = &error.site;
        let known = |text: &String| (!text.is_empty()).then(|| text.clone());
        json!({
            "file": known(&site.file),
            "node": known(&site.node),
            "operator": known(&site.op),
            "part": known(&site.part),
            "opset": known(&site.opset),
            "message": error.kind.to_string(),
        })
    };
    errors.iter().map(one).collect()
}

/// A node of the file with its producers and consumers; `None` if the file has none of this name.
fn neighbourhood(model: &Model, name: &str) -> Option<String> {
    if name.is_empty() {
        return None;
    }
    // Nodes inside functions and bodies have the names of the nodes around them before their own.
    let (graph, node) = find(&model.graph, name).or_else(|| {
        let outer = name.split('/').scan(String::new(), |path, part| {
            path.push_str(if path.is_empty() { "" } else { "/" });
            path.push_str(part);
            Some(path.clone())
        });
        outer.collect::<Vec<_>>().iter().rev().find_map(|outer| find(&model.graph, outer))
    })?;
    let mut lines = Vec::new();
    let sources = node.inputs.iter().filter(|name| !name.is_empty()).map(|name| source(graph, name));
    push(&mut lines, sources.collect(), true);
    lines.push(format!("  {BAD}▶{BAD:#} {BOLD}{}{BOLD:#}", label(node)));
    let readers = node.outputs.iter().filter(|name| !name.is_empty()).flat_map(|name| readers(graph, name));
    push(&mut lines, readers.collect(), false);
    Some(lines.iter().map(|line| format!("  {line}\n")).collect())
}

/// Neighbours as the branches of a small tree above or below the node.
fn push(lines: &mut Vec<String>, mut neighbours: Vec<String>, above: bool) {
    let count = neighbours.len();
    if count > MOST_NEIGHBOURS {
        neighbours.truncate(MOST_NEIGHBOURS - 1);
        neighbours.push(format!("… and {} more", count + 1 - MOST_NEIGHBOURS));
    }
    let last = neighbours.len().saturating_sub(1);
    for (index, neighbour) in neighbours.into_iter().enumerate() {
        let branch = match (above, index) {
            (true, 0) => "┌─",
            (false, index) if index == last => "└─",
            _ => "├─",
        };
        lines.push(format!("    {DIM}{branch}{DIM:#} {neighbour}"));
    }
}

/// The node of a name, in the graph or in the bodies of its control flow, and the graph that it stands in.
fn find<'m>(graph: &'m Graph, name: &str) -> Option<(&'m Graph, &'m Node)> {
    if let Some(node) = graph.nodes.iter().find(|node| node_name(node) == name) {
        return Some((graph, node));
    }
    let attributes = graph.nodes.iter().flat_map(|node| node.attributes.values());
    let bodies = attributes.flat_map(|attribute| match attribute {
        Attribute::Graph(body) => std::slice::from_ref(body),
        Attribute::Graphs(bodies) => bodies,
        _ => &[],
    });
    bodies.into_iter().find_map(|body| find(body, name))
}

fn label(node: &Node) -> String {
    let domain = if node.domain.is_empty() { String::new() } else { format!("{}.", node.domain) };
    format!("{} ({domain}{})", node_name(node), node.op_type)
}

/// Where an operand comes from.
fn source(graph: &Graph, name: &str) -> String {
    let producer = graph.nodes.iter().find(|node| node.outputs.iter().any(|output| output == name));
    if let Some(producer) = producer {
        let line = format!("{} ─ {NAME}{name}{NAME:#}  {}", label(producer), described(graph, name));
        return line.trim_end().to_string();
    }
    if let Some(constant) = graph.initializers.get(name) {
        return format!("{NAME}{name}{NAME:#}  constant {}{:?}", constant.dtype(), constant.shape());
    }
    let kind = if graph.inputs.iter().any(|info| info.name == name) { "input" } else { "from outside" };
    format!("{NAME}{name}{NAME:#}  {kind} {}", described(graph, name)).trim_end().to_string()
}

/// Who reads a result.
fn readers(graph: &Graph, name: &str) -> Vec<String> {
    let nodes = graph.nodes.iter().filter(|node| node.inputs.iter().any(|input| input == name));
    let mut readers: Vec<String> = nodes.map(|node| format!("{NAME}{name}{NAME:#} ─ {}", label(node))).collect();
    if graph.outputs.iter().any(|output| output.name == name) {
        readers.push(format!("{NAME}{name}{NAME:#} ─ output of the model"));
    }
    readers
}

/// Type and shape of a value, as far as the file says.
fn described(graph: &Graph, name: &str) -> String {
    let mut infos = graph.value_infos.iter().chain(&graph.inputs).chain(&graph.outputs);
    infos.find(|info| info.name == name).map(type_of).unwrap_or_default()
}

/// `float[1, batch, ?]`.
pub(crate) fn type_of(info: &ValueInfo) -> String {
    let element = info.type_name.strip_prefix("tensor(").and_then(|name| name.strip_suffix(')'));
    let element = element.unwrap_or(&info.type_name);
    match &info.shape {
        Some(dims) => format!("{element}[{}]", dims.iter().map(dim).collect::<Vec<_>>().join(", ")),
        None => element.to_string(),
    }
}

/// A dimension as a number, a name or `?`.
pub(crate) fn dim(dim: &Dim) -> String {
    match dim {
        Dim::Known(size) => size.to_string(),
        Dim::Symbolic(name) => name.clone(),
        Dim::Unknown => "?".into(),
    }
}
