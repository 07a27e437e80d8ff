//! Specialisation changes no byte of any output, and does remove what can go.

#[path = "../common/mod.rs"]
mod common;
mod network;

use std::collections::BTreeMap;

use common::Result;
use mcuopt_codegen::graph::{Graph, ValueId};
use mcuopt_codegen::interp::run_lowered;
use mcuopt_codegen::ops::conv::DepthwiseS8;
use mcuopt_codegen::ops::{Kernel, Layer};
use mcuopt_codegen::specialise::specialise;
use mcuopt_codegen::tensor::Tensor;
use network::{Network, PIXEL, Window};

/// A 3×3 window that reads padding, and one that does not.
const PADDED: Window = Window(3, 1, 1, 1);
const VALID: Window = Window(3, 1, 0, 1);

/// Specialises a network with the given outputs and compares their bytes; returns it as it is then.
fn specialised(mut network: Network, outputs: &[ValueId]) -> Result<Graph<Layer>> {
    network.graph.outputs = outputs.to_vec();
    network.graph.verify()?;
    let mut graph = network.graph.clone();
    let shrunk = specialise(&mut graph)?;
    for entry in &shrunk {
        ensure!(0 < entry.after && entry.after < entry.before, "{entry:?}");
        ensure!(entry.constant <= entry.before - entry.after, "{entry:?}");
    }
    for node in &graph.nodes {
        let Kernel::DepthwiseS8(DepthwiseS8 { geometry, .. }) = &node.op.kernel else { continue };
        ensure!(geometry.groups == geometry.input[2], "`{}`: {geometry:?}", node.name);
    }
    let input = network.graph.inputs[0];
    let count = network.graph.value(input).ty.len();
    let channels = network.shape(input)[2];
    for kind in 0..16 {
        let mut element = |index: usize| match kind {
            0 => i8::MIN,
            1 => i8::MAX,
            2 => network.random.bits() as i8 | 127,
            3 => (index / channels % 2 * 255) as u8 as i8 ^ -128,
            _ => network.random.bits() as i8,
        };
        let x: Vec<i8> = (0..count).map(&mut element).collect();
        let x = Tensor::new(&network.graph.value(input).ty.shape, x).ok_or("an input")?;
        let before = run_lowered(&network.graph, std::slice::from_ref(&x), |_, _| {})?;
        let after = run_lowered(&graph, std::slice::from_ref(&x), |_, _| {})?;
        ensure!(before == after, "input {kind}: {before:?} differs\nbefore {}\nafter {graph}", network.graph);
    }
    Ok(graph)
}

fn channels(graph: &Graph<Layer>, id: ValueId) -> usize {
    graph.value(id).ty.shape.last().copied().unwrap_or(0)
}

fn random_layer(network: &mut Network, tensors: &mut Vec<ValueId>) {
    let pick = network.random.below(tensors.len().min(4));
    let x = tensors[tensors.len() - 1 - pick];
    let [height, width, count] = network.shape(x);
    let window = [PIXEL, PADDED, PADDED, VALID, Window(3, 2, 1, 1), Window(2, 1, 1, 2)][network.random.below(6)];
    let filters = 1 + network.random.below(7);
    let alike = tensors.iter().copied().filter(|id| network.shape(*id) == [height, width, count]);
    let alike: Vec<ValueId> = alike.collect();
    let other = alike[network.random.below(alike.len())];
    let turn = network.random.below(12);
    let y = match network.random.below(21) {
        0..=5 => network.conv(x, filters, window, 1),
        6 | 7 => network.depthwise(x, 1, window),
        8 => network.depthwise(x, 2, window),
        9 => network.conv(x, count * 2, window, count),
        10 => network.max_pool(x, window),
        11 => network.average_pool(x, window),
        12 | 13 => network.binary(x, other, turn < 4),
        14 => {
            let b = network.constant([[1, 1, count], [height, width, 1]][turn % 2]);
            network.binary(x, b, turn % 4 < 2)
        }
        15 => {
            let gate = if turn < 6 { network.mean(x) } else { network.conv(x, 1, PIXEL, 1) };
            let gate = network.lut(gate);
            network.binary(x, gate, true)
        }
        16 => network.concat(&[x, other], turn < 6),
        17 => [Network::lut, Network::rescale][turn % 2](network, x),
        18 => {
            let start = network.random.below(count);
            let taken = 1 + network.random.below(count - start);
            network.slice(x, start, taken)
        }
        19 => network.transpose(x),
        _ => network.pad(x, turn % 3, turn % 2),
    };
    tensors.push(y);
}

