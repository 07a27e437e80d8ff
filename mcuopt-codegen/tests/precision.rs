//! The options `precision` and `layers`: what layers compute in, what the user's inputs and outputs are, what flash it
//! takes, and what is refused.

mod common;

use std::fs;

use common::{Random, Result, Sketch, ints, scratch};
use mcuopt_codegen::options::{Entry, Options, Setting};
use mcuopt_codegen::tensor::{DType, Tensor};
use mcuopt_codegen::{Compiled, Config, Errors, LayerPrecision, Precision};
use mcuopt_rt::v0::Arch;
use ndarray::ArrayD;
use ndarray_npy::WriteNpyExt;

/// Three convolutions, one of them depthwise, a pool and a dense layer.
fn network() -> Sketch {
    let mut random = Random(77);
    let mut floats = |count: usize| random.floats(count);
    let pads = || ("pads", ints(&[1; 4]));
    Sketch::new(17)
        .input("x", &[1, 3, 8, 8])
        .floats("w1", &[8, 3, 3, 3], floats(216))
        .floats("b1", &[8], floats(8))
        .floats("w2", &[8, 1, 3, 3], floats(72))
        .floats("b2", &[8], floats(8))
        .floats("w3", &[12, 8, 1, 1], floats(96))
        .floats("b3", &[12], floats(12))
        .floats("w4", &[4, 12], floats(48))
        .floats("b4", &[4], floats(4))
        .node("Conv", &["x", "w1", "b1"], &["first"], &[pads()])
        .node("Relu", &["first"], &["relu"], &[])
        .node("Conv", &["relu", "w2", "b2"], &["second"], &[pads(), ("group", common::int(8))])
        .node("Conv", &["second", "w3", "b3"], &["third"], &[])
        .node("Tanh", &["third"], &["tanh"], &[])
        .node("GlobalAveragePool", &["tanh"], &["pool"], &[])
        .node("Flatten", &["pool"], &["flat"], &[])
        .node("Gemm", &["flat", "w4", "b4"], &["y"], &[("transB", common::int(1))])
        .output("y")
}

fn samples(count: usize) -> Vec<f32> {
    Random(5).floats(count * 192)
}

/// Compiles with samples beside the model.
fn compile(options: impl FnOnce(Config) -> Config, data: bool) -> Result<std::result::Result<Compiled, Errors>> {
    let path = scratch("precision");
    let folder = path.parent().ok_or("a folder")?;
    fs::create_dir_all(folder)?;
    fs::write(&path, network().0.encode())?;
    let mut config = Config::new(&path).name("Model");
    if data {
        let array = ArrayD::from_shape_vec(vec![20, 3, 8, 8], samples(20))?;
        array.write_npy(fs::File::create(folder.join("samples.npy"))?)?;
        config = config.calibration(folder.join("samples.npy"));
    }
    let compiled = options(config).compile();
    let _ = fs::remove_dir_all(folder);
    Ok(compiled)
}

/// The kernels, but for the input's transposition.
fn kernels(compiled: &Compiled) -> Vec<String> {
    let name = |node: &mcuopt_codegen::graph::Node<mcuopt_codegen::ops::Layer>| match node.op.choice(Arch::Portable) {
        Some(choice) => choice.name.to_string(),
        None => {
            let output = compiled.lowered.value(node.outputs[0]);
            node.op.kernel.call(output.ty.dtype).function.to_string()
        }
    };
    compiled.lowered.nodes.iter().map(name).filter(|name| name != "transpose").collect()
}

/// The largest difference from floats, as a part of the largest output.
fn error(compiled: &Compiled) -> Result<f32> {
    let (mut largest, mut worst) = (0f32, 0f32);
    for sample in samples(20).chunks(192) {
        let x = Tensor::new(&[1, 3, 8, 8], sample.to_vec()).ok_or("a shape")?;
        let float = compiled.run_float(std::slice::from_ref(&x))?;
        let known = &compiled.lowered.value(compiled.lowered.inputs[0]);
        let taken = match &known.quantization {
            Some(known_scale) => {
                let integers = sample.iter().map(|&x| known_scale.round(x).unwrap_or(0) as f32).collect();
                Tensor::new(&[1, 3, 8, 8], integers).and_then(|integers| integers.cast(known.ty.dtype))
            }
            None => Some(x),
        };
        let y = compiled.run(&[taken.ok_or("an input")?])?;
        let reals: Vec<f32> = match (y[0].to_i64s(), compiled.output_quantization(0)) {
            (Some(integers), Some((scale, zero_point))) => {
                integers.iter().map(|q| (q - i64::from(zero_point)) as f32 * scale).collect()
            }
            _ => y[0].f32s().ok_or("floats")?.to_vec(),
        };
        for (exact, found) in float[0].f32s().ok_or("floats")?.iter().zip(&reals) {
            largest = largest.max(exact.abs());
            worst = worst.max((exact - found).abs());
        }
    }
    Ok(worst / largest)
}

