//! How a kernel call is written down in the emitted code.

use proc_macro2::{Literal as Token, TokenStream};
use quote::quote;

use crate::tensor::{Element, Tensor, each_element};

/// A call of a function of mcuopt-rt: `function(constants…, operands…, output)`.
#[derive(Clone, Debug)]
pub struct Call {
    /// The function's path in mcuopt-rt.
    pub function: &'static str,
    /// What stands before the operands.
    pub constants: Vec<Constant>,
    /// How the operands are passed.
    pub operands: Operands,
    /// Whether a slice of work memory is passed behind the output.
    pub scratch: bool,
    /// Whether the function is inlined into each layer, and has a twin in `mcuopt_rt::shared` that is not.
    pub inlined: bool,
}

/// How a kernel takes its operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operands {
    /// One argument each.
    Separate,
    /// One argument: an array of slices.
    Array,
}

/// A constant argument of a [`Call`].
#[derive(Clone, Debug)]
pub enum Constant {
    /// A parameter struct: becomes `const <LAYER><suffix>: <ty> = <value>;`.
    Params {
        /// Appended to the layer's name, with its own leading underscore; empty for the main parameters.
        suffix: &'static str,
        /// The struct's type.
        ty: TokenStream,
        /// A constant expression.
        value: TokenStream,
    },
    /// An array: becomes `static <LAYER><suffix>: … = …(b"…");`.
    Array {
        /// Appended to the layer's name, with its own leading underscore.
        suffix: &'static str,
        /// The elements.
        data: Data,
    },
    /// A small value, written into the call.
    Value(TokenStream),
    /// A kernel of a linear layer that mcuopt-rt chooses for the target: becomes `const <LAYER>: rt::<ty> =
    /// rt::<ty>::choose(…)`, and its constants, as the kernel arranges them, `static <LAYER>_CONSTANTS`.
    Chosen {
        /// The kernel's type.
        ty: &'static str,
        /// The function that chooses.
        choose: &'static str,
        /// Its first arguments.
        params: Vec<TokenStream>,
        /// The constants in canonical order.
        linear: Box<Linear>,
    },
}

/// Weights, bias, multipliers and requantization of a [`Constant::Chosen`].
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Linear {
    pub weights: Data,
    pub bias: Data,
    pub multipliers: Data,
    pub requantize: TokenStream,
    /// mcuopt-rt's type of all that.
    pub ty: &'static str,
}

macro_rules! data {
    ($($variant:ident $type:ident $decoder:ident),*) => {
        /// Elements of a constant array.
        #[derive(Clone, Debug, PartialEq)]
        #[allow(missing_docs)]
        pub enum Data { $($variant(Vec<$type>)),* }

        impl Data {
            /// Number of elements.
            pub fn len(&self) -> usize {
                match self { $(Data::$variant(data) => data.len()),* }
            }

            /// The elements' bytes, little-endian.
            pub fn bytes(&self) -> Vec<u8> {
                match self { $(Data::$variant(data) => data.iter().flat_map(|value| value.to_le_bytes()).collect()),* }
            }

            /// The element type and the function of mcuopt-rt that makes an aligned array of it from bytes.
            pub fn decoder(&self) -> (TokenStream, TokenStream) {
                match self { $(Data::$variant(_) => (quote!($type), quote!($decoder))),* }
            }
        }
    };
}
data!(F32 f32 f32s, I8 i8 i8s, U8 u8 u8s, I16 i16 i16s, U16 u16 u16s, I32 i32 i32s, U32 u32 u32s, I64 i64 i64s,
    U64 u64 u64s);

impl Data {
    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl From<&Tensor> for Data {
    fn from(tensor: &Tensor) -> Self {
        let tensor = tensor.at_run_time();
        each_element!(tensor.dtype(), T => T::data(T::of(&tensor).to_vec()))
    }
}

impl Call {
    /// A call, without arguments so far, of a function that is compiled once.
    pub fn new(function: &'static str) -> Self {
        Self { function, constants: Vec::new(), operands: Operands::Separate, scratch: false, inlined: false }
    }

    /// A call, without arguments so far, of a function that is inlined into each layer.
    pub fn inlined(function: &'static str) -> Self {
        Self { inlined: true, ..Self::new(function) }
    }

