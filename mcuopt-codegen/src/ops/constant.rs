//! Values that are known at compile time: Constant, ConstantOfShape, Shape, Size; and Cast between them.
//!
//! <https://onnx.ai/onnx/operators/onnx__Constant.html> and its siblings.

use ndarray::{ArrayD, IxDyn};

use super::{Io, Lowered, Operator, Scales};
use crate::builder::{Builder, MAX_ELEMENTS};
use crate::error::Error;
use crate::graph::{Type, ValueId};
use crate::onnx::{self, Attribute};
use crate::tensor::{DType, Tensor};

/// Conversion to another element type.
#[derive(Clone, Debug, PartialEq)]
pub struct Cast {
    /// The type to convert to.
    pub to: DType,
}

/// Constant, ConstantOfShape, Shape, Size → a constant; Cast → Cast, or nothing where the type stays.
pub fn import(node: &onnx::Node, b: &mut Builder<'_>) -> Result<Vec<ValueId>, Error> {
    let value = match node.op_type.as_str() {
        "Constant" => constant(b)?,
        "ConstantOfShape" => filled(b)?,
        "Shape" => shape(b)?,
        "Size" => {
            let count = b.shape(b.input(0)?).iter().product::<usize>() as i64;
            Tensor::I64(ArrayD::from_elem(IxDyn(&[]), count))
        }
        _ => return cast(b),
    };
    Ok(vec![b.constant(value)])
}

fn constant(b: &Builder<'_>) -> Result<Tensor, Error> {
    let tensors = ["value", "sparse_value"].map(|name| b.attribute(name));
    let numbers = ["value_float", "value_floats", "value_int", "value_ints"].map(|name| b.attribute(name));
    let found = tensors.into_iter().chain(numbers).flatten().next();
    match found {
        Some(Attribute::Tensor(tensor)) => Ok(tensor.clone()),
        Some(Attribute::Float(value)) => Ok(Tensor::scalar(*value)),
        Some(Attribute::Floats(values)) => {
            Tensor::new(&[values.len()], values.clone()).ok_or_else(|| Error::bug("a list has a shape"))
        }
        Some(Attribute::Int(value)) => Ok(Tensor::I64(ArrayD::from_elem(IxDyn(&[]), *value))),
        Some(Attribute::Ints(values)) => Ok(Tensor::from_i64s(values)),
        _ => Err(Error::unsupported("its value is no number").instead("a tensor, number or list of numbers")),
    }
}

fn filled(b: &Builder<'_>) -> Result<Tensor, Error> {
    let dims = b.integers(0)?.unwrap_or_default();
    let dims: Option<Vec<usize>> = dims.iter().map(|&extent| usize::try_from(extent).ok()).collect();
    let count = |dims: &Vec<usize>| dims.iter().try_fold(1usize, |count, &extent| count.checked_mul(extent.max(1)));
    let dims = dims.filter(|dims| count(dims).is_some_and(|count| count <= MAX_ELEMENTS));
    let dims = dims.ok_or_else(|| Error::invalid("a shape that is negative or too large").part("input 0"))?;
    let value = match b.attribute("value") {
        Some(Attribute::Tensor(value)) if value.len() == 1 => value.clone(),
        None => Tensor::scalar(0.0),
        Some(_) => return Err(Error::invalid("it should be a tensor with one element").part("attribute `value`")),
    };
    let flat = value.reshaped(&vec![1; dims.len()]).ok_or_else(|| Error::bug("one element has any shape"))?;
    let filled = crate::each_dtype!(&flat, array => array.broadcast(IxDyn(&dims)).map(|view| Tensor::from(view.to_owned())));
    filled.ok_or_else(|| Error::bug("one element broadcasts"))
}

fn shape(b: &Builder<'_>) -> Result<Tensor, Error> {
    let dims: Vec<i64> = b.shape(b.input(0)?).iter().map(|&extent| extent as i64).collect();
    let rank = dims.len() as i64;
    let bound = |value: i64| (if value < 0 { value + rank } else { value }).clamp(0, rank) as usize;
    let (start, end) = (bound(b.int("start", 0)?), bound(b.int("end", rank)?));
    Ok(Tensor::from_i64s(dims.get(start..end).unwrap_or_default()))
}

fn cast(b: &mut Builder<'_>) -> Result<Vec<ValueId>, Error> {
    let x = b.input(0)?;
    // Both concern float types of 8 bits, which are float32 here.
    for ignored in ["saturate", "round_mode"] {
        b.attribute(ignored);
    }
    let code = b.int("to", 0)?;
    let to = onnx::dtype(code).ok_or_else(|| {
        let error = Error::unsupported(format!("the element type with number {code}")).instead("float or integers");
        error.part("attribute `to`")
    })?;
    if b.graph.value(x).ty.dtype == to {
        return Ok(vec![x]);
    }
    Ok(vec![b.push(Cast { to }, &[x])?])
}

impl Operator for Cast {
    fn name(&self) -> &'static str {
        "Cast"
    }

    fn infer(&self, inputs: &[&Type]) -> Result<Vec<Type>, Error> {
        let [x] = inputs else { return Err(Error::bug("Cast has one operand")) };
        Ok(vec![Type { dtype: self.to, shape: x.shape.clone() }])
    }

    fn eval(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>, Error> {
        let x = inputs[0];
        let shape = x.shape();
        let elements: Vec<f64> = match (x.f32s(), x.to_i64s()) {
            (Some(values), _) => values.iter().map(|&value| f64::from(value)).collect(),
            // Integers beyond 2^53 take the exact path below.
            (None, values) => values.unwrap_or_default().iter().map(|&value| value as f64).collect(),
        };
        let integers = x.to_i64s().unwrap_or_else(|| elements.iter().map(|&value| value as i64).collect());
        macro_rules! integer {
            ($ty:ty) => {
                Tensor::new(shape, integers.iter().map(|&value| value as $ty).collect::<Vec<$ty>>())
            };
        }
        let y = match self.to {
            DType::F32 => Tensor::new(shape, elements.iter().map(|&value| value as f32).collect::<Vec<f32>>()),
            DType::Bool => Tensor::new(shape, elements.iter().map(|&value| value != 0.0).collect::<Vec<bool>>()),
            DType::I8 => integer!(i8),
            DType::U8 => integer!(u8),
            DType::I16 => integer!(i16),
            DType::U16 => integer!(u16),
            DType::I32 => integer!(i32),
            DType::U32 => integer!(u32),
            DType::I64 => integer!(i64),
            DType::U64 => integer!(u64),
        };
        y.map(|tensor| vec![tensor]).ok_or_else(|| Error::bug("Cast changed the number of elements"))
    }

    fn scales(&self) -> Scales {
        Scales::Float
    }

    fn lower(&self, io: &Io<'_>) -> Result<Lowered, Error> {
        let from = io.inputs[0].ty.dtype;
        Err(Error::unsupported(format!("conversion from {from} to {} at run time", self.to)).instead("float throughout"))
    }
}
