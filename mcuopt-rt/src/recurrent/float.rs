//! RNN, GRU and LSTM in f32.

use super::{Recurrent, for_units, lanes, part, rows_times};
use crate::arch::memory;
use crate::value::Float;

impl Recurrent {
    /// Words of work memory of [`rnn_f32`].
    pub const fn rnn_f32_words(&self) -> usize {
        self.hidden
    }

    /// Words of work memory of [`gru_f32`].
    pub const fn gru_f32_words(&self) -> usize {
        3 * self.hidden
    }

    /// Words of work memory of [`lstm_f32`].
    pub const fn lstm_f32_words(&self) -> usize {
        2 * self.hidden
    }

    /// The hidden state to start from: given, left by the last call, or zeros.
    #[inline(always)]
    fn start_f32(&self, (direction, sequence): (usize, usize), h: &mut [f32], h0: Option<&[f32]>, y: &[f32]) {
        match h0 {
            _ if self.stateful => h.copy_from_slice(self.left(sequence, y)),
            Some(h0) => h.copy_from_slice(&h0[(direction * self.batch + sequence) * self.hidden..][..self.hidden]),
            None => h.fill(0.0),
        }
    }
}

/// What is done to the sum of a gate before its function.
#[inline(always)]
fn clipped(x: f32, clip: f32) -> f32 {
    // As NaN stays NaN: comparisons, not min and max.
    if x > clip {
        clip
    } else if x < -clip {
        -clip
    } else {
        x
    }
}

/// RNN in f32: `h' = f(clip(w · x + r · h + bias))`.
///
/// | slice | shape |
/// |---|---|
/// | `w` | `[directions, hidden, inputs]` |
/// | `r` | `[directions, hidden, hidden]` |
/// | `bias` | `[directions, hidden]`, ONNX's two added up |
/// | `x` | `[steps, batch, inputs]` |
/// | `y` | see the [module](super) |
/// | `scratch` | [`Recurrent::rnn_f32_words`] |
///
/// Sums are taken in order: bias, inputs, hidden state. `clip` is ∞ for none. See
/// <https://onnx.ai/onnx/operators/onnx__RNN.html>.
///
/// # Panics
/// If a slice's length is not that of its shape.
#[allow(clippy::too_many_arguments)]
pub fn rnn_f32(
    p: &Recurrent,
    clip: f32,
    f: impl Fn(f32) -> f32,
    w: &[f32],
    r: &[f32],
    bias: &[f32],
    x: &[f32],
    y: &mut [f32],
    scratch: &mut [u32],
) {
    rnn(p, clip, f, w, r, bias, x, None, y, scratch);
}

/// [`rnn_f32`] from the hidden states `h0`: `[directions, batch, hidden]`.
#[allow(clippy::too_many_arguments)]
pub fn rnn_f32_from(
    p: &Recurrent,
    clip: f32,
    f: impl Fn(f32) -> f32,
    w: &[f32],
    r: &[f32],
    bias: &[f32],
    x: &[f32],
    h0: &[f32],
    y: &mut [f32],
    scratch: &mut [u32],
) {
    rnn(p, clip, f, w, r, bias, x, Some(h0), y, scratch);
}

#[allow(clippy::too_many_arguments)]
fn rnn(
    p: &Recurrent,
    clip: f32,
    f: impl Fn(f32) -> f32,
    w: &[f32],
    r: &[f32],
    bias: &[f32],
    x: &[f32],
    h0: Option<&[f32]>,
    y: &mut [f32],
    scratch: &mut [u32],
) {
    p.check(1, w, r, x, y, 0);
    let h = &mut memory::f32s_mut(scratch)[..p.hidden];
    for own in p.sequences() {
        let [w, r, bias] = [w, r, bias].map(|constant| part(constant, own.0, p.directions));
        p.start_f32(own, h, h0, y);
        p.for_each_step(own, x, h, y, |x, h, y| {
            for_units!(p.hidden, |j, N| {
                let sums = rows_times::<Float, N>(lanes(bias, j), w, j, x);
                let sums = rows_times::<Float, N>(sums, r, j, h);
                for k in 0..N {
                    y[j + k] = f(clipped(sums[k], clip));
                }
            });
        });
    }
}

