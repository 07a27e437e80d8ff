//! Runs the firmware's network over the test set on this computer.

use std::process::ExitCode;
use std::{env, fs};

use kws_features::{CLASSES, FEATURES, RECORD_BYTES, Tally, decode, label};
use mcuopt_macros::include_model;

include_model!("../kws.onnx");

fn main() -> ExitCode {
    let Some(path) = env::args_os().nth(1) else {
        eprintln!("usage: accuracy TEST-SET");
        return ExitCode::FAILURE;
    };
    let file = match fs::read(&path) {
        Ok(file) => file,
        Err(error) => {
            eprintln!("{}: {error}", path.display());
            return ExitCode::FAILURE;
        }
    };

    let mut network = Box::new(Kws::new());
    let mut features = [0.0; FEATURES];
    let mut words: [Tally; CLASSES] = std::array::from_fn(|_| Tally::new());
    let mut all = Tally::new();
    for record in file.as_chunks::<RECORD_BYTES>().0 {
        let class = decode(record, &mut features);
        let scores = network.predict(&features);
        words[class].count(class, &scores);
        all.count(class, &scores);
    }
    for (class, word) in words.iter().enumerate() {
        println!("{:8} {:3} of {}", label(class), word.right, word.clips);
    }
    println!("{all}");
    ExitCode::SUCCESS
}
