//! Each int8 or int16 layer against floats: its operands dequantized, the operator's reference evaluation, the result
//! quantized. Kernel and reference share no arithmetic, so more than one step between them is a wrong multiplier,
//! zero point, bias or geometry. Weights are rounded to int8 beforehand, so that rounding them is no difference.

mod common;

use std::collections::BTreeMap;

use common::{Random, Result, Sketch, int, ints, min_max_ranges};
use mcuopt_codegen::graph::{Graph, Quantization, Value, Width};
use mcuopt_codegen::import::import;
use mcuopt_codegen::interp::{run_float, run_lowered};
use mcuopt_codegen::narrow::narrow;
use mcuopt_codegen::onnx::Attribute;
use mcuopt_codegen::ops::{Layer, Op};
use mcuopt_codegen::quantize::{LayerPrecision, Precisions, assign_mixed, lower, pack_weights};
use mcuopt_codegen::simplify::{prepare_int8, simplify};
use mcuopt_codegen::specialise::specialise;
use mcuopt_codegen::tensor::{DType, Tensor};

/// A sketch that grows layer by layer.
struct Growing {
    sketch: Sketch,
    random: Random,
    /// The last result, its shape, and how many results there are.
    last: String,
    shape: Vec<usize>,
    count: usize,
}

impl Growing {
    fn add(&mut self, op: &str, more: &[&str], attributes: &[(&str, Attribute)], shape: Vec<usize>) {
        self.count += 1;
        let name = format!("{op}{}", self.count);
        let inputs = [&[self.last.as_str()], more].concat();
        let sketch = std::mem::replace(&mut self.sketch, Sketch::new(17));
        self.sketch = sketch.node(op, &inputs, &[&name], attributes);
        (self.last, self.shape) = (name, shape);
    }

    fn constant(&mut self, shape: &[usize], scale: f32) -> String {
        self.count += 1;
        let name = format!("constant{}", self.count);
        let values = self.random.floats(shape.iter().product()).iter().map(|value| value * scale).collect();
        let sketch = std::mem::replace(&mut self.sketch, Sketch::new(17));
        self.sketch = sketch.floats(&name, shape, values);
        name
    }

    fn convolution(&mut self) {
        let [_, channels, height, width] = self.shape[..] else { return };
        let group = [1, 1, channels][self.random.below(3)];
        let outputs = group * (1 + self.random.below(if group == 1 { 7 } else { 2 }));
        let kernel = [1 + self.random.below(3).min(height - 1), 1 + self.random.below(3).min(width - 1)];
        let (pad, stride) = (self.random.below(2).min(kernel[0] - 1).min(kernel[1] - 1), 1 + self.random.below(2));
        let weights = self.constant(&[outputs, channels / group, kernel[0], kernel[1]], 0.7);
        let bias = self.constant(&[outputs], 0.5);
        let [pads, strides] = [ints(&[pad as i64; 4]), ints(&[stride as i64; 2])];
        let attributes = [("pads", pads), ("strides", strides), ("group", int(group as i64))];
        let extent = |size: usize, kernel: usize| (size + 2 * pad - kernel) / stride + 1;
        let shape = vec![1, outputs, extent(height, kernel[0]), extent(width, kernel[1])];
        self.add("Conv", &[&weights, &bias], &attributes, shape);
    }

    fn transposed_convolution(&mut self) {
        let [_, channels, height, width] = self.shape[..] else { return };
        let group = [1, 1, channels][self.random.below(3)];
        let outputs = group * (1 + self.random.below(if group == 1 { 5 } else { 2 }));
        let mut sizes = || -> [usize; 2] { [1 + self.random.below(4), 1 + self.random.below(4)] };
        let (kernel, strides, dilations) = (sizes(), sizes().map(|stride| stride.min(3)), sizes().map(|d| d.min(2)));
        let extent = |axis: usize, size: usize| strides[axis] * (size - 1) + dilations[axis] * (kernel[axis] - 1) + 1;
        let extents = [extent(0, height), extent(1, width)];
        let pads: [usize; 4] = std::array::from_fn(|i| self.random.below(3).min((extents[i % 2] - 1) / 2));
        let rest = |axis: usize| extents[axis] - pads[axis] - pads[axis + 2];
        let shape = vec![1, outputs, rest(0), rest(1)];
        let weights = self.constant(&[channels, outputs / group, kernel[0], kernel[1]], 0.7);
        let bias = self.constant(&[outputs], 0.5);
        let list = |values: &[usize]| ints(&values.iter().map(|&value| value as i64).collect::<Vec<_>>());
        let attributes = [
            ("strides", list(&strides)),
            ("dilations", list(&dilations)),
            ("pads", list(&pads)),
            ("group", int(group as i64)),
        ];
        self.add("ConvTranspose", &[&weights, &bias], &attributes, shape);
    }

