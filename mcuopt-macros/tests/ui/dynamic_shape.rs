//! An extent that is known only at run time.
use mcuopt_macros::include_model;

include_model!("models/dynamic.onnx");

fn main() {
    let mut model = Dynamic::new();
    model.infer::<_, ()>(&[0i8; 8]);
}
