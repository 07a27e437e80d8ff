//! Commands that build firmware. Where QEMU or the Rust target is missing, they say so, and tests of the rest are skipped.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::common::{Result, scratch};
use crate::ensure;
use crate::models::{Arrays, classifier, samples, two_of_each, written};
use crate::program::{command, finish, json, kws, mcuopt, skip};

const TARGET: &str = "thumbv7em-none-eabihf";

/// Whether firmware for a Cortex-M4 can be built and run here.
fn is_possible() -> bool {
    let qemu = Command::new("qemu-system-arm").arg("--version").output().is_ok_and(|output| output.status.success());
    let rustc = Command::new("rustc").args(["--print", "target-libdir", "--target", TARGET]).output();
    let target = rustc.is_ok_and(|output| Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_dir());
    qemu && target
}

#[test]
fn device_and_host_answer_with_the_same_bytes() -> Result {
    if !is_possible() {
        return skip("no qemu-system-arm, or no Rust target");
    }
    let sketch = two_of_each();
    let path = written("two", &sketch, 16)?;
    let data = path.with_file_name("items.npz");
    let mut arrays = Arrays::create(&data)?;
    for (index, name) in ["left", "right"].into_iter().enumerate() {
        let items = samples(&sketch, index, 9)?;
        let elements: Vec<f32> = items.iter().flat_map(|item| item.f32s().unwrap_or_default().to_vec()).collect();
        arrays = arrays.add(name, &[9, 6], elements)?;
    }
    arrays.finish()?;
    for (precision, output) in [("int8", "scores"), ("int16x8", "scores"), ("float32", "sum")] {
        let found = json(
            0,
            &[
                &"validate",
                &path,
                &"--data",
                &data,
                &"--target",
                &"cortex-m4",
                &"--precision",
                &precision,
                &"--output",
                &output,
            ],
        )?;
        ensure!(found["device_equals_host"] == true, "{precision}: {found}");
        let runs = found["runs"].as_array().ok_or("runs")?;
        let (device, host) = (&runs[runs.len() - 1], &runs[runs.len() - 2]);
        ensure!(device["name"] == "cortex-m4" && device["difference"] == host["difference"], "{found}");
    }
    Ok(())
}

/// A command in place of the emulator's files: what firmware on a real board does. QEMU is the board here.
#[test]
fn a_board_answers_what_is_built_into_its_firmware() -> Result {
    if !is_possible() {
        return skip("no qemu-system-arm, or no Rust target");
    }
    let sketch = two_of_each();
    let path = written("two_on_board", &sketch, 16)?;
    let data = path.with_file_name("items.npz");
    let arrays = Arrays::create(&data)?.add("left", &[5, 6], vec![0.25_f32; 30])?;
    arrays.add("right", &[5, 6], (0..30).map(|x| x as f32 / 30.0).collect())?.finish()?;
    let runner = "qemu-system-arm -machine mps2-an386 -display none -monitor none -serial none \
                  -semihosting-config enable=on,target=native -kernel";
    let board = "mps2-an386";
    let found = json(0, &[&"validate", &path, &"--data", &data, &"--board", &board, &"--runner", &runner])?;
    ensure!(found["device_equals_host"] == true && found["items"] == 5, "{found}");
    let silent = mcuopt(&[&"validate", &path, &"--data", &data, &"--board", &board, &"--runner", &"echo"])?;
    ensure!(silent.code == Some(1) && silent.err.contains("`echo` did not show"), "{silent:?}");
    Ok(())
}

#[test]
fn measured_cycles_beside_the_estimate() -> Result {
    if !is_possible() {
        return skip("no qemu-system-arm, or no Rust target");
    }
    let path = written("profiled", &classifier(4, 1), 16)?;
    let found = json(0, &[&"profile", &path])?;
    let layers = found["layers"].as_array().ok_or("layers")?;
    let sum: u64 = layers.iter().filter_map(|layer| layer["cycles"].as_u64()).sum();
    let all = found["cycles"].as_u64().ok_or("cycles")?;
    ensure!(sum > 0 && sum <= all && all - sum < all / 10, "{sum} of {all}");
    ensure!(layers.iter().all(|layer| layer["instructions"].as_u64() > Some(0)), "{found}");
    ensure!(found["target"] == "cortex-m4" && found["board"] == "mps2-an386", "{found}");
    ensure!(json(3, &[&"profile", &path, &"--max-error", &"0"])?["missed"][0].is_string(), "no threshold");
    let text = mcuopt(&[&"profile", &path])?;
    ensure!(
        text.out.contains("conv2d_s8_dsp") && text.out.lines().last().is_some_and(|line| line.contains("all")),
        "{text:?}"
    );
    Ok(())
}

#[test]
fn what_is_missing_is_named_with_the_command_that_installs_it() -> Result {
    let path = written("missing", &classifier(4, 1), 8)?;
    let nowhere = path.parent().ok_or("a folder")?;
    let run = finish(command(&[&"profile", &path]).env("PATH", nowhere))?;
    ensure!(run.code == Some(1) && run.err.contains("apt-get install qemu-system-arm"), "{run:?}");
    if Command::new("qemu-system-arm").arg("--version").output().is_err() {
        return skip("no qemu-system-arm");
    }
    // A compiler that has no libraries for any target.
    let compiler = nowhere.join("rustc");
    fs::write(&compiler, "#!/bin/sh\necho /nowhere/at/all\n")?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(&compiler, fs::Permissions::from_mode(0o755))?;
    }
    let run = finish(command(&[&"profile", &path]).env("RUSTC", &compiler))?;
    ensure!(run.code == Some(1) && run.err.contains(&format!("rustup target add {TARGET}")), "{run:?}");
    Ok(())
}

#[test]
fn a_project_to_begin_with() -> Result {
    let folder = scratch("project").with_extension("");
    let found = json(0, &[&"firmware", &kws(), &"--board", &"nrf52840", &"-o", &folder])?;
    ensure!(found["target"] == TARGET, "{found}");
    for file in found["files"].as_array().into_iter().flatten().filter_map(|file| file.as_str()) {
        ensure!(folder.join(file).is_file(), "{file} is missing");
    }
    let main = folder.join("src/main.rs");
    ensure!(fs::read_to_string(&main)?.contains("Kws"), "the program does not run the network");
    // The same again changes nothing; what the user wrote stays, unless that is not wanted any more.
    json(0, &[&"firmware", &kws(), &"--board", &"nrf52840", &"-o", &folder])?;
    fs::write(&main, "// mine")?;
    let run = mcuopt(&[&"firmware", &kws(), &"--board", &"nrf52840", &"-o", &folder])?;
    ensure!(
        run.code == Some(2) && run.err.contains("src/main.rs") && fs::read_to_string(&main)? == "// mine",
        "{run:?}"
    );
    json(0, &[&"firmware", &kws(), &"--board", &"nrf52840", &"-o", &folder, &"--force"])?;
    ensure!(fs::read_to_string(&main)?.contains("Kws"), "--force wrote nothing");
    Ok(())
}