    fn resize(&mut self) {
        let mut shape = self.shape.clone();
        shape[2] = 1 + self.random.below(9);
        shape[3] = 1 + self.random.below(9);
        self.count += 1;
        let name = format!("sizes{}", self.count);
        let sizes = Tensor::from_i64s(&shape.iter().map(|&size| size as i64).collect::<Vec<_>>());
        let sketch = std::mem::replace(&mut self.sketch, Sketch::new(17));
        self.sketch = sketch.constant(&name, sizes);
        let mode = ["nearest", "linear", "cubic"][self.random.below(3)];
        self.add("Resize", &["", "", &name], &[("mode", Attribute::String(mode.into()))], shape);
    }

    /// What attention consists of, and reductions.
    fn normalisation_or_product(&mut self) {
        let (shape, before) = (self.shape.clone(), self.last.clone());
        let (height, width) = (shape[2], shape[3]);
        match self.random.below(6) {
            0 => {
                let (gain, offset) = (self.constant(&[width], 1.5), self.constant(&[width], 0.5));
                self.add("LayerNormalization", &[&gain, &offset], &[], shape);
            }
            1 => {
                let (gain, offset) = (self.constant(&[shape[1]], 1.5), self.constant(&[shape[1]], 0.5));
                self.add("InstanceNormalization", &[&gain, &offset], &[], shape);
            }
            // A root mean square, written out.
            2 => {
                self.count += 1;
                let epsilon = format!("constant{}", self.count);
                let sketch = std::mem::replace(&mut self.sketch, Sketch::new(17));
                self.sketch = sketch.floats(&epsilon, &[], vec![1e-3]);
                self.add("Mul", &[&before], &[], shape.clone());
                let rows = vec![1, shape[1], height, 1];
                self.add("ReduceMean", &[], &[("axes", ints(&[-1]))], rows.clone());
                self.add("Add", &[&epsilon], &[], rows.clone());
                self.add("Sqrt", &[], &[], rows);
                let root = std::mem::replace(&mut self.last, before);
                self.add("Div", &[&root], &[], shape);
            }
            // Its own transpose, times a number.
            3 => {
                let factor = self.constant(&[], 1.0);
                self.add("Transpose", &[], &[("perm", ints(&[0, 1, 3, 2]))], vec![1, shape[1], width, height]);
                let turned = std::mem::replace(&mut self.last, before);
                self.add("MatMul", &[&turned], &[], vec![1, shape[1], height, height]);
                self.add("Mul", &[&factor], &[], vec![1, shape[1], height, height]);
            }
            4 => {
                let op = ["ReduceMax", "ReduceMin", "ReduceMean"][self.count % 3];
                self.add(op, &[], &[("axes", ints(&[2]))], vec![1, shape[1], 1, width]);
                self.add("Mul", &[&before], &[], shape);
            }
            _ => self.add("Hardmax", &[], &[("axis", int(2))], shape),
        }
    }

