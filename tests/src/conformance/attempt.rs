//! One model, compiled. What a test gives at run time and a firmware must know earlier becomes a constant, as users do
//! with the option `bind`.

use std::any::Any;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use mcuopt_codegen::error::{Error, Kind};
use mcuopt_codegen::onnx::{Dim, Model, Node};
use mcuopt_codegen::options::{Bindings, Number};
use mcuopt_codegen::tensor::Tensor;
use mcuopt_codegen::{Compiled, Errors, Options, Precision};

use super::suite::Test;

/// Operators that have nothing but parameters.
const GENERATORS: [&str; 8] =
    ["BlackmanWindow", "ConstantOfShape", "HammingWindow", "HannWindow", "If", "Loop", "MelWeightMatrix", "Range"];

/// What the compiler said.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// Names of the inputs that became constants.
    pub bound: BTreeSet<String>,
    /// The firmware, or the first reason why there is none.
    pub outcome: Result<Compiled, String>,
}

/// Compiles in float32: first as the file is, then with those inputs bound that the compiler wants to know.
pub fn compile(test: &Test) -> Attempt {
    let mut bound = BTreeSet::new();
    let mut reason;
    loop {
        match try_with(test, &bound) {
            Ok(compiled) => return Attempt { bound, outcome: Ok(compiled) },
            Err(Refusal { shown, wants }) => {
                reason = shown;
                let before = bound.len();
                bound.extend(wants);
                if bound.len() == before || !fair(test, &bound) {
                    break;
                }
            }
        }
    }
    Attempt { bound: BTreeSet::new(), outcome: Err(reason) }
}

/// Whether something is left to do at run time.
fn fair(test: &Test, bound: &BTreeSet<String>) -> bool {
    bound.len() < test.inputs.len() || GENERATORS.contains(&test.operator.as_str())
}

struct Refusal {
    shown: String,
    /// The inputs that the compiler would have to know.
    wants: BTreeSet<String>,
}

fn try_with(test: &Test, bound: &BTreeSet<String>) -> Result<Compiled, Refusal> {
    let refuse = |shown: String| Refusal { shown, wants: BTreeSet::new() };
    let model = test.model.as_ref().map_err(|reason| refuse(reason.clone()))?;
    let options = Options {
        model: test.path.clone(),
        name: Some("Model".into()),
        precision: Precision::Float32,
        bind: bindings(test, model, bound).map_err(refuse)?,
        ..Options::default()
    };
    match catch_unwind(AssertUnwindSafe(|| mcuopt_codegen::compile(&options))) {
        Ok(Ok(compiled)) => Ok(compiled),
        Ok(Err(errors)) => Err(Refusal { shown: shown(&errors), wants: wants(model, &errors) }),
        Err(panic) => Err(refuse(format!("the compiler panics: {}", message(&*panic)))),
    }
}

/// What a panic said.
fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
    text.unwrap_or_default().to_string()
}

/// The first error, without names and without what would work.
fn shown(errors: &Errors) -> String {
    let Some(Error { site, kind }) = errors.iter().next() else { return String::new() };
    let place: Vec<&str> = [site.op.as_str(), &site.part].into_iter().filter(|part| !part.is_empty()).collect();
    match kind {
        Kind::Unsupported { what, .. } => format!("{}: {what}", place.join(", ")),
        kind => format!("{}: {kind}", place.join(", ")),
    }
}

/// The inputs whose values the errors ask for.
fn wants(model: &Model, errors: &Errors) -> BTreeSet<String> {
    let asks = |error: &&Error| ["run time", "bind"].iter().any(|words| error.kind.to_string().contains(words));
    errors.iter().filter(asks).filter_map(|error| operand(model, error)).flat_map(|name| sources(model, name)).collect()
}

/// The operand that an error speaks of.
fn operand<'a>(model: &'a Model, error: &'a Error) -> Option<&'a str> {
    let part = error.site.part.strip_prefix("input ")?;
    let digits = part.split(' ').next().unwrap_or_default();
    let Ok(index) = digits.parse::<usize>() else { return Some(part.trim_matches('`')) };
    let graph = &model.graph;
    let node = graph.nodes.iter().find(|node| node.name == error.site.node || node.outputs.contains(&error.site.node));
    node?.inputs.get(index).map(String::as_str)
}

/// The graph's inputs whose elements a value is computed from.
fn sources(model: &Model, name: &str) -> BTreeSet<String> {
    let graph = &model.graph;
    if graph.inputs.iter().any(|input| input.name == name) {
        return BTreeSet::from([name.to_string()]);
    }
    // Shapes are known without elements.
    let makes = |node: &&Node| node.op_type != "Shape" && node.outputs.iter().any(|output| output == name);
    // Nodes come after what they read, so this ends.
    let node = graph.nodes.iter().find(makes);
    node.into_iter().flat_map(|node| &node.inputs).flat_map(|input| sources(model, input)).collect()
}

/// The test's data for some inputs, and for dimensions that the file gives a name but no size.
fn bindings(test: &Test, model: &Model, bound: &BTreeSet<String>) -> Result<Bindings, String> {
    let mut bindings = Bindings::new();
    for (name, tensor) in &test.inputs {
        let info = model.graph.inputs.iter().find(|info| info.name == *name);
        if bound.contains(name) {
            bindings.insert(name.clone(), numbers(tensor.as_ref().map_err(String::clone)?));
        } else if let (Some(dims), Ok(tensor)) = (info.and_then(|info| info.shape.as_ref()), tensor) {
            for (dim, &extent) in dims.iter().zip(tensor.shape()) {
                if let Dim::Symbolic(symbol) = dim {
                    bindings.insert(symbol.clone(), vec![Number::Int(extent as i64)]);
                }
            }
        }
    }
    Ok(bindings)
}

fn numbers(tensor: &Tensor) -> Vec<Number> {
    match (tensor.f32s(), tensor.to_i64s()) {
        (Some(floats), _) => floats.iter().map(|&value| Number::Float(f64::from(value))).collect(),
        (None, integers) => integers.unwrap_or_default().into_iter().map(Number::Int).collect(),
    }
}
