//! Operators that move elements, and arithmetic on shapes as exporters write it.

use mcuopt_codegen::onnx::Attribute::{Int, Tensor as TensorAttribute};
use mcuopt_codegen::tensor::Tensor;

use super::Synthetic;
use super::sketch::{Sketch, ints};

/// A tensor turned, cut and rejoined, between matrix products of two computed operands.
pub(super) fn shapes() -> Synthetic {
    let mut s = Sketch::new("shapes");
    let x = s.input("x", &[1, 4, 6, 5]);

    // `x.reshape(x.shape[0], -1, x.shape[3])`, as PyTorch spells it.
    let shape = s.node("Shape", &[&x], []);
    let (first, last) = (s.integers(&[0]), s.integers(&[3]));
    let batch = s.node("Gather", &[&shape, &first], []);
    let columns = s.node("Gather", &[&shape, &last], []);
    let rest = s.node("Constant", &[], [("value", TensorAttribute(Tensor::from_i64s(&[-1])))]);
    let target = s.node("Concat", &[&batch, &rest, &columns], [("axis", Int(0))]);
    let target = s.node("Cast", &[&target], [("to", Int(7))]);
    let rows = s.node("Reshape", &[&x, &target], []);

    let turned = s.node("Transpose", &[&rows], [("perm", ints(&[0, 2, 1]))]);
    let squares = s.node("MatMul", &[&turned, &rows], []);

    // Every second row backwards, and the last column alone.
    let (starts, ends, axes, steps) =
        (s.integers(&[-1, 1]), s.integers(&[-100, 5]), s.integers(&[1, 2]), s.integers(&[-2, 2]));
    let cut = s.node("Slice", &[&rows, &starts, &ends, &axes, &steps], []);
    let index = s.constant(Tensor::new(&[], vec![-1i64]).expect("a number has no dimensions"));
    let column = s.node("Gather", &[&rows, &index], [("axis", Int(2))]);
    let axis = s.integers(&[2]);
    let column = s.node("Unsqueeze", &[&column, &axis], []);
    let column = s.node("Identity", &[&column], []);

    // A one for each element of x, by way of its size.
    let size = s.node("Size", &[&x], []);
    let axis = s.integers(&[0]);
    let size = s.node("Unsqueeze", &[&size, &axis], []);
    let one = Tensor::new(&[1], vec![1.0f32]).expect("one number");
    let ones = s.node("ConstantOfShape", &[&size], [("value", TensorAttribute(one))]);
    let target = s.integers(&[1, 24, 5]);
    let ones = s.node("Reshape", &[&ones, &target], []);
    let shifted = s.node("Add", &[&rows, &ones], []);
    let kept = s.node("Dropout", &[&shifted], []);

    let joined = s.node("Concat", &[&kept, &column], [("axis", Int(2))]);
    let axes = s.integers(&[0]);
    let joined = s.node("Squeeze", &[&joined, &axes], []);
    let w = s.weights(&[6, 3]);
    let mixed = s.node("MatMul", &[&joined, &w], []);
    s.output(&squares, "squares");
    s.output(&cut, "cut");
    s.output(&mixed, "mixed");
    s.finish(13)
}
