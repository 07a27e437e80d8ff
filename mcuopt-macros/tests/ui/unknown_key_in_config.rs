//! A misspelt option in the TOML file.
use mcuopt_macros::include_model;

include_model!("models/classifier.onnx", config = "models/unknown_key.toml");

fn main() {
    let mut model = Classifier::new();
    model.infer::<_, ()>(&[0i8; 8]);
}
