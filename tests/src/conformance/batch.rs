//! Many models in one program, which is told which of them to run.
//!
//! One generated package has a program for every so many tests. Cargo builds them side by side, and builds again only
//! what has changed.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use mcuopt_codegen::Compiled;
use mcuopt_codegen::tensor::{DType, Tensor};

use super::compare;

/// Tests of one program.
const SIZE: usize = 60;

/// What all programs begin with.
const HARNESS: &str = include_str!("harness.rs");

/// A program with a test in it.
#[derive(Clone, Debug)]
pub struct Program {
    path: PathBuf,
    test: String,
}

/// Builds models in a folder, and gives for each by its identifier the program that has it, or what rustc says about its
/// code.
pub fn build(
    repository: &Path,
    folder: &Path,
    models: &BTreeMap<String, &Compiled>,
) -> BTreeMap<String, Result<Program, String>> {
    let mut sources: BTreeMap<String, String> = BTreeMap::new();
    let mut failures: BTreeMap<String, String> = BTreeMap::new();
    for (identifier, compiled) in models {
        match source(compiled) {
            Ok(source) => drop(sources.insert(identifier.clone(), source)),
            Err(reason) => drop(failures.insert(identifier.clone(), reason)),
        }
    }
    let mut places_of: BTreeMap<String, String> = BTreeMap::new();
    for (index, identifier) in sources.keys().enumerate() {
        places_of.insert(identifier.clone(), format!("batch_{:02}", index / SIZE));
    }
    loop {
        write_package(repository, folder, &sources, &places_of);
        let wrong = cargo(folder, &places_of);
        if wrong.is_empty() {
            break;
        }
        for (identifier, reason) in wrong {
            sources.remove(&identifier);
            failures.insert(identifier, format!("the generated code does not build: {reason}"));
        }
    }
    let program = |identifier: &String| match failures.get(identifier) {
        Some(reason) => Err(reason.clone()),
        None => {
            Ok(Program { path: folder.join("target/debug").join(&places_of[identifier]), test: identifier.clone() })
        }
    };
    models.keys().map(|identifier| (identifier.clone(), program(identifier))).collect()
}

/// The generated code, and a function that runs it on bytes.
fn source(compiled: &Compiled) -> Result<String, String> {
    let code = compiled.source().map_err(|error| error.to_string())?;
    let lowered = &compiled.lowered;
    let inputs = lowered.inputs.iter().map(|id| &lowered.value(*id).ty);
    let inputs: Vec<String> =
        inputs.map(|ty| format!("&*take::<{}, {}>(&mut bytes)", rust_type(ty.dtype), ty.len())).collect();
    Ok(format!(
        "use super::*;\n{code}\npub fn run(mut bytes: &[u8], results: &mut Vec<u8>) {{\n    static MODEL: Mutex<Model> = \
         Mutex::new(Model::new());\n    MODEL.lock().unwrap().infer({}).put(results);\n    assert!(bytes.is_empty());\n}}\n",
        inputs.join(", ")
    ))
}

fn rust_type(dtype: DType) -> &'static str {
    match dtype {
        DType::F32 => "f32",
        DType::I8 => "i8",
        DType::U8 | DType::Bool => "u8",
        DType::I16 => "i16",
        DType::U16 => "u16",
        DType::I32 => "i32",
        DType::U32 => "u32",
        DType::I64 => "i64",
        DType::U64 => "u64",
    }
}

fn write_package(
    repository: &Path,
    folder: &Path,
    sources: &BTreeMap<String, String>,
    places_of: &BTreeMap<String, String>,
) {
    let runtime = repository.join("mcuopt-rt");
    let manifest = fs::read_to_string(runtime.join("Cargo.toml")).unwrap_or_default();
    let features = if manifest.contains("libm") { "\"libm\"" } else { "" };
    write(
        &folder.join("Cargo.toml"),
        &format!(
            "[package]\nname = \"mcuopt-conformance-programs\"\nedition = \"2024\"\n\n[dependencies]\n\
             mcuopt-rt = {{ path = {:?}, features = [{features}] }}\n\n[profile.dev]\ndebug = false\n\
             incremental = false\npanic = \"abort\"\n\n[profile.dev.package.mcuopt-rt]\nopt-level = 1\n\n[workspace]\n",
            runtime.display().to_string(),
        ),
    );
    // With the versions that the workspace has, libm's above all: its results are to be those of the interpreter.
    write(&folder.join("Cargo.lock"), &fs::read_to_string(repository.join("Cargo.lock")).unwrap_or_default());
    let bins = folder.join("src/bin");
    let mut wanted: BTreeSet<PathBuf> = BTreeSet::new();
    let batches: BTreeSet<&String> = places_of.values().collect();
    for batch in batches {
        let mut main = format!("{HARNESS}\nprograms! {{\n");
        for (identifier, source) in sources.iter().filter(|(identifier, _)| places_of[*identifier] == *batch) {
            main.push_str(&format!("    {identifier}\n"));
            let path = bins.join(batch).join(format!("{identifier}.rs"));
            write(&path, source);
            wanted.insert(path);
        }
        main.push_str("}\n");
        let path = bins.join(batch).join("main.rs");
        write(&path, &main);
        wanted.insert(path);
    }
    remove_others(&bins, &wanted);
}

