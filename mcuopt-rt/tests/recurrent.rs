//! RNN, GRU and LSTM against their definitions, over random shapes; int8 against real arithmetic; and calls that go on
//! from each other against one long call.

mod common;

use common::Random;
use mcuopt_rt::v0::*;

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// A layer of real numbers: what the definitions need.
struct Reals {
    w: Vec<f64>,
    r: Vec<f64>,
    /// Of the inputs, and of the hidden state, apart.
    bias: [Vec<f64>; 2],
    peepholes: Vec<f64>,
    clip: f64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Cell {
    Rnn,
    Gru { linear_before_reset: bool },
    Lstm { input_forget: bool },
}

impl Cell {
    fn gates(self) -> usize {
        match self {
            Cell::Rnn => 1,
            Cell::Gru { .. } => 3,
            Cell::Lstm { .. } => 4,
        }
    }
}

/// Hidden states after each step of each sequence, `[steps, batch, hidden]`, and the last cell states.
fn reference(p: &Recurrent, cell: Cell, layer: &Reals, x: &[f64], h0: &[f64], c0: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let (n_in, n) = (p.inputs, p.hidden);
    let mut y = vec![0.0; p.steps * p.batch * n];
    let mut cells = Vec::new();
    let product = |matrix: &[f64], row: usize, x: &[f64]| -> f64 {
        matrix[row * x.len()..][..x.len()].iter().zip(x).map(|(a, b)| a * b).sum()
    };
    let clip = |v: f64| v.clamp(-layer.clip, layer.clip);
    for b in 0..p.batch {
        let mut h = h0[b * n..][..n].to_vec();
        let mut c = c0[b * n..][..n].to_vec();
        for k in 0..p.steps {
            let t = if p.reverse { p.steps - 1 - k } else { k };
            let x = &x[(t * p.batch + b) * n_in..][..n_in];
            let wx = |gate: usize, j: usize| product(&layer.w, gate * n + j, x) + layer.bias[0][gate * n + j];
            let rh =
                |gate: usize, j: usize, h: &[f64]| product(&layer.r, gate * n + j, h) + layer.bias[1][gate * n + j];
            let next: Vec<f64> = match cell {
                Cell::Rnn => (0..n).map(|j| clip(wx(0, j) + rh(0, j, &h)).tanh()).collect(),
                Cell::Gru { linear_before_reset } => {
                    let r: Vec<f64> = (0..n).map(|j| sigmoid(clip(wx(1, j) + rh(1, j, &h)))).collect();
                    let reset: Vec<f64> = r.iter().zip(&h).map(|(r, h)| r * h).collect();
                    let unit = |j: usize| {
                        let z = sigmoid(clip(wx(0, j) + rh(0, j, &h)));
                        let state = if linear_before_reset { r[j] * rh(2, j, &h) } else { rh(2, j, &reset) };
                        (1.0 - z) * clip(wx(2, j) + state).tanh() + z * h[j]
                    };
                    (0..n).map(unit).collect()
                }
                Cell::Lstm { input_forget } => {
                    let peephole =
                        |gate: usize, j: usize, c: f64| layer.peepholes.get(gate * n + j).map_or(0.0, |p| p * c);
                    let unit = |j: usize| {
                        let i = sigmoid(clip(wx(0, j) + rh(0, j, &h) + peephole(0, j, c[j])));
                        let f = sigmoid(clip(wx(2, j) + rh(2, j, &h) + peephole(2, j, c[j])));
                        let f = if input_forget { 1.0 - i } else { f };
                        let new = f * c[j] + i * clip(wx(3, j) + rh(3, j, &h)).tanh();
                        let o = sigmoid(clip(wx(1, j) + rh(1, j, &h) + peephole(1, j, new)));
                        (new, o * new.tanh())
                    };
                    let (new, next): (Vec<f64>, Vec<f64>) = (0..n).map(unit).unzip();
                    c = new;
                    next
                }
            };
            y[(t * p.batch + b) * n..][..n].copy_from_slice(&next);
            h = next;
        }
        cells.extend(c);
    }
    (y, cells)
}

fn to_f32(values: &[f64]) -> Vec<f32> {
    values.iter().map(|&v| v as f32).collect()
}

fn to_f64(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&v| v.into()).collect()
}

fn random_cell(random: &mut Random) -> Cell {
    let flag = random.size(0, 1) == 1;
    match random.size(0, 2) {
        0 => Cell::Rnn,
        1 => Cell::Gru { linear_before_reset: flag },
        _ => Cell::Lstm { input_forget: flag },
    }
}

