//! ONNX RNN, GRU and LSTM, one layer over a whole sequence, in one direction or both.
//!
//! A call runs all steps for all sequences of the batch. Weights keep ONNX's order, gate by gate, and a gate's rows are
//! contiguous, so that four units at a time share each load of an input.
//!
//! # What the output holds
//!
//! `y` is up to three tensors one behind the other: the hidden states after each step, `[steps, directions, batch, hidden]`
//! ([`Recurrent::sequence`]), those after the step that ran last, `[directions, batch, hidden]` ([`Recurrent::last`]), and
//! what else a layer remembers ([`Recurrent::state`]). So one tensor has everything that a caller may ask for, and what
//! nobody asks for takes no memory.
//!
//! Weights and biases of the directions stand one behind the other, as in ONNX.
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
    /// 1, or 2: one from the first input to the last and one from the last to the first.
    pub directions: usize,
    /// Whether the steps of a single direction run from the last input to the first. Outputs stay with their inputs.
    pub reverse: bool,
    /// Whether `y` has the hidden states after each step.
    pub sequence: bool,
    /// Whether `y` has the hidden states after the step that ran last; always where there is no `sequence`.
    pub last: bool,
    /// Whether the rest of the state lies behind the hidden states in `y`: `[directions, batch, hidden]` cell states for
    /// LSTM in f32; in int8 `[directions, batch, 2 · hidden]`, little-endian int16, for LSTM (cells) and GRU (the hidden
    /// state, more exactly).
    pub state: bool,
    /// Whether the call goes on from what the last one left in `y`. Needs `state` where the layer has more state than the
    /// hidden one, and a single direction without `reverse`.
    pub stateful: bool,
}

impl Recurrent {
    /// Elements of the hidden states in `y`.
    const fn rows(&self) -> usize {
        let steps = if self.sequence { self.steps } else { 0 };
        (steps + if self.last { 1 } else { 0 }) * self.directions * self.batch * self.hidden
    }

    /// Where the hidden state of a sequence after step `t` lies in `y`; `None` stands for the last one, apart from the others.
    const fn place(&self, t: Option<usize>, direction: usize, sequence: usize) -> usize {
        let row = match t {
            Some(t) => t,
            None if self.sequence => self.steps,
            None => 0,
        };
        ((row * self.directions + direction) * self.batch + sequence) * self.hidden
    }

    /// All sequences, with their directions before them.
    #[inline(always)]
    fn sequences(&self) -> impl Iterator<Item = (usize, usize)> + use<> {
        let (directions, batch) = (self.directions, self.batch);
        (0..directions).flat_map(move |direction| (0..batch).map(move |sequence| (direction, sequence)))
    }

    /// Runs the steps of one sequence: `step(x, h, y)` computes the hidden state `y` from the one before, `h`.
    ///
    /// `h` holds the state before the first step, and the one after the last step in the end.
    #[inline(always)]
    fn for_each_step<T: Copy>(
        &self,
        (direction, sequence): (usize, usize),
        x: &[T],
        h: &mut [T],
        y: &mut [T],
        mut step: impl FnMut(&[T], &[T], &mut [T]),
    ) {
        let backward = direction == 1 || self.reverse;
        for step_index in 0..self.steps {
            let t = if backward { self.steps - 1 - step_index } else { step_index };
            let x = &x[(t * self.batch + sequence) * self.inputs..][..self.inputs];
            let place = self.place(self.sequence.then_some(t), direction, sequence);
            let y = &mut y[place..][..self.hidden];
            step(x, h, y);
            h.copy_from_slice(y);
        }
        if self.sequence && self.last {
            y[self.place(None, direction, sequence)..][..self.hidden].copy_from_slice(h);
        }
    }

    /// The hidden state that the last call left in `y`.
    #[inline(always)]
    fn left<'a, T>(&self, sequence: usize, y: &'a [T]) -> &'a [T] {
        let t = if self.last { None } else { Some(self.steps - 1) };
        &y[self.place(t, 0, sequence)..][..self.hidden]
    }

    /// Panics if a slice's length is not that of its shape. `extra` is the length of what lies behind the hidden states.
    #[inline(always)]
    fn check<T>(&self, gates: usize, w: &[T], r: &[T], x: &[T], y: &[T], extra: usize) {
        let rows = self.directions * gates * self.hidden;
        assert_eq!(w.len(), rows * self.inputs, "w");
        assert_eq!(r.len(), rows * self.hidden, "r");
        assert_eq!(x.len(), self.steps * self.batch * self.inputs, "x");
        assert_eq!(y.len(), self.rows() + if self.state { extra } else { 0 }, "y");
        assert!(self.sequence || self.last, "an output");
        let forward = self.directions == 1 && !self.reverse;
        assert!(forward || !self.stateful, "a backward layer has no state to go on from");
    }
}

/// The part of a constant that belongs to a direction.
#[inline(always)]
fn part<T>(constant: &[T], direction: usize, directions: usize) -> &[T] {
    let len = constant.len() / directions;
    &constant[direction * len..][..len]
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
