//! Networks of layers that have nothing to do with each other, of all sizes: to measure what kernels cost.

use mcuopt_codegen::onnx::Attribute::{self, Float, Int};
use mcuopt_codegen::tensor::Tensor;

use super::Synthetic;
use super::random::Random;
use super::sketch::{Sketch, ints};

/// A layer with more multiply-accumulates is drawn again.
const MOST_MACS: usize = 150_000;

/// All of them, in a fixed order.
pub(super) fn all() -> Vec<Synthetic> {
    let mut networks = Vec::new();
    networks.extend((0..3).map(|index| network(&format!("convolutions-{index}"), 20, &mut convolution)));
    networks.extend((0..2).map(|index| network(&format!("depthwise-{index}"), 24, &mut depthwise)));
    networks.push(network("images", 12, &mut image));
    networks.extend((0..4).map(|index| network(&format!("few-filters-{index}"), 4, &mut few_filters)));
    // As in the networks of most users, whose layers the compiler sees all of.
    networks.extend((0..6).map(|index| network(&format!("small-convolutions-{index}"), 3, &mut convolution)));
    networks.extend((0..3).map(|index| network(&format!("small-images-{index}"), 2, &mut image)));
    networks.extend((0..4).map(|index| network(&format!("small-depthwises-{index}"), 3, &mut depthwise)));
    networks.extend((0..3).map(|index| network(&format!("small-pools-{index}"), 3, &mut pool)));
    networks.push(network("winograd", 10, &mut winograd));
    networks.push(network("small-depthwise", 20, &mut small_depthwise));
    networks.push(network("dense", 24, &mut dense));
    // What becomes of inlined loops depends on how many there are.
    networks.extend((0..8).map(|index| network(&format!("small-dense-{index}"), 3, &mut small_dense)));
    networks.push(network("pools", 24, &mut pool));
    networks.push(elementwise());
    networks.push(functions());
    networks.push(movement());
    networks.push(sequences());
    networks
}

/// Layers drawn at random.
fn network(name: &str, layers: usize, layer: &mut dyn FnMut(&mut Grid)) -> Synthetic {
    let mut grid = Grid::new(name);
    for _ in 0..layers {
        layer(&mut grid);
    }
    grid.finish()
}

struct Grid {
    s: Sketch,
    random: Random,
    inputs: usize,
    outputs: usize,
}

impl Grid {
    fn new(name: &str) -> Self {
        let name = format!("grid-{name}");
        let mut random = Random::new(&name);
        // The first few numbers of neighbouring seeds resemble each other.
        random.numbers(8, 1.0);
        Grid { s: Sketch::new(&name), random, inputs: 0, outputs: 0 }
    }

    fn input(&mut self, shape: &[usize]) -> String {
        self.inputs += 1;
        self.s.input(&format!("x{}", self.inputs), shape)
    }

    fn output(&mut self, value: &str) {
        self.outputs += 1;
        self.s.output(value, &format!("y{}", self.outputs));
    }

    /// An operator of one operand and constants.
    fn node<'a>(&mut self, op_type: &str, inputs: &[&str], attributes: impl IntoIterator<Item = (&'a str, Attribute)>) {
        let y = self.s.node(op_type, inputs, attributes);
        self.output(&y);
    }

    fn finish(self) -> Synthetic {
        self.s.finish(17)
    }
}

fn out(size: usize, kernel: usize, stride: usize, pad: usize, dilation: usize) -> Option<usize> {
    Some((size + 2 * pad).checked_sub(dilation * (kernel - 1) + 1)? / stride + 1)
}

