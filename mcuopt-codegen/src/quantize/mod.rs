//! Float graph → kernels of mcuopt-rt, in int8 or int16 where the tensors have a quantization and in float32 elsewhere.
//!
//! [`tables`] makes one operator of several that depend on one tensor alone. [`assign`] gives each activation its quantization: the author's, the operator's own, or the calibrated range's.
//! [`lower`] then asks each operator for its kernel. Where a float operator meets an integer one, a Quantize or
//! Dequantize is put between. [`Precisions`] says which layer computes in what.
//!
//! Around `assign` stand the repairs, which change constants so that less is lost: [`absorb`] and [`equalize`] before it,
//! as they change ranges; [`choose_scales`], [`correct_by_means`] and [`refine`] (AdaRound) behind it.

mod absorb;
mod adaround;
mod assign;
mod channels;
mod correct;
mod equalize;
mod filters;
mod gaps;
mod grid;
mod held_out;
mod lower;
pub(crate) mod pattern;
mod precision;
mod record;
mod refine;
mod repair;
mod report;
mod scales;
mod tables;
mod weights;

pub use absorb::absorb;
pub(crate) use assign::asymmetric;
pub use assign::{assign, assign_mixed};
pub use correct::correct_by_means;
pub use equalize::equalize;
pub use gaps::fill_gaps;
pub use grid::keep_grids;
pub use held_out::{Headroom, LEAST as LEAST_SAMPLES, held_out};
pub use lower::lower;
pub(crate) use lower::{Origins, lower_with_origins};
pub use precision::{LayerPrecision, Precisions};
pub use record::Record;
pub use refine::{Fit, learns, refine};
pub use repair::{Repair, content, decibels, parse, text};
pub use report::{LayerReport, Report, report};
pub(crate) use report::{reals, stored};
pub use scales::choose_scales;
pub use tables::{compose, tables, tables_mixed};
pub use weights::{pack_weights, weights8};

use std::collections::BTreeMap;

use mcuopt_rt::v0::Clamp;

use crate::graph::{Graph, Node, ValueId};
use crate::ops::quantize::{detach, signed};
use crate::ops::unary::{Function, Unary};
use crate::ops::{Op, Scales};

/// Takes the author's quantization out of a graph that is to run in float: constants keep their rounded values,
/// activations are no longer rounded.
///
/// They stay within the range of their integers, though: tools drop a Relu or Clip whose limits are the ends of it.
/// With `keep_constants`, constants keep their scales.
pub fn forget(graph: &mut Graph<Op>, keep_constants: bool) {
    for value in graph.values.iter_mut().filter(|value| !keep_constants || value.constant.is_none()) {
        value.quantization = None;
    }
    let producers = graph.producers();
    // The ranges of the values that stay within them already, or must not be limited: the graph's inputs.
    let mut limited: BTreeMap<ValueId, Clamp> = BTreeMap::new();
    for index in 0..graph.nodes.len() {
        let node = &graph.nodes[index];
        let (Some(&input), &[output]) = (node.inputs.first(), &node.outputs[..]) else { continue };
        if node.op.scales() == Scales::SameAsInput {
            if let Some(clamp) = limited.get(&input).copied() {
                limited.insert(output, clamp);
            }
            continue;
        }
        let before = producers[input.index()].map(|producer| &graph.nodes[producer]);
        let (Op::DequantizeLinear(_), Some(Node { op: Op::QuantizeLinear(quantize), inputs, .. })) = (&node.op, before)
        else {
            continue;
        };
        let source = inputs[0];
        let signed = signed(&quantize.quantization, quantize.dtype);
        let (min, max) = signed.width.limits();
        let range = signed.single().map(|(scale, zero_point)| Clamp {
            min: (min - zero_point) as f32 * scale,
            max: (max - zero_point) as f32 * scale,
        });
        let within = |known: &Clamp| range.is_some_and(|range| range.min <= known.min && known.max <= range.max);
        let bounded = producers[source.index()].is_none_or(|p| matches!(graph.nodes[p].op.scales(), Scales::Fixed(..)));
        match range.filter(|_| !bounded && !limited.get(&source).is_some_and(within)) {
            Some(range) => {
                let node = &mut graph.nodes[index];
                node.op = Unary { function: Function::Clip(range) }.into();
                node.inputs = vec![source];
                limited.insert(output, range);
            }
            None => {
                limited.extend(range.map(|range| (source, range)));
                graph.replace(output, source);
            }
        }
    }
    // What is left makes integers of the user's results.
    (0..graph.nodes.len()).for_each(|index| detach(graph, index));
}
