//! The cost model against counted cycles: on the reference models, and on networks drawn at random, neither of which its
//! coefficients were made from.

use std::env;

use mcuopt_codegen::cost::Core;
use mcuopt_codegen::profile::{self, Options, Profile};
use mcuopt_codegen::{Compiled, Optimize};
use mcuopt_tests::board::Board;
use mcuopt_tests::elf::Sizes;
use mcuopt_tests::folder;
use mcuopt_tests::report::in_parallel;
use mcuopt_tests::shared::{Model, Variant};
use mcuopt_tests::skip;
use mcuopt_tests::synthetic::Synthetic;

/// How far an estimate of a whole network may be off.
const TOLERANCE: f64 = 0.15;

/// How far an estimate of a program's machine code may be off, in int8: in float32 loops may be unrolled into ten times as much
/// code, by rules that nobody but LLVM knows.
const CODE_TOLERANCE: f64 = 0.25;

/// A network drawn at random of fewer cycles consists of calls more than of loops.
const SMALL: u64 = 100_000;

/// How far the estimate of such a network may be off. Of the smallest ones a single transpose is a tenth.
const SMALL_TOLERANCE: f64 = 0.65;

/// Cycles below which a network is not looked at.
const TINY: u64 = 20_000;

/// How far the estimate of a float32 network may be off that calibration has none like.
const FLOAT_TOLERANCE: f64 = 0.45;

fn is_absent() -> bool {
    let absent = !Board::CortexM4.is_present();
    if absent {
        skip::note("costs", "QEMU is not installed");
    }
    absent
}

