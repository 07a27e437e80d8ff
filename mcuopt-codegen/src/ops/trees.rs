//! Decision trees: TreeEnsemble, and TreeEnsembleClassifier and TreeEnsembleRegressor before it (domain ai.onnx.ml).
//!
//! <https://onnx.ai/onnx/operators/onnx_aionnxml_TreeEnsemble.html> and its siblings, version 1 to 5. What the
//! specification leaves open is as ONNX Runtime does it.
//!
//! The graph knows one kind of node, x ≤ threshold. Others are written as that: x < t is x ≤ the float below t, x > t is
//! the same node with its children exchanged, x = t is two nodes. In int8 thresholds are rounded down to integers, which
//! decides as the reals would, and nodes that no integer divides vanish.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use mcuopt_rt::v0 as rt;
use proc_macro2::TokenStream;
use quote::quote;

use super::{Io, Lowered, Operator, Routine, Scales, classifier, f32s, f32s_mut, i8s, i8s_mut, linear, window};
use crate::builder::Builder;
use crate::call::{Call, Data, Literal, struct_literals};
use crate::error::Error;
use crate::graph::{Quantization, Type, ValueId};
use crate::onnx::{self, Attribute};
use crate::tensor::{DType, Tensor};

/// A sum (or minimum, or maximum) of decision trees over the columns of a matrix.
#[derive(Clone, Debug, PartialEq)]
pub struct Trees {
    /// The trees.
    pub forest: Arc<Forest>,
}

/// Decision trees and what becomes of their numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Forest {
    /// The trees.
    pub trees: Vec<Tree>,
    /// Columns of the result.
    pub targets: usize,
    /// How the trees' numbers become one.
    pub aggregate: rt::Aggregate,
    /// Added to the result; as many as targets.
    pub base: Vec<f32>,
}

/// One tree, or rather a graph without cycles: a node may be reached in several ways.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tree {
    /// Where a row starts.
    pub root: Child,
    /// The nodes.
    pub nodes: Vec<Split>,
    /// For each leaf, targets and numbers.
    pub leaves: Vec<Vec<(usize, f32)>>,
}

/// A node: x ≤ threshold?
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Split {
    /// The column of x.
    pub feature: usize,
    /// What it is compared with.
    pub threshold: f32,
    /// Whether NaN goes where smaller numbers go.
    pub missing: bool,
    /// Where it goes on if not, and if so.
    pub children: [Child; 2],
}

/// Where a row goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Child {
    Node(usize),
    Leaf(usize),
}

impl Default for Child {
    fn default() -> Self {
        Child::Leaf(0)
    }
}

/// A comparison as the file has it.
#[derive(Clone, Debug)]
enum Mode {
    Leq(f32),
    Lt(f32),
    Gte(f32),
    Gt(f32),
    Eq(f32),
    Neq(f32),
    Member(Vec<f32>),
}

/// A node as the file has it.
struct Branch {
    feature: usize,
    mode: Mode,
    missing: bool,
    if_true: Child,
    if_false: Child,
}

/// A tree ensemble → Trees; a classifier's label and scores come from its sums.
pub fn import(node: &onnx::Node, b: &mut Builder<'_>) -> Result<Vec<ValueId>, Error> {
    let x = classifier::features(b)?;
    for name in ["nodes_hitrates", "nodes_hitrates_as_tensor"] {
        b.attribute(name);
    }
    if node.op_type == "TreeEnsemble" {
        let forest = ensemble(b)?;
        let y = b.push(Trees { forest: Arc::new(forest) }, &[x])?;
        let post = match b.int("post_transform", 0)? {
            0 => "NONE",
            1 => "SOFTMAX",
            2 => "LOGISTIC",
            3 => "SOFTMAX_ZERO",
            _ => "PROBIT",
        };
        return Ok(vec![classifier::transformed(b, y, post)?]);
    }
    let post = b.string("post_transform", "NONE")?;
    if node.op_type == "TreeEnsembleRegressor" {
        let targets = positive(b.int("n_targets", 1)?, "attribute `n_targets`")?;
        let aggregate = b.string("aggregate_function", "SUM")?;
        let forest = forest(b, "target", targets, &aggregate)?;
        let y = b.push(Trees { forest: Arc::new(forest) }, &[x])?;
        return Ok(vec![classifier::transformed(b, y, &post)?]);
    }
    let labels = classifier::labels(b, ["classlabels_int64s", "classlabels_strings"])?;
    let ids: BTreeSet<i64> = b.ints("class_ids")?.unwrap_or_default().into_iter().collect();
    let positive = floats(b, "class_weights")?.unwrap_or_default().iter().all(|w| *w >= 0.0);
    // Two classes whose trees vote for one of them only have a single score.
    let single = labels.count() == 2 && ids.len() == 1;
    let first = ids.first().is_some_and(|id| *id == 0);
    let mut forest = forest(b, "class", if single && first { 1 } else { labels.count() }, "SUM")?;
    if single && !first {
        // ONNX Runtime leaves the other score at 0.
        forest.base.fill(0.0);
    }
    let scores = b.push(Trees { forest: Arc::new(forest) }, &[x])?;
    let threshold = if positive { 0.5 } else { 0.0 };
    match (single, first) {
        (true, true) => {
            let label = labels.above(b, scores, threshold)?;
            let pair = if positive { classifier::complement(b, scores)? } else { classifier::opposite(b, scores)? };
            let post = if post == "LOGISTIC" { post.as_str() } else { "NONE" };
            Ok(vec![label, classifier::transformed(b, pair, post)?])
        }
        (true, false) => {
            let column = classifier::column(b, scores, 1)?;
            Ok(vec![labels.above(b, column, threshold)?, classifier::transformed(b, scores, &post)?])
        }
        _ => Ok(vec![labels.largest(b, scores)?, classifier::transformed(b, scores, &post)?]),
    }
}

