//! RNN, GRU and LSTM from the file to kernels: reference evaluation against kernels in every form, what nobody reads is
//! not computed, and int8 against float.

mod common;

use common::{Random, Result, Sketch, compile, int};
use mcuopt_codegen::calibrate::{Samples, calibrate};
use mcuopt_codegen::graph::Graph;
use mcuopt_codegen::import::import;
use mcuopt_codegen::interp::{run_float, run_lowered};
use mcuopt_codegen::onnx::{Attribute, Model};
use mcuopt_codegen::ops::{Kernel, Layer};
use mcuopt_codegen::quantize::{assign, lower};
use mcuopt_codegen::simplify::simplify;
use mcuopt_codegen::tensor::Tensor;
use mcuopt_codegen::{Precision, emit};

fn text(value: &str) -> Attribute {
    Attribute::String(value.into())
}

/// A layer of random weights; `outputs` are what the network gives of it.
struct Layer1 {
    op: &'static str,
    steps: usize,
    batch: usize,
    inputs: usize,
    hidden: usize,
    directions: usize,
}

impl Layer1 {
    fn random(random: &mut Random) -> Self {
        Self {
            op: ["RNN", "GRU", "LSTM"][random.below(3)],
            steps: 1 + random.below(5),
            batch: 1 + random.below(2),
            inputs: 1 + random.below(6),
            hidden: 1 + random.below(9),
            directions: 1 + random.below(2),
        }
    }

    fn gates(&self) -> usize {
        match self.op {
            "RNN" => 1,
            "GRU" => 3,
            _ => 4,
        }
    }

    fn sketch(&self, random: &mut Random, layout: usize) -> Sketch {
        let Self { steps, batch, inputs, hidden, directions, .. } = *self;
        let rows = self.gates() * hidden;
        let mut floats =
            |shape: &[usize]| random.floats(shape.iter().product()).iter().map(|v| v * 0.6).collect::<Vec<_>>();
        let x = if layout == 0 { [steps, batch, inputs] } else { [batch, steps, inputs] };
        let shapes = [[directions, rows, inputs], [directions, rows, hidden]];
        let [w, r] = shapes.map(|shape| floats(&shape));
        let bias = floats(&[directions, 2 * rows]);
        let peepholes = floats(&[directions, 3 * hidden]);
        Sketch::new(17)
            .input("x", &x)
            .floats("w", &shapes[0], w)
            .floats("r", &shapes[1], r)
            .floats("b", &[directions, 2 * rows], bias)
            .floats("p", &[directions, 3 * hidden], peepholes)
    }
}

/// A random layer with random attributes, all of whose outputs are the network's.
fn random_model(random: &mut Random) -> (Model, Vec<Vec<usize>>) {
    let layer = Layer1::random(random);
    let layout = random.below(2);
    let mut sketch = layer.sketch(random, layout);
    let Layer1 { op, steps, batch, inputs, hidden, directions } = layer;
    let mut attributes = vec![("hidden_size", int(hidden as i64)), ("layout", int(layout as i64))];
    let direction = if directions == 2 { "bidirectional" } else { ["forward", "reverse"][random.below(2)] };
    attributes.push(("direction", text(direction)));
    match op {
        "GRU" => attributes.push(("linear_before_reset", int(random.below(2) as i64))),
        "LSTM" => attributes.push(("input_forget", int(random.below(2) as i64))),
        _ => {}
    }
    if random.below(3) == 0 {
        attributes.push(("clip", Attribute::Float(0.3)));
    }
    let mut shapes = vec![if layout == 0 { vec![steps, batch, inputs] } else { vec![batch, steps, inputs] }];
    let mut operands = vec!["x", "w", "r", "b", "", "", "", ""];
    if random.below(3) == 0 {
        let lengths = (0..batch).map(|_| 1 + random.below(steps) as i64).collect::<Vec<_>>();
        sketch = sketch.constant(
            "lengths",
            Tensor::new(&[batch], lengths.iter().map(|&l| l as i32).collect()).unwrap_or(Tensor::scalar(0.0)),
        );
        operands[4] = "lengths";
    }
    if random.below(2) == 0 {
        let shape = if layout == 0 { [directions, batch, hidden] } else { [batch, directions, hidden] };
        sketch = sketch.input("h0", &shape);
        shapes.push(shape.to_vec());
        operands[5] = "h0";
        if op == "LSTM" {
            sketch = sketch.input("c0", &shape);
            shapes.push(shape.to_vec());
            operands[6] = "c0";
        }
    }
    if op == "LSTM" && random.below(2) == 0 {
        operands[7] = "p";
    }
    let outputs: &[&str] = if op == "LSTM" { &["y", "h", "c"] } else { &["y", "h"] };
    sketch = sketch.node(op, &operands, outputs, &attributes);
    for output in outputs {
        sketch = sketch.output(output);
    }
    (sketch.0, shapes)
}

