//! RNN, GRU and LSTM in int8, with integers only.
//!
//! Inputs, weights and hidden states are int8, sums int32. A gate's sum becomes a number in units of 2⁻¹²; its function is
//! looked up in a table of tanh, interpolated, in units of 2⁻¹⁵. What a layer remembers is int16: the cells of an LSTM in
//! units that suit their range, the hidden state of a GRU in units of 2⁻¹⁵, as its steps may be far smaller than those of
//! int8. Weights have a scale for each row.
//!
//! The structure is that of TensorFlow Lite's integer LSTM (Li and Alvarez, "On the quantization of recurrent neural
//! networks", 2021); the arithmetic is that of [`fixed`](crate::fixed).

use super::{Recurrent, for_units, lanes, part, rows_times};
use crate::arch::memory;
use crate::fixed::{multiply_high, rounding_shift_right, saturating_shift_left};
use crate::math;
use crate::value::Int8;

/// Fraction bits of a gate's sum.
pub const SUM_BITS: u32 = 12;

/// Fraction bits of what a gate's function gives.
const GATE_BITS: u32 = 15;

/// 1 in units of `2^-GATE_BITS`.
const ONE: i32 = 1 << GATE_BITS;

/// Entries of the table of tanh for each power of two: entry i is `tanh(i / 32)`.
const TABLE_STEP_BITS: u32 = 5;

/// From there on tanh is 1 in units of 2⁻¹⁵.
const TABLE_LEN: usize = (8 << TABLE_STEP_BITS) + 1;

/// `round(2^15 · tanh(i / 32))`.
static TANH: [u16; TABLE_LEN] = {
    let mut table = [0; TABLE_LEN];
    let mut i = 0;
    while i < TABLE_LEN {
        let power = math::exp_f64(-2.0 * i as f64 / (1 << TABLE_STEP_BITS) as f64);
        table[i] = ((1.0 - power) / (1.0 + power) * ONE as f64 + 0.5) as u16;
        i += 1;
    }
    table
};

/// `2^15 · tanh(x / 2^bits)` for `bits` from 6 to 16, at most 4 wrong.
#[inline(always)]
fn tanh(x: i32, bits: u32) -> i32 {
    let fraction_bits = bits - TABLE_STEP_BITS;
    let magnitude = x.unsigned_abs();
    let index = (magnitude >> fraction_bits) as usize;
    let value = match (TANH.get(index), TANH.get(index + 1)) {
        (Some(&low), Some(&high)) => {
            let (low, high) = (i32::from(low), i32::from(high));
            let fraction = (magnitude & ((1 << fraction_bits) - 1)) as i32;
            low + rounding_shift_right((high - low) * fraction, fraction_bits)
        }
        _ => ONE,
    };
    if x < 0 { -value } else { value }
}

/// `2^15 / (1 + e^(−x / 2^12))`: half of `1 + tanh(x / 2)`.
#[inline(always)]
fn sigmoid(x: i32) -> i32 {
    (ONE + tanh(x, SUM_BITS + 1) + 1) >> 1
}

#[inline(always)]
fn saturated(x: i32) -> i16 {
    x.clamp(i16::MIN.into(), i16::MAX.into()) as i16
}

/// `x / 2^shift`, rounded, as int8.
#[inline(always)]
fn to_i8(x: i32, shift: u32) -> i8 {
    rounding_shift_right(x, shift).clamp(i8::MIN.into(), i8::MAX.into()) as i8
}

/// What turns sums into units of `2^-SUM_BITS`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GatesS8 {
    /// Left shift of the sums over inputs, as in [`Requantize`](crate::fixed::Requantize).
    pub input_shift: u32,
    /// Left shift of the sums over hidden states.
    pub hidden_shift: u32,
    /// Fraction bits of the hidden states, 7 to 12: they reach to `2^(7 − bits)`.
    pub hidden_bits: u32,
    /// The sums' limit, in units of `2^-SUM_BITS`; `i32::MAX` for none.
    pub clip: i32,
}

