//! Several inputs, several outputs, and values that live long beside others.

use mcuopt_codegen::onnx::Attribute::Int;

use super::Synthetic;
use super::sketch::{Sketch, ints};

/// Two inputs that are added, subtracted, multiplied and joined, with a residual block; three outputs.
pub(super) fn branches() -> Synthetic {
    let mut s = Sketch::new("branches");
    let left = s.input("left", &[1, 6, 5, 4]);
    let right = s.input("right", &[1, 6, 1, 4]);

    // Broadcast along an axis, in both orders.
    let sum = s.node("Add", &[&left, &right], []);
    let difference = s.node("Sub", &[&right, &left], []);
    let product = s.node("Mul", &[&sum, &difference], []);
    let divisor = s.numbers(&[6, 1, 1], 4.0);
    let scaled = s.node("Div", &[&product, &divisor], []);

    let w = s.weights(&[6, 6, 3, 3]);
    let inner = s.node("Conv", &[&scaled, &w], [("pads", ints(&[1, 1, 1, 1]))]);
    let inner = s.node("Relu", &[&inner], []);
    let residual = s.node("Add", &[&inner, &scaled], []);
    let residual = s.node("Relu", &[&residual], []);

    let joined = s.node("Concat", &[&residual, &left, &sum], [("axis", Int(1))]);
    let pads = s.integers(&[0, 0, 1, 2, 0, 0, 0, 1]);
    let padded = s.node("Pad", &[&joined, &pads], []);
    let pooled = s.node("MaxPool", &[&padded], [("kernel_shape", ints(&[3, 3])), ("strides", ints(&[2, 2]))]);

    let average = s.node("ReduceMean", &[&joined], [("axes", ints(&[2, 3])), ("keepdims", Int(0))]);
    let (w, b) = (s.weights(&[18, 3]), s.numbers(&[3], 0.5));
    let scores = s.node("Gemm", &[&average, &w, &b], []);
    let share = s.node("Softmax", &[&scores], []);
    s.output(&pooled, "pooled");
    s.output(&share, "share");
    s.output(&difference, "difference");
    s.finish(13)
}
