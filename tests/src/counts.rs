//! Counting instructions and modelled cycles between markers of emulated firmware: `mcuopt-codegen/src/profile/mcount.c`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::folder;

/// What was executed between two markers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Instructions.
    pub instructions: u64,
    /// Cycles of a Cortex-M4 without wait states, by its manual's table.
    pub cycles: u64,
}

/// One inference.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Run {
    /// All of it.
    pub total: Count,
    /// Its segments, in firmware that marks them: one that ends with each layer, and the rest.
    pub laps: Vec<Count>,
}

/// QEMU's `-plugin` argument that lets it write its counts to `file`.
pub fn plugin(file: &str) -> String {
    static PLUGIN: OnceLock<PathBuf> = OnceLock::new();
    let library = PLUGIN.get_or_init(build);
    format!("{},core=m4,out={file}", library.display())
}

/// Reads the counts: one [`Run`] for each inference.
pub fn read(file: &Path) -> Vec<Run> {
    let text = fs::read_to_string(file).expect("QEMU wrote its counts");
    let mut runs: Vec<Run> = Vec::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let number = |index: usize| words[index].parse().expect("a count is a number");
        match words[0] {
            "run" => runs.push(Run { total: Count { instructions: number(1), cycles: number(2) }, laps: Vec::new() }),
            "lap" => {
                let run = runs.last_mut().expect("laps are of a run");
                run.laps.push(Count { instructions: number(1), cycles: number(2) });
            }
            _ => {}
        }
    }
    runs
}

fn build() -> PathBuf {
    let library = folder::output("plugin").join("mcount.so");
    let source = folder::repository().join("mcuopt-codegen/src/profile/mcount.c");
    folder::publish(&library, |library| {
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O2", &format!("-DPLUGIN_API={}", interface())]);
        compiler.arg("-o").arg(library).arg(source);
        let status = compiler.status().expect("a C compiler is installed");
        assert!(status.success(), "the C compiler refuses QEMU's plugin");
    });
    library
}

/// The version of QEMU's interface to plugins.
fn interface() -> u32 {
    let output = Command::new("qemu-system-arm").arg("--version").output().expect("QEMU is installed");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let version = text.split(' ').find(|word| word.starts_with(|c: char| c.is_ascii_digit())).unwrap_or_default();
    let numbers: Vec<u32> = version.split('.').map_while(|number| number.parse().ok()).collect();
    match numbers[..] {
        [9, 0, ..] => 2,
        [major, ..] if major >= 9 => 3,
        _ => 1,
    }
}
