//! Functions of one, two and three elements of all types, against their definitions in wider integers.

mod common;

use common::{Random, indices};
use mcuopt_rt::v0::*;

macro_rules! check_integers {
    ($random:ident: $($type:ident)*) => {$({
        let numbers: Vec<$type> = [0, 1, 2, 7, $type::MIN, $type::MAX, $type::MAX - 1, 0u8.wrapping_sub(1) as $type]
            .into_iter()
            .chain((0..40).map(|_| $random.u64() as $type))
            .collect();
        let wrap = |value: i128| value as $type;
        for &a in &numbers {
            let wide = a as i128;
            assert_eq!(BitwiseNot.apply(a), !a);
            assert_eq!(Sign.apply(a) as i128, wide.signum());
            assert_eq!(CastBool.apply(a), u8::from(wide != 0));
            assert_eq!(HalfPower { halves: 6 }.apply(a), a.wrapping_mul(a).wrapping_mul(a));
            let narrow: i8 = Cast.apply(a);
            let float: f32 = Cast.apply(a);
            assert_eq!((narrow, float), (a as i8, a as f32));
            for &b in &numbers {
                let other = b as i128;
                assert_eq!(Add.apply((a, b)), wrap(wide + other));
                assert_eq!(Sub.apply((a, b)), wrap(wide - other));
                assert_eq!(Mul.apply((a, b)), wrap(wide.wrapping_mul(other)));
                assert_eq!(Max.apply((a, b)) as i128, wide.max(other));
                assert_eq!(Min.apply((a, b)) as i128, wide.min(other));
                let divisor = if other == 0 { None } else { Some(other) };
                assert_eq!(Div.apply((a, b)), divisor.map_or(0, |b| wrap(wide / b)));
                assert_eq!(Fmod.apply((a, b)), divisor.map_or(0, |b| wrap(wide % b)));
                let euclid = |b: i128| wide.rem_euclid(b) + if b < 0 && wide.rem_euclid(b) != 0 { b } else { 0 };
                assert_eq!(Mod.apply((a, b)), divisor.map_or(0, |b| wrap(euclid(b))), "{a} mod {b}");
                assert_eq!(BitwiseAnd.apply((a, b)), a & b);
                assert_eq!(BitwiseOr.apply((a, b)), a | b);
                assert_eq!(BitwiseXor.apply((a, b)), a ^ b);
                let compared: [u8; 5] = [
                    Equal.apply((a, b)),
                    Less.apply((a, b)),
                    LessOrEqual.apply((a, b)),
                    Greater.apply((a, b)),
                    GreaterOrEqual.apply((a, b)),
                ];
                assert_eq!(compared, [a == b, a < b, a <= b, a > b, a >= b].map(u8::from));
            }
            for exponent in 0..6_i32 {
                let expected = (0..exponent).fold(1, |power: $type, _| power.wrapping_mul(a));
                assert_eq!(Pow.apply((a, exponent)), expected);
                assert_eq!(Pow.apply((a, exponent as u8)), expected);
            }
            let bits = $type::BITS as $type;
            assert_eq!(ShiftLeft.apply((a, 3)), a << 3);
            assert_eq!(ShiftRight.apply((a, 3)), a >> 3);
            assert_eq!([ShiftLeft.apply((a, bits)), ShiftRight.apply((a, bits))], [0, 0]);
        }
        assert_eq!([Pow.apply((2 as $type, -1_i64)), Pow.apply((1 as $type, -1_i64)), Pow.apply((0 as $type, -1_i64))], [0, 1, 0]);
    })*};
}

#[test]
fn integers() {
    let mut random = Random::new(70);
    check_integers!(random: i8 u8 i16 u16 i32 u32 i64 u64);
    assert_eq!([Neg.apply(5_i8), Neg.apply(-128), Abs.apply(-5), Abs.apply(-128)], [-5, -128, 5, -128]);
    assert_eq!(Pow.apply((-1_i64, u64::MAX)), -1);
    assert_eq!(Pow.apply((-1_i64, u64::MAX - 1)), 1);
}

#[test]
fn floats() {
    let nan = f32::NAN;
    let remainders = [(-7.5, 2.0), (7.5, -2.0), (7.5, 2.0), (-6.0, 3.0)];
    assert_eq!(remainders.map(|pair| Fmod.apply(pair)), [-1.5, 1.5, 1.5, -0.0]);
    assert_eq!(remainders.map(|pair| Mod.apply(pair)), [0.5, -0.5, 1.5, 0.0]);
    assert_eq!([PRelu.apply((-2.0, 0.25)), PRelu.apply((2.0, 0.25))], [-0.5, 2.0]);
    let casts = [nan, -1e30, 3e9, -1.9, 1.9];
    assert_eq!(casts.map(|x| -> i32 { Cast.apply(x) }), [0, i32::MIN, i32::MAX, -1, 1]);
    assert_eq!(casts.map(|x| -> u8 { Cast.apply(x) }), [0, 0, 255, 0, 1]);
    assert_eq!([0.0, -0.0, 0.1, nan].map(|x: f32| CastBool.apply(x)), [0, 0, 1, 1]);
    assert_eq!([0.0, nan, f32::INFINITY].map(|x| IsNaN.apply(x)), [0, 1, 0]);
    let is_inf = |negative, positive| {
        [f32::NEG_INFINITY, f32::INFINITY, nan, 1.0].map(|x| IsInf { negative, positive }.apply(x))
    };
    assert_eq!(
        [is_inf(true, false), is_inf(false, true), is_inf(true, true)],
        [[1, 0, 0, 0], [0, 1, 0, 0], [1, 1, 0, 0]]
    );
    for halves in -9..=9 {
        for x in [0.3_f32, 1.0, 1.7, 12.5] {
            let exact = f64::from(x).powf(f64::from(halves) / 2.0);
            let error = f64::from(HalfPower { halves }.apply(x)) / exact - 1.0;
            assert!(error.abs() < 1e-6, "{x}^({halves}/2)");
        }
    }
    assert!(Equal.apply((nan, nan)) == 0 && Less.apply((nan, 1.0)) == 0);
}

