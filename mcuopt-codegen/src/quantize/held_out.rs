//! The error on samples that ranges were not taken from.
//!
//! A range that holds all samples need not hold the next one. How much that costs, samples themselves tell: ranges are taken
//! from most of them, and the error is measured with the rest, in turn.

use std::collections::{BTreeMap, BTreeSet};
use std::iter;

use super::assign::assign;
use super::channels::clamp;
use super::filters::Filters;
use super::scales;
use crate::calibrate::{Change, Place, Range, Ranges, Samples, Trials, calibrate};
use crate::error::Error;
use crate::graph::{Graph, ValueId};
use crate::ops::Op;

/// Parts that samples are divided into.
const FOLDS: usize = 3;

/// Samples of a part that are run.
const SAMPLES: usize = 12;

/// Fewer samples than these say nothing about the next one.
pub const LEAST: usize = 8;

/// Room that ranges leave beyond what samples show.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Headroom {
    /// What ranges are multiplied by.
    pub factor: f32,
    /// Whether the network's inputs get it, too: numbers from a sensor often have an end, and a grid.
    pub inputs: bool,
}

impl Headroom {
    /// None at all.
    pub const NONE: Headroom = Headroom { factor: 1.0, inputs: false };

    /// What is tried: the more of it the better, as long as it costs nothing.
    pub const TRIED: [Headroom; 7] = [
        Headroom { factor: 1.5, inputs: true },
        Headroom { factor: 1.5, inputs: false },
        Headroom { factor: 1.25, inputs: true },
        Headroom { factor: 1.25, inputs: false },
        Headroom { factor: 1.125, inputs: true },
        Headroom { factor: 1.125, inputs: false },
        Headroom::NONE,
    ];

    /// Widens the ranges of a graph, except where an operator's limit is what ends them, and `fixed` ones.
    pub fn widen(self, graph: &Graph<Op>, ranges: &Ranges, fixed: &BTreeSet<ValueId>) -> Ranges {
        let producers = graph.producers();
        let mut wider = ranges.clone();
        for (id, statistics) in wider.iter_mut() {
            let producer = producers[id.index()];
            if producer.is_none() && !self.inputs || fixed.contains(id) {
                continue;
            }
            let clamp = producer.and_then(|producer| clamp(&mut graph.nodes[producer].op.clone()).copied());
            let (low, high) = clamp.map_or((f32::NEG_INFINITY, f32::INFINITY), |clamp| (clamp.min, clamp.max));
            let widen = |range: Range| {
                let (min, max) = (range.min * self.factor, range.max * self.factor);
                Range { min: min.max(low).min(range.min), max: max.min(high).max(range.max) }
            };
            for range in iter::once(&mut statistics.range).chain(&mut statistics.candidates) {
                *range = widen(*range);
            }
        }
        wider
    }
}

/// The error of the network's outputs with each headroom, weights rounded as well; ranges are chosen by the methods that
/// `ranges` have.
pub fn held_out(
    graph: &Graph<Op>,
    samples: &Samples,
    ranges: &Ranges,
    headrooms: &[Headroom],
    fixed: &BTreeSet<ValueId>,
) -> Result<Vec<f64>, Error> {
    let mut noises = vec![0f64; headrooms.len()];
    let folds = FOLDS.min(samples.len());
    for fold in 0..folds {
        let mut known = calibrate(graph, &samples.only(|index| index % folds != fold))?;
        for (id, statistics) in &mut known {
            let Some(chosen) = ranges.get(id) else { continue };
            statistics.method = chosen.method;
            if fixed.contains(id) {
                (statistics.range, statistics.candidates) = (chosen.range, chosen.candidates);
            }
        }
        let trials = Trials::new(graph, &samples.only(|index| index % folds == fold), SAMPLES, Place::Outputs)?;
        let mut rounded = graph.clone();
        round_weights(&mut rounded, &known)?;
        for (headroom, noise) in headrooms.iter().zip(&mut noises) {
            let mut quantized = rounded.clone();
            assign(&mut quantized, Some(&headroom.widen(graph, &known, fixed)))?;
            *noise += noise_of(&trials, &quantized)? / folds as f64;
        }
    }
    Ok(noises)
}

/// Rounds the weights of all layers that may run in integers.
pub(super) fn round_weights(graph: &mut Graph<Op>, ranges: &Ranges) -> Result<(), Error> {
    for index in 0..graph.nodes.len() {
        let Some(filters) = Filters::of(graph, index).filter(|filters| !filters.is_authored(graph)) else { continue };
        let means: Vec<f32> = ranges
            .get(&filters.x)
            .map_or(Vec::new(), |known| known.channels.iter().map(|channel| channel.mean).collect());
        scales::round_layer(graph, &filters, 8, |_, w| scales::widest(w, 8), &means)?;
    }
    Ok(())
}

/// The error of a network whose activations have their quantizations, and whose constants are rounded already.
pub(super) fn noise_of(trials: &Trials, graph: &Graph<Op>) -> Result<f64, Error> {
    let activations = graph.ids().filter(|id| graph.constant(*id).is_none());
    let rounded: BTreeMap<_, _> =
        activations.filter_map(|id| Some((id, graph.value(id).quantization.clone()?))).collect();
    trials.noise(graph, &Change { nodes: (0..graph.nodes.len()).collect(), rounded })
}
