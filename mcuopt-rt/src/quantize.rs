//! ONNX QuantizeLinear and DequantizeLinear, and from one quantization to another.

use crate::fixed::{Quantization, Requantize, RequantizeS16, dequantize_i16, quantize_f32_i16, round_ties_even_f32};

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

/// [`quantize_f32_s8`] to int16.
///
/// # Panics
/// If the lengths of `x` and `y` differ.
pub fn quantize_f32_s16(q: &Quantization, x: &[f32], y: &mut [i16]) {
    assert_eq!(x.len(), y.len(), "x and y");
    for (y, &x) in y.iter_mut().zip(x) {
        *y = quantize_f32_i16(x, q.scale, q.zero_point);
    }
}

/// [`dequantize_s8_f32`] from int16.
///
/// # Panics
/// If the lengths of `x` and `y` differ.
pub fn dequantize_s16_f32(q: &Quantization, x: &[i16], y: &mut [f32]) {
    assert_eq!(x.len(), y.len(), "x and y");
    for (y, &x) in y.iter_mut().zip(x) {
        *y = dequantize_i16(x, q.scale, q.zero_point);
    }
}

/// [`requantize_s8`] from int8 to int16: `y = q.apply(x − input_zero_point, multiplier)`, element by element.
///
/// # Panics
/// If the lengths of `x` and `y` differ.
pub fn requantize_s8_s16(q: &RequantizeS16, multiplier: i32, input_zero_point: i32, x: &[i8], y: &mut [i16]) {
    assert_eq!(x.len(), y.len(), "x and y");
    for (y, &x) in y.iter_mut().zip(x) {
        *y = q.apply(i32::from(x) - input_zero_point, multiplier);
    }
}

/// [`requantize_s8`] from int16 to int8.
///
/// # Panics
/// If the lengths of `x` and `y` differ.
pub fn requantize_s16_s8(q: &Requantize, multiplier: i32, input_zero_point: i32, x: &[i16], y: &mut [i8]) {
    assert_eq!(x.len(), y.len(), "x and y");
    for (y, &x) in y.iter_mut().zip(x) {
        *y = q.apply(i32::from(x) - input_zero_point, multiplier);
    }
}

/// [`requantize_s8`] for int16: `y = q.apply(x − input_zero_point, multiplier)`, element by element.
///
/// # Panics
/// If the lengths of `x` and `y` differ.
pub fn requantize_s16(q: &RequantizeS16, multiplier: i32, input_zero_point: i32, x: &[i16], y: &mut [i16]) {
    assert_eq!(x.len(), y.len(), "x and y");
    for (y, &x) in y.iter_mut().zip(x) {
        *y = q.apply(i32::from(x) - input_zero_point, multiplier);
    }
}

/// [`requantize_s16`] where `x` and `y` share memory.
pub fn requantize_s16_in_place(q: &RequantizeS16, multiplier: i32, input_zero_point: i32, xy: &mut [i16]) {
    for y in xy {
        *y = q.apply(i32::from(*y) - input_zero_point, multiplier);
    }
}

/// An integer type that quantized elements are stored in.
pub trait Integer: Copy {
    /// From a number within the type's range; of others, the low bits.
    fn from_i32(value: i32) -> Self;
    /// The number.
    fn to_i32(self) -> i32;
}

macro_rules! integers {
    ($($type:ident)*) => {$(
        impl Integer for $type {
            #[inline(always)]
            fn from_i32(value: i32) -> Self { value as $type }
            #[inline(always)]
            fn to_i32(self) -> i32 { self as i32 }
        }
    )*};
}
integers! { i8 u8 i16 u16 i32 }

/// Which scale belongs to which element of a row-major tensor [outer, len, inner].
///
/// Element (o, l, i) has the scale at `o · strides[0] + (l / block) · strides[1] + i · strides[2]`: all strides are 0 for
/// one scale, `[0, 1, 0]` and blocks of 1 give one for each position along an axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scaling {
    /// Extents.
    pub shape: [usize; 3],
    /// Positions along the middle axis that share a scale, at least 1.
    pub block: usize,
    /// Steps in the table of scales.
    pub strides: [usize; 3],
}

