//! Einsum, as products of matrices.
//!
//! <https://onnx.ai/onnx/operators/onnx__Einsum.html>, opset 12: numpy's `einsum`. Operands are taken in one after the other;
//! a diagonal is a Slice, what only one of two operands has and nobody else needs is summed before, and the rest is a
//! MatMul, or a Mul where nothing is summed.

use std::collections::{BTreeMap, BTreeSet};

use super::binary::{Binary, Kind};
use super::matmul::MatMul;
use super::slice::Slice;
use super::reduce;
use crate::builder::Builder;
use crate::error::Error;
use crate::graph::ValueId;
use crate::onnx;

/// An axis by name: a letter, or the place of an axis that `...` stands for, counted from the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Label {
    Ellipsis(usize),
    Letter(char),
}

/// A tensor and the names of its axes, all different.
struct Term {
    id: ValueId,
    labels: Vec<Label>,
}

/// Einsum → Slice, ReduceSum, Transpose, MatMul, Mul.
pub fn import(_: &onnx::Node, b: &mut Builder<'_>) -> Result<Vec<ValueId>, Error> {
    let equation: String = b.string("equation", "")?.chars().filter(|c| !c.is_whitespace()).collect();
    let wrong = |what: String| Error::invalid(format!("{what} in `{equation}`")).part("attribute `equation`");
    let (left, right) = match equation.split_once("->") {
        Some((left, right)) => (left, Some(right)),
        None => (equation.as_str(), None),
    };
    let names: Vec<&str> = left.split(',').collect();
    let operands = b.inputs()?;
    if names.len() != operands.len() {
        return Err(wrong(format!("{} operands, not {}", names.len(), operands.len())));
    }
    let mut extents: BTreeMap<Label, usize> = BTreeMap::new();
    let mut terms = Vec::new();
    for (&id, &name) in operands.iter().zip(&names) {
        let shape = b.shape(id).to_vec();
        let labels = labels(name, Some(shape.len())).ok_or_else(|| wrong(format!("no names for {shape:?}")))?;
        for (&label, &extent) in labels.iter().zip(&shape) {
            let known = extents.entry(label).or_insert(extent);
            if *known != extent && *known != 1 && extent != 1 {
                return Err(wrong(format!("an axis of extents {known} and {extent}")));
            }
            *known = extent.max(*known);
        }
        terms.push((id, labels));
    }
    let rank = extents.keys().filter(|label| matches!(label, Label::Ellipsis(_))).count();
    let output = match right {
        Some(right) => labels_of(right, rank),
        None => Some(implied(&terms, rank)),
    };
    let distinct = |labels: &Vec<Label>| labels.iter().collect::<BTreeSet<_>>().len() == labels.len();
    let output = output.filter(distinct).filter(|labels| labels.iter().all(|label| extents.contains_key(label)));
    let output = output.ok_or_else(|| wrong("names that the result cannot have".into()))?;

    let mut terms = terms.into_iter().map(|(id, labels)| diagonal(b, id, labels, &extents)).collect::<Vec<_>>().into_iter();
    let mut product = terms.next().ok_or_else(|| wrong("no operand".into()))??;
    let mut rest = terms.collect::<Result<Vec<_>, _>>()?;
    while !rest.is_empty() {
        let next = rest.remove(0);
        let needed = rest.iter().flat_map(|term| &term.labels).chain(&output).copied().collect();
        product = multiply(b, product, next, &needed, &extents)?;
    }
    let product = summed(b, product, |label| output.contains(&label))?;
    // An axis that the product lost, as its extent was 1 in all operands that had it or is 1 in this one alone.
    let shape: Vec<usize> = output.iter().map(|label| extents[label]).collect();
    let kept: Vec<Label> = output.iter().copied().filter(|label| product.labels.contains(label)).collect();
    let y = ordered(b, &product, &kept)?;
    Ok(vec![b.reshape(y, &shape)?])
}

/// The names of an operand's axes, or of the result's where `...` stands for `rank` axes.
fn labels_of(name: &str, rank: usize) -> Option<Vec<Label>> {
    let (before, behind) = match name.split_once("...") {
        Some((before, behind)) => (before, Some(behind)),
        None => (name, None),
    };
    let mut labels: Vec<Label> = before.chars().map(Label::Letter).collect();
    if let Some(behind) = behind {
        labels.extend((0..rank).rev().map(Label::Ellipsis));
        labels.extend(behind.chars().map(Label::Letter));
    }
    let letters = labels.iter().all(|label| if let Label::Letter(c) = label { c.is_alphabetic() } else { true });
    letters.then_some(labels)
}

/// The names of an operand's axes.
fn labels(name: &str, axes: Option<usize>) -> Option<Vec<Label>> {
    let axes = axes?;
    let letters = name.chars().filter(|c| *c != '.').count();
    let labels = labels_of(name, axes.checked_sub(letters)?)?;
    (labels.len() == axes).then_some(labels)
}

/// The result's axes where the equation does not name them: `...`, and the letters that stand once, sorted.
fn implied(terms: &[(ValueId, Vec<Label>)], rank: usize) -> Vec<Label> {
    let mut counts: BTreeMap<Label, usize> = BTreeMap::new();
    terms.iter().flat_map(|(_, labels)| labels).for_each(|label| *counts.entry(*label).or_default() += 1);
    let once = counts.into_iter().filter(|(label, count)| matches!(label, Label::Letter(_)) && *count == 1);
    (0..rank).rev().map(Label::Ellipsis).chain(once.map(|(label, _)| label)).collect()
}

