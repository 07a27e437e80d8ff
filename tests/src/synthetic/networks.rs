//! Convolutional networks as people build them, with details that nobody would think of trying: drawn at random.

use mcuopt_codegen::onnx::Attribute::{self, Float, Int};
use mcuopt_codegen::tensor::Tensor;

use super::Synthetic;
use super::quantized::pair;
use super::random::Random;
use super::sketch::{Sketch, ints};
use crate::shared::Variant;

/// A layer with more multiply-accumulates is drawn again: emulators are slow.
const MOST_MACS: usize = 250_000;

/// The network of a seed, in float for quantization by samples or quantized by its author.
pub(super) fn network(seed: u64) -> (Synthetic, Variant) {
    let name = format!("network-{seed}");
    let mut random = Random::new(&name);
    // The first few numbers of neighbouring seeds resemble each other.
    random.numbers(8, 1.0);
    let authored = random.chance(25);
    let planted = random.chance(70);
    let batch = if random.chance(6) { 2 } else { 1 };
    let mut drawing = Drawing { s: Sketch::new(&name), random, authored, planted, batch, maps: Vec::new() };
    drawing.draw();
    (drawing.s.finish(14), if authored { Variant::Qdq } else { Variant::Int8 })
}

/// A value and its shape without the batch: `[channels, spatial…]`, or one or several vectors.
#[derive(Clone, Debug)]
struct Value {
    name: String,
    shape: Vec<usize>,
}

impl Value {
    fn channels(&self) -> usize {
        self.shape[0]
    }

    fn len(&self) -> usize {
        self.shape.iter().product()
    }
}

/// A sliding window, an entry for each spatial dimension.
struct Window {
    kernel: Vec<usize>,
    stride: Vec<usize>,
    dilation: Vec<usize>,
    /// Before all dimensions, then behind all.
    pads: Vec<usize>,
    output: Vec<usize>,
}

impl Window {
    fn attributes(&self) -> Vec<(&'static str, Attribute)> {
        let list = |values: &[usize]| ints(&values.iter().map(|&value| value as i64).collect::<Vec<_>>());
        let mut attributes = vec![("kernel_shape", list(&self.kernel)), ("strides", list(&self.stride))];
        if self.pads.iter().any(|&pad| pad > 0) {
            attributes.push(("pads", list(&self.pads)));
        }
        if self.dilation.iter().any(|&dilation| dilation > 1) {
            attributes.push(("dilations", list(&self.dilation)));
        }
        attributes
    }

    fn taps(&self) -> usize {
        self.kernel.iter().product()
    }

    fn pixels(&self) -> usize {
        self.output.iter().product()
    }
}

/// A network under construction.
struct Drawing {
    s: Sketch,
    random: Random,
    /// Whether each value gets a scale of its author's.
    authored: bool,
    /// Whether filters that are dead, constant, tiny or huge are among the others.
    planted: bool,
    batch: usize,
    /// All feature maps so far, inputs included.
    maps: Vec<Value>,
}

impl Drawing {
    fn draw(&mut self) {
        let inputs = self.inputs();
        let mut x = inputs[0].clone();
        for other in &inputs[1..] {
            x = self.merge(&x, other);
        }
        for _ in 0..2 + self.random.below(8) {
            x = self.block(&x);
        }
        let made = self.maps[inputs.len()..].to_vec();
        let mut outputs: Vec<Value> = Vec::new();
        for _ in 0..self.random.pick(&[1, 1, 1, 2, 3]) {
            let from = if outputs.is_empty() { x.clone() } else { made[self.random.below(made.len())].clone() };
            let output = if self.random.chance(70) { self.head(&from) } else { from };
            if outputs.iter().chain(&inputs).all(|other| other.name != output.name) {
                outputs.push(output);
            }
        }
        for (index, output) in outputs.iter().enumerate() {
            self.s.output(&output.name, &format!("y{index}"));
        }
    }

