//! Random networks through planner and verifier, and faults that the verifier must find.

use mcuopt_rt::v0 as rt;

use super::*;
use crate::error::Error;
use crate::graph::{Node, Type};
use crate::ops::Kernel;
use crate::ops::binary::AddS8;
use crate::ops::concat::ConcatBlocks;
use crate::ops::conv::{ConvS8, DepthwiseS8};
use crate::ops::dense::DenseS8;
use crate::ops::history::Slide;
use crate::ops::linear::Linear;
use crate::ops::unary::LutS8;
use crate::tensor::DType;

type Result<T = ()> = std::result::Result<T, Error>;

/// Numbers that look random and are the same everywhere (xorshift).
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % limit.max(1)
    }

    fn from<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }
}

/// A network under construction; images are `[batch, height, width, channels]`.
#[derive(Default)]
struct Network(Graph<Layer>);

impl Network {
    fn input(&mut self, shape: [usize; 4]) -> ValueId {
        let input = self.value(shape);
        self.0.inputs.push(input);
        input
    }

    fn value(&mut self, shape: [usize; 4]) -> ValueId {
        let name = format!("v{}", self.0.values.len());
        self.0.add_value(name, Type { dtype: DType::I8, shape: shape.to_vec() })
    }

    fn shape(&self, id: ValueId) -> [usize; 4] {
        let shape = &self.0.value(id).ty.shape;
        std::array::from_fn(|axis| shape[axis])
    }

    fn push(&mut self, kernel: Kernel, inputs: &[ValueId], shape: [usize; 4]) -> ValueId {
        let output = self.value(shape);
        let name = format!("layer{}", self.0.nodes.len());
        let op = Layer { operator: "Test", kernel, prefer: rt::Prefer::Speed };
        self.0.nodes.push(Node { name, op, inputs: inputs.to_vec(), outputs: vec![output] });
        output
    }

    fn window(&self, x: ValueId, out_c: usize, kernel: usize, stride: usize, dilation: usize) -> rt::Conv2d {
        let [batch, height, width, channels] = self.shape(x);
        let reach = dilation * (kernel - 1);
        let out = |size: usize| (size + 2 * (reach / 2)).saturating_sub(reach + 1) / stride + 1;
        rt::Conv2d {
            batch,
            input: [height, width, channels],
            output: [out(height), out(width), out_c],
            kernel: [kernel; 2],
            stride: [stride; 2],
            pad: [reach / 2; 2],
            dilation: [dilation; 2],
            groups: 1,
        }
    }

    fn conv(&mut self, x: ValueId, out_c: usize, kernel: usize, stride: usize, dilation: usize) -> ValueId {
        let geometry = self.window(x, out_c, kernel, stride, dilation);
        let linear = linear(out_c, kernel * kernel * geometry.input[2]);
        self.push(Kernel::ConvS8(ConvS8 { geometry, pad_value: 0, linear }), &[x], shape(&geometry))
    }

    fn depthwise(&mut self, x: ValueId, kernel: usize, stride: usize) -> ValueId {
        let channels = self.shape(x)[3];
        let geometry = rt::Conv2d { groups: channels, ..self.window(x, channels, kernel, stride, 1) };
        let linear = linear(channels, kernel * kernel);
        self.push(Kernel::DepthwiseS8(DepthwiseS8 { geometry, pad_value: 0, linear }), &[x], shape(&geometry))
    }

    fn dense(&mut self, x: ValueId, outputs: usize) -> ValueId {
        let [batch, height, width, inputs] = self.shape(x);
        let geometry = rt::Dense { rows: batch * height * width, inputs, outputs };
        let linear = linear(outputs, inputs);
        self.push(Kernel::DenseS8(DenseS8 { geometry, linear }), &[x], [batch, height, width, outputs])
    }

    fn lut(&mut self, x: ValueId) -> ValueId {
        self.push(Kernel::LutS8(LutS8 { table: vec![0; 256] }), &[x], self.shape(x))
    }

