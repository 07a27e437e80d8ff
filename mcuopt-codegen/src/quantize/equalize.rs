//! Cross-layer equalization: the channels between linear layers are scaled so that they share one activation scale well,
//! without any change to what the network computes.
//!
//! f(x/s)·s = f(x) for Relu and its like, so a channel may be divided by s in the filters that write it and multiplied by it
//! in the weights that read it. See Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction",
//! 2019, section 4.1. Filters have a scale each, so those that write a channel do not notice; nor do depthwise filters that
//! read one. Others have all channels in one scale, which is why, as in Xiao et al., "SmoothQuant", 2023,
//! s = range^α / weight^(1−α) is tried for several α. What counts is the error of the network's outputs over samples, with
//! the channels' values and the layers around them rounded and nothing else: no set of channels is scaled that does not
//! gain by it.

use std::collections::BTreeSet;

use super::channels::Channels;
use super::repair::{Repair, decibels};
use super::scales;
use crate::calibrate::{Change, Channel, Place, Range, Ranges, Samples, Statistics, Trials};
use crate::error::Error;
use crate::graph::{Graph, ValueId};
use crate::ops::{Op, Scales};
use crate::quantize::asymmetric;

/// Exponents of the range that are tried.
const ALPHAS: [f32; 3] = [0.5, 0.75, 1.0];

/// The least gain, in decibels, for which channels are changed: less is within what samples leave open.
pub(super) const NOTICEABLE: f32 = 0.5;

/// Samples that are run.
pub(super) const SAMPLES: usize = 16;

/// So many numbers of a channel leave it open whether it is twice as quiet as another.
const DOUBT: f32 = 200.0;

/// Largest scale of a channel relative to others.
const LARGEST: f32 = 1e5;

/// Equalizes every set of channels that gains by it; samples must be run again if there is one. Values whose ranges are
/// `fixed` stay as they are.
pub fn equalize(
    graph: &mut Graph<Op>,
    ranges: &Ranges,
    samples: &Samples,
    fixed: &BTreeSet<ValueId>,
) -> Result<Vec<Repair>, Error> {
    let sets = Channels::all(graph, ranges, fixed);
    if sets.is_empty() {
        return Ok(Vec::new());
    }
    let trials = Trials::new(graph, samples, SAMPLES, Place::Scores)?;
    let mut chosen = Vec::new();
    for set in &sets {
        let Some(levels) = Levels::new(graph, set, ranges, samples.len()) else { continue };
        let noise = |scales: &[f32]| {
            noise(&trials, graph, set, ranges, |channel| (scales[channel], 0.0), |graph| set.scale(graph, scales))
        };
        let before = noise(&vec![1.0; set.count])?;
        let mut best = (before, None);
        for alpha in ALPHAS {
            let scales = levels.scales(alpha);
            let noise = noise(&scales)?;
            if noise < best.0 {
                best = (noise, Some(scales));
            }
        }
        let (before_db, after_db) = (decibels(1.0, before), decibels(1.0, best.0));
        if let Some(scales) = best.1.filter(|_| after_db - before_db >= NOTICEABLE) {
            let node = graph.nodes[set.readers[0].node].name.clone();
            chosen.push((set, scales, Repair { step: "equalization", node, before_db, after_db }));
        }
    }
    // Each was tried in the network as it was.
    for (set, scales, _) in &chosen {
        set.scale(graph, scales)?;
    }
    Ok(chosen.into_iter().map(|(_, _, repair)| repair).collect())
}

/// What is known of the channels of a set.
struct Levels {
    /// Largest magnitude of each channel, relative to the largest of its tensor.
    extents: Vec<f32>,
    /// The largest weight that meets each channel, relative to the largest of its filter.
    weights: Vec<f32>,
}

