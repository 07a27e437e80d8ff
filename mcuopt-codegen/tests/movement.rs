//! Operators that move, select, repeat and index elements, against the node tests of the ONNX project: by the reference
//! evaluation and by the kernels that firmware calls, with operands that come at run time and with constants alone.
//!
//! The cases are made by `data/operators/movement.py`.

mod common;

use common::{Random, Result, Sketch, check_cases, check_outputs, compile};
use mcuopt_codegen::Precision;
use mcuopt_codegen::calibrate::{Method, Range, Ranges, Statistics};
use mcuopt_codegen::import::import;
use mcuopt_codegen::interp::{run_float, run_lowered};
use mcuopt_codegen::onnx::{Attribute, ValueInfo};
use mcuopt_codegen::quantize::{assign, lower};
use mcuopt_codegen::tensor::{DType, Tensor};

/// Float16 and bfloat16 elements have been rounded in the expected outputs, which are elsewhere the operands' own.
fn close(found: &Tensor, expected: &Tensor) -> bool {
    let (Some(found), Some(expected)) = (found.f32s(), expected.f32s()) else { return false };
    found.len() == expected.len() && found.iter().zip(expected).all(|(a, b)| (a - b).abs() <= 1e-3 * b.abs())
}

#[test]
fn node_tests_of_the_onnx_project() -> Result {
    let same = |found: &Tensor, expected: &Tensor| {
        found.clone().as_declared(expected.dtype()) == *expected || close(found, expected)
    };
    check_cases("movement.bin", 200, |case| check_outputs(case, same))
}

/// A tensor of floats whose elements are their own places.
fn numbered(shape: &[usize]) -> Tensor {
    let count = shape.iter().product::<usize>();
    Tensor::new(shape, (0..count).map(|place| place as f32).collect::<Vec<_>>()).unwrap_or_else(|| Tensor::scalar(0.0))
}

/// For each element of `shape`, the place of the element of `from` that `source` names axis by axis.
fn moved(from: &[usize], shape: &[usize], source: impl Fn(usize, usize) -> usize) -> Vec<f32> {
    let count = shape.iter().product::<usize>();
    let place = |mut rest: usize| {
        let (mut place, mut stride) = (0, 1);
        for axis in (0..shape.len()).rev() {
            place += source(axis, rest % shape[axis]) * stride;
            (rest, stride) = (rest / shape[axis], stride * from[axis]);
        }
        place as f32
    };
    (0..count).map(place).collect()
}

#[test]
fn any_number_of_axes() -> Result {
    let mut random = Random(0x6d6f_7665);
    for trial in 0..60 {
        let rank = 1 + random.below(8);
        let shape: Vec<usize> = (0..rank).map(|_| 1 + random.below(3)).collect();
        // Neighbours, so that there are never more than six that move apart; a Tile may change any.
        let first = random.below(rank);
        let may_change = |axis: usize| if trial % 3 == 0 { axis % 2 == trial % 2 } else { axis / 4 == first / 4 };
        let changed: Vec<bool> = (0..rank).map(|axis| may_change(axis) && random.below(3) > 0).collect();
        let list = |values: &dyn Fn(usize) -> i64| Tensor::from_i64s(&(0..rank).map(values).collect::<Vec<_>>());
        let x = Sketch::new(18).input("x", &shape);
        let (sketch, expected) = match trial % 3 {
            0 => {
                let repeats = |axis: usize| 1 + usize::from(changed[axis]);
                let target: Vec<usize> = (0..rank).map(|axis| shape[axis] * repeats(axis)).collect();
                let expected = moved(&shape, &target, |axis, i| i % shape[axis]);
                let sketch = x.constant("r", list(&|axis| repeats(axis) as i64)).node("Tile", &["x", "r"], &["y"], &[]);
                (sketch, expected)
            }
            1 => {
                let (first, step) = (|axis: usize| if changed[axis] { shape[axis] as i64 - 1 } else { 0 }, -1_i64);
                let end = |axis: usize| if changed[axis] { i64::MIN } else { i64::MAX };
                let expected = moved(&shape, &shape, |axis, i| if changed[axis] { shape[axis] - 1 - i } else { i });
                let sketch = x.constant("s", list(&first)).constant("e", list(&end)).constant("a", list(&|a| a as i64));
                let sketch = sketch.constant("t", list(&|axis| if changed[axis] { step } else { 1 }));
                (sketch.node("Slice", &["x", "s", "e", "a", "t"], &["y"], &[]), expected)
            }
            _ => {
                let pads: Vec<i64> =
                    [0, 1].iter().flat_map(|_| changed.iter().map(|&changed| i64::from(changed))).collect();
                let target: Vec<usize> = (0..rank).map(|axis| shape[axis] + 2 * pads[axis] as usize).collect();
                let source = |axis: usize, i: usize| (i as i64 - pads[axis]).clamp(0, shape[axis] as i64 - 1) as usize;
                let expected = moved(&shape, &target, source);
                let mode = [("mode", Attribute::String("edge".into()))];
                (x.constant("p", Tensor::from_i64s(&pads)).node("Pad", &["x", "p"], &["y"], &mode), expected)
            }
        };
        let compiled = compile("axes", &sketch.output("y").0.encode(), Precision::Float32)?;
        let found = compiled.run(&[numbered(&shape)])?;
        ensure!(found[0].f32s() == Some(&expected), "trial {trial} on {shape:?}: {changed:?}");
    }
    Ok(())
}

