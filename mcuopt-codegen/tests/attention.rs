//! Attention and normalisation as exporters write them: the same numbers as the definitions, in floats and within what
//! int8 allows, and no layer that only copies.

mod common;

use common::{Random, Result, Sketch, compile, ints, min_max_ranges};
use mcuopt_codegen::Precision;
use mcuopt_codegen::graph::Quantization;
use mcuopt_codegen::import::import;
use mcuopt_codegen::interp::{run_float, run_lowered};
use mcuopt_codegen::onnx::Attribute;
use mcuopt_codegen::options::Bindings;
use mcuopt_codegen::quantize::{assign, lower};
use mcuopt_codegen::simplify::simplify;
use mcuopt_codegen::tensor::{DType, Tensor};

const LENGTH: usize = 6;
const HEADS: usize = 2;
const DEPTH: usize = 4;
const WIDTH: usize = HEADS * DEPTH;

/// Numbers of a network under construction.
struct Growing(Sketch, Random);

impl Growing {
    fn node(&mut self, op: &str, inputs: &[&str], output: &str, attributes: &[(&str, Attribute)]) {
        let sketch = std::mem::replace(&mut self.0, Sketch::new(17));
        self.0 = sketch.node(op, inputs, &[output], attributes);
    }

    fn floats(&mut self, name: &str, shape: &[usize], values: Vec<f32>) {
        let sketch = std::mem::replace(&mut self.0, Sketch::new(17));
        self.0 = sketch.floats(name, shape, values);
    }

    fn shape(&mut self, name: &str, values: &[i64]) {
        let sketch = std::mem::replace(&mut self.0, Sketch::new(17));
        self.0 = sketch.constant(name, Tensor::from_i64s(values));
    }

    /// x · weights + bias.
    fn linear(&mut self, x: &str, output: &str) -> (Vec<f32>, Vec<f32>) {
        let (weights, bias) = (self.1.floats(WIDTH * WIDTH), self.1.floats(WIDTH));
        self.floats(&format!("{output}.w"), &[WIDTH, WIDTH], weights.clone());
        self.floats(&format!("{output}.b"), &[WIDTH], bias.clone());
        self.node("MatMul", &[x, &format!("{output}.w")], &format!("{output}.p"), &[]);
        self.node("Add", &[&format!("{output}.p"), &format!("{output}.b")], output, &[]);
        (weights, bias)
    }
}

fn linear(x: &[f64], (weights, bias): &(Vec<f32>, Vec<f32>)) -> Vec<f64> {
    let term = |row: usize, column: usize, k: usize| x[row * WIDTH + k] * f64::from(weights[k * WIDTH + column]);
    let element =
        |i: usize| f64::from(bias[i % WIDTH]) + (0..WIDTH).map(|k| term(i / WIDTH, i % WIDTH, k)).sum::<f64>();
    (0..x.len()).map(element).collect()
}

/// softmax(q · kᵀ / √depth) · v for each head.
fn attention(q: &[f64], k: &[f64], v: &[f64]) -> Vec<f64> {
    let mut y = vec![0.0; LENGTH * WIDTH];
    for head in 0..HEADS {
        for row in 0..LENGTH {
            let at = |position: usize, d: usize| position * WIDTH + head * DEPTH + d;
            let score =
                |other: usize| (0..DEPTH).map(|d| q[at(row, d)] * k[at(other, d)]).sum::<f64>() / (DEPTH as f64).sqrt();
            let weights: Vec<f64> = (0..LENGTH).map(|other| score(other).exp()).collect();
            let sum: f64 = weights.iter().sum();
            for d in 0..DEPTH {
                y[at(row, d)] = (0..LENGTH).map(|other| weights[other] / sum * v[at(other, d)]).sum();
            }
        }
    }
    y
}

/// How an exporter writes it.
#[derive(Clone, Copy, Debug)]
enum Style {
    /// scaled_dot_product_attention: both operands are scaled, heads are an axis of their own.
    Scaled,
    /// MultiheadAttention: bmm over batch · heads, the product is divided.
    Batched,
    /// Einsum.
    Einsum,
}

