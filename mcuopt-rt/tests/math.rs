//! Elementary functions against f64.

mod common;

use common::Random;
use mcuopt_rt::math::*;
use mcuopt_rt::v0::{Unary, unary_f32_in_place};

/// The distance in units of the last place of the exact result.
fn ulps(value: f32, exact: f64) -> f64 {
    let rounded = exact as f32;
    if value == rounded || value.is_nan() && exact.is_nan() {
        return 0.0;
    }
    if !rounded.is_finite() || !value.is_finite() {
        return f64::INFINITY;
    }
    let magnitude = rounded.abs().max(f32::MIN_POSITIVE);
    let ulp = f64::from(f32::from_bits(magnitude.to_bits() + 1)) - f64::from(magnitude);
    (f64::from(value) - exact).abs() / ulp
}

/// The worst error over floats of all magnitudes and a dense set from −110 to 110.
fn worst(f: impl Fn(f32) -> f32, exact: impl Fn(f64) -> f64, domain: impl Fn(f32) -> bool) -> (f64, f32) {
    let mut random = Random::new(60);
    let any = (0..400_000).map(|_| f32::from_bits(random.u64() as u32)).collect::<Vec<_>>();
    let dense = (0..400_000).map(|i| (i as f32 - 200_000.0) * 0.000_55 + 0.000_013);
    let mut worst = (0.0, 0.0);
    for x in any.into_iter().chain(dense).filter(|&x| !x.is_nan() && domain(x)) {
        let error = ulps(f(x), exact(x.into()));
        if error > worst.0 {
            worst = (error, x);
        }
    }
    println!("worst error: {} ulp at {}", worst.0, worst.1);
    worst
}

#[track_caller]
fn check(f: impl Fn(f32) -> f32, exact: impl Fn(f64) -> f64, domain: impl Fn(f32) -> bool, limit: f64) {
    let (error, x) = worst(f, exact, domain);
    assert!(error <= limit, "{error} ulp at {x}");
}

#[test]
fn exponential() {
    check(exp, f64::exp, |_| true, 1.0);
    assert_eq!([exp(0.0), exp(f32::NEG_INFINITY), exp(f32::INFINITY)], [1.0, 0.0, f32::INFINITY]);
    assert_eq!([exp(88.72), exp(88.73)].map(f32::is_finite), [true, false]);
    assert!(exp(-103.9) > 0.0 && exp(-104.0) == 0.0 && exp(f32::NAN).is_nan());
}

#[test]
fn logarithm() {
    check(ln, f64::ln, |x| x >= 0.0, 1.0);
    let near_one = |i: i32| 1.0 + i as f32 * f32::EPSILON;
    assert!((-100_000..100_000).all(|i| ulps(ln(near_one(i)), f64::from(near_one(i)).ln()) <= 1.0));
    assert_eq!([ln(0.0), ln(-0.0), ln(1.0), ln(f32::INFINITY)], [-f32::INFINITY, -f32::INFINITY, 0.0, f32::INFINITY]);
    assert!(ln(-1.0).is_nan() && ln(f32::NAN).is_nan());
}

#[test]
fn others() {
    check(exp_m1, f64::exp_m1, |_| true, 3.0);
    check(ln_1p, f64::ln_1p, |x| (0.0..=1.0).contains(&x), 3.0);
    check(sigmoid, |x| 1.0 / (1.0 + (-x).exp()), |_| true, 3.0);
    check(tanh, f64::tanh, |_| true, 3.0);
    assert_eq!([tanh(f32::INFINITY), tanh(f32::NEG_INFINITY)], [1.0, -1.0]);
    assert_eq!([sigmoid(f32::INFINITY), sigmoid(f32::NEG_INFINITY)], [1.0, 0.0]);
    assert!([tanh, sigmoid, exp_m1].iter().all(|f| f(f32::NAN).is_nan()));
}

