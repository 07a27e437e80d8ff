//! Items with what is known about the answers, from a `.npz` file.
//!
//! | key | what |
//! |---|---|
//! | an input's name, or `x` where the network has one input | the items, first axis one each; the rest is the input's shape, or its elements |
//! | `y` or `labels` | the class of each item as a number from 0, or what the network should answer, or nothing |
//! | `scale`, `zero_point` | where the items are a sensor's integers: what the network takes is (x − zero_point) · scale |

use std::path::Path;

use mcuopt_codegen::Error;
use mcuopt_codegen::calibrate::arrays;
use mcuopt_codegen::graph::{Graph, Value};
use mcuopt_codegen::ops::Op;
use mcuopt_codegen::tensor::Tensor;
use ndarray::{ArrayD, Axis};

/// Names under which the answers are looked for.
const ANSWERS: [&str; 2] = ["y", "labels"];

/// A set of items.
pub(super) struct DataSet {
    /// For each item a tensor for each input of the network.
    pub(super) items: Vec<Vec<Tensor>>,
    /// What is known about the answers: the numbers of each item.
    pub(super) answers: Option<Vec<Vec<f32>>>,
}

impl DataSet {
    /// Reads the items for a network's inputs, `limit` at most.
    pub(super) fn read(path: &Path, graph: &Graph<Op>, limit: Option<usize>) -> Result<Self, Error> {
        let in_file = |error: Error| error.in_file(path.display().to_string());
        let arrays = arrays(path)?;
        let find = |name: &str| arrays.iter().find(|(key, _)| key == name).map(|(_, array)| array);
        let number = |name: &str| find(name).and_then(|array| array.first().copied());
        let (scale, zero_point) = (number("scale").unwrap_or(1.0), number("zero_point").unwrap_or(0.0));
        let limit = limit.unwrap_or(usize::MAX);
        let mut inputs = Vec::new();
        for value in graph.inputs.iter().map(|id| graph.value(*id)) {
            let alone = || find("x").filter(|_| graph.inputs.len() == 1);
            let array = find(&value.name).or_else(alone).ok_or_else(|| {
                let names: Vec<String> = arrays.iter().map(|(name, _)| format!("`{name}`")).collect();
                let x = if graph.inputs.len() == 1 { " or `x`" } else { "" };
                let what = format!("no array `{}`{x} for the input, only {}", value.name, names.join(", "));
                in_file(Error::calibration(what))
            })?;
            inputs.push(split(array, value, scale, zero_point, limit).map_err(in_file)?);
        }
        let counts: Vec<usize> = inputs.iter().map(Vec::len).collect();
        let count = counts.first().copied().unwrap_or(0);
        if count == 0 || counts.iter().any(|other| *other != count) {
            return Err(in_file(Error::calibration(format!("the inputs have {counts:?} items, not as many each"))));
        }
        let answers = match ANSWERS.iter().find_map(|name| find(name)) {
            Some(array) => Some(rows(array, count).ok_or_else(|| {
                let what = format!("the answers have the shape {:?} for {count} items", array.shape());
                in_file(Error::calibration(what))
            })?),
            None => None,
        };
        let items = (0..count).map(|index| inputs.iter().map(|input| input[index].clone()).collect()).collect();
        Ok(Self { items, answers })
    }

    /// The class of each item, if the answers are that: a whole number each, below the number of classes.
    pub(super) fn classes(&self, count: usize) -> Option<Vec<usize>> {
        let class = |answer: &Vec<f32>| match answer[..] {
            [class] if class >= 0.0 && class.fract() == 0.0 && (class as usize) < count => Some(class as usize),
            _ => None,
        };
        self.answers.as_ref()?.iter().map(class).collect()
    }

    /// What the network should answer, if the answers are as many numbers.
    pub(super) fn targets(&self, length: usize) -> Option<&Vec<Vec<f32>>> {
        self.answers.as_ref().filter(|answers| answers.iter().all(|answer| answer.len() == length))
    }
}

/// An array as a tensor for each item.
fn split(array: &ArrayD<f32>, value: &Value, scale: f32, zero_point: f32, limit: usize) -> Result<Vec<Tensor>, Error> {
    let shape = &value.ty.shape;
    let wanted: usize = shape.iter().product();
    let found: usize = array.shape().iter().skip(1).product();
    if array.ndim() == 0 || wanted != found {
        let dims = shape.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
        let found = array.shape();
        let what = format!("the items for `{}` have the shape {found:?}; expected [items, {dims}]", value.name);
        return Err(Error::calibration(what));
    }
    let item = |item: ndarray::ArrayViewD<'_, f32>| {
        let reals = item.iter().map(|x| (x - zero_point) * scale).collect();
        Tensor::new(shape, reals).and_then(|tensor| tensor.cast(value.ty.dtype))
    };
    let items: Option<Vec<Tensor>> = array.axis_iter(Axis(0)).take(limit).map(item).collect();
    items.ok_or_else(|| Error::calibration(format!("the items for `{}` are no {}", value.name, value.ty.dtype)))
}

/// The numbers of each item.
fn rows(array: &ArrayD<f32>, count: usize) -> Option<Vec<Vec<f32>>> {
    let enough = array.ndim() > 0 && array.shape()[0] >= count;
    enough.then(|| array.axis_iter(Axis(0)).take(count).map(|item| item.iter().copied().collect()).collect())
}
