//! Gives the linker the memory layout of the chosen board.

use std::{env, fs, path::Path};

const BOARDS: [&str; 3] = ["mps2-an386", "nrf52840", "stm32f411"];

fn main() {
    let chosen: Vec<&str> = BOARDS
        .into_iter()
        .filter(|board| {
            let feature = board.to_uppercase().replace('-', "_");
            env::var_os(format!("CARGO_FEATURE_{feature}")).is_some()
        })
        .collect();
    let &[board] = chosen.as_slice() else {
        println!(
            "cargo::error=choose one board of {BOARDS:?}, for example: \
             --no-default-features --features nrf52840"
        );
        return;
    };

    let layout = format!("memory/{board}.x");
    let out = env::var("OUT_DIR").expect("cargo sets OUT_DIR");
    fs::copy(&layout, Path::new(&out).join("memory.x")).expect("the layout can be copied");
    println!("cargo::rustc-link-search={out}");
    println!("cargo::rustc-link-arg-bins=-Tlink.x");
    // lld would otherwise leave holes of up to 64 kB between the segments.
    println!("cargo::rustc-link-arg-bins=--nmagic");
    println!("cargo::rustc-env=BOARD={board}");
    println!("cargo::rerun-if-changed={layout}");
    println!("cargo::rerun-if-changed=build.rs");
}
