//! Hostile files: whatever is done to a model, the compiler neither panics nor hangs, and its error says something.
//!
//! Damaged bytes test the reader; changes of the decoded model (sizes, attributes, names, edges) get past it and test
//! what lies behind. The changes are pseudo-random and the same in every run.

mod common;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::time::Duration;

use common::{Random, Result, Sketch, cases, compile, int, ints};
use mcuopt_codegen::Precision;
use mcuopt_codegen::onnx::{Attribute, Dim, Function, Graph, Model, Node, ValueInfo};
use mcuopt_codegen::tensor::Tensor;

/// Far above what a case takes; a case that needs longer hangs.
const PATIENCE: Duration = Duration::from_secs(20);

/// Convolution, normalization, pooling, a branch, and a shape computed from a shape.
fn convolutions() -> Model {
    let mut random = Random(7);
    let normal = ["s", "b", "m", "v"];
    let sketch = Sketch::new(13).input("x", &[1, 2, 6, 6]).floats("w", &[4, 2, 3, 3], random.floats(72));
    let sketch = normal.iter().fold(sketch, |sketch, name| sketch.floats(name, &[4], vec![0.5; 4]));
    let sketch = sketch.floats("g", &[3, 36], random.floats(108)).floats("c", &[3], random.floats(3));
    let sketch = sketch.constant("zero", Tensor::from_i64s(&[0])).constant("rest", Tensor::from_i64s(&[-1]));
    let pads = Tensor::from_i64s(&[0, 0, 1, 0, 0, 0, 0, 1]);
    let padding =
        [("pads", ints(&[1, 1, 1, 1])), ("strides", ints(&[1, 1])), ("dilations", ints(&[1, 1])), ("group", int(1))];
    let pool = [("kernel_shape", ints(&[2, 2])), ("strides", ints(&[2, 2])), ("ceil_mode", int(1))];
    let sketch = sketch
        .constant("p", pads)
        .node("Conv", &["x", "w"], &["a"], &padding)
        .node("BatchNormalization", &["a", "s", "b", "m", "v"], &["n"], &[("epsilon", Attribute::Float(1e-3))])
        .node("Relu", &["n"], &["r"], &[])
        .node("Add", &["r", "n"], &["d"], &[])
        .node("AveragePool", &["d"], &["q"], &pool)
        .node("Pad", &["q", "p"], &["e"], &[])
        .node("MaxPool", &["e"], &["f"], &[("kernel_shape", ints(&[2, 2]))])
        .node("Shape", &["f"], &["shape"], &[])
        .node("Gather", &["shape", "zero"], &["batch"], &[("axis", int(0))])
        .node("Concat", &["batch", "rest"], &["target"], &[("axis", int(0))])
        .node("Reshape", &["f", "target"], &["flat"], &[])
        .node("Gemm", &["flat", "g", "c"], &["y"], &[("transB", int(1))]);
    sketch.output("y").0
}

/// Attention on a sequence: matrix products, softmax, slices, reductions.
fn sequence() -> Model {
    let mut random = Random(8);
    let sketch = Sketch::new(17).input("x", &[1, 4, 6]).floats("w", &[6, 6], random.floats(36));
    let sketch = [("start", 0), ("end", 2), ("axis", 1), ("step", 1)]
        .iter()
        .fold(sketch, |sketch, (name, value)| sketch.constant(name, Tensor::from_i64s(&[*value])));
    let sketch = sketch
        .node("MatMul", &["x", "w"], &["q"], &[])
        .node("Transpose", &["q"], &["t"], &[("perm", ints(&[0, 2, 1]))])
        .node("MatMul", &["q", "t"], &["s"], &[])
        .node("Softmax", &["s"], &["p"], &[("axis", int(-1))])
        .node("MatMul", &["p", "x"], &["a"], &[])
        .node("Slice", &["a", "start", "end", "axis", "step"], &["h"], &[])
        .node("ReduceMean", &["h"], &["m"], &[("axes", ints(&[1])), ("keepdims", int(0))])
        .node("Sigmoid", &["m"], &["y"], &[])
        .node("Concat", &["h", "a"], &["z"], &[("axis", int(1))]);
    sketch.output("y").output("z").0
}