fn convolution(grid: &mut Grid) {
    loop {
        let random = &mut grid.random;
        let channels: usize = random.pick(&[1, 2, 3, 4, 4, 6, 8, 8, 12, 16, 16, 20, 24, 32, 40, 64, 96, 130]);
        let filters: usize = random.pick(&[1, 2, 4, 5, 8, 8, 10, 12, 16, 16, 24, 31, 32, 48, 64, 96]);
        let [h, w] =
            [random.pick(&[1, 2, 4, 5, 6, 8, 9, 12, 16, 20, 25]), random.pick(&[1, 3, 4, 5, 6, 7, 8, 10, 12, 16, 24])];
        let [kh, kw] =
            random.pick(&[[1, 1], [1, 1], [1, 1], [3, 3], [3, 3], [3, 3], [5, 5], [2, 2], [3, 1], [1, 5], [10, 4]]);
        let stride = random.pick(&[1, 1, 1, 2, 2, 3]);
        let pad = random.pick(&[0, 1, 1, 2]).min(kh - 1).min(kw - 1);
        let dilation = if random.chance(8) { 2 } else { 1 };
        let group = if channels.is_multiple_of(2) && filters.is_multiple_of(2) && random.chance(8) { 2 } else { 1 };
        let sizes = (out(h, kh, stride, pad, dilation), out(w, kw, stride, pad, dilation));
        let (Some(y), Some(x)) = sizes else { continue };
        if y * x * filters * channels / group * kh * kw > MOST_MACS {
            continue;
        }
        let x = grid.input(&[1, channels, h, w]);
        let weights = grid.s.weights(&[filters, channels / group, kh, kw]);
        let bias = grid.s.numbers(&[filters], 0.5);
        let list = |value: usize| ints(&[value as i64; 2]);
        let attributes = [
            ("strides", list(stride)),
            ("pads", ints(&[pad as i64; 4])),
            ("dilations", list(dilation)),
            ("group", Int(group as i64)),
        ];
        let y = grid.s.node("Conv", &[&x, &weights, &bias], attributes);
        return activated(grid, &y);
    }
}

/// Now and then with an activation that becomes part of the layer, or asks for limits of its own.
fn activated(grid: &mut Grid, y: &str) {
    match grid.random.below(10) {
        0..5 => grid.node("Relu", &[y], []),
        5 => {
            let [low, high] = [0.001, 0.004].map(|limit| grid.s.constant(Tensor::scalar(limit)));
            grid.node("Clip", &[y, &low, &high], []);
        }
        _ => grid.output(y),
    }
}

fn depthwise(grid: &mut Grid) {
    loop {
        let random = &mut grid.random;
        let channels = random.pick(&[2, 3, 4, 8, 8, 12, 16, 16, 24, 32, 40, 64, 100]);
        let [h, w] = [
            random.pick(&[1, 2, 3, 4, 6, 8, 9, 12, 16, 20, 25, 48]),
            random.pick(&[1, 2, 3, 4, 5, 6, 8, 12, 16, 24, 48]),
        ];
        let kernels = [
            [3, 3],
            [3, 3],
            [3, 3],
            [3, 3],
            [5, 5],
            [2, 2],
            [3, 1],
            [1, 3],
            [5, 1],
            [1, 9],
            [7, 7],
            [4, 4],
            [1, 1],
            [13, 1],
        ];
        let [kh, kw] = random.pick(&kernels);
        let stride = random.pick(&[1, 1, 1, 2, 2, 3]);
        let pad = if random.chance(70) { [kh / 2, kw / 2] } else { [0, 0] };
        let multiplier = if channels <= 16 && random.chance(15) { 2 } else { 1 };
        let sizes = (out(h, kh, stride, pad[0], 1), out(w, kw, stride, pad[1], 1));
        let (Some(y), Some(x)) = sizes else { continue };
        if y * x * channels * multiplier * kh * kw > MOST_MACS / 2 {
            continue;
        }
        let x = grid.input(&[1, channels, h, w]);
        let weights = grid.s.weights(&[channels * multiplier, 1, kh, kw]);
        let bias = grid.s.numbers(&[channels * multiplier], 0.5);
        let [top, left] = pad.map(|pad| pad as i64);
        let attributes = [
            ("strides", ints(&[stride as i64; 2])),
            ("pads", ints(&[top, left, top, left])),
            ("group", Int(channels as i64)),
        ];
        let y = grid.s.node("Conv", &[&x, &weights, &bias], attributes);
        return activated(grid, &y);
    }
}

