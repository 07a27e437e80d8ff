//! What repairs report, and how their results are kept for the next build.

use std::collections::BTreeSet;

use mcuopt_rt::v0::Clamp;

use super::channels::clamp;
use super::filters::Filters;
use crate::graph::Graph;
use crate::ops::Op;
use crate::tensor::Tensor;

/// What a repair gained, on the samples: signal to noise in decibels, of the network's outputs or of the layer's.
///
/// Equalization and absorption of biases say what the channels' rounding alone does to the network's outputs; headroom and a
/// choice between ways of bias correction, what the whole network's does; the rest what a layer's result shows of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Repair {
    /// The step's name, that of its option.
    pub step: &'static str,
    /// The node's name, or what of the whole network was changed.
    pub node: String,
    /// Before it.
    pub before_db: f32,
    /// With it.
    pub after_db: f32,
}

/// The steps that are known, by the names of their options.
const STEPS: [&str; 5] = ["bias_absorption", "equalization", "headroom", "bias_correction", "adaround"];

/// Repairs, the weights and biases of all linear layers, and all limits, as a text for the cache.
pub fn text(graph: &Graph<Op>, repairs: &[Repair]) -> String {
    let hex = |numbers: &[f32]| numbers.iter().map(|x| format!(" {:08x}", x.to_bits())).collect::<String>();
    let layers = (0..graph.nodes.len()).filter_map(|index| Filters::of(graph, index));
    let constants = layers.map(|layer| {
        let node = layer.node;
        format!("weights {node}{}\nbias {node}{}\n", hex(layer.weights(graph)), hex(layer.bias(graph)))
    });
    // The name is last: it may hold anything but the end of a line.
    let line = |repair: &Repair| {
        let name = repair.node.replace(['\n', '\r'], " ");
        format!("{}{} {name}\n", repair.step, hex(&[repair.before_db, repair.after_db]))
    };
    let limits = graph.nodes.iter().enumerate().filter_map(|(index, node)| {
        let clamp = *clamp(&mut node.op.clone())?;
        Some(format!("clamp {index}{}\n", hex(&[clamp.min, clamp.max])))
    });
    repairs.iter().map(line).chain(constants).chain(limits).collect()
}

/// Everything that a graph's numbers depend on, for the key of a cache: its operators, quantizations, and constants.
pub fn content(graph: &Graph<Op>) -> Vec<u8> {
    let mut content = format!("{graph:?}").into_bytes();
    let read: BTreeSet<_> = graph.nodes.iter().flat_map(|node| &node.inputs).collect();
    for id in read {
        let floats = graph.constant(*id).and_then(Tensor::f32s).unwrap_or_default();
        content.extend(floats.iter().flat_map(|x| x.to_bits().to_le_bytes()));
    }
    content
}

/// Puts what [`text`] wrote into a graph that is otherwise the same; `None`, and a graph that is half done, if it does not fit.
pub fn parse(text: &str, graph: &mut Graph<Op>) -> Option<Vec<Repair>> {
    let number = |word: &str| Some(f32::from_bits(u32::from_str_radix(word, 16).ok()?));
    let mut repairs = Vec::new();
    for line in text.lines() {
        let (step, rest) = line.split_once(' ')?;
        if let Some(step) = STEPS.into_iter().find(|known| *known == step) {
            let mut words = rest.splitn(3, ' ');
            let (before_db, after_db) = (number(words.next()?)?, number(words.next()?)?);
            repairs.push(Repair { step, node: words.next()?.to_string(), before_db, after_db });
            continue;
        }
        let mut words = rest.split(' ');
        let index: usize = words.next()?.parse().ok()?;
        let numbers: Vec<f32> = words.map(number).collect::<Option<_>>()?;
        if step == "clamp" {
            let &[min, max] = &numbers[..] else { return None };
            *clamp(&mut graph.nodes.get_mut(index)?.op)? = Clamp { min, max };
            continue;
        }
        let layer = Filters::of(graph, Some(index).filter(|index| *index < graph.nodes.len())?)?;
        match step {
            "weights" => layer.set_weights(graph, numbers).ok()?,
            "bias" => layer.set_bias(graph, numbers).ok()?,
            _ => return None,
        }
    }
    Some(repairs)
}

/// A signal to noise ratio, of their powers.
pub fn decibels(signal: f64, noise: f64) -> f32 {
    // An infinity would mean nothing to a reader of reports.
    (10.0 * (signal.max(f64::MIN_POSITIVE) / noise.max(signal * 1e-15).max(f64::MIN_POSITIVE)).log10()) as f32
}