fn random_shape(random: &mut Random) -> Recurrent {
    let kinds = random.size(0, 2);
    Recurrent {
        steps: random.size(1, 6),
        batch: random.size(1, 3),
        inputs: random.size(1, 9),
        hidden: random.size(1, 11),
        directions: random.size(1, 2),
        reverse: random.size(0, 1) == 1,
        sequence: kinds != 0,
        last: kinds != 1,
        state: false,
        stateful: false,
    }
}

fn random_layer(random: &mut Random, p: &Recurrent, cell: Cell) -> Reals {
    let rows = cell.gates() * p.hidden;
    let mut reals = |len: usize, scale: f64| -> Vec<f64> {
        (0..len).map(|_| f64::from((f64::from(random.f32()) * scale) as f32)).collect()
    };
    Reals {
        w: reals(rows * p.inputs, 0.4),
        r: reals(rows * p.hidden, 0.3),
        bias: [reals(rows, 0.3), reals(rows, 0.3)],
        peepholes: reals(3 * p.hidden, 0.3),
        clip: f64::INFINITY,
    }
}

/// What `y` holds, for a layer a direction.
fn expected(p: &Recurrent, cell: Cell, layers: &[Reals], x: &[f64], h0: &[f64], c0: &[f64]) -> Vec<f64> {
    let row = p.batch * p.hidden;
    let own = |d: usize| d * row..(d + 1) * row;
    let backward = |d: usize| p.reverse || d == 1;
    let direction = |(d, layer): (usize, &Reals)| {
        let p = Recurrent { reverse: backward(d), ..*p };
        reference(&p, cell, layer, x, &h0[own(d)], &c0[own(d)])
    };
    let results: Vec<_> = layers.iter().enumerate().map(direction).collect();
    let mut y = Vec::new();
    for t in 0..if p.sequence { p.steps } else { 0 } {
        results.iter().for_each(|(all, _)| y.extend_from_slice(&all[t * row..][..row]));
    }
    for (d, (all, _)) in results.iter().enumerate().filter(|_| p.last) {
        let t = if backward(d) { 0 } else { p.steps - 1 };
        y.extend_from_slice(&all[t * row..][..row]);
    }
    results.iter().filter(|_| p.state).for_each(|(_, cells)| y.extend_from_slice(cells));
    y
}

fn random_layers(random: &mut Random, p: &Recurrent, cell: Cell) -> Vec<Reals> {
    let mut layers: Vec<Reals> = (0..p.directions).map(|_| random_layer(random, p, cell)).collect();
    let clip = if random.size(0, 2) == 0 { 0.25 } else { f64::INFINITY };
    let peepholes = random.size(0, 1) == 0;
    for layer in &mut layers {
        layer.clip = clip;
        if !peepholes {
            layer.peepholes.clear();
        }
    }
    layers
}

fn joined<T: Clone, L>(layers: &[L], part: impl Fn(&L) -> Vec<T>) -> Vec<T> {
    layers.iter().flat_map(part).collect()
}

fn f32_biases(p: &Recurrent, cell: Cell, layer: &Reals) -> Vec<f32> {
    let n = p.hidden;
    let sum = |row: usize| (layer.bias[0][row] + layer.bias[1][row]) as f32;
    match cell {
        Cell::Gru { .. } => {
            let mut bias: Vec<f32> = (0..2 * n).map(sum).collect();
            bias.extend(to_f32(&layer.bias[0][2 * n..]));
            bias.extend(to_f32(&layer.bias[1][2 * n..]));
            bias
        }
        _ => (0..cell.gates() * n).map(sum).collect(),
    }
}

