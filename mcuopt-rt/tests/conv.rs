//! Convolution, depthwise, dense and matrix product against the formulas.

mod common;

use common::{Random, at, indices, requantized, run};
use mcuopt_rt::v0::*;

/// A random layer; at times the kernel is larger than the image.
fn layer(random: &mut Random, groups: usize, group_inputs: usize, group_outputs: usize) -> Conv2d {
    loop {
        let (input, kernel): ([usize; 2], [usize; 2]) = (random.sizes(1, 7), random.sizes(1, 4));
        let (stride, dilation) = (random.sizes(1, 3), random.sizes(1, 2));
        let (pad, pad_end): ([usize; 2], [usize; 2]) = (random.sizes(0, 3), random.sizes(0, 3));
        let room = |axis: usize| {
            let padded = input[axis] + pad[axis] + pad_end[axis];
            padded.checked_sub(dilation[axis] * (kernel[axis] - 1) + 1)
        };
        if let (Some(height), Some(width)) = (room(0), room(1)) {
            return Conv2d {
                batch: random.size(1, 2),
                input: [input[0], input[1], groups * group_inputs],
                output: [height / stride[0] + 1, width / stride[1] + 1, groups * group_outputs],
                kernel,
                stride,
                pad,
                dilation,
                groups,
            };
        }
    }
}

fn input_shape(p: &Conv2d) -> [usize; 4] {
    [p.batch, p.input[0], p.input[1], p.input[2]]
}

/// The products that an output sums, in the order ky, kx, channel: (place in x or `None` in the padding, place in
/// the OHWI weights).
fn products(p: &Conv2d, output: &[usize]) -> Vec<(Option<usize>, usize)> {
    let &[n, y, x, o] = output else { unreachable!() };
    let depth = p.input[2] / p.groups;
    let group = o / (p.output[2] / p.groups);
    let inside = |axis: usize, out: usize, tap: usize| {
        (out * p.stride[axis] + tap * p.dilation[axis]).checked_sub(p.pad[axis]).filter(|&i| i < p.input[axis])
    };
    indices(&[p.kernel[0], p.kernel[1], depth])
        .iter()
        .map(|tap| {
            let cell = inside(0, y, tap[0]).zip(inside(1, x, tap[1]));
            let cell = cell.map(|(y, x)| at(&input_shape(p), &[n, y, x, group * depth + tap[2]]));
            (cell, at(&[p.output[2], p.kernel[0], p.kernel[1], depth], &[&[o], &tap[..]].concat()))
        })
        .collect()
}

fn outputs(p: &Conv2d) -> Vec<Vec<usize>> {
    indices(&[p.batch, p.output[0], p.output[1], p.output[2]])
}

/// OHWI to HWC, for layers of depth 1.
fn depthwise_weights<T: Copy>(p: &Conv2d, weights: &[T]) -> Vec<T> {
    let taps = p.kernel[0] * p.kernel[1];
    (0..weights.len()).map(|i| weights[i % p.output[2] * taps + i / p.output[2]]).collect()
}

fn check_s8(random: &mut Random, p: &Conv2d) {
    let (q, pad_value) = (random.requantize(), random.i8());
    let weights = random.i8s(p.kernel[0] * p.kernel[1] * p.input[2] / p.groups * p.output[2]);
    let (bias, multipliers) = (random.i32s(p.output[2], 100_000), random.multipliers(p.output[2]));
    let x = random.i8s(input_shape(p).iter().product());
    let expected: Vec<i8> = outputs(p)
        .iter()
        .map(|output| {
            let sum = products(p, output).iter().fold(i64::from(bias[output[3]]), |sum, &(cell, weight)| {
                sum + i64::from(cell.map_or(pad_value, |cell| x[cell])) * i64::from(weights[weight])
            });
            requantized(&q, sum, multipliers[output[3]])
        })
        .collect();
    let y = run!(conv2d_s8(p, &q, pad_value, &weights, &bias, &multipliers, &x) -> expected.len(), 0);
    assert_eq!(y, expected, "{p:?}");
    if p.groups == p.input[2] {
        let weights = depthwise_weights(p, &weights);
        let y = run!(depthwise_s8(p, &q, pad_value, &weights, &bias, &multipliers, &x) -> expected.len(), 0);
        assert_eq!(y, expected, "depthwise {p:?}");
    }
}