#[test]
fn kernels_compute_what_the_reference_does() -> Result {
    let mut random = Random(0x5eed_0001);
    for case in 0..150 {
        let (model, shapes) = random_model(&mut random);
        let mut graph = import(&model, &Default::default())?.graph;
        simplify(&mut graph)?;
        let lowered = lower(&graph)?;
        let inputs: Vec<Tensor> =
            shapes.iter().filter_map(|shape| Tensor::new(shape, random.floats(shape.iter().product()))).collect();
        let (expected, found) = (run_float(&graph, &inputs, |_, _| {})?, run_lowered(&lowered, &inputs, |_, _| {})?);
        ensure!(expected.len() == found.len(), "outputs");
        for (expected, found) in expected.iter().zip(&found) {
            ensure!(expected.len() == found.len(), "case {case}: {expected:?}, {found:?}");
            for (a, b) in expected.f32s().unwrap_or_default().iter().zip(found.f32s().unwrap_or_default()) {
                ensure!((a - b).abs() < 1e-5, "case {case}: {a}, {b}");
            }
        }
    }
    Ok(())
}

fn kernels(graph: &Graph<Layer>) -> Vec<&Kernel> {
    graph.nodes.iter().map(|node| &node.op.kernel).collect()
}

#[test]
fn a_network_that_reads_the_last_state_holds_no_other() -> Result {
    let mut random = Random(7);
    let layer = Layer1 { op: "LSTM", steps: 20, batch: 1, inputs: 3, hidden: 8, directions: 1 };
    let attributes = [("hidden_size", int(8))];
    // The file's last state; and, as exporters write it, the last step of all.
    let by_state = layer.sketch(&mut random, 0).node("LSTM", &["x", "w", "r", "b"], &["y", "h", "c"], &attributes);
    let by_state = by_state.node("Relu", &["h"], &["out"], &[]).output("out");
    let indices = Tensor::new(&[], vec![-1i64]).ok_or("an index")?;
    let by_step = layer.sketch(&mut random, 0).node("LSTM", &["x", "w", "r", "b"], &["y", "h", "c"], &attributes);
    let by_step = by_step
        .constant("axes", Tensor::from_i64s(&[1]))
        .constant("last", indices)
        .node("Squeeze", &["y", "axes"], &["squeezed"], &[])
        .node("Gather", &["squeezed", "last"], &["step"], &[("axis", int(0))])
        .node("Relu", &["step"], &["out"], &[])
        .output("out");
    for (name, sketch) in [("state", by_state), ("step", by_step)] {
        let compiled = compile(name, &sketch.0.encode(), Precision::Float32)?;
        let found = kernels(&compiled.lowered);
        let [Kernel::RecurrentF32(lstm), Kernel::UnaryLoop(_)] = found[..] else {
            return Err(format!("{name}: {:?}", emit::layer_names(&compiled.lowered)).into());
        };
        ensure!(!lstm.geometry.sequence && !lstm.geometry.state, "{name}: {:?}", lstm.geometry);
        let x = Tensor::new(&[20, 1, 3], random.floats(60)).ok_or("x")?;
        let (a, b) = (compiled.run(std::slice::from_ref(&x))?, compiled.run_float(&[x])?);
        for (a, b) in a[0].f32s().unwrap_or_default().iter().zip(b[0].f32s().unwrap_or_default()) {
            ensure!((a - b).abs() < 1e-5, "{name}: {a}, {b}");
        }
        compiled.source()?;
    }
    Ok(())
}

