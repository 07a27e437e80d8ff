use crate::labels::{CLASSES, best};

/// How often the network was right. The checksum over all its scores tells
/// whether two computers got the same ones to the last bit.
pub struct Tally {
    pub clips: u32,
    pub right: u32,
    pub checksum: u32,
}

impl Tally {
    #[must_use]
    pub const fn new() -> Self {
        // FNV-1a, 32 bits.
        Self { clips: 0, right: 0, checksum: 0x811c_9dc5 }
    }

    /// Counts a clip of `class` that got these `scores`.
    pub fn count(&mut self, class: usize, scores: &[f32; CLASSES]) {
        self.clips += 1;
        self.right += u32::from(best(scores).0 == class);
        for byte in scores.iter().flat_map(|score| score.to_le_bytes()) {
            self.checksum = (self.checksum ^ u32::from(byte)).wrapping_mul(0x0100_0193);
        }
    }
}

impl Default for Tally {
    fn default() -> Self {
        Self::new()
    }
}

impl core::fmt::Display for Tally {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Self { clips, right, checksum } = self;
        // Tenths of a percent without floats, which are long to print.
        let tenths = (1000 * right + clips / 2) / clips.max(&1);
        let (percent, tenths) = (tenths / 10, tenths % 10);
        write!(f, "{right} of {clips} right, {percent}.{tenths} %, checksum {checksum:08x}")
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::string::ToString;

    use super::*;

    #[test]
    fn counts() {
        let mut tally = Tally::new();
        let mut scores = [0.0; CLASSES];
        scores[4] = 1.0;
        tally.count(4, &scores);
        tally.count(4, &scores);
        tally.count(5, &scores);
        assert!(tally.to_string().starts_with("2 of 3 right, 66.7 %, checksum "));
    }

    #[test]
    fn one_bit_changes_the_checksum() {
        let (mut a, mut b) = (Tally::new(), Tally::new());
        let mut scores = [0.25; CLASSES];
        a.count(0, &scores);
        scores[11] = 0.25_f32.next_up();
        b.count(0, &scores);
        assert_ne!(a.checksum, b.checksum);
    }
}
