//! A graph that feeds itself.
use mcuopt_macros::include_model;

include_model!("models/cyclic.onnx");

fn main() {
    let mut model = Cyclic::new();
    model.infer::<_, ()>(&[0i8; 8]);
}