fn positive(value: i64, part: &str) -> Result<usize, Error> {
    let fits = usize::try_from(value).ok().filter(|value| (1..=1 << 16).contains(value));
    fits.ok_or_else(|| Error::invalid(format!("it is {value}")).part(part))
}

/// A list of floats, or its twin that is a tensor of doubles.
fn floats(b: &Builder<'_>, name: &str) -> Result<Option<Vec<f32>>, Error> {
    let twin = format!("{name}_as_tensor");
    match (b.attribute(name), b.attribute(&twin)) {
        (Some(Attribute::Floats(values)), _) => Ok(Some(values.clone())),
        (None, Some(Attribute::Tensor(values))) => match values.f32s() {
            Some(values) => Ok(Some(values.to_vec())),
            None => Err(Error::invalid("it should hold floats").part(format!("attribute `{twin}`"))),
        },
        (None, None) => Ok(None),
        _ => Err(Error::invalid("it should be a list of floats").part(format!("attribute `{name}`"))),
    }
}

fn aggregate(name: &str) -> Result<rt::Aggregate, Error> {
    match name {
        "SUM" | "AVERAGE" => Ok(rt::Aggregate::Sum),
        "MIN" => Ok(rt::Aggregate::Min),
        "MAX" => Ok(rt::Aggregate::Max),
        other => Err(Error::invalid(format!("`{other}` is none")).part("attribute `aggregate_function`")),
    }
}

