//! A name that is no identifier.
use mcuopt_macros::include_model;

include_model!("models/classifier.onnx", name = "not a name");

fn main() {
    let mut model = Classifier::new();
    model.infer::<_, ()>(&[0i8; 8]);
}
