//! From the sensors' counts to scores.

use mcuopt_macros::include_model;

include_model!(pub "gesture.onnx");

/// Frames a second.
pub const RATE: usize = 25;
/// Frames that the network looks at: four seconds.
pub const WINDOW: usize = 4 * RATE;
/// Acceleration along, and rotation about, each of three axes.
pub const AXES: usize = 6;
/// Exercises that it knows.
pub const CLASSES: usize = 7;

/// What a count of each axis is to the network, which takes g and 2.5 rad/s, the same in train/watch.py: the sensor's ranges
/// are ±16 g and ±2000 °/s.
const UNITS: [f32; AXES] = {
    let (g, rate) = (16.0 / 32768.0, 2000.0 * core::f32::consts::PI / 180.0 / 32768.0 / 2.5);
    [g, g, g, rate, rate, rate]
};

/// The last four seconds, and the network. All the RAM it takes is in here.
pub struct Recogniser {
    window: [f32; WINDOW * AXES],
    network: Gesture,
}

impl Recogniser {
    /// With a window that holds nothing.
    pub const fn new() -> Self {
        Self { window: [0.0; WINDOW * AXES], network: Gesture::new() }
    }

    /// Takes a frame in, and forgets the oldest.
    pub fn take(&mut self, counts: [i16; AXES]) {
        self.window.copy_within(AXES.., 0);
        let newest = &mut self.window[(WINDOW - 1) * AXES..];
        for ((value, count), unit) in newest.iter_mut().zip(counts).zip(UNITS) {
            *value = f32::from(count) * unit;
        }
    }

    /// The scores of the exercises for the last four seconds.
    pub fn scores(&mut self) -> [f32; CLASSES] {
        self.network.predict(&self.window)
    }
}

/// A frame out of little-endian bytes.
pub fn frame(bytes: &[u8; 2 * AXES]) -> [i16; AXES] {
    let mut counts = [0; AXES];
    for (count, pair) in counts.iter_mut().zip(bytes.as_chunks().0) {
        *count = i16::from_le_bytes(*pair);
    }
    counts
}
