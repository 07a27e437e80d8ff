//! From operators to kernels.

use std::collections::BTreeMap;

use mcuopt_rt::v0 as rt;

use super::assign::of_range;
use crate::calibrate::Range;
use crate::error::{Error, Errors};
use crate::graph::{Graph, Node, Quantization, Type, Value, ValueId, Width};
use crate::ops::linear::scale_of;
use crate::ops::quantize::{Dequantize, Quantize, requantize};
use crate::ops::recurrent::{STARTS_AT, hidden_bits};
use crate::ops::{Io, Kernel, Layer, Lowered, Op, Scales, transpose::TransposeCopy};
use crate::tensor::{DType, Tensor};

/// Chooses a kernel for every node. All nodes that have none are reported together.
pub fn lower(graph: &Graph<Op>) -> Result<Graph<Layer>, Errors> {
    lower_with_origins(graph).map(|(lowered, _)| lowered)
}

/// For each value of a lowered graph the one that it stands for in the graph that was lowered.
pub(crate) type Origins = BTreeMap<ValueId, ValueId>;

/// The lowered graph, and where its values come from.
pub(crate) fn lower_with_origins(graph: &Graph<Op>) -> Result<(Graph<Layer>, Origins), Errors> {
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

/// The type of a value at the border of the model: that of its integers where a float has a quantization.
fn natural(value: &Value) -> DType {
    match (value.ty.dtype, &value.quantization) {
        (DType::F32, Some(quantization)) => quantization.width.dtype(),
        (dtype, _) => dtype.at_run_time(),
    }
}

/// The types of quantized activations.
const INTEGERS: [DType; 2] = [DType::I8, DType::I16];

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
        if INTEGERS.contains(&dtype) {
            self.lowered.value_mut(id).quantization = value.quantization.clone();
        }
        id
    }

    fn is_made(&self, id: ValueId) -> bool {
        let declared = self.source.value(id).ty.dtype.at_run_time();
        self.source.constant(id).is_some()
            || [declared].iter().chain(&INTEGERS).any(|&dtype| self.made.contains_key(&(id, dtype)))
    }

    fn node(&mut self, node: &Node<Op>) -> Result<(), Error> {
        // Further results show calibration what is inside; nothing reads them.
        let [output, ref inner @ ..] = node.outputs[..] else { return Err(Error::bug("an operator without a result")) };
        // Of what is float in the file; the rest has its own type.
        let float = self.width(node, output).map_or(DType::F32, Width::dtype);
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
                _ if matches!(node.op.scales(), Scales::Joined | Scales::SameAsInput) && INTEGERS.contains(&dtype) => {
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

    /// The width of the result's, or else of the operands', integers, if the operator has such a form, and its float
    /// operands and result have a quantization.
    fn width(&self, node: &Node<Op>, output: ValueId) -> Option<Width> {
        let width = |id: &ValueId| self.source.value(*id).quantization.as_ref().map(|quantization| quantization.width);
        let of_operands = || node.inputs.iter().filter(|id| self.source.constant(**id).is_none()).find_map(width);
        let width = width(&output).or_else(of_operands).unwrap_or_default();
        let has_form = width != Width::Int16 || node.op.has_int16();
        (has_form && self.runs_in_integers(node, output)).then_some(width)
    }

    /// Whether an operator runs in integers if it has such a form.
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
            Scales::Authored(_) => true,
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
        let made = INTEGERS.into_iter().find(|&dtype| self.made.contains_key(&(id, dtype)));
        self.operand(id, made.unwrap_or(DType::F32))
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
        let missing = || Error::bug(format!("`{}` is read before it is made", value.name));
        let others = if dtype == DType::F32 { &INTEGERS[..] } else { &[DType::F32] };
        let source = others.iter().find_map(|&other| self.made.get(&(id, other)));
        let source = *source.ok_or_else(missing)?;
        let from = if dtype == DType::F32 { self.lowered.value(source) } else { &value };
        let single = from.quantization.as_ref().and_then(Quantization::single);
        let (scale, zero_point) = single.ok_or_else(|| Error::bug(format!("`{}` has no quantization", value.name)))?;
        let quantization = rt::Quantization { scale, zero_point };
        let (operator, kernel, suffix) = match Width::of(dtype) {
            Some(_) => ("QuantizeLinear", Kernel::Quantize(Quantize { quantization }), "quantize"),
            None => {
                let from = Width::of(from.ty.dtype).unwrap_or_default();
                ("DequantizeLinear", Kernel::Dequantize(Dequantize { quantization, from }), "dequantize")
            }
        };
        let made = self.add(&value, dtype);
        self.push(&format!("{}.{suffix}", value.name), operator, kernel, vec![source], made);
        self.made.insert((id, dtype), made);
        Ok(made)
    }

    /// The value as integers under the quantization of `output`.
    fn joined_operand(&mut self, node: &Node<Op>, id: ValueId, output: ValueId) -> Result<ValueId, Error> {
        let target = self.source.value(output).quantization.clone();
        let dtype = target.as_ref().map_or(DType::I8, |target| target.width.dtype());
        let mut value = self.source.value(id).clone();
        if let Some(tensor) = value.constant.clone() {
            value.quantization = target;
            return self.constant(&value, &tensor, dtype);
        }
        let operand = self.natural_operand(id)?;
        let own = self.lowered.value(operand).clone();
        if own.quantization == target {
            return Ok(operand);
        }
        if own.ty.dtype == DType::F32 && value.quantization == target {
            return self.operand(id, dtype);
        }
        value.quantization = target;
        let made = self.add(&value, dtype);
        let kernel = if own.ty.dtype == DType::F32 {
            let (scale, zero_point) = scale_of(&value)?;
            Box::new(Kernel::Quantize(Quantize { quantization: rt::Quantization { scale, zero_point } }))
        } else {
            let Lowered::Kernel(kernel) = requantize(&own, &self.lowered.value(made).clone())? else {
                return Err(Error::bug("another scale needs a kernel"));
            };
            kernel
        };
        let name = format!("{}.{}.requantize", node.name, value.name);
        self.push(&name, "QuantizeLinear", *kernel, vec![operand], made);
        Ok(made)
    }

    /// A constant operand that the kernel reads at run time.
    fn constant(&mut self, value: &Value, tensor: &Tensor, dtype: DType) -> Result<ValueId, Error> {
        let Some((elements, width)) = tensor.f32s().zip(Width::of(dtype)) else {
            return Ok(self.lowered.add_constant(&value.name, tensor.at_run_time()));
        };
        let fits = |known: &Quantization| known.single().is_some() && known.width.dtype() == dtype;
        let range = Range::of(elements)
            .ok_or_else(|| Error::invalid("it holds NaN or infinity").part(format!("constant `{}`", value.name)))?;
        let quantization = value.quantization.clone().filter(fits).unwrap_or_else(|| of_range(range, width));
        let integers = elements.iter().map(|&x| quantization.round(x).unwrap_or_default() as f32).collect();
        let rounded = Tensor::new(tensor.shape(), integers).and_then(|reals: Tensor| reals.cast(dtype));
        let rounded = rounded.ok_or_else(|| Error::bug("a constant changed its size"))?;
        let id = self.lowered.add_constant(&value.name, rounded);
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
