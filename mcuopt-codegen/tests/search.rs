//! Sensitivity of layers, the search of precisions, its record, and limits of what quantization may cost.

mod common;

use std::fs;
use std::path::PathBuf;

use common::{Random, Result, Sketch, scratch};
use mcuopt_codegen::calibrate::Method;
use mcuopt_codegen::cost::Core;
use mcuopt_codegen::options::{Options, TensorRange};
use mcuopt_codegen::quantize::Record;
use mcuopt_codegen::search::{Goal, search, sensitivity};
use mcuopt_codegen::{Compiled, LayerPrecision, Optimize, Precision, compile};
use mcuopt_rt::v0::Arch;
use ndarray::{Array1, Array2};
use ndarray_npy::NpzWriter;

const WIDTH: usize = 16;
const CLASSES: usize = 4;

/// x → `first` → `wide` → `third` → y, dense layers. Of the results of `wide` one is a hundred times as large as the others,
/// and `third` takes it a hundredth as seriously: in int8 the others drown in its steps.
fn network(random: &mut Random) -> Sketch {
    let mut wide = random.floats(WIDTH * WIDTH);
    (0..WIDTH).for_each(|row| wide[row * WIDTH] *= 100.0);
    let mut third = random.floats(WIDTH * CLASSES);
    third[..CLASSES].iter_mut().for_each(|weight| *weight /= 100.0);
    Sketch::new(17)
        .input("x", &[1, WIDTH])
        .floats("w1", &[WIDTH, WIDTH], random.floats(WIDTH * WIDTH))
        .floats("w2", &[WIDTH, WIDTH], wide)
        .floats("w3", &[WIDTH, CLASSES], third)
        .node("MatMul", &["x", "w1"], &["first"], &[])
        .node("MatMul", &["first", "w2"], &["wide"], &[])
        .node("MatMul", &["wide", "w3"], &["third"], &[])
        .output("third")
}

/// The network with samples and the float network's own answers as labels.
fn options() -> Result<Options> {
    let mut random = Random(21);
    let path = scratch("search");
    fs::create_dir_all(path.parent().ok_or("a folder")?)?;
    fs::write(&path, network(&mut random).0.encode())?;
    let x = Array2::from_shape_vec((80, WIDTH), random.floats(80 * WIDTH))?;
    let float = compile(&Options { model: path.clone(), precision: Precision::Float32, ..named() })?;
    let mut labels = Vec::new();
    for row in x.rows() {
        let sample = mcuopt_codegen::tensor::Tensor::new(&[1, WIDTH], row.to_vec()).ok_or("a sample")?;
        let outputs = float.run_float(&[sample])?;
        let outputs = outputs[0].f32s().ok_or("floats")?;
        let best = (0..CLASSES).max_by(|a, b| outputs[*a].total_cmp(&outputs[*b])).ok_or("a class")?;
        labels.push(best as i64);
    }
    let samples = path.with_extension("calib.npz");
    let mut npz = NpzWriter::new(fs::File::create(&samples)?);
    npz.add_array("x", &x)?;
    npz.add_array("labels", &Array1::from(labels))?;
    npz.finish()?;
    Ok(Options { model: path, ranges: Method::MinMax, ..named() })
}

fn named() -> Options {
    Options { name: Some("Net".into()), ..Options::default() }
}

fn quiet(_: usize, _: usize, _: &str) {}

fn remove(options: &Options) {
    if let Some(folder) = options.model.parent() {
        let _ = fs::remove_dir_all(folder);
    }
}

fn is_built_again(compiled: &Compiled, options: &Options) -> Result<bool> {
    Ok(compile(options)?.source()? == compiled.source()?)
}

