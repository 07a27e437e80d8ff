use kws_features::{CLASSES, Extractor, FEATURES, SAMPLES};
use mcuopt_macros::include_model;

include_model!(pub "../kws.onnx");

/// From audio to scores. All the RAM it takes is in here.
pub struct Spotter {
    pub audio: [i16; SAMPLES],
    pub features: [f32; FEATURES],
    extractor: Extractor,
    network: Kws,
}

impl Spotter {
    pub const fn new() -> Self {
        Self { audio: [0; SAMPLES], features: [0.0; FEATURES], extractor: Extractor::new(), network: Kws::new() }
    }

    /// The scores of the words for the second in `audio`.
    pub fn hear(&mut self) -> [f32; CLASSES] {
        self.extractor.clip(&self.audio, &mut self.features);
        self.judge()
    }

    /// The scores of the words for `features`.
    pub fn judge(&mut self) -> [f32; CLASSES] {
        self.network.predict(&self.features)
    }
}
