//! Convolutions over volumes, transposed ones, and the operators of vision heads, against their definitions.

mod common;

use common::{Random, at, indices, requantized};
use mcuopt_rt::v0::*;

/// A window, and groups that divide its channels.
fn window(random: &mut Random, transposed: bool) -> (Window3d, usize) {
    loop {
        let (input, kernel): ([usize; 3], [usize; 3]) = (random.sizes(1, 4), random.sizes(1, 3));
        let (stride, dilation) = (random.sizes(1, 3), random.sizes(1, 2));
        let (pad, pad_end): ([usize; 3], [usize; 3]) = (random.sizes(0, 2), random.sizes(0, 2));
        let out = |axis: usize| {
            let extent = dilation[axis] * (kernel[axis] - 1) + 1;
            let pads = pad[axis] + pad_end[axis];
            if transposed {
                (stride[axis] * (input[axis] - 1) + extent).checked_sub(pads).filter(|&out| out > 0)
            } else {
                (input[axis] + pads).checked_sub(extent).map(|room| room / stride[axis] + 1)
            }
        };
        let groups = random.size(1, 3);
        let (ins, outs) = (groups * random.size(1, 3), groups * random.size(1, 6));
        if let (Some(depth), Some(height), Some(width)) = (out(0), out(1), out(2)) {
            let window = Window3d {
                batch: random.size(1, 2),
                input: [input[0], input[1], input[2], ins],
                output: [depth, height, width, outs],
                kernel,
                stride,
                pad,
                dilation,
            };
            return (window, groups);
        }
    }
}

/// All (output place, tap, input place) of a window that are inside, without channels.
fn meetings(p: &Window3d, transposed: bool) -> Vec<(Vec<usize>, Vec<usize>, Vec<usize>)> {
    let (from, to) = if transposed { (p.input, p.output) } else { (p.output, p.input) };
    let mut found = vec![];
    for place in indices(&from[..3]) {
        for tap in indices(&p.kernel) {
            let met: Vec<Option<usize>> = (0..3)
                .map(|i| (place[i] * p.stride[i] + tap[i] * p.dilation[i]).checked_sub(p.pad[i]).filter(|&x| x < to[i]))
                .collect();
            if let Some(met) = met.into_iter().collect::<Option<Vec<usize>>>() {
                found.push(if transposed { (met, tap, place.clone()) } else { (place.clone(), tap, met) });
            }
        }
    }
    found
}

/// `bias[o] + Σ x · weights[o]` by the definition.
fn sums(p: &Window3d, groups: usize, transposed: bool, weights: &[f64], bias: &[f64], x: &[f64]) -> Vec<f64> {
    let y_shape = [&[p.batch], &p.output[..]].concat();
    let x_shape = [&[p.batch], &p.input[..]].concat();
    let (ins, outs) = (p.input[3] / groups, p.output[3] / groups);
    let w_shape = [&[p.output[3]], &p.kernel[..], &[ins]].concat();
    let mut y: Vec<f64> = bias.iter().copied().cycle().take(y_shape.iter().product()).collect();
    for image in 0..p.batch {
        for (out, tap, place) in meetings(p, transposed) {
            for (o, c) in indices(&[p.output[3], ins]).iter().map(|index| (index[0], index[1])) {
                let x = x[at(&x_shape, &[&[image], &place[..], &[o / outs * ins + c]].concat())];
                let weight = weights[at(&w_shape, &[&[o], &tap[..], &[c]].concat())];
                y[at(&y_shape, &[&[image], &out[..], &[o]].concat())] += x * weight;
            }
        }
    }
    y
}

