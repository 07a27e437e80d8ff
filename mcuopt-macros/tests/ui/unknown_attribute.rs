//! An attribute that is ignored could change the result.
use mcuopt_macros::include_model;

include_model!("models/attribute.onnx");

fn main() {
    let mut model = Attribute::new();
    model.infer::<_, ()>(&[0i8; 8]);
}
