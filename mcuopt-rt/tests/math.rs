//! Elementary functions against f64.

mod common;

use common::Random;
use mcuopt_rt::math::*;
use mcuopt_rt::v0::*;

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
fn error_function() {
    check(erf, libm::erf, |_| true, 3.0);
    check(erfc, libm::erfc, |x| x < 9.0, 8.0);
    assert_eq!([erf(f32::INFINITY), erf(f32::NEG_INFINITY), erf(-0.0)], [1.0, -1.0, 0.0]);
    assert_eq!([erfc(f32::INFINITY), erfc(f32::NEG_INFINITY), erfc(0.0)], [0.0, 2.0, 1.0]);
    assert!(erf(f32::NAN).is_nan() && erfc(f32::NAN).is_nan());
}

#[test]
fn unary_functions() {
    let softplus = |x: f64| x.max(0.0) + (-x.abs()).exp().ln_1p();
    let elu = |x: f64, alpha: f64| if x < 0.0 { alpha * (x / alpha).exp_m1() } else { x };
    let hard = |x: f64| (x / 6.0 + 0.5).clamp(0.0, 1.0);
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    #[allow(clippy::type_complexity)]
    let functions: &[(&dyn Function<f32, f32>, &dyn Fn(f64) -> f64, f64)] = &[
        (&Clamp { min: -1.0, max: 6.0 }, &|x| x.clamp(-1.0, 6.0), 0.0),
        (&LeakyRelu { alpha: 0.25 }, &|x| if x < 0.0 { 0.25 * x } else { x }, 0.5),
        (&Elu { alpha: 0.5 }, &|x| if x < 0.0 { 0.5 * x.exp_m1() } else { x }, 4.0),
        (&Celu { alpha: 0.5 }, &|x| elu(x, 0.5), 4.0),
        (&Selu { alpha: 1.5, gamma: 1.25 }, &|x| 1.25 * if x < 0.0 { 1.5 * x.exp_m1() } else { x }, 5.0),
        (&ThresholdedRelu { alpha: 1.5 }, &|x| if x > 1.5 { x } else { 0.0 }, 0.0),
        (&Shrink { lambd: 0.5, bias: 0.25 }, &|x| if x.abs() <= 0.5 { 0.0 } else { x - 0.25_f64.copysign(x) }, 0.5),
        (&Sigmoid, &sigmoid, 3.0),
        (&HardSwish, &|x| x * hard(x), 4.0),
        (&Tanh, &f64::tanh, 3.0),
        (&Softplus, &softplus, 4.0),
        (&Softsign, &|x| x / (1.0 + x.abs()), 1.5),
        (&Erf, &|x| libm::erf(x), 3.0),
        (&Exp, &f64::exp, 1.0),
        (&Log, &f64::ln, 1.0),
        (&Sqrt, &f64::sqrt, 0.5),
        (&Reciprocal, &|x| 1.0 / x, 0.5),
        (&Neg, &|x| -x, 0.0),
        (&Abs, &f64::abs, 0.0),
        (&Sign, &|x| if x == 0.0 { x } else { x.signum() }, 0.0),
        (&Floor, &f64::floor, 0.0),
        (&Ceil, &f64::ceil, 0.0),
        (&Round, &f64::round_ties_even, 0.0),
    ];
    for (number, (f, exact, limit)) in functions.iter().enumerate() {
        let (error, x) = worst(|x| f.apply(x), exact, |x| x.is_finite());
        assert!(error <= *limit, "function {number}: {error} ulp at {x}");
        assert!(f.apply(f32::NAN).is_nan() || number == 5, "function {number}");
    }
    let x = [0.25, 0.5, 3.0];
    let (mut y, mut xy) = ([0.0; 3], x);
    unary(&Exp, &x, &mut y);
    unary_in_place(&Exp, &mut xy);
    assert_eq!([y, xy], [x.map(exp); 2]);
    assert_eq!(Softsign.apply(f32::NEG_INFINITY), -1.0);
}

/// Those that multiply `x` by something in 0 ..= 1, whose error grows as that becomes subnormal; and HardSigmoid, which
/// cancels near its zero as ONNX's formula does.
#[test]
fn gates() {
    let phi = |x: f64| 0.5 * libm::erfc(-x * std::f64::consts::FRAC_1_SQRT_2);
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    let gelu_tanh = |x: f64| x * sigmoid(2.0 * (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x));
    let mish = |x: f64| x * (x.max(0.0) + (-x.abs()).exp().ln_1p()).tanh();
    let within = |min: f32, max: f32| move |x: f32| (min..max).contains(&x);
    check(|x| Swish { alpha: 1.0 }.apply(x), |x| x * sigmoid(x), within(-87.0, f32::MAX), 4.0);
    check(|x| Swish { alpha: 1.5 }.apply(x), |x| x * sigmoid(1.5 * x), within(-50.0, f32::MAX), 80.0);
    check(|x| Mish.apply(x), mish, within(-87.0, f32::MAX), 8.0);
    check(|x| Gelu.apply(x), |x| x * phi(x), within(-5.0, f32::MAX), 32.0);
    check(|x| GeluTanh.apply(x), gelu_tanh, within(-5.0, f32::MAX), 40.0);
    check(
        |x| HardSigmoid { alpha: 0.25, beta: 0.5 }.apply(x),
        |x| (0.25 * x + 0.5).clamp(0.0, 1.0),
        within(-1.9, f32::MAX),
        1.0,
    );
    let gates: [&dyn Function<f32, f32>; 6] =
        [&Swish { alpha: 1.0 }, &Swish { alpha: 1.702 }, &HardSwish, &Mish, &Gelu, &GeluTanh];
    for f in gates {
        assert_eq!([f.apply(f32::INFINITY), f.apply(f32::NEG_INFINITY)], [f32::INFINITY, 0.0]);
        assert!(f.apply(f32::NAN).is_nan());
    }
}
