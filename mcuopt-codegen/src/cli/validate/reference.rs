//! tract, an implementation of ONNX that shares nothing with this one.

use std::path::Path;

use mcuopt_codegen::each_dtype;
use mcuopt_codegen::graph::Graph;
use mcuopt_codegen::ops::Op;
use mcuopt_codegen::tensor::Tensor;
use tract_onnx::prelude::{
    Framework as _, InferenceFact, InferenceModelExt as _, IntoRunnable as _, TValue, TVec, TractResult,
};
use tract_onnx::tract_core::internal::{DatumType, Tensor as TractTensor};
use tract_onnx::tract_hir::infer::Factoid as _;

/// How a prepared model is run.
type Run = dyn Fn(TVec<TValue>) -> TractResult<TVec<TValue>> + Send + Sync;

/// A model, ready to run.
pub(super) struct Reference {
    run: Box<Run>,
    /// For each input of tract's model its position among ours.
    order: Vec<usize>,
}

impl Reference {
    /// Prepares a file, for inputs of the types and shapes that `graph` has.
    ///
    /// # Errors
    /// Why tract does not take it, in its words.
    pub(super) fn new(path: &Path, graph: &Graph<Op>) -> Result<Self, String> {
        let told = |error: tract_onnx::prelude::TractError| format!("{error:#}").replace('\n', " ");
        let mut model = tract_onnx::onnx().model_for_path(path).map_err(told)?;
        let mut order = Vec::new();
        for (index, outlet) in model.input_outlets().map_err(told)?.to_vec().into_iter().enumerate() {
            let name = model.node(outlet.node).name.clone();
            let position = graph.inputs.iter().position(|id| graph.value(*id).name == name);
            let position = position.ok_or_else(|| format!("its input `{name}` is a constant here"))?;
            let ty = &graph.value(graph.inputs[position]).ty;
            // It may be wider in the file than here.
            let fact = model.outlet_fact(outlet).map_err(told)?;
            let element = fact.datum_type.concretize().unwrap_or(DatumType::F32);
            let shape: TVec<usize> = ty.shape.iter().copied().collect();
            model.set_input_fact(index, InferenceFact::dt_shape(element, shape)).map_err(told)?;
            order.push(position);
        }
        let model = model.into_optimized().map_err(told)?;
        let model = model.into_runnable().map_err(told)?;
        Ok(Self { run: Box::new(move |inputs| model.run(inputs)), order })
    }

    /// The outputs as numbers.
    pub(super) fn run(&self, inputs: &[Tensor]) -> Result<Vec<Vec<f32>>, String> {
        let told = |error: tract_onnx::prelude::TractError| format!("{error:#}").replace('\n', " ");
        let inputs: TVec<TValue> = self
            .order
            .iter()
            .map(|index| to_tract(&inputs[*index]).map(TValue::from))
            .collect::<Result<_, _>>()
            .map_err(told)?;
        let outputs = (self.run)(inputs).map_err(told)?;
        let numbers = |output: &TValue| -> TractResult<Vec<f32>> {
            let floats = output.cast_to::<f32>()?;
            Ok(floats.to_plain_array_view::<f32>()?.iter().copied().collect())
        };
        outputs.iter().map(numbers).collect::<Result<_, _>>().map_err(told)
    }
}

fn to_tract(tensor: &Tensor) -> TractResult<TractTensor> {
    each_dtype!(tensor, array => TractTensor::from_shape(tensor.shape(), array.as_slice().unwrap_or_default()))
}
