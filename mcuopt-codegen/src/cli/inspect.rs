//! `mcuopt inspect`: what is in a file, what of it is supported, and what the simplifier makes of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use mcuopt_codegen::graph::Graph;
use mcuopt_codegen::import::knows;
use mcuopt_codegen::onnx::{self, Attribute, Model, ValueInfo};
use mcuopt_codegen::ops::{Op, qualified};
use mcuopt_codegen::simplify::Applied;
use mcuopt_codegen::tensor::{DType, Tensor};
use mcuopt_codegen::{Compiled, Errors, Precision};
use serde::Serialize;

use crate::answer::{Answer, BAD, BOLD, DIM, Failure, GOOD, NAME, NOTE, grouped};
use crate::diagnostics;
use crate::settings::Compilation;
use crate::table::{Table, shortened};

/// Nodes that are named for each rule of the simplifier; `--json` names all.
const NODES_SHOWN: usize = 4;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    compilation: Compilation,
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Inspection {
    /// As the user wrote it.
    file: String,
    /// The program that wrote it.
    producer: String,
    ir_version: i64,
    /// Version of each operator set, by domain.
    opsets: BTreeMap<String, i64>,
    inputs: Vec<Port>,
    outputs: Vec<Port>,
    /// Numbers in the file's weights and biases.
    parameters: u64,
    /// Multiply-accumulates of an inference; null if the model does not compile.
    macs: Option<u64>,
    /// `int8`, `int4`, `int16x8`, `weights8`, `float32` or `mixed`; null if the model does not compile.
    arithmetic: Option<&'static str>,
    operators: Vec<Operator>,
    /// What the simplifier did, in the order in which the rules were first applied.
    simplified: Vec<Rule>,
    /// Tensors that lost channels which turned out constant or unused.
    removed_channels: Vec<Removed>,
    /// Layers of the firmware, in order: kernel by kernel.
    layers: Option<usize>,
    notes: Vec<String>,
    /// Why the model does not compile: all reasons that were found.
    errors: serde_json::Value,
}

#[derive(Debug, Serialize)]
struct Port {
    name: String,
    /// Element type and dimensions in ONNX's words: `float[1, batch]`.
    r#type: String,
}

#[derive(Debug, Serialize)]
struct Operator {
    /// With its domain before a colon, if that is not ONNX's own.
    operator: String,
    /// Nodes in the file, those in functions and control flow included.
    in_file: usize,
    /// Nodes after simplification; null if the model does not compile.
    simplified: Option<usize>,
    supported: bool,
}