#[test]
fn int16_activations() -> Result {
    let compiled = compile(|config| config.precision(Precision::Int16x8), true)??;
    let expected = ["conv2d_s16", "depthwise_s16", "conv2d_s16", "lut_s16", "average_pool_s16", "dense_s16"];
    assert_eq!(kernels(&compiled), expected);
    for id in compiled.lowered.inputs.iter().chain(&compiled.lowered.outputs) {
        assert_eq!(compiled.lowered.value(*id).ty.dtype, DType::I16);
    }
    assert!(error(&compiled)? < 0.02, "{}", error(&compiled)?);
    let code = compiled.tokens(&quote::quote!(pub)).to_string();
    assert!(code.contains("quantize_f32_s16") && code.contains("dequantize_s16_f32") && code.contains("LinearS16"));
    Ok(())
}

#[test]
fn int4_weights() -> Result {
    let int8 = compile(|config| config.precision(Precision::Int8), true)??;
    let int4 = compile(|config| config.precision(Precision::Int4), true)??;
    // A depthwise layer stays int8, and a last one that has few weights.
    let expected = ["conv2d_s8_w4", "depthwise_s8", "conv2d_s8_w4", "lut_s8", "average_pool_s8", "dense_s8"];
    assert_eq!(kernels(&int4), expected);
    // Filters start with a byte.
    let saved = (216 - 8 * 27_usize.div_ceil(2)) + 96 / 2;
    assert_eq!(int8.weight_bytes(Arch::Portable) - int4.weight_bytes(Arch::Portable), saved);
    assert!(error(&int4)? < 0.3, "{}", error(&int4)?);
    let all = compile(|config| config.precision(Precision::Int4).layer("*", LayerPrecision::Int8x4), true)??;
    assert_eq!(kernels(&all).iter().filter(|name| name.ends_with("_w4")).count(), 4);
    Ok(())
}

#[test]
fn int8_weights_without_data() -> Result {
    let float = compile(|config| config.precision(Precision::Float32), false)??;
    let compiled = compile(|config| config.precision(Precision::Weights8), false)??;
    let kernels = kernels(&compiled);
    assert_eq!(&kernels[..3], ["conv2d_f32_w8", "depthwise_f32_w8", "conv2d_f32_w8"]);
    assert!(kernels.contains(&"dense_f32_w8".to_string()));
    assert!(2 * compiled.weight_bytes(Arch::Portable) < float.weight_bytes(Arch::Portable));
    assert!(error(&compiled)? < 0.03, "{}", error(&compiled)?);
    let mixed = compile(|config| config.precision(Precision::Weights8).layer("*", LayerPrecision::Float32), false)??;
    assert_eq!(mixed.weight_bytes(Arch::Portable), float.weight_bytes(Arch::Portable));
    Ok(())
}

#[test]
fn layers_by_name() -> Result {
    let name = |index: usize| -> Result<String> {
        let compiled = compile(|config| config.precision(Precision::Int8), true)??;
        let layers = compiled.lowered.nodes.iter().filter(|node| node.op.operator != "Transpose");
        Ok(layers.map(|node| node.name.clone()).nth(index).ok_or("a layer")?)
    };
    let (first, second, third) = (name(0)?, name(1)?, name(2)?);
    let compiled = compile(
        |config| {
            let config = config.precision(Precision::Int8).layer(&second, LayerPrecision::Int16x8);
            config.layer(&third, LayerPrecision::Float32).layer("*", LayerPrecision::Int8)
        },
        true,
    )??;
    let kernels = kernels(&compiled);
    let at = |name: &str| kernels.iter().position(|kernel| kernel == name).ok_or(format!("{name}: {kernels:?}"));
    assert!(at("conv2d_s8")? < at("requantize_s8_s16")?);
    assert!(at("requantize_s8_s16")? < at("depthwise_s16")?);
    assert!(at("depthwise_s16")? < at("dequantize_s16_f32")?);
    assert!(at("dequantize_s16_f32")? < at("conv2d_f32")?);
    assert!(at("conv2d_f32")? < at("quantize_f32_s8")?);
    assert!(error(&compiled)? < 0.1, "{}", error(&compiled)?);
    // All readers of the input compute in int16, so it is taken in that.
    let compiled = compile(|config| config.layer(&first, LayerPrecision::Int16x8), true)??;
    assert_eq!(compiled.lowered.value(compiled.lowered.inputs[0]).ty.dtype, DType::I16);
    Ok(())
}

