//! A check of the plan that shares nothing with the planner: it plays the layers and watches every byte.

use super::Plan;
use crate::error::Error;
use crate::graph::{Graph, ValueId};
use crate::ops::Layer;

/// Fails if a layer would read bytes that another tensor's have overwritten, or reaches outside the arena.
pub(super) fn verify(graph: &Graph<Layer>, plan: &Plan, borrowed_inputs: bool) -> Result<(), Error> {
    // Whose element each byte of the arena holds at the moment.
    let mut owner: Vec<Option<ValueId>> = vec![None; plan.arena_bytes];
    let write = |owner: &mut Vec<Option<ValueId>>, id: ValueId| match bytes_of(graph, plan, id) {
        Some(range) if range.end <= plan.arena_bytes => {
            owner[range].fill(Some(id));
            Ok(())
        }
        _ => Err(Error::bug(format!("`{}` has no place in the arena", graph.value(id).name))),
    };
    let read = |owner: &[Option<ValueId>], id: ValueId, reader: &str| {
        let outside = graph.value(id).constant.is_some() || (borrowed_inputs && graph.inputs.contains(&id));
        let intact = || bytes_of(graph, plan, id).is_some_and(|range| owner[range].iter().all(|o| *o == Some(id)));
        if outside || intact() {
            return Ok(());
        }
        Err(Error::bug(format!("the plan overwrites `{}` before {reader} reads it", graph.value(id).name)))
    };
    if !borrowed_inputs {
        graph.inputs.iter().try_for_each(|id| write(&mut owner, *id))?;
    }
    for (index, node) in graph.nodes.iter().enumerate() {
        for input in &node.inputs {
            read(&owner, *input, &format!("`{}`", node.name))?;
        }
        for output in &node.outputs {
            // While a layer runs, what it writes must not lie over what it reads, unless it works in place.
            for (operand, input) in node.inputs.iter().enumerate() {
                let apart = match (bytes_of(graph, plan, *input), bytes_of(graph, plan, *output)) {
                    (Some(input), Some(output)) => input.end <= output.start || output.end <= input.start,
                    _ => true,
                };
                if !apart && plan.in_place[index] != Some(operand) {
                    return Err(Error::bug(format!("`{}` would overwrite its own operand", node.name)));
                }
            }
            write(&mut owner, *output)?;
        }
    }
    graph.outputs.iter().try_for_each(|id| read(&owner, *id, "the caller"))
}

fn bytes_of(graph: &Graph<Layer>, plan: &Plan, id: ValueId) -> Option<std::ops::Range<usize>> {
    let offset = *plan.offsets.get(&id)?;
    Some(offset..offset + graph.value(id).ty.bytes())
}
