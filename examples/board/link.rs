// The build script of every example: asks for the linker's script that the chip's runtime brings. The board's memory
// layout comes from `example-board`.

fn main() {
    println!("cargo::rerun-if-changed=../board/link.rs");
    if std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "none") {
        println!("cargo::rustc-link-arg-bins=-Tlink.x");
        // lld would otherwise leave holes of up to 64 kB between the segments.
        println!("cargo::rustc-link-arg-bins=--nmagic");
    }
}
