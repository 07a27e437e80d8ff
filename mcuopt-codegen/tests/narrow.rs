//! int64 tensors become int32 where their values fit, and results stay what they are.

mod common;

use common::{Result, Sketch, compile, int};
use mcuopt_codegen::onnx::ValueInfo;
use mcuopt_codegen::tensor::{DType, Tensor};
use mcuopt_codegen::{Compiled, Precision};

fn input(mut sketch: Sketch, name: &str, dtype: DType, shape: &[usize]) -> Sketch {
    sketch.graph().inputs.push(ValueInfo::tensor(name, dtype, shape));
    sketch
}

fn compiled(sketch: &Sketch) -> Result<Compiled> {
    Ok(compile("narrow", &sketch.0.encode(), Precision::Float32)?)
}

/// The type of a tensor of the compiled graph.
fn dtype(compiled: &Compiled, name: &str) -> Option<DType> {
    let values = compiled.graph.values.iter();
    values.filter(|value| value.name == name).map(|value| value.ty.dtype).next_back()
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
