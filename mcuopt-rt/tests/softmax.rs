//! Softmax against f64, and the integer kernels against their formulas.

mod common;

use common::{Random, at, indices, run};
use mcuopt_rt::v0::*;

fn in_place<T: Clone>(x: &[T], f: impl Fn(&mut [T])) -> Vec<T> {
    let mut y = x.to_vec();
    f(&mut y);
    y
}

/// For each row along the middle axis, its places in memory.
fn rows(p: &Rows) -> Vec<Vec<usize>> {
    indices(&[p.outer, p.inner])
        .iter()
        .map(|i| (0..p.len).map(|k| at(&[p.outer, p.len, p.inner], &[i[0], k, i[1]])).collect())
        .collect()
}

#[test]
fn float_softmax() {
    let mut random = Random::new(40);
    for _ in 0..200 {
        let [outer, len, inner] = random.sizes(1, 9);
        let p = Rows { outer, len, inner };
        let x: Vec<f32> = random.f32s(outer * len * inner).iter().map(|x| x * 20.0).collect();
        let y = run!(softmax_f32(&p, &x) -> x.len(), 0.0);
        let log = run!(log_softmax_f32(&p, &x) -> x.len(), 0.0);
        for f in [softmax_f32_in_place, shared::softmax_f32_in_place] {
            assert_eq!(in_place(&x, |xy| f(&p, xy)), y);
        }
        for f in [log_softmax_f32_in_place, shared::log_softmax_f32_in_place] {
            assert_eq!(in_place(&x, |xy| f(&p, xy)), log);
        }
        for row in rows(&p) {
            let sum: f64 = row.iter().map(|&i| f64::from(x[i]).exp()).sum();
            for i in row {
                let exact = f64::from(x[i]).exp() / sum;
                assert!((f64::from(y[i]) - exact).abs() <= 1e-6 * exact, "{p:?}");
                assert!((f64::from(log[i]) - exact.ln()).abs() <= 1e-5, "{p:?}");
            }
        }
    }
}

#[test]
fn large_floats_do_not_overflow() {
    let p = Rows { outer: 1, len: 3, inner: 1 };
    assert_eq!(run!(softmax_f32(&p, &[3e38, -3e38, 3e38]) -> 3, 0.0), [0.5, 0.0, 0.5]);
    assert_eq!(run!(softmax_f32(&p, &[0.0, f32::NEG_INFINITY, -200.0]) -> 3, 0.0), [1.0, 0.0, 0.0]);
}

#[test]
fn exponential_tables() {
    for scale in [1e-6, 0.01, 0.1, 0.5, 1.0, 3.0, 20.0] {
        let (table, len) = exp_table(scale);
        for (d, &entry) in table.iter().enumerate() {
            assert_eq!(f64::from(entry), ((-(d as f64) * scale).exp() * 32768.0).round(), "{scale} {d}");
            assert_eq!(entry > 0, d < len);
        }
    }
}

#[test]
fn int8_softmax() {
    let mut random = Random::new(41);
    for _ in 0..300 {
        let [outer, inner] = random.sizes(1, 3);
        let p = Rows { outer, len: random.size(1, 30), inner };
        let scale = random.range(1, 100) as f32 / 200.0;
        let (table, len) = exp_table(scale.into());
        let exp = &table[..len];
        let x = random.i8s(outer * p.len * inner);
        let softmax = SoftmaxS8::new(Quantization { scale: 1.0 / 256.0, zero_point: -128 });
        let log_output = Quantization { scale: random.range(1, 20) as f32 / 50.0, zero_point: 127 };
        let log_softmax = LogSoftmaxS8::new(scale, log_output);
        let y = run!(softmax_s8(&p, &softmax, exp, &x) -> x.len(), 0);
        let log = run!(log_softmax_s8(&p, &log_softmax, exp, &x) -> x.len(), 0);
        for f in [softmax_s8_in_place, shared::softmax_s8_in_place] {
            assert_eq!(in_place(&x, |xy| f(&p, &softmax, exp, xy)), y);
        }
        for f in [log_softmax_s8_in_place, shared::log_softmax_s8_in_place] {
            assert_eq!(in_place(&x, |xy| f(&p, &log_softmax, exp, xy)), log);
        }
        for row in rows(&p) {
            let max = row.iter().map(|&i| i32::from(x[i])).max().unwrap();
            let e = |i: usize| u64::from(exp.get((max - i32::from(x[i])) as usize).copied().unwrap_or(0));
            let sum: u64 = row.iter().map(|&i| e(i)).sum();
            let exact_sum: f64 = row.iter().map(|&i| (f64::from(i32::from(x[i]) - max) * f64::from(scale)).exp()).sum();
            for i in row {
                let probability = ((e(i) << 16) + sum / 2) / sum;
                let expected = (probability as i64 * 256 + (1 << 15)) >> 16;
                assert_eq!(i64::from(y[i]), (expected - 128).clamp(-128, 127));

                let exact = f64::from(i32::from(x[i]) - max) * f64::from(scale);
                let exact_log = (exact - exact_sum.ln()) / f64::from(log_output.scale) + 127.0;
                let bound = 0.5 + (p.len as f64 / 65536.0 + 0.0015) / f64::from(log_output.scale);
                assert!((f64::from(log[i]) - exact_log.clamp(-128.0, 127.0)).abs() <= bound, "{p:?} {scale}");
                let exact = (exact.exp() / exact_sum * 256.0 - 128.0).clamp(-128.0, 127.0);
                assert!((f64::from(y[i]) - exact).abs() < 0.53, "{p:?} {scale}");
            }
        }
    }
}

#[test]
fn the_longest_int8_rows() {
    let p = Rows { outer: 1, len: 1 << 15, inner: 1 };
    let (table, len) = exp_table(0.1);
    let x = vec![5; p.len];
    let q = SoftmaxS8::new(Quantization { scale: 1.0 / 32768.0, zero_point: 0 });
    assert_eq!(run!(softmax_s8(&p, &q, &table[..len], &x) -> p.len, 0), vec![1; p.len]);
    let q = LogSoftmaxS8::new(0.1, Quantization { scale: 0.1, zero_point: 0 });
    // −15 ln 2 / 0.1 = −103.97.
    assert_eq!(run!(log_softmax_s8(&p, &q, &table[..len], &x) -> p.len, 0), vec![-104; p.len]);
}
