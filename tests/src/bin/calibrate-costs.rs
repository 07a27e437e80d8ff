//! Measures what kernels cost on emulated chips, over layers of all sizes, and writes the coefficients of the cost model:
//! `mcuopt-codegen/src/cost/coefficients.txt`.
//!
//! `calibrate-costs [CORE…] [cached|known] [show=KERNEL]`: for these cores, the lines of others stay; with `cached`, measurements
//! of earlier calls are taken where there are some, to try what other terms would do, and with `known` networks without
//! are left out; `show` prints a kernel's layers.
//!
//! Each kernel's cycles are a sum over its terms (`Work`), count times coefficient; the coefficients are those that are not
//! negative and make the sum of squared relative errors the smallest.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{env, fs};

use mcuopt_codegen::call::Constant;
use mcuopt_codegen::cost::{Core, Work};
use mcuopt_codegen::graph::Node;
use mcuopt_codegen::ops::Layer;
use mcuopt_codegen::profile::{self, Options};
use mcuopt_codegen::{Compiled, Optimize, Precision};
use mcuopt_tests::elf::{self, Sizes};
use mcuopt_tests::folder;
use mcuopt_tests::report::in_parallel;
use mcuopt_tests::shared::Variant;
use mcuopt_tests::synthetic::Synthetic;

/// The cores whose kernels differ; the others run those of the Cortex-M4.
const CORES: [Core; 4] = [Core::CortexM4, Core::CortexM3, Core::CortexM0Plus, Core::Riscv32imc];

const FILE: &str = "mcuopt-codegen/src/cost/coefficients.txt";

const HEAD: &str = "\
# Made by `cargo run -p mcuopt-tests --bin calibrate-costs`; do not edit.
# core, kernel, bytes of code for all layers together and for each: cycles of each of its terms. A core's cycle model is
# that of profile/mcount.c.
";

fn main() {
    let words: Vec<String> = env::args().skip(1).collect();
    let mode = words.iter().find_map(|word| match word.as_str() {
        "cached" => Some(Mode::Cached),
        "known" => Some(Mode::Known),
        _ => None,
    });
    let shown = words.iter().find_map(|word| word.strip_prefix("show="));
    let named = |core: &Core| words.iter().any(|word| word == core.name());
    let mut cores: Vec<Core> = CORES.into_iter().filter(named).collect();
    assert_eq!(
        cores.len() + usize::from(mode.is_some()) + usize::from(shown.is_some()),
        words.len(),
        "{words:?}: not all are cores or `cached`"
    );
    if cores.is_empty() {
        cores = CORES.to_vec();
    }
    let path = folder::repository().join(FILE);
    let text = fs::read_to_string(&path).unwrap_or_default();
    let is_kept = |line: &&str| {
        let core = line.split(' ').next().unwrap_or_default();
        CORES.iter().any(|other| other.name() == core && !cores.contains(other))
    };
    let mut lines: Vec<String> = text.lines().filter(is_kept).map(String::from).collect();
    for core in cores {
        lines.extend(calibrate(core, mode, shown));
    }
    lines.sort();
    fs::write(&path, format!("{HEAD}{}\n", lines.join("\n"))).expect("the repository is writable");
}

/// What is taken of earlier measurements.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// What there is.
    Cached,
    /// Nothing else.
    Known,
}

/// What was measured of one layer.
#[derive(Clone, Debug)]
struct Sample {
    work: Work,
    cycles: f64,
    /// Bytes of code between the markers of this layer, where these are one for each.
    own: Option<f64>,
    /// The call's parameters.
    params: String,
}

/// What was measured of a network.
struct Network {
    name: String,
    samples: Vec<Sample>,
    /// For each of its outputs, the layer that makes it.
    makers: Vec<usize>,
    /// Bytes of the program's flash without weights.
    code: f64,
    /// The program's functions but the one with the layers: paths and bytes.
    functions: Vec<(String, f64)>,
}

