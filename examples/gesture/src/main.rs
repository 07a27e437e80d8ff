//! Recognises exercises by the inertial sensors of a smartwatch: over a test set, or on the chip as it goes.

#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
mod live;
mod recogniser;

use example_board::{Error, Tally, println, records, report};
use static_cell::ConstStaticCell;

use recogniser::{AXES, Gesture, RATE, Recogniser, WINDOW};

/// Frames of a recording in the test set.
const FRAMES: usize = 12 * RATE;
/// A record: the exercise, and the counts of all frames as little-endian i16.
const RECORD: usize = 1 + 2 * AXES * FRAMES;

static RECOGNISER: ConstStaticCell<Recogniser> = ConstStaticCell::new(Recogniser::new());

example_board::program!(program);

/// `gesture [TEST-SET]`
fn program(test_set: &str) -> Result<(), Error> {
    report::<Gesture>("exercises by a smartwatch");
    let recogniser = RECOGNISER.take();
    #[cfg(target_os = "none")]
    if test_set.is_empty() {
        live::run(recogniser);
    }
    measure(recogniser, test_set)
}

/// Counts how often the answer is right, a second after the other.
fn measure(recogniser: &mut Recogniser, test_set: &str) -> Result<(), Error> {
    let mut tally = Tally::default();
    records(test_set, |record: &[u8; RECORD]| {
        let [exercise, counts @ ..] = record;
        for (number, frame) in counts.as_chunks().0.iter().enumerate() {
            recogniser.take(recogniser::frame(frame));
            let frames = number + 1;
            if frames >= WINDOW && (frames - WINDOW).is_multiple_of(RATE) {
                tally.count(usize::from(*exercise), &recogniser.scores());
            }
        }
    })?;
    println!("{tally}");
    Ok(())
}
