//! What is refused, and in which words: a valid model that cannot be translated gets an error that names the place
//! and what works instead, never wrong numbers.

mod common;

use common::{Result, Sketch, compile, int, ints};
use mcuopt_codegen::Precision;
use mcuopt_codegen::onnx::{Attribute, ValueInfo};
use mcuopt_codegen::tensor::{DType, Tensor};

fn refused(name: &str, sketch: Sketch, expected: &str) -> Result {
    let Err(error) = compile(name, &sketch.0.encode(), Precision::Float32) else {
        return Err(format!("{name} is compiled").into());
    };
    ensure!(error.to_string().contains(expected), "{name}: {error}\nshould say: {expected}");
    Ok(())
}

/// One node `y = op(x, …)` on an input of the given shape.
fn one(op: &str, opset: i64, shape: &[usize], operands: &[&str], attributes: &[(&str, Attribute)]) -> Sketch {
    let inputs = [&["x"], operands].concat();
    Sketch::new(opset).input("x", shape).node(op, &inputs, &["y"], attributes).output("y")
}

#[test]
fn shapes_that_no_kernel_has() -> Result {
    let conv = one("Conv", 13, &[1, 2, 4, 4, 4, 4], &["w"], &[]).floats("w", &[1, 2, 1, 1, 1, 1], vec![1.0; 2]);
    refused("Conv", conv, "node `y` (Conv): not supported: 4 spatial axes; what works: up to three spatial axes")?;
    let perm = one("Transpose", 13, &[2; 7], &[], &[]);
    refused("Transpose", perm, "7 axes that move against each other; what works: up to six")?;
    let add = one("Add", 13, &[2, 1, 3, 1, 5], &["c"], &[]).floats("c", &[4, 1, 3, 1], vec![0.0; 12]);
    refused("Add", add, "broadcasting [2, 1, 3, 1, 5] with [4, 1, 3, 1]; what works: operands whose axes fall into")?;
    let product = one("MatMul", 13, &[2, 1, 2, 1, 3, 4], &["b"], &[]).input("b", &[1, 5, 1, 2, 4, 2]);
    refused("MatMul", product, "4 batch axes that move against each other; what works: up to three")?;
    let det = one("Det", 11, &[9, 9], &[], &[]);
    refused("Det", det, "matrices of 9 rows; what works: up to 8 rows")?;
    let top = one("TopK", 13, &[2, 3], &["k"], &[]).constant("k", Tensor::from_i64s(&[4]));
    refused("TopK", top, "invalid model: k is [4], and axis 1 of [2, 3] is taken")?;
    let sum = one("Einsum", 12, &[2, 3], &[], &[("equation", Attribute::String("ij->k".into()))]);
    refused("Einsum", sum, "attribute `equation`: invalid model: names that the result cannot have in `ij->k`")
}

#[test]
fn sizes_that_do_not_fit() -> Result {
    let reshape = one("Reshape", 14, &[4], &["t"], &[("allowzero", int(1))]).constant("t", Tensor::from_i64s(&[0, 4]));
    refused("Reshape", reshape, "(Reshape): invalid model: [4] does not reshape to [0, 4]")?;
    let mut huge = one("Pad", 13, &[4], &["p"], &[]).constant("p", Tensor::from_i64s(&[0, i64::from(u32::MAX)]));
    huge.graph().outputs[0].shape = None;
    refused("Pad", huge, "(Pad): invalid model: the shape [4294967299] of its result is too large")
}

