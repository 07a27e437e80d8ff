//! Kernels without weights that work element by element, and the product of two activations.

use mcuopt_rt::v0::{
    AddS8, Broadcast, MatMul, Quantization, Requantize, add_s8, add_s8_in_place, lut_s8, lut_s8_in_place, matmul_s8,
    mul_s8, mul_s8_in_place, requantize_s8, requantize_s8_in_place, shared,
};

use crate::memory::Memory;
use crate::random::Random;
use crate::trial::{Kernel, Subject, Trial};
use crate::{formula, layers};

pub fn add(memory: &mut Memory, random: &mut Random, trial: &mut Trial) {
    let q = add_parameters(random);
    let in_place = random.once_in(2);
    let p = layers::broadcast(random, in_place);
    let Memory { x: a, b, expected, fields, .. } = memory;
    let (a, b) = operands(&p, random, a, &mut b.0);
    let expected = &mut expected[..p.shape.iter().product()];
    formula::broadcast(&p, |y, i, j| expected[y] = formula::added(&q, a[i], b[j]));

    let subject = Subject { layer: &(p, q), x: a, expected, element: 1 };
    for (kernel, run) in [("add_s8", add_s8 as fn(&_, &_, &_, &_, &mut _)), ("shared::add_s8", shared::add_s8)] {
        trial.apart(Kernel::named(kernel), &subject, 0, fields, random, |a, y, _| run(&p, &q, a, b, y));
    }
    if in_place {
        trial.overlapping(Kernel::named("add_s8_in_place"), &subject, 0, 0, fields, random, |ay, _| {
            add_s8_in_place(&p, &q, ay, b);
        });
    }
}

/// Those of real layers, and others whose sums reach the ends of 32 bits.
fn add_parameters(random: &mut Random) -> AddS8 {
    let Requantize { zero_point, min, max, .. } = random.requantize();
    if random.once_in(2) {
        let mut quantization = |zero_point| Quantization { scale: random.range(1, 1000) as f32 / 128.0, zero_point };
        let (a, b, y) = (quantization(3), quantization(-128), quantization(zero_point));
        let sign = random.choose(&[1.0, -1.0]);
        return AddS8::new(Quantization { zero_point: random.zero_point(), ..a }, b, y, sign, min, max);
    }
    let shift = random.size(1, 22) as u32;
    let mut within = |limit: i32| random.range(-limit, limit);
    let [a, b] = [within(32767), within(32767)];
    let [a_multiplier, b_multiplier] = random.choose(&[[a, b], [a, b], [-32767, 32767], [32767, 32767]]);
    let room = i32::MAX - 128 * (a_multiplier.abs() + b_multiplier.abs());
    let (wide, usual) =
        (random.range(-room, room), random.range(-128, 128).saturating_mul(1 << shift).clamp(-room, room));
    let bias = random.choose(&[room, -room, wide, usual, usual]);
    AddS8 { a_multiplier, b_multiplier, bias, shift, min, max }
}

pub fn mul(memory: &mut Memory, random: &mut Random, trial: &mut Trial) {
    let (q, multiplier) = (random.requantize(), random.range(-1 << 24, 1 << 24));
    let [a_zero, b_zero] = [random.zero_point(), random.zero_point()];
    let in_place = random.once_in(2);
    let p = layers::broadcast(random, in_place);
    let Memory { x: a, b, expected, fields, .. } = memory;
    let (a, b) = operands(&p, random, a, &mut b.0);
    let expected = &mut expected[..p.shape.iter().product()];
    formula::broadcast(&p, |y, i, j| {
        let product = (i32::from(a[i]) - a_zero) * (i32::from(b[j]) - b_zero);
        expected[y] = formula::requantized(&q, product.into(), multiplier);
    });

    let subject = Subject { layer: &(p, q, multiplier, a_zero, b_zero), x: a, expected, element: 1 };
    trial.apart(Kernel::named("mul_s8"), &subject, 0, fields, random, |a, y, _| {
        mul_s8(&p, &q, multiplier, a_zero, b_zero, a, b, y);
    });
    trial.apart(Kernel::named("shared::mul_s8"), &subject, 0, fields, random, |a, y, _| {
        shared::mul_s8(&p, &q, multiplier, a_zero, b_zero, a, b, y);
    });
    if in_place {
        trial.overlapping(Kernel::named("mul_s8_in_place"), &subject, 0, 0, fields, random, |ay, _| {
            mul_s8_in_place(&p, &q, multiplier, a_zero, b_zero, ay, b);
        });
    }
}