/// The first layer of a network, often: a large image of few channels.
fn image(grid: &mut Grid) {
    let random = &mut grid.random;
    let channels = random.pick(&[1, 1, 2, 3, 3, 4]);
    let filters = random.pick(&[4, 8, 8, 16, 24]);
    let [h, w] = [random.pick(&[24, 32, 40, 49, 64]), random.pick(&[10, 28, 32, 40, 64])];
    let [kh, kw] = random.pick(&[[1, 1], [3, 3], [3, 3], [3, 3], [5, 5], [10, 4], [10, 8]]);
    let stride = random.pick(&[1, 2, 2]);
    let pads = if random.chance(70) { [kh / 2, kw / 2] } else { [0, 0] };
    conv_layer(grid, [channels, h, w], filters, [kh, kw], stride, pads);
}

/// Convolutions of a small network: few channels and filters, which are no multiples of four.
fn few_filters(grid: &mut Grid) {
    let random = &mut grid.random;
    let channels = random.pick(&[1, 1, 2, 3, 5, 6, 8]);
    let filters = random.pick(&[1, 2, 3, 3, 5, 6, 7, 8, 10]);
    let [h, w] = [random.pick(&[6, 8, 9, 12, 14, 28]), random.pick(&[6, 8, 10, 14, 28])];
    let kernel = random.pick(&[[1, 1], [2, 2], [3, 3], [3, 3], [4, 4], [5, 5], [5, 5], [6, 6]]);
    let stride = random.pick(&[1, 1, 2]);
    let pads = if random.chance(40) { kernel.map(|size| size / 2) } else { [0, 0] };
    conv_layer(grid, [channels, h, w], filters, kernel, stride, pads);
}

/// Layers that Winograd's kernel is for.
fn winograd(grid: &mut Grid) {
    let random = &mut grid.random;
    let channels = random.pick(&[8, 16, 16, 24, 32, 33, 48, 64]);
    let filters = random.pick(&[16, 24, 32, 33, 48, 64]);
    let [h, w] = [random.pick(&[4, 6, 7, 8, 10, 12]), random.pick(&[4, 5, 6, 8, 9, 12])];
    conv_layer(grid, [channels, h, w], filters, [3, 3], 1, [1, 1]);
}

fn conv_layer(
    grid: &mut Grid,
    [c, h, w]: [usize; 3],
    filters: usize,
    kernel: [usize; 2],
    stride: i64,
    pads: [usize; 2],
) {
    let x = grid.input(&[1, c, h, w]);
    let weights = grid.s.weights(&[filters, c, kernel[0], kernel[1]]);
    let bias = grid.s.numbers(&[filters], 0.5);
    let [top, left] = pads.map(|pad| pad as i64);
    let attributes = [("strides", ints(&[stride; 2])), ("pads", ints(&[top, left, top, left]))];
    let y = grid.s.node("Conv", &[&x, &weights, &bias], attributes);
    activated(grid, &y);
}

/// Depthwise layers of a few pixels, for which planes do not pay.
fn small_depthwise(grid: &mut Grid) {
    let random = &mut grid.random;
    let channels = random.pick(&[3, 8, 16, 16, 24, 32, 48, 64, 128]);
    let [kh, kw] = random.pick(&[[3, 3], [3, 3], [5, 5], [6, 1], [1, 10], [15, 1], [21, 1], [2, 2]]);
    let [y, x] = [random.pick(&[1, 1, 2]), random.pick(&[1, 1, 2, 3])];
    let pad = if random.chance(40) { [kh / 2, kw / 2] } else { [0, 0] };
    let [h, w] = [(y + kh - 1 - 2 * pad[0].min(kh / 2)).max(1), (x + kw - 1 - 2 * pad[1].min(kw / 2)).max(1)];
    let x = grid.input(&[1, channels, h, w]);
    let weights = grid.s.weights(&[channels, 1, kh, kw]);
    let bias = grid.s.numbers(&[channels], 0.5);
    let [top, left] = pad.map(|pad| pad as i64);
    let attributes = [("pads", ints(&[top, left, top, left])), ("group", Int(channels as i64))];
    let y = grid.s.node("Conv", &[&x, &weights, &bias], attributes);
    activated(grid, &y);
}

