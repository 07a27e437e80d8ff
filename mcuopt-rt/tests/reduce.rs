//! Reductions, running sums and places of extremes against the elements of each row, listed.

mod common;

use common::{Random, at, indices, requantized, run};
use mcuopt_rt::v0::*;

/// For each row along the middle axis, its places in memory.
fn rows(p: &Rows) -> Vec<Vec<usize>> {
    let shape = [p.outer, p.len, p.inner];
    let row = |i: &Vec<usize>| (0..p.len).map(|k| at(&shape, &[i[0], k, i[1]])).collect();
    indices(&[p.outer, p.inner]).iter().map(row).collect()
}

fn drawn(random: &mut Random) -> (Rows, Reduce) {
    let [outer, len, inner] = random.sizes(1, 9);
    (Rows { outer, len, inner }, Reduce { outer, len, inner })
}

/// What a plain function writes.
fn written<T: Clone>(len: usize, fill: T, f: impl FnOnce(&mut [T])) -> Vec<T> {
    let mut y = vec![fill; len];
    f(&mut y);
    y
}

fn values<T: Copy>(row: &[usize], x: &[T]) -> Vec<T> {
    row.iter().map(|&at| x[at]).collect()
}

#[test]
fn means() {
    let mut random = Random::new(21);
    for _ in 0..300 {
        let (rows_of, p) = drawn(&mut random);
        let (q, multiplier, zero_point) = (random.requantize(), random.multiplier(), random.range(-128, 127) as i32);
        let count = p.outer * p.len * p.inner;
        let (x, x_f32) = (random.i8s(count), random.f32s(count));
        let mean = run!(reduce_mean_s8(&p, &q, multiplier, zero_point, &x) -> p.outer * p.inner, 0);
        let mean_f32 = run!(reduce_mean_f32(&p, &Clamp::NONE, &x_f32) -> p.outer * p.inner, 0.0);
        for (i, row) in rows(&rows_of).iter().enumerate() {
            let sum = values(row, &x).iter().map(|&x| i64::from(x) - i64::from(zero_point)).sum();
            assert_eq!(mean[i], requantized(&q, sum, multiplier), "{p:?}");
            assert_eq!(mean_f32[i], values(row, &x_f32).iter().fold(0.0, |sum, x| sum + x) / p.len as f32);
        }
    }
}

#[test]
fn reductions_of_integers() {
    let mut random = Random::new(22);
    for _ in 0..200 {
        let (rows_of, p) = drawn(&mut random);
        let x = random.i32s(p.outer * p.len * p.inner, i64::from(i32::MAX));
        let of = |f: fn(&Reduce, &[i32], &mut [i32])| written(p.outer * p.inner, 7, |y| f(&p, &x, y));
        let found = [reduce_sum, reduce_product, reduce_max, reduce_min, reduce_l1, reduce_sum_square].map(of);
        for (i, row) in rows(&rows_of).iter().enumerate() {
            let row = values(row, &x);
            let wrapped = |f: fn(i32, i32) -> i32, start| row.iter().fold(start, |sum, &x| f(sum, x));
            let expected = [
                wrapped(i32::wrapping_add, 0),
                wrapped(i32::wrapping_mul, 1),
                *row.iter().max().unwrap(),
                *row.iter().min().unwrap(),
                wrapped(|sum, x| sum.wrapping_add(x.wrapping_abs()), 0),
                wrapped(|sum, x| sum.wrapping_add(x.wrapping_mul(x)), 0),
            ];
            assert_eq!(found.each_ref().map(|y| y[i]), expected, "{p:?}");
        }
    }
    let bytes = written(1, 0, |y| reduce_max(&Reduce { outer: 1, len: 3, inner: 1 }, &[3u8, 255, 7], y));
    assert_eq!(bytes, [255]);
}

