//! Operators that the file defines itself: their bodies take the place of the calls.
//!
//! <https://onnx.ai/onnx/repo-docs/IR.html#functions>

use std::collections::BTreeMap;

use super::{Importer, MAX_DEPTH, Meaning, Place, Scope, needed_in_order};
use crate::error::Error;
use crate::onnx::{Attribute, Function, Graph, Node};

type Attributes = BTreeMap<String, Attribute>;

/// Attributes with the function's arguments in place of references to them. What the caller did not give is left
/// out. The bodies of control flow are gone through as well.
pub(super) fn substitute(attributes: &Attributes, arguments: Option<&Attributes>) -> Attributes {
    let given = |name: &String| arguments.and_then(|arguments| arguments.get(name)).cloned();
    let graph = |graph: &Graph| {
        let node = |node: &Node| Node { attributes: substitute(&node.attributes, arguments), ..node.clone() };
        Graph { nodes: graph.nodes.iter().map(node).collect(), ..graph.clone() }
    };
    let resolve = |attribute: &Attribute| match attribute {
        Attribute::Reference(name) => given(name),
        Attribute::Graph(body) => Some(Attribute::Graph(graph(body))),
        Attribute::Graphs(bodies) => Some(Attribute::Graphs(bodies.iter().map(graph).collect())),
        other => Some(other.clone()),
    };
    attributes.iter().filter_map(|(name, attribute)| Some((name.clone(), resolve(attribute)?))).collect()
}

impl<'m> Importer<'m> {
    /// Translates the body of a function with the operands and attributes of the node that calls it.
    pub(super) fn call(
        &mut self,
        function: &'m Function,
        node: &Node,
        place: &Place<'_>,
        scope: &Scope<'_>,
    ) -> Result<Vec<Meaning>, Error> {
        let name = (function.domain.as_str(), function.name.as_str());
        if self.open.contains(&name) {
            return Err(Error::invalid(format!("the function {} calls itself", function.name)));
        }
        if node.inputs.len() > function.inputs.len() {
            let (given, taken) = (node.inputs.len(), function.inputs.len());
            return Err(Error::invalid(format!("{given} operands for a function that takes {taken}")));
        }
        let mut arguments = function.defaults.clone();
        for (name, value) in &node.attributes {
            if !function.attributes.contains(name) && !function.defaults.contains_key(name) {
                return Err(Error::invalid("the function has no such attribute").part(format!("attribute `{name}`")));
            }
            arguments.insert(name.clone(), value.clone());
        }
        let mut inner = Scope::default();
        for (index, name) in function.inputs.iter().enumerate() {
            let operand = node.inputs.get(index).filter(|operand| !operand.is_empty());
            let meaning = operand.and_then(|operand| scope.get(operand)).cloned().unwrap_or(Meaning::Absent);
            if inner.define(name, meaning).is_some() {
                return Err(Error::invalid(format!("two inputs of the function {} have one name", function.name)));
            }
        }
        let outputs: Vec<&str> = function.outputs.iter().map(String::as_str).collect();
        let order = needed_in_order(&function.nodes, &outputs, &inner)?;
        let prefix = format!("{}/", place.label(node));
        let mut opsets = place.opsets.clone();
        opsets.extend(function.opsets.iter().map(|(domain, version)| (domain.clone(), *version)));
        let body = Place { opsets: &opsets, prefix: &prefix, arguments: Some(&arguments) };
        body.check_opset()?;
        self.enter(name)?;
        self.nodes(&order, &body, &mut inner);
        self.open.pop();
        let missing = |name: &&str| Meaning::Refused(Error::invalid(format!("the function does not compute `{name}`")));
        Ok(outputs.iter().map(|name| inner.get(name).cloned().unwrap_or_else(|| missing(name))).collect())
    }

    /// Notes that the nodes to come lie one level deeper.
    pub(super) fn enter(&mut self, name: (&'m str, &'m str)) -> Result<(), Error> {
        if self.open.len() >= MAX_DEPTH {
            return Err(Error::unsupported(format!("functions and bodies more than {MAX_DEPTH} deep in each other")));
        }
        self.open.push(name);
        Ok(())
    }
}
