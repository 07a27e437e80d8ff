//! Rewriting the graph into fewer and canonical operators, without changing what it computes.
//!
//! A `Rule` looks at one node and its neighbours; the table `RULES` is tried in order until none applies. After
//! each application dead nodes go, the order is restored and the graph verified, so that a broken rule is named by
//! the error it causes.
//!
//! Only float rounding may differ between before and after. Where the file's author quantized a tensor, the tensor
//! stays: a rule never removes a value that carries a quantization its neighbours do not share.

mod activation;
mod affine;
mod broadcast;
mod dense;
mod duplicate;
mod matmul;
mod normalize;
mod pad;
mod phases;
mod quantization;
mod recurrent;
mod reshape;
mod sink_reshape;
mod sink_transpose;
mod transpose;

use crate::builder::push;
use crate::error::Error;
use crate::graph::{Graph, Node, Value, ValueId};
use crate::ops::{Op, quantize::FakeQuantize};

/// One rewriting rule.
struct Rule {
    /// What it does, for error messages and reports.
    name: &'static str,
    /// Tries it on the node at a position; `true` if the graph changed.
    apply: fn(&mut Graph<Op>, &Uses, usize) -> Result<bool, Error>,
}

const RULES: &[Rule] = &[
    Rule { name: "pair QuantizeLinear with DequantizeLinear", apply: quantization::pair },
    Rule { name: "dequantize before elements are moved", apply: quantization::hoist },
    Rule { name: "take over the author's quantization", apply: quantization::annotate },
    Rule { name: "share a quantization along moved elements", apply: quantization::share },
    Rule { name: "replace MatMul by Dense", apply: dense::from_matmul },
    Rule { name: "cancel Transpose", apply: transpose::cancel },
    Rule { name: "sink Transpose", apply: sink_transpose::apply },
    Rule { name: "cancel Reshape", apply: reshape::cancel },
    Rule { name: "leave off what nobody reads of a recurrent layer", apply: recurrent::narrow },
    Rule { name: "sink Reshape", apply: sink_reshape::apply },
    Rule { name: "let elementwise operators repeat their operands", apply: broadcast::apply },
    Rule { name: "remove duplicates", apply: duplicate::apply },
    Rule { name: "fold Transpose into Dense", apply: dense::fold_transpose },
    Rule { name: "recognise a normalisation", apply: normalize::recognise },
    Rule { name: "normalise channels where they lie", apply: normalize::by_channels },
    Rule { name: "fold Mul and Add into the layer before", apply: affine::fold },
    Rule { name: "fold a factor into MatMul", apply: matmul::fold_factor },
    Rule { name: "fold Transpose into the MatMul behind", apply: matmul::fold_transpose_before },
    Rule { name: "fold Transpose into the MatMul before", apply: matmul::fold_transpose_behind },
    Rule { name: "lift a Reshape of batch axes over MatMul", apply: matmul::lift_reshape },
    Rule { name: "fold Pad into the window behind", apply: pad::fold },
    Rule { name: "fold an activation into the layer before", apply: activation::fold },
    Rule { name: "drop limits that change nothing", apply: activation::drop },
    Rule { name: "turn Mul and Add into a depthwise convolution", apply: affine::to_depthwise },
    Rule { name: "round before elements are limited or joined", apply: quantization::round_before },
];

/// A rule that was applied, and the node it was applied to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// The rule.
    pub rule: &'static str,
    /// The node's name.
    pub node: String,
}

/// Applies all rules until none fits; returns what was done, in order.
pub fn simplify(graph: &mut Graph<Op>) -> Result<Vec<Applied>, Error> {
    let mut applied = Vec::new();
    remove_dead(graph);
    // Each rule brings the graph nearer to its form, so this is never reached; a pair of rules that undo each other
    // must not hang the build.
    let limit = 1000 + 100 * graph.nodes.len();
    while let Some(step) = apply_one(graph)? {
        applied.push(step);
        if applied.len() > limit {
            return Err(Error::bug(format!("simplification does not end: `{}` again", applied[limit].rule)));
        }
    }
    Ok(applied)
}

