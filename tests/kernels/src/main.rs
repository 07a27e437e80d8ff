//! Compares the kernels that mcuopt-rt chooses for this chip with their definitions, on random layers.
//!
//! Takes arguments through semihosting: `[SUITE [FIRST [COUNT]]]`. A case's numbers come from the names of its suite
//! and its own number alone, so a failure that says `conv 137` happens again, alone, with the arguments `conv 137`.
//! With a count, a suite goes on for as long as one likes. The exit status is 0 if every case passed.

#![no_std]
#![no_main]

mod activations;
mod formula;
mod guarded;
mod layers;
mod linear;
mod memory;
mod pools;
mod random;
mod recurrent;
mod trial;
mod wide;

use core::panic::PanicInfo;
use core::ptr::addr_of_mut;
use core::str::FromStr;
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed};

use semihosting::{eprintln, println, process};

use crate::memory::Memory;
use crate::random::Random;
use crate::trial::Trial;

/// Cases of one kind.
struct Suite {
    name: &'static str,
    /// How many cases to run unless told otherwise.
    count: u32,
    run: fn(&mut Memory, &mut Random, &mut Trial),
}

const SUITES: [Suite; 19] = [
    Suite { name: "conv", count: 4000, run: linear::conv },
    Suite { name: "dense", count: 1500, run: linear::dense },
    Suite { name: "depthwise", count: 2500, run: linear::depthwise },
    Suite { name: "conv_w4", count: 2000, run: linear::conv_w4 },
    Suite { name: "dense_w4", count: 1000, run: linear::dense_w4 },
    Suite { name: "depthwise_w4", count: 500, run: linear::depthwise_w4 },
    Suite { name: "conv_s16", count: 2000, run: wide::conv },
    Suite { name: "dense_s16", count: 1000, run: wide::dense },
    Suite { name: "depthwise_s16", count: 500, run: wide::depthwise },
    Suite { name: "add", count: 1000, run: activations::add },
    Suite { name: "mul", count: 500, run: activations::mul },
    Suite { name: "requantize", count: 200, run: activations::requantize },
    Suite { name: "lut", count: 100, run: activations::lut },
    Suite { name: "matmul", count: 300, run: activations::matmul },
    Suite { name: "max_pool", count: 600, run: pools::max_pool },
    Suite { name: "average_pool", count: 600, run: pools::average_pool },
    Suite { name: "reduce_mean", count: 500, run: pools::reduce_mean },
    Suite { name: "reduce_extremes", count: 300, run: pools::reduce_extremes },
    Suite { name: "lstm", count: 500, run: recurrent::lstm },
];

/// The suite and the case that run, for whoever panics.
static CURRENT: (AtomicUsize, AtomicU32) = (AtomicUsize::new(0), AtomicU32::new(0));

/// So many failures of a suite say enough.
const FAILURES: u32 = 5;

mcuopt_test_board::program!(main);

/// # Safety
/// To be called once: the memory is a static.
unsafe fn main() -> ! {
    static mut MEMORY: Memory = Memory::new();
    // SAFETY: nobody else can name the static, and the caller promises to come once.
    let memory = unsafe { &mut *addr_of_mut!(MEMORY) };
    // SAFETY: this is the one time.
    memory.fields.edge = Some(unsafe { memory::edge() });
    process::exit(if run(memory) { 0 } else { 1 })
}

/// Whether all cases passed.
fn run(memory: &mut Memory) -> bool {
    let arguments = semihosting::experimental::env::args::<256>().expect("the debugger passes arguments");
    // The first is the program's name.
    let mut words = (&arguments).skip(1).map(|word| word.expect("arguments are text"));
    let chosen = words.next();
    let (first, count) = (words.next().map(number), words.next().map(number));
    assert!(chosen.is_none_or(|name| SUITES.iter().any(|suite| suite.name == name)), "a suite named {chosen:?}");

    let mut failures = 0;
    for (index, suite) in SUITES.iter().enumerate() {
        if chosen.is_some_and(|name| suite.name != name) {
            continue;
        }
        let count = count.unwrap_or(if first.is_some() { 1 } else { suite.count });
        let first = first.unwrap_or(0);
        let mut trial = Trial::new(suite.name);
        for number in first..first.saturating_add(count) {
            CURRENT.0.store(index, Relaxed);
            CURRENT.1.store(number, Relaxed);
            trial.begin(number);
            (suite.run)(memory, &mut Random::new(suite.name, number), &mut trial);
            if trial.failures() >= FAILURES {
                break;
            }
        }
        let stopped = if trial.failures() >= FAILURES { " before the end" } else { "" };
        println!("{}: {count} cases, {} failed{stopped}; {}", suite.name, trial.failures(), trial.kernels());
        failures += trial.failures();
    }
    failures == 0
}

fn number(word: &str) -> u32 {
    u32::from_str(word).unwrap_or_else(|_| panic!("{word} is no number"))
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    let (suite, number) = (CURRENT.0.load(Relaxed), CURRENT.1.load(Relaxed));
    eprintln!("{} {number}: {info}", SUITES[suite].name);
    process::exit(101)
}
