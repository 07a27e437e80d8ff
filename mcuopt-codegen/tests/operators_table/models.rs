//! The model of each operator.

use std::collections::BTreeMap;

use mcuopt_codegen::onnx::{self, Attribute, ValueInfo};
use mcuopt_codegen::tensor::{DType, Tensor};

use super::cases::{Case, Operand, case};

/// The example of an operator, or what may be one.
pub(crate) fn candidates(op: &str) -> Vec<Case> {
    case(op).map_or_else(|| vec![Case::new(&[2, 6]), Case::new(&[2, 6]).x()], |case| vec![case])
}

/// A node of one output.
fn node(op: &str, inputs: &[&str], output: &str) -> onnx::Node {
    let (domain, op_type) = op.split_once(':').unwrap_or(("", op));
    onnx::Node {
        domain: domain.into(),
        op_type: op_type.into(),
        inputs: inputs.iter().map(|name| name.to_string()).collect(),
        outputs: vec![output.into()],
        ..Default::default()
    }
}

/// Name of an input.
fn x(index: usize) -> String {
    if index == 0 { "x".into() } else { format!("x{index}") }
}

/// The model of an operator; those that make constants get an Add behind them, so that the graph has an input.
pub(crate) fn model(op: &str, case: &Case) -> onnx::Model {
    let mut graph =
        onnx::Graph { name: op.into(), outputs: vec![ValueInfo::tensor("y", DType::F32, &[])], ..Default::default() };
    let mut own = node(op, &[], "y");
    for index in 0..case.operands.iter().filter(|operand| matches!(operand, Operand::X)).count().max(1) {
        graph.inputs.push(ValueInfo::tensor(&x(index), case.dtype, &case.shape));
    }
    for index in 1..case.outputs {
        own.outputs.push(format!("y{index}"));
        graph.outputs.push(ValueInfo::tensor(&format!("y{index}"), DType::F32, &[]));
    }
    own.attributes = case.attributes.iter().map(|(name, value)| (name.to_string(), value.clone())).collect();
    let mut inputs = 0..;
    for (index, operand) in case.operands.iter().enumerate() {
        own.inputs.push(match operand {
            Operand::X => x(inputs.next().unwrap_or_default()),
            Operand::Absent => String::new(),
            Operand::Constant(tensor) => {
                graph.initializers.insert(format!("c{index}"), tensor.clone());
                format!("c{index}")
            }
        });
    }
    let add = |value: &str| node("Add", &["x", value], "y");
    match op {
        "Constant" => graph.nodes.extend([onnx::Node { inputs: vec![], outputs: vec!["c".into()], ..own }, add("c")]),
        "ConstantOfShape" => {
            graph.initializers.insert("one".into(), Tensor::from_i64s(&[1]));
            graph.nodes.extend([node(op, &["one"], "c"), add("c")]);
        }
        "EyeLike" => {
            graph.initializers.insert("like".into(), Tensor::zeros(DType::F32, &[2, 6]));
            graph.nodes.extend([node(op, &["like"], "c"), add("c")]);
        }
        "Range" => {
            for (name, value) in [("from", 0.0), ("to", 6.0), ("step", 1.0)] {
                graph.initializers.insert(name.into(), Tensor::scalar(value));
            }
            graph.nodes.extend([node(op, &["from", "to", "step"], "c"), add("c")]);
        }
        "MelWeightMatrix" => {
            for (name, value) in [("bins", 3), ("length", 10), ("rate", 8000)] {
                graph.initializers.insert(name.into(), Tensor::I64(ndarray::ArrayD::from_elem(vec![], value)));
            }
            for (name, value) in [("from", 0.0), ("to", 4000.0)] {
                graph.initializers.insert(name.into(), Tensor::scalar(value));
            }
            graph.nodes.extend([node(op, &["bins", "length", "rate", "from", "to"], "f"), reduced(), add("r")]);
        }
        "HannWindow" | "HammingWindow" | "BlackmanWindow" => {
            graph.initializers.insert("size".into(), Tensor::I64(ndarray::ArrayD::from_elem(vec![], 6)));
            graph.nodes.extend([node(op, &["size"], "c"), add("c")]);
        }
        "NonZero" | "Unique" => {
            // Their results have shapes that are known for constants alone.
            graph.initializers.insert("known".into(), Tensor::new(&[2], vec![1.0_f32, 2.0]).expect("two"));
            let cast = float_of("c");
            graph.nodes.extend([node(op, &["known"], "c"), cast, reduced(), add("r")]);
        }
        "Shape" | "Size" => graph.nodes.extend([node(op, &["x"], "c"), float_of("c"), reduced(), add("r")]),
        _ if is_pair(op) => {
            let domain = if op.starts_with("com.microsoft:") { "com.microsoft:" } else { "" };
            let [quantize, dequantize] = ["QuantizeLinear", "DequantizeLinear"].map(|op| format!("{domain}{op}"));
            graph.initializers.insert("scale".into(), Tensor::scalar(0.05));
            graph.nodes.extend([
                node(&quantize, &["x", "scale"], "q"),
                node(&dequantize, &["q", "scale"], "d"),
                node("Relu", &["d"], "y"),
            ]);
        }
        _ => graph.nodes.push(own),
    }
    let mut opsets = BTreeMap::from([(String::new(), 18)]);
    opsets.extend(op.split_once(':').map(|(domain, _)| (domain.to_string(), 1)));
    onnx::Model { ir_version: 8, opsets, graph, ..Default::default() }
}

