//! ONNX QuantizeLinear and DequantizeLinear with one scale for a tensor, and from one quantization to another.

use crate::fixed::{Quantization, Requantize};

/// `y = saturate(round_ties_even(x / scale) + zero_point)`, element by element.
///
/// # Panics
/// If the lengths of `x` and `y` differ.
#[inline(always)]
pub fn quantize_f32_s8(q: &Quantization, x: &[f32], y: &mut [i8]) {
    assert_eq!(x.len(), y.len(), "x and y");
    for (y, &x) in y.iter_mut().zip(x) {
        *y = q.quantize(x);
    }
}

/// `y = (x − zero_point) · scale`, element by element.
///
/// # Panics
/// If the lengths of `x` and `y` differ.
#[inline(always)]
pub fn dequantize_s8_f32(q: &Quantization, x: &[i8], y: &mut [f32]) {
    assert_eq!(x.len(), y.len(), "x and y");
    for (y, &x) in y.iter_mut().zip(x) {
        *y = q.dequantize(x);
    }
}

/// `y = q.apply(x − input_zero_point, multiplier)`, element by element.
///
/// # Panics
/// If the lengths of `x` and `y` differ.
#[inline(always)]
pub fn requantize_s8(q: &Requantize, multiplier: i32, input_zero_point: i32, x: &[i8], y: &mut [i8]) {
    assert_eq!(x.len(), y.len(), "x and y");
    for (y, &x) in y.iter_mut().zip(x) {
        *y = q.apply(i32::from(x) - input_zero_point, multiplier);
    }
}

/// [`requantize_s8`] where `x` and `y` share memory.
#[inline(always)]
pub fn requantize_s8_in_place(q: &Requantize, multiplier: i32, input_zero_point: i32, xy: &mut [i8]) {
    for y in xy {
        *y = q.apply(i32::from(*y) - input_zero_point, multiplier);
    }
}
