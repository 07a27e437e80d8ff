//! ONNX RNN, GRU and LSTM, one direction of one layer over a whole sequence.
//!
//! A call runs all steps for all sequences of the batch. Weights keep ONNX's order, gate by gate, and a gate's rows are
//! contiguous, so that four units at a time share each load of an input.
//!
//! # What the output holds
//!
//! `y` is `[rows, batch, hidden]`: the hidden state after each step, or after the last one alone
//! ([`Recurrent::sequence`]), and behind it, where [`Recurrent::state`] says so, what else a layer remembers. So one
//! tensor has everything that a caller may ask for, and the part of it that nobody asks for takes no memory.
//!
//! # State across calls
//!
//! A [`stateful`](Recurrent::stateful) layer finds in `y` what its last call left there and goes on from it. Zeros are the
//! state before the first call.

mod activation;
mod float;
mod int8;

pub use activation::*;
pub use float::*;
pub use int8::*;

use crate::value::Arithmetic;

/// What recurrent layers have in common.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Recurrent {
    /// Steps of a sequence.
    pub steps: usize,
    /// Sequences.
    pub batch: usize,
    /// Features of an input.
    pub inputs: usize,
    /// Features of the hidden state: units.
    pub hidden: usize,
    /// Whether the steps run from the last input to the first. Outputs stay with their inputs.
    pub reverse: bool,
    /// Whether `y` has the hidden state after each step, not only after the one that ran last.
    pub sequence: bool,
    /// Whether the rest of the state lies behind the hidden state in `y`: `[batch, hidden]` cell states for LSTM in f32;
    /// in int8 `[batch, 2 · hidden]`, little-endian int16, for LSTM (cells) and GRU (the hidden state, more exactly).
    pub state: bool,
    /// Whether the call goes on from what the last one left in `y`. Needs `state` where the layer has more state than the
    /// hidden one, and no `reverse`.
    pub stateful: bool,
}

impl Recurrent {
    /// Elements of the hidden states in `y`.
    const fn rows(&self) -> usize {
        (if self.sequence { self.steps } else { 1 }) * self.batch * self.hidden
    }

    /// Runs the steps of one sequence: `step(x, h, y)` computes the hidden state `y` from the one before, `h`.
    ///
    /// `h` holds the state before the first step, and the one after the last step in the end.
    #[inline(always)]
    fn for_each_step<T: Copy>(
        &self,
        sequence: usize,
        x: &[T],
        h: &mut [T],
        y: &mut [T],
        mut step: impl FnMut(&[T], &[T], &mut [T]),
    ) {
        for step_index in 0..self.steps {
            let t = if self.reverse { self.steps - 1 - step_index } else { step_index };
            let x = &x[(t * self.batch + sequence) * self.inputs..][..self.inputs];
            let row = if self.sequence { t } else { 0 };
            let y = &mut y[(row * self.batch + sequence) * self.hidden..][..self.hidden];
            step(x, h, y);
            h.copy_from_slice(y);
        }
    }

    /// The hidden state that the last call left in `y`.
    #[inline(always)]
    fn last<'a, T>(&self, sequence: usize, y: &'a [T]) -> &'a [T] {
        let row = if self.sequence { self.steps - 1 } else { 0 };
        &y[(row * self.batch + sequence) * self.hidden..][..self.hidden]
    }

    /// Panics if a slice's length is not that of its shape. `extra` is the length of what lies behind the hidden states.
    #[inline(always)]
    fn check<T>(&self, gates: usize, w: &[T], r: &[T], x: &[T], y: &[T], extra: usize) {
        assert_eq!(w.len(), gates * self.hidden * self.inputs, "w");
        assert_eq!(r.len(), gates * self.hidden * self.hidden, "r");
        assert_eq!(x.len(), self.steps * self.batch * self.inputs, "x");
        assert_eq!(y.len(), self.rows() + if self.state { extra } else { 0 }, "y");
        assert!(!(self.stateful && self.reverse), "a backward layer has no state to go on from");
    }
}

/// Calls `f(first)` with `N` as 4 as often as possible, then with 1, until all units have had their turn.
macro_rules! for_units {
    ($hidden:expr, |$first:ident, $n:ident| $body:expr) => {{
        let mut $first = 0;
        while $first + 4 <= $hidden {
            const $n: usize = 4;
            $body;
            $first += 4;
        }
        while $first < $hidden {
            const $n: usize = 1;
            $body;
            $first += 1;
        }
    }};
}
use for_units;

/// `sums[k] + Σ x[i] · matrix[first + k][i]`, in the order of `i`.
#[inline(always)]
fn rows_times<M, const N: usize>(sums: [M::Sum; N], matrix: &[M::X], first: usize, x: &[M::X]) -> [M::Sum; N]
where
    M: for<'a> Arithmetic<W = <M as Arithmetic>::X, Weights<'a> = &'a [<M as Arithmetic>::X]>,
    M::X: 'static,
{
    M::dot(sums, x, core::array::from_fn(|k| &matrix[(first + k) * x.len()..][..x.len()]))
}

/// `N` elements from `at` on.
#[inline(always)]
fn lanes<T: Copy, const N: usize>(elements: &[T], at: usize) -> [T; N] {
    *crate::value::lanes(elements, at)
}
