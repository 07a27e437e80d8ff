//! What others do with the same models, measured once.

use crate::shared::Model;

/// TensorFlow Lite Micro with CMSIS-NN, int8, on the same emulated Cortex-M4 with the same counter: its fastest exact
/// setting, gcc 12.2 -O2.
#[derive(Clone, Copy, Debug)]
pub struct CmsisNn {
    /// Millions of modelled cycles for one warm inference.
    pub cycles: f64,
    /// Millions of instructions.
    pub instructions: f64,
    /// Bytes of RAM in all, flash in all, and code in it; not measured for the smallest model.
    pub memory: Option<[u64; 3]>,
    /// Millions of instructions on a Cortex-M0+.
    pub m0_plus: Option<f64>,
    /// Millions of instructions on a Cortex-M55 with its vector instructions.
    pub m55: Option<f64>,
}

impl CmsisNn {
    /// The figures for a model; `None` where there is no int8 TFLite file.
    pub fn of(model: Model) -> Option<Self> {
        let (m0_plus, m55) = match model {
            Model::Ad => (Some(1.76), Some(0.150)),
            Model::Ic => (Some(97.6), Some(4.81)),
            Model::Kws => (Some(29.0), Some(1.79)),
            Model::Person => (Some(83.7), Some(6.38)),
            Model::Sww => (Some(9.5), Some(0.407)),
            Model::Vww => (Some(86.9), Some(6.43)),
            Model::Mnist | Model::Sine | Model::Speech => (None, None),
        };
        let measured = |cycles, instructions, memory| Some(Self { cycles, instructions, memory, m0_plus, m55 });
        match model {
            Model::Ad => measured(0.710, 0.573, Some([3_464, 304_352, 27_376])),
            Model::Ic => measured(35.42, 28.51, Some([57_428, 150_212, 50_636])),
            Model::Kws => measured(8.94, 7.23, Some([25_252, 107_848, 52_832])),
            Model::Mnist => None,
            Model::Person => measured(26.60, 21.43, Some([84_744, 344_512, 42_864])),
            Model::Sine => measured(0.004_728, 0.003_303, None),
            Model::Speech => measured(2.022, 1.451, Some([9_236, 63_484, 43_604])),
            Model::Sww => measured(2.632, 2.116, Some([18_868, 125_896, 50_296])),
            Model::Vww => measured(28.30, 22.61, Some([103_140, 387_200, 52_832])),
        }
    }
}

/// A kind of int8 layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A convolution, by height and width of the kernel and input channels.
    Conv {
        /// Height and width.
        kernel: [usize; 2],
        /// Input channels.
        inputs: usize,
    },
    /// A depthwise convolution, by height and width of the kernel.
    Depthwise {
        /// Height and width.
        kernel: [usize; 2],
    },
    /// A fully connected layer.
    Dense,
    /// An addition.
    Add,
}

impl Kind {
    /// CMSIS-NN's cycles for each multiply-accumulate on the Cortex-M4, over whole layers of the reference models;
    /// for additions, cycles for each output.
    pub fn cmsis_nn(self) -> Option<String> {
        let cycles = match self {
            Kind::Conv { kernel: [1, 1], inputs: 8 } => "8.04",
            Kind::Conv { kernel: [1, 1], inputs: 16 } => "4.66",
            Kind::Conv { kernel: [1, 1], inputs: 32 } => "3.16",
            Kind::Conv { kernel: [1, 1], inputs: 64 } => "2.44",
            Kind::Conv { kernel: [1, 1], inputs: 128 } => "2.18",
            Kind::Conv { kernel: [3, 3], inputs: 3 } => "7.23",
            Kind::Conv { kernel: [3, 3], inputs: 16 } => "2.82",
            Kind::Conv { kernel: [3, 3], inputs: 32 } => "2.30",
            Kind::Conv { kernel: [3, 3], inputs: 64 } => "2.11",
            Kind::Conv { kernel: [10, 4], inputs: 1 } => "4.47",
            Kind::Depthwise { kernel: [3, 3] } => "9.41",
            Kind::Depthwise { kernel: [3, 1] | [1, 3] } => "29",
            Kind::Depthwise { kernel: [15, 1] | [1, 15] } => "14",
            Kind::Depthwise { kernel: [4..15, 1] | [1, 4..15] } => "14 to 29",
            Kind::Dense => "2.73",
            Kind::Add => "99 per output",
            _ => return None,
        };
        Some(cycles.into())
    }
}

/// onnx2c on the float model, gcc -O3, on the same emulated Cortex-M4: millions of modelled cycles and instructions,
/// and bytes of RAM.
pub fn onnx2c(model: Model) -> Option<(f64, f64, Option<u64>)> {
    match model {
        Model::Ad => Some((3.22, 1.62, Some(1_024))),
        Model::Ic => Some((203.4, 120.5, Some(196_608))),
        Model::Kws => Some((36.5, 19.8, Some(64_000))),
        Model::Mnist => None,
        Model::Person => Some((95.1, 51.9, Some(294_912))),
        Model::Sine => Some((0.002_051, 0.000_957, None)),
        Model::Speech => Some((5.38, 3.31, Some(32_000))),
        Model::Sww => Some((10.8, 5.8, Some(28_672))),
        Model::Vww => Some((99.9, 54.8, Some(294_912))),
    }
}

/// The metric on the test set, by ONNX Runtime 1.18.1 and the TFLite interpreter of TensorFlow 2.15.1.
#[derive(Clone, Copy, Debug)]
pub struct Scores {
    /// ONNX Runtime on the float model.
    pub float: f64,
    /// ONNX Runtime on the model that it quantized.
    pub qdq: f64,
    /// Share of items for which those two agree; `None` where the network does not choose between classes.
    pub qdq_agreement: Option<f64>,
    /// TFLite on the official int8 model, where there is one.
    pub tflite: Option<f64>,
}

impl Scores {
    /// The figures for a model.
    pub fn of(model: Model) -> Self {
        let (float, qdq, qdq_agreement, tflite) = match model {
            Model::Ad => (11.9057, 15.8671, None, Some(20.9148)),
            Model::Ic => (1.0, 0.9498, Some(0.9498), Some(0.9164)),
            Model::Kws => (0.9122, 0.9156, Some(0.9833), Some(0.9)),
            Model::Mnist => (0.954, 0.951, Some(0.997), None),
            Model::Person => (0.895, 0.895, Some(0.99), Some(0.9)),
            Model::Sine => (0.000_194_4, 0.000_563_8, None, Some(0.001_035)),
            Model::Speech => (0.9933, 0.9933, Some(1.0), Some(1.0)),
            Model::Sww => (0.9559, 0.9559, Some(1.0), Some(0.9559)),
            Model::Vww => (0.7919, 0.8122, Some(0.9695), Some(0.802)),
        };
        Self { float, qdq, qdq_agreement, tflite }
    }
}
