//! Firmware that is generated, built and run; estimates beside measurements.
#![cfg(feature = "profile")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::{env, fs};

use mcuopt_codegen::cost::{Board, Core, estimate};
use mcuopt_codegen::profile::{self, Options, Profile};
use mcuopt_codegen::project::{self, Platform, Purpose, Runtime, generate};
use mcuopt_codegen::{Compiled, Config, Input, Precision};

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/kws").join(name)
}

fn kws(precision: Precision) -> Config {
    let config = Config::new(example("kws.onnx")).precision(precision);
    if precision == Precision::Int8 { config.calibration(example("kws.calib.npz")) } else { config }
}

fn compile(config: &Config) -> Compiled {
    config.compile().unwrap_or_else(|errors| panic!("{errors}"))
}

/// Whether a program is not installed, which is said.
fn is_missing(program: &str) -> bool {
    let status = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    let missing = !status.is_ok_and(|status| status.success());
    if missing {
        eprintln!("skipped: {program} is not installed");
    }
    missing
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("profile")
}

fn profiled(compiled: &Compiled, options: Options) -> Profile {
    let options = Options { folder: Some(folder()), ..options };
    profile::profile(compiled, &options, &mut |_| {}).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn layers_are_counted_on_the_emulated_board() {
    if is_missing("qemu-system-arm") {
        return;
    }
    let compiled = compile(&kws(Precision::Int8));
    let profile = profiled(&compiled, Options::emulated(Core::CortexM4));
    assert_eq!(profile.layers.len(), compiled.lowered.nodes.len());
    assert!(profile.layers.iter().all(|layer| layer.cycles > 0 && layer.instructions.is_some_and(|count| count > 0)));
    assert!(profile.layers.iter().map(|layer| layer.cycles).sum::<u64>() <= profile.cycles);
    assert!(profile.error().abs() < 0.15, "{:+.3}", profile.error());
    assert_eq!(profile.estimate, estimate(&compiled, Core::CortexM4));
}

/// What a board's firmware says comes through a command; here it is an emulated board, whose timer counts something.
#[test]
fn cycles_that_firmware_says_are_understood() {
    if is_missing("qemu-system-arm") {
        return;
    }
    let platform = Platform::of("mps2-an385-v6m").expect("the board");
    let compiled = compile(&kws(Precision::Int8).input(Input::Borrowed));
    let profile = profiled(&compiled, Options::on_board(platform, platform.runner().join(" ")));
    assert_eq!(profile.instructions, None);
    assert!(profile.cycles > 0);
    assert_eq!(profile.cycles, profile.layers.iter().map(|layer| layer.cycles).sum());

    let silent = Options { folder: Some(folder()), ..Options::on_board(platform, "echo 'nothing to see'") };
    let error = profile::profile(&compiled, &silent, &mut |_| {}).expect_err("echo is no board").to_string();
    assert!(error.contains("nothing to see") && error.contains("did not show"), "{error}");
    let lost = Options { folder: Some(folder()), ..Options::on_board(platform, "no-such-runner") };
    let error = profile::profile(&compiled, &lost, &mut |_| {}).expect_err("it does not exist").to_string();
    assert!(error.contains("`no-such-runner` does not start"), "{error}");
}

#[test]
fn boards_that_are_not_emulated_need_a_runner() {
    let platform = Platform::of("nrf52840").expect("the board");
    let options = Options { platform, folder: Some(folder()), ..Options::emulated(Core::CortexM4) };
    let error = profile::profile(&compile(&kws(Precision::Float32)), &options, &mut |_| {});
    let error = error.expect_err("QEMU has no such board").to_string();
    assert!(error.contains("probe-rs run --chip nRF52840_xxAA"), "{error}");
}

#[test]
fn all_boards_have_projects() {
    let compiled = compile(&kws(Precision::Int8));
    for platform in Platform::ALL {
        for purpose in [Purpose::Start, Purpose::Time] {
            let files = generate(&compiled, platform, &Runtime::Registry, purpose).expect("a project");
            let text =
                |path: &str| files.iter().find(|file| file.path == Path::new(path)).map(|file| file.text.as_str());
            let main = text("src/main.rs").expect("a program");
            assert!(syn::parse_file(main).is_ok(), "{}:\n{main}", platform.name);
            assert!(main.lines().all(|line| line.len() <= 120), "{}", platform.name);
            let manifest = text("Cargo.toml").expect("a manifest");
            assert!(manifest.contains("mcuopt-rt = { version ="), "{manifest}");
            assert!(text(".cargo/config.toml").is_some_and(|config| config.contains(platform.target)));
        }
    }
    assert_eq!(project::package_name(&compiled), "kws-firmware");
}

/// Every board's project, built: `cargo test --features profile --test profile -- --ignored`.
#[test]
#[ignore = "takes many crates from the network"]
fn all_projects_build() {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let compiled = compile(&kws(Precision::Int8));
    let wanted = env::var("MCUOPT_BOARDS").unwrap_or_default();
    let mut failures = Vec::new();
    for platform in Platform::ALL.into_iter().filter(|platform| wanted.is_empty() || wanted.contains(platform.name)) {
        for purpose in [Purpose::Start, Purpose::Time] {
            // One folder: to cargo, packages of one name in several are the same where they share a target folder.
            let home = folder().join("board");
            let _ = fs::remove_dir_all(&home);
            let files = generate(&compiled, platform, &Runtime::of_this_build(), purpose).expect("a project");
            project::write(&files, &home).expect("it can be written");
            let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
            cargo
                .args(["build", "--release", "--quiet"])
                .current_dir(&home)
                .env("CARGO_TARGET_DIR", folder().join("boards"));
            let output = cargo.output().expect("cargo starts");
            if !output.status.success() {
                failures.push(format!("{} {purpose:?}:\n{}", platform.name, String::from_utf8_lossy(&output.stderr)));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn boards_are_read() {
    let boards = Board::all();
    assert!(boards.len() >= 10);
    assert!(boards.iter().all(|board| !board.source.is_empty()));
    let nrf = Board::of("nrf52840").expect("the board");
    assert!((nrf.joules(64_000_000) - 3.3e-3 * 3.0).abs() < 1e-9);
    let wrong = |text: &str| Board::read(text).expect_err("it is wrong").to_string();
    assert!(wrong("[a]\ncore = \"z80\"").contains("cortex-m0plus"), "{}", wrong("[a]\ncore = \"z80\""));
    assert!(wrong("[a]\nmegaherz = 1").contains("`megaherz`"));
    assert!(wrong("a = 1").contains("`[name]`"));
    assert!(wrong("[a").contains("TOML"));
    let negative = "[a]\ncore = \"cortex-m4\"\nmegahertz = -1\nmilliamperes = 1\nvolts = 3\nram_kib = 1\nflash_kib = 0";
    assert!(wrong(negative).contains("positive"));
}

/// The files stay as they are where they are what they should be, so that cargo has nothing to do.
#[test]
fn unchanged_files_are_not_written() {
    let home = folder().join("unchanged");
    let files = [project::File { path: "a/b.txt".into(), text: "x".into() }];
    project::write(&files, &home).expect("it can be written");
    let path = home.join("a/b.txt");
    let before = fs::metadata(&path).and_then(|metadata| metadata.modified()).expect("a date");
    project::write(&files, &home).expect("it can be written");
    assert_eq!(fs::metadata(&path).and_then(|metadata| metadata.modified()).expect("a date"), before);
}
