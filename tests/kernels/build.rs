//! Links programs for boards.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // The runtime's script, which includes the board's memory layout.
    println!("cargo::rustc-link-arg-bins=-Tlink.x");
    println!("cargo::rustc-link-arg-bins=--nmagic");
}
