//! Measures what kernels cost on emulated chips, over layers of all sizes, and writes the coefficients of the cost model:
//! `mcuopt-codegen/src/cost/coefficients.txt`.
//!
//! `calibrate-costs [CORE…] [cached]`: for these cores, the lines of others stay; with `cached`, measurements of earlier
//! calls are taken where there are some, to try what other terms would do.
//!
//! Each kernel's cycles are a sum over its terms (`Work`), count times coefficient; the coefficients are those that are not
//! negative and make the sum of squared relative errors the smallest.

use std::collections::BTreeMap;
use std::{env, fs};

use mcuopt_codegen::cost::{Core, Work};
use mcuopt_codegen::profile::{self, Options};
use mcuopt_codegen::{Compiled, Optimize};
use mcuopt_tests::folder;
use mcuopt_tests::report::in_parallel;
use mcuopt_tests::shared::Variant;
use mcuopt_tests::synthetic::Synthetic;

/// The cores whose kernels differ; the others run those of the Cortex-M4.
const CORES: [Core; 4] = [Core::CortexM4, Core::CortexM3, Core::CortexM0Plus, Core::Riscv32imc];

const FILE: &str = "mcuopt-codegen/src/cost/coefficients.txt";

const HEAD: &str = "\
# Made by `cargo run -p mcuopt-tests --bin calibrate-costs`; do not edit.
# core, kernel, bytes of code: cycles of each of its terms. A core's cycle model is that of profile/mcount.c.
";

fn main() {
    let words: Vec<String> = env::args().skip(1).collect();
    let cached = words.iter().any(|word| word == "cached");
    let named = |core: &Core| words.iter().any(|word| word == core.name());
    let mut cores: Vec<Core> = CORES.into_iter().filter(named).collect();
    assert_eq!(cores.len() + usize::from(cached), words.len(), "{words:?}: not all are cores or `cached`");
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
        lines.extend(calibrate(core, cached));
    }
    lines.sort();
    fs::write(&path, format!("{HEAD}{}\n", lines.join("\n"))).expect("the repository is writable");
}

/// What was measured of one layer.
#[derive(Clone, Debug)]
struct Sample {
    work: Work,
    cycles: f64,
}

