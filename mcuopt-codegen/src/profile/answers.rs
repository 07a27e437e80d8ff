//! What a network answers as firmware, in QEMU or on a board.

use std::path::{Path, PathBuf};
use std::process::{self, Command};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use std::{fs, io, thread};

use proc_macro2::Literal;

use super::emulator::plugin_api;
use super::runner::wait;
use super::{Options, Step, build, runner};
use crate::calibrate;
use crate::compiled::Compiled;
use crate::cost::Board;
use crate::error::Error;
use crate::graph::ValueId;
use crate::project::{self, File, Host, Purpose};

/// How long a set of items may take.
const LIMIT: Duration = Duration::from_secs(3600);

/// Flash of a board of which nothing is known, and what a program takes of it besides weights and items.
const FLASH: usize = 256 * 1024;
const CODE: usize = 96 * 1024;

/// How often it is looked how far the firmware has come.
const GLANCE: Duration = Duration::from_millis(100);

/// Runs a compiled network as firmware, on an emulated board or by the options' runner on a real one: builds it, gives it the
/// items one after the other, and returns its outputs.
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
    let folder = options.folder.clone().unwrap_or_else(|| calibrate::cache_folder().join("profile"));
    match &options.runner {
        Some(runner) => on_board(compiled, options, runner, items, &folder, step, done),
        None => in_emulator(compiled, options, items, &folder, step, done),
    }
}

fn in_emulator(
    compiled: &Compiled,
    options: &Options,
    items: &[u8],
    folder: &Path,
    step: &mut dyn FnMut(Step),
    done: &mut dyn FnMut(u64),
) -> Result<Vec<u8>, Error> {
    let platform = options.platform;
    if let Host::Emulator { program, .. } = platform.host {
        plugin_api(program)?;
    }
    step(Step::Build);
    let files = project::generate(compiled, platform, &options.runtime, Purpose::Answer)?;
    let program = build::build(&files, &project::package_name(compiled), platform.target, folder)?;
    step(Step::Run);
    let run = RunFolder::new(folder)?;
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

/// As many items at a time as the flash has room for are built into the firmware.
fn on_board(
    compiled: &Compiled,
    options: &Options,
    runner: &str,
    items: &[u8],
    folder: &Path,
    step: &mut dyn FnMut(Step),
    done: &mut dyn FnMut(u64),
) -> Result<Vec<u8>, Error> {
    let platform = options.platform;
    let bytes = |ids: &[ValueId]| ids.iter().map(|id| compiled.lowered.value(*id).ty.bytes()).sum::<usize>().max(1);
    let (input, output) = (bytes(&compiled.lowered.inputs), bytes(&compiled.lowered.outputs));
    let flash = Board::of(platform.name).map(|board| board.flash).filter(|flash| *flash > 0).unwrap_or(FLASH);
    let room = flash.saturating_sub(CODE + compiled.weight_bytes(platform.core.arch()));
    if room < input {
        let what = format!("the flash of {} has no room for an item beside the network", platform.title);
        return Err(Error::options(what).part("option `board`"));
    }
    let mut answers = Vec::new();
    for items in items.chunks(room / input * input) {
        step(Step::Build);
        let mut files = project::generate(compiled, platform, &options.runtime, Purpose::Recite)?;
        let literal = Literal::byte_string(items);
        let text =
            format!("//! What the network is to answer.\n\npub static ITEMS: [u8; {}] = *{literal};\n", items.len());
        files.push(File { path: "src/items.rs".into(), text });
        let program = build::build(&files, &project::package_name(compiled), platform.target, folder)?;
        step(Step::Run);
        let before = answers.len();
        let mut heard = |bytes: usize| done((before + bytes) as u64);
        answers.extend(runner::answers(runner, &program, items.len() / input * output, &mut heard)?);
    }
    Ok(answers)
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
