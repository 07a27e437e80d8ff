//! The mcuopt compiler: ONNX in, quantized, planned and fused `no_std` Rust out.
//!
//! [`compile`] is the whole road; `ARCHITECTURE.md` beside this crate's manifest is its map. Firmware uses the
//! compiler through the macro `include_model!` of mcuopt-macros, or through [`Config`] in a build script:
//!
//! ```no_run
//! // build.rs
//! mcuopt_codegen::Config::new("models/kws.onnx").calibration("models/kws.calib.npz").emit();
//! ```
//!
//! ```ignore
//! // src/main.rs
//! include!(concat!(env!("OUT_DIR"), "/kws.rs"));
//! ```

pub mod bounds;
pub mod builder;
pub mod calibrate;
pub mod call;
mod compiled;
mod config;
pub mod cost;
pub mod emit;
pub mod error;
pub mod graph;
pub mod import;
pub mod interp;
pub mod narrow;
pub mod onnx;
pub mod ops;
pub mod options;
pub mod plan;
pub mod prefer;
pub mod quantize;
pub mod reference;
pub mod simplify;
pub mod specialise;
pub mod stream;
pub mod tensor;

pub use compiled::Compiled;
pub use config::Config;
pub use error::{Error, Errors};
pub use options::{Input, Number, Optimize, Options, Precision};
pub use quantize::LayerPrecision;

use std::fs;
use std::path::PathBuf;

use calibrate::{Method, Ranges, Samples};
use emit::Whole;
use graph::Graph;
use ops::Op;
use quantize::Precisions;

/// Compiles a model: every step from the file to the plan, in order.
pub fn compile(options: &Options) -> Result<Compiled, Errors> {
    let shown = options.model.display().to_string();
    compile_file(options).map_err(|errors| errors.in_file(&shown))
}

fn compile_file(options: &Options) -> Result<Compiled, Errors> {
    let mut options = options.clone();
    options.read_config()?;
    let type_name = options.type_name()?;
    let path = options.root.join(&options.model);
    let unreadable = |error| Error::io(format!("cannot be read ({error}); paths are relative to the package's folder"));
    let bytes = fs::read(&path).map_err(unreadable)?;
    let model = onnx::Model::decode(&bytes, path.parent().unwrap_or(&options.root))?;

    let import::Imported { mut graph, mut notes } = import::import(&model, &options.bind)?;
    let precision = choose_precision(&options, &graph, &mut notes)?;
    let is_float = matches!(precision, Arithmetic::Float32 | Arithmetic::Weights8);
    if is_float {
        quantize::forget(&mut graph, precision == Arithmetic::Weights8);
    }
    let mut simplified = simplify::simplify(&mut graph)?;
    if !is_float {
        simplified.extend(simplify::prepare_int8(&mut graph)?);
    }
    narrow::narrow(&mut graph)?;
    match precision {
        Arithmetic::Float32 => {}
        Arithmetic::Weights8 => {
            let precisions = Precisions::resolve(LayerPrecision::Int8, &options.layers, &graph)?;
            quantize::weights8(&mut graph, |name| precisions.of(name) == LayerPrecision::Float32);
        }
        Arithmetic::AsAuthored => {
            quantize::tables(&mut graph, false)?;
            quantize::assign(&mut graph, None)?;
        }
        Arithmetic::Calibrated(default) => {
            let precisions = Precisions::resolve(default, &options.layers, &graph)?;
            calibrate::moderate_masks(&mut graph, |graph| samples(&options, graph))?;
            quantize::tables_mixed(&mut graph, true, &precisions)?;
            let ranges = ranges(&options, &graph, &bytes)?;
            quantize::pack_weights(&mut graph, &precisions);
            quantize::assign_mixed(&mut graph, Some(&ranges), &precisions)?;
            quantize::correct_bias(&mut graph, &ranges)?;
        }
    }
    let whole = step_by_step(&model, &options, &mut graph)?;
    let mut lowered = quantize::lower(&graph)?;
    quantize::compose(&mut lowered)?;
    let specialised = specialise::specialise(&mut lowered)?;
    prefer::prefer(&mut lowered, options.optimize);
    plan::schedule(&mut lowered, options.input == Input::Borrowed)?;
    let plan = plan::plan(&lowered, options.input == Input::Borrowed)?;
    let plan = prefer::spend_memory(&mut lowered, plan, &options)?;
    let side_files = model.side_files;
    let compiled =
        Compiled { graph, lowered, plan, simplified, specialised, whole, notes, type_name, side_files, options };
    compiled.check_budget()?;
    Ok(compiled)
}

/// Rewrites the network so that it goes on from call to call, if the user asks for that.
fn step_by_step(model: &onnx::Model, options: &Options, graph: &mut Graph<Op>) -> Result<Option<Whole>, Errors> {
    let Some(axis) = &options.stream else {
        if options.stream_frames.is_some() {
            return Err(Error::options("it goes with `stream`").part("option `stream_frames`").into());
        }
        if options.stateful {
            *graph = stream::stateful(graph)?;
        }
        return Ok(None);
    };
    let axes = stream::axes(model, graph, axis)?;
    let stream::Streamed { graph: streamed, window, frames } =
        stream::stream(graph, &axes, options.stream_frames, options.stateful)?;
    // What it would take otherwise, for the documentation.
    let mut lowered = quantize::lower(graph)?;
    plan::schedule(&mut lowered, options.input == Input::Borrowed)?;
    let arena_bytes = plan::plan(&lowered, options.input == Input::Borrowed)?.arena_bytes;
    let macs = lowered.nodes.iter().map(|node| node.op.kernel.macs()).sum();
    *graph = streamed;
    Ok(Some(Whole { window, frames, macs, arena_bytes }))
}

