//! What a kernel's work costs on a core: measured, see `coefficients.txt`.

use std::collections::{BTreeMap, HashMap};
use std::sync::OnceLock;

use super::core::Core;
use super::work::{CROWDED, Work};

/// What `cargo run -p mcuopt-tests --bin calibrate-costs` writes: the costs of kernels on cores, a line for the cycles of each
/// and one for the machine code of each form of its loops.
///
/// - `core cycles kernel: term cycles, …`
/// - `core code kernel/form+form: term bytes, …; function bytes, …`
const MEASURED: &str = include_str!("coefficients.txt");

/// What stands for a kernel that was not measured.
const OTHER: &str = "*";

/// What stands for a program without layers: the runtime's start and the driver.
const PROGRAM: &str = "program";

/// Names with numbers of cycles or bytes.
type Numbers = Vec<(&'static str, f64)>;

/// The machine code of a kernel in a form.
#[derive(Clone, Debug, Default, PartialEq)]
struct Code {
    forms: Vec<&'static str>,
    /// Bytes of each of its terms: what a layer has for itself.
    own: Numbers,
    /// The functions that it calls, and their bytes.
    functions: Numbers,
}

/// By core and kernel, a blank between them.
#[derive(Debug, Default)]
struct Table {
    cycles: HashMap<String, HashMap<&'static str, f64>>,
    code: HashMap<String, Vec<Code>>,
}

fn table() -> &'static Table {
    static TABLE: OnceLock<Table> = OnceLock::new();
    TABLE.get_or_init(|| parse(MEASURED))
}

fn parse(text: &'static str) -> Table {
    let mut table = Table::default();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        // A kernel's name may have colons itself: the one that ends the head has a blank behind it.
        let Some((head, rest)) = line.split_once(": ") else { continue };
        let words: Vec<&str> = head.split(' ').collect();
        match words[..] {
            [core, "cycles", kernel] => {
                table.cycles.insert(format!("{core} {kernel}"), numbers(rest).into_iter().collect());
            }
            [core, "code", kernel] => {
                let (kernel, forms) = kernel.split_once('/').unwrap_or((kernel, ""));
                let (own, functions) = rest.split_once(';').unwrap_or((rest, ""));
                let forms = forms.split('+').filter(|form| !form.is_empty()).collect();
                let code = Code { forms, own: numbers(own), functions: numbers(functions) };
                table.code.entry(format!("{core} {kernel}")).or_default().push(code);
            }
            _ => {}
        }
    }
    table
}

fn numbers(text: &'static str) -> Numbers {
    let number = |term: &'static str| {
        let (name, number) = term.trim().rsplit_once(' ')?;
        Some((name, number.parse().ok()?))
    };
    text.split(',').filter_map(number).collect()
}

/// The core whose kernels were measured for a core, with the same instructions.
fn measured(core: Core) -> &'static str {
    match core {
        Core::CortexM0Plus | Core::CortexM3 | Core::Riscv32imc | Core::CortexM4 => core.name(),
        Core::CortexM7 | Core::CortexM33 | Core::CortexM55 => Core::CortexM4.name(),
    }
}

/// What is known of a kernel, or of what stands for it.
fn find<T>(known: &'static HashMap<String, T>, name: &str, core: Core) -> Option<&'static T> {
    // The copy for all layers differs little from the others, if it was not measured, as do those in functions of few and
    // of many layers; nor do functions of elements much, nor other widths.
    let own = name.strip_prefix("shared::").or_else(|| name.strip_prefix(CROWDED)).unwrap_or(name);
    let family = own.split(':').next().unwrap_or(own);
    let bytes = own.replace("_w4", "").replace("_wide", "").replace("_s16", "_s8");
    let names =
        [name, own, &format!("{CROWDED}{own}"), family, &format!("{CROWDED}{family}"), &bytes].map(String::from);
    // A core may run another one's kernel where its own is impossible.
    let cores = [measured(core), Core::CortexM3.name(), Core::CortexM4.name()];
    let named = cores.into_iter().flat_map(|core| names.iter().map(move |name| format!("{core} {name}")));
    let mut candidates = named.chain(cores.iter().map(|core| format!("{core} {OTHER}")));
    candidates.find_map(|candidate| known.get(&candidate))
}

/// The cycles of a layer's work.
pub(super) fn cycles(work: &Work, core: Core) -> u64 {
    let Some(coefficients) = find(&table().cycles, &work.kernel, core) else { return 0 };
    let of = |(term, count): &(&'static str, f64)| coefficients.get(term).map_or(0.0, |cycles| cycles * count);
    let cycles: f64 = work.terms.iter().map(of).sum();
    (cycles * core.cycle_model().1).round() as u64
}

/// The machine code of a layer's kernel, in its form or in the one that is most like it.
fn code(work: &Work, core: Core) -> Option<&'static Code> {
    let like = |code: &&Code| {
        let common = code.forms.iter().filter(|form| work.forms.contains(form)).count();
        2 * common as isize - code.forms.len() as isize
    };
    find(&table().code, &work.kernel, core)?.iter().max_by_key(like)
}

/// Bytes of machine code that a layer has for itself.
pub(super) fn own_code(work: &Work, core: Core) -> usize {
    let Some(code) = code(work, core) else { return 0 };
    let of = |(term, bytes): &(&'static str, f64)| {
        work.code.iter().find(|(other, _)| other == term).map_or(0.0, |(_, count)| bytes * count)
    };
    code.own.iter().map(of).sum::<f64>().round() as usize
}

/// Bytes of machine code that layers share, and what a program has besides them.
pub(super) fn shared_code<'a>(works: impl Iterator<Item = &'a Work>, core: Core) -> usize {
    let program = find(&table().code, PROGRAM, core).into_iter().flatten().flat_map(|code| &code.own);
    let functions = works.filter_map(|work| code(work, core)).flat_map(|code| &code.functions);
    let functions: BTreeMap<&str, f64> = functions.copied().collect();
    (program.map(|(_, bytes)| bytes).sum::<f64>() + functions.values().sum::<f64>()).round() as usize
}
