//! Convolutions, depthwise convolutions and dense layers.

use mcuopt_rt::v0::{
    Arch, Conv2d, ConvS8, Dense, DepthwiseS8, LinearS8, Prefer, Requantize, conv2d_s8, dense_s8, depthwise_s8,
};

use crate::guarded::Guarded;
use crate::memory::{Constants, Fields, Memory};
use crate::random::Random;
use crate::trial::{Kernel, Subject, Trial};
use crate::{formula, layers};

/// All of them.
const PREFERENCES: [Prefer; 3] = [Prefer::Fastest, Prefer::Speed, Prefer::Size];

pub fn conv(memory: &mut Memory, random: &mut Random, trial: &mut Trial) {
    conv_of(memory, random, trial, Weights::Int8);
}

pub fn conv_w4(memory: &mut Memory, random: &mut Random, trial: &mut Trial) {
    conv_of(memory, random, trial, Weights::Int4);
}

fn conv_of(memory: &mut Memory, random: &mut Random, trial: &mut Trial, width: Weights) {
    let p = layers::conv(random);
    let (q, pad_value) = (random.requantize(), random.zero_point() as i8);
    let row = p.kernel[0] * p.kernel[1] * (p.input[2] / p.groups);
    let weight = |o, i| o * row + i;
    let Memory { constants, x, expected, fields, .. } = memory;
    let (linear, packed) = constants.fill(random, p.output[2], row, weight, q.left_shift, width);
    let (x, expected) = (&mut x[..elements(&p, p.input)], &mut expected[..elements(&p, p.output)]);
    random.fill(x);
    let Linear { weights, bias, multipliers, bytes } = linear;
    let bytes = LinearS8 { requantize: q, ..bytes };
    formula::conv(&p, &q, pad_value, weights, weight, bias, multipliers, x, expected);

    let subject = Subject { layer: &(p, q, pad_value), x, expected, element: 1 };
    trial.apart(Kernel::definition("conv2d_s8"), &subject, 0, fields, random, |x, y, _| {
        conv2d_s8(&p, &q, pad_value, weights, bias, multipliers, x, y);
    });
    for prefer in PREFERENCES {
        let choose = if width == Weights::Int4 { ConvS8::choose_w4 } else { ConvS8::choose };
        let kernel = choose(&p, pad_value, &bytes, prefer, Arch::CURRENT);
        chosen_conv(&kernel, prefer, true, &bytes, packed, &subject, fields, random, trial);
    }
}

pub fn dense(memory: &mut Memory, random: &mut Random, trial: &mut Trial) {
    dense_of(memory, random, trial, Weights::Int8);
}

pub fn dense_w4(memory: &mut Memory, random: &mut Random, trial: &mut Trial) {
    dense_of(memory, random, trial, Weights::Int4);
}

/// A dense layer as a convolution over its rows.
pub fn as_conv(p: &Dense) -> Conv2d {
    Conv2d {
        batch: 1,
        input: [1, p.rows, p.inputs],
        output: [1, p.rows, p.outputs],
        kernel: [1, 1],
        stride: [1, 1],
        pad: [0, 0],
        dilation: [1, 1],
        groups: 1,
    }
}

fn dense_of(memory: &mut Memory, random: &mut Random, trial: &mut Trial, width: Weights) {
    let p = layers::dense(random);
    let q = random.requantize();
    let weight = |o, i| o * p.inputs + i;
    let Memory { constants, x, expected, fields, .. } = memory;
    let (linear, packed) = constants.fill(random, p.outputs, p.inputs, weight, q.left_shift, width);
    let (x, expected) = (&mut x[..p.rows * p.inputs], &mut expected[..p.rows * p.outputs]);
    random.fill(x);
    let Linear { weights, bias, multipliers, bytes } = linear;
    let bytes = LinearS8 { requantize: q, ..bytes };
    formula::conv(&as_conv(&p), &q, 0, weights, weight, bias, multipliers, x, expected);

    let subject = Subject { layer: &(p, q), x, expected, element: 1 };
    trial.apart(Kernel::definition("dense_s8"), &subject, 0, fields, random, |x, y, _| {
        dense_s8(&p, &q, weights, bias, multipliers, x, y);
    });
    for prefer in PREFERENCES {
        // A single row is read from end to end for each output.
        let overlaps = p.rows > 1;
        let choose = if width == Weights::Int4 { ConvS8::choose_dense_w4 } else { ConvS8::choose_dense };
        let kernel = choose(&p, &bytes, prefer, Arch::CURRENT);
        chosen_conv(&kernel, prefer, overlaps, &bytes, packed, &subject, fields, random, trial);
    }
}

