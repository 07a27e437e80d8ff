//! Cross-layer equalization: the channels between two linear layers are scaled so that they share one activation scale
//! well, without any change to what the network computes.
//!
//! f(x/s)·s = f(x) for Relu and its like, so a channel may be divided by s in the first layer's filter and multiplied by
//! it in the second layer's weights. See Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias
//! Correction", 2019, section 4.1. The first layer's filters have a scale each and do not notice. What is chosen between
//! is therefore, as in Xiao et al., "SmoothQuant", 2023, s = range^α / weight^(1−α): the activations' noise is step²·Σ w²s²,
//! that of the second layer's weights Σ step²·E[x²]/s², and both are known before anything is quantized.

use super::pair::Pair;
use super::repair::{Repair, decibels};
use crate::calibrate::{Range, Ranges, Statistics};
use crate::error::Error;
use crate::graph::Graph;
use crate::ops::Op;

/// Exponents of the range that are tried.
const ALPHAS: [f32; 4] = [0.25, 0.5, 0.75, 1.0];

/// The least gain, in decibels, for which a pair is changed.
const NOTICEABLE: f32 = 0.2;

/// So many numbers of a channel leave it open whether it is twice as quiet as another.
const DOUBT: f32 = 200.0;

/// Largest scale of a channel relative to others.
const LARGEST: f32 = 1e5;

/// Equalizes every pair that gains by it; samples must be run again if there is one.
pub fn equalize(graph: &mut Graph<Op>, ranges: &Ranges, samples: usize) -> Result<Vec<Repair>, Error> {
    let mut repairs = Vec::new();
    for index in 0..graph.nodes.len() {
        let Some(pair) = Pair::before(graph, index, ranges) else { continue };
        let Some(statistics) = ranges.get(&pair.second.x) else { continue };
        let costs = Costs::new(graph, &pair, statistics, samples);
        let ones = vec![1.0; costs.extents.len()];
        let start = costs.noise(&ones);
        let candidates = ALPHAS.iter().map(|alpha| costs.scales(*alpha));
        let best = candidates.map(|scales| (costs.noise(&scales), scales)).reduce(|a, b| if b.0 < a.0 { b } else { a });
        let Some((noise, scales)) = best else { continue };
        let signal = costs.signal();
        let (before_db, after_db) = (decibels(signal, start), decibels(signal, noise));
        let pays = after_db - before_db >= NOTICEABLE;
        if !pays {
            continue;
        }
        apply(graph, &pair, &scales)?;
        repairs.push(Repair {
            step: "equalization",
            node: graph.nodes[pair.second.node].name.clone(),
            before_db,
            after_db,
        });
    }
    Ok(repairs)
}

/// What is known of the channels between two layers; channels are the first layer's filters.
struct Costs {
    /// Largest magnitude of each channel.
    extents: Vec<f32>,
    /// Range of the tensor that its integers stand for, relative to the largest magnitude: less than 1 where it clips.
    kept: f32,
    /// Mean square of each channel, over all places that share it.
    squares: Vec<f64>,
    /// Sum of the squares of the second layer's weights for each channel.
    weights: Vec<f64>,
    /// The largest weight for each channel.
    largest: Vec<f32>,
    /// The second layer's filters: for each, largest weight by channel; empty for a depthwise layer, whose filters read one
    /// channel and so do not notice its scale.
    filters: Vec<Vec<f32>>,
    /// Weights of a filter that meet one channel.
    taps: f64,
}

