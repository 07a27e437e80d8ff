//! Networks that take new frames alone, against the same networks over the whole window: random stacks of convolutions,
//! pools, sums and recurrent layers, in float and in int8, where the outputs are equal bit for bit.

mod common;

use common::{Random, Result, Sketch, compile, int, ints};
use mcuopt_codegen::calibrate::{Samples, calibrate};
use mcuopt_codegen::graph::Graph;
use mcuopt_codegen::import::import;
use mcuopt_codegen::interp::{Steps, run_lowered};
use mcuopt_codegen::onnx::{Attribute, Model};
use mcuopt_codegen::ops::{Layer, Op};
use mcuopt_codegen::quantize::{assign, lower};
use mcuopt_codegen::simplify::simplify;
use mcuopt_codegen::stream::{stateful, stream};
use mcuopt_codegen::tensor::{DType, Tensor};
use mcuopt_codegen::{Compiled, Config, Errors, emit, plan};

/// A network that grows layer by layer: channels first, time the first spatial axis.
struct Growing {
    sketch: Sketch,
    random: Random,
    last: String,
    shape: Vec<usize>,
    count: usize,
    /// Padding before the first frame, or none anywhere.
    causal: bool,
}

impl Growing {
    fn new(seed: u64, causal: bool, shape: &[usize]) -> Self {
        let sketch = Sketch::new(17).input("x", shape);
        Self { sketch, random: Random(seed), last: "x".into(), shape: shape.to_vec(), count: 0, causal }
    }

    fn add(&mut self, op: &str, more: &[&str], attributes: &[(&str, Attribute)], shape: Vec<usize>) {
        self.count += 1;
        let name = format!("{op}{}", self.count);
        let inputs = [&[self.last.as_str()], more].concat();
        let sketch = std::mem::replace(&mut self.sketch, Sketch::new(17));
        self.sketch = sketch.node(op, &inputs, &[&name], attributes);
        (self.last, self.shape) = (name, shape);
    }

    fn constant(&mut self, shape: &[usize], scale: f32) -> String {
        let values = self.random.floats(shape.iter().product()).iter().map(|value| value * scale).collect();
        self.tensor(Tensor::new(shape, values).unwrap_or(Tensor::scalar(0.0)))
    }

    fn tensor(&mut self, tensor: Tensor) -> String {
        self.count += 1;
        let name = format!("constant{}", self.count);
        let sketch = std::mem::replace(&mut self.sketch, Sketch::new(17));
        self.sketch = sketch.constant(&name, tensor);
        name
    }

    /// Kernel, dilation, stride and padding along time, and the resulting frames, or none if too few would be left.
    fn along_time(&mut self, stride: usize, pool: bool) -> Option<([usize; 4], usize)> {
        let kernel = 1 + self.random.below(3) + usize::from(stride > 1);
        let dilation = if pool { 1 } else { 1 + self.random.below(3) };
        let extent = (kernel - 1) * dilation + 1;
        let most = extent - 1;
        let pad = if self.causal { most - self.random.below(stride.min(most + 1)) } else { 0 };
        let frames = (self.shape[2] + pad).checked_sub(extent)? / stride + 1;
        (frames >= 3 && frames * stride >= self.shape[2].min(4)).then_some(([kernel, dilation, stride, pad], frames))
    }

    /// Attributes of a window: along time as given, along the other axis small with padding on both sides.
    fn window(&mut self, [kernel, dilation, stride, pad]: [usize; 4]) -> Vec<(&'static str, Attribute)> {
        let two = self.shape.len() == 4;
        let list =
            |time: usize, other: usize| ints(&if two { vec![time as i64, other as i64] } else { vec![time as i64] });
        let pads = if two { vec![pad as i64, 1, 0, 1] } else { vec![pad as i64, 0] };
        vec![
            ("kernel_shape", list(kernel, 3)),
            ("dilations", list(dilation, 1)),
            ("strides", list(stride, 1)),
            ("pads", ints(&pads)),
        ]
    }

    fn convolution(&mut self, outputs: usize, stride: usize) {
        let Some((time, frames)) = self.along_time(stride, false) else { return };
        let attributes = self.window(time);
        let mut kernel = vec![outputs, self.shape[1], time[0]];
        let mut shape = vec![1, outputs, frames];
        if self.shape.len() == 4 {
            kernel.push(3);
            shape.push(self.shape[3]);
        }
        let weights = self.constant(&kernel, 0.5);
        let bias = self.constant(&[outputs], 0.3);
        self.add("Conv", &[&weights, &bias], &attributes, shape);
    }

