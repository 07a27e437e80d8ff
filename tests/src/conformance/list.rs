//! What is expected of each test: `tests/conformance.txt`, a line a test, sorted.

use std::collections::BTreeMap;
use std::fmt;

use super::suite::Test;

/// How a test goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All outputs are right.
    Pass {
        /// Inputs that were made constants.
        bound: Vec<String>,
    },
    /// No firmware could pass it.
    OutOfScope(String),
    /// It should pass.
    Fails(String),
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Pass { bound } if bound.is_empty() => write!(f, "pass"),
            Verdict::Pass { bound } => write!(f, "pass (bound: {})", bound.join(", ")),
            Verdict::OutOfScope(reason) => write!(f, "out of scope: {reason}"),
            Verdict::Fails(reason) => write!(f, "fails: {}", reason.replace('\n', " ")),
        }
    }
}

/// The line of a test.
pub fn line(test: &Test, verdict: &Verdict) -> String {
    match test.operator.as_str() {
        "" => format!("{}: {verdict}", test.name),
        operator => format!("{} ({operator}): {verdict}", test.name),
    }
}

/// The lines by the tests' names.
pub fn read(text: &str) -> BTreeMap<String, String> {
    let entry = |line: &str| Some((line.split([':', ' ']).next()?.to_string(), line.to_string()));
    text.lines().filter(|line| !line.starts_with('#')).filter_map(entry).collect()
}
