//! Functions of one element: activations, rounding, roots, conversions of type. In int8 each is a table of 256 entries.
//!
//! <https://onnx.ai/onnx/operators/onnx__Relu.html> and its siblings, opset 6 on; of the domain `com.microsoft` the
//! forms of Gelu.

use mcuopt_rt::v0 as rt;
use proc_macro2::TokenStream;
use quote::{format_ident, quote};

use super::binary::{Binary, Kind};
use super::{
    Io, Lowered, Op, Operator, Overlap, Routine, Scales, eval_by_kernel, f32s, f32s_mut, i8s, i8s_mut, i16s,
    i16s_mut, linear, result,
};
use crate::builder::Builder;
use crate::call::{Call, Constant, Data, Literal, struct_literals};
use crate::error::Error;
use crate::graph::{Quantization, Type, ValueId};
use crate::onnx;
use crate::tensor::{DType, Element, Tensor, each_integer};

/// An elementwise function.
#[derive(Clone, Debug, PartialEq)]
pub struct Unary {
    /// Which one.
    pub function: Function,
}

/// Defines [`Function`]: the structs of mcuopt-rt, with parameters or without, by the types of their values.
macro_rules! functions {
    (
        floats [$($float:ident($float_struct:ident)),*]
        plain [$($plain:ident),*]
        numbers [$($number:ident),*]
        signed [$($signed:ident),*]
        integers [$($integer:ident),*]
        truths [$($truth:ident),*]
    ) => {
        /// The functions of one element.
        #[derive(Clone, Copy, Debug, PartialEq)]
        #[allow(missing_docs)]
        pub enum Function {
            $($float(rt::$float_struct),)*
            $($plain(rt::$plain),)*
            $($number(rt::$number),)*
            $($signed(rt::$signed),)*
            $($integer(rt::$integer),)*
            $($truth(rt::$truth),)*
            Not(rt::Not),
        }

        impl Function {
            /// The name of the function's struct in mcuopt-rt.
            pub fn rust_name(&self) -> &'static str {
                match self {
                    $(Function::$float(_) => stringify!($float_struct),)*
                    $(Function::$plain(_) => stringify!($plain),)*
                    $(Function::$number(_) => stringify!($number),)*
                    $(Function::$signed(_) => stringify!($signed),)*
                    $(Function::$integer(_) => stringify!($integer),)*
                    $(Function::$truth(_) => stringify!($truth),)*
                    Function::Not(_) => "Not",
                }
            }

            /// From float to float.
            fn of_floats(&self) -> Option<&dyn rt::Function<f32, f32>> {
                match self {
                    $(Function::$float(f) => Some(f),)*
                    $(Function::$plain(f) => Some(f),)*
                    $(Function::$number(f) => Some(f),)*
                    $(Function::$signed(f) => Some(f),)*
                    _ => None,
                }
            }

            /// From float to a truth value.
            fn of_floats_to_bool(&self) -> Option<&dyn rt::Function<f32, u8>> {
                match self {
                    $(Function::$truth(f) => Some(f),)*
                    _ => None,
                }
            }

            /// The type of the values for arguments of the given type, if there are any.
            fn output(&self, x: DType) -> Option<DType> {
                let is_integer = !matches!(x, DType::F32 | DType::Bool);
                let is_signed = matches!(x, DType::I8 | DType::I16 | DType::I32 | DType::I64);
                match self {
                    $(Function::$truth(_))|* if x == DType::F32 => Some(DType::Bool),
                    $(Function::$number(_))|* if is_integer => Some(x),
                    $(Function::$signed(_))|* if is_signed => Some(x),
                    $(Function::$integer(_))|* if is_integer => Some(x),
                    Function::Not(_) if x == DType::Bool => Some(x),
                    _ if x == DType::F32 => self.of_floats().map(|_| x),
                    _ => None,
                }
            }

            fn run(&self, x: &Tensor, y: &mut Tensor) {
                match (self, y.dtype()) {
                    (Function::Not(f), _) => rt::unary(f, u8::of(x), u8::of_mut(y)),
                    (_, DType::F32) => {
                        if let Some(f) = self.of_floats() {
                            rt::unary(f, f32s(x), f32s_mut(y));
                        }
                    }
                    _ if x.dtype() == DType::F32 => {
                        if let Some(f) = self.of_floats_to_bool() {
                            rt::unary(f, f32s(x), u8::of_mut(y));
                        }
                    }
                    $((Function::$number(f), dtype) => {
                        each_integer!(dtype, T => rt::unary(f, T::of(x), T::of_mut(y)));
                    })*
                    $((Function::$integer(f), dtype) => {
                        each_integer!(dtype, T => rt::unary(f, T::of(x), T::of_mut(y)));
                    })*
                    $((Function::$signed(f), DType::I8) => rt::unary(f, i8::of(x), i8::of_mut(y)),)*
                    $((Function::$signed(f), DType::I16) => rt::unary(f, i16::of(x), i16::of_mut(y)),)*
                    $((Function::$signed(f), DType::I32) => rt::unary(f, i32::of(x), i32::of_mut(y)),)*
                    $((Function::$signed(f), DType::I64) => rt::unary(f, i64::of(x), i64::of_mut(y)),)*
                    _ => {}
                }
            }
        }
    };
}

