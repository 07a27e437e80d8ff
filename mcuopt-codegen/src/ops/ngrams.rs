//! TfIdfVectorizer on numbers.
//!
//! <https://onnx.ai/onnx/operators/onnx__TfIdfVectorizer.html>, opset 9.

use mcuopt_rt::v0 as rt;

use super::{Io, Lowered, Operator, Scales};
use crate::builder::{Builder, MAX_ELEMENTS};
use crate::call::struct_literals;
use crate::error::Error;
use crate::graph::{Type, ValueId};
use crate::onnx::{self, Attribute};
use crate::tensor::{DType, Tensor};

/// How often n-grams occur in each row; operands: the n-grams, their lengths and places, the rows.
#[derive(Clone, Debug, PartialEq)]
pub struct NGrams {
    /// Counts of a row.
    pub counts: usize,
    /// The longest gap between two numbers of an n-gram.
    pub skips: usize,
}

/// TfIdfVectorizer → NGrams, for the mode IDF a Min with 1, and where there are weights a Mul.
pub fn import(_: &onnx::Node, b: &mut Builder<'_>) -> Result<Vec<ValueId>, Error> {
    let x = b.input(0)?;
    let ty = b.graph.value(x).ty.clone();
    if b.attribute("pool_strings").is_some() || !matches!(ty.dtype, DType::I32 | DType::I64) {
        return Err(Error::unsupported("words").instead("int32 or int64 numbers that stand for them"));
    }
    let list = |name: &str| b.ints(name)?.ok_or_else(|| Error::invalid("it is missing").part(format!("attribute `{name}`")));
    let (numbers, starts, indexes) = (list("pool_int64s")?, list("ngram_counts")?, list("ngram_indexes")?);
    let lengths = b.int("min_gram_length", 1)?..=b.int("max_gram_length", 1)?;
    let columns = ty.shape.last().copied().unwrap_or(1);
    // Longer gaps than a row find nothing.
    let skips = b.int("max_skip_count", 0)?.clamp(0, columns as i64) as usize;
    let wrong = |name: &str| Error::invalid("it does not fit the others").part(format!("attribute `{name}`"));
    let place = |index: &i64| usize::try_from(*index).ok().filter(|&index| index < MAX_ELEMENTS);
    let indexes: Vec<usize> = indexes.iter().map(place).collect::<Option<_>>().ok_or_else(|| wrong("ngram_indexes"))?;
    let counts = indexes.iter().max().map(|last| last + 1).ok_or_else(|| wrong("ngram_indexes"))?;
    let mut order = indexes.iter();
    let (mut pool, mut places) = (Vec::new(), Vec::new());
    for (position, &start) in starts.iter().enumerate() {
        let length = position + 1;
        let end = starts.get(length).copied().unwrap_or(numbers.len() as i64);
        let [start, end] = [start, end].map(usize::try_from);
        let (Ok(start), Ok(end)) = (start, end) else { return Err(wrong("ngram_counts")) };
        let ngrams = numbers.get(start..end).filter(|own| own.len() % length == 0).ok_or_else(|| wrong("ngram_counts"))?;
        for ngram in ngrams.chunks_exact(length) {
            let place = *order.next().ok_or_else(|| wrong("ngram_indexes"))?;
            let fits = ty.dtype == DType::I64 || ngram.iter().all(|&number| i32::try_from(number).is_ok());
            if lengths.contains(&(length as i64)) && fits {
                pool.extend(ngram);
                places.extend([length as i32, place as i32]);
            }
        }
    }
    let pool = match ty.dtype {
        DType::I64 => Tensor::from_i64s(&pool),
        _ => vector(pool.iter().map(|&number| number as i32).collect())?,
    };
    let (pool, places) = (b.constant(pool), b.constant(vector(places)?));
    let mut y = b.push(NGrams { counts, skips }, &[pool, places, x])?;
    let mode = b.string("mode", "")?;
    if mode == "IDF" {
        let one = b.constant(Tensor::scalar(1.0));
        y = b.import("Min", &[Some(y), Some(one)], Vec::new())?;
    }
    let weights = match b.attribute("weights") {
        Some(Attribute::Floats(weights)) if weights.len() == indexes.len() => weights,
        None => return Ok(vec![y]),
        Some(_) => return Err(wrong("weights")),
    };
    if mode == "TF" {
        return Ok(vec![y]);
    }
    let mut factors = vec![1.0; counts];
    indexes.iter().zip(weights).for_each(|(&place, &weight)| factors[place] = weight);
    let factors = b.constant(vector(factors)?);
    Ok(vec![b.import("Mul", &[Some(y), Some(factors)], Vec::new())?])
}

fn vector<T>(elements: Vec<T>) -> Result<Tensor, Error>
where
    Tensor: From<ndarray::ArrayD<T>>,
{
    Tensor::new(&[elements.len()], elements).ok_or_else(|| Error::bug("a list has its own length"))
}

impl Operator for NGrams {
    fn name(&self) -> &'static str {
        "TfIdfVectorizer"
    }

    fn infer(&self, inputs: &[&Type]) -> Result<Vec<Type>, Error> {
        let [_, _, x] = inputs else { return Err(Error::bug("TfIdfVectorizer has three operands")) };
        let mut shape = x.shape.clone();
        match shape.last_mut() {
            Some(columns) if inputs[2].shape.len() <= 2 => *columns = self.counts,
            _ => return Err(Error::invalid(format!("the shape {shape:?}")).part("input 0")),
        }
        Ok(vec![Type::f32(shape)])
    }

    fn scales(&self) -> Scales {
        Scales::Float
    }

    fn lower(&self, io: &Io<'_>) -> Result<Lowered, Error> {
        let columns = io.inputs[2].ty.shape.last().copied().unwrap_or(1);
        Ok(CountNGrams { params: rt::NGrams { columns, counts: self.counts, skips: self.skips } }.into())
    }
}

struct_literals! {
    NGrams { columns, counts, skips }
}

routine! {
    /// `count_ngrams` with its constants.
    pub struct CountNGrams { params "" params: rt::NGrams }
    with [T: each_index of x[2]]
    fn count_ngrams(T, i32, T) -> f32
}