fn calibrate(core: Core, cached: bool) -> Vec<String> {
    let variants = [Variant::Int8, Variant::Float32];
    let purposes = [Optimize::Speed, Optimize::Size];
    let mut jobs = Vec::new();
    for variant in variants {
        for optimize in purposes {
            jobs.extend(Synthetic::grid().into_iter().map(|network| (network, variant, optimize)));
        }
    }
    let samples = in_parallel(jobs, |(network, variant, optimize)| measure(core, &network, variant, optimize, cached));
    let mut kernels: BTreeMap<String, Vec<Sample>> = BTreeMap::new();
    for sample in samples.into_iter().flatten() {
        kernels.entry(sample.work.kernel.clone()).or_default().push(sample);
    }
    // For kernels that were not measured: what those cost that are known by their elements.
    let others: Vec<Sample> = kernels.values().flatten().filter(|sample| is_plain(&sample.work)).cloned().collect();
    kernels.insert("*".into(), others);
    let line = |(kernel, samples): (&String, &Vec<Sample>)| {
        let (terms, coefficients) = fit(samples);
        let errors: Vec<f64> = samples.iter().map(|sample| predict(&terms, &coefficients, sample) / sample.cycles - 1.0).collect();
        let worst = errors.iter().fold(0f64, |worst, error| worst.max(error.abs()));
        let mean = errors.iter().map(|error| error.abs()).sum::<f64>() / errors.len() as f64;
        println!("{core} {kernel:28} {:3} layers, error {:5.1} % on average, {:5.1} % at most", errors.len(), 100.0 * mean, 100.0 * worst);
        let terms = terms.iter().zip(&coefficients).filter(|(_, cycles)| **cycles > 0.0);
        let terms: Vec<String> = terms.map(|(term, cycles)| format!("{term} {}", rounded(*cycles))).collect();
        format!("{core} {kernel} 0: {}", terms.join(", "))
    };
    kernels.iter().map(line).collect()
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

fn measure(core: Core, network: &Synthetic, variant: Variant, optimize: Optimize, cached: bool) -> Vec<Sample> {
    let name = format!("{}-{variant}-{optimize:?}", network.name);
    let config = network.config(variant).optimize(optimize);
    let compiled = config.compile().unwrap_or_else(|errors| panic!("{name} does not compile:\n{errors}"));
    let file = folder::output(&format!("costs/{core}")).join(&name);
    let counts = match fs::read_to_string(&file) {
        Ok(text) if cached => text.split_whitespace().map(|count| count.parse().expect("a count")).collect(),
        _ => {
            let counts = count(core, &name, &compiled);
            let text: Vec<String> = counts.iter().map(u64::to_string).collect();
            fs::write(&file, text.join("\n")).expect("the target folder is writable");
            counts
        }
    };
    let nodes = &compiled.lowered.nodes;
    assert_eq!(nodes.len(), counts.len(), "{name}: a count for each layer");
    let sample = |(node, cycles)| Sample { work: Work::of(&compiled.lowered, node, core.arch()), cycles: cycles as f64 };
    nodes.iter().zip(counts).map(sample).collect()
}

fn count(core: Core, name: &str, compiled: &Compiled) -> Vec<u64> {
    // Programs get their names from the model's file.
    let mut compiled = compiled.clone();
    compiled.options.model = name.to_lowercase().into();
    let options = Options { folder: Some(folder::output("costs")), ..Options::emulated(core) };
    let profile = profile::profile(&compiled, &options, &mut |_| {}).unwrap_or_else(|error| panic!("{name} on {core}: {error}"));
    profile.layers.iter().map(|layer| layer.cycles).collect()
}

fn predict(terms: &[&'static str], coefficients: &[f64], sample: &Sample) -> f64 {
    let of = |(term, count): &(&'static str, f64)| {
        terms.iter().position(|other| other == term).map_or(0.0, |index| coefficients[index] * count)
    };
    sample.work.terms.iter().map(of).sum()
}

/// Coefficients that are not negative, by least squares of relative errors: coordinate descent.
fn fit(samples: &[Sample]) -> (Vec<&'static str>, Vec<f64>) {
    let mut terms: Vec<&'static str> = samples.iter().flat_map(|sample| sample.work.terms.iter().map(|(term, _)| *term)).collect();
    terms.sort_unstable();
    terms.dedup();
    let row = |sample: &Sample| -> Vec<f64> {
        let count = |term: &&str| sample.work.terms.iter().find(|(other, _)| other == term).map_or(0.0, |(_, count)| *count);
        terms.iter().map(|term| count(term) / sample.cycles).collect()
    };
    let rows: Vec<Vec<f64>> = samples.iter().map(row).collect();
    let n = terms.len();
    let product = |i: usize, j: usize| rows.iter().map(|row| row[i] * row[j]).sum::<f64>();
    let normal: Vec<Vec<f64>> = (0..n).map(|i| (0..n).map(|j| product(i, j)).collect()).collect();
    let target: Vec<f64> = (0..n).map(|i| rows.iter().map(|row| row[i]).sum()).collect();
    let mut x = vec![0f64; n];
    for _ in 0..200_000 {
        let mut moved = 0f64;
        for i in 0..n {
            if normal[i][i] == 0.0 {
                continue;
            }
            let rest: f64 = (0..n).filter(|j| *j != i).map(|j| normal[i][j] * x[j]).sum();
            let new = ((target[i] - rest) / normal[i][i]).max(0.0);
            moved = moved.max((new - x[i]).abs() / (new.abs() + 1e-3));
            x[i] = new;
        }
        if moved < 1e-9 {
            break;
        }
    }
    (terms, x)
}
