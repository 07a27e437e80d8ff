//! An explicit Pad as the padding of the window behind it.

use super::{Uses, substitute};
use crate::builder::push;
use crate::error::Error;
use crate::graph::Graph;
use crate::ops::{Op, pad::Pad, pool};
use crate::reference::Window;

/// window(Pad(x)) → window with padding (x).
pub(super) fn fold(graph: &mut Graph<Op>, uses: &Uses, index: usize) -> Result<bool, Error> {
    let node = graph.nodes[index].clone();
    let Some(before) = node.inputs.first().and_then(|x| uses.producer(graph, *x)) else { return Ok(false) };
    let Op::Pad(Pad { pads, value }) = &before.op else { return Ok(false) };
    // Where the padded tensor is rounded otherwise than the one before, it stays.
    let [x, padded] = [before.inputs[0], before.outputs[0]].map(|id| &graph.value(id).quantization);
    if padded.is_some() && padded != x {
        return Ok(false);
    }
    let (spatial, rest) = (&pads[1..pads.len() - 1], [pads[0], pads[pads.len() - 1]]);
    if rest != [[0; 2]; 2] {
        return Ok(false);
    }
    let mut op = node.op.clone();
    let window = match &mut op {
        Op::Conv(conv) if *value == 0.0 => &mut conv.window,
        Op::Pool(pool) if !pool.round_up => match &mut pool.kind {
            pool::Kind::Max if *value == f64::NEG_INFINITY => &mut pool.window,
            // The padding's zeros count; the window's own padding must not stand beside them and not count.
            pool::Kind::Average { count_include_pad, .. } if *value == 0.0 => {
                if pool.window.pads.iter().any(|pads| *pads != [0; 2]) && !*count_include_pad {
                    return Ok(false);
                }
                *count_include_pad = true;
                &mut pool.window
            }
            _ => return Ok(false),
        },
        _ => return Ok(false),
    };
    add(window, spatial);
    let inputs = [&[before.inputs[0]], &node.inputs[1..]].concat();
    let y = push(graph, &node.name, op, &inputs)?;
    substitute(graph, node.outputs[0], y[0])?;
    Ok(true)
}

fn add(window: &mut Window, pads: &[[usize; 2]]) {
    for (own, added) in window.pads.iter_mut().zip(pads) {
        *own = [own[0] + added[0], own[1] + added[1]];
    }
}
