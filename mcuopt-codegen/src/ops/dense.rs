//! Gemm with constant weights: the fully connected layer.
//!
//! <https://onnx.ai/onnx/operators/onnx__Gemm.html>, opset 7 to 13. In the graph: x `[rows…, inputs]`, weights
//! `[outputs, inputs]`, bias `[outputs]`. MatMul with a constant and Add become this operator in `simplify`.

use mcuopt_rt::v0 as rt;

use super::linear::{self, Linear, Scaled};
use super::{Io, Lowered, Operator, Overlap, Routine, binary, f32s, f32s_mut, i8s, i8s_mut, i16s, i16s_mut};
use super::{matmul, result, window};
use crate::builder::Builder;
use crate::call::{Call, Data, struct_literals};
use crate::error::Error;
use crate::graph::{Type, ValueId};
use crate::onnx;
use crate::reference::dot;
use crate::tensor::{DType, Tensor};

/// y = x · weightsᵀ + bias, with the activation that follows it as a clamp.
#[derive(Clone, Debug, PartialEq)]
pub struct Dense {
    /// Limits of the output.
    pub clamp: rt::Clamp,
}

/// Gemm → Dense where B is a constant, else Transpose, MatMul, Mul, Add.
pub fn import(_: &onnx::Node, b: &mut Builder<'_>) -> Result<Vec<ValueId>, Error> {
    let (mut x, mut weights, c) = (b.input(0)?, b.input(1)?, b.optional(2)?);
    let (alpha, beta) = (b.float("alpha", 1.0)?, b.float("beta", 1.0)?);
    for (index, id) in [(0, x), (1, weights)] {
        if b.shape(id).len() != 2 {
            return Err(Error::invalid(format!("its shape is {:?}, not a matrix", b.shape(id))).part(format!("input {index}")));
        }
    }
    let [turned, transposed] = [b.int("transA", 0)? != 0, b.int("transB", 0)? != 0];
    if b.graph.constant(weights).is_some() {
        if turned {
            x = b.transpose(x, &[1, 0])?;
        }
        if !transposed {
            weights = b.transpose(weights, &[1, 0])?;
        }
        weights = scaled(b, weights, alpha)?;
        let outputs = b.shape(weights)[0];
        let folded = c.filter(|&c| b.graph.constant(c).is_some() && binary::is_per_channel(b.shape(c), outputs));
        let mut bias = b.constant(Tensor::F32(ndarray::ArrayD::zeros(vec![outputs])));
        if let Some(c) = folded {
            let c = scaled(b, c, beta)?;
            let flat = b.shape(c).iter().product::<usize>();
            let c = b.reshape(c, &[flat])?;
            bias = b.push(binary::Binary::new(binary::Kind::Add), &[c, bias])?;
        }
        let y = b.push(Dense { clamp: rt::Clamp::NONE }, &[x, weights, bias])?;
        return match c {
            Some(c) if folded.is_none() => add(b, y, c, beta),
            _ => Ok(vec![y]),
        };
    }
    let order = |reversed: bool| if reversed { vec![1, 0] } else { Vec::new() };
    let product = matmul::MatMul { a: order(turned), b: order(transposed), ..matmul::MatMul::new(alpha) };
    let y = b.push(product, &[x, weights])?;
    match c {
        Some(c) => add(b, y, c, beta),
        None => Ok(vec![y]),
    }
}

fn add(b: &mut Builder<'_>, y: ValueId, c: ValueId, beta: f32) -> Result<Vec<ValueId>, Error> {
    let c = scaled(b, c, beta)?;
    Ok(vec![b.push(binary::Binary::new(binary::Kind::Add), &[y, c])?])
}

/// `id` times a number.
fn scaled(b: &mut Builder<'_>, id: ValueId, factor: f32) -> Result<ValueId, Error> {
    if factor == 1.0 {
        return Ok(id);
    }
    let factor = b.constant(Tensor::scalar(factor));
    b.push(binary::Binary::new(binary::Kind::Mul), &[id, factor])
}