/// The constants of a recurrent layer in int8, `gates · hidden` rows for each direction, and what its sums become.
#[derive(Clone, Copy)]
struct Gates<'a> {
    p: &'a GatesS8,
    inputs: Side<'a>,
    state: Side<'a>,
}

/// One of the two products of a gate.
#[derive(Clone, Copy)]
struct Side<'a> {
    shift: u32,
    weights: &'a [i8],
    bias: &'a [i32],
    multipliers: &'a [i32],
}

impl Side<'_> {
    /// Rows from `first` on times `x`, in units of `2^-SUM_BITS`.
    #[inline(always)]
    fn apply<const N: usize>(&self, first: usize, x: &[i8]) -> [i32; N] {
        let bias = if self.bias.is_empty() { [0; N] } else { lanes(self.bias, first) };
        let sums = rows_times::<Int8, N>(bias, self.weights, first, x);
        let multipliers: [i32; N] = lanes(self.multipliers, first);
        core::array::from_fn(|k| multiply_high(saturating_shift_left(sums[k], self.shift), multipliers[k]))
    }
}

impl<'a> Gates<'a> {
    #[allow(clippy::too_many_arguments)]
    fn new(
        p: &'a GatesS8,
        rows: usize,
        w: &'a [i8],
        bias: &'a [i32],
        w_multipliers: &'a [i32],
        r: &'a [i8],
        r_bias: &'a [i32],
        r_multipliers: &'a [i32],
    ) -> Self {
        assert_eq!([bias.len(), w_multipliers.len(), r_multipliers.len()], [rows; 3], "bias and multipliers");
        assert!(r_bias.is_empty() || r_bias.len() == rows, "bias of the hidden state");
        Gates {
            p,
            inputs: Side { shift: p.input_shift, weights: w, bias, multipliers: w_multipliers },
            state: Side { shift: p.hidden_shift, weights: r, bias: r_bias, multipliers: r_multipliers },
        }
    }

    /// The constants of a direction.
    #[inline(always)]
    fn part(&self, direction: usize, directions: usize) -> Self {
        let side = |side: &Side<'a>| Side {
            shift: side.shift,
            weights: part(side.weights, direction, directions),
            bias: part(side.bias, direction, directions),
            multipliers: part(side.multipliers, direction, directions),
        };
        Gates { p: self.p, inputs: side(&self.inputs), state: side(&self.state) }
    }

    /// The sums of a gate for the units whose first row is `row`.
    #[inline(always)]
    fn sums<const N: usize>(&self, row: usize, x: &[i8], h: &[i8]) -> [i32; N] {
        let (inputs, state): ([i32; N], [i32; N]) = (self.inputs.apply(row, x), self.state.apply(row, h));
        core::array::from_fn(|k| inputs[k].saturating_add(state[k]))
    }

    #[inline(always)]
    fn clipped(&self, sum: i32) -> i32 {
        sum.clamp(-self.p.clip, self.p.clip)
    }
}

impl Recurrent {
    /// Words of work memory of [`rnn_s8`].
    pub const fn rnn_s8_words(&self) -> usize {
        self.hidden.div_ceil(4)
    }

    /// Words of work memory of [`gru_s8`].
    pub const fn gru_s8_words(&self) -> usize {
        // Hidden state and its reset form in int8; hidden state and update gate in int16.
        2 * self.hidden.div_ceil(4) + 2 * self.hidden.div_ceil(2)
    }

    /// Words of work memory of [`lstm_s8`].
    pub const fn lstm_s8_words(&self) -> usize {
        self.hidden.div_ceil(4) + self.hidden.div_ceil(2)
    }

    /// The bytes of the int16 state of a sequence behind the hidden states.
    fn own_state(&self, (direction, sequence): (usize, usize)) -> core::ops::Range<usize> {
        let first = 2 * self.hidden * (direction * self.batch + sequence);
        first..first + 2 * self.hidden
    }
}