    fn inputs(&mut self) -> Vec<Value> {
        let channels = self.random.pick(&[1, 1, 2, 3, 3, 4, 7, 8, 16]);
        let extent = |random: &mut Random| 1 + random.below(20);
        let shape = match self.random.below(100) {
            0..65 => vec![channels, extent(&mut self.random), extent(&mut self.random)],
            65..80 => vec![channels, 1 + self.random.below(60)],
            80..88 => vec![1 + self.random.below(40), 1, 1],
            88..94 => vec![channels, extent(&mut self.random), 1],
            _ => vec![channels, 1, extent(&mut self.random)],
        };
        let count = self.random.pick(&[1, 1, 1, 1, 2, 3]);
        let mut inputs = Vec::new();
        for index in 0..count {
            let mut shape = shape.clone();
            if index == 1 && self.random.chance(40) {
                shape[1..].fill(1);
            }
            let name = format!("x{index}");
            self.s.input(&name, &self.with_batch(&shape));
            let value = self.value(name, shape);
            self.maps.push(value.clone());
            inputs.push(value);
        }
        inputs
    }

    fn with_batch(&self, shape: &[usize]) -> Vec<usize> {
        [&[self.batch], shape].concat()
    }

    /// A value by name and shape, with its author's scale if there is one.
    fn value(&mut self, name: String, shape: Vec<usize>) -> Value {
        if !self.authored {
            return Value { name, shape };
        }
        let scale = self.random.pick(&[0.004, 0.013, 0.02, 0.031, 0.05, 0.11]);
        let zero_point = self.random.pick(&[-128, -128, 0, 127, -3, 11]);
        let zero_point = self.s.constant(Tensor::new(&[], vec![zero_point as i8]).expect("a number"));
        let name = pair(&mut self.s, &name, scale, &zero_point);
        Value { name, shape }
    }

    /// The result of an operator.
    fn op<'a>(
        &mut self,
        op_type: &str,
        inputs: &[&str],
        attributes: impl IntoIterator<Item = (&'a str, Attribute)>,
        shape: Vec<usize>,
    ) -> Value {
        let name = self.s.node(op_type, inputs, attributes);
        self.value(name, shape)
    }

    /// A part of a network; its result is remembered.
    fn block(&mut self, x: &Value) -> Value {
        let y = match self.random.below(100) {
            0..26 => self.convolution(x),
            26..40 => self.depthwise_separable(x),
            40..50 => self.pointwise(x),
            50..64 => self.residual(x),
            64..72 => self.joined(x),
            72..80 => self.pool(x),
            80..87 => self.squeeze_excite(x),
            87..92 => self.norm(x),
            92..95 => self.cut(x),
            _ => self.activation(x),
        };
        self.maps.push(y.clone());
        y
    }

    fn channels(&mut self) -> usize {
        if self.random.chance(50) {
            self.random.pick(&[1, 2, 3, 4, 4, 7, 8, 8, 12, 13, 16, 16, 17, 24, 32, 40])
        } else {
            1 + self.random.below(40)
        }
    }

    /// A window over the spatial dimensions.
    fn window(&mut self, spatial: &[usize], kernels: &[[usize; 2]], dilated: bool) -> Window {
        let kernel = self.random.pick(kernels);
        let stride = self.random.pick(&[[1, 1], [1, 1], [1, 1], [2, 2], [2, 2], [3, 3], [1, 2], [3, 1]]);
        let dilation =
            if dilated && self.random.chance(12) { self.random.pick(&[[2, 2], [1, 2], [3, 1]]) } else { [1, 1] };
        let padding = self.random.below(10);
        let mut window = Window {
            kernel: vec![],
            stride: vec![],
            dilation: vec![],
            pads: vec![0; 2 * spatial.len()],
            output: vec![],
        };
        for (axis, &extent) in spatial.iter().enumerate() {
            let (mut kernel, stride, mut dilation) = (kernel[axis], stride[axis], dilation[axis]);
            let reach = dilation * (kernel - 1) + 1;
            let [before, behind] = match padding {
                0..3 => [0, 0],
                3..5 => [reach / 2, reach / 2],
                // TensorFlow's "SAME": what is left over comes behind.
                5..8 => {
                    let total = (extent.div_ceil(stride) * stride + reach).saturating_sub(stride + extent);
                    [total / 2, total - total / 2]
                }
                _ => [self.random.below(reach), self.random.below(reach)],
            };
            let (mut before, mut behind) = (before.min(reach - 1), behind.min(reach - 1));
            if extent + before + behind < reach {
                (kernel, dilation, before, behind) = (1, 1, 0, 0);
            }
            let reach = dilation * (kernel - 1) + 1;
            window.kernel.push(kernel);
            window.stride.push(stride);
            window.dilation.push(dilation);
            window.pads[axis] = before;
            window.pads[spatial.len() + axis] = behind;
            window.output.push((extent + before + behind - reach) / stride + 1);
        }
        window
    }