    fn layer(&mut self) {
        let shape = self.shape.clone();
        let before = self.last.clone();
        let (height, width) = (shape[2], shape[3]);
        let pooled = vec![1, shape[1], height.saturating_sub(1), width.saturating_sub(1)];
        let room = height > 1 && width > 1;
        match self.random.below(30) {
            0..=3 => self.convolution(),
            4 if room => self.add("AveragePool", &[], &[("kernel_shape", ints(&[2, 2]))], pooled),
            5 if room => self.add("MaxPool", &[], &[("kernel_shape", ints(&[2, 2]))], pooled),
            6 => {
                let padding = [("kernel_shape", ints(&[3, 3])), ("pads", ints(&[1; 4])), ("count_include_pad", int(1))];
                self.add("AveragePool", &[], &padding, shape);
            }
            7 => {
                let op =
                    ["Relu", "Sigmoid", "Tanh", "HardSwish", "LeakyRelu", "Elu", "Abs", "Neg"][self.random.below(8)];
                self.add(op, &[], &[], shape);
            }
            8 => {
                self.add("Tanh", &[], &[], shape.clone());
                self.add(["Add", "Sub", "Mul"][self.count % 3], &[&before], &[], shape);
            }
            9 => {
                self.add("Relu", &[], &[], shape.clone());
                let joined = vec![1, 2 * shape[1], height, width];
                self.add("Concat", &[&before], &[("axis", int(1))], joined);
            }
            10 => {
                self.add("GlobalAveragePool", &[], &[], vec![1, shape[1], 1, 1]);
                self.add("HardSigmoid", &[], &[], vec![1, shape[1], 1, 1]);
                self.add("Mul", &[&before], &[], shape);
            }
            11 => {
                let constant = self.constant(&[1, 1, height, width], 2.0);
                self.add(["Add", "Mul"][self.count % 2], &[&constant], &[], shape);
            }
            12 => {
                let op = ["Softmax", "LogSoftmax"][self.random.below(2)];
                let axis = 1 + self.random.below(3) as i64;
                self.add(op, &[], &[("axis", int(axis))], shape);
            }
            13..=19 => self.movement(),
            20 | 21 => self.transposed_convolution(),
            22 => self.resize(),
            23..=28 => self.normalisation_or_product(),
            _ => self.add("Transpose", &[], &[("perm", ints(&[0, 1, 3, 2]))], vec![1, shape[1], width, height]),
        }
    }

    fn integers(&mut self, shape: &[usize], limit: usize) -> String {
        self.count += 1;
        let name = format!("integers{}", self.count);
        let values: Vec<i64> = (0..shape.iter().product()).map(|_| self.random.below(limit) as i64).collect();
        let values = Tensor::new(shape, values).unwrap_or_else(|| Tensor::from_i64s(&[]));
        let sketch = std::mem::replace(&mut self.sketch, Sketch::new(17));
        self.sketch = sketch.constant(&name, values);
        name
    }

    /// An operator that moves elements.
    fn movement(&mut self) {
        let shape = self.shape.clone();
        let &[_, channels, height, width] = &shape[..] else { return };
        match self.random.below(8) {
            0 if channels % 4 == 0 => {
                let mode = Attribute::String(["DCR", "CRD"][self.random.below(2)].into());
                let shape = vec![1, channels / 4, 2 * height, 2 * width];
                self.add("DepthToSpace", &[], &[("blocksize", int(2)), ("mode", mode)], shape);
            }
            0 | 1 if height % 2 == 0 && width % 2 == 0 => {
                let shape = vec![1, 4 * channels, height / 2, width / 2];
                self.add("SpaceToDepth", &[], &[("blocksize", int(2))], shape);
            }
            2 => {
                let mode = Attribute::String(["reflect", "edge", "wrap"][self.random.below(3)].into());
                let pads = self.integers(&[8], 2);
                let pads = self.sketch.0.graph.initializers.get(&pads).and_then(Tensor::to_i64s).unwrap_or_default();
                let pads = [0, 0, pads[2], pads[3], 0, 0, pads[6], pads[7]];
                self.count += 1;
                let name = format!("pads{}", self.count);
                let sketch = std::mem::replace(&mut self.sketch, Sketch::new(17));
                self.sketch = sketch.constant(&name, Tensor::from_i64s(&pads));
                let [height, width] = [0, 1].map(|axis| shape[2 + axis] + (pads[2 + axis] + pads[6 + axis]) as usize);
                self.add("Pad", &[&name], &[("mode", mode)], vec![1, channels, height, width]);
            }
            3 => {
                let indices = self.integers(&[3], channels);
                self.add("Gather", &[&indices], &[("axis", int(1))], vec![1, 3, height, width]);
            }
            4 => {
                let indices = self.integers(&[1, channels, 2, width], height);
                self.add("GatherElements", &[&indices], &[("axis", int(2))], vec![1, channels, 2, width]);
            }
            5 => self.add("Trilu", &[], &[("upper", int(self.count as i64 % 2))], shape),
            6 => {
                let indices = self.integers(&[1, channels, 2, 1], height);
                let updates = self.constant(&[1, channels, 2, 1], 1.0);
                let reduction = Attribute::String(["none", "max", "min", "add"][self.random.below(4)].into());
                let attributes = [("axis", int(2)), ("reduction", reduction)];
                self.add("ScatterElements", &[&indices, &updates], &attributes, shape);
            }
            _ => {
                let lens = self.integers(&[1], channels);
                let axes = [("batch_axis", int(0)), ("time_axis", int(1))];
                self.add("ReverseSequence", &[&lens], &axes, shape);
            }
        }
    }

