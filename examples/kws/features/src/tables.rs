//! The window, the mel bands and the cosine transform as constants in flash.

use core::f64::consts::{PI, TAU};

use crate::constant_math::{cos, ln};
use crate::extractor::{FRAME_SAMPLES, PER_FRAME, SAMPLE_RATE};

pub const FFT: usize = 1024;
pub const BANDS: usize = 40;

const LOWEST_HZ: f64 = 60.0;
const HIGHEST_HZ: f64 = 7600.0;

/// The periodic Hann window, with the scale from `i16` to ±1 in it.
pub static WINDOW: [f32; FRAME_SAMPLES] = {
    let mut window = [0.0; FRAME_SAMPLES];
    let mut n = 0;
    while n < FRAME_SAMPLES {
        let hann = 0.5 - 0.5 * cos(TAU * n as f64 / FRAME_SAMPLES as f64);
        window[n] = (hann / 32768.0) as f32;
        n += 1;
    }
    window
};

/// Where a bin of the spectrum lies among the bands: between the centres of
/// band `below` and band `below + 1`, to which it gives `1 − rise` and `rise`
/// of its power. Band 0 and band `BANDS + 1` only close the row; the
/// coefficients are taken of bands 1 to `BANDS`.
#[derive(Clone, Copy)]
pub struct Bin {
    pub below: u8,
    pub rise: f32,
}

/// The first bin at or above 60 Hz; [`BINS`] starts with it.
pub const FIRST_BIN: usize = (LOWEST_HZ * FFT as f64 / SAMPLE_RATE as f64) as usize + 1;
const LAST_BIN: usize = (HIGHEST_HZ * FFT as f64 / SAMPLE_RATE as f64) as usize;

pub static BINS: [Bin; LAST_BIN - FIRST_BIN + 1] = {
    let mut bins = [Bin { below: 0, rise: 0.0 }; LAST_BIN - FIRST_BIN + 1];
    let lowest = mel(LOWEST_HZ);
    let step = (mel(HIGHEST_HZ) - lowest) / (BANDS + 1) as f64;
    let mut i = 0;
    while i < bins.len() {
        let hz = (FIRST_BIN + i) as f64 * SAMPLE_RATE as f64 / FFT as f64;
        let position = (mel(hz) - lowest) / step;
        let below = position as u8;
        bins[i] = Bin { below, rise: (position - below as f64) as f32 };
        i += 1;
    }
    bins
};

/// `COSINES[i][j] = cos(πi(j + ½) / 40) / 40`
pub static COSINES: [[f32; BANDS]; PER_FRAME] = {
    let mut cosines = [[0.0; BANDS]; PER_FRAME];
    let mut i = 0;
    while i < PER_FRAME {
        let mut j = 0;
        while j < BANDS {
            let angle = PI * i as f64 * (j as f64 + 0.5) / BANDS as f64;
            cosines[i][j] = (cos(angle) / BANDS as f64) as f32;
            j += 1;
        }
        i += 1;
    }
    cosines
};

const fn mel(hz: f64) -> f64 {
    1127.0 * ln(1.0 + hz / 700.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_band_hears_something() {
        let mut weight = [0.0; BANDS + 2];
        for bin in &BINS {
            let below = usize::from(bin.below);
            assert!((0.0..=1.0).contains(&bin.rise));
            weight[below] += 1.0 - bin.rise;
            weight[below + 1] += bin.rise;
        }
        for (band, weight) in weight.iter().enumerate().skip(1).take(BANDS) {
            assert!(*weight > 1.0, "band {band}: {weight}");
        }
    }

    #[test]
    fn cosines_are_orthogonal() {
        for (i, a) in COSINES.iter().enumerate() {
            for b in &COSINES[..i] {
                let product: f32 = a.iter().zip(b).map(|(x, y)| x * y).sum();
                assert!(product.abs() < 1e-7, "{i}: {product}");
            }
        }
    }
}
