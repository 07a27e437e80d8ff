//! Which tests no firmware of this compiler could pass, and why. The reasons come from the model itself, but
//! for references that are wrong.

use mcuopt_codegen::onnx::{Attribute, Graph, Model, Node};
use mcuopt_codegen::tensor::Tensor;

use super::suite::Test;

/// Operators whose results are drawn at random.
const RANDOM: [&str; 6] =
    ["Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"];

/// Operators whose output has as many elements as the values of an operand say.
const DATA_DEPENDENT: [&str; 4] = ["Compress", "NonMaxSuppression", "NonZero", "Unique"];

/// Operators of images in files.
const FILES: [&str; 1] = ["ImageDecoder"];

/// Tests whose reference outputs are not what the standard says, by what their names begin with.
const WRONG_REFERENCES: [(&str, &str); 4] = [
    // <https://github.com/onnx/onnx/issues/7835>
    ("node/test_qlinearmatmul_2D_int8", "the reference wraps around where the standard saturates"),
    ("node/test_qlinearmatmul_3D_int8", "the reference wraps around where the standard saturates"),
    // Corrected in onnx 1.18: windows were divided by taps that lie beyond the padding.
    (
        "node/test_averagepool_3d_dilations_large_count_include_pad_is_1_ceil_mode_is_True",
        "the reference counts more than the padding",
    ),
    // Its zeros are up to 2e-7, above the absolute tolerance.
    ("node/test_dft_inverse", "the reference's rounding is beyond the tolerance"),
];

/// Why a test is out of scope; `None` if it is not.
pub fn outside(test: &Test) -> Option<&'static str> {
    let Ok(model) = &test.model else { return Some("a file that cannot be read") };
    if model.opsets.contains_key("ai.onnx.preview.training") {
        return Some("training");
    }
    let first_input = test.inputs.first().map(|(_, tensor)| tensor);
    if first_input.into_iter().chain(&test.outputs).flatten().any(Tensor::is_empty) {
        return Some("tensors without elements");
    }
    let wrong = WRONG_REFERENCES.iter().find(|(name, _)| test.name.starts_with(name)).map(|(_, reason)| *reason);
    wrong.or_else(|| values(model).find_map(foreign)).or_else(|| graph(&model.graph))
}

/// The types of a test that are float32 in firmware and whose numbers may differ for that reason alone.
pub fn other_storage(test: &Test) -> Option<&'static str> {
    values(test.model.as_ref().ok()?).find_map(|name| match name {
        "double" => Some("float64 storage"),
        "bfloat16" => Some("bfloat16 storage"),
        _ => None,
    })
}

/// The types of the model's inputs and outputs, in ONNX's notation; of tensors, the elements'.
fn values(model: &Model) -> impl Iterator<Item = &str> {
    let infos = model.graph.inputs.iter().chain(&model.graph.outputs);
    let names = infos.map(|info| info.type_name.as_str());
    names.map(|name| name.strip_prefix("tensor(").and_then(|rest| rest.strip_suffix(')')).unwrap_or(name))
}

/// What no firmware has.
fn foreign(type_name: &str) -> Option<&'static str> {
    match type_name {
        "sequence" => Some("sequences"),
        "map" => Some("maps"),
        "optional" => Some("optionals"),
        "sparse_tensor" => Some("sparse tensors at run time"),
        "string" => Some("strings"),
        "complex64" | "complex128" => Some("complex numbers"),
        _ if type_name.starts_with("float8") => Some("float8 storage"),
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
        ("Cast", Some(Attribute::Int(17..=20))) => Some("float8 storage"),
        _ => None,
    };
    let bodies = node.attributes.values().filter_map(|attribute| match attribute {
        Attribute::Graph(body) => Some(body),
        _ => None,
    });
    to.or_else(|| bodies.filter_map(graph).next())
}