#[test]
fn sensitivity_tells_what_each_layer_does_alone() -> Result {
    let options = options()?;
    let precisions = [LayerPrecision::Int8, LayerPrecision::Int16x8, LayerPrecision::Float32];
    let found = sensitivity(&options, &precisions, Core::CortexM4, &quiet)?;
    ensure!(found.layers.iter().map(|layer| layer.name.as_str()).eq(["first", "wide", "third"]), "{found}");
    ensure!(found.float_accuracy == Some(1.0), "{found}");
    let damage = |layer: usize, precision| found.layers[layer].damage(precision).ok_or("a damage");
    for layer in 0..3 {
        let (int8, int16) = (damage(layer, LayerPrecision::Int8)?, damage(layer, LayerPrecision::Int16x8)?);
        ensure!(int8.sqnr() < int16.sqnr(), "{found}");
        ensure!(damage(layer, LayerPrecision::Float32)?.noise == 0.0, "{found}");
        ensure!(int8.weight_bytes > 0 && int8.cycles > 0 && int8.output_bytes < int16.output_bytes, "{found}");
    }
    // The wide tensor is rounded when `wide` writes it, and when `third` reads it.
    let (first, wide, third) =
        (damage(0, LayerPrecision::Int8)?, damage(1, LayerPrecision::Int8)?, damage(2, LayerPrecision::Int8)?);
    ensure!(wide.sqnr() < first.sqnr() - 10.0 && third.sqnr() < first.sqnr() - 10.0, "{found}");
    ensure!(wide.accuracy < Some(1.0), "{found}");
    let text = found.to_string();
    ensure!(text.lines().count() == 4 && text.contains("int16x8 dB"), "{text}");
    remove(&options);
    Ok(())
}

#[test]
fn the_cheapest_network_that_reaches_the_goal_is_found_and_built_from_its_record() -> Result {
    let mut options = options()?;
    let goal = Goal { min_sqnr: Some(35.0), ..Goal::default() };
    let found = search(&options, &goal, &quiet)?;
    let (int8, estimate) = &found.int8;
    ensure!(int8.sqnr < 35.0 && found.quality.sqnr >= 35.0, "{:?} {:?}", found.int8, found.quality);
    ensure!(found.precisions.of("wide") != LayerPrecision::Int8, "{:?}", found.precisions);
    ensure!(found.precisions.of("first") != LayerPrecision::Float32, "{:?}", found.precisions);
    ensure!(found.estimate.cycles >= estimate.cycles, "{:?}", found.estimate);
    // A build with the record is the network that was found, whatever it would find itself.
    let text = found.record.text("mcuopt quantize");
    ensure!(Record::parse(&text)? == found.record, "{text}");
    fs::write(options.quantization_default(), &text)?;
    ensure!(is_built_again(&found.compiled, &options)?, "another network from the record");
    options.ranges = Method::Percentile;
    let text = text.replace("int16x8", "float32");
    fs::write(options.quantization_default(), &text)?;
    ensure!(!is_built_again(&found.compiled, &options)?, "the record is not read");
    // Of another model it is refused; so is one that the options contradict, if it is named.
    let other = text.replace(&found.record.model, "0123456789abcdef");
    fs::write(options.quantization_default(), other)?;
    let message = compile(&options).err().map(|errors| errors.to_string()).unwrap_or_default();
    ensure!(message.contains("another model"), "{message}");
    options.precision = Precision::Int16x8;
    ensure!(compile(&options)?.notes.iter().any(|note| note.contains("is not used")), "no note");
    options.quantization = Some(options.quantization_default());
    ensure!(compile(&options).is_err(), "precision and a record");
    remove(&options);
    Ok(())
}

#[test]
fn what_the_user_named_stays_and_what_cannot_be_reached_is_explained() -> Result {
    let mut options = options()?;
    options.layers.insert("wide".into(), LayerPrecision::Int8);
    let goal = Goal { min_sqnr: Some(60.0), ..Goal::default() };
    let message = search(&options, &goal, &quiet).err().map(|errors| errors.to_string()).unwrap_or_default();
    ensure!(message.contains("min_sqnr = 60") && message.contains("`wide`"), "{message}");
    ensure!(message.contains("in int16x8 it would leave") && message.contains("cycles"), "{message}");
    let goal = Goal { min_sqnr: Some(2.0), ..Goal::default() };
    let found = search(&options, &goal, &quiet)?;
    ensure!(found.precisions.of("wide") == LayerPrecision::Int8, "{:?}", found.precisions);
    remove(&options);
    Ok(())
}

