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

use std::fs;
use std::path::PathBuf;

use calibrate::{Method, Ranges, Samples};
use emit::Whole;
use graph::Graph;
use ops::Op;
use quantize::{Fit, Repair};

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
    if precision == Arithmetic::Float32 {
        quantize::forget(&mut graph);
    }
    let mut simplified = simplify::simplify(&mut graph)?;
    if precision != Arithmetic::Float32 {
        simplified.extend(simplify::prepare_int8(&mut graph)?);
    }
    narrow::narrow(&mut graph)?;
    let mut repairs = Vec::new();
    match precision {
        Arithmetic::Float32 => {}
        Arithmetic::AsAuthored => {
            quantize::tables(&mut graph, false)?;
            quantize::assign(&mut graph, None)?;
        }
        Arithmetic::Int8 => {
            quantize::tables(&mut graph, true)?;
            repairs = quantize_with_samples(&options, &mut graph, &bytes)?;
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
        Compiled { graph, lowered, plan, simplified, repairs, specialised, whole, notes, type_name, side_files, options };
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
    AsAuthored,
    Int8,
}

fn choose_precision(options: &Options, graph: &Graph<Op>, notes: &mut Vec<String>) -> Result<Arithmetic, Error> {
    let authored = graph.nodes.iter().any(|node| matches!(node.op, Op::QuantizeLinear(_)));
    let calibration = options.calibration_path();
    match (options.precision, authored, &calibration) {
        (Precision::Float32, ..) => Ok(Arithmetic::Float32),
        (Precision::Int16x8, ..) => {
            let error = Error::unsupported("16-bit activations").instead("\"int8\" or \"float32\"");
            Err(error.part("option `precision`"))
        }
        (Precision::Auto, true, _) | (Precision::Int8, true, None) => Ok(Arithmetic::AsAuthored),
        (Precision::Auto | Precision::Int8, _, Some(_)) => Ok(Arithmetic::Int8),
        (Precision::Auto, false, None) => {
            let expected = options.model.with_extension("calib.npz");
            notes.push(format!(
                "{} is compiled in float32, because there is no calibration data; put typical inputs into {} for int8, \
                 or say precision = \"float32\"",
                options.model.display(),
                expected.display()
            ));
            Ok(Arithmetic::Float32)
        }
        (Precision::Int8, false, None) => Err(Error::options(format!(
            "int8 needs typical inputs to find the range of each tensor: put some into {}, or name a file with \
             `calibration`",
            options.model.with_extension("calib.npz").display()
        ))),
    }
}

/// Gives every tensor its quantization, and repairs what that costs.
fn quantize_with_samples(options: &Options, graph: &mut Graph<Op>, model: &[u8]) -> Result<Vec<Repair>, Error> {
    let calibration = Calibration::new(options, model)?;
    let mut repairs = Vec::new();
    let mut ranges = calibration.ranges(graph)?;
    if options.bias_absorption.unwrap_or(true) {
        repairs.extend(quantize::absorb(graph, &ranges)?);
    }
    if !repairs.is_empty() {
        ranges = calibration.ranges(graph)?;
    }
    if options.equalization.unwrap_or(true) {
        let equalized = quantize::equalize(graph, &ranges, calibration.samples(graph)?.len())?;
        if !equalized.is_empty() {
            ranges = calibration.ranges(graph)?;
        }
        repairs.extend(equalized);
    }
    quantize::assign(graph, Some(&ranges))?;
    let bias = options.bias_correction.unwrap_or(true);
    let fit = Fit { bias, adaround: options.adaround.unwrap_or(false), bits: 8 };
    let layers = quantize::choose_scales(graph, &ranges, fit.bits)?;
    repairs.extend(calibration.fit(graph, &layers, fit)?);
    Ok(repairs)
}

/// The samples of a compilation, and what is computed from them: once, as the cache keeps it.
struct Calibration {
    path: PathBuf,
    /// The path in messages.
    shown: String,
    method: Method,
    /// Hash of the model, and of the samples.
    key: String,
}

impl Calibration {
    fn new(options: &Options, model: &[u8]) -> Result<Self, Error> {
        let path: PathBuf = options.calibration_path().ok_or_else(|| Error::bug("calibration without data"))?;
        let shown = path.display().to_string();
        let path = options.root.join(path);
        let samples = calibrate::hash_file(&path).map_err(|error| Error::io(error).in_file(&shown))?;
        let key = calibrate::content_hash(&[model, samples.as_bytes()]);
        Ok(Self { path, shown, method: options.ranges, key })
    }

    fn samples(&self, graph: &Graph<Op>) -> Result<Samples, Error> {
        Samples::read(&self.path, graph).map_err(|error| error.in_file(&self.shown))
    }

    /// The ranges of all tensors. The graph is part of the key: it names the tensors, and it changes with the compiler.
    fn ranges(&self, graph: &Graph<Op>) -> Result<Ranges, Error> {
        let content = quantize::content(graph);
        let key = calibrate::content_hash(&[self.key.as_bytes(), self.method.name().as_bytes(), &content]);
        if let Some(ranges) = calibrate::load(&key, graph) {
            return Ok(ranges);
        }
        let ranges = self.run(graph).map_err(|error| error.in_file(&self.shown))?;
        calibrate::store(&key, &ranges);
        Ok(ranges)
    }

    fn run(&self, graph: &Graph<Op>) -> Result<Ranges, Error> {
        let samples = Samples::read(&self.path, graph)?;
        let mut ranges = calibrate::calibrate(graph, &samples)?;
        match self.method {
            Method::Auto => calibrate::choose(graph, &samples, &mut ranges)?,
            method => ranges.values_mut().for_each(|statistics| statistics.method = method),
        }
        Ok(ranges)
    }

    /// Fits weights and biases of the linear `layers` to the samples.
    fn fit(&self, graph: &mut Graph<Op>, layers: &[usize], fit: Fit) -> Result<Vec<Repair>, Error> {
        if !fit.bias && !fit.adaround {
            return Ok(Vec::new());
        }
        let (content, settings) = (quantize::content(graph), format!("{fit:?}"));
        let key = calibrate::content_hash(&[self.key.as_bytes(), settings.as_bytes(), &content]);
        let mut known = graph.clone();
        if let Some(repairs) = calibrate::read(&key, "fit").and_then(|text| quantize::parse(&text, &mut known)) {
            *graph = known;
            return Ok(repairs);
        }
        let repairs = quantize::refine(graph, layers, &self.samples(graph)?, fit)?;
        calibrate::write(&key, "fit", &quantize::text(graph, &repairs));
        Ok(repairs)
    }
}

/// The files besides the model's external data that a compilation with these options reads, relative to the root.
pub fn tracked_files(options: &Options) -> Vec<PathBuf> {
    let mut resolved = options.clone();
    // An unreadable config is reported by the compilation itself.
    let _ = resolved.read_config();
    let files = [Some(resolved.model.clone()), resolved.calibration_path(), resolved.config_path()];
    files.into_iter().flatten().collect()
}