/// Trees from the attributes of version 1 to 3; `kind` is what leaves are counted by.
fn forest(b: &Builder<'_>, kind: &str, targets: usize, function: &str) -> Result<Forest, Error> {
    let list = |name: &str| Ok::<_, Error>(b.ints(name)?.unwrap_or_default());
    let modes = match b.attribute("nodes_modes") {
        Some(Attribute::Strings(modes)) => modes.clone(),
        _ => return Err(Error::invalid("it should be a list of strings").part("attribute `nodes_modes`")),
    };
    let (trees, ids) = (list("nodes_treeids")?, list("nodes_nodeids")?);
    let (features, missing) = (list("nodes_featureids")?, list("nodes_missing_value_tracks_true")?);
    let (if_true, if_false) = (list("nodes_truenodeids")?, list("nodes_falsenodeids")?);
    let thresholds = floats(b, "nodes_values")?.unwrap_or_default();
    let count = modes.len();
    let counts = [trees.len(), ids.len(), features.len(), if_true.len(), if_false.len(), thresholds.len()];
    if counts.iter().any(|other| *other != count) || (!missing.is_empty() && missing.len() != count) {
        return Err(Error::invalid("the lists `nodes_…` differ in length"));
    }
    let mut position = BTreeMap::new();
    for index in 0..count {
        if position.insert((trees[index], ids[index]), index).is_some() {
            return Err(Error::invalid(format!("node {} of tree {} is there twice", ids[index], trees[index])));
        }
    }
    let (leaf_trees, leaf_nodes) = (list(&format!("{kind}_treeids"))?, list(&format!("{kind}_nodeids"))?);
    let leaf_targets = list(&format!("{kind}_ids"))?;
    let weights = floats(b, &format!("{kind}_weights"))?.unwrap_or_default();
    if [leaf_trees.len(), leaf_nodes.len(), leaf_targets.len()].iter().any(|other| *other != weights.len()) {
        return Err(Error::invalid(format!("the lists `{kind}_…` differ in length")));
    }
    let mut votes: BTreeMap<usize, Vec<(usize, f32)>> = BTreeMap::new();
    for (index, weight) in weights.iter().enumerate() {
        let at = (leaf_trees[index], leaf_nodes[index]);
        let outside = || Error::invalid(format!("node {} of tree {} is not there", at.1, at.0));
        let node = *position.get(&at).ok_or_else(outside)?;
        let target = usize::try_from(leaf_targets[index]).ok().filter(|target| *target < targets);
        let target = target.ok_or_else(|| Error::invalid(format!("{} of {targets} targets", leaf_targets[index])))?;
        votes.entry(node).or_default().push((target, *weight));
    }
    let child = |tree: i64, id: i64| {
        let outside = || Error::invalid(format!("node {id} of tree {tree} is not there"));
        let index = *position.get(&(tree, id)).ok_or_else(outside)?;
        Ok::<_, Error>(if modes[index] == "LEAF" { Child::Leaf(index) } else { Child::Node(index) })
    };
    let branch = |index: usize| {
        let t = thresholds[index];
        let mode = match modes[index].as_str() {
            "BRANCH_LEQ" => Mode::Leq(t),
            "BRANCH_LT" => Mode::Lt(t),
            "BRANCH_GTE" => Mode::Gte(t),
            "BRANCH_GT" => Mode::Gt(t),
            "BRANCH_EQ" => Mode::Eq(t),
            "BRANCH_NEQ" => Mode::Neq(t),
            other => return Err(Error::invalid(format!("`{other}` is no mode")).part("attribute `nodes_modes`")),
        };
        Ok(Branch {
            feature: feature(features[index])?,
            mode,
            missing: missing.get(index).is_some_and(|value| *value != 0),
            if_true: child(trees[index], if_true[index])?,
            if_false: child(trees[index], if_false[index])?,
        })
    };
    let leaf = |index: usize| Ok(votes.get(&index).cloned().unwrap_or_default());
    // The root is the first node of a tree, unless that is somebody's child.
    let mut below = BTreeSet::new();
    for index in (0..count).filter(|index| modes[*index] != "LEAF") {
        for id in [if_true[index], if_false[index]] {
            below.extend(position.get(&(trees[index], id)).copied());
        }
    }
    let mut roots: BTreeMap<i64, usize> = BTreeMap::new();
    let mut order = Vec::new();
    for index in (0..count).filter(|index| !below.contains(index)) {
        roots.entry(trees[index]).or_insert_with(|| {
            order.push(trees[index]);
            index
        });
    }
    if let Some(tree) = trees.iter().find(|tree| !roots.contains_key(tree)) {
        return Err(Error::invalid(format!("tree {tree} has no root: it is a cycle")));
    }
    let root = |tree: &i64| {
        let index = roots[tree];
        if modes[index] == "LEAF" { Child::Leaf(index) } else { Child::Node(index) }
    };
    let trees = order.iter().map(|tree| grow(root(tree), &branch, &leaf)).collect::<Result<Vec<_>, _>>()?;
    let base = floats(b, "base_values")?.unwrap_or_default();
    finish(trees, targets, function, base)
}