/// Quantized by its author, weights by channel.
fn quantized() -> Model {
    let weights = Tensor::new(&[3, 2, 1, 1], vec![100i8, -50, 20, 127, -127, 3]).unwrap_or_else(|| Tensor::scalar(0.0));
    let zeros = Tensor::new(&[3], vec![0i8; 3]).unwrap_or_else(|| Tensor::scalar(0.0));
    let zero_point = Tensor::new(&[], vec![128u8]).unwrap_or_else(|| Tensor::scalar(0.0));
    let sketch = Sketch::new(13).input("x", &[1, 2, 4, 4]).constant("w", weights).constant("wz", zeros);
    let sketch =
        sketch.floats("ws", &[3], vec![0.01, 0.02, 0.03]).floats("s", &[], vec![0.1]).constant("z", zero_point);
    let sketch = sketch
        .node("QuantizeLinear", &["x", "s", "z"], &["xq"], &[])
        .node("DequantizeLinear", &["xq", "s", "z"], &["xd"], &[])
        .node("DequantizeLinear", &["w", "ws", "wz"], &["wd"], &[("axis", int(0))])
        .node("Conv", &["xd", "wd"], &["c"], &[("kernel_shape", ints(&[1, 1]))])
        .node("QuantizeLinear", &["c", "s", "z"], &["cq"], &[])
        .node("DequantizeLinear", &["cq", "s", "z"], &["y"], &[]);
    sketch.output("y").0
}

/// Control flow and functions.
fn controlled() -> Model {
    let node = |domain: &str, op: &str, inputs: &[&str], outputs: &[&str]| Node {
        op_type: op.into(),
        domain: domain.into(),
        inputs: inputs.iter().map(|name| name.to_string()).collect(),
        outputs: outputs.iter().map(|name| name.to_string()).collect(),
        ..Node::default()
    };
    let body = |inputs: &[&str], outputs: &[&str], nodes: Vec<Node>| {
        let info = |name: &&str| ValueInfo { name: name.to_string(), ..ValueInfo::default() };
        let (inputs, outputs) = (inputs.iter().map(info).collect(), outputs.iter().map(info).collect());
        Attribute::Graph(Graph { inputs, outputs, nodes, ..Graph::default() })
    };
    let looped = body(
        &["i", "on", "s"],
        &["on", "t", "t"],
        vec![node("own", "Twice", &["s"], &["d"]), node("", "Add", &["d", "c"], &["t"])],
    );
    let scanned = body(&["a", "r"], &["u", "u"], vec![node("", "Add", &["a", "r"], &["u"])]);
    let then = body(&[], &["n"], vec![node("", "Neg", &["last"], &["n"])]);
    let otherwise = body(&[], &["m"], vec![node("", "Relu", &["last"], &["m"])]);
    let sketch = Sketch::new(17).input("x", &[4]).floats("c", &[4], vec![0.5; 4]);
    let sketch = sketch.constant("n", Tensor::from_i64(3)).constant("yes", Tensor::from_bool(true));
    let mut sketch = sketch
        .node("Loop", &["n", "yes", "x"], &["final", "all"], &[("body", looped)])
        .node("Scan", &["x", "all"], &["last", "sums"], &[("body", scanned), ("num_scan_inputs", int(1))])
        .node("If", &["yes"], &["y"], &[("then_branch", then), ("else_branch", otherwise)])
        .output("y")
        .output("sums");
    sketch.0.functions.push(Function {
        name: "Twice".into(),
        domain: "own".into(),
        opsets: [(String::new(), 17)].into(),
        inputs: vec!["a".into()],
        outputs: vec!["b".into()],
        nodes: vec![node("", "Add", &["a", "a"], &["b"])],
        ..Function::default()
    });
    sketch.0
}

/// Flips, cuts, repeats or removes bytes.
fn damage(bytes: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len().max(1)).min(bytes.len().saturating_sub(1));
        match random.below(6) {
            0 => bytes.truncate(at),
            1 => drop(bytes.drain(at..(at + random.below(8)).min(bytes.len()))),
            2 => bytes.extend_from_within(at..),
            _ if bytes.is_empty() => {}
            3 => bytes[at] = 0xff,
            _ => bytes[at] ^= 1 << random.below(8),
        }
    }
    bytes
}

/// A number that someone might not have thought of.
fn odd(random: &mut Random) -> i64 {
    [0, -1, 1, 2, 3, 7, -2, 64, 1 << 31, -(1 << 31), 1 << 40, i64::MAX, i64::MIN, u32::MAX.into()][random.below(14)]
}

