//! Estimates beside measurements, over firmware that is generated, built and run.
#![cfg(feature = "profile")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use mcuopt_codegen::cost::Core;
use mcuopt_codegen::profile::{self, Options, Profile};
use mcuopt_codegen::project::{Platform, Purpose, Runtime, generate};
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

fn is_missing(program: &str) -> bool {
    let status = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    let missing = !status.is_ok_and(|status| status.success());
    if missing {
        eprintln!("skipped: {program} is not installed");
    }
    missing
}

fn profiled(compiled: &Compiled, options: Options) -> Profile {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("profile");
    let options = Options { folder: Some(folder), ..options };
    profile::profile(compiled, &options, &mut |_| {}).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn layers_are_counted_on_the_emulated_board() {
    if is_missing("qemu-system-arm") {
        return;
    }
    let compiled = compile(&kws(Precision::Int8));
    let profile = profiled(&compiled, Options::emulated(Core::CortexM4));
    for layer in &profile.layers {
        println!("{:30} {:20} {:9} {:9} {:+.3}", layer.cost.name, layer.cost.kernel, layer.cycles, layer.cost.cycles, layer.error());
    }
    println!("{} {:+.3}", profile.cycles, profile.error());
    assert!(profile.layers.iter().all(|layer| layer.cycles > 0 && layer.instructions.is_some_and(|n| n > 0)));
    assert!(profile.layers.iter().map(|layer| layer.cycles).sum::<u64>() <= profile.cycles);
}