#[test]
fn int8_layers_stay_near_float_ones() -> Result {
    let mut random = Random(0x5eed_0002);
    for op in ["RNN", "GRU", "LSTM"] {
        for linear in 0..2 {
            let directions = 1 + linear as usize;
            let layer = Layer1 { op, steps: 30, batch: 1, inputs: 12, hidden: 16, directions };
            let direction = ["forward", "bidirectional"][directions - 1];
            let mut attributes = vec![("hidden_size", int(16)), ("direction", text(direction))];
            if op == "GRU" {
                attributes.push(("linear_before_reset", int(linear)));
            }
            let sketch =
                layer.sketch(&mut random, 0).node(op, &["x", "w", "r", "b"], &["y", "h"], &attributes).output("y");
            let mut graph = import(&sketch.0, &Default::default())?.graph;
            simplify(&mut graph)?;
            let mut sample = || Tensor::new(&[30, 1, 12], random.floats(360)).unwrap_or(Tensor::scalar(0.0));
            let samples: Vec<Tensor> = (0..8).map(|_| sample()).collect();
            let x = sample();
            let ranges = calibrate(&graph, &Samples::from_tensors(vec![samples]))?;
            assign(&mut graph, Some(&ranges))?;
            let lowered = lower(&graph)?;
            let integer = kernels(&lowered)
                .iter()
                .all(|kernel| matches!(kernel, Kernel::RnnS8(_) | Kernel::GruS8(_) | Kernel::LstmS8(_)));
            ensure!(integer, "{op}: {:?}", emit::layer_names(&lowered));
            let (scale, zero_point) =
                emit::quantization(&lowered, lowered.inputs[0]).ok_or("an input without a quantization")?;
            let quantized = x
                .f32s()
                .unwrap_or_default()
                .iter()
                .map(|&x| ((x / scale).round() as i32 + zero_point).clamp(-128, 127) as i8);
            let quantized = Tensor::new(&[30, 1, 12], quantized.collect()).ok_or("x")?;
            let expected = run_float(&graph, &[x], |_, _| {})?;
            let (unit, _) =
                emit::quantization(&lowered, lowered.outputs[0]).ok_or("an output without a quantization")?;
            let Tensor::I8(found) = &run_lowered(&lowered, &[quantized], |_, _| {})?[0] else {
                return Err("int8".into());
            };
            let errors: Vec<f32> = (expected[0].f32s().unwrap_or_default().iter().zip(found))
                .map(|(expected, &found)| (expected - f32::from(found) * unit).abs())
                .collect();
            let mean = errors.iter().sum::<f32>() / errors.len() as f32;
            let worst = errors.iter().copied().fold(0.0, f32::max);
            println!("{op}: {mean} on average, {worst} at most");
            ensure!(mean < 0.012 && worst < 0.08, "{op}: {mean} on average, {worst} at most");
        }
    }
    Ok(())
}

#[test]
fn what_cannot_be_translated_is_named() -> Result {
    let mut random = Random(9);
    let layer = Layer1 { op: "GRU", steps: 4, batch: 1, inputs: 3, hidden: 2, directions: 1 };
    let expect = |sketch: Sketch, words: &[&str]| -> Result {
        let error = compile("refused", &sketch.0.encode(), Precision::Float32).err().ok_or("no error")?.to_string();
        for word in words {
            ensure!(error.contains(word), "`{error}` does not say `{word}`");
        }
        Ok(())
    };
    let mut with = |inputs: &[&str], attributes: &[(&str, Attribute)]| {
        layer.sketch(&mut random, 0).node("GRU", inputs, &["y"], attributes).output("y")
    };
    expect(with(&["x", "w", "r"], &[("direction", text("sideways"))]), &["sideways", "direction"])?;
    expect(with(&["x", "w", "r"], &[("hidden_size", int(5))]), &["hidden_size"])?;
    expect(
        with(&["x", "w", "r"], &[("activations", Attribute::Strings(vec!["Tanh".into(), "Gauss".into()]))]),
        &["Gauss"],
    )?;
    expect(with(&["x", "w", "r"], &[("activations", Attribute::Strings(vec!["Tanh".into()]))]), &["activations"])?;
    expect(with(&["x", "w", "x"], &[]), &["input 2"])?;
    Ok(())
}

#[test]
fn further_functions_are_onnxs() -> Result {
    // One step of one unit with weight 1 and no state: the function itself.
    let cases = [
        ("Affine", 1.5, 0.25, 1.0),
        ("LeakyRelu", 0.1, 0.0, -0.05),
        ("ThresholdedRelu", 0.75, 0.0, 0.0),
        ("ScaledTanh", 2.0, 0.5, -0.489_837_3),
        ("HardSigmoid", 0.3, 0.4, 0.25),
        ("Elu", 0.5, 0.0, -0.196_734_67),
        ("Softsign", 0.0, 0.0, -0.333_333_34),
        ("Softplus", 0.0, 0.0, 0.474_077),
        ("relu", 0.0, 0.0, 0.0),
    ];
    for (name, alpha, beta, expected) in cases {
        let x = if name == "Affine" { 0.5 } else { -0.5 };
        let attributes = [
            ("activations", Attribute::Strings(vec![name.into()])),
            ("activation_alpha", Attribute::Floats(vec![alpha])),
            ("activation_beta", Attribute::Floats(vec![beta])),
        ];
        let sketch = Sketch::new(17).input("x", &[1, 1, 1]).floats("w", &[1, 1, 1], vec![1.0]);
        let sketch = sketch.floats("r", &[1, 1, 1], vec![1.0]).node("RNN", &["x", "w", "r"], &["y"], &attributes);
        let compiled = compile(name, &sketch.output("y").0.encode(), Precision::Float32)?;
        compiled.source()?;
        let y = compiled.run(&[Tensor::new(&[1, 1, 1], vec![x]).ok_or("x")?])?;
        let y = y[0].f32s().unwrap_or_default()[0];
        ensure!((y - expected).abs() < 1e-6, "{name}: {y}, not {expected}");
    }
    Ok(())
}

