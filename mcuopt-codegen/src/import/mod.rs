//! The file's graph → operators of the compiler, checked: the stage behind the `onnx` module.
//!
//! Functions are inlined and control flow is unrolled here, so that no later stage knows of either.

mod control;
mod function;
mod older;
mod order;
mod ports;
mod scope;
mod unknown;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use crate::builder::{Builder, node_name};
use crate::error::{Error, Errors};
use crate::graph::{Graph, Node, ValueId};
use crate::onnx::{self, Attribute};
use crate::ops::{self, Op};
use crate::options::Bindings;

use order::needed_in_order;
use scope::{Meaning, Scope};
use unknown::Unknown;

/// Versions of the `ai.onnx` operator set whose meaning the importers know.
pub const OPSETS: std::ops::RangeInclusive<i64> = 6..=28;

/// Nodes that functions and loops may come to, each counted as often as it is there after inlining and unrolling.
pub const MAX_UNROLLED: usize = 4096;

/// How deep functions and bodies of control flow may lie in each other.
const MAX_DEPTH: usize = 64;

/// A graph, and what the user should know about how it was read.
pub struct Imported {
    /// The graph.
    pub graph: Graph<Op>,
    /// Remarks, a sentence each.
    pub notes: Vec<String>,
}

/// Whether nodes of an operator can be imported, as far as the operator's name says: by an importer, as a function of the
/// file, or as control flow.
pub fn knows(model: &onnx::Model, domain: &str, op_type: &str) -> bool {
    let defined = model.functions.iter().any(|function| function.domain == domain && function.name == op_type);
    let controls = domain.is_empty() && control::OPERATORS.contains(&op_type);
    defined || controls || ops::importer(domain, op_type).is_some()
}

/// Translates a model, with some inputs and dimensions bound to what the user says. All nodes that cannot be
/// translated are reported together.
pub fn import(model: &onnx::Model, bind: &Bindings) -> Result<Imported, Errors> {
    let mut importer = Importer {
        functions: model.functions.iter().map(|f| ((f.domain.as_str(), f.name.as_str()), f)).collect(),
        four_bits: four_bits(&model.graph),
        graph: Graph::default(),
        notes: Vec::new(),
        errors: Vec::new(),
        unknown: Unknown::default(),
        unrolled: 0,
        open: Vec::new(),
    };
    let place = Place { opsets: &model.opsets, prefix: "", arguments: None };
    place.check_opset()?;
    let mut scope = Scope::default();
    importer.constants(&model.graph, &mut scope);
    importer.inputs(&model.graph, bind, &mut scope)?;
    let outputs: Vec<&str> = model.graph.outputs.iter().map(|info| info.name.as_str()).collect();
    let order = needed_in_order(&model.graph.nodes, &outputs, &scope)?;
    importer.nodes(&order, &place, &mut scope);
    importer.outputs(&outputs, &scope);
    let Importer { graph, mut notes, mut errors, unknown, .. } = importer;
    errors.extend(unknown.errors());
    Errors::check(errors, ())?;
    graph.verify()?;
    let wide = |node: &&Node<Op>| {
        let integers = node.outputs.iter().map(|id| graph.value(*id).ty.dtype);
        matches!(node.op, Op::QuantizeBy(_)) && integers.into_iter().any(|dtype| dtype.size() == 2)
    };
    match graph.nodes.iter().filter(wide).count() {
        0 => {}
        count => notes.push(format!(
            "{count} activations are quantized to 16 bits in the file: they are rounded so, but computed in float32"
        )),
    }
    Ok(Imported { graph, notes })
}

/// The state of a translation.
struct Importer<'m> {
    functions: BTreeMap<(&'m str, &'m str), &'m onnx::Function>,
    /// Values of the model's graph that have 4 bits in the file.
    four_bits: BTreeSet<&'m str>,
    graph: Graph<Op>,
    notes: Vec<String>,
    errors: Vec<Error>,
    unknown: Unknown,
    /// Nodes inside functions and loops so far.
    unrolled: usize,
    /// The functions and bodies around the present node; a function by its domain and name.
    open: Vec<(&'m str, &'m str)>,
}

/// Where a node stands: in the graph, or inside functions and bodies of control flow.
#[derive(Clone, Copy)]
struct Place<'a> {
    /// The versions of operator sets that hold here.
    opsets: &'a BTreeMap<String, i64>,
    /// Names of the nodes around, each with a slash behind it.
    prefix: &'a str,
    /// In a function: the attributes that the caller gave it, or their defaults.
    arguments: Option<&'a BTreeMap<String, Attribute>>,
}