impl Operator for Dense {
    fn name(&self) -> &'static str {
        "Gemm"
    }

    fn infer(&self, inputs: &[&Type]) -> Result<Vec<Type>, Error> {
        let [x, weights, bias] = inputs else { return Err(Error::bug("Gemm has three operands")) };
        window::expect_float(inputs)?;
        let (Some((&width, rows)), [outputs, inputs]) = (x.shape.split_last(), &weights.shape[..]) else {
            return Err(Error::invalid(format!("the shapes {:?} and {:?} are no matrices", x.shape, weights.shape)));
        };
        if width != *inputs || bias.shape != [*outputs] {
            return Err(Error::invalid(format!(
                "x is {:?}, the weights are {outputs} by {inputs}, the bias is {:?}",
                x.shape, bias.shape
            )));
        }
        Ok(vec![Type::f32([rows, &[*outputs]].concat())])
    }

    fn eval(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>, Error> {
        let [x, weights, bias] = [f32s(inputs[0]), f32s(inputs[1]), f32s(inputs[2])];
        let width = inputs[1].shape()[1];
        let shape = [&inputs[0].shape()[..inputs[0].shape().len() - 1], &[bias.len()]].concat();
        let mut y = Vec::with_capacity(shape.iter().product());
        for x in x.chunks_exact(width.max(1)) {
            for (row, bias) in weights.chunks_exact(width.max(1)).zip(bias) {
                y.push(self.clamp.apply(bias + dot(x, row)));
            }
        }
        result(&shape, y)
    }

    fn built_in(&self) -> &'static [usize] {
        &[1, 2]
    }

    fn has_int16(&self) -> bool {
        true
    }

    fn packs_weights(&self) -> bool {
        true
    }

    fn lower(&self, io: &Io<'_>) -> Result<Lowered, Error> {
        let [x, weights, bias] = io.inputs[..] else { return Err(Error::bug("Gemm has three operands")) };
        let (outputs, inputs) = (weights.ty.shape[0], weights.ty.shape[1]);
        let geometry = rt::Dense { rows: x.ty.len() / inputs.max(1), inputs, outputs };
        if io.output.ty.dtype == DType::F32 {
            if let Some(linear) = Scaled::new(weights, bias)? {
                return Ok(DenseF32W8 { geometry, clamp: self.clamp, linear }.into());
            }
            let (weights, bias) = (linear::constant_f32s(weights)?.to_vec(), linear::constant_f32s(bias)?.to_vec());
            return Ok(DenseF32 { geometry, clamp: self.clamp, weights, bias }.into());
        }
        if io.output.ty.dtype == DType::I16 {
            let linear = linear::quantize(x, weights, bias, io.output, &self.clamp)?;
            return Ok(DenseS16 { geometry, linear }.into());
        }
        Ok(DenseS8 { geometry, linear: linear::quantize(x, weights, bias, io.output, &self.clamp)? }.into())
    }
}

fn macs(geometry: &rt::Dense) -> u64 {
    (geometry.rows * geometry.inputs * geometry.outputs) as u64
}

struct_literals! {
    Dense { rows, inputs, outputs }
}

/// `dense_f32` with its constants; weights [outputs, inputs].
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct DenseF32 {
    pub geometry: rt::Dense,
    pub clamp: rt::Clamp,
    pub weights: Vec<f32>,
    pub bias: Vec<f32>,
}

impl Routine for DenseF32 {
    fn call(&self, _: DType) -> Call {
        Call::inlined("dense_f32")
            .params(&self.geometry)
            .named("_CLAMP", &self.clamp)
            .array("_WEIGHTS", Data::F32(self.weights.clone()))
            .array("_BIAS", Data::F32(self.bias.clone()))
    }

    fn run(&self, x: &[&Tensor], y: &mut Tensor) {
        rt::dense_f32(&self.geometry, &self.clamp, &self.weights, &self.bias, f32s(x[0]), f32s_mut(y));
    }

    fn macs(&self) -> u64 {
        macs(&self.geometry)
    }
}

