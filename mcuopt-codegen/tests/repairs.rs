//! A network made hard on purpose: one layer's channels differ in scale by up to 1000×, as those of depthwise networks do.
//! Plain ranges lose it; the repairs bring it back.

mod common;

use std::fs;
use std::path::Path;

use common::{Random, Result, Sketch, ints, scratch};
use mcuopt_codegen::calibrate::Method;
use mcuopt_codegen::tensor::Tensor;
use mcuopt_codegen::{Compiled, Config, Precision};
use mcuopt_rt::v0 as rt;

const SIDE: usize = 8;
const FILTERS: usize = 16;
const CLASSES: usize = 5;

/// Images of five classes: a pattern each, and noise.
struct Images {
    patterns: Vec<Vec<f32>>,
    random: Random,
}

impl Images {
    fn new() -> Self {
        let mut random = Random(7);
        let patterns = (0..CLASSES).map(|_| random.floats(SIDE * SIDE)).collect();
        Self { patterns, random }
    }

    fn next(&mut self, class: usize) -> Vec<f32> {
        let strength = 1.2 + 0.2 * self.random.float();
        let noise = self.random.floats(SIDE * SIDE);
        self.patterns[class].iter().zip(noise).map(|(x, noise)| strength * x + noise).collect()
    }

    fn take(&mut self, count: usize) -> Vec<(usize, Vec<f32>)> {
        (0..count).map(|index| (index % CLASSES, self.next(index % CLASSES))).collect()
    }
}

/// Convolution, depthwise and pointwise convolution with Relus, average, dense layer; the channels between the first two
/// layers multiplied by `scales`, which changes nothing.
fn network(scales: &[f32], dense: Option<(Vec<f32>, Vec<f32>)>) -> Sketch {
    let mut random = Random(11);
    let mut weights = |count: usize, size: f32| -> Vec<f32> { random.floats(count).iter().map(|w| w * size).collect() };
    let scaled = |values: Vec<f32>, row: usize, inverse: bool| -> Vec<f32> {
        let scale = |index: usize| if inverse { 1.0 / scales[index / row] } else { scales[index / row] };
        values.iter().enumerate().map(|(index, value)| value * scale(index)).collect()
    };
    let (first, first_bias) = (scaled(weights(FILTERS * 9, 1.0), 9, false), scaled(weights(FILTERS, 0.3), 1, false));
    let (second, second_bias) = (scaled(weights(FILTERS * 9, 0.6), 9, true), weights(FILTERS, 0.3));
    let (third, third_bias) = (weights(2 * FILTERS * FILTERS, 0.4), weights(2 * FILTERS, 0.3));
    let pads = [("pads", ints(&[1, 1, 1, 1]))];
    let depthwise = [("pads", ints(&[1, 1, 1, 1])), ("group", common::int(FILTERS as i64))];
    let sketch = Sketch::new(13)
        .input("x", &[1, 1, SIDE, SIDE])
        .floats("w1", &[FILTERS, 1, 3, 3], first)
        .floats("b1", &[FILTERS], first_bias)
        .floats("w2", &[FILTERS, 1, 3, 3], second)
        .floats("b2", &[FILTERS], second_bias)
        .floats("w3", &[2 * FILTERS, FILTERS, 1, 1], third)
        .floats("b3", &[2 * FILTERS], third_bias)
        .node("Conv", &["x", "w1", "b1"], &["c1"], &pads)
        .node("Relu", &["c1"], &["r1"], &[])
        .node("Conv", &["r1", "w2", "b2"], &["c2"], &depthwise)
        .node("Relu", &["c2"], &["r2"], &[])
        .node("Conv", &["r2", "w3", "b3"], &["c3"], &[])
        .node("Relu", &["c3"], &["r3"], &[])
        .node("MaxPool", &["r3"], &["p"], &[("kernel_shape", ints(&[4, 4])), ("strides", ints(&[4, 4]))])
        .node("Flatten", &["p"], &["features"], &[]);
    match dense {
        None => sketch.output("features"),
        Some((w4, b4)) => sketch
            .floats("w4", &[CLASSES, 8 * FILTERS], w4)
            .floats("b4", &[CLASSES], b4)
            .node("Gemm", &["features", "w4", "b4"], &["y"], &[("transB", common::int(1))])
            .output("y"),
    }
}

