//! What a network answers as firmware, in QEMU.

use std::path::{Path, PathBuf};
use std::process::{self, Command};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use std::{fs, io, thread};

use super::emulator::plugin_api;
use super::runner::wait;
use super::{Options, Step, build};
use crate::calibrate;
use crate::compiled::Compiled;
use crate::error::Error;
use crate::project::{self, Host, Purpose};

/// How long a set of items may take.
const LIMIT: Duration = Duration::from_secs(3600);

/// How often it is looked how far the firmware has come.
const GLANCE: Duration = Duration::from_millis(100);

/// Runs a compiled network as firmware on an emulated board: builds it, gives it the items one after the other, and returns
/// its outputs.
///
/// `items` are the bytes of the inputs of each inference as they lie in memory, in order, the lowest byte of a number
/// first; so are the outputs. `done` hears how many bytes of output there are so far.
///
/// # Errors
/// What is missing, with the command that installs it; what the build or the run said, if it failed.
pub fn answers(
    compiled: &Compiled,
    options: &Options,
    items: &[u8],
    step: &mut dyn FnMut(Step),
    done: &mut dyn FnMut(u64),
) -> Result<Vec<u8>, Error> {
    let platform = options.platform;
    if let Host::Emulator { program, .. } = platform.host {
        plugin_api(program)?;
    }
    let folder = options.folder.clone().unwrap_or_else(|| calibrate::cache_folder().join("profile"));
    step(Step::Build);
    let files = project::generate(compiled, platform, &options.runtime, Purpose::Answer)?;
    let program = build::build(&files, &project::package_name(compiled), platform.target, &folder)?;
    step(Step::Run);
    let run = RunFolder::new(&folder)?;
    fs::write(run.path.join("inputs"), items).map_err(|error| run.unusable(&error))?;
    let outputs = run.path.join("outputs");
    let words = platform.runner();
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).arg(&program).current_dir(&run.path);
    thread::scope(|scope| {
        let emulator = scope.spawn(|| wait(&mut command, LIMIT));
        while !emulator.is_finished() {
            thread::sleep(GLANCE);
            done(fs::metadata(&outputs).map_or(0, |file| file.len()));
        }
        emulator.join().unwrap_or_else(|_| Err(Error::bug("the emulator's thread ended")))
    })?;
    fs::read(&outputs).map_err(|error| run.unusable(&error))
}

/// A folder for one run, which is removed behind it.
struct RunFolder {
    path: PathBuf,
}

impl RunFolder {
    fn new(folder: &Path) -> Result<Self, Error> {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("run-{}-{}", process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let folder = Self { path: folder.join(name) };
        fs::create_dir_all(&folder.path).map_err(|error| folder.unusable(&error))?;
        Ok(folder)
    }

    fn unusable(&self, error: &io::Error) -> Error {
        Error::io(format!("cannot be used ({error})")).in_file(self.path.display().to_string())
    }
}

impl Drop for RunFolder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}