/// A name for the kind of a kernel, and what tells the sizes of two of a kind apart.
fn kind(kernel: &Kernel) -> (String, String) {
    let text = format!("{kernel:?}");
    (text.split('(').next().unwrap_or_default().to_string(), text)
}

#[test]
fn random_networks_keep_every_byte() -> Result {
    let mut changed: BTreeMap<String, usize> = BTreeMap::new();
    for seed in 1..=400 {
        let size = 3 + seed as usize % 4;
        let (mut network, x) = Network::new(seed, [size, size + 1, 1 + seed as usize % 3]);
        let first = network.conv(x, 6, PADDED, 1);
        let mut tensors = vec![first];
        (0..2 + seed % 9).for_each(|_| random_layer(&mut network, &mut tensors));
        let last = tensors[tensors.len() - 1];
        let mut outputs = vec![network.dense(last, 5)];
        if seed % 5 == 0 {
            outputs.push(tensors[tensors.len() / 2]);
        }
        if seed % 2 == 0 {
            network.reshape();
        }
        let before = network.graph.clone();
        let after = specialised(network, &outputs).map_err(|error| format!("seed {seed}: {error}"))?;
        for (before, after) in before.nodes.iter().zip(&after.nodes) {
            let ((name, before), (_, after)) = (kind(&before.op.kernel), kind(&after.op.kernel));
            *changed.entry(name).or_default() += usize::from(before != after);
        }
    }
    let sizeless = ["LutS8", "Requantize", "TransposeCopy"];
    let rare: Vec<_> =
        changed.iter().filter(|(name, count)| **count < 10 && !sizeless.contains(&name.as_str())).collect();
    ensure!(changed.len() == 15 && rare.is_empty(), "not all kernels lost channels: {changed:?}");
    Ok(())
}

/// Sets all weights of a filter, and its sum.
fn plant(network: &mut Network, layer: ValueId, filter: usize, weight: i8, bias: i32) {
    let node = network.graph.nodes.iter_mut().find(|node| node.outputs == [layer]);
    let linear = match node.map(|node| &mut node.op.kernel) {
        Some(Kernel::ConvS8(conv)) => &mut conv.linear,
        Some(Kernel::DenseS8(dense)) => &mut dense.linear,
        _ => return,
    };
    let len = linear.weights.len() / linear.bias.len();
    linear.weights[filter * len..][..len].fill(weight);
    linear.bias[filter] = bias;
}

/// A network of a convolution with 6 filters over 2 channels, to be planted, and its result.
fn start() -> (Network, ValueId) {
    let (mut network, x) = Network::new(3, [5, 5, 2]);
    network.plain = true;
    let y = network.conv(x, 6, PADDED, 1);
    (network, y)
}

#[test]
fn ordinary_networks_stay_as_they_are() -> Result {
    let (mut network, a) = start();
    let b = network.conv(a, 4, PADDED, 1);
    let c = network.depthwise(b, 1, PADDED);
    let d = network.dense(c, 3);
    let before = format!("{:?}", network.graph.nodes);
    let after = specialised(network, &[d])?;
    ensure!(format!("{:?}", after.nodes) == before, "something changed");
    Ok(())
}

/// A constant that is not the padding's number goes only where no window reads padding.
#[test]
fn constants_go_unless_padding_would_show() -> Result {
    for (window, zero_point, kept) in [(VALID, false, 5), (PADDED, true, 5), (PADDED, false, 6)] {
        let (mut network, a) = start();
        let constant = if zero_point { 0 } else { 1 << 14 };
        plant(&mut network, a, 2, 0, constant);
        let b = network.conv(a, 4, window, 1);
        let after = specialised(network, &[b])?;
        ensure!(channels(&after, a) == kept, "{} channels, not {kept}", channels(&after, a));
    }
    Ok(())
}

