//! Tensor values at compile time: constants of the file, samples, intermediate results of the interpreters.

use std::fmt;

use ndarray::{ArrayD, IxDyn};

use mcuopt_rt::number::Number as _;

use crate::call::Data;

/// Element types that the compiler distinguishes.
///
/// Float16, bfloat16 and double constants are converted to [`DType::F32`] when they are read, int4 and uint4 to
/// [`DType::I8`] and [`DType::U8`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum DType {
    F32,
    I8,
    U8,
    I16,
    U16,
    I32,
    U32,
    I64,
    U64,
    Bool,
}

impl DType {
    /// Bytes of one element.
    pub fn size(self) -> usize {
        match self {
            DType::I8 | DType::U8 | DType::Bool => 1,
            DType::I16 | DType::U16 => 2,
            DType::F32 | DType::I32 | DType::U32 => 4,
            DType::I64 | DType::U64 => 8,
        }
    }

    /// The type of the same values in firmware, where bool is uint8.
    pub fn at_run_time(self) -> DType {
        if self == DType::Bool { DType::U8 } else { self }
    }

    /// ONNX's name, as in `tensor(float)`.
    pub fn name(self) -> &'static str {
        match self {
            DType::F32 => "float",
            DType::I8 => "int8",
            DType::U8 => "uint8",
            DType::I16 => "int16",
            DType::U16 => "uint16",
            DType::I32 => "int32",
            DType::U32 => "uint32",
            DType::I64 => "int64",
            DType::U64 => "uint64",
            DType::Bool => "bool",
        }
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A dense tensor in row-major (standard) layout.
#[derive(Clone, PartialEq)]
#[allow(missing_docs)]
pub enum Tensor {
    F32(ArrayD<f32>),
    I8(ArrayD<i8>),
    U8(ArrayD<u8>),
    I16(ArrayD<i16>),
    U16(ArrayD<u16>),
    I32(ArrayD<i32>),
    U32(ArrayD<u32>),
    I64(ArrayD<i64>),
    U64(ArrayD<u64>),
    Bool(ArrayD<bool>),
}

/// Runs `$body` with `$array` bound to the typed array of `$tensor`, whatever its type.
#[macro_export]
#[doc(hidden)]
macro_rules! each_dtype {
    ($tensor:expr, $array:ident => $body:expr) => {
        match $tensor {
            $crate::tensor::Tensor::F32($array) => $body,
            $crate::tensor::Tensor::I8($array) => $body,
            $crate::tensor::Tensor::U8($array) => $body,
            $crate::tensor::Tensor::I16($array) => $body,
            $crate::tensor::Tensor::U16($array) => $body,
            $crate::tensor::Tensor::I32($array) => $body,
            $crate::tensor::Tensor::U32($array) => $body,
            $crate::tensor::Tensor::I64($array) => $body,
            $crate::tensor::Tensor::U64($array) => $body,
            $crate::tensor::Tensor::Bool($array) => $body,
        }
    };
}

macro_rules! conversions {
    ($($variant:ident $type:ty),*) => {$(
        impl From<ArrayD<$type>> for Tensor {
            fn from(array: ArrayD<$type>) -> Self {
                let standard = if array.is_standard_layout() { array } else { array.as_standard_layout().into_owned() };
                Tensor::$variant(standard)
            }
        }
    )*};
}
conversions!(F32 f32, I8 i8, U8 u8, I16 i16, U16 u16, I32 i32, U32 u32, I64 i64, U64 u64, Bool bool);

/// An element type of the firmware's tensors: all but bool, which is uint8 there.
pub trait Element: Copy + Default + PartialEq + 'static {
    /// Its name at run time.
    const DTYPE: DType;
    /// The elements of a tensor of this type in row-major order; none of another type's.
    fn of(tensor: &Tensor) -> &[Self];
    /// The elements of a tensor of this type in row-major order; none of another type's.
    fn of_mut(tensor: &mut Tensor) -> &mut [Self];
    /// As the constant of a kernel.
    fn data(elements: Vec<Self>) -> Data;
}

