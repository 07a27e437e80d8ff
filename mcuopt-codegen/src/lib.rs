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
mod fit;
pub mod graph;
pub mod import;
pub mod interp;
pub mod narrow;
pub mod onnx;
pub mod ops;
pub mod options;
mod parallel;
mod pipeline;
pub mod plan;
pub mod prefer;
#[cfg(feature = "profile")]
pub mod profile;
#[cfg(feature = "profile")]
pub mod project;
pub mod quantize;
pub mod reference;
pub mod search;
pub mod simplify;
pub mod specialise;
pub mod stream;
pub mod tensor;

pub use compiled::Compiled;
pub use config::Config;
pub use error::{Error, Errors};
pub use options::{Input, Number, Optimize, Options, Precision, TensorRange};
pub use quantize::LayerPrecision;

use std::path::PathBuf;

/// Compiles a model: every step from the file to the plan, in order.
pub fn compile(options: &Options) -> Result<Compiled, Errors> {
    let shown = options.model.display().to_string();
    pipeline::compile(options).map_err(|errors| errors.in_file(&shown))
}

/// The files besides the model's external data that a compilation with these options reads, relative to the root; a
/// folder of samples before the files in it.
pub fn tracked_files(options: &Options) -> Vec<PathBuf> {
    let mut resolved = options.clone();
    // An unreadable config is reported by the compilation itself.
    let _ = resolved.read_config();
    let calibration = resolved.calibration_path();
    let files =
        [Some(resolved.model.clone()), calibration.clone(), resolved.config_path(), resolved.quantization_path()];
    let mut files: Vec<PathBuf> = files.into_iter().flatten().collect();
    if let Some(folder) = calibration.map(|path| options.root.join(path)).filter(|path| path.is_dir()) {
        let samples = calibrate::sample_files(&folder).unwrap_or_default();
        files.extend(samples.iter().map(|file| file.strip_prefix(&options.root).unwrap_or(file).to_path_buf()));
    }
    files
}
