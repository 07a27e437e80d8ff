//! Operators that work element by element, against the formulas.

mod common;

use common::{Random, indices, requantized, run};
use mcuopt_rt::v0::*;

/// A random broadcast of operands whose axes are full, 1, or (for `a`) all full.
fn broadcast(random: &mut Random, a_full: bool) -> Broadcast {
    let shape: [usize; 4] = random.sizes(1, 4);
    let mut strides = |full: bool| {
        let mut strides = [0; 4];
        let mut stride = 1;
        for axis in (0..4).rev() {
            if full || random.range(0, 2) > 0 {
                strides[axis] = stride;
                stride *= shape[axis];
            }
        }
        strides
    };
    Broadcast { shape, a_strides: strides(a_full), b_strides: strides(false) }
}

/// For each output, the places in a and b.
fn places(p: &Broadcast) -> Vec<(usize, usize)> {
    let place = |index: &[usize], strides: &[usize; 4]| index.iter().zip(strides).map(|(i, s)| i * s).sum();
    indices(&p.shape).iter().map(|index| (place(index, &p.a_strides), place(index, &p.b_strides))).collect()
}

fn lens(places: &[(usize, usize)]) -> (usize, usize) {
    (places.iter().map(|p| p.0).max().unwrap() + 1, places.iter().map(|p| p.1).max().unwrap() + 1)
}

fn quantization(random: &mut Random) -> Quantization {
    Quantization { scale: random.range(1, 1000) as f32 / 500.0, zero_point: random.range(-128, 127) as i32 }
}

#[test]
fn int8_operators() {
    let mut random = Random::new(30);
    for i in 0..500 {
        let p = broadcast(&mut random, i % 2 == 0);
        let places = places(&p);
        let (a_len, b_len) = lens(&places);
        let (a, b) = (random.i8s(a_len), random.i8s(b_len));
        let (q, multiplier) = (random.requantize(), random.multiplier());
        let (a_zero, b_zero) = (random.range(-128, 127) as i32, random.range(-128, 127) as i32);
        let product: Vec<i8> = places
            .iter()
            .map(|&(i, j)| i64::from((i32::from(a[i]) - a_zero) * (i32::from(b[j]) - b_zero)))
            .map(|product| requantized(&q, product, multiplier))
            .collect();
        assert_eq!(run!(mul_s8(&p, &q, multiplier, a_zero, b_zero, &a, &b) -> places.len(), 0), product, "{p:?}");

        let sign = if random.range(0, 1) == 0 { 1.0 } else { -1.0 };
        let [qa, qb, qy] = std::array::from_fn(|_| quantization(&mut random));
        let add = AddS8::new(qa, qb, qy, sign, -100, 120);
        let sum = run!(add_s8(&p, &add, &a, &b) -> places.len(), 0);
        for (&(i, j), &sum) in places.iter().zip(&sum) {
            let (a, b) = (a[i], b[j]);
            let formula = (i64::from(a) * i64::from(add.a_multiplier)
                + i64::from(b) * i64::from(add.b_multiplier)
                + i64::from(add.bias))
                >> add.shift;
            assert_eq!(i64::from(sum), formula.clamp(-100, 120), "{add:?}");
            let steps = |q: &Quantization, x: i8| f64::from(i32::from(x) - q.zero_point);
            let exact = (steps(&qa, a) * f64::from(qa.scale) + sign * steps(&qb, b) * f64::from(qb.scale))
                / f64::from(qy.scale)
                + f64::from(qy.zero_point);
            let bound = 0.5 + (steps(&qa, a).abs() + steps(&qb, b).abs()) / f64::from(2 << add.shift);
            let error = f64::from(sum) - exact.clamp(-100.0, 120.0);
            assert!(error.abs() <= bound + 1e-9, "{sum} for {exact}: {add:?}");
        }

        if i % 2 == 0 {
            let in_place = run_in_place(&a, |a| mul_s8_in_place(&p, &q, multiplier, a_zero, b_zero, a, &b));
            assert_eq!(in_place, product);
            assert_eq!(
                run_in_place(&a, |a| shared::mul_s8_in_place(&p, &q, multiplier, a_zero, b_zero, a, &b)),
                product
            );
            assert_eq!(run_in_place(&a, |a| add_s8_in_place(&p, &add, a, &b)), sum);
            assert_eq!(run_in_place(&a, |a| shared::add_s8_in_place(&p, &add, a, &b)), sum);
        }
    }
}

fn run_in_place<T: Clone>(a: &[T], f: impl FnOnce(&mut [T])) -> Vec<T> {
    let mut y = a.to_vec();
    f(&mut y);
    y
}

