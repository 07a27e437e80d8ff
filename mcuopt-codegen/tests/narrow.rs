//! int64 tensors become int32 where their values fit, and results stay what they are.

mod common;

use common::{Random, Result, Sketch, compile, int};
use mcuopt_codegen::import::import;
use mcuopt_codegen::interp::{run_float, run_lowered};
use mcuopt_codegen::narrow::narrow;
use mcuopt_codegen::onnx::{Attribute, ValueInfo};
use mcuopt_codegen::quantize::lower;
use mcuopt_codegen::tensor::{DType, Tensor};
use mcuopt_codegen::{Compiled, Precision};

fn input(mut sketch: Sketch, name: &str, dtype: DType, shape: &[usize]) -> Sketch {
    sketch.graph().inputs.push(ValueInfo::tensor(name, dtype, shape));
    sketch
}

fn compiled(sketch: &Sketch) -> Result<Compiled> {
    Ok(compile("narrow", &sketch.0.encode(), Precision::Float32)?)
}

/// The type of a tensor that some node of the compiled graph reads or makes.
fn dtype(compiled: &Compiled, name: &str) -> Option<DType> {
    let nodes = compiled.graph.nodes.iter();
    let mut values = nodes.flat_map(|node| node.inputs.iter().chain(&node.outputs)).map(|id| compiled.graph.value(*id));
    values.find(|value| value.name == name).map(|value| value.ty.dtype)
}

/// Positions that a table of positions gives, and a table that they then count along.
fn chain(limit: i64) -> Sketch {
    input(Sketch::new(13), "i", DType::I64, &[2])
        .constant("table", Tensor::from_i64s(&[3, 0, limit]))
        .constant("first", Tensor::from_i64s(&[1]))
        .floats("floats", &[4], vec![0.0, 10.0, 20.0, 30.0])
        .node("Gather", &["table", "i"], &["a"], &[])
        .node("Concat", &["first", "a"], &["b"], &[("axis", int(0))])
        .node("Gather", &["floats", "b"], &["y"], &[])
        .output("y")
}

#[test]
fn indices_become_int32() -> Result {
    let compiled = compiled(&chain(2))?;
    ensure!(dtype(&compiled, "i") == Some(DType::I64), "an input changed its type");
    for name in ["table", "a", "b"] {
        ensure!(dtype(&compiled, name) == Some(DType::I32), "`{name}` is {:?}", dtype(&compiled, name));
    }
    let found = compiled.run(&[Tensor::from_i64s(&[0, -1])])?;
    ensure!(found[0].f32s() == Some(&[10.0, 30.0, 20.0]), "{:?}", found[0].f32s());
    Ok(())
}

#[test]
fn values_that_do_not_fit_stay() -> Result {
    let compiled = compiled(&chain(1 << 31))?;
    for name in ["table", "a", "b"] {
        ensure!(dtype(&compiled, name) == Some(DType::I64), "`{name}` is {:?}", dtype(&compiled, name));
    }
    // The index 2^31 is moved to the table's end.
    let found = compiled.run(&[Tensor::from_i64s(&[1, 2])])?;
    ensure!(found[0].f32s() == Some(&[10.0, 0.0, 30.0]), "{:?}", found[0].f32s());
    Ok(())
}

#[test]
fn outputs_keep_their_type_and_what_they_are_made_of() -> Result {
    let compiled = compiled(&chain(2).output("b"))?;
    ensure!(dtype(&compiled, "b") == Some(DType::I64), "an output changed its type");
    ensure!(dtype(&compiled, "a") == Some(DType::I64), "a Concat of two types");
    let found = compiled.run(&[Tensor::from_i64s(&[0, 2])])?;
    ensure!(found[1].to_i64s() == Some(vec![1, 3, 2]), "{:?}", found[1].to_i64s());
    Ok(())
}

#[test]
fn what_is_not_known_stays() -> Result {
    let sketch = input(Sketch::new(13), "i", DType::I64, &[2]).floats("floats", &[4], vec![0.0, 10.0, 20.0, 30.0]);
    let sketch = sketch.constant("s", Tensor::from_i64s(&[2, 1])).node("Reshape", &["i", "s"], &["a"], &[]);
    let compiled = compiled(&sketch.node("Gather", &["floats", "a"], &["y"], &[]).output("y"))?;
    ensure!(dtype(&compiled, "a") == Some(DType::I64), "an input of any value became int32");
    Ok(())
}

#[test]
fn positions_and_arithmetic_become_int32() -> Result {
    let sketch = Sketch::new(13)
        .input("x", &[2, 5])
        .constant("one", Tensor::from_i64s(&[1]))
        .constant("five", Tensor::from_i64s(&[5]))
        .floats("floats", &[5], vec![0.0, 10.0, 20.0, 30.0, 40.0])
        .node("ArgMax", &["x"], &["a"], &[("axis", int(1)), ("keepdims", int(0))])
        .node("Add", &["a", "one"], &["b"], &[])
        .node("Mod", &["b", "five"], &["c"], &[])
        .node("Gather", &["floats", "c"], &["y"], &[])
        .output("y");
    let compiled = compiled(&sketch)?;
    for name in ["a", "b", "c"] {
        ensure!(dtype(&compiled, name) == Some(DType::I32), "`{name}` is {:?}", dtype(&compiled, name));
    }
    let x = Tensor::new(&[2, 5], vec![0.0, 9.0, 1.0, 2.0, 3.0, 0.0, 1.0, 2.0, 3.0, 9.0]).ok_or("a shape")?;
    for found in [compiled.run(std::slice::from_ref(&x))?, compiled.run_float(&[x])?] {
        ensure!(found[0].f32s() == Some(&[20.0, 0.0]), "{:?}", found[0].f32s());
    }
    Ok(())
}