/// GRU in f32: gates z and r, candidate n, and `h' = (1 − z) · n + z · h`.
///
/// | slice | shape |
/// |---|---|
/// | `w` | `[directions, 3, hidden, inputs]`: z, r, n |
/// | `r` | `[directions, 3, hidden, hidden]` |
/// | `bias` | `[directions, 4, hidden]`: ONNX's two added up for z and r; for n that of `w`, then that of `r` |
/// | `x` | `[steps, batch, inputs]` |
/// | `y` | see the [module](super) |
/// | `scratch` | [`Recurrent::gru_f32_words`] |
///
/// With `linear_before_reset`, n is `g(w · x + r ∘ (r · h + bias))`, else `g(w · x + r · (r ∘ h) + bias)`, where `r ∘` is
/// the gate. See <https://onnx.ai/onnx/operators/onnx__GRU.html>.
///
/// # Panics
/// If a slice's length is not that of its shape.
#[allow(clippy::too_many_arguments)]
pub fn gru_f32(
    p: &Recurrent,
    linear_before_reset: bool,
    clip: f32,
    f: impl Fn(f32) -> f32,
    g: impl Fn(f32) -> f32,
    w: &[f32],
    r: &[f32],
    bias: &[f32],
    x: &[f32],
    y: &mut [f32],
    scratch: &mut [u32],
) {
    gru(p, linear_before_reset, clip, f, g, w, r, bias, x, None, y, scratch);
}

/// [`gru_f32`] from the hidden states `h0`: `[directions, batch, hidden]`.
#[allow(clippy::too_many_arguments)]
pub fn gru_f32_from(
    p: &Recurrent,
    linear_before_reset: bool,
    clip: f32,
    f: impl Fn(f32) -> f32,
    g: impl Fn(f32) -> f32,
    w: &[f32],
    r: &[f32],
    bias: &[f32],
    x: &[f32],
    h0: &[f32],
    y: &mut [f32],
    scratch: &mut [u32],
) {
    gru(p, linear_before_reset, clip, f, g, w, r, bias, x, Some(h0), y, scratch);
}

#[allow(clippy::too_many_arguments)]
fn gru(
    p: &Recurrent,
    linear_before_reset: bool,
    clip: f32,
    f: impl Fn(f32) -> f32,
    g: impl Fn(f32) -> f32,
    w: &[f32],
    r: &[f32],
    bias: &[f32],
    x: &[f32],
    h0: Option<&[f32]>,
    y: &mut [f32],
    scratch: &mut [u32],
) {
    let hidden = p.hidden;
    p.check(3, w, r, x, y, 0);
    assert_eq!(bias.len(), p.directions * 4 * hidden, "bias");
    let (h, gates) = memory::f32s_mut(&mut scratch[..3 * hidden]).split_at_mut(hidden);
    let (z, reset) = gates.split_at_mut(hidden);
    for own in p.sequences() {
        let [w, r, bias] = [w, r, bias].map(|constant| part(constant, own.0, p.directions));
        p.start_f32(own, h, h0, y);
        p.for_each_step(own, x, h, y, |x, h, y| {
            for_units!(hidden, |j, N| {
                for (gate, out) in [&mut *z, &mut *reset].into_iter().enumerate() {
                    let row = gate * hidden + j;
                    let sums = rows_times::<Float, N>(lanes(bias, row), w, row, x);
                    let sums = rows_times::<Float, N>(sums, r, row, h);
                    for k in 0..N {
                        out[j + k] = f(clipped(sums[k], clip));
                    }
                }
            });
            if !linear_before_reset {
                reset.iter_mut().zip(h).for_each(|(reset, h)| *reset *= h);
            }
            for_units!(hidden, |j, N| {
                let row = 2 * hidden + j;
                let inputs = rows_times::<Float, N>(lanes(bias, row), w, row, x);
                let hidden_bias = lanes(bias, row + hidden);
                let state = rows_times::<Float, N>(hidden_bias, r, row, if linear_before_reset { h } else { reset });
                for k in 0..N {
                    let state = if linear_before_reset { reset[j + k] * state[k] } else { state[k] };
                    let n = g(clipped(inputs[k] + state, clip));
                    y[j + k] = (1.0 - z[j + k]) * n + z[j + k] * h[j + k];
                }
            });
        });
    }
}

