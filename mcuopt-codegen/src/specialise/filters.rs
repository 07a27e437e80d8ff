//! Convolutions without groups and dense layers: each output channel is a filter over all input channels.

use super::kept::Kept;
use super::padding::{self, Tap};
use super::range::Range;
use crate::error::Error;
use crate::ops::Kernel;
use crate::ops::conv::ConvS8;
use crate::ops::dense::DenseS8;
use crate::ops::linear::Linear;

/// The filters of a layer. A dense layer reads a flattened image like a convolution whose kernel covers it.
pub(super) struct Filters<'a> {
    linear: &'a Linear,
    /// Channels of the input.
    channels: usize,
    pad_value: i8,
    /// See [`padding::windows`].
    windows: Vec<Vec<bool>>,
}

impl<'a> Filters<'a> {
    /// `kernel` as filters over an input of so many channels; `None` for other kernels, and for a dense layer whose
    /// rows are not made of whole pixels.
    pub(super) fn of(kernel: &'a Kernel, inputs: usize, outputs: usize) -> Option<Self> {
        let (linear, pad_value, windows) = match kernel {
            Kernel::ConvS8(ConvS8 { geometry: p, pad_value, linear }) if p.groups == 1 => {
                (linear, *pad_value, (p.input[2] == inputs).then(|| padding::windows(p))??)
            }
            Kernel::DenseS8(DenseS8 { geometry: p, linear }) => {
                let pixels = p.inputs.checked_div(inputs).filter(|pixels| pixels * inputs == p.inputs)?;
                (linear, 0, vec![vec![true; pixels]])
            }
            _ => return None,
        };
        let taps = windows.first()?.len();
        let fits = linear.bias.len() == outputs && linear.weights.len() == outputs * taps * inputs && outputs > 0;
        fits.then_some(Self { linear, channels: inputs, pad_value, windows })
    }

    /// The weights of a filter, [taps, channels].
    fn weights(&self, filter: usize) -> &'a [i8] {
        let len = self.linear.weights.len() / self.linear.bias.len();
        &self.linear.weights[filter * len..][..len]
    }

    /// The smallest and the largest sum of a filter.
    fn sums(&self, filter: usize, x: &[Range]) -> (i64, i64) {
        let mut taps = vec![Tap::default(); self.windows[0].len()];
        for (tap, weights) in taps.iter_mut().zip(self.weights(filter).chunks_exact(self.channels)) {
            for (&weight, &x) in weights.iter().zip(x) {
                tap.add(weight, x, self.pad_value);
            }
        }
        padding::sums(self.linear.bias[filter], &taps, &self.windows)
    }

    /// What a filter's output can be.
    pub(super) fn range(&self, filter: usize, x: &[Range]) -> Range {
        padding::requantized(self.sums(filter, x), &self.linear.requantize, self.linear.multipliers[filter])
    }

    /// What input channel `channel` adds to the sums of a filter, if it is the same in every window.
    fn contribution(&self, filter: usize, channel: usize, x: Range) -> Option<i64> {
        let weights = || self.weights(filter).iter().skip(channel).step_by(self.channels);
        if weights().all(|&weight| weight == 0) {
            return Some(0);
        }
        let x = i64::from(x.constant()?);
        let sum = |window: &Vec<bool>| -> i64 {
            let value = |inside: bool| if inside { x } else { i64::from(self.pad_value) };
            weights().zip(window).map(|(&weight, &inside)| i64::from(weight) * value(inside)).sum()
        };
        let mut sums = self.windows.iter().map(sum);
        let first = sums.next()?;
        sums.all(|sum| sum == first).then_some(first)
    }

    /// Whether a filter has to see input channel `channel`.
    pub(super) fn needs(&self, filter: usize, channel: usize, x: Range) -> bool {
        self.contribution(filter, channel, x).is_none()
    }

    /// The layer without the channels that go.
    ///
    /// A filter that gives a constant, or that nobody reads (not `live`) but that must stay, needs no inputs any more:
    /// its weights become 0 and its bias a sum that it had, so that its output stays within its range.
    pub(super) fn without(&self, x: &Kept, y: &Kept, ranges: &[Range], live: &[bool]) -> Result<Linear, Error> {
        let Linear { bias, multipliers, requantize, four_bits, .. } = self.linear;
        let (mut new_weights, mut new_bias) = (Vec::new(), Vec::new());
        for filter in y.stay() {
            let mut weights = x.pick(self.weights(filter));
            let mut bias = bias[filter];
            if !x.is_all() && (!live[filter] || self.range(filter, ranges).constant().is_some()) {
                weights.fill(0);
                // Sums beyond 32 bits give the limits of the output whatever the bias is.
                bias = i32::try_from(self.sums(filter, ranges).0).unwrap_or(bias);
            } else {
                let folded = x.removed().map(|channel| self.contribution(filter, channel, ranges[channel]));
                let folded = folded.sum::<Option<i64>>().and_then(|sum| i32::try_from(sum + i64::from(bias)).ok());
                bias = folded.ok_or_else(|| Error::bug("a filter lost an input that it needs"))?;
            }
            new_weights.extend(weights);
            new_bias.push(bias);
        }
        let multipliers = y.pick(multipliers);
        Ok(Linear { weights: new_weights, bias: new_bias, multipliers, requantize: *requantize, four_bits: *four_bits })
    }
}

/// Puts `linear` in the place of the filters of `kernel`.
pub(super) fn replace(kernel: &mut Kernel, linear: Linear, x: &Kept, y: &Kept) {
    match kernel {
        Kernel::ConvS8(layer) => {
            (layer.geometry.input[2], layer.geometry.output[2], layer.linear) = (x.len(), y.len(), linear);
        }
        Kernel::DenseS8(layer) => {
            (layer.geometry.inputs, layer.geometry.outputs) = (x.scale(layer.geometry.inputs), y.len());
            layer.linear = linear;
        }
        _ => {}
    }
}
