//! The examples on an emulated chip: one firmware holds them all, with inputs and the interpreter's answers as
//! constants, and says which of them answer otherwise there.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::{env, fs};

use mcuopt_codegen::Compiled;
use mcuopt_codegen::call::Data;
use mcuopt_codegen::tensor::Tensor;

use crate::board::Board;
use crate::conformance::batch::{remove_others, write};
use crate::folder;

/// Builds the firmware for a board and runs it; returns the names of the programs whose answers differ, and whatever
/// else it says.
///
/// # Panics
/// If it does not build, or does not run to its end.
pub(super) fn run(
    board: Board,
    programs: &BTreeMap<String, Compiled>,
    inputs: impl Fn(&Compiled) -> Vec<Tensor>,
) -> String {
    let folder = folder::output(&format!("examples/{}", board.target()));
    let mut main = String::from(MAIN);
    let mut checks = String::new();
    let sources = folder.join("src");
    let mut wanted = BTreeSet::from([sources.join("main.rs")]);
    for (name, compiled) in programs {
        let source = format!("{}\n{}", compiled.source().expect("it is emitted"), check(compiled, &inputs(compiled)));
        let path = sources.join(format!("{name}.rs"));
        write(&path, &source);
        wanted.insert(path);
        main.push_str(&format!("mod {name};\n"));
        checks.push_str(&format!("    (\"{name}\", {name}::check),\n"));
    }
    main.push_str(&format!("\nconst CHECKS: &[(&str, fn() -> bool)] = &[\n{checks}];\n"));
    write(&sources.join("main.rs"), &main);
    write(&folder.join("build.rs"), BUILD);
    write(&folder.join("Cargo.toml"), &manifest());
    // The board's packages in the versions of the kernels' firmware.
    write(&folder.join("Cargo.lock"), &read("tests/kernels/Cargo.lock"));
    remove_others(&sources, &wanted);
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--quiet", "--target", board.target()]).current_dir(&folder);
    cargo.env("CARGO_TARGET_DIR", folder.join("target")).env("RUSTFLAGS", "-Awarnings");
    cargo.env_remove("CARGO_ENCODED_RUSTFLAGS").env_remove("CARGO_BUILD_TARGET");
    let output = cargo.output().expect("cargo starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "the examples do not build for {board}:\n{said}");
    let program = folder.join("target").join(board.target()).join("debug/mcuopt-examples");
    match board.try_run(&program, &folder, &[], None) {
        Ok(said) => said,
        Err(failure) => panic!("the examples on {board}: {failure}"),
    }
}

const MAIN: &str = "\
#![no_std]
#![no_main]

use semihosting::{println, process};

mcuopt_test_board::program!(main);

/// Equal bits; which of the many NaNs it is, nobody defines.
trait Element: Copy {
    fn same(self, other: Self) -> bool;
}

macro_rules! integers {
    ($($type:ident)*) => {$(impl Element for $type {
        fn same(self, other: Self) -> bool { self == other }
    })*};
}
integers! { i8 u8 i16 u16 i32 u32 i64 u64 }

impl Element for f32 {
    fn same(self, other: Self) -> bool { self.to_bits() == other.to_bits() || (self.is_nan() && other.is_nan()) }
}

fn same<T: Element>(found: &[T], expected: &[T]) -> bool {
    found.iter().zip(expected).all(|(found, expected)| found.same(*expected))
}

unsafe fn main() -> ! {
    for (name, check) in CHECKS {
        if !check() {
            println!(\"{name}\");
        }
    }
    process::exit(0)
}

";

const BUILD: &str = "\
fn main() {
    println!(\"cargo::rustc-link-arg-bins=-Tlink.x\");
    println!(\"cargo::rustc-link-arg-bins=--nmagic\");
}
";

fn read(file: &str) -> String {
    fs::read_to_string(folder::repository().join(file)).expect("it is part of the repository")
}

/// With the libm of the workspace, as its results are to be those of the interpreter.
fn manifest() -> String {
    let lock = read("Cargo.lock");
    let libm = lock.split("name = \"libm\"\nversion = \"").nth(1).and_then(|rest| rest.split('"').next());
    let path = |part: &str| format!("{:?}", folder::repository().join(part).display().to_string());
    format!(
        "[package]\nname = \"mcuopt-examples\"\nedition = \"2024\"\n\n[dependencies]\n\
         mcuopt-rt = {{ path = {}, features = [\"libm\"] }}\n\
         mcuopt-test-board = {{ path = {}, features = [\"explain\"] }}\n\
         semihosting = {{ version = \"0.1.25\", features = [\"stdio\", \"panic-handler\"] }}\n\
         libm = {{ version = \"={}\", default-features = false }}\n\n\
         [profile.dev]\nopt-level = 1\ndebug = false\npanic = \"abort\"\noverflow-checks = true\n\n[workspace]\n",
        path("mcuopt-rt"),
        path("tests/firmware/board"),
        libm.expect("the workspace has libm"),
    )
}

/// A function that runs a model on inputs and compares its outputs with the interpreter's.
fn check(compiled: &Compiled, inputs: &[Tensor]) -> String {
    let expected = compiled.run(inputs).expect("the interpreter runs it");
    let array = |name: String, tensor: &Tensor| {
        let data = Data::from(tensor);
        let (element, decode) = data.decoder();
        let bytes: String = data.bytes().iter().map(|byte| format!("\\x{byte:02x}")).collect();
        let count = data.len();
        format!("    const {name}: rt::Aligned<[{element}; {count}]> = rt::{decode}(b\"{bytes}\");\n")
    };
    let mut text = String::from("pub fn check() -> bool {\n    use mcuopt_rt::v0 as rt;\n");
    inputs.iter().enumerate().for_each(|(index, tensor)| text.push_str(&array(format!("X{index}"), tensor)));
    expected.iter().enumerate().for_each(|(index, tensor)| text.push_str(&array(format!("Y{index}"), tensor)));
    let arguments: Vec<String> = (0..inputs.len()).map(|index| format!("&X{index}")).collect();
    let results: Vec<String> = (0..expected.len()).map(|index| format!("y{index}")).collect();
    let pattern = if let [result] = &results[..] { result.clone() } else { format!("({})", results.join(", ")) };
    let same: Vec<String> = (0..expected.len()).map(|index| format!("super::same(y{index}, &*Y{index})")).collect();
    text.push_str(&format!(
        "    let mut model = Model::new();\n    let {pattern} = model.infer({});\n    {}\n}}\n",
        arguments.join(", "),
        same.join(" && ")
    ));
    text
}