/// Whether the operator is a half of what quantizes a model.
pub(crate) fn is_pair(op: &str) -> bool {
    op.ends_with("QuantizeLinear") && !op.starts_with("Dynamic") || op.ends_with("DequantizeLinear")
}

/// Integers as floats: `f`.
fn float_of(name: &str) -> onnx::Node {
    onnx::Node { attributes: BTreeMap::from([("to".into(), Attribute::Int(1))]), ..node("Cast", &[name], "f") }
}

/// One number of many: `r` from `f`.
fn reduced() -> onnx::Node {
    node("ReduceMean", &["f"], "r")
}

/// The model with pairs of QuantizeLinear and DequantizeLinear around inputs, the first weights and the outputs that are
/// named, as quantizers write them.
pub(crate) fn quantized(mut model: onnx::Model, outputs: &[String]) -> onnx::Model {
    let graph = &mut model.graph;
    let mut weights = graph.initializers.iter().filter(|(_, w)| w.dtype() == DType::F32 && w.shape().len() > 1);
    let inputs = graph.inputs.iter().map(|info| info.name.clone());
    let inputs: Vec<String> = inputs.chain(weights.next().map(|(name, _)| name.clone())).collect();
    graph.initializers.insert("qdq.scale".into(), Tensor::scalar(0.05));
    graph.initializers.insert("qdq.zero".into(), Tensor::zeros(DType::I8, &[]));
    let pair = |from: &str, to: &str| {
        let q = format!("{to}.q");
        [
            node("QuantizeLinear", &[from, "qdq.scale", "qdq.zero"], &q),
            node("DequantizeLinear", &[&q, "qdq.scale", "qdq.zero"], to),
        ]
    };
    let real = |name: &String| format!("{name}.real");
    for node in &mut graph.nodes {
        node.inputs.iter_mut().filter(|name| inputs.contains(name)).for_each(|name| *name = real(name));
        node.outputs.iter_mut().filter(|name| outputs.contains(name)).for_each(|name| *name = real(name));
    }
    let before = inputs.iter().flat_map(|name| pair(name, &real(name)));
    let behind = outputs.iter().flat_map(|name| pair(&real(name), name));
    graph.nodes = before.chain(std::mem::take(&mut graph.nodes)).chain(behind).collect();
    model
}

/// Numbers for calibration: of both signs, but for operators that are not defined for all numbers.
pub(crate) fn sample(op: &str, count: usize, seed: usize) -> Vec<f32> {
    let (first, step) = match op {
        "Log" | "Div" | "Mod" | "Sqrt" | "Reciprocal" | "Pow" | "Acosh" | "ReduceLogSum" => (1.2, 0.2),
        "Asin" | "Acos" | "Atanh" => (-0.9, 0.08),
        _ => (-2.3, 0.2),
    };
    (0..count).map(|i| ((i * 7 + seed) % 23) as f32 * step + first).collect()
}
