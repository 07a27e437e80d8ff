//! ONNX CumSum.

use crate::number::Number;
use crate::softmax::Rows;

/// Running sums along the middle axis of `[outer, len, inner]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CumSum {
    /// The axis.
    pub rows: Rows,
    /// Whether an element is left out of its own sum.
    pub exclusive: bool,
    /// Whether sums run from the end.
    pub reverse: bool,
}

/// `y[k] = Σ x[j]` over `j ≤ k` (exclusive: `j < k`; in reverse: `j ≥ k` or `j > k`); `x` and `y`: `[outer, len, inner]`.
///
/// # Panics
/// If a slice's length is not that of its shape.
pub fn cum_sum<T: Number>(p: &CumSum, x: &[T], y: &mut [T]) {
    y.copy_from_slice(x);
    cum_sum_in_place(p, y);
}

/// [`cum_sum`] where `x` and `y` share memory.
pub fn cum_sum_in_place<T: Number>(p: &CumSum, xy: &mut [T]) {
    let Rows { outer, len, inner } = p.rows;
    assert_eq!(xy.len(), outer * len * inner, "x");
    for block in xy.chunks_exact_mut(len * inner) {
        for at in 0..inner {
            let mut sum = T::default();
            for step in 0..len {
                let y = &mut block[if p.reverse { len - 1 - step } else { step } * inner + at];
                let with = sum.add(*y);
                *y = if p.exclusive { sum } else { with };
                sum = with;
            }
        }
    }
}