/// Trees from the attributes of TreeEnsemble, version 5.
fn ensemble(b: &Builder<'_>) -> Result<Forest, Error> {
    let list = |name: &str| Ok::<_, Error>(b.ints(name)?.unwrap_or_default());
    let tensor = |name: &str| match b.attribute(name) {
        Some(Attribute::Tensor(values)) => Ok(Some(values)),
        None => Ok(None),
        Some(_) => Err(Error::invalid("it should be a tensor").part(format!("attribute `{name}`"))),
    };
    let reals = |name: &str| Ok::<_, Error>(tensor(name)?.and_then(Tensor::f32s).map(<[f32]>::to_vec).unwrap_or_default());
    let targets = positive(b.int("n_targets", 1)?, "attribute `n_targets`")?;
    let function = match b.int("aggregate_function", 1)? {
        0 => "AVERAGE",
        1 => "SUM",
        2 => "MIN",
        3 => "MAX",
        _ => "",
    };
    let modes = tensor("nodes_modes")?.and_then(Tensor::to_i64s).unwrap_or_default();
    let (features, missing) = (list("nodes_featureids")?, list("nodes_missing_value_tracks_true")?);
    let (if_true, if_false) = (list("nodes_truenodeids")?, list("nodes_falsenodeids")?);
    let (true_leaf, false_leaf) = (list("nodes_trueleafs")?, list("nodes_falseleafs")?);
    let (splits, members) = (reals("nodes_splits")?, reals("membership_values")?);
    let count = modes.len();
    let lists = [features.len(), if_true.len(), if_false.len(), true_leaf.len(), false_leaf.len(), splits.len()];
    if lists.iter().any(|other| *other != count) || (!missing.is_empty() && missing.len() != count) {
        return Err(Error::invalid("the lists `nodes_…` differ in length"));
    }
    let (leaf_targets, weights) = (list("leaf_targetids")?, reals("leaf_weights")?);
    if leaf_targets.len() != weights.len() {
        return Err(Error::invalid("the lists `leaf_…` differ in length"));
    }
    let child = |id: i64, is_leaf: i64| {
        let limit = if is_leaf != 0 { weights.len() } else { count };
        let index = usize::try_from(id).ok().filter(|index| *index < limit);
        let index = index.ok_or_else(|| Error::invalid(format!("child {id} is not there")))?;
        Ok::<_, Error>(if is_leaf != 0 { Child::Leaf(index) } else { Child::Node(index) })
    };
    // Sets end with NaN and stand in the order of the nodes that ask for them.
    let mut sets = members.split(|value| value.is_nan());
    let sets: BTreeMap<usize, &[f32]> =
        (0..count).filter(|index| modes[*index] == 6).map(|index| (index, sets.next().unwrap_or_default())).collect();
    let branch = |index: usize| {
        let t = splits[index];
        let mode = match modes[index] {
            0 => Mode::Leq(t),
            1 => Mode::Lt(t),
            2 => Mode::Gte(t),
            3 => Mode::Gt(t),
            4 => Mode::Eq(t),
            5 => Mode::Neq(t),
            6 => Mode::Member(sets[&index].to_vec()),
            other => return Err(Error::invalid(format!("{other} is no mode")).part("attribute `nodes_modes`")),
        };
        Ok(Branch {
            feature: feature(features[index])?,
            mode,
            missing: missing.get(index).is_some_and(|value| *value != 0),
            if_true: child(if_true[index], true_leaf[index])?,
            if_false: child(if_false[index], false_leaf[index])?,
        })
    };
    let leaf = |index: usize| {
        let target = usize::try_from(leaf_targets[index]).ok().filter(|target| *target < targets);
        let target = target.ok_or_else(|| Error::invalid(format!("{} of {targets} targets", leaf_targets[index])))?;
        Ok(vec![(target, weights[index])])
    };
    let mut trees = Vec::new();
    for root in list("tree_roots")? {
        trees.push(grow(child(root, 0)?, &branch, &leaf)?);
    }
    finish(trees, targets, function, Vec::new())
}

fn feature(id: i64) -> Result<usize, Error> {
    let fits = u16::try_from(id).map(usize::from);
    fits.map_err(|_| Error::unsupported(format!("column {id}")).instead("columns 0 to 65535").part("attribute `nodes_featureids`"))
}

/// The forest, with one base value for each target.
fn finish(mut trees: Vec<Tree>, targets: usize, function: &str, mut base: Vec<f32>) -> Result<Forest, Error> {
    let aggregate = aggregate(function)?;
    if base.is_empty() {
        base = vec![0.0; targets];
    }
    if base.len() != targets {
        let error = Error::unsupported(format!("{} base values for {targets} targets", base.len()));
        return Err(error.instead("as many, or none").part("attribute `base_values`"));
    }
    if function == "AVERAGE" {
        let count = trees.len() as f32;
        trees.iter_mut().flat_map(|tree| &mut tree.leaves).flatten().for_each(|(_, weight)| *weight /= count);
    }
    let complete = |leaf: &Vec<(usize, f32)>| (0..targets).all(|target| leaf.iter().any(|vote| vote.0 == target));
    if aggregate != rt::Aggregate::Sum && !trees.iter().flat_map(|tree| &tree.leaves).all(complete) {
        return Err(Error::unsupported("the smallest or largest of trees that do not say something of each target")
            .instead("SUM or AVERAGE")
            .part("attribute `aggregate_function`"));
    }
    Ok(Forest { trees, targets, aggregate, base })
}

