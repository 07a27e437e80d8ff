//! What the import does with structure: functions, control flow, odd inputs and outputs, and lists of errors.

mod common;

use std::collections::BTreeMap;

use common::{Result, Sketch, compile, int, ints};
use mcuopt_codegen::Precision;
use mcuopt_codegen::onnx::{Attribute, Dim, Function, Graph, Node, ValueInfo};
use mcuopt_codegen::tensor::{DType, Tensor};

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| name.to_string()).collect()
}

fn node(domain: &str, op: &str, inputs: &[&str], outputs: &[&str], attributes: &[(&str, Attribute)]) -> Node {
    Node {
        op_type: op.into(),
        domain: domain.into(),
        inputs: names(inputs),
        outputs: names(outputs),
        attributes: attributes.iter().map(|(name, value)| (name.to_string(), value.clone())).collect(),
        ..Node::default()
    }
}

fn function(name: &str, inputs: &[&str], outputs: &[&str], nodes: Vec<Node>) -> Function {
    let opsets = BTreeMap::from([(String::new(), 13), ("own".into(), 1)]);
    Function {
        name: name.into(),
        domain: "own".into(),
        opsets,
        inputs: names(inputs),
        outputs: names(outputs),
        nodes,
        ..Function::default()
    }
}

fn body(inputs: &[&str], outputs: &[&str], nodes: Vec<Node>) -> Attribute {
    let info = |name: &&str| ValueInfo { name: name.to_string(), ..ValueInfo::default() };
    let (inputs, outputs) = (inputs.iter().map(info).collect(), outputs.iter().map(info).collect());
    Attribute::Graph(Graph { inputs, outputs, nodes, ..Graph::default() })
}

/// Compiles, runs in both ways, and compares.
fn gives(name: &str, sketch: &Sketch, input: &[f32], expected: &[&[f32]]) -> Result {
    let compiled = compile(name, &sketch.0.encode(), Precision::Float32)?;
    compiled.source()?;
    let shape = compiled.graph.inputs.first().map(|id| compiled.graph.value(*id).ty.shape.clone());
    let inputs: Vec<Tensor> = shape.and_then(|shape| Tensor::new(&shape, input.to_vec())).into_iter().collect();
    for found in [compiled.run_float(&inputs)?, compiled.run(&inputs)?] {
        let found: Vec<&[f32]> = found.iter().map(|tensor| tensor.f32s().unwrap_or_default()).collect();
        ensure!(found == expected, "{name}: {found:?}, not {expected:?}");
    }
    Ok(())
}

fn refused(name: &str, sketch: &Sketch, expected: &[&str]) -> Result {
    let Err(error) = compile(name, &sketch.0.encode(), Precision::Float32) else {
        return Err(format!("{name} is compiled").into());
    };
    let text = error.to_string();
    for expected in expected {
        ensure!(text.contains(expected), "{name}: {text}\nshould say: {expected}");
    }
    Ok(())
}

fn reference(name: &str) -> Attribute {
    Attribute::Reference(name.into())
}

#[test]
fn functions_take_operands_attributes_and_defaults() -> Result {
    // leaky(x) = LeakyRelu(x, alpha = 0.5 unless given) + bias, where a bias is given
    let mut leaky = function(
        "leaky",
        &["x", "bias"],
        &["y"],
        vec![
            node("", "LeakyRelu", &["x"], &["t"], &[("alpha", reference("slope"))]),
            node("own", "shift", &["t", "bias"], &["y"], &[("low", reference("low"))]),
        ],
    );
    leaky.defaults.insert("slope".into(), Attribute::Float(0.5));
    leaky.attributes.push("low".into());
    // Per-function operator sets: Clip with attributes belongs to opset 6 to 10.
    let mut shift = function(
        "shift",
        &["x", "bias"],
        &["y"],
        vec![
            node("", "Clip", &["x"], &["t"], &[("min", reference("low"))]),
            node("", "Clip", &["bias"], &["b"], &[]),
            node("", "Add", &["t", "b"], &["y"], &[]),
        ],
    );
    shift.opsets.insert(String::new(), 7);
    shift.attributes.push("low".into());
    let mut sketch = Sketch::new(17).input("x", &[3]).floats("c", &[1], vec![1.0]).output("a").output("b");
    sketch.0.functions = vec![leaky, shift];
    let low = |value| ("low", Attribute::Float(value));
    sketch.graph().nodes = vec![
        node("own", "leaky", &["x", "c"], &["a"], &[low(-10.0)]),
        node("own", "leaky", &["x", "a"], &["b"], &[("slope", Attribute::Float(2.0)), low(-3.0)]),
    ];
    gives("functions", &sketch, &[-4.0, 0.0, 2.0], &[&[-1.0, 1.0, 3.0], &[-4.0, 1.0, 5.0]])?;
    let compiled = compile("names", &sketch.0.encode(), Precision::Float32)?;
    ensure!(format!("{}", compiled.graph).contains("b/"), "names of calls are lost: {}", compiled.graph);
    // Without an argument and without a default the attribute is left out, and Clip has no lower end.
    sketch.graph().nodes.truncate(1);
    sketch.graph().outputs.truncate(1);
    sketch.graph().nodes[0].attributes.clear();
    gives("left out", &sketch, &[-40.0, 0.0, 2.0], &[&[-19.0, 1.0, 3.0]])
}

