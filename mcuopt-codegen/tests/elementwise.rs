//! Elementwise operators of all types in float models, and in int8 what several of them become together.

mod common;

use std::collections::BTreeMap;

use common::{Random, Result, Sketch, compile, int};
use mcuopt_codegen::calibrate::{Samples, calibrate};
use mcuopt_codegen::graph::{Graph, Quantization};
use mcuopt_codegen::import::import;
use mcuopt_codegen::interp::{run_float, run_lowered};
use mcuopt_codegen::onnx::{Attribute, ValueInfo};
use mcuopt_codegen::ops::Layer;
use mcuopt_codegen::quantize::{assign, lower, tables};
use mcuopt_codegen::simplify::simplify;
use mcuopt_codegen::tensor::{DType, Tensor};
use mcuopt_codegen::{Precision, quantize};

const SHAPE: [usize; 3] = [2, 3, 4];

/// Operator, operands (numbers are constants), result.
type Nodes<'a> = &'a [(&'a str, &'a [&'a str], &'a str)];

/// A model with the float input `x` and the numbers that its nodes name; the last node makes the output.
fn model(nodes: Nodes<'_>, attributes: &[(&str, Attribute)]) -> Sketch {
    let mut sketch = Sketch::new(20).input("x", &SHAPE);
    for (op, operands, result) in nodes {
        for operand in *operands {
            if let Ok(number) = operand.parse::<f32>() {
                sketch = sketch.constant(operand, Tensor::scalar(number));
            }
        }
        let of_last = if *result == "y" { attributes } else { &[] };
        sketch = sketch.node(op, operands, &[result], of_last);
    }
    sketch.output("y")
}

fn float(code: &str) -> Attribute {
    Attribute::Float(code.parse().unwrap_or(f32::NAN))
}

/// The int8 form: the names of its kernels, and how far its result is from the float one, in steps.
fn in_int8(sketch: &Sketch) -> Result<(Vec<&'static str>, f32)> {
    let mut graph = import(&sketch.0, &BTreeMap::new())?.graph;
    simplify(&mut graph)?;
    let count = SHAPE.iter().product();
    let mut random = Random(77);
    let mut sample = || {
        let values = random.floats(count).iter().map(|value| value * 4.0).collect();
        Tensor::new(&SHAPE, values).ok_or("a shape")
    };
    let inputs = [sample()?, sample()?, sample()?];
    // The reference is the graph before operators are put together.
    let reference = graph.clone();
    tables(&mut graph, true)?;
    let samples = Samples::from_tensors(vec![inputs.to_vec()]);
    let ranges = calibrate(&graph, &samples)?;
    assign(&mut graph, Some(&ranges))?;
    let lowered: Graph<Layer> = lower(&graph)?;
    let kernels = lowered.nodes.iter().map(|node| node.op.kernel.call(DType::I8).function).collect();
    let single = |value: &Option<Quantization>| value.as_ref().and_then(Quantization::single);
    let (scale, zero_point) = single(&lowered.value(lowered.inputs[0]).quantization).ok_or("a quantization")?;
    let mut worst = 0f32;
    for input in &inputs {
        let integers: Vec<i8> = (input.f32s().unwrap_or_default().iter())
            .map(|x| mcuopt_rt::fixed::quantize_f32(*x, scale, zero_point))
            .collect();
        let reals = integers.iter().map(|&q| mcuopt_rt::fixed::dequantize(q, scale, zero_point)).collect();
        let expected = run_float(&reference, &[Tensor::new(&SHAPE, reals).ok_or("a shape")?], |_, _| {})?.remove(0);
        let found = run_lowered(&lowered, &[Tensor::new(&SHAPE, integers).ok_or("a shape")?], |_, _| {})?.remove(0);
        let Some((scale, zero_point)) = single(&lowered.value(lowered.outputs[0]).quantization) else {
            ensure!(found.as_declared(expected.dtype()) == expected, "the truth values differ");
            continue;
        };
        let exact =
            expected.f32s().unwrap_or_default().iter().map(|x| (x / scale + zero_point as f32).clamp(-128.0, 127.0));
        let Tensor::I8(found) = found else { return Err("an int8 result".into()) };
        worst = exact.zip(&found).fold(worst, |worst, (exact, &found)| worst.max((exact - f32::from(found)).abs()));
    }
    Ok((kernels, worst))
}

#[test]
fn chains_of_one_tensor_become_one_table() -> Result {
    let chains: &[(&str, Nodes<'_>)] = &[
        ("SiLU", &[("Sigmoid", &["x"], "s"), ("Mul", &["x", "s"], "y")]),
        ("quick Gelu", &[("Mul", &["x", "1.702"], "m"), ("Sigmoid", &["m"], "s"), ("Mul", &["x", "s"], "y")]),
        (
            "hard-swish",
            &[
                ("Add", &["x", "3"], "a"),
                ("Clip", &["a", "0", "6"], "c"),
                ("Mul", &["x", "c"], "m"),
                ("Div", &["m", "6"], "y"),
            ],
        ),
        (
            "Gelu by Erf",
            &[
                ("Div", &["x", "1.4142135"], "d"),
                ("Erf", &["d"], "e"),
                ("Add", &["e", "1"], "a"),
                ("Mul", &["x", "a"], "m"),
                ("Mul", &["m", "0.5"], "y"),
            ],
        ),
        ("Mish", &[("Softplus", &["x"], "p"), ("Tanh", &["p"], "t"), ("Mul", &["x", "t"], "y")]),
        ("Where", &[("Less", &["x", "0"], "l"), ("Where", &["l", "-1", "x"], "y")]),
        ("reciprocal", &[("Exp", &["x"], "e"), ("Add", &["e", "1"], "a"), ("Div", &["2", "a"], "y")]),
        ("power", &[("Pow", &["x", "3"], "p"), ("Sub", &["1", "p"], "y")]),
        ("maximum", &[("Max", &["x", "0.5"], "y")]),
        ("shifted", &[("Sub", &["1", "x"], "y")]),
        ("comparison", &[("Greater", &["x", "0.25"], "y")]),
        ("not a number", &[("IsNaN", &["x"], "n"), ("Not", &["n"], "y")]),
    ];
    for (name, nodes) in chains {
        let (kernels, distance) = in_int8(&model(nodes, &[])).map_err(|error| format!("{name}: {error}"))?;
        ensure!(kernels == ["lut_s8"], "{name} became {kernels:?}");
        ensure!(distance <= 0.51, "{name}: {distance} steps");
    }
    Ok(())
}

#[test]
fn what_others_read_stays() -> Result {
    // The sum reads both, so that there are three layers, and none is computed twice.
    let nodes: Nodes<'_> = &[
        ("Sigmoid", &["x"], "s"),
        ("Mul", &["x", "s"], "m"),
        ("ReduceMean", &["m"], "r"),
        ("Add", &["m", "1"], "a"),
        ("Mul", &["a", "r"], "y"),
    ];
    let (kernels, distance) = in_int8(&model(nodes, &[("keepdims", int(1))][..0]))?;
    ensure!(kernels == ["lut_s8", "reduce_mean_s8", "lut_s8", "mul_s8"], "{kernels:?}");
    ensure!(distance <= 8.0, "{distance} steps");
    Ok(())
}

#[test]
fn two_tensors_in_int8() -> Result {
    // A mean is no function of one element, so two tensors meet.
    let means: Nodes<'_> = &[("ReduceMean", &["x"], "m"), ("Max", &["x", "m"], "y")];
    let (kernels, distance) = in_int8(&model(means, &[]))?;
    ensure!(kernels.contains(&"binary") && !kernels.contains(&"dequantize_s8_f32"), "{kernels:?}");
    ensure!(distance <= 1.5, "{distance} steps");
    let masked: Nodes<'_> =
        &[("ReduceMean", &["x"], "m"), ("Greater", &["x", "0.5"], "g"), ("Where", &["g", "x", "m"], "y")];
    let (kernels, distance) = in_int8(&model(masked, &[]))?;
    ensure!(kernels.contains(&"ternary") && kernels.contains(&"lut_s8"), "{kernels:?}");
    ensure!(!kernels.contains(&"dequantize_s8_f32") && distance <= 1.5, "{kernels:?} {distance}");
    Ok(())
}

#[test]
fn slopes_for_each_channel() -> Result {
    let sketch = Sketch::new(20).input("x", &SHAPE).floats("slopes", &[3, 1], vec![0.25, -0.5, 2.0]);
    let sketch = sketch.node("PRelu", &["x", "slopes"], &["y"], &[]).output("y");
    let (kernels, distance) = in_int8(&sketch)?;
    ensure!(kernels == ["prelu_s8"], "{kernels:?}");
    ensure!(distance <= 0.51, "{distance} steps");
    Ok(())
}

/// Runs a float model of inputs of any types by the reference and by the kernels.
fn run(sketch: &Sketch, inputs: &[Tensor]) -> Result<Tensor> {
    let compiled = compile("elementwise", &sketch.0.encode(), Precision::Float32)?;
    compiled.source()?;
    let [mut reference, mut found] = [compiled.run_float(inputs)?, compiled.run(inputs)?];
    let (reference, found) = (reference.remove(0), found.remove(0));
    ensure!(
        found.clone().as_declared(reference.dtype()) == reference,
        "{found:?} by kernels, {reference:?} by reference"
    );
    Ok(reference)
}

fn with_inputs(types: &[DType], count: usize) -> Sketch {
    let mut sketch = Sketch::new(20);
    for (index, &dtype) in types.iter().enumerate() {
        sketch.graph().inputs.push(ValueInfo::tensor(&format!("x{index}"), dtype, &[count]));
    }
    sketch
}

/// Operator, attributes, result.
type IntegerCase<'a> = (&'a str, &'a [(&'a str, Attribute)], [i64; 4]);

