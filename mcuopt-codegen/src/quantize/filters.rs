//! What the repairs see of a linear layer: filters over windows of the input, a bias, a clamp.

use mcuopt_rt::v0::Clamp;

use super::grid::grid;
use crate::calibrate::{Ranges, Statistics};
use crate::error::Error;
use crate::graph::{Graph, Node, ValueId, Width};
use crate::ops::{Op, linear};
use crate::tensor::{Element as _, Tensor};

/// A convolution or dense layer whose filters are float constants.
#[derive(Clone, Debug)]
pub(super) struct Filters {
    /// The node's position.
    pub(super) node: usize,
    /// The input.
    pub(super) x: ValueId,
    /// The output.
    pub(super) y: ValueId,
    /// Filters.
    pub(super) outputs: usize,
    /// Groups of filters, each of which reads channels of its own.
    pub(super) groups: usize,
    /// Channels that a filter reads.
    pub(super) channels: usize,
    /// Positions of a window.
    pub(super) taps: usize,
    /// Limits of the output.
    pub(super) clamp: Clamp,
    /// Whether windows reach beyond the input.
    pub(super) padded: bool,
}

impl Filters {
    /// The linear layer at a position; `None` for other operators.
    pub(super) fn of(graph: &Graph<Op>, index: usize) -> Option<Self> {
        let node = &graph.nodes[index];
        let (&[x, weights, bias], &[y]) = (&node.inputs[..], &node.outputs[..]) else { return None };
        let (groups, clamp, padded) = match &node.op {
            Op::Conv(conv) => (conv.group, conv.clamp, conv.window.pads.iter().any(|pads| *pads != [0, 0])),
            Op::Dense(dense) => (1, dense.clamp, false),
            _ => return None,
        };
        graph.constant(bias)?.f32s()?;
        let (outputs, len) = (graph.value(bias).ty.len(), graph.constant(weights)?.f32s()?.len());
        let channels = *graph.value(weights).ty.shape.last()?;
        if outputs == 0 || len == 0 || channels == 0 {
            return None;
        }
        let taps = len / outputs / channels;
        Some(Self { node: index, x, y, outputs, groups, channels, taps, clamp, padded })
    }

    /// Weights of a filter, `[taps, channels]`.
    pub(super) fn len(&self) -> usize {
        self.taps * self.channels
    }

    /// The filters of a group.
    pub(super) fn of_group(&self, group: usize) -> std::ops::Range<usize> {
        let each = self.outputs / self.groups;
        group * each..(group + 1) * each
    }

    /// The input's channel that weight `k` of a filter meets.
    pub(super) fn input_channel(&self, filter: usize, k: usize) -> usize {
        filter / (self.outputs / self.groups).max(1) * self.channels + k % self.channels
    }

