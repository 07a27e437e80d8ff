//! What a command comes to: text or JSON on standard output, and an exit code.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anstyle::{AnsiColor, Style};
use mcuopt_codegen::{Error, Errors};
use serde_json::{Value, json};

use crate::diagnostics;

/// The exit code if a model, its data or its compilation is at fault.
pub(crate) const FAILED: u8 = 1;
/// The exit code if the command line is.
pub(crate) const USAGE: u8 = 2;
/// The exit code if a threshold was missed.
pub(crate) const MISSED: u8 = 3;

pub(crate) const BOLD: Style = Style::new().bold();
pub(crate) const DIM: Style = Style::new().dimmed();
pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();
pub(crate) const NOTE: Style = AnsiColor::Yellow.on_default();
pub(crate) const NAME: Style = AnsiColor::Cyan.on_default();

/// The result of a command.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    /// For people, with ANSI colours, which are taken out where they do not belong.
    pub(crate) text: String,
    /// For programs.
    pub(crate) json: Value,
    /// The thresholds that were missed, a sentence each.
    pub(crate) missed: Vec<String>,
    /// The model is at fault, though there was something to tell about it.
    pub(crate) failed: bool,
}

/// Why a command has no result.
#[derive(Debug)]
pub(crate) enum Failure {
    /// A model that does not compile, with its file.
    Model(Errors, PathBuf),
    /// A wrong command line.
    Usage(String),
    /// Something else: a file that cannot be written, a tool that is missing.
    Other(String),
}

impl Failure {
    /// For `map_err`: errors of a model.
    pub(crate) fn of<E: Into<Errors>>(model: &Path) -> impl Fn(E) -> Failure + '_ {
        |errors| Failure::Model(errors.into(), model.to_path_buf())
    }
}

/// A wrong option stays the user's own words' problem: exit code 2.
impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match &error.kind {
            mcuopt_codegen::error::Kind::Options(_) => Failure::Usage(error.to_string()),
            _ => Failure::Other(error.to_string()),
        }
    }
}

/// Prints the result; returns the exit code.
pub(crate) fn deliver(result: Result<Answer, Failure>, json: bool) -> ExitCode {
    match result {
        Ok(answer) => {
            let text = if json { format!("{:#}\n", answer.json) } else { answer.text };
            print(&text);
            for missed in &answer.missed {
                complain(&format!("{BAD}missed:{BAD:#} {missed}\n"));
            }
            match (answer.failed, answer.missed.is_empty()) {
                (true, _) => ExitCode::from(FAILED),
                (false, false) => ExitCode::from(MISSED),
                (false, true) => ExitCode::SUCCESS,
            }
        }
        Err(failure) => {
            let (code, errors, text) = match &failure {
                Failure::Model(errors, model) => (FAILED, diagnostics::json(errors), diagnostics::draw(errors, model)),
                Failure::Usage(message) => {
                    (USAGE, plain(message), format!("{BAD}error:{BAD:#} {message}\n\nFor more, try `mcuopt --help`.\n"))
                }
                Failure::Other(message) => (FAILED, plain(message), format!("{BAD}error:{BAD:#} {message}\n")),
            };
            if json {
                print(&format!("{:#}\n", json!({ "errors": errors })));
            }
            complain(&text);
            ExitCode::from(code)
        }
    }
}

fn plain(message: &str) -> Value {
    json!([{ "message": message }])
}

/// Whoever reads may have read enough: a closed pipe is no failure.
fn print(text: &str) {
    let _ = anstream::stdout().write_all(text.as_bytes());
}

pub(crate) fn complain(text: &str) {
    let _ = anstream::stderr().write_all(text.as_bytes());
}

/// Digits in groups of three.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Writes a file, or says why not.
pub(crate) fn write_file(path: &Path, content: &str) -> Result<(), Failure> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(|error| unwritable(folder, &error))?;
    }
    std::fs::write(path, content).map_err(|error| unwritable(path, &error))
}

fn unwritable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::Other(format!("{} cannot be written: {error}", path.display()))
}
