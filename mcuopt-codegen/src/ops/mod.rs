//! The operators: one file for each family, one line for each file in the `ops!` table.
//!
//! A family's file holds, for its operators: `import` (ONNX node → [`Op`]s), shape inference and float evaluation
//! ([`Operator`]), and the choice and description of a kernel of mcuopt-rt ([`Operator::lower`], [`Routine`]).
//! Nothing else in the compiler needs to know an operator by name, except passes that fuse several of them.

use std::ops::Deref;

use mcuopt_rt::v0::{Arch, Choice, Prefer};

use crate::builder::Builder;
use crate::call::Call;
use crate::error::Error;
use crate::graph::{Quantization, Type, Value, ValueId};
use crate::onnx;
use crate::tensor::{DType, Tensor};

/// Translates one ONNX node into operators of the graph; returns the values of the node's outputs, in order.
pub type Import = fn(&onnx::Node, &mut Builder<'_>) -> Result<Vec<ValueId>, Error>;

/// What an ONNX-level operator knows about itself.
///
/// Layouts are the compiler's own: convolutions and pools are channels-last (NHWC), whatever the file used.
pub trait Operator {
    /// The operator's ONNX name.
    fn name(&self) -> &'static str;

    /// Types of the outputs for operands of the given types, or why these operands do not fit.
    fn infer(&self, inputs: &[&Type]) -> Result<Vec<Type>, Error>;

    /// Reference evaluation: constant folding of any element type, and calibration in float.
    ///
    /// Operands have the types that [`infer`](Self::infer) accepted.
    fn eval(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>, Error>;

    /// How the outputs' quantization comes about when the operator runs in int8.
    fn scales(&self) -> Scales {
        Scales::Calibrated
    }

    /// The quantization of operand `index` (a constant that carries `quantization`), carried over to the output by
    /// constant folding; `None` where it loses its meaning.
    fn carry(&self, _quantization: &Quantization, _input: &Type) -> Option<Quantization> {
        None
    }

    /// The operands that become part of the kernel (weights, bias); they must be constants. The others are passed to
    /// the kernel, constant or not.
    fn built_in(&self) -> &'static [usize] {
        &[]
    }

    /// Chooses the kernel for operands and result of the given element types and quantizations.
    ///
    /// With [`Scales::Float`] all of them are float32. Otherwise they are all float32, or all int8 with a per-tensor
    /// quantization. [Built-in](Self::built_in) operands are float constants in any case, with the author's
    /// quantization if there is one.
    fn lower(&self, io: &Io<'_>) -> Result<Lowered, Error>;
}

/// How an operator's output gets its quantization.
#[derive(Clone, Debug, PartialEq)]
pub enum Scales {
    /// From the range observed in calibration.
    Calibrated,
    /// The first operand's: the operator moves or selects elements without changing them.
    SameAsInput,
    /// From the range observed in calibration; all operands are brought to it before.
    Joined,
    /// Given by the file's author.
    Authored(f32, i32),
    /// Known from the operator's definition.
    Fixed(f32, i32),
    /// There is no int8 form: the operator runs in float32.
    Float,
}

/// The operands and the result that [`Operator::lower`] chooses a kernel for.
pub struct Io<'a> {
    /// The operands.
    pub inputs: Vec<&'a Value>,
    /// The result.
    pub output: &'a Value,
}

/// What [`Operator::lower`] found.
pub enum Lowered {
    /// A kernel call.
    Kernel(Box<Kernel>),
    /// Nothing to compute: the output's elements are operand 0's as they lie in memory.
    Alias,
}

/// A kernel of mcuopt-rt with its parameters and constants: one layer of the firmware.
pub trait Routine {
    /// The call as it is emitted, for an output of the given element type.
    fn call(&self, output: DType) -> Call;

    /// Runs the kernel on the host: the very function of mcuopt-rt that [`call`](Self::call) names.
    fn run(&self, inputs: &[&Tensor], output: &mut Tensor);

    /// Multiply-accumulates of one inference.
    fn macs(&self) -> u64 {
        0
    }

    /// How the output may lie over an operand if nothing else reads that any more. If it is not the first one,
    /// the emitted call is that of [`swapped`](Self::swapped).
    fn overlap(&self, _operand: usize) -> Overlap {
        Overlap::Never
    }

    /// The kernel that mcuopt-rt chooses for a target, where it has a choice.
    fn choice(&self, _prefer: Prefer, _arch: Arch) -> Option<Choice> {
        None
    }

    /// The same computation with operands 0 and 1 exchanged.
    fn swapped(&self) -> Option<Kernel> {
        None
    }
}

/// One layer of the firmware: a kernel, and the operator it stands for.
#[derive(Clone, Debug)]
pub struct Layer {
    /// The operator's ONNX name.
    pub operator: &'static str,
    /// The kernel.
    pub kernel: Kernel,
    /// What its machine code is chosen for.
    pub prefer: Prefer,
}

impl Layer {
    /// The kernel that mcuopt-rt chooses for a target, if it has a choice.
    pub fn choice(&self, arch: Arch) -> Option<Choice> {
        self.kernel.choice(self.prefer, arch)
    }

    /// Bytes of flash for weights, biases, multipliers and tables on a target, for an output of the given type.
    pub fn weight_bytes(&self, output: DType, arch: Arch) -> usize {
        self.choice(arch).map_or(0, |choice| choice.weight_bytes) + self.kernel.call(output).weight_bytes()
    }

    /// How the output may lie over an operand: [`Routine::overlap`] for the kernels of all targets.
    pub fn overlap(&self, operand: usize) -> Overlap {
        match self.kernel.overlap(operand) {
            Overlap::Ahead(distance) => {
                let choices = Arch::ALL.iter().filter_map(|arch| self.choice(*arch));
                Overlap::Ahead(choices.map(|choice| choice.distance).fold(distance, usize::max))
            }
            other => other,
        }
    }

    /// Bytes of work memory that the call needs, a multiple of 4; on the target that needs most, as the memory map
    /// is the same for all.
    pub fn scratch_bytes(&self) -> usize {
        let choices = Arch::ALL.iter().filter_map(|arch| self.choice(*arch));
        choices.map(|choice| choice.scratch_bytes).max().unwrap_or(0)
    }
}

/// How a layer's output may lie over an operand that nothing reads afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overlap {
    /// Not at all.
    Never,
    /// Starting where the operand starts, and no longer; the emitted call is the function's `_in_place` twin, which
    /// may use all of the operand's memory.
    Same,
    /// Starting at least so many bytes before the operand; the emitted call is the function's `_overlapping` twin,
    /// which may use all of both tensors' memory.
    Ahead(usize),
}

