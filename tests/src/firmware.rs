//! Cases as programs: `tests/firmware`, built for a chip or for the host, and run.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Command;

use crate::board::Board;
use crate::case::{Case, Inputs, to_bytes};
use crate::counts::{self, Run};
use crate::elf::Sizes;
use crate::folder;
use crate::workshop::{self, Workshop};

/// What a program is built for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Purpose {
    /// Its answers: a panic says where and why.
    #[default]
    Answers,
    /// Its size and speed: nothing is in it that an application would not have.
    Cost,
    /// As [`Cost`](Self::Cost), with a marker after each layer.
    Laps,
}

/// A program, built. While it exists, no other test can build or run the same.
#[derive(Debug)]
pub struct Firmware {
    program: PathBuf,
    folder: PathBuf,
    board: Option<Board>,
    /// Unlocks when it is dropped.
    _lock: File,
}

/// What a program said about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The outputs of all inferences.
    pub outputs: Vec<u8>,
    /// The constant `RAM_BYTES`.
    pub ram_bytes: usize,
    /// The constant `WEIGHT_BYTES`.
    pub weight_bytes: usize,
    /// The deepest stack of the first inference; 0 on the host.
    pub stack: usize,
}

impl Firmware {
    /// Builds a case for a board, or for the host where there is none.
    pub fn build(case: &Case, board: Option<Board>, purpose: Purpose) -> Self {
        let target = board.map_or("host", Board::target);
        let folder = folder::output(&format!("{}/{target}-{purpose:?}", case.name));
        let lock = File::create(folder.join("lock")).expect("the target folder is writable");
        lock.lock().expect("the target folder is on a file system with locks");
        let program = folder.join("program");
        let source = case.source();
        let key = folder.join("key");
        let fresh = workshop::fingerprint(&source);
        if fs::read_to_string(&key).is_ok_and(|old| old == fresh) && program.is_file() {
            return Self { program, folder, board, _lock: lock };
        }
        fs::write(folder.join("case.rs"), source).expect("the target folder is writable");
        Workshop::enter().build(&folder, board, purpose, &program);
        fs::write(key, fresh).expect("the target folder is writable");
        Self { program, folder, board, _lock: lock }
    }

    /// Runs it over the inputs.
    pub fn run(&self, inputs: &[Inputs]) -> Report {
        self.run_with(inputs, None)
    }

    /// Runs it over the inputs and counts what each inference executes.
    pub fn count(&self, inputs: &[Inputs]) -> (Report, Vec<Run>) {
        let report = self.run_with(inputs, Some(&counts::plugin("counts")));
        (report, counts::read(&self.folder.join("counts")))
    }

    /// What it takes of the memories.
    pub fn sizes(&self) -> Sizes {
        Sizes::of(&self.program)
    }

    fn run_with(&self, inputs: &[Inputs], plugin: Option<&str>) -> Report {
        let bytes: Vec<u8> = inputs.iter().flat_map(|inputs| to_bytes(inputs)).collect();
        fs::write(self.folder.join("inputs"), bytes).expect("the target folder is writable");
        match self.board {
            Some(board) => board.run(&self.program, &self.folder, plugin),
            None => {
                let output =
                    Command::new(&self.program).current_dir(&self.folder).output().expect("the program starts");
                let said = String::from_utf8_lossy(&output.stderr);
                assert!(output.status.success(), "{}: {}\n{said}", self.program.display(), output.status);
            }
        }
        let read = |name: &str| fs::read(self.folder.join(name)).unwrap_or_else(|error| panic!("`{name}`: {error}"));
        let report = read("report");
        let figure = |index: usize| {
            let bytes = report.get(4 * index..4 * index + 4).expect("the report has three figures");
            u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize
        };
        Report { outputs: read("outputs"), ram_bytes: figure(0), weight_bytes: figure(1), stack: figure(2) }
    }
}
