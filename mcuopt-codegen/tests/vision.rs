//! Convolutions, pools and the operators of vision heads against onnxruntime: by the reference evaluation and by the kernels
//! that firmware calls.
//!
//! The cases are made by `data/operators/vision.py`.

mod common;

use common::{Result, Sketch, check_cases, check_outputs, compile, int, ints};
use mcuopt_codegen::Precision;
use mcuopt_codegen::onnx::Attribute;
use mcuopt_codegen::tensor::Tensor;

fn close(found: &Tensor, expected: &Tensor) -> bool {
    let (Some(a), Some(b)) = (found.f32s(), expected.f32s()) else { return false };
    found.shape() == expected.shape() && a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 1e-4 * (1.0 + b.abs()))
}

#[test]
fn as_onnxruntime_computes_them() -> Result {
    let same = |found: &Tensor, expected: &Tensor| found == expected || close(found, expected);
    check_cases("vision.bin", 400, |case| check_outputs(case, same))
}

#[test]
fn behind_the_last_box_there_are_rows_of_minus_one() -> Result {
    let boxes = vec![0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0, 1.1, 5.0, 5.0, 6.0, 6.0];
    let sketch = Sketch::new(11)
        .floats("boxes", &[1, 3, 4], boxes)
        .input("scores", &[1, 1, 3])
        .constant("most", Tensor::from_i64s(&[3]))
        .floats("iou", &[1], vec![0.5])
        .floats("score", &[1], vec![0.1])
        .node("NonMaxSuppression", &["boxes", "scores", "most", "iou", "score"], &["y"], &[])
        .output("y");
    let compiled = compile("nms", &sketch.0.encode(), Precision::Float32)?;
    let scores = Tensor::new(&[1, 1, 3], vec![0.8f32, 0.9, 0.2]).ok_or("scores")?;
    let found = compiled.run(&[scores])?;
    let expected = Tensor::new(&[3, 3], vec![0i64, 0, 1, 0, 0, 2, -1, -1, -1]).ok_or("rows")?;
    ensure!(found == [expected], "{:?}", found[0].to_i64s());
    Ok(())
}

/// What compiling a model of one operator on `x` says.
fn refusal(op: &str, opset: i64, constants: &[(&str, Tensor)], attributes: &[(&str, Attribute)]) -> String {
    let sketch = constants.iter().fold(Sketch::new(opset).input("x", &[1, 2, 4, 4]), |sketch, (name, tensor)| {
        sketch.constant(name, tensor.clone())
    });
    let operands: Vec<&str> = ["x"].into_iter().chain(constants.iter().map(|(name, _)| *name)).collect();
    let sketch = sketch.node(op, &operands, &["y"], attributes).output("y");
    match compile(op, &sketch.0.encode(), Precision::Float32) {
        Ok(_) => "nothing".into(),
        Err(errors) => errors.to_string(),
    }
}

#[test]
fn what_does_not_fit_is_refused() -> Result {
    let floats = |shape: &[usize]| Tensor::zeros(mcuopt_codegen::tensor::DType::F32, shape);
    let weights = ("w", floats(&[2, 2, 3, 3]));
    let scales = |values: &[f32]| Tensor::new(&[values.len()], values.to_vec()).unwrap_or_else(|| Tensor::scalar(0.0));
    let text = |value: &str| Attribute::String(value.into());
    let cases = [
        (refusal("ConvTranspose", 11, &[("w", floats(&[3, 2, 3, 3]))], &[]), "x has 2 channels, the weights 3"),
        (
            refusal("ConvTranspose", 11, std::slice::from_ref(&weights), &[("pads", ints(&[9; 4]))]),
            "the padding leaves nothing",
        ),
        (refusal("ConvTranspose", 11, std::slice::from_ref(&weights), &[("group", int(0))]), "it should be positive"),
        (refusal("ConvTranspose", 11, &[weights], &[("strides", ints(&[1 << 31, 1 << 31]))]), "too large"),
        (refusal("Upsample", 9, &[("s", scales(&[1.0, 1.0, 1e9, 1.0]))], &[]), "the scale 1000000000"),
        (refusal("Upsample", 9, &[("s", scales(&[1.0, 1.0, f32::NAN, 1.0]))], &[]), "the scale NaN"),
        (refusal("Upsample", 9, &[("s", scales(&[1.0, 2.0]))], &[]), "2 scales for 4 axes"),
        (
            refusal("Upsample", 9, &[("s", scales(&[1.0; 4]))], &[("mode", text("fast"))]),
            "`fast` is not one of its values",
        ),
        (refusal("LpPool", 18, &[], &[("kernel_shape", ints(&[2, 2])), ("p", int(0))]), "the exponent 0"),
        (refusal("GridSample", 20, &[("g", floats(&[1, 3, 3, 3]))], &[]), "its shape is [1, 3, 3, 3]"),
    ];
    for (found, expected) in cases {
        ensure!(found.contains(expected), "`{found}` does not say `{expected}`");
    }
    Ok(())
}
