//! The network takes eight numbers.
use mcuopt_macros::include_model;

include_model!("models/classifier.onnx", precision = "float32");

fn main() {
    Classifier::new().predict(&[0.0; 9]);
}
