//! Bias correction: what rounding shifts a layer's outputs by on average is taken off its bias.
//!
//! The shift is known in two ways. From the means of the inputs: Σ (ŵ − w)·E\[x\], which needs no run of the network. Or from
//! the quantized network itself, layer by layer, which sees what clipping and rounding of activations do as well, but takes
//! what is peculiar to the samples for the rule. Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias
//! Correction", 2019, section 4.2 and appendix D. Which one is better depends on the network: half of the samples say it of
//! the other half.

use super::filters::Filters;
use super::held_out::noise_of;
use super::refine::{Fit, refine, weight_scales};
use super::repair::{Repair, decibels};
use super::scales;
use crate::calibrate::{Place, Ranges, Samples, Trials};
use crate::error::Error;
use crate::graph::Graph;
use crate::ops::Op;

/// Samples by which the ways are compared.
const SAMPLES: usize = 32;

/// Corrects the biases of the linear `layers`, whose weights have scales already, in the way with the
/// least error against the network in `float`.
pub fn correct_bias(
    graph: &mut Graph<Op>,
    float: &Graph<Op>,
    layers: &[usize],
    ranges: &Ranges,
    samples: &Samples,
) -> Result<Vec<Repair>, Error> {
    let fit = Fit { bias: true, adaround: false };
    let [fitted, other] = match samples.len() {
        // Too few to be divided.
        0..4 => [samples.only(|_| true), samples.only(|_| true)],
        _ => [samples.only(|index| index % 2 == 0), samples.only(|index| index % 2 == 1)],
    };
    let trials = Trials::new(float, &other, SAMPLES, Place::Outputs)?;
    let known = correct_by_means(graph, layers, ranges)?;
    let plain = correct_by_means(graph, layers, &Ranges::new())?;
    let mut run = graph.clone();
    refine(&mut run, layers, &fitted, fit)?;
    let noise = |graph: &Graph<Op>| Ok::<f32, Error>(decibels(1.0, noise_of(&trials, graph)?));
    let [before, with_means, with_runs] = [noise(&plain)?, noise(&known)?, noise(&run)?];
    let repair = |node: &str, after_db: f32| Repair {
        step: "bias_correction",
        node: node.to_string(),
        before_db: before,
        after_db,
    };
    if before >= with_means.max(with_runs) {
        return Ok(Vec::new());
    }
    if with_means >= with_runs {
        *graph = known;
        return Ok(vec![repair("all layers, by the means of their inputs", with_means)]);
    }
    let mut repairs = vec![repair("all layers, by runs of the network", with_runs)];
    repairs.extend(refine(graph, layers, samples, fit)?);
    Ok(repairs)
}

/// The graph with rounded weights, and biases corrected for the means of inputs that `ranges` know.
pub fn correct_by_means(graph: &Graph<Op>, layers: &[usize], ranges: &Ranges) -> Result<Graph<Op>, Error> {
    let mut graph = graph.clone();
    for filters in layers.iter().filter_map(|index| Filters::of(&graph, *index)).collect::<Vec<_>>() {
        let known = filters.seen(&graph, ranges);
        let means: Vec<f32> = known.map_or(Vec::new(), |known| known.channels.iter().map(|c| c.mean).collect());
        let (scales, bits) = (weight_scales(&graph, &filters), filters.bits(&graph));
        scales::round_layer(&mut graph, &filters, bits, |filter, _| scales[filter], &means)?;
    }
    Ok(graph)
}
