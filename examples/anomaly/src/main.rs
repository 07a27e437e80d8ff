//! Tells by its vibration when a machine is not what it used to be: a network that has only ever seen it well says what
//! it expects, and what is far from that is an anomaly.

#![cfg_attr(target_os = "none", no_std, no_main)]

mod features;

use example_board::{Checksum, Error, Share, println, records, report};
use mcuopt_macros::include_model;
use static_cell::ConstStaticCell;

use features::{BANDS, WINDOW, bands};

include_model!("anomaly.onnx");

/// The states of the test set: well, and four faults.
const STATES: [&str; 5] = ["well", "bearing", "imbalance", "tooth", "looseness"];
/// A record of the test set: the state, and little-endian i16.
const RECORD: usize = 1 + 2 * WINDOW;

/// Above this mean squared error a window is an anomaly. The training chose it on windows of the machine when it is well,
/// and wrote it down in thousandths.
const THRESHOLD: f32 = match u32::from_str_radix(include_str!("../anomaly.threshold"), 10) {
    Ok(thousandths) => thousandths as f32 / 1000.0,
    Err(_) => panic!("anomaly.threshold is no number"),
};

static NETWORK: ConstStaticCell<Anomaly> = ConstStaticCell::new(Anomaly::new());

example_board::program!(measure);

/// Counts the alarms in each state.
fn measure(test_set: &str) -> Result<(), Error> {
    report::<Anomaly>("a machine's vibration");
    let network = NETWORK.take();
    let mut alarms = [Share::default(); STATES.len()];
    let mut right = Share::default();
    let mut checksum = Checksum::new();
    records(test_set, |record: &[u8; RECORD]| {
        let [state, counts @ ..] = record;
        let seen = bands(counts.as_chunks().0.iter().map(|pair| i16::from_le_bytes(*pair)));
        let score = surprise(&seen, &network.predict(&seen));
        let alarm = score > THRESHOLD;
        alarms[usize::from(*state)].count(alarm);
        right.count(alarm == (*state > 0));
        checksum.add(&[score]);
    })?;
    for (state, alarms) in STATES.iter().zip(alarms) {
        println!("{state:9} alarms in {alarms}");
    }
    println!("right {right}, {checksum}");
    Ok(())
}

/// The mean squared error of what was expected.
fn surprise(seen: &[f32; BANDS], expected: &[f32; BANDS]) -> f32 {
    let squares = seen.iter().zip(expected).map(|(seen, expected)| (seen - expected) * (seen - expected));
    squares.sum::<f32>() / BANDS as f32
}
