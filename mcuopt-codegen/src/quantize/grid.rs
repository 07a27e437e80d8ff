//! Weights that training rounded already, stored as floats: the scale that they are multiples of.
//!
//! Tools for quantization-aware training export fake-quantized weights as plain constants. Their largest need not be the
//! largest integer, so that scaling by it would round them anew, and lose what training learned. A scale for which all of
//! them are integers is exact. Folding a batch normalization into them scales each filter, which keeps it a grid.

use mcuopt_rt::v0 as rt;

use crate::graph::{Graph, Quantization, Width};
use crate::ops::Op;
use crate::tensor::Tensor;

/// How far from an integer a weight may be, in steps: roundings of floats, and of a batch normalization.
const TOLERANCE: f32 = 1e-3;

/// Gives weights whose every filter is on a grid of int8 the grid's scales, as if the file's author had written them down.
///
/// Of a filter of n weights that are on no grid, one of 127 scales would do by chance with a probability of
/// 127 · 0.002ⁿ⁻¹; where that happens to all filters of a layer, their integers are exact, too.
pub fn keep_grids(graph: &mut Graph<Op>) {
    for index in 0..graph.nodes.len() {
        let node = &graph.nodes[index];
        let Some(&weights) = node.inputs.get(1).filter(|_| node.op.packs_weights()) else { continue };
        let value = graph.value(weights);
        let Some(elements) = value.constant.as_deref().and_then(Tensor::f32s) else { continue };
        let Some(&outputs) = value.ty.shape.first().filter(|_| value.quantization.is_none()) else { continue };
        let Some(row) = elements.len().checked_div(outputs).filter(|row| *row > 1) else { continue };
        let scales: Option<Vec<f32>> = elements.chunks_exact(row).map(|filter| grid(filter, 127)).collect();
        if let Some(scales) = scales {
            let zero_points = vec![0; scales.len()];
            let known = Quantization { scales, zero_points, axis: 0, width: Width::Int8 };
            graph.value_mut(weights).quantization = Some(known);
        }
    }
}

/// The finest scale for which all weights are integers up to `most`, of either sign; `None` if there is none.
pub(super) fn grid(weights: &[f32], most: u32) -> Option<f32> {
    let largest = weights.iter().fold(0f32, |largest, w| largest.max(w.abs()));
    if largest == 0.0 {
        return Some(1.0);
    }
    let is_grid = |scale: f32| {
        weights.iter().all(|w| {
            let steps = w / scale;
            (steps - rt::round_ties_even_f32(steps)).abs() <= TOLERANCE
        })
    };
    // The bias is a multiple of this scale, too, so the finest one is best.
    (1..=most).rev().map(|steps| largest / steps as f32).find(|scale| scale.is_normal() && is_grid(*scale))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grids_are_found() -> Result<(), &'static str> {
        let weights = |scale: f32| [3.0, -90.0, 17.0, 0.0, 44.0, -1.0, 62.0].map(|q: f32| q * scale);
        for scale in [0.0123_f32, 1.0, 3e-6, 0.25] {
            let found = grid(&weights(scale), 127).ok_or("a grid")?;
            assert!((found / scale - 1.0).abs() < 1e-5, "{found} for {scale}");
            // A batch normalization.
            let scaled = weights(scale).map(|w| w * 1.7382);
            assert!(grid(&scaled, 127).is_some());
        }
        // Three levels: the bias gets steps that are 127 times as fine.
        assert_eq!(grid(&[0.5, 0.0, -0.5, 0.5], 127), Some(0.5 / 127.0));
        assert_eq!(grid(&[0.0, 0.0], 127), Some(1.0));
        Ok(())
    }

    #[test]
    fn other_weights_are_on_none() {
        let weights: Vec<f32> = (0..9).map(|i| (i as f32 * 1.7 + 0.3).sin()).collect();
        assert_eq!(grid(&weights, 127), None);
        // More levels than int8 has, and than int4.
        assert_eq!(grid(&[8.0, 1.0, 3.0, -7.0, 5.0], 7), None);
        assert_eq!(grid(&[200.0, 1.0, 3.0, -7.0, 55.0], 127), None);
    }
}
