//! What the network sees of a window of vibration: for each of 32 bands the logarithm of its energy, as
//! train/features.py computes it with numpy.

use microfft::Complex32;
use microfft::real::rfft_512;

/// Accelerations in a window, 4000 a second.
pub const WINDOW: usize = 512;
/// Bands of equal width up to 2 kHz.
pub const BANDS: usize = 32;

/// log₂(1 + energy) of each band, under Hann's window.
pub fn bands(counts: impl Iterator<Item = i16>) -> [f32; BANDS] {
    let mut samples = [0.0; WINDOW];
    for (sample, count) in samples.iter_mut().zip(counts) {
        *sample = f32::from(count);
    }
    let spectrum = rfft_512(&mut samples);
    // The highest frequency is real and lies in the place that the lowest, real as well, has no use for.
    let highest = Complex32::new(spectrum[0].im, 0.0);
    let lowest = Complex32::new(spectrum[0].re, 0.0);
    let at = |i: usize| match i {
        0 => lowest,
        i => spectrum.get(i).copied().unwrap_or(highest),
    };
    let mut energies = [0.0; BANDS];
    // At zero there is the sensor's offset.
    for i in 1..WINDOW / 2 {
        // The window's own spectrum has three lines, so it costs less here than as factors of the samples.
        let (before, here, after) = (at(i - 1), at(i), at(i + 1));
        let re = 0.5 * here.re - 0.25 * (before.re + after.re);
        let im = 0.5 * here.im - 0.25 * (before.im + after.im);
        energies[i / (WINDOW / 2 / BANDS)] += re * re + im * im;
    }
    energies.map(|energy| libm::log2f(1.0 + energy))
}
