//! A misspelt option.
use mcuopt_macros::include_model;

include_model!("models/classifier.onnx", precison = "int8");

fn main() {
    let mut model = Classifier::new();
    model.infer::<_, ()>(&[0i8; 8]);
}