#[test]
fn reductions_of_floats() {
    let mut random = Random::new(23);
    for _ in 0..200 {
        let (rows_of, p) = drawn(&mut random);
        let x: Vec<f32> = random.f32s(p.outer * p.len * p.inner).iter().map(|x| x.abs() + 0.01).collect();
        let of = |f: fn(&Reduce, &[f32], &mut [f32])| written(p.outer * p.inner, 7.0, |y| f(&p, &x, y));
        let found = [reduce_l2_f32, reduce_log_sum_f32, reduce_log_sum_exp_f32, reduce_product].map(of);
        for (i, row) in rows(&rows_of).iter().enumerate() {
            let row: Vec<f64> = values(row, &x).into_iter().map(f64::from).collect();
            let sum = |f: fn(f64) -> f64| row.iter().map(|&x| f(x)).sum::<f64>();
            let expected = [sum(|x| x * x).sqrt(), sum(|x| x).ln(), sum(f64::exp).ln(), row.iter().product()];
            for (found, expected) in found.iter().zip(expected) {
                assert!((f64::from(found[i]) - expected).abs() <= 1e-5 * expected.abs().max(0.1), "{p:?}");
            }
        }
    }
    let p = Reduce { outer: 3, len: 2, inner: 1 };
    let x = [1e30, 1e30, f32::NEG_INFINITY, f32::NEG_INFINITY, f32::INFINITY, 0.0];
    let y = written(3, 0.0, |y| reduce_log_sum_exp_f32(&p, &x, y));
    assert_eq!(y, [1e30, f32::NEG_INFINITY, f32::INFINITY]);
}

#[test]
fn running_sums() {
    let mut random = Random::new(24);
    for round in 0..100 {
        let (rows_of, _) = drawn(&mut random);
        let p = CumSum { rows: rows_of, exclusive: round % 2 == 0, reverse: round % 4 < 2 };
        let x = random.i32s(rows_of.outer * rows_of.len * rows_of.inner, 1 << 20);
        let y = written(x.len(), 0, |y| cum_sum(&p, &x, y));
        for row in rows(&rows_of) {
            for (k, &place) in row.iter().enumerate() {
                let counts = |j: &usize| match (p.reverse, p.exclusive) {
                    (false, false) => *j <= k,
                    (false, true) => *j < k,
                    (true, false) => *j >= k,
                    (true, true) => *j > k,
                };
                assert_eq!(y[place], (0..row.len()).filter(counts).map(|j| x[row[j]]).sum(), "{p:?}");
            }
        }
    }
}

#[test]
fn places_of_extremes() {
    let mut random = Random::new(25);
    for _ in 0..200 {
        let (p, _) = drawn(&mut random);
        // Few values, so that there are equals.
        let x: Vec<i8> = (0..p.outer * p.len * p.inner).map(|_| random.range(-3, 3) as i8).collect();
        let last = random.range(0, 1) == 0;
        let max = written(p.outer * p.inner, -1i64, |y| arg_max(&p, last, &x, y));
        let min = written(p.outer * p.inner, -1i32, |y| arg_min(&p, last, &x, y));
        let k = random.size(1, p.len);
        let [largest, smallest] = [true, false]
            .map(|largest| written(p.outer * k * p.inner, -1i64, |y| top_k(&TopK { rows: p, k, largest }, &x, y)));
        let hard = written(x.len(), 9, |y| hardmax(&p, -128, 127, &x, y));
        for (i, row) in rows(&p).iter().enumerate() {
            let values = values(row, &x);
            let place = |best: i8| match last {
                true => values.iter().rposition(|&x| x == best),
                false => values.iter().position(|&x| x == best),
            };
            assert_eq!(Some(max[i] as usize), place(*values.iter().max().unwrap()));
            assert_eq!(Some(min[i] as usize), place(*values.iter().min().unwrap()));
            let first = values.iter().position(|x| x == values.iter().max().unwrap());
            for (k, &at) in row.iter().enumerate() {
                assert_eq!(hard[at], if Some(k) == first { 127 } else { -128 });
            }
            let mut order: Vec<usize> = (0..p.len).collect();
            let (outer, inner) = (i / p.inner, i % p.inner);
            order.sort_by_key(|&at| (-i32::from(values[at]), at));
            assert!((0..k).all(|j| largest[(outer * k + j) * p.inner + inner] == order[j] as i64), "{p:?} {k}");
            order.sort_by_key(|&at| (values[at], at));
            assert!((0..k).all(|j| smallest[(outer * k + j) * p.inner + inner] == order[j] as i64), "{p:?} {k}");
        }
    }
}

