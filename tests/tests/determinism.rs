//! The same input gives the same code, whoever compiles it, whenever and wherever.

use std::fs;
use std::path::Path;
use std::process::Command;

use mcuopt_tests::folder;
use mcuopt_tests::shared::{Model, Variant};
use mcuopt_tests::synthetic::Synthetic;

/// The file that a build script makes of `model.onnx` and `samples.npz` in a folder, with a calibration cache of its
/// own.
fn emit(folder: &Path, name: &str) -> String {
    let out = folder.join(name);
    fs::create_dir_all(&out).expect("the target folder is writable");
    let mut script = Command::new(env!("CARGO_BIN_EXE_emit"));
    script.arg(folder.join("model.onnx")).arg(folder.join("samples.npz")).current_dir(&out);
    script.env("OUT_DIR", &out).env("HOME", &out).env("XDG_CACHE_HOME", &out);
    let output = script.output().expect("the program starts");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("cargo::rerun-if-changed="), "Cargo must know what to watch: {said}");
    fs::read_to_string(out.join("model.rs")).expect("`emit` names its file after the model")
}

/// Two processes with folders of their own, and this one.
#[track_caller]
fn compare(folder: &Path, here: &str) {
    let first = emit(folder, "first");
    assert!(first == emit(folder, "second"), "{}: two runs differ", folder.display());
    assert!(first == here, "{}: a build script makes other code than a program", folder.display());
    let machine = folder.to_str().expect("a readable path");
    assert!(!first.contains(machine), "the code says where it was made: {machine}");
}

#[test]
fn synthetic_models() {
    for synthetic in Synthetic::all().into_iter().filter(|synthetic| synthetic.name != "quantized") {
        let case = synthetic.compile(Variant::Int8);
        compare(&synthetic.folder(Variant::Int8), &case.compiled.source().expect("it compiles"));
    }
}

#[test]
fn reference_model() {
    let Some(files) = Model::Kws.find() else { return };
    let folder = folder::output("determinism");
    fs::copy(files.onnx(Variant::Int8), folder.join("model.onnx")).expect("the model is readable");
    fs::copy(files.samples(), folder.join("samples.npz")).expect("the samples are readable");
    compare(&folder, &files.compile(Variant::Int8).compiled.source().expect("it compiles"));
}
