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
mod fit;
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

use emit::Whole;
use fit::Calibration;
use graph::Graph;
use ops::Op;

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
    let (mut repairs, mut float) = (Vec::new(), None);
    match precision {
        Arithmetic::Float32 => {}
        Arithmetic::AsAuthored => {
            quantize::tables(&mut graph, false)?;
            quantize::assign(&mut graph, None)?;
        }
        Arithmetic::Int8 => {
            let samples = Calibration::new(&options, &bytes)?;
            calibrate::moderate_masks(&mut graph, |graph| samples.read(graph))?;
            quantize::tables(&mut graph, true)?;
            (float, repairs) =
                fit::fit(&options, &samples, &mut graph).map(|(float, repairs)| (Some(float), repairs))?;
        }
    }
    let float = float.unwrap_or_else(|| graph.clone());
    let whole = step_by_step(&model, &options, &mut graph)?;
    let mut lowered = quantize::lower(&graph)?;
    quantize::compose(&mut lowered)?;
    let specialised = specialise::specialise(&mut lowered)?;
    prefer::prefer(&mut lowered, options.optimize);
    plan::schedule(&mut lowered, options.input == Input::Borrowed)?;
    let plan = plan::plan(&lowered, options.input == Input::Borrowed)?;
    let plan = prefer::spend_memory(&mut lowered, plan, &options)?;
    let side_files = model.side_files;
    let compiled = Compiled {
        graph,
        float,
        lowered,
        plan,
        simplified,
        repairs,
        specialised,
        whole,
        notes,
        type_name,
        side_files,
        options,
    };
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
