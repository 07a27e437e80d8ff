//! Convolutions and poolings of every form.

use mcuopt_codegen::onnx::Attribute::Int;

use super::Synthetic;
use super::sketch::{Sketch, ints};

/// In two dimensions.
pub(super) fn planes() -> Synthetic {
    let mut s = Sketch::new("planes");
    let x = s.input("image", &[1, 3, 13, 11]);

    // Stride 2 with the paddings that "SAME" gives: more on one side than on the other.
    let (w, b) = (s.weights(&[8, 3, 3, 3]), s.numbers(&[8], 0.5));
    let x = s.node("Conv", &[&x, &w, &b], [("strides", ints(&[2, 2])), ("pads", ints(&[0, 1, 1, 0]))]);
    let norm = [s.numbers(&[8], 1.0), s.numbers(&[8], 0.5), s.numbers(&[8], 0.5)];
    let variance = s.node("Abs", &[&norm[0]], []);
    let x = s.node("BatchNormalization", &[&x, &norm[0], &norm[1], &norm[2], &variance], []);
    let x = s.node("Relu", &[&x], []);

    // Depthwise, two outputs for each channel, then pointwise to a number that no vector width divides.
    let w = s.weights(&[16, 1, 3, 3]);
    let x = s.node("Conv", &[&x, &w], [("group", Int(8)), ("pads", ints(&[1, 1, 1, 1]))]);
    let (low, high) = (s.numbers(&[], 0.0), s.numbers(&[], 1.5));
    let high = s.node("Abs", &[&high], []);
    let x = s.node("Clip", &[&x, &low, &high], []);
    let (w, b) = (s.weights(&[7, 16, 1, 1]), s.numbers(&[7], 0.5));
    let x = s.node("Conv", &[&x, &w, &b], []);

    // Dilated; grouped, but not depthwise.
    let w = s.weights(&[6, 7, 2, 3]);
    let x = s.node("Conv", &[&x, &w], [("dilations", ints(&[2, 1])), ("pads", ints(&[1, 1, 1, 1]))]);
    let w = s.weights(&[4, 3, 3, 1]);
    let x = s.node("Conv", &[&x, &w], [("group", Int(2)), ("pads", ints(&[1, 0, 1, 0]))]);

    let strides = || ("strides", ints(&[1, 2]));
    let x = s.node("MaxPool", &[&x], [("kernel_shape", ints(&[2, 2])), strides(), ("pads", ints(&[0, 0, 1, 1]))]);
    let kernel = ("kernel_shape", ints(&[3, 2]));
    let x = s.node("AveragePool", &[&x], [kernel, ("pads", ints(&[1, 0, 1, 1]))]);
    let average = s.node("GlobalAveragePool", &[&x], []);
    let largest = s.node("GlobalMaxPool", &[&x], []);
    let x = s.node("Concat", &[&average, &largest], [("axis", Int(1))]);
    let x = s.node("Flatten", &[&x], []);
    let (w, b) = (s.weights(&[5, 8]), s.numbers(&[5], 0.5));
    let x = s.node("Gemm", &[&x, &w, &b], [("transB", Int(1))]);
    s.output(&x, "scores");
    s.finish(13)
}

/// In one dimension.
pub(super) fn lines() -> Synthetic {
    let mut s = Sketch::new("lines");
    let x = s.input("signal", &[1, 2, 37]);
    let (w, b) = (s.weights(&[6, 2, 5]), s.numbers(&[6], 0.5));
    let x = s.node("Conv", &[&x, &w, &b], [("strides", ints(&[2])), ("pads", ints(&[2, 2]))]);
    let x = s.node("Relu", &[&x], []);
    let w = s.weights(&[6, 1, 3]);
    let x = s.node("Conv", &[&x, &w], [("group", Int(6)), ("pads", ints(&[1, 1]))]);
    let (w, b) = (s.weights(&[9, 6, 1]), s.numbers(&[9], 0.5));
    let x = s.node("Conv", &[&x, &w, &b], []);
    let x = s.node("MaxPool", &[&x], [("kernel_shape", ints(&[3])), ("strides", ints(&[2]))]);
    let x = s.node("AveragePool", &[&x], [("kernel_shape", ints(&[2]))]);
    let x = s.node("ReduceMean", &[&x], [("axes", ints(&[2])), ("keepdims", Int(0))]);
    let w = s.weights(&[9, 4]);
    let x = s.node("Gemm", &[&x, &w], []);
    let x = s.node("Softmax", &[&x], []);
    s.output(&x, "shares");
    s.finish(13)
}
