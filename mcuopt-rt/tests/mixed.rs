//! int16 activations, int4 weights, and int8 weights beside floats, against the formulas.

mod common;

use common::{Random, at, indices};
use mcuopt_rt::v0::*;

/// A random layer.
fn layer(random: &mut Random, groups: usize, group_inputs: usize, group_outputs: usize) -> Conv2d {
    let kernel: [usize; 2] = random.sizes(1, 4);
    let (stride, dilation) = (random.sizes(1, 3), random.sizes(1, 2));
    let pad: [usize; 2] = random.sizes(0, 2);
    let reach = |axis: usize| dilation[axis] * (kernel[axis] - 1);
    let input = [reach(0) + random.size(1, 5), reach(1) + random.size(1, 5)];
    let output = |axis: usize| (input[axis] + pad[axis] - reach(axis) - 1) / stride[axis] + 1;
    Conv2d {
        batch: random.size(1, 2),
        input: [input[0], input[1], groups * group_inputs],
        output: [output(0), output(1), groups * group_outputs],
        kernel,
        stride,
        pad,
        dilation,
        groups,
    }
}

/// The products that an output sums: (place in x or `None` in the padding, place in the OHWI weights).
fn products(p: &Conv2d, output: &[usize]) -> Vec<(Option<usize>, usize)> {
    let &[n, y, x, o] = output else { unreachable!() };
    let depth = p.input[2] / p.groups;
    let group = o / (p.output[2] / p.groups);
    let inside = |axis: usize, out: usize, tap: usize| {
        (out * p.stride[axis] + tap * p.dilation[axis]).checked_sub(p.pad[axis]).filter(|&i| i < p.input[axis])
    };
    let x_shape = [p.batch, p.input[0], p.input[1], p.input[2]];
    let product = |tap: &Vec<usize>| {
        let cell = inside(0, y, tap[0]).zip(inside(1, x, tap[1]));
        let cell = cell.map(|(y, x)| at(&x_shape, &[n, y, x, group * depth + tap[2]]));
        (cell, at(&[p.output[2], p.kernel[0], p.kernel[1], depth], &[&[o], &tap[..]].concat()))
    };
    indices(&[p.kernel[0], p.kernel[1], depth]).iter().map(product).collect()
}

fn outputs(p: &Conv2d) -> Vec<Vec<usize>> {
    indices(&[p.batch, p.output[0], p.output[1], p.output[2]])
}

/// OHWI to HWC, for layers of depth 1.
fn taps_first<T: Copy>(p: &Conv2d, weights: &[T]) -> Vec<T> {
    let taps = p.kernel[0] * p.kernel[1];
    (0..weights.len()).map(|i| weights[i % p.output[2] * taps + i / p.output[2]]).collect()
}

fn i16s(random: &mut Random, len: usize) -> Vec<i16> {
    let element = |random: &mut Random| match random.range(0, 7) {
        0 => i16::MIN,
        1 => i16::MAX,
        _ => random.range(-32768, 32767) as i16,
    };
    (0..len).map(|_| element(random)).collect()
}

fn weights(random: &mut Random, len: usize, four_bits: bool) -> Vec<i8> {
    if four_bits { (0..len).map(|_| random.range(-8, 7) as i8).collect() } else { random.i8s(len) }
}

fn requantize_s16(random: &mut Random) -> RequantizeS16 {
    let zero_point = if random.range(0, 1) == 0 { 0 } else { random.range(-32768, 32767) as i32 };
    let (min, max) = if random.range(0, 1) == 0 { (i16::MIN, i16::MAX) } else { (-20_000, 10_000) };
    RequantizeS16 { left_shift: random.range(0, 2) as u32, zero_point, min, max }
}

/// By numbers that do not overflow.
fn requantized(q: &RequantizeS16, sum: i64, multiplier: i32) -> i16 {
    let scaled = ((i128::from(sum) << q.left_shift) * i128::from(multiplier) + (1 << 31)) >> 32;
    (scaled + i128::from(q.zero_point)).clamp(q.min.into(), q.max.into()) as i16
}

