//! Counting instructions and modelled cycles between markers of emulated firmware, as profiles do.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use mcuopt_codegen::cost::Core;
use mcuopt_codegen::profile::Counter;
pub use mcuopt_codegen::profile::{Count, Run};
use mcuopt_codegen::project::Platform;

use crate::folder;

/// QEMU's `-plugin` argument that lets it write its counts to `file`: cycles of a Cortex-M4 without wait states, by its
/// manual's table.
pub fn plugin(file: &str) -> String {
    counter().argument(Path::new(file))
}

/// Reads the counts: one [`Run`] for each inference.
pub fn read(file: &Path) -> Vec<Run> {
    counter().read(file).unwrap_or_else(|error| panic!("{error}"))
}

/// One of this process, as it is built when it is needed first.
fn counter() -> Counter {
    static COUNTER: Mutex<Option<Counter>> = Mutex::new(None);
    let mut counter = COUNTER.lock().unwrap_or_else(PoisonError::into_inner);
    let new = || {
        let folder: PathBuf = folder::output("plugin");
        let counter = Counter::new(Platform::emulating(Core::CortexM4), Core::CortexM4, &folder);
        counter.unwrap_or_else(|error| panic!("{error}"))
    };
    counter.get_or_insert_with(new).clone()
}