fn check_f32(random: &mut Random, p: &Conv2d) {
    let clamp = if random.range(0, 1) == 0 { Clamp::NONE } else { Clamp { min: 0.0, max: 6.0 } };
    let weights = random.f32s(p.kernel[0] * p.kernel[1] * p.input[2] / p.groups * p.output[2]);
    let (bias, x) = (random.f32s(p.output[2]), random.f32s(input_shape(p).iter().product()));
    // Bit for bit: f32 sums in the documented order.
    let expected: Vec<f32> = outputs(p)
        .iter()
        .map(|output| {
            let sum = products(p, output)
                .iter()
                .fold(bias[output[3]], |sum, &(cell, weight)| cell.map_or(sum, |cell| sum + x[cell] * weights[weight]));
            clamp.apply(sum)
        })
        .collect();
    let y = run!(conv2d_f32(p, &clamp, &weights, &bias, &x) -> expected.len(), 0.0);
    assert_eq!(y, expected, "{p:?}");
    if p.groups == p.input[2] {
        let weights = depthwise_weights(p, &weights);
        let y = run!(depthwise_f32(p, &clamp, &weights, &bias, &x) -> expected.len(), 0.0);
        assert_eq!(y, expected, "depthwise {p:?}");
    }
}

#[test]
fn convolutions_of_any_geometry() {
    let mut random = Random::new(10);
    for i in 0..200 {
        let groups = if i % 2 == 0 { 1 } else { random.size(1, 3) };
        let (inputs, outputs) = (random.size(1, 9), random.size(1, 9));
        let p = layer(&mut random, groups, inputs, outputs);
        check_s8(&mut random, &p);
        check_f32(&mut random, &p);
    }
}

#[test]
fn depthwise_convolutions_of_any_geometry() {
    let mut random = Random::new(11);
    for i in 0..160 {
        let (channels, multiplier) = match i % 4 {
            0 => (random.size(1, 40), 1),
            1 => (random.size(1, 3), 4 * random.size(1, 8)),
            2 => (random.size(1, 2), 16),
            _ => (random.size(1, 5), random.size(1, 6)),
        };
        let p = layer(&mut random, channels, 1, multiplier);
        check_s8(&mut random, &p);
        check_f32(&mut random, &p);
    }
}

/// The least distance between the starts of output and input at which no pixel overwrites what a later one reads,
/// from the products themselves.
fn least_distance(p: &Conv2d) -> usize {
    let pixels = p.batch * p.output[0] * p.output[1];
    let reads = |pixel: usize| {
        let position = [pixel / (p.output[0] * p.output[1]), pixel / p.output[1] % p.output[0], pixel % p.output[1]];
        (0..p.output[2]).flat_map(move |o| products(p, &[&position[..], &[o]].concat())).filter_map(|(cell, _)| cell)
    };
    let first_reads: Vec<Option<usize>> = (0..pixels).map(|pixel| reads(pixel).min()).collect();
    let written = |pixel: usize| (pixel + 1) * p.output[2];
    let behind = |pixel: usize| {
        let later = first_reads[pixel + 1..].iter().flatten().min();
        later.map_or(0, |first| written(pixel).saturating_sub(*first))
    };
    (0..pixels).map(behind).max().unwrap_or(0)
}