/// The two operands, the second at any alignment.
fn operands<'a>(p: &Broadcast, random: &mut Random, a: &'a mut [i8], b: &'a mut [i8]) -> (&'a [i8], &'a [i8]) {
    let length =
        |strides: &[usize; 4]| p.shape.iter().zip(strides).map(|(size, stride)| (size - 1) * stride).sum::<usize>() + 1;
    let a = &mut a[..length(&p.a_strides)];
    let b = &mut b[random.size(0, 3)..][..length(&p.b_strides)];
    random.fill(a);
    random.fill(b);
    (a, b)
}

pub fn requantize(memory: &mut Memory, random: &mut Random, trial: &mut Trial) {
    let (q, multiplier, zero_point) = (random.requantize(), random.range(i32::MIN, i32::MAX), random.zero_point());
    let len = random.size(1, 300);
    let Memory { x, expected, fields, .. } = memory;
    let (x, expected) = (&mut x[..len], &mut expected[..len]);
    random.fill(x);
    for (y, x) in expected.iter_mut().zip(&*x) {
        *y = formula::requantized(&q, i64::from(*x) - i64::from(zero_point), multiplier);
    }
    let subject = Subject { layer: &(len, q, multiplier, zero_point), x, expected, element: 1 };
    trial.apart(Kernel::named("requantize_s8"), &subject, 0, fields, random, |x, y, _| {
        requantize_s8(&q, multiplier, zero_point, x, y);
    });
    trial.overlapping(Kernel::named("requantize_s8_in_place"), &subject, 0, 0, fields, random, |xy, _| {
        requantize_s8_in_place(&q, multiplier, zero_point, xy);
    });
}

pub fn lut(memory: &mut Memory, random: &mut Random, trial: &mut Trial) {
    let mut table = [0; 256];
    table.fill_with(|| random.i8());
    let len = random.size(1, 300);
    let Memory { x, expected, fields, .. } = memory;
    let (x, expected) = (&mut x[..len], &mut expected[..len]);
    random.fill(x);
    for (y, x) in expected.iter_mut().zip(&*x) {
        *y = table[(i32::from(*x) + 128) as usize];
    }
    let subject = Subject { layer: &len, x, expected, element: 1 };
    trial.apart(Kernel::named("lut_s8"), &subject, 0, fields, random, |x, y, _| lut_s8(&table, x, y));
    trial.overlapping(Kernel::named("lut_s8_in_place"), &subject, 0, 0, fields, random, |xy, _| {
        lut_s8_in_place(&table, xy);
    });
}

pub fn matmul(memory: &mut Memory, random: &mut Random, trial: &mut Trial) {
    let (rows, inner, columns) = (random.size(1, 6), random.size(1, 40), random.size(1, 20));
    let (outer, batch) = (random.size(1, 2), random.size(1, 3));
    let mut p = MatMul { batch: [1, outer, batch], ..MatMul::new(rows, inner, columns) };
    let mut count = |matrix: usize| {
        let (shared_outer, shared) = (random.once_in(2), random.once_in(2));
        let per_outer = if shared { matrix } else { batch * matrix };
        let strides = [0, if shared_outer { 0 } else { per_outer }, if shared { 0 } else { matrix }];
        (strides, if shared_outer { per_outer } else { outer * per_outer })
    };
    let ((a_batch, a_len), (b_batch, b_len)) = (count(rows * inner), count(inner * columns));
    (p.a_batch, p.b_batch, p.y_batch) = (a_batch, b_batch, [0, batch * rows * columns, rows * columns]);
    // Operands row by row or column by column.
    if random.once_in(3) {
        (p.a_row, p.a_inner) = (1, rows);
    }
    if random.once_in(2) {
        (p.b_inner, p.b_column) = (1, inner);
    }
    let (q, multiplier) = (random.requantize(), random.range(1 << 16, 1 << 24));
    let [a_zero, b_zero] = [random.zero_point(), random.zero_point()];
    let Memory { x: a, b, expected, fields, .. } = memory;
    let a = &mut a[..a_len];
    let b = &mut b.0[random.size(0, 3)..][..b_len];
    random.fill(a);
    random.fill(b);
    let expected = &mut expected[..outer * batch * rows * columns];
    formula::matmul(&p, &q, multiplier, [a_zero, b_zero], a, b, expected);
    let subject = Subject { layer: &(p, q, multiplier, a_zero, b_zero), x: a, expected, element: 1 };
    trial.apart(Kernel::named("matmul_s8"), &subject, 0, fields, random, |a, y, _| {
        matmul_s8(&p, &q, multiplier, a_zero, b_zero, a, b, y);
    });
}