/// An operand without axes that bear a name twice, and without those of extent 1 that are longer elsewhere.
fn diagonal(
    b: &mut Builder<'_>,
    mut id: ValueId,
    mut labels: Vec<Label>,
    extents: &BTreeMap<Label, usize>,
) -> Result<Term, Error> {
    while let Some((first, second)) = twice(&labels) {
        let extent = b.shape(id)[first];
        if extent != b.shape(id)[second] {
            return Err(Error::invalid(format!("a diagonal of {:?}", b.shape(id))));
        }
        // The two axes, side by side as one, hold the diagonal in steps of extent + 1.
        let others: Vec<usize> = (0..labels.len()).filter(|axis| ![first, second].contains(axis)).collect();
        let shape: Vec<usize> = others.iter().map(|&axis| b.shape(id)[axis]).collect();
        id = b.transpose(id, &[&others[..], &[first, second]].concat())?;
        id = b.reshape(id, &[&shape[..], &[extent * extent]].concat())?;
        let (mut starts, mut steps) = (vec![0; shape.len()], vec![1; shape.len()]);
        starts.push(0);
        steps.push(extent as isize + 1);
        id = b.push(Slice { starts, steps, shape: [&shape[..], &[extent]].concat() }, &[id])?;
        let label = labels[first];
        labels = others.into_iter().map(|axis| labels[axis]).collect();
        labels.push(label);
    }
    let shape = b.shape(id).to_vec();
    let kept: Vec<usize> = (0..shape.len()).filter(|&axis| shape[axis] == extents[&labels[axis]]).collect();
    let id = b.reshape(id, &kept.iter().map(|&axis| shape[axis]).collect::<Vec<_>>())?;
    Ok(Term { id, labels: kept.into_iter().map(|axis| labels[axis]).collect() })
}

/// The first two axes with the same name.
fn twice(labels: &[Label]) -> Option<(usize, usize)> {
    let second = (0..labels.len()).find(|&axis| labels[..axis].contains(&labels[axis]))?;
    let first = labels.iter().position(|label| *label == labels[second])?;
    Some((first, second))
}

/// The sum over all axes that are not kept.
fn summed(b: &mut Builder<'_>, term: Term, keep: impl Fn(Label) -> bool) -> Result<Term, Error> {
    let (kept, gone): (Vec<usize>, Vec<usize>) = (0..term.labels.len()).partition(|&axis| keep(term.labels[axis]));
    if gone.is_empty() {
        return Ok(term);
    }
    let id = reduce::over(b, reduce::Kind::Sum, term.id, gone, false)?;
    Ok(Term { id, labels: kept.into_iter().map(|axis| term.labels[axis]).collect() })
}

/// The term with its axes in the given order.
fn ordered(b: &mut Builder<'_>, term: &Term, order: &[Label]) -> Result<ValueId, Error> {
    let place = |label: &Label| term.labels.iter().position(|other| other == label);
    let perm: Option<Vec<usize>> = order.iter().map(place).collect();
    b.transpose(term.id, &perm.ok_or_else(|| Error::bug("an axis went missing"))?)
}

/// The product of two terms, summed over what is not needed any more.
fn multiply(
    b: &mut Builder<'_>,
    left: Term,
    right: Term,
    needed: &BTreeSet<Label>,
    extents: &BTreeMap<Label, usize>,
) -> Result<Term, Error> {
    let common: Vec<Label> = left.labels.iter().copied().filter(|label| right.labels.contains(label)).collect();
    let left = summed(b, left, |label| needed.contains(&label) || common.contains(&label))?;
    let right = summed(b, right, |label| needed.contains(&label) || common.contains(&label))?;
    let (batch, inner): (Vec<Label>, Vec<Label>) = common.into_iter().partition(|label| needed.contains(label));
    let own = |term: &Term| -> Vec<Label> {
        term.labels.iter().copied().filter(|label| !batch.contains(label) && !inner.contains(label)).collect()
    };
    let (rows, columns) = (own(&left), own(&right));
    let shape = |labels: &[Label]| labels.iter().map(|label| extents[label]).collect::<Vec<usize>>();
    let count = |labels: &[Label]| shape(labels).iter().product::<usize>();
    let labels = [&batch[..], &rows, &columns].concat();
    let right_order = if inner.is_empty() { [&batch[..], &columns].concat() } else { [&batch[..], &inner, &columns].concat() };
    let a = ordered(b, &left, &[&batch[..], &rows, &inner].concat())?;
    let c = ordered(b, &right, &right_order)?;
    let id = if inner.is_empty() {
        let a = b.reshape(a, &[shape(&batch), shape(&rows), vec![1; columns.len()]].concat())?;
        let c = b.reshape(c, &[shape(&batch), vec![1; rows.len()], shape(&columns)].concat())?;
        b.push(Binary::new(Kind::Mul), &[a, c])?
    } else {
        let a = b.reshape(a, &[count(&batch), count(&rows), count(&inner)])?;
        let c = b.reshape(c, &[count(&batch), count(&inner), count(&columns)])?;
        let y = b.push(MatMul::new(1.0), &[a, c])?;
        b.reshape(y, &shape(&labels))?
    };
    Ok(Term { id, labels })
}