    fn pool(&mut self, stride: usize) {
        let Some((time, frames)) = self.along_time(stride, true) else { return };
        let mut attributes = self.window(time);
        let mut shape = self.shape.clone();
        shape[2] = frames;
        attributes.remove(1);
        if self.random.below(2) == 0 {
            self.add("MaxPool", &[], &attributes, shape);
        } else {
            attributes.push(("count_include_pad", int(1)));
            self.add("AveragePool", &[], &attributes, shape);
        }
    }

    /// A convolution and what it read, added up; frames that it lost are cut off at the start.
    fn residual(&mut self) {
        let (before, frames) = (self.last.clone(), self.shape[2]);
        self.convolution(self.shape[1], 1);
        let lost = frames - self.shape[2];
        if self.last == before {
            return;
        }
        let after = std::mem::replace(&mut self.last, before);
        let shape = self.shape.clone();
        if lost > 0 {
            let [start, end, axis] = [lost, frames, 2].map(|value| self.tensor(Tensor::from_i64s(&[value as i64])));
            self.add("Slice", &[&start, &end, &axis], &[], shape.clone());
        }
        self.add("Add", &[&after], &[], shape);
    }

    fn recurrent(&mut self) {
        if self.shape.len() != 3 {
            return;
        }
        let (inputs, frames) = (self.shape[1], self.shape[2]);
        let hidden = 2 + self.random.below(5);
        let (op, gates) = [("RNN", 1), ("GRU", 3), ("LSTM", 4)][self.random.below(3)];
        self.add("Transpose", &[], &[("perm", ints(&[2, 0, 1]))], vec![frames, 1, inputs]);
        let w = self.constant(&[1, gates * hidden, inputs], 0.5);
        let r = self.constant(&[1, gates * hidden, hidden], 0.5);
        let b = self.constant(&[1, 2 * gates * hidden], 0.3);
        self.add(op, &[&w, &r, &b], &[("hidden_size", int(hidden as i64))], vec![frames, 1, 1, hidden]);
        let axis = self.tensor(Tensor::from_i64s(&[1]));
        self.add("Squeeze", &[&axis], &[], vec![frames, 1, hidden]);
        self.add("Transpose", &[], &[("perm", ints(&[1, 2, 0]))], vec![1, hidden, frames]);
    }

    fn grow(&mut self, layers: usize, recurrent: bool) {
        for _ in 0..layers {
            match self.random.below(if recurrent { 7 } else { 6 }) {
                0 => self.convolution(2 + self.random.0 as usize % 4, 1),
                1 => self.convolution(3, 2),
                2 => {
                    let stride = 1 + self.random.below(2);
                    self.pool(stride);
                }
                3 | 4 => self.residual(),
                5 => self.add("Relu", &[], &[], self.shape.clone()),
                _ => self.recurrent(),
            }
        }
    }

    /// What classifiers end with, or nothing.
    fn head(&mut self) {
        let elements: usize = self.shape.iter().product();
        match self.random.below(5) {
            0 => {
                self.add("Flatten", &[], &[], vec![1, elements]);
                let (weights, bias) = (self.constant(&[elements, 3], 0.2), self.constant(&[3], 0.2));
                self.add("Gemm", &[&weights, &bias], &[], vec![1, 3]);
            }
            1 => {
                let shape = [&self.shape[..2], &vec![1; self.shape.len() - 2][..]].concat();
                self.add("GlobalAveragePool", &[], &[], shape);
            }
            2 => {
                let last = self.tensor(Tensor::new(&[], vec![-1i64]).unwrap_or(Tensor::scalar(0.0)));
                let shape = [&self.shape[..2], &self.shape[3..]].concat();
                self.add("Gather", &[&last], &[("axis", int(2))], shape);
                self.add("Sigmoid", &[], &[], self.shape.clone());
            }
            _ => {}
        }
    }

    fn model(self) -> Model {
        self.sketch.output(&self.last).0
    }
}

/// The network over the whole window, and the one that takes `frames` new frames.
struct Pair {
    whole: Graph<Layer>,
    steps: Graph<Layer>,
    frames: usize,
    /// The outputs' shapes in both, as the file declares them.
    shapes: Vec<[Vec<usize>; 2]>,
}

