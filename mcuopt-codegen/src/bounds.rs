//! What the elements of an integer tensor can be.

use crate::graph::Type;
use crate::tensor::{DType, Tensor};

/// The smallest and the largest number that an element can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The smallest.
    pub min: i64,
    /// The largest.
    pub max: i64,
}

/// An operand, and what is known of its elements.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// Its type.
    pub ty: &'a Type,
    /// Its elements' bounds; those of int64 where nothing is known, as of floats.
    pub bounds: Bounds,
}

impl Bounds {
    /// Any int64.
    pub const ALL: Self = Self { min: i64::MIN, max: i64::MAX };

    /// A single number.
    pub const ZERO: Self = Self { min: 0, max: 0 };

    /// The positions along an axis.
    pub fn positions(extent: usize) -> Self {
        Self { min: 0, max: extent.saturating_sub(1) as i64 }
    }

    /// All numbers of an element type; of a type that is wider than int64, or float, all int64.
    pub fn of_type(dtype: DType) -> Self {
        let (min, max) = match dtype {
            DType::Bool => (0, 1),
            DType::I8 => (i8::MIN.into(), i8::MAX.into()),
            DType::U8 => (0, u8::MAX.into()),
            DType::I16 => (i16::MIN.into(), i16::MAX.into()),
            DType::U16 => (0, u16::MAX.into()),
            DType::I32 => (i32::MIN.into(), i32::MAX.into()),
            DType::U32 => (0, u32::MAX.into()),
            DType::F32 | DType::I64 | DType::U64 => (i64::MIN, i64::MAX),
        };
        Self { min, max }
    }

    /// The elements of a constant; all int64 where it has none or holds floats.
    pub fn of_constant(tensor: &Tensor) -> Self {
        let values = tensor.to_i64s().unwrap_or_default();
        match (tensor.dtype(), values.iter().min(), values.iter().max()) {
            (DType::U64, ..) => Self::ALL,
            (_, Some(&min), Some(&max)) => Self { min, max },
            _ => Self::ALL,
        }
    }

    /// What either of them holds.
    pub fn join(self, other: Self) -> Self {
        Self { min: self.min.min(other.min), max: self.max.max(other.max) }
    }

    /// Whether all of it is within `other`.
    pub fn within(self, other: Self) -> bool {
        other.min <= self.min && self.max <= other.max
    }

    /// What a function that rises or falls steadily with each operand makes of two operands. It is all int64 where a
    /// result does not fit them.
    pub fn corners(self, other: Self, f: impl Fn(i128, i128) -> i128) -> Self {
        let ends = |bounds: Self| [i128::from(bounds.min), i128::from(bounds.max)];
        let results = ends(self).into_iter().flat_map(|a| ends(other).map(|b| f(a, b)));
        let results: Vec<Option<i64>> = results.map(|result| i64::try_from(result).ok()).collect();
        let known: Option<Vec<i64>> = results.into_iter().collect();
        let joined = known.and_then(|known| known.into_iter().map(|x| Self { min: x, max: x }).reduce(Self::join));
        joined.unwrap_or(Self::ALL)
    }
}
