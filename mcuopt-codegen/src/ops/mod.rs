//! The operators: one file for each family, one line for each file in the `ops!` table.
//!
//! A family's file holds, for its operators: `import` (ONNX node → [`Op`]s), shape inference and float evaluation
//! ([`Operator`]), and the choice and description of a kernel of mcuopt-rt ([`Operator::lower`], [`Routine`]).
//! Nothing else in the compiler needs to know an operator by name, except passes that fuse several of them.

use std::ops::Deref;
use std::sync::Arc;

use mcuopt_rt::v0::{Arch, Choice, Prefer};

use crate::bounds::{Bounds, Known};
use crate::builder::Builder;
use crate::call::Call;
use crate::error::Error;
use crate::graph::{Quantization, Type, Value, ValueId};
use crate::onnx;
use crate::tensor::{DType, Element, Tensor};

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
    /// Operands have the types that [`infer`](Self::infer) accepted. Without an evaluation of its own, which the
    /// operators have that take the time of a calibration, an operator runs the kernel that firmware would.
    fn eval(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>, Error> {
        let types: Vec<Type> =
            inputs.iter().map(|tensor| Type { dtype: tensor.dtype(), shape: tensor.shape().to_vec() }).collect();
        let outputs = self.infer(&types.iter().collect::<Vec<_>>())?;
        eval_by_kernel(outputs, &mut |io| self.lower(io), self.built_in(), inputs)
    }

    /// How the outputs' quantization comes about when the operator runs in int8.
    fn scales(&self) -> Scales {
        Scales::Calibrated
    }

    /// Whether there is a form for int16 activations, beside that for int8.
    fn has_int16(&self) -> bool {
        // Kernels that move elements or choose among them know no type.
        matches!(self.scales(), Scales::SameAsInput | Scales::Joined | Scales::Authored(_))
    }

    /// Whether operand 1 is weights, `[outputs, …]`, that a kernel can take in int4, and in int8 beside float activations.
    fn packs_weights(&self) -> bool {
        false
    }

    /// Whether each element of the result depends on the elements of the operands at its place alone.
    fn pointwise(&self) -> bool {
        false
    }

    /// The quantization of operand `index` (a constant that carries `quantization`), carried over to the output by
    /// constant folding; `None` where it loses its meaning.
    fn carry(&self, _quantization: &Quantization, _input: &Type) -> Option<Quantization> {
        None
    }

    /// What the elements of an integer result can be; `None` where nothing is known but its type.
    fn bounds(&self, operands: &[Known<'_>]) -> Option<Bounds> {
        match self.scales() {
            // Moved elements, and zeros around them.
            Scales::SameAsInput => operands.first().map(|x| x.bounds.join(Bounds::ZERO)),
            _ => None,
        }
    }

    /// The operands that are indices or lengths: they may be int32 or int64, whatever the other operands are.
    fn indices(&self) -> &'static [usize] {
        &[]
    }

    /// The operator that makes int32 of the same operands instead of int64, where it decides that itself.
    fn narrowed(&self) -> Option<Op> {
        None
    }

    /// The operands that become part of the kernel (weights, bias); they must be constants. The others are passed to
    /// the kernel, constant or not.
    fn built_in(&self) -> &'static [usize] {
        &[]
    }

    /// Chooses the kernel for operands and result of the given element types and quantizations.
    ///
    /// What is float in the file is float32 in all of them, or int8 with a per-tensor quantization in all of them, or, if
    /// [`has_int16`](Self::has_int16), int16; with [`Scales::Float`] always float32. What the file has in integers is as it is there; bool is uint8.
    /// [Built-in](Self::built_in) operands are the file's constants in any case, with the author's quantization if
    /// there is one.
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
    /// Given by the file's author, or by a step between widths.
    Authored(Quantization),
    /// Known from the operator's definition.
    Fixed(f32, i32),
    /// A power of two, at most this one, that suits the range observed in calibration; zero point 0.
    PowerOfTwo(f32),
    /// There is no int8 form: the operator runs in float32.
    Float,
}