fn features(network: &Compiled, image: &[f32]) -> Result<Vec<f32>> {
    let x = Tensor::new(&[1, 1, SIDE, SIDE], image.to_vec()).ok_or("an image")?;
    Ok(network.run_float(&[x])?[0].f32s().ok_or("floats")?.to_vec())
}

/// A dense layer for the classes: softmax regression.
fn train(network: &Compiled, images: &[(usize, Vec<f32>)]) -> Result<(Vec<f32>, Vec<f32>)> {
    let inputs = images.iter().map(|(_, image)| features(network, image)).collect::<Result<Vec<_>>>()?;
    let width = 8 * FILTERS;
    let (mut w, mut b) = (vec![0f32; CLASSES * width], vec![0f32; CLASSES]);
    for _ in 0..30 {
        for ((class, _), x) in images.iter().zip(&inputs) {
            let scores: Vec<f32> = w.chunks_exact(width).zip(&b).map(|(w, b)| rt_dot(w, x) + b).collect();
            let top = scores.iter().copied().fold(f32::MIN, f32::max);
            let powers: Vec<f32> = scores.iter().map(|score| (score - top).exp()).collect();
            let sum: f32 = powers.iter().sum();
            for output in 0..CLASSES {
                let slope = powers[output] / sum - if output == *class { 1.0 } else { 0.0 };
                let row = &mut w[output * width..(output + 1) * width];
                row.iter_mut().zip(x).for_each(|(w, x)| *w -= 0.003 * slope * x);
                b[output] -= 0.003 * slope;
            }
        }
    }
    Ok((w, b))
}

fn rt_dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// A NumPy file of floats.
fn npy(shape: &[usize], values: impl Iterator<Item = f32>) -> Vec<u8> {
    let shape = shape.iter().map(|extent| format!("{extent}, ")).collect::<String>();
    let mut header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({shape}), }}");
    while (header.len() + 11) % 64 != 0 {
        header.push(' ');
    }
    header.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(values.flat_map(f32::to_le_bytes));
    bytes
}

/// The largest score's position, in float and in integers.
fn answers(compiled: &Compiled, images: &[(usize, Vec<f32>)]) -> Result<Vec<usize>> {
    let largest =
        |scores: Vec<i64>| (0..scores.len()).fold(0, |best, i| if scores[i] > scores[best] { i } else { best });
    let answer = |(_, image): &(usize, Vec<f32>)| -> Result<usize> {
        let Some((scale, zero_point)) = compiled.input_quantization(0) else {
            let scores = features(compiled, image)?;
            return Ok((0..CLASSES).fold(0, |best, i| if scores[i] > scores[best] { i } else { best }));
        };
        let integers: Vec<i8> = image.iter().map(|&x| rt::quantize_f32(x, scale, zero_point)).collect();
        let x = Tensor::new(&[1, 1, SIDE, SIDE], integers).ok_or("an image")?;
        Ok(largest(compiled.run(&[x])?[0].to_i64s().ok_or("integers")?))
    };
    images.iter().map(answer).collect()
}

fn share_of_equals(a: &[usize], b: &[usize]) -> f64 {
    a.iter().zip(b).filter(|(a, b)| a == b).count() as f64 / a.len() as f64
}

