//! Channels that linear layers write and read, with nothing between that tells one channel from another: they can be scaled
//! there, each by itself, without a change of what the network computes.

use std::collections::BTreeSet;

use mcuopt_rt::v0::Clamp;

use super::filters::Filters;
use crate::calibrate::Ranges;
use crate::error::Error;
use crate::graph::{Graph, ValueId};
use crate::ops::Op;
use crate::ops::binary::Kind;
use crate::ops::pool::Kind as PoolKind;
use crate::ops::unary::Function;

/// A set of values that share channels, and the layers around it.
#[derive(Clone, Debug)]
pub(super) struct Channels {
    /// Number of channels; a value that was flattened has them several times over.
    pub(super) count: usize,
    /// The values.
    pub(super) values: BTreeSet<ValueId>,
    /// The layers that make them.
    pub(super) writers: Vec<Filters>,
    /// The layers that read them.
    pub(super) readers: Vec<Filters>,
    /// The nodes between.
    pub(super) between: BTreeSet<usize>,
    /// The nodes, writers included, with a limit that no sample reaches.
    unlimited: BTreeSet<usize>,
}

impl Channels {
    /// All sets of a graph without `fixed` values.
    pub(super) fn all(graph: &Graph<Op>, ranges: &Ranges, fixed: &BTreeSet<ValueId>) -> Vec<Self> {
        let (producers, consumers) = (graph.producers(), graph.consumers());
        let mut seen = BTreeSet::new();
        let mut sets = Vec::new();
        for index in 0..graph.nodes.len() {
            let Some(writer) = Filters::of(graph, index).filter(|writer| !seen.contains(&writer.y)) else { continue };
            let mut set = Self {
                count: writer.outputs,
                values: BTreeSet::new(),
                writers: Vec::new(),
                readers: Vec::new(),
                between: BTreeSet::new(),
                unlimited: BTreeSet::new(),
            };
            let found = set.extend(graph, ranges, (&producers, &consumers), writer.y);
            seen.extend(set.values.iter().copied());
            let scalable = !set.readers.is_empty() && set.values.is_disjoint(fixed);
            sets.extend(found.filter(|()| scalable).map(|()| set));
        }
        sets
    }

    /// Takes a value in, and all that its channels reach; `None` if they reach what cannot be scaled.
    fn extend(
        &mut self,
        graph: &Graph<Op>,
        ranges: &Ranges,
        users: (&[Option<usize>], &[Vec<usize>]),
        value: ValueId,
    ) -> Option<()> {
        let mut open = vec![value];
        while let Some(id) = open.pop() {
            if !self.values.insert(id) {
                continue;
            }
            let known = graph.value(id);
            let innermost = known.ty.shape.last().copied().unwrap_or(1);
            let scalable = innermost > 0 && innermost.is_multiple_of(self.count) && !graph.is_output(id);
            let producer = users.0[id.index()].filter(|_| scalable && known.quantization.is_none())?;
            match Filters::of(graph, producer).filter(|writer| writer.y == id) {
                Some(writer) => {
                    let fits = writer.outputs == self.count && innermost == self.count && !writer.is_authored(graph);
                    self.limit(ranges, producer, writer.clamp, id).filter(|()| fits)?;
                    self.writers.push(writer);
                }
                None => open.extend(self.between(graph, ranges, producer)?),
            }
            for &consumer in &users.1[id.index()] {
                match Filters::of(graph, consumer).filter(|reader| reader.x == id) {
                    Some(reader) => {
                        let operands = graph.nodes[consumer].inputs.iter().filter(|operand| **operand == id).count();
                        let fits = (reader.channels * reader.groups).is_multiple_of(self.count);
                        // Scaled channel by channel, what training rounded would be on no grid any more.
                        let learned = reader.channels > 1 && reader.is_on_grid(graph);
                        if operands != 1 || !fits || learned || reader.is_authored(graph) {
                            return None;
                        }
                        if !self.readers.iter().any(|other| other.node == consumer) {
                            self.readers.push(reader);
                        }
                    }
                    None => open.extend(self.between(graph, ranges, consumer)?),
                }
            }
        }
        Some(())
    }

