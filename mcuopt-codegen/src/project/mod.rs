//! Firmware projects: everything that runs a compiled network on a board, as files to begin with.

mod main_rs;
mod platform;

use std::fs;
use std::path::{Path, PathBuf};

pub use platform::{Host, Platform};

use crate::compiled::Compiled;
use crate::error::Error;
use platform::Kind;

/// Where a project gets mcuopt-rt from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Runtime {
    /// crates.io, in this crate's version.
    Registry,
    /// A folder.
    Path(PathBuf),
    /// A git repository.
    Git(String),
}

impl Runtime {
    /// The folder beside this crate's sources if it is there, as it is for a compiler that was built from the repository;
    /// else the registry.
    pub fn of_this_build() -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("mcuopt-rt");
        if folder.join("Cargo.toml").is_file() { Runtime::Path(folder) } else { Runtime::Registry }
    }

    /// As cargo's manifests have it.
    fn dependency(&self) -> String {
        let quoted = |text: &str| format!("{text:?}");
        match self {
            Runtime::Registry => format!("version = {}", quoted(env!("CARGO_PKG_VERSION"))),
            Runtime::Path(path) => format!("path = {}", quoted(&path.display().to_string())),
            Runtime::Git(url) => format!("git = {}", quoted(url)),
        }
    }
}

/// What the firmware does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Runs the network and says what it answers: for an application to begin with.
    Start,
    /// Marks what QEMU's plugin counts between: see [`profile`](crate::profile).
    Count,
    /// Reads the core's cycle counter behind each layer and says what it found.
    Time,
    /// Takes inputs from the file `inputs` and writes its answers to the file `outputs`, both in the working directory of
    /// the emulator, bytes as they lie in memory: see [`profile::answers`](crate::profile::answers).
    Answer,
    /// Answers the items that are built into it, `ITEMS` of `src/items.rs`, and says the answers' bytes: for boards, which
    /// have no files. Whoever generates the project adds that file.
    Recite,
}

/// A file of a project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Relative to the project's folder.
    pub path: PathBuf,
    /// Its content.
    pub text: String,
}

/// The files of a firmware project for a compiled network.
///
/// # Errors
/// If the firmware has no such purpose on the platform, or the generated code does not format.
pub fn generate(
    compiled: &Compiled,
    platform: Platform,
    runtime: &Runtime,
    purpose: Purpose,
) -> Result<Vec<File>, Error> {
    if purpose == Purpose::Answer && !platform.is_emulated() {
        let what = format!("{} reads no files: answers come from emulated boards", platform.title);
        return Err(Error::options(what));
    }
    let name = package_name(compiled);
    let file = |path: &str, text: String| File { path: path.into(), text };
    let mut files = vec![
        file("Cargo.toml", manifest(&name, platform, runtime, purpose)),
        file(".cargo/config.toml", cargo_config(platform)),
        file("build.rs", build_script(platform, purpose)),
        file("src/main.rs", main_rs::main_rs(compiled, platform, purpose)),
        file("src/network.rs", compiled.source()?),
    ];
    if !platform.memory.is_empty() {
        files.push(file("memory.x", format!("/* {} */\n{}", platform.title, platform.memory)));
    }
    if purpose == Purpose::Start {
        files.push(file(".gitignore", "/target\n".into()));
        files.push(file("README.md", read_me(compiled, &name, platform)));
    }
    Ok(files)
}

/// Writes files below a folder, which is made if need be. What is there and the same stays untouched, so that cargo does
/// not build it again.
///
/// # Errors
/// What cannot be written.
pub fn write(files: &[File], folder: &Path) -> Result<(), Error> {
    for File { path, text } in files {
        let path = folder.join(path);
        if fs::read_to_string(&path).is_ok_and(|old| old == *text) {
            continue;
        }
        let parent = path.parent().unwrap_or(folder);
        let written = fs::create_dir_all(parent).and_then(|()| fs::write(&path, text));
        written
            .map_err(|error| Error::io(format!("cannot be written ({error})")).in_file(path.display().to_string()))?;
    }
    Ok(())
}

/// The cargo package's name: `kws-firmware` for `kws.onnx`.
pub fn package_name(compiled: &Compiled) -> String {
    let stem = compiled.options.model.file_stem().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    let fits = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    let name: String = stem.chars().map(fits).collect();
    let name = name.trim_matches('-');
    match name.chars().next() {
        Some(first) if first.is_ascii_alphabetic() => format!("{name}-firmware"),
        Some(_) => format!("model-{name}-firmware"),
        None => "firmware".into(),
    }
}

/// Whether a project speaks through defmt and RTT; others use semihosting, Espressif's their serial port.
fn uses_defmt(platform: Platform, purpose: Purpose) -> bool {
    let has_probe = matches!(platform.kind, Kind::CortexM | Kind::Rp2040 | Kind::Rp2350);
    purpose == Purpose::Start && has_probe && !platform.is_emulated()
}

