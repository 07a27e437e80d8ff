//! Runs ONNX's own tests and compares with what `tests/conformance.txt` says of each: `conformance [--update] [WORD…]`.
//!
//! Words choose the tests with one of them in their name, or of the operator of this name, and show how each goes.
//! `--update` writes the list and, from it, OPERATORS.md.

use std::env;
use std::process::{Command, ExitCode};

use mcuopt_tests::conformance::{self, Places, list, suite};
use mcuopt_tests::{folder, report};

fn main() -> ExitCode {
    let (options, words): (Vec<String>, Vec<String>) = env::args().skip(1).partition(|word| word.starts_with("--"));
    let update = options == ["--update"];
    if !update && !options.is_empty() {
        eprintln!("usage: conformance [--update] [WORD…]");
        return ExitCode::FAILURE;
    }
    let Some(places) = Places::find(if words.is_empty() { "all" } else { "some" }) else { return ExitCode::FAILURE };
    let chosen = |test: &suite::Test| words.iter().any(|word| test.name.contains(word) || test.operator == *word);
    let mut tests = suite::read(&places.data, |_| true);
    tests.retain(|test| words.is_empty() || chosen(test));
    let lines = conformance::run(&places, &tests);
    if !words.is_empty() {
        lines.values().for_each(|line| println!("{line}"));
    }
    println!("{}", list::tally(&lines));
    if update {
        let mut all = list::committed();
        // Without words, tests that there are no more vanish from the list.
        all.retain(|_, _| !words.is_empty());
        all.extend(lines);
        println!("{}", report::write(list::FILE, &list::text(&all)).display());
        return operators();
    }
    let changes = list::changes(&list::committed(), &lines);
    if changes.is_empty() {
        return ExitCode::SUCCESS;
    }
    println!("{changes}");
    ExitCode::FAILURE
}

/// Writes OPERATORS.md, which has the list's sums.
fn operators() -> ExitCode {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["test", "--quiet", "-p", "mcuopt-codegen", "--test", "operators_table"]);
    let status = cargo.env("UPDATE_TABLES", "1").current_dir(folder::repository()).status().expect("cargo starts");
    if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