#[test]
fn convolutions_over_volumes_and_transposed_ones() {
    let mut random = Random::new(60);
    for number in 0..400 {
        let transposed = number % 2 == 1;
        let (p, groups) = window(&mut random, transposed);
        let count = |sizes: &[usize]| p.batch * sizes.iter().product::<usize>();
        let filters = p.output[3] * p.kernel.iter().product::<usize>() * (p.input[3] / groups);

        let (weights, bias) = (random.f32s(filters), random.f32s(p.output[3]));
        let (x, clamp) = (random.f32s(count(&p.input)), Clamp { min: -6.0, max: 5.0 });
        let mut y = vec![f32::NAN; count(&p.output)];
        let run = if transposed { conv_transpose_f32 } else { conv3d_f32 };
        run(&p, groups, &clamp, &weights, &bias, &x, &mut y);
        let wide = |values: &[f32]| values.iter().map(|&x| x.into()).collect::<Vec<f64>>();
        let expected = sums(&p, groups, transposed, &wide(&weights), &wide(&bias), &wide(&x));
        for (y, expected) in y.iter().zip(&expected) {
            assert!((f64::from(*y) - expected.clamp(-6.0, 5.0)).abs() < 1e-4, "{y} {expected} {p:?}");
        }

        let (weights, bias, x) = (random.i8s(filters), random.i32s(p.output[3], 1 << 12), random.i8s(x.len()));
        let (q, zero_point, multipliers) = (random.requantize(), random.i8(), random.multipliers(p.output[3]));
        let mut y = vec![0; count(&p.output)];
        let run = if transposed { conv_transpose_s8 } else { conv3d_s8 };
        run(&p, groups, &q, zero_point.into(), &weights, &bias, &multipliers, &x, &mut y);
        let weights: Vec<f64> = weights.iter().map(|&w| w.into()).collect();
        let bias: Vec<f64> = bias.iter().map(|&b| b.into()).collect();
        let x: Vec<f64> = x.iter().map(|&x| f64::from(x) - f64::from(zero_point)).collect();
        let expected = sums(&p, groups, transposed, &weights, &bias, &x);
        for (i, (y, sum)) in y.iter().zip(&expected).enumerate() {
            assert_eq!(*y, requantized(&q, *sum as i64, multipliers[i % p.output[3]]), "{p:?}");
        }
    }
}

#[test]
fn places_of_maxima() {
    let mut random = Random::new(61);
    for number in 0..300 {
        let (mut p, _) = window(&mut random, false);
        p.output[3] = p.input[3];
        let channels = p.input[3];
        let cells: usize = p.input[..3].iter().product();
        // Few values, so that some are equal.
        let x: Vec<i8> = (0..p.batch * cells * channels).map(|_| random.range(-2, 2) as i8).collect();
        let mut y = vec![-1i64; p.batch * p.output.iter().product::<usize>()];
        let column_major = number % 2 == 1;
        max_pool_indices(&p, column_major, &x, &mut y);
        let all = meetings(&p, false);
        for (i, index) in indices(&[&[p.batch], &p.output[..]].concat()).iter().enumerate() {
            let (image, channel) = (index[0], index[4]);
            let mut best: Option<(i8, usize)> = None;
            for (_, _, place) in all.iter().filter(|(out, ..)| out[..] == index[1..4]) {
                let value = x[at(&[p.batch, cells, channels], &[image, at(&p.input[..3], place), channel])];
                if best.is_none_or(|(max, _)| value > max) {
                    let place = match (column_major, p.input) {
                        (false, [depth, height, width, _]) => at(&[depth, height, width], place),
                        (true, [depth, height, width, _]) => {
                            at(&[width, height, depth], &[place[2], place[1], place[0]])
                        }
                    };
                    best = Some((value, place));
                }
            }
            let first = (image * channels + channel) * cells;
            assert_eq!(y[i], (first + best.map_or(0, |(_, place)| place)) as i64);
        }
    }
}