macro_rules! accessors {
    ($($variant:ident $type:ty: $read:ident $write:ident;)*) => {$(
        /// The elements of a tensor that lowering gave this type.
        fn $read(tensor: &Tensor) -> &[$type] {
            match tensor {
                Tensor::$variant(array) => array.as_slice().unwrap_or_default(),
                _ => &[],
            }
        }

        /// The elements of a tensor that lowering gave this type.
        fn $write(tensor: &mut Tensor) -> &mut [$type] {
            match tensor {
                Tensor::$variant(array) => array.as_slice_mut().unwrap_or_default(),
                _ => &mut [],
            }
        }
    )*};
}
accessors! {
    F32 f32: f32s f32s_mut;
    I8 i8: i8s i8s_mut;
}

/// The single result of an evaluation.
fn result<T>(shape: &[usize], elements: Vec<T>) -> Result<Vec<Tensor>, Error>
where
    Tensor: From<ndarray::ArrayD<T>>,
{
    let count = elements.len();
    let tensor = Tensor::new(shape, elements);
    tensor.map(|tensor| vec![tensor]).ok_or_else(|| Error::bug(format!("{count} elements for the shape {shape:?}")))
}

macro_rules! ops {
    ($($module:ident: onnx $onnx:tt ops [$($op:ident),*] kernels [$($kernel:ident),*];)*) => {
        pub mod linear;
        pub mod window;
        $(pub mod $module;)*

        /// An ONNX-level operator.
        #[derive(Clone, Debug, PartialEq)]
        #[allow(missing_docs)]
        pub enum Op { $($($op($module::$op),)*)* }

        /// A kernel of mcuopt-rt with its parameters and constants.
        #[derive(Clone, Debug)]
        #[allow(missing_docs)]
        pub enum Kernel { $($($kernel($module::$kernel),)*)* }

        impl Deref for Op {
            type Target = dyn Operator;
            fn deref(&self) -> &Self::Target {
                match self { $($(Op::$op(op) => op,)*)* }
            }
        }

        impl Deref for Kernel {
            type Target = dyn Routine;
            fn deref(&self) -> &Self::Target {
                match self { $($(Kernel::$kernel(kernel) => kernel,)*)* }
            }
        }

        $($(impl From<$module::$op> for Op {
            fn from(op: $module::$op) -> Self { Op::$op(op) }
        })*)*

        $($(impl From<$module::$kernel> for Lowered {
            fn from(kernel: $module::$kernel) -> Self { Lowered::Kernel(Box::new(Kernel::$kernel(kernel))) }
        })*)*

        /// The importer of an operator of the `ai.onnx` domain.
        pub fn importer(op_type: &str) -> Option<Import> {
            $(if ops!(@names $onnx).contains(&op_type) { return Some($module::import); })*
            None
        }

        /// ONNX's names of the operators that can be imported, sorted.
        pub fn operators() -> Vec<&'static str> {
            let mut names: Vec<&'static str> = Vec::new();
            $(names.extend_from_slice(ops!(@names $onnx));)*
            names.sort_unstable();
            names
        }
    };
    (@names [$($onnx:literal),*]) => { { const NAMES: &[&str] = &[$($onnx),*]; NAMES } };
}