/// Every way to run a chosen convolution; `overlaps` if input and output may share memory.
#[allow(clippy::too_many_arguments)]
fn chosen_conv(
    kernel: &ConvS8,
    prefer: Prefer,
    overlaps: bool,
    linear: &LinearS8<'_>,
    packed: &mut [u32],
    subject: &Subject<'_>,
    fields: &mut Fields,
    random: &mut Random,
    trial: &mut Trial,
) {
    let choice = kernel.choice();
    let name = Kernel::chosen(choice.name, prefer);
    let mut edge = edge_for_constants(fields, random);
    let mut packed = match &mut edge {
        Some(edge) => Guarded::last(edge, kernel.words()),
        None => Guarded::new(packed, random.size(0, 3), kernel.words()),
    };
    kernel.pack_into(linear, packed.lend());
    assert_eq!(choice.weight_bytes, size_of_val(packed.lend()), "weight_bytes of {subject:?}");
    let constants: &[u32] = packed.lend();
    trial.apart(name, subject, choice.scratch_bytes, fields, random, |x, y, scratch| {
        kernel.run(constants, x, y, scratch);
    });
    let starts = [kernel.distance(), kernel.distance() + random.size(1, 9)];
    for x_start in starts.into_iter().filter(|_| overlaps) {
        trial.overlapping(name, subject, x_start, choice.scratch_bytes, fields, random, |xy, scratch| {
            kernel.run_overlapping(constants, x_start, xy, scratch);
        });
    }
    assert_eq!(packed.trespass(), None, "packing {subject:?} writes elsewhere");
    fields.edge = fields.edge.take().or(edge);
}

/// The end of the memory, which constants get now and then: they may be the last in the flash.
fn edge_for_constants(fields: &mut Fields, random: &mut Random) -> Option<&'static mut [u32]> {
    if random.once_in(3) { fields.edge.take() } else { None }
}

pub fn depthwise(memory: &mut Memory, random: &mut Random, trial: &mut Trial) {
    depthwise_of(memory, random, trial, Weights::Int8);
}

pub fn depthwise_w4(memory: &mut Memory, random: &mut Random, trial: &mut Trial) {
    depthwise_of(memory, random, trial, Weights::Int4);
}

fn depthwise_of(memory: &mut Memory, random: &mut Random, trial: &mut Trial, width: Weights) {
    let p = layers::depthwise(random);
    let (q, pad_value) = (random.requantize(), random.zero_point() as i8);
    let outputs = p.output[2];
    let weight = |o, i| i * outputs + o;
    let Memory { constants, x, expected, fields, .. } = memory;
    let (linear, packed) = constants.fill(random, outputs, p.kernel[0] * p.kernel[1], weight, q.left_shift, width);
    let (x, expected) = (&mut x[..elements(&p, p.input)], &mut expected[..elements(&p, p.output)]);
    random.fill(x);
    let Linear { weights, bias, multipliers, bytes } = linear;
    let bytes = LinearS8 { requantize: q, ..bytes };
    formula::conv(&p, &q, pad_value, weights, weight, bias, multipliers, x, expected);

    let subject = Subject { layer: &(p, q, pad_value), x, expected, element: 1 };
    trial.apart(Kernel::definition("depthwise_s8"), &subject, 0, fields, random, |x, y, _| {
        depthwise_s8(&p, &q, pad_value, weights, bias, multipliers, x, y);
    });
    for prefer in PREFERENCES {
        let choose = if width == Weights::Int4 { DepthwiseS8::choose_w4 } else { DepthwiseS8::choose };
        let kernel = choose(&p, pad_value, &bytes, prefer, Arch::CURRENT);
        let choice = kernel.choice();
        let name = Kernel::chosen(choice.name, prefer);
        let mut edge = edge_for_constants(fields, random);
        let mut packed = match &mut edge {
            Some(edge) => Guarded::last(edge, kernel.words()),
            None => Guarded::new(packed, random.size(0, 3), kernel.words()),
        };
        kernel.pack_into(&bytes, packed.lend());
        assert_eq!(choice.weight_bytes, size_of_val(packed.lend()), "weight_bytes of {subject:?}");
        let constants: &[u32] = packed.lend();
        trial.apart(name, &subject, choice.scratch_bytes, fields, random, |x, y, scratch| {
            kernel.run(constants, x, y, scratch);
        });
        if DepthwiseS8::works_in_place(&p) {
            trial.overlapping(name, &subject, 0, choice.scratch_bytes, fields, random, |xy, scratch| {
                kernel.run_in_place(constants, xy, scratch);
            });
        }
        assert_eq!(packed.trespass(), None, "packing {subject:?} writes elsewhere");
        fields.edge = fields.edge.take().or(edge);
    }
}

