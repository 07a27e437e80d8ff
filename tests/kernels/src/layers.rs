//! Random layers: mostly of the kinds that networks have, and some that no network has.

use mcuopt_rt::v0::{Broadcast, Conv2d, Dense, Pool2d};

use crate::memory::{ELEMENTS, OUTPUTS, WEIGHTS};
use crate::random::Random;

/// The most multiply-accumulates of a case: what the formula takes long for finds no more than what it does quickly.
const MACS: usize = 100_000;

/// What a kernel slides over: sizes of the image and the window, and how it slides.
struct Slide {
    input: [usize; 2],
    kernel: [usize; 2],
    stride: [usize; 2],
    dilation: [usize; 2],
    pad: [usize; 2],
    pad_end: [usize; 2],
}

impl Slide {
    /// Any; at times the window is larger than the image.
    fn any(random: &mut Random) -> Self {
        Slide {
            input: random.sizes(1, 9),
            kernel: random.sizes(1, 5),
            stride: random.sizes(1, 3),
            dilation: random.sizes(1, 2),
            pad: random.sizes(0, 3),
            pad_end: random.sizes(0, 3),
        }
    }

    /// A window of a usual size, padded as SAME or VALID.
    fn usual(random: &mut Random, kernel: [usize; 2]) -> Self {
        let longest = random.choose(&[12, 12, 12, 40]);
        let (stride, input) = (random.choose(&[1, 1, 2, 3]), random.sizes(1, longest));
        let pad = if random.once_in(2) { [0, 0] } else { kernel.map(|size| (size - 1) / 2) };
        let pad_end = if pad == [0, 0] { pad } else { [kernel[0] - 1 - pad[0], kernel[1] - 1 - pad[1]] };
        Slide { input, kernel, stride: [stride, stride], dilation: [1, 1], pad, pad_end }
    }

    /// Along one axis.
    fn line(random: &mut Random) -> Self {
        let (length, kernel) = (random.size(1, 30), random.size(1, 15));
        let (stride, dilation) = (random.size(1, 3), random.size(1, 2));
        let (pad, pad_end) = (random.size(0, 7), random.size(0, 7));
        let mut slide = Slide {
            input: [length, 1],
            kernel: [kernel, 1],
            stride: [stride, 1],
            dilation: [dilation, 1],
            pad: [pad, 0],
            pad_end: [pad_end, 0],
        };
        if random.once_in(2) {
            let Slide { input, kernel, stride, dilation, pad, pad_end } = &mut slide;
            [input, kernel, stride, dilation, pad, pad_end].into_iter().for_each(|sizes| sizes.swap(0, 1));
        }
        slide
    }

    /// The size of the output; `None` where the window fits nowhere.
    fn output(&self) -> Option<[usize; 2]> {
        let size = |axis: usize| {
            let padded = self.input[axis] + self.pad[axis] + self.pad_end[axis];
            let window = self.dilation[axis] * (self.kernel[axis] - 1) + 1;
            Some(padded.checked_sub(window)? / self.stride[axis] + 1)
        };
        Some([size(0)?, size(1)?])
    }

    fn conv(&self, random: &mut Random, groups: usize, inputs: usize, outputs: usize) -> Option<Conv2d> {
        let Slide { input, kernel, stride, dilation, pad, .. } = *self;
        let output = self.output()?;
        Some(Conv2d {
            batch: random.choose(&[1, 1, 1, 2]),
            input: [input[0], input[1], inputs],
            output: [output[0], output[1], outputs],
            kernel,
            stride,
            pad,
            dilation,
            groups,
        })
    }
}

/// Channels: those of many networks, and others.
fn channels(random: &mut Random) -> usize {
    let any = random.size(1, 40);
    random.choose(&[1, 3, 4, 8, 16, 24, 32, 64, any, any, any, any])
}

/// Whether a layer fits into the memory and the time.
fn fits(p: &Conv2d) -> bool {
    let taps = p.kernel[0] * p.kernel[1] * (p.input[2] / p.groups);
    let elements = |shape: [usize; 3]| p.batch * shape[0] * shape[1] * shape[2];
    elements(p.output) * taps <= MACS
        && elements(p.input) <= ELEMENTS
        && elements(p.output) <= ELEMENTS
        && p.output[2] <= OUTPUTS
        && p.output[2] * taps <= WEIGHTS
}

