//! From operators to kernels.

use std::collections::BTreeMap;

use ndarray::{ArrayD, IxDyn};

use mcuopt_rt::v0 as rt;

use super::assign::asymmetric;
use crate::calibrate::Range;
use crate::error::{Error, Errors};
use crate::graph::{Graph, Node, Quantization, Type, Value, ValueId};
use crate::ops::quantize::{Dequantize, Quantize, Requantize};
use crate::ops::recurrent::{STARTS_AT, hidden_bits};
use crate::ops::{Io, Kernel, Layer, Lowered, Op, Scales, transpose::TransposeCopy};
use crate::tensor::{DType, Tensor};

/// Chooses a kernel for every node. All nodes that have none are reported together.
pub fn lower(graph: &Graph<Op>) -> Result<Graph<Layer>, Errors> {
    lower_with_origins(graph).map(|(lowered, _)| lowered)
}

/// For each value of a lowered graph the one that it stands for in the graph that was lowered.
pub(super) type Origins = BTreeMap<ValueId, ValueId>;

/// The lowered graph, and where its values come from.
pub(super) fn lower_with_origins(graph: &Graph<Op>) -> Result<(Graph<Layer>, Origins), Errors> {
    let mut lowering = Lowering { source: graph, lowered: Graph::default(), made: BTreeMap::new() };
    for id in &graph.inputs {
        let value = graph.value(*id);
        let dtype = natural(value);
        let input = lowering.add(value, dtype);
        lowering.lowered.inputs.push(input);
        lowering.made.insert((*id, dtype), input);
    }
    let mut errors = Vec::new();
    for node in &graph.nodes {
        // What depends on a failed node finds no operand; only the cause is worth reporting.
        if node.inputs.iter().all(|id| lowering.is_made(*id)) {
            let result = lowering.node(node);
            errors.extend(result.err().map(|error| error.at_node(&node.name, node.op.name())));
        }
    }
    Errors::check(errors, ())?;
    for id in &graph.outputs {
        let dtype = natural(graph.value(*id));
        let output = lowering.operand(*id, dtype)?;
        let output = lowering.own_output(output)?;
        lowering.lowered.outputs.push(output);
    }
    lowering.lowered.verify()?;
    let origins = lowering.made.iter().map(|((source, _), lowered)| (*lowered, *source)).collect();
    Ok((lowering.lowered, origins))
}

/// The type of a value at the border of the model: int8 where a float has a quantization.
fn natural(value: &Value) -> DType {
    match (value.ty.dtype, &value.quantization) {
        (DType::F32, Some(_)) => DType::I8,
        (dtype, _) => dtype.at_run_time(),
    }
}

/// Whether a constant can be written in int8, and what is computed from it still fits multipliers of 32 bits.
fn has_integers(tensor: &Tensor) -> bool {
    tensor.f32s().is_none_or(|elements| elements.iter().all(|x| x.abs() <= LARGEST))
}

/// The largest constant that layers take in int8. Larger ones switch something off.
const LARGEST: f32 = 1e6;

struct Lowering<'a> {
    source: &'a Graph<Op>,
    lowered: Graph<Layer>,
    /// The lowered forms of a value that exist so far.
    made: BTreeMap<(ValueId, DType), ValueId>,
}

