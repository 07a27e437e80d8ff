//! Operators on integers against onnxruntime: QLinear forms, MatMulInteger and its kin, fused operators, and networks as
//! onnxruntime quantizes them; computed in float and in integers.
//!
//! The cases are made by `data/operators/quantized.py`.

mod common;

use common::{Case, Random, Result, Sketch, check_cases, compile, int, ints};
use mcuopt_codegen::graph::Node;
use mcuopt_codegen::import::import;
use mcuopt_codegen::onnx::ValueInfo;
use mcuopt_codegen::ops::Layer;
use mcuopt_codegen::tensor::{DType, Tensor};
use mcuopt_codegen::{Compiled, Precision, interp};
use mcuopt_rt::v0 as rt;
use ndarray::ArrayD;

/// Runs the kernels with floats quantized and results dequantized where the firmware does so in `predict`.
fn run(compiled: &Compiled, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
    let quantized = |(index, x): (usize, &Tensor)| match (compiled.input_quantization(index), x.f32s()) {
        (Some((scale, zero_point)), Some(values)) => {
            let integers: Vec<i8> = values.iter().map(|&x| rt::quantize_f32(x, scale, zero_point)).collect();
            Tensor::new(x.shape(), integers).ok_or("a shape")
        }
        _ => Ok(x.clone()),
    };
    let inputs = inputs.iter().enumerate().map(quantized).collect::<std::result::Result<Vec<_>, _>>()?;
    let outputs = compiled.run(&inputs)?.into_iter().enumerate().map(|(index, y)| {
        match (compiled.output_quantization(index), y.to_i64s()) {
            (Some((scale, zero_point)), Some(values)) => {
                let reals: Vec<f32> = values.iter().map(|&q| rt::dequantize(q as i8, scale, zero_point)).collect();
                Tensor::new(y.shape(), reals).ok_or("a shape")
            }
            _ => Ok(y),
        }
    });
    Ok(outputs.collect::<std::result::Result<Vec<_>, _>>()?)
}

/// Integers may differ by one step in a few places: where onnxruntime rounds a half to even and we round it up, and where
/// it computes in float and we do in integers. `limit` is the share of such places.
fn check(case: &Case, found: &[Tensor], limit: f64, tolerance: f64) -> Result {
    ensure!(found.len() == case.outputs.len(), "{} outputs", found.len());
    for (found, expected) in found.iter().zip(&case.outputs) {
        let same = found.dtype() == expected.dtype() && found.shape() == expected.shape();
        ensure!(same, "{found:?}, not {expected:?}");
        if let (Some(found), Some(expected)) = (found.f32s(), expected.f32s()) {
            let largest = expected.iter().fold(0f32, |largest, y| largest.max(y.abs()));
            let close = |(a, b): (&f32, &f32)| f64::from((a - b).abs()) <= tolerance * f64::from(largest);
            ensure!(found.iter().zip(expected).all(close), "{found:?}\nnot {expected:?}");
            continue;
        }
        let (found, expected) = (found.to_i64s().unwrap_or_default(), expected.to_i64s().unwrap_or_default());
        let close = found.iter().zip(&expected).all(|(a, b)| (a - b).abs() <= 1);
        let differ = found.iter().zip(&expected).filter(|(a, b)| a != b).count();
        // Averages of a few integers are halves often.
        let few = differ as f64 <= limit * found.len() as f64 + 2.0;
        ensure!(close && few, "{differ} of {} differ: {found:?}\nnot {expected:?}", found.len());
    }
    Ok(())
}

fn check_all(precision: Precision, limit: f64, tolerance: impl Fn(&str) -> f64) -> Result {
    check_cases("quantized.bin", 69, |case| {
        let compiled = compile(&case.name, &case.model.encode(), precision)?;
        compiled.source()?;
        check(case, &run(&compiled, &case.inputs)?, limit, tolerance(&case.name))
    })
}

#[test]
fn in_float_as_onnxruntime_computes_them() -> Result {
    // A network in float lacks the rounding of its activations.
    check_all(Precision::Float32, 0.02, |name| if name.starts_with("network") { 0.1 } else { 1e-4 })
}

#[test]
fn in_integers_as_onnxruntime_computes_them() -> Result {
    check_all(Precision::Auto, 0.05, |name| if name.starts_with("network") { 0.05 } else { 1e-2 })
}

