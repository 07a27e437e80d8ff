//! int8 without samples.
use mcuopt_macros::include_model;

include_model!("models/classifier.onnx", precision = "int8");

fn main() {
    let mut model = Classifier::new();
    model.infer::<_, ()>(&[0i8; 8]);
}
