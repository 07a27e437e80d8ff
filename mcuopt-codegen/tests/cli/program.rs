//! Running the program.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::common::Result;

/// What a run of the program came to.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// The program with arguments, in a cache of the tests' own.
pub(crate) fn command(arguments: &[&dyn AsRef<OsStr>]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mcuopt"));
    command.args(arguments.iter().map(|argument| argument.as_ref()));
    command.env("MCUOPT_CACHE_DIR", Path::new(env!("CARGO_TARGET_TMPDIR")).join("cli-cache"));
    for variable in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE"] {
        command.env_remove(variable);
    }
    command
}

/// Runs a command.
pub(crate) fn finish(command: &mut Command) -> Result<Run> {
    let output = command.output()?;
    let text = |bytes: Vec<u8>| String::from_utf8(bytes);
    Ok(Run { code: output.status.code(), out: text(output.stdout)?, err: text(output.stderr)? })
}

/// Runs the program.
pub(crate) fn mcuopt(arguments: &[&dyn AsRef<OsStr>]) -> Result<Run> {
    finish(&mut command(arguments))
}

/// Runs the program with `--json`, which must end with the code, and returns what it prints.
pub(crate) fn json(code: i32, arguments: &[&dyn AsRef<OsStr>]) -> Result<Value> {
    let mut all = arguments.to_vec();
    all.push(&"--json");
    let run = mcuopt(&all)?;
    if run.code != Some(code) {
        return Err(format!("ended with {:?} instead of {code}: {}{}", run.code, run.out, run.err).into());
    }
    Ok(serde_json::from_str(&run.out)?)
}

/// The example's network, which lies beside its calibration data.
pub(crate) fn kws() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("examples/kws/kws.onnx")
}

/// Says why a test did nothing.
pub(crate) fn skip(what: &str) -> Result {
    eprintln!("skipped: {what}");
    Ok(())
}