/// `y = Relu(DequantizeLinear(QuantizeLinear(x)))`, with the integers as an output beside it.
fn pair(shape: &[usize], scale: Tensor, zero_point: Tensor, axis: i64) -> Sketch {
    let attributes = [("axis", int(axis))];
    Sketch::new(21)
        .input("x", shape)
        .constant("s", scale)
        .constant("z", zero_point)
        .node("QuantizeLinear", &["x", "s", "z"], &["q"], &attributes)
        .node("DequantizeLinear", &["q", "s", "z"], &["d"], &attributes)
        .node("Relu", &["d"], &["y"], &[])
        .output("y")
}

fn kernels(compiled: &Compiled) -> Vec<&'static str> {
    let call = |node: &Node<Layer>| node.op.kernel.call(compiled.lowered.value(node.outputs[0]).ty.dtype).function;
    compiled.lowered.nodes.iter().map(call).collect()
}

#[test]
fn what_int8_cannot_hold_is_int16_or_float() -> Result {
    let words = pair(&[3], Tensor::scalar(0.001), Tensor::new(&[], vec![-5i16]).ok_or("a shape")?, 1);
    let compiled = compile("words", &words.0.encode(), Precision::Auto)?;
    ensure!(compiled.input_quantization(0) == Some((0.001, -5)), "{:?}", compiled.input_quantization(0));
    let x = Tensor::new(&[3], vec![1230i16, -1005, i16::MAX]).ok_or("a shape")?;
    let y = compiled.run(&[x])?;
    let expected = [1235.0 * 0.001, 0.0, 32772.0 * 0.001f32];
    ensure!(y[0].f32s() == Some(&expected), "{:?}", y[0].f32s());
    // A scale for each channel of an activation.
    let scales = Tensor::new(&[2], vec![0.5f32, 2.0]).ok_or("a shape")?;
    let channels = pair(&[2, 2], scales, Tensor::new(&[2], vec![0u8, 10]).ok_or("a shape")?, 1);
    let compiled = compile("channels", &channels.0.encode(), Precision::Auto)?;
    ensure!(kernels(&compiled)[..2] == ["quantize_linear", "dequantize_linear"], "{:?}", kernels(&compiled));
    let x = Tensor::new(&[2, 2], vec![0.8f32, -7.0, 1000.0, 3.1]).ok_or("a shape")?;
    let y = compiled.run(&[x])?;
    ensure!(y[0].f32s() == Some(&[1.0, 0.0, 127.5, 4.0]), "{:?}", y[0].f32s());
    Ok(())
}

#[test]
fn integers_and_their_reals_are_both_outputs() -> Result {
    let zero_point = Tensor::new(&[], vec![128u8]).ok_or("a shape")?;
    let sketch = pair(&[4], Tensor::scalar(0.5), zero_point, 1).output("q").output("d");
    let x = [0.75f32, -1.0, 63.4, 0.2];
    let (reals, integers) = ([1.0f32, -1.0, 63.5, 0.0], [130, 126, 255, 128]);
    for precision in [Precision::Auto, Precision::Float32] {
        let compiled = compile("both", &sketch.0.encode(), precision)?;
        compiled.source()?;
        let y = run(&compiled, &[Tensor::new(&[4], x.to_vec()).ok_or("a shape")?])?;
        ensure!(y[1].to_i64s() == Some(integers.to_vec()), "{:?}", y[1].to_i64s());
        // In float the reals keep their fractions, within the range of the integers.
        let close = y[2].f32s().is_some_and(|d| d.iter().zip(&reals).all(|(d, r)| (d - r).abs() <= 0.25));
        ensure!(close, "{:?}", y[2].f32s());
    }
    Ok(())
}

#[test]
fn four_bits_are_what_the_file_says() -> Result {
    let zero_point = Tensor::new(&[], vec![1i8]).ok_or("a shape")?;
    let mut sketch = pair(&[4], Tensor::scalar(1.0), zero_point, 1).output("q");
    sketch
        .graph()
        .value_infos
        .push(ValueInfo { type_name: "tensor(int4)".into(), ..ValueInfo::tensor("q", DType::I8, &[4]) });
    let graph = import(&sketch.0, &Default::default())?.graph;
    let x = Tensor::new(&[4], vec![-20.0f32, 2.5, 3.5, 20.0]).ok_or("a shape")?;
    let y = interp::run_float(&graph, &[x], |_, _| {})?;
    ensure!(y[1].to_i64s() == Some(vec![-8, 3, 5, 7]), "{:?}", y[1].to_i64s());
    Ok(())
}

