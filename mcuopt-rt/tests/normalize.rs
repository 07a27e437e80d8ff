//! Normalisation against f64; in int8 against the bound that the kernel's documentation states.

mod common;

use common::{Random, at};
use mcuopt_rt::v0::*;

/// The places of each group's elements, with their channels.
fn groups(p: &Normalize) -> Vec<Vec<(usize, usize)>> {
    let shape = [p.outer, p.positions, p.groups, p.width];
    let mut all = Vec::new();
    for outer in 0..p.outer {
        for group in 0..p.groups {
            let places = (0..p.positions).flat_map(|position| (0..p.width).map(move |w| (position, w)));
            let place = |(position, w)| (at(&shape, &[outer, position, group, w]), group * p.width + w);
            all.push(places.map(place).collect());
        }
    }
    all
}

/// The normalised elements of a group, before gain and offset.
fn normalized(p: &Normalize, epsilon: f64, x: &[f64]) -> Vec<f64> {
    let n = x.len() as f64;
    let mean = if p.subtract_mean { x.iter().sum::<f64>() / n } else { 0.0 };
    let deviation = (x.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / n + epsilon).sqrt();
    x.iter().map(|x| (x - mean) / deviation).collect()
}

fn drawn(random: &mut Random) -> Normalize {
    let [outer, positions, groups] = random.sizes(1, 4);
    Normalize { outer, positions, groups, width: random.size(1, 40), subtract_mean: random.range(0, 3) > 0 }
}

#[test]
fn floats() {
    let mut random = Random::new(50);
    for _ in 0..200 {
        let p = drawn(&mut random);
        let channels = p.groups * p.width;
        let (gain, offset) = (random.f32s(channels), random.f32s(channels));
        let x: Vec<f32> = random.f32s(p.outer * p.positions * channels).iter().map(|x| x + 3.0).collect();
        let mut y = vec![0.0; x.len()];
        normalize_f32(&p, 1e-3, &gain, &offset, &x, &mut y);
        for group in groups(&p) {
            let reals: Vec<f64> = group.iter().map(|&(at, _)| x[at].into()).collect();
            for (&(at, channel), z) in group.iter().zip(normalized(&p, f64::from(1e-3f32), &reals)) {
                let expected = z * f64::from(gain[channel]) + f64::from(offset[channel]);
                assert!((f64::from(y[at]) - expected).abs() < 2e-5, "{p:?} {} {expected}", y[at]);
            }
        }
    }
}

/// Checks one layer against its bound.
fn check(p: &Normalize, epsilon: f32, x_scale: f32, y_scale: f32, gain: &[f32], offset: &[f32], x: &[i8]) {
    let (input_zero_point, zero_point) = (if p.subtract_mean { 0 } else { -17 }, 5);
    let q = NormalizeS8::new(p, epsilon, (x_scale, input_zero_point), zero_point).unwrap();
    let channel = |(&gain, &offset)| NormalizeS8::channel(gain, offset, y_scale).unwrap();
    let (multipliers, bias): (Vec<i32>, Vec<i32>) = gain.iter().zip(offset).map(channel).unzip();
    let mut y = vec![0; x.len()];
    normalize_s8(p, &q, &multipliers, &bias, x, &mut y);
    for group in groups(p) {
        let real = |&(at, _): &(usize, usize)| f64::from(i32::from(x[at]) - input_zero_point) * f64::from(x_scale);
        let reals: Vec<f64> = group.iter().map(real).collect();
        let n = reals.len() as f64;
        for (&(at, channel), z) in group.iter().zip(normalized(p, epsilon.into(), &reals)) {
            let z = if z.is_nan() { 0.0 } else { z };
            let steps = f64::from(gain[channel].abs()) / f64::from(y_scale);
            let from_epsilon = if epsilon > 0.0 { 2f64.powi(-10) / (n - 1.0).max(1.0) } else { 0.0 };
            let bound = 2f64.powi(-17)
                + steps * 2f64.powi(-21)
                + z.abs() * (2f64.powi(-13) + (2f64.powi(-28) + from_epsilon) * steps);
            let exact = (z * f64::from(gain[channel]) + f64::from(offset[channel])) / f64::from(y_scale)
                + f64::from(zero_point);
            let distance = (f64::from(y[at]) - exact.clamp(-128.0, 127.0)).abs();
            // A hair for the arithmetic of the test itself.
            assert!(distance <= 0.5 + bound + 1e-9 * exact.abs(), "{p:?} {epsilon} {x_scale}: {} {exact}", y[at]);
        }
    }
}

