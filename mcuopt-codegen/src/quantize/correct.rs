//! Bias correction: what the rounding of weights shifts a layer's outputs by on average is taken off its bias.
//!
//! The shift is Σ (ŵ − w)·E\[x\], with the means of the inputs over the samples. Nagel et al., "Data-Free Quantization Through
//! Weight Equalization and Bias Correction", 2019, section 4.2.

use super::filters::Filters;
use super::refine::weight_scales;
use super::scales;
use crate::calibrate::Ranges;
use crate::error::Error;
use crate::graph::Graph;
use crate::ops::Op;

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
