//! Networks drawn at random: the interpreter, the generated code on the host and on emulated chips give the same answers,
//! and specialisation changes none.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::{env, panic, thread};

use mcuopt_codegen::interp::run_lowered;
use mcuopt_codegen::tensor::Tensor;
use mcuopt_codegen::{Input, Optimize, quantize};
use mcuopt_tests::board::Board;
use mcuopt_tests::case::{Case, Inputs, to_bytes};
use mcuopt_tests::firmware::{Firmware, Purpose};
use mcuopt_tests::skip;
use mcuopt_tests::synthetic::Synthetic;

/// Inferences of each network, beside those of extremes.
const COUNT: usize = 9;

/// The network of a seed, compiled with options that depend on the seed as well.
fn compile(seed: u64) -> (Case, Vec<Inputs>) {
    let (synthetic, variant) = Synthetic::network(seed);
    let optimize = [Optimize::Speed, Optimize::Balanced, Optimize::Size][seed as usize % 3];
    let input = if seed % 5 == 4 { Input::Borrowed } else { Input::Arena };
    let case = Case::compile(
        format!("{}-{variant}", synthetic.name),
        &synthetic.config(variant).optimize(optimize).input(input),
    );
    let mut inputs: Vec<Inputs> = synthetic.inputs(COUNT).iter().map(|reals| case.inputs(reals)).collect();
    let extremes = [1, 2].map(|step| extremes(&inputs[0], step));
    inputs.extend(extremes);
    (case, inputs)
}

/// The lowest and the highest number in turns, `step` of each; floats stay what they are.
fn extremes(like: &Inputs, step: usize) -> Inputs {
    let extreme = |tensor: &Tensor| match tensor {
        Tensor::I8(array) => {
            let bytes = (0..array.len())
                .map(|index| if (index / step).is_multiple_of(2) { i8::MIN } else { i8::MAX })
                .collect();
            Tensor::new(tensor.shape(), bytes).expect("as many as before")
        }
        other => other.clone(),
    };
    like.iter().map(extreme).collect()
}

fn check(seed: u64, emulate: bool) {
    let (case, inputs) = compile(seed);
    let expected = case.interpret(&inputs);

    let unspecialised = quantize::lower(&case.compiled.graph).expect("it was lowered before");
    for (inputs, expected) in inputs.iter().zip(expected.chunks(case.output_bytes())) {
        let outputs = run_lowered(&unspecialised, inputs, |_, _| {}).expect("it runs");
        assert!(to_bytes(&outputs) == expected, "{}: specialisation changes an answer", case.name);
    }
    if !emulate {
        return;
    }

    let host = Firmware::build(&case, None, Purpose::Answers).run(&inputs);
    same(&case, "the host", &expected, &host.outputs);
    let others = match seed % 8 {
        1 => Some(Board::CortexM33),
        6 => Some(Board::CortexM3),
        _ => None,
    };
    for board in [Board::CortexM4].into_iter().chain(others) {
        if !board.is_present() {
            skip::note_unless_ci(&format!("{} on an emulated {board}", case.name), "QEMU is not installed");
            continue;
        }
        let emulated = Firmware::build(&case, Some(board), Purpose::Answers).run(&inputs);
        same(&case, &format!("the emulated {board}"), &expected, &emulated.outputs);
        assert_eq!(emulated.ram_bytes, host.ram_bytes, "{} on {board}: RAM_BYTES", case.name);
    }
}

#[track_caller]
fn same(case: &Case, machine: &str, expected: &[u8], outputs: &[u8]) {
    assert_eq!(outputs.len(), expected.len(), "{} on {machine}: bytes of the outputs", case.name);
    if let Some(first) = (0..expected.len()).find(|index| outputs[*index] != expected[*index]) {
        let (inference, byte) = (first / case.output_bytes(), first % case.output_bytes());
        let count = outputs.iter().zip(expected).filter(|(output, expected)| output != expected).count();
        panic!(
            "{} on {machine}: {count} bytes differ, first byte {byte} for input {inference}: {} instead of {}",
            case.name, outputs[first] as i8, expected[first] as i8
        );
    }
}

/// Checks the seeds on all processors; fails at the end, with the seeds that failed.
fn check_all(seeds: &[u64], emulate: bool) {
    let next = AtomicU64::new(0);
    let worker = || {
        let mut failed = Vec::new();
        while let Some(&seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed) as usize) {
            // The panic has said what is wrong.
            if panic::catch_unwind(|| check(seed, emulate)).is_err() {
                eprintln!("seed {seed} failed");
                failed.push(seed);
            }
        }
        failed
    };
    let failed: Vec<u64> = thread::scope(|scope| {
        let count = thread::available_parallelism().map_or(1, usize::from);
        let workers: Vec<_> = (0..count).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("panics are caught")).collect()
    });
    assert!(failed.is_empty(), "of {} seeds, these failed: {failed:?}", seeds.len());
}

/// The seeds that are always tried; `MCUOPT_SEEDS=100..200` tries others.
const SEEDS: [u64; 8] = [0, 1, 2, 3, 4, 5, 6, 7];

#[test]
fn drawn_networks_answer_alike_everywhere() {
    match env::var("MCUOPT_SEEDS") {
        Ok(range) => check_all(&parse(&range).collect::<Vec<_>>(), env::var_os("MCUOPT_HOST_ONLY").is_none()),
        Err(_) => check_all(&SEEDS, true),
    }
}

/// `first..end`.
fn parse(range: &str) -> Range<u64> {
    let ends = range.split_once("..").and_then(|(start, end)| Some(start.parse().ok()?..end.parse().ok()?));
    ends.unwrap_or_else(|| panic!("MCUOPT_SEEDS should be like 100..200, not {range}"))
}
