//! What is expected of each test: `tests/conformance.txt`, a line a test, sorted.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;

use super::suite::Test;
use crate::folder;

/// The list's place in the repository.
pub const FILE: &str = "tests/conformance.txt";

const INTRODUCTION: &str = "\
# ONNX's own tests (onnx 1.17.0, onnx/backend/test/data), and how they go in float32.
# Made by `cargo run -p mcuopt-tests --bin conformance -- --update`; do not edit.
#
# pass: types, shapes and numbers of all outputs are right. Inputs that were made constants, by the option `bind`,
# are named. float64, float16 and bfloat16 of a file are float32 in firmware.
";

/// How a test goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All outputs are right.
    Pass {
        /// Inputs that were made constants.
        bound: Vec<String>,
    },
    /// No firmware could pass it.
    OutOfScope(&'static str),
    /// It should pass.
    Fails(String),
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Pass { bound } if bound.is_empty() => write!(f, "pass"),
            Verdict::Pass { bound } => write!(f, "pass (bound: {})", bound.join(", ")),
            Verdict::OutOfScope(reason) => write!(f, "out of scope: {reason}"),
            Verdict::Fails(reason) => write!(f, "fails: {}", reason.lines().collect::<Vec<_>>().join(" ")),
        }
    }
}

/// Lines by the names of their tests.
pub type Lines = BTreeMap<String, String>;

/// The line of a test.
pub fn line(test: &Test, verdict: &Verdict) -> String {
    match test.operator.as_str() {
        "" => format!("{}: {verdict}", test.name),
        operator => format!("{} ({operator}): {verdict}", test.name),
    }
}

/// The list as it is committed.
pub fn committed() -> Lines {
    let text = fs::read_to_string(folder::repository().join(FILE)).unwrap_or_default();
    let named = |line: &str| Some((line.split([':', ' ']).next()?.to_string(), line.to_string()));
    text.lines().filter(|line| !line.starts_with('#')).filter_map(named).collect()
}

/// The text of the list.
pub fn text(lines: &Lines) -> String {
    let lines: Vec<&str> = lines.values().map(String::as_str).collect();
    format!("{INTRODUCTION}{}\n", lines.join("\n"))
}

/// Whether the line says that its test passes.
pub fn passes(line: &str) -> bool {
    kind(line) == "pass"
}

/// `pass`, `out of scope` or `fails`.
fn kind(line: &str) -> &str {
    let verdict = line.split_once(": ").map_or("", |(_, verdict)| verdict);
    ["pass", "out of scope", "fails"].into_iter().find(|kind| verdict.starts_with(kind)).unwrap_or_default()
}

/// The lines that are not as committed; of tests that fail, the reason may change.
pub fn changes(committed: &Lines, lines: &Lines) -> String {
    let mut changes = String::new();
    for (name, line) in lines {
        let before = committed.get(name).map_or("", String::as_str);
        if kind(line) != kind(before) || passes(line) && line != before {
            let before = before.split_once(": ").map_or("not listed", |(_, verdict)| verdict);
            changes.push_str(&format!("{line}\n    listed: {before}\n"));
        }
    }
    changes
}

/// How many tests pass, by kind.
pub fn tally(lines: &Lines) -> String {
    let mut counts: BTreeMap<&str, [usize; 3]> = BTreeMap::new();
    for (name, line) in lines {
        let folder = name.split('/').next().unwrap_or_default();
        let counts = counts.entry(folder).or_default();
        let column = ["pass", "fails", "out of scope"].iter().position(|word| *word == kind(line));
        counts[column.unwrap_or(1)] += 1;
    }
    let row = |(folder, counts): (&&str, &[usize; 3])| {
        let [pass, fail, outside] = counts;
        format!("{folder}: {pass} pass, {fail} fail, {outside} are out of scope, of {}", pass + fail + outside)
    };
    counts.iter().map(row).collect::<Vec<_>>().join("\n")
}
