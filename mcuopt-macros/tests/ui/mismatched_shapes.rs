//! Operands that do not fit each other.
use mcuopt_macros::include_model;

include_model!("models/mismatched.onnx");

fn main() {
    let mut model = Mismatched::new();
    model.infer::<_, ()>(&[0i8; 8]);
}