impl Scaling {
    /// Calls `each` with the positions of an element and of its scale, for all elements.
    fn visit(&self, mut each: impl FnMut(usize, usize)) {
        let [outer, len, inner] = self.shape;
        let mut element = 0;
        for o in 0..outer {
            for l in 0..len {
                let scale = o * self.strides[0] + l / self.block * self.strides[1];
                for i in 0..inner {
                    each(element, scale + i * self.strides[2]);
                    element += 1;
                }
            }
        }
    }
}

/// ONNX QuantizeLinear to any integer type: `y = clamp(round_ties_even(x / scale) + zero_point, min, max)`.
///
/// # Panics
/// If `x` or `y` is shorter than the scaling's shape, or `scales` or `zero_points` than its strides reach, or if `min` is
/// above `max`.
pub fn quantize_linear<T: Integer>(
    p: &Scaling,
    min: i32,
    max: i32,
    scales: &[f32],
    zero_points: &[T],
    x: &[f32],
    y: &mut [T],
) {
    p.visit(|element, scale| {
        // The cast saturates and sends NaN to 0.
        let steps = round_ties_even_f32(x[element] / scales[scale]) as i32;
        let value = steps.saturating_add(zero_points[scale].to_i32());
        y[element] = T::from_i32(value.clamp(min, max));
    });
}

/// ONNX DequantizeLinear from any integer type: `y = (x − zero_point) · scale`.
///
/// # Panics
/// As [`quantize_linear`].
pub fn dequantize_linear<T: Integer>(p: &Scaling, scales: &[f32], zero_points: &[T], x: &[T], y: &mut [f32]) {
    p.visit(|element, scale| {
        let steps = x[element].to_i32().wrapping_sub(zero_points[scale].to_i32());
        y[element] = steps as f32 * scales[scale];
    });
}

/// A type of 8 bits.
pub trait Byte: Copy {
    /// The number of the other signedness that stands for the same real if the zero point moves by 128, as this type.
    fn flipped(self) -> Self;
    /// Its bits.
    fn bits(self) -> u8;
    /// From its bits.
    fn from_bits(bits: u8) -> Self;
}

macro_rules! bytes {
    ($($type:ident)*) => {$(
        impl Byte for $type {
            #[inline(always)]
            fn flipped(self) -> Self { Self::from_bits(self.bits() ^ 0x80) }
            #[inline(always)]
            fn bits(self) -> u8 { self as u8 }
            #[inline(always)]
            fn from_bits(bits: u8) -> Self { bits as $type }
        }
    )*};
}
bytes! { i8 u8 }

/// Between uint8 and int8: the zero point moves by 128, the reals stay.
///
/// # Panics
/// If the lengths of `x` and `y` differ.
pub fn flip_sign<X: Byte, Y: Byte>(x: &[X], y: &mut [Y]) {
    assert_eq!(x.len(), y.len(), "x and y");
    for (y, x) in y.iter_mut().zip(x) {
        *y = Y::from_bits(x.bits()).flipped();
    }
}

/// [`flip_sign`] where `x` and `y` share memory.
pub fn flip_sign_in_place<T: Byte>(xy: &mut [T]) {
    for y in xy {
        *y = y.flipped();
    }
}

/// The scale of ONNX DynamicQuantizeLinear: the range of `x`, widened to hold 0, in 255 steps. 1 where all is 0.
///
/// # Panics
/// If `y` is empty.
pub fn dynamic_scale(x: &[f32], y: &mut [f32]) {
    let (min, max) = range_with_zero(x);
    let scale = (max - min) / 255.0;
    y[0] = if scale > 0.0 { scale } else { 1.0 };
}

/// The zero point of ONNX DynamicQuantizeLinear for the scale that [`dynamic_scale`] found.
///
/// # Panics
/// If `scale` or `y` is empty.
pub fn dynamic_zero_point(x: &[f32], scale: &[f32], y: &mut [u8]) {
    let (min, _) = range_with_zero(x);
    // The cast saturates.
    y[0] = round_ties_even_f32(-min / scale[0]) as u8;
}

fn range_with_zero(x: &[f32]) -> (f32, f32) {
    x.iter().fold((0.0, 0.0), |(min, max), &x| (if x < min { x } else { min }, if x > max { x } else { max }))
}
