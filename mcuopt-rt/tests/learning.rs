//! Trees against a recursive walk, and what prepares features for them against one line each.

mod common;

use common::Random;
use mcuopt_rt::v0::*;

/// A tree as it is thought of.
enum Tree {
    Leaf(Vec<f32>),
    Node { feature: usize, threshold: i8, missing: bool, if_true: Box<Tree>, if_false: Box<Tree> },
}

impl Tree {
    fn random(random: &mut Random, depth: usize, columns: usize, votes: usize) -> Tree {
        if depth == 0 || random.range(0, 4) == 0 {
            return Tree::Leaf(random.f32s(votes));
        }
        let [if_true, if_false] = [0; 2].map(|_| Box::new(Tree::random(random, depth - 1, columns, votes)));
        let (feature, threshold) = (random.size(0, columns - 1), random.i8());
        Tree::Node { feature, threshold, missing: random.range(0, 1) == 0, if_true, if_false }
    }

    fn walk(&self, x: &[f32]) -> &[f32] {
        match self {
            Tree::Leaf(votes) => votes,
            Tree::Node { feature, threshold, missing, if_true, if_false } => {
                let x_at = x[*feature];
                let goes = if x_at.is_nan() { *missing } else { x_at <= f32::from(*threshold) };
                if goes { if_true.walk(x) } else { if_false.walk(x) }
            }
        }
    }
}

#[derive(Default)]
struct Tables {
    trees: Vec<u32>,
    features: Vec<u8>,
    thresholds: Vec<i8>,
    children: Vec<u16>,
    missing: Vec<bool>,
    leaves: Vec<Vec<f32>>,
}

impl Tables {
    fn add(&mut self, tree: &Tree) {
        let start = (self.features.len(), self.leaves.len());
        let root = self.flatten(tree, start);
        self.trees.extend([if root >> 15 == 1 { NO_NODE } else { start.0 as u32 }, start.1 as u32]);
    }

    /// The code of a subtree: a leaf or a node after the tree's first.
    fn flatten(&mut self, tree: &Tree, start: (usize, usize)) -> u16 {
        match tree {
            Tree::Leaf(votes) => {
                self.leaves.push(votes.clone());
                (self.leaves.len() - 1 - start.1) as u16 | 1 << 15
            }
            Tree::Node { feature, threshold, missing, if_true, if_false } => {
                let node = self.features.len();
                self.features.push(*feature as u8);
                self.thresholds.push(*threshold);
                self.missing.push(*missing);
                self.children.extend([0; 2]);
                self.children[2 * node] = self.flatten(if_true, start);
                self.children[2 * node + 1] = self.flatten(if_false, start);
                (node - start.0) as u16
            }
        }
    }
}

