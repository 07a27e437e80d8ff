//! Two linear layers whose channels can be scaled or shifted between them.

use mcuopt_rt::v0::Clamp;

use super::filters::Filters;
use crate::calibrate::Ranges;
use crate::graph::{Graph, ValueId};
use crate::ops::Op;
use crate::ops::pool::Kind;
use crate::ops::unary::Function;

/// Two linear layers with nothing but positively homogeneous operators between them, channel by channel.
pub(super) struct Pair {
    /// The layer that makes the channels.
    pub(super) first: Filters,
    /// The layer that reads them.
    pub(super) second: Filters,
    /// The nodes, the first layer included, with a limit that no sample reaches.
    unlimited: Vec<usize>,
    /// The nodes between, from the second layer on.
    pub(super) between: Vec<usize>,
}

impl Pair {
    /// The pair whose second layer is the node at `index`.
    pub(super) fn before(graph: &Graph<Op>, index: usize, ranges: &Ranges) -> Option<Self> {
        let second = Filters::of(graph, index)?;
        let consumers = graph.consumers();
        let producers = graph.producers();
        let (mut unlimited, mut between) = (Vec::new(), Vec::new());
        let mut at = second.x;
        let first = loop {
            let free =
                consumers[at.index()].len() == 1 && !graph.is_output(at) && graph.value(at).quantization.is_none();
            let producer = producers[at.index()].filter(|_| free)?;
            // Limits other than 0 that bite would have to be scaled by channel.
            let limited = |clamp: Clamp| {
                let known = ranges.get(&at)?.range;
                let below = clamp.min == f32::NEG_INFINITY || clamp.min == 0.0 || known.min > clamp.min;
                (below && (clamp.max == f32::INFINITY || known.max < clamp.max)).then_some(())
            };
            if let Some(first) = Filters::of(graph, producer) {
                limited(first.clamp)?;
                if first.clamp != Clamp::NONE {
                    unlimited.push(producer);
                }
                break first;
            }
            between.push(producer);
            match &graph.nodes[producer].op {
                Op::Unary(unary) => match unary.function {
                    Function::Clip(clamp) => {
                        limited(clamp)?;
                        unlimited.push(producer);
                    }
                    Function::LeakyRelu(_) => {}
                    _ => return None,
                },
                Op::Pool(pool) => match pool.kind {
                    Kind::Max => {}
                    Kind::Average { clamp, .. } => {
                        limited(clamp)?;
                        unlimited.push(producer);
                    }
                    Kind::Lp { .. } => return None,
                },
                // The channels stay innermost: whole pixels are joined into a row, or none.
                Op::Reshape(_) => {
                    let extent = |id: ValueId| graph.value(id).ty.shape.last().copied().unwrap_or(1);
                    let (before, after) = (extent(graph.nodes[producer].inputs[0]), extent(at));
                    if before == 0 || !after.is_multiple_of(before) {
                        return None;
                    }
                }
                _ => return None,
            }
            at = *graph.nodes[producer].inputs.first()?;
        };
        let channels = second.channels * second.groups;
        let fits = first.outputs > 0
            && channels.is_multiple_of(first.outputs)
            && graph.value(first.y).ty.shape.last() == Some(&first.outputs);
        (fits && !first.is_authored(graph) && !second.is_authored(graph)).then_some(Self {
            first,
            second,
            unlimited,
            between,
        })
    }

    /// Takes off the limits that no sample reaches: they would have to differ by channel.
    pub(super) fn lift_limits(&self, graph: &mut Graph<Op>) {
        for &node in &self.unlimited {
            let clamp = match &mut graph.nodes[node].op {
                Op::Conv(conv) => &mut conv.clamp,
                Op::Dense(dense) => &mut dense.clamp,
                Op::Unary(unary) => match &mut unary.function {
                    Function::Clip(clamp) => clamp,
                    _ => continue,
                },
                Op::Pool(pool) => match &mut pool.kind {
                    Kind::Average { clamp, .. } => clamp,
                    _ => continue,
                },
                _ => continue,
            };
            clamp.max = f32::INFINITY;
            if clamp.min != 0.0 {
                clamp.min = f32::NEG_INFINITY;
            }
        }
    }
}