/// Copies a tree of the file, written with one kind of comparison.
fn grow(
    root: Child,
    branch: &dyn Fn(usize) -> Result<Branch, Error>,
    leaf: &dyn Fn(usize) -> Result<Vec<(usize, f32)>, Error>,
) -> Result<Tree, Error> {
    let mut tree = Tree::default();
    let mut seen = BTreeSet::new();
    // What is still to be copied, and the places that lead there: a node and which child it is of it.
    let mut open: Vec<(Child, Vec<(usize, usize)>)> = vec![(root, Vec::new())];
    while let Some((child, places)) = open.pop() {
        let made = match child {
            Child::Leaf(index) => {
                tree.leaves.push(leaf(index)?);
                Child::Leaf(tree.leaves.len() - 1)
            }
            Child::Node(index) => {
                if !seen.insert(index) {
                    return Err(Error::invalid(format!("node {index} is reached in two ways: its tree is none")));
                }
                let branch = branch(index)?;
                let first = Child::Node(tree.nodes.len());
                let [to_false, to_true] = tree.write(&branch);
                if tree.nodes.len() > 1 << 15 {
                    return Err(Error::unsupported("a tree of more than 32768 nodes").instead("smaller trees"));
                }
                open.push((branch.if_false, to_false));
                open.push((branch.if_true, to_true));
                first
            }
        };
        if places.is_empty() {
            tree.root = made;
        }
        places.into_iter().for_each(|(node, side)| tree.nodes[node].children[side] = made);
    }
    Ok(tree)
}

impl Tree {
    /// Appends the nodes of a comparison; returns the places that lead on if it does not hold, and if it does.
    fn write(&mut self, branch: &Branch) -> [Vec<(usize, usize)>; 2] {
        let missing = branch.missing;
        match &branch.mode {
            Mode::Leq(t) => self.at_most(branch.feature, *t, missing),
            Mode::Lt(t) => self.at_most(branch.feature, t.next_down(), missing),
            Mode::Gt(t) => self.exchanged(branch.feature, *t, missing),
            Mode::Gte(t) => self.exchanged(branch.feature, t.next_down(), missing),
            Mode::Eq(t) => self.equals(branch.feature, *t, missing),
            Mode::Neq(t) => {
                // NaN differs from everything, whatever is said about it.
                let [differs, equal] = self.equals(branch.feature, *t, false);
                [equal, differs]
            }
            Mode::Member(values) => {
                // One after another; NaN is found by the first, if at all.
                let mut found: Vec<(usize, usize)> = Vec::new();
                let mut last: Vec<(usize, usize)> = Vec::new();
                for (index, value) in values.iter().enumerate() {
                    let next = Child::Node(self.nodes.len());
                    last.iter().for_each(|&(node, side)| self.nodes[node].children[side] = next);
                    let [no, yes] = self.equals(branch.feature, *value, missing && index == 0);
                    found.extend(yes);
                    last = no;
                }
                if values.is_empty() {
                    // Nothing is in it, but NaN may be sent there.
                    return self.at_most(branch.feature, f32::NAN, missing);
                }
                [last, found]
            }
        }
    }

    fn at_most(&mut self, feature: usize, threshold: f32, missing: bool) -> [Vec<(usize, usize)>; 2] {
        let node = self.nodes.len();
        self.nodes.push(Split { feature, threshold, missing, children: [Child::default(); 2] });
        [vec![(node, 0)], vec![(node, 1)]]
    }

    fn exchanged(&mut self, feature: usize, threshold: f32, missing: bool) -> [Vec<(usize, usize)>; 2] {
        let [above, below] = self.at_most(feature, threshold, !missing);
        [below, above]
    }

    /// x ≤ t, and not x ≤ the float below t.
    fn equals(&mut self, feature: usize, threshold: f32, missing: bool) -> [Vec<(usize, usize)>; 2] {
        let [mut differs, at_most] = self.at_most(feature, threshold, missing);
        let second = Child::Node(self.nodes.len());
        at_most.iter().for_each(|&(node, side)| self.nodes[node].children[side] = second);
        let [equal, below] = self.at_most(feature, threshold.next_down(), false);
        differs.extend(below);
        [differs, equal]
    }