/// A convolution whose weights training rounded to multiples of a scale of each filter, stored as floats, with a batch
/// normalization behind it, between QuantizeLinear and DequantizeLinear.
#[test]
fn fake_quantized_weights_keep_their_integers() -> Result {
    let integers: Vec<i32> = (0..4 * 2 * 9).map(|i| (i * 37 + 11) % 201 - 100).collect();
    let scales = [0.01f32, 0.002, 0.0333, 0.25];
    let weights = integers.chunks_exact(18).zip(scales).flat_map(|(q, scale)| q.iter().map(move |&q| q as f32 * scale));
    let zero = || Tensor::new(&[], vec![0i8]).ok_or("a shape");
    let sketch = Sketch::new(17)
        .input("x", &[1, 2, 5, 5])
        .floats("s", &[], vec![0.05])
        .constant("z", zero()?)
        .floats("w", &[4, 2, 3, 3], weights.collect())
        .floats("gamma", &[4], vec![1.3, 0.7, 2.1, 0.9])
        .floats("beta", &[4], vec![0.1, -0.2, 0.0, 0.3])
        .floats("mean", &[4], vec![0.0, 0.1, -0.1, 0.2])
        .floats("variance", &[4], vec![1.1, 0.3, 2.0, 0.7])
        .node("QuantizeLinear", &["x", "s", "z"], &["q"], &[])
        .node("DequantizeLinear", &["q", "s", "z"], &["d"], &[])
        .node("Conv", &["d", "w"], &["c"], &[])
        .node("BatchNormalization", &["c", "gamma", "beta", "mean", "variance"], &["n"], &[])
        .node("QuantizeLinear", &["n", "s", "z"], &["nq"], &[])
        .node("DequantizeLinear", &["nq", "s", "z"], &["y"], &[])
        .output("y");
    let compiled = compile("grid", &sketch.0.encode(), Precision::Auto)?;
    let found = compiled.lowered.nodes.iter().find_map(|node| match &node.op.kernel {
        mcuopt_codegen::ops::Kernel::ConvS8(conv) => Some(&conv.linear.weights),
        _ => None,
    });
    let found = found.ok_or("an int8 convolution")?;
    // [outputs, rows, columns, inputs] instead of [outputs, inputs, rows, columns].
    let expected = (0..4 * 18).map(|i| integers[i / 18 * 18 + i % 2 * 9 + i / 2 % 9]);
    ensure!(found.iter().map(|&q| i32::from(q)).eq(expected), "{found:?}");
    Ok(())
}

/// Layers that give floats.
fn float_layers(compiled: &Compiled) -> Vec<&str> {
    let is_float = |node: &&Node<Layer>| compiled.lowered.value(node.outputs[0]).ty.dtype == DType::F32;
    compiled.lowered.nodes.iter().filter(is_float).map(|node| node.name.as_str()).collect()
}

fn scalar<T>(value: T) -> Result<Tensor>
where
    Tensor: From<ArrayD<T>>,
{
    Ok(Tensor::new(&[], vec![value]).ok_or("a shape")?)
}

