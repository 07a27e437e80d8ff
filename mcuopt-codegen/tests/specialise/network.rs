//! Lowered networks made in place, layer by layer, whose filters now and then give constants or ignore inputs.

use mcuopt_codegen::graph::{Graph, Node, Quantization, Type, ValueId};
use mcuopt_codegen::ops::binary::{AddS8, BinaryLoop, Kind, MulS8};
use mcuopt_codegen::ops::concat::ConcatBlocks;
use mcuopt_codegen::ops::conv::{ConvS8, DepthwiseS8};
use mcuopt_codegen::ops::dense::DenseS8;
use mcuopt_codegen::ops::linear::Linear;
use mcuopt_codegen::ops::pad::{Fill, PadConstant};
use mcuopt_codegen::ops::pool::{AveragePoolS8, MaxPool};
use mcuopt_codegen::ops::quantize::Requantize;
use mcuopt_codegen::ops::reduce::ReduceMeanS8;
use mcuopt_codegen::ops::slice::SliceCopy;
use mcuopt_codegen::ops::transpose::TransposeCopy;
use mcuopt_codegen::ops::unary::LutS8;
use mcuopt_codegen::ops::{Kernel, Layer};
use mcuopt_codegen::tensor::{DType, Tensor};
use mcuopt_rt::v0 as rt;
use ndarray::{ArrayD, IxDyn};

use crate::common::Random;

/// A network under construction. Tensors are `[1, height, width, channels]`.
pub(crate) struct Network {
    pub(crate) graph: Graph<Layer>,
    pub(crate) random: Random,
    /// Whether no filter gives a constant or ignores an input.
    pub(crate) plain: bool,
}

/// A window: kernel, stride, padding and dilation, the same along both axes.
#[derive(Clone, Copy)]
pub(crate) struct Window(pub(crate) usize, pub(crate) usize, pub(crate) usize, pub(crate) usize);

/// One pixel.
pub(crate) const PIXEL: Window = Window(1, 1, 0, 1);

impl Network {
    pub(crate) fn new(seed: u64, input: [usize; 3]) -> (Self, ValueId) {
        let random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let mut network = Self { graph: Graph::default(), random, plain: false };
        let x = network.value(input);
        network.graph.inputs.push(x);
        (network, x)
    }

    fn value(&mut self, [height, width, channels]: [usize; 3]) -> ValueId {
        let ty = Type { dtype: DType::I8, shape: vec![1, height, width, channels] };
        let id = self.graph.add_value(format!("v{}", self.graph.values.len()), ty);
        let any = [-128, 127, 0, self.random.below(256) as i32 - 128][self.random.below(4)];
        let zero_point = if self.plain { 5 } else { any };
        self.graph.value_mut(id).quantization = Some(Quantization::per_tensor(1.0, zero_point));
        id
    }

    pub(crate) fn constant(&mut self, [height, width, channels]: [usize; 3]) -> ValueId {
        let values = (0..height * width * channels).map(|_| self.number(127) as i8).collect();
        let tensor = Tensor::new(&[1, height, width, channels], values).unwrap_or(Tensor::scalar(0.0));
        let id = self.graph.add_constant(format!("c{}", self.graph.values.len()), tensor);
        self.graph.value_mut(id).quantization = Some(Quantization::per_tensor(1.0, 3));
        id
    }

    pub(crate) fn shape(&self, id: ValueId) -> [usize; 3] {
        let shape = &self.graph.value(id).ty.shape;
        [shape[1], shape[2], shape[3]]
    }

    pub(crate) fn zero_point(&self, id: ValueId) -> i32 {
        self.graph
            .value(id)
            .quantization
            .as_ref()
            .and_then(Quantization::single)
            .map_or(0, |(_, zero_point)| zero_point)
    }

    /// From −limit to limit.
    pub(crate) fn number(&mut self, limit: i32) -> i32 {
        self.random.below(2 * limit as usize + 1) as i32 - limit
    }

    pub(crate) fn one_in(&mut self, count: usize) -> bool {
        self.random.below(count) == 0
    }

    fn push(&mut self, operator: &'static str, kernel: Kernel, inputs: &[ValueId], output: ValueId) -> ValueId {
        let name = format!("{operator}{}", self.graph.nodes.len());
        let op = Layer { operator, kernel, prefer: rt::Prefer::Speed };
        self.graph.nodes.push(Node { name, op, inputs: inputs.to_vec(), outputs: vec![output] });
        output
    }

