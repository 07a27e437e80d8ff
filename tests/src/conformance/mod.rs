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

use attempt::Attempt;
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
    let compiled = tests.iter().zip(&attempts).filter(|(_, attempt)| attempt.outcome.is_ok());
    let programs = batch::build(places, &compiled.collect::<Vec<_>>());
    in_parallel(tests.iter().zip(&attempts).collect(), |(test, attempt)| {
        let result = match (&attempt.outcome, programs.get(&test.name)) {
            (Ok(compiled), Some(Ok(program))) => batch::run(program, test, compiled),
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
