//! Building a firmware project.

use std::fs::{self, File as OpenFile};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::{env, io};

use crate::calibrate::content_hash;
use crate::error::Error;
use crate::project::{self, File};

/// Builds a project below `folder`; returns the program.
pub(super) fn build(files: &[File], name: &str, target: &str, folder: &Path) -> Result<PathBuf, Error> {
    check_target(target)?;
    let home = folder.join(name).join(target);
    let unwritable =
        |error: io::Error| Error::io(format!("cannot be written ({error})")).in_file(home.display().to_string());
    fs::create_dir_all(&home).map_err(unwritable)?;
    // One project in a folder at a time. The lock goes with the file handle.
    let lock = OpenFile::create(folder.join("lock")).map_err(unwritable)?;
    lock.lock().map_err(unwritable)?;
    project::write(files, &home)?;
    let built = folder.join("target");
    // Without the network if all that it takes is here.
    let output = match cargo(&home, &built, true)? {
        output if output.status.success() => output,
        _ => cargo(&home, &built, false)?,
    };
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(Error::io(format!("the firmware does not build:\n{said}")).in_file(home.display().to_string()));
    }
    let texts: Vec<&[u8]> = files.iter().map(|file| file.text.as_bytes()).collect();
    let program = folder.join("programs").join(format!("{name}-{target}-{}", content_hash(&texts)));
    fs::create_dir_all(folder.join("programs")).map_err(unwritable)?;
    fs::copy(built.join(target).join("release").join(name), &program).map_err(unwritable)?;
    Ok(program)
}

fn cargo(project: &Path, built: &Path, offline: bool) -> Result<Output, Error> {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--release", "--quiet"]).current_dir(project).env("CARGO_TARGET_DIR", built);
    if offline {
        cargo.arg("--offline");
    }
    // What is meant for the caller's own code is not for the firmware.
    for variable in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET", "CARGO_BUILD_RUSTFLAGS"] {
        cargo.env_remove(variable);
    }
    cargo.output().map_err(|error| {
        Error::io(format!("cargo, which builds the firmware, does not start ({error}): https://rustup.rs installs it"))
    })
}

/// Whether the compiler can build for a target.
fn check_target(target: &str) -> Result<(), Error> {
    let mut rustc = Command::new(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    let output = rustc.args(["--print", "target-libdir", "--target", target]).output();
    let output = output.map_err(|error| {
        Error::io(format!("rustc, which builds the firmware, does not start ({error}): https://rustup.rs installs it"))
    })?;
    let folder = String::from_utf8_lossy(&output.stdout);
    if output.status.success() && Path::new(folder.trim()).is_dir() {
        return Ok(());
    }
    Err(Error::io(format!("Rust's target {target} is not installed: `rustup target add {target}`")))
}