/// Brevitas and PyTorch write fewer bits than a type has as a Clip between QuantizeLinear and DequantizeLinear, and int4
/// weights as int8 ones.
#[test]
fn clips_between_integers_limit_the_layer_before() -> Result {
    let weights: Vec<i8> = (0..3 * 2 * 9).map(|i| ((i * 37 + 11) % 15 - 7) as i8).collect();
    let scales = [0.02f32, 0.05, 0.04];
    let sketch = Sketch::new(17)
        .input("x", &[1, 2, 6, 6])
        .floats("xs", &[], vec![0.05])
        .constant("xz", scalar(64u8)?)
        .constant("most", scalar(127u8)?)
        .constant("none", scalar(0u8)?)
        .floats("ys", &[], vec![0.05])
        .constant("few", scalar(15u8)?)
        .constant("w", Tensor::new(&[3, 2, 3, 3], weights.clone()).ok_or("a shape")?)
        .constant("lowest", scalar(-7i8)?)
        .constant("highest", scalar(7i8)?)
        .floats("ws", &[3], scales.to_vec())
        .constant("wz", Tensor::new(&[3], vec![0i8; 3]).ok_or("a shape")?)
        .node("QuantizeLinear", &["x", "xs", "xz"], &["xq"], &[])
        .node("Clip", &["xq", "none", "most"], &["xc"], &[])
        .node("DequantizeLinear", &["xc", "xs", "xz"], &["xd"], &[])
        .node("Clip", &["w", "lowest", "highest"], &["wc"], &[])
        .node("DequantizeLinear", &["wc", "ws", "wz"], &["wd"], &[("axis", int(0))])
        .node("Conv", &["xd", "wd"], &["c"], &[])
        .node("QuantizeLinear", &["c", "ys", "none"], &["q"], &[])
        .node("Clip", &["q", "none", "few"], &["k"], &[])
        .node("DequantizeLinear", &["k", "ys", "none"], &["y"], &[])
        .output("y");
    let compiled = compile("clips", &sketch.0.encode(), Precision::Auto)?;
    compiled.source()?;
    ensure!(float_layers(&compiled).is_empty(), "{:?}", float_layers(&compiled));
    // The input is limited by itself, the result by the convolution.
    let expected = ["lut_s8", "transpose", "ConvS8::run", "transpose"];
    ensure!(kernels(&compiled) == expected, "{:?}", kernels(&compiled));
    let four_bits = compiled.lowered.nodes.iter().any(|node| match &node.op.kernel {
        mcuopt_codegen::ops::Kernel::ConvS8(conv) => conv.linear.four_bits,
        _ => false,
    });
    ensure!(four_bits, "{:?}", kernels(&compiled));
    let x: Vec<f32> = (0..72).map(|i| (i as f32 * 0.7).sin() * 5.0).collect();
    let q = |x: f32| ((x / 0.05).round_ties_even() + 64.0).clamp(0.0, 127.0) - 64.0;
    let expected = (0..3 * 16).map(|at| {
        let (channel, row, column) = (at / 16, at / 4 % 4, at % 4);
        let taps = (0..18).map(|tap| {
            let (plane, r, c) = (tap / 9, row + tap / 3 % 3, column + tap % 3);
            q(x[plane * 36 + r * 6 + c]) * 0.05 * f32::from(weights[channel * 18 + tap]) * scales[channel]
        });
        (taps.sum::<f32>() / 0.05).round_ties_even().clamp(0.0, 15.0) * 0.05
    });
    let y = run(&compiled, &[Tensor::new(&[1, 2, 6, 6], x.clone()).ok_or("a shape")?])?;
    let y = y[0].f32s().unwrap_or_default();
    let close = y.iter().zip(expected.clone()).filter(|(a, b)| (**a - b).abs() < 1e-5).count();
    ensure!(close >= 47, "{y:?}\nnot {:?}", expected.collect::<Vec<_>>());
    ensure!(y.iter().any(|y| (y - 0.75).abs() < 1e-5), "{y:?}");
    Ok(())
}