impl Pair {
    fn new(model: &Model, int8: bool, axis: usize, frames: Option<usize>, random: &mut Random) -> Result<Self> {
        let mut graph = simplified(model)?;
        if int8 {
            calibrated(&mut graph, random)?;
        }
        let input = graph.inputs[0];
        let streamed = stream(&graph, &vec![(input, axis)], frames, false)?;
        let (whole, steps) = (lower(&graph)?, lower(&streamed.graph)?);
        plan::plan(&steps, false)?;
        let shape = |graph: &Graph<Op>, index: usize| graph.value(graph.outputs[index]).ty.shape.clone();
        let shapes = (0..graph.outputs.len()).map(|index| [shape(&streamed.graph, index), shape(&graph, index)]);
        let shapes = shapes.collect();
        Ok(Self { whole, steps, frames: streamed.frames, shapes })
    }
}

fn simplified(model: &Model) -> Result<Graph<Op>> {
    let mut graph = import(model, &Default::default())?.graph;
    simplify(&mut graph)?;
    Ok(graph)
}

fn calibrated(graph: &mut Graph<Op>, random: &mut Random) -> Result {
    let shape = graph.value(graph.inputs[0]).ty.shape.clone();
    let mut sample = || Tensor::new(&shape, random.floats(shape.iter().product())).ok_or("a sample");
    let samples = (0..4).map(|_| sample()).collect::<std::result::Result<_, _>>()?;
    let ranges = calibrate(graph, &Samples::from_tensors(vec![samples]))?;
    Ok(assign(graph, Some(&ranges))?)
}

/// A long input, `[outer, frames, inner]`, in the network's type.
struct Signal {
    outer: usize,
    frames: usize,
    inner: usize,
    reals: Vec<f32>,
}

impl Signal {
    fn part(&self, graph: &Graph<Layer>, range: std::ops::Range<usize>) -> Result<Tensor> {
        let mut elements = Vec::new();
        for outer in 0..self.outer {
            let block = &self.reals[outer * self.frames * self.inner..];
            elements.extend_from_slice(&block[range.start * self.inner..range.end * self.inner]);
        }
        let shape = &graph.value(graph.inputs[0]).ty.shape;
        let tensor = match emit::quantization(graph, graph.inputs[0]) {
            None => Tensor::new(shape, elements),
            Some((scale, zero_point)) => {
                let integer = |x: f32| ((x / scale).round() as i32 + zero_point).clamp(-128, 127) as i8;
                Tensor::new(shape, elements.into_iter().map(integer).collect())
            }
        };
        tensor.ok_or_else(|| "a part of the signal".into())
    }
}

/// Whether a result is the last part of another one along the axis on which they differ, or the same.
fn is_last(part: &Tensor, whole: &Tensor) -> bool {
    let (a, b) = (part.shape(), whole.shape());
    if a.len() != b.len() {
        return false;
    }
    let axis = (0..a.len()).find(|&axis| a[axis] != b[axis]).unwrap_or(0);
    let inner: usize = a[axis + 1..].iter().product();
    let outer: usize = a[..axis].iter().product();
    let (short, long) = (a[axis] * inner, b[axis] * inner);
    let same = |a: usize, b: usize| match (part, whole) {
        (Tensor::F32(part), Tensor::F32(whole)) => {
            let pair = part.as_slice().and_then(|part| Some((part[a], whole.as_slice()?[b])));
            pair.is_some_and(|(a, b)| (a - b).abs() <= 1e-6 * b.abs().max(1.0))
        }
        (Tensor::I8(part), Tensor::I8(whole)) => {
            part.as_slice().map(|part| part[a]) == whole.as_slice().map(|whole| whole[b])
        }
        _ => false,
    };
    (0..outer).all(|o| (0..short).all(|i| same(o * short + i, o * long + long - short + i)))
}

/// The same network with time as the last axis.
fn time_last(model: &mut Model) {
    let input = &mut model.graph.inputs[0];
    let Some(shape) = &mut input.shape else { return };
    let rank = shape.len();
    shape.swap(2, rank - 1);
    let mut perm: Vec<i64> = (0..rank as i64).collect();
    perm.swap(2, rank - 1);
    let node = mcuopt_codegen::onnx::Node {
        op_type: "Transpose".into(),
        inputs: vec!["x".into()],
        outputs: vec!["time first".into()],
        attributes: [("perm".to_string(), ints(&perm))].into(),
        ..Default::default()
    };
    for reader in &mut model.graph.nodes {
        reader.inputs.iter_mut().filter(|name| *name == "x").for_each(|name| *name = "time first".into());
    }
    model.graph.nodes.insert(0, node);
}