#[test]
fn maxima_of_any_type_and_norms() {
    let mut random = Random::new(62);
    for _ in 0..200 {
        let (kernel, stride): ([usize; 2], [usize; 2]) = (random.sizes(1, 3), random.sizes(1, 2));
        let (input, channels): ([usize; 2], usize) = (random.sizes(3, 6), random.size(1, 9));
        let output: [usize; 2] = std::array::from_fn(|i| (input[i] - kernel[i]) / stride[i] + 1);
        let p = Pool2d {
            batch: 2,
            input: [input[0], input[1], channels],
            output: [output[0], output[1], channels],
            kernel,
            stride,
            pad: [0; 2],
            pad_end: [0; 2],
            dilation: [1; 2],
        };
        let (x_shape, y_shape) = ([2, input[0], input[1], channels], [2, output[0], output[1], channels]);
        let window = |index: &[usize]| -> Vec<usize> {
            let cell = |tap: &Vec<usize>| {
                let at_axis = |axis: usize| index[1 + axis] * stride[axis] + tap[axis];
                at(&x_shape, &[index[0], at_axis(0), at_axis(1), index[3]])
            };
            indices(&kernel).iter().map(cell).collect()
        };
        let x = random.f32s(x_shape.iter().product());
        let bytes: Vec<u8> = x.iter().map(|x| (x * 50.0 + 128.0) as u8).collect();
        let len = y_shape.iter().product();
        let (mut floats, mut fast, mut maxima) = (vec![f32::NAN; len], vec![f32::NAN; len], vec![0u8; len]);
        max_pool(&p, &x, &mut floats);
        max_pool_f32(&p, &x, &mut fast);
        max_pool(&p, &bytes, &mut maxima);
        assert_eq!(floats, fast);
        for (i, index) in indices(&y_shape).iter().enumerate() {
            assert_eq!(Some(maxima[i]), window(index).iter().map(|&cell| bytes[cell]).max());
        }
        for norm in 1..5 {
            lp_pool_f32(&p, norm, &x, &mut floats);
            for (i, index) in indices(&y_shape).iter().enumerate() {
                let sum: f64 = window(index).iter().map(|&cell| f64::from(x[cell]).abs().powi(norm as i32)).sum();
                let expected = sum.powf(1.0 / f64::from(norm));
                assert!((f64::from(floats[i]) - expected).abs() < 1e-5 * (1.0 + expected), "{} {expected}", floats[i]);
            }
        }
    }
}

#[test]
fn blocks_add_up_to_images() {
    let mut random = Random::new(63);
    for _ in 0..200 {
        let (mut p, _) = window(&mut random, true);
        p.output[3] = p.input[3];
        let (taps, blocks, channels) = (p.kernel.iter().product(), p.input[..3].iter().product(), p.input[3]);
        let (x_shape, y_shape) = ([p.batch, channels, taps, blocks], [&[p.batch, channels], &p.output[..3]].concat());
        let x = random.i32s(x_shape.iter().product(), 1000);
        let mut expected = vec![0; y_shape.iter().product()];
        for (image, channel) in indices(&[p.batch, channels]).iter().map(|index| (index[0], index[1])) {
            for (out, tap, place) in meetings(&p, true) {
                let from = [image, channel, at(&p.kernel, &tap), at(&p.input[..3], &place)];
                expected[at(&y_shape, &[&[image, channel], &out[..]].concat())] += x[at(&x_shape, &from)];
            }
        }
        let mut y = vec![-1; expected.len()];
        col2im(&p, &x, &mut y);
        assert_eq!(y, expected);
    }
}

#[test]
fn unpooling_puts_elements_where_they_were() {
    let mut y = [9i8; 6];
    max_unpool(-3, &[5, 6, 7], &[4i64, 0, 99], &mut y);
    assert_eq!(y, [6, -3, -3, -3, 5, 7]);
}

