//! Bias correction: what the rounding of weights shifts a layer's outputs by on average is taken off its bias.
//!
//! For rounded weights w + e, the output of a channel moves by Σ e·x, on average by Σ e·E\[x\]. The means E\[x\] come from
//! the calibration samples. See Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias
//! Correction", 2019, section 4.2. Taps in the padding are counted like the others; their share is small.

use mcuopt_rt::v0 as rt;
use ndarray::{ArrayD, IxDyn};

use crate::calibrate::Ranges;
use crate::error::Error;
use crate::graph::{Graph, Node, ValueId};
use crate::ops::{Op, linear};
use crate::tensor::Tensor;

/// Corrects the bias of every linear layer that will run in integers. Weights that the author rounded have no error.
pub fn correct_bias(graph: &mut Graph<Op>, ranges: &Ranges) -> Result<(), Error> {
    for index in 0..graph.nodes.len() {
        let node = graph.nodes[index].clone();
        let Some(corrected) = corrected_bias(graph, &node, ranges) else { continue };
        let array = ArrayD::from_shape_vec(IxDyn(&[corrected.len()]), corrected);
        let array = array.map_err(|_| Error::bug("a bias changed its size"))?;
        let name = graph.value(node.inputs[2]).name.clone();
        graph.nodes[index].inputs[2] = graph.add_constant(name, Tensor::F32(array));
    }
    Ok(())
}

fn corrected_bias(graph: &Graph<Op>, node: &Node<Op>, ranges: &Ranges) -> Option<Vec<f32>> {
    let groups = match &node.op {
        Op::Conv(conv) => conv.group,
        Op::Dense(_) => 1,
        _ => return None,
    };
    let &[x, weights, bias] = &node.inputs[..] else { return None };
    graph.value(node.outputs[0]).quantization.as_ref()?;
    let x_quantization = graph.value(x).quantization.as_ref()?;
    let (x_scale, _) = x_quantization.single()?;
    // A step between widths has seen what is before it.
    let step = graph.nodes.iter().find(|node| matches!(node.op, Op::FakeQuantize(_)) && node.outputs.contains(&x));
    let seen = ranges.get(&x).or_else(|| ranges.get(&step?.inputs[0]))?;
    let means: Vec<f32> = seen.channels.iter().map(|channel| channel.mean).collect();
    let floats = |id: ValueId| graph.constant(id).and_then(Tensor::f32s);
    let (values, bias) = (floats(weights)?, floats(bias)?);
    let weights = graph.value(weights);
    let width = linear::weight_width(weights);
    // Each row is [taps, channels of the group].
    let (row, per_group) = (values.len() / bias.len().max(1), means.len() / groups.max(1));
    let group_outputs = bias.len() / groups.max(1);
    let correct = |(channel, &b): (usize, &f32)| {
        let w = &values[channel * row..(channel + 1) * row];
        let scale = linear::weight_scale(weights, channel, w, b, (x_scale, x_quantization.width));
        let group = &means[channel / group_outputs.max(1) * per_group..][..per_group];
        let error = |(i, &w): (usize, &f32)| {
            let rounded = rt::dequantize(linear::round_weight(w, scale, width), scale, 0);
            f64::from(rounded - w) * f64::from(group[i % per_group.max(1)])
        };
        (f64::from(b) - w.iter().enumerate().map(error).sum::<f64>()) as f32
    };
    Some(bias.iter().enumerate().map(correct).collect())
}