    /// Weights `[outputs, per group, kernel…]` and a bias.
    fn filters(&mut self, shape: &[usize]) -> [String; 2] {
        let terms: usize = shape[1..].iter().product();
        let range = 2.0 / (terms as f32).sqrt();
        let mut weights = self.random.numbers(shape[0] * terms, range);
        let mut bias = self.random.numbers(shape[0], 0.5);
        if self.planted {
            for (filter, bias) in weights.chunks_mut(terms).zip(&mut bias) {
                match self.random.below(100) {
                    // As training with weight decay leaves filters that it does not use.
                    0..10 => filter.iter_mut().for_each(|weight| *weight *= 1e-8),
                    10..14 => filter.fill(0.0),
                    14..18 => *bias = -100.0,
                    18..22 => filter.iter_mut().for_each(|weight| *weight *= 1e-3),
                    22..26 => filter.iter_mut().for_each(|weight| *weight *= 20.0),
                    26..29 => *filter.last_mut().expect("a filter has weights") = 0.0,
                    _ => {}
                }
            }
            // A channel that no filter reads.
            if shape[1] > 1 && self.random.chance(20) {
                let (channel, taps) = (self.random.below(shape[1]), terms / shape[1]);
                weights.chunks_mut(terms).for_each(|filter| filter[channel * taps..(channel + 1) * taps].fill(0.0));
            }
        }
        [self.weights(shape, weights), self.s.constant(Tensor::new(&[shape[0]], bias).expect("a bias for each filter"))]
    }

    /// Weights of which each of the first axis may have a scale, as bytes if there is an author.
    fn weights(&mut self, shape: &[usize], weights: Vec<f32>) -> String {
        if !self.authored {
            return self.s.constant(Tensor::new(shape, weights).expect("as many numbers as the shape says"));
        }
        let terms = weights.len() / shape[0];
        let scale = |filter: &[f32]| filter.iter().fold(1e-9f32, |most, weight| most.max(weight.abs())) / 127.0;
        let scales: Vec<f32> = weights.chunks(terms).map(scale).collect();
        let byte = |(index, weight): (usize, &f32)| (weight / scales[index / terms]).round() as i8;
        let bytes = weights.iter().enumerate().map(byte).collect();
        let bytes = self.s.constant(Tensor::new(shape, bytes).expect("as many bytes as the shape says"));
        let zeros = Tensor::new(&[shape[0]], vec![0i8; shape[0]]).expect("a zero for each filter");
        let (zeros, scales) = (
            self.s.constant(zeros),
            self.s.constant(Tensor::new(&[shape[0]], scales).expect("a scale for each filter")),
        );
        self.s.node("DequantizeLinear", &[&bytes, &scales, &zeros], [("axis", Int(0))])
    }

    fn filtered(&mut self, x: &Value, window: &Window, outputs: usize, group: usize) -> Value {
        let shape = [&[outputs, x.channels() / group], window.kernel.as_slice()].concat();
        let [w, b] = self.filters(&shape);
        let mut attributes = window.attributes();
        if group > 1 {
            attributes.push(("group", Int(group as i64)));
        }
        let operands = [x.name.as_str(), &w, &b];
        let count = if self.random.chance(85) { 3 } else { 2 };
        self.op("Conv", &operands[..count], attributes, [&[outputs], window.output.as_slice()].concat())
    }