    /// A dense layer on everything, or the means of the channels.
    fn head(&mut self) {
        let count = self.shape.iter().product::<usize>();
        if self.random.below(3) == 0 {
            let means = vec![1, self.shape[1]];
            return self.add("ReduceMean", &[], &[("axes", ints(&[2, 3])), ("keepdims", int(0))], means);
        }
        self.add("Flatten", &[], &[], vec![1, count]);
        let (weights, bias) = (self.constant(&[5, count], 0.4), self.constant(&[5], 0.3));
        self.add("Gemm", &[&weights, &bias], &[("transB", int(1))], vec![1, 5]);
    }
}

/// What the layer's integers stand for, or its floats.
fn real(tensor: &Tensor, value: &Value) -> Option<Vec<f32>> {
    match tensor {
        Tensor::I8(array) => {
            let (scale, zero_point) = value.quantization.as_ref()?.single()?;
            Some(array.iter().map(|&q| (i32::from(q) - zero_point) as f32 * scale).collect())
        }
        Tensor::I16(array) => {
            let (scale, zero_point) = value.quantization.as_ref()?.single()?;
            Some(array.iter().map(|&q| (i32::from(q) - zero_point) as f32 * scale).collect())
        }
        tensor => tensor.f32s().map(<[f32]>::to_vec),
    }
}

/// Rounds the weights of linear layers to what int8 holds, each output channel in its own scale.
fn round_weights(graph: &mut Graph<Op>) {
    let linear = graph.nodes.iter().filter(|node| !node.op.built_in().is_empty());
    let weights: Vec<_> = linear.map(|node| node.inputs[1]).collect();
    for id in weights {
        let Some(Tensor::F32(array)) = graph.constant(id) else { continue };
        let mut array = array.clone();
        for mut row in array.outer_iter_mut() {
            let scale = row.iter().fold(0f32, |largest, w| largest.max(w.abs())) / 127.0;
            let scale = if scale > 0.0 { scale } else { 1.0 };
            row.mapv_inplace(|w| (w / scale).round() * scale);
        }
        graph.value_mut(id).constant = Some(Tensor::F32(array).into());
    }
}

/// A constant operand as its layer has it: int4 weights rounded to that.
fn constant(value: &Value) -> Option<Tensor> {
    let tensor = value.constant.as_deref()?;
    let Some(quantization) = value.quantization.as_ref().filter(|known| known.width == Width::Int4) else {
        return Some(tensor.clone());
    };
    let (elements, row) = (tensor.f32s()?, tensor.len() / quantization.scales.len());
    let rounded = elements.iter().enumerate().map(|(index, w)| {
        let scale = quantization.scales[index / row];
        (w / scale).round_ties_even().clamp(-8.0, 7.0) * scale
    });
    Tensor::new(tensor.shape(), rounded.collect())
}