fn calibrate(core: Core, mode: Option<Mode>, shown: Option<&str>) -> Vec<String> {
    let mut jobs = Vec::new();
    for (precision, optimize) in ways(core) {
        let networks =
            Synthetic::grid().into_iter().filter(|network| is_measured(core, precision, optimize, &network.name));
        jobs.extend(networks.map(|network| (network, precision, optimize)));
    }
    let networks =
        in_parallel(jobs, |(network, precision, optimize)| measure(core, &network, precision, optimize, mode));
    let networks: Vec<Network> = networks.into_iter().flatten().collect();
    let mut kernels: BTreeMap<String, Vec<Sample>> = BTreeMap::new();
    for sample in networks.iter().flat_map(|network| &network.samples) {
        kernels.entry(sample.work.kernel.clone()).or_default().push(sample.clone());
    }
    let code = code(&networks);
    // For kernels that were not measured: what those cost that are known by their elements.
    let others: Vec<Sample> = kernels.values().flatten().filter(|sample| is_plain(&sample.work)).cloned().collect();
    kernels.insert("*".into(), others);
    let line = |(kernel, samples): (&String, &Vec<Sample>)| {
        let (terms, coefficients) = fit(samples);
        let errors: Vec<f64> =
            samples.iter().map(|sample| predict(&terms, &coefficients, sample) / sample.cycles - 1.0).collect();
        let worst = errors.iter().fold(0f64, |worst, error| worst.max(error.abs()));
        let mean = errors.iter().map(|error| error.abs()).sum::<f64>() / errors.len() as f64;
        println!(
            "{core} {kernel:28} {:3} layers, error {:5.1} % on average, {:5.1} % at most",
            errors.len(),
            100.0 * mean,
            100.0 * worst
        );
        for (sample, error) in samples.iter().zip(&errors).filter(|_| shown == Some(kernel.as_str())) {
            println!("    {:9} {:+6.1} % {:?} {}", sample.cycles, 100.0 * error, sample.work.terms, sample.params);
        }
        let terms = terms.iter().zip(&coefficients).filter(|(_, cycles)| **cycles > 0.0);
        let terms: Vec<String> = terms.map(|(term, cycles)| format!("{term} {}", rounded(*cycles))).collect();
        let [once, each] = code.get(kernel).copied().unwrap_or_default();
        format!("{core} {kernel} {once:.0} {each:.0}: {}", terms.join(", "))
    };
    let program = code.get(PROGRAM).copied().unwrap_or_default()[0];
    kernels.iter().map(line).chain([format!("{core} {PROGRAM} {program:.0} 0: ")]).collect()
}

/// Bytes of RAM that let kernels be chosen that are faster at the price of memory.
const PLENTY: usize = 3_000_000;

/// A layer of so few cycles counts half.
const SMALL: f64 = 200.0;

/// What a program has besides layers.
const PROGRAM: &str = "program";

/// Bytes of code of each kernel, for all layers that have it and for each: first from networks whose kernels are all
/// shared, then those of the others from what is left of theirs.
fn code(networks: &[Network]) -> BTreeMap<String, [f64; 2]> {
    let mut code = BTreeMap::new();
    let (inlined, shared): (Vec<&Network>, Vec<&Network>) =
        networks.iter().partition(|network| network.samples.iter().any(|sample| sample.inlined));
    for networks in [shared, inlined] {
        let fitted = fit_code(&networks, &code);
        code.extend(fitted);
    }
    code
}

/// Those that are not known yet.
fn fit_code(networks: &[&Network], known: &BTreeMap<String, [f64; 2]>) -> BTreeMap<String, [f64; 2]> {
    let samples = || networks.iter().flat_map(|network| &network.samples);
    let mut names: Vec<(String, bool)> = samples().map(|sample| (sample.work.kernel.clone(), sample.inlined)).collect();
    names.push((PROGRAM.into(), false));
    names.sort();
    names.dedup();
    names.retain(|(name, _)| !known.contains_key(name));
    // Shared code, and the code of each layer.
    let unknowns: Vec<(&str, bool, bool)> =
        names.iter().flat_map(|(name, inlined)| [false, true].map(|each| (name.as_str(), *inlined, each))).collect();
    // Too few networks to tell all kernels apart: without need none is far from these bytes.
    let expected = |&(name, inlined, each): &(&str, bool, bool)| match (inlined, each) {
        // A table of interrupts, memcpy, and what starts and ends the program.
        _ if name == PROGRAM => 2200.0,
        (true, true) => 300.0,
        (true, false) => 50.0,
        (false, true) => 200.0,
        (false, false) => 2000.0,
    };
    let layers = |network: &Network, name: &str| match name {
        PROGRAM => 1,
        name => network.samples.iter().filter(|sample| sample.work.kernel == name).count(),
    };
    let count = |network: &Network, name: &str, each: bool| {
        let layers = layers(network, name);
        (if each { layers } else { layers.min(1) }) as f64
    };
    let rest = |network: &Network| {
        let known = known
            .iter()
            .map(|(name, [once, each])| once * count(network, name, false) + each * count(network, name, true));
        (network.code - known.sum::<f64>()).max(200.0)
    };
    let row = |network: &&Network| -> Vec<f64> {
        unknowns.iter().map(|(name, _, each)| count(network, name, *each) / rest(network)).collect()
    };
    let mut rows: Vec<Vec<f64>> = networks.iter().map(row).collect();
    let mut weights = vec![1.0; rows.len()];
    for (index, unknown) in unknowns.iter().enumerate() {
        let mut row = vec![0.0; unknowns.len()];
        row[index] = 1.0 / expected(unknown);
        rows.push(row);
        weights.push(if unknown.0 == PROGRAM { 5.0 } else { 0.05 });
    }
    let mut code: BTreeMap<String, [f64; 2]> = BTreeMap::new();
    for ((name, _, each), bytes) in unknowns.iter().zip(solve(&rows, &weights)) {
        code.entry((*name).to_string()).or_default()[usize::from(*each)] = bytes;
    }
    // A program is there once.
    code.entry(PROGRAM.into()).and_modify(|bytes| bytes[1] = 0.0);
    code
}

