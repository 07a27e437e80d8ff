//! The profiler over counters that wrap, over several inferences, and its table.

use core::cell::Cell;

use mcuopt_rt::{CycleProfiler, Layer, Observer, Tensor};

const fn layer(name: &'static str, kernel: &'static str, macs: u64) -> Layer {
    Layer { name, op: "", kernel, remark: "", macs, weight_bytes: 0, output_bytes: 1 }
}

const LAYERS: [Layer; 3] =
    [layer("/conv/Conv", "conv2d_s8_dsp", 1000), layer("/relu/Relu", "lut_s8", 0), layer("/fc/Gemm", "dense_s8", 3)];

/// Counts that the layers take, in the order of the table.
const COSTS: [u32; 3] = [2500, 500, 100];

/// Runs the layers once against a clock.
fn run(clock: &Cell<u32>, observer: &mut impl Observer) {
    for (index, cost) in COSTS.into_iter().enumerate() {
        clock.set(clock.get().wrapping_add(cost));
        observer.layer(index, Tensor::I8(&[0]));
    }
}

#[test]
fn counts_go_to_their_layers_however_the_counter_wraps() {
    for start in [0, 17, u32::MAX - 2400, u32::MAX - 2600, u32::MAX] {
        let clock = Cell::new(start);
        let mut profiler = CycleProfiler::<_, 3>::new(|| clock.get());
        profiler.start();
        run(&clock, &mut profiler);
        assert_eq!(profiler.cycles(), &[2500, 500, 100], "from {start}");
    }
}

#[test]
fn counters_of_fewer_bits_wrap_at_theirs() {
    for (bits, start) in [(24, 0xff_ffff), (24, 0xff_f700), (12, 4000)] {
        let clock = Cell::new(start);
        // Bits above are whatever they are.
        let counter = || (clock.get() & ((1 << bits) - 1)) | (clock.get() << bits);
        let mut profiler = CycleProfiler::<_, 3>::with_bits(counter, bits);
        profiler.start();
        run(&clock, &mut profiler);
        assert_eq!(profiler.cycles(), &[2500, 500, 100], "{bits} bits from {start}");
    }
}

#[test]
fn what_happens_between_inferences_is_nobodys() {
    let clock = Cell::new(0);
    let mut profiler = CycleProfiler::<_, 3>::new(|| clock.get());
    for _ in 0..3 {
        clock.set(clock.get().wrapping_add(1_000_000));
        profiler.start();
        run(&clock, &mut profiler);
    }
    assert_eq!((profiler.cycles(), profiler.runs()), (&[7500, 1500, 300], 3));
    profiler.reset();
    assert_eq!((profiler.cycles(), profiler.runs()), (&[0; 3], 0));
}

#[test]
fn a_layer_with_several_outputs_counts_once_for_all_of_them() {
    let clock = Cell::new(0);
    let mut profiler = CycleProfiler::<_, 1>::new(|| clock.get());
    profiler.start();
    for _ in 0..2 {
        clock.set(clock.get() + 5);
        profiler.layer(0, Tensor::I8(&[0]));
    }
    assert_eq!(profiler.cycles(), &[10]);
}

#[test]
fn the_table_shows_means_and_shares() {
    let clock = Cell::new(0);
    let mut profiler = CycleProfiler::<_, 3>::new(|| clock.get());
    for _ in 0..2 {
        profiler.start();
        run(&clock, &mut profiler);
    }
    let expected = "    cycles     %  / MAC  kernel                   layer
      2500 80.65   2.50  conv2d_s8_dsp            /conv/Conv
       500 16.13      –  lut_s8                   /relu/Relu
       100  3.23  33.33  dense_s8                 /fc/Gemm
      3100   100         mean of 2 inferences";
    assert_eq!(profiler.table(&LAYERS).to_string(), expected);
}

#[test]
fn a_table_of_nothing_is_no_division_by_zero() {
    let profiler = CycleProfiler::<_, 3>::new(|| 0);
    let table = profiler.table(&LAYERS).to_string();
    assert!(table.ends_with("         0   100         mean of 0 inferences"), "{table}");
}