fn network(style: Style) -> (Sketch, impl Fn(&[f32]) -> Vec<f64>) {
    let mut g = Growing(Sketch::new(17).input("x", &[1, LENGTH, WIDTH]), Random(77));
    let [q, k, v] = ["q", "k", "v"].map(|name| g.linear("x", name));
    let (length, heads, depth) = (LENGTH as i64, HEADS as i64, DEPTH as i64);
    g.shape("split", &[1, length, heads, depth]);
    g.shape("merged", &[heads, length, depth]);
    g.shape("parted", &[1, heads, length, depth]);
    g.shape("joined", &[1, length, heads * depth]);
    g.floats("root", &[], vec![(DEPTH as f32).powf(-0.25)]);
    g.floats("whole", &[], vec![(DEPTH as f32).sqrt()]);
    for name in ["q", "k", "v"] {
        g.node("Reshape", &[name, "split"], &format!("{name}1"), &[]);
    }
    match style {
        Style::Scaled => {
            g.node("Transpose", &["q1"], "q2", &[("perm", ints(&[0, 2, 1, 3]))]);
            g.node("Transpose", &["k1"], "k2", &[("perm", ints(&[0, 2, 3, 1]))]);
            g.node("Transpose", &["v1"], "v2", &[("perm", ints(&[0, 2, 1, 3]))]);
            g.node("Mul", &["q2", "root"], "q3", &[]);
            g.node("Mul", &["k2", "root"], "k3", &[]);
            g.node("MatMul", &["q3", "k3"], "scores", &[]);
            g.node("Softmax", &["scores"], "weights", &[("axis", Attribute::Int(-1))]);
            g.node("MatMul", &["weights", "v2"], "heads", &[]);
            g.node("Transpose", &["heads"], "back", &[("perm", ints(&[0, 2, 1, 3]))]);
        }
        Style::Batched => {
            for name in ["q", "k", "v"] {
                g.node("Transpose", &[&format!("{name}1")], &format!("{name}2"), &[("perm", ints(&[0, 2, 1, 3]))]);
                g.node("Reshape", &[&format!("{name}2"), "merged"], &format!("{name}3"), &[]);
            }
            g.node("Transpose", &["k3"], "k4", &[("perm", ints(&[0, 2, 1]))]);
            g.node("MatMul", &["q3", "k4"], "product", &[]);
            g.node("Div", &["product", "whole"], "scores", &[]);
            g.node("Softmax", &["scores"], "weights", &[("axis", Attribute::Int(-1))]);
            g.node("MatMul", &["weights", "v3"], "heads", &[]);
            g.node("Reshape", &["heads", "parted"], "heads1", &[]);
            g.node("Transpose", &["heads1"], "back", &[("perm", ints(&[0, 2, 1, 3]))]);
        }
        Style::Einsum => {
            let equation = |text: &str| [("equation", Attribute::String(text.into()))];
            g.node("Einsum", &["q1", "k1"], "product", &equation("bqhd,bkhd->bhqk"));
            g.node("Div", &["product", "whole"], "scores", &[]);
            g.node("Softmax", &["scores"], "weights", &[("axis", Attribute::Int(-1))]);
            g.node("Einsum", &["weights", "v1"], "back", &equation("bhqk,bkhd->bqhd"));
        }
    }
    g.node("Reshape", &["back", "joined"], "flat", &[]);
    let o = g.linear("flat", "y");
    let definition = move |x: &[f32]| {
        let x: Vec<f64> = x.iter().map(|&x| x.into()).collect();
        linear(&attention(&linear(&x, &q), &linear(&x, &k), &linear(&x, &v)), &o)
    };
    (g.0.output("y"), definition)
}

