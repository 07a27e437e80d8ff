//! ONNX TreeEnsemble: decision trees over the columns of a matrix.
//!
//! Trees lie in flat tables and are walked by a loop. A node sends a row to `if_true` where x ≤ threshold, and to
//! `if_false` elsewhere; the compiler writes all other comparisons as such nodes. NaN is not ≤ anything.
//!
//! * `trees`: for each tree, its first node and its first leaf; a tree that is a leaf has [`NO_NODE`].
//! * `features`: for each node, the column of x.
//! * `thresholds`: for each node.
//! * `children`: for each node, `if_true` and `if_false`: a position after the tree's first node, or, with the top bit set,
//!   after its first leaf.
//! * `missing`: a bit for each node, from the low bits up: whether NaN goes to `if_true`. Empty where it nowhere does.
//! * `weights`: for each leaf, one number for each target, or a single number for the target in `targets`.
//! * `targets`: for each tree, where leaves have a single number; empty elsewhere.

use crate::fixed::{clamp_i8, rounding_shift_right};

/// The first node of a tree without nodes.
pub const NO_NODE: u32 = u32::MAX;

/// An entry of the table of columns.
pub trait Column: Copy {
    /// The column.
    fn column(self) -> usize;
}

/// An entry of the table of children.
pub trait Link: Copy {
    /// The position of a node, or that of a leaf.
    fn follow(self) -> Result<usize, usize>;
}

macro_rules! tables {
    ($($type:ident)*) => {$(
        impl Column for $type {
            #[inline(always)]
            fn column(self) -> usize { usize::from(self) }
        }
        impl Link for $type {
            #[inline(always)]
            fn follow(self) -> Result<usize, usize> {
                const LEAF: $type = 1 << ($type::BITS - 1);
                if self & LEAF == 0 { Ok(usize::from(self)) } else { Err(usize::from(self & !LEAF)) }
            }
        }
    )*};
}
tables! { u8 u16 }

/// How the trees' numbers become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Aggregate {
    Sum,
    Min,
    Max,
}

/// The matrices of a forest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trees {
    /// Columns of x.
    pub columns: usize,
    /// Columns of y.
    pub targets: usize,
    /// Numbers of a leaf: as many as targets, or 1.
    pub votes: usize,
    /// How the trees' numbers become one; int8 kernels add.
    pub aggregate: Aggregate,
}

/// The leaf that a row ends in, among all leaves. `goes` says whether a node sends it to `if_true`.
#[inline(always)]
fn leaf<C: Link>(tree: &[u32], children: &[C], goes: impl Fn(usize) -> bool) -> usize {
    let (first_node, first_leaf) = (tree[0] as usize, tree[1] as usize);
    if tree[0] == NO_NODE {
        return first_leaf;
    }
    let mut node = first_node;
    loop {
        let child = children[2 * node + usize::from(!goes(node))];
        match child.follow() {
            Ok(next) => node = first_node + next,
            Err(leaf) => return first_leaf + leaf,
        }
    }
}

/// `y` [rows, targets] = `base` + the aggregated numbers of the leaves that the rows of `x` [rows, columns] end in.
///
/// # Panics
/// If a table points outside another one or the tensors.
#[allow(clippy::too_many_arguments)]
pub fn trees_f32<F: Column, C: Link>(
    p: &Trees,
    trees: &[u32],
    features: &[F],
    thresholds: &[f32],
    children: &[C],
    missing: &[u8],
    weights: &[f32],
    targets: &[u16],
    base: &[f32],
    x: &[f32],
    y: &mut [f32],
) {
    for (x, y) in x.chunks_exact(p.columns).zip(y.chunks_exact_mut(p.targets)) {
        y.fill(match p.aggregate {
            Aggregate::Sum => 0.0,
            Aggregate::Min => f32::INFINITY,
            Aggregate::Max => f32::NEG_INFINITY,
        });
        for (index, tree) in trees.chunks_exact(2).enumerate() {
            let leaf = leaf(tree, children, |node| {
                let x = x[features[node].column()];
                let is_missing = !missing.is_empty() && x.is_nan() && missing[node / 8] >> (node % 8) & 1 == 1;
                x <= thresholds[node] || is_missing
            });
            let first = targets.get(index).map_or(0, |target| usize::from(*target));
            for (y, w) in y[first..].iter_mut().zip(&weights[leaf * p.votes..][..p.votes]) {
                *y = match p.aggregate {
                    Aggregate::Sum => *y + w,
                    Aggregate::Min => {
                        if *w < *y {
                            *w
                        } else {
                            *y
                        }
                    }
                    Aggregate::Max => {
                        if *w > *y {
                            *w
                        } else {
                            *y
                        }
                    }
                };
            }
        }
        for (y, base) in y.iter_mut().zip(base) {
            *y += base;
        }
    }
}

/// From the sums of an int8 forest to its outputs: `clamp(floor(sum / 2^shift + 1/2) + zero_point)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Votes {
    /// 0 to 31.
    pub shift: u32,
    /// Zero point of the output.
    pub zero_point: i32,
}

/// [`trees_f32`] on integers: `weights` and `base` are steps of the output, times `2^shift`.
///
/// `sums` holds a number for each target.
///
/// # Panics
/// If a table points outside another one or the tensors.
#[allow(clippy::too_many_arguments)]
pub fn trees_s8<F: Column, C: Link>(
    p: &Trees,
    votes: &Votes,
    trees: &[u32],
    features: &[F],
    thresholds: &[i8],
    children: &[C],
    weights: &[i16],
    targets: &[u16],
    base: &[i32],
    x: &[i8],
    y: &mut [i8],
    sums: &mut [u32],
) {
    for (x, y) in x.chunks_exact(p.columns).zip(y.chunks_exact_mut(p.targets)) {
        for (sum, base) in sums.iter_mut().zip(base) {
            *sum = *base as u32;
        }
        for (index, tree) in trees.chunks_exact(2).enumerate() {
            let leaf = leaf(tree, children, |node| x[features[node].column()] <= thresholds[node]);
            let first = targets.get(index).map_or(0, |target| usize::from(*target));
            for (sum, w) in sums[first..].iter_mut().zip(&weights[leaf * p.votes..][..p.votes]) {
                *sum = sum.wrapping_add(i32::from(*w) as u32);
            }
        }
        for (y, sum) in y.iter_mut().zip(&*sums) {
            let steps = rounding_shift_right(*sum as i32, votes.shift);
            *y = clamp_i8(steps.saturating_add(votes.zero_point), i8::MIN, i8::MAX);
        }
    }
}
