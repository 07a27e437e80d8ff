//! A transposed convolution as ordinary ones, for which there are faster int8 kernels.
//!
//! The outputs of a transposed convolution of stride s fall into s phases along each axis: those whose number is the same
//! modulo s meet the same taps, and are a convolution of stride 1 with these taps. Column phases become channels of one
//! convolution, [batch, rows, columns / s, s · channels], which lies in memory as [batch, rows, columns, channels] does. Row
//! phases are convolutions of their own, as they have fewer taps together, and a Concat interleaves their rows.
//!
//! W. Shi et al., "Is the deconvolution layer the same as a convolutional layer?", 2016.

use crate::builder::push;
use crate::error::Error;
use crate::graph::{Graph, Node, Quantization, ValueId};
use crate::ops::Op;
use crate::ops::concat::Concat;
use crate::ops::conv::Conv;
use crate::ops::conv_transpose::ConvTranspose;
use crate::ops::reshape::Reshape;
use crate::ops::slice::Slice;
use crate::reference::Window;
use crate::tensor::Tensor;

/// The largest stride that phases are looked for at.
const MAX_STRIDE: usize = 64;

/// How many times the taps of the transposed convolution its convolutions may have together, zeros included.
const MOST_TAPS: usize = 2;

/// One axis of a transposed convolution.
struct Axis {
    input: usize,
    output: usize,
    kernel: usize,
    stride: usize,
    dilation: usize,
    pad: usize,
}

/// Outputs `stride · q + phase − shift` for q below `steps`: phases and steps together cover all outputs.
#[derive(Clone, Copy)]
struct Phases {
    shift: usize,
    steps: usize,
}

/// The convolution along an axis that makes one phase, or several at once.
struct Part {
    kernel: usize,
    dilation: usize,
    pads: [usize; 2],
    /// Where the first tap of the convolution lies from a step's own input.
    first: i64,
}

impl Axis {
    /// The taps that reach a phase, and how far from a step's own input their inputs lie.
    fn taps(&self, shift: usize, phase: usize) -> Vec<(usize, i64)> {
        let place = |tap: usize| phase as i64 - shift as i64 + self.pad as i64 - (tap * self.dilation) as i64;
        let stride = self.stride as i64;
        let taps = (0..self.kernel).filter(|&tap| place(tap).rem_euclid(stride) == 0);
        taps.map(|tap| (tap, place(tap).div_euclid(stride))).collect()
    }

    fn phases(&self, shift: usize) -> Phases {
        Phases { shift, steps: (self.output + shift).div_ceil(self.stride) }
    }

    /// The convolution that has all taps of the given phases; `None` if it would need less than no padding.
    fn part(&self, phases: Phases, of: std::ops::Range<usize>) -> Option<Part> {
        let mut offsets: Vec<i64> =
            of.flat_map(|phase| self.taps(phases.shift, phase)).map(|(_, offset)| offset).collect();
        // A phase that no tap reaches is its bias: one tap of weight 0.
        if offsets.is_empty() {
            offsets.push(0);
        }
        let (first, last) = (*offsets.iter().min()?, *offsets.iter().max()?);
        let dilation = offsets.iter().fold(0, |divisor, offset| gcd(divisor, (offset - first) as usize)).max(1);
        let before = usize::try_from(-first).ok()?;
        let after = usize::try_from(phases.steps as i64 - self.input as i64 + last).ok()?;
        let kernel = (last - first) as usize / dilation + 1;
        Some(Part { kernel, dilation, pads: [before, after], first })
    }

