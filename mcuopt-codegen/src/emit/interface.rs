//! The type that the user sees: constants and methods.

use proc_macro2::{Ident, Literal, TokenStream};
use quote::{format_ident, quote};

use super::layers::Layers;
use super::{Program, element, ident, names, number, quantization, shape};
use crate::call::Literal as _;
use crate::graph::{Value, ValueId};
use crate::options::Input;
use crate::tensor::DType;

/// An input or output of the model.
struct Port {
    /// The name of the method's argument: `input`, or the file's where there are several.
    name: Ident,
    /// Prefix of its constants: `INPUT`, or `INPUT_` and the file's where there are several.
    constant: String,
    id: ValueId,
    element: TokenStream,
    length: Literal,
    quantization: Option<(f32, i32)>,
    /// The element type by which `predict` takes or gives it: f32 for what is quantized.
    real: TokenStream,
}

/// The name by which the methods call an input.
pub(super) fn input_name(program: &Program<'_>, id: ValueId) -> Ident {
    let position = program.graph.inputs.iter().position(|input| *input == id).unwrap_or_default();
    port_name("input", position, &program.inputs)
}

/// The names by which the methods call all inputs, or, with `output` for `kind`, all outputs.
#[cfg(feature = "profile")]
pub(crate) fn port_names(kind: &str, values: &[&Value]) -> Vec<String> {
    (0..values.len()).map(|position| port_name(kind, position, values).to_string()).collect()
}

fn port_name(kind: &str, position: usize, values: &[&Value]) -> Ident {
    if values.len() == 1 {
        return ident(kind);
    }
    let own = names::snake_case(&values[position].name);
    let clash = values.iter().filter(|value| names::snake_case(&value.name) == own).count() > 1;
    match own.is_empty() || clash {
        true => format_ident!("{kind}_{position}"),
        false => format_ident!("{kind}_{own}"),
    }
}

fn ports(program: &Program<'_>, kind: &str, ids: &[ValueId], values: &[&Value]) -> Vec<Port> {
    let port = |(position, &id): (usize, &ValueId)| {
        let name = port_name(kind, position, values);
        let ty = &program.graph.value(id).ty;
        // What is integers in the file is given and taken as it is.
        let is_real = values[position].ty.dtype == DType::F32;
        let quantization = quantization(program.graph, id).filter(|_| is_real);
        Port {
            constant: name.to_string().to_ascii_uppercase(),
            name,
            id,
            element: element(ty.dtype),
            length: number(ty.len()),
            real: if quantization.is_some() { quote!(f32) } else { element(ty.dtype) },
            quantization,
        }
    };
    ids.iter().enumerate().map(port).collect()
}

pub(super) fn emit(program: &Program<'_>, layers: &Layers) -> TokenStream {
    let name = ident(program.type_name);
    let inputs = ports(program, "input", &program.graph.inputs, &program.inputs);
    let outputs = ports(program, "output", &program.graph.outputs, &program.outputs);
    let documentation = documentation(program, layers);
    let arena = number(program.plan.arena_bytes);
    let constants = constants(program, layers, &inputs, &outputs);
    let begin = begin(layers);
    let methods = match program.input {
        Input::Arena => arena_methods(layers, &inputs, &outputs, &begin),
        Input::Borrowed => borrowed_methods(layers, &inputs, &outputs, &begin),
    };
    let (field, value) = match begin.is_empty() {
        true => (None, None),
        false => (Some(quote!(started: bool,)), Some(quote!(, started: false))),
    };
    let reset = reset(layers);
    let reset_model = (!layers.kept.is_empty()).then(|| {
        quote! {
            fn reset(&mut self) {
                Self::reset(self);
            }
        }
    });
    let model = (program.input == Input::Arena).then(|| {
        quote! {
            impl rt::Model for #name {
                const RAM_BYTES: usize = Self::RAM_BYTES;
                const WEIGHT_BYTES: usize = Self::WEIGHT_BYTES;
                const MACS: u64 = Self::MACS;
                const LAYERS: &'static [rt::Layer] = &Self::LAYERS;

                fn run_with(&mut self, observer: &mut impl rt::Observer) {
                    Self::run_with(self, observer);
                }

                #reset_model
            }
        }
    });
    quote! {
        #(#[doc = #documentation])*
        pub struct #name {
            arena: rt::Arena<#arena>,
            #field
        }

        impl #name {
            #constants

            /// The model with its memory zeroed; usable in a `static`.
            pub const fn new() -> Self {
                Self { arena: rt::Arena::new() #value }
            }

            #reset

            #methods
        }

        impl Default for #name {
            fn default() -> Self {
                Self::new()
            }
        }

        #model
    }
}