    /// The last `frames` rows, of which those of `x` are new.
    fn history(&mut self, x: ValueId, frames: usize) -> ValueId {
        let [_, new, width, channels] = self.shape(x);
        let geometry = rt::Slide { outer: 1, frames, new, inner: width * channels };
        self.push(Kernel::Slide(Slide { geometry, fill: 0.0 }), &[x], [1, frames, width, channels])
    }

    fn add(&mut self, a: ValueId, b: ValueId) -> ValueId {
        let len = self.0.value(a).ty.len();
        let strides = [0, 0, 0, 1];
        let geometry = rt::Broadcast { shape: [1, 1, 1, len], a_strides: strides, b_strides: strides };
        let quantization = rt::Quantization { scale: 1.0, zero_point: 0 };
        let params = rt::AddS8::new(quantization, quantization, quantization, 1.0, -128, 127);
        self.push(Kernel::AddS8(AddS8 { geometry, params }), &[a, b], self.shape(a))
    }

    fn concat(&mut self, a: ValueId, b: ValueId) -> ValueId {
        let (a_shape, b_shape) = (self.shape(a), self.shape(b));
        let kernel = ConcatBlocks { outer: a_shape[..3].iter().product(), lens: vec![a_shape[3], b_shape[3]] };
        let [batch, height, width, _] = a_shape;
        self.push(Kernel::ConcatBlocks(kernel), &[a, b], [batch, height, width, a_shape[3] + b_shape[3]])
    }

    fn output(mut self, outputs: &[ValueId]) -> Graph<Layer> {
        self.0.outputs = outputs.to_vec();
        self.0
    }
}

fn shape(geometry: &rt::Conv2d) -> [usize; 4] {
    let [height, width, channels] = geometry.output;
    [geometry.batch, height, width, channels]
}

fn linear(outputs: usize, row: usize) -> Linear {
    let requantize = rt::Requantize { left_shift: 0, zero_point: 0, min: -128, max: 127 };
    Linear {
        weights: vec![0; outputs * row],
        bias: vec![0; outputs],
        multipliers: vec![1; outputs],
        requantize,
        four_bits: false,
    }
}

/// A network of so many layers that branches, joins and forgets.
fn random_network(random: &mut Random, layers: usize) -> Graph<Layer> {
    let mut network = Network::default();
    let batch = random.from(&[1, 1, 2]);
    let mut tensors = Vec::new();
    for _ in 0..random.from(&[1, 1, 2]) {
        let shape = [batch, 1 + random.below(9), 1 + random.below(9), 1 + random.below(8)];
        tensors.push(network.input(shape));
    }
    for _ in 0..layers {
        // Mostly the newest ones.
        let x = tensors[tensors.len() - 1 - random.below(3).min(random.below(tensors.len()))];
        let [_, height, width, channels] = network.shape(x);
        let same = |other: &&ValueId| network.shape(**other)[1..3] == [height, width];
        let other = tensors.iter().rev().skip(random.below(2)).find(same).copied().unwrap_or(x);
        let y = match random.below(9) {
            0..3 => {
                let (kernel, stride, dilation) =
                    (random.from(&[1, 1, 2, 3]), random.from(&[1, 1, 2]), random.from(&[1, 1, 2]));
                network.conv(x, 1 + random.below(14), kernel, stride, dilation)
            }
            3 | 4 => {
                let (kernel, stride) = (random.from(&[1, 3]), random.from(&[1, 2]));
                network.depthwise(x, kernel, stride)
            }
            5 => network.dense(x, 1 + random.below(12)),
            6 => network.lut(x),
            7 if network.shape(other)[3] == channels => network.add(x, other),
            _ => network.concat(x, other),
        };
        tensors.push(y);
    }
    let last = tensors[tensors.len() - 1];
    let other = tensors[tensors.len() - 1 - random.below(tensors.len().min(4))];
    let outputs = if other == last || network.0.inputs.contains(&other) { vec![last] } else { vec![other, last] };
    network.output(&outputs)
}

