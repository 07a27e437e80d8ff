//! The result of a compilation.

use std::path::PathBuf;

use mcuopt_rt::v0::Arch;
use proc_macro2::TokenStream;

use crate::emit::{self, Program, Whole};
use crate::error::Error;
use crate::graph::{Graph, Node, ValueId};
use crate::interp::{self, Steps};
use crate::ops::{Layer, Op};
use crate::options::Options;
use crate::plan::Plan;
use crate::quantize::Repair;
use crate::simplify::Applied;
use crate::specialise::Shrunk;
use crate::tensor::{DType, Tensor};

/// A compiled model: every stage's result, and the code.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// The simplified float graph as samples go through it: over whole windows, with the biases of the file. What
    /// [`quantize::report`](crate::quantize::report) compares with.
    pub float: Graph<Op>,
    /// The simplified float graph, with the quantization of each tensor, and with biases corrected for it.
    pub graph: Graph<Op>,
    /// The layers of the firmware.
    pub lowered: Graph<Layer>,
    /// Where their tensors lie.
    pub plan: Plan,
    /// The rewriting rules that were applied, in order.
    pub simplified: Vec<Applied>,
    /// What the repairs of an int8 network gained, in the order in which they were made.
    pub repairs: Vec<Repair>,
    /// The tensors that lost constant or dead channels, in the graph's order.
    pub specialised: Vec<Shrunk>,
    /// What runs over the whole window would take, for a network that takes new frames alone.
    pub whole: Option<Whole>,
    /// What the user should know, a sentence each.
    pub notes: Vec<String>,
    /// Name of the generated type.
    pub type_name: String,
    /// Files with the model's external data, relative to the model's folder.
    pub side_files: Vec<PathBuf>,
    /// The options, those of the TOML file included.
    pub options: Options,
}

impl Compiled {
    /// The generated code as tokens, the type under the given visibility.
    pub fn tokens(&self, visibility: &TokenStream) -> TokenStream {
        self.emit(visibility, false)
    }

    fn emit(&self, visibility: &TokenStream, abridged: bool) -> TokenStream {
        let file = self.options.model.file_name().unwrap_or_default().to_string_lossy();
        emit::emit(
            &Program {
                file: &file,
                type_name: &self.type_name,
                graph: &self.lowered,
                plan: &self.plan,
                inputs: self.graph.inputs.iter().map(|id| self.graph.value(*id)).collect(),
                outputs: self.graph.outputs.iter().map(|id| self.graph.value(*id)).collect(),
                input: self.options.input,
                whole: self.whole,
                abridged,
            },
            visibility,
        )
    }

    /// The generated code as formatted text, the type public.
    #[cfg(feature = "source")]
    pub fn source(&self) -> Result<String, Error> {
        formatted(self.emit(&quote::quote!(pub), false))
    }

    /// The generated code as a reviewer wants to see it: weights are shown by length and hash.
    #[cfg(feature = "source")]
    pub fn review(&self) -> Result<String, Error> {
        formatted(self.emit(&quote::quote!(pub), true))
    }

    /// Runs the layers on the host through mcuopt-rt, as the firmware does.
    ///
    /// `inputs` are what the firmware takes: int8 or int16 where [`input_quantization`](Self::input_quantization) is given,
    /// else float, in the file's layout.
    pub fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, Error> {
        self.in_declared_shape(interp::run_lowered(&self.lowered, inputs, |_, _| {})?)
    }

