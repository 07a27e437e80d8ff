//! Chooses the network to run, and links programs for boards.

use std::env;
use std::path::{Path, PathBuf};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    choose_case();
    if variable("CARGO_CFG_TARGET_OS") == "none" {
        // The runtime's script, which includes the board's memory layout.
        println!("cargo::rustc-link-arg-bins=-Tlink.x");
        // lld would otherwise leave holes of up to 64 kB between the segments.
        println!("cargo::rustc-link-arg-bins=--nmagic");
    }
}

/// The folder whose `case.rs` is the network: the tests set `MCUOPT_CASE`; without it, it is the sample.
fn choose_case() {
    println!("cargo::rerun-if-env-changed=MCUOPT_CASE");
    let sample = Path::new(&variable("CARGO_MANIFEST_DIR")).join("sample");
    let case = env::var_os("MCUOPT_CASE").map_or(sample, PathBuf::from);
    println!("cargo::rustc-env=MCUOPT_CASE={}", case.display());
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("cargo sets {name}"))
}
