//! Operators on quantized operands: QLinearConv and its kin, and ONNX Runtime's of the domain com.microsoft.
//!
//! <https://onnx.ai/onnx/operators/onnx__QLinearConv.html>, <https://onnx.ai/onnx/operators/onnx__QLinearMatMul.html> and
//! <https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md>. Each is a DequantizeLinear for each
//! operand, the operator on reals, and a QuantizeLinear: the form that other exporters write, which `simplify` turns into
//! integer kernels.

use super::quantize::{self, Layout};
use crate::builder::Builder;
use crate::error::Error;
use crate::graph::ValueId;
use crate::onnx::{self, Attribute};

type Attributes = Vec<(String, Attribute)>;

/// A quantized operator → DequantizeLinear, the operator, QuantizeLinear.
pub fn import(node: &onnx::Node, b: &mut Builder<'_>) -> Result<Vec<ValueId>, Error> {
    let y = match node.op_type.as_str() {
        "QLinearConv" => conv(b)?,
        "QLinearMatMul" => matmul(b)?,
        "QGemm" => gemm(b)?,
        "QLinearConcat" => concat(b)?,
        "QLinearAdd" | "QLinearMul" => {
            let operands = [real(b, 0)?, real(b, 3)?];
            let y = b.import(&node.op_type["QLinear".len()..], &operands.map(Some), Vec::new())?;
            integers(b, y, 6, 7)?
        }
        "QLinearSoftmax" => softmax(b)?,
        "QLinearAveragePool" => {
            let names = ["auto_pad", "ceil_mode", "count_include_pad", "dilations", "kernel_shape", "pads", "strides"];
            let attributes = b.attributes(&names);
            pool(b, "AveragePool", attributes)?
        }
        "QLinearGlobalAveragePool" => pool(b, "GlobalAveragePool", Vec::new())?,
        "QLinearLeakyRelu" => {
            let attributes = b.attributes(&["alpha"]);
            unary(b, "LeakyRelu", attributes)?
        }
        "QLinearSigmoid" => unary(b, "Sigmoid", Vec::new())?,
        other => return Err(Error::bug(format!("{other} is no quantized operator"))),
    };
    Ok(vec![y])
}

/// The reals that operand `index` stands for; its scale and zero point are the two operands behind it.
fn real(b: &mut Builder<'_>, index: usize) -> Result<ValueId, Error> {
    real_along(b, index, 0)
}

/// [`real`] where there may be a scale for each position along an axis.
fn real_along(b: &mut Builder<'_>, index: usize, axis: i64) -> Result<ValueId, Error> {
    let (x, scale, zero_point) = (b.input(index)?, b.input(index + 1)?, b.optional(index + 2)?);
    let zero_point = zero_point.map(|id| like(b, id, scale)).transpose()?;
    quantize::dequantize(b, x, scale, zero_point, Layout::along(axis))
}

/// One zero point for several scales, as many times as there are scales.
fn like(b: &mut Builder<'_>, zero_point: ValueId, scale: ValueId) -> Result<ValueId, Error> {
    let (count, shape) = (b.shape(scale).iter().product::<usize>(), b.shape(scale).to_vec());
    match b.graph.constant(zero_point) {
        Some(tensor) if tensor.len() == 1 && count > 1 => {
            let flat = tensor.reshaped(&vec![1; shape.len()]).ok_or_else(|| Error::bug("one element has any shape"))?;
            let repeated = crate::each_dtype!(&flat, array => array.broadcast(&shape[..]).map(|view| view.to_owned().into()));
            Ok(b.constant(repeated.ok_or_else(|| Error::bug("one element broadcasts"))?))
        }
        _ => Ok(zero_point),
    }
}

/// The result as integers, with the scale and the zero point of the given operands.
fn integers(b: &mut Builder<'_>, y: ValueId, scale: usize, zero_point: usize) -> Result<ValueId, Error> {
    let (scale, zero_point) = (b.input(scale)?, b.optional(zero_point)?);
    let dtype = zero_point.map_or(crate::tensor::DType::U8, |id| b.graph.value(id).ty.dtype);
    let axis = b.shape(y).len() as i64 - 2;
    quantize::quantize(b, y, scale, zero_point, dtype, Layout::along(axis))
}

fn unary(b: &mut Builder<'_>, op: &str, attributes: Attributes) -> Result<ValueId, Error> {
    let x = real(b, 0)?;
    let y = b.import(op, &[Some(x)], attributes)?;
    integers(b, y, 3, 4)
}