#[test]
fn attention_of_all_exporters_is_five_kinds_of_layers() -> Result {
    for style in [Style::Scaled, Style::Batched, Style::Einsum] {
        let (sketch, definition) = network(style);
        let compiled = compile(&format!("{style:?}"), &sketch.0.encode(), Precision::Float32)?;
        compiled.source()?;
        let mut layers: Vec<&str> = compiled.lowered.nodes.iter().map(|node| node.op.operator).collect();
        layers.sort_unstable();
        let expected = ["Gemm", "Gemm", "Gemm", "Gemm", "MatMul", "MatMul", "Softmax"];
        ensure!(layers == expected, "{style:?}: {layers:?}\n{}", compiled.graph);
        let x = Random(5).floats(LENGTH * WIDTH);
        let input = [Tensor::new(&[1, LENGTH, WIDTH], x.clone()).ok_or("a tensor")?];
        for found in [compiled.run_float(&input)?, compiled.run(&input)?] {
            for (found, expected) in found[0].f32s().unwrap_or_default().iter().zip(definition(&x)) {
                ensure!((f64::from(*found) - expected).abs() < 1e-4, "{style:?}: {found}, not {expected}");
            }
        }
    }
    Ok(())
}

/// x + attention(normalised x), and that + dense(gelu(dense(normalised))).
fn transformer() -> Sketch {
    let mut g = Growing(Sketch::new(17).input("x", &[1, LENGTH, WIDTH]), Random(21));
    for name in ["gain", "offset"] {
        let values = g.1.floats(WIDTH).iter().map(|x| 0.3 * x + if name == "gain" { 1.0 } else { 0.0 }).collect();
        g.floats(name, &[WIDTH], values);
    }
    let (length, heads, depth) = (LENGTH as i64, HEADS as i64, DEPTH as i64);
    g.shape("split", &[1, length, heads, depth]);
    g.shape("joined", &[1, length, heads * depth]);
    g.floats("root", &[], vec![(DEPTH as f32).sqrt()]);
    g.node("LayerNormalization", &["x", "gain", "offset"], "n", &[]);
    for (name, perm) in [("q", [0, 2, 1, 3]), ("k", [0, 2, 3, 1]), ("v", [0, 2, 1, 3])] {
        g.linear("n", name);
        g.node("Reshape", &[name, "split"], &format!("{name}1"), &[]);
        g.node("Transpose", &[&format!("{name}1")], &format!("{name}2"), &[("perm", ints(&perm))]);
    }
    g.node("MatMul", &["q2", "k2"], "product", &[]);
    g.node("Div", &["product", "root"], "scores", &[]);
    g.node("Softmax", &["scores"], "weights", &[("axis", Attribute::Int(-1))]);
    g.node("MatMul", &["weights", "v2"], "heads", &[]);
    g.node("Transpose", &["heads"], "back", &[("perm", ints(&[0, 2, 1, 3]))]);
    g.node("Reshape", &["back", "joined"], "flat", &[]);
    g.linear("flat", "o");
    g.node("Add", &["x", "o"], "r", &[]);
    g.node("LayerNormalization", &["r", "gain", "offset"], "n2", &[]);
    g.linear("n2", "up");
    g.node("Gelu", &["up"], "gelu", &[]);
    g.linear("gelu", "down");
    g.node("Add", &["r", "down"], "y", &[]);
    let mut sketch = g.0.output("y");
    sketch.0.opsets.insert(String::new(), 20);
    sketch
}