/// Rewrites what runs faster in int8 than as it is, though not in float.
pub fn prepare_int8(graph: &mut Graph<Op>) -> Result<Vec<Applied>, Error> {
    let split = phases::split(graph)?;
    if split.is_empty() {
        return Ok(Vec::new());
    }
    remove_dead(graph);
    graph.sort().map_err(|_| Error::bug("a cycle"))?;
    graph.verify()?;
    let rule = "replace ConvTranspose by convolutions of its phases";
    let mut applied: Vec<Applied> = split.into_iter().map(|node| Applied { rule, node }).collect();
    applied.extend(simplify(graph)?);
    Ok(applied)
}

/// Applies the first rule that fits somewhere.
fn apply_one(graph: &mut Graph<Op>) -> Result<Option<Applied>, Error> {
    let uses = Uses::of(graph);
    // The node may be gone when it is to be named.
    let nodes: Vec<_> = graph.nodes.iter().map(|node| (node.name.clone(), node.op.name())).collect();
    for rule in RULES {
        for (index, (node, op)) in nodes.iter().enumerate() {
            if (rule.apply)(graph, &uses, index).map_err(|error| error.at_node(node, op))? {
                remove_dead(graph);
                let sorted = graph.sort().map_err(|_| Error::bug("a cycle"));
                let checked = sorted.and_then(|()| graph.verify());
                checked.map_err(|error| Error::bug(format!("the rule `{}` broke `{node}`: {error}", rule.name)))?;
                return Ok(Some(Applied { rule: rule.name, node: node.clone() }));
            }
        }
    }
    Ok(None)
}

/// Removes nodes that no output depends on.
fn remove_dead(graph: &mut Graph<Op>) {
    let mut needed = vec![false; graph.values.len()];
    for output in &graph.outputs {
        needed[output.index()] = true;
    }
    let mut live = vec![false; graph.nodes.len()];
    // Behind a rewrite the order may be broken, so this sweeps until nothing new is found.
    loop {
        let mut changed = false;
        for (index, node) in graph.nodes.iter().enumerate().rev() {
            if !live[index] && node.outputs.iter().any(|id| needed[id.index()]) {
                (live[index], changed) = (true, true);
                node.inputs.iter().for_each(|id| needed[id.index()] = true);
            }
        }
        if !changed {
            break;
        }
    }
    let mut live = live.into_iter();
    graph.nodes.retain(|_| live.next().unwrap_or(true));
}

/// Who makes and who reads each value.
struct Uses {
    producers: Vec<Option<usize>>,
    consumers: Vec<Vec<usize>>,
}

impl Uses {
    fn of(graph: &Graph<Op>) -> Self {
        Self { producers: graph.producers(), consumers: graph.consumers() }
    }

    /// The node that makes `id`.
    fn producer<'a>(&self, graph: &'a Graph<Op>, id: ValueId) -> Option<&'a Node<Op>> {
        self.producers[id.index()].map(|index| &graph.nodes[index])
    }

    /// The nodes that read `id`.
    fn consumers<'a>(&self, graph: &'a Graph<Op>, id: ValueId) -> impl Iterator<Item = &'a Node<Op>> {
        self.consumers[id.index()].iter().map(|&index| &graph.nodes[index])
    }

    /// Whether `id` can vanish into its only reader: read once, no output, and not quantized by the author.
    fn is_private(&self, graph: &Graph<Op>, id: ValueId) -> bool {
        self.consumers[id.index()].len() == 1 && !graph.is_output(id) && graph.value(id).quantization.is_none()
    }
}

/// Lets `new` take the place of `old`. A value that was just added takes over the name and the quantization; one
/// that others read as well stays as it is, and gets a FakeQuantize behind it where the quantizations differ.
fn substitute(graph: &mut Graph<Op>, old: ValueId, new: ValueId) -> Result<(), Error> {
    let is_fresh = graph.constant(new).is_none()
        && !graph.inputs.contains(&new)
        && !graph.is_output(new)
        && !graph.nodes.iter().any(|node| node.inputs.contains(&new));
    let Value { name, quantization, .. } = graph.value(old).clone();
    let mut new = new;
    if is_fresh {
        let value = graph.value_mut(new);
        value.name = name;
        value.quantization = quantization.or(value.quantization.take());
    } else if let Some(quantization) = quantization.filter(|quantization| quantization.single().is_some())
        && graph.value(new).quantization.as_ref() != Some(&quantization)
    {
        new = push(graph, &name, FakeQuantize { quantization }.into(), &[new])?[0];
    }
    graph.replace(old, new);
    Ok(())
}
