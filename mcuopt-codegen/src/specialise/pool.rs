//! Pools, means over neighbouring rows, and images resized: each channel by itself.

use mcuopt_rt::v0::{Pool2d, Reduce, Resize};

use super::kept::Kept;
use super::ties::Tie;

pub(super) fn ties(p: &Pool2d, inputs: usize, outputs: usize) -> Option<Tie> {
    (p.input[2] == inputs && p.output[2] == outputs && inputs == outputs).then(|| Tie::same(outputs))
}

pub(super) fn shrink(p: &mut Pool2d, y: &Kept) {
    (p.input[2], p.output[2]) = (y.len(), y.len());
}

/// `None` where the mean is taken over channels.
pub(super) fn ties_reduce(p: &Reduce, inputs: usize, outputs: usize) -> Option<Tie> {
    (inputs == outputs && p.inner.is_multiple_of(outputs)).then(|| Tie::same(outputs))
}

pub(super) fn shrink_reduce(p: &mut Reduce, y: &Kept) {
    p.inner = y.scale(p.inner);
}

/// `None` where the channels are resized.
pub(super) fn ties_resize(p: &Resize, inputs: usize, outputs: usize) -> Option<Tie> {
    (inputs == outputs && p.inner.is_multiple_of(outputs)).then(|| Tie::same(outputs))
}

pub(super) fn shrink_resize(p: &mut Resize, y: &Kept) {
    p.inner = y.scale(p.inner);
}
