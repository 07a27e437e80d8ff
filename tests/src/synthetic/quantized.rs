//! A network as quantizing exporters write it: QuantizeLinear and DequantizeLinear around every operator.

use mcuopt_codegen::onnx::Attribute::Int;
use mcuopt_codegen::tensor::Tensor;

use super::Synthetic;
use super::sketch::{Sketch, ints};

/// A convolution with a scale for each filter and a residual sum, in uint8 and int8 by turns.
pub(super) fn quantized() -> Synthetic {
    let mut s = Sketch::new("quantized");
    let x = s.input("x", &[1, 4, 7, 7]);
    let x = unsigned(&mut s, &x, 0.016, 125);

    let weights = s.constant(bytes(&[6, 4, 3, 3], 41));
    let scales = s.constant(numbers(&[0.01, 0.02, 0.005, 0.013, 0.008, 0.017]));
    let zeros = s.constant(Tensor::new(&[6], vec![0i8; 6]).expect("six numbers"));
    let w = s.node("DequantizeLinear", &[&weights, &scales, &zeros], [("axis", Int(0))]);
    let b = s.numbers(&[6], 0.5);
    let y = s.node("Conv", &[&x, &w, &b], [("pads", ints(&[1, 1, 1, 1]))]);
    let y = s.node("Relu", &[&y], []);
    let y = unsigned(&mut s, &y, 0.05, 0);

    let weights = s.constant(bytes(&[6, 6, 1, 1], 97));
    let (scale, zero) = (s.constant(Tensor::scalar(0.011)), s.constant(Tensor::new(&[], vec![0i8]).expect("a number")));
    let w = s.node("DequantizeLinear", &[&weights, &scale, &zero], []);
    let z = s.node("Conv", &[&y, &w], []);
    let z = signed(&mut s, &z, 0.09, -7);
    let sum = s.node("Add", &[&y, &z], []);
    let sum = signed(&mut s, &sum, 0.1, 3);

    let pooled = s.node("GlobalAveragePool", &[&sum], []);
    let pooled = signed(&mut s, &pooled, 0.06, 3);
    let flat = s.node("Flatten", &[&pooled], []);
    let flat = signed(&mut s, &flat, 0.06, 3);
    s.output(&flat, "features");
    s.finish(13)
}

fn signed(s: &mut Sketch, value: &str, scale: f32, zero_point: i8) -> String {
    let zero_point = s.constant(Tensor::new(&[], vec![zero_point]).expect("a number"));
    pair(s, value, scale, &zero_point)
}

fn unsigned(s: &mut Sketch, value: &str, scale: f32, zero_point: u8) -> String {
    let zero_point = s.constant(Tensor::new(&[], vec![zero_point]).expect("a number"));
    pair(s, value, scale, &zero_point)
}

pub(super) fn pair(s: &mut Sketch, value: &str, scale: f32, zero_point: &str) -> String {
    let scale = s.constant(Tensor::scalar(scale));
    let integers = s.node("QuantizeLinear", &[value, &scale, zero_point], []);
    s.node("DequantizeLinear", &[&integers, &scale, zero_point], [])
}

/// All bytes from −127 to 127, `step` apart.
fn bytes(shape: &[usize], step: usize) -> Tensor {
    let count: usize = shape.iter().product();
    let byte = |index: usize| (index * step % 255) as i16 - 127;
    Tensor::new(shape, (0..count).map(|index| byte(index) as i8).collect()).expect("as many bytes as the shape says")
}

fn numbers(values: &[f32]) -> Tensor {
    Tensor::new(&[values.len()], values.to_vec()).expect("as many numbers as there are")
}