#[test]
fn integers_stay_within_the_bound() {
    let mut random = Random::new(51);
    for _ in 0..400 {
        let p = drawn(&mut random);
        let channels = p.groups * p.width;
        let (gain, offset) = (random.f32s(channels), random.f32s(channels));
        // Rows of one value, of two neighbouring ones, and of all.
        let spread = random.range(0, 2);
        let x: Vec<i8> = (0..p.outer * p.positions * channels)
            .map(|_| match spread {
                0 => random.range(-1, 0) as i8,
                1 => 100,
                _ => random.i8(),
            })
            .collect();
        let x_scale = [1e-4, 0.003, 0.05, 2.0][random.size(0, 3)];
        let y_scale = [0.002, 0.02, 0.5][random.size(0, 2)];
        check(&p, [0.0, 1e-12, 1e-5, 0.1, 1e3][random.size(0, 4)], x_scale, y_scale, &gain, &offset, &x);
    }
}

#[test]
fn integers_at_their_ends() {
    for subtract_mean in [true, false] {
        let p = Normalize { outer: 1, positions: 1, groups: 1, width: 1 << 17, subtract_mean };
        let (gain, offset) = (vec![1.0; p.width], vec![0.1; p.width]);
        let mut alone = vec![-128; p.width];
        alone[77] = 127;
        let halves = (0..p.width).map(|i| if i % 2 == 0 { -128 } else { 127 }).collect();
        for x in [alone, halves, vec![-128; p.width], vec![127; p.width]] {
            for (epsilon, x_scale) in [(1e-5, 0.02), (0.0, 1.0), (1.0, 0.002)] {
                check(&p, epsilon, x_scale, 0.05, &gain, &offset, &x);
            }
            // The largest element lies 362 deviations from the mean.
            check(&p, 1e-5, 0.02, 3.0, &gain, &offset, &x);
        }
    }
    let p = Normalize { outer: 1, positions: 1, groups: 1, width: 64, subtract_mean: true };
    assert_eq!(NormalizeS8::new(&p, 1e-5, (1e-10, 0), 0), None);
    assert_eq!(NormalizeS8::channel(1e9, 0.0, 0.001), None);
    assert_eq!(NormalizeS8::channel(-1.0, 1e30, 0.5), Some((-(2 << 12), i32::MAX)));
}

#[test]
fn deviations() {
    let mut y = [0.0; 2];
    inverse_deviation_f32(0.0, &[1.0, 3.0, -2.0, 2.0], &mut y);
    assert_eq!(y, [1.0, 0.5]);
}

#[test]
fn int16() {
    let mut random = Random::new(56);
    for i in 0..300 {
        let p = drawn(&mut random);
        let channels = p.groups * p.width;
        let (gain, offset) = (random.f32s(channels), random.f32s(channels));
        // Steps of an activation of some units, and rows that hardly differ.
        let (x_scale, y_scale, spread) = (1e-4, 2e-4, [32767, 1000, 20][i % 3]);
        let (input_zero_point, zero_point) = (if p.subtract_mean { 0 } else { -170 }, 5);
        let epsilon = [1e-5, 0.0, 1e-3][i / 3 % 3];
        let x: Vec<i16> = (0..p.outer * p.positions * channels).map(|_| random.range(-spread, spread) as i16).collect();
        let q = NormalizeS16::new(&p, epsilon, (x_scale, input_zero_point), zero_point).unwrap();
        let channel = |(&gain, &offset)| NormalizeS16::channel(gain, offset, y_scale).unwrap();
        let (multipliers, bias): (Vec<i32>, Vec<i32>) = gain.iter().zip(&offset).map(channel).unzip();
        let mut y = vec![0; x.len()];
        normalize_s16(&p, &q, &multipliers, &bias, &x, &mut y);
        for group in groups(&p) {
            let real = |&(at, _): &(usize, usize)| f64::from(i32::from(x[at]) - input_zero_point) * f64::from(x_scale);
            let reals: Vec<f64> = group.iter().map(real).collect();
            if reals.iter().all(|x| *x == reals[0]) {
                continue;
            }
            for (&(at, channel), z) in group.iter().zip(normalized(&p, f64::from(epsilon), &reals)) {
                let exact = z * f64::from(gain[channel]) + f64::from(offset[channel]);
                let exact = (exact / f64::from(y_scale) + f64::from(zero_point)).clamp(-32768.0, 32767.0);
                assert!((f64::from(y[at]) - exact).abs() < 0.52, "{p:?} {epsilon}: {} for {exact}", y[at]);
            }
        }
        let mut in_place = x;
        normalize_s16_in_place(&p, &q, &multipliers, &bias, &mut in_place);
        assert_eq!(in_place, y);
    }
}
