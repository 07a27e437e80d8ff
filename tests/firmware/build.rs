//! Chooses the network to run and the memory layout of the board to run it on.

use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    choose_case();
    if let Some(layout) = board(&variable("TARGET")) {
        link(layout);
    }
}

/// The folder whose `case.rs` is the network: the tests set `MCUOPT_CASE`; without it, it is the sample.
fn choose_case() {
    println!("cargo::rerun-if-env-changed=MCUOPT_CASE");
    let sample = Path::new(&variable("CARGO_MANIFEST_DIR")).join("sample");
    let case = env::var_os("MCUOPT_CASE").map_or(sample, PathBuf::from);
    println!("cargo::rustc-env=MCUOPT_CASE={}", case.display());
}

/// The memory layout for a target; hosts have none.
fn board(target: &str) -> Option<&'static str> {
    match target {
        "thumbv6m-none-eabi" => Some("microbit"),
        "thumbv7m-none-eabi" | "thumbv7em-none-eabi" | "thumbv7em-none-eabihf" => Some("mps2-an386"),
        "thumbv8m.main-none-eabi" | "thumbv8m.main-none-eabihf" => Some("mps2-an505"),
        "riscv32imc-unknown-none-elf" => Some("virt"),
        _ => None,
    }
}

fn link(layout: &str) {
    // Both cortex-m-rt and riscv-rt bring a `link.x` that includes the board's `memory.x`.
    let source = format!("memory/{layout}.x");
    let out = variable("OUT_DIR");
    fs::copy(&source, Path::new(&out).join("memory.x")).expect("the memory layout can be copied");
    println!("cargo::rerun-if-changed={source}");
    println!("cargo::rustc-link-search={out}");
    println!("cargo::rustc-link-arg-bins=-Tlink.x");
    // lld would otherwise leave holes of up to 64 kB between the segments.
    println!("cargo::rustc-link-arg-bins=--nmagic");
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("cargo sets {name}"))
}
