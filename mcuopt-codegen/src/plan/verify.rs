//! A check of the plan that shares nothing with the planner: it plays the layers and watches every byte.

use std::ops::Range;

use super::{Overlapping, Plan};
use crate::error::Error;
use crate::graph::{Graph, Node, ValueId};
use crate::ops::{Kernel, Layer, Overlap};
use mcuopt_rt::v0::{Arch, Conv2d, Dense, Order};

/// Fails if a layer would read bytes that another tensor's or its own work have overwritten, or reaches outside the
/// arena.
pub(super) fn verify(graph: &Graph<Layer>, plan: &Plan, borrowed_inputs: bool) -> Result<(), Error> {
    let mut arena = Arena { graph, plan, borrowed_inputs, owner: vec![None; plan.arena_bytes] };
    // What the last run left, which the caller's writing of the inputs must not touch.
    let kept = || graph.nodes.iter().filter(|node| node.op.kernel.initial().is_some()).map(|node| node.outputs[0]);
    kept().try_for_each(|id| arena.write(id))?;
    if !borrowed_inputs {
        graph.inputs.iter().try_for_each(|id| arena.write(*id))?;
    }
    for (index, node) in graph.nodes.iter().enumerate() {
        arena.play(index, node).map_err(|error| error.at_node(&node.name, node.op.operator))?;
    }
    kept().chain(graph.outputs.iter().copied()).try_for_each(|id| arena.read(id))
}

/// The arena's bytes while the layers run.
struct Arena<'a> {
    graph: &'a Graph<Layer>,
    plan: &'a Plan,
    borrowed_inputs: bool,
    /// Whose element each byte holds at the moment.
    owner: Vec<Option<ValueId>>,
}

impl Arena<'_> {
    fn play(&mut self, index: usize, node: &Node<Layer>) -> Result<(), Error> {
        node.inputs.iter().try_for_each(|id| self.read(*id))?;
        let output = node.outputs[0];
        if node.op.kernel.initial().is_some() {
            self.read(output)?;
        }
        let place = self.range(output)?;
        let overlapping = self.plan.overlaps.get(index).copied().flatten();
        for (operand, &input) in node.inputs.iter().enumerate() {
            if self.is_outside(input) {
                continue;
            }
            let x = self.range(input)?;
            let shares = overlapping.filter(|overlapping| overlapping.operand == operand);
            match shares {
                Some(Overlapping { how, .. }) => {
                    check_overlap(node, operand, how, &x, &place)?;
                    // Its kernel may do with the operand's memory what it likes.
                    self.owner[x].fill(None);
                }
                None if apart(&x, &place) => {}
                None => return Err(Error::bug("it would overwrite its own operand")),
            }
        }
        let scratch = self.plan.scratch.get(&index).cloned().unwrap_or_default();
        if scratch.len() < node.op.scratch_bytes() || scratch.end > self.plan.arena_bytes {
            return Err(Error::bug("it has too little work memory"));
        }
        let used = node.inputs.iter().filter(|id| !self.is_outside(**id)).chain([&output]);
        for id in used {
            if !scratch.is_empty() && !apart(&scratch, &self.range(*id)?) {
                return Err(Error::bug("its work memory lies over what it reads or writes"));
            }
        }
        self.owner[scratch].fill(None);
        self.write(output)
    }

    /// The tensor is there, and whole.
    fn read(&self, id: ValueId) -> Result<(), Error> {
        if self.is_outside(id) || self.owner[self.range(id)?].iter().all(|owner| *owner == Some(id)) {
            return Ok(());
        }
        Err(Error::bug(format!("the plan overwrites `{}` before it is read", self.graph.value(id).name)))
    }

    fn write(&mut self, id: ValueId) -> Result<(), Error> {
        let range = self.range(id)?;
        self.owner[range].fill(Some(id));
        Ok(())
    }

    fn is_outside(&self, id: ValueId) -> bool {
        self.graph.value(id).constant.is_some() || (self.borrowed_inputs && self.graph.inputs.contains(&id))
    }

    fn range(&self, id: ValueId) -> Result<Range<usize>, Error> {
        let value = self.graph.value(id);
        let range = self.plan.offsets.get(&id).map(|offset| *offset..offset + value.ty.bytes());
        let inside = range.filter(|range| range.end <= self.plan.arena_bytes);
        inside.ok_or_else(|| Error::bug(format!("`{}` has no place in the arena", value.name)))
    }
}