fn bound(graph: &Graph<Layer>, borrowed_inputs: bool) -> usize {
    let needs = Needs::new(graph, borrowed_inputs);
    Sequence::new(&needs, (0..graph.nodes.len()).collect()).lower_bound()
}

#[test]
fn random_networks_have_plans_that_the_verifier_accepts() -> Result {
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    let (mut optimal, mut overlaps, mut reordered) = (0, 0, 0);
    const COUNT: usize = 300;
    for index in 0..COUNT {
        let layers = 1 + random.below(16);
        let mut graph = random_network(&mut random, layers);
        let borrowed = index % 4 == 0;
        let before = plan(&graph, borrowed)?;
        let names = |graph: &Graph<Layer>| graph.nodes.iter().map(|node| node.name.clone()).collect::<Vec<_>>();
        let own_order = names(&graph);
        schedule(&mut graph, borrowed)?;
        let plan = plan(&graph, borrowed)?;
        assert!(bound(&graph, borrowed) <= plan.arena_bytes && plan.arena_bytes <= before.arena_bytes);
        optimal += usize::from(bound(&graph, borrowed) == plan.arena_bytes);
        overlaps += plan.overlaps.iter().flatten().count();
        reordered += usize::from(names(&graph) != own_order);
    }
    // Rarely is the lower bound out of reach, or the search too short.
    assert!(optimal > COUNT * 9 / 10, "{optimal} of {COUNT} plans are as small as the lower bound");
    assert!(overlaps > COUNT && reordered > COUNT / 20, "{overlaps} overlaps, {reordered} other orders");
    Ok(())
}

#[test]
fn large_networks_are_planned_as_well() -> Result {
    let mut random = Random(0x1234_5678_9abc_def1);
    for layers in [60, 150] {
        let mut graph = random_network(&mut random, layers);
        schedule(&mut graph, false)?;
        let (bytes, bound) = (plan(&graph, false)?.arena_bytes, bound(&graph, false));
        assert!(bytes <= bound + bound / 4, "{bytes} bytes, at least {bound}");
    }
    Ok(())
}

#[test]
fn layers_run_in_the_order_that_needs_less() -> Result {
    let mut network = Network::default();
    let x = network.input([1, 8, 8, 2]);
    // Two wide tensors, each of which is reduced at once; as written, both are there at the same time.
    let (a, b) = (network.conv(x, 20, 3, 1, 1), network.conv(x, 20, 3, 1, 1));
    let (a, b) = (network.conv(a, 2, 3, 2, 1), network.conv(b, 2, 3, 2, 1));
    let sum = network.add(a, b);
    let mut graph = network.output(&[sum]);
    let as_written = plan(&graph, false)?.arena_bytes;
    schedule(&mut graph, false)?;
    let names: Vec<&str> = graph.nodes.iter().map(|node| node.name.as_str()).collect();
    assert_eq!(names, ["layer0", "layer2", "layer1", "layer3", "layer4"]);
    let reordered = plan(&graph, false)?.arena_bytes;
    // What is saved is nearly one of the wide tensors, however much work memory there is beside them.
    assert!(reordered + 8 * 8 * 16 <= as_written, "{as_written} → {reordered}");
    Ok(())
}

/// A convolution over its operand, a depthwise one in place with fewer pixels, and an addition of that to itself.
fn small() -> (Graph<Layer>, [ValueId; 4]) {
    let mut network = Network::default();
    let x = network.input([1, 6, 6, 4]);
    let wide = network.conv(x, 8, 3, 1, 1);
    let short = network.depthwise(wide, 3, 2);
    let sum = network.add(short, short);
    let graph = network.output(&[sum]);
    (graph, [x, wide, short, sum])
}

