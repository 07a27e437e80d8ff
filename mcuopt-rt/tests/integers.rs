//! Kernels on the file's integers: quantization of every form, products and convolutions with 32-bit results.

mod common;

use common::Random;
use mcuopt_rt::v0::*;

/// A number that may be far beyond any integer type, a half, or none.
fn extreme(random: &mut Random) -> f32 {
    match random.range(0, 11) {
        0 => f32::NAN,
        1 => f32::INFINITY,
        2 => f32::NEG_INFINITY,
        3 => 3.0e38,
        4 => random.range(-300, 300) as f32 + 0.5,
        _ => random.f32() * 200.0,
    }
}

/// QuantizeLinear in double precision, as the specification words it.
fn steps(x: f32, scale: f32, zero_point: i64, min: i64, max: i64) -> i64 {
    let steps = f64::from(x / scale).round_ties_even();
    if steps.is_nan() {
        zero_point.clamp(min, max)
    } else {
        (steps + zero_point as f64).clamp(min as f64, max as f64) as i64
    }
}

#[test]
fn quantization_along_axes_and_in_blocks() {
    let mut random = Random::new(70);
    for round in 0..400 {
        let shape: [usize; 3] = random.sizes(1, 5);
        let [outer, len, inner] = shape;
        let block = random.size(1, len);
        let blocks = len.div_ceil(block);
        let (scaling, count) = match round % 3 {
            0 => (Scaling { shape, block: 1, strides: [0; 3] }, 1),
            1 => (Scaling { shape, block: 1, strides: [0, 1, 0] }, len),
            _ => (Scaling { shape, block, strides: [blocks * inner, inner, 1] }, outer * blocks * inner),
        };
        let scales: Vec<f32> = (0..count).map(|_| random.range(1, 64) as f32 / 16.0).collect();
        let zero_points: Vec<u16> = (0..count).map(|_| random.range(0, 65535) as u16).collect();
        let x: Vec<f32> = (0..outer * len * inner).map(|_| extreme(&mut random)).collect();
        let scale_of = |element: usize| {
            let (o, l, i) = (element / (len * inner), element / inner % len, element % inner);
            match round % 3 {
                0 => 0,
                1 => l,
                _ => (o * blocks + l / block) * inner + i,
            }
        };
        let mut y = vec![0; x.len()];
        quantize_linear(&scaling, 0, 65535, &scales, &zero_points, &x, &mut y);
        let mut reals = vec![0.0; x.len()];
        dequantize_linear(&scaling, &scales, &zero_points, &y, &mut reals);
        for element in 0..x.len() {
            let at = scale_of(element);
            let (scale, zero_point) = (scales[at], i64::from(zero_points[at]));
            assert_eq!(
                i64::from(y[element]),
                steps(x[element], scale, zero_point, 0, 65535),
                "{scaling:?}, {}",
                x[element]
            );
            assert_eq!(reals[element], (i64::from(y[element]) - zero_point) as f32 * scale);
        }
    }
}

#[test]
fn limits_below_those_of_the_type() {
    let p = Scaling { shape: [1, 1, 5], block: 1, strides: [0; 3] };
    let mut y = [0i8; 5];
    quantize_linear(&p, -8, 7, &[0.5], &[1], &[-100.0, -0.25, 0.25, 0.75, f32::NAN], &mut y);
    assert_eq!(y, [-8, 1, 1, 3, 1]);
}

#[test]
fn signs_flip_and_flip_back() {
    let x: Vec<u8> = (0..=255).collect();
    let mut y = vec![0i8; 256];
    flip_sign(&x, &mut y);
    assert!(x.iter().zip(&y).all(|(x, y)| i32::from(*x) - 128 == i32::from(*y)));
    let mut back = vec![0u8; 256];
    flip_sign(&y, &mut back);
    assert_eq!(back, x);
    flip_sign_in_place(&mut y);
    assert!(x.iter().zip(&y).all(|(x, y)| *x as i8 == *y));
}

#[test]
fn dynamic_ranges_hold_zero() {
    let cases: [(&[f32], f32, u8); 5] = [
        (&[0.0, 2.0, -3.0, -2.5, 1.34, 0.5], 5.0 / 255.0, 153),
        (&[-1.0, -2.1, -1.3, -2.5, -3.34, -4.0], 4.0 / 255.0, 255),
        (&[1.0, 2.1, 1.3, 2.5, 3.34, 4.0], 4.0 / 255.0, 0),
        (&[0.0, 0.0], 1.0, 0),
        (&[f32::NAN, 1.0], 1.0 / 255.0, 0),
    ];
    for (x, expected, expected_zero_point) in cases {
        let (mut scale, mut zero_point) = ([0.0], [0]);
        dynamic_scale(x, &mut scale);
        dynamic_zero_point(x, &scale, &mut zero_point);
        assert_eq!((scale, zero_point), ([expected], [expected_zero_point]), "{x:?}");
    }
}