    fn convolution(&mut self, x: &Value) -> Value {
        let kernels = [[3, 3], [3, 3], [3, 3], [3, 3], [1, 1], [2, 2], [5, 5], [7, 7], [10, 4], [3, 1], [1, 3], [2, 3]];
        for _ in 0..50 {
            let window = self.window(&x.shape[1..], &kernels, true);
            let divisors: Vec<usize> = (1..=x.channels()).filter(|group| x.channels().is_multiple_of(*group)).collect();
            let group = if self.random.chance(20) { self.random.pick(&divisors) } else { 1 };
            let outputs = match group {
                1 => self.channels(),
                _ => group * (1 + self.random.below(3)),
            };
            if outputs * window.pixels() * window.taps() * x.channels() / group <= MOST_MACS {
                let y = self.filtered(x, &window, outputs, group);
                return self.maybe_activated(&y);
            }
        }
        self.pool(x)
    }

    fn depthwise(&mut self, x: &Value) -> Value {
        let kernels = [[3, 3], [3, 3], [3, 3], [5, 5], [2, 2], [4, 1], [1, 5], [7, 3], [1, 1]];
        let window = self.window(&x.shape[1..], &kernels, true);
        let multiplier = if x.channels() <= 16 { self.random.pick(&[1, 1, 1, 1, 2, 3]) } else { 1 };
        let y = self.filtered(x, &window, x.channels() * multiplier, x.channels());
        self.maybe_activated(&y)
    }

    fn pointwise(&mut self, x: &Value) -> Value {
        let rank = x.shape.len() - 1;
        let stride = if self.random.chance(15) { 2 } else { 1 };
        let output: Vec<usize> = x.shape[1..].iter().map(|extent| (extent - 1) / stride + 1).collect();
        let window = Window {
            kernel: vec![1; rank],
            stride: vec![stride; rank],
            dilation: vec![1; rank],
            pads: vec![0; 2 * rank],
            output,
        };
        let most = (MOST_MACS / (window.pixels() * x.channels())).max(1);
        let outputs = self.channels().min(most);
        let y = self.filtered(x, &window, outputs, 1);
        self.maybe_activated(&y)
    }

    fn depthwise_separable(&mut self, x: &Value) -> Value {
        let y = self.depthwise(x);
        if self.random.chance(25) {
            return y;
        }
        if self.random.chance(30) {
            self.maps.push(y.clone());
        }
        self.pointwise(&y)
    }

    /// One or two layers that keep the shape, and the sum with what they started from.
    fn residual(&mut self, x: &Value) -> Value {
        let mut y = x.clone();
        for _ in 0..1 + self.random.below(2) {
            let kernel = self.random.pick(&[1, 3, 3, 3, 5]);
            let rank = x.shape.len() - 1;
            let depthwise = self.random.chance(40) || x.len() * x.channels() * kernel * kernel > MOST_MACS;
            let window = Window {
                kernel: vec![kernel; rank],
                stride: vec![1; rank],
                dilation: vec![1; rank],
                pads: vec![kernel / 2; 2 * rank],
                output: x.shape[1..].to_vec(),
            };
            y = self.filtered(&y, &window, x.channels(), if depthwise { x.channels() } else { 1 });
            y = self.maybe_activated(&y);
        }
        let sum = self.merge(&y, x);
        self.maybe_activated(&sum)
    }

    /// Two values of the same channels as one.
    fn merge(&mut self, a: &Value, b: &Value) -> Value {
        let shape = a.shape.iter().zip(&b.shape).map(|(a, b)| *a.max(b)).collect();
        let (a, b) = if self.random.chance(50) { (a, b) } else { (b, a) };
        let op_type = self.random.pick(&["Add", "Add", "Add", "Sub", "Mul"]);
        self.op(op_type, &[&a.name, &b.name], [], shape)
    }

