//! Where things are.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{env, fs, process};

/// The repository's top folder.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package lies in the repository").to_path_buf()
}

/// Cargo's target folder.
pub fn target() -> PathBuf {
    let program = env::current_exe().expect("a running program has a path");
    // Cargo marks it, wherever the user has put it, for backup programs.
    let target = program.ancestors().find(|folder| folder.join("CACHEDIR.TAG").is_file());
    target.expect("cargo built this program").to_path_buf()
}

/// A folder for what the tests make: `emulated/<name>` in cargo's target folder, created if need be.
pub fn output(name: &str) -> PathBuf {
    let folder = target().join("emulated").join(name);
    fs::create_dir_all(&folder).expect("the target folder is writable");
    folder
}

/// Makes a file by `write`, which is told where, such that tests beside this one see all of it or nothing.
pub fn publish(file: &Path, write: impl FnOnce(&Path)) {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let unique = format!("{}-{}", process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let aside = file.with_extension(unique);
    write(&aside);
    fs::rename(&aside, file).expect("the target folder is writable");
}