#[test]
fn truth_values() {
    let pairs = [(0, 0), (0, 1), (1, 0), (1, 1), (2, 1)];
    assert_eq!(pairs.map(|pair| And.apply(pair)), [0, 0, 0, 1, 1]);
    assert_eq!(pairs.map(|pair| Or.apply(pair)), [0, 1, 1, 1, 1]);
    assert_eq!(pairs.map(|pair| Xor.apply(pair)), [0, 1, 1, 0, 0]);
    assert_eq!([Not.apply(0), Not.apply(1)], [1, 0]);
}

#[cfg(feature = "libm")]
#[test]
fn with_libm() {
    assert_eq!([Sin.apply(0.0), Cos.apply(0.0), Atan.apply(0.0), Acosh.apply(1.0)], [0.0, 1.0, 0.0, 0.0]);
    assert_eq!([Pow.apply((2.0_f32, -3.0_f32)), Pow.apply((2.0_f32, 3_i64))], [0.125, 8.0]);
    assert_eq!(Pow.apply((9_i32, 0.5_f32)), 3);
}

#[test]
fn broadcasting() {
    let mut random = Random::new(71);
    for i in 0..300 {
        let shape: [usize; 6] = random.sizes(1, 3);
        let mut strides = [[0; 6]; 3];
        for (operand, strides) in strides.iter_mut().enumerate() {
            let mut stride = 1;
            for axis in (0..6).rev() {
                if (operand == 0 && i % 2 == 0) || random.range(0, 2) > 0 {
                    strides[axis] = stride;
                    stride *= shape[axis];
                }
            }
        }
        let p = Broadcast3 { shape, strides };
        let place = |index: &[usize], operand: usize| -> usize {
            index.iter().zip(&strides[operand]).map(|(i, s)| i * s).sum()
        };
        let all = indices(&shape);
        let len = |operand| all.iter().map(|index| place(index, operand)).max().unwrap() + 1;
        let (a, b) = (random.f32s(len(0)), random.f32s(len(1)));
        let c: Vec<u8> = (0..len(2)).map(|_| random.range(0, 1) as u8).collect();
        let expected: Vec<f32> = all
            .iter()
            .map(|index| if c[place(index, 2)] != 0 { a[place(index, 0)] } else { b[place(index, 1)] })
            .collect();
        let mut y = vec![0.0; all.len()];
        ternary(&p, &Where, &a, &b, &c, &mut y);
        assert_eq!(y, expected, "{p:?}");
        let turned = Broadcast3 { shape, strides: [strides[1], strides[0], strides[2]] };
        ternary(&turned, &WhereNot, &b, &a, &c, &mut y);
        assert_eq!(y, expected, "{p:?}");
        if a.len() == y.len() {
            let mut ay = a.clone();
            ternary_in_place(&p, &Where, &mut ay, &b, &c);
            assert_eq!(ay, expected, "{p:?}");
        }

        // Two operands: the generic loops with operands of different types.
        let p = Broadcast {
            shape: [1, 1, shape[4], shape[5]],
            a_strides: [0, 0, shape[5], 1],
            b_strides: if i % 3 == 0 { [0, 0, 0, 1] } else { [0, 0, 1, 0] },
        };
        let (a, b) = (random.f32s(shape[4] * shape[5]), if i % 3 == 0 { shape[5] } else { shape[4] });
        let b = random.f32s(b);
        let mut y = vec![0; a.len()];
        binary(&p, &Less, &a, &b, &mut y);
        let b_of = |i: usize| b[i / shape[5] * p.b_strides[2] + i % shape[5] * p.b_strides[3]];
        let expected: Vec<u8> = (0..a.len()).map(|i| u8::from(a[i] < b_of(i))).collect();
        assert_eq!(y, expected);
        let mut ay = a.clone();
        binary_in_place(&p, &Reversed(Sub), &mut ay, &b);
        let expected: Vec<f32> = (0..a.len()).map(|i| b_of(i) - a[i]).collect();
        assert_eq!(ay, expected);
    }
}

#[test]
fn prelu() {
    let mut random = Random::new(72);
    for _ in 0..100 {
        let channels = random.size(1, 5);
        let p = Broadcast { shape: [1, 1, 4, channels], a_strides: [0, 0, channels, 1], b_strides: [0, 0, 0, 1] };
        let mut requantize = random.requantize();
        requantize.left_shift = 1;
        let q = PReluS8 {
            input_zero_point: random.range(-128, 127) as i32,
            positive: random.multiplier() << 2,
            requantize,
        };
        let negative: Vec<i32> = random.multipliers(channels).iter().map(|m| m - (1 << 27)).collect();
        let x = random.i8s(4 * channels);
        let expected: Vec<i8> = (x.iter().enumerate())
            .map(|(i, &x)| {
                let x = i64::from(x) - i64::from(q.input_zero_point);
                let multiplier = if x < 0 { negative[i % channels] } else { q.positive };
                common::requantized(&requantize, x, multiplier)
            })
            .collect();
        let (mut y, mut xy) = (vec![0; x.len()], x.clone());
        prelu_s8(&p, &q, &negative, &x, &mut y);
        prelu_s8_in_place(&p, &q, &negative, &mut xy);
        assert_eq!((&y, &xy), (&expected, &expected));
    }
}
