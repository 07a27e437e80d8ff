//! The features of the clips, computed here, are those that the training
//! script stored: the crate has not changed since the network was trained.

use std::{fs, path::Path};

use kws_features::{CLASSES, Extractor, FEATURES, RECORD_BYTES, SAMPLES, decode, label};

const WAV_HEADER: usize = 44;

#[test]
fn features_are_those_of_the_training() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let test_set = fs::read(example.join("kws.test.bin")).expect("the test set");
    let mut extractor = Extractor::new();
    let mut seen = [0; CLASSES];
    let mut compared = 0;
    for record in test_set.as_chunks::<RECORD_BYTES>().0 {
        let mut expected = [0.0; FEATURES];
        let class = decode(record, &mut expected);
        seen[class] += 1;
        let clip = example.join(format!("clips/{}-{}.wav", label(class), seen[class]));
        let Ok(wav) = fs::read(&clip) else { continue };

        let samples = wav[WAV_HEADER..].as_chunks().0;
        let mut audio = [0; SAMPLES];
        assert_eq!(samples.len(), audio.len(), "{}", clip.display());
        for (sample, &pair) in audio.iter_mut().zip(samples) {
            *sample = i16::from_le_bytes(pair);
        }
        let mut features = [0.0; FEATURES];
        extractor.clip(&audio, &mut features);
        for (feature, expected) in features.iter().zip(expected) {
            let rounded = (feature * 1024.0).round_ties_even() / 1024.0;
            assert_eq!(rounded, expected, "{}", clip.display());
        }
        compared += 1;
    }
    assert!(compared >= CLASSES, "only {compared} clips");
}