#[derive(Debug, Serialize)]
struct Rule {
    rule: &'static str,
    nodes: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Removed {
    layer: String,
    tensor: String,
    before: usize,
    after: usize,
    /// How many of those that went held a constant; nobody read the others.
    constant: usize,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Answer, Failure> {
    let path = &arguments.compilation.model;
    let model = Model::read(path).map_err(Failure::of(path))?;
    let result = match arguments.compilation.compile() {
        Ok(compiled) => Ok(compiled),
        Err(Failure::Model(errors, _)) => Err(errors),
        Err(other) => return Err(other),
    };
    let inspection = Inspection::new(path.display().to_string(), &model, &result);
    let mut text = inspection.text();
    if let Err(errors) = &result {
        text.push('\n');
        text.push_str(&diagnostics::draw(errors, path));
    }
    let json = serde_json::to_value(&inspection).unwrap_or_default();
    Ok(Answer { text, json, failed: result.is_err(), ..Answer::default() })
}

impl Inspection {
    fn new(file: String, model: &Model, result: &Result<Compiled, Errors>) -> Self {
        let compiled = result.as_ref().ok();
        let port = |info: &ValueInfo| Port { name: info.name.clone(), r#type: diagnostics::type_of(info) };
        // Old files list initializers among the inputs.
        let inputs = model.graph.inputs.iter().filter(|info| !model.graph.initializers.contains_key(&info.name));
        let opsets = model.opsets.iter().map(|(domain, version)| {
            let domain = if domain.is_empty() { "ai.onnx" } else { domain };
            (domain.to_string(), *version)
        });
        let lowered = compiled.map(|compiled| &compiled.lowered);
        Self {
            file,
            producer: model.producer.clone(),
            ir_version: model.ir_version,
            opsets: opsets.collect(),
            inputs: inputs.map(port).collect(),
            outputs: model.graph.outputs.iter().map(port).collect(),
            parameters: parameters(&model.graph),
            macs: lowered.map(|lowered| lowered.nodes.iter().map(|node| node.op.kernel.macs()).sum()),
            arithmetic: compiled.map(arithmetic),
            operators: operators(model, compiled.map(|compiled| &compiled.graph)),
            simplified: compiled.map(|compiled| rules(&compiled.simplified)).unwrap_or_default(),
            removed_channels: compiled.map(removed).unwrap_or_default(),
            layers: lowered.map(|lowered| lowered.nodes.len()),
            notes: compiled.map(|compiled| compiled.notes.clone()).unwrap_or_default(),
            errors: result.as_ref().err().map(diagnostics::json).unwrap_or_else(|| serde_json::json!([])),
        }
    }

    fn text(&self) -> String {
        let mut text = String::new();
        let opsets = self.opsets.iter().map(|(domain, version)| format!("{domain} {version}"));
        let producer = if self.producer.is_empty() { "an unnamed program" } else { self.producer.trim() };
        let opsets = opsets.collect::<Vec<_>>().join(", ");
        let _ = writeln!(text, "{BOLD}{}{BOLD:#}  {DIM}by {producer}, {opsets}{DIM:#}\n", self.file);
        for (kind, ports) in [("input", &self.inputs), ("output", &self.outputs)] {
            for port in ports {
                let _ = writeln!(text, "  {kind:7} {NAME}{}{NAME:#}  {}", port.name, port.r#type);
            }
        }
        let _ = writeln!(text, "\n  {} parameters", grouped(self.parameters));
        if let (Some(macs), Some(arithmetic), Some(layers)) = (self.macs, self.arithmetic, self.layers) {
            let _ = writeln!(text, "  {} multiply-accumulates in {layers} layers, {arithmetic}", grouped(macs));
        }
        let _ = writeln!(text, "\n{BOLD}Operators{BOLD:#}");
        let mut table = Table::new(&["operator", ">in the file", ">simplified", ""]);
        for operator in &self.operators {
            let simplified = operator.simplified.map_or("–".into(), |count| count.to_string());
            let remark = if operator.supported { "" } else { "not supported" };
            let in_file = if operator.in_file == 0 { "–".into() } else { operator.in_file.to_string() };
            let cells = vec![operator.operator.clone(), in_file, simplified, remark.into()];
            table.styled(cells, if operator.supported { Default::default() } else { BAD });
        }
        let _ = write!(text, "{table}");
        if !self.simplified.is_empty() {
            let _ = writeln!(text, "\n{BOLD}What the simplifier did{BOLD:#}");
            let mut table = Table::new(&[">times", "rule", "nodes"]);
            for rule in &self.simplified {
                let shown = rule.nodes.iter().take(NODES_SHOWN).map(|name| shortened(name, 32));
                let mut nodes = shown.collect::<Vec<_>>().join(", ");
                if rule.nodes.len() > NODES_SHOWN {
                    let _ = write!(nodes, ", …");
                }
                table.row(vec![rule.nodes.len().to_string(), rule.rule.into(), nodes]);
            }
            let _ = write!(text, "{table}");
        }
        if !self.removed_channels.is_empty() {
            let _ =
                writeln!(text, "\n{BOLD}Channels that were removed, as they are constant or nobody reads them{BOLD:#}");
            let mut table = Table::new(&["tensor", ">before", ">after", ">constant"]);
            for removed in &self.removed_channels {
                let numbers = [removed.before, removed.after, removed.constant].map(|number| number.to_string());
                table.row([vec![shortened(&removed.tensor, 48)], numbers.to_vec()].concat());
            }
            let _ = write!(text, "{table}");
        }
        let nodes: usize = self.operators.iter().map(|operator| operator.in_file).sum();
        if self.macs.is_some() {
            let _ = writeln!(text, "\n{GOOD}All {nodes} nodes are supported.{GOOD:#}");
        }
        for note in &self.notes {
            let _ = writeln!(text, "{NOTE}note:{NOTE:#} {note}");
        }
        text
    }
}

/// Which arithmetic the layers that multiply use, or all of them where none does.
pub(crate) fn arithmetic(compiled: &Compiled) -> &'static str {
    let lowered = &compiled.lowered;
    let elements = |multiplies: bool| {
        let nodes = lowered.nodes.iter().filter(move |node| !multiplies || node.op.kernel.macs() > 0);
        nodes.map(|node| lowered.value(node.outputs[0]).ty.dtype).collect::<BTreeSet<DType>>()
    };
    let elements = Some(elements(true)).filter(|elements| !elements.is_empty()).unwrap_or_else(|| elements(false));
    let precision = compiled.options.precision;
    match elements.into_iter().collect::<Vec<_>>()[..] {
        [DType::I8] if precision == Precision::Int4 => "int4",
        [DType::I8] => "int8",
        [DType::I16] => "int16x8",
        [DType::F32] if precision == Precision::Weights8 => "weights8",
        [DType::F32] => "float32",
        _ => "mixed",
    }
}

/// Nodes of a graph and of the bodies of its control flow.
fn all_nodes(graph: &onnx::Graph) -> Vec<&onnx::Node> {
    graph.nodes.iter().flat_map(with_bodies).collect()
}

/// A node, and the nodes of its bodies.
fn with_bodies(node: &onnx::Node) -> Vec<&onnx::Node> {
    let bodies = node.attributes.values().flat_map(|attribute| match attribute {
        Attribute::Graph(body) => std::slice::from_ref(body),
        Attribute::Graphs(bodies) => bodies,
        _ => &[],
    });
    std::iter::once(node).chain(bodies.flat_map(all_nodes)).collect()
}

/// Numbers in weights and biases, wherever the file has them: not scales and zero points, shapes and positions.
fn parameters(graph: &onnx::Graph) -> u64 {
    let nodes = all_nodes(graph);
    let quantizes = |node: &&&onnx::Node| matches!(node.op_type.as_str(), "QuantizeLinear" | "DequantizeLinear");
    let scales: Vec<&String> = nodes.iter().filter(quantizes).flat_map(|node| node.inputs.iter().skip(1)).collect();
    let is_weight = |tensor: &Tensor| !matches!(tensor.dtype(), DType::I64 | DType::Bool);
    let initializers = graph.initializers.iter().filter(|(name, _)| !scales.contains(name)).map(|(_, tensor)| tensor);
    let constants = nodes.iter().filter(|node| node.op_type == "Constant" && !scales.contains(&&node.outputs[0]));
    let constants = constants.filter_map(|node| match node.attributes.get("value") {
        Some(Attribute::Tensor(tensor)) => Some(tensor),
        _ => None,
    });
    initializers.chain(constants).filter(|tensor| is_weight(tensor)).map(|tensor| tensor.len() as u64).sum()
}

fn operators(model: &Model, simplified: Option<&Graph<Op>>) -> Vec<Operator> {
    let functions = model.functions.iter().flat_map(|function| &function.nodes).flat_map(with_bodies);
    let mut found: BTreeMap<String, Operator> = BTreeMap::new();
    for node in all_nodes(&model.graph).into_iter().chain(functions) {
        let name = qualified(&node.domain, &node.op_type);
        let supported = knows(model, &node.domain, &node.op_type);
        let new = || Operator { operator: name.clone(), in_file: 0, simplified: simplified.map(|_| 0), supported };
        found.entry(name.clone()).or_insert_with(new).in_file += 1;
    }
    for node in simplified.iter().flat_map(|graph| &graph.nodes) {
        let name = node.op.name().to_string();
        let new = || Operator { operator: name.clone(), in_file: 0, simplified: Some(0), supported: true };
        let operator = found.entry(name.clone()).or_insert_with(new);
        operator.simplified = operator.simplified.map(|count| count + 1);
    }
    let mut operators: Vec<Operator> = found.into_values().collect();
    operators.sort_by(|a, b| (a.supported, b.in_file, &a.operator).cmp(&(b.supported, a.in_file, &b.operator)));
    operators
}

fn rules(applied: &[Applied]) -> Vec<Rule> {
    let mut rules: Vec<Rule> = Vec::new();
    for Applied { rule, node } in applied {
        match rules.iter_mut().find(|known| known.rule == *rule) {
            Some(known) => known.nodes.push(node.clone()),
            None => rules.push(Rule { rule, nodes: vec![node.clone()] }),
        }
    }
    rules
}

fn removed(compiled: &Compiled) -> Vec<Removed> {
    let removed = compiled.specialised.iter().map(|shrunk| Removed {
        layer: shrunk.layer.clone(),
        tensor: shrunk.tensor.clone(),
        before: shrunk.before,
        after: shrunk.after,
        constant: shrunk.constant,
    });
    removed.collect()
}
