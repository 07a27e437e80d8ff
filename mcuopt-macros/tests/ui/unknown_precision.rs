//! An option with a value it does not have.
use mcuopt_macros::include_model;

include_model!("models/classifier.onnx", precision = "int7");

fn main() {
    let mut model = Classifier::new();
    model.infer::<_, ()>(&[0i8; 8]);
}