fn manifest(name: &str, platform: Platform, runtime: &Runtime, purpose: Purpose) -> String {
    let mut dependencies = vec![format!("mcuopt-rt = {{ {}, features = [\"libm\"] }}", runtime.dependency())];
    let mut add = |line: &str| dependencies.push(line.into());
    match platform.kind {
        Kind::CortexM | Kind::Rp2040 | Kind::Rp2350 => add("cortex-m-rt = \"0.7.5\""),
        Kind::RiscV => add("riscv-rt = { version = \"0.18\", features = [\"memory\", \"single-hart\"] }"),
        Kind::Esp => {
            add("esp-backtrace = { version = \"0.18\", features = [\"esp32c3\", \"panic-handler\", \"println\"] }");
            add("esp-bootloader-esp-idf = { version = \"0.4\", features = [\"esp32c3\"] }");
            add("esp-hal = { version = \"1.0\", features = [\"esp32c3\"] }");
            add("esp-println = { version = \"0.16\", features = [\"esp32c3\"] }");
        }
    }
    if platform.kind == Kind::Rp2040 {
        add("rp2040-boot2 = \"0.3\"");
    }
    if uses_defmt(platform, purpose) {
        add("cortex-m = { version = \"0.7.7\", features = [\"critical-section-single-core\"] }");
        add("defmt = \"1\"");
        add("defmt-rtt = \"1\"");
        add("panic-probe = { version = \"1\", features = [\"print-defmt\"] }");
    } else if platform.kind != Kind::Esp {
        let features = match purpose {
            Purpose::Start | Purpose::Time | Purpose::Recite => "\"panic-handler\", \"stdio\"",
            Purpose::Answer => "\"fs\", \"panic-handler\", \"stdio\"",
            // What formats a panic's message would be more code than some networks are.
            Purpose::Count => "\"panic-handler\"",
        };
        add(&format!("semihosting = {{ version = \"0.1.25\", features = [{features}] }}"));
    }
    dependencies.sort();
    format!(
        "[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\npublish = false\n\n\
         [[bin]]\nname = \"{name}\"\ntest = false\nbench = false\n\n\
         [dependencies]\n{}\n\n\
         [profile.release]\ncodegen-units = 1\ndebug = \"line-tables-only\"\nlto = \"fat\"\npanic = \"abort\"\n\n\
         # A workspace of its own, wherever its folder lies.\n[workspace]\n",
        dependencies.join("\n")
    )
}

fn cargo_config(platform: Platform) -> String {
    let runner: Vec<String> = platform.runner().iter().map(|word| format!("{word:?}")).collect();
    let target = platform.target;
    format!("[build]\ntarget = \"{target}\"\n\n[target.{target}]\nrunner = [{}]\n", runner.join(", "))
        .replace(&format!("[target.{target}]"), &format!("[target.\"{target}\"]"))
}

fn build_script(platform: Platform, purpose: Purpose) -> String {
    let mut body = String::new();
    if !platform.memory.is_empty() {
        body += "    // The runtime's script includes the board's memory layout.\n    \
                 let out = std::env::var(\"OUT_DIR\").expect(\"cargo sets OUT_DIR\");\n    \
                 std::fs::copy(\"memory.x\", format!(\"{out}/memory.x\")).expect(\"the layout can be copied\");\n    \
                 println!(\"cargo::rustc-link-search={out}\");\n    \
                 println!(\"cargo::rerun-if-changed=memory.x\");\n";
    }
    let mut link = |argument: &str| body += &format!("    println!(\"cargo::rustc-link-arg-bins={argument}\");\n");
    match platform.kind {
        Kind::Esp => link("-Tlinkall.x"),
        _ => {
            link("-Tlink.x");
            link("--nmagic");
        }
    }
    if uses_defmt(platform, purpose) {
        link("-Tdefmt.x");
    }
    format!(
        "//! What the linker needs to know.\n\nfn main() {{\n    println!(\"cargo::rerun-if-changed=build.rs\");\n{body}}}\n"
    )
}

fn read_me(compiled: &Compiled, name: &str, platform: Platform) -> String {
    let model = compiled.options.model.file_name().unwrap_or_default().to_string_lossy();
    let runner = platform.runner().join(" ");
    let tool = match platform.host {
        Host::Emulator { program, .. } => format!("`{program}`"),
        Host::Probe(_) => "[probe-rs](https://probe.rs) and a debug probe".into(),
        Host::Espflash => "[espflash](https://github.com/esp-rs/espflash)".into(),
    };
    format!(
        "# {name}\n\nRuns the network `{model}` on: {}.\n\n\
         ```sh\nrustup target add {}\ncargo run --release\n```\n\n\
         That takes {tool}: it runs the program by `{runner}`.\n\n\
         `src/network.rs` is what mcuopt made of the model, with its constants and methods documented; `src/main.rs` is \
         yours: it fills the input with zeros where your sensor's numbers belong.\n",
        platform.title, platform.target,
    )
}
