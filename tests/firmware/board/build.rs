//! Puts the memory layout of the board that a target stands for where the linker looks for it.

use std::path::Path;
use std::{env, fs};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let Some(layout) = layout(&variable("TARGET")) else { return };
    // Both cortex-m-rt and riscv-rt bring a `link.x` that includes the board's `memory.x`.
    let source = format!("memory/{layout}.x");
    let out = variable("OUT_DIR");
    fs::copy(&source, Path::new(&out).join("memory.x")).expect("the memory layout can be copied");
    println!("cargo::rerun-if-changed={source}");
    println!("cargo::rustc-link-search={out}");
}

/// The memory layout for a target; hosts have none.
fn layout(target: &str) -> Option<&'static str> {
    match target {
        "thumbv6m-none-eabi" => Some("microbit"),
        "thumbv7m-none-eabi" | "thumbv7em-none-eabi" | "thumbv7em-none-eabihf" => Some("mps2-an386"),
        "thumbv8m.main-none-eabi" | "thumbv8m.main-none-eabihf" => Some("mps2-an505"),
        "riscv32imc-unknown-none-elf" => Some("virt"),
        _ => None,
    }
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("cargo sets {name}"))
}
