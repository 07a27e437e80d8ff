//! The kernels of recurrent layers and their constants.

use mcuopt_rt::v0 as rt;
use proc_macro2::TokenStream;
use quote::quote;

use super::{Cell, Recurrent, hidden_bits};
use crate::call::{Call, Data, Literal, struct_literals};
use crate::error::Error;
use crate::graph::{Value, Width};
use crate::ops::linear::{self, Channel};
use crate::ops::{Io, Lowered, Routine, f32s, f32s_mut};
use crate::tensor::{DType, Tensor};

struct_literals! {
    Recurrent { steps, batch, inputs, hidden, directions, reverse, sequence, last, state, stateful }
    GatesS8 { input_shift, hidden_shift, hidden_bits, clip }
    CellsS8 { bits, peephole_bits, input_forget }
}

pub(super) fn lower(op: &Recurrent, io: &Io<'_>) -> Result<Lowered, Error> {
    let [x, w, r, bias, peepholes, initial @ ..] = &io.inputs[..] else { return Err(Error::bug("missing operands")) };
    let hidden = r.ty.shape[1];
    let geometry = op.geometry(&x.ty.shape, hidden);
    let bias = linear::constant_f32s(bias)?;
    let rows = op.cell.gates() * hidden;
    // GRUs add the second bias of their candidate behind a multiplication.
    let apart = if matches!(op.cell, Cell::Gru { .. }) { 2 * hidden } else { rows };
    let directions = || bias.chunks_exact(2 * rows);
    let joined = |bias: &[f32]| -> Vec<f32> {
        (0..rows).map(|row| bias[row] + if row < apart { bias[rows + row] } else { 0.0 }).collect()
    };
    if io.output.ty.dtype == DType::F32 {
        return Ok(RecurrentF32 {
            geometry,
            cell: op.cell,
            functions: op.functions.clone(),
            clip: op.clip,
            from: !initial.is_empty(),
            w: linear::constant_f32s(w)?.to_vec(),
            r: linear::constant_f32s(r)?.to_vec(),
            bias: directions().flat_map(|bias| [&joined(bias), &bias[rows + apart..]].concat()).collect(),
            peepholes: linear::constant_f32s(peepholes)?.to_vec(),
        }
        .into());
    }
    if !initial.is_empty() {
        return Err(Error::bug("an int8 layer starts from zeros"));
    }
    let input_bias: Vec<f32> = directions().flat_map(joined).collect();
    let inputs = Side::new(w, &input_bias, linear::scale_of(x)?)?;
    let spread: Vec<f32> =
        directions().flat_map(|bias| (0..rows).map(|row| if row < apart { 0.0 } else { bias[rows + row] })).collect();
    let hidden_bits = hidden_bits(io.output.quantization.as_ref());
    let hidden_bits = hidden_bits.ok_or_else(|| Error::bug("hidden states have another scale"))?;
    let state = Side::new(r, &spread, (1.0 / (1u32 << hidden_bits) as f32, 0))?;
    let one = f64::from(1u32 << rt::SUM_BITS);
    let gates = rt::GatesS8 {
        input_shift: inputs.shift,
        hidden_shift: state.shift,
        hidden_bits,
        // Casts saturate, so that ∞ is the largest number.
        clip: (f64::from(op.clip) * one).round() as i32,
    };
    let Side { weights: w, bias, multipliers: w_multipliers, .. } = inputs;
    let Side { weights: r, bias: r_bias, multipliers: r_multipliers, .. } = state;
    Ok(match op.cell {
        Cell::Rnn => RnnS8 { geometry, gates, w, bias, w_multipliers, r, r_multipliers }.into(),
        Cell::Gru { linear_before_reset } => {
            let r_bias = if r_bias.iter().all(|&bias| bias == 0) { Vec::new() } else { r_bias };
            GruS8 { geometry, linear_before_reset, gates, w, bias, w_multipliers, r, r_bias, r_multipliers }.into()
        }
        Cell::Lstm { input_forget } => {
            let peepholes = linear::constant_f32s(peepholes)?;
            let peephole_bits = fraction_bits(peepholes.iter().fold(0.0, |max: f32, p| max.max(p.abs())));
            let scale = f64::from(1u32 << peephole_bits);
            let peepholes = peepholes.iter().map(|&p| (f64::from(p) * scale).round() as i16).collect();
            let cells = rt::CellsS8 { bits: cell_bits(io), peephole_bits, input_forget };
            LstmS8 { geometry, gates, cells, w, bias, w_multipliers, r, r_multipliers, peepholes }.into()
        }
    })
}

/// The most fraction bits, 6 to 15, with which int16 reaches to `largest`.
fn fraction_bits(largest: f32) -> u32 {
    (6..15).rev().find(|&bits| largest * (1u32 << bits) as f32 <= 32767.0).unwrap_or(6)
}

/// The fraction bits of an LSTM's cells: they reach to twice what calibration has seen, or to ±8 where it has seen
/// nothing.
fn cell_bits(io: &Io<'_>) -> u32 {
    let seen = io.inner.first().and_then(|cells| cells.quantization.as_ref()?.single());
    let largest = seen.map_or(4.0, |(scale, zero_point)| scale * (128 + zero_point.abs()) as f32);
    fraction_bits(2.0 * largest)
}