#[test]
fn a_transformer_runs_without_floats() -> Result {
    let mut graph = import(&transformer().0, &Bindings::new())?.graph;
    simplify(&mut graph)?;
    let mut random = Random(8);
    let mut sample = || Tensor::new(&[1, LENGTH, WIDTH], random.floats(LENGTH * WIDTH)).ok_or("a sample");
    let samples = (0..16).map(|_| sample()).collect::<std::result::Result<Vec<_>, _>>()?;
    let inputs: Vec<Vec<Tensor>> = samples.iter().map(|sample| vec![sample.clone()]).collect();
    let ranges = min_max_ranges(&graph, &inputs)?;
    let mut outputs = Vec::new();
    for input in &inputs {
        outputs.push(run_float(&graph, input, |_, _| {})?[0].f32s().unwrap_or_default().to_vec());
    }
    assign(&mut graph, Some(&ranges))?;
    let lowered = lower(&graph)?;
    for node in &lowered.nodes {
        let ty = &lowered.value(node.outputs[0]).ty;
        ensure!(ty.dtype == DType::I8, "{} of `{}` is {}", node.op.operator, node.name, ty.dtype);
    }
    let single = |id| lowered.value(id).quantization.as_ref().and_then(Quantization::single).ok_or("a scale");
    let (input, output) = (single(lowered.inputs[0])?, single(lowered.outputs[0])?);
    let (mut signal, mut noise) = (0.0, 0.0);
    for (sample, expected) in samples.iter().zip(&outputs) {
        let x =
            sample.f32s().unwrap_or_default().iter().map(|x| (x / input.0 + input.1 as f32).round() as i8).collect();
        let x = Tensor::new(sample.shape(), x).ok_or("a tensor")?;
        let found = run_lowered(&lowered, &[x], |_, _| {})?.remove(0);
        let Tensor::I8(found) = found else { return Err("an int8 result".into()) };
        for (&q, &expected) in found.iter().zip(expected) {
            let found = (i32::from(q) - output.1) as f32 * output.0;
            (signal, noise) = (signal + expected * expected, noise + (found - expected) * (found - expected));
        }
    }
    let decibels = 10.0 * (signal / noise).log10();
    ensure!(decibels > 25.0, "{decibels} dB");
    Ok(())
}

/// A normalisation written out, with gain and offset.
fn written_out(layer: bool, form: usize) -> Sketch {
    let mut g = Growing(Sketch::new(17).input("x", &[1, LENGTH, WIDTH]), Random(3));
    let (gain, offset) = (g.1.floats(WIDTH), g.1.floats(WIDTH));
    g.floats("gain", &[WIDTH], gain);
    g.floats("offset", &[WIDTH], offset);
    for (name, value) in [("epsilon", 1e-3), ("two", 2.0), ("one", 1.0), ("less", -0.5)] {
        g.floats(name, &[], vec![value]);
    }
    let last = [("axes", ints(&[-1]))];
    let mut d = "x";
    if layer {
        g.node("ReduceMean", &["x"], "m", &last);
        g.node("Sub", &["x", "m"], "d", &[]);
        d = "d";
    }
    match form {
        0 => g.node("Pow", &[d, "two"], "square", &[]),
        _ => g.node("Mul", &[d, d], "square", &[]),
    }
    g.node("ReduceMean", &["square"], "v", &last);
    g.node("Add", if form == 0 { &["v", "epsilon"] } else { &["epsilon", "v"] }, "s", &[]);
    if form == 3 {
        g.node("Pow", &["s", "less"], "r", &[]);
    } else {
        g.node("Sqrt", &["s"], "q", &[]);
    }
    match form {
        0 => g.node("Div", &[d, "q"], "z", &[]),
        1 => {
            g.node("Reciprocal", &["q"], "r", &[]);
            g.node("Mul", &[d, "r"], "z", &[]);
        }
        2 => {
            g.node("Div", &["one", "q"], "r", &[]);
            g.node("Mul", &["r", d], "z", &[]);
        }
        _ => g.node("Mul", &[d, "r"], "z", &[]),
    }
    g.node("Mul", &["gain", "z"], "scaled", &[]);
    g.node("Add", &["scaled", "offset"], "y", &[]);
    g.0.output("y")
}

#[test]
fn normalisations_written_out_are_one_layer() -> Result {
    for layer in [true, false] {
        for form in 0..4 {
            let sketch = written_out(layer, form);
            let compiled = compile("normalize", &sketch.0.encode(), Precision::Float32)?;
            let layers: Vec<&str> = compiled.lowered.nodes.iter().map(|node| node.op.operator).collect();
            let expected = if layer { "LayerNormalization" } else { "RMSNormalization" };
            ensure!(layers == [expected], "{layer} {form}: {layers:?}\n{}", compiled.graph);
            let mut random = Random(9);
            let x = random.floats(LENGTH * WIDTH);
            let constants = &sketch.0.graph.initializers;
            let constant = |name: &str| constants.get(name).and_then(Tensor::f32s).unwrap_or_default().to_vec();
            let (gain, offset) = (constant("gain"), constant("offset"));
            let input = [Tensor::new(&[1, LENGTH, WIDTH], x.clone()).ok_or("a tensor")?];
            let found = compiled.run(&input)?;
            let found = found[0].f32s().unwrap_or_default();
            for (row, x) in x.chunks(WIDTH).enumerate() {
                let mean = if layer { x.iter().sum::<f32>() / WIDTH as f32 } else { 0.0 };
                let variance = x.iter().map(|x| (x - mean) * (x - mean)).sum::<f32>() / WIDTH as f32;
                for (c, x) in x.iter().enumerate() {
                    let expected = (x - mean) / (variance + 1e-3).sqrt() * gain[c] + offset[c];
                    let found = found[row * WIDTH + c];
                    ensure!((found - expected).abs() < 1e-5, "{layer} {form}: {found}, not {expected}");
                }
            }
        }
    }
    Ok(())
}

