//! Half a file.
use mcuopt_macros::include_model;

include_model!("models/truncated.onnx");

fn main() {
    let mut model = Truncated::new();
    model.infer::<_, ()>(&[0i8; 8]);
}