ops! {
    binary:    onnx ["Add", "Sub", "Mul", "Div", "BatchNormalization"] ops [Binary] kernels [BinaryF32, AddS8, MulS8];
    concat:    onnx ["Concat"] ops [Concat] kernels [ConcatBlocks];
    constant:  onnx ["Constant", "ConstantOfShape", "Shape", "Size", "Cast"] ops [Cast] kernels [];
    conv:      onnx ["Conv"] ops [Conv] kernels [ConvF32, ConvS8, DepthwiseF32, DepthwiseS8];
    dense:     onnx ["Gemm"] ops [Dense] kernels [DenseF32, DenseS8];
    matmul:    onnx ["MatMul"] ops [MatMul] kernels [MatMulF32, MatMulS8];
    pad:       onnx ["Pad"] ops [Pad] kernels [PadConstant];
    pool:      onnx ["MaxPool", "AveragePool", "GlobalMaxPool", "GlobalAveragePool"] ops [Pool]
               kernels [MaxPool, AveragePoolF32, AveragePoolS8];
    quantize:  onnx ["QuantizeLinear", "DequantizeLinear"] ops [QuantizeLinear, DequantizeLinear, FakeQuantize]
               kernels [Quantize, Dequantize, Requantize];
    reduce:    onnx ["ReduceMean"] ops [ReduceMean] kernels [ReduceMeanF32, ReduceMeanS8];
    reshape:   onnx ["Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Dropout"] ops [Reshape] kernels [];
    slice:     onnx ["Slice", "Gather"] ops [Slice, Gather] kernels [SliceCopy];
    softmax:   onnx ["Softmax", "LogSoftmax"] ops [Softmax] kernels [SoftmaxF32, SoftmaxS8, LogSoftmaxS8];
    transpose: onnx ["Transpose"] ops [Transpose] kernels [TransposeCopy];
    unary:     onnx ["Relu", "Clip", "LeakyRelu", "Sigmoid", "Tanh", "HardSigmoid", "HardSwish", "Exp", "Log", "Neg",
                     "Abs", "Elu"]
               ops [Unary] kernels [UnaryF32, LutS8];
}

/// Runs a kernel that moves elements without looking at them, for the types that lowering produces.
macro_rules! move_elements {
    ($x:expr, $y:expr, |$from:ident, $to:ident| $run:expr) => {
        match $y {
            $crate::tensor::Tensor::F32(_) => {
                let ($from, $to) = (super::f32s($x), super::f32s_mut($y));
                $run
            }
            _ => {
                let ($from, $to) = (super::i8s($x), super::i8s_mut($y));
                $run
            }
        }
    };
}
use move_elements;
