//! Operators that ONNX Runtime's optimizer makes of several standard ones (domain com.microsoft), taken apart again.
//!
//! <https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md>

use super::quantize::{self, Layout};
use crate::builder::Builder;
use crate::error::Error;
use crate::graph::ValueId;
use crate::onnx::{self, Attribute};
use crate::tensor::Tensor;

/// A fused operator → the standard operators that it stands for.
pub fn import(node: &onnx::Node, b: &mut Builder<'_>) -> Result<Vec<ValueId>, Error> {
    let y = match node.op_type.as_str() {
        "FusedConv" => {
            let names = ["auto_pad", "dilations", "group", "kernel_shape", "pads", "strides"];
            let attributes = b.attributes(&names);
            let operands = [Some(b.input(0)?), Some(b.input(1)?), b.optional(2)?];
            let mut y = b.import("Conv", &operands, attributes)?;
            if let Some(z) = b.optional(3)? {
                y = b.import("Add", &[Some(y), Some(z)], Vec::new())?;
            }
            let parameters = match b.attribute("activation_params") {
                None => Vec::new(),
                Some(Attribute::Floats(values)) => values.clone(),
                Some(_) => return Err(Error::invalid("it should be a list of floats").part("attribute `activation_params`")),
            };
            activation(b, y, &parameters)?
        }
        "FusedGemm" => {
            let attributes = b.attributes(&["alpha", "beta", "transA", "transB"]);
            let operands = [Some(b.input(0)?), Some(b.input(1)?), b.optional(2)?];
            let y = b.import("Gemm", &operands, attributes)?;
            let parameters = [b.float("activation_alpha", 0.01)?, b.float("activation_beta", 0.0)?];
            b.attribute("activation_gamma");
            activation(b, y, &parameters)?
        }
        "FusedMatMul" | "TransposeMatMul" => matmul(b)?,
        "MatMulIntegerToFloat" => {
            let operands = [real(b, 0, 2, 4)?, real(b, 1, 3, 5)?];
            let y = b.import("MatMul", &operands.map(Some), Vec::new())?;
            biased(b, y, 6)?
        }
        "DynamicQuantizeMatMul" => {
            let x = b.input(0)?;
            let quantized = rounded(b, x)?;
            let w = real(b, 1, 2, 3)?;
            let y = b.import("MatMul", &[Some(quantized), Some(w)], Vec::new())?;
            biased(b, y, 4)?
        }
        "BiasGelu" => {
            let x = [b.input(0)?, b.input(1)?];
            let x = b.import("Add", &x.map(Some), Vec::new())?;
            b.import("Gelu", &[Some(x)], Vec::new())?
        }
        "FastGelu" => {
            let x = b.input(0)?;
            let x = biased(b, x, 1)?;
            b.import("Gelu", &[Some(x)], vec![("approximate".into(), Attribute::String("tanh".into()))])?
        }
        _ => return skip_normalization(node, b),
    };
    Ok(vec![y])
}

/// y + the bias that operand `index` is, if there is one.
fn biased(b: &mut Builder<'_>, y: ValueId, index: usize) -> Result<ValueId, Error> {
    match b.optional(index)? {
        Some(bias) => b.import("Add", &[Some(y), Some(bias)], Vec::new()),
        None => Ok(y),
    }
}

/// The reals that operand `x` stands for, by the operands with its scale and zero point; weights have one for each column.
fn real(b: &mut Builder<'_>, x: usize, scale: usize, zero_point: usize) -> Result<ValueId, Error> {
    let (x, scale, zero_point) = (b.input(x)?, b.input(scale)?, b.optional(zero_point)?);
    quantize::dequantize(b, x, scale, zero_point, Layout::along(-1))
}

/// x as DynamicQuantizeLinear rounds it.
fn rounded(b: &mut Builder<'_>, x: ValueId) -> Result<ValueId, Error> {
    let scale = b.push(super::integer::DynamicScale, &[x])?;
    let zero_point = b.push(super::integer::DynamicZeroPoint, &[x, scale])?;
    let integers = quantize::quantize(b, x, scale, Some(zero_point), crate::tensor::DType::U8, Layout::along(0))?;
    quantize::dequantize(b, integers, scale, Some(zero_point), Layout::along(0))
}