#[test]
fn flash_is_saved_until_it_fits() -> Result {
    let mut options = options()?;
    options.optimize = Optimize::Speed;
    let goal = Goal { max_accuracy_drop: Some(0.3), ..Goal::default() };
    let bytes = compile(&options)?.weight_bytes(Arch::Portable);
    options.max_flash = Some(bytes * 3 / 4);
    let found = search(&options, &goal, &quiet)?;
    ensure!(found.compiled.weight_bytes(Arch::Portable) <= bytes * 3 / 4, "{:?}", found.precisions);
    let packed = |layer: &&str| found.precisions.of(layer).has_int4_weights();
    ensure!(["first", "wide", "third"].iter().any(packed), "{:?}", found.precisions);
    options.max_flash = Some(10);
    let message = search(&options, &goal, &quiet).err().map(|errors| errors.to_string()).unwrap_or_default();
    ensure!(message.contains("max_flash is 10"), "{message}");
    remove(&options);
    Ok(())
}

#[test]
fn builds_hold_the_limits() -> Result {
    let mut options = options()?;
    options.min_sqnr = Some(2.0);
    options.max_accuracy_drop = Some(0.5);
    compile(&options)?;
    options.min_sqnr = Some(45.0);
    let message = compile(&options).err().map(|errors| errors.to_string()).unwrap_or_default();
    ensure!(message.contains("misses min_sqnr = 45") && message.contains("is born in the layer `"), "{message}");
    options.precision = Precision::Float32;
    let message = compile(&options).err().map(|errors| errors.to_string()).unwrap_or_default();
    ensure!(message.contains("option `min_sqnr`"), "{message}");
    remove(&options);
    Ok(())
}

#[test]
fn ranges_of_single_tensors() -> Result {
    let mut options = options()?;
    let scale = |options: &Options| -> Result<f32> {
        let compiled = compile(options)?;
        let value = compiled
            .graph
            .values
            .iter()
            .find(|value| value.name == "wide" && value.quantization.is_some())
            .ok_or("a value")?;
        Ok(value.quantization.as_ref().ok_or("a quantization")?.scales[0])
    };
    options
        .tensors
        .insert("w*".into(), TensorRange::Given(mcuopt_codegen::calibrate::Range { min: -100.0, max: 155.0 }));
    ensure!((scale(&options)? - 1.0).abs() < 1e-6, "{}", scale(&options)?);
    options
        .tensors
        .insert("wide".into(), TensorRange::Given(mcuopt_codegen::calibrate::Range { min: -1.0, max: 1.55 }));
    ensure!((scale(&options)? - 0.01).abs() < 1e-6, "{}", scale(&options)?);
    options.tensors.insert("wild".into(), TensorRange::By(Method::Auto));
    let message = compile(&options).err().map(|errors| errors.to_string()).unwrap_or_default();
    ensure!(message.contains("no tensor `wild`, but `wide`"), "{message}");
    remove(&options);
    Ok(())
}

#[test]
fn bad_samples_are_warned_of() -> Result {
    let options = options()?;
    let notes = |x: Array2<f32>| -> Result<String> {
        let path: PathBuf = options.model.with_extension("npy");
        ndarray_npy::write_npy(&path, &x)?;
        Ok(compile(&Options { calibration: Some(path), ..options.clone() })?.notes.join("\n"))
    };
    let varied = Array2::from_shape_vec((16, WIDTH), Random(3).floats(16 * WIDTH))?;
    ensure!(notes(varied.clone())?.is_empty(), "{}", notes(varied)?);
    let few = notes(varied.slice(ndarray::s![..5, ..]).to_owned())?;
    ensure!(few.contains("there are 5 samples"), "{few}");
    let same = notes(Array2::from_shape_fn((16, WIDTH), |(_, column)| varied[[0, column]]))?;
    ensure!(same.contains("all samples of `x` are the same"), "{same}");
    let zeros = notes(Array2::zeros((16, WIDTH)))?;
    ensure!(
        zeros.contains("all samples of `x` are 0 throughout") && zeros.contains("one value in all samples"),
        "{zeros}"
    );
    // Of the cache as well.
    ensure!(zeros == notes(Array2::zeros((16, WIDTH)))?, "{zeros}");
    remove(&options);
    Ok(())
}
