//! The door for build scripts.

use std::path::PathBuf;

use crate::calibrate::Method;
use crate::compiled::Compiled;
#[cfg(feature = "source")]
use crate::error::Error;
use crate::error::Errors;
use crate::options::{Input, Number, Optimize, Options, Precision, TensorRange};
use crate::quantize::LayerPrecision;

/// Compiles a model from a build script; the options are those of the macro, by the same names.
///
/// Paths are relative to the package that is being built. For code that is not a build script,
/// [`compile`](Self::compile) gives the result as a value.
#[derive(Clone, Debug)]
pub struct Config {
    options: Options,
}

impl Config {
    /// The model to compile.
    pub fn new(model: impl Into<PathBuf>) -> Self {
        let root = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from).unwrap_or_default();
        Self { options: Options { root, model: model.into(), ..Options::default() } }
    }

    /// The generated type's name; without it, the file's stem in UpperCamelCase.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.options.name = Some(name.into());
        self
    }

    /// Samples: `.npz` or `.npy`; without it, `<model>.calib.npz` beside the model, if it exists.
    pub fn calibration(mut self, path: impl Into<PathBuf>) -> Self {
        self.options.calibration = Some(path.into());
        self
    }

    /// How the range of each tensor is chosen from the samples.
    pub fn ranges(mut self, method: Method) -> Self {
        self.options.ranges = method;
        self
    }

    /// Whether a channel's least number goes into the next layer's bias where that narrows a range. On by default.
    pub fn bias_absorption(mut self, on: bool) -> Self {
        self.options.bias_absorption = Some(on);
        self
    }

    /// Whether the channels between two layers are scaled to share one range well. On by default.
    pub fn equalization(mut self, on: bool) -> Self {
        self.options.equalization = Some(on);
        self
    }

    /// Whether biases make up for what rounding shifts on average. On by default.
    pub fn bias_correction(mut self, on: bool) -> Self {
        self.options.bias_correction = Some(on);
        self
    }

    /// Whether the rounding of weights is learned from the samples, all or none: some seconds to a minute in an optimised
    /// compiler, minutes in a macro, and nothing once it is cached. By default it is that of int4 weights and of those that
    /// meet int16 activations.
    pub fn adaround(mut self, on: bool) -> Self {
        self.options.adaround = Some(on);
        self
    }

    /// The range of the tensors of a name, which is a value's in the file; `*` stands for any characters.
    pub fn tensor(mut self, name: impl Into<String>, range: TensorRange) -> Self {
        self.options.tensors.insert(name.into(), range);
        self
    }

    /// What a search found; without it, `<model>.quant.toml` beside the model, if it exists.
    pub fn quantization(mut self, path: impl Into<PathBuf>) -> Self {
        self.options.quantization = Some(path.into());
        self
    }

    /// Fails if the outputs' signal-to-quantization-noise ratio over the samples is lower, in decibels.
    pub fn min_sqnr(mut self, decibels: f64) -> Self {
        self.options.min_sqnr = Some(decibels);
        self
    }

    /// Fails if more than this share of the float network's accuracy over the labelled samples is lost; without labels, if
    /// more than this share of the samples is classified otherwise than by the float network.
    pub fn max_accuracy_drop(mut self, share: f64) -> Self {
        self.options.max_accuracy_drop = Some(share);
        self
    }

    /// The arithmetic.
    pub fn precision(mut self, precision: Precision) -> Self {
        self.options.precision = precision;
        self
    }

    /// The arithmetic of the layers of a name, which is a node's in the file; `*` stands for any characters.
    pub fn layer(mut self, name: impl Into<String>, precision: LayerPrecision) -> Self {
        self.options.layers.insert(name.into(), precision);
        self
    }

    /// Speed or flash.
    pub fn optimize(mut self, optimize: Optimize) -> Self {
        self.options.optimize = optimize;
        self
    }

    /// Where the input lies.
    pub fn input(mut self, input: Input) -> Self {
        self.options.input = input;
        self
    }

    /// Makes an input a constant (its elements in row-major order), or gives a symbolic dimension a size.
    pub fn bind(mut self, name: impl Into<String>, numbers: impl IntoIterator<Item = Number>) -> Self {
        self.options.bind.insert(name.into(), numbers.into_iter().collect());
        self
    }

    /// Lets recurrent layers and causal convolutions go on from where the last call ended; `reset` forgets.
    pub fn stateful(mut self, stateful: bool) -> Self {
        self.options.stateful = stateful;
        self
    }

    /// Takes new frames of a sliding window alone, along an axis: its name in the file, or its position in the first
    /// input.
    pub fn stream(mut self, axis: impl ToString) -> Self {
        self.options.stream = Some(axis.to_string());
        self
    }

    /// New frames of a call with [`stream`](Self::stream); as few as the strides along the axis allow without it.
    pub fn stream_frames(mut self, frames: usize) -> Self {
        self.options.stream_frames = Some(frames);
        self
    }

    /// Fails above so many bytes of RAM.
    pub fn max_ram(mut self, bytes: usize) -> Self {
        self.options.max_ram = Some(bytes);
        self
    }

    /// Fails above so many bytes of weights.
    pub fn max_flash(mut self, bytes: usize) -> Self {
        self.options.max_flash = Some(bytes);
        self
    }

    /// A TOML file with options; without it, `<model>.mcuopt.toml` beside the model, if it exists.
    pub fn config(mut self, path: impl Into<PathBuf>) -> Self {
        self.options.config = Some(path.into());
        self
    }

    /// Compiles, without writing anything but the calibration cache.
    pub fn compile(&self) -> Result<Compiled, Errors> {
        crate::compile(&self.options)
    }

    /// For build scripts (feature `source`): compiles, writes `$OUT_DIR/<model's stem>.rs`, and tells Cargo which files it depends on.
    ///
    /// An error is shown by Cargo, and the script ends with status 1.
    #[cfg(feature = "source")]
    pub fn emit(&self) {
        println!("cargo::rerun-if-changed=build.rs");
        for path in crate::tracked_files(&self.options) {
            println!("cargo::rerun-if-changed={}", self.options.root.join(path).display());
        }
        match self.write() {
            Ok(notes) => notes.iter().for_each(|note| println!("cargo::warning={note}")),
            Err(errors) => {
                errors.iter().for_each(|error| println!("cargo::error={error}"));
                std::process::exit(1);
            }
        }
    }

    #[cfg(feature = "source")]
    fn write(&self) -> Result<Vec<String>, Errors> {
        let folder = std::env::var_os("OUT_DIR").map(PathBuf::from);
        let folder = folder.ok_or_else(|| Error::options("`emit` is for build scripts: OUT_DIR is not set"))?;
        let compiled = self.compile()?;
        let model_folder = self.options.model.parent().unwrap_or(std::path::Path::new(""));
        for path in &compiled.side_files {
            println!("cargo::rerun-if-changed={}", self.options.root.join(model_folder).join(path).display());
        }
        let stem = self.options.model.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let path = folder.join(format!("{stem}.rs"));
        std::fs::write(&path, compiled.source()?).map_err(|error| Error::io(error).in_file(format!("{stem}.rs")))?;
        Ok(compiled.notes)
    }
}