    /// All weights, filter after filter.
    pub(super) fn weights<'g>(&self, graph: &'g Graph<Op>) -> &'g [f32] {
        graph.constant(graph.nodes[self.node].inputs[1]).and_then(Tensor::f32s).unwrap_or_default()
    }

    /// The bias of each filter.
    pub(super) fn bias<'g>(&self, graph: &'g Graph<Op>) -> &'g [f32] {
        graph.constant(graph.nodes[self.node].inputs[2]).and_then(Tensor::f32s).unwrap_or_default()
    }

    /// Whether the file's author quantized the weights.
    pub(super) fn is_authored(&self, graph: &Graph<Op>) -> bool {
        graph.value(graph.nodes[self.node].inputs[1]).quantization.is_some()
    }

    /// Whether the weights were rounded in training.
    pub(super) fn is_on_grid(&self, graph: &Graph<Op>) -> bool {
        self.len() > 1 && self.weights(graph).chunks_exact(self.len()).all(|filter| grid(filter, 127).is_some())
    }

    /// What is known of the input. A step between widths has seen what is before it.
    pub(super) fn seen<'r>(&self, graph: &Graph<Op>, ranges: &'r Ranges) -> Option<&'r Statistics> {
        let step = |node: &&Node<Op>| matches!(node.op, Op::FakeQuantize(_)) && node.outputs.contains(&self.x);
        ranges.get(&self.x).or_else(|| ranges.get(graph.nodes.iter().find(step)?.inputs.first()?))
    }

    /// Bits of a weight.
    pub(super) fn bits(&self, graph: &Graph<Op>) -> u32 {
        let weights = graph.value(graph.nodes[self.node].inputs[1]);
        if linear::weight_width(weights) == Width::Int4 { 4 } else { 8 }
    }

    /// Replaces the weights; others that read the old ones keep them.
    pub(super) fn set_weights(&self, graph: &mut Graph<Op>, weights: Vec<f32>) -> Result<(), Error> {
        self.set(graph, 1, weights)
    }

    /// Replaces the bias.
    pub(super) fn set_bias(&self, graph: &mut Graph<Op>, bias: Vec<f32>) -> Result<(), Error> {
        self.set(graph, 2, bias)
    }

    fn set(&self, graph: &mut Graph<Op>, operand: usize, elements: Vec<f32>) -> Result<(), Error> {
        let old = graph.value(graph.nodes[self.node].inputs[operand]).clone();
        let tensor = Tensor::new(&old.ty.shape, elements).ok_or_else(|| Error::bug("a constant changed its size"))?;
        let id = graph.add_constant(old.name, tensor);
        graph.value_mut(id).quantization = old.quantization;
        graph.nodes[self.node].inputs[operand] = id;
        Ok(())
    }

    /// The layer's operator without its clamp.
    pub(super) fn unclamped(&self, graph: &Graph<Op>) -> Op {
        let mut op = graph.nodes[self.node].op.clone();
        match &mut op {
            Op::Conv(conv) => conv.clamp = Clamp::NONE,
            Op::Dense(dense) => dense.clamp = Clamp::NONE,
            _ => {}
        }
        op
    }

    /// Windows of `x` spread evenly over it, about `count` of them, zero in the padding: `[windows, taps, channels of all
    /// groups]`.
    pub(super) fn windows(&self, graph: &Graph<Op>, x: &Tensor, count: usize) -> Vec<f32> {
        let elements = f32::of(x);
        let channels = self.channels * self.groups;
        let mut chosen = Vec::new();
        let Op::Conv(conv) = &graph.nodes[self.node].op else {
            let rows = elements.chunks_exact(channels).enumerate();
            let share = share(count, elements.len() / channels);
            rows.filter(|(row, _)| is_chosen(*row, share)).for_each(|(_, row)| chosen.extend(row));
            return chosen;
        };
        let shape = x.shape();
        let rank = shape.len() - 2;
        let spatial = &shape[1..=rank];
        let windows = &graph.value(self.y).ty.shape[1..=rank];
        let each: usize = windows.iter().product();
        let share = share(count, each * shape[0]);
        let image = spatial.iter().product::<usize>() * channels;
        for (batch, image) in elements.chunks_exact(image.max(1)).enumerate() {
            conv.window.visit(spatial, windows, |index, inside| {
                if !is_chosen(batch * each + index, share) {
                    return;
                }
                let start = chosen.len();
                chosen.resize(start + self.taps * channels, 0.0);
                for &(tap, pixel) in inside {
                    let pixel = &image[pixel * channels..(pixel + 1) * channels];
                    chosen[start + tap * channels..][..channels].copy_from_slice(pixel);
                }
            });
        }
        chosen
    }
}

/// `count` of `all`, in parts of 2³².
fn share(count: usize, all: usize) -> u64 {
    ((count as u64) << 32) / all.max(1) as u64
}

/// Chooses a share of all positions, evenly, but in step with no row length: multiples of the golden ratio do that.
fn is_chosen(position: usize, share: u64) -> bool {
    u64::from((position as u32).wrapping_mul(0x9e37_79b9)) < share
}