impl Place<'_> {
    /// The version of an operator set.
    fn version(&self, domain: &str) -> Option<i64> {
        // ONNX's own domain has two spellings.
        let found = self.opsets.get(domain).or_else(|| self.opsets.get("ai.onnx").filter(|_| domain.is_empty()));
        found.copied()
    }

    /// Fails if the standard operators have a version that is not known; a file without them need not name one.
    /// Nodes of versions before the known ones are looked at one by one.
    fn check_opset(&self) -> Result<(), Error> {
        let known = |version: &i64| (1..=*OPSETS.end()).contains(version);
        self.version("").filter(|version| !known(version)).map_or(Ok(()), |version| Err(not_known(version)))
    }

    /// The name by which messages and layers call a node.
    fn label(&self, node: &onnx::Node) -> String {
        format!("{}{}", self.prefix, node_name(node))
    }

    /// The node with the function's arguments in place of references to them.
    fn resolved<'n>(&self, node: &'n onnx::Node, scope: &Scope<'_>) -> Result<Cow<'n, onnx::Node>, Error> {
        let mut node = Cow::Borrowed(node);
        if self.arguments.is_some() {
            node.to_mut().attributes = function::substitute(&node.attributes, self.arguments);
        }
        if node.inputs.iter().any(|name| matches!(scope.get(name), Some(Meaning::Absent))) {
            let absent = |name: &&mut String| matches!(scope.get(name), Some(Meaning::Absent));
            node.to_mut().inputs.iter_mut().filter(absent).for_each(String::clear);
        }
        let unreadable = node.attributes.values().find_map(|attribute| match attribute {
            Attribute::Unreadable(error) => Some(error.clone()),
            _ => None,
        });
        unreadable.map_or(Ok(node), Err)
    }
}

/// The values that the file says to have 4 bits.
fn four_bits(graph: &onnx::Graph) -> BTreeSet<&str> {
    let infos = graph.inputs.iter().chain(&graph.outputs).chain(&graph.value_infos);
    let narrow = infos.filter(|info| matches!(info.type_name.as_str(), "tensor(int4)" | "tensor(uint4)"));
    narrow.map(|info| info.name.as_str()).collect()
}

/// Says that the importers do not know a version.
fn not_known(version: i64) -> Error {
    let (first, last) = (OPSETS.start(), OPSETS.end());
    Error::unsupported(format!("opset {version}")).instead(format!("an export with opset {first} to {last}"))
}

/// The operator as messages name it.
fn operator(node: &onnx::Node) -> String {
    if node.domain.is_empty() { node.op_type.clone() } else { format!("{}.{}", node.domain, node.op_type) }
}

impl<'m> Importer<'m> {
    /// Makes the constants of a graph known.
    fn constants(&mut self, source: &onnx::Graph, scope: &mut Scope<'_>) {
        for (name, tensor) in &source.initializers {
            let id = self.graph.add_constant(name, tensor.clone());
            scope.define(name, Meaning::Value(id));
        }
        for (name, error) in &source.unreadable {
            scope.define(name, Meaning::Refused(error.clone()));
        }
    }

    /// Translates nodes one by one; a node behind one that failed is passed over in silence, but for operators
    /// that are unknown.
    fn nodes(&mut self, order: &[&onnx::Node], place: &Place<'_>, scope: &mut Scope<'_>) {
        for node in order {
            let known = self.graph.values.len();
            let failed = |name: &String| matches!(scope.get(name), Some(Meaning::Failed));
            // The node that went beyond the limit is reported, those behind it are not.
            let outputs = if self.unrolled > MAX_UNROLLED {
                Err(())
            } else if node.inputs.iter().any(failed) {
                self.note_unknown(node, place);
                Err(())
            } else {
                self.node(node, place, scope).map_err(|error| self.report(error, node, place))
            };
            for (index, name) in node.outputs.iter().enumerate().filter(|(_, name)| !name.is_empty()) {
                let missing = || Error::unsupported("it is not computed").part(format!("output {index} (`{name}`)"));
                let meaning = match &outputs {
                    Ok(outputs) => outputs
                        .get(index)
                        .cloned()
                        .unwrap_or_else(|| Meaning::Refused(missing().at_node(&place.label(node), &operator(node)))),
                    Err(()) => Meaning::Failed,
                };
                // The name in the file is what errors and layers are known by. What a body hands on keeps its own.
                if let Meaning::Value(id) = meaning
                    && (place.prefix.is_empty() || id.index() >= known)
                    && self.graph.constant(id).is_none()
                    && !self.graph.inputs.contains(&id)
                {
                    self.graph.value_mut(id).name = format!("{}{name}", place.prefix);
                }
                scope.define(name, meaning);
            }
        }
    }

    /// Adds an error of a node to the list, with its place.
    fn report(&mut self, error: Error, node: &onnx::Node, place: &Place<'_>) {
        let domain = if node.domain.is_empty() { "ai.onnx" } else { &node.domain };
        let version = place.version(&node.domain).map_or(domain.to_string(), |version| format!("{domain} {version}"));
        self.errors.push(error.at_node(&place.label(node), &operator(node)).in_opset(version));
    }