/// A filter whose sums cannot leave one step of the output is constant, whatever its weights.
#[test]
fn saturated_filters_are_constants() -> Result {
    let (mut network, a) = start();
    plant(&mut network, a, 0, 127, 1 << 28);
    let b = network.conv(a, 4, PIXEL, 1);
    ensure!(channels(&specialised(network, &[b])?, a) == 5, "it stayed");
    Ok(())
}

/// What a layer ignores is removed from everything before it, through all kinds of layers and both ends of an Add.
#[test]
fn unread_channels_go_from_all_layers_before() -> Result {
    let (mut network, a) = start();
    let b = network.depthwise(a, 1, PADDED);
    let c = network.conv(b, 6, PIXEL, 1);
    let d = network.binary(a, c, false);
    let e = network.max_pool(d, PADDED);
    let f = network.lut(e);
    let g = network.concat(&[f, f], false);
    let h = network.conv(g, 3, PADDED, 1);
    let i = network.dense(h, 2);
    // The last filter that reads channel 1 of the image is h's, and it is ignored by i.
    let node = network.graph.nodes.iter_mut().find(|node| node.outputs == [h]).ok_or("h")?;
    let Kernel::ConvS8(conv) = &mut node.op.kernel else { return Err("h".into()) };
    conv.linear.weights.iter_mut().enumerate().for_each(|(index, weight)| {
        if index % 6 == 1 && index / (9 * 12) != 2 {
            *weight = 0;
        }
    });
    let node = network.graph.nodes.iter_mut().find(|node| node.outputs == [i]).ok_or("i")?;
    let Kernel::DenseS8(dense) = &mut node.op.kernel else { return Err("i".into()) };
    dense.linear.weights.iter_mut().skip(2).step_by(3).for_each(|weight| *weight = 0);
    // Nor does b · c, whose other filters would read it, ...
    let node = network.graph.nodes.iter_mut().find(|node| node.outputs == [c]).ok_or("c")?;
    let Kernel::ConvS8(conv) = &mut node.op.kernel else { return Err("c".into()) };
    // ... but its own filter does: a circle that keeps itself alive only.
    conv.linear.weights.iter_mut().enumerate().for_each(|(index, weight)| {
        if index % 6 == 1 && index / 6 != 1 {
            *weight = 0;
        }
    });
    let after = specialised(network, &[i])?;
    let found: Vec<usize> = [a, b, c, d, e, f, g, h].iter().map(|id| channels(&after, *id)).collect();
    ensure!(found == [5, 5, 5, 5, 5, 5, 10, 2], "{found:?}");
    Ok(())
}

#[test]
fn a_tensor_of_constants_keeps_a_channel() -> Result {
    let (mut network, a) = start();
    (0..6).for_each(|filter| plant(&mut network, a, filter, 0, 100 * filter as i32));
    let b = network.depthwise(a, 1, VALID);
    let c = network.conv(b, 3, PIXEL, 1);
    let d = network.dense(c, 2);
    let after = specialised(network, &[d])?;
    let found: Vec<usize> = [a, b, c, d].iter().map(|id| channels(&after, *id)).collect();
    ensure!(found == [1, 1, 1, 2], "{found:?}");
    Ok(())
}

/// What the caller sees keeps its shape, however constant it is.
#[test]
fn outputs_keep_their_channels() -> Result {
    let (mut network, a) = start();
    (0..6).for_each(|filter| plant(&mut network, a, filter, 0, 100 * filter as i32));
    let after = specialised(network, &[a])?;
    ensure!(channels(&after, a) == 6 && channels(&after, after.inputs[0]) == 2, "{after}");
    Ok(())
}

#[test]
fn a_depthwise_convolution_may_keep_one_channel() -> Result {
    let (mut network, a) = start();
    (1..6).for_each(|filter| plant(&mut network, a, filter, 0, 0));
    let b = network.depthwise(a, 2, PADDED);
    let c = network.conv(b, 3, PIXEL, 1);
    let after = specialised(network, &[c])?;
    ensure!(channels(&after, a) == 1, "{after}");
    ensure!(channels(&after, b) == 2, "{after}");
    Ok(())
}
