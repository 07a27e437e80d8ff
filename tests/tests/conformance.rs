//! A sample of those of ONNX's own tests that are listed as passing. `cargo run -p mcuopt-tests --bin conformance`
//! runs all.

use mcuopt_tests::conformance::{self, Places, list, suite};

/// Every so many-th test is run.
const STEP: usize = 10;

#[test]
fn a_sample_of_the_listed_tests_passes() {
    let Some(places) = Places::find("sample") else { return };
    let committed = list::committed();
    let passing = committed.iter().filter(|(_, line)| list::passes(line)).map(|(name, _)| name);
    let sample: Vec<&String> = passing.step_by(STEP).collect();
    let tests = suite::read(&places.data, |name| sample.iter().any(|chosen| *chosen == name));
    assert_eq!(tests.len(), sample.len(), "the list names tests that {} lacks", places.data.display());
    let changes = list::changes(&committed, &conformance::run(&places, &tests));
    assert!(changes.is_empty(), "{changes}");
}
