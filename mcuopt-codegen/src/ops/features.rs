//! What prepares features in the domain ai.onnx.ml: Scaler, Normalizer, Binarizer, Imputer, ArrayFeatureExtractor,
//! FeatureVectorizer, LabelEncoder, OneHotEncoder.
//!
//! <https://onnx.ai/onnx/operators/onnx_aionnxml_Scaler.html> and its siblings.

use mcuopt_rt::v0 as rt;
use proc_macro2::TokenStream;
use quote::quote;

use super::{Io, Lowered, Operator, Scales, window};
use crate::builder::Builder;
use crate::call::{Literal, struct_literals};
use crate::error::Error;
use crate::graph::{Type, ValueId};
use crate::onnx::{self, Attribute};
use crate::tensor::{DType, Tensor};

/// Rows of a matrix, each divided by its norm.
#[derive(Clone, Debug, PartialEq)]
pub struct Normalizer {
    /// The norm.
    pub norm: rt::Norm,
}

/// 1 above the threshold, else 0.
#[derive(Clone, Debug, PartialEq)]
pub struct Binarizer {
    /// The threshold.
    pub threshold: f32,
}

/// Replaces a number; operands what takes its place, the number, and x.
#[derive(Clone, Debug, PartialEq)]
pub struct Imputer;

/// Replaces keys by values; operands keys, values, the default, and x.
#[derive(Clone, Debug, PartialEq)]
pub struct LabelEncoder;

/// Categories to rows of zeros and a one; operands the categories and x.
#[derive(Clone, Debug, PartialEq)]
pub struct OneHotEncoder;

/// The operators of this family → themselves, or standard operators that do the same.
pub fn import(node: &onnx::Node, b: &mut Builder<'_>) -> Result<Vec<ValueId>, Error> {
    let y = match node.op_type.as_str() {
        "Scaler" => scaler(b)?,
        "Normalizer" => {
            let norm = match b.string("norm", "MAX")?.as_str() {
                "MAX" => rt::Norm::Max,
                "L1" => rt::Norm::L1,
                "L2" => rt::Norm::L2,
                other => return Err(Error::invalid(format!("`{other}` is no norm")).part("attribute `norm`")),
            };
            let x = real(b, 0)?;
            b.push(Normalizer { norm }, &[x])?
        }
        "Binarizer" => {
            let threshold = b.float("threshold", 0.0)?;
            let x = real(b, 0)?;
            b.push(Binarizer { threshold }, &[x])?
        }
        "Imputer" => imputer(b)?,
        "ArrayFeatureExtractor" => {
            let (x, indices) = (b.input(0)?, b.input(1)?);
            let shape = b.shape(x).to_vec();
            let count = b.shape(indices).iter().product();
            let x = if shape.len() == 1 { b.reshape(x, &[1, shape[0]])? } else { x };
            let indices = b.reshape(indices, &[count])?;
            b.import("Gather", &[Some(x), Some(indices)], vec![("axis".into(), Attribute::Int(-1))])?
        }
        "FeatureVectorizer" => vectorizer(b)?,
        "LabelEncoder" => label_encoder(b)?,
        "OneHotEncoder" => {
            b.attribute("zeros");
            refuse_strings(b, "cats_strings")?;
            let categories = b.ints("cats_int64s")?.unwrap_or_default();
            let categories = b.constant(Tensor::from_i64s(&categories));
            let x = b.input(0)?;
            let x = cast(b, x, DType::I64, 7)?;
            b.push(OneHotEncoder, &[categories, x])?
        }
        other => return Err(Error::bug(format!("{other} prepares no features"))),
    };
    Ok(vec![y])
}

/// The value as another element type, whose number in ONNX is `code`.
fn cast(b: &mut Builder<'_>, x: ValueId, dtype: DType, code: i64) -> Result<ValueId, Error> {
    match b.graph.value(x).ty.dtype == dtype {
        true => Ok(x),
        false => b.import("Cast", &[Some(x)], vec![("to".into(), Attribute::Int(code))]),
    }
}

/// Operand `index` in float.
fn real(b: &mut Builder<'_>, index: usize) -> Result<ValueId, Error> {
    let x = b.input(index)?;
    cast(b, x, DType::F32, 1)
}

fn refuse_strings(b: &Builder<'_>, name: &str) -> Result<(), Error> {
    match b.attribute(name) {
        None => Ok(()),
        Some(_) => {
            let error = Error::unsupported("strings").instead("numbers that stand for them");
            Err(error.part(format!("attribute `{name}`")))
        }
    }
}

