//! Tells benign from malignant tumours by thirty measurements, with a forest of decision trees in integers.

#![cfg_attr(target_os = "none", no_std, no_main)]

use example_board::{Error, Tally, println, records, report};
use mcuopt_macros::include_model;

include_model!("trees.onnx");
mcuopt_rt::linker_symbols!(Trees);

/// What one tumour is described by.
const MEASUREMENTS: usize = 30;
/// A record of the test set: the class, and measurements as little-endian f32.
const RECORD: usize = 1 + 4 * MEASUREMENTS;

/// The smallest of each measurement, and the factor that brings the range of each to 0..1.
static RANGES: &[u8; 2 * 4 * MEASUREMENTS] = include_bytes!("../trees.ranges.bin");

example_board::program!(measure);

/// Counts how often the forest is right on the test set.
fn measure(test_set: &str) -> Result<(), Error> {
    // So small that it may lie on the stack.
    let mut forest = Trees::new();
    report::<Trees>("decision trees");
    #[cfg(target_os = "none")]
    symbols::check();
    let (low, factor) = RANGES.split_at(4 * MEASUREMENTS);
    let mut tally = Tally::default();
    records(test_set, |record: &[u8; RECORD]| {
        let [class, measurements @ ..] = record;
        let mut x = [0.0; MEASUREMENTS];
        for (i, x) in x.iter_mut().enumerate() {
            *x = (number(measurements, i) - number(low, i)) * number(factor, i);
        }
        tally.count(usize::from(*class), &forest.predict(&x));
    })?;
    println!("{tally}");
    Ok(())
}

/// What `linker_symbols!` has defined, seen as a debugger or a script sees it that watches sizes.
#[cfg(target_os = "none")]
mod symbols {
    use crate::Trees;

    #[allow(non_upper_case_globals)]
    unsafe extern "C" {
        static Trees_RAM_BYTES: u8;
        static Trees_WEIGHT_BYTES: u8;
    }

    /// Their addresses are the numbers.
    pub fn check() {
        assert_eq!(&raw const Trees_RAM_BYTES as usize, Trees::RAM_BYTES);
        assert_eq!(&raw const Trees_WEIGHT_BYTES as usize, Trees::WEIGHT_BYTES);
    }
}

/// The `i`th little-endian f32.
fn number(bytes: &[u8], i: usize) -> f32 {
    let [a, b, c, d] = bytes[4 * i..][..4] else { return f32::NAN };
    f32::from_le_bytes([a, b, c, d])
}
