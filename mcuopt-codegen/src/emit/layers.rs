//! The layers: their constants and their calls.

use std::collections::BTreeMap;

use mcuopt_rt::v0::{Arch, Choice, Prefer};
use proc_macro2::{Ident, Literal, TokenStream};
use quote::{format_ident, quote};

use super::{Program, ident, number};
use crate::call::{Call, Constant, Data, Operands};
use crate::graph::{Node, Value, ValueId};
use crate::ops::{Kernel, Layer};
use crate::options::Input;
use crate::tensor::Tensor;

/// Everything the emitted code says about layers.
pub(super) struct Layers {
    /// Name of the slot of each tensor in the arena.
    pub(super) slots: BTreeMap<ValueId, Ident>,
    /// Name of the slot of each layer's work memory, where it needs some.
    pub(super) scratch: BTreeMap<usize, Ident>,
    /// Parameters, weights and other constants.
    pub(super) constants: TokenStream,
    /// The calls, in order.
    pub(super) calls: Vec<TokenStream>,
    /// The entries of the `LAYERS` table.
    pub(super) table: Vec<TokenStream>,
    /// Bytes of all constant arrays that are the same for every target.
    pub(super) weight_bytes: usize,
    /// The kernels that are chosen for the target; their constants come on top.
    pub(super) chosen: Vec<Ident>,
    /// Multiply-accumulates of all layers.
    pub(super) macs: u64,
}

/// A layer as it will be called: possibly in place, possibly with its operands exchanged.
struct Chosen {
    kernel: Kernel,
    inputs: Vec<ValueId>,
    in_place: bool,
}

impl Layers {
    pub(super) fn new(program: &Program<'_>) -> Self {
        let graph = program.graph;
        let names = super::layer_names(graph);
        let mut layers = Self {
            slots: slot_names(program, &names),
            scratch: scratch_names(program, &names),
            constants: TokenStream::new(),
            calls: Vec::new(),
            table: Vec::new(),
            weight_bytes: 0,
            chosen: Vec::new(),
            macs: graph.nodes.iter().map(|node| node.op.kernel.macs()).sum(),
        };
        let operands = layers.constant_operands(program);
        for (index, node) in graph.nodes.iter().enumerate() {
            layers.layer(program, index, node, &names[index], &operands);
        }
        layers
    }