fn bytes(values: &[i32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// The numbers of a layer in int16 and with them, all kernels.
fn check_int16(random: &mut Random, p: &Conv2d, four_bits: bool, large: bool) {
    let (q, pad_value) = (requantize_s16(random), i16s(random, 1)[0]);
    let row = p.kernel[0] * p.kernel[1] * p.input[2] / p.groups;
    let ohwi = weights(random, row * p.output[2], four_bits);
    let limit = if large { i64::from(i32::MAX) } else { 100_000 };
    let (bias, multipliers) = (random.i32s(p.output[2], limit), random.multipliers(p.output[2]));
    let x = i16s(random, p.batch * p.input.iter().product::<usize>());
    let expected: Vec<i16> = outputs(p)
        .iter()
        .map(|output| {
            let sum = products(p, output).iter().fold(i64::from(bias[output[3]]), |sum, &(cell, weight)| {
                sum + i64::from(cell.map_or(pad_value, |cell| x[cell])) * i64::from(ohwi[weight])
            });
            requantized(&q, sum, multipliers[output[3]])
        })
        .collect();
    let (bias, multipliers) = (bytes(&bias), bytes(&multipliers));
    let (pointwise, depthwise) = (p.kernel == [1, 1] && p.groups == 1, p.groups == p.input[2]);
    let is_dense = pointwise && p.stride == [1, 1] && p.pad == [0, 0];
    let run = |weights: &[i8], choose: &dyn Fn(&LinearS16<'_>, Prefer) -> ConvS16| {
        let weights = as_bytes(weights);
        let linear = LinearS16 { weights, bias: &bias, multipliers: &multipliers, requantize: q };
        for prefer in [Prefer::Speed, Prefer::Size] {
            let chosen = choose(&linear, prefer);
            let mut constants = vec![0; chosen.words()];
            chosen.pack_into(&linear, &mut constants);
            let mut scratch = vec![0; chosen.choice().scratch_bytes / 4];
            let mut y = vec![0; expected.len()];
            chosen.run(&constants, &x, &mut y, &mut scratch);
            assert_eq!(y, expected, "{} of {p:?}", chosen.name());
            if !chosen.name().starts_with("depthwise") {
                let x_start = chosen.distance().div_ceil(2);
                let mut xy = vec![0; y.len().max(x_start + x.len())];
                xy[x_start..][..x.len()].copy_from_slice(&x);
                if !chosen.name().starts_with("dense") || p.batch * p.output[0] * p.output[1] > 1 {
                    chosen.run_overlapping(&constants, x_start, &mut xy, &mut scratch);
                    assert_eq!(xy[..y.len()], expected, "over its input: {p:?}");
                }
            }
            if chosen.name().starts_with("depthwise") && ConvS16::works_in_place(p) {
                let mut xy = x.clone();
                chosen.run_in_place(&constants, &mut xy, &mut scratch);
                assert_eq!(xy[..y.len()], expected, "in place: {p:?}");
            }
            if large {
                assert!(chosen.name().ends_with("_wide"));
            }
        }
    };
    let choose = if four_bits { ConvS16::choose_w4 } else { ConvS16::choose };
    run(&ohwi, &|linear, prefer| choose(p, pad_value, linear, prefer, Arch::CURRENT));
    if depthwise {
        let hwc = taps_first(p, &ohwi);
        let choose = if four_bits { ConvS16::choose_depthwise_w4 } else { ConvS16::choose_depthwise };
        run(&hwc, &|linear, prefer| choose(p, pad_value, linear, prefer, Arch::CURRENT));
    }
    if is_dense {
        let choose_dense = if four_bits { ConvS16::choose_dense_w4 } else { ConvS16::choose_dense };
        let rows = p.batch * p.input[0] * p.input[1];
        let dense = Dense { rows, inputs: p.input[2], outputs: p.output[2] };
        run(&ohwi, &|linear, prefer| choose_dense(&dense, linear, prefer, Arch::CURRENT));
    }
}

#[test]
fn int16_layers_of_any_geometry() {
    let mut random = Random::new(50);
    for i in 0..240 {
        let groups = if i % 3 == 0 { random.size(1, 3) } else { 1 };
        let (inputs, outputs) = (random.size(1, 20), random.size(1, 9));
        let mut p = match i % 4 {
            0 => {
                let (channels, multiplier) = (random.size(2, 20), random.size(1, 3));
                layer(&mut random, channels, 1, multiplier)
            }
            _ => layer(&mut random, groups, inputs, outputs),
        };
        if i % 5 == 0 {
            p = Conv2d { kernel: [1, 1], stride: [1, 1], pad: [0, 0], dilation: [1, 1], ..p };
            (p.output[0], p.output[1]) = (p.input[0], p.input[1]);
        }
        check_int16(&mut random, &p, i % 2 == 1, false);
    }
}

#[test]
fn int16_sums_beyond_32_bits() {
    let mut random = Random::new(51);
    for _ in 0..20 {
        // Enough weights, and a bias at the limit.
        let p = layer(&mut random, 1, 300, 3);
        check_int16(&mut random, &Conv2d { kernel: p.kernel, ..p }, false, true);
    }
}

#[test]
fn int4_layers_are_int8_layers() {
    let mut random = Random::new(52);
    for i in 0..240 {
        let groups = if i % 3 == 0 { random.size(1, 3) } else { 1 };
        let (inputs, outputs) = (random.size(1, 20), random.size(1, 9));
        let p = match i % 4 {
            0 => {
                let (channels, multiplier) = (random.size(2, 40), if i % 8 == 0 { 1 } else { random.size(1, 4) });
                layer(&mut random, channels, 1, multiplier)
            }
            _ => layer(&mut random, groups, inputs, outputs),
        };
        let (requantize, pad_value) = (random.requantize(), random.i8());
        let row = p.kernel[0] * p.kernel[1] * p.input[2] / p.groups;
        let ohwi = weights(&mut random, row * p.output[2], true);
        let (bias, multipliers) = (random.i32s(p.output[2], 100_000), random.multipliers(p.output[2]));
        let x = random.i8s(p.batch * p.input.iter().product::<usize>());
        let mut expected = vec![0; p.batch * p.output.iter().product::<usize>()];
        conv2d_s8(&p, &requantize, pad_value, &ohwi, &bias, &multipliers, &x, &mut expected);

        let (bias, multipliers) = (bytes(&bias), bytes(&multipliers));
        let linear = |weights| LinearS8 { weights, bias: &bias, multipliers: &multipliers, requantize };
        for (prefer, arch) in [(Prefer::Speed, Arch::CURRENT), (Prefer::Size, Arch::CURRENT)] {
            let linear = linear(as_bytes(&ohwi));
            let chosen = ConvS8::choose_w4(&p, pad_value, &linear, prefer, arch);
            assert!(chosen.weight_bytes() <= row.div_ceil(2) * p.output[2] + 3 + 8 * p.output[2]);
            let mut constants = vec![0; chosen.words()];
            chosen.pack_into(&linear, &mut constants);
            let mut scratch = vec![0; chosen.choice().scratch_bytes / 4];
            let mut y = vec![0; expected.len()];
            chosen.run(&constants, &x, &mut y, &mut scratch);
            assert_eq!(y, expected, "{p:?}");
            let x_start = p.distance();
            let mut xy = vec![0; y.len().max(x_start + x.len())];
            xy[x_start..][..x.len()].copy_from_slice(&x);
            chosen.run_overlapping(&constants, x_start, &mut xy, &mut scratch);
            assert_eq!(xy[..y.len()], expected, "over its input: {p:?}");
        }
        if p.groups == p.input[2] {
            let hwc = taps_first(&p, &ohwi);
            let linear = linear(as_bytes(&hwc));
            for prefer in [Prefer::Speed, Prefer::Size] {
                let chosen = DepthwiseS8::choose_w4(&p, pad_value, &linear, prefer, Arch::CURRENT);
                let mut constants = vec![0; chosen.words()];
                chosen.pack_into(&linear, &mut constants);
                let mut scratch = vec![0; chosen.choice().scratch_bytes / 4];
                let mut y = vec![0; expected.len()];
                chosen.run(&constants, &x, &mut y, &mut scratch);
                assert_eq!(y, expected, "depthwise {p:?}");
                if DepthwiseS8::works_in_place(&p) {
                    let mut xy = x.clone();
                    chosen.run_in_place(&constants, &mut xy, &mut scratch);
                    assert_eq!(xy[..y.len()], expected, "in place: {p:?}");
                }
            }
        }
    }
}

#[test]
fn int4_dense_layers_are_int8_layers() {
    let mut random = Random::new(53);
    for _ in 0..100 {
        let p = Dense { rows: random.size(1, 3), inputs: random.size(1, 40), outputs: random.size(1, 11) };
        let (requantize, multipliers) = (random.requantize(), random.multipliers(p.outputs));
        let weights = weights(&mut random, p.outputs * p.inputs, true);
        let (bias, x) = (random.i32s(p.outputs, 100_000), random.i8s(p.rows * p.inputs));
        let mut expected = vec![0; p.rows * p.outputs];
        dense_s8(&p, &requantize, &weights, &bias, &multipliers, &x, &mut expected);
        let (bias, multipliers) = (bytes(&bias), bytes(&multipliers));
        let weights = as_bytes(&weights);
        let linear = LinearS8 { weights, bias: &bias, multipliers: &multipliers, requantize };
        for prefer in [Prefer::Speed, Prefer::Size] {
            let chosen = ConvS8::choose_dense_w4(&p, &linear, prefer, Arch::CURRENT);
            let mut constants = vec![0; chosen.words()];
            chosen.pack_into(&linear, &mut constants);
            let mut y = vec![0; expected.len()];
            chosen.run(&constants, &x, &mut y, &mut vec![0; chosen.choice().scratch_bytes / 4]);
            assert_eq!(y, expected, "{p:?}");
        }
    }
}

#[test]
fn int8_weights_beside_floats() {
    let mut random = Random::new(54);
    for i in 0..100 {
        let p = if i % 2 == 0 { layer(&mut random, 6, 1, 1) } else { layer(&mut random, 1, 7, 5) };
        let clamp = if i % 3 == 0 { Clamp::NONE } else { Clamp { min: 0.0, max: 6.0 } };
        let row = p.kernel[0] * p.kernel[1] * p.input[2] / p.groups;
        let (ohwi, scales) = (random.i8s(row * p.output[2]), random.f32s(p.output[2]));
        let (bias, x) = (random.f32s(p.output[2]), random.f32s(p.batch * p.input.iter().product::<usize>()));
        let expected: Vec<f32> = outputs(&p)
            .iter()
            .map(|output| {
                let sum = products(&p, output).iter().fold(bias[output[3]], |sum, &(cell, weight)| {
                    cell.map_or(sum, |cell| sum + x[cell] * f32::from(ohwi[weight]))
                });
                clamp.apply(sum * scales[output[3]])
            })
            .collect();
        let mut y = vec![0.0; expected.len()];
        conv2d_f32_w8(&p, &clamp, &ohwi, &bias, &scales, &x, &mut y);
        assert_eq!(y, expected, "{p:?}");
        if p.groups == p.input[2] {
            depthwise_f32_w8(&p, &clamp, &taps_first(&p, &ohwi), &bias, &scales, &x, &mut y);
            assert_eq!(y, expected, "depthwise {p:?}");
        }
        if p.kernel == [1, 1] && p.stride == [1, 1] && p.pad == [0, 0] && p.groups == 1 {
            let rows = p.batch * p.input[0] * p.input[1];
            let dense = Dense { rows, inputs: p.input[2], outputs: p.output[2] };
            dense_f32_w8(&dense, &clamp, &ohwi, &bias, &scales, &x, &mut y);
            assert_eq!(y, expected, "dense {p:?}");
        }
    }
}

#[test]
fn wide_products_are_exact() {
    let mut random = Random::new(55);
    for _ in 0..10_000 {
        let (a, multiplier) = ((random.u64() as i64) >> random.size(2, 60), random.u64() as i32);
        let expected = (i128::from(a) * i128::from(multiplier) + (1 << 31)) >> 32;
        assert_eq!(i128::from(fixed(a, multiplier)), expected, "{a} · {multiplier}");
    }
}

fn fixed(a: i64, multiplier: i32) -> i64 {
    mcuopt_rt::fixed::multiply_high_wide(a, multiplier)
}

/// 65536 numbers.
fn all() -> Vec<i16> {
    (i16::MIN..=i16::MAX).collect()
}

#[test]
fn int16_sums_and_products_of_reals() {
    let mut random = Random::new(56);
    let x = all();
    for _ in 0..20 {
        let quantization = |random: &mut Random| Quantization {
            scale: 2f32.powi(random.range(-12, 2) as i32) * (1.0 + random.range(0, 99) as f32 / 100.0),
            zero_point: random.range(-500, 500) as i32,
        };
        let (a, b) = (quantization(&mut random), quantization(&mut random));
        let y = Quantization { scale: a.scale.max(b.scale), zero_point: random.range(-500, 500) as i32 };
        let other: Vec<i16> = x.iter().map(|_| random.range(-32768, 32767) as i16).collect();
        let p = Broadcast { shape: [1, 1, 1, x.len()], a_strides: [0, 0, 0, 1], b_strides: [0, 0, 0, 1] };
        let real = |q: &Quantization, x: i16| f64::from(i32::from(x) - q.zero_point) * f64::from(q.scale);
        let near = |name: &str, result: &[i16], f: &dyn Fn(f64, f64) -> f64, scale: f64| {
            for ((&a_q, &b_q), &found) in x.iter().zip(&other).zip(result) {
                let exact = f(real(&a, a_q), real(&b, b_q)) / scale + f64::from(y.zero_point);
                let error = (f64::from(found) - exact.clamp(-32768.0, 32767.0)).abs();
                assert!(error < 0.52, "{name}: {error} steps");
            }
        };
        for (sign, name) in [(1.0, "sum"), (-1.0, "difference")] {
            let q = AddS16::new(a, b, y, sign, i16::MIN, i16::MAX);
            let mut result = vec![0; x.len()];
            add_s16(&p, &q, &x, &other, &mut result);
            near(name, &result, &|a, b| a + sign * b, f64::from(y.scale));
            let mut in_place = x.clone();
            add_s16_in_place(&p, &q, &mut in_place, &other);
            assert_eq!(in_place, result);
        }
        let scale = f64::from(a.scale) * f64::from(b.scale) * 32768.0;
        let factor = f64::from(a.scale) * f64::from(b.scale) / scale;
        let q = RequantizeS16 { left_shift: 0, zero_point: y.zero_point, min: i16::MIN, max: i16::MAX };
        let m = multiplier(factor, 0);
        let mut result = vec![0; x.len()];
        mul_s16(&p, &q, m, a.zero_point, b.zero_point, &x, &other, &mut result);
        near("product", &result, &|a, b| a * b, scale);
        let mut in_place = x.clone();
        mul_s16_in_place(&p, &q, m, a.zero_point, b.zero_point, &mut in_place, &other);
        assert_eq!(in_place, result);
    }
}

#[test]
fn int16_means_and_matrix_products() {
    let mut random = Random::new(57);
    let q = RequantizeS16 { left_shift: 0, zero_point: 7, min: i16::MIN, max: i16::MAX };
    for _ in 0..50 {
        let p = Reduce { outer: random.size(1, 3), len: random.size(1, 9), inner: random.size(1, 9) };
        let x = i16s(&mut random, p.outer * p.len * p.inner);
        let mut y = vec![0; p.outer * p.inner];
        let (multiplier, zero_point) = (random.multipliers(1)[0], random.range(-9, 9) as i32);
        reduce_mean_s16(&p, &q, multiplier, zero_point, &x, &mut y);
        for index in indices(&[p.outer, p.inner]) {
            let element = |k: usize| i64::from(x[at(&[p.outer, p.len, p.inner], &[index[0], k, index[1]])]);
            let sum: i64 = (0..p.len).map(|k| element(k) - i64::from(zero_point)).sum();
            assert_eq!(y[at(&[p.outer, p.inner], &index)], requantized(&q, sum, multiplier));
        }
        let m = MatMul::new(random.size(1, 5), random.size(1, 20), random.size(1, 9));
        let (a, b) = (i16s(&mut random, m.rows * m.inner), i16s(&mut random, m.inner * m.columns));
        let mut y = vec![0; m.rows * m.columns];
        matmul_s16(&m, &q, multiplier, zero_point, -3, &a, &b, &mut y);
        for index in indices(&[m.rows, m.columns]) {
            let product = |k: usize| {
                let (a, b) = (a[index[0] * m.inner + k], b[k * m.columns + index[1]]);
                (i64::from(a) - i64::from(zero_point)) * (i64::from(b) + 3)
            };
            let sum = (0..m.inner).map(product).sum();
            assert_eq!(y[at(&[m.rows, m.columns], &index)], requantized(&q, sum, multiplier));
        }
    }
}

#[test]
fn int16_average_pools() {
    let q = RequantizeS16 { left_shift: 1, zero_point: -5, min: i16::MIN, max: i16::MAX };
    let mut random = Random::new(58);
    for count_include_pad in [false, true] {
        let p = Pool2d {
            batch: 2,
            input: [4, 5, 6],
            output: [4, 5, 6],
            kernel: [3, 2],
            stride: [1, 1],
            pad: [1, 1],
            pad_end: [1, 0],
            dilation: [1, 1],
        };
        let multipliers: Vec<i32> = (1..=6).map(|divisor| multiplier(0.9 / f64::from(divisor), 1)).collect();
        let x = i16s(&mut random, 2 * 4 * 5 * 6);
        let mut y = vec![0; x.len()];
        average_pool_s16(&p, &q, 3, count_include_pad, &multipliers, &x, &mut y);
        for index in indices(&[2, 4, 5, 6]) {
            let cells = indices(&[3, 2]).into_iter().filter_map(|tap| {
                let (row, column) = ((index[1] + tap[0]).checked_sub(1)?, (index[2] + tap[1]).checked_sub(1)?);
                (row < 4 && column < 5).then(|| at(&[2, 4, 5, 6], &[index[0], row, column, index[3]]))
            });
            let cells: Vec<i64> = cells.map(|cell| i64::from(x[cell]) - 3).collect();
            let divisor = if count_include_pad { 6 } else { cells.len() };
            let expected = requantized(&q, cells.iter().sum(), multipliers[divisor - 1]);
            assert_eq!(y[at(&[2, 4, 5, 6], &index)], expected, "{index:?}");
        }
    }
}

#[test]
fn int16_functions_are_within_their_bound() {
    let x = all();
    // x from −8 to 8; y from −1 to 1.
    let (x_scale, y_scale) = (8.0 / 32768.0, 1.0 / 32767.0);
    let table: Vec<i16> = (0..LUT_S16_LEN)
        .map(|at| (f64::tanh((at as f64 * 128.0 - 32768.0) * x_scale) / y_scale).round() as i16)
        .collect();
    let mut y = vec![0; x.len()];
    lut_s16(table.as_slice().try_into().unwrap(), &x, &mut y);
    let mut in_place = x.clone();
    lut_s16_in_place(table.as_slice().try_into().unwrap(), &mut in_place);
    assert_eq!(in_place, y);
    // |tanh″| is below 0.77.
    let bound = (128.0 * x_scale) * (128.0 * x_scale) * 0.77 / 8.0 / y_scale + 1.0;
    for (&x, &y) in x.iter().zip(&y) {
        let exact = f64::tanh(f64::from(x) * x_scale) / y_scale;
        assert!((f64::from(y) - exact).abs() <= bound, "{x}: {y} for {exact}");
    }
    // A kink at 0 is an entry.
    let relu: Vec<i16> = (0..LUT_S16_LEN as i32).map(|at| (at * 128 - 32768).clamp(0, 32767) as i16).collect();
    lut_s16(relu.as_slice().try_into().unwrap(), &x, &mut y);
    assert!(x.iter().zip(&y).all(|(&x, &y)| (i32::from(y) - i32::from(x.max(0))).abs() <= 1));
}

#[test]
fn int16_softmax_is_near_the_real_one() {
    let mut random = Random::new(59);
    for scale in [1e-4, 3e-4, 2e-3] {
        let p = Rows { outer: 3, len: 12, inner: 2 };
        let x = i16s(&mut random, 72);
        let (coarse, fine) = exp_tables(scale);
        let q = RequantizeS16 { left_shift: 0, zero_point: 0, min: i16::MIN, max: i16::MAX };
        let m = multiplier(32767.0 / 65536.0, 0);
        let mut y = vec![0; 72];
        softmax_s16(&p, &q, m, &coarse, &fine, &x, &mut y);
        for index in indices(&[3, 2]) {
            let element = |k: usize| at(&[3, 12, 2], &[index[0], k, index[1]]);
            let sum: f64 = (0..12).map(|k| (f64::from(x[element(k)]) * scale).exp()).sum();
            for k in 0..12 {
                let exact = (f64::from(x[element(k)]) * scale).exp() / sum * 32767.0;
                assert!((f64::from(y[element(k)]) - exact).abs() < 3.0, "{} for {exact}", y[element(k)]);
            }
        }
    }
}

#[test]
fn steps_between_widths() {
    let x: Vec<i8> = (i8::MIN..=i8::MAX).collect();
    for zero_point in [-128, -3, 0, 127] {
        // A step of int8 is 128 of int16: exact.
        let left_shift = left_shift_for(128.0);
        let up = RequantizeS16 { left_shift, zero_point: 0, min: i16::MIN, max: i16::MAX };
        let mut wide = vec![0; 256];
        requantize_s8_s16(&up, multiplier(128.0, left_shift), zero_point, &x, &mut wide);
        assert!(x.iter().zip(&wide).all(|(&x, &y)| i32::from(y) == 128 * (i32::from(x) - zero_point)));
        let down = Requantize { left_shift: 0, zero_point, min: i8::MIN, max: i8::MAX };
        let mut narrow = vec![0; 256];
        requantize_s16_s8(&down, multiplier(1.0 / 128.0, 0), 0, &wide, &mut narrow);
        assert_eq!(narrow, x);
    }
    let x = all();
    let q = RequantizeS16 { left_shift: 1, zero_point: 0, min: 0, max: 20_000 };
    let mut y = vec![0; x.len()];
    mcuopt_rt::v0::requantize_s16(&q, multiplier(1.0, 1), 0, &x, &mut y);
    assert!(x.iter().zip(&y).all(|(&x, &y)| (i32::from(y) - i32::from(x).clamp(0, 20_000)).abs() <= 1));
    let quantization = Quantization { scale: 0.5, zero_point: 0 };
    let reals: Vec<f32> = x.iter().map(|&x| f32::from(x) * 0.5).collect();
    let (mut integers, mut back) = (vec![0; x.len()], vec![0.0; x.len()]);
    quantize_f32_s16(&quantization, &reals, &mut integers);
    dequantize_s16_f32(&quantization, &integers, &mut back);
    assert_eq!((integers, back), (x, reals));
}

#[test]
fn int16_log_softmax_is_near_the_real_one() {
    let mut random = Random::new(60);
    for scale in [1e-4, 3e-4, 2e-3, 0.1] {
        let p = Rows { outer: 3, len: 12, inner: 2 };
        let x = i16s(&mut random, 72);
        let (coarse, fine) = exp_tables(f64::from(scale));
        let y = Quantization { scale: scale * 2.5, zero_point: 3 };
        let q = LogSoftmaxS16::new(scale, y);
        let mut found = vec![0; 72];
        log_softmax_s16(&p, &q, &coarse, &fine, &x, &mut found);
        for index in indices(&[3, 2]) {
            let element = |k: usize| at(&[3, 12, 2], &[index[0], k, index[1]]);
            let real = |k: usize| f64::from(x[element(k)]) * f64::from(scale);
            let max = (0..12).map(real).fold(f64::MIN, f64::max);
            let sum: f64 = (0..12).map(|k| (real(k) - max).exp()).sum();
            for k in 0..12 {
                let exact = (real(k) - max - sum.ln()) / f64::from(y.scale) + 3.0;
                let exact = exact.clamp(-32768.0, 32767.0);
                // The bound of the documentation, in steps, and a tenth for the multiplier.
                let most = (12.0 / 16384.0 + 0.0001) / f64::from(y.scale) + 0.61;
                let distance = (f64::from(found[element(k)]) - exact).abs();
                assert!(distance < most, "{} for {exact}", found[element(k)]);
            }
        }
        let mut in_place = x;
        log_softmax_s16_in_place(&p, &q, &coarse, &fine, &mut in_place);
        assert_eq!(in_place, found);
    }
}

#[test]
fn int16_slopes() {
    let x = all();
    let p = Broadcast { shape: [1, 1, 16_384, 4], a_strides: [0, 0, 4, 1], b_strides: [0, 0, 0, 1] };
    let (slopes, factor) = ([0.0, 0.25, -1.5, 0.01], 0.7);
    let left_shift = left_shift_for(1.5 * factor);
    let negative: Vec<i32> = slopes.iter().map(|slope| multiplier(slope * factor, left_shift)).collect();
    let requantize = RequantizeS16 { left_shift, zero_point: -9, min: i16::MIN, max: i16::MAX };
    let q = PReluS16 { input_zero_point: 12, positive: multiplier(factor, left_shift), requantize };
    let mut y = vec![0; x.len()];
    prelu_s16(&p, &q, &negative, &x, &mut y);
    for (i, (&x, &y)) in x.iter().zip(&y).enumerate() {
        let real = f64::from(i32::from(x) - 12) * factor;
        let exact = (if real < 0.0 { real * slopes[i % 4] } else { real } - 9.0).clamp(-32768.0, 32767.0);
        assert!((f64::from(y) - exact).abs() < 0.51, "{x}: {y} for {exact}");
    }
    let mut in_place = x;
    prelu_s16_in_place(&p, &q, &negative, &mut in_place);
    assert_eq!(in_place, y);
}

#[test]
fn int16_weighted_neighbours() {
    let mut random = Random::new(61);
    let p = Resize { outer: 2, between: 1, inner: 5, input: [4, 6], output: [7, 3], taps: [2, 3] };
    let rows = p.output[0] * p.taps[0];
    for _ in 0..20 {
        let positions: Vec<u16> =
            (0..rows + 9).map(|at| random.range(0, if at < rows { 3 } else { 5 }) as u16).collect();
        let one = 1 << RESIZE_BITS_S16;
        let mut weights = Vec::new();
        for taps in [2; 7].iter().chain(&[3; 3]) {
            let mut own: Vec<i64> = (1..*taps).map(|_| random.range(-one / 4, one)).collect();
            own.push(one - own.iter().sum::<i64>());
            weights.extend(own.iter().map(|weight| *weight as i16));
        }
        let x = i16s(&mut random, 2 * 4 * 6 * 5);
        let mut y = vec![0; 2 * 7 * 3 * 5];
        resize_s16(&p, 0, &positions, &weights, &x, &mut y);
        for index in indices(&[2, 7, 3, 5]) {
            let sum: i64 = indices(&[2, 3])
                .iter()
                .map(|tap| {
                    let (a, b) = (index[1] * 2 + tap[0], rows + index[2] * 3 + tap[1]);
                    let cell = [index[0], positions[a].into(), positions[b].into(), index[3]];
                    i64::from(weights[a]) * i64::from(weights[b]) * i64::from(x[at(&[2, 4, 6, 5], &cell)])
                })
                .sum();
            let exact = (sum + (1 << 27)) >> 28;
            let found = y[at(&[2, 7, 3, 5], &index)];
            assert_eq!(i64::from(found), exact.clamp(-32768, 32767), "{index:?}");
        }
    }
}