/// One of the two products of all gates in int8.
struct Side {
    weights: Vec<i8>,
    bias: Vec<i32>,
    multipliers: Vec<i32>,
    shift: u32,
}

impl Side {
    /// Each row of weights gets a scale; the sums become multiples of `2^-SUM_BITS`.
    fn new(weights: &Value, bias: &[f32], (x_scale, x_zero_point): (f32, i32)) -> Result<Self, Error> {
        let elements = linear::constant_f32s(weights)?;
        let row = elements.len() / bias.len().max(1);
        let mut channels = Vec::with_capacity(bias.len());
        for (index, &b) in bias.iter().enumerate() {
            let w = &elements[index * row..][..row];
            let scale = linear::weight_scale(weights, index, w, b, (x_scale, Width::Int8));
            channels.push(Channel::new(w, b, (scale, Width::Int8), (x_scale, x_zero_point, Width::Int8))?);
        }
        let one = f64::from(1u32 << rt::SUM_BITS);
        let factor = |channel: &Channel| f64::from(x_scale) * f64::from(channel.scale) * one;
        let factors: Vec<f64> = channels.iter().map(factor).collect();
        let shift = rt::left_shift_for(factors.iter().copied().fold(0.0, f64::max));
        Ok(Self {
            weights: channels.iter().flat_map(|channel| channel.weights.iter().copied()).collect(),
            bias: channels.iter().map(|channel| channel.bias).collect(),
            multipliers: factors.iter().map(|&factor| rt::multiplier(factor, shift)).collect(),
            shift,
        })
    }
}

fn macs(p: &rt::Recurrent, gates: usize) -> u64 {
    (p.directions * p.steps * p.batch * gates * p.hidden * (p.inputs + p.hidden)) as u64
}

fn initial(p: &rt::Recurrent) -> Option<f32> {
    p.stateful.then_some(0.0)
}

impl Literal for rt::Activation {
    fn ty(&self) -> TokenStream {
        quote!(rt::Activation)
    }