/// Compares every layer of one run; returns how many layers of integers there were.
fn compare(graph: &Graph<Op>, lowered: &Graph<Layer>, input: &Tensor) -> Result<usize> {
    let mut results: BTreeMap<_, Tensor> = lowered.inputs.iter().map(|id| (*id, input.clone())).collect();
    for id in lowered.ids() {
        results.extend(lowered.constant(id).map(|tensor| (id, tensor.clone())));
    }
    run_lowered(lowered, std::slice::from_ref(input), |index, tensor| {
        results.insert(lowered.nodes[index].outputs[0], tensor.clone());
    })?;
    let mut compared = 0;
    for layer in &lowered.nodes {
        let output = lowered.value(layer.outputs[0]);
        // Values were given names of their own; conversions that lowering put in carry the name of what they convert.
        let made = |node: &&mcuopt_codegen::graph::Node<Op>| {
            graph.value(node.outputs[0]).name == output.name && node.op.name() == layer.op.operator
        };
        let (Some(node), Some(Quantization { scales, zero_points, width, .. })) =
            (graph.nodes.iter().find(made), &output.quantization)
        else {
            continue;
        };
        // Differences of nearly equal tensors, and what follows a tensor that is always zero: a step of the operand is
        // worth dozens of the result's, whose integers say nothing in any arithmetic.
        let step =
            |value: &Value| value.quantization.as_ref().and_then(Quantization::single).map_or(0.0, |(scale, _)| scale);
        if layer.inputs.iter().any(|id| step(lowered.value(*id)) > 64.0 * scales[0]) {
            continue;
        }
        let built_in = node.op.built_in();
        let mut passed = layer.inputs.iter();
        let mut operands = Vec::new();
        for (index, id) in node.inputs.iter().enumerate() {
            let value = graph.value(*id);
            if built_in.contains(&index) {
                operands.push(constant(value).ok_or("weights")?);
                continue;
            }
            let id = passed.next().ok_or("an operand")?;
            if value.ty.dtype != DType::F32 {
                operands.push(results[id].clone());
                continue;
            }
            let reals = real(&results[id], lowered.value(*id)).ok_or("an operand")?;
            operands.push(Tensor::new(&value.ty.shape, reals).ok_or("a shape")?);
        }
        let expected = node.op.eval(&operands.iter().collect::<Vec<_>>())?.remove(0);
        let expected = expected.f32s().ok_or("floats")?;
        let found = results[&layer.outputs[0]].to_i64s().ok_or("integers")?;
        let (min, max) = width.limits();
        let is_table = *width == Width::Int16 && layer.op.kernel.call(DType::I16).function == "lut_s16";
        let bends =
            if is_table { bends(node, &operands[0], step(lowered.value(layer.inputs[0])))? } else { Vec::new() };
        let most: f32 = match (&node.op, width) {
            // Between the entries of a table.
            _ if is_table => 64.0,
            (Op::Softmax(_), Width::Int16) => 4.0,
            (_, Width::Int16) => 1.5,
            _ => 1.0,
        };
        for (position, (expected, found)) in expected.iter().zip(found).enumerate() {
            // Not yet rounded: one step, of which rounding takes half.
            let exact = (expected / scales[0] + zero_points[0] as f32).clamp(min as f32, max as f32);
            let distance = (exact - found as f32).abs();
            let bend = bends.get(position).map_or(0.0, |bend| bend / scales[0]);
            ensure!(
                distance <= most.max(bend),
                "{} `{}`: element {position} is {found}, not {exact}",
                layer.op.operator,
                layer.name
            );
        }
        compared += 1;
    }
    Ok(compared)
}

/// How far a function is from straight between entries of a table of 513.
fn bends(node: &mcuopt_codegen::graph::Node<Op>, x: &Tensor, step: f32) -> Result<Vec<f32>> {
    let at = |distance: f32| -> Result<Vec<f32>> {
        let moved = x.f32s().ok_or("floats")?.iter().map(|x| x + distance).collect();
        let y = node.op.eval(&[&Tensor::new(x.shape(), moved).ok_or("a shape")?])?.remove(0);
        Ok(y.f32s().ok_or("floats")?.to_vec())
    };
    let (before, here, behind) = (at(-128.0 * step)?, at(0.0)?, at(128.0 * step)?);
    let or = |y: f32, here: f32| if y.is_finite() { y } else { here };
    let bend = |i: usize| (or(before[i], here[i]) - 2.0 * here[i] + or(behind[i], here[i])).abs() / 2.0;
    Ok((0..here.len()).map(bend).collect())
}

/// Which precision the layers get.
type Choose = fn(&mut Random) -> LayerPrecision;

