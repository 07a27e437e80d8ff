//! AdaRound: whether a weight is rounded up or down is learned from what a layer does with its inputs.
//!
//! Nagel et al., "Up or Down? Adaptive Rounding for Post-Training Quantization", 2020. A filter's weights are
//! s·clip(⌊w/s⌋ + h(v)) with a rectified sigmoid h of one variable v each; v follows the gradient of the squared error of
//! the filter's output, and of a regulariser that drives h to 0 or 1, by Adam.
//!
//! The squared error over all samples is a quadratic form in the filter's weights, q·G·q − 2·q·r, whose matrix G is the
//! covariance of the inputs, so that a step costs K² for a filter of K weights, however many samples there are. r is the
//! covariance of the inputs with what the float network computes there: the filter also makes good, as far as it can, what
//! the layers before it did to its inputs. Means are left to the bias. What remains is refined by single steps of a weight
//! as long as one lowers the error.

use super::scales::limits;
use crate::reference::dot;

/// A filter's error, in units of weight steps.
pub(super) struct Problem<'a> {
    /// Covariance of the inputs, K × K, symmetric.
    pub(super) gram: &'a [f32],
    /// Covariance of each input with the filter's wanted output, divided by the weights' scale.
    pub(super) target: &'a [f32],
    /// The float weights, divided by their scale.
    pub(super) weights: &'a [f32],
    /// Bits of a weight.
    pub(super) bits: u32,
}

/// Stretch of the rectified sigmoid beyond 0 and 1.
const STRETCH: (f32, f32) = (-0.1, 1.1);

/// Steps of Adam.
pub(super) const STEPS: usize = 400;

/// Share of the steps without the regulariser.
const WARM_UP: f32 = 0.2;

/// Weight of the regulariser, beside a quadratic form whose mean diagonal is 1.
const REGULARISER: f32 = 0.05;

const RATE: f32 = 0.02;

impl Problem<'_> {
    /// The squared error of integers `q`, but for a constant.
    pub(super) fn error(&self, q: &[f32]) -> f64 {
        let k = q.len();
        let row = |(i, &x): (usize, &f32)| {
            f64::from(x) * f64::from(dot(&self.gram[i * k..(i + 1) * k], q) - 2.0 * self.target[i])
        };
        q.iter().enumerate().map(row).sum()
    }

    /// Each weight to its nearest integer.
    pub(super) fn nearest(&self) -> Vec<f32> {
        let (min, max) = limits(self.bits);
        self.weights.iter().map(|w| mcuopt_rt::v0::round_ties_even_f32(*w).clamp(min, max)).collect()
    }

    /// Integers next to the weights.
    pub(super) fn learn(&self, steps: usize) -> Vec<f32> {
        let k = self.weights.len();
        let (min, max) = limits(self.bits);
        let floors: Vec<f32> = self.weights.iter().map(|w| w.floor()).collect();
        let diagonal: f32 = (0..k).map(|i| self.gram[i * k + i]).sum::<f32>() / k as f32;
        if diagonal <= 0.0 || !diagonal.is_finite() {
            return self.nearest();
        }
        let (low, high) = STRETCH;
        let mut v: Vec<f32> = (0..k)
            .map(|i| {
                let rest = (self.weights[i] - floors[i]).clamp(0.001, 0.999);
                -((high - low) / (rest - low) - 1.0).ln()
            })
            .collect();
        let (mut m, mut s) = (vec![0f32; k], vec![0f32; k]);
        let (mut h, mut slope, mut q) = (vec![0f32; k], vec![0f32; k], vec![0f32; k]);
        let (mut decay_m, mut decay_s) = (1.0, 1.0);
        for step in 0..steps {
            let mut i = 0;
            while i < k {
                let sigmoid = 1.0 / (1.0 + (-v[i]).exp());
                let stretched = sigmoid * (high - low) + low;
                let inside = stretched > 0.0 && stretched < 1.0;
                h[i] = stretched.clamp(0.0, 1.0);
                slope[i] = if inside { sigmoid * (1.0 - sigmoid) * (high - low) } else { 0.0 };
                q[i] = (floors[i] + h[i]).clamp(min, max);
                if floors[i] + h[i] > max || floors[i] + h[i] < min {
                    slope[i] = 0.0;
                }
                i += 1;
            }
            let progress = step as f32 / steps as f32;
            let beta = 20.0 - 18.0 * ((progress - WARM_UP) / (1.0 - WARM_UP)).max(0.0);
            decay_m *= 0.9;
            decay_s *= 0.999;
            let mut i = 0;
            while i < k {
                let mut gradient = 2.0 * (dot(&self.gram[i * k..(i + 1) * k], &q) - self.target[i]) / diagonal;
                if progress >= WARM_UP {
                    let centred = 2.0 * h[i] - 1.0;
                    gradient -= REGULARISER * 2.0 * beta * centred.abs().powf(beta - 1.0) * centred.signum();
                }
                gradient *= slope[i];
                m[i] = 0.9 * m[i] + 0.1 * gradient;
                s[i] = 0.999 * s[i] + 0.001 * gradient * gradient;
                v[i] -= RATE * (m[i] / (1.0 - decay_m)) / ((s[i] / (1.0 - decay_s)).sqrt() + 1e-8);
                i += 1;
            }
        }
        (0..k).map(|i| (floors[i] + if h[i] >= 0.5 { 1.0 } else { 0.0 }).clamp(min, max)).collect()
    }

    /// Moves one weight at a time by one step as long as that lowers the error.
    pub(super) fn descend(&self, q: &mut [f32]) {
        let k = q.len();
        let (min, max) = limits(self.bits);
        // Half the gradient.
        let mut slopes: Vec<f32> = (0..k).map(|i| dot(&self.gram[i * k..(i + 1) * k], q) - self.target[i]).collect();
        for _ in 0..4 * k {
            let mut best = (0f32, 0, 0f32);
            for i in 0..k {
                let direction = if slopes[i] > 0.0 { -1.0 } else { 1.0 };
                let gain = 2.0 * slopes[i].abs() - self.gram[i * k + i];
                let moved = q[i] + direction;
                // No further than one step from the weight: what samples do not tell apart stays in place.
                let near = (moved - self.weights[i]).abs() < 1.5 && moved >= min && moved <= max;
                if near && gain > best.0 {
                    best = (gain, i, direction);
                }
            }
            let (gain, i, direction) = best;
            if gain <= 1e-6 * self.gram[i * k + i] {
                return;
            }
            q[i] += direction;
            let row = &self.gram[i * k..(i + 1) * k];
            let mut j = 0;
            while j < k {
                slopes[j] += direction * row[j];
                j += 1;
            }
        }
    }
}