#[test]
fn group_normalisation_of_exporters_is_one_layer_between_convolutions() -> Result {
    let mut g = Growing(Sketch::new(17).input("x", &[1, 2, 4, 3]), Random(4));
    let mut random = Random(6);
    g.floats("w1", &[4, 2, 1, 1], random.floats(8));
    g.floats("w2", &[2, 4, 1, 1], random.floats(8));
    g.floats("ones", &[2], vec![1.0; 2]);
    g.floats("zeros", &[2], vec![0.0; 2]);
    let (gain, offset) = (random.floats(4), random.floats(4));
    g.floats("gain", &[4, 1, 1], gain.clone());
    g.floats("offset", &[4, 1, 1], offset.clone());
    g.shape("groups", &[0, 2, -1]);
    g.shape("image", &[1, 4, 4, 3]);
    g.node("Conv", &["x", "w1"], "c", &[]);
    g.node("Reshape", &["c", "groups"], "rows", &[]);
    g.node("InstanceNormalization", &["rows", "ones", "zeros"], "n", &[]);
    g.node("Reshape", &["n", "image"], "n1", &[]);
    g.node("Mul", &["n1", "gain"], "m", &[]);
    g.node("Add", &["m", "offset"], "a", &[]);
    g.node("Conv", &["a", "w2"], "y", &[]);
    let sketch = g.0.output("y");
    let compiled = compile("groups", &sketch.0.encode(), Precision::Float32)?;
    let layers: Vec<&str> = compiled.lowered.nodes.iter().map(|node| node.op.operator).collect();
    let found: Vec<&&str> = layers.iter().filter(|layer| **layer != "Transpose").collect();
    ensure!(found == [&"Conv", &"GroupNormalization", &"Conv"], "{layers:?}\n{}", compiled.graph);
    // What the file says, step by step.
    let constants = &sketch.0.graph.initializers;
    let weights = |name: &str| constants.get(name).and_then(Tensor::f32s).unwrap_or_default().to_vec();
    let convolved = |x: &[f32], w: &[f32], inputs: usize| -> Vec<f32> {
        let outputs = w.len() / inputs;
        let sum = |o: usize, p: usize| (0..inputs).map(|i| w[o * inputs + i] * x[i * 12 + p]).sum();
        (0..outputs * 12).map(|at| sum(at / 12, at % 12)).collect()
    };
    let x = random.floats(24);
    let mut c = convolved(&x, &weights("w1"), 2);
    for row in c.chunks_mut(24) {
        let mean = row.iter().sum::<f32>() / 24.0;
        let variance = row.iter().map(|x| (x - mean) * (x - mean)).sum::<f32>() / 24.0;
        row.iter_mut().for_each(|x| *x = (*x - mean) / (variance + 1e-5).sqrt());
    }
    c.iter_mut().enumerate().for_each(|(at, x)| *x = *x * gain[at / 12] + offset[at / 12]);
    let expected = convolved(&c, &weights("w2"), 4);
    let found = compiled.run(&[Tensor::new(&[1, 2, 4, 3], x).ok_or("a tensor")?])?;
    for (found, expected) in found[0].f32s().unwrap_or_default().iter().zip(expected) {
        ensure!((found - expected).abs() < 1e-4, "{found}, not {expected}");
    }
    Ok(())
}