#[test]
fn uneven_channels_are_repaired() -> Result {
    let mut images = Images::new();
    let (training, typical, test) = (images.take(400), images.take(100), images.take(400));
    let path = scratch("uneven");
    let folder = path.parent().unwrap_or(Path::new("")).to_path_buf();
    fs::create_dir_all(&folder)?;
    let even = vec![1.0; FILTERS];
    fs::write(&path, network(&even, None).0.encode())?;
    let dense = train(&Config::new(&path).name("Net").precision(Precision::Float32).compile()?, &training)?;

    // From 1 to 1000.
    let uneven: Vec<f32> = (0..FILTERS).map(|index| 1000f32.powf(index as f32 / (FILTERS - 1) as f32)).collect();
    fs::write(&path, network(&uneven, Some(dense)).0.encode())?;
    let samples = folder.join("samples.npy");
    fs::write(
        &samples,
        npy(&[typical.len(), 1, SIDE, SIDE], typical.iter().flat_map(|(_, image)| image.iter().copied())),
    )?;
    let float = answers(&Config::new(&path).name("Net").precision(Precision::Float32).compile()?, &test)?;
    let labels: Vec<usize> = test.iter().map(|(class, _)| *class).collect();
    ensure!(
        share_of_equals(&float, &labels) > 0.9,
        "the network is no classifier: {}",
        share_of_equals(&float, &labels)
    );

    let int8 = || Config::new(&path).name("Net").precision(Precision::Int8).calibration(&samples);
    let plain = int8().ranges(Method::MinMax).bias_absorption(false).equalization(false).bias_correction(false);
    let plain = plain.compile()?;
    let repaired = int8().compile()?;
    let right = share_of_equals(&float, &labels);
    let lost = right - share_of_equals(&answers(&plain, &test)?, &labels);
    let lost_repaired = right - share_of_equals(&answers(&repaired, &test)?, &labels);
    eprintln!("of {right} plain ranges lose {lost}, repaired ones {lost_repaired}: {:?}", repaired.repairs);
    ensure!(plain.repairs.is_empty(), "{:?}", plain.repairs);
    ensure!(repaired.repairs.iter().any(|repair| repair.step == "equalization"), "{:?}", repaired.repairs);
    ensure!(lost > 0.1, "plain ranges lose {lost}: the network is not hard");
    ensure!(lost_repaired < 0.01, "the repaired network loses {lost_repaired}");

    // A second build takes all of it from the cache, and makes the same.
    let again = int8().compile()?;
    ensure!(again.repairs == repaired.repairs, "{:?}, not {:?}", again.repairs, repaired.repairs);
    ensure!(
        again.tokens(&Default::default()).to_string() == repaired.tokens(&Default::default()).to_string(),
        "other code"
    );
    fs::remove_dir_all(&folder)?;
    Ok(())
}

#[test]
fn rounding_is_learned_the_same_way_each_time() -> Result {
    let mut images = Images::new();
    let typical = images.take(20);
    let path = scratch("adaround");
    let folder = path.parent().unwrap_or(Path::new("")).to_path_buf();
    fs::create_dir_all(&folder)?;
    let even = vec![1.0; FILTERS];
    fs::write(&path, network(&even, None).0.encode())?;
    let samples = folder.join("samples.npy");
    fs::write(
        &samples,
        npy(&[typical.len(), 1, SIDE, SIDE], typical.iter().flat_map(|(_, image)| image.iter().copied())),
    )?;
    let compile =
        || Config::new(&path).name("Net").precision(Precision::Int8).calibration(&samples).adaround(true).compile();
    let (first, second) = (compile()?, compile()?);
    let learned: Vec<_> = first.repairs.iter().filter(|repair| repair.step == "adaround").collect();
    ensure!(learned.len() == 3, "{learned:?}");
    ensure!(learned.iter().all(|repair| repair.after_db > repair.before_db), "{learned:?}");
    ensure!(first.repairs == second.repairs, "{:?}, not {:?}", first.repairs, second.repairs);
    fs::remove_dir_all(&folder)?;
    Ok(())
}

