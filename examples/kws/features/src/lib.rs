//! What the network hears, and how what it says is judged.
//!
//! It hears 49 frames of 10 cepstral coefficients, from one second of 16 kHz
//! audio.
//!
//! A frame is 40 ms long and starts 20 ms after the one before. Of each frame:
//!
//! 1. `x[n] = pcm[n] / 32768 · w[n]`, with the periodic Hann window
//!    `w[n] = ½ − ½ cos(2πn / 640)`;
//! 2. the power spectrum `p[k] = |FFT₁₀₂₄(x)|²`, bins 15.625 Hz apart;
//! 3. 40 triangular bands, evenly spaced on the mel scale
//!    `mel(f) = 1127 ln(1 + f / 700)` from 60 Hz to 7600 Hz, each reaching from
//!    the centre of the band below to the centre of the band above:
//!    `e[j] = Σₖ tri(j, k) · p[k]`;
//! 4. `l[j] = ln(e[j] + FLOOR)`: the floor hides what lies below about
//!    −70 dB of full scale, where a microphone delivers its own noise;
//! 5. `c[i] = GAIN[i] · (1/40 · Σⱼ l[j] cos(πi(j + ½) / 40) − OFFSET[i])`, the
//!    first ten terms of a cosine transform (DCT-II), each brought to about
//!    the same spread and limited to ±4, so that one int8 scale serves them
//!    all and a rare outlier does not spoil it.
//!
//! These are the mel-frequency cepstral coefficients of Davis and Mermelstein,
//! "Comparison of parametric representations for monosyllabic word recognition
//! in continuously spoken sentences", IEEE Trans. ASSP 28(4), 1980, on the mel
//! scale of the HTK book. The frame length, the hop and the ten coefficients
//! are those of Zhang et al., "Hello Edge: Keyword Spotting on
//! Microcontrollers", arXiv:1711.07128, and of MLPerf Tiny.
//!
//! All of it is additions, multiplications and one pure Rust logarithm in
//! `f32`, in a fixed order. A processor that rounds as IEEE 754 says gets the
//! same bits, whether it sits in the training computer or in the firmware.

#![no_std]
#![forbid(unsafe_code)]

mod constant_math;
mod extractor;
mod labels;
mod tables;
mod tally;
mod test_set;

pub use extractor::{Extractor, FEATURES, FRAME_SAMPLES, FRAMES, HOP_SAMPLES, PER_FRAME, SAMPLES};
pub use labels::{CLASSES, best, label};
pub use tally::Tally;
pub use test_set::{RECORD_BYTES, decode};