#[test]
fn integers_at_run_time() -> Result {
    let (a, b) = (Tensor::from_i64s(&[7, -7, 5, i64::MAX]), Tensor::from_i64s(&[3, 3, 0, 1]));
    let cases: &[IntegerCase<'_>] = &[
        ("Add", &[], [10, -4, 5, i64::MIN]),
        ("Sub", &[], [4, -10, 5, i64::MAX - 1]),
        ("Mul", &[], [21, -21, 0, i64::MAX]),
        ("Div", &[], [2, -2, 0, i64::MAX]),
        ("Mod", &[], [1, 2, 0, 0]),
        ("Mod", &[("fmod", Attribute::Int(1))], [1, -1, 0, 0]),
        ("Max", &[], [7, 3, 5, i64::MAX]),
        ("Min", &[], [3, -7, 0, 1]),
        ("Pow", &[], [343, -343, 1, i64::MAX]),
        ("BitwiseAnd", &[], [3, 1, 0, 1]),
        ("BitwiseOr", &[], [7, -5, 5, i64::MAX]),
        ("BitwiseXor", &[], [4, -6, 5, i64::MAX - 1]),
    ];
    for (op, attributes, expected) in cases {
        let sketch = with_inputs(&[DType::I64; 2], 4).node(op, &["x0", "x1"], &["y"], attributes).output("y");
        let found = run(&sketch, &[a.clone(), b.clone()])?;
        ensure!(found == Tensor::from_i64s(expected), "{op}: {:?}", found.to_i64s());
        // The same of constants, at compile time.
        let folded = Sketch::new(20).input("x", &[4]).constant("a", a.clone()).constant("b", b.clone());
        let folded = folded.node(op, &["a", "b"], &["i"], attributes).node("Cast", &["i"], &["f"], &[("to", int(1))]);
        let folded = folded.node("Add", &["x", "f"], &["y"], &[]).output("y");
        let found = run(&folded, &[Tensor::new(&[4], vec![0f32; 4]).ok_or("a shape")?])?;
        let expected: Vec<f32> = expected.iter().map(|&value| value as f32).collect();
        ensure!(found.f32s() == Some(&expected), "{op} of constants: {:?}", found.f32s());
    }
    let small = Tensor::new(&[4], vec![1u8, 2, 200, 255]).ok_or("a shape")?;
    let shifts = Tensor::new(&[4], vec![7u8, 8, 1, 0]).ok_or("a shape")?;
    for (direction, expected) in [("LEFT", [128u8, 0, 144, 255]), ("RIGHT", [0, 0, 100, 255])] {
        let direction = [("direction", Attribute::String(direction.into()))];
        let sketch = with_inputs(&[DType::U8; 2], 4).node("BitShift", &["x0", "x1"], &["y"], &direction).output("y");
        let found = run(&sketch, &[small.clone(), shifts.clone()])?;
        ensure!(found == Tensor::new(&[4], expected.to_vec()).ok_or("a shape")?, "{:?}", found.to_i64s());
    }
    Ok(())
}