macro_rules! elements {
    ($($variant:ident $type:ty),*) => {$(
        impl Element for $type {
            const DTYPE: DType = DType::$variant;

            fn of(tensor: &Tensor) -> &[Self] {
                match tensor {
                    Tensor::$variant(array) => array.as_slice().unwrap_or_default(),
                    _ => &[],
                }
            }

            fn of_mut(tensor: &mut Tensor) -> &mut [Self] {
                match tensor {
                    Tensor::$variant(array) => array.as_slice_mut().unwrap_or_default(),
                    _ => &mut [],
                }
            }

            fn data(elements: Vec<Self>) -> Data {
                Data::$variant(elements)
            }
        }
    )*};
}
elements!(F32 f32, I8 i8, U8 u8, I16 i16, U16 u16, I32 i32, U32 u32, I64 i64, U64 u64);

/// Runs `$body` with `$element` bound to the Rust type of the listed element type that `$dtype` is; what is not listed
/// takes what stands behind `else`.
macro_rules! each_of {
    (
        $dtype:expr, $element:ident => $body:expr,
        [$($($variant:ident)|+ => $type:ident),*] $(else $rest:ident)? $(else { $other:expr })?
    ) => {
        match $dtype {
            $($($crate::tensor::DType::$variant)|+ => {
                type $element = $type;
                $body
            })*
            $(_ => {
                type $element = $rest;
                $body
            })?
            $(_ => $other,)?
        }
    };
}
pub(crate) use each_of;

/// Runs `$body` with `$element` bound to the element type that `$dtype` names. bool is uint8, as in firmware.
macro_rules! each_element {
    ($dtype:expr, $element:ident => $body:expr) => {
        $crate::tensor::each_of!($dtype, $element => $body, [
            F32 => f32, I8 => i8, U8 | Bool => u8, I16 => i16, U16 => u16, I32 => i32, U32 => u32, I64 => i64, U64 => u64
        ])
    };
}
pub(crate) use each_element;

/// Runs `$body` with `$element` bound to the integer type that `$dtype` names, and nothing for floats.
macro_rules! each_integer {
    ($dtype:expr, $element:ident => $body:expr) => {
        $crate::tensor::each_of!($dtype, $element => $body, [
            I8 => i8, U8 | Bool => u8, I16 => i16, U16 => u16, I32 => i32, U32 => u32, I64 => i64, U64 => u64
        ] else { {} })
    };
}
pub(crate) use each_integer;

/// Runs `$body` with `$element` bound to the type of an index tensor: int64, or else int32.
macro_rules! each_index {
    ($dtype:expr, $element:ident => $body:expr) => {
        $crate::tensor::each_of!($dtype, $element => $body, [I64 => i64] else i32)
    };
}
pub(crate) use each_index;

/// Runs `$body` with `$element` bound to the type of quantized elements that `$dtype` names.
macro_rules! each_quantized {
    ($dtype:expr, $element:ident => $body:expr) => {
        $crate::tensor::each_of!($dtype, $element => $body, [I8 => i8, U8 => u8, I16 => i16, U16 => u16] else i32)
    };
}
pub(crate) use each_quantized;

/// Runs `$body` with `$element` bound to i8 or u8.
macro_rules! each_byte {
    ($dtype:expr, $element:ident => $body:expr) => {
        $crate::tensor::each_of!($dtype, $element => $body, [I8 => i8] else u8)
    };
}
pub(crate) use each_byte;

impl Tensor {
    /// A tensor of the given shape, or `None` where the number of elements differs.
    pub fn new<T>(shape: &[usize], data: Vec<T>) -> Option<Self>
    where
        Tensor: From<ArrayD<T>>,
    {
        ArrayD::from_shape_vec(IxDyn(shape), data).ok().map(Tensor::from)
    }

    /// A one-dimensional int64 tensor: shapes, axes, pads.
    pub fn from_i64s(values: &[i64]) -> Self {
        Tensor::I64(ArrayD::from_shape_fn(IxDyn(&[values.len()]), |index| values[index[0]]))
    }

    /// An int64 tensor without dimensions.
    pub fn from_i64(value: i64) -> Self {
        Tensor::I64(ArrayD::from_elem(IxDyn(&[]), value))
    }

    /// A bool tensor without dimensions.
    pub fn from_bool(value: bool) -> Self {
        Tensor::Bool(ArrayD::from_elem(IxDyn(&[]), value))
    }

    /// A float tensor without dimensions.
    pub fn scalar(value: f32) -> Self {
        Tensor::F32(ArrayD::from_elem(IxDyn(&[]), value))
    }

