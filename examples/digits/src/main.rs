//! Finds and reads handwritten digits in the image of a small camera.

#![cfg_attr(target_os = "none", no_std, no_main)]

mod detector;

use example_board::{Checksum, Error, Share, println, records, report};
use static_cell::ConstStaticCell;

use detector::{Detector, Digit, Digits, PIXELS};

/// Digits that a record of the test set has room for.
const ROOM: usize = 3;
/// A record: how many digits, three bytes for each, and the pixels.
const RECORD: usize = 1 + 3 * ROOM + PIXELS;

static DETECTOR: ConstStaticCell<Detector> = ConstStaticCell::new(Detector::new());

example_board::program!(measure);

/// Counts how many of the digits are found, and how much of what is found is right.
fn measure(test_set: &str) -> Result<(), Error> {
    report::<Digits>("digits in the image of a camera");
    let detector = DETECTOR.take();
    let mut there = Share::default();
    let mut found = Share::default();
    let mut checksum = Checksum::new();
    records(test_set, |record: &[u8; RECORD]| {
        let (known, pixels) = record[1..].split_at(3 * ROOM);
        let mut known: [Option<Digit>; ROOM] = core::array::from_fn(|i| {
            let at = |byte| known[3 * i + byte];
            (i < usize::from(record[0])).then(|| Digit::at_pixel(at(0), at(1), at(2)))
        });
        let count = known.iter().flatten().count() as u32;
        let mut right = 0;
        let (digits, scores) = detector.look(pixels);
        for digit in digits {
            let hit = known.iter_mut().find(|known| known.is_some_and(|known| known.is_same(digit)));
            found.count(hit.is_some());
            if let Some(known) = hit {
                *known = None;
                right += 1;
            }
        }
        for number in 0..count {
            there.count(number < right);
        }
        checksum.add_bytes(scores.iter().map(|score| *score as u8));
    })?;
    println!("found {there}; of what was found, right {found}, {checksum}");
    Ok(())
}
