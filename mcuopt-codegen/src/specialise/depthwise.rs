//! Depthwise convolutions: output channel `o` reads input channel `o / multiplier` alone, so they go together.

use super::kept::Kept;
use super::padding::{self, Tap};
use super::range::Range;
use super::ties::Tie;
use crate::ops::conv::DepthwiseS8;

/// Output channels for each input channel; `None` if operand and result are not seen with their own channels.
fn multiplier(layer: &DepthwiseS8, inputs: usize, outputs: usize) -> Option<usize> {
    let p = &layer.geometry;
    let fits = p.input[2] == inputs && p.output[2] == outputs && p.groups == inputs && outputs.is_multiple_of(inputs);
    fits.then(|| outputs / inputs)
}

/// What each output channel can be.
pub(super) fn ranges(layer: &DepthwiseS8, x: &[Range], outputs: usize) -> Option<Vec<Range>> {
    let multiplier = multiplier(layer, x.len(), outputs)?;
    let windows = padding::windows(&layer.geometry)?;
    let linear = &layer.linear;
    let range = |output: usize| {
        let tap = |&weight: &i8| {
            let mut tap = Tap::default();
            tap.add(weight, x[output / multiplier], layer.pad_value);
            tap
        };
        let taps: Vec<Tap> = linear.weights.iter().skip(output).step_by(outputs).map(tap).collect();
        let sums = padding::sums(linear.bias[output], &taps, &windows);
        padding::requantized(sums, &linear.requantize, linear.multipliers[output])
    };
    Some((0..outputs).map(range).collect())
}

pub(super) fn ties(layer: &DepthwiseS8, inputs: usize, outputs: usize) -> Option<Tie> {
    let multiplier = multiplier(layer, inputs, outputs)?;
    Some(Tie::Channels((0..outputs).map(|output| (output / multiplier, output)).collect()))
}

pub(super) fn shrink(layer: &mut DepthwiseS8, x: &Kept, y: &Kept) {
    let (p, linear) = (&mut layer.geometry, &mut layer.linear);
    (p.input[2], p.output[2], p.groups) = (x.len(), y.len(), x.len());
    linear.weights = y.pick(&linear.weights);
    linear.bias = y.pick(&linear.bias);
    linear.multipliers = y.pick(&linear.multipliers);
}