    /// A tensor of zeros.
    pub fn zeros(dtype: DType, shape: &[usize]) -> Self {
        if dtype == DType::Bool {
            return Tensor::Bool(ArrayD::from_elem(IxDyn(shape), false));
        }
        each_element!(dtype, T => Tensor::from(ArrayD::<T>::zeros(IxDyn(shape))))
    }

    /// A tensor of one number, fractions cut off for integers.
    pub fn filled(dtype: DType, shape: &[usize], number: f32) -> Self {
        if dtype == DType::F32 {
            return Tensor::F32(ArrayD::from_elem(IxDyn(shape), number));
        }
        each_element!(dtype, T => Tensor::from(ArrayD::<T>::from_elem(IxDyn(shape), T::from_i64(number as i64))))
    }

    /// Floats as another type, fractions cut off; `None` for a tensor that is not float.
    pub fn cast(&self, dtype: DType) -> Option<Tensor> {
        let Tensor::F32(array) = self else { return None };
        Some(match dtype {
            DType::F32 => self.clone(),
            DType::Bool => Tensor::Bool(array.mapv(|value| value != 0.0)),
            other => each_element!(other, T => Tensor::from(array.mapv(|value| T::from_i64(value as i64)))),
        })
    }

    /// As firmware holds it: bool as uint8.
    pub fn at_run_time(&self) -> Tensor {
        match self {
            Tensor::Bool(array) => Tensor::U8(array.mapv(u8::from)),
            other => other.clone(),
        }
    }

    /// Back from [`at_run_time`](Self::at_run_time).
    pub fn as_declared(self, dtype: DType) -> Tensor {
        match (self, dtype) {
            (Tensor::U8(array), DType::Bool) => Tensor::Bool(array.mapv(|value| value != 0)),
            (other, _) => other,
        }
    }

    /// Element type.
    pub fn dtype(&self) -> DType {
        match self {
            Tensor::F32(_) => DType::F32,
            Tensor::I8(_) => DType::I8,
            Tensor::U8(_) => DType::U8,
            Tensor::I16(_) => DType::I16,
            Tensor::U16(_) => DType::U16,
            Tensor::I32(_) => DType::I32,
            Tensor::U32(_) => DType::U32,
            Tensor::I64(_) => DType::I64,
            Tensor::U64(_) => DType::U64,
            Tensor::Bool(_) => DType::Bool,
        }
    }

    /// Dimensions, outermost first.
    pub fn shape(&self) -> &[usize] {
        each_dtype!(self, array => array.shape())
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        each_dtype!(self, array => array.len())
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The floats in row-major order; `None` for other types.
    pub fn f32s(&self) -> Option<&[f32]> {
        match self {
            Tensor::F32(array) => array.as_slice(),
            _ => None,
        }
    }

    /// The values as int64, for every integer type and bool; `None` for floats.
    pub fn to_i64s(&self) -> Option<Vec<i64>> {
        match self {
            Tensor::F32(_) => None,
            Tensor::Bool(array) => Some(array.iter().map(|&v| i64::from(v)).collect()),
            Tensor::I8(array) => Some(array.iter().map(|&v| i64::from(v)).collect()),
            Tensor::U8(array) => Some(array.iter().map(|&v| i64::from(v)).collect()),
            Tensor::I16(array) => Some(array.iter().map(|&v| i64::from(v)).collect()),
            Tensor::U16(array) => Some(array.iter().map(|&v| i64::from(v)).collect()),
            Tensor::I32(array) => Some(array.iter().map(|&v| i64::from(v)).collect()),
            Tensor::U32(array) => Some(array.iter().map(|&v| i64::from(v)).collect()),
            Tensor::I64(array) => Some(array.iter().copied().collect()),
            Tensor::U64(array) => Some(array.iter().map(|&v| v as i64).collect()),
        }
    }

    /// The same elements under another shape, or `None` where the number of elements differs.
    pub fn reshaped(&self, shape: &[usize]) -> Option<Tensor> {
        each_dtype!(self, array => array.clone().into_shape_with_order(IxDyn(shape)).ok().map(Tensor::from))
    }

    /// The axes reordered: output axis `i` is input axis `perm[i]`. `perm` must be a permutation of the axes.
    pub fn transposed(&self, perm: &[usize]) -> Tensor {
        each_dtype!(self, array => Tensor::from(array.clone().permuted_axes(IxDyn(perm))))
    }
}

impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{:?}", self.dtype(), self.shape())
    }
}