    /// A function, so that only what it needs is linked.
    fn literal(&self) -> TokenStream {
        let two = |alpha: &f32, beta: &f32| (alpha.literal(), beta.literal());
        let variant = match self {
            rt::Activation::Tanh => return quote!(rt::math::tanh),
            rt::Activation::Sigmoid => return quote!(rt::math::sigmoid),
            rt::Activation::Relu => quote!(Relu),
            rt::Activation::Softsign => quote!(Softsign),
            rt::Activation::Softplus => quote!(Softplus),
            rt::Activation::Affine { alpha, beta } => {
                let (alpha, beta) = two(alpha, beta);
                quote!(Affine { alpha: #alpha, beta: #beta })
            }
            rt::Activation::ScaledTanh { alpha, beta } => {
                let (alpha, beta) = two(alpha, beta);
                quote!(ScaledTanh { alpha: #alpha, beta: #beta })
            }
            rt::Activation::HardSigmoid { alpha, beta } => {
                let (alpha, beta) = two(alpha, beta);
                quote!(HardSigmoid { alpha: #alpha, beta: #beta })
            }
            rt::Activation::LeakyRelu { alpha } => {
                let alpha = alpha.literal();
                quote!(LeakyRelu { alpha: #alpha })
            }
            rt::Activation::ThresholdedRelu { alpha } => {
                let alpha = alpha.literal();
                quote!(ThresholdedRelu { alpha: #alpha })
            }
            rt::Activation::Elu { alpha } => {
                let alpha = alpha.literal();
                quote!(Elu { alpha: #alpha })
            }
        };
        quote!(|x| rt::Activation::#variant.apply(x))
    }
}

/// `rnn_f32`, `gru_f32` or `lstm_f32` with its constants, or their `_from` twins.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct RecurrentF32 {
    pub geometry: rt::Recurrent,
    pub cell: Cell,
    pub functions: Vec<rt::Activation>,
    pub clip: f32,
    /// Whether the state to start from is an operand.
    pub from: bool,
    pub w: Vec<f32>,
    pub r: Vec<f32>,
    /// For each direction; of a GRU, with the second bias of the candidate behind.
    pub bias: Vec<f32>,
    pub peepholes: Vec<f32>,
}

impl Routine for RecurrentF32 {
    fn call(&self, _: DType) -> Call {
        let function = match (self.cell, self.from) {
            (Cell::Rnn, false) => "rnn_f32",
            (Cell::Rnn, true) => "rnn_f32_from",
            (Cell::Gru { .. }, false) => "gru_f32",
            (Cell::Gru { .. }, true) => "gru_f32_from",
            (Cell::Lstm { .. }, false) => "lstm_f32",
            (Cell::Lstm { .. }, true) => "lstm_f32_from",
        };
        let mut call = Call::new(function).params(&self.geometry);
        match self.cell {
            Cell::Rnn => {}
            Cell::Gru { linear_before_reset: flag } | Cell::Lstm { input_forget: flag } => call = call.value(flag),
        }
        call = call.value(self.clip);
        for function in &self.functions {
            call = call.value(*function);
        }
        call = call
            .array("_W", Data::F32(self.w.clone()))
            .array("_R", Data::F32(self.r.clone()))
            .array("_BIAS", Data::F32(self.bias.clone()));
        if matches!(self.cell, Cell::Lstm { .. }) {
            call = call.array("_PEEPHOLES", Data::F32(self.peepholes.clone()));
        }
        call.scratch()
    }

    fn run(&self, x: &[&Tensor], y: &mut Tensor) {
        let function = |index: usize| {
            let function = self.functions[index];
            move |x: f32| function.apply(x)
        };
        let Self { geometry: p, clip, w, r, bias, peepholes, .. } = self;
        let mut scratch = vec![0; self.scratch_bytes() / 4];
        let (scratch, y) = (&mut scratch[..], f32s_mut(y));
        let start = |index: usize| f32s(x[1 + index]);
        let (clip, x) = (*clip, f32s(x[0]));
        match (self.cell, self.from) {
            (Cell::Rnn, false) => rt::rnn_f32(p, clip, function(0), w, r, bias, x, y, scratch),
            (Cell::Rnn, true) => rt::rnn_f32_from(p, clip, function(0), w, r, bias, x, start(0), y, scratch),
            (Cell::Gru { linear_before_reset }, from) => {
                let (f, g) = (function(0), function(1));
                match from {
                    false => rt::gru_f32(p, linear_before_reset, clip, f, g, w, r, bias, x, y, scratch),
                    true => rt::gru_f32_from(p, linear_before_reset, clip, f, g, w, r, bias, x, start(0), y, scratch),
                }
            }
            (Cell::Lstm { input_forget }, from) => {
                let (f, g, h) = (function(0), function(1), function(2));
                match from {
                    false => rt::lstm_f32(p, input_forget, clip, f, g, h, w, r, bias, peepholes, x, y, scratch),
                    true => {
                        let (h0, c0) = (start(0), start(1));
                        rt::lstm_f32_from(
                            p, input_forget, clip, f, g, h, w, r, bias, peepholes, x, h0, c0, y, scratch,
                        );
                    }
                }
            }
        }
    }

    fn scratch_bytes(&self) -> usize {
        4 * match self.cell {
            Cell::Rnn => self.geometry.rnn_f32_words(),
            Cell::Gru { .. } => self.geometry.gru_f32_words(),
            Cell::Lstm { .. } => self.geometry.lstm_f32_words(),
        }
    }

    fn macs(&self) -> u64 {
        macs(&self.geometry, self.cell.gates())
    }

    fn initial(&self) -> Option<f32> {
        initial(&self.geometry)
    }
}

routine! {
    /// `rnn_s8` with its constants.
    pub struct RnnS8 {
        params "" geometry: rt::Recurrent,
        params "_GATES" gates: rt::GatesS8,
        array "_W" w: Vec<i8>,
        array "_BIAS" bias: Vec<i32>,
        array "_W_MULTIPLIERS" w_multipliers: Vec<i32>,
        array "_R" r: Vec<i8>,
        array "_R_MULTIPLIERS" r_multipliers: Vec<i32>,
    }
    fn rnn_s8(i8) -> i8;
    scratch |kernel| 4 * kernel.geometry.rnn_s8_words();
    macs |kernel| macs(&kernel.geometry, 1);
    initial |kernel| initial(&kernel.geometry)
}

routine! {
    /// `gru_s8` with its constants.
    pub struct GruS8 {
        params "" geometry: rt::Recurrent,
        value linear_before_reset: bool,
        params "_GATES" gates: rt::GatesS8,
        array "_W" w: Vec<i8>,
        array "_BIAS" bias: Vec<i32>,
        array "_W_MULTIPLIERS" w_multipliers: Vec<i32>,
        array "_R" r: Vec<i8>,
        array "_R_BIAS" r_bias: Vec<i32>,
        array "_R_MULTIPLIERS" r_multipliers: Vec<i32>,
    }
    fn gru_s8(i8) -> i8;
    scratch |kernel| 4 * kernel.geometry.gru_s8_words();
    macs |kernel| macs(&kernel.geometry, 3);
    initial |kernel| initial(&kernel.geometry)
}

routine! {
    /// `lstm_s8` with its constants.
    pub struct LstmS8 {
        params "" geometry: rt::Recurrent,
        params "_GATES" gates: rt::GatesS8,
        params "_CELLS" cells: rt::CellsS8,
        array "_W" w: Vec<i8>,
        array "_BIAS" bias: Vec<i32>,
        array "_W_MULTIPLIERS" w_multipliers: Vec<i32>,
        array "_R" r: Vec<i8>,
        array "_R_MULTIPLIERS" r_multipliers: Vec<i32>,
        array "_PEEPHOLES" peepholes: Vec<i16>,
    }
    fn lstm_s8(i8) -> i8;
    scratch |kernel| 4 * kernel.geometry.lstm_s8_words();
    macs |kernel| macs(&kernel.geometry, 4);
    initial |kernel| initial(&kernel.geometry)
}