    /// The tree for integers: each threshold is the largest one that stands for a real of at most the threshold. Nodes
    /// that send all integers to one side vanish. The thresholds of the nodes that are left come with it.
    fn for_integers(&self, (scale, zero_point): (f32, i32)) -> (Tree, Vec<i8>) {
        let threshold = |split: &Split| {
            let below = |q: &i8| rt::dequantize(*q, scale, zero_point) <= split.threshold;
            (i8::MIN..=i8::MAX).rev().find(below)
        };
        let thresholds: Vec<Option<i8>> = self.nodes.iter().map(threshold).collect();
        // Where a row really goes on behind nodes that decide nothing.
        let resolve = |mut child: Child| {
            while let Child::Node(node) = child {
                match thresholds[node] {
                    None => child = self.nodes[node].children[0],
                    Some(i8::MAX) => child = self.nodes[node].children[1],
                    Some(_) => break,
                }
            }
            child
        };
        let mut tree = Tree { leaves: self.leaves.clone(), root: resolve(self.root), ..Tree::default() };
        let mut kept: BTreeMap<usize, usize> = BTreeMap::new();
        let mut order = Vec::new();
        let mut open = vec![tree.root];
        while let Some(child) = open.pop() {
            let Child::Node(node) = child else { continue };
            if kept.contains_key(&node) {
                continue;
            }
            kept.insert(node, order.len());
            order.push(node);
            open.extend(self.nodes[node].children.map(resolve));
        }
        let renumber = |child: Child| match child {
            Child::Node(node) => Child::Node(kept[&node]),
            leaf => leaf,
        };
        tree.root = renumber(tree.root);
        tree.nodes = order.iter().map(|&node| {
            let split = self.nodes[node];
            Split { children: split.children.map(|child| renumber(resolve(child))), ..split }
        }).collect();
        let thresholds = order.iter().filter_map(|&node| thresholds[node]).collect();
        (tree, thresholds)
    }
}

impl Forest {
    /// The target of each tree, where each has numbers for one only and that saves memory.
    fn single_targets(&self) -> Option<Vec<u16>> {
        if self.targets == 1 || self.aggregate != rt::Aggregate::Sum {
            return None;
        }
        let target = |tree: &Tree| {
            let targets: BTreeSet<usize> = tree.leaves.iter().flatten().map(|vote| vote.0).collect();
            match targets.len() {
                0 => Some(0),
                1 => targets.first().and_then(|target| u16::try_from(*target).ok()),
                _ => None,
            }
        };
        self.trees.iter().map(target).collect()
    }

    /// The numbers of all leaves, `votes` for each.
    fn weights(&self, votes: usize) -> Vec<f32> {
        let mut weights = Vec::new();
        for leaf in self.trees.iter().flat_map(|tree| &tree.leaves) {
            let start = weights.len();
            weights.resize(start + votes, 0.0);
            leaf.iter().for_each(|(target, weight)| weights[start + if votes == 1 { 0 } else { *target }] += weight);
        }
        weights
    }
}

impl Operator for Trees {
    fn name(&self) -> &'static str {
        "TreeEnsemble"
    }

    fn infer(&self, inputs: &[&Type]) -> Result<Vec<Type>, Error> {
        let [x] = inputs else { return Err(Error::bug("trees have one operand")) };
        window::expect_float(inputs)?;
        let [rows, columns] = x.shape[..] else {
            return Err(Error::invalid(format!("x of shape {:?} is no matrix", x.shape)));
        };
        let splits = self.forest.trees.iter().flat_map(|tree| &tree.nodes);
        match splits.map(|split| split.feature).max() {
            Some(feature) if feature >= columns => {
                Err(Error::invalid(format!("a node asks for column {feature} of {columns}")))
            }
            _ if columns == 0 => Err(Error::invalid("x has no columns")),
            _ => Ok(vec![Type::f32([rows, self.forest.targets])]),
        }
    }

    fn scales(&self) -> Scales {
        match self.forest.aggregate {
            rt::Aggregate::Sum => Scales::Calibrated,
            _ => Scales::Float,
        }
    }

    fn lower(&self, io: &Io<'_>) -> Result<Lowered, Error> {
        let forest = &self.forest;
        let targets = forest.single_targets();
        let votes = if targets.is_some() { 1 } else { forest.targets };
        let columns = io.inputs[0].ty.shape[1];
        let geometry = rt::Trees { columns, targets: forest.targets, votes, aggregate: forest.aggregate };
        let targets = targets.unwrap_or_default();
        if io.output.ty.dtype == DType::F32 {
            let tables = Tables::new(&forest.trees.iter().collect::<Vec<_>>());
            let thresholds = forest.trees.iter().flat_map(|tree| &tree.nodes).map(|split| split.threshold).collect();
            let (weights, base) = (forest.weights(votes), forest.base.clone());
            return Ok(TreesF32 { geometry, tables, thresholds, weights, targets, base }.into());
        }
        let input = linear::scale_of(io.inputs[0])?;
        let (scale, zero_point) = linear::scale_of(io.output)?;
        let (trees, thresholds): (Vec<Tree>, Vec<Vec<i8>>) =
            forest.trees.iter().map(|tree| tree.for_integers(input)).unzip();
        let tables = Tables::new(&trees.iter().collect::<Vec<_>>());
        let steps = |x: f32, shift: u32| f64::from(x) / f64::from(scale) * f64::from(1u32 << shift);
        let weights = forest.weights(votes);
        // As many bits behind the point as the largest number and the largest sum leave room for.
        let largest = weights.iter().chain(&forest.base).fold(0f32, |largest, w| largest.max(w.abs()));
        let reach = |tree: &Tree| tree.leaves.iter().flatten().fold(0f32, |largest, vote| largest.max(vote.1.abs()));
        let sum = forest.trees.iter().map(reach).sum::<f32>() + largest;
        let fits = |shift: &u32| {
            steps(largest, *shift) < f64::from(i16::MAX) && steps(sum, *shift) < f64::from(1 << 30)
        };
        let shift = (0..=24).rev().find(fits).ok_or_else(|| {
            Error::unsupported("numbers of leaves far beyond the range of the result").instead("float32")
        })?;
        let weights = weights.iter().map(|w| steps(*w, shift).round_ties_even() as i16).collect();
        let base = forest.base.iter().map(|w| steps(*w, shift).round_ties_even() as i32).collect();
        let votes = rt::Votes { shift, zero_point };
        Ok(TreesS8 { geometry, votes, tables, thresholds: thresholds.concat(), weights, targets, base }.into())
    }
}