#[test]
fn resizing_by_tables() {
    let mut random = Random::new(64);
    for _ in 0..300 {
        let (input, output): ([usize; 2], [usize; 2]) = (random.sizes(1, 5), random.sizes(1, 6));
        let [outer, between, inner] = [random.size(1, 2), random.size(1, 3), random.size(1, 9)];
        let taps: [usize; 2] = random.sizes(1, 4);
        let mut p = Resize { outer, between, inner, input, output, taps };
        let (mut positions, mut weights) = (vec![], vec![]);
        for axis in 0..2 {
            for _ in 0..output[axis] {
                let outside = random.range(0, 9) == 0;
                // Weights that sum up to 1, of both signs.
                let mut row: Vec<i16> = (1..taps[axis]).map(|_| random.range(-200, 600) as i16).collect();
                row.push((1 << RESIZE_BITS) - row.iter().sum::<i16>());
                for weight in row {
                    positions.push(if outside { OUTSIDE } else { random.size(0, input[axis] - 1) as u16 });
                    weights.push(weight);
                }
            }
        }
        let x_shape = [outer, input[0], between, input[1], inner];
        let y_shape = [outer, output[0], between, output[1], inner];
        let x = random.i8s(x_shape.iter().product());
        let floats: Vec<f32> = x.iter().map(|&x| x.into()).collect();
        let scaled: Vec<f32> = weights.iter().map(|&w| f32::from(w) / (1 << RESIZE_BITS) as f32).collect();
        let (mut y, mut y_floats) = (vec![0; y_shape.iter().product()], vec![0.0; y_shape.iter().product()]);
        resize_s8(&p, 77, &positions, &weights, &x, &mut y);
        resize_f32(&p, 77.0, &positions, &scaled, &floats, &mut y_floats);
        for (i, index) in indices(&y_shape).iter().enumerate() {
            let (row, column) = (index[1] * taps[0], output[0] * taps[0] + index[3] * taps[1]);
            let mut sum = 0i64;
            for (a, b) in indices(&taps).iter().map(|tap| (row + tap[0], column + tap[1])) {
                if positions[row] != OUTSIDE && positions[column] != OUTSIDE {
                    let place = [index[0], positions[a].into(), index[2], positions[b].into(), index[4]];
                    sum += i64::from(weights[a]) * i64::from(weights[b]) * i64::from(x[at(&x_shape, &place)]);
                }
            }
            let mut expected = (sum + (1 << 21)).div_euclid(1 << 22).clamp(-128, 127) as i8;
            let mut expected_float = sum as f64 / f64::from(1 << 22);
            if positions[row] == OUTSIDE || positions[column] == OUTSIDE {
                (expected, expected_float) = (77, 77.0);
            }
            assert_eq!(y[i], expected);
            assert!((f64::from(y_floats[i]) - expected_float).abs() < 1e-3, "{} {expected_float}", y_floats[i]);
        }

        p.taps = [1; 2];
        let mut nearest = vec![];
        for axis in 0..2 {
            nearest.extend((0..output[axis]).map(|_| random.size(0, input[axis] - 1) as u16));
        }
        resize_nearest(&p, &nearest, &x, &mut y);
        for (i, index) in indices(&y_shape).iter().enumerate() {
            let (row, column) = (nearest[index[1]], nearest[output[0] + index[3]]);
            assert_eq!(y[i], x[at(&x_shape, &[index[0], row.into(), index[2], column.into(), index[4]])]);
        }
    }
}

#[test]
fn a_grid_on_the_pixels_gives_the_image() {
    let mut random = Random::new(65);
    for interpolation in [Interpolation::Nearest, Interpolation::Linear, Interpolation::Cubic] {
        for outside in [Outside::Zeros, Outside::Border, Outside::Reflection] {
            for align_corners in [false, true] {
                let input = [1, 4, 5, 3];
                let p = GridSample { batch: 2, input, places: 20, axes: 2, interpolation, outside, align_corners };
                let x = random.f32s(2 * 60);
                let centre = |i: usize, size: usize| match align_corners {
                    true => 2.0 * i as f32 / (size - 1) as f32 - 1.0,
                    false => (2 * i + 1) as f32 / size as f32 - 1.0,
                };
                let one: Vec<f32> = (0..20).flat_map(|i| [centre(i % 5, 5), centre(i / 5, 4)]).collect();
                let grid = [one.clone(), one].concat();
                let mut y = vec![f32::NAN; 2 * 60];
                grid_sample_f32(&p, &x, &grid, &mut y);
                for (y, x) in y.iter().zip(&x) {
                    assert!((x - y).abs() < 1e-4, "{x} {y} {p:?}");
                }
                // Whatever the coordinates are, nothing outside is touched.
                let mut wild: Vec<f32> = (0..80).map(|_| random.f32() * 1e3).collect();
                wild[..5].copy_from_slice(&[f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e30, -1e30]);
                grid_sample_f32(&p, &x, &wild, &mut y);
            }
        }
    }
}