/// LSTM in f32: gates i, o, f and candidate g, cell state `c' = f · c + i · g`, and `h' = o · h(c')`.
///
/// | slice | shape |
/// |---|---|
/// | `w` | `[directions, 4, hidden, inputs]`: i, o, f, g |
/// | `r` | `[directions, 4, hidden, hidden]` |
/// | `bias` | `[directions, 4, hidden]`, ONNX's two added up |
/// | `peepholes` | `[directions, 3, hidden]`: what the cell state adds to i, o, f; or empty |
/// | `x` | `[steps, batch, inputs]` |
/// | `y` | see the [module](super) |
/// | `scratch` | [`Recurrent::lstm_f32_words`] |
///
/// `input_forget` couples the gates: f is 1 − i. The output gate looks at the new cell state. See
/// <https://onnx.ai/onnx/operators/onnx__LSTM.html>.
///
/// # Panics
/// If a slice's length is not that of its shape.
#[allow(clippy::too_many_arguments)]
pub fn lstm_f32(
    p: &Recurrent,
    input_forget: bool,
    clip: f32,
    f: impl Fn(f32) -> f32,
    g: impl Fn(f32) -> f32,
    h: impl Fn(f32) -> f32,
    w: &[f32],
    r: &[f32],
    bias: &[f32],
    peepholes: &[f32],
    x: &[f32],
    y: &mut [f32],
    scratch: &mut [u32],
) {
    lstm(p, input_forget, clip, (f, g, h), w, r, bias, peepholes, x, None, y, scratch);
}

/// [`lstm_f32`] from the hidden states `h0` and the cell states `c0`: `[directions, batch, hidden]`.
#[allow(clippy::too_many_arguments)]
pub fn lstm_f32_from(
    p: &Recurrent,
    input_forget: bool,
    clip: f32,
    f: impl Fn(f32) -> f32,
    g: impl Fn(f32) -> f32,
    h: impl Fn(f32) -> f32,
    w: &[f32],
    r: &[f32],
    bias: &[f32],
    peepholes: &[f32],
    x: &[f32],
    h0: &[f32],
    c0: &[f32],
    y: &mut [f32],
    scratch: &mut [u32],
) {
    lstm(p, input_forget, clip, (f, g, h), w, r, bias, peepholes, x, Some((h0, c0)), y, scratch);
}

#[allow(clippy::too_many_arguments)]
fn lstm(
    p: &Recurrent,
    input_forget: bool,
    clip: f32,
    (f, g, output): (impl Fn(f32) -> f32, impl Fn(f32) -> f32, impl Fn(f32) -> f32),
    w: &[f32],
    r: &[f32],
    bias: &[f32],
    peepholes: &[f32],
    x: &[f32],
    start: Option<(&[f32], &[f32])>,
    y: &mut [f32],
    scratch: &mut [u32],
) {
    let hidden = p.hidden;
    p.check(4, w, r, x, y, p.directions * p.batch * hidden);
    assert!(peepholes.is_empty() || peepholes.len() == p.directions * 3 * hidden, "peepholes");
    let (h, c) = memory::f32s_mut(&mut scratch[..2 * hidden]).split_at_mut(hidden);
    let (y, cells) = y.split_at_mut(p.rows());
    for sequence in p.sequences() {
        let constants = [w, r, bias, peepholes].map(|constant| part(constant, sequence.0, p.directions));
        let [w, r, bias, peepholes] = constants;
        let first = (sequence.0 * p.batch + sequence.1) * hidden;
        let own = first..first + hidden;
        p.start_f32(sequence, h, start.map(|(h0, _)| h0), y);
        match start {
            _ if p.stateful => c.copy_from_slice(&cells[own.clone()]),
            Some((_, c0)) => c.copy_from_slice(&c0[own.clone()]),
            None => c.fill(0.0),
        }
        p.for_each_step(sequence, x, h, y, |x, h, y| {
            for_units!(hidden, |j, N| {
                let sums: [[f32; N]; 4] = core::array::from_fn(|gate| {
                    let row = gate * hidden + j;
                    let sums = rows_times::<Float, N>(lanes(bias, row), w, row, x);
                    rows_times::<Float, N>(sums, r, row, h)
                });
                for k in 0..N {
                    let unit = j + k;
                    let [i, o, forget, candidate] = sums.map(|sums| sums[k]);
                    let peephole = |gate: usize, c: f32| match peepholes {
                        [] => 0.0,
                        peepholes => peepholes[gate * hidden + unit] * c,
                    };
                    let before = c[unit];
                    let i = f(clipped(i + peephole(0, before), clip));
                    let forget = match input_forget {
                        true => 1.0 - i,
                        false => f(clipped(forget + peephole(2, before), clip)),
                    };
                    let after = forget * before + i * g(clipped(candidate, clip));
                    c[unit] = after;
                    y[unit] = f(clipped(o + peephole(1, after), clip)) * output(after);
                }
            });
        });
        if p.state {
            cells[own].copy_from_slice(c);
        }
    }
}
