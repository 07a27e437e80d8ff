//! ONNX NegativeLogLikelihoodLoss.

use crate::number::{Index, Number};
use crate::softmax::Rows;

/// What becomes of the losses of all elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reduction {
    /// They are the result.
    None,
    /// Their sum.
    Sum,
    /// Their sum over the sum of their weights.
    Mean,
}

/// A loss over `[outer, classes, inner]`: `rows.len` is the number of classes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Loss {
    /// The axis of the classes.
    pub rows: Rows,
    /// What becomes of the losses.
    pub reduction: Reduction,
    /// Elements of this class do not count.
    pub ignored: Option<i64>,
}

/// `−x[target] · weights[target]` for each element, reduced.
///
/// | slice | shape |
/// |---|---|
/// | `x` | `[outer, classes, inner]`: logarithms of probabilities |
/// | `target` | `[outer, inner]`: classes; what is none counts as the nearest |
/// | `weights` | `[classes]` |
/// | `y` | `[outer, inner]`, or one element where it is reduced |
///
/// # Panics
/// If a slice's length is not that of its shape.
pub fn negative_log_likelihood_f32<I: Index + Number>(
    p: &Loss,
    x: &[f32],
    target: &[I],
    weights: &[f32],
    y: &mut [f32],
) {
    let Rows { outer, len, inner } = p.rows;
    assert_eq!(x.len(), outer * len * inner, "x");
    assert_eq!(target.len(), outer * inner, "target");
    assert_eq!(weights.len(), len, "weights");
    assert_eq!(y.len(), if p.reduction == Reduction::None { outer * inner } else { 1 }, "y");

    let (mut sum, mut total) = (0.0, 0.0);
    for (index, &target) in target.iter().enumerate() {
        let counts = p.ignored.is_none_or(|ignored| target != I::from_i64(ignored));
        let class = target.position(len);
        let weight = if counts { weights[class] } else { 0.0 };
        let loss = if counts { -x[(index / inner * len + class) * inner + index % inner] * weight } else { 0.0 };
        match p.reduction {
            Reduction::None => y[index] = loss,
            Reduction::Sum | Reduction::Mean => (sum, total) = (sum + loss, total + weight),
        }
    }
    match p.reduction {
        Reduction::None => {}
        Reduction::Sum => y[0] = sum,
        Reduction::Mean => y[0] = sum / total,
    }
}
