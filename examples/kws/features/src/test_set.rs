//! The file `kws.test.bin`: labelled features in a form that a microcontroller
//! reads as easily as numpy does. A record is one byte, the class, and 490
//! little-endian `i16`, the features times 1024; records follow each other
//! without a header. All the accuracies are measured on these same rounded
//! features.

use crate::extractor::FEATURES;

pub const RECORD_BYTES: usize = 1 + 2 * FEATURES;

const STEP: f32 = 1.0 / 1024.0;

/// The class of a record; its features go to `features`.
pub fn decode(record: &[u8; RECORD_BYTES], features: &mut [f32; FEATURES]) -> usize {
    let [class, values @ ..] = record;
    let (values, _) = values.as_chunks();
    for (feature, &value) in features.iter_mut().zip(values) {
        *feature = f32::from(i16::from_le_bytes(value)) * STEP;
    }
    usize::from(*class)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_class_and_values() {
        let mut record = [0; RECORD_BYTES];
        record[0] = 9;
        record[1..3].copy_from_slice(&1536_i16.to_le_bytes());
        record[RECORD_BYTES - 2..].copy_from_slice(&(-256_i16).to_le_bytes());
        let mut features = [1.0; FEATURES];
        assert_eq!(decode(&record, &mut features), 9);
        assert_eq!(features[0], 1.5);
        assert_eq!(features[1], 0.0);
        assert_eq!(features[FEATURES - 1], -0.25);
    }
}