#[test]
fn the_verifier_finds_planted_faults() -> Result {
    let (graph, [x, wide, short, sum]) = small();
    let good = plan(&graph, false)?;
    let [first, second, third] = good.overlaps[..] else { unreachable!("three layers") };
    let Some(Overlap::Ahead(distance)) = first.map(|o| o.how) else {
        unreachable!("the convolution is apart: {good:?}")
    };
    assert_eq!(second.map(|o| o.how), Some(Overlap::Same), "{good:?}");
    assert_eq!(third, None, "an operand that is passed twice is overwritten: {good:?}");

    // With so much room that a fault does no other harm: the output of the first layers at 100, the operand as near as
    // it may be, the sum and the work memory far away.
    let mut roomy = good.clone();
    roomy.arena_bytes = 1 << 16;
    roomy.offsets = BTreeMap::from([(x, 100 + distance), (wide, 100), (short, 100), (sum, 5000)]);
    for (index, scratch) in &mut roomy.scratch {
        let start = 10_000 * (index + 1);
        *scratch = start..start + scratch.len();
    }
    verify::verify(&graph, &roomy, false)?;
    let caught = |fault: &str, change: &dyn Fn(&mut Plan)| {
        let mut bad = roomy.clone();
        change(&mut bad);
        assert!(verify::verify(&graph, &bad, false).is_err(), "{fault}: {bad:?}");
    };
    let move_to = |id: ValueId, offset: usize| {
        move |plan: &mut Plan| {
            plan.offsets.insert(id, offset);
        }
    };
    caught("the operand is nearer than the convolution allows", &move_to(x, 100 + distance - 1));
    caught("the operand lies before the output", &move_to(x, 99));
    caught("in place, but not at the same place", &move_to(short, 104));
    caught("the sum lies over the end of its operand", &move_to(sum, 100 + 3 * 3 * 8 - 1));
    caught("the sum lies over the start of its operand", &move_to(sum, 100 - 3 * 3 * 8 + 1));
    caught("a tensor without a place", &|plan| {
        plan.offsets.remove(&wide);
    });
    caught("an arena that is too small", &|plan| plan.arena_bytes = plan.scratch[&1].end - 1);
    caught("an overlap that nobody declares", &|plan| plan.overlaps[0] = None);
    caught("an overlap of the wrong kind", &|plan| {
        plan.overlaps[0] = Some(Overlapping { operand: 0, how: Overlap::Same });
    });
    caught("the result over an operand that comes twice", &|plan| {
        plan.offsets.insert(sum, 100);
        plan.overlaps[2] = Some(Overlapping { operand: 0, how: Overlap::Same });
    });
    caught("no work memory", &|plan| {
        plan.scratch.remove(&0);
    });
    caught("work memory over the operand", &|plan| {
        // From the operand's last byte on.
        let (start, len) = (plan.offsets[&x] + 6 * 6 * 4 - 1, plan.scratch[&0].len());
        plan.scratch.insert(0, start..start + len);
    });
    caught("work memory over the output", &|plan| {
        let (start, len) = (plan.offsets[&short], plan.scratch[&1].len());
        plan.scratch.insert(1, start..start + len);
    });
    Ok(())
}

#[test]
fn the_verifier_finds_work_memory_over_a_tensor_that_waits() -> Result {
    let mut network = Network::default();
    let x = network.input([1, 4, 4, 8]);
    let y = network.depthwise(x, 3, 1);
    let z = network.add(x, y);
    let graph = network.output(&[z]);
    let mut plan = plan(&graph, false)?;
    assert_eq!(plan.overlaps[0], None, "x is needed later");
    let mut waits = Network::default();
    let (x, other) = (waits.input([1, 4, 4, 8]), waits.input([1, 4, 4, 8]));
    let y = waits.depthwise(x, 3, 1);
    let z = waits.add(y, other);
    let graph = waits.output(&[z]);
    plan = super::plan(&graph, false)?;
    let at = plan.offsets[&other];
    let len = plan.scratch[&0].len();
    plan.scratch.insert(0, at..at + len);
    assert!(verify::verify(&graph, &plan, false).is_err(), "{plan:?}");
    Ok(())
}