fn dense(grid: &mut Grid) {
    let random = &mut grid.random;
    let inputs = random.pick(&[1, 3, 4, 7, 8, 12, 16, 24, 33, 40, 64, 100, 128, 256, 500, 640]);
    let outputs = random.pick(&[1, 2, 3, 4, 6, 8, 10, 12, 16, 31, 32, 64, 128]);
    let rows = random.pick(&[1, 1, 1, 1, 2, 4, 5, 9]);
    let rows = if rows * inputs * outputs > MOST_MACS { 1 } else { rows };
    dense_layer(grid, rows, inputs, outputs);
}

/// Layers that are faster without what large ones gain from, and some of many inputs.
fn small_dense(grid: &mut Grid) {
    let random = &mut grid.random;
    let inputs = random.pick(&[1, 2, 4, 6, 8, 10, 12, 16, 16, 20, 24, 32]);
    let outputs = random.pick(&[1, 1, 2, 3, 4, 5, 7, 8, 10, 16]);
    let [inputs, outputs] = if random.chance(12) { [80 * inputs, outputs.min(8)] } else { [inputs, outputs] };
    dense_layer(grid, 1, inputs, outputs);
}

fn dense_layer(grid: &mut Grid, rows: usize, inputs: usize, outputs: usize) {
    let x = grid.input(&[rows, inputs]);
    let weights = grid.s.weights(&[outputs, inputs]);
    let bias = grid.s.numbers(&[outputs], 0.5);
    let y = grid.s.node("Gemm", &[&x, &weights, &bias], [("transB", Int(1))]);
    activated(grid, &y);
}

fn pool(grid: &mut Grid) {
    loop {
        let random = &mut grid.random;
        let channels = random.pick(&[1, 3, 4, 8, 10, 16, 24, 32, 64]);
        let [h, w] = [random.pick(&[2, 3, 4, 6, 8, 9, 12, 16, 25]), random.pick(&[1, 2, 3, 5, 6, 8, 12, 16])];
        let x_shape = [1, channels, h, w];
        if random.chance(20) {
            let x = grid.input(&x_shape);
            let op_type = grid.random.pick(&["GlobalAveragePool", "GlobalMaxPool"]);
            return grid.node(op_type, &[&x], []);
        }
        let kernel = random.pick(&[2, 2, 3, 3, 4, 5]);
        let stride = random.pick(&[1, 2, 2, 3]);
        let pad = random.pick(&[0, 0, 1]).min(kernel / 2);
        let sizes = (out(h, kernel, stride, pad, 1), out(w, kernel, stride, pad, 1));
        let (Some(_), Some(_)) = sizes else { continue };
        let x = grid.input(&x_shape);
        let op_type = grid.random.pick(&["MaxPool", "AveragePool"]);
        let attributes = [
            ("kernel_shape", ints(&[kernel as i64; 2])),
            ("strides", ints(&[stride as i64; 2])),
            ("pads", ints(&[pad as i64; 4])),
        ];
        return grid.node(op_type, &[&x], attributes);
    }
}

/// Shapes of all sizes.
const SHAPES: [[usize; 3]; 5] = [[2, 3, 2], [8, 5, 5], [16, 12, 12], [3, 17, 9], [40, 4, 4]];

fn elementwise() -> Synthetic {
    let mut grid = Grid::new("elementwise");
    for [c, h, w] in SHAPES {
        let shape = [1, c, h, w];
        for op_type in ["Add", "Mul", "Sub"] {
            let (a, b) = (grid.input(&shape), grid.input(&shape));
            grid.node(op_type, &[&a, &b], []);
            // A number for each channel, and one for all.
            let (a, b) = (grid.input(&shape), grid.input(&[1, c, 1, 1]));
            grid.node(op_type, &[&a, &b], []);
            let (a, b) = (grid.input(&shape), grid.s.numbers(&[1], 1.0));
            grid.node(op_type, &[&a, &b], []);
        }
        let (a, b) = (grid.input(&shape), grid.input(&shape));
        grid.node("Max", &[&a, &b], []);
        let x = grid.input(&shape);
        grid.node("Softmax", &[&x], [("axis", Int(-1))]);
        let x = grid.input(&[1, c * h * w]);
        grid.node("Softmax", &[&x], [("axis", Int(-1))]);
        let x = grid.input(&[h, c * w]);
        grid.node("LogSoftmax", &[&x], [("axis", Int(-1))]);
        let x = grid.input(&shape);
        let slope = grid.s.numbers(&[c, 1, 1], 0.3);
        grid.node("PRelu", &[&x, &slope], []);
    }
    grid.finish()
}