impl Trees {
    /// Whether int8 features tell the thresholds apart: in a scale that all columns share, those of a column with small
    /// numbers may fall together.
    pub fn is_divided_by(&self, quantization: &Quantization) -> bool {
        let Some((scale, zero_point)) = quantization.single() else { return false };
        let mut columns: BTreeMap<usize, Vec<f32>> = BTreeMap::new();
        for split in self.forest.trees.iter().flat_map(|tree| &tree.nodes) {
            columns.entry(split.feature).or_default().push(split.threshold);
        }
        let (mut pairs, mut close) = (0, 0);
        for thresholds in columns.values_mut() {
            thresholds.sort_by(f32::total_cmp);
            thresholds.dedup();
            let integers: Vec<i8> = thresholds.iter().map(|t| rt::quantize_f32(*t, scale, zero_point)).collect();
            pairs += integers.len() - 1;
            close += integers.windows(2).filter(|pair| pair[0] == pair[1]).count();
        }
        close * 20 <= pairs
    }
}

/// The tables of a forest that do not depend on the element type.
#[derive(Clone, Debug)]
pub struct Tables {
    trees: Vec<u32>,
    features: Narrow,
    children: Narrow,
    missing: Vec<u8>,
}

/// Numbers in bytes, if they fit.
#[derive(Clone, Debug)]
enum Narrow {
    U8(Vec<u8>),
    U16(Vec<u16>),
}

impl Narrow {
    fn data(&self) -> Data {
        match self {
            Narrow::U8(values) => Data::U8(values.clone()),
            Narrow::U16(values) => Data::U16(values.clone()),
        }
    }
}

impl Tables {
    fn new(trees: &[&Tree]) -> Self {
        let splits = || trees.iter().flat_map(|tree| &tree.nodes);
        let features: Vec<u16> = splits().map(|split| split.feature as u16).collect();
        let children = splits().flat_map(|split| [split.children[1], split.children[0]]);
        let small = trees.iter().all(|tree| tree.nodes.len() <= 1 << 7 && tree.leaves.len() <= 1 << 7);
        let code = |child: Child, leaf: u16| match child {
            Child::Node(node) => node as u16,
            Child::Leaf(index) => index as u16 | leaf,
        };
        let children = match small {
            true => Narrow::U8(children.map(|child| code(child, 1 << 7) as u8).collect()),
            false => Narrow::U16(children.map(|child| code(child, 1 << 15)).collect()),
        };
        let features = match features.iter().all(|feature| *feature < 1 << 8) {
            true => Narrow::U8(features.iter().map(|feature| *feature as u8).collect()),
            false => Narrow::U16(features),
        };
        let flags: Vec<bool> = splits().map(|split| split.missing).collect();
        let byte = |flags: &[bool]| flags.iter().rev().fold(0u8, |byte, flag| byte << 1 | u8::from(*flag));
        let missing = if flags.contains(&true) { flags.chunks(8).map(byte).collect() } else { Vec::new() };
        let mut starts = Vec::new();
        let (mut node, mut leaf) = (0u32, 0u32);
        for tree in trees {
            starts.extend([if matches!(tree.root, Child::Node(_)) { node } else { rt::NO_NODE }, leaf]);
            // A tree that is a leaf is its first one, whatever it was before its nodes vanished.
            if let Child::Leaf(root) = tree.root {
                starts.pop();
                starts.push(leaf + root as u32);
            }
            node += tree.nodes.len() as u32;
            leaf += tree.leaves.len() as u32;
        }
        Self { trees: starts, features, children, missing }
    }
}