#[test]
fn functions_that_cannot_be() -> Result {
    let mut sketch = Sketch::new(17).input("x", &[3]).output("y");
    sketch.graph().nodes = vec![node("own", "f", &["x"], &["y"], &[])];
    sketch.0.functions = vec![function("f", &["x"], &["y"], vec![node("own", "f", &["x"], &["y"], &[])])];
    refused("recursion", &sketch, &["node `y/y` (own.f): invalid model: the function f calls itself [own 1]"])?;
    // Each calls the one before twice: 2^20 nodes.
    let twice = |level: usize| {
        let (op, domain) = if level == 0 { ("Relu".to_string(), "") } else { (format!("f{}", level - 1), "own") };
        let nodes = vec![node(domain, &op, &["x"], &["t"], &[]), node(domain, &op, &["t"], &["y"], &[])];
        function(&format!("f{level}"), &["x"], &["y"], nodes)
    };
    sketch.0.functions = (0..20).map(twice).collect();
    sketch.graph().nodes = vec![node("own", "f19", &["x"], &["y"], &[])];
    refused("doubling", &sketch, &["functions and loops that come to more than 4096 nodes in all"])?;
    let chain = |level: usize| {
        let nodes = vec![node("own", &format!("f{}", level + 1), &["x"], &["y"], &[])];
        function(&format!("f{level}"), &["x"], &["y"], nodes)
    };
    sketch.0.functions = (0..1000).map(chain).collect();
    sketch.graph().nodes = vec![node("own", "f0", &["x"], &["y"], &[])];
    refused("depth", &sketch, &["more than 64 deep in each other"])?;
    sketch.0.functions = vec![function("f", &["x", "z"], &["y"], vec![node("", "Add", &["x", "z"], &["y"], &[])])];
    sketch.graph().nodes = vec![node("own", "f", &["x"], &["y"], &[])];
    refused("missing", &sketch, &["node `y/y` (Add), input 1: invalid model: it is missing"])
}

/// `y = If(condition) { x + c } else { -x }`, where `condition` is what the rest of the model says.
fn branches(sketch: Sketch) -> Sketch {
    let then = body(&[], &["sum"], vec![node("", "Add", &["x", "c"], &["sum"], &[])]);
    let otherwise = body(&[], &["negative"], vec![node("", "Neg", &["x"], &["negative"], &[])]);
    let attributes = [("then_branch", then), ("else_branch", otherwise)];
    let sketch = sketch.input("x", &[2]).floats("c", &[1], vec![10.0]).output("y");
    sketch.node("If", &["condition"], &["y"], &attributes)
}

#[test]
fn a_known_condition_takes_its_branch() -> Result {
    for (condition, expected) in [(true, [11.0, 12.0]), (false, [-1.0, -2.0])] {
        let sketch = branches(Sketch::new(17).constant("condition", Tensor::from_bool(condition)));
        gives("if", &sketch, &[1.0, 2.0], &[&expected])?;
    }
    // A branch that is not taken may hold what it likes.
    let mut sketch = branches(Sketch::new(17).constant("condition", Tensor::from_bool(false)));
    let then = body(&[], &["sum"], vec![node("", "Undreamt", &["x", "c"], &["sum"], &[])]);
    sketch.graph().nodes[0].attributes.insert("then_branch".into(), then);
    gives("if", &sketch, &[1.0, 2.0], &[&[-1.0, -2.0]])
}

