//! NonMaxSuppression.
//!
//! <https://onnx.ai/onnx/operators/onnx__NonMaxSuppression.html>, opset 10 and 11. How many boxes it keeps depends on the
//! data; compiled, its result has room for the most that it may keep, and rows of −1 behind the last.

use mcuopt_rt::v0 as rt;

use super::{Io, Lowered, Operator, Scales, window};
use crate::builder::Builder;
use crate::call::struct_literals;
use crate::error::Error;
use crate::graph::{Type, ValueId};
use crate::onnx;
use crate::tensor::DType;

/// The best boxes that do not overlap: boxes [batch, boxes, 4], scores [batch, classes, boxes] → [kept, 3].
#[derive(Clone, Debug, PartialEq)]
pub struct NonMaxSuppression {
    /// The most boxes of a class that are kept.
    pub most: usize,
    /// Largest part of two boxes' union that they may have in common.
    pub iou_threshold: f32,
    /// Scores have to be above it; −∞ for none.
    pub score_threshold: f32,
    /// Whether boxes are given by centre and size.
    pub center_point_box: bool,
}

/// NonMaxSuppression → NonMaxSuppression.
pub fn import(_: &onnx::Node, b: &mut Builder<'_>) -> Result<Vec<ValueId>, Error> {
    let (boxes, scores) = (b.input(0)?, b.input(1)?);
    let limit = b.integers(2)?.and_then(|values| values.first().copied()).unwrap_or(0);
    let count = b.shape(boxes).get(1).copied().unwrap_or(0);
    let most = usize::try_from(limit).unwrap_or(0).min(count);
    if most == 0 {
        return Err(Error::unsupported("no boxes at all").instead("at least one box of a class").part("input 2"));
    }
    let iou_threshold = b.scalar(3)?.unwrap_or(0.0);
    let score_threshold = b.scalar(4)?.unwrap_or(f32::NEG_INFINITY);
    let center_point_box = b.int("center_point_box", 0)? != 0;
    let op = NonMaxSuppression { most, iou_threshold, score_threshold, center_point_box };
    Ok(vec![b.push(op, &[boxes, scores])?])
}

impl Operator for NonMaxSuppression {
    fn name(&self) -> &'static str {
        "NonMaxSuppression"
    }

    fn infer(&self, inputs: &[&Type]) -> Result<Vec<Type>, Error> {
        let [boxes, scores] = inputs else { return Err(Error::bug("NonMaxSuppression has two operands")) };
        window::expect_float(inputs)?;
        match (&boxes.shape[..], &scores.shape[..]) {
            (&[batch, count, 4], &[also_batch, classes, also_count]) if batch == also_batch && count == also_count => {
                let rows = batch.saturating_mul(classes).saturating_mul(self.most);
                Ok(vec![Type { dtype: DType::I64, shape: vec![rows, 3] }])
            }
            (boxes, scores) => Err(Error::invalid(format!("boxes {boxes:?} with scores {scores:?}"))),
        }
    }

    fn scales(&self) -> Scales {
        Scales::Float
    }

    fn lower(&self, io: &Io<'_>) -> Result<Lowered, Error> {
        let &[batch, classes, boxes] = &io.inputs[1].ty.shape[..] else { return Err(Error::bug("scores have three axes")) };
        let &Self { most, iou_threshold, score_threshold, center_point_box } = self;
        let geometry =
            rt::NonMaxSuppression { batch, classes, boxes, most, iou_threshold, score_threshold, center_point_box };
        Ok(SuppressNonMaxima { geometry }.into())
    }
}

struct_literals! {
    NonMaxSuppression { batch, classes, boxes, most, iou_threshold, score_threshold, center_point_box }
}

routine! {
    /// `non_max_suppression` with its constants.
    pub struct SuppressNonMaxima { params "" geometry: rt::NonMaxSuppression }
    with [I: each_index of y]
    fn non_max_suppression(f32, f32) -> I
}
