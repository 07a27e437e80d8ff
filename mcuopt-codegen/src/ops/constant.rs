//! Values that are known at compile time: Constant, ConstantOfShape, Shape, Size, EyeLike, Range, NonZero, Unique.
//!
//! <https://onnx.ai/onnx/operators/onnx__Constant.html> and its siblings.

use std::cmp::Ordering;

use mcuopt_rt::number::Number;
use ndarray::{ArrayD, Axis, IxDyn};

use super::reshape::axis;
use super::axes;
use crate::builder::{Builder, MAX_ELEMENTS};
use crate::each_dtype;
use crate::error::Error;
use crate::graph::ValueId;
use crate::onnx::{self, Attribute};
use crate::tensor::{DType, Tensor, each_element};

/// All of these → constants.
pub fn import(node: &onnx::Node, b: &mut Builder<'_>) -> Result<Vec<ValueId>, Error> {
    let value = match node.op_type.as_str() {
        "Constant" => constant(b)?,
        "ConstantOfShape" => filled(b)?,
        "Shape" => shape(b)?,
        "Size" => {
            let count = b.shape(b.input(0)?).iter().product::<usize>() as i64;
            Tensor::I64(ArrayD::from_elem(IxDyn(&[]), count))
        }
        "EyeLike" => eye(b)?,
        "Range" => range(b)?,
        "NonZero" => non_zero(b)?,
        "Unique" => {
            let tensors = unique(b)?;
            return Ok(tensors.into_iter().map(|tensor| b.constant(tensor)).collect());
        }
        other => return Err(Error::bug(format!("{other} makes no constant"))),
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
    let filled = each_dtype!(&flat, array => array.broadcast(IxDyn(&dims)).map(|view| Tensor::from(view.to_owned())));
    filled.ok_or_else(|| Error::bug("one element broadcasts"))
}

fn shape(b: &Builder<'_>) -> Result<Tensor, Error> {
    let dims: Vec<i64> = b.shape(b.input(0)?).iter().map(|&extent| extent as i64).collect();
    let rank = dims.len() as i64;
    let bound = |value: i64| (if value < 0 { value + rank } else { value }).clamp(0, rank) as usize;
    let (start, end) = (bound(b.int("start", 0)?), bound(b.int("end", rank)?));
    Ok(Tensor::from_i64s(dims.get(start..end).unwrap_or_default()))
}

fn eye(b: &Builder<'_>) -> Result<Tensor, Error> {
    let ty = &b.graph.value(b.input(0)?).ty;
    let &[rows, columns] = &ty.shape[..] else {
        return Err(Error::invalid(format!("{:?} is no matrix", ty.shape)).part("input 0"));
    };
    let dtype = match b.attribute("dtype") {
        None => ty.dtype,
        Some(_) => dtype(b, "dtype")?,
    };
    let diagonal = b.int("k", 0)?;
    let ones: Vec<f32> = (0..rows * columns)
        .map(|at| ((at % columns) as i64 - (at / columns) as i64 == diagonal) as u8)
        .map(f32::from)
        .collect();
    let eye = Tensor::new(&[rows, columns], ones).and_then(|ones| ones.cast(dtype));
    eye.ok_or_else(|| Error::bug("a matrix has rows and columns"))
}

fn range(b: &Builder<'_>) -> Result<Tensor, Error> {
    let dtype = b.graph.value(b.input(0)?).ty.dtype;
    let too_long = || Error::invalid("it has too many elements, or its step is 0");
    if dtype == DType::F32 {
        let [start, limit, delta] = [b.scalar(0)?, b.scalar(1)?, b.scalar(2)?].map(|value| value.unwrap_or(0.0));
        let count = ((f64::from(limit) - f64::from(start)) / f64::from(delta)).ceil().max(0.0);
        if delta == 0.0 || count.is_nan() || count > MAX_ELEMENTS as f64 {
            return Err(too_long());
        }
        let values: Vec<f32> =
            (0..count as usize).map(|i| (f64::from(start) + i as f64 * f64::from(delta)) as f32).collect();
        return Tensor::new(&[values.len()], values).ok_or_else(too_long);
    }
    let number = |index: usize| {
        let value = b.integers(index)?.and_then(|values| values.first().copied());
        value.map(i128::from).ok_or_else(|| Error::invalid("it is missing").part(format!("input {index}")))
    };
    let (start, limit, delta) = (number(0)?, number(1)?, number(2)?);
    let distance = if delta < 0 { start - limit } else { limit - start };
    let step = delta.unsigned_abs();
    if step == 0 || distance.max(0) as u128 > step.saturating_mul(MAX_ELEMENTS as u128) {
        return Err(too_long());
    }
    let count = (distance.max(0) as u128).div_ceil(step) as i128;
    let values: Vec<i64> = (0..count).map(|i| (start + i * delta) as i64).collect();
    let range = Tensor::from_i64s(&values);
    each_element!(dtype, T => {
        Tensor::new(range.shape(), values.iter().map(|&value| <T as Number>::from_i64(value)).collect::<Vec<T>>())
    })
    .ok_or_else(|| Error::bug("a list has a shape"))
}

/// The operand of an operator whose result's shape depends on its elements.
fn known<'b>(b: &'b Builder<'_>) -> Result<&'b Tensor, Error> {
    b.graph.constant(b.input(0)?).ok_or_else(|| {
        let error = Error::unsupported("the shape of its result depends on data computed at run time");
        error.instead("a constant operand").part("input 0")
    })
}

/// The elements as numbers that compare as they do, -0 as 0; integers from 2^53 on may become equal to their neighbours.
fn to_f64s(x: &Tensor) -> Vec<f64> {
    match (x.f32s(), x.to_i64s()) {
        (Some(values), _) => values.iter().map(|&value| f64::from(value) + 0.0).collect(),
        (None, values) => values.unwrap_or_default().iter().map(|&value| value as f64).collect(),
    }
}

fn non_zero(b: &Builder<'_>) -> Result<Tensor, Error> {
    let x = known(b)?;
    let numbers = to_f64s(x);
    let found: Vec<usize> = (0..x.len()).filter(|&index| numbers[index] != 0.0).collect();
    let mut indices = Vec::with_capacity(found.len() * x.shape().len());
    for (&extent, stride) in x.shape().iter().zip(axes::strides(x.shape())) {
        indices.extend(found.iter().map(|index| (index / stride % extent) as i64));
    }
    Tensor::new(&[x.shape().len(), found.len()], indices).ok_or_else(|| Error::bug("as many indices as axes"))
}

/// The different elements, or slices along an axis; the first place of each, where each place's is among them, and how
/// often each one occurs.
fn unique(b: &Builder<'_>) -> Result<Vec<Tensor>, Error> {
    let x = known(b)?;
    let sorted = b.int("sorted", 1)? != 0;
    let along = match b.attribute("axis") {
        None => None,
        Some(_) => Some(axis(b.int("axis", 0)?, x.shape().len(), false)?),
    };
    let shape = along.map_or([1, x.len(), 1], |axis| {
        let (before, behind) = (&x.shape()[..axis], &x.shape()[axis + 1..]);
        [before.iter().product(), x.shape()[axis], behind.iter().product()]
    });
    let [outer, count, inner] = shape;
    let numbers = to_f64s(x);
    let slice = |place: usize| {
        let numbers = &numbers;
        (0..outer).flat_map(move |o| numbers[(o * count + place) * inner..][..inner].iter().copied())
    };
    let order = |a: usize, b: usize| {
        let mut orders = slice(a).zip(slice(b)).map(|(a, b)| a.total_cmp(&b));
        orders.find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
    };
    // Places by their slice and, among equal ones, by themselves: the first of each run of equal ones is the first place.
    let mut places: Vec<usize> = (0..count).collect();
    places.sort_by(|&a, &b| order(a, b));
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for place in places {
        match groups.last_mut() {
            Some(group) if order(group[0], place).is_eq() => group.push(place),
            _ => groups.push(vec![place]),
        }
    }
    if !sorted {
        groups.sort_by_key(|group| group[0]);
    }
    let firsts: Vec<i64> = groups.iter().map(|group| group[0] as i64).collect();
    let mut inverse = vec![0; count];
    for (index, group) in groups.iter().enumerate() {
        group.iter().for_each(|&place| inverse[place] = index as i64);
    }
    let counts: Vec<i64> = groups.iter().map(|group| group.len() as i64).collect();
    let wrong = || Error::bug("a tensor changed its size");
    let chosen: Vec<usize> = groups.iter().map(|group| group[0]).collect();
    let apart = x.reshaped(&shape).ok_or_else(wrong)?;
    let values = each_dtype!(&apart, array => Tensor::from(array.select(Axis(1), &chosen)));
    let mut shape = along.map_or_else(|| vec![0], |_| x.shape().to_vec());
    shape[along.unwrap_or(0)] = chosen.len();
    let values = values.reshaped(&shape);
    let mut results = vec![values.ok_or_else(wrong)?];
    results.extend([firsts, inverse, counts].map(|values| Tensor::from_i64s(&values)));
    Ok(results)
}

/// The element type that an attribute names.
pub(super) fn dtype(b: &Builder<'_>, attribute: &str) -> Result<DType, Error> {
    let code = b.int(attribute, 0)?;
    onnx::dtype(code).ok_or_else(|| {
        let error = Error::unsupported(format!("the element type with number {code}")).instead("float or integers");
        error.part(format!("attribute `{attribute}`"))
    })
}
