//! Winograd's convolution: what the target's code relies on, and the algorithm itself in plain Rust.

mod common;

use common::Random;
use mcuopt_rt::v0::*;

const NAME: &str = "conv2d_s8_winograd";

/// Bytes of a layer's constants in canonical order.
struct Constants {
    weights: Vec<i8>,
    bias: Vec<i32>,
    multipliers: Vec<i32>,
    requantize: Requantize,
}

impl Constants {
    fn random(random: &mut Random, p: &Conv2d) -> Self {
        let [_, _, outputs] = p.output;
        Constants {
            weights: random.i8s(9 * p.input[2] * outputs),
            bias: random.i32s(outputs, 100_000),
            multipliers: random.multipliers(outputs),
            requantize: random.requantize(),
        }
    }

    fn with<T>(&self, f: impl FnOnce(&LinearS8<'_>) -> T) -> T {
        let bytes = |values: &[i32]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
        let weights: Vec<u8> = self.weights.iter().map(|&weight| weight as u8).collect();
        let (bias, multipliers) = (bytes(&self.bias), bytes(&self.multipliers));
        f(&LinearS8 { weights: &weights, bias: &bias, multipliers: &multipliers, requantize: self.requantize })
    }

    fn choose(&self, p: &Conv2d, prefer: Prefer, arch: Arch) -> ConvS8 {
        self.with(|linear| ConvS8::choose(p, -3, linear, prefer, arch))
    }

    fn pack(&self, kernel: &ConvS8) -> Vec<u32> {
        let mut words = vec![0; kernel.words()];
        self.with(|linear| kernel.pack_into(linear, &mut words));
        words
    }
}

fn layer(height: usize, width: usize, inputs: usize, outputs: usize, pad: [usize; 2]) -> Conv2d {
    Conv2d {
        batch: 1,
        input: [height, width, inputs],
        output: [height + 2 * pad[0] - 2, width + 2 * pad[1] - 2, outputs],
        kernel: [3, 3],
        stride: [1, 1],
        pad,
        dilation: [1, 1],
        groups: 1,
    }
}

/// A layer for which the algorithm is chosen.
fn random_layer(random: &mut Random) -> Conv2d {
    loop {
        let pad = random.sizes(0, 2);
        let p = layer(random.size(5, 13), random.size(5, 13), random.size(5, 21), random.size(5, 13), pad);
        let p = Conv2d { batch: random.size(1, 2), ..p };
        let constants = Constants::random(&mut Random::new(70), &p);
        if constants.choose(&p, Prefer::Fastest, Arch::Dsp).choice().name == NAME {
            return p;
        }
    }
}

/// A pair of int16 from a word.
fn halves(word: u32) -> [i32; 2] {
    [i32::from(word as i16), i32::from((word >> 16) as i16)]
}

/// `Bᵀ d`.
fn times_b([a, b, c, d]: [i32; 4]) -> [i32; 4] {
    [a - c, b + c, c - b, b - d]
}

/// The transformed inputs of a tile and channel, by rows.
fn transformed(p: &Conv2d, pad_value: i8, x: &[i8], image: usize, tile: [usize; 2], channel: usize) -> [[i32; 4]; 4] {
    let [height, width, channels] = p.input;
    let input = |y: usize, x_: usize| {
        let inside = |at: usize, pad: usize, len: usize| at.checked_sub(pad).filter(|&at| at < len);
        let (y, x_) = (inside(2 * tile[0] + y, p.pad[0], height), inside(2 * tile[1] + x_, p.pad[1], width));
        let at = y.zip(x_).map(|(y, x)| ((image * height + y) * width + x) * channels + channel);
        i32::from(at.map_or(pad_value, |at| x[at]))
    };
    let rows: [[i32; 4]; 4] = std::array::from_fn(|y| times_b(std::array::from_fn(|x| input(y, x))));
    let columns: [[i32; 4]; 4] = std::array::from_fn(|j| times_b(std::array::from_fn(|y| rows[y][j])));
    std::array::from_fn(|i| std::array::from_fn(|j| columns[j][i]))
}

/// The layer as the target computes it, from the packed constants.
fn model(p: &Conv2d, q: &Requantize, pad_value: i8, words: &[u32], x: &[i8]) -> Vec<i8> {
    let [height, width, outputs] = p.output;
    let pairs = p.input[2].next_multiple_of(4) / 2;
    let stream = 32 * pairs + 4;
    let mut y = vec![0; p.batch * height * width * outputs];
    for place in common::indices(&[p.batch, height.div_ceil(2), width.div_ceil(2)]) {
        let channel = |c: usize| match c < p.input[2] {
            true => transformed(p, pad_value, x, place[0], [place[1], place[2]], c),
            // What is read there does not matter.
            false => [[99; 4]; 4],
        };
        let v: Vec<[[i32; 4]; 4]> = (0..2 * pairs).map(channel).collect();
        assert!(v.as_flattened().as_flattened().iter().all(|v| (-512..=510).contains(v)));
        for o in 0..outputs {
            let words = &words[o / 2 * stream..][..stream];
            let sum = |position: usize, [i, j]: [usize; 2]| {
                (0..pairs).fold(0i32, |sum, pair| {
                    let [u0, u1] = halves(words[(position * pairs + pair) * 2 + o % 2]);
                    assert!(u0.abs() <= 1152 && u1.abs() <= 1152);
                    let first = pair / 2 * 4 + pair % 2;
                    sum.wrapping_add(u0 * v[first][i][j] + u1 * v[first + 2][i][j])
                })
            };
            // By columns: upper and lower result, from M1, M1 + M2, M0 and −M3.
            let columns: [[i32; 2]; 4] = std::array::from_fn(|j| {
                let m1 = sum(4 * j, [1, j]);
                let s = m1.wrapping_add(sum(4 * j + 1, [2, j]));
                let upper = s.wrapping_add(sum(4 * j + 2, [0, j]));
                [upper, m1.wrapping_mul(2).wrapping_sub(s).wrapping_add(sum(4 * j + 3, [3, j]))]
            });
            let end = stream - 4 + 2 * (1 - o % 2);
            let (bias, multiplier) = (words[end] as i32, words[end + 1] as i32);
            for [dy, dx] in [[0, 0], [0, 1], [1, 0], [1, 1]] {
                let [a, b, c, d] = columns.map(|column| column[dy]);
                let four = if dx == 0 { a.wrapping_add(b).wrapping_add(c) } else { b.wrapping_sub(c).wrapping_sub(d) };
                assert_eq!(four % 4, 0, "4 times a whole number");
                let (row, column) = (2 * place[1] + dy, 2 * place[2] + dx);
                if row < height && column < width {
                    let at = ((place[0] * height + row) * width + column) * outputs + o;
                    y[at] = q.apply(bias + (four >> 2), multiplier);
                }
            }
        }
    }
    y
}

fn direct(p: &Conv2d, pad_value: i8, constants: &Constants, x: &[i8]) -> Vec<i8> {
    let Constants { weights, bias, multipliers, requantize } = constants;
    let mut y = vec![0; p.batch * p.output.iter().product::<usize>()];
    conv2d_s8(p, requantize, pad_value, weights, bias, multipliers, x, &mut y);
    y
}

#[test]
fn the_algorithm_is_exact() {
    let mut random = Random::new(71);
    for _ in 0..40 {
        let p = random_layer(&mut random);
        let constants = Constants::random(&mut random, &p);
        let kernel = constants.choose(&p, Prefer::Fastest, Arch::Dsp);
        assert_eq!(kernel.choice().name, NAME, "{p:?}");
        let x = random.i8s(p.batch * p.input.iter().product::<usize>());
        let y = model(&p, &constants.requantize, -3, &constants.pack(&kernel), &x);
        assert_eq!(y, direct(&p, -3, &constants, &x), "{p:?}");
    }
}

#[test]
fn extremes_are_exact() {
    let p = layer(8, 8, 64, 8, [1, 1]);
    let mut random = Random::new(72);
    for (w, v) in [(-128, -128), (-128, 127), (127, -128), (127, 127)] {
        let mut constants = Constants::random(&mut random, &p);
        constants.weights.fill(w);
        constants.multipliers.fill(1 << 15);
        let kernel = constants.choose(&p, Prefer::Fastest, Arch::Dsp);
        let x = vec![v; 8 * 8 * 64];
        let y = model(&p, &constants.requantize, v, &constants.pack(&kernel), &x);
        assert_eq!(y, direct(&p, v, &constants, &x), "{w} {v}");
    }
}

#[test]
fn it_is_chosen_where_memory_is_free_and_it_pays_off() {
    let mut random = Random::new(73);
    let mut name = |p: &Conv2d, prefer, arch| Constants::random(&mut random, p).choose(p, prefer, arch).choice().name;
    let p = layer(16, 16, 32, 32, [1, 1]);
    assert_eq!(name(&p, Prefer::Fastest, Arch::Dsp), NAME);
    assert_eq!(name(&p, Prefer::Fastest, Arch::Portable), "conv2d_s8");
    for prefer in [Prefer::Speed, Prefer::Size] {
        assert_eq!(name(&p, prefer, Arch::Dsp), "conv2d_s8_dsp");
    }
    let others = [
        Conv2d { stride: [2, 2], output: [8, 8, 32], ..p },
        Conv2d { stride: [1, 2], output: [16, 8, 32], ..p },
        Conv2d { dilation: [1, 2], output: [16, 14, 32], ..p },
        Conv2d { kernel: [3, 1], output: [16, 18, 32], ..p },
        Conv2d { groups: 2, ..p },
        // Too few channels, filters or pixels.
        layer(16, 16, 1, 32, [1, 1]),
        layer(16, 16, 8, 1, [1, 1]),
        layer(3, 3, 32, 32, [0, 0]),
    ];
    for p in others {
        let mut constants = Constants::random(&mut Random::new(74), &p);
        let taps = p.kernel[0] * p.kernel[1] * p.input[2] / p.groups;
        constants.weights.resize(taps * p.output[2], 1);
        assert_eq!(constants.choose(&p, Prefer::Fastest, Arch::Dsp).choice().name, "conv2d_s8_dsp", "{p:?}");
    }
}

#[test]
fn sums_that_overflow_when_they_are_four_times_as_large_are_refused() {
    let p = layer(6, 6, 3644, 4, [1, 1]);
    let mut constants = Constants::random(&mut Random::new(75), &p);
    constants.requantize.left_shift = 0;
    constants.weights.fill(-128);
    let choice = constants.choose(&p, Prefer::Fastest, Arch::Dsp).choice();
    assert_eq!((choice.name, choice.remark), ("conv2d_s8_dsp", "four times its sums could overflow"));
    constants.weights.fill(-127);
    assert_eq!(constants.choose(&p, Prefer::Fastest, Arch::Dsp).choice().name, NAME);
}

#[test]
fn memory() {
    let p = layer(8, 8, 62, 63, [1, 1]);
    let choice = Constants::random(&mut Random::new(76), &p).choose(&p, Prefer::Fastest, Arch::Dsp).choice();
    assert_eq!(choice.weight_bytes, 32 * (64 * 64 + 32 / 2));
    assert_eq!(choice.scratch_bytes, 2 * 16 * 64 * 4 + 256 + 2 * 64);
}

/// The distance is the least one with which no tile reads what an earlier block has written.
#[test]
fn distance_is_minimal() {
    let mut random = Random::new(77);
    for _ in 0..60 {
        let p = random_layer(&mut random);
        let distance = Constants::random(&mut random, &p).choose(&p, Prefer::Fastest, Arch::Dsp).distance();
        assert_eq!(distance, simulated_distance(&p), "{p:?}");
    }
    let p = layer(8, 8, 64, 64, [1, 1]);
    assert!(Constants::random(&mut random, &p).choose(&p, Prefer::Fastest, Arch::Dsp).distance() <= p.distance());
}

/// By trying all pairs of blocks and tiles.
fn simulated_distance(p: &Conv2d) -> usize {
    let ([in_h, in_w, in_c], [out_h, out_w, out_c]) = (p.input, p.output);
    let tiles = common::indices(&[p.batch, out_h.div_ceil(2), out_w.div_ceil(2)]);
    let in_tile = |size: usize, len: usize, tile: usize, pad: usize| -> Vec<usize> {
        (0..size).filter_map(|i| (2 * tile + i).checked_sub(pad)).filter(|&at| at < len).collect()
    };
    let cells = |tile: &[usize], size: usize, [height, width, channels]: [usize; 3], pad: [usize; 2]| -> Vec<usize> {
        let columns = in_tile(size, width, tile[2], pad[1]);
        let rows = in_tile(size, height, tile[1], pad[0]);
        let cell = |y: usize, x: usize| ((tile[0] * height + y) * width + x) * channels;
        rows.iter().flat_map(|&y| columns.iter().map(move |&x| cell(y, x))).collect()
    };
    let mut distance = 0;
    for (block, written) in tiles.chunks(4).enumerate() {
        let end =
            written.iter().flat_map(|tile| cells(tile, 2, [out_h, out_w, out_c], [0, 0])).max().unwrap_or(0) + out_c;
        let later = tiles.iter().skip(4 * (block + 1));
        let first = later.flat_map(|tile| cells(tile, 4, [in_h, in_w, in_c], p.pad)).min();
        distance = distance.max(first.map_or(0, |first| end.saturating_sub(first)));
    }
    distance
}
