//! Layers that move elements: Concat, Slice and Pad, along the channels or across them.

use mcuopt_rt::v0::{Pad, Slice};

use super::kept::Kept;
use super::ties::Tie;
use crate::ops::concat::ConcatBlocks;

/// Whether whole pixels are joined, and not their channels.
fn joins_pixels(lens: &[usize], inputs: &[usize], outputs: usize) -> bool {
    inputs.iter().all(|&channels| channels == outputs) && lens.iter().all(|len| len.is_multiple_of(outputs))
}

pub(super) fn ties_concat(layer: &ConcatBlocks, inputs: &[usize], outputs: usize) -> Option<Vec<Tie>> {
    if joins_pixels(&layer.lens, inputs, outputs) {
        return Some(inputs.iter().map(|_| Tie::same(outputs)).collect());
    }
    if layer.lens != inputs || inputs.iter().sum::<usize>() != outputs {
        return None;
    }
    let mut before = 0;
    let tie = |&channels: &usize| {
        let tie = Tie::Channels((0..channels).map(|channel| (channel, before + channel)).collect());
        before += channels;
        tie
    };
    Some(inputs.iter().map(tie).collect())
}

pub(super) fn shrink_concat(layer: &mut ConcatBlocks, x: &[&Kept], y: &Kept) {
    let inputs: Vec<usize> = x.iter().map(|x| x.before()).collect();
    let pixels = joins_pixels(&layer.lens, &inputs, y.before());
    for (len, x) in layer.lens.iter_mut().zip(x) {
        *len = if pixels { x.scale(*len) } else { x.len() };
    }
}

/// `None` where a step along the channels leaves some of them out.
pub(super) fn ties_slice(p: &Slice, inputs: usize, outputs: usize) -> Option<Tie> {
    let [.., start] = p.start;
    let fits = p.input[5] == inputs && p.output[5] == outputs && p.step[5] == 1 && start + outputs <= inputs;
    fits.then(|| Tie::Channels((0..outputs).map(|channel| (start + channel, channel)).collect()))
}

pub(super) fn shrink_slice(p: &mut Slice, x: &Kept, y: &Kept) {
    p.start[5] = x.len_below(p.start[5]);
    (p.input[5], p.output[5]) = (x.len(), y.len());
}

pub(super) fn ties_pad(p: &Pad, inputs: usize, outputs: usize) -> Option<Tie> {
    let [.., start] = p.start;
    let fits = p.input[5] == inputs && p.output[5] == outputs && start + inputs <= outputs;
    fits.then(|| Tie::Channels((0..inputs).map(|channel| (channel, start + channel)).collect()))
}

pub(super) fn shrink_pad(p: &mut Pad, x: &Kept, y: &Kept) {
    p.start[5] = y.len_below(p.start[5]);
    (p.input[5], p.output[5]) = (x.len(), y.len());
}
