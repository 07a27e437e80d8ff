//! The suite's idea of equal: numpy's `assert_allclose` with its tolerances.

use mcuopt_codegen::tensor::{DType, Tensor};

/// Relative to the expected number, and absolute; `onnx.backend.test.loader` has them.
const TOLERANCE: (f64, f64) = (1e-3, 1e-7);

/// Compares an output, given as its bytes, with the expected tensor. Bools are bytes in firmware.
pub fn same(expected: &Tensor, dtype: DType, shape: &[usize], bytes: &[u8]) -> Result<(), String> {
    if dtype != expected.dtype().at_run_time() {
        return Err(format!("an output of type {dtype} instead of {}", expected.dtype()));
    }
    if shape != expected.shape() {
        return Err(format!("an output of shape {shape:?} instead of {:?}", expected.shape()));
    }
    let expected_bytes = to_bytes(expected);
    if bytes.len() != expected_bytes.len() {
        return Err(format!("an output of {} bytes instead of {}", bytes.len(), expected_bytes.len()));
    }
    let Tensor::F32(expected) = expected else {
        let wrong = bytes.chunks(dtype.size()).zip(expected_bytes.chunks(dtype.size())).filter(|(a, b)| a != b).count();
        return if wrong == 0 { Ok(()) } else { Err(format!("{wrong} of {} integers differ", expected.len())) };
    };
    let own = bytes.as_chunks::<4>().0.iter().map(|&bytes| f32::from_le_bytes(bytes));
    let wrong: Vec<(f32, f32)> =
        own.zip(expected.iter().copied()).filter(|&(own, expected)| !close(own, expected)).collect();
    match wrong.first() {
        None => Ok(()),
        Some((own, first)) => Err(format!("{} of {} numbers differ, {own} for {first}", wrong.len(), expected.len())),
    }
}

/// Whether two tensors of a type are the same, byte for byte. Which NaN an operation makes is left open by Rust.
pub fn identical(a: &[u8], b: &[u8], dtype: DType) -> bool {
    let nan = |bytes: &[u8; 4]| f32::from_le_bytes(*bytes).is_nan();
    let floats = || a.as_chunks::<4>().0.iter().zip(b.as_chunks::<4>().0);
    a == b || dtype == DType::F32 && a.len() == b.len() && floats().all(|(a, b)| a == b || nan(a) && nan(b))
}

fn close(own: f32, expected: f32) -> bool {
    let (relative, absolute) = TOLERANCE;
    let (own, expected) = (f64::from(own), f64::from(expected));
    own == expected
        || own.is_nan() && expected.is_nan()
        || expected.is_finite() && (own - expected).abs() <= absolute + relative * expected.abs()
}

/// Elements in order, the lowest byte first.
pub fn to_bytes(tensor: &Tensor) -> Vec<u8> {
    macro_rules! bytes {
        ($array:ident) => {
            $array.iter().flat_map(|x| x.to_le_bytes()).collect()
        };
    }
    match tensor {
        Tensor::F32(array) => bytes!(array),
        Tensor::I8(array) => bytes!(array),
        Tensor::U8(array) => bytes!(array),
        Tensor::I16(array) => bytes!(array),
        Tensor::U16(array) => bytes!(array),
        Tensor::I32(array) => bytes!(array),
        Tensor::U32(array) => bytes!(array),
        Tensor::I64(array) => bytes!(array),
        Tensor::U64(array) => bytes!(array),
        Tensor::Bool(array) => array.iter().map(|&x| u8::from(x)).collect(),
    }
}