/// Runs a layer in f32, over what `y` holds already.
fn run_f32(p: &Recurrent, cell: Cell, layers: &[Reals], x: &[f32], start: Option<[&[f32]; 2]>, y: &mut [f32]) {
    let [w, r] = [joined(layers, |layer| to_f32(&layer.w)), joined(layers, |layer| to_f32(&layer.r))];
    let bias = joined(layers, |layer| f32_biases(p, cell, layer));
    let peepholes = joined(layers, |layer| to_f32(&layer.peepholes));
    let clip = layers[0].clip as f32;
    let mut scratch = vec![0x7fc0_0000; 200];
    let (f, g) = (math::sigmoid, math::tanh);
    match (cell, start) {
        (Cell::Rnn, None) => rnn_f32(p, clip, g, &w, &r, &bias, x, y, &mut scratch[..p.rnn_f32_words()]),
        (Cell::Rnn, Some([h0, _])) => {
            rnn_f32_from(p, clip, g, &w, &r, &bias, x, h0, y, &mut scratch[..p.rnn_f32_words()]);
        }
        (Cell::Gru { linear_before_reset: linear }, None) => {
            gru_f32(p, linear, clip, f, g, &w, &r, &bias, x, y, &mut scratch[..p.gru_f32_words()]);
        }
        (Cell::Gru { linear_before_reset: linear }, Some([h0, _])) => {
            gru_f32_from(p, linear, clip, f, g, &w, &r, &bias, x, h0, y, &mut scratch[..p.gru_f32_words()]);
        }
        (Cell::Lstm { input_forget }, None) => {
            let scratch = &mut scratch[..p.lstm_f32_words()];
            lstm_f32(p, input_forget, clip, f, g, g, &w, &r, &bias, &peepholes, x, y, scratch);
        }
        (Cell::Lstm { input_forget }, Some([h0, c0])) => {
            let scratch = &mut scratch[..p.lstm_f32_words()];
            lstm_f32_from(p, input_forget, clip, f, g, g, &w, &r, &bias, &peepholes, x, h0, c0, y, scratch);
        }
    }
}

#[test]
fn f32_layers_are_what_onnx_defines() {
    let mut random = Random::new(1);
    for case in 0..400 {
        let cell = random_cell(&mut random);
        let mut p = random_shape(&mut random);
        p.state = matches!(cell, Cell::Lstm { .. }) && random.size(0, 1) == 1;
        let layers = random_layers(&mut random, &p, cell);
        let x = random.f32s(p.steps * p.batch * p.inputs);
        let [h0, c0] = [0, 1].map(|_| random.f32s(p.directions * p.batch * p.hidden));
        let zeros = vec![0f32; h0.len()];
        for start in [None, Some([&h0[..], &c0[..]])] {
            let [h0, c0] = start.unwrap_or([&zeros, &zeros]);
            let expected = expected(&p, cell, &layers, &to_f64(&x), &to_f64(h0), &to_f64(c0));
            let mut y = vec![f32::NAN; expected.len()];
            run_f32(&p, cell, &layers, &x, start, &mut y);
            for (y, expected) in y.iter().zip(&expected) {
                assert!((f64::from(*y) - expected).abs() < 1e-5, "case {case}: {cell:?} {p:?}: {y} for {expected}");
            }
        }
    }
}

#[test]
fn f32_calls_go_on_from_each_other() {
    let mut random = Random::new(2);
    for _ in 0..200 {
        let cell = random_cell(&mut random);
        let any = random_shape(&mut random);
        let long = Recurrent { steps: 12, directions: 1, reverse: false, sequence: true, last: false, ..any };
        let steps = [1, 2, 3, 4, 6][random.size(0, 4)];
        let state = matches!(cell, Cell::Lstm { .. });
        let short = Recurrent { steps, state, stateful: true, sequence: any.sequence, last: any.last, ..long };
        let layers = [random_layer(&mut random, &long, cell)];
        let row = long.batch * long.hidden;
        let x = random.f32s(12 * long.batch * long.inputs);
        let mut whole = vec![0.0; 12 * row];
        run_f32(&long, cell, &layers, &x, None, &mut whole);
        let mut y =
            vec![0.0; (if short.sequence { steps } else { 0 } + usize::from(short.last) + usize::from(state)) * row];
        for (x, whole) in x.chunks_exact(steps * long.batch * long.inputs).zip(whole.chunks_exact(steps * row)) {
            run_f32(&short, cell, &layers, x, None, &mut y);
            let mut expected = if short.sequence { whole.to_vec() } else { Vec::new() };
            expected.extend_from_slice(&whole[if short.last { (steps - 1) * row } else { whole.len() }..]);
            assert_eq!(&y[..expected.len()], expected, "{cell:?} {short:?}");
        }
    }
}

/// A layer in int8.
struct Integers {
    q: GatesS8,
    w: Vec<i8>,
    bias: Vec<i32>,
    w_multipliers: Vec<i32>,
    r: Vec<i8>,
    r_bias: Vec<i32>,
    r_multipliers: Vec<i32>,
    peepholes: Vec<i16>,
    cells: CellsS8,
}