/// The int32 bias of a layer, whose scale is the product of its operands'.
fn bias(b: &mut Builder<'_>, index: usize, scales: [ValueId; 2], factor: f32) -> Result<Option<ValueId>, Error> {
    let Some(bias) = b.optional(index)? else { return Ok(None) };
    let known = |id: ValueId| {
        let scales = b.graph.constant(id).and_then(|tensor| tensor.f32s()).map(<[f32]>::to_vec);
        scales.ok_or_else(|| Error::unsupported("a scale that is computed at run time").instead("constant scales"))
    };
    let [x, w] = [known(scales[0])?, known(scales[1])?];
    let (Some(values), [x]) = (b.graph.constant(bias).and_then(|tensor| tensor.to_i64s()), &x[..]) else {
        let error = Error::unsupported("a bias that is computed at run time, or a scale for each row");
        return Err(error.instead("a constant bias of int32").part(format!("input {index}")));
    };
    let scale = |index: usize| w.get(if w.len() == 1 { 0 } else { index % w.len() }).copied().unwrap_or(0.0) * x;
    let reals = values.iter().enumerate().map(|(index, &value)| value as f32 * scale(index) * factor).collect();
    let shape = b.shape(bias).to_vec();
    let tensor = crate::tensor::Tensor::new::<f32>(&shape, reals).ok_or_else(|| Error::bug("a bias changed its size"))?;
    Ok(Some(b.constant(tensor)))
}

/// x, its scale and zero point, w, its scales and zero points, y's scale and zero point, bias.
fn conv(b: &mut Builder<'_>) -> Result<ValueId, Error> {
    let attributes = b.attributes(&["auto_pad", "dilations", "group", "kernel_shape", "pads", "strides"]);
    let (x, w) = (real(b, 0)?, real_along(b, 3, 0)?);
    let scales = [b.input(1)?, b.input(4)?];
    let bias = bias(b, 8, scales, 1.0)?;
    refuse_channels_last(b)?;
    let y = b.import("Conv", &[Some(x), Some(w), bias], attributes)?;
    integers(b, y, 6, 7)
}

/// a with its scales for rows, b with its scales for columns, y's.
fn matmul(b: &mut Builder<'_>) -> Result<ValueId, Error> {
    let rank = |b: &Builder<'_>, index| Ok::<_, Error>(b.shape(b.input(index)?).len() as i64);
    let (rows, columns) = (rank(b, 0)? - 2, rank(b, 3)? - 1);
    let operands = [real_along(b, 0, rows)?, real_along(b, 3, columns)?];
    let y = b.import("MatMul", &operands.map(Some), Vec::new())?;
    integers(b, y, 6, 7)
}

/// a, b, both with scale and zero point, an int32 bias, and the result's scale and zero point, or a float result.
fn gemm(b: &mut Builder<'_>) -> Result<ValueId, Error> {
    let attributes = b.attributes(&["transA", "transB", "alpha"]);
    let transposed = b.int("transB", 0)? != 0;
    let (x, w) = (real(b, 0)?, real_along(b, 3, i64::from(!transposed))?);
    let scales = [b.input(1)?, b.input(4)?];
    let alpha = b.float("alpha", 1.0)?;
    let bias = bias(b, 6, scales, alpha)?;
    let y = b.import("Gemm", &[Some(x), Some(w), bias], attributes)?;
    if b.optional(7)?.is_none() { Ok(y) } else { integers(b, y, 7, 8) }
}

/// y's scale and zero point, then each operand with its scale and zero point.
fn concat(b: &mut Builder<'_>) -> Result<ValueId, Error> {
    let attributes = b.attributes(&["axis"]);
    let count = b.inputs()?.len().saturating_sub(2) / 3;
    let operands = (0..count).map(|index| Ok(Some(real(b, 2 + 3 * index)?))).collect::<Result<Vec<_>, Error>>()?;
    let y = b.import("Concat", &operands, attributes)?;
    integers(b, y, 0, 1)
}

fn pool(b: &mut Builder<'_>, op: &str, attributes: Attributes) -> Result<ValueId, Error> {
    refuse_channels_last(b)?;
    unary(b, op, attributes)
}

fn refuse_channels_last(b: &Builder<'_>) -> Result<(), Error> {
    match b.int("channels_last", 0)? {
        0 => Ok(()),
        _ => Err(Error::unsupported("channels behind the spatial axes").instead("0").part("attribute `channels_last`")),
    }
}

/// Before opset 13 the axes from `axis` on are one.
fn softmax(b: &mut Builder<'_>) -> Result<ValueId, Error> {
    let opset = b.int("opset", 13)?;
    let x = real(b, 0)?;
    let shape = b.shape(x).to_vec();
    let default = if opset < 13 { 1 } else { -1 };
    let axis = super::reshape::axis(b.int("axis", default)?, shape.len(), false)?;
    let y = if opset < 13 {
        let matrix = b.reshape(x, &[shape[..axis].iter().product(), shape[axis..].iter().product()])?;
        let y = b.import("Softmax", &[Some(matrix)], vec![("axis".into(), Attribute::Int(1))])?;
        b.reshape(y, &shape)?
    } else {
        b.import("Softmax", &[Some(x)], vec![("axis".into(), Attribute::Int(axis as i64))])?
    };
    integers(b, y, 3, 4)
}