/// The operands and the result that [`Operator::lower`] chooses a kernel for.
pub struct Io<'a> {
    /// The operands.
    pub inputs: Vec<&'a Value>,
    /// The result.
    pub output: &'a Value,
    /// Results that no kernel computes: what is known of the numbers inside the operator.
    pub inner: Vec<&'a Value>,
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

    /// Bytes of work memory, a multiple of 4, for a kernel that is the same for all targets.
    fn scratch_bytes(&self) -> usize {
        0
    }

    /// How the output may lie over an operand if nothing else reads that any more. If it is not the first one,
    /// the emitted call is that of [`swapped`](Self::swapped).
    fn overlap(&self, _operand: usize) -> Overlap {
        Overlap::Never
    }

    /// For a kernel that goes on from what its last run left in its output: the number that all elements of the output
    /// are before the first run. Nothing else may use the memory of such an output.
    fn initial(&self) -> Option<f32> {
        None
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
        choices.map(|choice| choice.scratch_bytes).fold(self.kernel.scratch_bytes(), usize::max)
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

/// The floats of a tensor that lowering gave this type.
fn f32s(tensor: &Tensor) -> &[f32] {
    f32::of(tensor)
}

/// The floats of a tensor that lowering gave this type.
fn f32s_mut(tensor: &mut Tensor) -> &mut [f32] {
    f32::of_mut(tensor)
}

/// The int8 elements of a tensor that lowering gave this type.
fn i8s(tensor: &Tensor) -> &[i8] {
    i8::of(tensor)
}

/// The int8 elements of a tensor that lowering gave this type.
fn i8s_mut(tensor: &mut Tensor) -> &mut [i8] {
    i8::of_mut(tensor)
}

/// The int16 elements of a tensor that lowering gave this type.
fn i16s(tensor: &Tensor) -> &[i16] {
    i16::of(tensor)
}

/// The int16 elements of a tensor that lowering gave this type.
fn i16s_mut(tensor: &mut Tensor) -> &mut [i16] {
    i16::of_mut(tensor)
}

/// Evaluates an operator by the kernel that `lower` chooses for operands as they are.
fn eval_by_kernel(
    types: Vec<Type>,
    lower: &mut dyn FnMut(&Io<'_>) -> Result<Lowered, Error>,
    built_in: &[usize],
    inputs: &[&Tensor],
) -> Result<Vec<Tensor>, Error> {
    let [ty] = &types[..] else { return Err(Error::bug("an operator has one output")) };
    let value = |dtype: DType, shape: &[usize], constant: Option<&Tensor>| Value {
        name: String::new(),
        ty: Type { dtype: dtype.at_run_time(), shape: shape.to_vec() },
        constant: constant.map(|tensor| Arc::new(tensor.clone())),
        quantization: None,
    };
    let operands: Vec<Tensor> = inputs.iter().map(|tensor| tensor.at_run_time()).collect();
    let values: Vec<Value> =
        operands.iter().map(|tensor| value(tensor.dtype(), tensor.shape(), Some(tensor))).collect();
    let output = value(ty.dtype, &ty.shape, None);
    if ty.is_empty() {
        return Ok(vec![Tensor::zeros(ty.dtype, &ty.shape)]);
    }
    let passed: Vec<&Tensor> =
        operands.iter().enumerate().filter(|(index, _)| !built_in.contains(index)).map(|(_, tensor)| tensor).collect();
    let result = match lower(&Io { inputs: values.iter().collect(), output: &output, inner: Vec::new() })? {
        Lowered::Alias => {
            let first = passed.first().and_then(|tensor| tensor.reshaped(&ty.shape));
            first.ok_or_else(|| Error::bug("an alias of another size"))?
        }
        Lowered::Kernel(kernel) => {
            let mut result = Tensor::zeros(output.ty.dtype, &ty.shape);
            kernel.run(&passed, &mut result);
            result
        }
    };
    Ok(vec![result.as_declared(ty.dtype)])
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

/// Defines a kernel with its constants, and its [`Routine`]: the call that is emitted, and the same call on the host.
///
/// ```ignore
/// routine! {
///     /// `gather` with its constants.
///     pub struct GatherRows {
///         params "" geometry: rt::Gather,       // a `const` parameter struct, passed by reference
///         array "_TABLE" table: Vec<i32>,       // a `static` array, passed as a slice
///         value limit: usize,                   // a number, passed by value
///     }
///     with [T: each_element of x[0]] [I: each_index of x[1]]   // type parameters: of operands, or of the output `y`
///     fn gather(T, I) -> T                                     // mcuopt-rt's function; types of operands and output
///     scratch |kernel| kernel.bytes()                          // bytes of work memory, if there is some
///     overlap |kernel, operand| Overlap::Same                  // if the output may lie over an operand
///     macs |kernel| 0                                          // if it multiplies
///     initial |kernel| None                                    // if its output keeps something for the next run
/// }
/// ```
///
/// Constants come before the operands, in the order of the fields. `@inlined fn gather(…)` names a function that is inlined
/// into each layer and has a twin in `mcuopt_rt::shared`.
macro_rules! routine {
    (
        $(#[$attribute:meta])*
        pub struct $name:ident { $($kind:ident $($suffix:literal)? $field:ident: $ty:ty),* $(,)? }
        $(with $([$parameter:ident: $each:ident of $operand:ident $([$index:literal])?])+)?
        $(@$inlined:ident)? fn $function:ident ($($x:ty),*) -> $y:ty
        $(; scratch |$s:ident| $scratch:expr)?
        $(; overlap |$o:ident, $which:ident| $overlap:expr)?
        $(; macs |$m:ident| $macs:expr)?
        $(; initial |$i:ident| $initial:expr)?
    ) => {
        $(#[$attribute])*
        #[derive(Clone, Debug)]
        #[allow(missing_docs)]
        pub struct $name { $(pub $field: $ty),* }

        impl $crate::ops::Routine for $name {
            fn call(&self, _: $crate::tensor::DType) -> $crate::call::Call {
                let call = $crate::ops::routine!(@new $($inlined)? stringify!($function));
                $(let call = $crate::ops::routine!(@argument call $kind $($suffix)? self.$field);)*
                $(let call = { let _ = stringify!($s); call.scratch() };)?
                call
            }

            #[allow(unused_variables, unused_mut)]
            fn run(&self, x: &[&$crate::tensor::Tensor], y: &mut $crate::tensor::Tensor) {
                $(let mut scratch = { let _ = stringify!($s); vec![0_u32; $crate::ops::Routine::scratch_bytes(self) / 4] };)?
                $crate::ops::routine!(@typed [$($([$parameter $each $operand $([$index])?])+)?] x y {
                    let mut operands = x.iter();
                    ::mcuopt_rt::v0::$function(
                        $($crate::ops::routine!(@pass $kind self.$field),)*
                        $(<$x as $crate::tensor::Element>::of(operands.next().expect("an operand")),)*
                        <$y as $crate::tensor::Element>::of_mut(y)
                        $(, { let _ = stringify!($s); &mut scratch[..] })?
                    )
                });
            }

            $(fn scratch_bytes(&self) -> usize { let $s = self; $scratch })?
            $(fn overlap(&self, $which: usize) -> $crate::ops::Overlap { let $o = self; let _ = ($o, $which); $overlap })?
            $(fn macs(&self) -> u64 { let $m = self; $macs })?
            $(fn initial(&self) -> Option<f32> { let $i = self; $initial })?
        }
    };
    (@new inlined $function:expr) => { $crate::call::Call::inlined($function) };
    (@new $function:expr) => { $crate::call::Call::new($function) };
    (@argument $call:ident params $suffix:literal $field:expr) => { $call.named($suffix, &$field) };
    (@argument $call:ident array $suffix:literal $field:expr) => {
        $call.array($suffix, $crate::tensor::Element::data($field.clone()))
    };
    (@argument $call:ident value $field:expr) => { $call.value($field) };
    (@pass params $field:expr) => { &$field };
    (@pass array $field:expr) => { &$field[..] };
    (@pass value $field:expr) => { $field };
    (@typed [] $xs:ident $y:ident $body:block) => { $body };
    (@typed [[$parameter:ident $each:ident x [$index:literal]] $($rest:tt)*] $x:ident $y:ident $body:block) => {
        $crate::tensor::$each!($x[$index].dtype(), $parameter => $crate::ops::routine!(@typed [$($rest)*] $x $y $body))
    };
    (@typed [[$parameter:ident $each:ident y] $($rest:tt)*] $x:ident $y:ident $body:block) => {
        $crate::tensor::$each!($y.dtype(), $parameter => $crate::ops::routine!(@typed [$($rest)*] $x $y $body))
    };
}
pub(crate) use routine;

macro_rules! ops {
    ($($module:ident: onnx $onnx:tt ops [$($op:ident),*] kernels [$($kernel:ident),*];)*) => {
        pub mod axes;
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

        /// The importer of an operator; `domain` is empty for the standard one.
        pub fn importer(domain: &str, op_type: &str) -> Option<Import> {
            let name = qualified(domain, op_type);
            $(if ops!(@names $onnx).contains(&&*name) { return Some($module::import); })*
            None
        }

        /// ONNX's names of the operators that can be imported, sorted; those of other domains than the standard one
        /// with the domain before a colon.
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
    attention: onnx ["Attention"] ops [] kernels [];
    binary:    onnx ["Add", "Sub", "Mul", "Div", "Max", "Min", "Sum", "Mean", "Mod", "Pow", "Equal", "Greater",
                     "GreaterOrEqual", "Less", "LessOrEqual", "And", "Or", "Xor", "BitwiseAnd", "BitwiseOr", "BitwiseXor",
                     "BitShift", "BatchNormalization"]
               ops [Binary] kernels [BinaryF32, BinaryLoop, AddS8, AddS16, MulS8, MulS16];
    blocks:    onnx ["DepthToSpace", "SpaceToDepth"] ops [] kernels [];
    classifier: onnx ["ai.onnx.ml:LinearClassifier", "ai.onnx.ml:LinearRegressor", "ai.onnx.ml:SVMClassifier",
                     "ai.onnx.ml:SVMRegressor", "ai.onnx.ml:ZipMap"]
               ops [] kernels [];
    cast:      onnx ["Cast", "CastLike"] ops [Cast] kernels [CastLoop];
    concat:    onnx ["Concat"] ops [Concat] kernels [ConcatBlocks];
    constant:  onnx ["Constant", "ConstantOfShape", "Shape", "Size", "EyeLike", "Range", "NonZero", "Unique"]
               ops [] kernels [];
    conv:      onnx ["Conv"] ops [Conv] kernels [ConvF32, ConvF32W8, ConvS8, ConvS16, DepthwiseF32, DepthwiseS8];
    conv_transpose: onnx ["ConvTranspose"] ops [ConvTranspose, DynamicConv]
               kernels [VolumeF32, VolumeS8, DynamicConvF32, DynamicConvTransposeF32];
    detection: onnx ["NonMaxSuppression"] ops [NonMaxSuppression] kernels [SuppressNonMaxima];
    dense:     onnx ["Gemm"] ops [Dense] kernels [DenseF32, DenseF32W8, DenseS8, DenseS16];
    determinant: onnx ["Det"] ops [Det] kernels [Determinants];
    einsum:    onnx ["Einsum"] ops [] kernels [];
    expand:    onnx ["Expand", "Tile"] ops [Expand] kernels [];
    features:  onnx ["ai.onnx.ml:Scaler", "ai.onnx.ml:Normalizer", "ai.onnx.ml:Binarizer", "ai.onnx.ml:Imputer",
                     "ai.onnx.ml:ArrayFeatureExtractor", "ai.onnx.ml:FeatureVectorizer", "ai.onnx.ml:LabelEncoder",
                     "ai.onnx.ml:OneHotEncoder"]
               ops [Normalizer, Binarizer, Imputer, LabelEncoder, OneHotEncoder]
               kernels [NormalizeRows, BinarizeF32, Impute, LookUp, EncodeRows];
    extremes:  onnx ["ArgMax", "ArgMin", "TopK", "Hardmax"] ops [ArgExtreme, TopK, Hardmax]
               kernels [ArgMax, ArgMin, TopKPositions, HardmaxF32, HardmaxS8, HardmaxS16];
    fused:     onnx ["com.microsoft:FusedConv", "com.microsoft:FusedGemm", "com.microsoft:FusedMatMul",
                     "com.microsoft:TransposeMatMul", "com.microsoft:MatMulIntegerToFloat",
                     "com.microsoft:DynamicQuantizeMatMul", "com.microsoft:BiasGelu",
                     "com.microsoft:FastGelu", "com.microsoft:SkipLayerNormalization",
                     "com.microsoft:SkipSimplifiedLayerNormalization"]
               ops [] kernels [];
    gather:    onnx ["Gather", "GatherElements", "GatherND", "Compress"] ops [Gather, GatherElements, GatherND]
               kernels [GatherRows, GatherAlong, GatherPoints];
    history:   onnx [] ops [History] kernels [Slide];
    integer:   onnx ["MatMulInteger", "ConvInteger", "DynamicQuantizeLinear"]
               ops [MatMulInteger, ConvInteger, DynamicScale, DynamicZeroPoint]
               kernels [MatMulS32, ConvS32, ScaleF32, ZeroPointU8];
    loss:      onnx ["NegativeLogLikelihoodLoss", "SoftmaxCrossEntropyLoss"] ops [NegativeLogLikelihood]
               kernels [ClassLosses];
    lrn:       onnx ["LRN"] ops [Lrn] kernels [LocalResponse];
    matmul:    onnx ["MatMul"] ops [MatMul] kernels [MatMulF32, MatMulS8, MatMulS16];
    ngrams:    onnx ["TfIdfVectorizer"] ops [NGrams] kernels [CountNGrams];
    normalize: onnx ["LayerNormalization", "RMSNormalization", "InstanceNormalization", "GroupNormalization",
                     "MeanVarianceNormalization", "LpNormalization"]
               ops [Normalize, InverseDeviation] kernels [NormalizeF32, NormalizeS8, NormalizeS16, InverseDeviations];
    one_hot:   onnx ["OneHot"] ops [OneHot] kernels [OneHotRows];
    pad:       onnx ["Pad", "CenterCropPad"] ops [Pad, PadEdges] kernels [PadConstant, PadOwn];
    pool:      onnx ["MaxPool", "AveragePool", "LpPool", "GlobalMaxPool", "GlobalAveragePool", "GlobalLpPool"]
               ops [Pool, MaxPoolIndices]
               kernels [MaxPool, MaxPoolOfAny, MaxPoolPlaces, AveragePoolF32, AveragePoolS8, AveragePoolS16,
                        LpPoolF32];
    prelu:     onnx ["PRelu"] ops [PRelu] kernels [PReluF32, PReluS8, PReluS16];
    qlinear:   onnx ["QLinearConv", "QLinearMatMul", "com.microsoft:QLinearConv", "com.microsoft:QLinearAdd",
                     "com.microsoft:QLinearMul", "com.microsoft:QLinearConcat", "com.microsoft:QLinearAveragePool",
                     "com.microsoft:QLinearGlobalAveragePool", "com.microsoft:QLinearLeakyRelu",
                     "com.microsoft:QLinearSigmoid", "com.microsoft:QLinearSoftmax", "com.microsoft:QGemm"]
               ops [] kernels [];
    quantize:  onnx ["QuantizeLinear", "DequantizeLinear", "com.microsoft:QuantizeLinear",
                     "com.microsoft:DequantizeLinear"]
               ops [QuantizeLinear, DequantizeLinear, QuantizeBy, DequantizeBy, FakeQuantize]
               kernels [Quantize, Dequantize, Requantize, RequantizeS16, RequantizeS8S16, RequantizeS16S8, QuantizeScaled, DequantizeScaled, QuantizeU8, DequantizeU8,
                        FlipSign];
    recurrent: onnx ["RNN", "GRU", "LSTM"] ops [Recurrent] kernels [RecurrentF32, RnnS8, GruS8, LstmS8];
    reduce:    onnx ["ReduceMean", "ReduceSum", "ReduceProd", "ReduceMax", "ReduceMin", "ReduceL1", "ReduceL2",
                     "ReduceLogSum", "ReduceLogSumExp", "ReduceSumSquare"]
               ops [Reduce]
               kernels [ReduceMeanF32, ReduceMeanS8, ReduceMeanS16, ReduceSum, ReduceProduct, ReduceMax, ReduceMin, ReduceL1, ReduceL2,
                        ReduceLogSum, ReduceLogSumExp, ReduceSumSquare];
    reshape:   onnx ["Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Dropout"] ops [Reshape] kernels [];
    resize:    onnx ["Resize", "Upsample"] ops [Resize] kernels [ResizeNearest, ResizeF32, ResizeS8, ResizeS16];
    reverse_sequence: onnx ["ReverseSequence"] ops [ReverseSequence] kernels [ReverseSteps];
    sample:    onnx ["GridSample", "AffineGrid", "DeformConv", "RoiAlign", "MaxRoiPool"]
               ops [GridSample, DeformConv, RoiAlign, MaxRoiPool]
               kernels [GridSampleF32, DeformConvF32, MaskedDeformConvF32, RoiAlignF32, MaxRoiPoolF32];
    scan:      onnx ["CumSum"] ops [CumSum] kernels [RunningSums];
    scatter:   onnx ["Scatter", "ScatterElements", "ScatterND", "TensorScatter"]
               ops [ScatterElements, ScatterND, TensorScatter]
               kernels [ScatterAlong, ScatterPoints, ScatterSteps];
    signal:    onnx ["BlackmanWindow", "HannWindow", "HammingWindow", "MelWeightMatrix", "DFT", "STFT"]
               ops [] kernels [];
    slice:     onnx ["Slice", "Split"] ops [Slice] kernels [SliceCopy];
    softmax:   onnx ["Softmax", "LogSoftmax"] ops [Softmax] kernels [SoftmaxF32, SoftmaxS8, SoftmaxS16, LogSoftmaxS8, LogSoftmaxS16];
    transpose: onnx ["Transpose"] ops [Transpose] kernels [TransposeCopy];
    trees:     onnx ["ai.onnx.ml:TreeEnsemble", "ai.onnx.ml:TreeEnsembleClassifier",
                     "ai.onnx.ml:TreeEnsembleRegressor"]
               ops [Trees] kernels [TreesF32, TreesS8];
    table:     onnx [] ops [Table] kernels [];
    ternary:   onnx ["Where"] ops [Where] kernels [WhereLoop];
    trilu:     onnx ["Trilu"] ops [Trilu] kernels [Triangle];
    unary:     onnx ["Relu", "Clip", "LeakyRelu", "Elu", "Celu", "Selu", "ThresholdedRelu", "Shrink", "Sigmoid",
                     "HardSigmoid", "Swish", "HardSwish", "Tanh", "Softplus", "Softsign", "Mish", "Gelu",
                     "com.microsoft:Gelu", "com.microsoft:QuickGelu", "Erf", "Exp", "Log",
                     "Sqrt", "Reciprocal", "Floor", "Ceil", "Round", "Sin", "Cos", "Tan", "Asin", "Acos", "Atan", "Sinh",
                     "Cosh", "Asinh", "Acosh", "Atanh", "Sign", "Neg", "Abs", "Not", "BitwiseNot", "IsNaN", "IsInf"]
               ops [Unary] kernels [UnaryLoop, LutS8, LutS16, LutBool];
    unpool:    onnx ["MaxUnpool", "Col2Im"] ops [MaxUnpool, Col2Im] kernels [UnpoolMaxima, AddBlocks];
}

/// An operator's name in the `ops!` table: `domain:operator`, without the domain for ONNX's standard operators.
pub fn qualified(domain: &str, op_type: &str) -> String {
    if matches!(domain, "" | "ai.onnx") { op_type.to_string() } else { format!("{domain}:{op_type}") }
}