#[test]
fn a_condition_of_run_time_chooses_between_both_results() -> Result {
    let mut sketch = Sketch::new(17).floats("zero", &[], vec![0.0]).node("ReduceSum", &["x"], &["sum"], &[]);
    sketch = branches(sketch.node("Greater", &["sum", "zero"], &["condition"], &[]));
    gives("if", &sketch, &[1.0, 2.0], &[&[11.0, 12.0]])?;
    gives("if", &sketch, &[1.0, -2.0], &[&[-1.0, 2.0]])?;
    let notes = compile("if", &sketch.0.encode(), Precision::Float32)?.notes.join("\n");
    ensure!(notes.contains("`y` is decided at run time: both branches are computed each time"), "{notes}");
    // Results of two shapes have no common memory.
    let otherwise = body(&[], &["all"], vec![node("", "Identity", &["sum"], &["all"], &[])]);
    let position = sketch.graph().nodes.len() - 1;
    sketch.graph().nodes[position].attributes.insert("else_branch".into(), otherwise);
    refused(
        "shapes",
        &sketch,
        &["node `y` (If): not supported: a condition known at run time only, with results float [2] and float [1]"],
    )
}

/// x·2^n by a loop, and all x·2^i behind one another; `i` and a value from outside take part.
fn doubling(trips: i64, while_below: Option<i64>) -> Sketch {
    let mut nodes = vec![
        node("", "Cast", &["i"], &["f"], &[("to", int(1))]),
        node("", "Mul", &["f", "zero"], &["nothing"], &[]),
        node("", "Add", &["value", "nothing"], &["same"], &[]),
        node("", "Add", &["same", "value"], &["next"], &[]),
        node("", "Identity", &["next"], &["seen"], &[]),
    ];
    match while_below {
        None => nodes.push(node("", "Identity", &["holds"], &["on"], &[])),
        Some(limit) => {
            let value = Attribute::Tensor(Tensor::from_i64s(&[limit]));
            nodes.push(node("", "Constant", &[], &["limit"], &[("value", value)]));
            nodes.push(node("", "Sub", &["limit", "i"], &["rest"], &[]));
            nodes.push(node("", "Cast", &["rest"], &["on"], &[("to", int(9))]));
        }
    }
    let body = body(&["i", "holds", "value"], &["on", "next", "seen"], nodes);
    let sketch = Sketch::new(17).input("x", &[2]).floats("zero", &[], vec![0.0]);
    let sketch = sketch.constant("trips", Tensor::from_i64(trips)).constant("start", Tensor::from_bool(true));
    sketch.node("Loop", &["trips", "start", "x"], &["y", "all"], &[("body", body)]).output("y").output("all")
}

#[test]
fn loops_are_unrolled() -> Result {
    let all: [&[f32]; 2] = [&[8.0, -8.0], &[2.0, -2.0, 4.0, -4.0, 8.0, -8.0]];
    gives("trips", &doubling(3, None), &[1.0, -1.0], &all)?;
    gives("condition", &doubling(100, Some(2)), &[1.0, -1.0], &all)?;
    let mut never = doubling(0, None);
    never.graph().outputs.truncate(1);
    gives("never", &never, &[1.0, -1.0], &[&[1.0, -1.0]])?;
    refused("empty", &doubling(0, None), &["a result without elements, as the body is never run"])?;
    refused("endless", &doubling(i64::MAX, None), &["node `y/", "more than 4096 nodes in all"])?;
    let mut unknown = doubling(3, None);
    unknown.graph().initializers.remove("trips");
    unknown.graph().inputs.push(ValueInfo::tensor("trips", DType::I64, &[]));
    refused("run time", &unknown, &["(Loop), input 0 (the trip count): not supported: it is computed at run time"])
}

/// Running sums over the columns of a matrix, from the last to the first, and the doubled columns in file order.
fn running_sums() -> Sketch {
    let nodes = vec![
        node("", "Add", &["sum", "column"], &["next"], &[]),
        node("", "Identity", &["next"], &["partial"], &[]),
        node("", "Add", &["column", "column"], &["double"], &[]),
    ];
    let body = body(&["sum", "column"], &["next", "partial", "double"], nodes);
    let attributes = [
        ("body", body),
        ("num_scan_inputs", int(1)),
        ("scan_input_axes", ints(&[-1])),
        ("scan_input_directions", ints(&[1])),
        ("scan_output_axes", ints(&[0, -1])),
        ("scan_output_directions", ints(&[0, 1])),
    ];
    let sketch = Sketch::new(17).input("x", &[2, 3]).floats("start", &[2], vec![0.0, 100.0]);
    let sketch = sketch.node("Scan", &["start", "x"], &["last", "partial", "double"], &attributes);
    sketch.output("last").output("partial").output("double")
}

#[test]
fn scans_are_unrolled_along_axes_in_directions() -> Result {
    let expected: [&[f32]; 3] =
        [&[6.0, 160.0], &[3.0, 130.0, 5.0, 150.0, 6.0, 160.0], &[2.0, 4.0, 6.0, 20.0, 40.0, 60.0]];
    gives("scan", &running_sums(), &[1.0, 2.0, 3.0, 10.0, 20.0, 30.0], &expected)
}

