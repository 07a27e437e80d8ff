//! Measures what the compiled reference models cost on emulated chips and writes BENCHMARKS.md.
//!
//! `bench [MODEL…] [speed] [balanced] [size] [int16x8] [int4] [float32] [cores]`: measures only these and prints what is known then;
//! the file stays as it is. Without a variant it is all of them, and other cores than the Cortex-M4 only on request.

mod measure;
mod sections;

use std::env;

use mcuopt_tests::board::Board;
use mcuopt_tests::report;
use mcuopt_tests::shared::Model;

use measure::{Costs, Variant};

fn main() {
    assert!(Board::CortexM4.is_present(), "QEMU is not installed: tests/run installs it");
    let words: Vec<String> = env::args().skip(1).collect();
    let (models, variants, cores) = wanted(&words);
    let tables = sections::tables(&Costs::measure(&models, &variants, cores));
    match words.is_empty() {
        true => println!("{}", report::write("BENCHMARKS.md", &sections::report(&tables)).display()),
        false => print!("{tables}"),
    }
}

/// The models and variants that the arguments name, and whether other cores are.
fn wanted(words: &[String]) -> (Vec<Model>, Vec<Variant>, bool) {
    let is = |word: &str| words.iter().any(|other| other == word);
    let mut models: Vec<Model> = Model::ALL.into_iter().filter(|model| is(model.name())).collect();
    let mut variants: Vec<Variant> = Variant::ALL.into_iter().filter(|variant| is(variant.name())).collect();
    let cores = is("cores");
    let known = models.len() + variants.len() + usize::from(cores);
    assert_eq!(known, words.len(), "not all of {words:?} are models, variants or `cores`");
    if models.is_empty() {
        models = Model::ALL.to_vec();
    }
    if variants.is_empty() {
        variants = Variant::ALL.to_vec();
    }
    (models, variants, cores || words.is_empty())
}