/// A residual that is added before the next rounding, a Concat of scales of its own, and an activation that a tool has no
/// pattern for, as Brevitas and torchao write them: all in integers, and close to what the same network is in float.
#[test]
fn what_the_author_left_between_integers_runs_in_integers() -> Result {
    let mut random = Random(7);
    let weights = random.floats(4 * 4 * 9).iter().map(|w| (w * 100.0).round() as i8).collect();
    let sketch = Sketch::new(17)
        .input("x", &[1, 4, 6, 6])
        .floats("xs", &[], vec![0.02])
        .floats("ys", &[], vec![0.03])
        .floats("hs", &[], vec![0.01])
        .floats("ws", &[], vec![0.002])
        .constant("xz", scalar(3i8)?)
        .constant("zero", scalar(0i8)?)
        .constant("none", scalar(0u8)?)
        .constant("w", Tensor::new(&[4, 4, 3, 3], weights).ok_or("a shape")?)
        .node("QuantizeLinear", &["x", "xs", "xz"], &["xq"], &[])
        .node("DequantizeLinear", &["xq", "xs", "xz"], &["xd"], &[])
        .node("DequantizeLinear", &["w", "ws", "zero"], &["wd"], &[])
        .node("Conv", &["xd", "wd"], &["c"], &[("pads", ints(&[1, 1, 1, 1]))])
        .node("Add", &["xd", "c"], &["a"], &[])
        .node("Relu", &["a"], &["r"], &[])
        .node("QuantizeLinear", &["r", "ys", "none"], &["rq"], &[])
        .node("DequantizeLinear", &["rq", "ys", "none"], &["rd"], &[])
        .node("HardSwish", &["xd"], &["h"], &[])
        .node("Concat", &["rd", "h"], &["j"], &[("axis", int(1))])
        .node("GlobalAveragePool", &["j"], &["m"], &[])
        .node("QuantizeLinear", &["m", "hs", "zero"], &["mq"], &[])
        .node("DequantizeLinear", &["mq", "hs", "zero"], &["y"], &[])
        .output("rd")
        .output("y");
    let compiled = compile("gaps", &sketch.0.encode(), Precision::Auto)?;
    compiled.source()?;
    ensure!(float_layers(&compiled).is_empty(), "{:?}", float_layers(&compiled));
    // On the input's grid, so that float32, without roundings, differs by the last one alone.
    let x: Vec<f32> = random.floats(144).iter().map(|x| (x * 80.0).round() * 0.02).collect();
    let x = [Tensor::new(&[1, 4, 6, 6], x).ok_or("a shape")?];
    let (found, expected) = (run(&compiled, &x)?, compiled.run_float(&x)?);
    for ((found, expected), step) in found.iter().zip(&expected).zip([0.03, 0.01]) {
        let (found, expected) = (found.f32s().unwrap_or_default(), expected.f32s().unwrap_or_default());
        let close = |(a, b): (&f32, &f32)| (a - b.clamp(0.0, 255.0 * step)).abs() <= 0.52 * step;
        ensure!(found.iter().zip(expected).all(close), "{found:?}\nnot {expected:?}");
    }
    Ok(())
}

/// A factor between two scales changes no integer, but what the integers stand for.
#[test]
fn equal_integers_of_another_scale_are_other_reals() -> Result {
    let sketch = Sketch::new(17)
        .input("x", &[1, 4])
        .floats("xs", &[], vec![0.25])
        .floats("ys", &[], vec![0.125])
        .floats("half", &[], vec![0.5])
        .floats("ps", &[], vec![1.0 / 256.0])
        .constant("zero", scalar(0i8)?)
        .constant("lowest", scalar(-128i8)?)
        .node("QuantizeLinear", &["x", "xs", "zero"], &["xq"], &[])
        .node("DequantizeLinear", &["xq", "xs", "zero"], &["xd"], &[])
        .node("Mul", &["xd", "half"], &["h"], &[])
        .node("QuantizeLinear", &["h", "ys", "zero"], &["hq"], &[])
        .node("DequantizeLinear", &["hq", "ys", "zero"], &["hd"], &[])
        .node("Softmax", &["hd"], &["s"], &[])
        .node("QuantizeLinear", &["s", "ps", "lowest"], &["sq"], &[])
        .node("DequantizeLinear", &["sq", "ps", "lowest"], &["y"], &[])
        .output("y");
    let compiled = compile("factor", &sketch.0.encode(), Precision::Auto)?;
    let y = run(&compiled, &[Tensor::new(&[1, 4], vec![4.0f32, 0.0, -2.0, 2.0]).ok_or("a shape")?])?;
    let exponentials = [2.0f32, 0.0, -1.0, 1.0].map(f32::exp);
    let sum: f32 = exponentials.iter().sum();
    let close = |(y, e): (&f32, &f32)| (y - e / sum).abs() <= 1.0 / 256.0;
    let y = y[0].f32s().unwrap_or_default();
    ensure!(y.len() == 4 && y.iter().zip(&exponentials).all(close), "{y:?}");
    Ok(())
}