/// How the networks are compiled for a core.
fn ways(core: Core) -> Vec<(Precision, Optimize)> {
    let mut ways = vec![(Precision::Int8, Optimize::Speed), (Precision::Float32, Optimize::Speed)];
    if core == Core::CortexM4 {
        // What shared copies of the kernels cost elsewhere differs little from what inlined ones do.
        ways.extend([(Precision::Int8, Optimize::Size), (Precision::Float32, Optimize::Size)]);
        ways.extend(
            [Precision::Int16x8, Precision::Int4, Precision::Weights8].map(|precision| (precision, Optimize::Speed)),
        );
    }
    ways
}

/// Whether a network says something about the kernels of a precision that others do not say.
fn is_measured(core: Core, precision: Precision, optimize: Optimize, network: &str) -> bool {
    let has = |parts: &[&str]| parts.iter().any(|part| network.contains(part));
    match (precision, optimize) {
        (Precision::Int4 | Precision::Weights8, _) => has(&["convolutions-0", "images", "depthwise-0", "grid-dense"]),
        (Precision::Int16x8, _) => {
            has(&["convolutions-0", "images", "depthwise-0", "grid-dense", "pools", "elementwise"])
        }
        // Shared copies of kernels do not depend on the shape.
        (_, Optimize::Size) => !has(&["images", "winograd"]),
        (Precision::Float32, _) if core != Core::CortexM4 => {
            has(&["convolutions-0", "depthwise-0", "dense", "pools", "elementwise", "functions"])
        }
        (Precision::Float32, _) => !has(&["winograd"]),
        _ => true,
    }
}

/// Whether a layer is known by its elements alone.
fn is_plain(work: &Work) -> bool {
    work.terms.iter().any(|(term, _)| *term == "outputs")
}

/// Four digits.
fn rounded(number: f64) -> String {
    let digits = (3.0 - number.abs().log10().floor()).clamp(0.0, 6.0) as usize;
    format!("{number:.digits$}")
}

fn measure(
    core: Core,
    network: &Synthetic,
    precision: Precision,
    optimize: Optimize,
    mode: Option<Mode>,
) -> Option<Network> {
    let shown = format!("{precision:?}").to_lowercase();
    let name = format!("{}-{shown}-{optimize:?}", network.name);
    let file = folder::output(&format!("costs/{core}")).join(format!("{name}.measured"));
    let known = fs::read_to_string(&file).ok().filter(|_| mode.is_some());
    if known.is_none() && mode == Some(Mode::Known) {
        return None;
    }
    let config = network.config(Variant::Int8).precision(precision).optimize(optimize).max_ram(PLENTY);
    let compiled = config.compile().unwrap_or_else(|errors| panic!("{name} does not compile:\n{errors}"));
    let text = known.unwrap_or_else(|| {
        let text = count(core, &name, &compiled);
        fs::write(&file, &text).expect("the target folder is writable");
        text
    });
    let (mut layers, mut functions, mut code) = (Vec::new(), Vec::new(), 0.0);
    for line in text.lines() {
        let words: Vec<&str> = line.splitn(3, ' ').collect();
        let number = |index: usize| words[index].parse::<f64>();
        match words[0] {
            "code" => code = number(1).expect("a number"),
            "layer" => layers.push((number(1).expect("a number"), number(2).ok())),
            _ => functions.push((words[2].to_string(), number(1).expect("a number"))),
        }
    }
    let graph = &compiled.lowered;
    assert_eq!(graph.nodes.len(), layers.len(), "{name}: a count for each layer");
    let sample = |(node, (cycles, own)): (&Node<Layer>, (f64, Option<f64>))| Sample {
        work: Work::of(graph, node, core.arch()),
        cycles,
        own,
        params: params(&compiled, node),
    };
    let maker = |output| graph.nodes.iter().position(|node| node.outputs.contains(output)).expect("a layer makes it");
    let makers = graph.outputs.iter().map(maker).collect();
    let samples = graph.nodes.iter().zip(layers).map(sample).collect();
    Some(Network { name, samples, makers, code, functions })
}