/// `dense_f32_w8` with its constants; weights [outputs, inputs].
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct DenseF32W8 {
    pub geometry: rt::Dense,
    pub clamp: rt::Clamp,
    pub linear: Scaled,
}

impl Routine for DenseF32W8 {
    fn call(&self, _: DType) -> Call {
        self.linear.arguments(Call::inlined("dense_f32_w8").params(&self.geometry).named("_CLAMP", &self.clamp))
    }

    fn run(&self, x: &[&Tensor], y: &mut Tensor) {
        let Scaled { weights, bias, scales } = &self.linear;
        rt::dense_f32_w8(&self.geometry, &self.clamp, weights, bias, scales, f32s(x[0]), f32s_mut(y));
    }

    fn macs(&self) -> u64 {
        macs(&self.geometry)
    }
}

/// `ConvS16` as a dense layer with its constants; weights [outputs, inputs].
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct DenseS16 {
    pub geometry: rt::Dense,
    pub linear: Linear<rt::RequantizeS16>,
}

impl DenseS16 {
    fn chosen(&self, linear: &rt::LinearS16<'_>, prefer: rt::Prefer, arch: rt::Arch) -> rt::ConvS16 {
        let choose = if self.linear.four_bits { rt::ConvS16::choose_dense_w4 } else { rt::ConvS16::choose_dense };
        choose(&self.geometry, linear, prefer, arch)
    }
}

/// How outputs may lie over inputs, both of so many bytes.
fn overlap(p: &rt::Dense, bytes: usize) -> Overlap {
    // A single row is read from end to end for each output.
    match p.rows {
        1 => Overlap::Never,
        rows => Overlap::Ahead(bytes * p.outputs.saturating_sub(p.inputs) * rows.saturating_sub(1)),
    }
}

impl Routine for DenseS16 {
    fn call(&self, _: DType) -> Call {
        let choose = ["choose_dense", "choose_dense_w4"];
        self.linear.call("ConvS16::run", "ConvS16", choose, vec![linear::by_reference(&self.geometry)])
    }

    fn choice(&self, prefer: rt::Prefer, arch: rt::Arch) -> Option<rt::Choice> {
        Some(self.linear.with_bytes(|linear| self.chosen(linear, prefer, arch).choice()))
    }

    fn run(&self, x: &[&Tensor], y: &mut Tensor) {
        self.linear.run_s16(|linear, prefer, arch| self.chosen(linear, prefer, arch), i16s(x[0]), i16s_mut(y));
    }

    fn overlap(&self, _: usize) -> Overlap {
        overlap(&self.geometry, 2)
    }

    fn macs(&self) -> u64 {
        macs(&self.geometry)
    }
}

/// `dense_s8` with its constants; weights [outputs, inputs].
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct DenseS8 {
    pub geometry: rt::Dense,
    pub linear: Linear,
}

impl Routine for DenseS8 {
    fn call(&self, _: DType) -> Call {
        let choose = ["choose_dense", "choose_dense_w4"];
        self.linear.call("ConvS8::run", "ConvS8", choose, vec![linear::by_reference(&self.geometry)])
    }

    fn choice(&self, prefer: rt::Prefer, arch: rt::Arch) -> Option<rt::Choice> {
        let choose = if self.linear.four_bits { rt::ConvS8::choose_dense_w4 } else { rt::ConvS8::choose_dense };
        Some(self.linear.with_bytes(|linear| choose(&self.geometry, linear, prefer, arch).choice()))
    }

    fn run(&self, x: &[&Tensor], y: &mut Tensor) {
        let Linear { weights, bias, multipliers, requantize, .. } = &self.linear;
        rt::dense_s8(&self.geometry, requantize, weights, bias, multipliers, i8s(x[0]), i8s_mut(y));
    }

    fn overlap(&self, _: usize) -> Overlap {
        overlap(&self.geometry, 1)
    }

    fn macs(&self) -> u64 {
        macs(&self.geometry)
    }
}