/// Runs both over a signal; compares at each call that ends a full window, or only where the window is the whole signal
/// so far.
fn check(pair: &Pair, axis: usize, only_first: bool, random: &mut Random) -> Result<usize> {
    let shape = pair.whole.value(pair.whole.inputs[0]).ty.shape.clone();
    let window = shape[axis];
    let (outer, inner) = (shape[..axis].iter().product::<usize>(), shape[axis + 1..].iter().product::<usize>());
    let frames = window.next_multiple_of(pair.frames) + 4 * pair.frames;
    let reals = random.floats(outer * frames * inner);
    let signal = Signal { outer, frames, inner, reals };
    let mut steps = Steps::new(&pair.steps);
    let mut compared = 0;
    for end in (pair.frames..=frames).step_by(pair.frames) {
        let found = steps.run(&[signal.part(&pair.steps, end - pair.frames..end)?], |_, _| {})?;
        if end < window || (only_first && end != window) {
            continue;
        }
        let expected = run_lowered(&pair.whole, &[signal.part(&pair.whole, end - window..end)?], |_, _| {})?;
        compared += 1;
        for ((found, expected), [part, whole]) in found.iter().zip(&expected).zip(&pair.shapes) {
            let reshaped = found.reshaped(part).zip(expected.reshaped(whole));
            let (found, expected) = reshaped.ok_or("outputs of another size than declared")?;
            ensure!(is_last(&found, &expected), "after {end} frames of {window}: {found:?} {expected:?}");
        }
    }
    Ok(compared)
}

fn random_stack(seed: u64, causal: bool, recurrent: bool) -> Growing {
    let mut random = Random(seed);
    let shape = match random.below(3) {
        0 => vec![1, 2, 24, 4],
        _ => vec![1, 3, 24],
    };
    let mut network = Growing::new(random.bits(), causal, &shape);
    network.grow(1 + random.below(5), recurrent);
    network.head();
    network
}

/// Number of random networks; `MCUOPT_STREAMS` asks for others.
fn seeds(count: u64) -> u64 {
    std::env::var("MCUOPT_STREAMS").ok().and_then(|text| text.parse().ok()).unwrap_or(count)
}

#[test]
fn networks_without_padding_see_the_whole_window_in_each_call() -> Result {
    let (mut compared, mut refused) = (0, 0);
    for seed in 1..seeds(120) {
        let int8 = seed % 2 == 0;
        let mut random = Random(seed * 77 + 1);
        let mut model = random_stack(seed, false, seed % 3 == 0).model();
        let mut axis = 2;
        if seed % 5 < 2 {
            time_last(&mut model);
            axis = model.graph.inputs[0].shape.as_ref().map_or(0, Vec::len) - 1;
        }
        let frames = [None, None, Some(4), Some(8)][random.below(4)];
        match Pair::new(&model, int8, axis, frames, &mut random) {
            Ok(pair) => {
                // A recurrent layer that all frames reach goes on for ever, not from the start of the window.
                let goes_on = pair.steps.nodes.iter().any(|node| {
                    ["RNN", "GRU", "LSTM"].contains(&node.op.operator) && node.op.kernel.initial().is_some()
                });
                compared += check(&pair, axis, goes_on, &mut random).map_err(|e| format!("seed {seed}: {e}"))?;
            }
            Err(error) if error.to_string().contains("stream_frames") => refused += 1,
            Err(error) => return Err(format!("seed {seed}: {error}").into()),
        }
    }
    ensure!(compared > 400 && refused < 30, "{compared} windows compared, {refused} refused");
    Ok(())
}

#[test]
fn causal_and_recurrent_networks_go_on_from_the_first_frame() -> Result {
    let (mut compared, mut refused) = (0, 0);
    for seed in 1000..1000 + seeds(120) {
        let int8 = seed % 2 == 0;
        let mut random = Random(seed * 77 + 1);
        let model = random_stack(seed, true, true).model();
        let frames = [None, None, Some(4), Some(8)][random.below(4)];
        match Pair::new(&model, int8, 2, frames, &mut random) {
            Ok(pair) => compared += check(&pair, 2, true, &mut random).map_err(|e| format!("seed {seed}: {e}"))?,
            Err(error) if error.to_string().contains("stream_frames") => refused += 1,
            Err(error) => return Err(format!("seed {seed}: {error}").into()),
        }
    }
    ensure!(compared > 80 && refused < 30, "{compared} windows compared, {refused} refused");
    Ok(())
}