fn functions() -> Synthetic {
    let mut grid = Grid::new("functions");
    let plain = [
        "Sigmoid",
        "Tanh",
        "HardSwish",
        "Relu",
        "Exp",
        "Erf",
        "Softplus",
        "Softsign",
        "Elu",
        "LeakyRelu",
        "HardSigmoid",
    ];
    for [c, h, w] in [SHAPES[1], SHAPES[3], SHAPES[4]] {
        for op_type in plain {
            let x = grid.input(&[1, c, h, w]);
            grid.node(op_type, &[&x], []);
        }
        let x = grid.input(&[1, c, h, w]);
        let positive = grid.s.node("Abs", &[&x], []);
        grid.node("Sqrt", &[&positive], []);
    }
    grid.finish()
}

fn movement() -> Synthetic {
    let mut grid = Grid::new("movement");
    for [c, h, w] in SHAPES {
        let shape = [1, c, h, w];
        for axis in [1, 3] {
            let (a, b) = (grid.input(&shape), grid.input(&shape));
            grid.node("Concat", &[&a, &b], [("axis", Int(axis))]);
        }
        let x = grid.input(&shape);
        let [starts, ends, axes] = [1, i64::MAX, 1].map(|value| grid.s.integers(&[value]));
        grid.node("Slice", &[&x, &starts, &ends, &axes], []);
        let x = grid.input(&shape);
        let pads = grid.s.integers(&[0, 0, 1, 1, 0, 0, 1, 2]);
        grid.node("Pad", &[&x, &pads], []);
        let x = grid.input(&shape);
        grid.node("Transpose", &[&x], [("perm", ints(&[0, 2, 3, 1]))]);
        let x = grid.input(&shape);
        grid.node("Transpose", &[&x], [("perm", ints(&[0, 3, 1, 2]))]);
        for op_type in ["ReduceMean", "ReduceMax"] {
            let x = grid.input(&shape);
            grid.node(op_type, &[&x], [("axes", ints(&[3])), ("keepdims", Int(0))]);
        }
        for mode in ["nearest", "linear"] {
            let x = grid.input(&shape);
            let scales = Tensor::new(&[4], vec![1f32, 1.0, 2.0, 2.0]).expect("four numbers");
            let scales = grid.s.constant(scales);
            grid.node("Resize", &[&x, "", &scales], [("mode", Attribute::String(mode.into()))]);
        }
    }
    grid.finish()
}

fn sequences() -> Synthetic {
    let mut grid = Grid::new("sequences");
    for (steps, inputs, hidden) in [(3, 4, 6), (10, 8, 8), (5, 16, 12), (12, 20, 24), (4, 33, 17)] {
        for (op_type, gates) in [("LSTM", 4), ("GRU", 3), ("RNN", 1)] {
            let x = grid.input(&[steps, 1, inputs]);
            let weights = grid.s.numbers(&[1, gates * hidden, inputs], 0.4);
            let recurrent = grid.s.numbers(&[1, gates * hidden, hidden], 0.4);
            grid.node(op_type, &[&x, &weights, &recurrent], [("hidden_size", Int(hidden as i64))]);
        }
        let (a, b) = (grid.input(&[2, steps, inputs]), grid.input(&[2, inputs, hidden]));
        grid.node("MatMul", &[&a, &b], []);
        let x = grid.input(&[steps, inputs]);
        let (scale, bias) = (grid.s.numbers(&[inputs], 1.0), grid.s.numbers(&[inputs], 0.5));
        grid.node("LayerNormalization", &[&x, &scale, &bias], [("epsilon", Float(1e-5))]);
    }
    grid.finish()
}