/// Takes int16 numbers out of their bytes.
fn load(state: &mut [i16], bytes: &[i8]) {
    for (state, &[low, high]) in state.iter_mut().zip(bytes.as_chunks().0) {
        *state = i16::from_le_bytes([low as u8, high as u8]);
    }
}

/// The counterpart of [`load`].
fn store(state: &[i16], bytes: &mut [i8]) {
    for (state, bytes) in state.iter().zip(bytes.as_chunks_mut().0) {
        *bytes = state.to_le_bytes().map(|byte| byte as i8);
    }
}

/// RNN in int8 with tanh: `h' = tanh(clip(w · x + r · h + bias))`, hidden states in units of `2^-hidden_bits`.
///
/// | slice | shape |
/// |---|---|
/// | `w` | `[directions, hidden, inputs]` |
/// | `bias` | `[directions, hidden]`, in the units of `Σ w · x`, the input's zero point folded in |
/// | `w_multipliers` | `[directions, hidden]`: from these units to 2⁻¹² |
/// | `r` | `[directions, hidden, hidden]` |
/// | `r_multipliers` | `[directions, hidden]`: from the units of `Σ r · h` to 2⁻¹² |
/// | `x` | `[steps, batch, inputs]` |
/// | `y` | see the [module](super) |
/// | `scratch` | [`Recurrent::rnn_s8_words`] |
///
/// # Panics
/// If a slice's length is not that of its shape.
#[allow(clippy::too_many_arguments)]
pub fn rnn_s8(
    p: &Recurrent,
    q: &GatesS8,
    w: &[i8],
    bias: &[i32],
    w_multipliers: &[i32],
    r: &[i8],
    r_multipliers: &[i32],
    x: &[i8],
    y: &mut [i8],
    scratch: &mut [u32],
) {
    p.check(1, w, r, x, y, 0);
    let gates = Gates::new(q, p.directions * p.hidden, w, bias, w_multipliers, r, &[], r_multipliers);
    let h = &mut memory::i8s_mut(scratch)[..p.hidden];
    for sequence in p.sequences() {
        let gates = gates.part(sequence.0, p.directions);
        if p.stateful {
            h.copy_from_slice(p.left(sequence.1, y));
        } else {
            h.fill(0);
        }
        p.for_each_step(sequence, x, h, y, |x, h, y| {
            for_units!(p.hidden, |j, N| {
                let sums: [i32; N] = gates.sums(j, x, h);
                for k in 0..N {
                    y[j + k] = to_i8(tanh(gates.clipped(sums[k]), SUM_BITS), GATE_BITS - q.hidden_bits);
                }
            });
        });
    }
}

