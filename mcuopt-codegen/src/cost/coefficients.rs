//! What a kernel's work costs on a core: measured, see `coefficients.txt`.

use std::collections::HashMap;
use std::sync::OnceLock;

use super::core::Core;
use super::work::Work;

/// Lines of `core kernel bytes of code: term cycles, …`, made by `cargo run -p mcuopt-tests --bin calibrate-costs`.
const MEASURED: &str = include_str!("coefficients.txt");

/// What stands for a kernel that was not measured.
const OTHER: &str = "*";

/// A kernel on a core.
#[derive(Clone, Debug, Default, PartialEq)]
struct Kernel {
    /// Bytes of machine code.
    code: f64,
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
        let (head, terms) = line.split_once(':').filter(|_| !line.starts_with('#'))?;
        // A kernel's name may have colons itself: the one that ends the head has a blank behind it.
        let (head, terms) = line.split_once(": ").unwrap_or((head, terms));
        let mut words = head.split(' ');
        let (core, kernel, code) = (words.next()?, words.next()?, words.next()?.parse().ok()?);
        let term = |term: &'static str| {
            let (name, cycles) = term.trim().rsplit_once(' ')?;
            Some((name, cycles.parse().ok()?))
        };
        let cycles = terms.split(',').map(term).collect::<Option<_>>()?;
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
    let names = [name, own, family];
    let candidates = names.into_iter().flat_map(|name| cores.map(|core| (core, name)));
    candidates.chain([(measured(core), OTHER)]).find_map(|(core, name)| table.get(&format!("{core} {name}")))
}

/// The cycles of a layer's work.
pub(super) fn cycles(work: &Work, core: Core) -> u64 {
    let Some(kernel) = kernel(&work.kernel, core) else { return 0 };
    let of = |(term, count): &(&'static str, f64)| kernel.cycles.get(term).map_or(0.0, |cycles| cycles * count);
    let cycles: f64 = work.terms.iter().map(of).sum();
    (cycles * core.cycle_model().1).round() as u64
}

/// Bytes of a kernel's machine code.
pub(super) fn code_bytes(work: &Work, core: Core) -> usize {
    kernel(&work.kernel, core).map_or(0, |kernel| kernel.code.round() as usize)
}
