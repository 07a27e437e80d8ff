//! Element types: the numbers of `TensorProto.DataType`, their names, and what the compiler makes of them.

use crate::tensor::DType;

pub(super) const FLOAT: i32 = 1;
pub(super) const UINT8: i32 = 2;
pub(super) const INT8: i32 = 3;
pub(super) const UINT16: i32 = 4;
pub(super) const INT16: i32 = 5;
pub(super) const INT32: i32 = 6;
pub(super) const INT64: i32 = 7;
pub(super) const STRING: i32 = 8;
pub(super) const BOOL: i32 = 9;
pub(super) const FLOAT16: i32 = 10;
pub(super) const DOUBLE: i32 = 11;
pub(super) const UINT32: i32 = 12;
pub(super) const UINT64: i32 = 13;
pub(super) const BFLOAT16: i32 = 16;
pub(super) const FLOAT8E4M3FN: i32 = 17;
pub(super) const FLOAT8E4M3FNUZ: i32 = 18;
pub(super) const FLOAT8E5M2: i32 = 19;
pub(super) const FLOAT8E5M2FNUZ: i32 = 20;
pub(super) const UINT4: i32 = 21;
pub(super) const INT4: i32 = 22;

/// An element type of ONNX.
pub(super) struct Element {
    /// Its number in files.
    pub(super) code: i32,
    /// Its name in `tensor(…)`.
    pub(super) name: &'static str,
    /// What it is converted to; `None` if that is not supported.
    pub(super) dtype: Option<DType>,
    /// Bits of one element in `raw_data` and in external files; 0 if not supported.
    pub(super) bits: usize,
}

const fn element(code: i32, name: &'static str, dtype: DType, bits: usize) -> Element {
    Element { code, name, dtype: Some(dtype), bits }
}

const fn unsupported(code: i32, name: &'static str) -> Element {
    Element { code, name, dtype: None, bits: 0 }
}

/// All types of ONNX 1.20; those after 22 are newer than IR version 10 and listed to be named in messages.
static ELEMENTS: [Element; 26] = [
    element(FLOAT, "float", DType::F32, 32),
    element(UINT8, "uint8", DType::U8, 8),
    element(INT8, "int8", DType::I8, 8),
    element(UINT16, "uint16", DType::U16, 16),
    element(INT16, "int16", DType::I16, 16),
    element(INT32, "int32", DType::I32, 32),
    element(INT64, "int64", DType::I64, 64),
    unsupported(STRING, "string"),
    element(BOOL, "bool", DType::Bool, 8),
    element(FLOAT16, "float16", DType::F32, 16),
    element(DOUBLE, "double", DType::F32, 64),
    element(UINT32, "uint32", DType::U32, 32),
    element(UINT64, "uint64", DType::U64, 64),
    unsupported(14, "complex64"),
    unsupported(15, "complex128"),
    element(BFLOAT16, "bfloat16", DType::F32, 16),
    element(FLOAT8E4M3FN, "float8e4m3fn", DType::F32, 8),
    element(FLOAT8E4M3FNUZ, "float8e4m3fnuz", DType::F32, 8),
    element(FLOAT8E5M2, "float8e5m2", DType::F32, 8),
    element(FLOAT8E5M2FNUZ, "float8e5m2fnuz", DType::F32, 8),
    element(UINT4, "uint4", DType::U8, 4),
    element(INT4, "int4", DType::I8, 4),
    unsupported(23, "float4e2m1"),
    unsupported(24, "float8e8m0"),
    unsupported(25, "uint2"),
    unsupported(26, "int2"),
];

impl Element {
    /// The type with this number, if ONNX has one.
    pub(super) fn of(code: i32) -> Option<&'static Element> {
        ELEMENTS.iter().find(|element| element.code == code)
    }

    /// The type with this name.
    pub(super) fn named(name: &str) -> Option<&'static Element> {
        ELEMENTS.iter().find(|element| element.name == name)
    }
}
