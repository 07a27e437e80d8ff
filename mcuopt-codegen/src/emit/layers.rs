//! The layers: their constants and their calls.

use std::collections::BTreeMap;
use std::ops::Range;

use mcuopt_rt::v0::{Arch, Prefer};
use proc_macro2::{Ident, Literal, TokenStream};
use quote::{format_ident, quote};

use super::{Program, ident, number};
use crate::call::{Call, Constant, Data, Operands};
use crate::graph::{Node, Value, ValueId};
use crate::ops::{Kernel, Layer, Overlap};
use crate::options::Input;
use crate::plan::Overlapping;
use crate::tensor::DType;

/// Everything the emitted code says about layers.
pub(super) struct Layers {
    /// Name of the slot of each tensor in the arena.
    pub(super) slots: BTreeMap<ValueId, Ident>,
    /// Name of the slot of each layer's work memory, where it needs some.
    pub(super) scratch: BTreeMap<usize, Ident>,
    /// Where outputs lie that are written over an operand.
    pub(super) shared: BTreeMap<usize, Shared>,
    /// The slots that layers keep for the next run: with their bytes, and with what all elements are before the first
    /// run.
    pub(super) kept: Vec<Kept>,
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

/// What a layer keeps for the next run.
pub(super) struct Kept {
    pub(super) slot: Ident,
    pub(super) bytes: usize,
    /// What all elements are before the first run.
    pub(super) initial: Literal,
    /// Whether that is not what a zeroed arena holds.
    pub(super) is_set: bool,
}

/// The memory of an output and of the operand that it is written over.
pub(super) struct Shared {
    /// The slot of both: the output's or the operand's if that holds the other, else one of its own.
    pub(super) slot: Ident,
    /// The place of one of its own.
    pub(super) own_place: Option<Range<usize>>,
    /// Whether the slot is the output's.
    is_output: bool,
    /// Where the operand starts in it.
    x_start: usize,
}

/// A layer as it will be called: possibly over its first operand, possibly with its operands exchanged.
struct Chosen {
    kernel: Kernel,
    inputs: Vec<ValueId>,
    overlap: Overlap,
}

impl Chosen {
    /// What the plan makes of a layer.
    fn new(node: &Node<Layer>, overlapping: Option<Overlapping>) -> Self {
        let kernel = node.op.kernel.clone();
        let overlap = overlapping.map_or(Overlap::Never, |overlapping| overlapping.how);
        match (overlapping, kernel.swapped()) {
            (Some(Overlapping { operand: 1, .. }), Some(swapped)) => {
                let mut inputs = node.inputs.clone();
                inputs.swap(0, 1);
                Self { kernel: swapped, inputs, overlap }
            }
            _ => Self { kernel, inputs: node.inputs.clone(), overlap },
        }
    }

