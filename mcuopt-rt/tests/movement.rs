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

/// An index that may count from the end.
fn index(random: &mut Random, extent: usize) -> i64 {
    random.range(-(extent as i64), extent as i64 - 1)
}

fn wrapped(index: i64, extent: usize) -> usize {
    if index < 0 { (index + extent as i64) as usize } else { index as usize }
}

#[test]
fn pads_with_its_own_elements() {
    let mut random = Random::new(54);
    for _ in 0..60 {
        let (input, start) = (shape(&mut random), random.sizes(0, 5));
        let output = std::array::from_fn(|k| start[k] + input[k] + random.size(0, 2));
        let p = Pad { input, output, start };
        let x = numbered(input.iter().product());
        for edges in [Edges::Reflect, Edges::Edge, Edges::Wrap] {
            // One step at a time from inside, as a ball rolls.
            let source = |axis: usize, place: usize| {
                let (mut at, mut direction, last) = (0, 1, input[axis] as isize - 1);
                let steps = place as isize - start[axis] as isize;
                if last == 0 {
                    return 0;
                }
                for _ in 0..steps.abs() {
                    at += direction * steps.signum();
                    if (0..=last).contains(&at) {
                        continue;
                    }
                    match edges {
                        Edges::Edge => at = at.clamp(0, last),
                        Edges::Wrap => at = if at < 0 { last } else { 0 },
                        Edges::Reflect => {
                            direction = -direction;
                            at += 2 * direction * steps.signum();
                        }
                    }
                }
                at as usize
            };
            let outputs = indices(&output);
            let mut y = vec![0; outputs.len()];
            pad_edges(&p, edges, &x, &mut y);
            for (i, index) in outputs.iter().enumerate() {
                let from: Vec<usize> = (0..6).map(|axis| source(axis, index[axis])).collect();
                assert_eq!(y[i], at(&input, &from) as i32, "{p:?} {edges:?} {index:?}");
            }
        }
    }
}

#[test]
fn gathers() {
    let mut random = Random::new(55);
    for _ in 0..200 {
        let [outer, extent, inner, count] = random.sizes(1, 5);
        let p = Gather { outer, extent, inner };
        let x = numbered(outer * extent * inner);
        let chosen: Vec<i64> = (0..count).map(|_| index(&mut random, extent)).collect();
        let mut y = vec![0; outer * count * inner];
        gather(&p, &x, &chosen, &mut y);
        for (i, at_y) in indices(&[outer, count, inner]).iter().enumerate() {
            let from = [at_y[0], wrapped(chosen[at_y[1]], extent), at_y[2]];
            assert_eq!(y[i], at(&[outer, extent, inner], &from) as i32, "{p:?}");
        }
        let narrow: Vec<i32> = chosen.iter().map(|&i| i as i32).collect();
        let mut again = vec![0; y.len()];
        gather(&p, &x, &narrow, &mut again);
        assert_eq!(y, again);
    }
}

#[test]
fn indices_outside_do_not_leave_the_tensor() {
    let p = Gather { outer: 1, extent: 3, inner: 1 };
    let mut y = [0; 4];
    gather(&p, &[7, 8, 9], &[i64::MIN, -4, 3, i64::MAX], &mut y);
    assert_eq!(y, [7, 7, 9, 9]);
    gather(&p, &[7, 8, 9], &[i32::MIN, -4, 3, i32::MAX], &mut y);
    assert_eq!(y, [7, 7, 9, 9]);
}

/// Parameters for indices of a random shape into a tensor of a random shape, along an axis; and both shapes.
fn along_axis(random: &mut Random) -> (AlongAxis, [usize; 6], usize) {
    let (tensor, axis) = (shape(random), random.size(0, 5));
    let strides: [usize; 6] = std::array::from_fn(|k| tensor[k + 1..].iter().product());
    let p = AlongAxis {
        shape: std::array::from_fn(|k| if k == axis { random.size(1, 5) } else { random.size(1, tensor[k]) }),
        strides: std::array::from_fn(|k| if k == axis { 0 } else { strides[k] }),
        extent: tensor[axis],
        stride: strides[axis],
    };
    (p, tensor, axis)
}

