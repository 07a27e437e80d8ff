//! Operators that move, select, repeat and index elements, against the node tests of the ONNX project: by the reference
//! evaluation and by the kernels that firmware calls, with operands that come at run time and with constants alone.
//!
//! The cases are made by `data/operators/movement.py`.

mod common;

use std::fs;
use std::path::Path;

use common::{Result, compile};
use mcuopt_codegen::Precision;
use mcuopt_codegen::onnx::Model;
use mcuopt_codegen::tensor::Tensor;

/// Compiles and runs one model, whose inputs and expected outputs stand among its initializers.
fn check(mut model: Model) -> Result {
    let mut take = |kind: &str| {
        let names = (0..).map(|index| format!("{kind}/{index}"));
        names.map_while(|name| model.graph.initializers.remove(&name)).collect::<Vec<Tensor>>()
    };
    let (inputs, outputs) = (take("input"), take("output"));
    let compiled = compile(&model.graph.name, &model.encode(), Precision::Float32)?;
    compiled.source()?;
    for (how, found) in [("reference", compiled.run_float(&inputs)?), ("kernels", compiled.run(&inputs)?)] {
        ensure!(found.len() == outputs.len(), "{} outputs", found.len());
        for (index, (found, expected)) in found.iter().zip(&outputs).enumerate() {
            let same = found.clone().as_declared(expected.dtype()) == *expected || close(found, expected);
            ensure!(same, "{how}: output {index} is {found:?} {}, not {expected:?} {}", show(found), show(expected));
        }
    }
    Ok(())
}

/// Float16 and bfloat16 elements have been rounded in the expected outputs, which are elsewhere the operands' own.
fn close(found: &Tensor, expected: &Tensor) -> bool {
    let (Some(found), Some(expected)) = (found.f32s(), expected.f32s()) else { return false };
    found.len() == expected.len() && found.iter().zip(expected).all(|(a, b)| (a - b).abs() <= 1e-3 * b.abs())
}

fn show(tensor: &Tensor) -> String {
    let text = tensor.f32s().map_or_else(|| format!("{:?}", tensor.to_i64s()), |floats| format!("{floats:?}"));
    text.chars().take(200).collect()
}

#[test]
fn node_tests_of_the_onnx_project() -> Result {
    let bytes = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/operators/movement.bin"))?;
    let (mut rest, mut count, mut failed) = (bytes.as_slice(), 0, Vec::new());
    while let Some((length, behind)) = rest.split_first_chunk() {
        let (case, behind) = behind.split_at(u32::from_le_bytes(*length) as usize);
        rest = behind;
        count += 1;
        let model = Model::decode(case, Path::new(""))?;
        let name = model.graph.name.clone();
        if let Err(error) = check(model) {
            failed.push(format!("{name}: {error}"));
        }
    }
    ensure!(failed.is_empty(), "{} of {count} cases fail:\n{}", failed.len(), failed.join("\n"));
    ensure!(count > 300, "{count} cases");
    Ok(())
}