/// Changes one thing in the decoded model.
fn twist(model: &mut Model, random: &mut Random) {
    let names: Vec<String> =
        model.graph.nodes.iter().flat_map(|node| [&node.inputs[..], &node.outputs[..]].concat()).collect();
    let name = |random: &mut Random| names[random.below(names.len())].clone();
    let count = model.graph.nodes.len();
    let node = &mut model.graph.nodes[random.below(count)];
    match random.below(14) {
        12 => {
            let key = node.attributes.keys().nth(random.below(node.attributes.len())).cloned();
            key.and_then(|key| node.attributes.remove(&key));
        }
        13 => node.attributes.values_mut().for_each(|value| match value {
            Attribute::Floats(list) => list.truncate(random.below(list.len() + 1)),
            Attribute::Strings(list) => list.truncate(random.below(list.len() + 1)),
            _ => {}
        }),
        0 => {
            let position = random.below(node.inputs.len());
            node.inputs.iter_mut().skip(position).take(1).for_each(|input| *input = name(random));
        }
        1 => node.inputs.truncate(random.below(node.inputs.len())),
        2 => node.inputs.push(name(random)),
        3 => node.outputs[0] = name(random),
        4 => {
            node.op_type =
                ["Relu", "Conv", "Gemm", "Concat", "Reshape", "Slice", "Pad", "MaxPool"][random.below(8)].into()
        }
        5 => {
            if let Some(Dim::Known(extent)) = model.graph.inputs[0].shape.as_mut().and_then(|dims| dims.last_mut()) {
                *extent = odd(random).unsigned_abs() as usize;
            }
        }
        6 => {
            let key = ["axis", "group", "ceil_mode", "transB", "keepdims", "to", "transA", "auto_pad"][random.below(8)];
            node.attributes.insert(key.into(), Attribute::Int(odd(random)));
        }
        7 => model.opsets = [(String::new(), 5 + random.below(25) as i64)].into(),
        8 | 9 => {
            let lists = node.attributes.values_mut().filter_map(|value| match value {
                Attribute::Ints(list) if !list.is_empty() => Some(list),
                _ => None,
            });
            for list in lists {
                let position = random.below(list.len());
                list[position] = odd(random);
            }
        }
        _ => {
            let index = random.below(model.graph.initializers.len());
            if let Some(value) = model.graph.initializers.values_mut().nth(index) {
                let strange = Tensor::from_i64s(&[odd(random), odd(random)]);
                let count = value.len();
                *value = match (&value, random.below(3)) {
                    (Tensor::I64(_), 0) => strange,
                    (Tensor::I64(array), _) => Tensor::from(array.mapv(|_| odd(random))),
                    (Tensor::F32(array), 0) => Tensor::from(array.mapv(|x| x / 0.0)),
                    (_, 1) => value.reshaped(&[count]).unwrap_or(strange),
                    _ => value.reshaped(&[1, count, 1]).unwrap_or(strange),
                };
            }
        }
    }
}

/// Compiles the file; an error must say what it is about, and must not be the compiler's own.
fn survives(bytes: &[u8], label: &str) -> std::result::Result<(), String> {
    for precision in [Precision::Float32, Precision::Auto] {
        let attempt = AssertUnwindSafe(|| compile("hostile", bytes, precision).map(|compiled| compiled.source()));
        match catch_unwind(attempt) {
            Err(_) => return Err(format!("{label}: it panics")),
            Ok(Ok(Err(error))) => return Err(format!("{label}: {error}")),
            Ok(Ok(Ok(_))) => {}
            Ok(Err(errors)) => {
                let text = errors.to_string();
                if text.contains("this is a bug") || !text.contains("hostile.onnx: ") {
                    return Err(format!("{label}: {text}"));
                }
            }
        }
    }
    Ok(())
}

#[test]
fn no_file_breaks_the_compiler() -> Result {
    let models = [convolutions(), sequence(), quantized(), controlled()];
    for model in &models {
        compile("whole", &model.encode(), Precision::Auto)?;
    }
    let (report, reports) = mpsc::channel();
    std::thread::spawn(move || {
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        for round in 0..700 {
            for (index, model) in models.iter().enumerate() {
                let mut twisted = model.clone();
                (0..round % 3).for_each(|_| twist(&mut twisted, &mut random));
                let bytes = twisted.encode();
                let bytes = if round % 3 == 0 { damage(&bytes, &mut random) } else { bytes };
                if report.send(survives(&bytes, &format!("model {index}, round {round}"))).is_err() {
                    return;
                }
            }
        }
    });
    let mut failures = Vec::new();
    for case in 0..2800 {
        let survived = reports.recv_timeout(PATIENCE).map_err(|_| format!("case {case} hangs, after {failures:?}"))?;
        failures.extend(survived.err());
    }
    ensure!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
    Ok(())
}

/// Every operator of other domains, with its attributes, constants and edges changed.
#[test]
fn no_operator_breaks_the_compiler() -> Result {
    let mut random = Random(0x1234_5678_9abc_def1);
    let mut failures = Vec::new();
    for file in ["ml.bin", "quantized.bin"] {
        for case in cases(file)? {
            let mut model = case.model;
            // So that there is something to change.
            model.graph.initializers.insert("spare".into(), Tensor::scalar(1.0));
            for round in 0..6 {
                let mut twisted = model.clone();
                (0..=round % 2).for_each(|_| twist(&mut twisted, &mut random));
                failures.extend(survives(&twisted.encode(), &format!("{}, round {round}", model.graph.name)).err());
            }
        }
    }
    ensure!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
    Ok(())
}