/// Writes a file unless it has this content already: cargo goes by the time.
pub(crate) fn write(path: &Path, content: &str) {
    if fs::read_to_string(path).is_ok_and(|old| old == content) {
        return;
    }
    fs::create_dir_all(path.parent().expect("a file lies in a folder")).expect("the output folder is writable");
    fs::write(path, content).expect("the output folder is writable");
}

/// Removes what earlier runs left behind.
pub(crate) fn remove_others(folder: &Path, wanted: &BTreeSet<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            remove_others(&path, wanted);
            // It fails where something is left, as it should.
            let _ = fs::remove_dir(&path);
        } else if !wanted.contains(&path) {
            let _ = fs::remove_file(&path);
        }
    }
}

/// Builds the package; returns the tests whose code has errors, with the first of each.
fn cargo(folder: &Path, places_of: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--quiet", "--keep-going", "--message-format=json"]).current_dir(folder);
    cargo.env("CARGO_TARGET_DIR", folder.join("target"));
    // What is meant for the workspace's own code, such as denied warnings, is not for generated code.
    cargo.env("RUSTFLAGS", "-Awarnings");
    cargo.env_remove("CARGO_ENCODED_RUSTFLAGS").env_remove("CARGO_BUILD_TARGET");
    let output = cargo.stdin(Stdio::null()).output().expect("cargo starts");
    let mut wrong = BTreeMap::new();
    if output.status.success() {
        return wrong;
    }
    let mut unplaced = String::new();
    for line in output.stdout.split(|&byte| byte == b'\n') {
        let Ok(json) = serde_json::from_slice::<serde_json::Value>(line) else { continue };
        let message = &json["message"];
        if message["level"] != "error" {
            continue;
        }
        let text = message["message"].as_str().unwrap_or_default();
        let named = places_of.keys().find(|identifier| message_names(message, identifier));
        match named {
            Some(identifier) => drop(wrong.entry(identifier.clone()).or_insert_with(|| text.to_string())),
            None => unplaced = format!("{unplaced}\n{}", message["rendered"].as_str().unwrap_or(text)),
        }
    }
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!wrong.is_empty(), "{} does not build:\n{unplaced}\n{said}", folder.display());
    wrong
}

/// Whether a message of rustc points into the file of a test, at whatever depth.
fn message_names(json: &serde_json::Value, identifier: &str) -> bool {
    match json {
        serde_json::Value::String(text) => text
            .strip_suffix(".rs")
            .is_some_and(|path| path.strip_suffix(identifier).is_some_and(|folder| folder.ends_with('/'))),
        serde_json::Value::Array(items) => items.iter().any(|item| message_names(item, identifier)),
        serde_json::Value::Object(fields) => fields.values().any(|field| message_names(field, identifier)),
        _ => false,
    }
}

/// What a model answers to inputs, as bytes: the program and the compiler's interpreter must agree.
pub fn answer(program: &Program, compiled: &Compiled, inputs: &[Tensor]) -> Result<Vec<u8>, String> {
    let results = execute(program, &inputs.iter().flat_map(compare::to_bytes).collect::<Vec<u8>>())?;
    let interpreted = compiled.run(inputs).map_err(|error| format!("the interpreter fails: {error}"))?;
    let mut rest = results.as_slice();
    let agrees = |tensor: &Tensor| {
        let expected = compare::to_bytes(&tensor.at_run_time());
        let own = rest.split_off(..expected.len());
        own.is_some_and(|own| compare::identical(&expected, own, tensor.dtype()))
    };
    if interpreted.iter().all(agrees) && rest.is_empty() {
        Ok(results)
    } else {
        Err("the interpreter answers otherwise than the firmware".into())
    }
}

fn execute(program: &Program, bytes: &[u8]) -> Result<Vec<u8>, String> {
    let mut command = Command::new(&program.path);
    command.arg(&program.test).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.env("RUST_BACKTRACE", "0");
    let mut child = command.spawn().map_err(|error| format!("{}: {error}", program.path.display()))?;
    // A program that ends early says why.
    let _ = child.stdin.take().expect("the input is piped").write_all(bytes);
    let output = child.wait_with_output().map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().rfind(|line| !line.starts_with("note:") && !line.is_empty()).unwrap_or_default();
    Err(format!("the firmware fails: {last}"))
}