/// A residual block whose channels differ by up to 1000×, and the average of its channels.
fn residual(scales: &[f32]) -> Sketch {
    let n = scales.len();
    let mut random = Random(17);
    let mut weights = |count: usize, size: f32| -> Vec<f32> { random.floats(count).iter().map(|w| w * size).collect() };
    let written = |values: Vec<f32>, row: usize| -> Vec<f32> {
        values.iter().enumerate().map(|(index, value)| value * scales[index / row]).collect()
    };
    let read = |values: Vec<f32>, taps: usize| -> Vec<f32> {
        values.iter().enumerate().map(|(index, value)| value / scales[index / taps % n]).collect()
    };
    let (first, first_bias) = (written(weights(n * 9, 1.0), 9), written(weights(n, 0.3), 1));
    let (second, second_bias) = (written(read(weights(n * n * 9, 0.3), 9), n * 9), written(weights(n, 0.3), 1));
    let third = read(weights(CLASSES * n, 1.0), 1);
    let pads = [("pads", ints(&[1, 1, 1, 1]))];
    Sketch::new(13)
        .input("x", &[1, 1, SIDE, SIDE])
        .floats("w1", &[n, 1, 3, 3], first)
        .floats("b1", &[n], first_bias)
        .floats("w2", &[n, n, 3, 3], second)
        .floats("b2", &[n], second_bias)
        .floats("w3", &[CLASSES, n], third)
        .floats("b3", &[CLASSES], weights(CLASSES, 0.1))
        .node("Conv", &["x", "w1", "b1"], &["c1"], &pads)
        .node("Relu", &["c1"], &["r1"], &[])
        .node("Conv", &["r1", "w2", "b2"], &["c2"], &pads)
        .node("Add", &["c2", "r1"], &["sum"], &[])
        .node("Relu", &["sum"], &["r2"], &[])
        .node("GlobalAveragePool", &["r2"], &["mean"], &[])
        .node("Flatten", &["mean"], &["features"], &[])
        .node("Gemm", &["features", "w3", "b3"], &["y"], &[("transB", common::int(1))])
        .output("y")
}

/// The error of int8 outputs relative to the float ones, as a ratio of powers.
fn noise(compiled: &Compiled, images: &[(usize, Vec<f32>)]) -> Result<f64> {
    let (scale, zero_point) = compiled.input_quantization(0).ok_or("int8 inputs")?;
    let (y_scale, y_zero_point) = compiled.output_quantization(0).ok_or("int8 outputs")?;
    let (mut signal, mut noise) = (0f64, 0f64);
    for (_, image) in images {
        let shape = [1, 1, SIDE, SIDE];
        let float = compiled.run_float(&[Tensor::new(&shape, image.clone()).ok_or("an image")?])?;
        let integers: Vec<i8> = image.iter().map(|&x| rt::quantize_f32(x, scale, zero_point)).collect();
        let found = compiled.run(&[Tensor::new(&shape, integers).ok_or("an image")?])?;
        let found = found[0].to_i64s().ok_or("integers")?;
        for (&y, q) in float[0].f32s().ok_or("floats")?.iter().zip(found) {
            signal += f64::from(y).powi(2);
            noise += f64::from(y - rt::dequantize(q as i8, y_scale, y_zero_point)).powi(2);
        }
    }
    Ok(noise / signal)
}

#[test]
fn channels_are_equalized_through_additions_and_pools() -> Result {
    let mut images = Images::new();
    let (typical, test) = (images.take(40), images.take(100));
    let uneven: Vec<f32> = (0..FILTERS).map(|index| 1000f32.powf(index as f32 / (FILTERS - 1) as f32)).collect();
    let path = scratch("residual");
    let folder = path.parent().unwrap_or(Path::new("")).to_path_buf();
    fs::create_dir_all(&folder)?;
    fs::write(&path, residual(&uneven).0.encode())?;
    let samples = folder.join("samples.npy");
    fs::write(
        &samples,
        npy(&[typical.len(), 1, SIDE, SIDE], typical.iter().flat_map(|(_, image)| image.iter().copied())),
    )?;
    let int8 = || Config::new(&path).name("Net").precision(Precision::Int8).calibration(&samples);
    let (plain, equalized) = (int8().equalization(false).compile()?, int8().compile()?);
    let (lost, kept) = (noise(&plain, &test)?, noise(&equalized, &test)?);
    ensure!(equalized.repairs.iter().any(|repair| repair.step == "equalization"), "{:?}", equalized.repairs);
    ensure!(lost > 50.0 * kept && kept < 1e-2, "{lost} without, {kept} with: {:?}", equalized.repairs);
    // int4 weights are rounded by what the layer computes.
    let int4 = Config::new(&path).name("Net").precision(Precision::Int4).calibration(&samples).compile()?;
    let learned: Vec<_> = int4.repairs.iter().filter(|repair| repair.step == "adaround").collect();
    ensure!(!learned.is_empty() && learned.iter().all(|repair| repair.after_db > repair.before_db), "{learned:?}");
    fs::remove_dir_all(&folder)?;
    Ok(())
}