/// Temporal convolutions over 32 frames of 8 features.
fn tcn(causal: bool) -> Model {
    let mut network = Growing::new(99, causal, &[1, 8, 32]);
    for dilation in [1, 2, 4] {
        let weights = network.constant(&[8, 8, 3], 0.3);
        let pad = if causal { 2 * dilation } else { 0 };
        let attributes = [("dilations", ints(&[dilation])), ("pads", ints(&[pad, 0]))];
        let frames = network.shape[2] - if causal { 0 } else { 2 * dilation as usize };
        network.add("Conv", &[&weights], &attributes, vec![1, 8, frames]);
        network.add("Relu", &[], &[], vec![1, 8, frames]);
    }
    network.add("GlobalAveragePool", &[], &[], vec![1, 8, 1]);
    network.model()
}

fn compiled(model: &Model, options: impl Fn(Config) -> Config) -> std::result::Result<Compiled, Errors> {
    let path = common::scratch("stream");
    let folder = path.parent().unwrap_or(&path);
    let written = std::fs::create_dir_all(folder).and_then(|()| std::fs::write(&path, model.encode()));
    let result = written.map_err(|error| mcuopt_codegen::Error::io(error).into()).and_then(|()| {
        options(Config::new(&path).name("Model").precision(mcuopt_codegen::Precision::Float32)).compile()
    });
    let _ = std::fs::remove_dir_all(folder);
    result
}

#[test]
fn a_network_that_takes_one_frame_computes_and_holds_less() -> Result {
    let model = tcn(false);
    let whole = compiled(&model, |config| config)?;
    let steps = compiled(&model, |config| config.stream(2))?;
    let macs = |compiled: &Compiled| compiled.lowered.nodes.iter().map(|node| node.op.kernel.macs()).sum::<u64>();
    // The convolutions run on one frame instead of 30, 26 and 18; the mean still looks at all of its 18.
    ensure!(macs(&steps) < 3 * 200 + 8 * 18 + 1, "{} for {}", macs(&steps), macs(&whole));
    let stated = steps.whole.ok_or("what it would take otherwise")?;
    ensure!(stated.macs == macs(&whole) && stated.arena_bytes == whole.plan.arena_bytes, "{stated:?}");
    ensure!((stated.window, stated.frames) == (32, 1), "{stated:?}");
    ensure!(steps.plan.arena_bytes < whole.plan.arena_bytes, "{} {}", steps.plan.arena_bytes, whole.plan.arena_bytes);
    let source = steps.source()?;
    for words in ["A call takes 1 new frame of a window of 32", "pub fn reset(&mut self)", "stay from call to call"] {
        ensure!(source.contains(words), "no `{words}` in {source}");
    }
    Ok(())
}

#[test]
fn stateful_networks_compute_in_parts_what_they_do_in_one() -> Result {
    let mut random = Random(5);
    for int8 in [false, true] {
        for seed in 2000..2040 {
            let mut growing = Growing::new(seed, true, &[1, 3, 8]);
            growing.grow(3, true);
            let before = growing.last.clone();
            growing.recurrent();
            if growing.last == before {
                continue;
            }
            let mut graph = simplified(&growing.model())?;
            if int8 {
                calibrated(&mut graph, &mut random)?;
            }
            let parts = match stateful(&graph) {
                Ok(graph) => lower(&graph)?,
                // Strides leave an odd number of frames.
                Err(error) if error.to_string().contains("in steps of") => continue,
                Err(error) => return Err(format!("seed {seed}: {error}").into()),
            };
            plan::plan(&parts, false)?;
            // Three calls; the same as the sliding window's network makes of one frame group after the other.
            let input = graph.inputs[0];
            let steps = lower(&stream(&graph, &vec![(input, 2)], Some(8), true)?.graph)?;
            let (mut a, mut b) = (Steps::new(&parts), Steps::new(&steps));
            let signal = Signal { outer: 3, frames: 24, inner: 1, reals: random.floats(72) };
            for start in [0, 8, 16] {
                let x = signal.part(&parts, start..start + 8)?;
                let (a, b) = (a.run(std::slice::from_ref(&x), |_, _| {})?, b.run(&[x], |_, _| {})?);
                ensure!(a == b, "seed {seed}: {a:?} {b:?}");
            }
            // The second call differs from a first one on the same frames: something is remembered.
            let x = signal.part(&parts, 8..16)?;
            let first = run_lowered(&parts, std::slice::from_ref(&x), |_, _| {})?;
            let mut again = Steps::new(&parts);
            again.run(&[signal.part(&parts, 0..8)?], |_, _| {})?;
            ensure!(again.run(&[x], |_, _| {})? != first || int8, "seed {seed}: nothing is remembered");
        }
    }
    Ok(())
}