/// What the options and the file come down to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Arithmetic {
    Float32,
    Weights8,
    AsAuthored,
    /// With ranges from samples; what layers compute in that no option names.
    Calibrated(LayerPrecision),
}

fn choose_precision(options: &Options, graph: &Graph<Op>, notes: &mut Vec<String>) -> Result<Arithmetic, Error> {
    let authored = graph.nodes.iter().any(|node| matches!(node.op, Op::QuantizeLinear(_)));
    let calibration = options.calibration_path();
    let arithmetic = match (options.precision, authored, &calibration) {
        (Precision::Float32, ..) => Arithmetic::Float32,
        (Precision::Weights8, ..) => Arithmetic::Weights8,
        (Precision::Auto, true, _) | (Precision::Int8, true, None) => Arithmetic::AsAuthored,
        (Precision::Auto | Precision::Int8, _, Some(_)) => Arithmetic::Calibrated(LayerPrecision::Int8),
        (Precision::Int16x8, _, Some(_)) => Arithmetic::Calibrated(LayerPrecision::Int16x8),
        (Precision::Int4, _, Some(_)) => Arithmetic::Calibrated(LayerPrecision::Int8x4),
        (Precision::Auto, false, None) => {
            let expected = options.model.with_extension("calib.npz");
            notes.push(format!(
                "{} is compiled in float32, because there is no calibration data; put typical inputs into {} for int8, \
                 or say precision = \"float32\"",
                options.model.display(),
                expected.display()
            ));
            Arithmetic::Float32
        }
        (Precision::Int8 | Precision::Int16x8 | Precision::Int4, _, None) => {
            return Err(Error::options(format!(
                "integers need typical inputs to find the range of each tensor: put some into {}, name a file with \
                 `calibration`, or take precision = \"weights8\", which shrinks the weights and computes in float32",
                options.model.with_extension("calib.npz").display()
            )));
        }
    };
    let fits = match arithmetic {
        Arithmetic::Calibrated(_) => true,
        Arithmetic::Weights8 => options.layers.values().all(|layer| *layer == LayerPrecision::Float32),
        Arithmetic::Float32 | Arithmetic::AsAuthored => options.layers.is_empty(),
    };
    match fits {
        true => Ok(arithmetic),
        false => {
            let what = match arithmetic {
                Arithmetic::Weights8 => "with \"weights8\", a layer can be \"float32\" at most",
                Arithmetic::AsAuthored => {
                    "the file's author chose the arithmetic of each layer; it goes with calibration data"
                }
                _ => "it goes with integers, hence with calibration data",
            };
            Err(Error::options(what).part("option `layers`"))
        }
    }
}

/// The calibration data.
fn samples(options: &Options, graph: &Graph<Op>) -> Result<Samples, Error> {
    let path = options.calibration_path().ok_or_else(|| Error::bug("calibration without data"))?;
    Samples::read(&options.root.join(&path), graph).map_err(|error| error.in_file(path.display().to_string()))
}

/// The ranges of all tensors: from the cache, or from running the samples.
fn ranges(options: &Options, graph: &Graph<Op>, model: &[u8]) -> Result<Ranges, Error> {
    let path: PathBuf = options.calibration_path().ok_or_else(|| Error::bug("calibration without data"))?;
    let shown = path.display().to_string();
    let samples =
        calibrate::hash_samples(&options.root.join(&path)).map_err(|error| Error::io(error).in_file(&shown))?;
    // The simplified graph is part of the key: it names the tensors, and it changes with the compiler.
    let method = options.ranges;
    let key = calibrate::content_hash(&[
        model,
        samples.as_bytes(),
        method.name().as_bytes(),
        format!("{graph:?}").as_bytes(),
    ]);
    if let Some(ranges) = calibrate::load(&key, graph) {
        return Ok(ranges);
    }
    let samples = crate::samples(options, graph)?;
    let mut ranges = calibrate::calibrate(graph, &samples).map_err(|error| error.in_file(&shown))?;
    match method {
        Method::Auto => calibrate::choose(graph, &samples, &mut ranges).map_err(|error| error.in_file(&shown))?,
        method => ranges.values_mut().for_each(|statistics| statistics.method = method),
    }
    calibrate::store(&key, &ranges);
    Ok(ranges)
}

/// The files besides the model's external data that a compilation with these options reads, relative to the root; a
/// folder of samples before the files in it.
pub fn tracked_files(options: &Options) -> Vec<PathBuf> {
    let mut resolved = options.clone();
    // An unreadable config is reported by the compilation itself.
    let _ = resolved.read_config();
    let calibration = resolved.calibration_path();
    let files = [Some(resolved.model.clone()), calibration.clone(), resolved.config_path()];
    let mut files: Vec<PathBuf> = files.into_iter().flatten().collect();
    if let Some(folder) = calibration.map(|path| options.root.join(path)).filter(|path| path.is_dir()) {
        let samples = calibrate::sample_files(&folder).unwrap_or_default();
        files.extend(samples.iter().map(|file| file.strip_prefix(&options.root).unwrap_or(file).to_path_buf()));
    }
    files
}
