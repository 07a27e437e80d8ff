//! A window over the last frames of a sequence.

/// A window along one axis; the others are merged into those before and behind it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Slide {
    /// Elements before the axis.
    pub outer: usize,
    /// Frames of the window.
    pub frames: usize,
    /// Frames that are new, at most `frames`.
    pub new: usize,
    /// Elements behind the axis.
    pub inner: usize,
}

/// Moves the frames of `y: [outer, frames, inner]` forward, so that the oldest ones leave and those of
/// `x: [outer, new, inner]` follow the last one.
///
/// # Panics
/// If a slice's length is not that of its shape, or there are more new frames than frames.
pub fn slide<T: Copy>(p: &Slide, x: &[T], y: &mut [T]) {
    let (window, new) = (p.frames * p.inner, p.new * p.inner);
    assert_eq!(x.len(), p.outer * new, "x");
    assert_eq!(y.len(), p.outer * window, "y");
    if new == 0 {
        return;
    }
    for (x, y) in x.chunks_exact(new).zip(y.chunks_exact_mut(window)) {
        y.copy_within(new.., 0);
        y[window - new..].copy_from_slice(x);
    }
}