#[test]
fn what_cannot_be_streamed_is_named() -> Result {
    let expect = |result: std::result::Result<Compiled, Errors>, words: &[&str]| -> Result {
        let error = result.err().ok_or("no error")?.to_string();
        for word in words {
            ensure!(error.contains(word), "`{error}` does not say `{word}`");
        }
        Ok(())
    };
    let mut same = Growing::new(3, false, &[1, 2, 10]);
    let weights = same.constant(&[2, 2, 3], 0.5);
    same.add("Conv", &[&weights], &[("pads", ints(&[1, 1]))], vec![1, 2, 10]);
    let same = same.model();
    expect(compiled(&same, |c| c.stream(2)), &["Conv2", "behind the last frame", "causal"])?;
    expect(compiled(&same, |c| c.stream("time")), &["stream", "position"])?;
    expect(compiled(&same, |c| c.stream(7)), &["3 axes"])?;
    expect(compiled(&same, |c| c.stateful(true)), &["stateful", "no recurrent layer"])?;
    expect(compiled(&same, |c| c.stream_frames(2)), &["stream_frames", "stream"])?;
    let mut strides = Growing::new(4, true, &[1, 2, 12]);
    for frames in [6, 3] {
        let weights = strides.constant(&[2, 2, 3], 0.5);
        let attributes = [("pads", ints(&[1, 0])), ("strides", ints(&[2]))];
        strides.add("Conv", &[&weights], &attributes, vec![1, 2, frames]);
    }
    let strides = strides.model();
    expect(compiled(&strides, |c| c.stream(2).stream_frames(2)), &["stream_frames", "multiple of 4"])?;
    ensure!(compiled(&strides, |c| c.stream(2))?.whole.is_some_and(|whole| whole.frames == 4), "four frames");
    expect(compiled(&strides, |c| c.stream(2).stream_frames(13)), &["13 frames of a window of 12"])?;
    let mut mixed = Growing::new(5, false, &[1, 2, 12]);
    let weights = mixed.constant(&[2, 2, 3], 0.5);
    mixed.add("Conv", &[&weights], &[], vec![1, 2, 10]);
    mixed.add("Conv", &[&weights], &[("pads", ints(&[2, 0]))], vec![1, 2, 10]);
    expect(compiled(&mixed.model(), |c| c.stream(2)), &["causal padding in all layers"])?;
    Ok(())
}

#[test]
fn states_that_do_not_start_at_zero_are_set_in_the_first_call() -> Result {
    // A maximum over frames of which the first call has only one.
    let mut network = Growing::new(6, true, &[1, 1, 8]);
    network.add("MaxPool", &[], &[("kernel_shape", ints(&[3])), ("pads", ints(&[2, 0]))], vec![1, 1, 8]);
    let steps = compiled(&network.model(), |config| config.stream(2))?;
    let source = steps.source()?;
    for words in ["started: bool", "if !self.started", "self.started = true"] {
        ensure!(source.contains(words), "no `{words}` in {source}");
    }
    let mut run = steps.steps();
    let x = |value: f32| Tensor::new(&[1, 1, 1], vec![value]).unwrap_or(Tensor::scalar(value));
    for (value, expected) in [(-5.0, -5.0), (-6.0, -5.0), (-7.0, -5.0), (-8.0, -6.0)] {
        let y = run.run(&[x(value)], |_, _| {})?;
        ensure!(y[0].f32s() == Some(&[expected]), "{y:?} for {expected}");
    }
    ensure!(steps.lowered.value(steps.lowered.inputs[0]).ty.dtype == DType::F32, "float");
    compile("plain", &network_without_state().encode(), mcuopt_codegen::Precision::Float32)
        .map(|plain| plain.source().map(|source| source.contains("reset")))?
        .map_err(Into::into)
        .and_then(|resets| if resets { Err("a network without state has `reset`".into()) } else { Ok(()) })
}

