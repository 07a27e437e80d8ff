//! Where `tests/firmware` is built.
//!
//! One case takes the place of another in a cargo target folder, so only one can be built there at a time; and a
//! program is linked by one processor, however many there are. Hence several such folders, each with a lock.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::{env, thread};

use crate::board::Board;
use crate::firmware::Purpose;
use crate::folder;

const PACKAGE: &str = "mcuopt-test-firmware";

/// The right to use one of the target folders.
pub(crate) struct Workshop {
    folder: PathBuf,
    /// Unlocks when it is dropped.
    _lock: File,
}

impl Workshop {
    /// Takes a free target folder, or waits for one.
    pub(crate) fn enter() -> Self {
        let count = thread::available_parallelism().map_or(1, usize::from);
        let mut candidates: Vec<(PathBuf, File)> = (0..count).map(open).collect();
        let free = candidates.iter().position(|(_, lock)| lock.try_lock().is_ok());
        let (folder, lock) = candidates.swap_remove(free.unwrap_or(0));
        if free.is_none() {
            lock.lock().expect("the target folder is on a file system with locks");
        }
        Self { folder, _lock: lock }
    }

    /// Builds the case in the folder `case` into the file `program`.
    pub(crate) fn build(&self, case: &Path, board: Option<Board>, purpose: Purpose, program: &Path) {
        let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.args(["build", "--quiet", "--locked"]).current_dir(sources().join("firmware"));
        let product = match board {
            Some(board) => {
                cargo.args(["--release", "--target", board.target()]);
                Path::new(board.target()).join("release")
            }
            None => {
                cargo.args(["--profile", "host"]);
                PathBuf::from("host")
            }
        };
        match purpose {
            Purpose::Answers => {}
            Purpose::Cost => drop(cargo.arg("--no-default-features")),
            Purpose::Laps => drop(cargo.args(["--no-default-features", "--features", "laps"])),
        }
        cargo.env("MCUOPT_CASE", case).env("CARGO_TARGET_DIR", &self.folder);
        // What is meant for the workspace's own code, such as denied warnings, is not for generated code.
        cargo.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS").env_remove("CARGO_BUILD_TARGET");
        let output = cargo.output().expect("cargo starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{} does not build:\n{said}", case.display());
        fs::copy(self.folder.join(product).join(PACKAGE), program).expect("cargo built the program");
    }
}

fn open(index: usize) -> (PathBuf, File) {
    let folder = folder::output(&format!("workshop-{index}"));
    let lock = File::create(folder.join("lock")).expect("the target folder is writable");
    (folder, lock)
}

/// Tells apart programs of different content: what is built from the same text, by the same compiler, is the same.
pub(crate) fn fingerprint(case: &str) -> String {
    static SURROUNDINGS: OnceLock<u64> = OnceLock::new();
    let surroundings = SURROUNDINGS.get_or_init(|| {
        let mut hasher = DefaultHasher::new();
        let compiler = Command::new("rustc").arg("-vV").output().expect("rustc starts");
        compiler.stdout.hash(&mut hasher);
        let firmware = sources().join("firmware");
        let parts = ["Cargo.toml", "Cargo.lock", "build.rs", "src", "board"].map(|part| firmware.join(part));
        let runtime = ["Cargo.toml", "build.rs", "src"].map(|part| folder::repository().join("mcuopt-rt").join(part));
        parts.iter().chain(&runtime).for_each(|path| hash_files(path, &mut hasher));
        hasher.finish()
    });
    let mut hasher = DefaultHasher::new();
    case.hash(&mut hasher);
    format!("{surroundings:016x}{:016x}", hasher.finish())
}

/// A file, or all files of a folder in a fixed order; nothing where there is neither.
fn hash_files(path: &Path, hasher: &mut DefaultHasher) {
    if let Ok(content) = fs::read(path) {
        path.hash(hasher);
        content.hash(hasher);
    } else if let Ok(entries) = fs::read_dir(path) {
        let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        paths.sort();
        paths.iter().for_each(|path| hash_files(path, hasher));
    }
}

fn sources() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
