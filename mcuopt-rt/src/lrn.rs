//! ONNX LRN: local response normalisation across channels.

use crate::math;

/// Works along the last axis of `[pixels, channels]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lrn {
    /// Elements before the channels.
    pub pixels: usize,
    /// Channels.
    pub channels: usize,
    /// Channels in a window.
    pub size: usize,
    /// Weight of the mean square of the window.
    pub alpha: f32,
    /// The exponent.
    pub beta: f32,
    /// What is added, positive.
    pub bias: f32,
}

/// `y = x / (bias + alpha / size · Σ x²)^beta`, summed over the window from `⌊(size − 1) / 2⌋` channels before to
/// `⌈(size − 1) / 2⌉` behind; `x` and `y`: `[pixels, channels]` (Krizhevsky et al., *ImageNet Classification with Deep
/// Convolutional Neural Networks*, 2012).
///
/// # Panics
/// If a slice's length is not that of its shape.
pub fn lrn_f32(p: &Lrn, x: &[f32], y: &mut [f32]) {
    assert_eq!(x.len(), p.pixels * p.channels, "x");
    assert_eq!(y.len(), x.len(), "y");
    let (before, behind) = ((p.size - 1) / 2, p.size / 2);
    for (x, y) in x.chunks_exact(p.channels).zip(y.chunks_exact_mut(p.channels)) {
        for (channel, y) in y.iter_mut().enumerate() {
            let window = &x[channel.saturating_sub(before)..(channel + behind + 1).min(p.channels)];
            let sum = window.iter().fold(0.0, |sum, x| sum + x * x);
            let ln = math::ln(p.bias + p.alpha / p.size as f32 * sum);
            *y = x[channel] * math::exp(-p.beta * ln);
        }
    }
}