/// The activation that the attribute `activation` names, with its parameters in the order of their names.
fn activation(b: &mut Builder<'_>, y: ValueId, parameters: &[f32]) -> Result<ValueId, Error> {
    let name = b.string("activation", "")?;
    let at = |index: usize, default: f32| Attribute::Float(parameters.get(index).copied().unwrap_or(default));
    let attributes = match name.as_str() {
        "" => return Ok(y),
        "Relu" | "Sigmoid" | "Tanh" => Vec::new(),
        "LeakyRelu" => vec![("alpha".to_string(), at(0, 0.01))],
        "HardSigmoid" => vec![("alpha".to_string(), at(0, 0.2)), ("beta".to_string(), at(1, 0.5))],
        "Clip" => {
            let limits = [at(0, f32::NEG_INFINITY), at(1, f32::INFINITY)].map(|limit| match limit {
                Attribute::Float(value) => b.constant(Tensor::scalar(value)),
                _ => y,
            });
            return b.import("Clip", &[Some(y), Some(limits[0]), Some(limits[1])], Vec::new());
        }
        other => {
            let error = Error::unsupported(format!("the activation {other}"));
            return Err(error.instead("the activation as a node of its own").part("attribute `activation`"));
        }
    };
    b.import(&name, &[Some(y)], attributes)
}

/// alpha · A · B, either transposed.
fn matmul(b: &mut Builder<'_>) -> Result<ValueId, Error> {
    for name in ["transBatchA", "transBatchB"] {
        if b.int(name, 0)? != 0 {
            let error = Error::unsupported("transposed batch axes").instead("0");
            return Err(error.part(format!("attribute `{name}`")));
        }
    }
    let mut operands = Vec::new();
    for (index, name) in ["transA", "transB"].into_iter().enumerate() {
        let x = b.input(index)?;
        let rank = b.shape(x).len();
        let mut perm: Vec<usize> = (0..rank).collect();
        if b.int(name, 0)? != 0 && rank >= 2 {
            perm.swap(rank - 2, rank - 1);
        }
        operands.push(Some(b.transpose(x, &perm)?));
    }
    let y = b.import("MatMul", &operands, Vec::new())?;
    let alpha = b.float("alpha", 1.0)?;
    if alpha == 1.0 {
        return Ok(y);
    }
    let alpha = b.constant(Tensor::scalar(alpha));
    b.import("Mul", &[Some(y), Some(alpha)], Vec::new())
}

/// SkipLayerNormalization and its simplified (root mean square) form: outputs are the result, two statistics that only
/// training needs, and the sum that was normalized.
fn skip_normalization(node: &onnx::Node, b: &mut Builder<'_>) -> Result<Vec<ValueId>, Error> {
    let simplified = node.op_type.contains("Simplified");
    let (x, skip, scale) = (b.input(0)?, b.input(1)?, b.input(2)?);
    let (beta, bias) = if simplified { (None, 3) } else { (b.optional(3)?, 4) };
    let sum = b.import("Add", &[Some(x), Some(skip)], Vec::new())?;
    let sum = biased(b, sum, bias)?;
    let epsilon = b.float("epsilon", 1e-12)?;
    let attributes = vec![("axis".into(), Attribute::Int(-1)), ("epsilon".into(), Attribute::Float(epsilon))];
    let y = match simplified {
        true => b.import("RMSNormalization", &[Some(sum), Some(scale)], attributes)?,
        false => b.import("LayerNormalization", &[Some(sum), Some(scale), beta], attributes)?,
    };
    if node.outputs.iter().skip(1).take(2).any(|name| !name.is_empty()) {
        return Err(Error::unsupported("mean and deviation").instead("outputs 0 and 3").part("output 1"));
    }
    Ok(vec![y, sum, sum, sum])
}