#[test]
fn what_a_kernel_writes_can_be_an_output() -> Result {
    let sketch = Sketch::new(13).input("x", &[2, 5]).node("ArgMax", &["x"], &["y"], &[("axis", int(1))]).output("y");
    let compiled = compiled(&sketch)?;
    ensure!(compiled.lowered.nodes.len() == 1, "a conversion was added");
    let x = Tensor::new(&[2, 5], vec![0.0, 9.0, 1.0, 2.0, 3.0, 0.0, 1.0, 2.0, 3.0, 9.0]).ok_or("a shape")?;
    let found = compiled.run(&[x])?;
    ensure!(found[0] == Tensor::new(&[2, 1], vec![1_i64, 4]).ok_or("a shape")?, "{:?}", found[0].to_i64s());
    Ok(())
}

/// A network of integers of random size, whose results go into a comparison, so that everything before may be narrowed.
fn random_sketch(random: &mut Random) -> Sketch {
    let mut sketch = input(Sketch::new(16), "i", DType::I64, &[3]).input("x", &[3, 4]);
    sketch = sketch.node("ArgMax", &["x"], &["v0"], &[("axis", int(1)), ("keepdims", int(0))]);
    sketch = sketch.constant("zero", Tensor::from_i64s(&[0; 3]));
    let mut last = String::from("v0");
    for step in 1..=2 + random.below(6) {
        let (name, constant) = (format!("v{step}"), format!("c{step}"));
        let edges =
            [0, 1, 2, 3, -1, 7, 1 << 15, (1 << 31) - 1, 1 << 31, -(1 << 31), -(1 << 31) - 1, i64::MAX, i64::MIN];
        let values: Vec<i64> = (0..3).map(|_| edges[random.below([4, 7, 13][step % 3])]).collect();
        sketch = sketch.constant(&constant, Tensor::from_i64s(&values));
        let (at, of) = (last.clone(), constant.clone());
        let binary = ["Add", "Sub", "Mul", "Max", "Min", "Mod"];
        sketch = match random.below(11) {
            kind @ 0..=5 => {
                let divides = kind == 5 && values.iter().any(|&value| value <= 0);
                sketch.node(if divides { "Max" } else { binary[kind] }, &[&at, &of], &[&name], &[])
            }
            6 => sketch.node("Gather", &[&of, &at], &[&name], &[]),
            7 => sketch.node("Gather", &[&at, "i"], &[&name], &[]),
            8 => {
                let reduction = ["none", "add", "mul", "max"][random.below(4)];
                let reduction = [("reduction", Attribute::String(reduction.into()))];
                sketch.node("ScatterElements", &[&at, "i", &of], &[&name], &reduction)
            }
            9 => {
                let sketch = sketch.node("Less", &[&at, &of], &[&format!("b{step}")], &[]);
                sketch.node("Where", &[&format!("b{step}"), &of, &at], &[&name], &[])
            }
            _ => {
                let narrow = format!("n{step}");
                let to = [6, 3, 2][random.below(3)];
                let sketch = sketch.node("Cast", &[&at], &[&narrow], &[("to", int(to))]);
                sketch.node("Cast", &[&narrow], &[&name], &[("to", int(7))])
            }
        };
        last = name;
    }
    let sketch =
        sketch.node("Greater", &[&last, "zero"], &["y"], &[]).node("Cast", &[&last], &["z"], &[("to", int(1))]);
    sketch.output("y").output("z")
}

#[test]
fn random_networks_keep_their_results() -> Result {
    let mut random = Random(0x6e61_7272);
    let mut narrowed = 0;
    for trial in 0..400 {
        let sketch = random_sketch(&mut random);
        let mut graph = import(&sketch.0, &Default::default())?.graph;
        let x = Tensor::new(&[3, 4], random.floats(12)).ok_or("a shape")?;
        let i = Tensor::from_i64s(&[0, 1, 2].map(|_: i64| random.below(6) as i64 - 3));
        let before = run_float(&graph, &[i.clone(), x.clone()], |_, _| {})?;
        narrowed += narrow(&mut graph)?;
        graph.verify()?;
        let after = run_float(&graph, &[i.clone(), x.clone()], |_, _| {})?;
        let nodes: Vec<_> = sketch.0.graph.nodes.iter().map(|node| (&node.op_type, &node.inputs)).collect();
        ensure!(before == after, "trial {trial}: {:?} {:?} of {nodes:?}", before[1].f32s(), after[1].f32s());
        let lowered = run_lowered(&lower(&graph)?, &[i, x], |_, _| {})?;
        ensure!(before[1] == lowered[1], "trial {trial}, kernels: {:?}", lowered[1].f32s());
    }
    ensure!(narrowed > 400, "only {narrowed} values were narrowed");
    Ok(())
}
