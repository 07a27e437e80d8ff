//! ONNX Concat and Split along any axis.

/// Tensors side by side along one axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Concat<'a> {
    /// Elements before the axis.
    pub outer: usize,
    /// For each part, its neighbouring elements: its size along the axis times all that follows the axis.
    pub lens: &'a [usize],
}

/// Joins parts: `y` takes, for each outer index, `lens[k]` elements of each `xs[k]` in turn.
///
/// # Panics
/// If there are not as many parts as lengths, or a slice's length is not `outer` times its part's.
#[inline(always)]
pub fn concat<T: Copy>(p: &Concat<'_>, xs: &[&[T]], y: &mut [T]) {
    let total = p.lens.iter().sum::<usize>();
    assert_eq!(p.lens.len(), xs.len(), "lens");
    assert_eq!(y.len(), p.outer * total, "y");

    for (k, x) in xs.iter().enumerate() {
        let (len, before) = (p.lens[k], p.lens[..k].iter().sum::<usize>());
        assert_eq!(x.len(), p.outer * len, "x");
        for (x, y) in x.chunks_exact(len.max(1)).zip(y.chunks_exact_mut(total.max(1))) {
            y[before..][..len].copy_from_slice(x);
        }
    }
}

/// Takes parts apart, the inverse of [`concat`](concat()).
///
/// # Panics
/// If there are not as many parts as lengths, or a slice's length is not `outer` times its part's.
#[inline(always)]
pub fn split<T: Copy, const K: usize>(p: &Concat<'_>, x: &[T], ys: [&mut [T]; K]) {
    let total = p.lens.iter().sum::<usize>();
    assert_eq!(p.lens.len(), K, "lens");
    assert_eq!(x.len(), p.outer * total, "x");

    for (k, y) in ys.into_iter().enumerate() {
        let (len, before) = (p.lens[k], p.lens[..k].iter().sum::<usize>());
        assert_eq!(y.len(), p.outer * len, "y");
        for (x, y) in x.chunks_exact(total.max(1)).zip(y.chunks_exact_mut(len.max(1))) {
            y.copy_from_slice(&x[before..][..len]);
        }
    }
}
