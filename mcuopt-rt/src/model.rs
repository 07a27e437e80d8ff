//! What every compiled model offers, and how to watch one run.

/// One layer of a compiled model, for reports and profilers.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Layer {
    /// The node's name in the ONNX file.
    pub name: &'static str,
    /// The ONNX operator, `"Conv"` for instance.
    pub op: &'static str,
    /// The kernel that runs it, `"conv2d_s8"` for instance.
    pub kernel: &'static str,
    /// Why this is not the target's fast kernel for the operator; empty if it is, or if there is none.
    pub remark: &'static str,
    /// Multiplications with accumulation in one run.
    pub macs: u64,
    /// Bytes of flash for weights, bias, multipliers and tables.
    pub weight_bytes: usize,
    /// Bytes of the layer's outputs.
    pub output_bytes: usize,
}

/// A layer's output: its elements in memory order.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Tensor<'a> {
    /// Quantized activations, usually.
    I8(&'a [i8]),
    /// Unsigned bytes; booleans as 0 and 1.
    U8(&'a [u8]),
    /// 16-bit quantized activations, usually.
    I16(&'a [i16]),
    /// 16-bit unsigned integers.
    U16(&'a [u16]),
    /// 32-bit integers.
    I32(&'a [i32]),
    /// 32-bit unsigned integers.
    U32(&'a [u32]),
    /// 64-bit integers: indices, usually.
    I64(&'a [i64]),
    /// 64-bit unsigned integers.
    U64(&'a [u64]),
    /// Real numbers.
    F32(&'a [f32]),
}

macro_rules! tensor_from {
    ($($type:ident => $variant:ident,)*) => {$(
        impl<'a> From<&'a [$type]> for Tensor<'a> {
            #[inline(always)]
            fn from(elements: &'a [$type]) -> Self {
                Tensor::$variant(elements)
            }
        }

        impl<'a, const N: usize> From<&'a [$type; N]> for Tensor<'a> {
            #[inline(always)]
            fn from(elements: &'a [$type; N]) -> Self {
                Tensor::$variant(elements)
            }
        }
    )*};
}

tensor_from! {
    i8 => I8, u8 => U8, i16 => I16, u16 => U16, i32 => I32, u32 => U32, i64 => I64, u64 => U64, f32 => F32,
}

/// Sees each layer's output as soon as it is computed: a profiler, a dump, a validator.
///
/// A closure `|index, output| …` is an observer, and `()` is the one that does nothing and costs nothing.
pub trait Observer {
    /// Layer `index` of [`Model::LAYERS`] has computed `output`. A layer with several outputs calls once for
    /// each, in order, with the same index.
    fn layer(&mut self, index: usize, output: Tensor<'_>);
}

impl Observer for () {
    #[inline(always)]
    fn layer(&mut self, _: usize, _: Tensor<'_>) {}
}

impl<F: FnMut(usize, Tensor<'_>)> Observer for F {
    #[inline(always)]
    fn layer(&mut self, index: usize, output: Tensor<'_>) {
        self(index, output);
    }
}

/// A compiled model, as far as code that works with any model needs to know it. Inputs and outputs are typed
/// methods of the model itself.
pub trait Model {
    /// All the RAM there is: input, activations, scratch and state.
    const RAM_BYTES: usize;
    /// Flash for weights, biases, multipliers and tables.
    const WEIGHT_BYTES: usize;
    /// Multiplications with accumulation in one run.
    const MACS: u64;
    /// The layers in the order in which they run.
    const LAYERS: &'static [Layer];

    /// Runs the network on the input that lies in the model's memory.
    fn run_with(&mut self, observer: &mut impl Observer);

    /// Forgets what earlier runs left, in a model that keeps something from run to run.
    fn reset(&mut self) {}
}