#[test]
fn without_offsets_a_deformable_convolution_is_one() {
    let mut random = Random::new(66);
    for _ in 0..200 {
        let (mut window, groups) = window(&mut random, false);
        (window.input[0], window.output[0], window.kernel[0], window.pad[0]) = (1, 1, 1, 0);
        let [_, height, width, channels] = window.input;
        let last = |sizes: [usize; 3]| [sizes[1], sizes[2]];
        let p = DeformConv {
            batch: window.batch,
            input: [height, width, channels],
            output: [window.output[1], window.output[2], window.output[3]],
            kernel: last(window.kernel),
            stride: last(window.stride),
            pad: last(window.pad),
            dilation: last(window.dilation),
            groups,
            offset_groups: channels,
        };
        let taps = p.kernel[0] * p.kernel[1];
        let pixels = p.batch * p.output[0] * p.output[1];
        let weights = random.f32s(p.output[2] * taps * channels / groups);
        let (bias, x) = (random.f32s(p.output[2]), random.f32s(p.batch * height * width * channels));
        let mut expected = vec![0.0; pixels * p.output[2]];
        conv3d_f32(&window, groups, &Clamp::NONE, &weights, &bias, &x, &mut expected);
        let (mut y, offsets) = (vec![0.0; expected.len()], vec![0.0; pixels * channels * taps * 2]);
        deform_conv_f32(&p, &x, &weights, &offsets, &bias, &mut y);
        let mut masked = y.clone();
        let mask = vec![0.5; pixels * channels * taps];
        masked_deform_conv_f32(&p, &x, &weights, &offsets, &bias, &mask, &mut masked);
        for (i, expected) in expected.iter().enumerate() {
            assert!((y[i] - expected).abs() < 1e-4, "{} {expected}", y[i]);
            let bias = bias[i % p.output[2]];
            assert!((masked[i] - (expected + bias) / 2.0).abs() < 1e-4, "{} {expected}", masked[i]);
        }
        let wild: Vec<f32> = offsets.iter().map(|_| random.f32() * 1e9).collect();
        deform_conv_f32(&p, &x, &weights, &wild, &bias, &mut y);
    }
}

