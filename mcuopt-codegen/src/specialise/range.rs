//! What each channel can hold, whatever the inputs are.

use ndarray::{ArrayD, IxDyn};

use super::filters::Filters;
use super::{channels, depthwise};
use crate::graph::{Graph, Node, Value};
use crate::ops::{Kernel, Layer, binary::Kind};
use crate::tensor::Tensor;

/// The numbers from `min` to `max`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) min: i8,
    pub(super) max: i8,
}

impl Range {
    /// Anything.
    pub(super) const FULL: Range = Range { min: i8::MIN, max: i8::MAX };

    /// The smallest range with all of `values`; [`FULL`](Self::FULL) if there are none.
    pub(super) fn of(values: impl IntoIterator<Item = i8>) -> Self {
        let join = |a: Range, b: Range| Range { min: a.min.min(b.min), max: a.max.max(b.max) };
        values.into_iter().map(|value| Range { min: value, max: value }).reduce(join).unwrap_or(Self::FULL)
    }

    /// The only number in it.
    pub(super) fn constant(self) -> Option<i8> {
        (self.min == self.max).then_some(self.min)
    }
}

/// The range of each channel of each value; none for values that this stage does not touch.
pub(super) fn ranges(graph: &Graph<Layer>) -> Vec<Vec<Range>> {
    let mut ranges: Vec<Vec<Range>> = graph.values.iter().map(before_any_layer).collect();
    for node in &graph.nodes {
        let [output] = node.outputs[..] else { continue };
        let mut values = node.inputs.iter().chain([&output]);
        if values.all(|id| !ranges[id.index()].is_empty())
            && let Some(found) = of_layer(graph, node, &ranges)
        {
            ranges[output.index()] = found;
        }
    }
    ranges
}

fn before_any_layer(value: &Value) -> Vec<Range> {
    let count = channels(value);
    match value.constant.as_deref() {
        Some(Tensor::I8(array)) if count > 0 => {
            let elements: Vec<i8> = array.iter().copied().collect();
            (0..count).map(|channel| Range::of(elements.iter().skip(channel).step_by(count).copied())).collect()
        }
        _ => vec![Range::FULL; count],
    }
}

/// The ranges of the output of a layer between int8 tensors; `None` where nothing is known about it.
fn of_layer(graph: &Graph<Layer>, node: &Node<Layer>, ranges: &[Vec<Range>]) -> Option<Vec<Range>> {
    let count = channels(graph.value(*node.outputs.first()?));
    let x = &ranges[node.inputs.first()?.index()];
    match &node.op.kernel {
        kernel @ (Kernel::ConvS8(_) | Kernel::DenseS8(_)) => {
            let filters = Filters::of(kernel, x.len(), count)?;
            Some((0..count).map(|filter| filters.range(filter, x)).collect())
        }
        Kernel::DepthwiseS8(layer) => depthwise::ranges(layer, x, count),
        Kernel::LutS8(layer) if x.len() == count => {
            let entry = |x: i16| layer.table.get((x + 128) as usize).copied().unwrap_or_default();
            Some(x.iter().map(|x| Range::of((i16::from(x.min)..=i16::from(x.max)).map(entry))).collect())
        }
        // These rise or fall steadily with each operand by itself, so their ends lie at ends of the operands.
        Kernel::AddS8(_) | Kernel::MulS8(_) => {
            extremes(graph, node, ranges, &[[false, false], [false, true], [true, false], [true, true]])
        }
        Kernel::BinaryLoop(layer) if !matches!(layer.kind, Kind::Max | Kind::Min) => None,
        // Without negative weights it rises with each input.
        Kernel::ResizeS8(layer) if layer.weights.iter().any(|&weight| weight < 0) => None,
        Kernel::ResizeNearest(_)
        | Kernel::ResizeS8(_)
        | Kernel::BinaryLoop(_)
        | Kernel::MaxPool(_)
        | Kernel::AveragePoolS8(_)
        | Kernel::ReduceMeanS8(_)
        | Kernel::Requantize(_)
        | Kernel::ConcatBlocks(_)
        | Kernel::SliceCopy(_)
        | Kernel::PadConstant(_)
        | Kernel::TransposeCopy(_) => {
            let [lows, highs] = [false, true].map(|high| vec![high; node.inputs.len()]);
            extremes(graph, node, ranges, &[lows, highs])
        }
        _ => None,
    }
}

/// Runs the kernel with each operand at one end of its ranges (`true`: the upper one), for each of `corners`.
fn extremes<C: AsRef<[bool]>>(
    graph: &Graph<Layer>,
    node: &Node<Layer>,
    ranges: &[Vec<Range>],
    corners: &[C],
) -> Option<Vec<Range>> {
    let output = graph.value(*node.outputs.first()?);
    let end = |operand: usize, high: bool| -> Tensor {
        let value = graph.value(node.inputs[operand]);
        match &value.constant {
            Some(tensor) => (**tensor).clone(),
            None => image(value, &ranges[node.inputs[operand].index()], high),
        }
    };
    let mut results = Vec::new();
    for corner in corners {
        let operands: Vec<Tensor> = corner.as_ref().iter().enumerate().map(|(k, &high)| end(k, high)).collect();
        let mut y = ArrayD::<i8>::zeros(IxDyn(&output.ty.shape)).into();
        node.op.kernel.run(&operands.iter().collect::<Vec<_>>(), &mut y);
        let Tensor::I8(y) = y else { return None };
        results.push(y.into_raw_vec_and_offset().0);
    }
    let count = channels(output);
    let values = |channel: usize| results.iter().flat_map(move |y| y.iter().skip(channel).step_by(count).copied());
    Some((0..count).map(|channel| Range::of(values(channel))).collect())
}

/// A tensor whose channels are at an end of their ranges.
fn image(value: &Value, ranges: &[Range], high: bool) -> Tensor {
    let end = |range: &Range| if high { range.max } else { range.min };
    let elements = ranges.iter().map(end).cycle();
    let mut image = ArrayD::zeros(IxDyn(&value.ty.shape));
    image.iter_mut().zip(elements).for_each(|(element, end)| *element = end);
    image.into()
}
