//! Operators against others' results: the node tests of the ONNX project, and onnxruntime's on models of our own.
//!
//! Each case runs twice: by the reference evaluation, which calibration relies on, and by the kernels that firmware
//! calls. The cases are made by `data/operators/generate.py`.

mod common;

use std::fs;
use std::path::Path;

use common::{Result, compile};
use mcuopt_codegen::Precision;
use mcuopt_codegen::onnx::Model;
use mcuopt_codegen::tensor::Tensor;

/// One case: its name, the model, the inputs, and the expected outputs.
struct Case {
    name: String,
    model: Model,
    inputs: Vec<Tensor>,
    outputs: Vec<Tensor>,
}

fn cases(file: &str) -> Result<Vec<Case>> {
    let bytes = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/operators").join(file))?;
    let mut rest = bytes.as_slice();
    let mut cases = Vec::new();
    while let Some((length, behind)) = rest.split_first_chunk() {
        let (case, behind) = behind.split_at(u32::from_le_bytes(*length) as usize);
        rest = behind;
        let mut model = Model::decode(case, Path::new(""))?;
        let mut take = |kind: &str| {
            let names = (0..).map(|index| format!("{kind}/{index}"));
            names.map_while(|name| model.graph.initializers.remove(&name)).collect::<Vec<_>>()
        };
        let (inputs, outputs) = (take("input"), take("output"));
        cases.push(Case { name: model.graph.name.clone(), model, inputs, outputs });
    }
    Ok(cases)
}

/// ONNX's own tolerance for its node tests.
fn close(found: f32, expected: f32) -> bool {
    found == expected || found.is_nan() && expected.is_nan() || (found - expected).abs() <= 1e-6 + 1e-3 * expected.abs()
}

fn check(case: &Case) -> Result {
    let compiled = compile(&case.name, &case.model.encode(), Precision::Float32)?;
    compiled.source()?;
    for (how, found) in [("reference", compiled.run_float(&case.inputs)?), ("kernels", compiled.run(&case.inputs)?)] {
        ensure!(found.len() == case.outputs.len(), "{} outputs", found.len());
        for (index, (found, expected)) in found.iter().zip(&case.outputs).enumerate() {
            ensure!(found.shape() == expected.shape(), "{how}: output {index} is {found:?}, not {expected:?}");
            let (found, expected) = (found.f32s().unwrap_or_default(), expected.f32s().unwrap_or_default());
            let wrong = (0..expected.len()).find(|&i| found.get(i).is_none_or(|&found| !close(found, expected[i])));
            ensure!(wrong.is_none(), "{how}: output {index} is {found:?}, not {expected:?}");
        }
    }
    Ok(())
}

fn check_all(file: &str) -> Result {
    let cases = cases(file)?;
    let failed = cases.iter().filter_map(|case| check(case).err().map(|error| format!("{}: {error}", case.name)));
    let failed: Vec<String> = failed.collect();
    ensure!(failed.is_empty(), "{} of {} cases fail:\n{}", failed.len(), cases.len(), failed.join("\n"));
    ensure!(cases.len() > 300, "{} cases", cases.len());
    Ok(())
}

#[test]
fn node_tests_of_the_onnx_project() -> Result {
    check_all("suite.bin")
}

#[test]
fn opsets_ranks_and_chains_as_onnxruntime_computes_them() -> Result {
    check_all("variants.bin")
}