#[test]
fn determinants() {
    let det = |size: usize, x: &[f32]| written(1, 0.0, |y| determinant_f32(size, x, y))[0];
    assert_eq!(det(2, &[0.0, 2.0, 3.0, 4.0]), -6.0);
    assert_eq!(det(1, &[5.0]), 5.0);
    assert_eq!(det(3, &[1.0, 2.0, 3.0, 2.0, 4.0, 6.0, 1.0, 0.0, 1.0]), 0.0);
    // A product of a lower and an upper triangle has the product of their diagonals.
    let mut random = Random::new(26);
    for _ in 0..100 {
        let size = random.size(1, MAX_DETERMINANT);
        let part = |random: &mut Random, row: usize, column: usize, lower: bool| match row.cmp(&column) {
            std::cmp::Ordering::Equal => random.range(1, 3) as f32,
            order if (order == std::cmp::Ordering::Greater) == lower => random.range(-2, 2) as f32,
            _ => 0.0,
        };
        let mut triangle =
            |lower| -> Vec<f32> { (0..size * size).map(|i| part(&mut random, i / size, i % size, lower)).collect() };
        let (l, u) = (triangle(true), triangle(false));
        let entry = |i: usize| (0..size).map(|k| l[i / size * size + k] * u[k * size + i % size]).sum();
        let x: Vec<f32> = (0..size * size).map(entry).collect();
        let expected: f32 = (0..size).map(|i| l[i * (size + 1)] * u[i * (size + 1)]).product();
        assert!((det(size, &x) - expected).abs() <= 1e-3 * expected.abs(), "{size}: {} {expected}", det(size, &x));
    }
}

#[test]
fn losses() {
    let mut random = Random::new(27);
    for round in 0..100 {
        let (p, _) = drawn(&mut random);
        let (x, weights) = (random.f32s(p.outer * p.len * p.inner), random.f32s(p.len));
        let target: Vec<i64> = (0..p.outer * p.inner).map(|_| random.range(-1, p.len as i64 - 1)).collect();
        let loss = |reduction, len| {
            let p = Loss { rows: p, reduction, ignored: Some(-1) };
            written(len, 0.0, |y| negative_log_likelihood_f32(&p, &x, &target, &weights, y))
        };
        let each = loss(Reduction::None, target.len());
        let (mut sum, mut total) = (0.0, 0.0);
        for (i, row) in rows(&p).iter().enumerate() {
            let class = usize::try_from(target[i]).ok();
            let expected = class.map_or(0.0, |class| -x[row[class]] * weights[class]);
            assert_eq!(each[i], expected, "{round}");
            (sum, total) = (sum + expected, total + class.map_or(0.0, |class| weights[class]));
        }
        assert_eq!(loss(Reduction::Sum, 1), [sum]);
        let mean = loss(Reduction::Mean, 1)[0];
        assert!(mean == sum / total || mean.is_nan() && total == 0.0, "{mean} {sum} {total}");
    }
}

#[test]
fn local_responses() {
    let mut random = Random::new(28);
    for _ in 0..100 {
        let [pixels, channels, size] = random.sizes(1, 7);
        let p = Lrn { pixels, channels, size, alpha: 0.3, beta: 0.75, bias: 1.5 };
        let x = random.f32s(pixels * channels);
        let y = written(x.len(), 0.0, |y| lrn_f32(&p, &x, y));
        for (i, &found) in y.iter().enumerate() {
            let channel = (i % channels) as isize;
            let (before, behind) = ((size as isize - 1) / 2, size as isize / 2);
            let window = (channel - before..=channel + behind).filter(|c| (0..channels as isize).contains(c));
            let square = |c: isize| f64::from(x[i / channels * channels + c as usize]).powi(2);
            let sum: f64 = window.map(square).sum();
            let expected = f64::from(x[i]) / (1.5 + f64::from(0.3f32) / size as f64 * sum).powf(0.75);
            assert!((f64::from(found) - expected).abs() < 1e-6, "{p:?}");
        }
    }
}
