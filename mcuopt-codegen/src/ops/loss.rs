//! NegativeLogLikelihoodLoss and SoftmaxCrossEntropyLoss.
//!
//! <https://onnx.ai/onnx/operators/onnx__NegativeLogLikelihoodLoss.html>, opset 12 to 22, and
//! <https://onnx.ai/onnx/operators/onnx__SoftmaxCrossEntropyLoss.html>, opset 12 to 13.

use mcuopt_rt::v0 as rt;
use ndarray::{ArrayD, IxDyn};
use proc_macro2::TokenStream;
use quote::quote;

use super::softmax::{Softmax, rows};
use super::{Io, Lowered, Operator, Scales};
use crate::builder::Builder;
use crate::call::{Literal, struct_literals};
use crate::error::Error;
use crate::graph::{Type, ValueId};
use crate::onnx;
use crate::tensor::{DType, Tensor};

/// `−x[target] · weights[target]` over x [batch, classes, positions…], targets [batch, positions…] and weights
/// `[classes]`.
#[derive(Clone, Debug, PartialEq)]
pub struct NegativeLogLikelihood {
    /// What becomes of the losses.
    pub reduction: rt::Reduction,
    /// Targets of this class do not count.
    pub ignored: Option<i64>,
}

/// NegativeLogLikelihoodLoss → NegativeLogLikelihood; SoftmaxCrossEntropyLoss → LogSoftmax, NegativeLogLikelihood.
pub fn import(node: &onnx::Node, b: &mut Builder<'_>) -> Result<Vec<ValueId>, Error> {
    let (mut x, target) = (b.input(0)?, b.input(1)?);
    let reduction = match b.string("reduction", "mean")?.as_str() {
        "none" => rt::Reduction::None,
        "sum" => rt::Reduction::Sum,
        "mean" => rt::Reduction::Mean,
        other => return Err(Error::invalid(format!("it is `{other}`")).part("attribute `reduction`")),
    };
    let ignored = match b.attribute("ignore_index") {
        None => None,
        Some(_) => Some(b.int("ignore_index", 0)?),
    };
    let [_, classes, ..] = b.shape(x)[..] else {
        return Err(Error::invalid(format!("the shape {:?} has no axis of classes", b.shape(x))).part("input 0"));
    };
    let weights = match b.optional(2)? {
        Some(weights) => weights,
        None => b.constant(Tensor::F32(ArrayD::ones(IxDyn(&[classes])))),
    };
    let soft = node.op_type == "SoftmaxCrossEntropyLoss";
    if soft {
        x = b.push(Softmax { axis: 1, log: true }, &[x])?;
    }
    let loss = b.push(NegativeLogLikelihood { reduction, ignored }, &[x, target, weights])?;
    Ok(if soft { vec![loss, x] } else { vec![loss] })
}

impl Operator for NegativeLogLikelihood {
    fn name(&self) -> &'static str {
        "NegativeLogLikelihoodLoss"
    }

    fn infer(&self, inputs: &[&Type]) -> Result<Vec<Type>, Error> {
        let [x, target, weights] = inputs else { return Err(Error::bug("a loss has three operands")) };
        let [batch, classes, positions @ ..] = &x.shape[..] else {
            return Err(Error::bug("an axis of classes was there"));
        };
        let expected = [&[*batch], positions].concat();
        let floats = x.dtype == DType::F32 && weights.dtype == DType::F32;
        if !floats || !matches!(target.dtype, DType::I32 | DType::I64) {
            let types = format!("{}, {} and {}", x.dtype, target.dtype, weights.dtype);
            return Err(Error::unsupported(format!("operands of type {types}")).instead("float, int64 and float"));
        }
        if target.shape != expected || weights.shape != [*classes] || *classes == 0 {
            return Err(Error::invalid(format!(
                "x is {:?}, the targets are {:?}, the weights {:?}",
                x.shape, target.shape, weights.shape
            )));
        }
        Ok(vec![Type::f32(if self.reduction == rt::Reduction::None { expected } else { Vec::new() })])
    }

    fn scales(&self) -> Scales {
        Scales::Float
    }

    fn indices(&self) -> &'static [usize] {
        &[1]
    }

    fn lower(&self, io: &Io<'_>) -> Result<Lowered, Error> {
        let rows = rows(&io.inputs[0].ty.shape, 1);
        let geometry = rt::Loss { rows, reduction: self.reduction, ignored: self.ignored };
        Ok(ClassLosses { geometry }.into())
    }
}

struct_literals! {
    Loss { rows, reduction, ignored }
}

impl Literal for rt::Reduction {
    fn ty(&self) -> TokenStream {
        quote!(rt::Reduction)
    }

    fn literal(&self) -> TokenStream {
        match self {
            rt::Reduction::None => quote!(rt::Reduction::None),
            rt::Reduction::Sum => quote!(rt::Reduction::Sum),
            rt::Reduction::Mean => quote!(rt::Reduction::Mean),
        }
    }
}

impl<T: Literal + Default> Literal for Option<T> {
    fn ty(&self) -> TokenStream {
        let ty = T::default().ty();
        quote!(Option<#ty>)
    }

    fn literal(&self) -> TokenStream {
        match self {
            None => quote!(None),
            Some(value) => {
                let value = value.literal();
                quote!(Some(#value))
            }
        }
    }
}

routine! {
    /// `negative_log_likelihood_f32` with its geometry.
    pub struct ClassLosses { params "" geometry: rt::Loss }
    with [I: each_index of x[1]]
    fn negative_log_likelihood_f32(f32, I, f32) -> f32
}
