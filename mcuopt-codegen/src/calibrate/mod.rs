//! What each tensor holds over a set of samples, and which part of it its integers should stand for.
//!
//! The samples go through the float graph, one at a time. Results are cached in the user's cache folder under a hash of
//! everything they depend on.

mod cache;
mod choose;
mod histogram;
mod mask;
mod npy;
mod range;
mod samples;
mod trials;
mod warnings;

use std::collections::BTreeMap;

use crate::error::Error;
use crate::graph::{Graph, Quantization, ValueId};
use crate::interp;
use crate::ops::Op;
use crate::parallel;

#[cfg(feature = "profile")]
pub(crate) use cache::cache_folder;
pub use cache::{content_hash, hash_samples, load, read, store, write};
pub use choose::choose;
pub use histogram::Histogram;
pub use mask::moderate_masks;
pub use range::{Method, Range};
pub use samples::{Samples, arrays, sample_files};
pub use trials::{Change, Place, Trials, rounded};
pub use warnings::warnings;

/// What is known of one float value.
#[derive(Clone, Debug, PartialEq)]
pub struct Statistics {
    /// Smallest and largest element.
    pub range: Range,
    /// The ranges that the methods of [`Method::DIRECT`] choose, in this order.
    pub candidates: [Range; 4],
    /// The method whose range is the tensor's; never [`Method::Auto`].
    pub method: Method,
    /// The quantization that was chosen before, if it was.
    pub given: Option<Quantization>,
    /// For each index along the last axis, what is known of its elements.
    pub channels: Vec<Channel>,
}

/// What is known of the elements with one index along the last axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Channel {
    /// Smallest and largest element.
    pub range: Range,
    /// Mean.
    pub mean: f32,
    /// Mean of the squares.
    pub mean_square: f32,
}

impl Statistics {
    /// The range that a method chooses.
    pub fn by(&self, method: Method) -> Range {
        let position = Method::DIRECT.iter().position(|direct| *direct == method);
        position.map_or(self.range, |position| self.candidates[position])
    }

    /// The range that the tensor's integers stand for.
    pub fn best(&self) -> Range {
        self.by(self.method)
    }
}

/// The statistics of each float value of a graph that is never infinite.
pub type Ranges = BTreeMap<ValueId, Statistics>;

/// Statistics under way.
#[derive(Clone, Debug)]
struct Sums {
    range: Range,
    /// Whether an element was infinite.
    infinite: bool,
    histogram: Histogram,
    elements: u64,
    nonzero: u64,
    channels: Vec<ChannelSums>,
}

#[derive(Clone, Copy, Debug)]
struct ChannelSums {
    range: Range,
    sum: f64,
    squares: f64,
}

impl Sums {
    fn new(channels: usize) -> Self {
        let channel = ChannelSums { range: Range::EMPTY, sum: 0.0, squares: 0.0 };
        Self {
            range: Range::EMPTY,
            infinite: false,
            histogram: Histogram::default(),
            elements: 0,
            nonzero: 0,
            channels: vec![channel; channels],
        }
    }

    /// Adds a tensor; `false` if an element is NaN.
    ///
    /// A plain loop, for the reason that the `reference` module gives.
    fn add(&mut self, elements: &[f32]) -> bool {
        let Some(range) = Range::of(elements) else {
            self.infinite = true;
            return !elements.iter().any(|x| x.is_nan());
        };
        self.range = self.range.join(range);
        self.nonzero += self.histogram.add(elements, range.min.abs().max(range.max.abs()));
        self.elements += elements.len() as u64;
        let channels = self.channels.as_mut_slice();
        let (mut i, mut channel) = (0, 0);
        while i < elements.len() {
            let (x, sums) = (elements[i], &mut channels[channel]);
            sums.sum += x as f64;
            sums.squares += x as f64 * x as f64;
            if x < sums.range.min {
                sums.range.min = x;
            }
            if x > sums.range.max {
                sums.range.max = x;
            }
            channel += 1;
            if channel == channels.len() {
                channel = 0;
            }
            i += 1;
        }
        true
    }

    fn join(&mut self, other: &Sums) {
        self.range = self.range.join(other.range);
        self.infinite |= other.infinite;
        self.histogram.join(&other.histogram);
        self.elements += other.elements;
        self.nonzero += other.nonzero;
        for (sums, other) in self.channels.iter_mut().zip(&other.channels) {
            sums.range = sums.range.join(other.range);
            sums.sum += other.sum;
            sums.squares += other.squares;
        }
    }

    fn finish(&self) -> Statistics {
        let count = (self.elements / self.channels.len().max(1) as u64).max(1) as f64;
        let channel = |sums: &ChannelSums| Channel {
            range: sums.range,
            mean: (sums.sum / count) as f32,
            mean_square: (sums.squares / count) as f32,
        };
        let zeros = self.elements - self.nonzero;
        Statistics {
            range: self.range,
            candidates: Method::DIRECT.map(|method| self.range.choose(method, &self.histogram, zeros)),
            method: Method::MeanSquare,
            given: None,
            channels: self.channels.iter().map(channel).collect(),
        }
    }
}

/// Sums of floats depend on their order, so the samples are divided into so many parts whatever the number of
/// processors, and the parts are added up in order.
const PARTS: usize = 8;

/// Runs all samples through the graph, on all processors.
pub fn calibrate(graph: &Graph<Op>, samples: &Samples) -> Result<Ranges, Error> {
    let parts: Vec<usize> = (0..PARTS).collect();
    let parts = parallel::map(&parts, |part| calibrate_part(graph, samples, *part))?;
    let mut total: BTreeMap<ValueId, Sums> = BTreeMap::new();
    for (id, sums) in parts.into_iter().flatten() {
        total.entry(id).or_insert_with(|| Sums::new(sums.channels.len())).join(&sums);
    }
    // No integers stand for infinity.
    Ok(total.iter().filter(|(_, sums)| !sums.infinite).map(|(id, sums)| (*id, sums.finish())).collect())
}

fn calibrate_part(graph: &Graph<Op>, samples: &Samples, part: usize) -> Result<BTreeMap<ValueId, Sums>, Error> {
    let mut total: BTreeMap<ValueId, Sums> = BTreeMap::new();
    for index in (part..samples.len()).step_by(PARTS) {
        let mut broken = None;
        interp::run_float(graph, &samples.sample(index)?, |id, tensor| {
            let Some(elements) = tensor.f32s() else { return };
            let channels = tensor.shape().last().copied().unwrap_or(1);
            if !total.entry(id).or_insert_with(|| Sums::new(channels)).add(elements) {
                broken = broken.or(Some(id));
            }
        })?;
        if let Some(id) = broken {
            let name = &graph.value(id).name;
            return Err(Error::calibration(format!("sample {index} makes `{name}` NaN")));
        }
    }
    Ok(total)
}
