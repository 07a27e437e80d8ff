//! Layers with int16 activations.

use core::slice;

use mcuopt_rt::v0::{Arch, Conv2d, ConvS16, Dense, LinearS16, Prefer, RequantizeS16};

use crate::guarded::Guarded;
use crate::linear::{Weights, as_conv, elements};
use crate::memory::{ELEMENTS, Memory};
use crate::random::Random;
use crate::trial::{Kernel, Subject, Trial};
use crate::{formula, layers};

/// How a layer is chosen, with int8 weights and with int4 weights.
type Choose = fn(&Conv2d, i16, &LinearS16<'_>, Prefer, Arch) -> ConvS16;

pub fn conv(memory: &mut Memory, random: &mut Random, trial: &mut Trial) {
    let p = fitting(random, layers::conv);
    layer(memory, random, trial, &p, false, [ConvS16::choose, ConvS16::choose_w4]);
}

pub fn depthwise(memory: &mut Memory, random: &mut Random, trial: &mut Trial) {
    let p = fitting(random, layers::depthwise);
    layer(memory, random, trial, &p, true, [ConvS16::choose_depthwise, ConvS16::choose_depthwise_w4]);
}

pub fn dense(memory: &mut Memory, random: &mut Random, trial: &mut Trial) {
    let p = as_conv(&layers::dense(random));
    fn dense(p: &Conv2d) -> Dense {
        Dense { rows: p.input[1], inputs: p.input[2], outputs: p.output[2] }
    }
    let choose: [Choose; 2] = [
        |p, _, linear, prefer, arch| ConvS16::choose_dense(&dense(p), linear, prefer, arch),
        |p, _, linear, prefer, arch| ConvS16::choose_dense_w4(&dense(p), linear, prefer, arch),
    ];
    layer(memory, random, trial, &p, false, choose);
}

/// A layer whose tensors have room in twice the bytes.
fn fitting(random: &mut Random, draw: fn(&mut Random) -> Conv2d) -> Conv2d {
    loop {
        let p = draw(random);
        if 2 * elements(&p, p.input).max(elements(&p, p.output)) <= ELEMENTS {
            return p;
        }
    }
}

fn layer(
    memory: &mut Memory,
    random: &mut Random,
    trial: &mut Trial,
    p: &Conv2d,
    is_depthwise: bool,
    choose: [Choose; 2],
) {
    let (q, pad_value) = (requantize(random), any(random));
    // A dense layer's padding does not exist.
    let pad_value = if p.pad == [0, 0] { 0 } else { pad_value };
    let four_bits = random.once_in(2);
    let row = p.kernel[0] * p.kernel[1] * (p.input[2] / p.groups);
    let outputs = p.output[2];
    let weight = |o, i| if is_depthwise { i * outputs + o } else { o * row + i };
    let Memory { constants, x, expected, fields, .. } = memory;
    let width = if four_bits { Weights::Int4 } else { Weights::Int8 };
    let (linear, packed) = constants.fill(random, outputs, row, weight, q.left_shift, width);
    let x = &mut x[..2 * elements(p, p.input)];
    let expected = &mut expected[..2 * elements(p, p.output)];
    fill(random, x);
    let number = |place: usize| i16::from_le_bytes([x[2 * place] as u8, x[2 * place + 1] as u8]);
    formula::sums(
        p,
        |at| i64::from(at.map_or(pad_value, number)),
        linear.weights,
        weight,
        |index, sum| {
            let o = index % outputs;
            let y = formula::requantized_s16(&q, sum + i64::from(linear.bias[o]), linear.multipliers[o]);
            expected[2 * index..][..2].copy_from_slice(&y.to_le_bytes().map(|byte| byte as i8));
        },
    );

    let (weights, bias, multipliers) = (linear.bytes.weights, linear.bytes.bias, linear.bytes.multipliers);
    let bytes = LinearS16 { weights, bias, multipliers, requantize: q };
    let subject = Subject { layer: &(p, q, pad_value, four_bits), x, expected, element: 2 };
    for prefer in [Prefer::Speed, Prefer::Size] {
        let kernel = choose[usize::from(four_bits)](p, pad_value, &bytes, prefer, Arch::CURRENT);
        let choice = kernel.choice();
        let name = Kernel::chosen(choice.name, prefer);
        let mut packed = Guarded::new(packed, random.size(0, 3), kernel.words());
        kernel.pack_into(&bytes, packed.lend());
        assert_eq!(choice.weight_bytes, size_of_val(packed.lend()), "weight_bytes of {subject:?}");
        let constants: &[u32] = packed.lend();
        trial.apart(name, &subject, choice.scratch_bytes, fields, random, |x, y, scratch| {
            kernel.run(constants, numbers(x), numbers_mut(y), scratch);
        });
        if is_depthwise {
            if ConvS16::works_in_place(p) {
                trial.overlapping(name, &subject, 0, choice.scratch_bytes, fields, random, |xy, scratch| {
                    kernel.run_in_place(constants, numbers_mut(xy), scratch);
                });
            }
        } else if p.batch * p.output[0] * p.output[1] > 1 || choice.name.starts_with("conv2d") {
            for x_start in [choice.distance, choice.distance + 2 * random.size(1, 9)] {
                trial.overlapping(name, &subject, x_start, choice.scratch_bytes, fields, random, |xy, scratch| {
                    kernel.run_overlapping(constants, x_start / 2, numbers_mut(xy), scratch);
                });
            }
        }
        assert_eq!(packed.trespass(), None, "packing {subject:?} writes elsewhere");
    }
}

/// Bytes that start at an even place, as the numbers that they are.
fn numbers(bytes: &[i8]) -> &[i16] {
    assert!((bytes.as_ptr() as usize).is_multiple_of(2) && bytes.len().is_multiple_of(2), "int16");
    // SAFETY: the place is aligned, any bits are an int16, and the borrow is the same.
    unsafe { slice::from_raw_parts(bytes.as_ptr().cast(), bytes.len() / 2) }
}

/// As [`numbers`].
fn numbers_mut(bytes: &mut [i8]) -> &mut [i16] {
    assert!((bytes.as_ptr() as usize).is_multiple_of(2) && bytes.len().is_multiple_of(2), "int16");
    // SAFETY: as above.
    unsafe { slice::from_raw_parts_mut(bytes.as_mut_ptr().cast(), bytes.len() / 2) }
}

/// Any value, the extremes more often.
fn any(random: &mut Random) -> i16 {
    match random.range(0, 15) {
        0 => i16::MIN,
        1 => i16::MAX,
        2 => 0,
        _ => random.range(-32768, 32767) as i16,
    }
}

/// Fills a tensor's bytes; some tensors are as extreme as can be.
fn fill(random: &mut Random, bytes: &mut [i8]) {
    let how = random.range(0, 9);
    for bytes in bytes.as_chunks_mut::<2>().0 {
        let number = match how {
            0 => i16::MIN,
            1 => i16::MAX,
            2 => random.choose(&[i16::MIN, i16::MAX]),
            _ => any(random),
        };
        *bytes = number.to_le_bytes().map(|byte| byte as i8);
    }
}

/// A requantization: mostly without a left shift and with the whole range, as layers have it.
fn requantize(random: &mut Random) -> RequantizeS16 {
    let left_shift = random.choose(&[0, 0, 0, 0, 0, 0, 1, 2, 3, 7]);
    let (a, b) = (any(random), any(random));
    let zero_point = i32::from(if random.once_in(3) { any(random) } else { 0 });
    let (min, max) = match random.range(0, 3) {
        0 => (a.min(b), a.max(b)),
        1 => (zero_point as i16, i16::MAX),
        _ => (i16::MIN, i16::MAX),
    };
    RequantizeS16 { left_shift, zero_point, min, max }
}
