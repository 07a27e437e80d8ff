//! The part of a tensor's values that its integers stand for.

use super::Histogram;

/// Smallest and largest element of a tensor over all samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    /// Smallest.
    pub min: f32,
    /// Largest.
    pub max: f32,
}

/// How the range of a tensor is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Method {
    /// The one of the others with the smallest error, measured in the layers that read the tensor.
    #[default]
    Auto,
    /// From the smallest to the largest element.
    MinMax,
    /// Without the outermost elements, one in twenty thousand at each end.
    Percentile,
    /// With the least mean square error of the quantized elements.
    MeanSquare,
    /// With the least relative entropy between the elements' distribution before and after.
    Entropy,
}

impl Method {
    /// All that name a range by themselves.
    pub const DIRECT: [Method; 4] = [Method::MinMax, Method::Percentile, Method::MeanSquare, Method::Entropy];

    /// Its name in options and reports.
    pub fn name(self) -> &'static str {
        match self {
            Method::Auto => "auto",
            Method::MinMax => "min-max",
            Method::Percentile => "percentile",
            Method::MeanSquare => "mse",
            Method::Entropy => "entropy",
        }
    }

    /// The method of a name.
    pub fn of(name: &str) -> Option<Method> {
        let mut all = Method::DIRECT.into_iter().chain([Method::Auto]);
        all.find(|method| method.name() == name)
    }
}

/// Share of the elements that [`Method::Percentile`] leaves out at each end.
const TAIL: f64 = 0.00005;

/// The narrowest ranges that are tried, in hundredths of the elements' range.
const NARROWEST: u32 = 30;

impl Range {
    pub(super) const EMPTY: Range = Range { min: f32::INFINITY, max: f32::NEG_INFINITY };

    pub(super) fn join(self, other: Range) -> Range {
        Range { min: self.min.min(other.min), max: self.max.max(other.max) }
    }

    /// The range of a tensor's elements; `None` if one of them is not finite.
    ///
    /// A plain loop, for the reason that the `reference` module gives.
    pub fn of(elements: &[f32]) -> Option<Range> {
        let (mut min, mut max) = (f32::INFINITY, f32::NEG_INFINITY);
        let mut i = 0;
        while i < elements.len() {
            let x = elements[i];
            if !x.is_finite() {
                return None;
            }
            if x < min {
                min = x;
            }
            if x > max {
                max = x;
            }
            i += 1;
        }
        Some(Range { min, max })
    }

    /// With zero inside, which every quantization represents exactly.
    fn with_zero(self) -> (f64, f64) {
        (f64::from(self.min.min(0.0)), f64::from(self.max.max(0.0)))
    }

    /// Both ends as hundredths of this range's.
    fn part(self, min: u32, max: u32) -> Range {
        Range { min: self.min * min as f32 / 100.0, max: self.max * max as f32 / 100.0 }
    }

    /// The part of this range that a method chooses; all of it for [`Method::MinMax`] and [`Method::Auto`].
    ///
    /// `zeros` elements are zero, which the histogram does not count.
    pub(super) fn choose(self, method: Method, histogram: &Histogram, zeros: u64) -> Range {
        match method {
            Method::Auto | Method::MinMax => self,
            Method::Percentile => self.percentile(histogram, zeros),
            Method::MeanSquare => self.least_square_error(histogram),
            Method::Entropy => self.least_entropy(histogram),
        }
    }

