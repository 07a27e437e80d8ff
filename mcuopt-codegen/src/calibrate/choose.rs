//! Choosing between ranges by the error that they cause.

use std::collections::BTreeSet;

use super::trials::{Change, Place, Trials};
use super::{Method, Ranges, Samples};
use crate::error::Error;
use crate::graph::Graph;
use crate::ops::{Op, Scales};
use crate::quantize::asymmetric;

/// Samples that are enough to tell ranges apart.
pub(super) const SAMPLES: usize = 32;

/// Gives each value the method with the smallest error in the network's outputs, over some of the samples, if that value
/// alone is quantized.
///
/// A range that looks good in the tensor itself, or in the layer that reads it, may be bad for the outputs: a large element
/// that is rare may be the one that decides.
pub fn choose(graph: &Graph<Op>, samples: &Samples, ranges: &mut Ranges) -> Result<(), Error> {
    let trials = Trials::new(graph, samples, SAMPLES, Place::Scores)?;
    // Values that have the quantization of others.
    let moved = graph.nodes.iter().filter(|node| node.op.scales() == Scales::SameAsInput);
    let moved: BTreeSet<_> = moved.flat_map(|node| node.outputs.iter().take(1)).collect();
    for (id, statistics) in ranges.iter_mut().filter(|(id, _)| !moved.contains(id)) {
        let mut best = (f64::INFINITY, Method::MinMax);
        let mut tried = Vec::new();
        for (method, range) in Method::DIRECT.into_iter().zip(statistics.candidates) {
            if tried.contains(&range) {
                continue;
            }
            tried.push(range);
            let rounded = [(*id, asymmetric(range))].into();
            let noise = trials.noise(graph, &Change { rounded, ..Change::default() })?;
            // Of equal errors the first: the widest range.
            if noise < best.0 {
                best = (noise, method);
            }
        }
        statistics.method = best.1;
    }
    Ok(())
}
