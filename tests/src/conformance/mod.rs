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

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use attempt::Attempt;
use list::Verdict;
use suite::Test;

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

/// Runs tests and says for each, by name, what came out.
pub fn run(places: &Places, tests: &[Test]) -> BTreeMap<String, Verdict> {
    let attempts = side_by_side(tests, |test| attempt::compile(test, &places.output.join("bound")));
    let mut verdicts = BTreeMap::new();
    let mut built: Vec<(&Test, &Attempt)> = Vec::new();
    for (test, attempt) in tests.iter().zip(&attempts) {
        match &attempt.outcome {
            Ok(_) => built.push((test, attempt)),
            Err(reason) => drop(verdicts.insert(test.name.clone(), verdict(test, attempt, Err(reason.clone())))),
        }
    }
    let programs = batch::build(places, &built);
    let results = side_by_side(&built, |(test, attempt)| {
        let program = programs[&test.name].as_ref().map_err(String::clone)?;
        batch::run(program, test, attempt)
    });
    for ((test, attempt), result) in built.into_iter().zip(results) {
        verdicts.insert(test.name.clone(), verdict(test, attempt, result));
    }
    verdicts
}

fn verdict(test: &Test, attempt: &Attempt, result: Result<(), String>) -> Verdict {
    match (result, scope::outside(test)) {
        (Ok(()), _) => Verdict::Pass { bound: attempt.bound.iter().cloned().collect() },
        (Err(_), Some(reason)) => Verdict::OutOfScope(reason),
        (Err(reason), None) => Verdict::Fails(reason),
    }
}

/// Maps items on as many threads as there are processors, with stacks for unoptimised code.
pub(crate) fn side_by_side<T: Sync, R: Send>(items: &[T], map: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let (next, results) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || {
        while let Some((index, item)) = Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|i| Some((i, items.get(i)?))) {
            let result = map(item);
            results.lock().expect("no other thread panicked").push((index, result));
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            thread::Builder::new().stack_size(64 << 20).spawn_scoped(scope, work).expect("threads can be started");
        }
    });
    let mut results = results.into_inner().expect("no thread panicked");
    results.sort_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}
