//! All operators that cannot be translated are named at once.
use mcuopt_macros::include_model;

include_model!("models/unsupported.onnx");

fn main() {
    let mut model = Unsupported::new();
    model.infer::<_, ()>(&[0i8; 8]);
}