#[test]
fn a_layer_that_an_author_left_in_float_stays_there() -> Result {
    let mut random = Random(11);
    let layer = Layer1 { op: "GRU", steps: 4, batch: 1, inputs: 3, hidden: 2, directions: 1 };
    let zero = Tensor::new(&[], vec![3i8]).ok_or("a zero point")?;
    let sketch = layer
        .sketch(&mut random, 0)
        .floats("scale", &[], vec![0.01])
        .constant("zero", zero)
        .node("QuantizeLinear", &["x", "scale", "zero"], &["xq"], &[])
        .node("DequantizeLinear", &["xq", "scale", "zero"], &["xd"], &[])
        .node("GRU", &["xd", "w", "r", "b"], &["y"], &[("hidden_size", int(2))])
        .node("QuantizeLinear", &["y", "scale", "zero"], &["yq"], &[])
        .node("DequantizeLinear", &["yq", "scale", "zero"], &["out"], &[])
        .output("out");
    let compiled = compile("authored", &sketch.0.encode(), Precision::Auto)?;
    let found = kernels(&compiled.lowered);
    ensure!(found.iter().any(|kernel| matches!(kernel, Kernel::RecurrentF32(_))), "{:?}", compiled.lowered.to_string());
    let (scale, zero_point) = compiled.input_quantization(0).ok_or("an int8 input")?;
    let x: Vec<i8> = (0..12).map(|i| (i * 37 % 256 - 128) as i8).collect();
    let reals = x.iter().map(|&x| scale * (i32::from(x) - zero_point) as f32).collect();
    let y = compiled.run(&[Tensor::new(&[4, 1, 3], x).ok_or("x")?])?;
    let expected = compiled.run_float(&[Tensor::new(&[4, 1, 3], reals).ok_or("x")?])?;
    let Tensor::I8(y) = &y[0] else { return Err("an int8 output".into()) };
    for (y, expected) in y.iter().zip(expected[0].f32s().unwrap_or_default()) {
        let expected = (expected / 0.01).round() + 3.0;
        ensure!((f32::from(*y) - expected.clamp(-128.0, 127.0)).abs() <= 1.0, "{y}, not {expected}");
    }
    Ok(())
}

#[test]
fn the_last_states_of_both_directions_need_no_others() -> Result {
    let mut random = Random(17);
    let layer = Layer1 { op: "GRU", steps: 12, batch: 1, inputs: 3, hidden: 4, directions: 2 };
    let attributes = [("hidden_size", int(4)), ("direction", text("bidirectional"))];
    let sketch = layer
        .sketch(&mut random, 0)
        .constant("0", Tensor::new(&[], vec![0i64]).ok_or("an index")?)
        .constant("1", Tensor::new(&[], vec![1i64]).ok_or("an index")?)
        .node("GRU", &["x", "w", "r", "b"], &["y", "h"], &attributes)
        .node("Gather", &["h", "0"], &["forward"], &[])
        .node("Gather", &["h", "1"], &["backward"], &[])
        .node("Concat", &["forward", "backward"], &["both"], &[("axis", int(1))])
        .output("both");
    let compiled = compile("both", &sketch.0.encode(), Precision::Float32)?;
    let Some(Kernel::RecurrentF32(gru)) = kernels(&compiled.lowered).first().copied() else {
        return Err("a GRU".into());
    };
    let geometry = gru.geometry;
    ensure!((geometry.directions, geometry.sequence, geometry.last) == (2, false, true), "{geometry:?}");
    let x = Tensor::new(&[12, 1, 3], random.floats(36)).ok_or("x")?;
    let (a, b) = (compiled.run(std::slice::from_ref(&x))?, compiled.run_float(&[x])?);
    ensure!(a[0].len() == 8, "{:?}", a[0]);
    for (a, b) in a[0].f32s().unwrap_or_default().iter().zip(b[0].f32s().unwrap_or_default()) {
        ensure!((a - b).abs() < 1e-5, "{a}, {b}");
    }
    Ok(())
}
