//! Pools and means over neighbouring rows: each channel by itself.

use mcuopt_rt::v0::{Pool2d, Reduce};

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
