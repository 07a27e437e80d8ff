//! No path at all.
use mcuopt_macros::include_model;

include_model!(pub Classifier);

fn main() {
    let mut model = Classifier::new();
    model.infer::<_, ()>(&[0i8; 8]);
}
