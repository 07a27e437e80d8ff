//! RNN, GRU and LSTM.
//!
//! <https://onnx.ai/onnx/operators/onnx__LSTM.html> and its siblings, opset 7 to 22. In the graph: x
//! `[steps, batch, inputs]`, weights `[directions · gates · hidden, inputs]` and `[directions · gates · hidden, hidden]`,
//! bias `[directions · 2 · gates · hidden]`, peepholes `[directions · 3 · hidden]` or empty, and the states to start from,
//! `[directions, batch, hidden]`, if there are some.
//!
//! The result is `[rows, batch, hidden]`: the hidden states after all steps, those after the last ones, the last cells. The
//! importer slices it, and `simplify/recurrent.rs` leaves off what nobody reads. A second result of an LSTM, the cells
//! after each step, is what calibration sees of them; no kernel computes it.

mod import;
mod kernels;

use mcuopt_rt::v0 as rt;

use super::{Io, Lowered, Operator, Scales, f32s, window};
use crate::error::Error;
use crate::graph::{Quantization, Type};
use crate::reference::dot;
use crate::tensor::Tensor;

pub use import::import;
pub use kernels::{GruS8, LstmS8, RecurrentF32, RnnS8};

/// What happens in a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Cell {
    Rnn,
    Gru { linear_before_reset: bool },
    Lstm { input_forget: bool },
}

impl Cell {
    /// Gates, each with a row of weights for each unit.
    pub fn gates(self) -> usize {
        match self {
            Cell::Rnn => 1,
            Cell::Gru { .. } => 3,
            Cell::Lstm { .. } => 4,
        }
    }

    /// The functions of its gates where the file names none.
    fn functions(self) -> &'static [rt::Activation] {
        use rt::Activation::{Sigmoid, Tanh};
        match self {
            Cell::Rnn => &[Tanh],
            Cell::Gru { .. } => &[Sigmoid, Tanh],
            Cell::Lstm { .. } => &[Sigmoid, Tanh, Tanh],
        }
    }
}

/// The operands that are weights, bias and peepholes; x is the first operand, the initial state comes last.
const BUILT_IN: &[usize] = &[1, 2, 3, 4];

/// The operands from here on are the state to start from.
pub const STARTS_AT: usize = 5;

/// The largest scale that hidden states have in int8: that of all between −1 and 1.
const HIDDEN_SCALE: f32 = 1.0 / 128.0;

/// The fraction bits of hidden states with a quantization, if the integer kernels know it.
pub fn hidden_bits(quantization: Option<&Quantization>) -> Option<u32> {
    let (scale, zero_point) = quantization?.single()?;
    (7..=12).find(|&bits| zero_point == 0 && scale == 1.0 / (1u32 << bits) as f32)
}

/// A recurrent layer in one direction, or in both.
#[derive(Clone, Debug, PartialEq)]
pub struct Recurrent {
    /// What happens in a step.
    pub cell: Cell,
    /// ONNX's f, g, h, as many as the cell has.
    pub functions: Vec<rt::Activation>,
    /// Limit of what the functions are applied to; ∞ for none.
    pub clip: f32,
    /// 1, or 2: one from the first input to the last and one from the last to the first.
    pub directions: usize,
    /// Whether the steps of a single direction run from the last input to the first.
    pub reverse: bool,
    /// Whether the result has the hidden states after each step.
    pub sequence: bool,
    /// Whether the result has the hidden states after the step that ran last.
    pub last: bool,
    /// Rows behind the hidden states, for each direction: 1 for the last cells of an LSTM; in a stateful layer whatever its
    /// kernel keeps there.
    pub state_rows: usize,
    /// Whether the layer goes on from where its last call ended.
    pub stateful: bool,
}

impl Recurrent {
    /// Rows of the result with hidden states after each step, and with those after the last.
    pub fn rows(&self, steps: usize) -> [usize; 2] {
        [if self.sequence { steps } else { 0 }, usize::from(self.last)].map(|rows| rows * self.directions)
    }

    /// Whether the integer kernels compute it: they know its functions, and nothing asks for the cells.
    fn has_integers(&self) -> bool {
        let known = self.functions == self.cell.functions();
        known && (self.state_rows == 0 || (self.stateful && self.state_rows == self.rows_kept(true)))
    }

