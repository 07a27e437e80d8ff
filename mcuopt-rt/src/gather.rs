//! ONNX Gather, GatherElements and GatherND: elements at computed positions.
//!
//! A negative index counts from the end of its axis. One that lies outside is moved to the nearest end, so that no
//! index reaches outside a tensor.

use crate::number::Index;
use crate::rows::{for_each_index, offset};

/// Blocks taken along one axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gather {
    /// Elements before the axis.
    pub outer: usize,
    /// Extent of the axis in the input.
    pub extent: usize,
    /// Elements after the axis.
    pub inner: usize,
}

/// `y[o, i, …] = x[o, indices[i], …]`; `x: [outer, extent, inner]`, `y: [outer, indices.len(), inner]`.
///
/// # Panics
/// If a slice's length is not that of its shape.
pub fn gather<T: Copy, I: Index>(p: &Gather, x: &[T], indices: &[I], y: &mut [T]) {
    let (block, result) = (p.extent * p.inner, indices.len() * p.inner);
    assert_eq!(x.len(), p.outer * block, "x");
    assert_eq!(y.len(), p.outer * result, "y");

    // Lengths of 0 have no elements, and no chunks.
    for (x, y) in x.chunks_exact(block.max(1)).zip(y.chunks_exact_mut(result.max(1))) {
        for (&index, y) in indices.iter().zip(y.chunks_exact_mut(p.inner.max(1))) {
            y.copy_from_slice(&x[index.position(p.extent) * p.inner..][..p.inner]);
        }
    }
}

/// Elements of a tensor named by an index along one axis; along the others they are where the index is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AlongAxis {
    /// Shape of the indices, with leading 1s.
    pub shape: [usize; 6],
    /// For each axis of the indices, the elements from one index to the next in the tensor; 0 for the axis itself.
    pub strides: [usize; 6],
    /// Extent of the axis in the tensor.
    pub extent: usize,
    /// Elements from one index to the next along the axis.
    pub stride: usize,
}

impl AlongAxis {
    /// Calls `f(place)` for each index in memory order; `place` is that of the element that it names.
    pub(crate) fn for_each<I: Index>(&self, indices: &[I], mut f: impl FnMut(usize)) {
        let [outer @ .., len] = self.shape;
        let [.., step] = self.strides;
        assert_eq!(indices.len(), self.shape.iter().product(), "indices");

        for_each_index(outer, indices.chunks_exact(len.max(1)), |at, row| {
            let start = offset(at, &self.strides);
            for (i, &index) in row.iter().enumerate() {
                f(start + i * step + index.position(self.extent) * self.stride);
            }
        });
    }
}

/// `y[i, j, k] = x[i, indices[i, j, k], k]`, where the axis is the middle one; `indices` and `y` have the shape
/// `p.shape`.
///
/// # Panics
/// If a slice's length is not that of its shape, or `x` is shorter than what `p` reaches.
pub fn gather_elements<T: Copy, I: Index>(p: &AlongAxis, x: &[T], indices: &[I], y: &mut [T]) {
    assert_eq!(y.len(), indices.len(), "y");
    let mut y = y.iter_mut();
    p.for_each(indices, |place| {
        if let Some(y) = y.next() {
            *y = x[place];
        }
    });
}

/// Blocks of a tensor named by their indices along the first axes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Points {
    /// Number of tensors.
    pub batch: usize,
    /// Number of indexed axes, 1 to 6.
    pub axes: usize,
    /// Their extents, with leading 1s.
    pub extents: [usize; 6],
    /// Elements after the indexed axes.
    pub inner: usize,
}

impl Points {
    /// Elements of one tensor.
    pub(crate) fn len(&self) -> usize {
        self.extents.iter().product::<usize>() * self.inner
    }

    /// Where the block begins that `point` names.
    pub(crate) fn place<I: Index>(&self, point: &[I]) -> usize {
        let extents = &self.extents[self.extents.len() - self.axes..];
        let block = extents.iter().zip(point).fold(0, |at, (&extent, index)| at * extent + index.position(extent));
        block * self.inner
    }
}

/// `y[b, i, …] = x[b, indices[b, i, 0], indices[b, i, 1], …]`; `x: [batch, extents…, inner]`,
/// `indices: [batch, points, axes]`, `y: [batch, points, inner]`.
///
/// # Panics
/// If a slice's length is not that of its shape.
pub fn gather_nd<T: Copy, I: Index>(p: &Points, x: &[T], indices: &[I], y: &mut [T]) {
    let points = indices.len() / (p.axes * p.batch).max(1);
    assert_eq!(x.len(), p.batch * p.len(), "x");
    assert_eq!(indices.len(), p.batch * points * p.axes, "indices");
    assert_eq!(y.len(), p.batch * points * p.inner, "y");

    let indices = indices.chunks_exact(p.axes.max(1));
    for (i, (point, y)) in indices.zip(y.chunks_exact_mut(p.inner.max(1))).enumerate() {
        y.copy_from_slice(&x[i / points * p.len() + p.place(point)..][..p.inner]);
    }
}