#[test]
fn a_borrowed_input_is_never_overwritten() -> Result {
    let (graph, [x, ..]) = small();
    let plan = plan(&graph, true)?;
    assert!(!plan.offsets.contains_key(&x) && plan.overlaps[0].is_none(), "{plan:?}");
    Ok(())
}

#[test]
fn a_layers_bytes_count_shared_ones_once() -> Result {
    let (graph, _) = small();
    let plan = plan(&graph, false)?;
    let scratch = |index: usize| plan.scratch[&index].len();
    assert_eq!(plan.layer_bytes(&graph, 1), 6 * 6 * 8 + scratch(1));
    assert_eq!(plan.layer_bytes(&graph, 2), 2 * 3 * 3 * 8);
    Ok(())
}

#[test]
fn what_layers_keep_has_a_place_of_its_own() -> Result {
    let mut random = Random(0x5eed);
    for _ in 0..60 {
        let mut network = Network::default();
        let mut x = network.input([1, 2, 4, 4]);
        for _ in 0..1 + random.below(4) {
            let before = x;
            x = match random.below(3) {
                0 => network.lut(x),
                1 => network.history(x, 2 + random.below(5)),
                _ => network.conv(x, 1 + random.below(8), 1, 1, 1),
            };
            if random.below(3) == 0 && network.shape(x) == network.shape(before) {
                x = network.add(x, before);
            }
        }
        let mut graph = network.output(&[x]);
        schedule(&mut graph, false)?;
        let plan = plan(&graph, false)?;
        let range = |id: ValueId| plan.offsets[&id]..plan.offsets[&id] + graph.value(id).ty.bytes();
        let kept: Vec<ValueId> =
            graph.nodes.iter().filter(|node| node.op.kernel.initial().is_some()).map(|node| node.outputs[0]).collect();
        for &other in plan.offsets.keys() {
            for &id in kept.iter().filter(|id| **id != other) {
                let (a, b) = (range(id), range(other));
                assert!(a.end <= b.start || b.end <= a.start, "{plan:?}");
            }
        }
        assert!(bound(&graph, false) <= plan.arena_bytes);
    }
    Ok(())
}

#[test]
fn the_verifier_finds_what_overwrites_a_state() -> Result {
    let mut network = Network::default();
    let x = network.input([1, 1, 4, 4]);
    let first = network.lut(x);
    let kept = network.history(first, 3);
    let wide = network.conv(kept, 8, 1, 1, 1);
    let short = network.conv(wide, 2, 1, 1, 1);
    let graph = network.output(&[short]);
    let mut plan = plan(&graph, false)?;
    plan.arena_bytes = 1 << 14;
    plan.overlaps.fill(None);
    let ids = [x, first, kept, wide, short];
    plan.offsets = ids.iter().enumerate().map(|(index, id)| (*id, 1000 * index)).collect();
    for (index, scratch) in &mut plan.scratch {
        let start = 8000 + 1000 * index;
        *scratch = start..start + scratch.len();
    }
    verify::verify(&graph, &plan, false)?;
    // Even where nothing reads the state any more in this run, or has not read it yet: the next run does.
    for (other, what) in [(x, "the input"), (first, "an earlier layer"), (short, "a later layer")] {
        let mut bad = plan.clone();
        bad.offsets.insert(other, plan.offsets[&kept] + 4);
        assert!(verify::verify(&graph, &bad, false).is_err(), "{what} lies over the state: {bad:?}");
    }
    let mut bad = plan.clone();
    let at = plan.offsets[&kept];
    if let Some(scratch) = bad.scratch.values_mut().next_back() {
        *scratch = at..at + scratch.len();
        assert!(verify::verify(&graph, &bad, false).is_err(), "work memory lies over the state");
    }
    Ok(())
}