#[test]
fn conversions() -> Result {
    let floats = Tensor::new(&[6], vec![-1.9f32, 1.9, 300.0, -3e9, f32::NAN, 0.0]).ok_or("a shape")?;
    let cases: [(i64, &[i64]); 6] = [
        (2, &[0, 1, 255, 0, 0, 0]),
        (3, &[-1, 1, 127, -128, 0, 0]),
        (5, &[-1, 1, 300, -32768, 0, 0]),
        (6, &[-1, 1, 300, -2147483648, 0, 0]),
        (7, &[-1, 1, 300, -3000000000, 0, 0]),
        (9, &[1, 1, 1, 1, 1, 0]),
    ];
    for (to, expected) in cases {
        let sketch = with_inputs(&[DType::F32], 6).node("Cast", &["x0"], &["y"], &[("to", int(to))]).output("y");
        let found = run(&sketch, std::slice::from_ref(&floats))?.at_run_time();
        ensure!(found.to_i64s().as_deref() == Some(expected), "to {to}: {:?}", found.to_i64s());
    }
    Ok(())
}

#[test]
fn limits_at_run_time_and_masks() -> Result {
    let x = Tensor::new(&[4], vec![-3.0f32, 0.5, 2.0, 9.0]).ok_or("a shape")?;
    let mut sketch = with_inputs(&[DType::F32], 4);
    for name in ["low", "high"] {
        sketch.graph().inputs.push(ValueInfo::tensor(name, DType::F32, &[]));
    }
    let sketch = sketch.node("Clip", &["x0", "low", "high"], &["y"], &[]).output("y");
    let found = run(&sketch, &[x.clone(), Tensor::scalar(-1.0), Tensor::scalar(3.0)])?;
    ensure!(found.f32s() == Some(&[-1.0, 0.5, 2.0, 3.0]), "{:?}", found.f32s());

    let sketch = with_inputs(&[DType::F32, DType::F32], 4)
        .node("Less", &["x0", "x1"], &["less"], &[])
        .node("Equal", &["x0", "x1"], &["equal"], &[])
        .node("Or", &["less", "equal"], &["or"], &[])
        .node("Not", &["or"], &["not"], &[])
        .node("Where", &["not", "x0", "x1"], &["y"], &[])
        .output("y");
    let other = Tensor::new(&[4], vec![0.0f32, 0.5, 1.0, f32::NAN]).ok_or("a shape")?;
    let found = run(&sketch, &[x, other])?;
    let found = found.f32s().unwrap_or_default();
    ensure!(found[..3] == [0.0, 0.5, 2.0] && found[3] == 9.0, "{found:?}");
    Ok(())
}