fn network_without_state() -> Model {
    let mut network = Growing::new(8, true, &[1, 2, 6]);
    network.add("Relu", &[], &[], vec![1, 2, 6]);
    network.model()
}

#[test]
fn cells_that_the_network_gives_go_on_as_well() -> Result {
    let mut network = Growing::new(12, true, &[4, 1, 3]);
    let (w, r) = (network.constant(&[1, 20, 3], 0.5), network.constant(&[1, 20, 5], 0.5));
    let sketch = |steps: usize, network: &mut Growing| {
        let sketch = std::mem::replace(&mut network.sketch, Sketch::new(17));
        let mut sketch = sketch.node("LSTM", &["x", &w, &r], &["y", "h", "c"], &[("hidden_size", int(5))]);
        for output in ["y", "h", "c"] {
            sketch = sketch.output(output);
        }
        sketch.0.graph.inputs[0] = mcuopt_codegen::onnx::ValueInfo::tensor("x", DType::F32, &[steps, 1, 3]);
        sketch.0
    };
    let model = sketch(4, &mut network);
    let mut long = model.clone();
    long.graph.inputs[0] = mcuopt_codegen::onnx::ValueInfo::tensor("x", DType::F32, &[12, 1, 3]);
    let (parts, whole) = (compiled(&model, |c| c.stateful(true))?, compiled(&long, |c| c)?);
    let x = Random(3).floats(36);
    let expected = whole.run(&[Tensor::new(&[12, 1, 3], x.clone()).ok_or("x")?])?;
    let mut steps = parts.steps();
    let mut found = Vec::new();
    for x in x.chunks_exact(12) {
        found = steps.run(&[Tensor::new(&[4, 1, 3], x.to_vec()).ok_or("x")?], |_, _| {})?;
    }
    for (found, expected) in found.iter().zip(&expected) {
        let (found, expected) = (found.f32s().unwrap_or_default(), expected.f32s().unwrap_or_default());
        ensure!(expected.ends_with(found), "{found:?} is not the end of {expected:?}");
    }
    Ok(())
}

#[test]
fn an_axis_is_known_by_its_name_in_the_file() -> Result {
    use mcuopt_codegen::onnx::Dim;
    let mut model = tcn(true);
    model.graph.inputs[0].shape = Some(vec![Dim::Known(1), Dim::Known(8), Dim::Symbolic("time".into())]);
    let bind = |frames: i64| [("time".to_string(), vec![mcuopt_codegen::Number::Int(frames)])].into();
    let path = common::scratch("named");
    let folder = path.parent().unwrap_or(&path).to_path_buf();
    std::fs::create_dir_all(&folder)?;
    std::fs::write(&path, model.encode())?;
    let options = |axis: &str| mcuopt_codegen::Options {
        model: path.clone(),
        name: Some("Model".into()),
        bind: bind(20),
        stream: Some(axis.into()),
        ..Default::default()
    };
    let steps = mcuopt_codegen::compile(&options("time"))?;
    ensure!(steps.whole.is_some_and(|whole| (whole.window, whole.frames) == (20, 1)), "{:?}", steps.whole);
    let error = mcuopt_codegen::compile(&options("frames")).err().ok_or("no error")?.to_string();
    ensure!(error.contains("there are: time"), "{error}");
    std::fs::remove_dir_all(folder)?;
    Ok(())
}

#[test]
fn operators_that_work_frame_by_frame_get_no_history() -> Result {
    // Time in the middle: a normalisation, a dense layer, a gate and a softmax for each frame.
    let mut network = Growing::new(21, true, &[1, 16, 6]);
    let (gain, offset) = (network.constant(&[6], 1.0), network.constant(&[6], 0.3));
    network.add("LayerNormalization", &[&gain, &offset], &[], vec![1, 16, 6]);
    let weights = network.constant(&[6, 4], 0.7);
    network.add("MatMul", &[&weights], &[], vec![1, 16, 4]);
    let slopes = network.constant(&[4], 0.5);
    network.add("PRelu", &[&slopes], &[], vec![1, 16, 4]);
    let before = network.last.clone();
    network.add("Sigmoid", &[], &[], vec![1, 16, 4]);
    network.add("Mul", &[&before], &[], vec![1, 16, 4]);
    network.add("Softmax", &[], &[("axis", int(-1))], vec![1, 16, 4]);
    network.add("ReduceMax", &[], &[("axes", ints(&[2])), ("keepdims", int(0))], vec![1, 16]);
    let model = network.model();
    for int8 in [false, true] {
        let mut random = Random(31);
        let pair = Pair::new(&model, int8, 1, Some(2), &mut random)?;
        let histories = pair.steps.nodes.iter().filter(|node| node.op.kernel.initial().is_some()).count();
        ensure!(histories == 0, "{histories} histories in {}", pair.steps);
        check(&pair, 1, false, &mut random)?;
    }
    Ok(())
}