const X: Quantization = Quantization { scale: 0.02, zero_point: 5 };

impl Integers {
    /// Quantizes the layers, whose weights then are what their integers stand for.
    fn of(p: &Recurrent, cell: Cell, layers: &mut [Reals]) -> Self {
        // One shift for all directions: as none of them has a factor from 2^3 on.
        let mut all: Vec<Self> = layers.iter_mut().map(|layer| Self::new(p, cell, layer)).collect();
        let mut first = all.remove(0);
        for other in all {
            first.w.extend(other.w);
            first.bias.extend(other.bias);
            first.w_multipliers.extend(other.w_multipliers);
            first.r.extend(other.r);
            first.r_bias.extend(other.r_bias);
            first.r_multipliers.extend(other.r_multipliers);
            first.peepholes.extend(other.peepholes);
        }
        first
    }

    fn new(p: &Recurrent, cell: Cell, layer: &mut Reals) -> Self {
        let rows = cell.gates() * p.hidden;
        let quantize = |matrix: &mut [f64]| -> (Vec<i8>, Vec<f64>) {
            let (mut integers, mut scales) = (Vec::new(), Vec::new());
            for row in matrix.chunks_mut(matrix.len() / rows) {
                let scale = row.iter().fold(1e-6, |max: f64, w| max.max(w.abs())) / 127.0;
                for w in row {
                    integers.push((*w / scale).round() as i8);
                    *w = (*w / scale).round() * scale;
                }
                scales.push(scale);
            }
            (integers, scales)
        };
        let (w, w_scales) = quantize(&mut layer.w);
        let (r, r_scales) = quantize(&mut layer.r);
        let one = f64::from(1 << SUM_BITS);
        let factors = |scales: &[f64], unit: f64| scales.iter().map(|s| s * unit * one).collect::<Vec<_>>();
        let (w_factors, r_factors) = (factors(&w_scales, X.scale.into()), factors(&r_scales, 1.0 / 128.0));
        let shift = |factors: &[f64]| left_shift_for(factors.iter().copied().fold(3.9, f64::max));
        let (input_shift, hidden_shift) = (shift(&w_factors), shift(&r_factors));
        let multipliers = |f: &[f64], shift: u32| f.iter().map(|&f| multiplier(f, shift)).collect::<Vec<_>>();
        let split = matches!(cell, Cell::Gru { .. });
        let bias = |row: usize| {
            let bias = layer.bias[0][row] + if split { 0.0 } else { layer.bias[1][row] };
            let sum: i32 = w[row * p.inputs..][..p.inputs].iter().map(|&w| i32::from(w)).sum();
            (bias / (f64::from(X.scale) * w_scales[row])).round() as i32 - X.zero_point * sum
        };
        let r_bias = |row: usize| (layer.bias[1][row] * 128.0 / r_scales[row]).round() as i32;
        let clip = if layer.clip.is_finite() { (layer.clip * one).round() as i32 } else { i32::MAX };
        Integers {
            q: GatesS8 { input_shift, hidden_shift, hidden_bits: 7, clip },
            bias: (0..rows).map(bias).collect(),
            w_multipliers: multipliers(&w_factors, input_shift),
            r_bias: if split { (0..rows).map(r_bias).collect() } else { Vec::new() },
            r_multipliers: multipliers(&r_factors, hidden_shift),
            peepholes: layer.peepholes.iter().map(|p| (p * 8192.0).round() as i16).collect(),
            cells: CellsS8 { bits: 13, peephole_bits: 13, input_forget: cell == Cell::Lstm { input_forget: true } },
            w,
            r,
        }
    }

    fn run(&self, p: &Recurrent, cell: Cell, x: &[i8], y: &mut [i8]) {
        let Integers { q, w, bias, w_multipliers, r, r_bias, r_multipliers, peepholes, cells } = self;
        let mut scratch = vec![0xdead_beef; 200];
        match cell {
            Cell::Rnn => {
                rnn_s8(p, q, w, bias, w_multipliers, r, r_multipliers, x, y, &mut scratch[..p.rnn_s8_words()]);
            }
            Cell::Gru { linear_before_reset } => {
                let scratch = &mut scratch[..p.gru_s8_words()];
                gru_s8(p, linear_before_reset, q, w, bias, w_multipliers, r, r_bias, r_multipliers, x, y, scratch);
            }
            Cell::Lstm { .. } => {
                let scratch = &mut scratch[..p.lstm_s8_words()];
                lstm_s8(p, q, cells, w, bias, w_multipliers, r, r_multipliers, peepholes, x, y, scratch);
            }
        }
    }
}

