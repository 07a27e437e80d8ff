//! The inputs of the model: their types, and what the file leaves open about them.

use std::collections::BTreeSet;

use super::order::reads;
use super::{Importer, Meaning, Scope};
use crate::builder::MAX_ELEMENTS;
use crate::error::Error;
use crate::graph::Type;
use crate::onnx::{Dim, Graph, ValueInfo};

impl Importer<'_> {
    /// Makes the inputs known. Up to IR version 3 the initializers stand among them, too.
    pub(super) fn inputs(&mut self, source: &Graph, scope: &mut Scope<'_>) -> Result<(), Error> {
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
            match input_type(info, &batches) {
                Ok((ty, is_open)) => {
                    let id = self.graph.add_value(&info.name, ty);
                    self.graph.inputs.push(id);
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

/// The type of an input: static, except for a batch of unknown size, which becomes 1; and whether it was so.
fn input_type(info: &ValueInfo, batches: &BTreeSet<String>) -> Result<(Type, bool), Error> {
    let Some(dtype) = info.dtype else {
        return Err(Error::unsupported(format!("an input of type {}", info.type_name)).instead("tensor(float)"));
    };
    let Some(dims) = &info.shape else {
        return Err(Error::unsupported("its shape is not in the file").instead("an export with fixed input shapes"));
    };
    let mut shape = Vec::with_capacity(dims.len());
    let mut is_open = false;
    for (axis, dim) in dims.iter().enumerate() {
        let name = match dim {
            Dim::Known(extent) => {
                shape.push(*extent);
                continue;
            }
            Dim::Symbolic(name) if axis == 0 || batches.contains(name) => None,
            Dim::Unknown if axis == 0 => None,
            Dim::Symbolic(name) => Some(format!("`{name}`")),
            Dim::Unknown => Some("unknown".to_string()),
        };
        if let Some(name) = name {
            return Err(Error::unsupported(format!("axis {axis} of its shape is {name}, known only at run time"))
                .instead("an export with fixed input shapes"));
        }
        is_open = true;
        shape.push(1);
    }
    let count = shape.iter().try_fold(1usize, |count, &extent| count.checked_mul(extent));
    if count.is_none_or(|count| count == 0 || count > MAX_ELEMENTS) {
        return Err(Error::invalid(format!("its shape {shape:?} is empty or too large")));
    }
    Ok((Type { dtype, shape }, is_open))
}
