//! PRelu with constant slopes: one for each channel, or as ONNX's broadcasting has it.

use crate::binary::PRelu;
use crate::elementwise::{Broadcast, zip, zip_in_place};
use crate::fixed::{Requantize, RequantizeS16};
use crate::function::Function;

/// What [`prelu_s8`] computes with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PReluS8 {
    /// Zero point of the input.
    pub input_zero_point: i32,
    /// [`multiplier`](crate::fixed::multiplier) of (scale of x / scale of y).
    pub positive: i32,
    /// The rest; its left shift fits the largest slope and 1.
    pub requantize: Requantize,
}

impl PReluS8 {
    #[inline(always)]
    fn apply(&self, x: i8, negative: i32) -> i8 {
        let x = i32::from(x) - self.input_zero_point;
        self.requantize.apply(x, if x < 0 { negative } else { self.positive })
    }
}

/// `y = q.apply(x − input_zero_point, multiplier)` with the element of `negative` for negative numbers, broadcast as `p`
/// says: [`multiplier`](crate::fixed::multiplier)s of slope · (scale of x / scale of y).
///
/// # Panics
/// If a slice's length is not what `p` reaches.
pub fn prelu_s8(p: &Broadcast, q: &PReluS8, negative: &[i32], x: &[i8], y: &mut [i8]) {
    zip(p, x, negative, y, |x, negative| q.apply(x, negative));
}

/// [`prelu_s8`] where `x` and `y` share memory.
///
/// # Panics
/// If a slice's length is not what `p` reaches.
pub fn prelu_s8_in_place(p: &Broadcast, q: &PReluS8, negative: &[i32], xy: &mut [i8]) {
    zip_in_place(p, xy, negative, |x, negative| q.apply(x, negative));
}

/// What [`prelu_s16`] computes with; as [`PReluS8`].
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct PReluS16 {
    pub input_zero_point: i32,
    pub positive: i32,
    pub requantize: RequantizeS16,
}

impl PReluS16 {
    #[inline(always)]
    fn apply(&self, x: i16, negative: i32) -> i16 {
        let x = i32::from(x) - self.input_zero_point;
        self.requantize.apply(x, if x < 0 { negative } else { self.positive })
    }
}

/// [`prelu_s8`] for int16.
///
/// # Panics
/// If a slice's length is not what `p` reaches.
pub fn prelu_s16(p: &Broadcast, q: &PReluS16, negative: &[i32], x: &[i16], y: &mut [i16]) {
    zip(p, x, negative, y, |x, negative| q.apply(x, negative));
}

/// [`prelu_s16`] where `x` and `y` share memory.
///
/// # Panics
/// If a slice's length is not what `p` reaches.
pub fn prelu_s16_in_place(p: &Broadcast, q: &PReluS16, negative: &[i32], xy: &mut [i16]) {
    zip_in_place(p, xy, negative, |x, negative| q.apply(x, negative));
}

/// `y = x`, or `slope · x` where negative, with slopes broadcast as `p` says.
///
/// # Panics
/// If a slice's length is not what `p` reaches.
pub fn prelu_f32(p: &Broadcast, slopes: &[f32], x: &[f32], y: &mut [f32]) {
    zip(p, x, slopes, y, |x, slope| PRelu.apply((x, slope)));
}

/// [`prelu_f32`] where `x` and `y` share memory.
///
/// # Panics
/// If a slice's length is not what `p` reaches.
pub fn prelu_f32_in_place(p: &Broadcast, slopes: &[f32], xy: &mut [f32]) {
    zip_in_place(p, xy, slopes, |x, slope| PRelu.apply((x, slope)));
}
