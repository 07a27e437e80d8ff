//! The reference models: real networks with test data, in a folder beside the repository (or where `MCUOPT_SHARED`
//! says). They are large and not ours, so the repository does not hold them.

use std::env;
use std::fmt;
use std::path::PathBuf;

use mcuopt_codegen::{Config, Precision};

use crate::case::Case;
use crate::test_set::TestSet;
use crate::{folder, skip};

/// A reference model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Model {
    /// MLPerf Tiny's anomaly detection: a fully connected autoencoder.
    Ad,
    /// MLPerf Tiny's image classification: ResNet-8.
    Ic,
    /// MLPerf Tiny's keyword spotting: DS-CNN.
    Kws,
    /// A small CNN for digits, exported by PyTorch.
    Mnist,
    /// Person detection of TensorFlow Lite Micro: MobileNetV1.
    Person,
    /// The "hello world" of TensorFlow Lite Micro.
    Sine,
    /// `micro_speech` of TensorFlow Lite Micro.
    Speech,
    /// MLPerf Tiny's streaming wakeword: one-dimensional DS-CNN.
    Sww,
    /// MLPerf Tiny's visual wake words: MobileNetV1.
    Vww,
}

/// How a reference model is compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    /// The float file as it is.
    Float32,
    /// The float file, quantized by the compiler with calibration data.
    Int8,
    /// Likewise, with int16 activations.
    Int16x8,
    /// Likewise, with int8 activations and int4 weights but in the first and the last layer.
    Int4,
    /// The float file with int8 weights, and float arithmetic.
    Weights8,
    /// The file that ONNX Runtime quantized.
    Qdq,
}

impl Model {
    /// All of them.
    pub const ALL: [Model; 9] = [
        Model::Ad,
        Model::Ic,
        Model::Kws,
        Model::Mnist,
        Model::Person,
        Model::Sine,
        Model::Speech,
        Model::Sww,
        Model::Vww,
    ];

    /// Name of the model and its folder.
    pub fn name(self) -> &'static str {
        match self {
            Model::Ad => "ad",
            Model::Ic => "ic",
            Model::Kws => "kws",
            Model::Mnist => "mnist",
            Model::Person => "person",
            Model::Sine => "sine",
            Model::Speech => "speech",
            Model::Sww => "sww",
            Model::Vww => "vww",
        }
    }

    /// The model's folder; `None`, with a note, where there are no reference models.
    pub fn find(self) -> Option<Files> {
        let root = env::var_os("MCUOPT_SHARED").map_or_else(|| folder::repository().join("../shared"), PathBuf::from);
        let files = root.join("models").join(self.name());
        if files.is_dir() {
            return Some(Files { model: self, folder: files });
        }
        skip::note(self.name(), "the reference models are not here (MCUOPT_SHARED names their folder)");
        None
    }
}

impl Variant {
    /// All of them.
    pub const ALL: [Variant; 6] =
        [Variant::Float32, Variant::Weights8, Variant::Int16x8, Variant::Int8, Variant::Int4, Variant::Qdq];

    /// Adds to the options what a variant asks for; `samples` is called where it takes calibration data.
    pub fn of(self, config: Config, samples: impl FnOnce() -> PathBuf) -> Config {
        let calibrated = match self {
            Variant::Float32 => return config.precision(Precision::Float32),
            Variant::Weights8 => return config.precision(Precision::Weights8),
            Variant::Qdq => return config,
            Variant::Int8 => Precision::Int8,
            Variant::Int16x8 => Precision::Int16x8,
            Variant::Int4 => Precision::Int4,
        };
        config.precision(calibrated).calibration(samples())
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Variant::Float32 => "float32",
            Variant::Int8 => "int8",
            Variant::Int16x8 => "int16x8",
            Variant::Int4 => "int4",
            Variant::Weights8 => "weights8",
            Variant::Qdq => "qdq",
        })
    }
}

/// The files of a reference model.
#[derive(Clone, Debug)]
pub struct Files {
    model: Model,
    folder: PathBuf,
}

impl Files {
    /// The file that a variant is compiled from.
    pub fn onnx(&self, variant: Variant) -> PathBuf {
        match variant {
            Variant::Qdq => self.folder.join("model_qdq.onnx"),
            _ => self.folder.join("model.onnx"),
        }
    }

    /// The calibration data.
    pub fn samples(&self) -> PathBuf {
        self.folder.join("calib.npz")
    }

    /// The options for a variant, to which more can be added.
    pub fn config(&self, variant: Variant) -> Config {
        variant.of(Config::new(self.onnx(variant)).name("Net"), || self.samples())
    }

    /// The model compiled with the default options.
    pub fn compile(&self, variant: Variant) -> Case {
        Case::compile(format!("{}-{variant}", self.model.name()), &self.config(variant))
    }

    /// Inputs to try, and what is known about the answers.
    pub fn test_set(&self) -> TestSet {
        TestSet::read(&self.folder.join("test.npz"))
    }
}
