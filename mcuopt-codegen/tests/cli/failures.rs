//! What goes wrong: exit codes, and messages that help.

use std::fs;

use crate::common::{Result, scratch};
use crate::ensure;
use crate::models::{classifier, written};
use crate::program::{json, kws, mcuopt};

#[test]
fn a_wrong_command_line_ends_with_2() -> Result {
    let missing = [&["report"][..], &["frobnicate"], &[], &["report", "x.onnx", "--target", "z80"]];
    for arguments in missing {
        let arguments: Vec<&dyn AsRef<std::ffi::OsStr>> = arguments.iter().map(|word| word as _).collect();
        let run = mcuopt(&arguments)?;
        ensure!(run.code == Some(2) && !run.err.is_empty(), "{run:?}");
    }
    let run = mcuopt(&[&"report", &kws(), &"--precision", &"int3"])?;
    ensure!(run.code == Some(2) && run.err.contains("precision takes \"auto\", \"int8\""), "{run:?}");
    let run = mcuopt(&[&"inspect", &kws(), &"--bind", &"batch"])?;
    ensure!(run.code == Some(2) && run.err.contains("NAME=VALUE"), "{run:?}");
    let run = mcuopt(&[&"report", &kws(), &"--board", &"abacus"])?;
    ensure!(run.code == Some(2) && run.err.contains("there are: ") && run.err.contains("nrf52840"), "{run:?}");
    Ok(())
}

#[test]
fn a_faulty_model_ends_with_1() -> Result {
    let run = mcuopt(&[&"report", &"nowhere/model.onnx"])?;
    ensure!(run.code == Some(1) && run.err.contains("nowhere/model.onnx: cannot be read"), "{run:?}");
    let path = scratch("text");
    fs::create_dir_all(path.parent().ok_or("a folder")?)?;
    fs::write(&path, "not a model")?;
    for command in ["inspect", "report", "build"] {
        let found = json(1, &[&command, &path])?;
        let message = found["errors"][0]["message"].as_str().unwrap_or_default();
        ensure!(message.contains("not an ONNX protobuf file"), "{command}: {found}");
    }
    Ok(())
}

#[test]
fn limits_name_what_costs_most() -> Result {
    let run = mcuopt(&[&"report", &kws(), &"--max-ram", &"1000"])?;
    ensure!(run.code == Some(1) && run.err.contains("max_ram is 1000") && run.err.contains("conv_0"), "{run:?}");
    Ok(())
}

#[test]
fn calibration_data_of_another_shape() -> Result {
    let path = written("other_shape", &classifier(3, 1), 4)?;
    let run = mcuopt(&[&"report", &kws(), &"--calibration", &path.with_extension("calib.npz")])?;
    ensure!(run.code == Some(1), "{run:?}");
    ensure!(run.err.contains(".calib.npz: calibration data: the samples for `features`"), "{run:?}");
    Ok(())
}

#[test]
fn the_options_of_the_toml_file_hold() -> Result {
    let path = written("configured", &classifier(3, 1), 8)?;
    fs::write(path.with_extension("mcuopt.toml"), "precision = \"float32\"\nname = \"Written\"\n")?;
    let found = json(0, &[&"report", &path])?;
    ensure!(found["arithmetic"] == "float32" && found["type"] == "Written", "{found}");
    let found = json(0, &[&"report", &path, &"--precision", &"int8"])?;
    ensure!(found["arithmetic"] == "int8", "{found}");
    Ok(())
}

#[test]
fn help_and_version_are_no_failures() -> Result {
    let run = mcuopt(&[&"--help"])?;
    ensure!(run.code == Some(0) && run.out.contains("a threshold was missed"), "{run:?}");
    let run = mcuopt(&[&"--version"])?;
    ensure!(run.code == Some(0) && run.out.trim() == format!("mcuopt {}", env!("CARGO_PKG_VERSION")), "{run:?}");
    Ok(())
}
