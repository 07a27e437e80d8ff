//! ONNX's own tests of operators and small networks, which ship in the Python package `onnx`: each model goes through
//! the whole compiler to Rust, is built, run, and compared with the reference outputs.
//!
//! * [`suite`]: where the tests are, and what one of them says. [`scope`]: which of them no firmware could pass.
//! * [`attempt`]: one model compiled; inputs that decide shapes are bound to the test's data where it must be.
//! * [`batch`]: many models in one program, since most of the time goes into starting compilers and linkers.
//! * [`compare`]: the suite's tolerance.
//! * [`list`]: what is expected of each test, as committed.

pub mod attempt;
pub mod batch;
pub mod compare;
pub mod list;
pub mod scope;
pub mod suite;

use std::env;
use std::path::PathBuf;

use mcuopt_codegen::Compiled;
use mcuopt_codegen::tensor::Tensor;

use attempt::Attempt;
use batch::Program;
use list::{Lines, Verdict};
use suite::Test;

use crate::report::in_parallel;
use crate::{folder, skip};

/// Where things are.
#[derive(Clone, Debug)]
pub struct Places {
    /// The repository: generated code is built against its mcuopt-rt.
    pub repository: PathBuf,
    /// `onnx/backend/test/data` of the Python package.
    pub data: PathBuf,
    /// A folder for what is made on the way.
    pub output: PathBuf,
}

impl Places {
    /// The suite where `MCUOPT_ONNX_TESTS` says, or where `tests/onnx/fetch` puts it, and an output folder of this
    /// name; `None`, with a note, where the suite is in neither place.
    pub fn find(output: &str) -> Option<Self> {
        let fetched = || folder::target().join("onnx-1.17.0/onnx/backend/test/data");
        let data = env::var_os("MCUOPT_ONNX_TESTS").map_or_else(fetched, PathBuf::from);
        if !data.join("node").is_dir() {
            let why = format!("{} is not there; tests/onnx/fetch gets it", data.display());
            skip::note_unless_ci("ONNX's own tests", &why);
            return None;
        }
        let output = folder::output(&format!("conformance-{output}"));
        Some(Self { repository: folder::repository(), data, output })
    }
}

/// Runs tests.
pub fn run(places: &Places, tests: &[Test]) -> Lines {
    let attempts: Vec<Attempt> = in_parallel(tests.iter().collect(), attempt::compile);
    let compiled = tests.iter().zip(&attempts);
    let compiled = compiled.filter_map(|(test, attempt)| Some((test.identifier(), attempt.outcome.as_ref().ok()?)));
    let programs = batch::build(&places.repository, &places.output.join("programs"), &compiled.collect());
    in_parallel(tests.iter().zip(&attempts).collect(), |(test, attempt)| {
        let result = match (&attempt.outcome, programs.get(&test.identifier())) {
            (Ok(compiled), Some(Ok(program))) => check(test, compiled, program),
            (Err(reason), _) | (_, Some(Err(reason))) => Err(reason.clone()),
            (Ok(_), None) => Err("it was not built".into()),
        };
        // What compiles and gives other numbers may do so because of its types.
        let storage = || scope::other_storage(test).filter(|_| attempt.outcome.is_ok());
        let verdict = match result {
            Ok(()) => Verdict::Pass { bound: attempt.bound.iter().cloned().collect() },
            Err(reason) => match scope::outside(test).or_else(storage) {
                Some(reason) => Verdict::OutOfScope(reason),
                None => Verdict::Fails(reason),
            },
        };
        (test.name.clone(), list::line(test, &verdict))
    })
    .into_iter()
    .collect()
}

/// Runs a test, and compares with the expected outputs.
fn check(test: &Test, compiled: &Compiled, program: &Program) -> Result<(), String> {
    let (graph, lowered) = (&compiled.graph, &compiled.lowered);
    let mut inputs: Vec<Tensor> = Vec::new();
    for (declared, id) in graph.inputs.iter().zip(&lowered.inputs) {
        let name = &graph.value(*declared).name;
        let own = test.inputs.iter().find(|(input, _)| input == name);
        let (_, tensor) = own.ok_or_else(|| format!("the test has no input `{name}`"))?;
        let tensor = tensor.as_ref().map_err(String::clone)?.at_run_time();
        let dtype = lowered.value(*id).ty.dtype;
        if tensor.dtype() != dtype {
            return Err(format!("an input of type {dtype} instead of {}", tensor.dtype()));
        }
        inputs.push(tensor);
    }
    let results = batch::answer(program, compiled, &inputs)?;
    let types: Vec<_> = lowered.outputs.iter().map(|id| &lowered.value(*id).ty).collect();
    if types.len() != test.outputs.len() {
        return Err(format!("{} outputs instead of {}", types.len(), test.outputs.len()));
    }
    let mut rest = results.as_slice();
    for ((ty, declared), expected) in types.iter().zip(&graph.outputs).zip(&test.outputs) {
        let (own, others) = rest.split_at_checked(ty.bytes()).ok_or("outputs that are too short")?;
        rest = others;
        compare::same(expected.as_ref().map_err(String::clone)?, ty.dtype, &graph.value(*declared).ty.shape, own)?;
    }
    Ok(())
}
