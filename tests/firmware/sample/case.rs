/// Stands for a compiled model when this crate is built on its own, as clippy does: passes its input on.
pub struct Sample {
    memory: [i8; 4],
}

impl Sample {
    #[expect(clippy::new_without_default, reason = "compiled models have no default either")]
    pub const fn new() -> Self {
        Sample { memory: [0; 4] }
    }

    pub fn input_mut(&mut self) -> &mut [i8; 4] {
        &mut self.memory
    }

    #[cfg(not(feature = "laps"))]
    pub fn run(&mut self) -> &[i8; 4] {
        &self.memory
    }

    #[cfg(feature = "laps")]
    pub fn run_with(&mut self, observer: &mut impl mcuopt_rt::Observer) -> &[i8; 4] {
        observer.layer(0, (&self.memory).into());
        &self.memory
    }
}

impl mcuopt_rt::Model for Sample {
    const RAM_BYTES: usize = 4;
    const WEIGHT_BYTES: usize = 0;
    const MACS: u64 = 0;
    const LAYERS: &'static [mcuopt_rt::Layer] = &[];

    fn run_with(&mut self, _: &mut impl mcuopt_rt::Observer) {}
}

network!(Sample: input_mut);