fn params(compiled: &Compiled, node: &Node<Layer>) -> String {
    let call = node.op.kernel.call(compiled.lowered.value(node.outputs[0]).ty.dtype);
    let value = |constant: &Constant| match constant {
        Constant::Params { value, .. } => Some(value.to_string()),
        _ => None,
    };
    call.constants.iter().filter_map(value).collect::<Vec<_>>().join(" ")
}

/// Cycles and bytes of each layer, the bytes of the program without weights, and those of its functions, a line each.
fn count(core: Core, name: &str, compiled: &Compiled) -> String {
    // Two programs may be built at a time in folders of their own.
    static WORKERS: AtomicUsize = AtomicUsize::new(0);
    thread_local! { static WORKER: usize = WORKERS.fetch_add(1, Ordering::Relaxed) % 2 }
    let folder = folder::output(&format!("costs/builds-{}", WORKER.with(|worker| *worker)));
    // Programs get their names from the model's file: the same for all, so that mcuopt-rt is built once.
    let mut compiled = compiled.clone();
    compiled.options.model = "net".into();
    let options = Options { folder: Some(folder), ..Options::emulated(core) };
    let profile =
        profile::profile(&compiled, &options, &mut |_| {}).unwrap_or_else(|error| panic!("{name} on {core}: {error}"));
    let code = Sizes::of(&profile.program).flash.saturating_sub(compiled.weight_bytes(core.arch()) as u64);
    let (layers, others): (Vec<_>, Vec<_>) =
        elf::functions(&profile.program).into_iter().partition(|function| !function.marks.is_empty());
    // Markers that were copied, or data that looks like one, say nothing.
    let marks = match &layers[..] {
        [function] if function.marks.len() == profile.layers.len() + 1 => &function.marks[..],
        _ => &[],
    };
    let own = |index: usize| marks.get(index + 1).map_or("?".into(), |end| (end - marks[index]).to_string());
    let mut text = format!("code {code}\n");
    for (index, layer) in profile.layers.iter().enumerate() {
        text += &format!("layer {} {}\n", layer.cycles, own(index));
    }
    for function in others {
        text += &format!("function {} {}\n", function.bytes, function.symbol);
    }
    text
}

fn predict(terms: &[&'static str], coefficients: &[f64], sample: &Sample) -> f64 {
    let of = |(term, count): &(&'static str, f64)| {
        terms.iter().position(|other| other == term).map_or(0.0, |index| coefficients[index] * count)
    };
    sample.work.terms.iter().map(of).sum()
}

/// Terms and their coefficients.
fn fit(samples: &[Sample]) -> (Vec<&'static str>, Vec<f64>) {
    let mut terms: Vec<&'static str> =
        samples.iter().flat_map(|sample| sample.work.terms.iter().map(|(term, _)| *term)).collect();
    terms.sort_unstable();
    terms.dedup();
    let row = |sample: &Sample| -> Vec<f64> {
        let count =
            |term: &&str| sample.work.terms.iter().find(|(other, _)| other == term).map_or(0.0, |(_, count)| *count);
        terms.iter().map(|term| count(term) / sample.cycles).collect()
    };
    let rows: Vec<Vec<f64>> = samples.iter().map(row).collect();
    let weights: Vec<f64> = samples.iter().map(|sample| sample.cycles / (sample.cycles + SMALL)).collect();
    let x = solve(&rows, &weights);
    (terms, x)
}

/// The numbers, none negative, whose sums by each row come closest to 1, errors multiplied by the rows' weights: coordinate
/// descent.
fn solve(rows: &[Vec<f64>], weights: &[f64]) -> Vec<f64> {
    let n = rows.first().map_or(0, Vec::len);
    let squares: Vec<f64> = weights.iter().map(|weight| weight * weight).collect();
    let product =
        |i: usize, j: usize| rows.iter().zip(&squares).map(|(row, square)| row[i] * row[j] * square).sum::<f64>();
    let normal: Vec<Vec<f64>> = (0..n).map(|i| (0..n).map(|j| product(i, j)).collect()).collect();
    let target: Vec<f64> =
        (0..n).map(|i| rows.iter().zip(&squares).map(|(row, square)| row[i] * square).sum()).collect();
    let mut x = vec![0f64; n];
    for _ in 0..5_000 {
        let mut moved = 0f64;
        for i in (0..n).filter(|i| normal[*i][*i] > 0.0) {
            let rest: f64 = (0..n).filter(|j| *j != i).map(|j| normal[i][j] * x[j]).sum();
            let new = ((target[i] - rest) / normal[i][i]).max(0.0);
            moved = moved.max((new - x[i]).abs() / (new.abs() + 1e-3));
            x[i] = new;
        }
        if moved < 1e-6 {
            break;
        }
    }
    x
}