#[test]
fn regions_of_interest() {
    let mut random = Random::new(67);
    // A plane that rises evenly is read exactly by linear interpolation: a cell's mean is the value at its centre.
    let (height, width) = (12, 15);
    let plane = |row: f32, column: f32| 3.0 * row - 2.0 * column;
    let x: Vec<f32> = (0..height * width).map(|i| plane((i / width) as f32, (i % width) as f32)).collect();
    for sampling_ratio in 0..3 {
        for half_pixel in [false, true] {
            let p = RoiAlign {
                batch: 1,
                input: [height, width, 1],
                regions: 1,
                output: [2, 3],
                sampling_ratio,
                spatial_scale: 0.5,
                half_pixel,
                max: false,
            };
            let offset = if half_pixel { 0.5 } else { 0.0 };
            let mut y = [0.0; 6];
            roi_align_f32(&p, &x, &[4.0, 6.0, 16.0, 14.0], &[0i64], &mut y);
            for (cell, y) in y.iter().enumerate() {
                let (row, column) = (3.0 + 2.0 * (cell / 3) as f32 + 1.0, 2.0 + 2.0 * (cell % 3) as f32 + 1.0);
                let expected = plane(row - offset, column - offset);
                assert!((y - expected).abs() < 1e-4, "{y} {expected} {p:?}");
            }
            for _ in 0..100 {
                let wild = [f32::NAN, f32::INFINITY, -1e30, 1e30, random.f32() * 40.0, random.f32() * 40.0];
                let region: [f32; 4] = std::array::from_fn(|_| wild[random.size(0, 5)]);
                roi_align_f32(&p, &x, &region, &[random.range(-9, 9)], &mut y);
                let p =
                    MaxRoiPool { batch: 1, input: [height, width, 1], regions: 1, output: [2, 3], spatial_scale: 0.5 };
                max_roi_pool_f32(
                    &p,
                    &x,
                    &[wild[random.size(0, 5)], region[0], region[1], region[2], region[3]],
                    &mut y,
                );
            }
        }
    }
    // Rows 1 to 4 and columns 2 to 7 in cells of two by two pixels.
    let p = MaxRoiPool { batch: 1, input: [height, width, 1], regions: 1, output: [2, 3], spatial_scale: 1.0 };
    let mut y = [0.0; 6];
    max_roi_pool_f32(&p, &x, &[0.0, 2.0, 1.0, 7.0, 4.0], &mut y);
    let largest = |row: usize, column: usize| plane((2 + 2 * row) as f32, (2 + 2 * column) as f32);
    assert_eq!(y, std::array::from_fn(|cell| largest(cell / 3, cell % 3)));
}

#[test]
fn suppression_as_by_sorting() {
    let mut random = Random::new(68);
    for number in 0..300 {
        let p = NonMaxSuppression {
            batch: 2,
            classes: random.size(1, 3),
            boxes: random.size(1, 12),
            most: random.size(1, 5),
            iou_threshold: 0.3,
            score_threshold: if number % 3 == 0 { f32::NEG_INFINITY } else { -0.5 },
            center_point_box: number % 2 == 0,
        };
        let boxes: Vec<f32> = (0..p.batch * p.boxes * 4).map(|_| random.f32() + 2.5).collect();
        // Few values, so that some are equal.
        let scores: Vec<f32> = (0..p.batch * p.classes * p.boxes).map(|_| random.range(-4, 4) as f32 / 4.0).collect();
        let mut expected = vec![];
        for (image, class) in indices(&[p.batch, p.classes]).iter().map(|index| (index[0], index[1])) {
            let scores = &scores[(image * p.classes + class) * p.boxes..][..p.boxes];
            let ends = |index: usize| -> [f32; 4] {
                let b = &boxes[(image * p.boxes + index) * 4..][..4];
                if p.center_point_box {
                    [b[0] - b[2] / 2.0, b[0] + b[2] / 2.0, b[1] - b[3] / 2.0, b[1] + b[3] / 2.0]
                } else {
                    [b[0].min(b[2]), b[0].max(b[2]), b[1].min(b[3]), b[1].max(b[3])]
                }
            };
            let mut order: Vec<usize> = (0..p.boxes).filter(|&i| scores[i] > p.score_threshold).collect();
            order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
            let mut kept: Vec<usize> = vec![];
            for candidate in order {
                let overlaps = kept.iter().any(|&other| {
                    let (a, b) = (ends(candidate), ends(other));
                    let side = |i: usize| (a[i + 1].min(b[i + 1]) - a[i].max(b[i])).max(0.0);
                    let area = |e: [f32; 4]| (e[1] - e[0]) * (e[3] - e[2]);
                    let common = side(0) * side(2);
                    common > 0.0 && common / (area(a) + area(b) - common) > p.iou_threshold
                });
                if !overlaps && kept.len() < p.most {
                    kept.push(candidate);
                }
            }
            expected.extend(kept.iter().flat_map(|&index| [image as i32, class as i32, index as i32]));
        }
        expected.resize(p.batch * p.classes * p.most * 3, -1);
        let mut y = vec![0i32; expected.len()];
        non_max_suppression(&p, &boxes, &scores, &mut y);
        assert_eq!(y, expected, "{p:?}");
    }
}