    /// Whether the steps give outputs that do not exist.
    fn is_cropped(&self, phases: Phases) -> bool {
        phases.shift > 0 || phases.steps * self.stride > self.output
    }
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// The shift with the least taps; without one where that is no worse.
fn cheapest(axis: &Axis, parts: impl Fn(Phases) -> Option<Vec<Part>>) -> Option<(Phases, Vec<Part>)> {
    let choices = (0..axis.stride).filter_map(|shift| {
        let phases = axis.phases(shift);
        let parts = parts(phases)?;
        let taps: usize = parts.iter().map(|part| part.kernel).sum();
        Some(((taps * phases.steps, axis.is_cropped(phases), shift), (phases, parts)))
    });
    choices.min_by_key(|(cost, _)| *cost).map(|(_, choice)| choice)
}

/// Replaces all transposed convolutions that have such a form; the names of their nodes.
pub(super) fn split(graph: &mut Graph<Op>) -> Result<Vec<String>, Error> {
    let mut names = Vec::new();
    for index in 0..graph.nodes.len() {
        let node = graph.nodes[index].clone();
        let Op::ConvTranspose(conv) = &node.op else { continue };
        let split = convolutions(graph, &node, conv).map_err(|error| error.at_node(&node.name, "ConvTranspose"))?;
        let Some(y) = split else { continue };
        super::substitute(graph, node.outputs[0], y)?;
        names.push(node.name);
    }
    Ok(names)
}

fn convolutions(graph: &mut Graph<Op>, node: &Node<Op>, conv: &ConvTranspose) -> Result<Option<ValueId>, Error> {
    let &[x, weights, bias] = &node.inputs[..] else { return Ok(None) };
    let shape = graph.value(x).ty.shape.clone();
    let [batch, spatial @ .., _] = &shape[..] else { return Ok(None) };
    let axes: Vec<Axis> = (0..spatial.len())
        .map(|axis| Axis {
            input: spatial[axis],
            output: conv.output[axis],
            kernel: conv.window.kernel[axis],
            stride: conv.window.strides[axis],
            dilation: conv.window.dilations[axis],
            pad: conv.window.pads[axis][0],
        })
        .collect();
    if axes.iter().any(|axis| axis.stride > MAX_STRIDE) {
        return Ok(None);
    }
    // One axis is an image of height 1.
    let flat = Axis { input: 1, output: 1, kernel: 1, stride: 1, dilation: 1, pad: 0 };
    let (rows, columns) = match &axes[..] {
        [columns] => (&flat, columns),
        [rows, columns] => (rows, columns),
        _ => return Ok(None),
    };
    // A group's outputs have to lie side by side, so phases cannot be channels of a grouped convolution.
    let apart = if conv.group == 1 { 1 } else { columns.stride };
    let together = columns.stride / apart;
    let column_parts = |phases: Phases| {
        (0..apart).map(|part| columns.part(phases, part * together..(part + 1) * together)).collect::<Option<Vec<_>>>()
    };
    let row_parts =
        |phases: Phases| (0..rows.stride).map(|phase| rows.part(phases, phase..phase + 1)).collect::<Option<Vec<_>>>();
    let Some((row_phases, row_parts)) = cheapest(rows, row_parts) else { return Ok(None) };
    let Some((column_phases, column_parts)) = cheapest(columns, column_parts) else { return Ok(None) };
    // The fast kernels take a third of the time for a product, and here some products are with zeros.
    let taps = |parts: &[Part]| parts.iter().map(|part| part.kernel).sum::<usize>();
    if taps(&row_parts) * taps(&column_parts) * together > MOST_TAPS * rows.kernel * columns.kernel {
        return Ok(None);
    }

    let filters = Filters::new(graph, weights, bias, rows.kernel, columns.kernel)?;
    let quantization = graph.value(node.outputs[0]).quantization.clone();
    let add = |op: Op, inputs: &[ValueId], graph: &mut Graph<Op>| -> Result<ValueId, Error> {
        let y = push(graph, &node.name, op, inputs)?[0];
        graph.value_mut(y).quantization = quantization.clone();
        Ok(y)
    };
    let image = if axes.len() == 1 {
        let reshape = Reshape { shape: vec![*batch, 1, columns.input, shape[2]] };
        let image = push(graph, &node.name, reshape.into(), &[x])?[0];
        graph.value_mut(image).quantization = graph.value(x).quantization.clone();
        image
    } else {
        x
    };
    let mut images = Vec::new();
    for (row_phase, row) in row_parts.iter().enumerate() {
        let mut blocks = Vec::new();
        for (part, column) in column_parts.iter().enumerate() {
            let taps: Vec<_> = (part * together..(part + 1) * together)
                .map(|phase| (rows.taps(row_phases.shift, row_phase), columns.taps(column_phases.shift, phase)))
                .collect();
            let (weights, bias) = filters.add(graph, &node.name, &taps, row, column)?;
            let window = Window {
                kernel: vec![row.kernel, column.kernel],
                strides: vec![1; 2],
                dilations: vec![row.dilation, column.dilation],
                pads: vec![row.pads, column.pads],
            };
            let op = Conv { window, group: conv.group, clamp: conv.clamp };
            blocks.push(add(op.into(), &[image, weights, bias], graph)?);
        }
        images.push(if apart == 1 { blocks[0] } else { add(Concat { axis: 3 }.into(), &blocks, graph)? });
    }
    let y = if images.len() == 1 { images[0] } else { add(Concat { axis: 2 }.into(), &images, graph)? };
    let outputs = filters.bias.len();
    let whole = vec![*batch, row_phases.steps * rows.stride, column_phases.steps * columns.stride, outputs];
    let mut y = add(Reshape { shape: whole }.into(), &[y], graph)?;
    if rows.is_cropped(row_phases) || columns.is_cropped(column_phases) {
        let starts = vec![0, row_phases.shift, column_phases.shift, 0];
        let slice = Slice { starts, steps: vec![1; 4], shape: vec![*batch, rows.output, columns.output, outputs] };
        y = add(slice.into(), &[y], graph)?;
    }
    let shape = graph.value(node.outputs[0]).ty.shape.clone();
    if graph.value(y).ty.shape != shape {
        y = add(Reshape { shape }.into(), &[y], graph)?;
    }
    Ok(Some(y))
}

/// Weights [outputs, rows, columns, channels / group] and bias of the transposed convolution.
struct Filters {
    weights: Vec<f32>,
    bias: Vec<f32>,
    /// The author's scales, one or one for each output.
    quantization: Option<Quantization>,
    kernel: [usize; 2],
    /// Channels of a group.
    channels: usize,
}

/// (tap of the transposed convolution, input that it reads), along the rows and along the columns.
type Taps = (Vec<(usize, i64)>, Vec<(usize, i64)>);

impl Filters {
    fn new(graph: &Graph<Op>, weights: ValueId, bias: ValueId, rows: usize, columns: usize) -> Result<Self, Error> {
        let floats = |id: ValueId| {
            let floats = graph.constant(id).and_then(Tensor::f32s);
            floats.map(<[f32]>::to_vec).ok_or_else(|| Error::bug("a ConvTranspose without constant weights"))
        };
        let (value, bias) = (graph.value(weights), floats(bias)?);
        let usable = |quantization: &&Quantization| quantization.scales.len() == 1 || quantization.axis == 0;
        let quantization = value.quantization.as_ref().filter(usable).cloned();
        let channels = value.ty.shape.last().copied().unwrap_or(1);
        Ok(Self { weights: floats(weights)?, bias, quantization, kernel: [rows, columns], channels })
    }