    fn percentile(self, histogram: &Histogram, zeros: u64) -> Range {
        let bins: Vec<(f64, u32)> = histogram.bins().collect();
        let total = zeros + bins.iter().map(|(_, count)| u64::from(*count)).sum::<u64>();
        let mut above = (total as f64 * TAIL) as u64;
        let half = histogram.width() / 2.0;
        fn end<'a>(mut bins: impl Iterator<Item = &'a (f64, u32)>, left_out: &mut u64) -> Option<f64> {
            bins.find(|(_, count)| {
                let keeps = u64::from(*count) > *left_out;
                *left_out = left_out.saturating_sub(u64::from(*count));
                keeps
            })
            .map(|(middle, _)| *middle)
        }
        let mut below = above;
        let low = end(bins.iter(), &mut below).unwrap_or(0.0) - half;
        let high = end(bins.iter().rev(), &mut above).unwrap_or(0.0) + half;
        Range { min: self.min.max(low as f32), max: self.max.min(high as f32) }
    }

    /// A narrower range has smaller steps but clips; see Banner et al., "Post-Training 4-bit Quantization of
    /// Convolution Networks for Rapid-Deployment", 2019. Both ends are searched in steps of a hundredth.
    fn least_square_error(self, histogram: &Histogram) -> Range {
        let bins: Vec<(f64, f64)> = histogram.bins().map(|(middle, count)| (middle, f64::from(count))).collect();
        let error = |range: Range| {
            let (min, max) = range.with_zero();
            let step = (max - min) / 255.0;
            let clipped = |x: f64| x - x.clamp(min, max);
            bins.iter().map(|&(x, count)| count * (step * step / 12.0 + clipped(x) * clipped(x))).sum::<f64>()
        };
        let least = |candidates: &mut dyn Iterator<Item = Range>, known: (f64, Range)| {
            candidates
                .map(|range| (error(range), range))
                .fold(known, |best, other| if other.0 < best.0 { other } else { best })
        };
        let parts = || (NARROWEST..100).rev();
        let best = least(&mut parts().map(|max| self.part(100, max)), (error(self), self));
        least(&mut parts().map(|min| Range { max: best.1.max, ..self.part(min, 100) }), best).1
    }

    /// Relative entropy between the distribution of the elements, those outside moved to the ends, and what 255 levels
    /// keep of it; see Migacz, "8-bit Inference with TensorRT", 2017.
    ///
    /// Zeros are left out: the peak, which both distributions have alike, would drown everything else.
    fn least_entropy(self, histogram: &Histogram) -> Range {
        let bins: Vec<(f64, f64)> = histogram.bins().map(|(middle, count)| (middle, f64::from(count))).collect();
        let total: f64 = bins.iter().map(|(_, count)| count).sum();
        let divergence = |range: Range| {
            let (min, max) = range.with_zero();
            let step = (max - min) / 255.0;
            if step <= 0.0 {
                return 0.0;
            }
            let level = |x: f64| ((x.clamp(min, max) - min) / step).round() as usize;
            // Of each level: the mass that belongs to it, and the number of bins that it is spread over again.
            let mut levels = [(0.0, 0.0); 256];
            let mut outside = [0.0; 2];
            for &(x, count) in &bins {
                match (x < min, x > max) {
                    (true, _) => outside[0] += count,
                    (_, true) => outside[1] += count,
                    _ => {
                        let (mass, spread) = &mut levels[level(x)];
                        *mass += count;
                        *spread += 1.0;
                    }
                }
            }
            let inside = || bins.iter().filter(|(x, _)| (min..=max).contains(x));
            let (first, last) = (inside().next(), inside().next_back());
            let sum = inside().map(|bin| {
                let at_end = |end: Option<&(f64, f64)>, mass: f64| if end == Some(bin) { mass } else { 0.0 };
                let p = (bin.1 + at_end(first, outside[0]) + at_end(last, outside[1])) / total;
                let (mass, spread) = levels[level(bin.0)];
                // What was clipped is missing here: that is the loss that widens the range.
                let q = mass / spread / (total - outside[0] - outside[1]);
                p * (p / q).ln()
            });
            sum.sum::<f64>()
        };
        let candidates = (NARROWEST..=100).rev().map(|part| self.part(part, part));
        let with_divergence = candidates.map(|range| (divergence(range), range));
        with_divergence.fold((f64::INFINITY, self), |best, other| if other.0 < best.0 { other } else { best }).1
    }
}