#[test]
fn products_of_integer_matrices() {
    let mut random = Random::new(71);
    for _ in 0..200 {
        let batch: [usize; 4] = random.sizes(1, 3);
        let [rows, inner, columns]: [usize; 3] = random.sizes(1, 6);
        // Either operand may be repeated along any batch axis.
        let mut extents = || -> [usize; 4] { batch.map(|extent| if random.range(0, 1) == 0 { 1 } else { extent }) };
        let (a_batch, b_batch) = (extents(), extents());
        let strides = |own: &[usize; 4]| -> [usize; 4] {
            std::array::from_fn(|axis| if own[axis] == 1 { 0 } else { own[axis + 1..].iter().product() })
        };
        let p =
            MatMulInteger { batch, a_strides: strides(&a_batch), b_strides: strides(&b_batch), rows, inner, columns };
        let a: Vec<u8> =
            random.i8s(a_batch.iter().product::<usize>() * rows * inner).iter().map(|q| *q as u8).collect();
        let b = random.i8s(b_batch.iter().product::<usize>() * inner * columns);
        let a_zeros = random.size(0, 1) * (rows - 1) + 1;
        let a_zero: Vec<u8> = random.i8s(a_zeros).iter().map(|q| *q as u8).collect();
        let b_zeros = random.size(0, 1) * (columns - 1) + 1;
        let b_zero = random.i8s(b_zeros);
        let count: usize = batch.iter().product();
        let mut y = vec![0; count * rows * columns];
        matmul_integer(&p, &a, &b, &a_zero, &b_zero, &mut y);
        for (index, y) in y.iter().enumerate() {
            let (matrix, row, column) = (index / (rows * columns), index / columns % rows, index % columns);
            let at: [usize; 4] =
                std::array::from_fn(|axis| matrix / batch[axis + 1..].iter().product::<usize>() % batch[axis]);
            let own =
                |extents: &[usize; 4]| (0..4).fold(0, |at_own, axis| at_own * extents[axis] + at[axis] % extents[axis]);
            let (a_at, b_at) = (own(&a_batch) * rows * inner, own(&b_batch) * inner * columns);
            let term = |k: usize| {
                let a = i32::from(a[a_at + row * inner + k]) - i32::from(a_zero[row % a_zero.len()]);
                a * (i32::from(b[b_at + k * columns + column]) - i32::from(b_zero[column % b_zero.len()]))
            };
            assert_eq!(*y, (0..inner).map(term).sum::<i32>(), "{p:?}");
        }
    }
}

#[test]
fn convolutions_of_integers() {
    let mut random = Random::new(72);
    for _ in 0..200 {
        let groups = random.size(1, 2);
        let (batch, channels, filters) = (random.size(1, 2), groups * random.size(1, 2), groups * random.size(1, 2));
        let (input, kernel): ([usize; 3], [usize; 3]) = (random.sizes(3, 5), random.sizes(1, 2));
        let (stride, dilation, pad): ([usize; 3], [usize; 3], [usize; 3]) =
            (random.sizes(1, 2), random.sizes(1, 2), random.sizes(0, 1));
        // As much padding behind as before.
        let output = std::array::from_fn(|axis| {
            (input[axis] + 2 * pad[axis] - (kernel[axis] - 1) * dilation[axis] - 1) / stride[axis] + 1
        });
        let p = ConvInteger { batch, channels, filters, groups, input, output, kernel, stride, dilation, pad };
        let x = random.i8s(batch * channels * input.iter().product::<usize>());
        let w = random.i8s(filters * channels / groups * kernel.iter().product::<usize>());
        let x_zero = random.i8s(1);
        let w_zeros = random.size(0, 1) * (filters - 1) + 1;
        let w_zero = random.i8s(w_zeros);
        let mut y = vec![0; batch * filters * output.iter().product::<usize>()];
        conv_integer(&p, &x, &w, &x_zero, &w_zero, &mut y);
        let index = |shape: &[usize], at: &[usize]| shape.iter().zip(at).fold(0, |sum, (extent, at)| sum * extent + at);
        for (element, y) in y.iter().enumerate() {
            let shape = [batch, filters, output[0], output[1], output[2]];
            let at: [usize; 5] =
                std::array::from_fn(|axis| element / shape[axis + 1..].iter().product::<usize>() % shape[axis]);
            let mut sum = 0;
            for c in 0..channels / groups {
                for k in 0..kernel.iter().product::<usize>() {
                    let tap = [k / (kernel[1] * kernel[2]), k / kernel[2] % kernel[1], k % kernel[2]];
                    let from: [i64; 3] = std::array::from_fn(|axis| {
                        (at[axis + 2] * stride[axis] + tap[axis] * dilation[axis]) as i64 - pad[axis] as i64
                    });
                    if (0..3).any(|axis| from[axis] < 0 || from[axis] >= input[axis] as i64) {
                        continue;
                    }
                    let channel = at[1] / (filters / groups) * (channels / groups) + c;
                    let x_at = [at[0], channel, from[0] as usize, from[1] as usize, from[2] as usize];
                    let x = x[index(&[batch, channels, input[0], input[1], input[2]], &x_at)];
                    let w_at = [at[1], c, tap[0], tap[1], tap[2]];
                    let w = w[index(&[filters, channels / groups, kernel[0], kernel[1], kernel[2]], &w_at)];
                    sum += (i32::from(x) - i32::from(x_zero[0]))
                        * (i32::from(w) - i32::from(w_zero[at[1] % w_zero.len()]));
                }
            }
            assert_eq!(*y, sum, "{p:?}");
        }
    }
}
