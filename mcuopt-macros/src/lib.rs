//! [`include_model!`]: a neural network from an ONNX file as a Rust type.

mod expand;
mod invocation;

use proc_macro::TokenStream;

/// Compiles an ONNX file and defines a type that runs it, with all its memory inside.
///
/// ```ignore
/// use mcuopt_macros::include_model;
///
/// include_model!("models/kws.onnx");                       // defines `Kws`
/// include_model!(pub Spotter = "models/kws.onnx", precision = "float32", max_ram = 65536);
///
/// let mut kws = Kws::new();                                // a const fn: fits a `static`, too
/// let scores: [f32; 12] = kws.predict(&features);
/// ```
///
/// # Grammar
///
/// `include_model!([pub] [Name =] "path.onnx" [, key = value]*)`
///
/// Paths are relative to the package (`CARGO_MANIFEST_DIR`). Without `Name`, the type has the file's stem in
/// UpperCamelCase. The keys:
///
/// | key | value |
/// |---|---|
/// | `calibration` | `"x.npz"`, `"x.npy"`, or a folder of `.npy` files: typical inputs, first axis the samples; found by itself as `<model>.calib.npz` |
/// | `ranges` | `"auto"` (default): for each tensor the method with the smallest error in the layers that read it, and as much room beyond the samples as costs nothing; `"min-max"`, `"percentile"`, `"mse"`, `"entropy"` |
/// | `bind` | `{ sequence = 16, shape = [1, -1] }`: sizes of symbolic dimensions, inputs that become constants |
/// | `tensors` | `{ logits = [-8.0, 8.0], "*/Softmax*" = "min-max" }`: the ranges of single tensors |
/// | `precision` | `"auto"` (default); `"int8"`; `"int16x8"`: int16 activations, int8 weights; `"int4"`: int8 activations, int4 weights where they save flash; `"weights8"`: int8 weights, float32 arithmetic, no calibration data; `"float32"` |
/// | `layers` | `{ "encoder/*" = "int16x8", head = "float32" }`: the arithmetic of single layers by the names of the file's nodes; `"int8"`, `"int16x8"`, `"int4"`, `"int16x4"` or `"float32"` |
/// | `quantization` | `"x.quant.toml"`: what a search of precisions found; found by itself as `<model>.quant.toml` |
/// | `min_sqnr`, `max_accuracy_drop` | the build fails if the outputs are noisier, or more of the accuracy is lost |
/// | `optimize` | `"speed"`, `"size"` or `"balanced"` (default) |
/// | `input` | `"arena"` (default): in the model's memory, which later layers reuse; `"borrowed"`: where the caller has it |
/// | `equalization` | `false` turns off that the channels between two layers are scaled to share one int8 range well |
/// | `bias_absorption` | `false` turns off that a channel's least number goes into the next layer's bias where that narrows a range |
/// | `bias_correction` | `false` turns off that biases make up for what rounding shifts on average |
/// | `adaround` | whether the rounding of weights is learned from the samples, once, and best by an optimised compiler: `true` for all, `false` for none; without it for int4 weights and where activations are int16 |
/// | `stateful` | `true`: recurrent layers and causal convolutions go on from where the last call ended; `reset()` forgets |
/// | `stream` | an axis of the first input, by name or position: a call takes new frames of a sliding window alone |
/// | `stream_frames` | new frames of a call; as few as the strides along the axis allow where it is not given |
/// | `max_ram`, `max_flash` | bytes of RAM, bytes of weights above which the build fails |
/// | `config` | `"x.toml"`: a file with these keys; found by itself as `<model>.mcuopt.toml` |
///
/// `auto` takes a quantized (QDQ) model as its author quantized it, a float model with calibration data as int8, and
/// a float model without as float32, with a warning that says how to quantize it.
///
/// # Sequences
///
/// Quantization and outputs of a network that takes new frames are those of the same network over the whole window:
/// calibration data has whole windows in any case.
///
/// - Layers without padding along the axis, and layers that need all frames (a mean over time, a dense layer behind a
///   Flatten), see the last window in each call. Outputs are right as soon as so many frames have come.
/// - Causal layers (padding before the first frame alone) and forward recurrent layers go on from the first frame after
///   `reset()`: after any number of calls, their outputs are those over all frames so far. A recurrent layer behind a layer
///   without padding runs over the window again in each call, unless `stateful = true` lets it go on.
/// - Padding behind the last frame needs the future and is refused.
///
/// `stateful = true` without `stream` leaves the input as long as it is in the file: a call takes the next so many frames.
/// Where a recurrent layer starts from a state that is an input of the network, it keeps the state itself instead, and the
/// input disappears.
///
/// # Errors
///
/// Whatever is wrong with the model, the data or the options is a compile error on the path or the option, with the
/// node, the operator, the reason, and what would work.
#[proc_macro]
pub fn include_model(tokens: TokenStream) -> TokenStream {
    match syn::parse::<invocation::Invocation>(tokens) {
        Ok(invocation) => expand::expand(&invocation).into(),
        Err(error) => error.into_compile_error().into(),
    }
}