/// A convolution.
pub fn conv(random: &mut Random) -> Conv2d {
    loop {
        let (inputs, outputs) = (channels(random), channels(random));
        let layer = match random.range(0, 9) {
            0..3 => Slide::usual(random, [1, 1]).conv(random, 1, inputs, outputs),
            3..5 => Slide::usual(random, [3, 3]).conv(random, 1, inputs, outputs),
            5 => {
                // Where Winograd's form pays: not many pixels, but channels.
                let slide = Slide { input: random.sizes(3, 7), stride: [1, 1], ..Slide::usual(random, [3, 3]) };
                let (inputs, outputs) = (random.size(8, 40), random.size(8, 40));
                slide.conv(random, 1, inputs, outputs)
            }
            6 => {
                // The keyword spotter's first layer.
                let kernel = random.choose(&[[10, 4], [10, 8], [8, 10], [5, 5], [7, 7]]);
                Slide { input: random.sizes(8, 20), ..Slide::usual(random, kernel) }.conv(random, 1, 1, outputs)
            }
            7 => Slide::line(random).conv(random, 1, inputs, outputs),
            8 => Slide::any(random).conv(random, 1, inputs, outputs),
            _ => {
                let groups = random.size(1, 4);
                let (inputs, outputs) = (groups * random.size(1, 10), groups * random.size(1, 10));
                Slide::any(random).conv(random, groups, inputs, outputs)
            }
        };
        if let Some(layer) = layer.filter(fits) {
            return layer;
        }
    }
}

/// A depthwise convolution.
pub fn depthwise(random: &mut Random) -> Conv2d {
    loop {
        let channels = channels(random);
        let multiplier = if random.once_in(4) { random.size(2, 9) } else { 1 };
        let slide = match random.range(0, 9) {
            0..5 => Slide::usual(random, [3, 3]),
            5 => Slide::usual(random, [5, 5]),
            6..8 => Slide::line(random),
            _ => Slide::any(random),
        };
        if let Some(layer) = slide.conv(random, channels, channels, channels * multiplier).filter(fits) {
            return layer;
        }
    }
}

/// A dense layer.
pub fn dense(random: &mut Random) -> Dense {
    loop {
        let inputs = match random.range(0, 3) {
            0 => random.choose(&[1, 2, 3, 4, 8, 16, 64, 128, 256, 640]),
            1 => random.size(1, 20),
            _ => random.size(1, 300),
        };
        let outputs = random.size(1, 40);
        let layer = Dense { rows: random.choose(&[1, 1, 1, 2, 3, 4, 5]), inputs, outputs };
        if layer.rows * inputs * outputs <= MACS {
            return layer;
        }
    }
}

/// A pooling layer.
pub fn pool(random: &mut Random) -> Pool2d {
    loop {
        let slide = match random.range(0, 2) {
            0 => Slide::line(random),
            1 => {
                let kernel = random.choose(&[[2, 2], [3, 3], [4, 4], [1, 1]]);
                Slide::usual(random, kernel)
            }
            _ => Slide::any(random),
        };
        let channels = channels(random);
        let Some(p) = slide.conv(random, channels, channels, channels).filter(fits) else { continue };
        let Conv2d { batch, input, output, kernel, stride, pad, dilation, .. } = p;
        return Pool2d { batch, input, output, kernel, stride, pad, pad_end: slide.pad_end, dilation };
    }
}

/// The shapes of two operands; the first has that of the output if `whole`.
pub fn broadcast(random: &mut Random, whole: bool) -> Broadcast {
    if random.once_in(3) {
        // What most layers come down to.
        let length = random.size(1, 400);
        let strides = [length, length, length, 1];
        return Broadcast { shape: [1, 1, 1, length], a_strides: strides, b_strides: strides };
    }
    let last = random.size(1, 40);
    let shape = [random.size(1, 3), random.size(1, 4), random.size(1, 5), random.choose(&[1, 8, 16, last, last])];
    let mut strides = |once_in| {
        let (mut strides, mut length) = ([0; 4], 1);
        for axis in (0..4).rev() {
            if once_in == 0 || !random.once_in(once_in) {
                (strides[axis], length) = (length, length * shape[axis]);
            }
        }
        strides
    };
    Broadcast { shape, a_strides: strides(if whole { 0 } else { 4 }), b_strides: strides(3) }
}
