//! Functions of two elements, with ONNX's broadcasting.

use crate::elementwise::{Broadcast, zip, zip_in_place};
use crate::function::{Function, functions};
use crate::number::Number;
use crate::unary::power;

/// `y = f(a, b)`, element by element; broadcast as `p` says.
///
/// # Panics
/// If a slice's length is not what `p` reaches.
pub fn binary<F, A, B, Y>(p: &Broadcast, f: &F, a: &[A], b: &[B], y: &mut [Y])
where
    F: Function<(A, B), Y> + ?Sized,
    A: Copy,
    B: Copy,
{
    zip(p, a, b, y, |a, b| f.apply((a, b)));
}

/// [`binary`] where `a` and `y` share memory: `a` has the output's shape.
///
/// # Panics
/// If a slice's length is not what `p` reaches.
pub fn binary_in_place<F, A, B>(p: &Broadcast, f: &F, ay: &mut [A], b: &[B])
where
    F: Function<(A, B), A> + ?Sized,
    A: Copy,
    B: Copy,
{
    zip_in_place(p, ay, b, |a, b| f.apply((a, b)));
}

functions! {
    /// `a + b`; integers wrap around, here and below.
    Add
    /// `a − b`.
    Sub
    /// `a · b`.
    Mul
    /// `a / b`, of integers towards zero; an integer divided by zero is 0.
    Div
    /// The larger one.
    Max
    /// The smaller one.
    Min
    /// The remainder of `a / b`, with the sign of `b`; of an integer divided by zero 0.
    Mod
    /// The remainder of `a / b`, with the sign of `a`; of an integer divided by zero 0.
    Fmod
    /// `a^b`. Needs the feature `libm` if one of them is a float.
    Pow
    /// `a`, or `b · a` where `a` is negative.
    PRelu
    /// 1 where `a = b`.
    Equal
    /// 1 where `a > b`.
    Greater
    /// 1 where `a ≥ b`.
    GreaterOrEqual
    /// 1 where `a < b`.
    Less
    /// 1 where `a ≤ b`.
    LessOrEqual
    /// 1 where both are true.
    And
    /// 1 where one is true, or both.
    Or
    /// 1 where one is true, not both.
    Xor
    /// Bit by bit.
    BitwiseAnd
    /// Bit by bit.
    BitwiseOr
    /// Bit by bit.
    BitwiseXor
    /// `a · 2^b`; 0 if `b` is the number of bits of `a` or more.
    ShiftLeft
    /// `a / 2^b`; 0 if `b` is the number of bits of `a` or more.
    ShiftRight
}

/// Functions of two numbers of the same type.
macro_rules! of_numbers {
    ($($name:ident: |$a:ident, $b:ident| -> $y:ty { $value:expr })*) => {$(
        impl<T: Number> Function<(T, T), $y> for $name {
            #[inline(always)]
            fn apply(&self, ($a, $b): (T, T)) -> $y { $value }
        }
    )*};
}

of_numbers! {
    Add: |a, b| -> T { a.add(b) }
    Sub: |a, b| -> T { a.sub(b) }
    Mul: |a, b| -> T { a.mul(b) }
    Div: |a, b| -> T { a.div(b) }
    Max: |a, b| -> T { a.max(b) }
    Min: |a, b| -> T { a.min(b) }
    PRelu: |a, b| -> T { if a < T::default() { a.mul(b) } else { a } }
    Equal: |a, b| -> u8 { (a == b).into() }
    Greater: |a, b| -> u8 { (a > b).into() }
    GreaterOrEqual: |a, b| -> u8 { (a >= b).into() }
    Less: |a, b| -> u8 { (a < b).into() }
    LessOrEqual: |a, b| -> u8 { (a <= b).into() }
}

/// Functions of two elements of one type.
macro_rules! of_two {
    ($type:ident: $($name:ident |$a:ident, $b:ident| $value:expr;)*) => {$(
        impl Function<($type, $type), $type> for $name {
            #[inline(always)]
            fn apply(&self, ($a, $b): ($type, $type)) -> $type { $value }
        }
    )*};
}

of_two! { u8:
    And |a, b| (a != 0 && b != 0).into();
    Or |a, b| (a != 0 || b != 0).into();
    Xor |a, b| ((a != 0) != (b != 0)).into();
}

of_two! { f32:
    Fmod |a, b| a % b;
    Mod |a, b| with_sign_of(b, a % b);
}

/// The remainder with the sign of the divisor, given the one with the sign of the dividend.
#[inline(always)]
fn with_sign_of<T: Number>(divisor: T, rest: T) -> T {
    let zero = T::default();
    if rest != zero && (rest < zero) != (divisor < zero) { rest.add(divisor) } else { rest }
}

macro_rules! integers {
    ($($type:ident)*) => {$(
        of_two! { $type:
            Fmod |a, b| if b == 0 { 0 } else { a.wrapping_rem(b) };
            Mod |a, b| if b == 0 { 0 } else { with_sign_of(b, a.wrapping_rem(b)) };
            BitwiseAnd |a, b| a & b;
            BitwiseOr |a, b| a | b;
            BitwiseXor |a, b| a ^ b;
            ShiftLeft |a, b| u32::try_from(b).ok().and_then(|b| a.checked_shl(b)).unwrap_or(0);
            ShiftRight |a, b| u32::try_from(b).ok().and_then(|b| a.checked_shr(b)).unwrap_or(0);
        }

        impl Exponent for $type {
            #[inline(always)]
            fn to_i64(self) -> i64 { i64::try_from(self).unwrap_or(i64::MAX - 1 + (self as i64 & 1)) }
        }

        impl<E: Exponent> Function<($type, E), $type> for Pow {
            #[inline(always)]
            fn apply(&self, (base, exponent): ($type, E)) -> $type {
                let exponent = exponent.to_i64();
                let power = power(base, exponent.unsigned_abs());
                if exponent < 0 { Number::div(1, power) } else { power }
            }
        }

        #[cfg(feature = "libm")]
        impl Function<($type, f32), $type> for Pow {
            #[inline(always)]
            fn apply(&self, (base, exponent): ($type, f32)) -> $type { libm::pow(base as f64, exponent.into()) as $type }
        }
    )*};
}

integers! { i8 u8 i16 u16 i32 u32 i64 u64 }

/// An integer exponent.
pub trait Exponent: Copy {
    /// The exponent; one that is too large becomes the largest that is even or odd as it is.
    fn to_i64(self) -> i64;
}

#[cfg(feature = "libm")]
impl Function<(f32, f32), f32> for Pow {
    #[inline(always)]
    fn apply(&self, (base, exponent): (f32, f32)) -> f32 {
        libm::powf(base, exponent)
    }
}

#[cfg(feature = "libm")]
impl<E: Exponent> Function<(f32, E), f32> for Pow {
    #[inline(always)]
    fn apply(&self, (base, exponent): (f32, E)) -> f32 {
        libm::powf(base, exponent.to_i64() as f32)
    }
}
