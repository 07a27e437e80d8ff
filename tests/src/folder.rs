//! Where things are.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{env, fs, process};

/// The repository's top folder.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package lies in the repository").to_path_buf()
}

/// Cargo's target folder, wherever the user has put it.
pub fn target() -> PathBuf {
    let program = env::current_exe().expect("a running program has a path");
    // Programs lie in a profile's folder or in one below it; only the profile's holds cargo's fingerprints. (The tag for
    // backup programs is no mark of the target folder: a folder that was there before cargo gets none.)
    let profile = program.ancestors().find(|folder| folder.join(".fingerprint").is_dir());
    profile.and_then(Path::parent).map_or_else(|| repository().join("target"), Path::to_path_buf)
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
