//! QEMU with the plugin that counts.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use std::{env, fs, process};

use super::counts::{self, Run};
use super::runner::wait;
use crate::calibrate::content_hash;
use crate::cost::Core;
use crate::error::Error;
use crate::project::{Host, Platform};

const SOURCE: &str = include_str!("mcount.c");

/// Runs programs on an emulated board and counts.
#[derive(Clone, Debug)]
pub struct Counter {
    platform: Platform,
    plugin: PathBuf,
    model: &'static str,
    factor: f64,
}

impl Counter {
    /// Looks for QEMU and builds the plugin in `folder`, unless that has been done.
    ///
    /// # Errors
    /// What is missing, with the command that installs it.
    pub fn new(platform: Platform, core: Core, folder: &Path) -> Result<Self, Error> {
        let Host::Emulator { program, .. } = platform.host else {
            return Err(Error::options(format!("QEMU does not emulate {}", platform.name)));
        };
        let api = plugin_api(program)?;
        let (model, factor) = core.cycle_model();
        Ok(Counter { platform, plugin: plugin(api, folder)?, model, factor })
    }

    /// QEMU's `-plugin` argument that lets it write its counts to `file`.
    pub fn argument(&self, file: &Path) -> String {
        // A comma in a path is doubled.
        let shown = |path: &Path| path.display().to_string().replace(',', ",,");
        format!("{},core={},out={}", shown(&self.plugin), self.model, shown(file))
    }

    /// Reads what QEMU wrote: a run for each inference.
    ///
    /// # Errors
    /// If it wrote nothing.
    pub fn read(&self, file: &Path) -> Result<Vec<Run>, Error> {
        counts::read(file, self.factor)
    }

    /// Runs a program that marks its inferences, until it exits.
    ///
    /// # Errors
    /// How it ended, and what QEMU said.
    pub fn run(&self, program: &Path) -> Result<Vec<Run>, Error> {
        let file = program.with_extension("counts");
        // QEMU would not say that it could not replace an old one.
        let _ = fs::remove_file(&file);
        let words = self.platform.runner();
        let mut command = Command::new(words[0]);
        command.arg("-plugin").arg(self.argument(&file)).args(&words[1..]).arg(program);
        wait(&mut command, Duration::from_secs(600))?;
        self.read(&file)
    }
}

/// The version of the plugin interface, by that of QEMU.
pub(super) fn plugin_api(program: &str) -> Result<u32, Error> {
    let output = Command::new(program).arg("--version").stderr(Stdio::null()).output();
    let Ok(output) = output else {
        let package = if program.ends_with("arm") { "qemu-system-arm" } else { "qemu-system-misc" };
        return Err(Error::io(format!(
            "{program} is not installed: `sudo apt-get install {package}` (Debian, Ubuntu) or `brew install qemu` (macOS)"
        )));
    };
    let text = String::from_utf8_lossy(&output.stdout);
    let version = text.split_whitespace().skip_while(|word| *word != "version").nth(1).unwrap_or_default();
    let mut numbers = version.split('.').map(|number| number.parse::<u32>().unwrap_or(0));
    Ok(match (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) {
        (0..9, _) => 1,
        (9, 0) => 2,
        _ => 3,
    })
}

/// The plugin, built.
fn plugin(api: u32, folder: &Path) -> Result<PathBuf, Error> {
    let key = content_hash(&[SOURCE.as_bytes(), &api.to_le_bytes()]);
    let library = folder.join(format!("mcount-{key}.so"));
    if library.is_file() {
        return Ok(library);
    }
    let unwritable = |error| Error::io(format!("cannot be written ({error})")).in_file(folder.display().to_string());
    fs::create_dir_all(folder).map_err(unwritable)?;
    // Whoever builds it at the same time builds the same: the last one to move it into place wins.
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let unique = format!("mcount-{}-{}", process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let [source, aside] = ["c", "so"].map(|extension| folder.join(format!("{unique}.{extension}")));
    fs::write(&source, SOURCE).map_err(unwritable)?;
    let compiler = env::var_os("CC").unwrap_or_else(|| "cc".into());
    let mut command = Command::new(&compiler);
    command.args(["-shared", "-fPIC", "-O2"]).arg(format!("-DPLUGIN_API={api}"));
    if cfg!(target_os = "macos") {
        // QEMU itself has what the plugin calls.
        command.args(["-undefined", "dynamic_lookup"]);
    }
    let output = command.arg("-o").arg(&aside).arg(&source).output();
    let _ = fs::remove_file(&source);
    let output = output.map_err(|_| {
        Error::io(format!(
            "QEMU counts by a plugin, for which there is no C compiler `{}`: `sudo apt-get install gcc` (Debian, Ubuntu) \
             or `xcode-select --install` (macOS)",
            compiler.display()
        ))
    })?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(Error::io(format!("the C compiler refuses QEMU's plugin:\n{said}")));
    }
    fs::rename(&aside, &library).map_err(unwritable)?;
    Ok(library)
}
