//! Rounding and saturation against wide integers and exact fractions.

mod common;

use common::Random;
use mcuopt_rt::fixed::*;

fn interesting(random: &mut Random) -> i32 {
    match random.range(0, 5) {
        0 => i32::MIN,
        1 => i32::MAX,
        2 => random.range(-3, 3) as i32,
        _ => random.u64() as i32,
    }
}

#[test]
fn multiply_high_rounds_half_up() {
    let mut random = Random::new(1);
    for _ in 0..100_000 {
        let (a, b) = (interesting(&mut random), interesting(&mut random));
        let exact = (i128::from(a) * i128::from(b) + (1 << 31)).div_euclid(1 << 32);
        assert_eq!(i128::from(multiply_high(a, b)), exact, "{a} · {b}");
    }
    // Ties go towards +∞.
    assert_eq!(multiply_high(1, 1 << 31 >> 1), 0);
    assert_eq!([multiply_high(2, 1 << 30), multiply_high(-2, 1 << 30)], [1, 0]);
    assert_eq!([multiply_high(6, 1 << 30), multiply_high(-6, 1 << 30)], [2, -1]);
}

#[test]
fn rounding_shift_right_rounds_half_up() {
    let mut random = Random::new(2);
    for _ in 0..100_000 {
        let (x, shift) = (interesting(&mut random), random.range(0, 31) as u32);
        let half = (1i64 << shift) / 2;
        let exact = (i64::from(x) + half).div_euclid(1 << shift);
        assert_eq!(i64::from(rounding_shift_right(x, shift)), exact, "{x} >> {shift}");
    }
}

#[test]
fn shift_left_saturates() {
    assert_eq!(saturating_shift_left(-5, 3), -40);
    assert_eq!(saturating_shift_left(i32::MAX, 4), i32::MAX & !15);
    assert_eq!(saturating_shift_left(i32::MIN, 31), i32::MIN);
    assert_eq!(saturating_shift_left(1, 31), 0);
}

#[test]
fn requantize_follows_the_formula() {
    let mut random = Random::new(3);
    for _ in 0..100_000 {
        let q = random.requantize();
        let sum = random.range(-(1 << 29), (1 << 29) - 1) as i32;
        let multiplier = random.u64() as i32;
        assert_eq!(q.apply(sum, multiplier), common::requantized(&q, sum.into(), multiplier), "{q:?} {sum}");
    }
}

#[test]
fn multipliers_are_nearest_and_fit() {
    assert_eq!(left_shift_for(0.25), 0);
    assert_eq!(left_shift_for(0.5), 1);
    // 2^31 − 1/4 would round up to 2^31.
    assert_eq!(left_shift_for(((1u64 << 31) as f64 - 0.25) / (1u64 << 32) as f64), 1);
    assert_eq!(left_shift_for(0.0), 0);
    assert_eq!(multiplier(0.25, 0), 1 << 30);
    assert_eq!(multiplier(-0.25, 0), -(1 << 30));
    assert_eq!(multiplier(1.5 / (1u64 << 32) as f64, 0), 2);
    assert_eq!(multiplier(-1.5 / (1u64 << 32) as f64, 0), -2);
    let mut random = Random::new(4);
    for _ in 0..10_000 {
        let factor = random.range(1, 1 << 40) as f64 / (1u64 << random.range(16, 40)) as f64;
        let shift = left_shift_for(factor);
        let unit = (1u64 << (32 - shift)) as f64;
        assert!((f64::from(multiplier(factor, shift)) / unit - factor).abs() <= 0.5 / unit, "{factor}");
        assert!(shift == 0 || multiplier(factor, shift) >= 1 << 30, "{factor} wastes bits");
    }
}

#[test]
fn floats_round_half_to_even() {
    let mut random = Random::new(5);
    for _ in 0..1_000_000 {
        let x = f32::from_bits(random.u64() as u32);
        if !x.is_nan() {
            assert_eq!(round_ties_even_f32(x).to_bits(), x.round_ties_even().to_bits(), "{x}");
        }
    }
    for x in [0.5, 1.5, 2.5, -0.5, -1.5, 0.499_999_97, 8_388_607.5, 8_388_608.0, f32::INFINITY] {
        assert_eq!(round_ties_even_f32(x).to_bits(), x.round_ties_even().to_bits(), "{x}");
    }
    assert!(round_ties_even_f32(f32::NAN).is_nan());
}

#[test]
fn quantize_saturates() {
    let q = Quantization { scale: 0.5, zero_point: 3 };
    assert_eq!(q.quantize(1.25), 3 + 2);
    assert_eq!(q.quantize(-0.75), 3 - 2);
    assert_eq!([q.quantize(1e30), q.quantize(f32::INFINITY)], [127, 127]);
    assert_eq!([q.quantize(-1e30), q.quantize(f32::NEG_INFINITY)], [-128, -128]);
    assert_eq!(q.quantize(f32::NAN), 3);
    for value in i8::MIN..=i8::MAX {
        assert_eq!(q.quantize(q.dequantize(value)), value);
    }
}

#[test]
fn reciprocal_square_roots() {
    let mut random = Random::new(3);
    let edges = (0..64).flat_map(|bit| [1 << bit, (1 << bit) + 1, u64::MAX >> bit]);
    let drawn = (0..20_000).map(|_| random.u64() >> random.range(0, 63));
    for x in edges.chain(drawn).chain([1, 2, 3, u64::MAX]).filter(|&x| x > 0) {
        let (m, shift) = reciprocal_sqrt(x);
        assert!((1 << 30..=1 << 31).contains(&m) && (31..=62).contains(&shift), "{x}: {m} {shift}");
        let found = f64::from(m) / (1u64 << shift) as f64;
        assert!((found * (x as f64).sqrt() - 1.0).abs() < 2f64.powi(-28), "{x}: {found}");
    }
    assert_eq!(reciprocal_sqrt(0), reciprocal_sqrt(1));
}
