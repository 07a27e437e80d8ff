//! Measures what kernels cost on emulated chips, over layers of all sizes, and writes the coefficients of the cost model:
//! `mcuopt-codegen/src/cost/coefficients.txt`.
//!
//! `calibrate-costs [CORE…] [PRECISION…] [cached|known] [show=KERNEL]`: for these cores and precisions, the lines of others stay,
//! and those of kernels that are not measured; with `cached`, measurements
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
use mcuopt_codegen::graph::{Node, ValueId};
use mcuopt_codegen::ops::Layer;
use mcuopt_codegen::profile::{self, Options};
use mcuopt_codegen::{Compiled, Optimize, Precision};
use mcuopt_tests::elf::{self, Function, Sizes};
use mcuopt_tests::folder;
use mcuopt_tests::report::in_parallel;
use mcuopt_tests::shared::Variant;
use mcuopt_tests::synthetic::Synthetic;

/// The cores whose kernels differ; the others run those of the Cortex-M4.
const CORES: [Core; 4] = [Core::CortexM4, Core::CortexM3, Core::CortexM0Plus, Core::Riscv32imc];

const FILE: &str = "mcuopt-codegen/src/cost/coefficients.txt";

const HEAD: &str = "\
# Made by `cargo run -p mcuopt-tests --bin calibrate-costs`; do not edit.
# Of kernels on cores, the cycles of each term; and of each form of their loops the bytes of machine code of each term,
# and the functions that all layers share, with their bytes. A core's cycle model is that of profile/mcount.c.
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
    let precisions: Vec<&String> = words.iter().filter(|word| PRECISIONS.contains(&word.as_str())).collect();
    assert_eq!(
        cores.len() + precisions.len() + usize::from(mode.is_some()) + usize::from(shown.is_some()),
        words.len(),
        "{words:?}: not all are cores, precisions or `cached`"
    );
    if cores.is_empty() {
        cores = CORES.to_vec();
    }
    let path = folder::repository().join(FILE);
    let text = fs::read_to_string(&path).unwrap_or_default();
    let mut lines: BTreeMap<String, String> = text.lines().filter_map(headed).collect();
    for core in cores {
        let is_wanted =
            |way: &(Precision, Optimize)| precisions.is_empty() || precisions.iter().any(|p| **p == shown_as(way.0));
        let ways = ways(core).into_iter().filter(is_wanted).collect();
        if precisions.is_empty() {
            lines.retain(|head, _| head.split(' ').next() != Some(core.name()));
        }
        lines.extend(calibrate(core, ways, mode, shown).iter().filter_map(|line| headed(line)));
    }
    let lines: Vec<String> = lines.into_values().collect();
    fs::write(&path, format!("{HEAD}{}\n", lines.join("\n"))).expect("the repository is writable");
}

/// By the options' names.
const PRECISIONS: [&str; 5] = ["int8", "float32", "int16x8", "int4", "weights8"];

fn shown_as(precision: Precision) -> String {
    format!("{precision:?}").to_lowercase()
}

