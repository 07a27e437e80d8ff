//! What happens where something that a test needs is missing.

use std::env;
use std::io::{self, Write};

/// Says that part of a test was skipped, past the test runner, which hides what passing tests print.
pub fn note(what: &str, why: &str) {
    let line = format!("skipped: {what}: {why}\n");
    // At once, so that it is not torn apart by other tests' lines. Losing it is no reason to fail.
    let _ = io::stderr().write_all(line.as_bytes());
}

/// As [`note`]; but on the build server, where nothing should be missing, it is a failure.
#[track_caller]
pub fn note_unless_ci(what: &str, why: &str) {
    assert!(env::var_os("CI").is_none_or(|value| value != "true"), "{what} may not be skipped here: {why}");
    note(what, why);
}