fn apart(a: &Range<usize>, b: &Range<usize>) -> bool {
    a.end <= b.start || b.end <= a.start
}

/// The layer's kernel reads operand `x` before its output `y` has overwritten it.
fn check_overlap(
    node: &Node<Layer>,
    operand: usize,
    how: Overlap,
    x: &Range<usize>,
    y: &Range<usize>,
) -> Result<(), Error> {
    let twice = node.inputs.iter().filter(|id| **id == node.inputs[operand]).count() > 1;
    let safe = match how {
        Overlap::Never => false,
        Overlap::Same => node.op.kernel.overlap(operand) == Overlap::Same && x.start == y.start && y.end <= x.end,
        Overlap::Ahead(_) => match convolution(&node.op.kernel) {
            Some((geometry, bytes)) => {
                let orders = Arch::ALL.iter().filter_map(|arch| node.op.choice(*arch)).map(|choice| choice.order);
                let start = x.start.checked_sub(y.start).filter(|start| start.is_multiple_of(bytes));
                let keeps = |start| orders.into_iter().all(|order| keeps_ahead(&geometry, order, start / bytes));
                start.is_some_and(keeps)
            }
            None => false,
        },
    };
    if safe && !twice { Ok(()) } else { Err(Error::bug("its output overwrites its operand too early")) }
}

/// The kernels with an `_overlapping` twin, as convolutions, and the bytes of an element.
fn convolution(kernel: &Kernel) -> Option<(Conv2d, usize)> {
    let of_dense = |dense: &Dense| Conv2d {
        batch: dense.rows,
        input: [1, 1, dense.inputs],
        output: [1, 1, dense.outputs],
        kernel: [1; 2],
        stride: [1; 2],
        pad: [0; 2],
        dilation: [1; 2],
        groups: 1,
    };
    match kernel {
        Kernel::ConvS8(conv) => Some((conv.geometry, 1)),
        Kernel::DenseS8(dense) => Some((of_dense(&dense.geometry), 1)),
        Kernel::ConvS16(conv) if !conv.depthwise => Some((conv.geometry, 2)),
        Kernel::DenseS16(dense) => Some((of_dense(&dense.geometry), 2)),
        _ => None,
    }
}

/// Plays a convolution whose input starts `start` elements behind its output: each step reads its pixels' windows, then
/// writes their channels. Fails if one reads what an earlier one has written.
fn keeps_ahead(p: &Conv2d, order: Order, start: usize) -> bool {
    let ([in_h, in_w, in_c], [out_h, out_w, out_c]) = (p.input, p.output);
    let mut written = vec![false; p.batch * out_h * out_w * out_c];
    for step in steps(p, order) {
        for &[image, out_y, out_x] in &step {
            for (tap_y, tap_x) in (0..p.kernel[0]).flat_map(|y| (0..p.kernel[1]).map(move |x| (y, x))) {
                let row = (out_y * p.stride[0] + tap_y * p.dilation[0]).checked_sub(p.pad[0]);
                let column = (out_x * p.stride[1] + tap_x * p.dilation[1]).checked_sub(p.pad[1]);
                let (Some(row), Some(column)) = (row.filter(|row| *row < in_h), column.filter(|c| *c < in_w)) else {
                    continue;
                };
                let read = start + ((image * in_h + row) * in_w + column) * in_c;
                let end = (read + in_c).min(written.len());
                if read < end && written[read..end].iter().any(|written| *written) {
                    return false;
                }
            }
        }
        for [image, out_y, out_x] in step {
            let first = ((image * out_h + out_y) * out_w + out_x) * out_c;
            written[first..first + out_c].fill(true);
        }
    }
    true
}

/// The pixels of each step: image, row, column.
fn steps(p: &Conv2d, order: Order) -> Vec<Vec<[usize; 3]>> {
    let [out_h, out_w, _] = p.output;
    let (edge, at_once) = match order {
        Order::Pixels => (1, 1),
        Order::Tiles { edge, at_once } => (edge, at_once),
    };
    let mut tiles = Vec::new();
    for image in 0..p.batch {
        for (top, left) in (0..out_h).step_by(edge).flat_map(|y| (0..out_w).step_by(edge).map(move |x| (y, x))) {
            let (rows, columns) = (top..out_h.min(top + edge), left..out_w.min(left + edge));
            tiles.push(rows.flat_map(|y| columns.clone().map(move |x| [image, y, x])).collect::<Vec<_>>());
        }
    }
    tiles.chunks(at_once).map(<[_]>::concat).collect()
}