impl Costs {
    fn new(graph: &Graph<Op>, pair: &Pair, statistics: &Statistics, samples: usize) -> Self {
        let n = pair.first.outputs;
        let second = &pair.second;
        let channel_of = |filter: usize, k: usize| second.input_channel(filter, k) % n;
        let (mut extents, mut squares) = (vec![0f32; n], vec![0f64; n]);
        let places = (statistics.channels.len() / n).max(1) as f64;
        for (position, channel) in statistics.channels.iter().enumerate() {
            let extent = channel.range.max.abs().max(channel.range.min.abs());
            extents[position % n] = extents[position % n].max(extent);
            squares[position % n] += f64::from(channel.mean_square) / places;
        }
        // A channel that was quiet in a few samples need not be so in the next ones: the fewer numbers of it were seen, the
        // less far it may be from the loudest.
        let seen = samples * graph.value(pair.second.x).ty.len() / n;
        let loudest = extents.iter().fold(0f32, |loudest, extent| loudest.max(*extent));
        let least = loudest / (1.0 + seen as f32 / DOUBT);
        extents.iter_mut().for_each(|extent| *extent = extent.max(least));
        let (mut weights, mut largest, mut filters) = (vec![0f64; n], vec![0f32; n], Vec::new());
        for (filter, row) in second.weights(graph).chunks_exact(second.len()).enumerate() {
            let mut by_channel = vec![0f32; n];
            for (k, &w) in row.iter().enumerate() {
                let channel = channel_of(filter, k);
                weights[channel] += f64::from(w) * f64::from(w);
                by_channel[channel] = by_channel[channel].max(w.abs());
            }
            for (largest, w) in largest.iter_mut().zip(&by_channel) {
                *largest = largest.max(*w);
            }
            if second.channels > 1 {
                filters.push(by_channel);
            }
        }
        let reach = |range: Range| range.max.max(0.0) - range.min.min(0.0);
        let kept = (reach(statistics.best()) / reach(statistics.range)).clamp(0.01, 1.0);
        let taps = second.len() as f64 / n.min(second.len()) as f64;
        Self { extents, kept: if kept.is_finite() { kept } else { 1.0 }, squares, weights, largest, filters, taps }
    }

    /// What channels are divided by.
    fn scales(&self, alpha: f32) -> Vec<f32> {
        let top = |all: &[f32]| all.iter().fold(f32::MIN_POSITIVE, |top, x| top.max(*x));
        let (extent, weight) = (top(&self.extents), top(&self.largest));
        let scale = |(range, w): (&f32, &f32)| {
            // A channel that holds nothing, or that nobody weighs, takes part in neither.
            let (range, w) = ((range / extent).max(1.0 / LARGEST), (w / weight).max(1.0 / LARGEST));
            range.powf(alpha) / w.powf(1.0 - alpha)
        };
        let mut scales: Vec<f32> = self.extents.iter().zip(&self.largest).map(scale).collect();
        // Of no effect but on the size of numbers: the largest channel keeps its scale.
        let reach = |(extent, scale): (&f32, &f32)| extent / scale;
        let after = self.extents.iter().zip(&scales).map(reach).fold(f32::MIN_POSITIVE, f32::max);
        scales.iter_mut().for_each(|scale| *scale = (*scale * after / extent).clamp(1.0 / LARGEST, LARGEST));
        scales
    }

    /// The predicted noise, summed over the second layer's outputs at one place.
    fn noise(&self, scales: &[f32]) -> f64 {
        let reach = self.extents.iter().zip(scales).map(|(extent, scale)| extent / scale).fold(0f32, f32::max);
        let step = f64::from(reach * self.kept) / 255.0;
        let activations: f64 =
            self.weights.iter().zip(scales).map(|(w, &scale)| w * f64::from(scale) * f64::from(scale)).sum::<f64>();
        let power: f64 =
            self.squares.iter().zip(scales).map(|(square, &scale)| square / f64::from(scale) / f64::from(scale)).sum();
        let weights: f64 = self
            .filters
            .iter()
            .map(|filter| {
                let largest = filter.iter().zip(scales).map(|(w, scale)| w * scale).fold(0f32, f32::max);
                let step = f64::from(largest) / 127.0;
                step * step / 12.0 * power * self.taps
            })
            .sum();
        step * step / 12.0 * activations + weights
    }

    /// The power of the second layer's outputs, if its inputs were independent.
    fn signal(&self) -> f64 {
        self.weights.iter().zip(&self.squares).map(|(w, square)| w * square).sum()
    }
}

fn apply(graph: &mut Graph<Op>, pair: &Pair, scales: &[f32]) -> Result<(), Error> {
    let (first, second) = (&pair.first, &pair.second);
    let weights = first.weights(graph).chunks_exact(first.len()).zip(scales);
    let weights = weights.flat_map(|(row, scale)| row.iter().map(move |w| w / scale)).collect();
    let bias = first.bias(graph).iter().zip(scales).map(|(b, scale)| b / scale).collect();
    first.set_weights(graph, weights)?;
    first.set_bias(graph, bias)?;
    let weights = second.weights(graph).chunks_exact(second.len()).enumerate();
    let scaled = |(filter, row): (usize, &[f32])| {
        let scale = |k: usize| scales[second.input_channel(filter, k) % first.outputs];
        row.iter().enumerate().map(|(k, w)| w * scale(k)).collect::<Vec<f32>>()
    };
    let weights = weights.flat_map(scaled).collect();
    second.set_weights(graph, weights)?;
    pair.lift_limits(graph);
    Ok(())
}
