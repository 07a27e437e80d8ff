//! Absorption of high biases: what a channel never falls below is no part of its range any more, but of the next layer's
//! bias. See Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction", 2019, section 4.1.3.
//!
//! relu(x) − c = relu(x − c) as long as x ≥ c ≥ 0; c is the smallest number that the samples show. Without a Relu it holds
//! for all x. Padding with zeros would tell the border from the inside, so no layer between may pad.

use mcuopt_rt::v0::Clamp;

use super::pair::Pair;
use super::repair::{Repair, decibels};
use crate::calibrate::Ranges;
use crate::error::Error;
use crate::graph::Graph;
use crate::ops::Op;
use crate::ops::pool::Kind;

/// The least gain, in decibels, for which a pair is changed.
const NOTICEABLE: f32 = 0.2;

/// Moves the least of every channel into the next layer's bias where the range of the tensor shrinks by it; samples must be
/// run again if there is one.
pub fn absorb(graph: &mut Graph<Op>, ranges: &Ranges) -> Result<Vec<Repair>, Error> {
    let mut repairs = Vec::new();
    for index in 0..graph.nodes.len() {
        let Some(pair) = Pair::before(graph, index, ranges) else { continue };
        let (first, second) = (&pair.first, &pair.second);
        let moves_only = |node: &usize| match &graph.nodes[*node].op {
            Op::Pool(pool) => {
                let clamped = matches!(pool.kind, Kind::Average { clamp, .. } if clamp != Clamp::NONE);
                !clamped && !pool.round_up && pool.window.pads.iter().all(|pads| *pads == [0, 0])
            }
            Op::Reshape(_) => true,
            _ => false,
        };
        // Behind a pool the least may be more than what went into it.
        let Some(statistics) = ranges.get(&first.y).filter(|_| !second.padded && pair.between.iter().all(moves_only))
        else {
            continue;
        };
        let rectified = first.clamp.min == 0.0;
        let n = first.outputs;
        let shifts: Vec<f32> = statistics
            .channels
            .iter()
            .map(|channel| match channel.range {
                range if range.min > 0.0 => range.min,
                range if range.max < 0.0 && !rectified => range.max,
                _ => 0.0,
            })
            .collect();
        if shifts.len() != n {
            continue;
        }
        let reach = |shifts: &[f32]| {
            let ends = statistics
                .channels
                .iter()
                .zip(shifts)
                .map(|(channel, shift)| (channel.range.min - shift, channel.range.max - shift));
            let (min, max) = ends.fold((0f32, 0f32), |(min, max), (low, high)| (min.min(low), max.max(high)));
            f64::from(max - min).powi(2)
        };
        let (before, after) = (reach(&vec![0.0; n]), reach(&shifts));
        // Of a range, the noise is in proportion to its square.
        let power: f64 =
            statistics.channels.iter().map(|channel| f64::from(channel.mean_square)).sum::<f64>() / n as f64;
        let noise = |reach: f64| reach / (255.0 * 255.0 * 12.0);
        let (before_db, after_db) = (decibels(power, noise(before)), decibels(power, noise(after)));
        let pays = after_db - before_db >= NOTICEABLE;
        if !pays {
            continue;
        }
        let weights = second.weights(graph).chunks_exact(second.len()).zip(second.bias(graph)).enumerate();
        let moved = |(filter, (row, bias)): (usize, (&[f32], &f32))| {
            let shift = |k: usize| f64::from(shifts[second.input_channel(filter, k) % n]);
            let sum: f64 = row.iter().enumerate().map(|(k, w)| f64::from(*w) * shift(k)).sum();
            (f64::from(*bias) + sum) as f32
        };
        let bias = weights.map(moved).collect();
        second.set_bias(graph, bias)?;
        let bias = first.bias(graph).iter().zip(&shifts).map(|(bias, shift)| bias - shift).collect();
        first.set_bias(graph, bias)?;
        pair.lift_limits(graph);
        let node = graph.nodes[index].name.clone();
        repairs.push(Repair { step: "bias_absorption", node, before_db, after_db });
    }
    Ok(repairs)
}
