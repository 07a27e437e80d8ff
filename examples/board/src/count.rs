//! How often a network was right, and whether two computers got the same numbers.

use core::fmt::{self, Display, Formatter};

/// A checksum over numbers, to the last bit: FNV-1a, 32 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checksum(u32);

impl Checksum {
    /// Over no numbers.
    pub const fn new() -> Self {
        Self(0x811c_9dc5)
    }

    /// Takes some numbers in.
    pub fn add(&mut self, numbers: &[f32]) {
        self.add_bytes(numbers.iter().flat_map(|number| number.to_le_bytes()));
    }

    /// Takes some bytes in.
    pub fn add_bytes(&mut self, bytes: impl Iterator<Item = u8>) {
        for byte in bytes {
            self.0 = (self.0 ^ u32::from(byte)).wrapping_mul(0x0100_0193);
        }
    }
}

impl Default for Checksum {
    fn default() -> Self {
        Self::new()
    }
}

impl Display for Checksum {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "checksum {:08x}", self.0)
    }
}

/// Some of many, as `3 of 4` and percent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// Some.
    pub part: u32,
    /// Of how many.
    pub whole: u32,
}

impl Share {
    /// Counts one more, which belongs to the part or does not.
    pub fn count(&mut self, belongs: bool) {
        self.whole += 1;
        self.part += u32::from(belongs);
    }
}

impl Display for Share {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { part, whole } = self;
        // Tenths of a percent without floats, which are long to print.
        let tenths = (1000 * part + whole / 2) / whole.max(&1);
        write!(f, "{part} of {whole}, {}.{} %", tenths / 10, tenths % 10)
    }
}

/// How often a classifier was right, with the checksum of its scores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// What was right.
    pub right: Share,
    /// Of all scores.
    pub checksum: Checksum,
}

impl Tally {
    /// Counts what got these `scores` and is of `class`.
    pub fn count(&mut self, class: usize, scores: &[f32]) {
        self.right.count(best(scores) == class);
        self.checksum.add(scores);
    }
}

impl Display for Tally {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "right {}, {}", self.right, self.checksum)
    }
}

/// The class with the highest score, the first of equals.
pub fn best<T: PartialOrd>(scores: &[T]) -> usize {
    let mut best = 0;
    for (class, score) in scores.iter().enumerate() {
        if score > &scores[best] {
            best = class;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts() {
        let mut tally = Tally::default();
        tally.count(1, &[0.2, 0.4, 0.4]);
        tally.count(1, &[0.2, 0.5, 0.3]);
        tally.count(2, &[0.2, 0.4, 0.4]);
        assert!(tally.to_string().starts_with("right 2 of 3, 66.7 %, checksum "), "{tally}");
        assert_eq!(Share::default().to_string(), "0 of 0, 0.0 %");
    }

    #[test]
    fn one_bit_changes_the_checksum() {
        let (mut a, mut b) = (Checksum::new(), Checksum::new());
        a.add(&[0.25, 0.5]);
        b.add(&[0.25, 0.5_f32.next_up()]);
        assert_ne!(a, b);
    }
}