#[test]
fn small_powers_need_no_libm() -> Result {
    for (exponent, call) in [
        ("2", "HalfPower { halves: 4 }"),
        ("0.5", "(&rt::Sqrt, "),
        ("-1", "(&rt::Reciprocal, "),
        ("-1.5", "HalfPower { halves: -3 }"),
        ("2.2", "rt::binary"),
    ] {
        let sketch = model(&[("Pow", &["x", exponent], "y")], &[]);
        let compiled = compile("power", &sketch.0.encode(), Precision::Float32)?;
        let source = compiled.source()?;
        ensure!(source.contains(call), "{exponent}:\n{source}");
    }
    Ok(())
}

#[test]
fn the_emitted_text_names_the_function() -> Result {
    let leaky = model(&[("LeakyRelu", &["x"], "y")], &[("alpha", float("0.1"))]);
    let source = compile("leaky", &leaky.0.encode(), Precision::Float32)?.source()?;
    ensure!(source.contains(": rt::LeakyRelu = rt::LeakyRelu { alpha: 0.1 };"), "{source}");
    ensure!(source.contains("rt::unary"), "{source}");
    // The second operand's memory is the result's.
    let turned = model(&[("Exp", &["x"], "e"), ("Sub", &["x", "e"], "s"), ("Max", &["x", "s"], "y")], &[]);
    let source = compile("turned", &turned.0.encode(), Precision::Float32)?.source()?;
    ensure!(source.contains("rt::unary(&rt::Exp, "), "{source}");
    ensure!(source.contains("rt::binary"), "{source}");
    Ok(())
}

