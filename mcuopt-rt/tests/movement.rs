//! Kernels that only move elements, against index formulas.

mod common;

use common::{Random, at, indices, run};
use mcuopt_rt::v0::*;

fn shape(random: &mut Random) -> [usize; 6] {
    // Up to six axes, some of them 1.
    std::array::from_fn(|_| if random.range(0, 1) == 0 { 1 } else { random.size(1, 4) })
}

fn numbered(len: usize) -> Vec<i32> {
    (0..len as i32).collect()
}

#[test]
fn transposes() {
    let mut random = Random::new(50);
    for _ in 0..300 {
        let input = shape(&mut random);
        let mut axes: [usize; 6] = [0, 1, 2, 3, 4, 5];
        for i in (1..6).rev() {
            axes.swap(i, random.size(0, i));
        }
        let p = Transpose {
            shape: axes.map(|axis| input[axis]),
            strides: axes.map(|axis| input[axis + 1..].iter().product()),
        };
        let x = numbered(input.iter().product());
        let y = run!(transpose(&p, &x) -> x.len(), 0);
        for (i, index) in indices(&p.shape).iter().enumerate() {
            let mut from = [0; 6];
            (0..6).for_each(|k| from[axes[k]] = index[k]);
            assert_eq!(y[i], at(&input, &from) as i32, "{p:?}");
        }
    }
}

#[test]
fn expand() {
    let p = Transpose { shape: [1, 1, 1, 2, 3, 2], strides: [0, 0, 0, 0, 1, 0] };
    assert_eq!(run!(transpose(&p, &[7, 8, 9]) -> 12, 0), [7, 7, 8, 8, 9, 9, 7, 7, 8, 8, 9, 9]);
}

#[test]
fn slices() {
    let mut random = Random::new(51);
    for _ in 0..300 {
        let input = shape(&mut random);
        let mut p = Slice { input, start: [0; 6], step: [1; 6], output: input };
        #[allow(clippy::needless_range_loop)]
        for axis in 0..6 {
            p.start[axis] = random.size(0, input[axis] - 1);
            p.step[axis] = [-2, -1, 1, 1, 2][random.size(0, 4)];
            let room = if p.step[axis] > 0 { input[axis] - 1 - p.start[axis] } else { p.start[axis] };
            p.output[axis] = random.size(1, room / p.step[axis].unsigned_abs() + 1);
        }
        let x = numbered(input.iter().product());
        let outputs = indices(&p.output);
        let y = run!(slice(&p, &x) -> outputs.len(), 0);
        for (i, index) in outputs.iter().enumerate() {
            let from: Vec<usize> =
                (0..6).map(|k| (p.start[k] as isize + index[k] as isize * p.step[k]) as usize).collect();
            assert_eq!(y[i], at(&input, &from) as i32, "{p:?}");
        }
    }
}

#[test]
fn pads() {
    let mut random = Random::new(52);
    for _ in 0..300 {
        let (input, start) = (shape(&mut random), random.sizes(0, 2));
        let output = std::array::from_fn(|k| start[k] + input[k] + random.size(0, 1));
        let p = Pad { input, output, start };
        let x = numbered(input.iter().product());
        let outputs = indices(&output);
        let y = run!(pad(&p, -1, &x) -> outputs.len(), 0);
        for (i, index) in outputs.iter().enumerate() {
            let from: Option<Vec<usize>> =
                (0..6).map(|k| index[k].checked_sub(start[k]).filter(|&i| i < input[k])).collect();
            assert_eq!(y[i], from.map_or(-1, |from| at(&input, &from) as i32), "{p:?}");
        }
    }
}

#[test]
fn concat_and_split() {
    let mut random = Random::new(53);
    for _ in 0..100 {
        let (outer, lens): (_, [usize; 3]) = (random.size(1, 4), random.sizes(1, 5));
        let p = Concat { outer, lens: &lens };
        let parts = lens.map(|len| random.i8s(outer * len));
        let y = run!(concat(&p, &[&parts[0], &parts[1], &parts[2]]) -> parts.iter().map(Vec::len).sum(), 0);
        let mut expected = vec![];
        for i in 0..outer {
            parts.iter().zip(lens).for_each(|(part, len)| expected.extend(&part[i * len..][..len]));
        }
        assert_eq!(y, expected);

        for split in [split, shared::split] {
            let mut apart = lens.map(|len| vec![0; outer * len]);
            let [a, b, c] = &mut apart;
            split(&p, &y, [a, b, c]);
            assert_eq!(apart, parts);
        }
    }
}