    /// The concatenation with an earlier value of the same extents, or two branches.
    fn joined(&mut self, x: &Value) -> Value {
        let fitting: Vec<Value> =
            self.maps.iter().filter(|map| map.shape[1..] == x.shape[1..] && map.channels() <= 48).cloned().collect();
        let mut parts = vec![x.clone()];
        if fitting.is_empty() || self.random.chance(50) {
            parts = (0..2 + self.random.below(2)).map(|_| self.pointwise(x)).collect();
            parts.retain(|part| part.shape[1..] == x.shape[1..]);
        } else {
            parts.push(fitting[self.random.below(fitting.len())].clone());
        }
        if parts.is_empty() {
            return self.pool(x);
        }
        let extents = parts[0].shape[1..].to_vec();
        let channels = parts.iter().map(Value::channels).sum();
        let names: Vec<&str> = parts.iter().map(|part| part.name.as_str()).collect();
        self.op("Concat", &names, [("axis", Int(1))], [&[channels], extents.as_slice()].concat())
    }

    fn pool(&mut self, x: &Value) -> Value {
        let window = self.window(&x.shape[1..], &[[2, 2], [2, 2], [3, 3], [3, 2], [4, 1], [1, 1], [5, 5]], false);
        let op_type = self.random.pick(&["MaxPool", "MaxPool", "AveragePool"]);
        let mut attributes = window.attributes();
        if op_type == "AveragePool" && self.random.chance(30) {
            attributes.push(("count_include_pad", Int(1)));
        }
        self.op(op_type, &[&x.name], attributes, [&[x.channels()], window.output.as_slice()].concat())
    }

    fn squeeze_excite(&mut self, x: &Value) -> Value {
        let pooled_shape: Vec<usize> = [&[x.channels()], vec![1; x.shape.len() - 1].as_slice()].concat();
        let gate = self.op("GlobalAveragePool", &[&x.name], [], pooled_shape);
        let gate = self.pointwise(&gate);
        let rank = x.shape.len() - 1;
        let window = Window {
            kernel: vec![1; rank],
            stride: vec![1; rank],
            dilation: vec![1; rank],
            pads: vec![0; 2 * rank],
            output: vec![1; rank],
        };
        let gate = self.filtered(&gate, &window, x.channels(), 1);
        let op_type = self.random.pick(&["Sigmoid", "HardSigmoid"]);
        let gate = self.op(op_type, &[&gate.name], [], gate.shape.clone());
        self.op("Mul", &[&x.name, &gate.name], [], x.shape.clone())
    }

    fn norm(&mut self, x: &Value) -> Value {
        let c = x.channels();
        let [gamma, beta, mean] = [self.s.numbers(&[c], 1.5), self.s.numbers(&[c], 0.5), self.s.numbers(&[c], 0.5)];
        let variance = self.random.numbers(c, 1.0).iter().map(|x| x.abs() + 0.01).collect();
        let variance = self.s.constant(Tensor::new(&[c], variance).expect("one for each channel"));
        self.op("BatchNormalization", &[&x.name, &gamma, &beta, &mean, &variance], [], x.shape.clone())
    }

    /// Some of the channels, or padding.
    fn cut(&mut self, x: &Value) -> Value {
        let mut shape = x.shape.clone();
        if self.random.chance(50) && x.channels() > 1 {
            let start = self.random.below(x.channels());
            let end = start + 1 + self.random.below(x.channels() - start);
            shape[0] = end - start;
            let operands = [&[start as i64], &[end as i64], &[1]].map(|values| self.s.integers(values));
            let [starts, ends, axes] = &operands;
            return self.op("Slice", &[&x.name, starts, ends, axes], [], shape);
        }
        let mut pads = vec![0; 2 * (x.shape.len() + 1)];
        let behind = x.shape.len() + 1;
        for axis in 1..x.shape.len() {
            let [start, end] = [self.random.below(3), self.random.below(3)];
            (pads[axis + 1], pads[behind + axis + 1]) = (start as i64, end as i64);
            shape[axis] += start + end;
        }
        let pads = self.s.integers(&pads);
        self.op("Pad", &[&x.name, &pads], [], shape)
    }