#[test]
fn kernels_of_one_tensor_become_one_table() -> Result {
    // As quantizers write it: each result is rounded by itself.
    let mut sketch = Sketch::new(20).input("x", &SHAPE).constant("zero", Tensor::new(&[], vec![-5i8]).ok_or("one")?);
    let pair = |sketch: Sketch, value: &str, scale: f32| {
        let names = [format!("{value}.scale"), format!("{value}.q"), format!("{value}.d")];
        sketch
            .constant(&names[0], Tensor::scalar(scale))
            .node("QuantizeLinear", &[value, &names[0], "zero"], &[&names[1]], &[])
            .node("DequantizeLinear", &[&names[1], &names[0], "zero"], &[&names[2]], &[])
    };
    sketch =
        pair(sketch, "x", 0.03).constant("three", Tensor::scalar(3.0)).constant("sixth", Tensor::scalar(1.0 / 6.0));
    sketch = pair(sketch.node("Add", &["x.d", "three"], &["a"], &[]), "a", 0.04);
    sketch = pair(sketch.node("Mul", &["x.d", "a.d"], &["m"], &[]), "m", 0.1);
    sketch = pair(sketch.node("Mul", &["m.d", "sixth"], &["n"], &[]), "n", 0.02).output("n.d");
    let mut graph = import(&sketch.0, &BTreeMap::new())?.graph;
    simplify(&mut graph)?;
    tables(&mut graph, false)?;
    assign(&mut graph, None)?;
    let single = lower(&graph)?;
    let mut composed = single.clone();
    quantize::compose(&mut composed)?;
    ensure!(single.nodes.len() >= 3 && composed.nodes.len() == 1, "{} {}", single.nodes.len(), composed.nodes.len());
    let mut random = Random(5);
    for _ in 0..30 {
        let x: Vec<i8> = (0..24).map(|_| random.below(256) as u8 as i8).collect();
        let x = [Tensor::new(&SHAPE, x).ok_or("a shape")?];
        ensure!(run_lowered(&single, &x, |_, _| {})? == run_lowered(&composed, &x, |_, _| {})?, "another result");
    }
    Ok(())
}

#[test]
fn a_quantized_file_keeps_what_its_author_left_in_float() -> Result {
    // Without quantization of the product, the sum before it and the result are float.
    let nodes: Nodes<'_> = &[("Sigmoid", &["x"], "s"), ("Mul", &["x", "s"], "y")];
    let mut graph = import(&model(nodes, &[]).0, &BTreeMap::new())?.graph;
    simplify(&mut graph)?;
    let before = graph.nodes.len();
    tables(&mut graph, false)?;
    quantize::assign(&mut graph, None)?;
    ensure!(graph.nodes.len() == before, "{graph}");
    Ok(())
}