    /// Constants that kernels read as operands, each a static of its own.
    fn constant_operands(&mut self, program: &Program<'_>) -> BTreeMap<ValueId, TokenStream> {
        let mut operands = BTreeMap::new();
        for id in program.graph.nodes.iter().flat_map(|node| &node.inputs) {
            let value = program.graph.value(*id);
            let Some(data) = value.constant.as_deref().and_then(data_of) else { continue };
            let name = format_ident!("CONSTANT_{}", operands.len());
            operands.entry(*id).or_insert_with(|| {
                self.weight_bytes += data.bytes().len();
                self.constants.extend(array(program, &name, &data, &format!(" `{}`.", value.name)));
                quote!(&#name.0[..])
            });
        }
        operands
    }

    fn layer(
        &mut self,
        program: &Program<'_>,
        index: usize,
        node: &Node<Layer>,
        name: &str,
        constants: &BTreeMap<ValueId, TokenStream>,
    ) {
        let chosen = choose(node, program.plan.in_place[index]);
        let output = program.graph.value(node.outputs[0]);
        let call = chosen.kernel.call(output.ty.dtype);
        let macs = chosen.kernel.macs();
        let weight_bytes = call.weight_bytes();
        self.weight_bytes += weight_bytes;

        let documentation = describe(program, node, output);
        let arguments = self.constants_of(program, node, &call, name, &documentation);
        let function = format!("{}{}", call.function, if chosen.in_place { "_in_place" } else { "" });
        let path: Vec<Ident> = function.split("::").map(ident).collect();
        let kernel = ident(&name.to_ascii_uppercase());
        let is_chosen = call.constants.iter().any(|constant| matches!(constant, Constant::Chosen { .. }));
        // A kernel that is chosen for the target knows itself whether it is inlined.
        let path = match node.op.prefer {
            Prefer::Size if !is_chosen => quote!(rt::shared::#(#path)::*),
            _ => quote!(rt::#(#path)::*),
        };
        self.calls.push(self.statement(program, index, &chosen, node, &call, (&path, &arguments), constants));

        let operator = node.op.operator;
        let (macs, weights) = (Literal::u64_unsuffixed(macs), number(weight_bytes));
        let (kernel, remark, weights) = match is_chosen {
            true => {
                (quote!(#kernel.choice().name), quote!(#kernel.choice().remark), quote!(#kernel.choice().weight_bytes))
            }
            false => (quote!(#function), quote!(""), quote!(#weights)),
        };
        let output_bytes = number(output.ty.bytes());
        self.table.push(quote! {
            rt::Layer {
                name: #name,
                op: #operator,
                kernel: #kernel,
                remark: #remark,
                macs: #macs,
                weight_bytes: #weights,
                output_bytes: #output_bytes
            }
        });
    }

    /// Defines a call's constants and returns how they are passed.
    fn constants_of(
        &mut self,
        program: &Program<'_>,
        node: &Node<Layer>,
        call: &Call,
        layer: &str,
        documentation: &str,
    ) -> Vec<TokenStream> {
        let layer = layer.to_ascii_uppercase();
        let mut arguments = Vec::new();
        let mut documentation = Some(documentation);
        for constant in &call.constants {
            match constant {
                Constant::Value(value) => arguments.push(value.clone()),
                Constant::Params { suffix, ty, value } => {
                    let name = format_ident!("{layer}{suffix}");
                    let text = documentation.take().map(|text| quote!(#[doc = #text]));
                    self.constants.extend(quote!(#text const #name: #ty = #value;));
                    arguments.push(quote!(&#name));
                }
                Constant::Chosen { ty, choose, params, linear } => {
                    let (name, ty, choose) = (ident(&layer), ident(ty), ident(choose));
                    let (canonical, constants) = (format_ident!("{layer}_LINEAR"), format_ident!("{layer}_CONSTANTS"));
                    let [weights, bias, multipliers] =
                        [&linear.weights, &linear.bias, &linear.multipliers].map(|data| bytes(program, data));
                    let (requantize, prefer) = (&linear.requantize, prefer(node.op.prefer));
                    let text = documentation.take().map(|text| quote!(#[doc = #text]));
                    let kernels = kernels(node);
                    self.constants.extend(quote! {
                        #text
                        #[doc = ""]
                        #[doc = #kernels]
                        const #name: rt::#ty =
                            rt::#ty::#choose(#(#params,)* &#canonical, #prefer, rt::Arch::CURRENT);
                        const #canonical: rt::LinearS8<'static> = rt::LinearS8 {
                            weights: #weights,
                            bias: #bias,
                            multipliers: #multipliers,
                            requantize: #requantize
                        };
                        static #constants: rt::Aligned<[u32; #name.words()]> = #name.pack(&#canonical);
                    });
                    arguments.push(quote!(&#name));
                    arguments.push(quote!(&#constants.0));
                    self.chosen.push(name);
                }
                Constant::Array { suffix, data } => {
                    let name = format_ident!("{layer}{suffix}");
                    self.constants.extend(array(program, &name, data, documentation.take().unwrap_or_default()));
                    arguments.push(quote!(&#name.0));
                }
            }
        }
        arguments
    }

    /// The statements of one layer in `run`.
    #[allow(clippy::too_many_arguments)]
    fn statement(
        &self,
        program: &Program<'_>,
        index: usize,
        chosen: &Chosen,
        node: &Node<Layer>,
        call: &Call,
        (path, arguments): (&TokenStream, &[TokenStream]),
        constants: &BTreeMap<ValueId, TokenStream>,
    ) -> TokenStream {
        let output = &self.slots[&node.outputs[0]];
        let in_array = call.operands == Operands::Array;
        let mut bindings = Vec::new();
        let mut slots = Vec::new();
        let mut operands = Vec::new();
        for (position, id) in chosen.inputs.iter().enumerate().skip(usize::from(chosen.in_place)) {
            if let Some(constant) = constants.get(id) {
                operands.push(constant.clone());
            } else if program.input == Input::Borrowed && program.graph.inputs.contains(id) {
                let name = super::interface::input_name(program, *id);
                operands.push(if in_array { quote!(&#name[..]) } else { quote!(#name) });
            } else if in_array {
                let position = number(slots.len());
                operands.push(quote!(x[#position]));
                slots.push(&self.slots[id]);
            } else {
                let name = match chosen.inputs.len() {
                    1 => ident("x"),
                    _ => format_ident!("x{}", position),
                };
                operands.push(quote!(#name));
                bindings.push(name);
                slots.push(&self.slots[id]);
            }
        }
        let scratch = self.scratch.get(&index).map(|slot| (quote!(scratch,), quote!(slot::#slot.write(),)));
        let (scratch_name, scratch_slot) = scratch.unzip();
        let views = match in_array && !slots.is_empty() {
            true => quote!(let (x, y) = arena.many_to_one([#(slot::#slots.erase()),*], slot::#output.write());),
            false => quote! {
                let (#(#bindings,)* y, #scratch_name) =
                    arena.views((#(slot::#slots.read(),)* slot::#output.write(), #scratch_slot));
            },
        };
        let operands = match call.operands {
            Operands::Separate => quote!(#(#operands,)*),
            Operands::Array => quote!(&[#(#operands),*],),
        };
        let first = match chosen.in_place {
            true => quote!(y, #operands),
            false => quote!(#operands y),
        };
        let scratch = call.scratch.then(|| match scratch_name {
            Some(_) => quote!(, scratch),
            None => quote!(, &mut []),
        });
        let index = number(index);
        quote! {
            #views
            #path(#(#arguments,)* #first #scratch);
            observer.layer(#index, rt::Tensor::from(&y[..]));
        }
    }
}

/// How the plan wants a layer called.
fn choose(node: &Node<Layer>, in_place: Option<usize>) -> Chosen {
    let kernel = node.op.kernel.clone();
    match (in_place, in_place.and_then(|_| kernel.swapped())) {
        (Some(1), Some(swapped)) => {
            Chosen { kernel: swapped, inputs: node.inputs.iter().rev().copied().collect(), in_place: true }
        }
        (in_place, _) => Chosen { kernel, inputs: node.inputs.clone(), in_place: in_place.is_some() },
    }
}

/// Inputs, and one slot for each layer under the layer's name.
fn slot_names(program: &Program<'_>, names: &[String]) -> BTreeMap<ValueId, Ident> {
    let mut slots = BTreeMap::new();
    for id in &program.graph.inputs {
        let name = super::interface::input_name(program, *id).to_string().to_ascii_uppercase();
        slots.insert(*id, ident(&name));
    }
    for (node, name) in program.graph.nodes.iter().zip(names) {
        slots.insert(node.outputs[0], ident(&name.to_ascii_uppercase()));
    }
    slots
}

/// A slot for each layer with work memory.
fn scratch_names(program: &Program<'_>, names: &[String]) -> BTreeMap<usize, Ident> {
    let name = |index: &usize| format_ident!("{}_SCRATCH", names[*index].to_ascii_uppercase());
    program.plan.scratch.keys().map(|index| (*index, name(index))).collect()
}

/// Which kernel runs a layer on which target.
fn kernels(node: &Node<Layer>) -> String {
    let choice =
        |arch: Arch| node.op.choice(arch).unwrap_or(Choice { name: "", remark: "", weight_bytes: 0, scratch_bytes: 0 });
    let (portable, dsp) = (choice(Arch::Portable), choice(Arch::Dsp));
    match (portable.name == dsp.name, dsp.remark) {
        (true, "") => format!(" Kernel: `{}`.", portable.name),
        (true, remark) => format!(" Kernel: `{}`; on Cortex-M4, M7 and M33 because {remark}.", portable.name),
        (false, "") => format!(" Kernel: `{}` on Cortex-M4, M7 and M33, else `{}`.", dsp.name, portable.name),
        (false, remark) => {
            format!(" Kernel: `{}` on Cortex-M4, M7 and M33 ({remark}), else `{}`.", dsp.name, portable.name)
        }
    }
}

fn prefer(prefer: Prefer) -> TokenStream {
    match prefer {
        Prefer::Fastest => quote!(rt::Prefer::Fastest),
        Prefer::Speed => quote!(rt::Prefer::Speed),
        Prefer::Size => quote!(rt::Prefer::Size),
    }
}

/// A layer in a line.
fn describe(program: &Program<'_>, node: &Node<Layer>, output: &Value) -> String {
    let inputs: Vec<String> = (node.inputs.iter())
        .map(|id| program.graph.value(*id))
        .map(|value| format!("{} {:?}", value.ty.dtype, value.ty.shape))
        .collect();
    let result = format!("{} {:?}", output.ty.dtype, output.ty.shape);
    format!(" {} `{}`: {} → {result}.", node.op.operator, node.name, inputs.join(", "))
}

/// A static array from a byte string.
fn array(program: &Program<'_>, name: &Ident, data: &Data, documentation: &str) -> TokenStream {
    let bytes = bytes(program, data);
    let (element, decode) = data.decoder();
    let length = number(data.len());
    let documentation = (!documentation.is_empty()).then(|| quote!(#[doc = #documentation]));
    quote!(#documentation static #name: rt::Aligned<[#element; #length]> = rt::#decode(#bytes);)
}

/// An array's bytes as a string, or what a reviewer wants to see of them.
fn bytes(program: &Program<'_>, data: &Data) -> Literal {
    let bytes = data.bytes();
    match program.abridged {
        true => Literal::byte_string(format!("{} bytes, FNV-1a {:016x}", bytes.len(), fnv1a(&bytes)).as_bytes()),
        false => Literal::byte_string(&bytes),
    }
}

/// The 64-bit Fowler–Noll–Vo hash, variant 1a: short, and the same on every machine.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

fn data_of(tensor: &Tensor) -> Option<Data> {
    match tensor {
        Tensor::F32(array) => Some(Data::F32(array.iter().copied().collect())),
        Tensor::I8(array) => Some(Data::I8(array.iter().copied().collect())),
        _ => None,
    }
}