#[test]
fn modes_and_attributes() -> Result {
    let pad = one("Pad", 10, &[4], &[], &[("pads", ints(&[1, 1])), ("mode", Attribute::String("mirror".into()))]);
    refused("mirror", pad, "attribute `mode`: not supported: `mirror`; what works: `constant`, `reflect`, `edge` or")?;
    let crop = one("Pad", 10, &[4], &[], &[("pads", ints(&[-4, -1]))]);
    refused("crop", crop, "(Pad): invalid model: [-4, -1] takes more away than the 4 elements of axis 0")?;
    let outside = one("Gather", 13, &[4], &["i"], &[]).constant("i", Tensor::from_i64s(&[0, 4, 1]));
    refused("outside", outside, "(Gather), input 1: invalid model: the index 4 is outside an axis of 4")?;
    let shapeless = one("NonZero", 13, &[4], &[], &[]);
    refused("NonZero", shapeless, "the shape of its result depends on data computed at run time; what works: a const")?;
    let names = ["s", "b", "m", "v"];
    let normal = |attributes: &[(&str, Attribute)], opset, size: usize| {
        let sketch = one("BatchNormalization", opset, &[1, 2, 3], &names, attributes);
        names.iter().fold(sketch, |sketch, name| sketch.floats(name, &[size], vec![1.0; size]))
    };
    let training = normal(&[("training_mode", int(1))], 15, 2);
    refused("training", training, "training mode; what works: the model exported for inference")?;
    let elementwise = normal(&[("spatial", int(0))], 7, 6);
    refused("spatial", elementwise, "attribute `spatial`: not supported: a mean and variance for each element")?;
    let unknown = one("Relu", 14, &[4], &[], &[("surprise", int(1))]);
    refused("unknown", unknown, "attribute `surprise`: not supported: this attribute is not known")
}

#[test]
fn element_types() -> Result {
    refused("float8", one("Cast", 19, &[4], &[], &[("to", int(17))]), "attribute `to`: not supported")?;
    let mut integers = one("Sigmoid", 13, &[4], &[], &[]);
    integers.graph().inputs[0] = ValueInfo::tensor("x", DType::I32, &[4]);
    refused("Sigmoid", integers, "(Sigmoid), input 0: not supported: Sigmoid of int32; what works: a float input")?;
    let mut reals = one("BitwiseAnd", 18, &[4], &["x"], &[]);
    reals.graph().inputs[0] = ValueInfo::tensor("x", DType::F32, &[4]);
    refused("BitwiseAnd", reals, "(BitwiseAnd): not supported: BitwiseAnd of float and float")?;
    let quantize = one("QuantizeLinear", 13, &[4], &["s", "z"], &[]).constant("s", Tensor::scalar(0.5));
    let words = Tensor::new(&[], vec![0i32]).ok_or("one element")?;
    refused("int32", quantize.constant("z", words), "quantization to int32; what works: int8, uint8, int16 or uint16")
}

#[test]
fn values_known_at_run_time_only() -> Result {
    let resize = one("Resize", 13, &[1, 1, 4], &["", "s"], &[]).input("s", &[3]);
    refused(
        "Resize",
        resize,
        "input 2 (`s`): not supported: its value is computed at run time; what works: a constant",
    )?;
    let mut reshape = one("Reshape", 13, &[4], &["t"], &[]);
    reshape.graph().inputs.push(ValueInfo::tensor("t", DType::I64, &[1]));
    refused("Reshape", reshape, "input 1 (`t`): not supported: its value is computed at run time")
}

#[test]
fn names_that_stand_for_two_things() -> Result {
    let twice = one("Relu", 14, &[4], &[], &[]).node("Abs", &["x"], &["y"], &[]);
    refused("outputs", twice, "(Abs): invalid model: `y` has two producers")?;
    let constant = one("Relu", 14, &[4], &[], &[]).floats("y", &[1], vec![0.0]);
    refused("constant", constant, "(Relu): invalid model: `y` has two producers")?;
    refused(
        "inputs",
        one("Relu", 14, &[4], &[], &[]).input("x", &[4]),
        "input `x`: invalid model: two inputs have this name",
    )?;
    let cycle = Sketch::new(14).input("x", &[4]).node("Add", &["x", "y"], &["y"], &[]).output("y");
    refused("cycle", cycle, "node `y` (Add): invalid model: it depends on its own output: the graph has a cycle")?;
    let missing = one("Add", 14, &[4], &["w"], &[]);
    refused("missing", missing, "node `y` (Add), input 1: invalid model: nothing makes `w`")
}
