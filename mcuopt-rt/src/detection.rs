//! ONNX NonMaxSuppression.

use crate::number::{Index, Number};

/// Which boxes are kept.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NonMaxSuppression {
    /// Number of images.
    pub batch: usize,
    /// Number of classes.
    pub classes: usize,
    /// Number of boxes of an image.
    pub boxes: usize,
    /// The most boxes of a class of an image that are kept.
    pub most: usize,
    /// Boxes that overlap a better one by more than this part of their union are not kept.
    pub iou_threshold: f32,
    /// Boxes are kept only with a score above this one; −∞ for all.
    pub score_threshold: f32,
    /// Whether boxes are given by centre and size (x, y, width, height), not by two corners (y, x, y, x).
    pub center_point_box: bool,
}

/// Keeps boxes by falling score, unless they overlap one that is kept already.
///
/// | slice | shape |
/// |---|---|
/// | `boxes` | `[batch, boxes, 4]` |
/// | `scores` | `[batch, classes, boxes]` |
/// | `y` | `[batch · classes · most, 3]`: image, class, box; rows of −1 behind the last that is kept |
///
/// Of equal scores the box that comes first is the better one. A score that is NaN is not kept. It takes no memory but
/// its output, and in return up to `boxes²` steps for each class of an image.
///
/// # Panics
/// If a slice's length is not that of its shape.
pub fn non_max_suppression<I: Index + Number>(p: &NonMaxSuppression, boxes: &[f32], scores: &[f32], y: &mut [I]) {
    assert_eq!(boxes.len(), p.batch * p.boxes * 4, "boxes");
    assert_eq!(scores.len(), p.batch * p.classes * p.boxes, "scores");
    assert_eq!(y.len(), p.batch * p.classes * p.most * 3, "y");

    let (rows, _) = y.as_chunks_mut::<3>();
    let mut count = 0;
    for (group, scores) in scores.chunks_exact(p.boxes).enumerate() {
        let (image, class) = (group / p.classes, group % p.classes);
        let (boxes, _) = boxes[image * p.boxes * 4..][..p.boxes * 4].as_chunks::<4>();
        let first = count;
        let mut last = None;
        while count - first < p.most
            && let Some(candidate) = next(scores, p.score_threshold, last)
        {
            last = Some(candidate);
            let covers = |row: &[I; 3]| overlap(p, &boxes[row[2].position(p.boxes)], &boxes[candidate]);
            if !rows[first..count].iter().any(covers) {
                rows[count] = [image, class, candidate].map(I::from_position);
                count += 1;
            }
        }
    }
    rows[count..].iter_mut().for_each(|row| *row = [I::from_i64(-1); 3]);
}

/// The best box behind `last`.
fn next(scores: &[f32], threshold: f32, last: Option<usize>) -> Option<usize> {
    let mut best: Option<usize> = None;
    for (index, &score) in scores.iter().enumerate() {
        let candidate = score > threshold || score == threshold && threshold == f32::NEG_INFINITY;
        let behind = last.is_none_or(|last| score < scores[last] || score == scores[last] && index > last);
        if candidate && behind && best.is_none_or(|best| score > scores[best]) {
            best = Some(index);
        }
    }
    best
}

/// Whether the intersection of two boxes is more than the threshold's part of their union.
fn overlap(p: &NonMaxSuppression, a: &[f32; 4], b: &[f32; 4]) -> bool {
    // Along each axis the lower and the upper end.
    let ends = |&[first, second, third, fourth]: &[f32; 4]| {
        if p.center_point_box {
            [[first - third / 2.0, first + third / 2.0], [second - fourth / 2.0, second + fourth / 2.0]]
        } else {
            [[first.min(third), first.max(third)], [second.min(fourth), second.max(fourth)]]
        }
    };
    let (a, b) = (ends(a), ends(b));
    let area = |[x, y]: [[f32; 2]; 2]| (x[1] - x[0]) * (y[1] - y[0]);
    let common: [[f32; 2]; 2] = core::array::from_fn(|axis| [a[axis][0].max(b[axis][0]), a[axis][1].min(b[axis][1])]);
    if common.iter().any(|[low, high]| high <= low) {
        return false;
    }
    let (intersection, first, second) = (area(common), area(a), area(b));
    let union = first + second - intersection;
    first > 0.0 && second > 0.0 && union > 0.0 && intersection / union > p.iou_threshold
}
