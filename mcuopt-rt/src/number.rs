//! Element types by what kernels do with them.

/// A number with arithmetic that never panics: integers wrap around, as ONNX leaves overflow open.
pub trait Number: Copy + PartialEq + PartialOrd + Default {
    /// 1.
    const ONE: Self;
    /// The smallest number, −∞ for floats.
    const LOWEST: Self;
    /// The largest number, +∞ for floats.
    const HIGHEST: Self;
    /// The sum.
    fn add(self, other: Self) -> Self;
    /// The difference.
    fn sub(self, other: Self) -> Self;
    /// The product.
    fn mul(self, other: Self) -> Self;
    /// The quotient, towards zero for integers; an integer divided by zero is 0.
    fn div(self, other: Self) -> Self;
    /// The smaller one; of floats the one that is a number, the first of ±0.
    fn min(self, other: Self) -> Self;
    /// The larger one; of floats the one that is a number, the first of ±0.
    fn max(self, other: Self) -> Self;
    /// The nearest float.
    fn to_f32(self) -> f32;
    /// From an integer, keeping its low bits.
    fn from_i64(value: i64) -> Self;
}

macro_rules! integers {
    ($($type:ident)*) => {$(
        impl Number for $type {
            const ONE: Self = 1;
            const LOWEST: Self = $type::MIN;
            const HIGHEST: Self = $type::MAX;
            #[inline(always)]
            fn add(self, other: Self) -> Self { self.wrapping_add(other) }
            #[inline(always)]
            fn sub(self, other: Self) -> Self { self.wrapping_sub(other) }
            #[inline(always)]
            fn mul(self, other: Self) -> Self { self.wrapping_mul(other) }
            #[inline(always)]
            fn div(self, other: Self) -> Self { if other == 0 { 0 } else { self.wrapping_div(other) } }
            #[inline(always)]
            fn min(self, other: Self) -> Self { Ord::min(self, other) }
            #[inline(always)]
            fn max(self, other: Self) -> Self { Ord::max(self, other) }
            #[inline(always)]
            fn to_f32(self) -> f32 { self as f32 }
            #[inline(always)]
            fn from_i64(value: i64) -> Self { value as $type }
        }
    )*};
}
integers! { i8 u8 i16 u16 i32 u32 i64 u64 }

impl Number for f32 {
    const ONE: Self = 1.0;
    const LOWEST: Self = f32::NEG_INFINITY;
    const HIGHEST: Self = f32::INFINITY;
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        self + other
    }
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        self - other
    }
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        self * other
    }
    #[inline(always)]
    fn div(self, other: Self) -> Self {
        self / other
    }
    #[inline(always)]
    fn min(self, other: Self) -> Self {
        if other < self || self.is_nan() { other } else { self }
    }
    #[inline(always)]
    fn max(self, other: Self) -> Self {
        if other > self || self.is_nan() { other } else { self }
    }
    #[inline(always)]
    fn to_f32(self) -> f32 {
        self
    }
    #[inline(always)]
    fn from_i64(value: i64) -> Self {
        value as f32
    }
}

/// An element of a tensor of positions.
pub trait Index: Copy {
    /// The position along an axis of `extent` elements: negative ones count from its end, what lies outside is moved to
    /// the nearest end, so that no index reaches outside a tensor. `extent` is at least 1.
    fn position(self, extent: usize) -> usize;
    /// From a position.
    fn from_position(position: usize) -> Self;
}

macro_rules! indices {
    ($($type:ident)*) => {$(
        impl Index for $type {
            #[inline(always)]
            fn position(self, extent: usize) -> usize {
                let wrapped = if self < 0 { self.saturating_add(extent as $type) } else { self };
                if wrapped < 0 { 0 } else { usize::try_from(wrapped).map_or(extent - 1, |at| at.min(extent - 1)) }
            }
            #[inline(always)]
            fn from_position(position: usize) -> Self { position as $type }
        }
    )*};
}
indices! { i32 i64 }
