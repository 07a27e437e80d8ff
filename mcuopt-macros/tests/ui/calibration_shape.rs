//! Samples of another shape than the input.
use mcuopt_macros::include_model;

include_model!("models/classifier.onnx", calibration = "models/wrong_shape.npz");

fn main() {
    let mut model = Classifier::new();
    model.infer::<_, ()>(&[0i8; 8]);
}
