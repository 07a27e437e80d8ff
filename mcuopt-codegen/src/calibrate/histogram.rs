//! How often a tensor's elements fall where.

/// Bins on each side of zero.
const HALF: usize = 1024;

/// Counts of elements in bins of equal width, a power of two that grows with the elements.
///
/// Bin edges are multiples of the width, and the final width depends on the largest magnitude alone: the result is
/// the same in whatever order the elements come. Zeros are left out: every quantization represents them exactly.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    /// Width of a bin; 0 before the first element.
    width: f32,
    /// `2 · HALF` bins; bin `HALF` starts at zero.
    counts: Vec<u32>,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { width: 0.0, counts: vec![0; 2 * HALF] }
    }
}

impl Histogram {
    /// Counts finite elements whose magnitudes are at most `largest`; returns how many are not zero.
    ///
    /// A plain loop, for the reason that the `reference` module gives.
    pub(super) fn add(&mut self, elements: &[f32], largest: f32) -> u64 {
        self.reach(largest);
        if self.width == 0.0 {
            return 0;
        }
        let mut nonzero = 0;
        let scale = 1.0 / self.width;
        let counts = self.counts.as_mut_slice();
        let mut i = 0;
        while i < elements.len() {
            let x = elements[i];
            if x != 0.0 {
                // Truncation after the shift is floor: the sum is positive.
                nonzero += 1;
                let bin = (x * scale + HALF as f32) as usize;
                counts[if bin < 2 * HALF { bin } else { 2 * HALF - 1 }] += 1;
            }
            i += 1;
        }
        nonzero
    }

    /// Adds the counts of another histogram.
    pub(super) fn join(&mut self, other: &Histogram) {
        let mut other = other.clone();
        self.reach(other.width * HALF as f32 * 0.75);
        other.reach(self.width * HALF as f32 * 0.75);
        self.counts.iter_mut().zip(&other.counts).for_each(|(count, more)| *count += more);
    }

    /// Widens the bins until `magnitude` lies inside.
    fn reach(&mut self, magnitude: f32) {
        if magnitude == 0.0 {
            return;
        }
        // Far above the subnormal numbers, so that the width's reciprocal is finite.
        let mut width = f32::MIN_POSITIVE * 4.0;
        while width * HALF as f32 <= magnitude {
            width *= 2.0;
        }
        if self.width == 0.0 {
            self.width = width;
        }
        while self.width < width {
            let mut merged = vec![0; 2 * HALF];
            for (bin, count) in self.counts.iter().enumerate() {
                merged[bin / 2 + HALF / 2] += count;
            }
            self.counts = merged;
            self.width *= 2.0;
        }
    }

    /// The non-empty bins, as their middle and count.
    pub(super) fn bins(&self) -> impl Iterator<Item = (f64, u32)> {
        let middle = |bin: usize| (bin as f64 - HALF as f64 + 0.5) * f64::from(self.width);
        self.counts.iter().enumerate().filter(|(_, count)| **count > 0).map(move |(bin, &count)| (middle(bin), count))
    }

    /// Width of a bin; 0 where nothing but zeros was counted.
    pub(super) fn width(&self) -> f64 {
        f64::from(self.width)
    }
}