    /// Adds the main parameter struct.
    pub fn params(self, params: &impl Literal) -> Self {
        self.named("", params)
    }

    /// Adds a further parameter struct.
    pub fn named(mut self, suffix: &'static str, params: &impl Literal) -> Self {
        self.constants.push(Constant::Params { suffix, ty: params.ty(), value: params.literal() });
        self
    }

    /// Adds an array.
    pub fn array(mut self, suffix: &'static str, data: Data) -> Self {
        self.constants.push(Constant::Array { suffix, data });
        self
    }

    /// Adds a small value.
    pub fn value(mut self, value: impl Literal) -> Self {
        self.constants.push(Constant::Value(value.literal()));
        self
    }

    /// Adds a kernel that is chosen for the target, with its constants. It takes work memory, and knows itself whether
    /// it is inlined.
    pub fn chosen(mut self, chosen: Constant) -> Self {
        self.constants.push(chosen);
        (self.scratch, self.inlined) = (true, false);
        self
    }

    /// Passes work memory behind the output.
    pub fn scratch(mut self) -> Self {
        self.scratch = true;
        self
    }

    /// Passes the operands as one array.
    pub fn operands_in_array(mut self) -> Self {
        self.operands = Operands::Array;
        self
    }

    /// Bytes of flash that the call's arrays take; those of a chosen kernel not included.
    pub fn weight_bytes(&self) -> usize {
        self.constants
            .iter()
            .map(|constant| match constant {
                Constant::Array { data, .. } => data.bytes().len(),
                Constant::Chosen { .. } | Constant::Params { .. } | Constant::Value(_) => 0,
            })
            .sum()
    }
}

/// A value that can be written as a constant expression.
pub trait Literal {
    /// Its type.
    fn ty(&self) -> TokenStream;
    /// An expression that evaluates to it.
    fn literal(&self) -> TokenStream;
}

macro_rules! number_literals {
    ($($ty:ident $token:ident),*) => {$(
        impl Literal for $ty {
            fn ty(&self) -> TokenStream { quote!($ty) }
            fn literal(&self) -> TokenStream {
                let token = Token::$token(*self);
                quote!(#token)
            }
        }
    )*};
}
number_literals!(usize usize_unsuffixed, isize isize_unsuffixed, i64 i64_unsuffixed, u64 u64_unsuffixed,
    i32 i32_unsuffixed, u32 u32_unsuffixed, i16 i16_unsuffixed, u16 u16_unsuffixed, i8 i8_unsuffixed,
    u8 u8_unsuffixed);

impl Literal for bool {
    fn ty(&self) -> TokenStream {
        quote!(bool)
    }

    fn literal(&self) -> TokenStream {
        if *self { quote!(true) } else { quote!(false) }
    }
}

impl Literal for f32 {
    fn ty(&self) -> TokenStream {
        quote!(f32)
    }

    /// Rust prints the shortest decimal that reads back as the same float, so no bit is lost.
    fn literal(&self) -> TokenStream {
        if self.is_nan() {
            quote!(f32::NAN)
        } else if *self == f32::INFINITY {
            quote!(f32::INFINITY)
        } else if *self == f32::NEG_INFINITY {
            quote!(f32::NEG_INFINITY)
        } else {
            let token = Token::f32_unsuffixed(*self);
            quote!(#token)
        }
    }
}

impl<T: Literal, const N: usize> Literal for [T; N] {
    fn ty(&self) -> TokenStream {
        let element = self.first().map(Literal::ty);
        let length = Token::usize_unsuffixed(N);
        quote!([#element; #length])
    }

    fn literal(&self) -> TokenStream {
        let elements = self.iter().map(Literal::literal);
        quote!([#(#elements),*])
    }
}

/// Implements [`Literal`] for parameter structs of mcuopt-rt: name and all fields.
macro_rules! struct_literals {
    ($($name:ident { $($field:ident),* $(,)? })*) => {$(
        impl $crate::call::Literal for ::mcuopt_rt::v0::$name {
            fn ty(&self) -> ::proc_macro2::TokenStream { ::quote::quote!(rt::$name) }
            fn literal(&self) -> ::proc_macro2::TokenStream {
                $(let $field = $crate::call::Literal::literal(&self.$field);)*
                ::quote::quote!(rt::$name { $($field: #$field),* })
            }
        }
    )*};
}
pub(crate) use struct_literals;