#[test]
fn bodies_that_cannot_be() -> Result {
    let mut few = running_sums();
    few.graph().nodes[0].attributes.insert("num_scan_inputs".into(), int(3));
    refused("operands", &few, &["(Scan): invalid model: 3 of 2 operands"])?;
    let mut axis = running_sums();
    axis.graph().nodes[0].attributes.insert("scan_input_axes".into(), ints(&[2]));
    refused("axis", &axis, &["node `last` (Scan): invalid model"])?;
    let mut none = running_sums();
    none.graph().nodes[0].attributes.remove("body");
    refused("body", &none, &["attribute `body`: invalid model: it should be a graph"])
}

#[test]
fn unknown_operators_are_listed_once_each() -> Result {
    let sketch = Sketch::new(17)
        .input("x", &[2])
        .node("Relux", &["x"], &["a"], &[])
        .node("SequenceEmpty", &["a"], &["b"], &[])
        .node("Relux", &["b"], &["c"], &[])
        .node("Pad", &["x", "x"], &["d"], &[]);
    let mut sketch = sketch.node("Sum2", &["d", "c"], &["y"], &[]).output("y");
    sketch.graph().nodes.push(node("own", "Relu", &["y"], &["z"], &[]));
    refused(
        "unknown",
        &sketch.output("z"),
        &[
            "node `d` (Pad), input 1 (`x`): not supported: its value is computed at run time",
            "node `a` (Relux): not supported: the operator Relux (2 nodes, this is the first); what works: Relu, if that \
             is meant [ai.onnx 17]",
            "node `b` (SequenceEmpty): not supported: the operator SequenceEmpty; what works: tensors in place of",
            "node `z` (own.Relu): not supported: the operator own.Relu; what works: Relu of the domain ai.onnx [own]",
        ],
    )
}

#[test]
fn inputs_and_outputs_of_every_kind() -> Result {
    // An output that is an input, one that is a constant, two that are one value, and one twice.
    let sketch = Sketch::new(17).input("x", &[2]).floats("c", &[1], vec![7.0]);
    let sketch = sketch.node("Relu", &["x"], &["y"], &[]).node("Identity", &["y"], &["z"], &[]);
    let sketch = sketch.output("x").output("c").output("y").output("z").output("y");
    let relu: &[f32] = &[0.0, 2.0];
    gives("outputs", &sketch, &[-1.0, 2.0], &[&[-1.0, 2.0], &[7.0], relu, relu, relu])?;
    // No input at all.
    let sketch = Sketch::new(17).floats("c", &[2], vec![-1.0, 1.0]).node("Relu", &["c"], &["y"], &[]).output("y");
    gives("no input", &sketch, &[], &[&[0.0, 1.0]])?;
    // No axes.
    let sketch = Sketch::new(17).input("x", &[]).node("Neg", &["x"], &["y"], &[]).output("y");
    gives("scalar", &sketch, &[3.0], &[&[-3.0]])?;
    // An initializer that stands among the inputs.
    let sketch = Sketch::new(17).input("x", &[1]).input("c", &[1]).floats("c", &[1], vec![2.0]);
    gives("initializer", &sketch.node("Mul", &["x", "c"], &["y"], &[]).output("y"), &[3.0], &[&[6.0]])
}

#[test]
fn a_batch_without_size_is_one_wherever_its_name_stands() -> Result {
    let batch = || Dim::Symbolic("n".into());
    let mut sketch = Sketch::new(17).input("x", &[1, 2]).input("h", &[2, 1]).input("unused", &[1]);
    sketch.graph().inputs[0].shape = Some(vec![batch(), Dim::Known(2)]);
    sketch.graph().inputs[1].shape = Some(vec![Dim::Known(2), batch()]);
    sketch.graph().inputs[2].shape = Some(vec![Dim::Known(1), Dim::Symbolic("m".into())]);
    let sketch = sketch.node("MatMul", &["x", "h"], &["y"], &[]).output("y");
    let compiled = compile("batch", &sketch.0.encode(), Precision::Float32)?;
    let notes = compiled.notes.join("\n");
    ensure!(notes.contains("the batch dimension of input `x`"), "{notes}");
    ensure!(notes.contains("the batch dimension of input `h`"), "{notes}");
    ensure!(notes.contains("the input `unused`, which nothing reads, is left out"), "{notes}");
    ensure!(compiled.lowered.inputs.len() == 2, "{}", compiled.lowered);
    Ok(())
}