#[test]
fn gathers_and_scatters_elements() {
    let mut random = Random::new(56);
    for _ in 0..200 {
        let (p, tensor, axis) = along_axis(&mut random);
        let places = indices(&p.shape);
        let chosen: Vec<i64> = places.iter().map(|_| index(&mut random, tensor[axis])).collect();
        let place = |i: usize| {
            let mut place = places[i].clone();
            place[axis] = wrapped(chosen[i], tensor[axis]);
            at(&tensor, &place)
        };
        let x = random.i32s(tensor.iter().product(), 9);
        let mut y = vec![0; places.len()];
        gather_elements(&p, &x, &chosen, &mut y);
        assert!((0..y.len()).all(|i| y[i] == x[place(i)]), "{p:?}");

        let updates = random.i32s(places.len(), 9);
        for scatter in [Scatter::Replace, Scatter::Add, Scatter::Mul, Scatter::Max, Scatter::Min] {
            let mut expected = x.clone();
            (0..updates.len()).for_each(|i| reduce(scatter, &mut expected[place(i)], updates[i]));
            let mut y = vec![0; x.len()];
            scatter_elements(&p, scatter, &x, &chosen, &updates, &mut y);
            assert_eq!(y, expected, "{p:?} {scatter:?}");
        }
    }
}

fn reduce(scatter: Scatter, y: &mut i32, update: i32) {
    *y = match scatter {
        Scatter::Replace => update,
        Scatter::Add => y.wrapping_add(update),
        Scatter::Mul => y.wrapping_mul(update),
        Scatter::Max => Ord::max(update, *y),
        Scatter::Min => Ord::min(update, *y),
    };
}

#[test]
fn gathers_and_scatters_blocks() {
    let mut random = Random::new(57);
    for _ in 0..200 {
        let [batch, points, inner] = random.sizes(1, 4);
        let extents: Vec<usize> = (0..random.size(1, 3)).map(|_| random.size(1, 4)).collect();
        let mut p = Points { batch, axes: extents.len(), extents: [1; 6], inner };
        p.extents[6 - extents.len()..].copy_from_slice(&extents);
        let chosen: Vec<i64> =
            (0..batch * points).flat_map(|_| extents.clone()).map(|extent| index(&mut random, extent)).collect();
        // Where point `i` of all batches lies in one tensor.
        let place = |i: usize| {
            let point = &chosen[i * extents.len()..][..extents.len()];
            let point: Vec<usize> =
                point.iter().zip(&extents).map(|(&index, &extent)| wrapped(index, extent)).collect();
            at(&extents, &point) * inner
        };
        let size = extents.iter().product::<usize>() * inner;
        let x = random.i32s(batch * size, 9);
        let mut y = vec![0; batch * points * inner];
        gather_nd(&p, &x, &chosen, &mut y);
        for (i, y) in y.chunks(inner).enumerate() {
            assert_eq!(y, &x[i / points * size + place(i)..][..inner], "{p:?}");
        }

        let (p, chosen) = (Points { batch: 1, ..p }, &chosen[..points * extents.len()]);
        let updates = random.i32s(points * inner, 9);
        for scatter in [Scatter::Replace, Scatter::Add, Scatter::Mul, Scatter::Max, Scatter::Min] {
            let mut expected = x[..size].to_vec();
            for (i, &update) in updates.iter().enumerate() {
                reduce(scatter, &mut expected[place(i / inner) + i % inner], update);
            }
            let mut y = vec![0; size];
            scatter_nd(&p, scatter, &x[..size], chosen, &updates, &mut y);
            assert_eq!(y, expected, "{p:?} {scatter:?}");
        }
    }
}