impl Lowering<'_> {
    fn add(&mut self, value: &Value, dtype: DType) -> ValueId {
        let id = self.lowered.add_value(&value.name, Type { dtype, shape: value.ty.shape.clone() });
        if dtype == DType::I8 {
            self.lowered.value_mut(id).quantization = value.quantization.clone();
        }
        id
    }

    fn is_made(&self, id: ValueId) -> bool {
        let declared = self.source.value(id).ty.dtype.at_run_time();
        self.source.constant(id).is_some()
            || [declared, DType::I8].iter().any(|&dtype| self.made.contains_key(&(id, dtype)))
    }

    fn node(&mut self, node: &Node<Op>) -> Result<(), Error> {
        // Further results show calibration what is inside; nothing reads them.
        let [output, ref inner @ ..] = node.outputs[..] else { return Err(Error::bug("an operator without a result")) };
        let integer = self.runs_in_integers(node, output);
        // Of what is float in the file; the rest has its own type.
        let float = if integer { DType::I8 } else { DType::F32 };
        let as_lowered = |dtype: DType| if dtype == DType::F32 { float } else { dtype.at_run_time() };
        let dtype = as_lowered(self.source.value(output).ty.dtype);
        let built_in = node.op.built_in();
        let mut inputs = Vec::new();
        let mut passed = Vec::new();
        for (index, &id) in node.inputs.iter().enumerate() {
            if built_in.contains(&index) {
                if self.source.constant(id).is_none() {
                    let error = Error::unsupported("it is computed at run time").instead("constant weights and bias");
                    return Err(error.part(format!("input {index}")));
                }
                inputs.push(self.source.value(id).clone());
                continue;
            }
            let operand = match node.op {
                _ if self.source.value(id).ty.dtype != DType::F32 => {
                    self.operand(id, as_lowered(self.source.value(id).ty.dtype))?
                }
                // They are themselves the step from one type to the other.
                Op::FakeQuantize(_) | Op::QuantizeLinear(_) => self.natural_operand(id)?,
                // Their kernels copy integers, so the author's other scale for the result is applied before.
                _ if matches!(node.op.scales(), Scales::Joined | Scales::SameAsInput) && dtype == DType::I8 => {
                    self.joined_operand(node, id, output)?
                }
                _ => self.operand(id, float)?,
            };
            // A Reshape before it left no trace but the shape.
            let mut value = self.lowered.value(operand).clone();
            value.ty.shape.clone_from(&self.source.value(id).ty.shape);
            inputs.push(value);
            passed.push(operand);
        }
        let mut result = self.source.value(output).clone();
        result.ty.dtype = dtype;
        let inner = inner.iter().map(|id| self.source.value(*id)).collect();
        let lowered = node.op.lower(&Io { inputs: inputs.iter().collect(), output: &result, inner })?;
        let made = match lowered {
            Lowered::Alias => {
                if matches!(node.op, Op::DequantizeLinear(_)) {
                    self.interpret(passed[0], &result)?;
                }
                passed[0]
            }
            Lowered::Kernel(kernel) => {
                let id = self.add(&result, dtype);
                self.push(&node.name, node.op.name(), *kernel, passed, id);
                id
            }
        };
        self.made.insert((output, dtype), made);
        Ok(())
    }

    /// Gives integers of the file the quantization by which they are read as reals.
    fn interpret(&mut self, integers: ValueId, real: &Value) -> Result<(), Error> {
        let known = &mut self.lowered.value_mut(integers).quantization;
        match known {
            Some(other) if Some(&*other) != real.quantization.as_ref() => {
                Err(Error::unsupported("integers that are dequantized with two different scales")
                    .instead("equal scales"))
            }
            _ => {
                *known = real.quantization.clone();
                Ok(())
            }
        }
    }

    fn push(&mut self, name: &str, operator: &'static str, kernel: Kernel, inputs: Vec<ValueId>, output: ValueId) {
        let op = Layer { operator, kernel, prefer: rt::Prefer::Speed };
        self.lowered.nodes.push(Node { name: name.to_string(), op, inputs, outputs: vec![output] });
    }

    /// int8 if the operator has such a form, and its float operands and result have a quantization.
    fn runs_in_integers(&self, node: &Node<Op>, output: ValueId) -> bool {
        let quantized = |id: &ValueId| {
            let value = self.source.value(*id);
            value.constant.as_ref().is_some_and(|tensor| has_integers(tensor))
                || value.quantization.as_ref().is_some_and(|q| q.single().is_some())
        };
        let is_float = |id: &&ValueId| self.source.value(**id).ty.dtype == DType::F32;
        let operands = match node.op.scales() {
            Scales::Float => false,
            // They make floats of the file's integers, or are themselves the step from one to the other.
            Scales::Authored(..) => true,
            // Their kernels know no other scales, whatever an author gave the result.
            Scales::PowerOfTwo(_) => {
                let known = hidden_bits(self.source.value(output).quantization.as_ref()).is_some();
                // Nor a state to start from but zeros.
                known && quantized(&node.inputs[0]) && node.inputs.len() <= STARTS_AT
            }
            _ => node.inputs.iter().any(|id| is_float(&id)) && node.inputs.iter().filter(is_float).all(quantized),
        };
        let result = self.source.value(output);
        operands && (result.ty.dtype != DType::F32 || result.quantization.is_some())
    }

    /// The value in the type in which it was made.
    fn natural_operand(&mut self, id: ValueId) -> Result<ValueId, Error> {
        let dtype = if self.made.contains_key(&(id, DType::I8)) { DType::I8 } else { DType::F32 };
        self.operand(id, dtype)
    }

    /// The value as `dtype`: as it was made, converted, or a constant written in that type.
    fn operand(&mut self, id: ValueId, dtype: DType) -> Result<ValueId, Error> {
        if let Some(made) = self.made.get(&(id, dtype)) {
            return Ok(*made);
        }
        let value = self.source.value(id).clone();
        if let Some(tensor) = &value.constant {
            let constant = self.constant(&value, tensor, dtype)?;
            self.made.insert((id, dtype), constant);
            return Ok(constant);
        }
        let other = if dtype == DType::I8 { DType::F32 } else { DType::I8 };
        let missing = || Error::bug(format!("`{}` is read before it is made", value.name));
        let source = *self.made.get(&(id, other)).ok_or_else(missing)?;
        let from = if dtype == DType::I8 { &value } else { self.lowered.value(source) };
        let single = from.quantization.as_ref().and_then(Quantization::single);
        let (scale, zero_point) = single.ok_or_else(|| Error::bug(format!("`{}` has no quantization", value.name)))?;
        let quantization = rt::Quantization { scale, zero_point };
        let (operator, kernel, suffix) = match dtype {
            DType::I8 => ("QuantizeLinear", Kernel::Quantize(Quantize { quantization }), "quantize"),
            _ => ("DequantizeLinear", Kernel::Dequantize(Dequantize { quantization }), "dequantize"),
        };
        let made = self.add(&value, dtype);
        self.push(&format!("{}.{suffix}", value.name), operator, kernel, vec![source], made);
        self.made.insert((id, dtype), made);
        Ok(made)
    }

    /// The value in int8 under the quantization of `output`.
    fn joined_operand(&mut self, node: &Node<Op>, id: ValueId, output: ValueId) -> Result<ValueId, Error> {
        let target = self.source.value(output).quantization.clone();
        let mut value = self.source.value(id).clone();
        if let Some(tensor) = value.constant.clone() {
            value.quantization = target;
            return self.constant(&value, &tensor, DType::I8);
        }
        let operand = self.operand(id, DType::I8)?;
        let own = self.lowered.value(operand).quantization.clone();
        if own == target {
            return Ok(operand);
        }
        let single = |q: &Option<Quantization>| q.as_ref().and_then(Quantization::single);
        let (Some((from, input_zero_point)), Some((to, zero_point))) = (single(&own), single(&target)) else {
            return Err(Error::bug(format!("`{}` has no quantization", value.name)));
        };
        let factor = f64::from(from) / f64::from(to);
        let left_shift = rt::left_shift_for(factor);
        let requantize = rt::Requantize { left_shift, zero_point, min: i8::MIN, max: i8::MAX };
        let multiplier = rt::multiplier(factor, left_shift);
        let kernel = Kernel::Requantize(Requantize { requantize, multiplier, input_zero_point });
        value.quantization = target;
        let made = self.add(&value, DType::I8);
        let name = format!("{}.{}.requantize", node.name, value.name);
        self.push(&name, "QuantizeLinear", kernel, vec![operand], made);
        Ok(made)
    }

    /// A constant operand that the kernel reads at run time.
    fn constant(&mut self, value: &Value, tensor: &Tensor, dtype: DType) -> Result<ValueId, Error> {
        let Some(elements) = tensor.f32s().filter(|_| dtype == DType::I8) else {
            return Ok(self.lowered.add_constant(&value.name, tensor.at_run_time()));
        };
        let authored = value.quantization.clone().filter(|quantization| quantization.single().is_some());
        let range = Range::of(elements)
            .ok_or_else(|| Error::invalid("it holds NaN or infinity").part(format!("constant `{}`", value.name)))?;
        let quantization = authored.unwrap_or_else(|| asymmetric(range));
        let (scale, zero_point) = quantization.single().unwrap_or((1.0, 0));
        let integers = elements.iter().map(|&x| rt::quantize_f32(x, scale, zero_point)).collect();
        let array = ArrayD::from_shape_vec(IxDyn(tensor.shape()), integers);
        let array = array.map_err(|_| Error::bug("a constant changed its size"))?;
        let id = self.lowered.add_constant(&value.name, Tensor::I8(array));
        self.lowered.value_mut(id).quantization = Some(quantization);
        Ok(id)
    }

    /// An output needs memory of its own: not an input's, which the caller may overwrite, and not a constant's.
    fn own_output(&mut self, id: ValueId) -> Result<ValueId, Error> {
        let value = self.lowered.value(id).clone();
        if !self.lowered.inputs.contains(&id) && value.constant.is_none() {
            return Ok(id);
        }
        let mut geometry = rt::Transpose { shape: [1; 6], strides: [0; 6] };
        (geometry.shape[5], geometry.strides[5]) = (value.ty.len(), 1);
        let copy = self.add(&value, value.ty.dtype);
        let kernel = Kernel::TransposeCopy(TransposeCopy { geometry });
        self.push(&format!("{}.copy", value.name), "Identity", kernel, vec![id], copy);
        Ok(copy)
    }
}