impl Levels {
    fn new(graph: &Graph<Op>, set: &Channels, ranges: &Ranges, samples: usize) -> Option<Self> {
        let n = set.count;
        let mut extents = vec![0f32; n];
        for id in &set.values {
            let mut own = vec![0f32; n];
            for (position, channel) in ranges.get(id)?.channels.iter().enumerate() {
                let extent = channel.range.max.abs().max(channel.range.min.abs());
                own[position % n] = own[position % n].max(extent);
            }
            let loudest = own.iter().fold(f32::MIN_POSITIVE, |loudest, extent| loudest.max(*extent));
            // A channel that was quiet in a few samples need not be so in the next ones: the fewer numbers of it were seen,
            // the less far it may be from the loudest.
            let least = 1.0 / (1.0 + (samples * graph.value(*id).ty.len() / n) as f32 / DOUBT);
            for (extent, own) in extents.iter_mut().zip(&own) {
                *extent = extent.max(own / loudest).max(least);
            }
        }
        let mut weights = vec![0f32; n];
        for reader in &set.readers {
            for (filter, row) in reader.weights(graph).chunks_exact(reader.len()).enumerate() {
                // A depthwise filter has its one channel in a scale of its own.
                let largest = row.iter().fold(f32::MIN_POSITIVE, |largest, w| largest.max(w.abs()));
                for (k, w) in row.iter().enumerate() {
                    let relative = if reader.channels == 1 { 1.0 } else { w.abs() / largest };
                    let channel = reader.input_channel(filter, k) % n;
                    weights[channel] = weights[channel].max(relative);
                }
            }
        }
        Some(Self { extents, weights })
    }

    /// What channels are divided by.
    fn scales(&self, alpha: f32) -> Vec<f32> {
        let scale = |(range, w): (&f32, &f32)| {
            // A channel that holds nothing, or that nobody weighs, takes part in neither.
            range.max(1.0 / LARGEST).powf(alpha) / w.max(1.0 / LARGEST).powf(1.0 - alpha)
        };
        let mut scales: Vec<f32> = self.extents.iter().zip(&self.weights).map(scale).collect();
        // Of no effect but on the size of numbers: the largest channel keeps its scale.
        let reach = |(extent, scale): (&f32, &f32)| extent / scale;
        let after = self.extents.iter().zip(&scales).map(reach).fold(f32::MIN_POSITIVE, f32::max);
        scales.iter_mut().for_each(|scale| *scale = coarse((*scale * after).clamp(1.0 / LARGEST, LARGEST)));
        scales
    }
}

/// A number to three bits behind the leading one: powers differ in their last bits from one system's library to another's,
/// and code must not.
pub(super) fn coarse(x: f32) -> f32 {
    f32::from_bits((x.to_bits() + (1 << 19)) & !((1 << 20) - 1))
}

/// The error of the outputs if the values of a set of channels are rounded, and the layers around them; each channel is
/// divided by its scale after its shift was subtracted, which `change` does to the graph.
pub(super) fn noise(
    trials: &Trials,
    graph: &Graph<Op>,
    set: &Channels,
    ranges: &Ranges,
    map: impl Fn(usize) -> (f32, f32),
    change: impl FnOnce(&mut Graph<Op>) -> Result<(), Error>,
) -> Result<f64, Error> {
    let mapped = |position: usize, x: f32| {
        let (scale, shift) = map(position % set.count);
        (x - shift) / scale
    };
    let mut graph = graph.clone();
    change(&mut graph)?;
    let layers = set.writers.iter().chain(&set.readers);
    for layer in layers.clone() {
        let channels = ranges.get(&layer.x).map_or(&[][..], |known| &known.channels);
        let inside = set.values.contains(&layer.x);
        let mean = |(position, channel): (usize, &Channel)| {
            if inside { mapped(position, channel.mean) } else { channel.mean }
        };
        let means: Vec<f32> = channels.iter().enumerate().map(mean).collect();
        scales::round_layer(&mut graph, layer, 8, |_, w| scales::widest(w, 8), &means)?;
    }
    let nodes = layers.map(|layer| layer.node).chain(set.between.iter().copied()).collect();
    let producers = graph.producers();
    let is_made = |id: &&ValueId| {
        producers[id.index()].is_some_and(|producer| graph.nodes[producer].op.scales() != Scales::SameAsInput)
    };
    let range = |known: &Statistics, clips: bool| {
        let mut range = Range { min: 0.0, max: 0.0 };
        for (position, channel) in known.channels.iter().enumerate() {
            range.min = range.min.min(mapped(position, channel.range.min));
            range.max = range.max.max(mapped(position, channel.range.max));
        }
        let kept = |best: f32, all: f32| if clips && all != 0.0 { (best / all).clamp(0.3, 1.0) } else { 1.0 };
        let (best, all) = (known.best(), known.range);
        Range { min: range.min * kept(best.min, all.min), max: range.max * kept(best.max, all.max) }
    };
    let mut least = f64::INFINITY;
    for clips in [false, true] {
        let known = set.values.iter().filter(is_made).filter_map(|id| Some((id, ranges.get(id)?)));
        let rounded = known.map(|(id, known)| (*id, asymmetric(range(known, clips)))).collect();
        least = least.min(trials.noise(&graph, &Change { nodes: BTreeSet::clone(&nodes), rounded })?);
    }
    Ok(least)
}
