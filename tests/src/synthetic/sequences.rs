//! Recurrent layers in all directions, behind causal layers.

use mcuopt_codegen::onnx::Attribute::{Int, String};

use super::Synthetic;
use super::sketch::{Sketch, ints};

/// Frames of the window.
const FRAMES: usize = 16;

/// A causal convolution with a stride, a pool, and a forward layer of each kind: it can go on from call to call.
pub(super) fn forward() -> Synthetic {
    let mut s = Sketch::new("forward");
    let x = s.input("x", &[1, 3, FRAMES]);
    let (w, b) = (s.weights(&[6, 3, 3]), s.numbers(&[6], 0.5));
    let attributes = [("pads", ints(&[4, 0])), ("dilations", ints(&[2]))];
    let y = s.node("Conv", &[&x, &w, &b], attributes);
    // Its padding is no zero, so that the first call has something to set.
    let attributes = [("kernel_shape", ints(&[2])), ("pads", ints(&[1, 0])), ("strides", ints(&[2]))];
    let y = s.node("MaxPool", &[&y], attributes);
    let y = s.node("Transpose", &[&y], [("perm", ints(&[2, 0, 1]))]);
    let y = layer(&mut s, "LSTM", &y, [6, 7], "forward");
    let y = layer(&mut s, "GRU", &y, [7, 6], "forward");
    let y = layer(&mut s, "RNN", &y, [6, 5], "forward");
    let y = s.node("Softmax", &[&y], [("axis", Int(2))]);
    s.output(&y, "y");
    s.finish(13)
}

/// Layers that see the whole sequence.
pub(super) fn both_ways() -> Synthetic {
    let mut s = Sketch::new("both_ways");
    let x = s.input("x", &[9, 2, 5]);
    let lstm = layer(&mut s, "LSTM", &x, [5, 4], "bidirectional");
    let gru = layer(&mut s, "GRU", &lstm, [8, 6], "reverse");
    let rnn = layer(&mut s, "RNN", &lstm, [8, 3], "bidirectional");
    s.output(&gru, "gru");
    s.output(&rnn, "rnn");
    s.finish(17)
}

/// A layer over `[steps, batch, inputs]`, with the directions' results side by side.
fn layer(s: &mut Sketch, op_type: &str, x: &str, [inputs, hidden]: [usize; 2], direction: &str) -> std::string::String {
    let gates = match op_type {
        "RNN" => 1,
        "GRU" => 3,
        _ => 4,
    };
    let directions = if direction == "bidirectional" { 2 } else { 1 };
    let w = s.numbers(&[directions, gates * hidden, inputs], 0.8);
    let r = s.numbers(&[directions, gates * hidden, hidden], 0.8);
    let b = s.numbers(&[directions, 2 * gates * hidden], 0.3);
    let attributes = [("hidden_size", Int(hidden as i64)), ("direction", String(direction.into()))];
    let y = s.node(op_type, &[x, &w, &r, &b], attributes);
    let y = s.node("Transpose", &[&y], [("perm", ints(&[0, 2, 1, 3]))]);
    let shape = s.integers(&[0, 0, -1]);
    s.node("Reshape", &[&y, &shape], [])
}