fn profiled(name: &str, compiled: &Compiled, core: Core) -> Profile {
    let mut compiled = compiled.clone();
    // Programs get their names from the model's file.
    compiled.options.model = name.to_lowercase().into();
    let options = Options { folder: Some(folder::output("costs")), ..Options::emulated(core) };
    profile::profile(&compiled, &options, &mut |_| {}).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Names of the networks that are off, with what they are off by.
fn misses(profiles: &[(String, Profile)], tolerance: f64) -> Vec<String> {
    let far = profiles.iter().filter(|(_, profile)| profile.error().abs() > tolerance);
    let line = |(name, profile): &(String, Profile)| {
        let layers = profile.layers.iter().filter(|layer| layer.error().abs() > tolerance);
        let layers: Vec<String> = layers
            .map(|layer| format!("\n    {:+5.0} % of {:9}: {}", 100.0 * layer.error(), layer.cycles, layer.cost.kernel))
            .collect();
        format!("{name}: {:+.1} %{}", 100.0 * profile.error(), layers.join(""))
    };
    far.map(line).collect()
}

/// Bytes of a program without weights, and how far their estimate is off.
fn code(profile: &Profile) -> (u64, f64) {
    let code = Sizes::of(&profile.program).flash.saturating_sub(profile.estimate.weight_bytes as u64);
    (code, profile.estimate.code_bytes as f64 / code as f64 - 1.0)
}

fn report(profiles: &[(String, Profile)]) {
    for (name, profile) in profiles {
        let (bytes, error) = code(profile);
        println!(
            "{name:28} {:10} cycles, estimate {:+5.1} %; {bytes:6} bytes of code, estimate {:+5.1} %",
            profile.cycles,
            100.0 * profile.error(),
            100.0 * error
        );
        if env::var_os("MCUOPT_LAYERS").is_some() {
            for layer in &profile.layers {
                println!("    {:+5.0} % of {:9}: {}", 100.0 * layer.error(), layer.cycles, layer.cost.kernel);
            }
        }
    }
}

#[test]
fn reference_models_on_the_cortex_m4() {
    reference_models(Core::CortexM4, &[(Variant::Int8, Optimize::Balanced)]);
}

#[test]
#[ignore = "takes minutes"]
fn reference_models_for_speed_and_in_float32() {
    reference_models(Core::CortexM4, &[(Variant::Int8, Optimize::Speed), (Variant::Float32, Optimize::Balanced)]);
}

fn reference_models(core: Core, ways: &[(Variant, Optimize)]) {
    if is_absent() {
        return;
    }
    let found = Model::ALL.into_iter().filter_map(|model| Some((model, model.find()?)));
    let jobs = found.flat_map(|(model, files)| ways.iter().map(move |way| (model, files.clone(), way.0, way.1)));
    let profiles = in_parallel(jobs.collect(), |(model, files, variant, optimize)| {
        let name = format!("{}-{variant}-{optimize:?}", model.name());
        let compiled = files.config(variant).optimize(optimize).compile().unwrap_or_else(|errors| panic!("{errors}"));
        let profile = profiled(&name, &compiled, core);
        (name, profile)
    });
    report(&profiles);
    let int8 = profiles.iter().filter(|(name, _)| name.contains("int8"));
    let far = int8.filter(|(_, profile)| code(profile).1.abs() > CODE_TOLERANCE);
    let far =
        far.map(|(name, profile)| format!("{name}: {:+.1} % of {} bytes", 100.0 * code(profile).1, code(profile).0));
    let misses = [misses(&profiles, TOLERANCE), far.collect()].concat();
    assert!(misses.is_empty(), "{}", misses.join("\n"));
}

/// On cores whose cycle models are rules of thumb, and without assembly.
const OTHER_TOLERANCE: f64 = 0.25;

#[test]
#[ignore = "takes minutes"]
fn reference_models_on_other_cores() {
    if is_absent() {
        return;
    }
    let cores = [Core::CortexM0Plus, Core::CortexM3, Core::CortexM7, Core::CortexM33, Core::Riscv32imc];
    let models = [Model::Sine, Model::Mnist, Model::Speech, Model::Sww].into_iter();
    let jobs = models.filter_map(|model| Some((model, model.find()?)));
    let jobs = jobs.flat_map(|(model, files)| cores.map(|core| (model, files.clone(), core)));
    let profiles = in_parallel(jobs.collect(), |(model, files, core)| {
        let name = format!("{}-{core}", model.name());
        let compiled = files.config(Variant::Int8).compile().unwrap_or_else(|errors| panic!("{errors}"));
        let profile = profiled(&name, &compiled, core);
        (name, profile)
    });
    report(&profiles);
    let misses = misses(&profiles, OTHER_TOLERANCE);
    assert!(misses.is_empty(), "{}", misses.join("\n"));
}

/// Networks with details that nobody thought of when the terms were chosen.
#[test]
fn networks_drawn_at_random() {
    if is_absent() {
        return;
    }
    let drawn = (0..12).map(|seed| Synthetic::network(1000 + seed));
    let drawn =
        drawn.chain([(Synthetic::named("planes"), Variant::Float32), (Synthetic::named("planes"), Variant::Int8)]);
    let profiles = in_parallel(drawn.collect(), |(network, variant)| {
        let name = format!("{}-{variant}", network.name);
        let compiled = network.config(variant).compile().unwrap_or_else(|errors| panic!("{errors}"));
        let profile = profiled(&name, &compiled, Core::CortexM4);
        (name, profile)
    });
    let profiles: Vec<_> = profiles.into_iter().filter(|(_, profile)| profile.cycles >= TINY).collect();
    report(&profiles);
    let (float, others): (Vec<_>, Vec<_>) = profiles.into_iter().partition(|(name, _)| name.ends_with("float32"));
    let (small, large): (Vec<_>, Vec<_>) = others.into_iter().partition(|(_, profile)| profile.cycles < SMALL);
    assert!(large.len() >= 6, "too few networks of more than {SMALL} cycles");
    let misses = [misses(&large, TOLERANCE), misses(&small, SMALL_TOLERANCE), misses(&float, FLOAT_TOLERANCE)].concat();
    assert!(misses.is_empty(), "{}", misses.join("\n"));
}