    /// Rows behind the hidden states that a stateful kernel needs.
    pub fn rows_kept(&self, integers: bool) -> usize {
        match self.cell {
            Cell::Rnn => 0,
            // int16 in two rows of int8.
            Cell::Gru { .. } => 2 * usize::from(integers),
            Cell::Lstm { .. } => 1 + usize::from(integers),
        }
    }

    fn geometry(&self, x: &[usize], hidden: usize) -> rt::Recurrent {
        rt::Recurrent {
            steps: x[0],
            batch: x[1],
            inputs: x[2],
            hidden,
            directions: self.directions,
            reverse: self.reverse,
            sequence: self.sequence,
            last: self.last,
            state: self.state_rows > 0,
            stateful: self.stateful,
        }
    }
}

impl Operator for Recurrent {
    fn name(&self) -> &'static str {
        match self.cell {
            Cell::Rnn => "RNN",
            Cell::Gru { .. } => "GRU",
            Cell::Lstm { .. } => "LSTM",
        }
    }

    fn infer(&self, inputs: &[&Type]) -> Result<Vec<Type>, Error> {
        window::expect_float(inputs)?;
        let [x, w, r, bias, peepholes, initial @ ..] = inputs else { return Err(Error::bug("missing operands")) };
        let gates = self.directions * self.cell.gates();
        let ([steps, batch, features], [_, hidden]) = (&x.shape[..], &r.shape[..]) else {
            return Err(Error::invalid(format!("its shape {:?} is not [steps, batch, inputs]", x.shape)).part("input 0"));
        };
        let rows = gates * hidden;
        let expected: [(&str, &Type, Vec<usize>); 3] = [
            ("input 1", w, vec![rows, *features]),
            ("input 2", r, vec![rows, *hidden]),
            ("input 3", bias, vec![2 * rows]),
        ];
        for (part, ty, shape) in expected {
            if ty.shape != shape {
                return Err(Error::invalid(format!("its directions are {:?}, not {shape:?}", ty.shape)).part(part));
            }
        }
        if !peepholes.is_empty() && peepholes.len() != self.directions * 3 * hidden {
            let message = format!("it has {} elements for {hidden} units", peepholes.len());
            return Err(Error::invalid(message).part("input 7"));
        }
        for (index, ty) in initial.iter().enumerate() {
            let shape = [self.directions, *batch, *hidden];
            if ty.shape != shape {
                let message = format!("its shape is {:?}, not {shape:?}", ty.shape);
                return Err(Error::invalid(message).part(format!("input {}", 5 + index)));
            }
        }
        let rows = self.rows(*steps).iter().sum::<usize>() + self.directions * self.state_rows;
        let y = Type::f32([rows, *batch, *hidden]);
        Ok(match self.cell {
            Cell::Lstm { .. } => vec![y, Type::f32([steps * self.directions, *batch, *hidden])],
            _ => vec![y],
        })
    }

    fn eval(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>, Error> {
        if self.stateful {
            return Err(Error::bug("a stateful layer is run step by step"));
        }
        let p = self.geometry(inputs[0].shape(), inputs[2].shape()[1]);
        let row = p.batch * p.hidden;
        let mut y = vec![0f32; p.steps * p.directions * row];
        let (mut cells, mut last, mut last_cells) = (y.clone(), Vec::new(), Vec::new());
        for direction in 0..p.directions {
            let mut step = Step::new(self, &p, inputs, direction);
            for sequence in 0..p.batch {
                let first = direction * row + sequence * p.hidden;
                let own = |start: &&Tensor| f32s(start)[first..first + p.hidden].to_vec();
                let start = |index: usize| inputs.get(index).map_or(vec![0.0; p.hidden], own);
                let (mut h, mut c) = (start(STARTS_AT), start(STARTS_AT + 1));
                for index in 0..p.steps {
                    let t = if p.reverse || direction == 1 { p.steps - 1 - index } else { index };
                    step.run(&f32s(inputs[0])[(t * p.batch + sequence) * p.inputs..][..p.inputs], &mut h, &mut c);
                    let at = t * p.directions * row + first;
                    y[at..at + p.hidden].copy_from_slice(&h);
                    cells[at..at + p.hidden].copy_from_slice(&c);
                }
                last.extend(h);
                last_cells.extend(c);
            }
        }
        let parts = [(self.sequence, &y), (self.last, &last), (self.state_rows > 0, &last_cells)];
        let result = parts.into_iter().filter(|(present, _)| *present).flat_map(|(_, part)| part.iter().copied()).collect();
        let rows = self.rows(p.steps).iter().sum::<usize>() + p.directions * self.state_rows;
        let mut results = super::result(&[rows, p.batch, p.hidden], result)?;
        if matches!(self.cell, Cell::Lstm { .. }) {
            results.extend(super::result(&[p.steps * p.directions, p.batch, p.hidden], cells)?);
        }
        Ok(results)
    }

    fn scales(&self) -> Scales {
        if self.has_integers() { Scales::PowerOfTwo(HIDDEN_SCALE) } else { Scales::Float }
    }

    fn built_in(&self) -> &'static [usize] {
        BUILT_IN
    }

    fn lower(&self, io: &Io<'_>) -> Result<Lowered, Error> {
        kernels::lower(self, io)
    }
}

