//! The path leads nowhere.
use mcuopt_macros::include_model;

include_model!("models/nowhere.onnx");

fn main() {
    let mut model = Nowhere::new();
    model.infer::<_, ()>(&[0i8; 8]);
}
