//! ONNX ScatterElements and ScatterND: elements written to computed positions.
//!
//! Updates apply in memory order. A negative index counts from the end of its axis, one that lies outside is moved to
//! the nearest end.

use crate::gather::{AlongAxis, Points};
use crate::number::{Index, Number};

/// What becomes of an element that is written to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scatter {
    /// The update takes its place.
    Replace,
    /// Their sum.
    Add,
    /// Their product.
    Mul,
    /// The larger one.
    Max,
    /// The smaller one.
    Min,
}

impl Scatter {
    fn apply<T: Number>(self, element: T, update: T) -> T {
        match self {
            Scatter::Replace => update,
            Scatter::Add => element.add(update),
            Scatter::Mul => element.mul(update),
            Scatter::Max => element.max(update),
            Scatter::Min => element.min(update),
        }
    }
}

/// `y = x`, then `updates[i, j, k]` goes to `y[i, indices[i, j, k], k]`, where the axis is the middle one; `indices`
/// and `updates` have the shape `p.shape`.
///
/// # Panics
/// If a slice's length is not that of its shape, or `y` is shorter than what `p` reaches.
pub fn scatter_elements<T: Number, I: Index>(
    p: &AlongAxis,
    scatter: Scatter,
    x: &[T],
    indices: &[I],
    updates: &[T],
    y: &mut [T],
) {
    y.copy_from_slice(x);
    scatter_elements_in_place(p, scatter, y, indices, updates);
}

/// [`scatter_elements`] over its operand.
///
/// # Panics
/// As there.
pub fn scatter_elements_in_place<T: Number, I: Index>(
    p: &AlongAxis,
    scatter: Scatter,
    xy: &mut [T],
    indices: &[I],
    updates: &[T],
) {
    assert_eq!(updates.len(), indices.len(), "updates");
    let mut updates = updates.iter();
    p.for_each(indices, |place| {
        if let Some(&update) = updates.next() {
            xy[place] = scatter.apply(xy[place], update);
        }
    });
}

/// `y = x`, then `updates[i]` goes to `y[indices[i, 0], indices[i, 1], …]`; `x, y: [extents…, inner]`,
/// `indices: [points, axes]`, `updates: [points, inner]`; `p.batch` is 1.
///
/// # Panics
/// If a slice's length is not that of its shape.
pub fn scatter_nd<T: Number, I: Index>(
    p: &Points,
    scatter: Scatter,
    x: &[T],
    indices: &[I],
    updates: &[T],
    y: &mut [T],
) {
    y.copy_from_slice(x);
    scatter_nd_in_place(p, scatter, y, indices, updates);
}

/// [`scatter_nd`] over its operand.
///
/// # Panics
/// As there.
pub fn scatter_nd_in_place<T: Number, I: Index>(
    p: &Points,
    scatter: Scatter,
    xy: &mut [T],
    indices: &[I],
    updates: &[T],
) {
    assert_eq!(xy.len(), p.len(), "xy");
    assert_eq!(indices.len() * p.inner, updates.len() * p.axes, "indices");

    let points = indices.chunks_exact(p.axes.max(1));
    for (point, updates) in points.zip(updates.chunks_exact(p.inner.max(1))) {
        for (y, &update) in xy[p.place(point)..].iter_mut().zip(updates) {
            *y = scatter.apply(*y, update);
        }
    }
}

/// A cache of sequences, and how many steps of each are written at once.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cache {
    /// Number of sequences.
    pub batch: usize,
    /// Elements between batch and time.
    pub outer: usize,
    /// Steps of the cache.
    pub extent: usize,
    /// Steps written, at most `extent`.
    pub steps: usize,
    /// Elements after the time.
    pub inner: usize,
    /// Whether what would be written behind the end goes to the beginning.
    pub circular: bool,
}

/// ONNX TensorScatter: `y = x`, then `updates[b, o, t]` goes to `y[b, o, starts[b] + t]`; `x, y: [batch, outer, extent,
/// inner]`, `updates: [batch, outer, steps, inner]`, `starts: [batch]`.
///
/// A start from which the steps do not fit is moved, so that they do; in a circular cache it may be any number.
///
/// # Panics
/// If a slice's length is not that of its shape, or `steps` is more than `extent`.
pub fn tensor_scatter<T: Copy, I: Index + Number>(p: &Cache, x: &[T], updates: &[T], starts: &[I], y: &mut [T]) {
    y.copy_from_slice(x);
    tensor_scatter_in_place(p, y, updates, starts);
}

/// [`tensor_scatter`] over its operand.
///
/// # Panics
/// As there.
pub fn tensor_scatter_in_place<T: Copy, I: Index + Number>(p: &Cache, xy: &mut [T], updates: &[T], starts: &[I]) {
    let [cache, written] = [p.extent * p.inner, p.steps * p.inner];
    assert_eq!(xy.len(), p.batch * p.outer * cache, "xy");
    assert_eq!(updates.len(), p.batch * p.outer * written, "updates");
    assert_eq!(starts.len(), p.batch, "starts");

    let sequences = xy.chunks_exact_mut(cache.max(1)).zip(updates.chunks_exact(written.max(1)));
    for (index, (cache, updates)) in sequences.enumerate() {
        let start = starts[index / p.outer];
        let start = if p.circular {
            let extent = I::from_i64(p.extent as i64);
            start.sub(start.div(extent).mul(extent)).position(p.extent)
        } else {
            start.position(p.extent - p.steps + 1)
        };
        for (step, update) in updates.chunks_exact(p.inner).enumerate() {
            cache[(start + step) % p.extent * p.inner..][..p.inner].copy_from_slice(update);
        }
    }
}