/// A table of floats that computed indices read is int8 in flash, with a scale that holds all its rows, whichever of them
/// the samples read.
#[test]
fn an_embedding_in_int8() -> Result {
    let mut random = Random(0x656d_6265);
    let mut table = random.floats(10 * 8);
    table[79] = 3.0;
    let mut sketch = Sketch::new(17).floats("table", &[10, 8], table.clone());
    sketch.graph().inputs.push(ValueInfo::tensor("i", DType::I64, &[3]));
    let sketch =
        sketch.node("Gather", &["table", "i"], &["rows"], &[]).node("Relu", &["rows"], &["y"], &[]).output("y");
    let mut graph = import(&sketch.0, &Default::default())?.graph;
    let mut ranges = Ranges::new();
    run_float(&graph, &[Tensor::from_i64s(&[0, 1, 2])], |id, tensor| {
        if let Some(range) = tensor.f32s().and_then(Range::of) {
            ranges.insert(
                id,
                Statistics {
                    range: Range { min: -4.0, max: 4.0 },
                    candidates: [range; 4],
                    method: Method::MinMax,
                    given: None,
                    channels: Vec::new(),
                },
            );
        }
    })?;
    assign(&mut graph, Some(&ranges))?;
    let lowered = lower(&graph)?;
    let in_flash = |tensor: &Tensor| tensor.len() == table.len() && tensor.dtype() == DType::I8;
    ensure!(lowered.ids().any(|id| lowered.constant(id).is_some_and(in_flash)), "the table is not int8");
    let kernels: Vec<&str> = lowered.nodes.iter().map(|node| node.op.operator).collect();
    ensure!(kernels == ["Gather", "Relu"], "{kernels:?}");
    let found = run_lowered(&lowered, &[Tensor::from_i64s(&[9, -10, 4])], |_, _| {})?;
    let quantization = lowered.value(lowered.outputs[0]).quantization.as_ref().and_then(|known| known.single());
    let (scale, zero_point) = quantization.ok_or("an int8 output")?;
    for (position, integer) in found[0].to_i64s().unwrap_or_default().into_iter().enumerate() {
        let exact = table[[9, 0, 4][position / 8] * 8 + position % 8].max(0.0);
        let real = (integer as i32 - zero_point) as f32 * scale;
        ensure!((real - exact).abs() <= 0.03, "element {position} is {real}, not {exact}");
    }
    Ok(())
}

/// What an elementwise operator repeats itself is neither copied at run time nor written out in flash.
#[test]
fn elementwise_operators_repeat_their_operands() -> Result {
    let sketch = Sketch::new(13)
        .input("x", &[4, 8])
        .input("row", &[1, 8])
        .constant("shape", Tensor::from_i64s(&[4, 8]))
        .floats("column", &[4, 1], vec![1.0, 2.0, 3.0, 4.0])
        .node("Expand", &["row", "shape"], &["rows"], &[])
        .node("Expand", &["column", "shape"], &["columns"], &[])
        .node("Mul", &["rows", "x"], &["product"], &[])
        .node("Add", &["product", "columns"], &["y"], &[])
        .output("y");
    let compiled = compile("broadcast", &sketch.0.encode(), Precision::Float32)?;
    let kernels: Vec<&str> = compiled.lowered.nodes.iter().map(|node| node.op.operator).collect();
    ensure!(kernels == ["Mul", "Add"], "{kernels:?}");
    let operand = compiled.lowered.nodes[1].inputs.iter().find_map(|id| compiled.lowered.constant(*id));
    ensure!(operand.is_some_and(|constant| constant.len() == 4), "{operand:?}");
    let found = compiled.run(&[numbered(&[4, 8]), numbered(&[1, 8])])?;
    let expected: Vec<f32> = (0..32).map(|at| (at * (at % 8) + at / 8 + 1) as f32).collect();
    ensure!(found[0].f32s() == Some(&expected), "{:?}", found[0].f32s());
    Ok(())
}

/// TensorScatter is newer than the node tests: two steps into caches of four.
#[test]
fn steps_are_written_into_caches() -> Result {
    for (mode, starts, expected) in
        [("linear", [2, 0], [0, 1, 10, 11, 12, 13, 6, 7]), ("circular", [2, 3], [0, 1, 10, 11, 13, 5, 6, 12])]
    {
        let mode = [("mode", Attribute::String(mode.into())), ("axis", Attribute::Int(1))];
        let mut sketch = Sketch::new(24).input("x", &[2, 4]).input("updates", &[2, 2]);
        sketch.graph().inputs.push(ValueInfo::tensor("starts", DType::I64, &[2]));
        let sketch = sketch.node("TensorScatter", &["x", "updates", "starts"], &["y"], &mode).output("y");
        let compiled = compile("cache", &sketch.0.encode(), Precision::Float32)?;
        let updates = Tensor::new(&[2, 2], vec![10.0_f32, 11.0, 12.0, 13.0]).ok_or("a shape")?;
        let found = compiled.run(&[numbered(&[2, 4]), updates, Tensor::from_i64s(&starts)])?;
        let expected: Vec<f32> = expected.iter().map(|&value| value as f32).collect();
        ensure!(found[0].f32s() == Some(&expected), "{mode:?}: {:?}", found[0].f32s());
    }
    Ok(())
}