    fn maybe_activated(&mut self, x: &Value) -> Value {
        match self.random.below(100) {
            0..45 => self.op("Relu", &[&x.name], [], x.shape.clone()),
            45..55 => self.clipped(x, 0.0, 6.0),
            55..70 => self.activation(x),
            _ => x.clone(),
        }
    }

    fn clipped(&mut self, x: &Value, low: f32, high: f32) -> Value {
        let [low, high] = [low, high].map(|limit| self.s.constant(Tensor::scalar(limit)));
        self.op("Clip", &[&x.name, &low, &high], [], x.shape.clone())
    }

    fn activation(&mut self, x: &Value) -> Value {
        let op_type = match self.random.below(10) {
            0 => return self.op("LeakyRelu", &[&x.name], [("alpha", Float(0.1))], x.shape.clone()),
            // So little of the range that the factor of a layer before comes near or above one.
            1 => return self.clipped(x, -0.01, 0.02),
            2 => return self.clipped(x, 0.001, 0.004),
            3 => "Sigmoid",
            4 => "HardSwish",
            5 => "Tanh",
            6 => "Abs",
            7 => "Neg",
            _ => "Relu",
        };
        self.op(op_type, &[&x.name], [], x.shape.clone())
    }

    /// What turns a feature map into an answer.
    fn head(&mut self, x: &Value) -> Value {
        let spatial = x.shape[1..].iter().product::<usize>();
        let reshaped = |drawing: &mut Self, x: &Value, shape: Vec<usize>| {
            let target: Vec<i64> = drawing.with_batch(&shape).iter().map(|&extent| extent as i64).collect();
            let target = drawing.s.integers(&target);
            drawing.op("Reshape", &[&x.name, &target], [], shape)
        };
        let features = match self.random.below(10) {
            0..3 => {
                let op_type = self.random.pick(&["GlobalAveragePool", "GlobalAveragePool", "GlobalMaxPool"]);
                let shape = [&[x.channels()], vec![1; x.shape.len() - 1].as_slice()].concat();
                let pooled = self.op(op_type, &[&x.name], [], shape);
                self.op("Flatten", &[&pooled.name], [], vec![x.channels()])
            }
            3..6 if x.len() <= 4000 => self.op("Flatten", &[&x.name], [], vec![x.len()]),
            6..8 => {
                let rows = reshaped(self, x, vec![x.channels(), spatial]);
                let perm = ("perm", ints(&[0, 2, 1]));
                self.op("Transpose", &[&rows.name], [perm], vec![spatial, x.channels()])
            }
            8 => reshaped(self, x, vec![x.channels(), spatial]),
            _ => {
                let axes: Vec<i64> = (2..=x.shape.len() as i64).collect();
                let attributes = [("axes", ints(&axes)), ("keepdims", Int(0))];
                self.op("ReduceMean", &[&x.name], attributes, vec![x.channels()])
            }
        };
        let mut y = features;
        for _ in 0..self.random.below(3) {
            y = self.dense(&y);
        }
        match self.random.below(10) {
            0..2 => self.op("Softmax", &[&y.name], [("axis", Int(-1))], y.shape.clone()),
            2 => self.op("Sigmoid", &[&y.name], [], y.shape.clone()),
            _ => y,
        }
    }

    /// A fully connected layer: over one vector by Gemm, over several by MatMul.
    fn dense(&mut self, x: &Value) -> Value {
        let inputs = x.shape[x.shape.len() - 1];
        let outputs = self.channels().min((MOST_MACS / x.len()).max(1));
        let shape = [&x.shape[..x.shape.len() - 1], &[outputs]].concat();
        let [w, b] = self.filters(&[outputs, inputs]);
        let y = if x.shape.len() == 1 {
            self.op("Gemm", &[&x.name, &w, &b], [("transB", Int(1))], shape)
        } else {
            let turned = self.s.node("Transpose", &[&w], [("perm", ints(&[1, 0]))]);
            let product = self.op("MatMul", &[&x.name, &turned], [], shape.clone());
            if self.random.chance(60) { self.op("Add", &[&product.name, &b], [], shape) } else { product }
        };
        self.maybe_activated(&y)
    }
}
