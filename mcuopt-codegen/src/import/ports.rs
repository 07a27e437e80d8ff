//! The inputs of the model: their types, and what the file leaves open about them.

use std::collections::BTreeSet;

use super::order::reads;
use super::{Importer, Meaning, Scope};
use crate::builder::MAX_ELEMENTS;
use crate::error::Error;
use crate::graph::Type;
use crate::onnx::{Dim, Graph, ValueInfo};
use crate::options::{Bindings, Number};
use crate::tensor::{DType, Tensor, each_element};
use mcuopt_rt::number::Number as Cast;

impl Importer<'_> {
    /// Makes the inputs known. Up to IR version 3 the initializers stand among them, too.
    pub(super) fn inputs(&mut self, source: &Graph, bind: &Bindings, scope: &mut Scope<'_>) -> Result<(), Error> {
        check_bindings(source, bind)?;
        let inputs: Vec<&ValueInfo> = source.inputs.iter().filter(|info| !scope.is_own(&info.name)).collect();
        // The name of the batch dimension may stand on other axes as well, as in recurrent networks.
        let first = |info: &&ValueInfo| match info.shape.as_deref() {
            Some([Dim::Symbolic(name), ..]) => Some(name.clone()),
            _ => None,
        };
        let batches: BTreeSet<String> = inputs.iter().filter_map(first).collect();
        let read: BTreeSet<&str> =
            (source.nodes.iter().flat_map(reads)).chain(source.outputs.iter().map(|info| info.name.as_str())).collect();
        let mut open = Vec::new();
        for info in inputs {
            if scope.is_own(&info.name) {
                return Err(Error::invalid("two inputs have this name").part(format!("input `{}`", info.name)));
            }
            match input_type(info, bind, &batches) {
                Ok((ty, is_open)) => {
                    let id = match bind.get(&info.name) {
                        Some(numbers) => self.graph.add_constant(&info.name, bound(&info.name, &ty, numbers)?),
                        None => self.graph.add_value(&info.name, ty),
                    };
                    if self.graph.constant(id).is_none() {
                        self.graph.inputs.push(id);
                    }
                    scope.define(&info.name, Meaning::Value(id));
                    open.extend(is_open.then_some(info.name.as_str()));
                }
                Err(error) if !read.contains(info.name.as_str()) => {
                    let name = &info.name;
                    self.notes.push(format!("the input `{name}`, which nothing reads, is left out: {}", error.kind));
                    scope.define(name, Meaning::Failed);
                }
                Err(error) => {
                    self.errors.push(error.part(format!("input `{}`", info.name)));
                    scope.define(&info.name, Meaning::Failed);
                }
            }
        }
        self.notes.extend(
            open.iter().map(|name| {
                format!("the batch dimension of input `{name}` is not fixed in the file: it is taken as 1")
            }),
        );
        Ok(())
    }
}

/// Fails on a binding of something that the model does not have.
fn check_bindings(graph: &Graph, bind: &Bindings) -> Result<(), Error> {
    let dims = graph.inputs.iter().flat_map(|info| info.shape.iter().flatten());
    let dims = dims.filter_map(|dim| if let Dim::Symbolic(name) = dim { Some(name.as_str()) } else { None });
    let known: BTreeSet<&str> = graph.inputs.iter().map(|info| info.name.as_str()).chain(dims).collect();
    match bind.keys().find(|name| !known.contains(name.as_str())) {
        None => Ok(()),
        Some(name) => {
            let known: Vec<&str> = known.into_iter().collect();
            let message = format!("the model has no input or dimension `{name}`; it has {}", known.join(", "));
            Err(Error::options(message).part("option `bind`"))
        }
    }
}

/// The constant that an input becomes.
fn bound(name: &str, ty: &Type, numbers: &[Number]) -> Result<Tensor, Error> {
    let integers = || numbers.iter().map(|number| number.to_i64());
    let tensor = match ty.dtype {
        DType::Bool => Tensor::new(&ty.shape, integers().map(|value| value != 0).collect::<Vec<bool>>()),
        DType::F32 => Tensor::new(&ty.shape, numbers.iter().map(|number| number.to_f32()).collect::<Vec<f32>>()),
        other => each_element!(other, T => {
            Tensor::new(&ty.shape, integers().map(<T as Cast>::from_i64).collect::<Vec<T>>())
        }),
    };
    tensor.ok_or_else(|| {
        let message = format!("`{name}` is {} {:?}, which {} numbers do not fill", ty.dtype, ty.shape, numbers.len());
        Error::options(message).part("option `bind`")
    })
}

/// The type of an input: static, but for dimensions that the user binds, and a batch of unknown size, which becomes
/// 1; and whether it was so.
fn input_type(info: &ValueInfo, bind: &Bindings, batches: &BTreeSet<String>) -> Result<(Type, bool), Error> {
    let Some(dtype) = info.dtype else {
        return Err(Error::unsupported(format!("an input of type {}", info.type_name)).instead("tensor(float)"));
    };
    let Some(dims) = &info.shape else {
        return Err(Error::unsupported("its shape is not in the file").instead("an export with fixed input shapes"));
    };
    let mut shape = Vec::with_capacity(dims.len());
    let mut is_open = false;
    for (axis, dim) in dims.iter().enumerate() {
        let numbers = if let Dim::Symbolic(name) = dim { bind.get(name) } else { None };
        match (dim, numbers.map(Vec::as_slice)) {
            (Dim::Known(extent), _) => shape.push(*extent),
            (Dim::Symbolic(name), Some(numbers)) => {
                let size = match numbers {
                    [number] => usize::try_from(number.to_i64()).ok().filter(|size| *size > 0),
                    _ => None,
                };
                let wrong = || Error::options(format!("the dimension `{name}` takes one number above 0"));
                shape.push(size.ok_or_else(|| wrong().part("option `bind`"))?);
            }
            // A list that the user gives says itself how long it is.
            (_, None) if dims.len() == 1 && bind.contains_key(&info.name) => shape.push(bind[&info.name].len()),
            (Dim::Symbolic(name), None) if axis == 0 || batches.contains(name) => {
                is_open = true;
                shape.push(1);
            }
            (Dim::Unknown, _) if axis == 0 => {
                is_open = true;
                shape.push(1);
            }
            (dim, _) => {
                let (name, instead) = match dim {
                    Dim::Symbolic(name) => (format!("`{name}`"), format!(", or its size: bind = {{ {name} = 16 }}")),
                    _ => ("unknown".to_string(), String::new()),
                };
                return Err(Error::unsupported(format!("axis {axis} of its shape is {name}, known only at run time"))
                    .instead(format!("an export with fixed input shapes{instead}")));
            }
        }
    }
    let count = shape.iter().try_fold(1usize, |count, &extent| count.checked_mul(extent));
    if count.is_none_or(|count| count > MAX_ELEMENTS || (count == 0 && !bind.contains_key(&info.name))) {
        return Err(Error::invalid(format!("its shape {shape:?} is empty or too large")));
    }
    Ok((Type { dtype, shape }, is_open))
}
