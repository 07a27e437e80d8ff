//! Every function of one number.

use mcuopt_codegen::onnx::Attribute::{Float, Int};

use super::Synthetic;
use super::sketch::Sketch;

/// One vector through all of them side by side.
pub(super) fn activations() -> Synthetic {
    let mut s = Sketch::new("activations");
    let x = s.input("x", &[1, 24]);
    let (w, b) = (s.weights(&[24, 24]), s.numbers(&[24], 0.5));
    let x = s.node("Gemm", &[&x, &w, &b], []);
    let half = s.constant(mcuopt_codegen::tensor::Tensor::scalar(0.5));

    let mut results: Vec<String> = Vec::new();
    for op in ["Relu", "Sigmoid", "Tanh", "HardSwish", "Exp", "Neg", "Abs", "Softmax", "LogSoftmax"] {
        results.push(s.node(op, &[&x], []));
    }
    results.push(s.node("LeakyRelu", &[&x], [("alpha", Float(0.1))]));
    results.push(s.node("Elu", &[&x], [("alpha", Float(0.7))]));
    results.push(s.node("HardSigmoid", &[&x], [("alpha", Float(0.25)), ("beta", Float(0.4))]));
    let size = s.node("Abs", &[&x], []);
    let positive = s.node("Add", &[&size, &half], []);
    results.push(s.node("Log", &[&positive], []));

    // A pointwise layer behind each, so that none is the output's own.
    let results: Vec<&str> = results.iter().map(String::as_str).collect();
    let joined = s.node("Concat", &results, [("axis", Int(0))]);
    let w = s.weights(&[24, 7]);
    let mixed = s.node("MatMul", &[&joined, &w], []);
    s.output(&mixed, "mixed");
    s.finish(14)
}
