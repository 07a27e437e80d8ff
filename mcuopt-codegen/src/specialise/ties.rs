//! Which channels of a layer's operands go together with which of its result.

use super::{broadcast, depthwise, movement, pool};
use crate::ops::Kernel;

/// How an operand hangs together with the result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Tie {
    /// Pairs (operand's channel, result's channel) that stay or go together. Channels in no pair are free to go.
    Channels(Vec<(usize, usize)>),
    /// Every channel of the result depends on the whole operand.
    Whole,
}

impl Tie {
    /// Channel for channel.
    pub(super) fn same(channels: usize) -> Self {
        Tie::Channels((0..channels).map(|channel| (channel, channel)).collect())
    }
}

/// A tie for each operand, given how many channels they and the result have; `None` for a layer that needs all of its
/// channels. A shape that lowering forgot (a Reshape leaves no layer) can make that of any kernel.
pub(super) fn of(kernel: &Kernel, inputs: &[usize], outputs: usize) -> Option<Vec<Tie>> {
    let &first = inputs.first()?;
    if outputs == 0 || inputs.contains(&0) {
        return None;
    }
    let tie = match kernel {
        Kernel::AddS8(layer) => return broadcast::ties(&layer.geometry, inputs, outputs),
        Kernel::MulS8(layer) => return broadcast::ties(&layer.geometry, inputs, outputs),
        Kernel::BinaryLoop(layer) => return broadcast::ties(&layer.geometry, inputs, outputs),
        Kernel::ConcatBlocks(layer) => return movement::ties_concat(layer, inputs, outputs),
        Kernel::DepthwiseS8(layer) => depthwise::ties(layer, first, outputs),
        Kernel::MaxPool(layer) => pool::ties(&layer.geometry, first, outputs),
        Kernel::AveragePoolS8(layer) => pool::ties(&layer.geometry, first, outputs),
        Kernel::ReduceMeanS8(layer) => pool::ties_reduce(&layer.geometry, first, outputs),
        Kernel::ResizeNearest(layer) => pool::ties_resize(&layer.geometry, first, outputs),
        Kernel::ResizeS8(layer) => pool::ties_resize(&layer.geometry, first, outputs),
        Kernel::SliceCopy(layer) => movement::ties_slice(&layer.geometry, first, outputs),
        Kernel::PadConstant(layer) => movement::ties_pad(&layer.geometry, first, outputs),
        Kernel::LutS8(_) | Kernel::Requantize(_) if first == outputs => Some(Tie::same(outputs)),
        _ => None,
    };
    tie.map(|tie| vec![tie])
}