/// Integers of four bits are rounded as the file says, in the layer before.
#[test]
fn activations_of_four_bits_stay_integers() -> Result {
    let mut sketch = Sketch::new(21)
        .input("x", &[1, 4])
        .floats("s", &[], vec![0.5])
        .constant("z", scalar(3u8)?)
        .floats("w", &[4, 4], (0..16).map(|i| (i % 5) as f32 - 2.0).collect())
        .node("QuantizeLinear", &["x", "s", "z"], &["q"], &[])
        .node("DequantizeLinear", &["q", "s", "z"], &["d"], &[])
        .node("MatMul", &["d", "w"], &["m"], &[])
        .node("QuantizeLinear", &["m", "s", "z"], &["p"], &[])
        .node("DequantizeLinear", &["p", "s", "z"], &["y"], &[])
        .output("y");
    for name in ["q", "p"] {
        let four_bits = ValueInfo { type_name: "tensor(uint4)".into(), ..ValueInfo::tensor(name, DType::U8, &[1, 4]) };
        sketch.graph().value_infos.push(four_bits);
    }
    let compiled = compile("uint4", &sketch.0.encode(), Precision::Auto)?;
    ensure!(float_layers(&compiled).is_empty(), "{:?}", float_layers(&compiled));
    let y = run(&compiled, &[Tensor::new(&[1, 4], vec![9.0f32, 0.0, -2.0, 1.0]).ok_or("a shape")?])?;
    // x becomes 6, 0, -1.5, 1; the products are limited to -1.5 … 6.
    let x = [6.0f32, 0.0, -1.5, 1.0];
    let product =
        |column: usize| (0..4).map(|row| x[row] * ((row * 4 + column) % 5) as f32 - 2.0 * x[row]).sum::<f32>();
    let expected: Vec<f32> = (0..4).map(|column| product(column).clamp(-1.5, 6.0)).collect();
    ensure!(y[0].f32s() == Some(&expected), "{:?}, not {expected:?}", y[0].f32s());
    Ok(())
}

/// PyTorch repeats the limits of seven bits behind what moves, chooses or averages limited elements.
#[test]
fn limits_that_change_nothing_are_no_layers() -> Result {
    let repeated = |mut sketch: Sketch, x: &str, index: usize| {
        let names = ["q", "k", "d"].map(|kind| format!("{kind}{index}"));
        let [q, k, d] = [&names[0], &names[1], &names[2]].map(String::as_str);
        sketch = sketch.node("QuantizeLinear", &[x, "s", "z"], &[q], &[]);
        sketch = sketch.node("Clip", &[q, "", "most"], &[k], &[]);
        sketch.node("DequantizeLinear", &[k, "s", "z"], &[d], &[])
    };
    let mut sketch = Sketch::new(17)
        .input("x", &[1, 1, 4, 4])
        .floats("s", &[], vec![0.05])
        .constant("z", scalar(40u8)?)
        .constant("most", scalar(127u8)?)
        .floats("w", &[2, 1, 1, 1], vec![1.5, -0.5]);
    sketch = repeated(sketch, "x", 0).node("Conv", &["d0", "w"], &["c"], &[]);
    sketch = repeated(sketch, "c", 1).node("MaxPool", &["d1"], &["m"], &[("kernel_shape", ints(&[2, 2]))]);
    sketch = repeated(sketch, "m", 2).node("Concat", &["d2", "d2"], &["j"], &[("axis", int(1))]);
    sketch = repeated(sketch, "j", 3).node("GlobalAveragePool", &["d3"], &["g"], &[]);
    let compiled = compile("limits", &repeated(sketch, "g", 4).output("d4").0.encode(), Precision::Auto)?;
    ensure!(float_layers(&compiled).is_empty(), "{:?}", float_layers(&compiled));
    // The input's own.
    let limits = kernels(&compiled).into_iter().filter(|kernel| *kernel == "lut_s8").count();
    ensure!(limits == 1, "{:?}", kernels(&compiled));
    let x: Vec<f32> = (0..16).map(|i| i as f32 * 0.75 - 4.0).collect();
    let y = run(&compiled, &[Tensor::new(&[1, 1, 4, 4], x.clone()).ok_or("a shape")?])?;
    let (low, high) = (-2.0f32, 87.0 * 0.05);
    let round = |x: f32| ((x / 0.05).round_ties_even() * 0.05).clamp(low, high);
    let of_filter = |w: f32| {
        let convolved = |at: usize| round(round(x[at]) * w);
        let pooled = |row: usize, column: usize| {
            let window = [(0, 0), (0, 1), (1, 0), (1, 1)].map(|(r, c)| convolved((row + r) * 4 + column + c));
            window.into_iter().fold(low, f32::max)
        };
        round((0..9).map(|at| pooled(at / 3, at % 3)).sum::<f32>() / 9.0)
    };
    let expected = [1.5, -0.5, 1.5, -0.5].map(of_filter);
    let y = y[0].f32s().unwrap_or_default();
    let close = y.iter().zip(&expected).all(|(y, e)| (y - e).abs() < 0.051);
    ensure!(y.len() == 4 && close, "{y:?}, not {expected:?}");
    Ok(())
}
