//! What makes samples a bad guide, though they can be used.

use super::{Ranges, Samples};
use crate::error::Error;
use crate::graph::Graph;
use crate::ops::Op;
use crate::tensor::Tensor;

/// Fewer samples than this leave out what the network will meet.
const FEW: usize = 16;

/// A sentence for each thing that the user should know: too few samples, samples that are all the same, and tensors that
/// have one value in all of them.
pub fn warnings(graph: &Graph<Op>, samples: &Samples, ranges: &Ranges) -> Result<Vec<String>, Error> {
    let mut warnings = Vec::new();
    if samples.len() < FEW {
        warnings.push(format!(
            "there are {} samples; with fewer than {FEW}, tensors will exceed the ranges that were seen: take some of each \
             class, as they come on the device",
            samples.len()
        ));
    }
    let first = samples.sample(0)?;
    let mut same = vec![samples.len() > 1; first.len()];
    for index in 1..samples.len() {
        if same.iter().any(|same| *same) {
            for ((same, first), other) in same.iter_mut().zip(&first).zip(samples.sample(index)?) {
                *same &= *first == other;
            }
        }
    }
    for ((id, same), sample) in graph.inputs.iter().zip(same).zip(&first) {
        let name = &graph.value(*id).name;
        match constant(sample) {
            Some(number) if same || samples.len() == 1 => {
                warnings.push(format!("all samples of `{name}` are {number} throughout"))
            }
            _ if same => warnings.push(format!("all samples of `{name}` are the same")),
            _ => {}
        }
    }
    let made = graph.nodes.iter().flat_map(|node| &node.outputs);
    let collapsed: Vec<String> = made
        .filter_map(|id| {
            let range = ranges.get(id)?.range;
            let name = &graph.value(*id).name;
            (range.min == range.max).then(|| format!("`{name}` ({})", range.min))
        })
        .collect();
    if !collapsed.is_empty() {
        let shown = collapsed.iter().take(3).cloned().collect::<Vec<_>>().join(", ");
        let more = if collapsed.len() > 3 { format!(" and {} more", collapsed.len() - 3) } else { String::new() };
        warnings.push(format!(
            "{shown}{more} have one value in all samples, which says nothing of their range: do the samples reach all of the \
             network, and are they scaled as in training?"
        ));
    }
    Ok(warnings)
}

/// The number that all elements of a tensor are.
fn constant(tensor: &Tensor) -> Option<f32> {
    let elements = tensor.f32s().filter(|elements| elements.len() > 1)?;
    let first = *elements.first()?;
    elements.iter().all(|x| *x == first).then_some(first)
}
