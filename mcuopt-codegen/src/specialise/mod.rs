//! Exact rewrites of the lowered network that only a compiler can do: no byte of any output changes.
//!
//! Training leaves channels behind that always hold the same number, or that no later layer looks at. `range` finds
//! for each channel of each int8 tensor what it can hold; a constant goes into the biases of the layers behind. `live`
//! finds the channels that an output depends on, the constant ones not counted. The others are removed from every
//! layer that makes or reads them.
//!
//! A channel is an index along a tensor's last axis, of which lowered tensors hold whole rows. It goes only if all
//! layers around can do without: it is a tensor that loses a channel, not a layer. What the caller sees, the inputs
//! and outputs of the network, stays as it is.
//!
//! Three things keep a constant channel: a reader that is neither linear nor treats channels one by one (grouped
//! convolutions, too), a convolution whose padding holds another value (its sums would differ between border and
//! interior), and a tensor that would have no channel left.

mod broadcast;
mod depthwise;
mod filters;
mod kept;
mod live;
mod movement;
mod padding;
mod pool;
mod range;
mod ties;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::Error;
use crate::graph::{Graph, Node, Value};
use crate::ops::{Kernel, Layer};
use crate::tensor::{DType, Tensor};
use filters::Filters;
use kept::Kept;
use live::Live;
use range::Range;

/// No microcontroller holds a tensor of so many elements: what is larger is not looked at.
const MAX_ELEMENTS: usize = 1 << 22;

/// A tensor that lost channels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shrunk {
    /// The layer that makes it; empty for a constant operand.
    pub layer: String,
    /// Its name.
    pub tensor: String,
    /// Number of channels that lowering gave it.
    pub before: usize,
    /// Number of channels that are left.
    pub after: usize,
    /// How many of those that went held a constant, which the layers behind have in their biases now. The others
    /// nobody read.
    pub constant: usize,
}

/// Removes constant and dead channels until there are none; returns the tensors that lost some, in the graph's order.
pub fn specialise(graph: &mut Graph<Layer>) -> Result<Vec<Shrunk>, Error> {
    let mut shrunk: BTreeMap<usize, Shrunk> = BTreeMap::new();
    // Each round removes a channel at least, so this ends.
    loop {
        let ranges = range::ranges(graph);
        let live = Live::find(graph, &ranges);
        let kept: Vec<Kept> = graph.ids().map(|id| live.kept(id)).collect();
        if kept.iter().all(Kept::is_all) {
            return Ok(shrunk.into_values().collect());
        }
        record(graph, &ranges, &kept, &mut shrunk);
        shrink(graph, &ranges, &live, &kept)?;
        graph.verify()?;
    }
}

fn record(graph: &Graph<Layer>, ranges: &[Vec<Range>], kept: &[Kept], shrunk: &mut BTreeMap<usize, Shrunk>) {
    let producers = graph.producers();
    for (index, value) in graph.values.iter().enumerate().filter(|(index, _)| !kept[*index].is_all()) {
        let layer = producers[index].map(|producer| graph.nodes[producer].name.clone()).unwrap_or_default();
        let before = channels(value);
        let entry = shrunk.entry(index);
        let entry =
            entry.or_insert_with(|| Shrunk { layer, tensor: value.name.clone(), before, after: before, constant: 0 });
        entry.after = kept[index].len();
        entry.constant += kept[index].removed().filter(|&channel| ranges[index][channel].constant().is_some()).count();
    }
}

/// Takes the channels that are not kept out of all layers and tensors.
fn shrink(graph: &mut Graph<Layer>, ranges: &[Vec<Range>], live: &Live, kept: &[Kept]) -> Result<(), Error> {
    for node in &mut graph.nodes {
        let Node { name, op, inputs, outputs } = node;
        let [output] = outputs[..] else { continue };
        if inputs.iter().chain([&output]).all(|id| kept[id.index()].is_all()) {
            continue;
        }
        let x: Vec<&Kept> = inputs.iter().map(|id| &kept[id.index()]).collect();
        let y = &kept[output.index()];
        let filters = match inputs[..] {
            [input] => Filters::of(&op.kernel, x[0].before(), y.before()).map(|filters| (input, filters)),
            _ => None,
        };
        let result = match filters {
            Some((input, filters)) => {
                let live: Vec<bool> = (0..y.before()).map(|channel| live.is_live(output, channel)).collect();
                let linear = filters.without(x[0], y, &ranges[input.index()], &live);
                linear.map(|linear| filters::replace(&mut op.kernel, linear, x[0], y))
            }
            None => shrink_tied(&mut op.kernel, &x, y),
        };
        result.map_err(|error| error.at_node(name, op.operator))?;
    }
    for (value, kept) in graph.values.iter_mut().zip(kept).filter(|(_, kept)| !kept.is_all()) {
        if let Some(last) = value.ty.shape.last_mut() {
            *last = kept.len();
        }
        if let Some(Tensor::I8(array)) = value.constant.as_deref() {
            let elements: Vec<i8> = array.iter().copied().collect();
            let tensor = Tensor::new(&value.ty.shape, kept.pick(&elements));
            value.constant = Some(Arc::new(tensor.ok_or_else(|| Error::bug("a constant changed its size"))?));
        }
    }
    Ok(())
}

/// The counterpart of [`ties::of`].
fn shrink_tied(kernel: &mut Kernel, x: &[&Kept], y: &Kept) -> Result<(), Error> {
    match kernel {
        Kernel::DepthwiseS8(layer) => depthwise::shrink(layer, x[0], y),
        Kernel::AddS8(layer) => broadcast::shrink(&mut layer.geometry, y),
        Kernel::MulS8(layer) => broadcast::shrink(&mut layer.geometry, y),
        Kernel::BinaryLoop(layer) => broadcast::shrink(&mut layer.geometry, y),
        Kernel::MaxPool(layer) => pool::shrink(&mut layer.geometry, y),
        Kernel::AveragePoolS8(layer) => pool::shrink(&mut layer.geometry, y),
        Kernel::ReduceMeanS8(layer) => pool::shrink_reduce(&mut layer.geometry, y),
        Kernel::ResizeNearest(layer) => pool::shrink_resize(&mut layer.geometry, y),
        Kernel::ResizeS8(layer) => pool::shrink_resize(&mut layer.geometry, y),
        Kernel::ConcatBlocks(layer) => movement::shrink_concat(layer, x, y),
        Kernel::SliceCopy(layer) => movement::shrink_slice(&mut layer.geometry, x[0], y),
        Kernel::PadConstant(layer) => movement::shrink_pad(&mut layer.geometry, x[0], y),
        Kernel::LutS8(_) | Kernel::Requantize(_) => {}
        _ => return Err(Error::bug("a layer lost channels that it needs")),
    }
    Ok(())
}

/// Number of channels of a tensor; 0 for those that this stage does not touch.
fn channels(value: &Value) -> usize {
    let elements = value.ty.len();
    if value.ty.dtype != DType::I8 || elements == 0 || elements > MAX_ELEMENTS {
        return 0;
    }
    value.ty.shape.last().copied().unwrap_or(1)
}
