//! Weights that do not fit.
use mcuopt_macros::include_model;

include_model!("models/classifier.onnx", precision = "float32", max_flash = 100);

fn main() {
    let mut model = Classifier::new();
    model.infer::<_, ()>(&[0i8; 8]);
}
