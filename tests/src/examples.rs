//! The examples of all operators, from which OPERATORS.md is made, as programs: whatever form an operator takes, its
//! generated code builds, and answers as the compiler's interpreter does.

// The examples belong to the tests of mcuopt-codegen.
#[path = "../../mcuopt-codegen/tests/operators_table/cases.rs"]
mod cases;
#[path = "../../mcuopt-codegen/tests/operators_table/learned.rs"]
mod learned;
#[path = "../../mcuopt-codegen/tests/operators_table/models.rs"]
mod models;

mod chip;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;

use mcuopt_codegen::graph::ValueId;
use mcuopt_codegen::onnx::{Dim, Model};
use mcuopt_codegen::tensor::{DType, Tensor};
use mcuopt_codegen::{Compiled, Config, LayerPrecision, Precision, ops};
use mcuopt_rt::Arch;
use ndarray::Array;
use ndarray_npy::NpzWriter;

use crate::board::Board;
use crate::conformance::batch;
use crate::report::in_parallel;
use crate::{folder, shared::Variant};

/// Compiles, builds and runs all examples on the host; returns what goes wrong, a line each.
pub fn run() -> Vec<String> {
    let files = folder::output("examples");
    let (programs, mut wrong) = compile_all(&files);
    let models = programs.iter().map(|(identifier, compiled)| (identifier.clone(), compiled)).collect();
    let built = batch::build(&folder::repository(), &files.join("programs"), &models);
    let answers = in_parallel(built.into_iter().collect(), |(identifier, program)| {
        let compiled = &programs[&identifier];
        let answer = program.and_then(|program| {
            (0..3).try_for_each(|seed| batch::answer(&program, compiled, &inputs(compiled, seed)).map(drop))
        });
        answer.err().map(|reason| format!("{identifier}: {reason}"))
    });
    wrong.extend(answers.into_iter().flatten());
    wrong
}

/// Compiles, builds and runs all examples on an emulated board; returns what goes wrong, a line each.
pub fn run_on(board: Board) -> Vec<String> {
    let (programs, mut wrong) = compile_all(&folder::output("examples/on-chip"));
    let said = chip::run(board, &programs, |compiled| inputs(compiled, 1));
    wrong.extend(said.lines().map(|line| format!("{line} answers differently on {board}")));
    wrong
}

/// The examples of all operators in all forms, by name, and what does not compile.
fn compile_all(files: &Path) -> (BTreeMap<String, Compiled>, Vec<String>) {
    let operators = ops::operators();
    let compiled = in_parallel(operators, |op| Variant::ALL.map(|variant| (op, variant, compile(op, variant, files))));
    let mut wrong = Vec::new();
    let mut programs: BTreeMap<String, Compiled> = BTreeMap::new();
    for (op, variant, result) in compiled.into_iter().flatten() {
        match result {
            Ok(Some(compiled)) => drop(programs.insert(identifier(op, variant), compiled)),
            Ok(None) => {}
            Err(reason) => wrong.push(format!("{op} in {variant}: {reason}")),
        }
    }
    (programs, wrong)
}

fn identifier(op: &str, variant: Variant) -> String {
    format!("{op}_{variant}").replace(|c: char| !c.is_ascii_alphanumeric(), "_").to_ascii_lowercase()
}

/// The example in one form; `None` where it has no such form.
fn compile(op: &str, variant: Variant, files: &Path) -> Result<Option<Compiled>, String> {
    let mut reason = String::new();
    for case in models::candidates(op) {
        let model = models::model(op, &case);
        match as_variant(op, model, variant, files) {
            Ok(compiled) => return Ok(compiled),
            Err(errors) => reason = errors,
        }
    }
    Err(reason)
}

fn as_variant(op: &str, model: Model, variant: Variant, files: &Path) -> Result<Option<Compiled>, String> {
    let is_float = model.graph.inputs.iter().all(|info| info.dtype == Some(DType::F32));
    let path = files.join(format!("{}.onnx", identifier(op, variant)));
    let config = Config::new(&path).name("Model");
    let compile = |model: &Model, config: Config| {
        fs::write(&path, model.encode()).expect("the target folder is writable");
        config.compile().map_err(|errors| errors.to_string())
    };
    match variant {
        Variant::Float32 => compile(&model, variant.of(config, Default::default)).map(Some),
        Variant::Weights8 => {
            Ok(Some(compile(&model, variant.of(config, Default::default))?).filter(has_packed_weights))
        }
        Variant::Int8 | Variant::Int16x8 | Variant::Int4 if !is_float => Ok(None),
        Variant::Int8 | Variant::Int16x8 | Variant::Int4 => {
            let samples = path.with_extension("samples.npz");
            write_samples(op, &model, &samples);
            let config = variant.of(config, || samples);
            if variant != Variant::Int4 {
                return compile(&model, config).map(Some);
            }
            // First and last layers too: an example is both.
            Ok(Some(compile(&model, config.layer("*", LayerPrecision::Int8x4))?).filter(has_packed_weights))
        }
        Variant::Qdq if !is_float || models::is_pair(op) => compile(&model, config).map(Some),
        Variant::Qdq => {
            let float = compile(&model, config.clone().precision(Precision::Float32))?;
            let outputs = model.graph.outputs.iter().zip(&float.lowered.outputs);
            let outputs = outputs.filter(|(_, id)| float.lowered.value(**id).ty.dtype == DType::F32);
            let outputs: Vec<String> = outputs.map(|(info, _)| info.name.clone()).collect();
            compile(&models::quantized(model, &outputs), config).map(Some)
        }
    }
}

/// Whether a network differs from that of float32 or int8.
fn has_packed_weights(compiled: &Compiled) -> bool {
    compiled.lowered.nodes.iter().any(|node| match node.op.choice(Arch::Portable) {
        Some(choice) => choice.name.ends_with("_w4"),
        None => node.op.kernel.call(DType::F32).function.ends_with("_w8"),
    })
}

fn write_samples(op: &str, model: &Model, path: &Path) {
    let mut archive = NpzWriter::new(File::create(path).expect("the target folder is writable"));
    for info in &model.graph.inputs {
        let extent = |dim: &Dim| if let Dim::Known(extent) = dim { *extent } else { 1 };
        let shape: Vec<usize> = info.shape.iter().flatten().map(extent).collect();
        let count = shape.iter().product::<usize>();
        let rows: Vec<f32> = (0..16).flat_map(|seed| models::sample(op, count, seed)).collect();
        let samples = Array::from_shape_vec([&[16], &shape[..]].concat(), rows).expect("16 samples");
        archive.add_array(info.name.as_str(), &samples).expect("it can be written");
    }
    archive.finish().expect("it can be written");
}

/// Inputs as the firmware takes them: all of int8 and of int16, and numbers that may be positions where they are integers.
fn inputs(compiled: &Compiled, seed: usize) -> Vec<Tensor> {
    let input = |(index, id): (usize, &ValueId)| {
        let ty = &compiled.lowered.value(*id).ty;
        let number = |i: usize| ((i * 7 + seed * 5 + index * 3) % 23) as f32;
        let numbers = (0..ty.len()).map(|i| match ty.dtype {
            DType::F32 => number(i) * 0.2 - 2.3,
            DType::I8 => number(i) * 11.0 - 125.0,
            DType::I16 => number(i) * 2800.0 - 32000.0,
            _ => number(i) % 2.0,
        });
        let floats = Tensor::new(&ty.shape, numbers.collect::<Vec<f32>>()).expect("as many as the shape says");
        floats.cast(ty.dtype).expect("they are floats")
    };
    compiled.lowered.inputs.iter().enumerate().map(input).collect()
}
