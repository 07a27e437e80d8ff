//! An input of integers.
use mcuopt_macros::include_model;

include_model!("models/integers.onnx");

fn main() {
    let mut model = Integers::new();
    model.infer::<_, ()>(&[0i8; 8]);
}
