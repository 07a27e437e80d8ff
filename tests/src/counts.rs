//! Counting instructions and modelled cycles between markers of emulated firmware: `tests/qemu/mcount.c`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;

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
    format!("{},out={file}", library.display())
}

/// Reads the counts: one [`Run`] for each inference.
pub fn read(file: &Path) -> Vec<Run> {
    let text = fs::read_to_string(file).expect("QEMU wrote its counts");
    let counts: Value = serde_json::from_str(&text).expect("the counts are JSON");
    let number = |value: &Value| value.as_u64().expect("a count is a number");
    let lap = |lap: &Value| Count { instructions: number(&lap[0]), cycles: number(&lap[1]) };
    let run = |run: &Value| Run {
        total: Count { instructions: number(&run["insns"]), cycles: number(&run["cycles_m4"]) },
        laps: run["laps"].as_array().into_iter().flatten().map(lap).collect(),
    };
    counts["runs"].as_array().into_iter().flatten().map(run).collect()
}

fn build() -> PathBuf {
    let library = folder::output("plugin").join("mcount.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("qemu/mcount.c");
    folder::publish(&library, |library| {
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O2", "-o"]).arg(library).arg(source);
        let status = compiler.status().expect("a C compiler is installed");
        assert!(status.success(), "the C compiler refuses QEMU's plugin");
    });
    library
}
