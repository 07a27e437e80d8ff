//! TfIdfVectorizer: the modes that ONNX's own tests leave out, and what is refused.

mod common;

use common::{Result, Sketch, compile, int, ints};
use mcuopt_codegen::Precision;
use mcuopt_codegen::onnx::{Attribute, ValueInfo};
use mcuopt_codegen::tensor::{DType, Tensor};

/// Counts 1, 2 and the pair 1 2 in two rows.
fn vectorizer(mode: &str, changes: &[(&str, Attribute)]) -> Sketch {
    let mut attributes = vec![
        ("mode", Attribute::String(mode.into())),
        ("min_gram_length", int(1)),
        ("max_gram_length", int(2)),
        ("max_skip_count", int(1)),
        ("ngram_counts", ints(&[0, 2])),
        ("ngram_indexes", ints(&[2, 0, 1])),
        ("pool_int64s", ints(&[1, 2, 1, 2])),
        ("weights", Attribute::Floats(vec![0.5, 2.0, 3.0])),
    ];
    attributes.extend(changes.iter().cloned());
    let mut sketch = Sketch::new(9).output("y").node("TfIdfVectorizer", &["x"], &["y"], &attributes);
    sketch.graph().inputs.push(ValueInfo::tensor("x", DType::I32, &[2, 4]));
    sketch
}

#[test]
fn modes() -> Result {
    // In the first row 2 occurs once, 1 three times, and 1 2 once without and once with a gap.
    let x = Tensor::new(&[2, 4], vec![1, 1, 2, 1, 3, 3, 2, 2]).ok_or("a shape")?;
    for (mode, expected) in [
        ("TF", [1.0, 2.0, 3.0, 2.0, 0.0, 0.0]),
        ("IDF", [2.0, 3.0, 0.5, 2.0, 0.0, 0.0]),
        ("TFIDF", [2.0, 6.0, 1.5, 4.0, 0.0, 0.0]),
    ] {
        let compiled = compile(mode, &vectorizer(mode, &[]).0.encode(), Precision::Float32)?;
        let y = compiled.run(std::slice::from_ref(&x))?;
        ensure!(y[0].f32s() == Some(&expected[..]), "{mode}: {:?}", y[0].f32s());
    }
    Ok(())
}

#[test]
fn attributes_that_do_not_fit() -> Result {
    for (name, value) in [
        ("pool_strings", Attribute::Strings(vec!["a".into()])),
        ("ngram_counts", ints(&[0, -1])),
        ("ngram_counts", ints(&[0, 3])),
        ("ngram_counts", ints(&[0, 9])),
        ("ngram_indexes", ints(&[0, 1])),
        ("ngram_indexes", ints(&[0, 1, -1])),
        ("ngram_indexes", ints(&[0, 1, i64::MAX])),
        ("weights", Attribute::Floats(vec![1.0])),
        ("pool_int64s", ints(&[])),
    ] {
        let model = vectorizer("TFIDF", &[(name, value.clone())]).0;
        ensure!(compile("TfIdf", &model.encode(), Precision::Float32).is_err(), "{name} = {value:?}");
    }
    let gaps = vectorizer("TF", &[("max_skip_count", int(i64::MAX))]).0;
    compile("TfIdf", &gaps.encode(), Precision::Float32)?;
    Ok(())
}
