//! What the benchmarks must not exceed.

use crate::shared::Model;

/// The limits for one model in int8 on the Cortex-M4.
#[derive(Clone, Copy, Debug)]
pub struct Bars {
    /// Millions of modelled cycles with `speed`.
    pub cycles: f64,
    /// Millions of modelled cycles to hope for.
    pub stretch: f64,
    /// Bytes of `RAM_BYTES` and stack.
    pub ram: u64,
    /// Bytes of flash in all with `size`.
    pub flash: Option<u64>,
}

impl Bars {
    /// Bytes of flash besides the weights.
    pub const CODE: u64 = 20_000;
    /// Cycles of `balanced` in those of `speed`, and flash of `balanced` in that of `size`.
    pub const BALANCE: f64 = 1.15;

    /// Those of a model, if it has any.
    pub fn of(model: Model) -> Option<Self> {
        let bars = |cycles, stretch, ram, flash| Some(Self { cycles, stretch, ram, flash });
        match model {
            Model::Ad => bars(0.42, 0.38, 2_000, None),
            Model::Ic => bars(16.0, 10.0, 36_000, Some(100_000)),
            Model::Kws => bars(4.2, 3.8, 10_500, Some(50_000)),
            Model::Person => bars(12.0, 10.5, 48_000, None),
            Model::Speech => bars(0.80, 0.55, 7_000, None),
            Model::Sww => bars(1.25, 1.05, 9_000, None),
            Model::Vww => bars(8.0, 6.0, 48_000, Some(90_000)),
            Model::Mnist | Model::Sine => None,
        }
    }
}
