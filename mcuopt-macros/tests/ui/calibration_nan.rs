//! Samples that are no numbers.
use mcuopt_macros::include_model;

include_model!("models/classifier.onnx", calibration = "models/nan.npz");

fn main() {
    let mut model = Classifier::new();
    model.infer::<_, ()>(&[0i8; 8]);
}
