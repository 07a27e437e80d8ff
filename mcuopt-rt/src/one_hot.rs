//! ONNX OneHot.

use crate::number::Number;

/// Extents of a OneHot.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OneHot {
    /// Extent of the new axis.
    pub depth: usize,
    /// Indices after the new axis.
    pub inner: usize,
}

/// `y[o, d, i] = values[1]` where `d` is `indices[o, i]`, else `values[0]`; `indices: [outer, inner]`,
/// `y: [outer, depth, inner]`.
///
/// A negative index counts from the end; one that lies outside is nowhere.
///
/// # Panics
/// If a slice's length is not that of its shape.
pub fn one_hot<T: Copy, I: Number>(p: &OneHot, indices: &[I], values: &[T], y: &mut [T]) {
    assert_eq!(values.len(), 2, "values");
    assert_eq!(y.len(), indices.len() * p.depth, "y");

    let blocks = y.chunks_exact_mut((p.depth * p.inner).max(1));
    for (indices, y) in indices.chunks_exact(p.inner.max(1)).zip(blocks) {
        for (d, y) in y.chunks_exact_mut(p.inner.max(1)).enumerate() {
            let hot = [I::from_i64(d as i64), I::from_i64(d as i64 - p.depth as i64)];
            for (y, index) in y.iter_mut().zip(indices) {
                *y = if hot.contains(index) { values[1] } else { values[0] };
            }
        }
    }
}