    fn requantize(&mut self, y: ValueId) -> rt::Requantize {
        let zero_point = self.zero_point(y);
        if self.plain {
            return rt::Requantize { left_shift: 0, zero_point, min: i8::MIN, max: i8::MAX };
        }
        let (min, max) = match self.random.below(4) {
            0 => (zero_point as i8, i8::MAX),
            1 => (-100, 90),
            _ => (i8::MIN, i8::MAX),
        };
        rt::Requantize { left_shift: [0, 0, 0, 1, 4][self.random.below(5)], zero_point, min, max }
    }

    /// [filters, taps, channels]
    fn linear(&mut self, x: ValueId, y: ValueId, filters: usize, taps: usize, channels: usize) -> Linear {
        let requantize = self.requantize(y);
        let factor = 1.0 / (60.0 * ((taps * channels) as f64).sqrt());
        let blind: Vec<bool> = (0..channels).map(|_| !self.plain && channels > 1 && self.one_in(4)).collect();
        let mut linear = Linear { weights: vec![], bias: vec![], multipliers: vec![], requantize, four_bits: false };
        for _ in 0..filters {
            let weight = |i: usize| if blind[i % channels] { 0 } else { self.number(127) as i8 | 1 };
            let mut weights: Vec<i8> = (0..taps * channels).map(weight).collect();
            let mut bias = self.number(3000);
            let mut multiplier =
                rt::multiplier(factor * f64::from(1 + self.number(20).abs()) / 10.0, requantize.left_shift);
            if !self.plain && self.one_in(6) {
                multiplier = -multiplier;
            }
            match self.random.below(12) {
                _ if self.plain => {}
                // Always the zero point; another number; the ends of the range; nearly nothing.
                0 => (weights.fill(0), bias = 0).0,
                1 => weights.fill(0),
                2 => bias = if self.one_in(2) { 1 << 28 } else { -(1 << 28) },
                3 => multiplier = self.number(2),
                _ => {}
            }
            bias -= self.zero_point(x) * weights.iter().map(|&w| i32::from(w)).sum::<i32>();
            linear.weights.extend(weights);
            linear.bias.push(bias);
            linear.multipliers.push(multiplier);
        }
        linear
    }

    fn geometry(&self, x: ValueId, channels: usize, window: Window, groups: usize) -> Option<rt::Conv2d> {
        let Window(kernel, stride, pad, dilation) = window;
        let [height, width, in_channels] = self.shape(x);
        let size = |size: usize| Some((size + 2 * pad).checked_sub((kernel - 1) * dilation + 1)? / stride + 1);
        Some(rt::Conv2d {
            batch: 1,
            input: [height, width, in_channels],
            output: [size(height)?, size(width)?, channels],
            kernel: [kernel; 2],
            stride: [stride; 2],
            pad: [pad; 2],
            dilation: [dilation; 2],
            groups,
        })
    }

    /// A convolution, or `x` itself where the window does not fit.
    pub(crate) fn conv(&mut self, x: ValueId, filters: usize, window: Window, groups: usize) -> ValueId {
        let Some(geometry) = self.geometry(x, filters, window, groups) else { return x };
        let y = self.value(geometry.output);
        let linear = self.linear(x, y, filters, window.0 * window.0, geometry.input[2] / groups);
        let pad_value = self.zero_point(x) as i8;
        self.push("Conv", Kernel::ConvS8(ConvS8 { geometry, pad_value, linear }), &[x], y)
    }

    /// `multiplier` outputs for each channel.
    pub(crate) fn depthwise(&mut self, x: ValueId, multiplier: usize, window: Window) -> ValueId {
        let channels = self.shape(x)[2];
        let filters = channels * multiplier;
        let Some(geometry) = self.geometry(x, filters, window, channels) else { return x };
        let y = self.value(geometry.output);
        let taps = window.0 * window.0;
        let mut linear = self.linear(x, y, filters, taps, 1);
        linear.weights = (0..taps * filters).map(|i| linear.weights[i % filters * taps + i / filters]).collect();
        let pad_value = self.zero_point(x) as i8;
        self.push("Depthwise", Kernel::DepthwiseS8(DepthwiseS8 { geometry, pad_value, linear }), &[x], y)
    }

