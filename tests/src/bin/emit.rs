//! What a build script is to the compiler: `emit MODEL SAMPLES`, with `OUT_DIR` set.

use std::env;

use mcuopt_codegen::{Config, Precision};

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [model, samples] = &arguments[..] else { panic!("usage: emit MODEL SAMPLES") };
    Config::new(model).name("Net").precision(Precision::Int8).calibration(samples).emit();
}
