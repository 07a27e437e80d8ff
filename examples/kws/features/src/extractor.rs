use microfft::real::rfft_1024;

use crate::tables::{BANDS, BINS, COSINES, FFT, FIRST_BIN, WINDOW};

pub const SAMPLE_RATE: usize = 16_000;
/// Samples of one clip: a second.
pub const SAMPLES: usize = SAMPLE_RATE;
/// Samples of one frame: 40 ms.
pub const FRAME_SAMPLES: usize = 640;
/// Samples from the start of a frame to the start of the next: 20 ms.
pub const HOP_SAMPLES: usize = 320;
/// Frames of a clip.
pub const FRAMES: usize = (SAMPLES - FRAME_SAMPLES) / HOP_SAMPLES + 1;
/// Coefficients of a frame.
pub const PER_FRAME: usize = 10;
/// Values of a clip, frame after frame.
pub const FEATURES: usize = FRAMES * PER_FRAME;

const FLOOR: f32 = 1e-4;
// Rounded from the mean and the spread of the synthesised training clips.
const OFFSET: [f32; PER_FRAME] = [-2.4, 0.75, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0];
const GAIN: [f32; PER_FRAME] = [0.55, 1.25, 2.0, 2.5, 3.0, 4.0, 4.0, 4.5, 5.0, 6.0];
const LIMIT: f32 = 4.0;

/// The working memory of the transform, 4 kB. Keep it in a `static`.
pub struct Extractor {
    buffer: [f32; FFT],
}

impl Extractor {
    #[must_use]
    pub const fn new() -> Self {
        Self { buffer: [0.0; FFT] }
    }

    /// The features of a whole clip.
    pub fn clip(&mut self, audio: &[i16; SAMPLES], features: &mut [f32; FEATURES]) {
        let (rows, _) = features.as_chunks_mut::<PER_FRAME>();
        for (row, start) in rows.iter_mut().zip((0..).step_by(HOP_SAMPLES)) {
            if let Some((samples, _)) = audio[start..].split_first_chunk() {
                self.frame(samples, row);
            }
        }
    }

    /// The coefficients of one frame. A device that listens all the time calls
    /// this every 20 ms and keeps the last 49 rows, instead of a second of
    /// audio.
    pub fn frame(&mut self, samples: &[i16; FRAME_SAMPLES], row: &mut [f32; PER_FRAME]) {
        let (frame, padding) = self.buffer.split_at_mut(FRAME_SAMPLES);
        for ((x, &sample), weight) in frame.iter_mut().zip(samples).zip(&WINDOW) {
            *x = f32::from(sample) * weight;
        }
        padding.fill(0.0);
        let spectrum = rfft_1024(&mut self.buffer);

        let mut bands = [0.0; BANDS + 2];
        for (bin, value) in BINS.iter().zip(&spectrum[FIRST_BIN..]) {
            let power = value.re * value.re + value.im * value.im;
            let below = usize::from(bin.below);
            let risen = power * bin.rise;
            bands[below] += power - risen;
            bands[below + 1] += risen;
        }

        let bands = &mut bands[1..=BANDS];
        for band in bands.iter_mut() {
            *band = libm::logf(*band + FLOOR);
        }
        for (i, out) in row.iter_mut().enumerate() {
            let mut sum = 0.0;
            for (cosine, level) in COSINES[i].iter().zip(bands.iter()) {
                sum += cosine * level;
            }
            *out = (GAIN[i] * (sum - OFFSET[i])).clamp(-LIMIT, LIMIT);
        }
    }
}

impl Default for Extractor {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;

    use super::*;

    fn tone(hertz: f64, amplitude: f64) -> [i16; SAMPLES] {
        core::array::from_fn(|n| {
            let angle = core::f64::consts::TAU * hertz * n as f64 / SAMPLE_RATE as f64;
            (32767.0 * amplitude * angle.sin()) as i16
        })
    }

    /// The definition at the top of the crate, as it stands there, in f64.
    fn definition(samples: &[i16]) -> Vec<f64> {
        use core::f64::consts::{PI, TAU};
        let x: Vec<f64> = samples
            .iter()
            .enumerate()
            .map(|(n, &s)| f64::from(s) / 32768.0 * (0.5 - 0.5 * (TAU * n as f64 / 640.0).cos()))
            .collect();
        let power = |k: usize| {
            let (mut re, mut im) = (0.0, 0.0);
            for (n, x) in x.iter().enumerate() {
                let angle = TAU * (k * n) as f64 / 1024.0;
                re += x * angle.cos();
                im -= x * angle.sin();
            }
            re * re + im * im
        };
        let mel = |hz: f64| 1127.0 * (1.0 + hz / 700.0).ln();
        let step = (mel(7600.0) - mel(60.0)) / 41.0;
        let mut bands = [0.0; 40];
        for k in 1..512 {
            let power = power(k);
            for (j, band) in bands.iter_mut().enumerate() {
                let centre = mel(60.0) + (j + 1) as f64 * step;
                let distance = (mel(k as f64 * 15.625) - centre).abs() / step;
                *band += power * (1.0 - distance).max(0.0);
            }
        }
        (0..PER_FRAME)
            .map(|i| {
                let sum: f64 = (0..40)
                    .map(|j| {
                        let level = (bands[j] + f64::from(FLOOR)).ln();
                        level * (PI * i as f64 * (j as f64 + 0.5) / 40.0).cos() / 40.0
                    })
                    .sum();
                (f64::from(GAIN[i]) * (sum - f64::from(OFFSET[i]))).clamp(-4.0, 4.0)
            })
            .collect()
    }

    #[test]
    fn agrees_with_the_definition() {
        let mut extractor = Extractor::new();
        for (hertz, amplitude) in [(100.0, 0.5), (440.0, 0.01), (1234.5, 1.0), (6900.0, 0.2)] {
            let audio = tone(hertz, amplitude);
            let mut features = [0.0; FEATURES];
            extractor.clip(&audio, &mut features);
            let last = (FRAMES - 1) * HOP_SAMPLES;
            let expected = definition(&audio[last..last + FRAME_SAMPLES]);
            for (x, y) in features[FEATURES - PER_FRAME..].iter().zip(expected) {
                assert!((f64::from(*x) - y).abs() < 1e-3, "{hertz} Hz: {x} and {y}");
            }
        }
    }

    #[test]
    fn silence_is_the_floor() {
        let mut features = [1.0; FEATURES];
        Extractor::new().clip(&[0; SAMPLES], &mut features);
        let expected = GAIN[0] * (FLOOR.ln() - OFFSET[0]);
        assert!((features[0] - expected).abs() < 1e-5);
        assert_eq!(features[..PER_FRAME], features[FEATURES - PER_FRAME..]);
    }

    #[test]
    fn the_loudest_clip_stays_within_the_limit() {
        let square = core::array::from_fn(|n| if n / 40 % 2 == 0 { i16::MAX } else { i16::MIN });
        let mut features = [f32::NAN; FEATURES];
        Extractor::new().clip(&square, &mut features);
        assert!(features.iter().all(|x| x.abs() <= LIMIT));
    }

    #[test]
    fn frames_and_clips_agree() {
        let audio = tone(700.0, 0.3);
        let mut extractor = Extractor::new();
        let mut features = [0.0; FEATURES];
        extractor.clip(&audio, &mut features);
        let mut row = [0.0; PER_FRAME];
        let start = 20 * HOP_SAMPLES;
        let samples = audio[start..].first_chunk().expect("a whole frame");
        extractor.frame(samples, &mut row);
        assert_eq!(features[200..210], row);
    }
}