    /// Translates one node; returns what its outputs stand for.
    fn node(&mut self, node: &onnx::Node, place: &Place<'_>, scope: &Scope<'_>) -> Result<Vec<Meaning>, Error> {
        if !place.prefix.is_empty() {
            self.spend(1)?;
        }
        for name in &node.inputs {
            if let Some(Meaning::Refused(error)) = scope.get(name) {
                return Err(error.clone());
            }
        }
        let node = place.resolved(node, scope)?;
        if let Some(function) = self.functions.get(&(node.domain.as_str(), node.op_type.as_str())) {
            return self.call(function, &node, place, scope);
        }
        if let Some(meanings) = self.control(&node, place, scope)? {
            return Ok(meanings);
        }
        let Some(import) = ops::importer(&node.domain, &node.op_type) else {
            self.unknown.note(&node, place);
            // Reported with its like, once for all of them.
            return Ok(node.outputs.iter().map(|_| Meaning::Failed).collect());
        };
        let missing = || Error::invalid("the file names no version of the `ai.onnx` operators");
        let version = place.version(&node.domain).or((!node.domain.is_empty()).then_some(1));
        let opset = version.ok_or_else(missing)?;
        let values = node.inputs.iter().filter_map(|name| match scope.get(name) {
            Some(Meaning::Value(id)) => Some((name.clone(), *id)),
            _ => None,
        });
        let mut values: BTreeMap<String, ValueId> = values.collect();
        let mut node = node;
        if node.domain.is_empty() && opset < 7 {
            let old = node.clone();
            let mut builder = Builder::new(&mut self.graph, opset, &old, &values);
            builder.name = place.label(&node);
            if let Some(operand) = older::modernise(node.to_mut(), &mut builder)? {
                // A name that no file has: it would not be valid there.
                let name = format!("{} along an axis", node.inputs[1]);
                values.insert(name.clone(), operand);
                node.to_mut().inputs[1] = name;
            }
        }
        let mut builder = Builder::new(&mut self.graph, opset, &node, &values);
        builder.name = place.label(&node);
        builder.four_bits = place.arguments.is_none()
            && node.outputs.iter().chain(&node.inputs).any(|name| self.four_bits.contains(name.as_str()));
        let outputs = import(&node, &mut builder)?;
        builder.check_attributes()?;
        let notes = builder.notes;
        self.notes.extend(notes);
        Ok(outputs.into_iter().map(Meaning::Value).collect())
    }

    /// Counts nodes of functions and loops.
    fn spend(&mut self, nodes: usize) -> Result<(), Error> {
        self.unrolled = self.unrolled.saturating_add(nodes);
        if self.unrolled <= MAX_UNROLLED {
            return Ok(());
        }
        Err(Error::unsupported(format!("functions and loops that come to more than {MAX_UNROLLED} nodes in all"))
            .instead("fewer iterations, or the loop in the program that calls the model"))
    }

    /// Looks for unknown operators in a node that is passed over.
    fn note_unknown(&mut self, node: &onnx::Node, place: &Place<'_>) {
        let function = self.functions.get(&(node.domain.as_str(), node.op_type.as_str())).copied();
        let controls = node.domain.is_empty() && control::OPERATORS.contains(&node.op_type.as_str());
        let known = controls || ops::importer(&node.domain, &node.op_type).is_some();
        match function {
            Some(function) if self.unknown.enter(&function.domain, &function.name) => {
                let prefix = format!("{}/", place.label(node));
                let inner = Place { opsets: &function.opsets, prefix: &prefix, arguments: None };
                function.nodes.iter().for_each(|node| self.note_unknown(node, &inner));
            }
            None if !known => self.unknown.note(node, place),
            _ => {}
        }
        for graph in order::graphs(node) {
            let prefix = format!("{}/", place.label(node));
            graph.nodes.iter().for_each(|node| self.note_unknown(node, &Place { prefix: &prefix, ..*place }));
        }
    }

    /// Makes the named values the outputs of the graph.
    fn outputs(&mut self, names: &[&str], scope: &Scope<'_>) {
        for name in names {
            let part = format!("output `{name}`");
            match scope.get(name) {
                Some(Meaning::Value(id)) => self.graph.outputs.push(*id),
                Some(Meaning::Refused(error)) => self.errors.push(error.clone().part(part)),
                Some(Meaning::Failed) => {}
                Some(Meaning::Absent) | None => self.errors.push(Error::invalid("nothing computes it").part(part)),
            }
        }
        if names.is_empty() {
            self.errors.push(Error::invalid("the graph has no output"));
        }
    }
}

/// The value that a meaning is.
fn value(meaning: &Meaning) -> Result<ValueId, Error> {
    match meaning {
        Meaning::Value(id) => Ok(*id),
        Meaning::Refused(error) => Err(error.clone()),
        Meaning::Failed | Meaning::Absent => Err(Error::bug("a result is missing")),
    }
}
