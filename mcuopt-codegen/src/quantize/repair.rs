//! What repairs report.

/// What a repair of one layer gained: signal to noise at the layer's output, in decibels.
#[derive(Clone, Debug, PartialEq)]
pub struct Repair {
    /// The step's name, that of its option.
    pub step: &'static str,
    /// The node's name.
    pub node: String,
    /// Before it.
    pub before_db: f32,
    /// With it.
    pub after_db: f32,
}

/// A signal to noise ratio, of their powers.
pub fn decibels(signal: f64, noise: f64) -> f32 {
    // An infinity would mean nothing to a reader of reports.
    (10.0 * (signal.max(f64::MIN_POSITIVE) / noise.max(signal * 1e-15).max(f64::MIN_POSITIVE)).log10()) as f32
}