functions! {
    floats [
        Clip(Clamp), LeakyRelu(LeakyRelu), Elu(Elu), Celu(Celu), Selu(Selu), ThresholdedRelu(ThresholdedRelu),
        Shrink(Shrink), HardSigmoid(HardSigmoid), Swish(Swish)
    ]
    plain [
        Sigmoid, HardSwish, Tanh, Softplus, Softsign, Mish, Gelu, GeluTanh, Erf, Exp, Log, Sqrt, Reciprocal, Floor, Ceil,
        Round, Sin, Cos, Tan, Asin, Acos, Atan, Sinh, Cosh, Asinh, Acosh, Atanh
    ]
    numbers [Sign, HalfPower]
    signed [Abs, Neg]
    integers [BitwiseNot]
    truths [IsNaN, IsInf]
}

struct_literals! {
    LeakyRelu { alpha }
    Elu { alpha }
    Celu { alpha }
    Selu { alpha, gamma }
    ThresholdedRelu { alpha }
    Shrink { lambd, bias }
    HardSigmoid { alpha, beta }
    Swish { alpha }
    HalfPower { halves }
    IsInf { negative, positive }
}

impl Function {
    /// The function's value for a float, if it has one that is a float.
    pub fn apply(&self, x: f32) -> f32 {
        self.of_floats().map_or(f32::NAN, |f| f.apply(x))
    }

    /// Relu and Clip.
    pub fn clip(min: f32, max: f32) -> Self {
        Function::Clip(rt::Clamp { min, max })
    }

    /// How the function is passed to a kernel: with parameters as a `const` of the layer's name.
    fn argument(&self) -> Constant {
        fn named(params: &impl Literal) -> Constant {
            Constant::Params { suffix: "", ty: params.ty(), value: params.literal() }
        }
        match self {
            Function::Clip(f) => named(f),
            Function::LeakyRelu(f) => named(f),
            Function::Elu(f) => named(f),
            Function::Celu(f) => named(f),
            Function::Selu(f) => named(f),
            Function::ThresholdedRelu(f) => named(f),
            Function::Shrink(f) => named(f),
            Function::HardSigmoid(f) => named(f),
            Function::Swish(f) => named(f),
            Function::HalfPower(f) => named(f),
            Function::IsInf(f) => named(f),
            _ => Constant::Value(by_name(self.rust_name())),
        }
    }
}

