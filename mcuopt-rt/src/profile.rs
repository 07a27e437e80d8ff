//! Where the time goes, on the device itself.

use core::fmt::{self, Display, Formatter};

use crate::model::{Layer, Observer, Tensor};

/// An observer that adds up how much a counter moves during each layer.
///
/// `N` is the number of layers, and the counter anything that counts up and starts again at zero after all of its bits
/// are ones. A layer may take any time that fits into those bits.
///
/// | counter | closure |
/// |---|---|
/// | cycles of Cortex-M3 and up, by the crate cortex-m; enable it first | `DWT::cycle_count` |
/// | cycles of RISC-V, by the crate riscv | <code>&#124;&#124; riscv::register::mcycle::read() as u32</code> |
/// | ticks of embassy | <code>&#124;&#124; Instant::now().as_ticks() as u32</code> |
/// | SysTick of Cortex-M0+, which counts down, with 24 bits | <code>&#124;&#124; SYST::get_current() ^ 0xff_ffff</code>, [`with_bits`](Self::with_bits) 24 |
///
/// ```
/// # use mcuopt_rt::{CycleProfiler, Layer, Model, Observer, Tensor};
/// # struct Kws;
/// # impl Model for Kws {
/// #     const RAM_BYTES: usize = 0;
/// #     const WEIGHT_BYTES: usize = 0;
/// #     const MACS: u64 = 8000;
/// #     const LAYERS: &'static [Layer] = &[Layer {
/// #         name: "/conv/Conv", op: "Conv", kernel: "conv2d_s8", remark: "", macs: 8000, weight_bytes: 72, output_bytes: 9,
/// #     }];
/// #     fn run_with(&mut self, observer: &mut impl Observer) {
/// #         observer.layer(0, Tensor::I8(&[0; 9]));
/// #     }
/// # }
/// # let mut kws = Kws;
/// # let mut cycles = 0;
/// # let counter = || { cycles += 10_000; cycles };
/// let mut profiler = CycleProfiler::<_, { Kws::LAYERS.len() }>::new(counter);
/// profiler.start();
/// kws.run_with(&mut profiler);
/// println!("{}", profiler.table(Kws::LAYERS));
/// ```
///
/// An inference is counted from [`start`](Self::start) on: where a method copies or converts the input first, that counts
/// with the first layer, and what `predict` does to the result is not seen. Counts of several inferences add up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CycleProfiler<C, const N: usize> {
    counter: C,
    mask: u32,
    last: u32,
    cycles: [u64; N],
    runs: u32,
}

impl<C: FnMut() -> u32, const N: usize> CycleProfiler<C, N> {
    /// With a counter of 32 bits.
    pub const fn new(counter: C) -> Self {
        Self { counter, mask: u32::MAX, last: 0, cycles: [0; N], runs: 0 }
    }

    /// With a counter of fewer bits, from 1 to 32; those above are ignored.
    ///
    /// # Panics
    /// For another number of bits.
    pub const fn with_bits(counter: C, bits: u32) -> Self {
        assert!(bits >= 1 && bits <= 32, "a counter has 1 to 32 bits");
        Self { counter, mask: u32::MAX >> (32 - bits), last: 0, cycles: [0; N], runs: 0 }
    }

    /// Begins an inference.
    pub fn start(&mut self) {
        self.runs += 1;
        self.last = (self.counter)();
    }
}

impl<C, const N: usize> CycleProfiler<C, N> {
    /// What each layer took, of all inferences together.
    pub const fn cycles(&self) -> &[u64; N] {
        &self.cycles
    }

    /// How many inferences were started.
    pub const fn runs(&self) -> u32 {
        self.runs
    }

    /// Forgets everything.
    pub fn reset(&mut self) {
        self.cycles = [0; N];
        self.runs = 0;
    }

    /// A table of the layers, to be printed: for each the mean over the inferences, its share of the whole, how many
    /// counts a multiply-accumulate took, kernel and name. It is made without floats, which are long to print.
    pub const fn table<'a>(&'a self, layers: &'a [Layer]) -> Table<'a> {
        Table { layers, cycles: &self.cycles, runs: self.runs }
    }
}

impl<C: FnMut() -> u32, const N: usize> Observer for CycleProfiler<C, N> {
    fn layer(&mut self, index: usize, _: Tensor<'_>) {
        let now = (self.counter)();
        if let Some(cycles) = self.cycles.get_mut(index) {
            *cycles += u64::from(now.wrapping_sub(self.last) & self.mask);
        }
        // Read again, so that nobody is charged for the lines above.
        self.last = (self.counter)();
    }
}

/// What [`CycleProfiler::table`] shows, by [`Display`] or by defmt.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Table<'a> {
    layers: &'a [Layer],
    cycles: &'a [u64],
    runs: u32,
}

impl Table<'_> {
    fn rows(&self) -> impl Iterator<Item = Row> {
        let runs = u64::from(self.runs.max(1));
        let total: u64 = self.cycles.iter().sum();
        let row = move |(layer, &cycles): (&Layer, &u64)| Row {
            cycles: cycles / runs,
            share: Decimal::of(100 * cycles, total),
            per_mac: Decimal::of(cycles, layer.macs * runs),
            kernel: layer.kernel,
            name: layer.name,
        };
        self.layers.iter().zip(self.cycles).map(row)
    }

    fn total(&self) -> u64 {
        self.cycles.iter().sum::<u64>() / u64::from(self.runs.max(1))
    }
}

/// A line of the table.
struct Row {
    cycles: u64,
    share: Decimal,
    per_mac: Decimal,
    kernel: &'static str,
    name: &'static str,
}

impl Display for Table<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:>10} {:>5} {:>6}  {:24} layer", "cycles", "%", "/ MAC", "kernel")?;
        for Row { cycles, share, per_mac, kernel, name } in self.rows() {
            writeln!(f, "{cycles:10} {share:>5} {per_mac:>6}  {kernel:24} {name}")?;
        }
        let runs = self.runs;
        write!(f, "{:10}   100         mean of {runs} inference{}", self.total(), if runs == 1 { "" } else { "s" })
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for Table<'_> {
    fn format(&self, f: defmt::Formatter<'_>) {
        for Row { cycles, share, per_mac, kernel, name } in self.rows() {
            let (share, per_mac) = (share.hundredths(), per_mac.hundredths());
            defmt::write!(f, "{} cycles, {}/10000 of all, {}/100 a MAC: {} {}\n", cycles, share, per_mac, kernel, name);
        }
        defmt::write!(f, "{} cycles, the mean of {} inferences", self.total(), self.runs);
    }
}

/// A number with two digits after its point, or none where it would be a division by zero.
struct Decimal(Option<u64>);

impl Decimal {
    fn of(numerator: u64, denominator: u64) -> Self {
        Self((100 * numerator + denominator / 2).checked_div(denominator))
    }

    #[cfg(feature = "defmt")]
    fn hundredths(&self) -> u64 {
        self.0.unwrap_or(0)
    }
}

impl Display for Decimal {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Some(hundredths) = self.0 else { return f.pad("–") };
        let width = f.width().unwrap_or(0).saturating_sub(3);
        write!(f, "{:width$}.{:02}", hundredths / 100, hundredths % 100)
    }
}
