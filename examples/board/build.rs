//! Puts the memory layout of the board that a target stands for where the runtime's linker script looks for it.

use std::path::Path;
use std::{env, fs};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let variable = |name: &str| env::var(name).unwrap_or_else(|_| panic!("cargo sets {name}"));
    let board = match variable("TARGET").as_str() {
        "thumbv7em-none-eabihf" => "mps2-an386",
        "riscv32imc-unknown-none-elf" => "virt",
        _ => return,
    };
    let layout = format!("memory/{board}.x");
    let out = variable("OUT_DIR");
    fs::copy(&layout, Path::new(&out).join("memory.x")).expect("the layout can be copied");
    println!("cargo::rerun-if-changed={layout}");
    println!("cargo::rustc-link-search={out}");
}