#[test]
fn one_hots() {
    let mut random = Random::new(58);
    for _ in 0..100 {
        let [outer, depth, inner] = random.sizes(1, 4);
        let p = OneHot { depth, inner };
        let hot = random.i32s(outer * inner, 6);
        let mut y = vec![0; outer * depth * inner];
        one_hot(&p, &hot, &[3, 7], &mut y);
        for (i, at_y) in indices(&[outer, depth, inner]).iter().enumerate() {
            let index = i64::from(hot[at_y[0] * inner + at_y[2]]);
            let index = if index < 0 { index + depth as i64 } else { index };
            assert_eq!(y[i], if index == at_y[1] as i64 { 7 } else { 3 }, "{p:?} {hot:?}");
        }
    }
}

#[test]
fn triangles() {
    let mut random = Random::new(59);
    for _ in 0..200 {
        let [n, rows, columns] = random.sizes(1, 4);
        let diagonal = [random.range(-5, 5) as isize, isize::MIN, isize::MAX][random.size(0, 7).saturating_sub(5)];
        let p = Trilu { rows, columns, diagonal, upper: random.range(0, 1) == 0 };
        let x = numbered(n * rows * columns);
        let mut y = vec![0; x.len()];
        trilu(&p, -1, &x, &mut y);
        for (i, at_y) in indices(&[n, rows, columns]).iter().enumerate() {
            let right = at_y[2] as i128 - at_y[1] as i128 - diagonal as i128;
            let stays = if p.upper { right >= 0 } else { right <= 0 };
            assert_eq!(y[i], if stays { x[i] } else { -1 }, "{p:?}");
        }
    }
}

#[test]
fn reverses_sequences() {
    let mut random = Random::new(60);
    for _ in 0..100 {
        let [first, second, inner] = random.sizes(1, 4);
        for time_major in [false, true] {
            let p = ReverseSequence { shape: [first, second], inner, time_major };
            let (batch, steps) = if time_major { (second, first) } else { (first, second) };
            let lens: Vec<i64> = (0..batch).map(|_| random.range(0, steps as i64)).collect();
            let x = numbered(first * second * inner);
            let mut y = vec![0; x.len()];
            reverse_sequence(&p, &x, &lens, &mut y);
            for (i, at_y) in indices(&[first, second, inner]).iter().enumerate() {
                let (sequence, step) = if time_major { (at_y[1], at_y[0]) } else { (at_y[0], at_y[1]) };
                let len = lens[sequence] as usize;
                let from = if step < len { len - 1 - step } else { step };
                let from = if time_major { [from, sequence, at_y[2]] } else { [sequence, from, at_y[2]] };
                assert_eq!(y[i], at(&[first, second, inner], &from) as i32, "{p:?}");
            }
        }
    }
}

#[test]
fn writes_into_caches() {
    let mut random = Random::new(61);
    for _ in 0..200 {
        let [batch, outer, extent, inner] = random.sizes(1, 4);
        let p = Cache { batch, outer, extent, steps: random.size(1, extent), inner, circular: random.range(0, 1) == 0 };
        let room = if p.circular { 20 } else { (extent - p.steps) as i64 };
        let starts: Vec<i32> =
            (0..batch).map(|_| random.range(if p.circular { -20 } else { 0 }, room) as i32).collect();
        let x = numbered(batch * outer * extent * inner);
        let updates = random.i32s(batch * outer * p.steps * inner, 9);
        let mut expected = x.clone();
        for (i, at_u) in indices(&[batch, outer, p.steps, inner]).iter().enumerate() {
            let step = (i64::from(starts[at_u[0]]) + at_u[2] as i64).rem_euclid(extent as i64) as usize;
            expected[at(&[batch, outer, extent, inner], &[at_u[0], at_u[1], step, at_u[3]])] = updates[i];
        }
        let mut y = vec![0; x.len()];
        tensor_scatter(&p, &x, &updates, &starts, &mut y);
        assert_eq!(y, expected, "{p:?} {starts:?}");
    }
}
