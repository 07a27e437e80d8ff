//! The depthwise kernels that are chosen for a layer against `depthwise_s8`.

mod common;

use common::Random;
use mcuopt_rt::v0::*;

/// A random layer; at times the kernel is larger than the image.
fn layer(random: &mut Random, multiplier: usize) -> Conv2d {
    loop {
        let (input, kernel): ([usize; 2], [usize; 2]) = (random.sizes(1, 9), random.sizes(1, 7));
        let (stride, dilation) = (random.sizes(1, 3), random.sizes(1, 2));
        let (pad, pad_end): ([usize; 2], [usize; 2]) = (random.sizes(0, 3), random.sizes(0, 3));
        let channels = random.size(1, 40);
        let room = |axis: usize| {
            let padded = input[axis] + pad[axis] + pad_end[axis];
            padded.checked_sub(dilation[axis] * (kernel[axis] - 1) + 1)
        };
        if let (Some(height), Some(width)) = (room(0), room(1)) {
            return Conv2d {
                batch: random.size(1, 2),
                input: [input[0], input[1], channels],
                output: [height / stride[0] + 1, width / stride[1] + 1, channels * multiplier],
                kernel,
                stride,
                pad,
                dilation,
                groups: channels,
            };
        }
    }
}

fn bytes(values: &[i32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// Whether the layer was computed in place, too.
fn check(random: &mut Random, p: &Conv2d, prefer: Prefer) -> bool {
    let (requantize, pad_value) = (random.requantize(), random.i8());
    let weights = random.i8s(p.kernel[0] * p.kernel[1] * p.output[2]);
    let (bias, multipliers) = (random.i32s(p.output[2], 100_000), random.multipliers(p.output[2]));
    let x = random.i8s(p.batch * p.input.iter().product::<usize>());
    let mut expected = vec![0; p.batch * p.output.iter().product::<usize>()];
    depthwise_s8(p, &requantize, pad_value, &weights, &bias, &multipliers, &x, &mut expected);

    let weights: Vec<u8> = weights.iter().map(|&weight| weight as u8).collect();
    let (bias, multipliers) = (bytes(&bias), bytes(&multipliers));
    let linear = LinearS8 { weights: &weights, bias: &bias, multipliers: &multipliers, requantize };
    let kernel = DepthwiseS8::choose(p, pad_value, &linear, prefer, Arch::CURRENT);
    let mut constants = vec![0; kernel.words()];
    kernel.pack_into(&linear, &mut constants);
    assert_eq!(kernel.choice().weight_bytes, 4 * constants.len());
    let mut scratch = vec![0xa5a5_a5a5; kernel.choice().scratch_bytes / 4];
    let mut y = vec![0; expected.len()];
    kernel.run(&constants, &x, &mut y, &mut scratch);
    assert_eq!(y, expected, "{p:?}");
    if DepthwiseS8::works_in_place(p) {
        let mut xy = x;
        kernel.run_in_place(&constants, &mut xy, &mut scratch);
        assert_eq!(xy[..expected.len()], expected, "in place: {p:?}");
    }
    DepthwiseS8::works_in_place(p)
}

#[test]
fn any_geometry() {
    let mut random = Random::new(70);
    let mut in_place = 0;
    for i in 0..600 {
        let multiplier = if i % 3 == 0 { random.size(2, 5) } else { 1 };
        let p = layer(&mut random, multiplier);
        in_place += usize::from(check(&mut random, &p, if i % 2 == 0 { Prefer::Speed } else { Prefer::Size }));
    }
    assert!(in_place > 150, "{in_place} layers in place");
}

/// The layers that networks consist of work in place.
#[test]
fn common_layers_work_in_place() {
    let mut random = Random::new(71);
    for (input, kernel, stride, pad, output) in [
        ([25, 5], [3, 3], [1, 1], [1, 1], [25, 5]),
        ([12, 12], [3, 3], [2, 2], [0, 0], [6, 6]),
        ([12, 12], [3, 3], [2, 2], [1, 1], [6, 6]),
        ([7, 7], [5, 5], [1, 1], [2, 2], [7, 7]),
        ([30, 1], [15, 1], [1, 1], [7, 0], [30, 1]),
        ([6, 6], [6, 6], [1, 1], [0, 0], [1, 1]),
    ] {
        for batch in 1..=2 {
            let p = Conv2d {
                batch,
                input: [input[0], input[1], 16],
                output: [output[0], output[1], 16],
                kernel,
                stride,
                pad,
                dilation: [1, 1],
                groups: 16,
            };
            assert!(check(&mut random, &p, Prefer::Speed), "{p:?}");
        }
    }
}

/// What a target with DSP instructions gets.
fn dsp_choice(p: &Conv2d, requantize: Requantize, bias: i32) -> Choice {
    let weights = vec![0x80; p.kernel[0] * p.kernel[1] * p.output[2]];
    let (bias, multipliers) = (bytes(&vec![bias; p.output[2]]), bytes(&vec![1 << 20; p.output[2]]));
    let linear = LinearS8 { weights: &weights, bias: &bias, multipliers: &multipliers, requantize };
    let kernel = DepthwiseS8::choose(p, 0, &linear, Prefer::Speed, Arch::Dsp);
    // The constants can be arranged on the host, whatever the target.
    kernel.pack_into(&linear, &mut vec![0; kernel.words()]);
    kernel.choice()
}

fn square(size: usize, kernel: usize, stride: usize) -> Conv2d {
    Conv2d {
        batch: 1,
        input: [size, size, 8],
        output: [size.div_ceil(stride), size.div_ceil(stride), 8],
        kernel: [kernel, kernel],
        stride: [stride, stride],
        pad: [kernel / 2, kernel / 2],
        dilation: [1, 1],
        groups: 8,
    }
}

const PLAIN: Requantize = Requantize { left_shift: 0, zero_point: 0, min: -128, max: 127 };

#[test]
fn fast_kernels_are_for_common_layers() {
    for (size, kernel, stride) in [(48, 3, 1), (24, 3, 2), (3, 3, 1), (25, 5, 1), (25, 7, 2), (12, 1, 1)] {
        let choice = dsp_choice(&square(size, kernel, stride), PLAIN, 0);
        assert_eq!((choice.name, choice.remark), ("depthwise_s8_dsp", ""), "{size} {kernel} {stride}");
    }
    // Bias, multiplier and three words of taps for a channel; one plane with its border.
    let choice = dsp_choice(&square(48, 3, 1), PLAIN, 0);
    assert_eq!((choice.weight_bytes, choice.scratch_bytes), (8 * 4 * 5, 50 * 50 * 2));
}

#[test]
fn other_layers_say_why_not() {
    let shifted = Requantize { left_shift: 8, ..PLAIN };
    for (p, requantize, bias, remark) in [
        (square(30, 3, 3), PLAIN, 0, "strides above 2 have no DSP kernel"),
        (square(30, 9, 1), PLAIN, 0, "so large a kernel has no DSP kernel"),
        (square(1, 1, 1), PLAIN, 0, "so small a layer is faster without planes"),
        (square(30, 3, 1), shifted, 1 << 23, "its sums could overflow when they are shifted left"),
    ] {
        let choice = dsp_choice(&p, requantize, bias);
        assert_eq!((choice.name, choice.remark), ("depthwise_s8", remark));
    }
    assert_eq!(dsp_choice(&square(30, 3, 1), shifted, (1 << 23) - 9 * (1 << 14) - 1).remark, "");
}
