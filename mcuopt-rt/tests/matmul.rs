//! Matrix products against sums written out, over strides as transposed operands have them.

mod common;

use common::{Random, indices, requantized, run};
use mcuopt_rt::v0::*;

/// An operand whose axes, `extents` in the order of the result's, lie in memory in a random order: its strides and length.
/// Axes that are left out have the stride 0.
fn strided<const N: usize>(random: &mut Random, extents: [usize; N], shared: [bool; N]) -> ([usize; N], usize) {
    let mut order: Vec<usize> = (0..N).collect();
    (1..N).rev().for_each(|i| order.swap(i, random.size(0, i)));
    let mut strides = [0; N];
    let mut len = 1;
    for axis in order {
        if !shared[axis] {
            strides[axis] = len;
            len *= extents[axis];
        }
    }
    (strides, len)
}

fn geometry(random: &mut Random) -> (MatMul, [usize; 3]) {
    let batch = random.sizes(1, 3);
    // Often 1, as strides along such an axis say nothing.
    let mut size = |max: usize| if random.range(0, 3) == 0 { 1 } else { random.size(1, max) };
    let (rows, inner, columns) = (size(35), size(40), size(10));
    let mut shared = || [0; 3].map(|_| random.range(0, 2) == 0);
    let ([a0, a1, a2], [b0, b1, b2]) = (shared(), shared());
    let [x, y, z] = batch;
    let (a, a_len) = strided(random, [x, y, z, rows, inner], [a0, a1, a2, false, false]);
    let (b, b_len) = strided(random, [x, y, z, inner, columns], [b0, b1, b2, false, false]);
    let (c, rest) = strided(random, [x, y, z, rows], [false; 4]);
    let p = MatMul {
        batch,
        a_batch: [a[0], a[1], a[2]],
        b_batch: [b[0], b[1], b[2]],
        y_batch: [c[0], c[1], c[2]].map(|stride| stride * columns),
        rows,
        inner,
        columns,
        a_row: a[3],
        a_inner: a[4],
        b_inner: b[3],
        b_column: b[4],
        y_row: c[3] * columns,
    };
    (p, [a_len, b_len, rest * columns])
}

#[test]
fn sums_of_products() {
    let mut random = Random::new(13);
    let mut slices = 0;
    for _ in 0..600 {
        let (p, [a_len, b_len, y_len]) = geometry(&mut random);
        slices += usize::from(p.a_inner == 1 && p.b_inner == 1);
        let (q, multiplier) = (random.requantize(), random.multiplier());
        let (a_zero, b_zero) = (random.range(-128, 127) as i32, random.range(-128, 127) as i32);
        let (a, b) = (random.i8s(a_len), random.i8s(b_len));
        let y = run!(matmul_s8(&p, &q, multiplier, a_zero, b_zero, &a, &b) -> y_len, 0);
        let (a_f32, b_f32) = (random.f32s(a_len), random.f32s(b_len));
        let y_f32 = run!(matmul_f32(&p, 0.25, &Clamp::NONE, &a_f32, &b_f32) -> y_len, 0.0);
        let [x0, x1, x2] = p.batch;
        for index in indices(&[x0, x1, x2, p.rows, p.columns]) {
            let of = |strides: [usize; 3]| (0..3).map(|axis| index[axis] * strides[axis]).sum::<usize>();
            let (mut sum, mut sum_f32) = (0, 0.0);
            for k in 0..p.inner {
                let a_at = of(p.a_batch) + index[3] * p.a_row + k * p.a_inner;
                let b_at = of(p.b_batch) + k * p.b_inner + index[4] * p.b_column;
                sum += i64::from(i32::from(a[a_at]) - a_zero) * i64::from(i32::from(b[b_at]) - b_zero);
                sum_f32 += a_f32[a_at] * b_f32[b_at];
            }
            let at = of(p.y_batch) + index[3] * p.y_row + index[4];
            assert_eq!(y[at], requantized(&q, sum, multiplier), "{p:?}");
            assert_eq!(y_f32[at], 0.25 * sum_f32, "{p:?}");
        }
    }
    assert!(slices > 30, "{slices}");
}

#[test]
fn the_largest_sums() {
    let q = Requantize { left_shift: 0, zero_point: 0, min: -128, max: 127 };
    for (columns, b_inner, b_column) in [(1, 1, 1 << 15), (4, 1, 1 << 15), (4, 4, 1), (3, 3, 1)] {
        let p = MatMul { b_inner, b_column, ..MatMul::new(1, 1 << 15, columns) };
        for a in [-128i8, 127] {
            for b in [-128i8, 127] {
                for (a_zero, b_zero) in [(127, 127), (127, -128), (-128, 127), (-128, -128), (0, 0)] {
                    let sum = (i64::from(i32::from(a) - a_zero) * i64::from(i32::from(b) - b_zero)) << 15;
                    let (a, b) = (vec![a; 1 << 15], vec![b; columns << 15]);
                    let y = run!(matmul_s8(&p, &q, 255, a_zero, b_zero, &a, &b) -> columns, 0);
                    assert_eq!(y, vec![requantized(&q, sum, 255); columns]);
                }
            }
        }
    }
}