/// `&rt::Name`: a struct without fields.
pub(super) fn by_name(name: &str) -> TokenStream {
    let name = format_ident!("{name}");
    quote!(&rt::#name)
}

/// ONNX's operators without attributes.
const PLAIN: &[(&str, Function)] = &[
    ("Sigmoid", Function::Sigmoid(rt::Sigmoid)),
    ("HardSwish", Function::HardSwish(rt::HardSwish)),
    ("Tanh", Function::Tanh(rt::Tanh)),
    ("Softplus", Function::Softplus(rt::Softplus)),
    ("Softsign", Function::Softsign(rt::Softsign)),
    ("Mish", Function::Mish(rt::Mish)),
    ("Erf", Function::Erf(rt::Erf)),
    ("Exp", Function::Exp(rt::Exp)),
    ("Log", Function::Log(rt::Log)),
    ("Sqrt", Function::Sqrt(rt::Sqrt)),
    ("Reciprocal", Function::Reciprocal(rt::Reciprocal)),
    ("Floor", Function::Floor(rt::Floor)),
    ("Ceil", Function::Ceil(rt::Ceil)),
    ("Round", Function::Round(rt::Round)),
    ("Sin", Function::Sin(rt::Sin)),
    ("Cos", Function::Cos(rt::Cos)),
    ("Tan", Function::Tan(rt::Tan)),
    ("Asin", Function::Asin(rt::Asin)),
    ("Acos", Function::Acos(rt::Acos)),
    ("Atan", Function::Atan(rt::Atan)),
    ("Sinh", Function::Sinh(rt::Sinh)),
    ("Cosh", Function::Cosh(rt::Cosh)),
    ("Asinh", Function::Asinh(rt::Asinh)),
    ("Acosh", Function::Acosh(rt::Acosh)),
    ("Atanh", Function::Atanh(rt::Atanh)),
    ("Sign", Function::Sign(rt::Sign)),
    ("Neg", Function::Neg(rt::Neg)),
    ("BitwiseNot", Function::BitwiseNot(rt::BitwiseNot)),
    ("Not", Function::Not(rt::Not)),
    ("IsNaN", Function::IsNaN(rt::IsNaN)),
    ("com.microsoft:Gelu", Function::Gelu(rt::Gelu)),
];

/// An activation → Unary. Relu and Clip are both the function `Clip`, or, of integers, Max and Min.
pub fn import(node: &onnx::Node, b: &mut Builder<'_>) -> Result<Vec<ValueId>, Error> {
    let x = b.input(0)?;
    let dtype = b.graph.value(x).ty.dtype;
    let name = super::qualified(&node.domain, &node.op_type);
    let function = match name.as_str() {
        "Relu" if dtype == DType::F32 => Function::clip(0.0, f32::INFINITY),
        "Relu" => {
            let zero = b.constant(Tensor::zeros(dtype, &[]));
            return Ok(vec![b.push(Binary::new(Kind::Max), &[x, zero])?]);
        }
        "Clip" => return clip(b, x),
        "Abs" if matches!(dtype, DType::U8 | DType::U16 | DType::U32 | DType::U64) => return Ok(vec![x]),
        "Abs" => Function::Abs(rt::Abs),
        "LeakyRelu" => Function::LeakyRelu(rt::LeakyRelu { alpha: b.float("alpha", 0.01)? }),
        "Elu" => Function::Elu(rt::Elu { alpha: b.float("alpha", 1.0)? }),
        "Celu" => Function::Celu(rt::Celu { alpha: b.float("alpha", 1.0)? }),
        "Selu" => {
            let (alpha, gamma) = (b.float("alpha", 1.673_263_2)?, b.float("gamma", 1.050_701)?);
            Function::Selu(rt::Selu { alpha, gamma })
        }
        "ThresholdedRelu" => Function::ThresholdedRelu(rt::ThresholdedRelu { alpha: b.float("alpha", 1.0)? }),
        "Shrink" => Function::Shrink(rt::Shrink { lambd: b.float("lambd", 0.5)?, bias: b.float("bias", 0.0)? }),
        "HardSigmoid" => {
            Function::HardSigmoid(rt::HardSigmoid { alpha: b.float("alpha", 0.2)?, beta: b.float("beta", 0.5)? })
        }
        "Swish" => Function::Swish(rt::Swish { alpha: b.float("alpha", 1.0)? }),
        "com.microsoft:QuickGelu" => Function::Swish(rt::Swish { alpha: b.float("alpha", 1.702)? }),
        "Gelu" => match b.string("approximate", "none")?.as_str() {
            "none" => Function::Gelu(rt::Gelu),
            "tanh" => Function::GeluTanh(rt::GeluTanh),
            other => {
                let error = Error::unsupported(format!("the approximation `{other}`")).instead("none or tanh");
                return Err(error.part("attribute `approximate`"));
            }
        },
        "IsInf" => {
            let (negative, positive) = (b.int("detect_negative", 1)? != 0, b.int("detect_positive", 1)? != 0);
            Function::IsInf(rt::IsInf { negative, positive })
        }
        name => match PLAIN.iter().find(|(plain, _)| *plain == name) {
            Some((_, function)) => *function,
            None => return Err(Error::bug(format!("{name} is no function of one element"))),
        },
    };
    Ok(vec![b.push(Unary { function }, &[x])?])
}

/// The limits are attributes up to opset 10, operands since.
fn clip(b: &mut Builder<'_>, x: ValueId) -> Result<Vec<ValueId>, Error> {
    let (lowest, highest) = (f32::NEG_INFINITY, f32::INFINITY);
    let is_float = b.graph.value(x).ty.dtype == DType::F32;
    let limits = if b.opset < 11 { [None, None] } else { [b.optional(1)?, b.optional(2)?] };
    if let Some(y) = super::quantize::clip_before_rounding(b, x, limits)? {
        return Ok(vec![y]);
    }
    let is_constant = |id: &ValueId| b.graph.constant(*id).is_some();
    if !is_float || !limits.iter().flatten().all(is_constant) {
        let mut y = x;
        for (limit, kind) in limits.into_iter().zip([Kind::Max, Kind::Min]) {
            if let Some(limit) = limit {
                y = b.push(Binary::new(kind), &[y, limit])?;
            }
        }
        return Ok(vec![y]);
    }
    let (min, max) = match b.opset < 11 {
        true => (b.float("min", lowest)?, b.float("max", highest)?),
        false => (b.scalar(1)?.unwrap_or(lowest), b.scalar(2)?.unwrap_or(highest)),
    };
    // ONNX: where min is above max, everything becomes max.
    Ok(vec![b.push(Unary { function: Function::clip(min.min(max), max) }, &[x])?])
}

/// Whether `op` changes no number that a quantization can represent: quantizing alone limits the values.
pub fn is_identity(op: &Op, quantization: &Quantization) -> bool {
    let (Op::Unary(Unary { function: Function::Clip(clamp) }), Some((scale, zero_point))) = (op, quantization.single())
    else {
        return false;
    };
    let real = |q: i32| (q - zero_point) as f32 * scale;
    let (min, max) = quantization.width.limits();
    real(min) >= clamp.min && real(max) <= clamp.max
}

impl Operator for Unary {
    fn name(&self) -> &'static str {
        match self.function {
            Function::Clip(clamp) if clamp.min == 0.0 && clamp.max == f32::INFINITY => "Relu",
            Function::Clip(_) => "Clip",
            Function::GeluTanh(_) => "Gelu",
            Function::HalfPower(_) => "Pow",
            _ => self.function.rust_name(),
        }
    }

    fn infer(&self, inputs: &[&Type]) -> Result<Vec<Type>, Error> {
        let [x] = inputs else { return Err(Error::bug("one operand is needed")) };
        let dtype = self.function.output(x.dtype).ok_or_else(|| {
            let error = Error::unsupported(format!("{} of {}", self.name(), x.dtype)).instead("a float input");
            error.part("input 0")
        })?;
        Ok(vec![Type { dtype, shape: x.shape.clone() }])
    }

    fn eval(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>, Error> {
        match (inputs[0].f32s(), self.function.of_floats()) {
            (Some(x), Some(f)) => result(inputs[0].shape(), x.iter().map(|&x| f.apply(x)).collect()),
            _ => {
                let ty = Type { dtype: inputs[0].dtype(), shape: inputs[0].shape().to_vec() };
                eval_by_kernel(self.infer(&[&ty])?, &mut |io| self.lower(io), &[], inputs)
            }
        }
    }

    fn scales(&self) -> Scales {
        match self.function {
            Function::Sigmoid(_) | Function::HardSigmoid(_) => Scales::Fixed(1.0 / 256.0, -128),
            Function::Tanh(_) | Function::Erf(_) | Function::Softsign(_) => Scales::Fixed(1.0 / 128.0, 0),
            Function::IsNaN(_) | Function::IsInf(_) => Scales::Float,
            _ => Scales::Calibrated,
        }
    }

    fn has_int16(&self) -> bool {
        !matches!(self.scales(), Scales::Float)
    }

    fn pointwise(&self) -> bool {
        true
    }

    fn lower(&self, io: &Io<'_>) -> Result<Lowered, Error> {
        // The integers of an int8 tensor that stand for themselves have no quantization.
        let is_quantized = matches!(io.output.ty.dtype, DType::I8 | DType::I16) && io.output.quantization.is_some();
        if !is_quantized {
            return Ok(UnaryLoop { function: self.function }.into());
        }
        if io.output.ty.dtype == DType::I16 {
            if let Function::Clip(clamp) = self.function {
                return Ok(super::quantize::RequantizeS16::new(io.inputs[0], io.output, &clamp)?.into());
            }
            let table = reals_of_table(linear::scale_of(io.inputs[0])?).into_iter().map(|x| self.function.apply(x));
            return table_s16(table, linear::scale_of(io.output)?);
        }
        let [(x_scale, x_zero_point), (scale, zero_point)] =
            [linear::scale_of(io.inputs[0])?, linear::scale_of(io.output)?];
        let entry = |q: i8| {
            let y = self.function.apply(rt::dequantize(q, x_scale, x_zero_point));
            rt::quantize_f32(y, scale, zero_point)
        };
        Ok(table((i8::MIN..=i8::MAX).map(entry).collect(), io))
    }
}

/// The layer that looks its results up; no layer for a Relu whose input's quantization holds no negative number, say.
pub(super) fn table(table: Vec<i8>, io: &Io<'_>) -> Lowered {
    let is_identity = table.iter().copied().eq(i8::MIN..=i8::MAX);
    // The same integers may stand for other reals: a factor has its place between two scales.
    let is_same = io.inputs[0].quantization == io.output.quantization;
    if is_identity && is_same { Lowered::Alias } else { LutS8 { table }.into() }
}

/// What the entries of a [`LutS16`] stand for.
pub(super) fn reals_of_table((scale, zero_point): (f32, i32)) -> Vec<f32> {
    let entry = |entry: usize| 128 * entry as i32 + i32::from(i16::MIN);
    (0..rt::LUT_S16_LEN).map(|at| (entry(at) - zero_point) as f32 * scale).collect()
}

/// The layer that interpolates between results.
pub(super) fn table_s16(
    results: impl IntoIterator<Item = f32>,
    (scale, zero_point): (f32, i32),
) -> Result<Lowered, Error> {
    Ok(LutS16 { table: results.into_iter().map(|y| rt::quantize_f32_i16(y, scale, zero_point)).collect() }.into())
}

/// `lut_s16` with its table.
#[derive(Clone, Debug)]
pub struct LutS16 {
    /// The output for −32768, −32640, … 32768.
    pub table: Vec<i16>,
}

impl Routine for LutS16 {
    fn call(&self, _: DType) -> Call {
        Call::new("lut_s16").array("_TABLE", Data::I16(self.table.clone()))
    }

    fn run(&self, x: &[&Tensor], y: &mut Tensor) {
        let mut table = [0; rt::LUT_S16_LEN];
        table.copy_from_slice(&self.table);
        rt::lut_s16(&table, i16s(x[0]), i16s_mut(y));
    }

    fn overlap(&self, _: usize) -> Overlap {
        Overlap::Same
    }
}

/// `unary` with its function.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct UnaryLoop {
    pub function: Function,
}