#[test]
fn square_root() {
    let mut random = Random::new(61);
    for _ in 0..1_000_000 {
        let x = f32::from_bits(random.u64() as u32);
        assert!(sqrt(x).to_bits() == x.sqrt().to_bits() || x.sqrt().is_nan() && sqrt(x).is_nan(), "{x}");
    }
    for x in [0.0, -0.0, 1.0, 4.0, f32::MIN_POSITIVE, 1e-45, f32::MAX, f32::INFINITY] {
        assert_eq!(sqrt(x).to_bits(), x.sqrt().to_bits(), "{x}");
    }
}

#[test]
fn exponential_for_tables() {
    for i in -70_000..=70_000 {
        let x = f64::from(i) * 0.01;
        assert!((exp_f64(x) / x.exp() - 1.0).abs() <= 1e-12, "{x}");
    }
}

#[test]
fn unary_functions() {
    let softplus = |x: f64| x.max(0.0) + (-x.abs()).exp().ln_1p();
    let elu = |x: f64, alpha: f64| if x < 0.0 { alpha * x.exp_m1() } else { x };
    let hard = |x: f64| (x / 6.0 + 0.5).clamp(0.0, 1.0);
    #[allow(clippy::type_complexity)]
    let functions: &[(Unary, &dyn Fn(f64) -> f64, f64)] = &[
        (Unary::Clamp { min: -1.0, max: 6.0 }, &|x| x.clamp(-1.0, 6.0), 0.0),
        (Unary::LeakyRelu { alpha: 0.25 }, &|x| if x < 0.0 { 0.25 * x } else { x }, 0.5),
        (Unary::Elu { alpha: 0.5 }, &|x| elu(x, 0.5), 4.0),
        (Unary::Selu { alpha: 1.5, gamma: 1.25 }, &|x| 1.25 * elu(x, 1.5), 5.0),
        (Unary::Sigmoid, &|x| 1.0 / (1.0 + (-x).exp()), 3.0),
        (Unary::HardSigmoid { alpha: 0.25, beta: 0.5 }, &|x| (0.25 * x + 0.5).clamp(0.0, 1.0), 1.0),
        (Unary::Silu, &|x| x / (1.0 + (-x).exp()), 4.0),
        (Unary::HardSwish, &|x| x * hard(x), 4.0),
        (Unary::Tanh, &f64::tanh, 3.0),
        (Unary::Softplus, &softplus, 4.0),
        (Unary::Softsign, &|x| x / (1.0 + x.abs()), 1.5),
        (Unary::Exp, &f64::exp, 1.0),
        (Unary::Log, &f64::ln, 1.0),
        (Unary::Sqrt, &f64::sqrt, 0.5),
        (Unary::Reciprocal, &|x| 1.0 / x, 0.5),
        (Unary::Neg, &|x| -x, 0.0),
        (Unary::Abs, &f64::abs, 0.0),
        (Unary::Floor, &f64::floor, 0.0),
        (Unary::Ceil, &f64::ceil, 0.0),
        (Unary::Round, &f64::round_ties_even, 0.0),
    ];
    for (op, exact, limit) in functions {
        // HardSigmoid cancels near its zero, as ONNX's formula does; Silu multiplies a subnormal number.
        let cancels = |x: f32| match op {
            Unary::HardSigmoid { .. } => x < -1.9,
            Unary::Silu => x < -87.0,
            _ => false,
        };
        let (error, x) = worst(|x| op.apply(x), exact, |x| x.is_finite() && !cancels(x));
        assert!(error <= *limit, "{op:?}: {error} ulp at {x}");
        assert!(op.apply(f32::NAN).is_nan(), "{op:?}");
        let mut xy = [0.25, 0.5, 3.0];
        let y = common::run!(unary_f32(op, &xy) -> 3, 0.0);
        unary_f32_in_place(op, &mut xy);
        assert_eq!(y, xy);
    }
    for op in [Unary::Silu, Unary::HardSwish, Unary::Softplus] {
        assert_eq!([op.apply(f32::INFINITY), op.apply(f32::NEG_INFINITY)], [f32::INFINITY, 0.0], "{op:?}");
    }
    assert_eq!(Unary::Softsign.apply(f32::NEG_INFINITY), -1.0);
}