#[test]
fn trees_are_walked_without_recursion() {
    let mut random = Random::new(80);
    for round in 0..200 {
        let (rows, columns, targets) = (random.size(1, 6), random.size(1, 5), random.size(1, 3));
        let single = round % 2 == 0;
        let votes = if single { 1 } else { targets };
        let forest: Vec<Tree> = (0..random.size(1, 6)).map(|_| Tree::random(&mut random, 4, columns, votes)).collect();
        let own: Vec<u16> = forest.iter().map(|_| random.size(0, targets - 1) as u16).collect();
        let mut tables = Tables::default();
        forest.iter().for_each(|tree| tables.add(tree));
        let base = random.f32s(targets);
        let weights: Vec<f32> = tables.leaves.concat();
        let own = if single { &own[..] } else { &[] };
        let byte = |flags: &[bool]| flags.iter().enumerate().map(|(bit, flag)| u8::from(*flag) << bit).sum();
        let missing: Vec<u8> = tables.missing.chunks(8).map(byte).collect();
        let aggregate = [Aggregate::Sum, Aggregate::Min, Aggregate::Max][if single { 0 } else { round % 3 }];
        let p = Trees { columns, targets, votes, aggregate };
        let integers = random.i8s(rows * columns);
        let hole = |(index, q): (usize, &i8)| if index % 7 == 3 { f32::NAN } else { f32::from(*q) };
        let x: Vec<f32> = integers.iter().enumerate().map(hole).collect();
        let thresholds: Vec<f32> = tables.thresholds.iter().map(|t| f32::from(*t)).collect();
        let Tables { trees, features, children, .. } = &tables;
        let mut y = vec![0.0; rows * targets];
        trees_f32(&p, trees, features, &thresholds, children, &missing, &weights, own, &base, &x, &mut y);
        for (x, y) in x.chunks(columns).zip(y.chunks(targets)) {
            for target in 0..targets {
                let votes = forest.iter().enumerate().filter_map(|(index, tree)| match own.get(index) {
                    Some(own) => (usize::from(*own) == target).then(|| tree.walk(x)[0]),
                    None => Some(tree.walk(x)[target]),
                });
                let expected = match aggregate {
                    Aggregate::Sum => votes.fold(0.0, |sum, w| sum + w),
                    Aggregate::Min => votes.fold(f32::INFINITY, f32::min),
                    Aggregate::Max => votes.fold(f32::NEG_INFINITY, f32::max),
                };
                assert_eq!(y[target], expected + base[target], "{p:?}");
            }
        }
        // In int8: numbers of 2^-8 steps, the same decisions.
        let steps: Vec<i16> = weights.iter().map(|w| (w * 2048.0) as i16).collect();
        let start: Vec<i32> = base.iter().map(|w| (w * 2048.0) as i32).collect();
        let votes = Votes { shift: 8, zero_point: -3 };
        let p = Trees { aggregate: Aggregate::Sum, ..p };
        let (mut y, mut sums) = (vec![0; rows * targets], vec![77; targets]);
        let thresholds = &tables.thresholds;
        trees_s8(&p, &votes, trees, features, thresholds, children, &steps, own, &start, &integers, &mut y, &mut sums);
        for (q, y) in integers.chunks(columns).zip(y.chunks(targets)) {
            let x: Vec<f32> = q.iter().map(|q| f32::from(*q)).collect();
            for target in 0..targets {
                let whole = |w: f32| i32::from((w * 2048.0) as i16);
                let votes = forest.iter().enumerate().filter_map(|(index, tree)| match own.get(index) {
                    Some(own) => (usize::from(*own) == target).then(|| whole(tree.walk(&x)[0])),
                    None => Some(whole(tree.walk(&x)[target])),
                });
                let sum: i32 = votes.sum::<i32>() + start[target];
                let expected = (f64::from(sum) / 256.0 + 0.5).floor() as i32 - 3;
                assert_eq!(i32::from(y[target]), expected.clamp(-128, 127), "{p:?}");
            }
        }
    }
}

#[test]
fn links_in_bytes_and_words() {
    assert_eq!((5u8.follow(), 0x85u8.follow()), (Ok(5), Err(5)));
    assert_eq!((0x7fffu16.follow(), 0xffffu16.follow()), (Ok(0x7fff), Err(0x7fff)));
}

#[test]
fn rows_are_divided_by_their_norm() {
    let x = [3.0, -4.0, 0.0, 0.0, -1.0, -3.0];
    let cases = [
        (Norm::Max, [1.0, -4.0 / 3.0, 0.0, 0.0, 1.0, 3.0]),
        (Norm::L1, [3.0 / 7.0, -4.0 / 7.0, 0.0, 0.0, -0.25, -0.75]),
        (Norm::L2, [0.6, -0.8, 0.0, 0.0, -1.0 / 10f32.sqrt(), -3.0 / 10f32.sqrt()]),
    ];
    for (norm, expected) in cases {
        let mut y = [7.0; 6];
        normalize_rows(&Normalizer { columns: 2, norm }, &x, &mut y);
        assert!(y.iter().zip(expected).all(|(y, e)| (y - e).abs() < 1e-6), "{norm:?}: {y:?}");
    }
}

#[test]
fn elements_are_replaced() {
    let mut y = [0.0; 4];
    binarize(0.5, &[0.5, 0.6, f32::NAN, -1.0], &mut y);
    assert_eq!(y, [0.0, 1.0, 0.0, 0.0]);
    impute(&[1.0, 2.0], &[f32::NAN], &[f32::NAN, f32::NAN, 5.0, f32::NAN], &mut y);
    assert_eq!(y, [1.0, 2.0, 5.0, 2.0]);
    let mut y = [0i64; 3];
    impute(&[9], &[3], &[3, 4, 3], &mut y);
    assert_eq!(y, [9, 4, 9]);
    look_up(&[1.5, f32::NAN, 1.5], &[10i64, 20, 30], &[-1], &[1.5, f32::NAN, 2.0], &mut y);
    assert_eq!(y, [30, 20, -1]);
    let mut y = [7.0; 6];
    one_hot_encode(&[4i64, 2], &[2, 3, 4], &mut y);
    assert_eq!(y, [0.0, 1.0, 0.0, 0.0, 1.0, 0.0]);
}
