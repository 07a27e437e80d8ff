//! A planned graph → the tokens of a Rust module: straight-line calls of mcuopt-rt, one for each layer.
//!
//! Same input, same tokens: names come from the file, numbers from the plan, and nothing from the machine. The text
//! is the same for all targets.

mod interface;
mod layers;
pub(crate) use layers::fnv1a;
mod names;

use proc_macro2::{Ident, Literal, Span, TokenStream};
use quote::{format_ident, quote};

use crate::graph::{Graph, Value, ValueId};
use crate::ops::Layer;
use crate::options::Input;
use crate::plan::Plan;
use crate::tensor::{DType, each_element};

#[cfg(feature = "profile")]
pub(crate) use interface::port_names;
pub use names::layer_names;
pub(crate) use names::snake_case;

/// What the emitter needs to know.
pub struct Program<'a> {
    /// The model's file name, for the documentation of the type.
    pub file: &'a str,
    /// The type's name.
    pub type_name: &'a str,
    /// The lowered graph.
    pub graph: &'a Graph<Layer>,
    /// Its memory plan.
    pub plan: &'a Plan,
    /// The inputs as the file declares them.
    pub inputs: Vec<&'a Value>,
    /// The outputs as the file declares them.
    pub outputs: Vec<&'a Value>,
    /// Where the input lies.
    pub input: Input,
    /// What runs over the whole window would take, for a network that takes new frames alone.
    pub whole: Option<Whole>,
    /// Whether weights are shown by length and hash, for a text that people review and nobody compiles.
    pub abridged: bool,
}

/// A network over the whole window, beside which one that takes new frames alone stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Whole {
    /// Frames of the window.
    pub window: usize,
    /// New frames of a call.
    pub frames: usize,
    /// Multiply-accumulates over the whole window.
    pub macs: u64,
    /// Bytes of its arena.
    pub arena_bytes: usize,
}

/// The items that define the model's type, private ones in a module of their own.
pub fn emit(program: &Program<'_>, visibility: &TokenStream) -> TokenStream {
    let name = ident(program.type_name);
    let module = format_ident!("__mcuopt_{}", names::snake_case(program.type_name));
    let layers = layers::Layers::new(program);
    let interface = interface::emit(program, &layers);
    let slots = slots(program, &layers);
    let constants = &layers.constants;
    quote! {
        #visibility use self::#module::#name;

        #[doc(hidden)]
        #[allow(long_running_const_eval, clippy::all, clippy::pedantic)]
        mod #module {
            use ::mcuopt_rt::v0 as rt;

            #interface

            #slots

            #constants
        }
    }
}

/// The memory map: where each tensor lies in the arena.
fn slots(program: &Program<'_>, layers: &layers::Layers) -> TokenStream {
    let slot = |name: &Ident, element: TokenStream, length: usize, offset: usize| {
        let (length, offset) = (number(length), number(offset));
        quote!(pub(super) const #name: rt::Slot<#element, #length> = rt::Slot::at(#offset);)
    };
    let tensor = |id: &ValueId| {
        let ty = &program.graph.value(*id).ty;
        let offset = program.plan.offsets.get(id)?;
        Some(slot(&layers.slots[id], element(ty.dtype), ty.len(), *offset))
    };
    let inputs = program.graph.inputs.iter().filter_map(tensor);
    let slots = program.graph.nodes.iter().enumerate().flat_map(|(index, node)| {
        let shared = layers.shared.get(&index);
        let shared = shared.and_then(|shared| Some((&shared.slot, shared.own_place.as_ref()?)));
        let dtype = program.graph.value(node.outputs[0]).ty.dtype;
        let shared = shared.map(|(name, bytes)| slot(name, element(dtype), bytes.len() / dtype.size(), bytes.start));
        let scratch = program.plan.scratch.get(&index);
        let scratch = scratch.map(|bytes| slot(&layers.scratch[&index], quote!(u32), bytes.len() / 4, bytes.start));
        [tensor(&node.outputs[0]), shared, scratch]
    });
    let slots = slots.flatten();
    quote! {
        /// The memory map: where each tensor starts in the arena. Tensors that are not needed at the same time share
        /// memory. `_XY` is an output together with the operand that it is written over, `_SCRATCH` is what a layer
        /// works in.
        mod slot {
            use super::rt;
            #(#inputs)*
            #(#slots)*
        }
    }
}

/// The Rust type of an element.
fn element(dtype: DType) -> TokenStream {
    each_element!(dtype, T => {
        let name = ident(std::any::type_name::<T>());
        quote!(#name)
    })
}

/// The name of an element type in Rust.
#[cfg(feature = "profile")]
pub(crate) fn element_name(dtype: DType) -> &'static str {
    each_element!(dtype, T => std::any::type_name::<T>())
}

/// A number without a type suffix.
fn number(value: usize) -> Literal {
    Literal::usize_unsuffixed(value)
}

fn ident(name: &str) -> Ident {
    Ident::new(name, Span::call_site())
}

/// A shape as `[usize; N]` and its literal.
fn shape(value: &Value) -> (TokenStream, TokenStream) {
    let extents = value.ty.shape.iter().map(|&extent| number(extent));
    let rank = number(value.ty.shape.len());
    (quote!([usize; #rank]), quote!([#(#extents),*]))
}

/// Scale and zero point of a lowered value, if it is int8 or int16.
pub fn quantization(graph: &Graph<Layer>, id: ValueId) -> Option<(f32, i32)> {
    let value = graph.value(id);
    let quantization = value.quantization.as_ref().filter(|_| matches!(value.ty.dtype, DType::I8 | DType::I16))?;
    quantization.single()
}