/// GRU in int8 with sigmoid and tanh; gates as in [`gru_f32`](super::gru_f32), hidden states in units of `2^-hidden_bits`.
///
/// | slice | shape |
/// |---|---|
/// | `w` | `[directions, 3, hidden, inputs]`: z, r, n |
/// | `bias` | `[directions, 3, hidden]`, in the units of `Σ w · x`, the input's zero point folded in |
/// | `w_multipliers` | `[directions, 3, hidden]`: from these units to 2⁻¹² |
/// | `r` | `[directions, 3, hidden, hidden]` |
/// | `r_bias` | `[directions, 3, hidden]`, in the units of `Σ r · h`; or empty |
/// | `r_multipliers` | `[directions, 3, hidden]`: from these units to 2⁻¹² |
/// | `x` | `[steps, batch, inputs]` |
/// | `y` | see the [module](super) |
/// | `scratch` | [`Recurrent::gru_s8_words`] |
///
/// # Panics
/// If a slice's length is not that of its shape.
#[allow(clippy::too_many_arguments)]
pub fn gru_s8(
    p: &Recurrent,
    linear_before_reset: bool,
    q: &GatesS8,
    w: &[i8],
    bias: &[i32],
    w_multipliers: &[i32],
    r: &[i8],
    r_bias: &[i32],
    r_multipliers: &[i32],
    x: &[i8],
    y: &mut [i8],
    scratch: &mut [u32],
) {
    let hidden = p.hidden;
    p.check(3, w, r, x, y, 2 * p.directions * p.batch * hidden);
    assert!(p.state || !p.stateful, "a state to go on from");
    let gates = Gates::new(q, p.directions * 3 * hidden, w, bias, w_multipliers, r, r_bias, r_multipliers);
    let (h, scratch) = scratch.split_at_mut(hidden.div_ceil(4));
    let (reset, scratch) = scratch.split_at_mut(hidden.div_ceil(4));
    let (h, reset) = (&mut memory::i8s_mut(h)[..hidden], &mut memory::i8s_mut(reset)[..hidden]);
    let (exact, z) = memory::i16s_mut(&mut scratch[..2 * hidden.div_ceil(2)]).split_at_mut(hidden);
    let (y, states) = y.split_at_mut(p.rows());
    for sequence in p.sequences() {
        let gates = gates.part(sequence.0, p.directions);
        exact.fill(0);
        if p.stateful {
            load(exact, &states[p.own_state(sequence)]);
        }
        h.iter_mut().zip(&*exact).for_each(|(h, &exact)| *h = to_i8(exact.into(), GATE_BITS - q.hidden_bits));
        p.for_each_step(sequence, x, h, y, |x, h, y| {
            for_units!(hidden, |j, N| {
                let sums: [i32; N] = gates.sums(j, x, h);
                for k in 0..N {
                    // At most 1 − 2⁻¹⁵.
                    z[j + k] = saturated(sigmoid(gates.clipped(sums[k])));
                }
            });
            if !linear_before_reset {
                for_units!(hidden, |j, N| {
                    let sums: [i32; N] = gates.sums(hidden + j, x, h);
                    for k in 0..N {
                        let r = sigmoid(gates.clipped(sums[k]));
                        reset[j + k] = to_i8(r * i32::from(exact[j + k]), 2 * GATE_BITS - q.hidden_bits);
                    }
                });
            }
            for_units!(hidden, |j, N| {
                let row = 2 * hidden + j;
                let inputs: [i32; N] = gates.inputs.apply(row, x);
                let mut state: [i32; N] = gates.state.apply(row, if linear_before_reset { h } else { reset });
                if linear_before_reset {
                    let sums: [i32; N] = gates.sums(hidden + j, x, h);
                    for k in 0..N {
                        let r = i64::from(sigmoid(gates.clipped(sums[k])));
                        state[k] = ((r * i64::from(state[k]) + i64::from(ONE / 2)) >> GATE_BITS) as i32;
                    }
                }
                for k in 0..N {
                    let n = tanh(gates.clipped(inputs[k].saturating_add(state[k])), SUM_BITS);
                    let (z, before) = (i32::from(z[j + k]), i32::from(exact[j + k]));
                    // A mean of two numbers of at most 2^15, weighed by numbers that add up to 2^15.
                    let after = rounding_shift_right((ONE - z) * n + z * before, GATE_BITS);
                    exact[j + k] = saturated(after);
                    y[j + k] = to_i8(after, GATE_BITS - q.hidden_bits);
                }
            });
        });
        if p.state {
            store(exact, &mut states[p.own_state(sequence)]);
        }
    }
}

/// What [`lstm_s8`] needs to know of its cells.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CellsS8 {
    /// Fraction bits of a cell state, 6 to 15: it reaches to `2^(15 − bits)`.
    pub bits: u32,
    /// Fraction bits of the peepholes, with which `bits` is at least 12.
    pub peephole_bits: u32,
    /// Whether the forget gate is 1 − i.
    pub input_forget: bool,
}

