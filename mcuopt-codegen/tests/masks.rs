//! Positions hidden from a softmax, in the ways that exporters write them: int8 keeps its steps for the others.

mod common;

use std::fs;

use common::{Random, Result, Sketch, int, scratch};
use mcuopt_codegen::onnx::Attribute;
use mcuopt_codegen::tensor::{DType, Tensor};
use mcuopt_codegen::{Config, Precision};
use ndarray::{ArrayD, IxDyn};

const ROWS: usize = 6;

/// How positions are hidden.
#[derive(Clone, Copy, Debug)]
enum Form {
    /// Something else stands in their place.
    Replaced,
    /// A switch is multiplied, and added.
    Switched,
    /// Constants above the diagonal are added.
    Causal,
}

fn network(form: Form, hidden: f32) -> Sketch {
    let sketch = Sketch::new(17).input("x", &[1, ROWS, ROWS]).output("y").floats("hidden", &[], vec![hidden]);
    let sketch = sketch.floats("limit", &[], vec![1.0]).node("Greater", &["x", "limit"], &["far"], &[]);
    let sketch = match form {
        Form::Replaced => sketch.node("Where", &["far", "hidden", "x"], &["scores"], &[]),
        Form::Switched => sketch
            .node("Cast", &["far"], &["switch"], &[("to", int(1))])
            .node("Mul", &["switch", "hidden"], &["mask"], &[])
            .node("Add", &["x", "mask"], &["scores"], &[]),
        Form::Causal => {
            let mask = |i: usize| if i % ROWS > i / ROWS { hidden } else { 0.0 };
            let mask = (0..ROWS * ROWS).map(mask).collect();
            sketch.floats("mask", &[ROWS, ROWS], mask).node("Add", &["x", "mask"], &["scores"], &[])
        }
    };
    sketch.node("Softmax", &["scores"], &["y"], &[("axis", Attribute::Int(-1))])
}

fn expected(form: Form, x: &[f32]) -> Vec<f32> {
    let visible = |i: usize| match form {
        Form::Causal => i % ROWS <= i / ROWS,
        _ => x[i] <= 1.0,
    };
    let power = |i: usize| if visible(i) { x[i].exp() } else { 0.0 };
    let sum = |row: usize| (row * ROWS..(row + 1) * ROWS).map(power).sum::<f32>();
    (0..x.len()).map(|i| power(i) / sum(i / ROWS)).collect()
}

/// Scores of −3 to 3; the first of each row is always visible.
fn scores(random: &mut Random) -> Vec<f32> {
    let score = |(i, x): (usize, f32)| if i % ROWS == 0 { 0.5 * x } else { 3.0 * x };
    random.floats(ROWS * ROWS).into_iter().enumerate().map(score).collect()
}

#[test]
fn hidden_positions_leave_the_others_their_precision() -> Result {
    for form in [Form::Replaced, Form::Switched, Form::Causal] {
        for hidden in [f32::NEG_INFINITY, f32::MIN, -1e9, -10000.0] {
            // 0 · ∞ is no number.
            if hidden.is_infinite() && matches!(form, Form::Switched) {
                continue;
            }
            let mut random = Random(7);
            let path = scratch(&format!("{form:?}"));
            fs::create_dir_all(path.parent().ok_or("a folder")?)?;
            fs::write(&path, network(form, hidden).0.encode())?;
            let samples = (0..32).flat_map(|_| scores(&mut random)).collect();
            let samples = ArrayD::from_shape_vec(IxDyn(&[32, ROWS, ROWS]), samples)?;
            ndarray_npy::write_npy(path.with_extension("npy"), &samples)?;
            let config = Config::new(&path).name("Model").precision(Precision::Int8);
            let compiled = config.calibration(path.with_extension("npy")).compile()?;
            for _ in 0..20 {
                let x = scores(&mut random);
                let (scale, zero_point) = compiled.input_quantization(0).ok_or("an int8 input")?;
                let rounded: Vec<f32> = x.iter().map(|x| (x / scale).round() * scale).collect();
                let input = rounded.iter().map(|x| ((x / scale).round() as i32 + zero_point).clamp(-128, 127) as i8);
                let input = Tensor::new(&[1, ROWS, ROWS], input.collect()).ok_or("a tensor")?;
                let outputs = compiled.run(&[input])?;
                ensure!(outputs[0].dtype() == DType::I8, "{form:?} {hidden}: {:?}", outputs[0]);
                let found = outputs[0].to_i64s().ok_or("integers")?;
                for (i, (found, expected)) in found.iter().zip(expected(form, &rounded)).enumerate() {
                    let found = (found + 128) as f32 / 256.0;
                    let near = (found - expected).abs() < 0.03;
                    ensure!(near, "{form:?} {hidden}: element {i} is {found}, not {expected}");
                }
            }
        }
    }
    Ok(())
}

#[test]
fn what_is_infinite_elsewhere_stays_float() -> Result {
    // The largest of what is visible: minus infinity has no integer.
    let sketch =
        Sketch::new(17).input("x", &[1, ROWS, ROWS]).output("y").floats("hidden", &[], vec![f32::NEG_INFINITY]);
    let sketch = sketch.floats("limit", &[], vec![1.0]).node("Greater", &["x", "limit"], &["far"], &[]);
    let sketch = sketch.node("Where", &["far", "hidden", "x"], &["seen"], &[]);
    let sketch =
        sketch.node("ReduceMax", &["seen"], &["y"], &[("axes", Attribute::Ints(vec![2])), ("keepdims", int(0))]);
    let mut random = Random(3);
    let path = scratch("largest");
    fs::create_dir_all(path.parent().ok_or("a folder")?)?;
    fs::write(&path, sketch.0.encode())?;
    let samples = (0..32).flat_map(|_| scores(&mut random)).collect();
    ndarray_npy::write_npy(path.with_extension("npy"), &ArrayD::from_shape_vec(IxDyn(&[32, ROWS, ROWS]), samples)?)?;
    let config = Config::new(&path).name("Model").precision(Precision::Int8);
    let compiled = config.calibration(path.with_extension("npy")).compile()?;
    let floats = |tensor: &Tensor| tensor.dtype() == DType::F32;
    let x = scores(&mut random);
    let (scale, zero_point) = compiled.input_quantization(0).ok_or("an int8 input")?;
    let input = x.iter().map(|x| ((x / scale).round() as i32 + zero_point).clamp(-128, 127) as i8).collect();
    let input = Tensor::new(&[1, ROWS, ROWS], input).ok_or("a tensor")?;
    let mut in_float = 0;
    mcuopt_codegen::interp::run_lowered(&compiled.lowered, &[input], |_, y| in_float += usize::from(floats(y)))?;
    ensure!(in_float > 0, "every layer is int8");
    Ok(())
}