/// What a call begins with: memory that is zeroed at first may have to hold other numbers.
fn begin(layers: &Layers) -> TokenStream {
    match layers.kept.iter().any(|kept| kept.is_set) {
        true => quote! {
            if !self.started {
                self.reset();
            }
        },
        false => TokenStream::new(),
    }
}

/// `reset`, where there is something to forget.
fn reset(layers: &Layers) -> Option<TokenStream> {
    let fill = layers.kept.iter().map(|kept| {
        let (slot, initial) = (&kept.slot, &kept.initial);
        quote!(self.arena.write(slot::#slot).fill(#initial);)
    });
    let started = layers.kept.iter().any(|kept| kept.is_set).then(|| quote!(self.started = true;));
    (!layers.kept.is_empty()).then(|| {
        quote! {
            /// Forgets what earlier calls left: the next one is the first again.
            pub fn reset(&mut self) {
                #(#fill)*
                #started
            }
        }
    })
}

/// The type's documentation, a line each.
fn documentation(program: &Program<'_>, layers: &Layers) -> Vec<String> {
    let ty = |value: &&Value| format!("{:?}", value.ty.shape);
    let list = |values: &[&Value]| values.iter().map(ty).collect::<Vec<_>>().join(", ");
    let computes =
        |dtype: DType| program.graph.nodes.iter().any(|node| program.graph.value(node.outputs[0]).ty.dtype == dtype);
    let widths: Vec<&str> = [(DType::I8, "int8"), (DType::I16, "int16")]
        .iter()
        .filter(|(dtype, _)| computes(*dtype))
        .map(|(_, name)| *name)
        .collect();
    let mut lines = vec![
        format!(" The network `{}`: {} → {}.", program.file, list(&program.inputs), list(&program.outputs)),
        String::new(),
        format!(
            " {} layer{} in {}, {} multiply-accumulates, {} bytes of RAM.",
            program.graph.nodes.len(),
            if program.graph.nodes.len() == 1 { "" } else { "s" },
            if widths.is_empty() { "float32".to_string() } else { widths.join(" and ") },
            layers.macs,
            program.plan.arena_bytes,
        ),
    ];
    let kept: usize = layers.kept.iter().map(|kept| kept.bytes).sum();
    if let Some(whole) = program.whole {
        let (window, frames, macs) = (whole.window, whole.frames, whole.macs);
        lines.push(String::new());
        lines.push(format!(
            " A call takes {frames} new frame{} of a window of {window}. Over the whole window it would take {macs} \
             multiply-accumulates and {} bytes of RAM.",
            if frames == 1 { "" } else { "s" },
            whole.arena_bytes,
        ));
    }
    if kept > 0 {
        lines.push(String::new());
        lines.push(format!(" {kept} bytes stay from call to call; `reset` forgets them."));
    }
    lines
}

/// The associated constants.
fn constants(program: &Program<'_>, layers: &Layers, inputs: &[Port], outputs: &[Port]) -> TokenStream {
    let (weights, chosen) = (number(layers.weight_bytes), &layers.chosen);
    let macs = Literal::u64_unsuffixed(layers.macs);
    let count = number(layers.table.len());
    let table = &layers.table;
    let values = program.inputs.iter().chain(&program.outputs);
    let ports = inputs.iter().chain(outputs).zip(values).map(|(port, value)| {
        let (shape_ty, shape) = shape(value);
        let shape_name = format_ident!("{}_SHAPE", port.constant);
        let text = format!(" Shape of `{}`, in the file's own layout.", value.name);
        let quantization = port.quantization.map(|(scale, zero_point)| {
            let name = format_ident!("{}_QUANTIZATION", port.constant);
            let text = format!(" How the integers of `{}` stand for reals: scale · (q − zero point).", value.name);
            let (scale, zero_point) = (scale.literal(), zero_point.literal());
            quote! {
                #[doc = #text]
                pub const #name: rt::Quantization = rt::Quantization { scale: #scale, zero_point: #zero_point };
            }
        });
        quote! {
            #[doc = #text]
            pub const #shape_name: #shape_ty = #shape;
            #quantization
        }
    });
    quote! {
        /// All the RAM the model needs, in bytes: inputs, outputs and everything between.
        pub const RAM_BYTES: usize = core::mem::size_of::<Self>();
        /// Flash that weights, biases, multipliers and tables take, in bytes.
        pub const WEIGHT_BYTES: usize = #weights #(+ #chosen.weight_bytes())*;
        /// Multiply-accumulates of one inference.
        pub const MACS: u64 = #macs;
        #(#ports)*
        /// The layers, in the order in which they run.
        pub const LAYERS: [rt::Layer; #count] = [#(#table),*];
    }
}

/// `&[T; N]`, or a tuple of them.
fn output_type(outputs: &[Port]) -> TokenStream {
    let types: Vec<_> = outputs.iter().map(|Port { element, length, .. }| quote!(&[#element; #length])).collect();
    one_or_tuple(&types)
}

fn one_or_tuple(parts: &[TokenStream]) -> TokenStream {
    match parts {
        [part] => part.clone(),
        parts => quote!((#(#parts),*)),
    }
}

fn read_outputs(layers: &Layers, outputs: &[Port]) -> TokenStream {
    let reads: Vec<_> =
        outputs.iter().map(|port| &layers.slots[&port.id]).map(|slot| quote!(arena.read(slot::#slot))).collect();
    one_or_tuple(&reads)
}

fn arena_methods(layers: &Layers, inputs: &[Port], outputs: &[Port], begin: &TokenStream) -> TokenStream {
    let output_type = output_type(outputs);
    let read_outputs = read_outputs(layers, outputs);
    let calls = &layers.calls;
    let names: Vec<_> = inputs.iter().map(|port| &port.name).collect();
    let elements: Vec<_> = inputs.iter().map(|port| &port.element).collect();
    let lengths: Vec<_> = inputs.iter().map(|port| &port.length).collect();
    let slots: Vec<_> = inputs.iter().map(|port| &layers.slots[&port.id]).collect();
    let input_mut = inputs.iter().map(|port| {
        let Port { name, element, length, .. } = port;
        let (method, slot) = (format_ident!("{name}_mut"), &layers.slots[&port.id]);
        quote! {
            /// The memory of an input, to be filled before each `run`, which reuses it for other layers.
            pub fn #method(&mut self) -> &mut [#element; #length] {
                self.arena.write(slot::#slot)
            }
        }
    });
    let predict = predict(layers, inputs, outputs);
    quote! {
        #(#input_mut)*

        /// Runs the network on the input that lies in its memory. The result stays valid until the next run.
        pub fn run(&mut self) -> #output_type {
            self.run_with(&mut ())
        }

        /// Runs the network and shows each layer's output to the observer.
        pub fn run_with(&mut self, observer: &mut impl rt::Observer) -> #output_type {
            #begin
            let arena = &mut self.arena;
            #(#calls)*
            let arena = &self.arena;
            #read_outputs
        }

        /// Copies the input into place and runs the network.
        pub fn infer(&mut self, #(#names: &[#elements; #lengths]),*) -> #output_type {
            self.infer_with(#(#names,)* &mut ())
        }

        /// Copies the input into place, runs the network and shows each layer's output to the observer.
        pub fn infer_with(
            &mut self,
            #(#names: &[#elements; #lengths],)*
            observer: &mut impl rt::Observer
        ) -> #output_type {
            #(self.arena.write(slot::#slots).copy_from_slice(#names);)*
            self.run_with(observer)
        }

        #predict
    }
}

/// `predict` and `predict_into`: floats in, floats out.
fn predict(layers: &Layers, inputs: &[Port], outputs: &[Port]) -> TokenStream {
    let arguments: Vec<_> =
        inputs.iter().map(|Port { name, real, length, .. }| quote!(#name: &[#real; #length])).collect();
    let names: Vec<_> = inputs.iter().map(|port| &port.name).collect();
    let fill = inputs.iter().map(|port| {
        let (name, slot) = (&port.name, &layers.slots[&port.id]);
        match port.quantization {
            Some(_) => {
                let quantization = format_ident!("{}_QUANTIZATION", port.constant);
                let quantize =
                    if port.element.to_string() == "i16" { quote!(quantize_f32_s16) } else { quote!(quantize_f32_s8) };
                quote!(rt::#quantize(&Self::#quantization, #name, self.arena.write(slot::#slot));)
            }
            None => quote!(self.arena.write(slot::#slot).copy_from_slice(#name);),
        }
    });
    let output_names: Vec<_> = outputs.iter().map(|port| &port.name).collect();
    let take = outputs.iter().map(|port| {
        let (name, slot) = (&port.name, &layers.slots[&port.id]);
        match port.quantization {
            Some(_) => {
                let quantization = format_ident!("{}_QUANTIZATION", port.constant);
                let is_int16 = port.element.to_string() == "i16";
                let dequantize = if is_int16 { quote!(dequantize_s16_f32) } else { quote!(dequantize_s8_f32) };
                quote!(rt::#dequantize(&Self::#quantization, self.arena.read(slot::#slot), #name);)
            }
            None => quote!(#name.copy_from_slice(self.arena.read(slot::#slot));),
        }
    });
    let lengths: Vec<_> = outputs.iter().map(|port| &port.length).collect();
    let reals: Vec<_> = outputs.iter().map(|port| &port.real).collect();
    let types: Vec<_> = outputs.iter().map(|Port { real, length, .. }| quote!([#real; #length])).collect();
    let zeros = outputs.iter().map(|port| if port.real.to_string() == "f32" { quote!(0.0) } else { quote!(0) });
    let result_type = one_or_tuple(&types);
    let results = one_or_tuple(&output_names.iter().map(|name| quote!(#name)).collect::<Vec<_>>());
    quote! {
        /// Runs the network on real numbers and returns its result as real numbers.
        pub fn predict(&mut self, #(#arguments),*) -> #result_type {
            #(let mut #output_names = [#zeros; #lengths];)*
            self.predict_into(#(#names,)* #(&mut #output_names),*);
            #results
        }

        /// Like `predict`, with the result written where the caller has room for it.
        pub fn predict_into(&mut self, #(#arguments,)* #(#output_names: &mut [#reals; #lengths]),*) {
            #(#fill)*
            self.run();
            #(#take)*
        }
    }
}

/// The methods of a model whose inputs stay with the caller. Real numbers would need memory to be quantized into,
/// so `predict` exists for float32 models only, where it is `infer`.
fn borrowed_methods(layers: &Layers, inputs: &[Port], outputs: &[Port], begin: &TokenStream) -> TokenStream {
    let output_type = output_type(outputs);
    let read_outputs = read_outputs(layers, outputs);
    let calls = &layers.calls;
    let names: Vec<_> = inputs.iter().map(|port| &port.name).collect();
    let arguments: Vec<_> =
        inputs.iter().map(|Port { name, element, length, .. }| quote!(#name: &[#element; #length])).collect();
    quote! {
        /// Runs the network on the caller's input. The result stays valid until the next run.
        pub fn infer(&mut self, #(#arguments),*) -> #output_type {
            self.infer_with(#(#names,)* &mut ())
        }

        /// Runs the network and shows each layer's output to the observer.
        pub fn infer_with(&mut self, #(#arguments,)* observer: &mut impl rt::Observer) -> #output_type {
            #begin
            let arena = &mut self.arena;
            #(#calls)*
            let arena = &self.arena;
            #read_outputs
        }
    }
}