#[test]
fn float_operators() {
    let mut random = Random::new(31);
    let clamp = Clamp { min: -1.5, max: f32::INFINITY };
    macro_rules! check {
        ($p:expr, $places:expr, $a:expr, $b:expr, $full:expr, $name:ident, $in_place:ident, $f:expr) => {
            let f: fn(f32, f32) -> f32 = $f;
            let expected: Vec<f32> = $places.iter().map(|&(i, j)| f($a[i], $b[j]).max(-1.5)).collect();
            assert_eq!(run!($name($p, &clamp, &$a, &$b) -> expected.len(), 0.0), expected, "{:?}", $p);
            if $full {
                assert_eq!(run_in_place(&$a, |a| $in_place($p, &clamp, a, &$b)), expected);
                assert_eq!(run_in_place(&$a, |a| shared::$in_place($p, &clamp, a, &$b)), expected);
            }
        };
    }
    for i in 0..300 {
        let full = i % 2 == 0;
        let p = &broadcast(&mut random, full);
        let places = places(p);
        let (a_len, b_len) = lens(&places);
        let (a, b) = (random.f32s(a_len), random.f32s(b_len));
        check!(p, places, a, b, full, add_f32, add_f32_in_place, |a, b| a + b);
        check!(p, places, a, b, full, sub_f32, sub_f32_in_place, |a, b| a - b);
        check!(p, places, a, b, full, mul_f32, mul_f32_in_place, |a, b| a * b);
        let b: Vec<f32> = b.iter().map(|b| b + 3.0).collect();
        check!(p, places, a, b, full, div_f32, div_f32_in_place, |a, b| a / b);
    }
}

#[test]
fn extreme_scales_do_not_overflow() {
    let q = |scale, zero_point| Quantization { scale, zero_point };
    for (a_scale, b_scale) in [(1e-6, 1e-6), (1e6, 1e6), (1e-6, 1.0), (1.0, 1e9), (1e-30, 1e30)] {
        for (zero, sign) in [(-128, 1.0), (127, -1.0), (127, 1.0), (-128, -1.0)] {
            let add = AddS8::new(q(a_scale, zero), q(b_scale, -1 - zero), q(1.0, zero), sign, -128, 127);
            for (a, b) in [(-128, -128), (-128, 127), (127, -128), (127, 127)] {
                // In a debug build an overflow would panic.
                let p = Broadcast { shape: [1; 4], a_strides: [0; 4], b_strides: [0; 4] };
                run!(add_s8(&p, &add, &[a], &[b]) -> 1, 0);
            }
        }
    }
}

#[test]
fn clamp_lets_nan_pass() {
    let clamp = Clamp { min: 0.0, max: 6.0 };
    assert!(clamp.apply(f32::NAN).is_nan());
    assert_eq!([clamp.apply(-1.0), clamp.apply(7.0), clamp.apply(3.0)], [0.0, 6.0, 3.0]);
    assert_eq!(Clamp::NONE.apply(f32::INFINITY), f32::INFINITY);
}

#[test]
fn tables_and_quantization() {
    let all: Vec<i8> = (i8::MIN..=i8::MAX).collect();
    let mut random = Random::new(32);
    let table: [i8; 256] = random.i8s(256).try_into().unwrap();
    assert_eq!(run!(lut_s8(&table, &all) -> 256, 0), table);
    assert_eq!(run_in_place(&all, |xy| lut_s8_in_place(&table, xy)), table);
    assert_eq!(run_in_place(&all, |xy| shared::lut_s8_in_place(&table, xy)), table);

    for _ in 0..50 {
        let q = quantization(&mut random);
        let x: Vec<f32> = random.f32s(256).iter().map(|x| x * 100.0).collect();
        let expected: Vec<i8> =
            x.iter().map(|x| ((x / q.scale).round_ties_even() as i32 + q.zero_point).clamp(-128, 127) as i8).collect();
        assert_eq!(run!(quantize_f32_s8(&q, &x) -> 256, 0), expected);
        let expected: Vec<f32> = all.iter().map(|&x| (i32::from(x) - q.zero_point) as f32 * q.scale).collect();
        assert_eq!(run!(dequantize_s8_f32(&q, &all) -> 256, 0.0), expected);

        let (r, multiplier) = (random.requantize(), random.u64() as i32 >> 1);
        let expected: Vec<i8> =
            all.iter().map(|&x| requantized(&r, i64::from(x) - i64::from(q.zero_point), multiplier)).collect();
        assert_eq!(run!(requantize_s8(&r, multiplier, q.zero_point, &all) -> 256, 0), expected);
        assert_eq!(run_in_place(&all, |xy| requantize_s8_in_place(&r, multiplier, q.zero_point, xy)), expected);
        assert_eq!(run_in_place(&all, |xy| shared::requantize_s8_in_place(&r, multiplier, q.zero_point, xy)), expected);
    }
}
