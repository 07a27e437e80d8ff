//! ONNX Pad.

use crate::rows::for_each_row;

/// A tensor placed inside a larger one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pad {
    /// Shape of the input, with leading 1s.
    pub input: [usize; 6],
    /// Shape of the output; along each axis at least `start + input`.
    pub output: [usize; 6],
    /// Where the input begins in the output.
    pub start: [usize; 6],
}

/// `x` with `value` all around it.
///
/// # Panics
/// If a slice's length is not that of its shape, or the input does not fit into the output.
#[inline(always)]
pub fn pad<T: Copy>(p: &Pad, value: T, x: &[T], y: &mut [T]) {
    let ([outer @ .., len], [.., x_len], [.., start]) = (p.output, p.input, p.start);
    assert_eq!(x.len(), p.input.iter().product(), "x");
    assert_eq!(y.len(), p.output.iter().product(), "y");

    // Rows of the output pass the rows of the input in the same order.
    let mut x_rows = x.chunks_exact(x_len.max(1));
    for_each_row(outer, len, y, |index, row| {
        let inside = |axis: usize| (p.start[axis]..p.start[axis] + p.input[axis]).contains(&index[axis]);
        let x = if (0..5).all(inside) { x_rows.next() } else { None };
        match x {
            Some(x) => {
                let (before, rest) = row.split_at_mut(start);
                let (middle, after) = rest.split_at_mut(x_len);
                before.fill(value);
                middle.copy_from_slice(x);
                after.fill(value);
            }
            None => row.fill(value),
        }
    });
}

/// What a tensor is continued with beyond its ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Edges {
    /// Its own elements backwards, the last one not repeated.
    Reflect,
    /// The last element.
    Edge,
    /// Its own elements from the other end on.
    Wrap,
}

impl Edges {
    /// The element of an axis with `extent` elements, at least one, that stands at `place` of the axis' continuation.
    #[inline(always)]
    fn source(self, place: isize, extent: usize) -> usize {
        let last = extent as isize - 1;
        let source = match self {
            Edges::Edge => place.clamp(0, last),
            Edges::Wrap => place.rem_euclid(last + 1),
            Edges::Reflect => last - (last - place.rem_euclid((2 * last).max(1))).abs(),
        };
        source as usize
    }
}

/// `x`, continued by its own elements all around it.
///
/// # Panics
/// If a slice's length is not that of its shape, or the input does not fit into the output.
pub fn pad_edges<T: Copy>(p: &Pad, edges: Edges, x: &[T], y: &mut [T]) {
    let ([outer @ .., len], [.., x_len], [.., start]) = (p.output, p.input, p.start);
    assert_eq!(x.len(), p.input.iter().product(), "x");
    assert_eq!(y.len(), p.output.iter().product(), "y");

    let source = |axis: usize, i: usize| edges.source(i as isize - p.start[axis] as isize, p.input[axis]);
    for_each_row(outer, len, y, |index, row| {
        let at = index.iter().enumerate().fold(0, |at, (axis, &i)| at * p.input[axis] + source(axis, i));
        let x = &x[at * x_len..][..x_len];
        let (before, rest) = row.split_at_mut(start);
        let (middle, after) = rest.split_at_mut(x_len);
        middle.copy_from_slice(x);
        before.iter_mut().enumerate().for_each(|(i, y)| *y = x[source(5, i)]);
        after.iter_mut().enumerate().for_each(|(i, y)| *y = x[source(5, start + x_len + i)]);
    });
}
