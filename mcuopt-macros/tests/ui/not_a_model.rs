//! Some other file.
use mcuopt_macros::include_model;

include_model!("models/text.onnx");

fn main() {
    let mut model = Text::new();
    model.infer::<_, ()>(&[0i8; 8]);
}