    /// The kernel's twin for the overlap.
    fn function(&self, call: &Call) -> String {
        let twin = match self.overlap {
            Overlap::Never => "",
            Overlap::Same => "_in_place",
            Overlap::Ahead(_) => "_overlapping",
        };
        format!("{}{twin}", call.function)
    }
}

impl Layers {
    pub(super) fn new(program: &Program<'_>) -> Self {
        let graph = program.graph;
        let names = super::layer_names(graph);
        let slots = slot_names(program, &names);
        let mut layers = Self {
            kept: kept(program, &slots),
            scratch: scratch_names(program, &names),
            shared: shared(program, &names, &slots),
            slots,
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
            let Some(data) = value.constant.as_deref().map(Data::from) else { continue };
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
        let chosen = Chosen::new(node, program.plan.overlaps[index]);
        let output = program.graph.value(node.outputs[0]);
        let call = chosen.kernel.call(output.ty.dtype);
        let macs = chosen.kernel.macs();
        let weight_bytes = call.weight_bytes();
        self.weight_bytes += weight_bytes;

        let documentation = describe(program, node, output);
        let arguments = self.constants_of(program, node, &call, name, &documentation);
        let function = chosen.function(&call);
        let path: Vec<Ident> = function.split("::").map(ident).collect();
        let kernel = ident(&name.to_ascii_uppercase());
        let is_chosen = call.constants.iter().any(|constant| matches!(constant, Constant::Chosen { .. }));
        let path = match node.op.prefer {
            Prefer::Size if call.inlined => quote!(rt::shared::#(#path)::*),
            _ => quote!(rt::#(#path)::*),
        };
        self.calls.push(self.statement(program, index, &chosen, node, &call, (&path, &arguments), constants));

        let operator = node.op.operator;
        let (macs, weights) = (Literal::u64_unsuffixed(macs), number(weight_bytes));
        let (kernel, remark, weights) = match is_chosen {
            true => (quote!(#kernel.name()), quote!(#kernel.remark()), quote!(#kernel.weight_bytes())),
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
                    let linear_ty = ident(linear.ty);
                    let text = documentation.take().map(|text| quote!(#[doc = #text]));
                    let kernels = kernels(node);
                    self.constants.extend(quote! {
                        #text
                        #[doc = ""]
                        #[doc = #kernels]
                        const #name: rt::#ty =
                            rt::#ty::#choose(#(#params,)* &#canonical, #prefer, rt::Arch::CURRENT);
                        const #canonical: rt::#linear_ty<'static> = rt::#linear_ty {
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
        // The slot of what is written, how it is called, and the output in it.
        let shared = self.shared.get(&index);
        let (output, y, result) = match shared.filter(|shared| !shared.is_output) {
            None => (&self.slots[&node.outputs[0]], ident("y"), quote!(&y[..])),
            Some(shared) => {
                let len = number(program.graph.value(node.outputs[0]).ty.len());
                (&shared.slot, ident("xy"), quote!(&xy[..#len]))
            }
        };
        let in_array = call.operands == Operands::Array;
        let mut bindings = Vec::new();
        let mut slots = Vec::new();
        let mut operands = Vec::new();
        for (position, id) in chosen.inputs.iter().enumerate().skip(usize::from(chosen.overlap != Overlap::Never)) {
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
            true => quote!(let (x, #y) = arena.many_to_one([#(slot::#slots.erase()),*], slot::#output.write());),
            false => quote! {
                let (#(#bindings,)* #y, #scratch_name) =
                    arena.views((#(slot::#slots.read(),)* slot::#output.write(), #scratch_slot));
            },
        };
        let operands = match call.operands {
            Operands::Separate => operands,
            Operands::Array => vec![quote!(&[#(#operands),*])],
        };
        let tensors = match (chosen.overlap, shared) {
            (Overlap::Ahead(_), Some(Shared { x_start, .. })) => {
                let x_start = number(*x_start);
                quote!(#x_start, #y #(, #operands)*)
            }
            (Overlap::Same, _) => quote!(#y #(, #operands)*),
            _ => quote!(#(#operands,)* #y),
        };
        let scratch = call.scratch.then(|| match scratch_name {
            Some(_) => quote!(, scratch),
            None => quote!(, &mut []),
        });
        let index = number(index);
        quote! {
            #views
            #path(#(#arguments,)* #tensors #scratch);
            observer.layer(#index, rt::Tensor::from(#result));
        }
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

/// What layers keep for the next run.
fn kept(program: &Program<'_>, slots: &BTreeMap<ValueId, Ident>) -> Vec<Kept> {
    let kept = |node: &Node<Layer>| {
        let number = node.op.kernel.initial()?;
        let ty = &program.graph.value(node.outputs[0]).ty;
        let initial = match ty.dtype {
            DType::F32 => Literal::f32_unsuffixed(number),
            _ => Literal::i64_unsuffixed(number as i64),
        };
        let slot = slots[&node.outputs[0]].clone();
        Some(Kept { slot, bytes: ty.bytes(), initial, is_set: number.to_bits() != 0 })
    };
    program.graph.nodes.iter().filter_map(kept).collect()
}

/// A slot for each layer with work memory.
fn scratch_names(program: &Program<'_>, names: &[String]) -> BTreeMap<usize, Ident> {
    let name = |index: &usize| format_ident!("{}_SCRATCH", names[*index].to_ascii_uppercase());
    program.plan.scratch.keys().map(|index| (*index, name(index))).collect()
}

/// The memory of each output and operand that overlap.
fn shared(program: &Program<'_>, names: &[String], slots: &BTreeMap<ValueId, Ident>) -> BTreeMap<usize, Shared> {
    let range = |id: ValueId| {
        let start = program.plan.offsets[&id];
        start..start + program.graph.value(id).ty.bytes()
    };
    let shared = |(index, overlapping): (usize, &Option<Overlapping>)| {
        let node = &program.graph.nodes[index];
        let (input, output) = (node.inputs[(*overlapping)?.operand], node.outputs[0]);
        let (x, y) = (range(input), range(output));
        let both = y.start..x.end.max(y.end);
        let (slot, own_place) = match both {
            both if both == y => (slots[&output].clone(), None),
            both if both == x => (slots[&input].clone(), None),
            both => (format_ident!("{}_XY", names[index].to_ascii_uppercase()), Some(both)),
        };
        let is_output = slot == slots[&output];
        let x_start = (x.start - y.start) / program.graph.value(input).ty.dtype.size();
        Some((index, Shared { slot, own_place, is_output, x_start }))
    };
    program.plan.overlaps.iter().enumerate().filter_map(shared).collect()
}

/// Which kernel runs a layer on which target.
fn kernels(node: &Node<Layer>) -> String {
    let (Some(portable), Some(dsp)) = (node.op.choice(Arch::Portable), node.op.choice(Arch::Dsp)) else {
        return String::new();
    };
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
pub(crate) fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
}