fn list(b: &Builder<'_>, name: &str) -> Result<Option<Tensor>, Error> {
    let tensor = match b.attribute(name) {
        None => return Ok(None),
        Some(Attribute::Floats(values)) => Tensor::new(&[values.len()], values.clone()),
        Some(Attribute::Ints(values)) => Some(Tensor::from_i64s(values)),
        Some(Attribute::Tensor(tensor)) => tensor.reshaped(&[tensor.len()]),
        Some(_) => None,
    };
    let wrong = || Error::invalid("it should be a list of numbers").part(format!("attribute `{name}`"));
    tensor.map(Some).ok_or_else(wrong)
}

/// (x − offset) · scale.
fn scaler(b: &mut Builder<'_>) -> Result<ValueId, Error> {
    let mut y = real(b, 0)?;
    for (name, op) in [("offset", "Sub"), ("scale", "Mul")] {
        if let Some(tensor) = list(b, name)? {
            let constant = b.constant(tensor);
            y = b.import(op, &[Some(y), Some(constant)], Vec::new())?;
        }
    }
    Ok(y)
}

fn imputer(b: &mut Builder<'_>) -> Result<ValueId, Error> {
    let x = b.input(0)?;
    let is_float = b.graph.value(x).ty.dtype == DType::F32;
    let names = if is_float { "imputed_value_floats" } else { "imputed_value_int64s" };
    let imputed = list(b, names)?.filter(|tensor| !tensor.is_empty());
    let imputed = imputed.ok_or_else(|| Error::invalid("it is missing").part(format!("attribute `{names}`")))?;
    let (float, integer) = (b.float("replaced_value_float", 0.0)?, b.int("replaced_value_int64", 0)?);
    for name in ["imputed_value_floats", "imputed_value_int64s"] {
        b.attribute(name);
    }
    let replaced = if is_float { Tensor::scalar(float) } else { Tensor::from_i64(integer) };
    let columns = b.shape(x).last().copied().unwrap_or(1);
    if imputed.len() != 1 && imputed.len() != columns {
        return Err(Error::invalid(format!("{} numbers for {columns} columns", imputed.len())));
    }
    let (imputed, replaced) = (b.constant(imputed), b.constant(replaced));
    let x = if is_float { x } else { cast(b, x, DType::I64, 7)? };
    b.push(Imputer, &[imputed, replaced, x])
}

/// Columns beside each other, cut to or filled up to the sizes that the file says.
fn vectorizer(b: &mut Builder<'_>) -> Result<ValueId, Error> {
    let sizes = b.ints("inputdimensions")?.unwrap_or_default();
    let count = b.inputs()?.len();
    let mut parts = Vec::new();
    for index in 0..count {
        let mut x = real(b, index)?;
        if let [columns] = b.shape(x)[..] {
            x = b.reshape(x, &[1, columns])?;
        }
        let columns = b.shape(x).last().copied().unwrap_or(0);
        if sizes.get(index).is_some_and(|size| usize::try_from(*size).ok() != Some(columns)) {
            let error = Error::unsupported(format!("{columns} columns where {} are said to be", sizes[index]));
            return Err(error.instead("equal numbers").part(format!("input {index}")));
        }
        parts.push(Some(x));
    }
    b.import("Concat", &parts, vec![("axis".into(), Attribute::Int(1))])
}

fn label_encoder(b: &mut Builder<'_>) -> Result<ValueId, Error> {
    for name in ["keys_strings", "values_strings", "classes_strings"] {
        refuse_strings(b, name)?;
    }
    b.attribute("default_string");
    let first = |names: [&str; 3]| -> Result<Tensor, Error> {
        let lists = names.map(|name| list(b, name));
        let mut found = None;
        for tensor in lists {
            found = found.or(tensor?);
        }
        found.ok_or_else(|| Error::invalid("it is missing").part(format!("attribute `{}`", names[0])))
    };
    let keys = first(["keys_int64s", "keys_floats", "keys_tensor"])?;
    let values = first(["values_int64s", "values_floats", "values_tensor"])?;
    let default = match (list(b, "default_tensor")?, values.dtype()) {
        (Some(tensor), dtype) if tensor.dtype() == dtype && tensor.len() == 1 => tensor,
        (None, DType::F32) => Tensor::scalar(b.float("default_float", -0.0)?),
        (None, DType::I64) => Tensor::from_i64(b.int("default_int64", -1)?),
        _ => return Err(Error::invalid("it is not of the values' type").part("attribute `default_tensor`")),
    };
    for name in ["default_float", "default_int64"] {
        b.attribute(name);
    }
    if keys.len() != values.len() {
        return Err(Error::invalid(format!("{} keys and {} values", keys.len(), values.len())));
    }
    let x = b.input(0)?;
    if b.graph.value(x).ty.dtype != keys.dtype() {
        let (x, keys) = (b.graph.value(x).ty.dtype, keys.dtype());
        return Err(Error::invalid(format!("x is {x}, the keys are {keys}")).part("input 0"));
    }
    let constants = [keys, values, default].map(|tensor| b.constant(tensor));
    b.push(LabelEncoder, &[&constants[..], &[x]].concat())
}