#[test]
fn int8_layers_follow_real_arithmetic() {
    let mut random = Random::new(3);
    let (mut worst, mut sum, mut count) = (0f64, 0.0, 0.0);
    for case in 0..400 {
        let cell = random_cell(&mut random);
        let p = random_shape(&mut random);
        let mut layers = random_layers(&mut random, &p, cell);
        let integers = Integers::of(&p, cell, &mut layers);
        let x = random.i8s(p.steps * p.batch * p.inputs);
        let reals: Vec<f64> = x.iter().map(|&x| X.dequantize(x).into()).collect();
        let zeros = vec![0.0; p.directions * p.batch * p.hidden];
        let expected = expected(&p, cell, &layers, &reals, &zeros, &zeros);
        let mut y = vec![0; expected.len()];
        integers.run(&p, cell, &x, &mut y);
        for (&y, expected) in y.iter().zip(&expected) {
            let error = (f64::from(y) / 128.0 - expected.min(127.0 / 128.0)).abs() * 128.0;
            assert!(error < 4.0, "case {case}: {cell:?} {p:?}: {y} for {}", expected * 128.0);
            (worst, sum, count) = (worst.max(error), sum + error, count + 1.0);
        }
    }
    // Rounding alone is a quarter of a step on average.
    assert!(sum / count < 0.4, "{} steps on average, {worst} at most", sum / count);
}

#[test]
fn int8_calls_go_on_from_each_other() {
    let mut random = Random::new(4);
    for _ in 0..200 {
        let cell = random_cell(&mut random);
        let any = random_shape(&mut random);
        let long = Recurrent { steps: 12, directions: 1, reverse: false, sequence: true, last: false, ..any };
        let steps = [1, 2, 3, 4, 6][random.size(0, 4)];
        let state = cell != Cell::Rnn;
        let short = Recurrent { steps, state, stateful: true, sequence: any.sequence, last: any.last, ..long };
        let mut layer = random_layer(&mut random, &long, cell);
        let integers = Integers::new(&long, cell, &mut layer);
        let row = long.batch * long.hidden;
        let x = random.i8s(12 * long.batch * long.inputs);
        let mut whole = vec![0; 12 * row];
        integers.run(&long, cell, &x, &mut whole);
        let mut y =
            vec![0; (if short.sequence { steps } else { 0 } + usize::from(short.last) + 2 * usize::from(state)) * row];
        for (x, whole) in x.chunks_exact(steps * long.batch * long.inputs).zip(whole.chunks_exact(steps * row)) {
            integers.run(&short, cell, x, &mut y);
            let mut expected = if short.sequence { whole.to_vec() } else { Vec::new() };
            expected.extend_from_slice(&whole[if short.last { (steps - 1) * row } else { whole.len() }..]);
            assert_eq!(&y[..expected.len()], expected, "{cell:?} {short:?}");
        }
    }
}

#[test]
fn int8_layers_survive_extremes() {
    let mut random = Random::new(5);
    for _ in 0..200 {
        let cell = random_cell(&mut random);
        let p = Recurrent { inputs: 40, ..random_shape(&mut random) };
        let rows = p.directions * cell.gates() * p.hidden;
        let mut ends = |len: usize| (0..len).map(|_| [i8::MIN, i8::MAX][random.size(0, 1)]).collect::<Vec<_>>();
        let (w, r, x) = (ends(rows * p.inputs), ends(rows * p.hidden), ends(p.steps * p.batch * p.inputs));
        let integers = Integers {
            q: GatesS8 { input_shift: 9, hidden_shift: 9, hidden_bits: 7 + random.size(0, 5) as u32, clip: i32::MAX },
            bias: vec![1 << 24; rows],
            w_multipliers: vec![i32::MAX; rows],
            r_bias: if cell.gates() == 3 { vec![1 << 24; rows] } else { Vec::new() },
            r_multipliers: vec![i32::MAX; rows],
            peepholes: vec![i16::MIN; p.directions * 3 * p.hidden],
            cells: CellsS8 { bits: 11, peephole_bits: 1, input_forget: false },
            w,
            r,
        };
        let rows = if p.sequence { p.steps } else { 0 } + usize::from(p.last);
        let mut y = vec![0; rows * p.directions * p.batch * p.hidden];
        integers.run(&p, cell, &x, &mut y);
    }
}