/// A line, with what it is about.
fn headed(line: &str) -> Option<(String, String)> {
    let (head, _) = line.split_once(": ").filter(|_| !line.starts_with('#'))?;
    Some((head.to_string(), line.to_string()))
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

impl Sample {
    /// What its machine code is known by.
    fn key(&self) -> String {
        let forms = self.work.forms.join("+");
        if forms.is_empty() { self.work.kernel.clone() } else { format!("{}/{forms}", self.work.kernel) }
    }
}

/// What was measured of a network.
struct Network {
    /// The name of what it was compiled from, and how.
    source: String,
    precision: Precision,
    optimize: Optimize,
    samples: Vec<Sample>,
    /// For each of its outputs, the layer that makes it.
    makers: Vec<usize>,
    /// Bytes of the program's flash without weights.
    code: f64,
    /// The program's functions but the one with the layers: paths and bytes.
    functions: Vec<(String, f64)>,
}

fn calibrate(core: Core, ways: Vec<(Precision, Optimize)>, mode: Option<Mode>, shown: Option<&str>) -> Vec<String> {
    let mut jobs = Vec::new();
    for (precision, optimize) in ways {
        let networks =
            Synthetic::grid().into_iter().filter(|network| is_measured(core, precision, optimize, &network.name));
        jobs.extend(networks.map(|network| (network, precision, optimize)));
    }
    let measure = |jobs: Vec<(Synthetic, Precision, Optimize)>| -> Vec<Network> {
        let work = |(network, precision, optimize)| measure(core, &network, precision, optimize, mode);
        in_parallel(jobs, work).into_iter().flatten().collect()
    };
    let sources: BTreeMap<String, Synthetic> =
        jobs.iter().map(|(network, ..)| (network.name.clone(), network.clone())).collect();
    let networks = measure(jobs);
    // Networks of one kernel, to tell its functions from those of others.
    let mut seen = BTreeSet::new();
    let mut jobs = Vec::new();
    for network in &networks {
        let makers = |key: &str| -> Vec<usize> {
            let makes = |output: &usize| network.samples[network.makers[*output]].key() == key;
            (0..network.makers.len()).filter(makes).take(2).collect()
        };
        for key in network.makers.iter().map(|maker| network.samples[*maker].key()) {
            if !key.starts_with("crowded::") && seen.insert(key.clone()) {
                let name = format!("code-{}", key.replace(|c: char| !c.is_ascii_alphanumeric(), "-"));
                let part = sources[&network.source].part(&name, &makers(&key));
                jobs.push((part, network.precision, network.optimize));
            }
        }
    }
    let parts = measure(jobs);
    let mut kernels: BTreeMap<String, Vec<Sample>> = BTreeMap::new();
    for sample in networks.iter().flat_map(|network| &network.samples) {
        kernels.entry(sample.work.kernel.clone()).or_default().push(sample.clone());
    }
    // For kernels that were not measured: what those cost that are known by their elements.
    let others: Vec<Sample> = kernels.values().flatten().filter(|sample| is_plain(&sample.work)).cloned().collect();
    kernels.insert("*".into(), others);
    let own: BTreeMap<&String, Fit> =
        kernels.iter().map(|(kernel, samples)| (kernel, fit(&bytes(samples), &Fit::new()))).collect();
    let line = |(kernel, samples): (&String, &Vec<Sample>)| {
        let numbers: Vec<Numbers> = samples.iter().map(|sample| (sample.work.terms.clone(), sample.cycles)).collect();
        let crowded: Option<Vec<Numbers>> = kernels
            .get(&format!("crowded::{kernel}"))
            .map(|samples| samples.iter().map(|sample| (sample.work.terms.clone(), sample.cycles)).collect());
        let cycles = fit(&numbers, &crowded.map(|numbers| fit(&numbers, &Fit::new())).unwrap_or_default());
        let shown = shown.is_some_and(|shown| shown == kernel || shown == "*");
        println!("{core} {kernel:28} {:3} layers: cycles {}, bytes {}", samples.len(), errors(&cycles, &numbers), {
            errors(&own[kernel], &bytes(samples))
        });
        for (sample, numbers) in samples.iter().zip(&numbers).filter(|_| shown) {
            let error = 100.0 * (predict(&cycles, &numbers.0) / numbers.1 - 1.0);
            println!(
                "    {:9} {error:+6.1} % {:?} bytes {:?} {:?} {:?} {}",
                sample.cycles, sample.own, sample.work.terms, sample.work.code, sample.work.forms, sample.params
            );
        }
        format!("{core} cycles {kernel}: {}", terms(&cycles))
    };
    let lines: Vec<String> = kernels.iter().map(line).collect();
    [lines, code(core, &networks, &parts, &own)].concat()
}

/// Bytes of RAM that let kernels be chosen that are faster at the price of memory.
const PLENTY: usize = 3_000_000;

/// A layer of so few cycles or bytes counts half.
const SMALL: f64 = 200.0;

/// What a program has besides layers.
const PROGRAM: &str = "program";

/// Counts and what they make together.
type Numbers = (Vec<(&'static str, f64)>, f64);

/// What each term takes.
type Fit = BTreeMap<&'static str, f64>;

fn bytes(samples: &[Sample]) -> Vec<Numbers> {
    samples.iter().filter_map(|sample| Some((sample.work.code.clone(), sample.own?.max(1.0)))).collect()
}

/// How far predictions are off.
fn errors(fit: &Fit, numbers: &[Numbers]) -> String {
    let errors: Vec<f64> = numbers.iter().map(|(terms, sum)| (predict(fit, terms) / sum - 1.0).abs()).collect();
    let worst = errors.iter().fold(0f64, |worst, error| worst.max(*error));
    let mean = errors.iter().sum::<f64>() / errors.len().max(1) as f64;
    format!("{:5.1} % off on average, {:5.1} % at most", 100.0 * mean, 100.0 * worst)
}

/// As the file has them.
fn terms(fit: &Fit) -> String {
    let terms = fit.iter().filter(|(_, number)| **number > 0.0);
    terms.map(|(term, number)| format!("{term} {}", rounded(*number))).collect::<Vec<_>>().join(", ")
}

/// Lines of the kernels' machine code: `networks` have many layers, `parts` those of a single kernel.
fn code(core: Core, networks: &[Network], parts: &[Network], own: &BTreeMap<&String, Fit>) -> Vec<String> {
    let sizes = variants(networks.iter().chain(parts));
    let functions = |network: &Network| -> BTreeMap<String, f64> {
        network.functions.iter().map(|(path, bytes)| variant(&sizes, path, *bytes)).collect()
    };
    let all: Vec<(&Network, BTreeMap<String, f64>)> =
        networks.iter().chain(parts).map(|network| (network, functions(network))).collect();
    let is_everywhere = |name: &String| all.iter().all(|(_, functions)| functions.contains_key(name));
    let mut lines = BTreeMap::new();
    // Of networks of a single kernel first: in others there are functions of other kernels.
    for (network, functions) in all.iter().rev() {
        for sample in &network.samples {
            let (key, path) = (sample.key(), |name: &str| name.split('#').next().unwrap_or_default().to_string());
            let is_needed = |name: &&String| {
                let mut users =
                    all.iter().filter(|(network, _)| network.samples.iter().any(|other| other.key() == key));
                users.all(|(_, functions)| functions.keys().any(|other| path(other) == path(name)))
            };
            let needed = functions.keys().filter(is_needed).filter(|name| !is_everywhere(name));
            let needed: Vec<String> = needed.map(|name| format!("{name} {:.0}", functions[name])).collect();
            let own = terms(&own[&sample.work.kernel]);
            lines.entry(key.clone()).or_insert(format!("{core} code {key}: {own}; {}", needed.join(", ")));
        }
    }
    let others = terms(&own[&"*".to_string()]);
    let rest = |(network, functions): &(&Network, BTreeMap<String, f64>)| -> Option<f64> {
        let layers: Option<Vec<f64>> = network.samples.iter().map(|sample| sample.own).collect();
        let functions: f64 = functions.iter().filter(|(name, _)| !is_everywhere(name)).map(|(_, bytes)| bytes).sum();
        Some(network.code - layers?.iter().sum::<f64>() - functions)
    };
    // Of networks with few inputs, which the program fills.
    let small = |(network, _): &&(&Network, BTreeMap<String, f64>)| network.makers.len() == 1;
    let mut rests: Vec<f64> = all.iter().filter(small).filter_map(rest).collect();
    rests.sort_by(f64::total_cmp);
    let program = rests.get(rests.len() / 2).copied().unwrap_or_default();
    println!("{core} {PROGRAM}: {program:.0} bytes, {:.0} to {:.0}", rests[0], rests[rests.len() - 1]);
    let fixed = [format!("{core} code {PROGRAM}: program {program:.0}"), format!("{core} code *: {others}")];
    lines.into_values().chain(fixed).collect()
}

/// Sizes of a function that are closer to each other are those of one, of which the compiler knew more or less.
const SAME: f64 = 0.04;

/// The sizes of functions of a name, in groups.
fn variants<'a>(networks: impl Iterator<Item = &'a Network>) -> BTreeMap<String, Vec<Vec<f64>>> {
    let mut sizes: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for (path, bytes) in networks.flat_map(|network| &network.functions) {
        sizes.entry(path.clone()).or_default().push(*bytes);
    }
    let grouped = |mut sizes: Vec<f64>| {
        sizes.sort_by(f64::total_cmp);
        sizes.chunk_by(|small, large| large - small <= SAME * large).map(<[f64]>::to_vec).collect()
    };
    sizes.into_iter().map(|(path, sizes)| (path, grouped(sizes))).collect()
}

/// The name of a function of such a size, and the size that all of these have on average.
fn variant(sizes: &BTreeMap<String, Vec<Vec<f64>>>, path: &str, bytes: f64) -> (String, f64) {
    let groups = &sizes[path];
    let index = groups.iter().position(|group| group.contains(&bytes)).expect("its size is among them");
    let mean = groups[index].iter().sum::<f64>() / groups[index].len() as f64;
    (if groups.len() == 1 { path.to_string() } else { format!("{path}#{index}") }, mean)
}

/// The path of a mangled name, without what tells copies apart.
fn path(symbol: &str) -> String {
    let Some(mut rest) = symbol.strip_prefix("_ZN") else { return symbol.into() };
    let mut names = Vec::new();
    while let Some(digits) = rest.find(|c: char| !c.is_ascii_digit()).filter(|digits| *digits > 0) {
        let length: usize = rest[..digits].parse().expect("digits");
        names.push(&rest[digits..][..length]);
        rest = &rest[digits + length..];
    }
    // The last one is a hash.
    names.pop();
    let path = names.join("::").replace([' ', ',', ';', '#'], "_");
    path.strip_prefix("mcuopt_rt::").map_or(path.clone(), String::from)
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
        (_, Optimize::Size) => !has(&["images", "winograd", "small-", "few-filters"]),
        (Precision::Float32, _) if core != Core::CortexM4 => {
            has(&["small", "few-filters", "dense", "pools", "elementwise", "functions"])
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
    let name = format!("{}-{}-{optimize:?}", network.name, shown_as(precision));
    let file = folder::output(&format!("costs/{core}")).join(format!("{name}.measured"));
    let known = fs::read_to_string(&file).ok().filter(|_| mode.is_some());
    if known.is_none() && mode == Some(Mode::Known) {
        return None;
    }
    let config = network.config(Variant::Int8).precision(precision).optimize(optimize).max_ram(PLENTY);
    let compiled = config.compile().unwrap_or_else(|errors| panic!("{name} does not compile:\n{errors}"));
    // A network may have changed since.
    let has_layers =
        |text: &String| text.lines().filter(|line| line.starts_with("layer ")).count() == compiled.lowered.nodes.len();
    let text = known.filter(has_layers).unwrap_or_else(|| {
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
            _ => functions.push((path(words[2]), number(1).expect("a number"))),
        }
    }
    let graph = &compiled.lowered;
    assert_eq!(graph.nodes.len(), layers.len(), "{name}: a count for each layer");
    let works = Work::all(graph, core.arch());
    let maker = |output: &ValueId| {
        let layer = |value| graph.nodes.iter().position(|node| node.outputs.contains(value)).expect("a layer makes it");
        let mut index = layer(output);
        // An image's channels are moved last.
        while works[index].kernel.ends_with("transpose") && graph.value(graph.nodes[index].inputs[0]).constant.is_none()
        {
            let operand = &graph.nodes[index].inputs[0];
            if graph.inputs.contains(operand) {
                break;
            }
            index = layer(operand);
        }
        index
    };
    let makers = graph.outputs.iter().map(maker).collect();
    let sample = |(index, (cycles, own)): (usize, (f64, Option<f64>))| Sample {
        work: works[index].clone(),
        cycles,
        own,
        params: params(&compiled, &graph.nodes[index]),
    };
    let samples = layers.into_iter().enumerate().map(sample).collect();
    let source = network.name.clone();
    Some(Network { source, precision, optimize, samples, makers, code, functions })
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
        elf::functions(&profile.program).into_iter().partition(|function: &Function| !function.marks.is_empty());
    // Markers that were copied, or data that looks like one, say nothing.
    let marks = match &layers[..] {
        [function] if function.marks.len() == profile.layers.len() + 1 => function.marks.clone(),
        // The network is a function of its own, without the first mark.
        [function] if function.marks.len() == profile.layers.len() => [&[0], &function.marks[..]].concat(),
        [one, other] if one.marks.len() + other.marks.len() == profile.layers.len() + 1 => {
            let network = if one.marks.len() > other.marks.len() { one } else { other };
            if network.marks.len() == profile.layers.len() { [&[0], &network.marks[..]].concat() } else { Vec::new() }
        }
        _ => Vec::new(),
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

fn predict(fit: &Fit, terms: &[(&'static str, f64)]) -> f64 {
    terms.iter().map(|(term, count)| fit.get(term).map_or(0.0, |number| number * count)).sum()
}

/// How much it counts that a term takes what it is expected to, where the measurements leave that open.
const EXPECTED: f64 = 0.5;

/// What each term takes, such that sums of relative errors are small.
fn fit(numbers: &[Numbers], expected: &Fit) -> Fit {
    let terms: BTreeSet<&'static str> =
        numbers.iter().flat_map(|(terms, _)| terms.iter().map(|(term, _)| *term)).collect();
    let row = |(counts, sum): &Numbers| -> Vec<f64> {
        let count = |term: &&str| counts.iter().find(|(other, _)| other == term).map_or(0.0, |(_, count)| *count);
        terms.iter().map(|term| count(term) / sum).collect()
    };
    let mut rows: Vec<Vec<f64>> = numbers.iter().map(row).collect();
    let mut weights: Vec<f64> = numbers.iter().map(|(_, sum)| sum / (sum + SMALL)).collect();
    for (index, term) in terms.iter().enumerate() {
        let Some(number) = expected.get(term).filter(|number| **number > 0.0) else { continue };
        rows.push((0..terms.len()).map(|other| if other == index { 1.0 / number } else { 0.0 }).collect());
        weights.push(EXPECTED);
    }
    let solution = solve(&rows, &weights);
    terms.into_iter().zip(solution).collect()
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
