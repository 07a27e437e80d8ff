//! Kernels that sum up or compare neighbours.

use mcuopt_rt::v0::{Reduce, average_pool_s8, max_pool_s8, reduce_max, reduce_mean_s8, reduce_min, shared};

use crate::memory::Memory;
use crate::random::Random;
use crate::trial::{Kernel, Subject, Trial};
use crate::{formula, layers};

pub fn max_pool(memory: &mut Memory, random: &mut Random, trial: &mut Trial) {
    let p = layers::pool(random);
    let Memory { x, expected, fields, .. } = memory;
    let x = &mut x[..p.batch * p.input.iter().product::<usize>()];
    let expected = &mut expected[..p.batch * p.output.iter().product::<usize>()];
    random.fill(x);
    formula::pool(&p, |y, cells, _| expected[y] = cells.iter().map(|cell| x[*cell]).max().unwrap_or(i8::MIN));
    let subject = Subject { layer: &p, x, expected, element: 1 };
    trial.apart(Kernel::named("max_pool_s8"), &subject, 0, fields, random, |x, y, _| max_pool_s8(&p, x, y));
    trial.apart(Kernel::named("shared::max_pool_s8"), &subject, 0, fields, random, |x, y, _| {
        shared::max_pool_s8(&p, x, y);
    });
}

pub fn average_pool(memory: &mut Memory, random: &mut Random, trial: &mut Trial) {
    let p = layers::pool(random);
    let (q, zero_point, count_include_pad) = (random.requantize(), random.zero_point(), random.once_in(2));
    let Memory { constants, x, expected, fields, .. } = memory;
    let multipliers = &mut constants.multipliers[..p.kernel[0] * p.kernel[1]];
    for (index, multiplier) in multipliers.iter_mut().enumerate() {
        let usual = ((1 << 30) / (index as i32 + 1)) >> q.left_shift;
        *multiplier = random.range(usual / 2, usual);
    }
    let x = &mut x[..p.batch * p.input.iter().product::<usize>()];
    let expected = &mut expected[..p.batch * p.output.iter().product::<usize>()];
    random.fill(x);
    formula::pool(&p, |y, cells, padded| {
        let sum: i64 = cells.iter().map(|cell| i64::from(x[*cell]) - i64::from(zero_point)).sum();
        let count = if count_include_pad { padded } else { cells.len() };
        expected[y] = formula::requantized(&q, sum, multipliers[count.max(1) - 1]);
    });
    let subject = Subject { layer: &(p, q, zero_point, count_include_pad), x, expected, element: 1 };
    trial.apart(Kernel::named("average_pool_s8"), &subject, 0, fields, random, |x, y, _| {
        average_pool_s8(&p, &q, zero_point, count_include_pad, multipliers, x, y);
    });
    trial.apart(Kernel::named("shared::average_pool_s8"), &subject, 0, fields, random, |x, y, _| {
        shared::average_pool_s8(&p, &q, zero_point, count_include_pad, multipliers, x, y);
    });
}

fn reduced(random: &mut Random) -> Reduce {
    let inner = random.size(1, 40);
    Reduce {
        outer: random.choose(&[1, 1, 2, 3]),
        len: random.size(1, 130),
        inner: random.choose(&[1, 4, 16, 64, inner, inner]),
    }
}

/// Calls `each` for each output with the inputs that it reduces.
fn for_each(p: &Reduce, x: &[i8], y: &mut [i8], each: impl Fn(&mut dyn Iterator<Item = i8>) -> i8) {
    for (index, y) in y.iter_mut().enumerate() {
        let first = index / p.inner * p.len * p.inner + index % p.inner;
        *y = each(&mut (0..p.len).map(|i| x[first + i * p.inner]));
    }
}

pub fn reduce_mean(memory: &mut Memory, random: &mut Random, trial: &mut Trial) {
    let p = reduced(random);
    let (q, zero_point) = (random.requantize(), random.zero_point());
    let usual = ((1 << 30) / p.len as i32) >> q.left_shift;
    let multiplier = random.range(usual / 2, usual);
    let Memory { x, expected, fields, .. } = memory;
    let (x, expected) = (&mut x[..p.outer * p.len * p.inner], &mut expected[..p.outer * p.inner]);
    random.fill(x);
    for_each(&p, x, expected, |inputs| {
        formula::requantized(&q, inputs.map(|x| i64::from(x) - i64::from(zero_point)).sum(), multiplier)
    });
    let subject = Subject { layer: &(p, q, multiplier, zero_point), x, expected, element: 1 };
    trial.apart(Kernel::named("reduce_mean_s8"), &subject, 0, fields, random, |x, y, _| {
        reduce_mean_s8(&p, &q, multiplier, zero_point, x, y);
    });
    trial.apart(Kernel::named("shared::reduce_mean_s8"), &subject, 0, fields, random, |x, y, _| {
        shared::reduce_mean_s8(&p, &q, multiplier, zero_point, x, y);
    });
}

pub fn reduce_extremes(memory: &mut Memory, random: &mut Random, trial: &mut Trial) {
    let p = reduced(random);
    let Memory { x, expected, fields, .. } = memory;
    let (x, expected) = (&mut x[..p.outer * p.len * p.inner], &mut expected[..p.outer * p.inner]);
    random.fill(x);
    for_each(&p, x, expected, |inputs| inputs.max().expect("one at least"));
    let subject = Subject { layer: &p, x, expected, element: 1 };
    trial.apart(Kernel::named("reduce_max"), &subject, 0, fields, random, |x, y, _| reduce_max(&p, x, y));
    for_each(&p, x, expected, |inputs| inputs.min().expect("one at least"));
    let subject = Subject { layer: &p, x, expected, element: 1 };
    trial.apart(Kernel::named("reduce_min"), &subject, 0, fields, random, |x, y, _| reduce_min(&p, x, y));
}
