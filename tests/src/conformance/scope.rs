//! Which tests no firmware of this compiler could pass, and why. The reasons come from the model itself.

use mcuopt_codegen::onnx::{Attribute, Graph, Node, ValueInfo};

use super::suite::Test;

/// Operators whose results are drawn at random.
const RANDOM: [&str; 6] =
    ["Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"];

/// Operators whose output has as many elements as the values of an operand say.
const DATA_DEPENDENT: [&str; 4] = ["Compress", "NonMaxSuppression", "NonZero", "Unique"];

/// Operators of images in files.
const FILES: [&str; 1] = ["ImageDecoder"];

/// Why a test is out of scope; `None` if it is not.
pub fn outside(test: &Test) -> Option<String> {
    let model = match &test.model {
        Ok(model) => model,
        Err(reason) => return Some(reason.clone()),
    };
    if model.opsets.contains_key("ai.onnx.preview.training") {
        return Some("training".into());
    }
    let values = model.graph.inputs.iter().chain(&model.graph.outputs);
    let by_type = values.filter_map(value).next();
    by_type.or_else(|| graph(&model.graph)).map(str::to_string)
}

fn value(info: &ValueInfo) -> Option<&'static str> {
    type_name(&info.type_name)
}

/// What is wrong with a type in ONNX's notation.
fn type_name(name: &str) -> Option<&'static str> {
    let element = name.strip_prefix("tensor(").and_then(|rest| rest.strip_suffix(')')).unwrap_or(name);
    match element {
        "sequence" => Some("sequences"),
        "map" => Some("maps"),
        "optional" => Some("optionals"),
        "sparse_tensor" => Some("sparse tensors at run time"),
        "string" => Some("strings"),
        "double" => Some("float64 storage"),
        "bfloat16" => Some("bfloat16 storage"),
        "complex64" | "complex128" => Some("complex numbers"),
        _ if element.starts_with("float8") => Some("float8 storage"),
        _ => None,
    }
}

fn graph(graph: &Graph) -> Option<&'static str> {
    graph.nodes.iter().find_map(node)
}

fn node(node: &Node) -> Option<&'static str> {
    let op = node.op_type.as_str();
    if RANDOM.contains(&op) {
        return Some("random numbers");
    }
    if DATA_DEPENDENT.contains(&op) {
        return Some("a data-dependent output shape");
    }
    if FILES.contains(&op) {
        return Some("image files");
    }
    if op.contains("Sequence") {
        return Some("sequences");
    }
    if op.starts_with("Optional") {
        return Some("optionals");
    }
    if op.starts_with("String") || op.starts_with("Regex") {
        return Some("strings");
    }
    let training = matches!(node.attributes.get("training_mode"), Some(Attribute::Int(1)));
    // Of Dropout, the third input says whether it drops.
    if training || op == "Dropout" && node.inputs.get(2).is_some_and(|name| !name.is_empty()) {
        return Some("training");
    }
    // Numbers of `TensorProto.DataType`.
    let to = match (op, node.attributes.get("to")) {
        ("Cast", Some(Attribute::Int(8))) => Some("strings"),
        ("Cast", Some(Attribute::Int(11))) => Some("float64 storage"),
        ("Cast", Some(Attribute::Int(16))) => Some("bfloat16 storage"),
        ("Cast", Some(Attribute::Int(17..=20))) => Some("float8 storage"),
        _ => None,
    };
    let bodies = node.attributes.values().filter_map(|attribute| match attribute {
        Attribute::Graph(body) => Some(body),
        _ => None,
    });
    to.or_else(|| bodies.filter_map(graph).next())
}