impl Routine for UnaryLoop {
    fn call(&self, _: DType) -> Call {
        let mut call = Call::new("unary");
        call.constants.push(self.function.argument());
        call
    }

    fn run(&self, x: &[&Tensor], y: &mut Tensor) {
        self.function.run(x[0], y);
    }

    fn overlap(&self, _: usize) -> Overlap {
        match self.function {
            Function::IsNaN(_) | Function::IsInf(_) => Overlap::Never,
            _ => Overlap::Same,
        }
    }
}

/// `lut_s8` with its table.
#[derive(Clone, Debug)]
pub struct LutS8 {
    /// The output for −128, −127, … 127.
    pub table: Vec<i8>,
}

impl Routine for LutS8 {
    fn call(&self, _: DType) -> Call {
        Call::inlined("lut_s8").array("_TABLE", Data::I8(self.table.clone()))
    }

    fn run(&self, x: &[&Tensor], y: &mut Tensor) {
        let mut table = [0; 256];
        table.copy_from_slice(&self.table);
        rt::lut_s8(&table, i8s(x[0]), i8s_mut(y));
    }

    fn overlap(&self, _: usize) -> Overlap {
        Overlap::Same
    }
}

/// `lut_s8` with a table of truth values.
#[derive(Clone, Debug)]
pub struct LutBool {
    /// The output, 0 or 1, for −128, −127, … 127.
    pub table: Vec<u8>,
}

impl Routine for LutBool {
    fn call(&self, _: DType) -> Call {
        Call::inlined("lut_s8").array("_TABLE", Data::U8(self.table.clone()))
    }

    fn run(&self, x: &[&Tensor], y: &mut Tensor) {
        let mut table = [0; 256];
        table.copy_from_slice(&self.table);
        rt::lut_s8(&table, i8s(x[0]), u8::of_mut(y));
    }
}
