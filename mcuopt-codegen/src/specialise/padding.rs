//! What a linear layer can sum up to, with the padding that some of its windows reach into.

use std::collections::BTreeSet;

use mcuopt_rt::v0 as rt;

use super::range::Range;

/// Taps of all kinds of windows together, beyond which a layer is not looked at. A kernel of 7 by 7 in an image of any
/// size has 2,401.
const MAX_TAPS: usize = 1 << 20;

/// The kinds of windows that a convolution has: for each tap, whether it lies inside the image. Without padding there
/// is one. `None` if there are too many.
pub(super) fn windows(p: &rt::Conv2d) -> Option<Vec<Vec<bool>>> {
    let few = |counts: [usize; 3]| {
        let product = counts.iter().try_fold(1usize, |product, &count| product.checked_mul(count));
        product.is_some_and(|product| product <= MAX_TAPS)
    };
    if !few([p.output[0], p.kernel[0], 1]) || !few([p.output[1], p.kernel[1], 1]) {
        return None;
    }
    let kinds = |axis: usize| -> BTreeSet<Vec<bool>> {
        let image = p.pad[axis]..p.pad[axis] + p.input[axis];
        let inside = |out: usize, tap: usize| image.contains(&(out * p.stride[axis] + tap * p.dilation[axis]));
        (0..p.output[axis]).map(|out| (0..p.kernel[axis]).map(|tap| inside(out, tap)).collect()).collect()
    };
    let (rows, columns) = (kinds(0), kinds(1));
    if !few([rows.len() * columns.len(), p.kernel[0], p.kernel[1]]) {
        return None;
    }
    let pairs = rows.iter().flat_map(|row| columns.iter().map(move |column| (row, column)));
    Some(pairs.map(|(row, column)| row.iter().flat_map(|&y| column.iter().map(move |&x| y && x)).collect()).collect())
}

/// What one tap adds to a sum.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tap {
    /// At least, inside the image.
    pub(super) least: i64,
    /// At most, inside the image.
    pub(super) most: i64,
    /// In the padding.
    pub(super) padded: i64,
}

impl Tap {
    /// Adds the products of one weight.
    pub(super) fn add(&mut self, weight: i8, x: Range, pad_value: i8) {
        let weight = i64::from(weight);
        let (low, high) = (weight * i64::from(x.min), weight * i64::from(x.max));
        self.least += low.min(high);
        self.most += low.max(high);
        self.padded += weight * i64::from(pad_value);
    }
}

/// The smallest and the largest sum over all kinds of windows.
pub(super) fn sums(bias: i32, taps: &[Tap], windows: &[Vec<bool>]) -> (i64, i64) {
    let bias = i64::from(bias);
    let sum = |window: &Vec<bool>| {
        taps.iter().zip(window).fold((bias, bias), |(least, most), (tap, &inside)| match inside {
            true => (least + tap.least, most + tap.most),
            false => (least + tap.padded, most + tap.padded),
        })
    };
    let wider = |a: (i64, i64), b: (i64, i64)| (a.0.min(b.0), a.1.max(b.1));
    windows.iter().map(sum).reduce(wider).unwrap_or((bias, bias))
}

/// The outputs for sums from the first to the second one: requantization never turns back between them.
pub(super) fn requantized((least, most): (i64, i64), q: &rt::Requantize, multiplier: i32) -> Range {
    match (i32::try_from(least), i32::try_from(most)) {
        (Ok(least), Ok(most)) => Range::of([q.apply(least, multiplier), q.apply(most, multiplier)]),
        // No accumulator holds it; lowering refuses such layers.
        _ => Range::of([q.min, q.max]),
    }
}
