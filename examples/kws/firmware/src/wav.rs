//! 16-bit mono WAV files at 16 kHz.

use kws_features::SAMPLES;
use semihosting::io::{self, ErrorKind, Read};

const PCM: u16 = 1;
const MONO: u16 = 1;
const RATE: u32 = SAMPLES as u32;
const BITS: u16 = 16;

/// The first second of a file; what it lacks of a second is silence.
pub fn read(mut file: impl Read, audio: &mut [i16; SAMPLES]) -> io::Result<()> {
    let mut riff = [0; 12];
    file.read_exact(&mut riff)?;
    if !riff.starts_with(b"RIFF") || !riff.ends_with(b"WAVE") {
        return Err(ErrorKind::InvalidData.into());
    }
    loop {
        let mut header = [0; 8];
        file.read_exact(&mut header)?;
        let [a, b, c, d, size @ ..] = header;
        let size = u32::from_le_bytes(size);
        match &[a, b, c, d] {
            b"fmt " => read_format(&mut file, size)?,
            b"data" => return read_samples(file, size, audio),
            _ => skip(&mut file, size)?,
        }
    }
}

fn read_format(file: &mut impl Read, size: u32) -> io::Result<()> {
    let mut format = [0; 16];
    file.read_exact(&mut format)?;
    let u16_at = |i: usize| u16::from_le_bytes([format[i], format[i + 1]]);
    let rate = u32::from(u16_at(4)) | u32::from(u16_at(6)) << 16;
    if (u16_at(0), u16_at(2), rate, u16_at(14)) != (PCM, MONO, RATE, BITS) {
        return Err(ErrorKind::Unsupported.into());
    }
    skip(file, size.saturating_sub(16))
}

fn read_samples(mut file: impl Read, size: u32, audio: &mut [i16; SAMPLES]) -> io::Result<()> {
    let (clip, missing) = audio.split_at_mut(SAMPLES.min(size as usize / 2));
    // A read is a call of the debugger: a few hundred bytes at a time.
    for samples in clip.chunks_mut(256) {
        let mut buffer = [0; 512];
        let bytes = &mut buffer[..2 * samples.len()];
        file.read_exact(bytes)?;
        for (sample, pair) in samples.iter_mut().zip(bytes.as_chunks().0) {
            *sample = i16::from_le_bytes(*pair);
        }
    }
    missing.fill(0);
    Ok(())
}

/// Chunks have an even length in the file, whatever they say.
fn skip(file: &mut impl Read, size: u32) -> io::Result<()> {
    for _ in 0..size.div_ceil(2) {
        file.read_exact(&mut [0; 2])?;
    }
    Ok(())
}
