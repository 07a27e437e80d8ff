//! Which cells of a sliding window fall inside the image.

use core::ops::Range;

/// A window along one axis, at one output position: its taps, and where they land.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taps {
    /// The first tap inside the image, and one past the last.
    first: usize,
    end: usize,
    kernel: usize,
    dilation: usize,
    /// Where tap `first` lands; 0 if no tap is inside.
    position: usize,
}

impl Taps {
    /// The window of output `out` over an axis of `size` cells, with `pad` cells of padding before it.
    #[inline(always)]
    pub(crate) fn new(out: usize, stride: usize, pad: usize, dilation: usize, kernel: usize, size: usize) -> Taps {
        // From here on positions count from the start of the padding, so that none is negative.
        let start = out * stride;
        let taps_before = |position: usize| position.saturating_sub(start).div_ceil(dilation).min(kernel);
        let (first, end) = (taps_before(pad), taps_before(pad + size));
        let position = if first < end { start + first * dilation - pad } else { 0 };
        Taps { first, end, kernel, dilation, position }
    }

    /// The same window, where the first `cells` cells of the image are not there, none of which it reads.
    #[inline(always)]
    pub(crate) fn behind(self, cells: usize) -> Taps {
        Taps { position: self.position.saturating_sub(cells), ..self }
    }

    /// The taps inside the image.
    #[inline(always)]
    pub(crate) fn inside(&self) -> Range<usize> {
        self.first..self.end
    }

    /// How many taps are inside.
    #[inline(always)]
    pub(crate) fn count(&self) -> usize {
        self.end - self.first
    }

    /// Whether all taps are inside.
    #[inline(always)]
    pub(crate) fn whole(&self) -> bool {
        self.first == 0 && self.end == self.kernel
    }

    /// Where the first tap that is inside lands; 0 if there is none.
    #[cfg(mcuopt_dsp)]
    #[inline(always)]
    pub(crate) fn start(&self) -> usize {
        self.position
    }

    /// Where a tap that is inside lands.
    #[inline(always)]
    pub(crate) fn position(&self, tap: usize) -> usize {
        self.position + (tap - self.first) * self.dilation
    }
}

/// A window in two dimensions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    pub(crate) rows: Taps,
    pub(crate) columns: Taps,
}

impl Window {
    /// Whether no tap is in the padding.
    #[inline(always)]
    pub(crate) fn whole(&self) -> bool {
        self.rows.whole() && self.columns.whole()
    }
}