/// A GRU of two stacked layers whose states come in and go out, as PyTorch exports a step of it.
fn passed_on(steps: usize) -> Model {
    let mut network = Growing::new(55, true, &[1, steps, 3]);
    let mut constants = |shape: &[usize]| network.constant(shape, 0.6);
    let weights: Vec<[String; 3]> =
        [3, 5].map(|inputs| [constants(&[1, 15, inputs]), constants(&[1, 15, 5]), constants(&[1, 30])]).to_vec();
    let mut sketch = network.sketch.input("state", &[2, 1, 5]);
    for (name, value) in [("zero", 0), ("one", 1), ("two", 2)] {
        sketch = sketch.constant(name, Tensor::from_i64s(&[value]));
    }
    sketch = sketch.node("Transpose", &["x"], &["x0"], &[("perm", ints(&[1, 0, 2]))]);
    let mut last = "x0".to_string();
    for (layer, bounds) in [["zero", "one"], ["one", "two"]].iter().enumerate() {
        let names = ["start", "y", "h", "x"].map(|name| format!("{name}{}", layer + 1));
        let [w, r, b] = &weights[layer];
        sketch = sketch
            .node("Slice", &["state", bounds[0], bounds[1], "zero"], &[&names[0]], &[])
            .node("GRU", &[&last, w, r, b, "", &names[0]], &[&names[1], &names[2]], &[("hidden_size", int(5))])
            .node("Squeeze", &[&names[1], "one"], &[&names[3]], &[]);
        last = names[3].clone();
    }
    sketch = sketch.node("Concat", &["h1", "h2"], &["next state"], &[("axis", int(0))]);
    sketch = sketch.node("Transpose", &[&last], &["out"], &[("perm", ints(&[1, 0, 2]))]);
    sketch.output("out").output("next state").0
}

#[test]
fn states_that_inputs_pass_on_are_kept_instead() -> Result {
    let model = passed_on(2);
    let (explicit, kept) = (compiled(&model, |c| c)?, compiled(&model, |c| c.stateful(true))?);
    ensure!(kept.graph.inputs.len() == 1 && explicit.graph.inputs.len() == 2, "{}", kept.lowered);
    let mut steps = kept.steps();
    let mut state = Tensor::new(&[2, 1, 5], vec![0f32; 10]).ok_or("a state")?;
    let mut random = Random(4);
    for _ in 0..4 {
        let x = Tensor::new(&[1, 2, 3], random.floats(6)).ok_or("x")?;
        let expected = explicit.run(&[x.clone(), state])?;
        let found = steps.run(&[x], |_, _| {})?;
        for (found, expected) in found.iter().zip(&expected) {
            ensure!(found.f32s() == expected.f32s(), "{found:?} {expected:?}");
        }
        state = expected[1].reshaped(&[2, 1, 5]).ok_or("a state")?;
    }
    // In int8 the explicit one runs in float between its int8 inputs and outputs; the other one in integers.
    let mut graph = simplified(&model)?;
    let shapes = graph.inputs.iter().map(|id| graph.value(*id).ty.shape.clone()).collect::<Vec<_>>();
    let mut sample = |shape: &Vec<usize>| {
        (0..4).filter_map(|_| Tensor::new(shape, random.floats(shape.iter().product()))).collect::<Vec<_>>()
    };
    let ranges = calibrate(&graph, &Samples::from_tensors(shapes.iter().map(&mut sample).collect()))?;
    assign(&mut graph, Some(&ranges))?;
    let uses = |graph: &Graph<Layer>, name: &str| {
        graph.nodes.iter().any(|node| node.op.kernel.call(DType::I8).function == name)
    };
    let (explicit, kept) = (lower(&graph)?, lower(&stateful(&graph)?)?);
    ensure!(uses(&explicit, "gru_f32_from") && !uses(&explicit, "gru_s8"), "{explicit}");
    ensure!(uses(&kept, "gru_s8") && !uses(&kept, "gru_f32") && kept.inputs.len() == 1, "{kept}");
    plan::plan(&kept, false)?;
    Ok(())
}