#[test]
fn convolutions_over_their_own_input() {
    let mut random = Random::new(14);
    for i in 0..300 {
        let groups = if i % 3 == 0 { random.size(1, 3) } else { 1 };
        let (inputs, outputs) = (random.size(1, 6), random.size(1, 6));
        let p = layer(&mut random, groups, inputs, outputs);
        let distance = p.distance();
        assert_eq!(distance, least_distance(&p), "{p:?}");

        let (requantize, pad_value) = (random.requantize(), random.i8());
        let weights = random.i8s(p.kernel[0] * p.kernel[1] * p.input[2] / p.groups * p.output[2]);
        let (bias, multipliers) = (random.i32s(p.output[2], 100_000), random.multipliers(p.output[2]));
        let x = random.i8s(input_shape(&p).iter().product());
        let len = p.batch * p.output.iter().product::<usize>();
        let expected = run!(conv2d_s8(&p, &requantize, pad_value, &weights, &bias, &multipliers, &x) -> len, 0);

        let bytes = |values: &[i32]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
        let weight_bytes: Vec<u8> = weights.iter().map(|&weight| weight as u8).collect();
        let (bias, multipliers) = (bytes(&bias), bytes(&multipliers));
        let linear = LinearS8 { weights: &weight_bytes, bias: &bias, multipliers: &multipliers, requantize };
        for prefer in [Prefer::Speed, Prefer::Size] {
            let chosen = ConvS8::choose(&p, pad_value, &linear, prefer, Arch::CURRENT);
            let mut constants = vec![0; chosen.words()];
            chosen.pack_into(&linear, &mut constants);
            let mut scratch = vec![0; chosen.choice().scratch_bytes / 4];
            for x_start in [distance, distance + 1, distance + random.size(0, 9)] {
                let mut xy = vec![0; len.max(x_start + x.len())];
                xy[x_start..][..x.len()].copy_from_slice(&x);
                chosen.run_overlapping(&constants, x_start, &mut xy, &mut scratch);
                assert_eq!(xy[..len], expected, "x_start {x_start} of {p:?}");
            }
        }
    }
}

#[test]
fn sums_reach_their_limits() {
    // 2^16 products of −128 · −128.
    let p = Dense { rows: 1, inputs: 1 << 16, outputs: 1 };
    let q = Requantize { left_shift: 0, zero_point: 0, min: -128, max: 127 };
    let x = vec![-128; p.inputs];
    let y = run!(dense_s8(&p, &q, &x, &[(1 << 30) - 1], &[128], &x) -> 1, 0);
    assert_eq!(y, [64]);
}

#[test]
fn dense() {
    let mut random = Random::new(12);
    for _ in 0..300 {
        let p = Dense { rows: random.size(1, 4), inputs: random.size(1, 40), outputs: random.size(1, 11) };
        let (q, multipliers) = (random.requantize(), random.multipliers(p.outputs));
        let (weights, bias) = (random.i8s(p.outputs * p.inputs), random.i32s(p.outputs, 100_000));
        let x = random.i8s(p.rows * p.inputs);
        let y = run!(dense_s8(&p, &q, &weights, &bias, &multipliers, &x) -> p.rows * p.outputs, 0);
        let (weights_f32, bias_f32) = (random.f32s(weights.len()), random.f32s(p.outputs));
        let x_f32 = random.f32s(x.len());
        let y_f32 = run!(dense_f32(&p, &Clamp::NONE, &weights_f32, &bias_f32, &x_f32) -> y.len(), 0.0);
        for index in indices(&[p.rows, p.outputs]) {
            let (r, o) = (index[0], index[1]);
            let (mut sum, mut sum_f32) = (i64::from(bias[o]), bias_f32[o]);
            for i in 0..p.inputs {
                sum += i64::from(x[r * p.inputs + i]) * i64::from(weights[o * p.inputs + i]);
                sum_f32 += x_f32[r * p.inputs + i] * weights_f32[o * p.inputs + i];
            }
            assert_eq!(y[r * p.outputs + o], requantized(&q, sum, multipliers[o]), "{p:?}");
            assert_eq!(y_f32[r * p.outputs + o], sum_f32, "{p:?}");
        }
    }
}