impl Literal for rt::Aggregate {
    fn ty(&self) -> TokenStream {
        quote!(rt::Aggregate)
    }

    fn literal(&self) -> TokenStream {
        match self {
            rt::Aggregate::Sum => quote!(rt::Aggregate::Sum),
            rt::Aggregate::Min => quote!(rt::Aggregate::Min),
            rt::Aggregate::Max => quote!(rt::Aggregate::Max),
        }
    }
}

struct_literals! {
    Trees { columns, targets, votes, aggregate }
    Votes { shift, zero_point }
}

/// Runs `$body` with `$f` and `$c` bound to the columns and the children of tables, whatever their types.
macro_rules! with_tables {
    ($tables:expr, $f:ident, $c:ident => $body:expr) => {
        match (&$tables.features, &$tables.children) {
            (Narrow::U8($f), Narrow::U8($c)) => $body,
            (Narrow::U8($f), Narrow::U16($c)) => $body,
            (Narrow::U16($f), Narrow::U8($c)) => $body,
            (Narrow::U16($f), Narrow::U16($c)) => $body,
        }
    };
}

/// `trees_f32` with its tables.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct TreesF32 {
    pub geometry: rt::Trees,
    pub tables: Tables,
    pub thresholds: Vec<f32>,
    pub weights: Vec<f32>,
    pub targets: Vec<u16>,
    pub base: Vec<f32>,
}

impl Routine for TreesF32 {
    fn call(&self, _: DType) -> Call {
        Call::new("trees_f32")
            .params(&self.geometry)
            .array("_TREES", Data::U32(self.tables.trees.clone()))
            .array("_FEATURES", self.tables.features.data())
            .array("_THRESHOLDS", Data::F32(self.thresholds.clone()))
            .array("_CHILDREN", self.tables.children.data())
            .array("_MISSING", Data::U8(self.tables.missing.clone()))
            .array("_WEIGHTS", Data::F32(self.weights.clone()))
            .array("_TARGETS", Data::U16(self.targets.clone()))
            .array("_BASE", Data::F32(self.base.clone()))
    }

    fn run(&self, x: &[&Tensor], y: &mut Tensor) {
        let Self { geometry: p, tables: t, thresholds, weights, targets, base } = self;
        let (x, y) = (f32s(x[0]), f32s_mut(y));
        with_tables!(t, f, c => {
            rt::trees_f32(p, &t.trees, f, thresholds, c, &t.missing, weights, targets, base, x, y)
        });
    }
}

/// `trees_s8` with its tables.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct TreesS8 {
    pub geometry: rt::Trees,
    pub votes: rt::Votes,
    pub tables: Tables,
    pub thresholds: Vec<i8>,
    pub weights: Vec<i16>,
    pub targets: Vec<u16>,
    pub base: Vec<i32>,
}

impl Routine for TreesS8 {
    fn call(&self, _: DType) -> Call {
        Call::new("trees_s8")
            .params(&self.geometry)
            .named("_VOTES", &self.votes)
            .array("_TREES", Data::U32(self.tables.trees.clone()))
            .array("_FEATURES", self.tables.features.data())
            .array("_THRESHOLDS", Data::I8(self.thresholds.clone()))
            .array("_CHILDREN", self.tables.children.data())
            .array("_WEIGHTS", Data::I16(self.weights.clone()))
            .array("_TARGETS", Data::U16(self.targets.clone()))
            .array("_BASE", Data::I32(self.base.clone()))
            .scratch()
    }

    fn run(&self, x: &[&Tensor], y: &mut Tensor) {
        let Self { geometry: p, votes, tables: t, thresholds, weights, targets, base } = self;
        let mut sums = vec![0; p.targets];
        let (x, y) = (i8s(x[0]), i8s_mut(y));
        with_tables!(t, f, c => {
            rt::trees_s8(p, votes, &t.trees, f, thresholds, c, weights, targets, base, x, y, &mut sums)
        });
    }

    fn scratch_bytes(&self) -> usize {
        4 * self.geometry.targets
    }
}