pub fn elements(p: &Conv2d, [height, width, channels]: [usize; 3]) -> usize {
    p.batch * height * width * channels
}

/// The constants of one layer: as the definitions take them, and as generated code writes them down.
pub struct Linear<'a> {
    pub weights: &'a [i8],
    pub bias: &'a [i32],
    pub multipliers: &'a [i32],
    pub bytes: LinearS8<'a>,
}

/// How wide weights are.
#[derive(Clone, Copy, PartialEq)]
pub enum Weights {
    Int8,
    Int4,
}

/// How a layer's biases and multipliers are made.
#[derive(Clone, Copy)]
enum Kind {
    /// Outputs are spread over their range.
    Usual,
    /// As [`Usual`](Self::Usual), with multipliers of either sign.
    Signed,
    /// Sums are anywhere in 32 bits.
    Wide,
    /// Sums reach the ends of 32 bits.
    Full,
    /// Multipliers are as extreme as can be.
    Steep,
}

impl Constants {
    /// Constants of a layer with so many outputs and weights for each; `weight` as in [`formula::conv`]. Also lends
    /// the memory for packed constants.
    pub fn fill(
        &mut self,
        random: &mut Random,
        outputs: usize,
        row: usize,
        weight: impl Fn(usize, usize) -> usize,
        left_shift: u32,
        width: Weights,
    ) -> (Linear<'_>, &mut [u32]) {
        let weights = &mut self.weights[..outputs * row];
        random.fill(weights);
        if width == Weights::Int4 {
            weights.iter_mut().for_each(|weight| *weight >>= 4);
        }
        let kind =
            random.choose(&[Kind::Usual, Kind::Usual, Kind::Usual, Kind::Signed, Kind::Wide, Kind::Full, Kind::Steep]);
        for o in 0..outputs {
            let magnitudes = (0..row).map(|i| i64::from(weights[weight(o, i)].unsigned_abs()));
            // Beyond this bias, an input could let the sum overflow.
            let room = i64::from(i32::MAX) - 128 * magnitudes.sum::<i64>();
            let room = i32::try_from(room).expect("layers are small enough");
            self.bias[o] = bias(random, kind, room);
            self.multipliers[o] = multiplier(random, kind, row, left_shift);
        }
        for (bytes, weight) in self.weight_bytes.iter_mut().zip(&*weights) {
            *bytes = *weight as u8;
        }
        for (bytes, bias) in self.bias_bytes.chunks_exact_mut(4).zip(&self.bias[..outputs]) {
            bytes.copy_from_slice(&bias.to_le_bytes());
        }
        for (bytes, multiplier) in self.multiplier_bytes.chunks_exact_mut(4).zip(&self.multipliers[..outputs]) {
            bytes.copy_from_slice(&multiplier.to_le_bytes());
        }
        let bytes = LinearS8 {
            weights: &self.weight_bytes[..outputs * row],
            bias: &self.bias_bytes[..4 * outputs],
            multipliers: &self.multiplier_bytes[..4 * outputs],
            requantize: Requantize { left_shift, zero_point: 0, min: i8::MIN, max: i8::MAX },
        };
        let (bias, multipliers) = (&self.bias[..outputs], &self.multipliers[..outputs]);
        (Linear { weights, bias, multipliers, bytes }, &mut self.packed.0)
    }
}

fn bias(random: &mut Random, kind: Kind, room: i32) -> i32 {
    match kind {
        Kind::Full => {
            let short = random.range(0, 1000);
            random.choose(&[room - short, short - room])
        }
        Kind::Wide => random.range(-room, room),
        _ => random.range(-20_000, 20_000),
    }
}

fn multiplier(random: &mut Random, kind: Kind, row: usize, left_shift: u32) -> i32 {
    // A sum of random products is some 5300 · √row; this makes it some 64.
    let usual = ((52_000_000 / row.isqrt() as i32) >> left_shift).max(1);
    let any = random.range(i32::MIN, i32::MAX);
    match kind {
        Kind::Usual => random.range(usual / 4, 2 * usual),
        Kind::Signed => random.range(-2 * usual, 2 * usual),
        // 2^31 becomes 64.
        Kind::Wide | Kind::Full => random.range(0, 256),
        Kind::Steep => random.choose(&[i32::MIN, i32::MAX, 0, 1, -1, any]),
    }
}
