//! Samples from files and folders, ranges by each method, and the report of what quantization does to each layer.

mod common;

use std::fs;
use std::path::PathBuf;

use common::{Random, Result, Sketch, scratch};
use mcuopt_codegen::calibrate::{Method, Samples};
use mcuopt_codegen::import::import;
use mcuopt_codegen::quantize::report;
use mcuopt_codegen::{Compiled, Config, Options, Precision, tracked_files};
use ndarray::{Array2, Axis, s};

const WIDTH: usize = 8;

/// x → Gemm `first` → Relu → Gemm `second` → y.
fn network(random: &mut Random, second: impl Fn(usize, f32) -> f32) -> Sketch {
    // The first feature of the hidden layer is 0 whatever comes.
    let mut first = random.floats(WIDTH * WIDTH);
    first.iter_mut().step_by(WIDTH).for_each(|weight| *weight = 0.0);
    let second: Vec<f32> = random.floats(WIDTH * 2).iter().enumerate().map(|(i, w)| second(i, *w)).collect();
    Sketch::new(17)
        .input("x", &[1, WIDTH])
        .floats("first", &[WIDTH, WIDTH], first)
        .floats("second", &[WIDTH, 2], second)
        .node("MatMul", &["x", "first"], &["hidden"], &[])
        .node("Relu", &["hidden"], &["bent"], &[])
        .node("MatMul", &["bent", "second"], &["y"], &[])
        .output("y")
}

fn written(sketch: &Sketch, samples: &Array2<f32>) -> Result<PathBuf> {
    let path = scratch("net");
    fs::create_dir_all(path.parent().ok_or("a folder")?)?;
    fs::write(&path, sketch.0.encode())?;
    ndarray_npy::write_npy(path.with_extension("npy"), samples)?;
    Ok(path)
}

fn samples(random: &mut Random, count: usize) -> Result<Array2<f32>> {
    Ok(Array2::from_shape_vec((count, WIDTH), random.floats(count * WIDTH))?)
}

fn compiled(path: &PathBuf, calibration: PathBuf, method: Method) -> Result<Compiled> {
    let config = Config::new(path).name("Net").precision(Precision::Int8).calibration(calibration).ranges(method);
    Ok(config.compile()?)
}

#[test]
fn a_folder_of_samples_is_as_good_as_a_file_and_is_tracked() -> Result {
    let mut random = Random(11);
    let sketch = network(&mut random, |_, w| w);
    let samples = samples(&mut random, 24)?;
    let path = written(&sketch, &samples)?;
    let folder = path.with_extension("samples");
    fs::create_dir_all(&folder)?;
    // A batch, and single samples behind it.
    ndarray_npy::write_npy(folder.join("a.npy"), &samples.slice(s![..20, ..]).to_owned())?;
    for (index, sample) in samples.axis_iter(Axis(0)).enumerate().skip(20) {
        ndarray_npy::write_npy(folder.join(format!("b{index}.npy")), &sample.to_owned().insert_axis(Axis(0)))?;
    }
    fs::write(folder.join("notes.txt"), "no samples")?;
    let from_file = compiled(&path, path.with_extension("npy"), Method::Auto)?.source()?;
    let from_folder = compiled(&path, folder.clone(), Method::Auto)?.source()?;
    ensure!(from_file == from_folder, "other code from the folder");
    let options = Options { model: path.clone(), calibration: Some(folder.clone()), ..Options::default() };
    let tracked = tracked_files(&options);
    for file in [path.clone(), folder.clone(), folder.join("a.npy"), folder.join("b23.npy")] {
        ensure!(tracked.contains(&file), "{} is not among {tracked:?}", file.display());
    }
    ensure!(tracked.len() == 7, "{tracked:?}");
    ndarray_npy::write_npy(folder.join("c.npy"), &Array2::<f32>::zeros((3, WIDTH + 1)))?;
    let Err(error) = compiled(&path, folder, Method::Auto) else { return Err("samples of another width fit".into()) };
    ensure!(error.to_string().contains("c.npy: calibration data: the samples for `x` have the shape"), "{error}");
    Ok(())
}

#[test]
fn every_method_stays_within_the_extremes() -> Result {
    let mut random = Random(12);
    let sketch = network(&mut random, |_, w| w);
    let path = written(&sketch, &samples(&mut random, 64)?)?;
    let hidden = |method: Method| -> Result<f32> {
        let compiled = compiled(&path, path.with_extension("npy"), method)?;
        let value = compiled.lowered.value(compiled.lowered.nodes[0].outputs[0]);
        Ok(value.quantization.as_ref().ok_or("a quantization")?.scales[0])
    };
    let widest = hidden(Method::MinMax)?;
    for method in Method::DIRECT.into_iter().chain([Method::Auto]) {
        ensure!(Method::of(method.name()) == Some(method), "{}", method.name());
        let scale = hidden(method)?;
        // Room beyond the samples, where it costs nothing.
        let most = if method == Method::Auto { 1.5 * widest } else { widest };
        ensure!(0.29 * widest < scale && scale <= most, "{}: {scale} of {widest}", method.name());
    }
    Ok(())
}

#[test]
fn the_report_names_the_layer_in_which_the_error_is_born() -> Result {
    let mut random = Random(13);
    // A weight of each output is so large that the others become 0 beside it, and meets only zeros.
    let bad = network(&mut random, |i, w| if i < 2 { 300.0 } else { w });
    let path = written(&bad, &samples(&mut random, 64)?)?;
    // As it is, not as equalization would have it.
    let config = Config::new(&path).name("Net").precision(Precision::Int8).calibration(path.with_extension("npy"));
    let compiled = config.ranges(Method::MinMax).equalization(false).bias_correction(false).compile()?;
    let float = import(&bad.0, &Default::default())?.graph;
    let samples = Samples::read(&path.with_extension("npy"), &float)?;
    let report = report(&compiled.float, &compiled.graph, &samples)?;
    let [first, second] = &report.layers[..] else { return Err(format!("{report}").into()) };
    ensure!(first.own_sqnr > 30.0 && first.cosine > 0.999, "{report}");
    ensure!(second.own_sqnr < 10.0 && second.sqnr < 10.0, "{report}");
    ensure!(report.worst().is_some_and(|worst| worst.name == second.name), "{report}");
    ensure!(report.outputs == [second.sqnr] && report.samples == 64, "{report}");
    ensure!(first.histogram.iter().sum::<u64>() == (64 * WIDTH) as u64, "{:?}", first.histogram);
    ensure!(report.to_string().contains(&format!("is born in `{}`", second.name)), "{report}");
    Ok(())
}
