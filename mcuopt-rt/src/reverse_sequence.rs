//! ONNX ReverseSequence.

use crate::number::Index;

/// A batch of sequences.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ReverseSequence {
    /// Extents of the first two axes, one of which is the batch and the other time.
    pub shape: [usize; 2],
    /// Elements after them.
    pub inner: usize,
    /// Whether time is the first axis.
    pub time_major: bool,
}

/// Turns the first `lens[b]` steps of each sequence `b` around; `x, y: [shape…, inner]`.
///
/// # Panics
/// If a slice's length is not that of its shape, or there are fewer lengths than sequences.
pub fn reverse_sequence<T: Copy, I: Index>(p: &ReverseSequence, x: &[T], lens: &[I], y: &mut [T]) {
    let [first, second] = p.shape;
    assert_eq!(x.len(), first * second * p.inner, "x");
    assert_eq!(y.len(), x.len(), "y");

    let steps = if p.time_major { first } else { second };
    for (index, y) in y.chunks_exact_mut(p.inner.max(1)).enumerate() {
        let (i, j) = (index / second, index % second);
        let (step, sequence) = if p.time_major { (i, j) } else { (j, i) };
        // A length is a position along an axis that has one more index than there are steps.
        let len = lens[sequence].position(steps + 1);
        let from = if step < len { len - 1 - step } else { step };
        let from = if p.time_major { from * second + j } else { i * second + from };
        y.copy_from_slice(&x[from * p.inner..][..p.inner]);
    }
}