fn check(seed: u64, choose: Choose) -> Result<usize> {
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let shape = vec![1, 1 + random.below(4), 3 + random.below(5), 3 + random.below(5)];
    let sketch = Sketch::new(17).input("x", &shape);
    let mut growing = Growing { sketch, random, last: "x".into(), shape: shape.clone(), count: 0 };
    (0..2 + seed % 5).for_each(|_| growing.layer());
    growing.head();
    let Growing { sketch, mut random, last, .. } = growing;
    let mut graph = import(&sketch.output(&last).0, &Default::default())?.graph;
    simplify(&mut graph)?;
    round_weights(&mut graph);
    let plain = graph.clone();
    if !seed.is_multiple_of(3) {
        prepare_int8(&mut graph)?;
    }
    narrow(&mut graph)?;
    for (index, value) in graph.values.iter_mut().enumerate() {
        value.name = format!("v{index}");
    }
    let count = shape.iter().product();
    let mut sample = || Tensor::new(&shape, random.floats(count)).map(|tensor| vec![tensor]).ok_or("a sample");
    let samples = (0..6).map(|_| sample()).collect::<std::result::Result<Vec<_>, _>>()?;
    let [found, expected] = [run_float(&graph, &samples[0], |_, _| {})?, run_float(&plain, &samples[0], |_, _| {})?];
    let (found, expected) = (found[0].f32s().ok_or("floats")?, expected[0].f32s().ok_or("floats")?);
    let magnitude = expected.iter().fold(1f32, |largest, y| largest.max(y.abs()));
    let same = found.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 1e-4 * magnitude);
    ensure!(same, "other convolutions give {found:?}, not {expected:?}");
    round_weights(&mut graph);
    let ranges = min_max_ranges(&graph, &samples)?;
    let names: Vec<String> = graph.nodes.iter().map(|node| node.name.clone()).collect();
    let layers = names.into_iter().map(|name| (name, choose(&mut random))).collect();
    let precisions = Precisions { default: LayerPrecision::Int8, layers };
    pack_weights(&mut graph, &precisions);
    assign_mixed(&mut graph, Some(&ranges), &precisions)?;
    let lowered = lower(&graph)?;
    let mut specialised = lowered.clone();
    specialise(&mut specialised)?;
    let taken = lowered.value(lowered.inputs[0]).clone();
    let mut compared = 0;
    for sample in &samples {
        let reals = sample[0].f32s().ok_or("floats")?;
        let integers = |known: &Quantization| reals.iter().map(|&x| known.round(x).unwrap_or(0) as f32).collect();
        let input = match &taken.quantization {
            Some(known) => Tensor::new(&shape, integers(known)).and_then(|integers| integers.cast(taken.ty.dtype)),
            None => Some(sample[0].clone()),
        };
        let input = input.ok_or("a shape")?;
        compared += compare(&graph, &lowered, &input)?;
        let run = |graph| run_lowered(graph, std::slice::from_ref(&input), |_, _| {});
        ensure!(run(&lowered)? == run(&specialised)?, "specialisation changed an output");
    }
    Ok(compared)
}

fn check_all(choose: Choose) -> Result<usize> {
    let mut compared = 0;
    let mut failures = Vec::new();
    for seed in 1..=150 {
        match check(seed, choose) {
            Ok(count) => compared += count,
            Err(error) => failures.push(format!("seed {seed}: {error}")),
        }
    }
    ensure!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
    Ok(compared)
}

#[test]
fn no_layer_is_a_step_away_from_floats() -> Result {
    let compared = check_all(|_| LayerPrecision::Int8)?;
    ensure!(compared > 3000, "only {compared} layers were compared");
    Ok(())
}

#[test]
fn no_layer_in_int16_is_a_step_away_from_floats() -> Result {
    let compared = check_all(|_| LayerPrecision::Int16x8)?;
    ensure!(compared > 2000, "only {compared} layers were compared");
    Ok(())
}

#[test]
fn precisions_mix() -> Result {
    let compared = check_all(|random| LayerPrecision::ALL[random.below(5)])?;
    ensure!(compared > 2000, "only {compared} layers were compared");
    Ok(())
}