    /// Of the flattened image.
    pub(crate) fn dense(&mut self, x: ValueId, outputs: usize) -> ValueId {
        let [height, width, channels] = self.shape(x);
        let geometry = rt::Dense { rows: 1, inputs: height * width * channels, outputs };
        let y = self.value([1, 1, outputs]);
        let linear = self.linear(x, y, outputs, height * width, channels);
        self.push("Gemm", Kernel::DenseS8(DenseS8 { geometry, linear }), &[x], y)
    }

    pub(crate) fn max_pool(&mut self, x: ValueId, window: Window) -> ValueId {
        let Some(p) = self.geometry(x, self.shape(x)[2], window, 1) else { return x };
        let y = self.value(p.output);
        self.push("MaxPool", Kernel::MaxPool(MaxPool { geometry: pool(&p) }), &[x], y)
    }

    pub(crate) fn average_pool(&mut self, x: ValueId, window: Window) -> ValueId {
        let Some(p) = self.geometry(x, self.shape(x)[2], window, 1) else { return x };
        let y = self.value(p.output);
        let kernel = Kernel::AveragePoolS8(AveragePoolS8 {
            geometry: pool(&p),
            requantize: rt::Requantize { left_shift: 1, ..self.requantize(y) },
            input_zero_point: self.zero_point(x),
            count_include_pad: self.one_in(2),
            multipliers: (1..=window.0 * window.0).map(|cells| rt::multiplier(0.9 / cells as f64, 1)).collect(),
        });
        self.push("AveragePool", kernel, &[x], y)
    }

    pub(crate) fn mean(&mut self, x: ValueId) -> ValueId {
        let [height, width, channels] = self.shape(x);
        let y = self.value([1, 1, channels]);
        let len = height * width;
        let kernel = Kernel::ReduceMeanS8(ReduceMeanS8 {
            geometry: rt::Reduce { outer: 1, len, inner: channels },
            requantize: rt::Requantize { left_shift: 1, ..self.requantize(y) },
            multiplier: rt::multiplier(0.8 / len as f64, 1),
            input_zero_point: self.zero_point(x),
        });
        self.push("ReduceMean", kernel, &[x], y)
    }

    pub(crate) fn lut(&mut self, x: ValueId) -> ValueId {
        let y = self.value(self.shape(x));
        let noise: Vec<i32> = (0..256).map(|_| self.number(9)).collect();
        let table = (-128..=127).map(|q: i32| (q / 2 + noise[(q + 128) as usize]) as i8).collect();
        self.push("Tanh", Kernel::LutS8(LutS8 { table }), &[x], y)
    }

    pub(crate) fn rescale(&mut self, x: ValueId) -> ValueId {
        let y = self.value(self.shape(x));
        let requantize = rt::Requantize { left_shift: 1, ..self.requantize(y) };
        let kernel =
            Requantize { requantize, multiplier: rt::multiplier(0.7, 1), input_zero_point: self.zero_point(x) };
        self.push("QuantizeLinear", Kernel::Requantize(kernel), &[x], y)
    }

    /// Add, Sub, Max, Min or Mul of `b` to `a`: of its shape, a number for each channel, or a number for each pixel.
    pub(crate) fn binary(&mut self, a: ValueId, b: ValueId, multiply: bool) -> ValueId {
        let ([height, width, channels], other) = (self.shape(a), self.shape(b));
        let y = self.value(self.shape(a));
        let pixels = height * width;
        let b_strides = match other {
            _ if other == self.shape(a) => [0, 0, channels, 1],
            [1, 1, count] if count == channels => [0, 0, 0, 1],
            _ => [0, 0, 1, 0],
        };
        let geometry = rt::Broadcast { shape: [1, 1, pixels, channels], a_strides: [0, 0, channels, 1], b_strides };
        let [a_zero_point, b_zero_point] = [self.zero_point(a), self.zero_point(b)];
        if multiply {
            let (requantize, multiplier) = (self.requantize(y), self.number(1 << 26));
            let kernel = MulS8 { geometry, requantize, multiplier, a_zero_point, b_zero_point };
            return self.push("Mul", Kernel::MulS8(kernel), &[a, b], y);
        }
        if self.one_in(3) {
            let (kind, name) = if self.one_in(2) { (Kind::Max, "Max") } else { (Kind::Min, "Min") };
            let kernel = BinaryLoop { kind, reversed: false, geometry, types: [DType::I8; 2] };
            return self.push(name, Kernel::BinaryLoop(kernel), &[a, b], y);
        }
        let quantization = |scale: f32, zero_point: i32| rt::Quantization { scale, zero_point };
        let sign = if self.one_in(2) { -1.0 } else { 1.0 };
        let rt::Requantize { min, max, zero_point, .. } = self.requantize(y);
        let (a_scale, b_scale) = (0.5 + self.random.float().abs(), 0.5 + self.random.float().abs());
        let [a_quantization, b_quantization] =
            [quantization(a_scale, a_zero_point), quantization(b_scale, b_zero_point)];
        let params = rt::AddS8::new(a_quantization, b_quantization, quantization(1.5, zero_point), sign, min, max);
        self.push("Add", Kernel::AddS8(AddS8 { geometry, params }), &[a, b], y)
    }

