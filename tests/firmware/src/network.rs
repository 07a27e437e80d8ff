//! What the driver asks of a compiled model, whatever the number and types of its inputs and outputs.

use mcuopt_rt::Model;

use crate::board::{Error, Read, Write};

/// A compiled model as a consumer and producer of bytes.
pub trait Network: Model {
    /// Bytes of all inputs of one inference.
    fn input_bytes(&mut self) -> usize;

    /// Fills the inputs, in order.
    fn read_inputs(&mut self, source: &mut impl Read) -> Result<(), Error>;

    /// Runs one inference between the markers and returns the outputs. Never inlined, so that its stack is its own.
    fn infer(&mut self) -> impl Outputs;
}

/// Makes a compiled model the one that this program runs: its type, and its methods that give access to the inputs.
macro_rules! network {
    ($model:ident: $($input:ident),+) => {
        type Chosen = $model;

        impl crate::network::Network for $model {
            fn input_bytes(&mut self) -> usize {
                0 $(+ size_of_val(self.$input()))+
            }

            fn read_inputs(
                &mut self,
                source: &mut impl crate::board::Read,
            ) -> Result<(), crate::board::Error> {
                $(crate::network::read(self.$input(), source)?;)+
                Ok(())
            }

            #[inline(never)]
            fn infer(&mut self) -> impl crate::network::Outputs {
                crate::markers::start();
                #[cfg(feature = "laps")]
                let outputs = self.run_with(&mut crate::markers::Laps);
                #[cfg(not(feature = "laps"))]
                let outputs = self.run();
                crate::markers::stop();
                outputs
            }
        }
    };
}

/// As [`network!`], for a model that leaves its inputs with the caller: their types stand behind the names.
#[allow(unused_macros, reason = "few cases are of this kind")]
macro_rules! borrower {
    ($model:ident: $($input:ident [$element:ident; $length:literal]),+) => {
        /// A caller with memory for the inputs: together they look like a model that has it itself.
        pub struct Borrower {
            model: $model,
            $($input: [$element; $length],)+
        }

        impl Borrower {
            pub const fn new() -> Self {
                Borrower { model: $model::new(), $($input: [0 as $element; $length],)+ }
            }

            $(fn $input(&mut self) -> &mut [$element; $length] {
                &mut self.$input
            })+

            #[cfg(not(feature = "laps"))]
            fn run(&mut self) -> impl crate::network::Outputs {
                self.model.infer($(&self.$input),+)
            }

            #[cfg(feature = "laps")]
            fn run_with(&mut self, observer: &mut impl mcuopt_rt::Observer) -> impl crate::network::Outputs {
                self.model.infer_with($(&self.$input,)+ observer)
            }
        }

        impl mcuopt_rt::Model for Borrower {
            const RAM_BYTES: usize = $model::RAM_BYTES;
            const WEIGHT_BYTES: usize = $model::WEIGHT_BYTES;
            const MACS: u64 = $model::MACS;
            const LAYERS: &'static [mcuopt_rt::Layer] = &$model::LAYERS;

            fn run_with(&mut self, observer: &mut impl mcuopt_rt::Observer) {
                let _ = self.model.infer_with($(&self.$input,)+ observer);
            }
        }

        network!(Borrower: $($input),+);
    };
}

/// What a model's `run` returns: a reference to an array, or a tuple of such.
pub trait Outputs {
    /// Writes the elements of all outputs, in order.
    fn write(&self, sink: &mut impl Write) -> Result<(), Error>;
}

impl<T: Element, const N: usize> Outputs for &[T; N] {
    fn write(&self, sink: &mut impl Write) -> Result<(), Error> {
        let mut buffer = [0; BUFFER];
        for elements in self.chunks(BUFFER / size_of::<T>()) {
            let bytes = &mut buffer[..size_of_val(elements)];
            for (element, bytes) in elements.iter().zip(bytes.chunks_exact_mut(size_of::<T>())) {
                element.store(bytes);
            }
            sink.write_all(bytes)?;
        }
        Ok(())
    }
}

macro_rules! tuples_of_outputs {
    ($(($($output:ident),+))+) => {$(
        impl<$($output: Outputs),+> Outputs for ($($output,)+) {
            #[allow(non_snake_case)]
            fn write(&self, sink: &mut impl Write) -> Result<(), Error> {
                let ($($output,)+) = self;
                $($output.write(sink)?;)+
                Ok(())
            }
        }
    )+};
}
tuples_of_outputs! { (A, B) (A, B, C) (A, B, C, D) }

/// Bytes converted at a time: files hold little-endian elements, whatever the machine does.
const BUFFER: usize = 256;

/// Fills one input.
pub fn read<T: Element, const N: usize>(input: &mut [T; N], source: &mut impl Read) -> Result<(), Error> {
    let mut buffer = [0; BUFFER];
    for elements in input.chunks_mut(BUFFER / size_of::<T>()) {
        let bytes = &mut buffer[..size_of_val(elements)];
        source.read_exact(bytes)?;
        for (element, bytes) in elements.iter_mut().zip(bytes.chunks_exact(size_of::<T>())) {
            *element = T::load(bytes);
        }
    }
    Ok(())
}

/// An element type of inputs and outputs.
pub trait Element: Copy {
    /// From `size_of::<Self>()` bytes, the lowest first.
    fn load(bytes: &[u8]) -> Self;

    /// To `size_of::<Self>()` bytes, the lowest first.
    fn store(self, bytes: &mut [u8]);
}

macro_rules! elements {
    ($($type:ident),+) => {$(
        impl Element for $type {
            fn load(bytes: &[u8]) -> Self {
                let mut array = [0; size_of::<Self>()];
                array.copy_from_slice(bytes);
                Self::from_le_bytes(array)
            }

            fn store(self, bytes: &mut [u8]) {
                bytes.copy_from_slice(&self.to_le_bytes());
            }
        }
    )+};
}
elements! { i8, u8, i16, i32, i64, f32 }
