use std::ffi::OsStr;
use std::fs;

use mcuopt_codegen::{Config, Precision};

use crate::common::{Result, scratch};
use crate::ensure;
use crate::program::{json, kws, mcuopt};

#[test]
fn the_source_is_the_macros() -> Result {
    let expected = Config::new(kws()).precision(Precision::Float32).name("Spotter").compile()?.source()?;
    let path = scratch("built").with_extension("rs");
    let run = |output: &dyn AsRef<OsStr>| {
        mcuopt(&[&"build", &kws(), &"--precision", &"float32", &"--name", &"Spotter", &"-o", output])
    };
    let written = run(&path)?;
    ensure!(written.code == Some(0) && written.out.contains("the type `Spotter`"), "{written:?}");
    ensure!(fs::read_to_string(&path)? == expected, "the file has other source");
    let printed = run(&"-")?;
    ensure!(printed.code == Some(0) && printed.out == expected, "standard output has other source");
    Ok(())
}

#[test]
fn sizes_are_those_of_the_constants() -> Result {
    let path = scratch("sizes").with_extension("rs");
    let found = json(0, &[&"build", &kws(), &"-o", &path, &"--abridged"])?;
    let compiled = Config::new(kws()).compile()?;
    ensure!(found["ram_bytes"] == compiled.plan.arena_bytes, "{found}");
    ensure!(found["weight_bytes"]["dsp"] == compiled.weight_bytes(mcuopt_rt::v0::Arch::Dsp), "{found}");
    ensure!(fs::read_to_string(path)?.contains("FNV-1a"), "weights are shown in full");
    Ok(())
}