    /// Side by side, or with `below` one below the other.
    pub(crate) fn concat(&mut self, x: &[ValueId], below: bool) -> ValueId {
        let shapes: Vec<[usize; 3]> = x.iter().map(|id| self.shape(*id)).collect();
        let [height, width, channels] = shapes[0];
        let sum = |axis: usize| shapes.iter().map(|shape| shape[axis]).sum::<usize>();
        let (shape, kernel) = if below {
            let lens = shapes.iter().map(|shape| shape.iter().product()).collect();
            ([sum(0), width, channels], ConcatBlocks { outer: 1, lens })
        } else {
            let lens = shapes.iter().map(|shape| shape[2]).collect();
            ([height, width, sum(2)], ConcatBlocks { outer: height * width, lens })
        };
        let y = self.value(shape);
        self.push("Concat", Kernel::ConcatBlocks(kernel), x, y)
    }

    /// The channels from `start` on, and the rows from the second one on.
    pub(crate) fn slice(&mut self, x: ValueId, start: usize, channels: usize) -> ValueId {
        let [height, width, all] = self.shape(x);
        let top = usize::from(height > 1);
        let y = self.value([height - top, width, channels]);
        let geometry = rt::Slice {
            input: [1, 1, 1, height, width, all],
            start: [0, 0, 0, top, 0, start],
            step: [1; 6],
            output: [1, 1, 1, height - top, width, channels],
        };
        self.push("Slice", Kernel::SliceCopy(SliceCopy { geometry }), &[x], y)
    }

    /// Height, width, channels → channels, height, width.
    pub(crate) fn transpose(&mut self, x: ValueId) -> ValueId {
        let [height, width, channels] = self.shape(x);
        let y = self.value([channels, height, width]);
        let geometry = rt::Transpose {
            shape: [1, 1, 1, channels, height, width],
            strides: [0, 0, 0, 1, width * channels, channels],
        };
        self.push("Transpose", Kernel::TransposeCopy(TransposeCopy { geometry }), &[x], y)
    }

    /// Gives some tensors the shape that they had before a Reshape that left no layer: not what their readers see.
    pub(crate) fn reshape(&mut self) {
        for id in self.graph.ids() {
            if self.graph.constant(id).is_some() || self.graph.inputs.contains(&id) || !self.one_in(5) {
                continue;
            }
            let [height, width, channels] = self.shape(id);
            let shapes = [[1, 1, height * width * channels], [width, height, channels], [height, channels, width]];
            let [height, width, channels] = shapes[self.random.below(3)];
            self.graph.value_mut(id).ty.shape = vec![1, height, width, channels];
        }
    }

    /// One more column, and channels before and after.
    pub(crate) fn pad(&mut self, x: ValueId, before: usize, after: usize) -> ValueId {
        let [height, width, channels] = self.shape(x);
        let y = self.value([height, width + 1, before + channels + after]);
        let geometry = rt::Pad {
            input: [1, 1, 1, height, width, channels],
            output: [1, 1, 1, height, width + 1, before + channels + after],
            start: [0, 0, 0, 0, 1, before],
        };
        let fill = Fill(Tensor::I8(ArrayD::from_elem(IxDyn(&[]), self.zero_point(x) as i8)));
        self.push("Pad", Kernel::PadConstant(PadConstant { geometry, fill }), &[x], y)
    }
}

fn pool(p: &rt::Conv2d) -> rt::Pool2d {
    rt::Pool2d {
        batch: p.batch,
        input: p.input,
        output: p.output,
        kernel: p.kernel,
        stride: p.stride,
        pad: p.pad,
        pad_end: p.pad,
        dilation: p.dilation,
    }
}