    /// Takes a node in that does to each channel the same whatever its scale; all values that have its channels.
    fn between(&mut self, graph: &Graph<Op>, ranges: &Ranges, index: usize) -> Option<Vec<ValueId>> {
        let node = &graph.nodes[index];
        let &[output] = &node.outputs[..] else { return None };
        match &node.op {
            Op::Unary(unary) => match unary.function {
                Function::Clip(clamp) => self.limit(ranges, index, clamp, output)?,
                Function::LeakyRelu(_) => {}
                _ => return None,
            },
            Op::Pool(pool) => match pool.kind {
                PoolKind::Max => {}
                PoolKind::Average { clamp, .. } => self.limit(ranges, index, clamp, output)?,
                PoolKind::Lp { .. } => return None,
            },
            Op::Binary(binary) if binary.kind == Kind::Add => {
                let same = |id: &ValueId| graph.value(*id).ty.shape == graph.value(output).ty.shape;
                if !node.inputs.iter().all(|id| graph.constant(*id).is_none() && same(id)) {
                    return None;
                }
                self.limit(ranges, index, binary.clamp, output)?;
            }
            Op::Reshape(_) => {}
            _ => return None,
        }
        self.between.insert(index);
        Some(node.inputs.iter().copied().chain([output]).collect())
    }

    /// Limits other than 0 that bite would have to differ by channel.
    fn limit(&mut self, ranges: &Ranges, node: usize, clamp: Clamp, output: ValueId) -> Option<()> {
        if clamp == Clamp::NONE {
            return Some(());
        }
        let known = ranges.get(&output)?.range;
        let below = clamp.min == f32::NEG_INFINITY || clamp.min == 0.0 || known.min > clamp.min;
        let above = clamp.max == f32::INFINITY || known.max < clamp.max;
        self.unlimited.insert(node);
        (below && above).then_some(())
    }

    /// Divides each channel by its scale where it is written, and makes up for it where it is read.
    pub(super) fn scale(&self, graph: &mut Graph<Op>, scales: &[f32]) -> Result<(), Error> {
        for writer in &self.writers {
            let rows = writer.weights(graph).chunks_exact(writer.len()).zip(scales);
            let weights = rows.flat_map(|(row, scale)| row.iter().map(move |w| w / scale)).collect();
            let bias = writer.bias(graph).iter().zip(scales).map(|(b, scale)| b / scale).collect();
            writer.set_weights(graph, weights)?;
            writer.set_bias(graph, bias)?;
        }
        for reader in &self.readers {
            let rows = reader.weights(graph).chunks_exact(reader.len()).enumerate();
            let scaled = |(filter, row): (usize, &[f32])| {
                let scale = |k: usize| scales[reader.input_channel(filter, k) % self.count];
                row.iter().enumerate().map(|(k, w)| w * scale(k)).collect::<Vec<f32>>()
            };
            let weights = rows.flat_map(scaled).collect();
            reader.set_weights(graph, weights)?;
        }
        self.lift_limits(graph);
        Ok(())
    }

    /// Takes off the limits that no sample reaches: they would have to differ by channel.
    pub(super) fn lift_limits(&self, graph: &mut Graph<Op>) {
        for &node in &self.unlimited {
            let Some(clamp) = clamp(&mut graph.nodes[node].op) else { continue };
            clamp.max = f32::INFINITY;
            if clamp.min != 0.0 {
                clamp.min = f32::NEG_INFINITY;
            }
        }
    }
}

/// The limits of an operator's result, where it has some.
pub(super) fn clamp(op: &mut Op) -> Option<&mut Clamp> {
    match op {
        Op::Conv(conv) => Some(&mut conv.clamp),
        Op::Dense(dense) => Some(&mut dense.clamp),
        Op::Binary(binary) => Some(&mut binary.clamp),
        Op::Unary(unary) => match &mut unary.function {
            Function::Clip(clamp) => Some(clamp),
            _ => None,
        },
        Op::Pool(pool) => match &mut pool.kind {
            PoolKind::Average { clamp, .. } => Some(clamp),
            _ => None,
        },
        _ => None,
    }
}
