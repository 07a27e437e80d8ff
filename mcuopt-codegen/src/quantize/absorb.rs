//! Absorption of high biases: what a channel never falls below is no part of its range any more, but of the next layer's
//! bias. See Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction", 2019, section 4.1.3.
//!
//! relu(x) − c = relu(x − c) as long as x ≥ c ≥ 0; c is the smallest number that the samples show. Without a Relu it holds
//! for all x. Padding with zeros would tell the border from the inside, so no layer between may pad.

use std::collections::BTreeSet;

use mcuopt_rt::v0::Clamp;

use super::channels::Channels;
use super::equalize::{NOTICEABLE, SAMPLES, coarse, noise};
use super::repair::{Repair, decibels};
use crate::calibrate::{Channel, Place, Ranges, Samples, Trials};
use crate::error::Error;
use crate::graph::{Graph, ValueId};
use crate::ops::Op;
use crate::ops::pool::Kind;

/// Moves the least of every channel into the next layers' biases where the network's outputs gain by it; samples must be run
/// again if there is one. Values whose ranges are `fixed` stay as they are.
pub fn absorb(
    graph: &mut Graph<Op>,
    ranges: &Ranges,
    samples: &Samples,
    fixed: &BTreeSet<ValueId>,
) -> Result<Vec<Repair>, Error> {
    let sets: Vec<(Channels, Vec<f32>)> = Channels::all(graph, ranges, fixed)
        .into_iter()
        .filter_map(|set| {
            let shifts = shifts(graph, &set, ranges)?;
            Some((set, shifts))
        })
        .collect();
    if sets.is_empty() {
        return Ok(Vec::new());
    }
    let trials = Trials::new(graph, samples, SAMPLES, Place::Scores)?;
    let mut chosen = Vec::new();
    for (set, shifts) in &sets {
        let before = noise(&trials, graph, set, ranges, |_| (1.0, 0.0), |_| Ok(()))?;
        let after =
            noise(&trials, graph, set, ranges, |channel| (1.0, shifts[channel]), |graph| shift(graph, set, shifts))?;
        let (before_db, after_db) = (decibels(1.0, before), decibels(1.0, after));
        if after_db - before_db >= NOTICEABLE {
            let node = graph.nodes[set.readers[0].node].name.clone();
            chosen.push((set, shifts, Repair { step: "bias_absorption", node, before_db, after_db }));
        }
    }
    for (set, shifts, _) in &chosen {
        shift(graph, set, shifts)?;
    }
    Ok(chosen.into_iter().map(|(_, _, repair)| repair).collect())
}

/// What each channel never falls below, or never rises above; `None` if all channels come near 0, or nothing may be moved.
fn shifts(graph: &Graph<Op>, set: &Channels, ranges: &Ranges) -> Option<Vec<f32>> {
    let moves_only = |node: &usize| match &graph.nodes[*node].op {
        Op::Pool(pool) => {
            let clamped = matches!(pool.kind, Kind::Average { clamp, .. } if clamp != Clamp::NONE);
            !clamped && !pool.round_up && pool.window.pads.iter().all(|pads| *pads == [0, 0])
        }
        Op::Reshape(_) => true,
        _ => false,
    };
    let [writer] = &set.writers[..] else { return None };
    if set.readers.iter().any(|reader| reader.padded) || !set.between.iter().all(moves_only) {
        return None;
    }
    let shift = |channel: &Channel| match channel.range {
        range if range.min > 0.0 => coarse(range.min).min(range.min),
        range if range.max < 0.0 && writer.clamp.min != 0.0 => coarse(range.max).max(range.max),
        _ => 0.0,
    };
    let shifts: Vec<f32> = ranges.get(&writer.y)?.channels.iter().map(shift).collect();
    (shifts.len() == set.count && shifts.iter().any(|shift| *shift != 0.0)).then_some(shifts)
}

fn shift(graph: &mut Graph<Op>, set: &Channels, shifts: &[f32]) -> Result<(), Error> {
    for reader in &set.readers {
        let rows = reader.weights(graph).chunks_exact(reader.len()).zip(reader.bias(graph)).enumerate();
        let moved = |(filter, (row, bias)): (usize, (&[f32], &f32))| {
            let shift = |k: usize| f64::from(shifts[reader.input_channel(filter, k) % set.count]);
            let sum: f64 = row.iter().enumerate().map(|(k, w)| f64::from(*w) * shift(k)).sum();
            (f64::from(*bias) + sum) as f32
        };
        let bias = rows.map(moved).collect();
        reader.set_bias(graph, bias)?;
    }
    for writer in &set.writers {
        let bias = writer.bias(graph).iter().zip(shifts).map(|(bias, shift)| bias - shift).collect();
        writer.set_bias(graph, bias)?;
    }
    set.lift_limits(graph);
    Ok(())
}
