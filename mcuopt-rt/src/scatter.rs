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