    /// To run the layers on the host again and again, as the firmware does that keeps its state from run to run.
    pub fn steps(&self) -> Steps<'_> {
        Steps::new(&self.lowered)
    }

    /// Runs the float graph by the reference evaluation.
    pub fn run_float(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, Error> {
        // A network that goes on from call to call has another graph than the one that samples went through.
        let steps = self.whole.is_some() || self.options.stateful;
        interp::run_float(if steps { &self.graph } else { &self.float }, inputs, |_, _| {})
    }

    /// The names by which the generated methods call the inputs: `input_mut` fills `input`.
    #[cfg(feature = "profile")]
    pub fn input_names(&self) -> Vec<String> {
        let inputs: Vec<_> = self.graph.inputs.iter().map(|id| self.graph.value(*id)).collect();
        emit::port_names("input", &inputs)
    }

    /// The names by which the generated methods call the outputs.
    #[cfg(feature = "profile")]
    pub fn output_names(&self) -> Vec<String> {
        let outputs: Vec<_> = self.graph.outputs.iter().map(|id| self.graph.value(*id)).collect();
        emit::port_names("output", &outputs)
    }

    fn in_declared_shape(&self, outputs: Vec<Tensor>) -> Result<Vec<Tensor>, Error> {
        let shapes = self.graph.outputs.iter().map(|id| &self.graph.value(*id).ty.shape);
        let reshaped = outputs.iter().zip(shapes).map(|(tensor, shape)| tensor.reshaped(shape));
        reshaped.collect::<Option<_>>().ok_or_else(|| Error::bug("an output has another size than declared"))
    }

    /// Scale and zero point of input `index`, if the firmware takes it in int8 or int16.
    pub fn input_quantization(&self, index: usize) -> Option<(f32, i32)> {
        self.quantization(self.graph.inputs.get(index)?, self.lowered.inputs.get(index)?)
    }

    /// Scale and zero point of output `index`, if the firmware gives it in int8 or int16.
    pub fn output_quantization(&self, index: usize) -> Option<(f32, i32)> {
        self.quantization(self.graph.outputs.get(index)?, self.lowered.outputs.get(index)?)
    }

    /// What is integers in the file has none: it is given and taken as it is.
    fn quantization(&self, declared: &ValueId, lowered: &ValueId) -> Option<(f32, i32)> {
        let is_real = self.graph.value(*declared).ty.dtype == DType::F32;
        emit::quantization(&self.lowered, *lowered).filter(|_| is_real)
    }

    /// Bytes of weights, biases, multipliers and tables on a target.
    pub fn weight_bytes(&self, arch: Arch) -> usize {
        weight_bytes(&self.lowered, arch)
    }

    /// Fails if a limit of the options is exceeded, naming what costs most.
    pub(crate) fn check_budget(&self) -> Result<(), Error> {
        let names = emit::layer_names(&self.lowered);
        let largest = |cost: &dyn Fn(usize) -> usize| {
            let mut costs: Vec<(usize, &String)> = (0..names.len()).map(cost).zip(&names).collect();
            costs.sort_by_key(|(cost, _)| std::cmp::Reverse(*cost));
            let shown = costs.iter().take(3).map(|(cost, name)| format!("`{name}` {cost}"));
            shown.collect::<Vec<_>>().join(", ")
        };
        if let Some(limit) = self.options.max_ram.filter(|limit| self.plan.arena_bytes > *limit) {
            return Err(Error::budget(format!(
                "the model needs {} bytes of RAM, max_ram is {limit}; input, output and work memory of the \
                 largest layers: {}",
                self.plan.arena_bytes,
                largest(&|index| self.plan.layer_bytes(&self.lowered, index))
            )));
        }
        // For the target that needs most: which one it will be is not known here.
        let arch = Arch::ALL.into_iter().max_by_key(|arch| self.weight_bytes(*arch)).unwrap_or(Arch::Portable);
        let weights = self.weight_bytes(arch);
        if let Some(limit) = self.options.max_flash.filter(|limit| weights > *limit) {
            return Err(Error::budget(format!(
                "the weights take {weights} bytes of flash, max_flash is {limit}; the largest layers: {}",
                largest(&|index| layer_weight_bytes(&self.lowered, &self.lowered.nodes[index], arch))
            )));
        }
        Ok(())
    }
}

/// Bytes of weights, biases, multipliers and tables on a target.
pub(crate) fn weight_bytes(lowered: &Graph<Layer>, arch: Arch) -> usize {
    let mut operands: Vec<ValueId> = lowered.nodes.iter().flat_map(|node| node.inputs.clone()).collect();
    operands.sort_unstable();
    operands.dedup();
    let constants = operands.iter().map(|id| lowered.value(*id)).filter(|value| value.constant.is_some());
    let in_layers = lowered.nodes.iter().map(|node| layer_weight_bytes(lowered, node, arch)).sum::<usize>();
    in_layers + constants.map(|value| value.ty.bytes()).sum::<usize>()
}

fn layer_weight_bytes(lowered: &Graph<Layer>, node: &Node<Layer>, arch: Arch) -> usize {
    node.op.weight_bytes(lowered.value(node.outputs[0]).ty.dtype, arch)
}

#[cfg(feature = "source")]
fn formatted(code: TokenStream) -> Result<String, Error> {
    let file = syn::parse2(code);
    let file = file.map_err(|error| Error::bug(format!("the generated code does not parse: {error}")))?;
    Ok(prettyplease::unparse(&file))
}
