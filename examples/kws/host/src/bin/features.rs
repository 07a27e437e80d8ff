//! A filter: clips of 16000 little-endian `i16` in, clips of 490 little-endian
//! `f32` out. The training script sends its audio through here, so the network
//! learns the very features that the firmware computes.

use std::io::{self, BufReader, BufWriter, ErrorKind, Read, Write};

use kws_features::{Extractor, FEATURES, SAMPLES};

fn main() -> io::Result<()> {
    let mut input = BufReader::new(io::stdin().lock());
    let mut output = BufWriter::new(io::stdout().lock());
    let mut extractor = Extractor::new();
    let mut bytes = vec![0; 2 * SAMPLES];
    let mut audio = [0; SAMPLES];
    let mut features = [0.0; FEATURES];
    loop {
        match input.read_exact(&mut bytes) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => break,
            Err(error) => return Err(error),
        }
        let (samples, _) = bytes.as_chunks();
        for (sample, &pair) in audio.iter_mut().zip(samples) {
            *sample = i16::from_le_bytes(pair);
        }
        extractor.clip(&audio, &mut features);
        for feature in features {
            output.write_all(&feature.to_le_bytes())?;
        }
    }
    output.flush()
}