/// Reference evaluation of a step of one direction.
struct Step<'a> {
    op: &'a Recurrent,
    inputs: usize,
    hidden: usize,
    w: &'a [f32],
    r: &'a [f32],
    bias: &'a [f32],
    peepholes: &'a [f32],
    /// The hidden state, reset by the gate r of a GRU.
    reset: Vec<f32>,
}

impl<'a> Step<'a> {
    fn new(op: &'a Recurrent, p: &rt::Recurrent, operands: &[&'a Tensor], direction: usize) -> Self {
        let [w, r, bias, peepholes] = [1, 2, 3, 4].map(|index| {
            let all = f32s(operands[index]);
            let len = all.len() / p.directions.max(1);
            &all[direction * len..][..len]
        });
        Self { op, inputs: p.inputs, hidden: p.hidden, w, r, bias, peepholes, reset: vec![0.0; p.hidden] }
    }

    fn of_input(&self, gate: usize, unit: usize, x: &[f32]) -> f32 {
        let row = gate * self.hidden + unit;
        self.bias[row] + dot(x, &self.w[row * self.inputs..][..self.inputs])
    }

    fn of_state(&self, gate: usize, unit: usize, h: &[f32]) -> f32 {
        let row = gate * self.hidden + unit;
        let bias = self.bias[self.op.cell.gates() * self.hidden + row];
        bias + dot(h, &self.r[row * self.hidden..][..self.hidden])
    }

    fn function(&self, index: usize, x: f32) -> f32 {
        self.op.functions[index].apply(if x.is_nan() { x } else { x.clamp(-self.op.clip, self.op.clip) })
    }

    fn run(&mut self, x: &[f32], h: &mut [f32], c: &mut [f32]) {
        let before = h.to_vec();
        let gate = |step: &Self, gate: usize, unit: usize| {
            step.of_input(gate, unit, x) + step.of_state(gate, unit, &before)
        };
        for unit in 0..self.hidden {
            match self.op.cell {
                Cell::Rnn => h[unit] = self.function(0, gate(self, 0, unit)),
                Cell::Gru { .. } => self.reset[unit] = self.function(0, gate(self, 1, unit)),
                Cell::Lstm { input_forget } => {
                    let peephole = |step: &Self, gate: usize, c: f32| match step.peepholes {
                        [] => 0.0,
                        peepholes => peepholes[gate * step.hidden + unit] * c,
                    };
                    let i = self.function(0, gate(self, 0, unit) + peephole(self, 0, c[unit]));
                    let f = self.function(0, gate(self, 2, unit) + peephole(self, 2, c[unit]));
                    let f = if input_forget { 1.0 - i } else { f };
                    c[unit] = f * c[unit] + i * self.function(1, gate(self, 3, unit));
                    let o = self.function(0, gate(self, 1, unit) + peephole(self, 1, c[unit]));
                    h[unit] = o * self.op.functions[2].apply(c[unit]);
                }
            }
        }
        if let Cell::Gru { linear_before_reset } = self.op.cell {
            let gates = self.reset.clone();
            self.reset.iter_mut().zip(&before).for_each(|(reset, h)| *reset *= h);
            for unit in 0..self.hidden {
                let z = self.function(0, gate(self, 0, unit));
                let state = match linear_before_reset {
                    true => gates[unit] * self.of_state(2, unit, &before),
                    false => self.of_state(2, unit, &self.reset),
                };
                let n = self.function(1, self.of_input(2, unit, x) + state);
                h[unit] = (1.0 - z) * n + z * before[unit];
            }
        }
    }
}