    /// Adds the weights and the bias of a convolution whose outputs are those of some phases, one phase after the other.
    fn add(
        &self,
        graph: &mut Graph<Op>,
        name: &str,
        phases: &[Taps],
        row: &Part,
        column: &Part,
    ) -> Result<(ValueId, ValueId), Error> {
        let outputs = self.bias.len();
        let shape = [phases.len() * outputs, row.kernel, column.kernel, self.channels];
        let mut weights = vec![0f32; shape.iter().product()];
        for (phase, (rows, columns)) in phases.iter().enumerate() {
            let taps = rows.iter().flat_map(|row| columns.iter().map(move |column| (*row, *column)));
            for ((tap_y, y), (tap_x, x)) in taps {
                let y = (y - row.first) as usize / row.dilation;
                let x = (x - column.first) as usize / column.dilation;
                for output in 0..outputs {
                    let from = ((output * self.kernel[0] + tap_y) * self.kernel[1] + tap_x) * self.channels;
                    let to = (((phase * outputs + output) * row.kernel + y) * column.kernel + x) * self.channels;
                    weights[to..to + self.channels].copy_from_slice(&self.weights[from..from + self.channels]);
                }
            }
        }
        let lost = || Error::bug("a constant changed its size");
        let weights = Tensor::new(&shape, weights).ok_or_else(lost)?;
        let bias = Tensor::new(&[shape[0]], self.bias.repeat(phases.len())).ok_or_else(lost)?;
        let weights = graph.add_constant(format!("{name}.weights"), weights);
        graph.value_mut(weights).quantization =
            self.quantization.clone().map(|quantization| match quantization.single() {
                Some(_) => quantization,
                None => Quantization {
                    scales: quantization.scales.repeat(phases.len()),
                    zero_points: quantization.zero_points.repeat(phases.len()),
                    axis: 0,
                    width: quantization.width,
                },
            });
        Ok((weights, graph.add_constant(format!("{name}.bias"), bias)))
    }
}
