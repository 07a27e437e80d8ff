//! Pools and reductions against the formulas.

mod common;

use common::{Random, at, indices, requantized, run};
use mcuopt_rt::v0::*;

fn layer(random: &mut Random) -> Pool2d {
    loop {
        let (input, kernel): ([usize; 2], [usize; 2]) = (random.sizes(1, 7), random.sizes(1, 4));
        let (stride, dilation) = (random.sizes(1, 3), random.sizes(1, 2));
        let (pad, pad_end): ([usize; 2], [usize; 2]) = (random.sizes(0, 2), random.sizes(0, 2));
        // As ONNX's ceil_mode: a window may begin anywhere inside the image and its first padding.
        let ceil = random.size(0, 1);
        let out = |axis: usize| {
            let room =
                (input[axis] + pad[axis] + pad_end[axis]).checked_sub(dilation[axis] * (kernel[axis] - 1) + 1)?;
            let out = (room + ceil * (stride[axis] - 1)) / stride[axis] + 1;
            Some(if (out - 1) * stride[axis] >= input[axis] + pad[axis] { out - 1 } else { out })
        };
        let channels = random.size(1, 9);
        if let (Some(height @ 1..), Some(width @ 1..)) = (out(0), out(1)) {
            return Pool2d {
                batch: random.size(1, 2),
                input: [input[0], input[1], channels],
                output: [height, width, channels],
                kernel,
                stride,
                pad,
                pad_end,
                dilation,
            };
        }
    }
}

/// The places in x that an output covers, and how many cells it covers with and without padding.
fn window(p: &Pool2d, output: &[usize]) -> (Vec<usize>, usize) {
    let &[n, y, x, c] = output else { unreachable!() };
    let (mut inside, mut in_padded) = (vec![], 0);
    for tap in indices(&p.kernel) {
        // Positions in the padded image.
        let cell: [usize; 2] = std::array::from_fn(|i| [y, x][i] * p.stride[i] + tap[i] * p.dilation[i]);
        if (0..2).all(|i| cell[i] < p.pad[i] + p.input[i] + p.pad_end[i]) {
            in_padded += 1;
        }
        if (0..2).all(|i| (p.pad[i]..p.pad[i] + p.input[i]).contains(&cell[i])) {
            let shape = [p.batch, p.input[0], p.input[1], p.input[2]];
            inside.push(at(&shape, &[n, cell[0] - p.pad[0], cell[1] - p.pad[1], c]));
        }
    }
    (inside, in_padded)
}

#[test]
fn pools_of_any_geometry() {
    let mut random = Random::new(20);
    for _ in 0..400 {
        let p = layer(&mut random);
        let (q, zero_point) = (random.requantize(), random.range(-128, 127) as i32);
        let multipliers = random.multipliers(p.kernel[0] * p.kernel[1]);
        let include_pad = random.range(0, 1) == 1;
        let x = random.i8s(p.batch * p.input.iter().product::<usize>());
        let x_f32 = random.f32s(x.len());
        let outputs = indices(&[p.batch, p.output[0], p.output[1], p.output[2]]);
        let max = run!(max_pool_s8(&p, &x) -> outputs.len(), 0);
        let max_f32 = run!(max_pool_f32(&p, &x_f32) -> outputs.len(), 0.0);
        let mean = run!(average_pool_s8(&p, &q, zero_point, include_pad, &multipliers, &x) -> outputs.len(), 0);
        let mean_f32 = run!(average_pool_f32(&p, include_pad, &Clamp::NONE, &x_f32) -> outputs.len(), 0.0);
        for (i, output) in outputs.iter().enumerate() {
            let (inside, in_padded) = window(&p, output);
            assert_eq!(max[i], inside.iter().map(|&at| x[at]).max().unwrap_or(-128), "{p:?}");
            assert_eq!(max_f32[i], inside.iter().map(|&at| x_f32[at]).fold(f32::NEG_INFINITY, f32::max));
            let divisor = if include_pad { in_padded } else { inside.len() };
            if divisor > 0 {
                let sum = inside.iter().map(|&at| i64::from(i32::from(x[at]) - zero_point)).sum();
                assert_eq!(mean[i], requantized(&q, sum, multipliers[divisor - 1]), "{p:?} {output:?}");
                let sum = inside.iter().fold(0.0, |sum, &at| sum + x_f32[at]);
                assert_eq!(mean_f32[i], sum / divisor as f32, "{p:?} {output:?}");
            }
        }
    }
}