impl Operator for Normalizer {
    fn name(&self) -> &'static str {
        "Normalizer"
    }

    fn infer(&self, inputs: &[&Type]) -> Result<Vec<Type>, Error> {
        window::expect_float(inputs)?;
        match inputs[0].shape.last() {
            Some(columns) if *columns > 0 => Ok(vec![inputs[0].clone()]),
            _ => Err(Error::invalid("x has no columns")),
        }
    }

    fn scales(&self) -> Scales {
        Scales::Float
    }

    fn lower(&self, io: &Io<'_>) -> Result<Lowered, Error> {
        let columns = io.output.ty.shape.last().copied().unwrap_or(1);
        Ok(NormalizeRows { params: rt::Normalizer { columns, norm: self.norm } }.into())
    }
}

impl Operator for Binarizer {
    fn name(&self) -> &'static str {
        "Binarizer"
    }

    fn infer(&self, inputs: &[&Type]) -> Result<Vec<Type>, Error> {
        window::expect_float(inputs)?;
        Ok(vec![inputs[0].clone()])
    }

    fn scales(&self) -> Scales {
        Scales::Float
    }

    fn lower(&self, _: &Io<'_>) -> Result<Lowered, Error> {
        Ok(BinarizeF32 { threshold: self.threshold }.into())
    }
}

impl Operator for Imputer {
    fn name(&self) -> &'static str {
        "Imputer"
    }

    fn infer(&self, inputs: &[&Type]) -> Result<Vec<Type>, Error> {
        let [imputed, replaced, x] = inputs else { return Err(Error::bug("Imputer has three operands")) };
        match imputed.dtype == x.dtype && replaced.dtype == x.dtype {
            true => Ok(vec![(*x).clone()]),
            false => Err(Error::invalid("the numbers are not of x's type")),
        }
    }

    fn scales(&self) -> Scales {
        Scales::Float
    }

    fn lower(&self, _: &Io<'_>) -> Result<Lowered, Error> {
        Ok(Impute {}.into())
    }
}

impl Operator for LabelEncoder {
    fn name(&self) -> &'static str {
        "LabelEncoder"
    }

    fn infer(&self, inputs: &[&Type]) -> Result<Vec<Type>, Error> {
        let [_, values, _, x] = inputs else { return Err(Error::bug("LabelEncoder has four operands")) };
        Ok(vec![Type { dtype: values.dtype, shape: x.shape.clone() }])
    }

    fn scales(&self) -> Scales {
        Scales::Float
    }

    fn lower(&self, _: &Io<'_>) -> Result<Lowered, Error> {
        Ok(LookUp {}.into())
    }
}

impl Operator for OneHotEncoder {
    fn name(&self) -> &'static str {
        "OneHotEncoder"
    }

    fn infer(&self, inputs: &[&Type]) -> Result<Vec<Type>, Error> {
        let [categories, x] = inputs else { return Err(Error::bug("OneHotEncoder has two operands")) };
        Ok(vec![Type::f32([&x.shape[..], &[categories.len()]].concat())])
    }

    fn scales(&self) -> Scales {
        Scales::Float
    }

    fn lower(&self, _: &Io<'_>) -> Result<Lowered, Error> {
        Ok(EncodeRows {}.into())
    }
}

impl Literal for rt::Norm {
    fn ty(&self) -> TokenStream {
        quote!(rt::Norm)
    }

    fn literal(&self) -> TokenStream {
        match self {
            rt::Norm::Max => quote!(rt::Norm::Max),
            rt::Norm::L1 => quote!(rt::Norm::L1),
            rt::Norm::L2 => quote!(rt::Norm::L2),
        }
    }
}

struct_literals! {
    Normalizer { columns, norm }
}

routine! {
    /// `normalize_rows` with its constants.
    pub struct NormalizeRows { params "" params: rt::Normalizer }
    fn normalize_rows(f32) -> f32
}

routine! {
    /// `binarize` with its threshold.
    pub struct BinarizeF32 { value threshold: f32 }
    fn binarize(f32) -> f32
}

routine! {
    /// `impute`.
    pub struct Impute {}
    with [T: each_element of y]
    fn impute(T, T, T) -> T
}

routine! {
    /// `look_up`.
    pub struct LookUp {}
    with [K: each_element of x[0]] [V: each_element of y]
    fn look_up(K, V, V, K) -> V
}

routine! {
    /// `one_hot_encode`.
    pub struct EncodeRows {}
    with [T: each_element of x[0]]
    fn one_hot_encode(T, T) -> f32
}
