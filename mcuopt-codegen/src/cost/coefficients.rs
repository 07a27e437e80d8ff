//! What a kernel's work costs on a core: measured, see `coefficients.txt`.

use std::collections::HashMap;
use std::sync::OnceLock;

use super::core::Core;
use super::work::Work;

/// Lines of `core kernel bytes bytes: term cycles, …`, made by `cargo run -p mcuopt-tests --bin calibrate-costs`.
const MEASURED: &str = include_str!("coefficients.txt");

/// What stands for a kernel that was not measured.
const OTHER: &str = "*";

/// A kernel on a core.
#[derive(Clone, Debug, Default, PartialEq)]
struct Kernel {
    /// Bytes of machine code that all layers share, and those of each layer.
    code: [f64; 2],
    /// Cycles of each of its terms.
    cycles: HashMap<&'static str, f64>,
}

/// By core and kernel, a blank between them.
type Table = HashMap<String, Kernel>;

fn table() -> &'static Table {
    static TABLE: OnceLock<Table> = OnceLock::new();
    TABLE.get_or_init(|| parse(MEASURED))
}

fn parse(text: &'static str) -> Table {
    let line = |line: &'static str| {
        // A kernel's name may have colons itself: the one that ends the head has a blank behind it.
        let (head, terms) = line.split_once(": ").filter(|_| !line.starts_with('#'))?;
        let mut words = head.split(' ');
        let (core, kernel) = (words.next()?, words.next()?);
        let code = [words.next()?.parse().ok()?, words.next()?.parse().ok()?];
        let term = |term: &'static str| {
            let (name, cycles) = term.trim().rsplit_once(' ')?;
            Some((name, cycles.parse().ok()?))
        };
        let terms = terms.split(',').filter(|term| !term.trim().is_empty());
        let cycles = terms.map(term).collect::<Option<_>>()?;
        Some((format!("{core} {kernel}"), Kernel { code, cycles }))
    };
    text.lines().filter_map(line).collect()
}

/// The core whose kernels were measured for a core, with the same instructions.
fn measured(core: Core) -> &'static str {
    match core {
        Core::CortexM0Plus | Core::CortexM3 | Core::Riscv32imc | Core::CortexM4 => core.name(),
        Core::CortexM7 | Core::CortexM33 | Core::CortexM55 => Core::CortexM4.name(),
    }
}

/// The kernel, or what stands for it.
fn kernel(name: &str, core: Core) -> Option<&'static Kernel> {
    let table = table();
    // The copy for all layers differs little from the others, if it was not measured; nor do functions of elements much.
    let own = name.strip_prefix("shared::").unwrap_or(name);
    let family = own.split(':').next().unwrap_or(own);
    // A core may run another one's kernel where its own is impossible.
    let cores = [measured(core), Core::CortexM3.name()];
    // Nor do other widths.
    let bytes = own.replace("_w4", "").replace("_wide", "").replace("_s16", "_s8");
    let names = [name, own, family, &bytes, OTHER];
    let mut candidates = names.into_iter().flat_map(|name| cores.map(|core| (core, name)));
    candidates.find_map(|(core, name)| table.get(&format!("{core} {name}")))
}

/// The cycles of a layer's work.
pub(super) fn cycles(work: &Work, core: Core) -> u64 {
    let Some(kernel) = kernel(&work.kernel, core) else { return 0 };
    let of = |(term, count): &(&'static str, f64)| kernel.cycles.get(term).map_or(0.0, |cycles| cycles * count);
    let cycles: f64 = work.terms.iter().map(of).sum();
    (cycles * core.cycle_model().1).round() as u64
}

/// Bytes of a kernel's machine code: what all layers share that have it, and what each has for itself.
pub(super) fn code_bytes(name: &str, core: Core) -> [usize; 2] {
    kernel(name, core).map_or([0; 2], |kernel| kernel.code.map(|bytes| bytes.round() as usize))
}

/// What stands for a program without layers: the runtime's start and the driver.
pub(super) const PROGRAM: &str = "program";