/// LSTM in int8 with sigmoid and tanh; gates as in [`lstm_f32`](super::lstm_f32), hidden states in units of `2^-hidden_bits`.
///
/// | slice | shape |
/// |---|---|
/// | `w` | `[directions, 4, hidden, inputs]`: i, o, f, g |
/// | `bias` | `[directions, 4, hidden]`, in the units of `Σ w · x`, the input's zero point folded in |
/// | `w_multipliers` | `[directions, 4, hidden]`: from these units to 2⁻¹² |
/// | `r` | `[directions, 4, hidden, hidden]` |
/// | `r_multipliers` | `[directions, 4, hidden]`: from the units of `Σ r · h` to 2⁻¹² |
/// | `peepholes` | `[directions, 3, hidden]`: what the cell state adds to i, o, f; or empty |
/// | `x` | `[steps, batch, inputs]` |
/// | `y` | see the [module](super) |
/// | `scratch` | [`Recurrent::lstm_s8_words`] |
///
/// # Panics
/// If a slice's length is not that of its shape.
#[allow(clippy::too_many_arguments)]
pub fn lstm_s8(
    p: &Recurrent,
    q: &GatesS8,
    cells: &CellsS8,
    w: &[i8],
    bias: &[i32],
    w_multipliers: &[i32],
    r: &[i8],
    r_multipliers: &[i32],
    peepholes: &[i16],
    x: &[i8],
    y: &mut [i8],
    scratch: &mut [u32],
) {
    let hidden = p.hidden;
    p.check(4, w, r, x, y, 2 * p.directions * p.batch * hidden);
    assert!(p.state || !p.stateful, "a state to go on from");
    assert!(peepholes.is_empty() || peepholes.len() == p.directions * 3 * hidden, "peepholes");
    let gates = Gates::new(q, p.directions * 4 * hidden, w, bias, w_multipliers, r, &[], r_multipliers);
    let (h, c) = scratch.split_at_mut(hidden.div_ceil(4));
    let (h, c) = (&mut memory::i8s_mut(h)[..hidden], &mut memory::i16s_mut(c)[..hidden]);
    let (y, states) = y.split_at_mut(p.rows());
    let peephole_shift = cells.peephole_bits + cells.bits - SUM_BITS;
    for sequence in p.sequences() {
        let gates = gates.part(sequence.0, p.directions);
        let peepholes = part(peepholes, sequence.0, p.directions);
        if p.stateful {
            load(c, &states[p.own_state(sequence)]);
            h.copy_from_slice(p.left(sequence.1, y));
        } else {
            c.fill(0);
            h.fill(0);
        }
        p.for_each_step(sequence, x, h, y, |x, h, y| {
            for_units!(hidden, |j, N| {
                let sums: [[i32; N]; 4] = core::array::from_fn(|gate| gates.sums(gate * hidden + j, x, h));
                for k in 0..N {
                    let unit = j + k;
                    let [i, o, forget, candidate] = sums.map(|sums| sums[k]);
                    let peephole = |gate: usize, c: i16| match peepholes {
                        [] => 0,
                        peepholes => {
                            let weight = i32::from(peepholes[gate * hidden + unit]);
                            rounding_shift_right(weight * i32::from(c), peephole_shift)
                        }
                    };
                    let before = c[unit];
                    let i = sigmoid(gates.clipped(i.saturating_add(peephole(0, before))));
                    let forget = match cells.input_forget {
                        true => ONE - i,
                        false => sigmoid(gates.clipped(forget.saturating_add(peephole(2, before)))),
                    };
                    let candidate = tanh(gates.clipped(candidate), SUM_BITS);
                    let kept = rounding_shift_right(forget * i32::from(before), GATE_BITS);
                    let added = rounding_shift_right(i * candidate, 2 * GATE_BITS - cells.bits);
                    let after = saturated(kept + added);
                    c[unit] = after;
                    let o = sigmoid(gates.clipped(o.saturating_add(peephole(1, after))));
                    y[unit] = to_i8(o * tanh(after.into(), cells.bits), 2 * GATE_BITS - q.hidden_bits);
                }
            });
        });
        if p.state {
            store(c, &mut states[p.own_state(sequence)]);
        }
    }
}