#[test]
fn refusals() -> Result {
    let message = |result: std::result::Result<Compiled, Errors>| match result {
        Ok(_) => "no error".to_string(),
        Err(errors) => errors.to_string(),
    };
    let unknown = message(compile(|config| config.layer("frist", LayerPrecision::Int16x8), true)?);
    assert!(unknown.contains("no layer `frist`"), "{unknown}");
    let without = message(compile(|config| config.precision(Precision::Int16x8), false)?);
    assert!(without.contains("weights8"), "{without}");
    let float =
        message(compile(|config| config.precision(Precision::Float32).layer("*", LayerPrecision::Int8), false)?);
    assert!(float.contains("calibration"), "{float}");
    let mut options = Options::default();
    let words = |word: &str| Setting::Table([("a*".to_string(), Entry::Word(word.to_string()))].into());
    options.set("layers", words("int16x8"))?;
    assert_eq!(options.layers["a*"], LayerPrecision::Int16x8);
    let wrong = options.set("layers", words("int12")).map_or_else(|error| error.to_string(), |()| String::new());
    assert!(wrong.contains("int12") && wrong.contains("\"int4\""), "{wrong}");
    Ok(())
}

/// A convolution between QuantizeLinear and DequantizeLinear of 16 bits, with weights of 8 or 4.
fn authored(four_bits: bool) -> Sketch {
    let limit = if four_bits { 7.0 } else { 127.0 };
    let weights: Vec<i8> = Random(9).floats(24).iter().map(|w| (w * limit).clamp(-limit, limit) as i8).collect();
    let weights = Tensor::new(&[4, 6], weights).unwrap_or_else(|| Tensor::scalar(0.0));
    let zero = |value: i16| Tensor::new(&[], vec![value]).unwrap_or_else(|| Tensor::scalar(0.0));
    Sketch::new(21)
        .input("x", &[1, 6])
        .floats("sx", &[], vec![1e-4])
        .floats("sy", &[], vec![2e-4])
        .floats("sw", &[4], vec![0.01, 0.02, 0.03, 0.015])
        .constant("zero", zero(0))
        .constant("w", weights)
        .node("QuantizeLinear", &["x", "sx", "zero"], &["xq"], &[])
        .node("DequantizeLinear", &["xq", "sx", "zero"], &["xr"], &[])
        .node("DequantizeLinear", &["w", "sw"], &["wr"], &[("axis", common::int(0))])
        .node("Gemm", &["xr", "wr"], &["z"], &[("transB", common::int(1))])
        .node("QuantizeLinear", &["z", "sy", "zero"], &["zq"], &[])
        .node("DequantizeLinear", &["zq", "sy", "zero"], &["y"], &[])
        .output("y")
}

#[test]
fn quantized_files_of_16_bits() -> Result {
    let compiled = common::compile("authored", &authored(false).0.encode(), Precision::Auto)?;
    assert_eq!(kernels(&compiled), ["dense_s16"]);
    let x = Tensor::new(&[1, 6], vec![1000_i16, -32768, 32767, 5, -77, 12000]).ok_or("a shape")?;
    let reals: Vec<f32> = x.to_i64s().unwrap_or_default().iter().map(|&q| q as f32 * 1e-4).collect();
    let float = compiled.run_float(&[Tensor::new(&[1, 6], reals).ok_or("a shape")?])?;
    let found = compiled.run(&[x])?[0].to_i64s().ok_or("integers")?;
    for (exact, found) in float[0].f32s().ok_or("floats")?.iter().zip(found) {
        let exact = (exact / 2e-4).clamp(-32768.0, 32767.0);
        assert!((exact - found as f32).abs() < 0.6, "{found} for {exact}");
    }
    Ok(())
}
