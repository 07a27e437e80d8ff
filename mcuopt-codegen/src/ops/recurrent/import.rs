//! ONNX's RNN, GRU and LSTM → one operator, or one for each direction where their functions differ.

use std::ops::Range;

use mcuopt_rt::v0 as rt;
use ndarray::{ArrayD, IxDyn};

use super::{Cell, Recurrent};
use crate::builder::Builder;
use crate::error::Error;
use crate::graph::ValueId;
use crate::onnx::{self, Attribute};
use crate::ops::concat::Concat;
use crate::ops::pad::Pad;
use crate::ops::slice::Slice;
use crate::tensor::Tensor;

/// A layer → an operator, whose result is sliced; two, if the functions of the directions differ.
///
/// Sequences of known lengths are computed apart, each over its own steps, where their lengths differ.
pub fn import(node: &onnx::Node, b: &mut Builder<'_>) -> Result<Vec<ValueId>, Error> {
    let cell = match node.op_type.as_str() {
        "RNN" => Cell::Rnn,
        "GRU" => Cell::Gru { linear_before_reset: b.int("linear_before_reset", 0)? != 0 },
        _ => Cell::Lstm { input_forget: b.int("input_forget", 0)? != 0 },
    };
    let reverse: &[bool] = match b.string("direction", "forward")?.as_str() {
        "forward" => &[false],
        "reverse" => &[true],
        "bidirectional" => &[false, true],
        other => return Err(Error::invalid(format!("`{other}` is no direction")).part("attribute `direction`")),
    };
    let batch_first = b.int("layout", 0)? != 0;
    let functions = functions(b, cell, reverse.len())?;
    let clip = b.float("clip", f32::INFINITY)?;
    let clip = if clip > 0.0 { clip } else { f32::INFINITY };

    let layer = Layer::new(b, cell, reverse.len(), batch_first)?;
    let cells = matches!(cell, Cell::Lstm { .. }) && node.outputs.get(2).is_some_and(|name| !name.is_empty());
    let together = functions.windows(2).all(|pair| pair[0] == pair[1]);
    let count = reverse.len();
    let at_once = if together { count } else { 1 };
    let mut parts = Vec::new();
    for directions in (0..count).step_by(at_once).map(|first| first..first + at_once) {
        let op = Recurrent {
            cell,
            functions: functions[directions.start].clone(),
            clip,
            directions: directions.len(),
            reverse: directions.len() == 1 && reverse[directions.start],
            sequence: true,
            last: true,
            state_rows: usize::from(cells),
            stateful: false,
        };
        parts.push(layer.directions(b, &op, directions)?);
    }
    let mut results = Vec::new();
    for result in 0..if cells { 3 } else { 2 } {
        // [steps, directions, batch, hidden], and [directions, batch, hidden] of the last step.
        let axis = if result == 0 { 1 } else { 0 };
        let joined = join(b, axis, parts.iter().map(|parts| parts[result]).collect())?;
        results.push(match (batch_first, result) {
            (false, _) => joined,
            (true, 0) => b.transpose(joined, &[2, 0, 1, 3])?,
            (true, _) => b.transpose(joined, &[1, 0, 2])?,
        });
    }
    Ok(results)
}

/// The operands, with the sequences' axis in the middle.
struct Layer {
    x: ValueId,
    /// Weights, weights of the hidden state, bias, peepholes: directions first.
    constants: [ValueId; 4],
    /// Hidden and cell state to start from, directions first; neither if both are 0.
    initial: Vec<ValueId>,
    /// The number of steps of each sequence.
    lengths: Vec<usize>,
    steps: usize,
    hidden: usize,
}

impl Layer {
    fn new(b: &mut Builder<'_>, cell: Cell, directions: usize, batch_first: bool) -> Result<Self, Error> {
        let [mut x, w, r] = [b.input(0)?, b.input(1)?, b.input(2)?];
        if b.shape(x).len() != 3 {
            return Err(Error::invalid(format!("its shape {:?} has not three axes", b.shape(x))).part("input 0"));
        }
        if batch_first {
            x = b.transpose(x, &[1, 0, 2])?;
        }
        let (steps, batch) = (b.shape(x)[0], b.shape(x)[1]);
        if b.shape(x).contains(&0) {
            return Err(Error::invalid(format!("its shape {:?} has no elements", b.shape(x))).part("input 0"));
        }
        let hidden = b.shape(r).last().copied().unwrap_or(0);
        let stated = b.int("hidden_size", hidden as i64)?;
        if usize::try_from(stated) != Ok(hidden) || hidden == 0 {
            let message = format!("it is {stated}, but input 2 is {:?}", b.shape(r));
            return Err(Error::invalid(message).part("attribute `hidden_size`"));
        }
        let bias = match b.optional(3)? {
            Some(bias) => bias,
            None => zeros(b, &[directions, 2 * cell.gates() * hidden]),
        };
        let peepholes = match b.optional(7)?.filter(|_| matches!(cell, Cell::Lstm { .. })) {
            Some(peepholes) => peepholes,
            None => zeros(b, &[directions, 0]),
        };
        for (index, id, rank) in [(1, w, 3), (2, r, 3), (3, bias, 2), (7, peepholes, 2)] {
            let shape = b.shape(id);
            if shape.len() != rank || shape[0] != directions {
                let message = format!("its shape is {shape:?} for {directions} directions");
                return Err(Error::invalid(message).part(format!("input {index}")));
            }
            if b.graph.constant(id).is_none() {
                let error = Error::unsupported("it is computed at run time").instead("constant weights and bias");
                return Err(error.part(format!("input {index}")));
            }
        }
        let mut initial = Vec::new();
        let given = [b.optional(5)?, b.optional(6)?.filter(|_| matches!(cell, Cell::Lstm { .. }))];
        let is_zero = |b: &Builder<'_>, id: ValueId| {
            b.graph.constant(id).and_then(Tensor::f32s).is_some_and(|x| x.iter().all(|&x| x == 0.0))
        };
        if given.iter().flatten().any(|&id| !is_zero(b, id)) {
            let count = if matches!(cell, Cell::Lstm { .. }) { 2 } else { 1 };
            for (index, id) in given.into_iter().take(count).enumerate() {
                let shape = [directions, batch, hidden];
                let id = match id {
                    Some(id) if batch_first && b.shape(id).len() == 3 => b.transpose(id, &[1, 0, 2])?,
                    Some(id) => id,
                    None => zeros(b, &shape),
                };
                if b.shape(id) != shape {
                    let message = format!("its shape is {:?}, not {shape:?}", b.shape(id));
                    return Err(Error::invalid(message).part(format!("input {}", 5 + index)));
                }
                initial.push(id);
            }
        }
        let lengths = match b.integers(4)? {
            None => vec![steps; batch],
            Some(lengths) => {
                let valid = |&length: &i64| usize::try_from(length).ok().filter(|length| (1..=steps).contains(length));
                let valid: Option<Vec<usize>> = lengths.iter().map(valid).collect();
                valid.filter(|lengths| lengths.len() == batch).ok_or_else(|| {
                    let message = format!("{lengths:?} should be {batch} numbers from 1 to {steps}");
                    Error::invalid(message).part("input 4")
                })?
            }
        };
        Ok(Self { x, constants: [w, r, bias, peepholes], initial, lengths, steps, hidden })
    }

    /// Y `[steps, directions, batch, hidden]`, Y_h and Y_c `[directions, batch, hidden]` of some directions; the last one if
    /// `op` gives it.
    fn directions(&self, b: &mut Builder<'_>, op: &Recurrent, own: Range<usize>) -> Result<Vec<ValueId>, Error> {
        let count = own.len();
        let mut constants = Vec::new();
        for id in self.constants {
            let id = part(b, id, 0, own.clone())?;
            let shape = match *b.shape(id) {
                [_, rows, width] => vec![count * rows, width],
                ref shape => vec![shape.iter().product()],
            };
            constants.push(b.reshape(id, &shape)?);
        }
        // Sequences of one length that lie side by side run together.
        let mut groups: Vec<Range<usize>> = Vec::new();
        for (index, length) in self.lengths.iter().enumerate() {
            match groups.last_mut().filter(|group| self.lengths[group.start] == *length) {
                Some(group) => group.end = index + 1,
                None => groups.push(index..index + 1),
            }
        }
        let mut results: Vec<Vec<ValueId>> = Vec::new();
        for group in groups {
            let steps = self.lengths[group.start];
            let x = part(b, self.x, 0, 0..steps)?;
            let x = part(b, x, 1, group.clone())?;
            let mut operands = [&[x], &constants[..]].concat();
            for &id in &self.initial {
                let id = part(b, id, 0, own.clone())?;
                operands.push(part(b, id, 1, group.clone())?);
            }
            let packed = b.push(op.clone(), &operands)?;
            let y = part(b, packed, 0, 0..steps * count)?;
            let y = b.reshape(y, &[steps, count, group.len(), self.hidden])?;
            let mut parts = vec![self.padded(b, y, steps)?];
            for row in 0..1 + op.state_rows {
                parts.push(part(b, packed, 0, (steps + row) * count..(steps + row + 1) * count)?);
            }
            results.push(parts);
        }
        (0..results[0].len())
            .map(|result| {
                let axis = if result == 0 { 2 } else { 1 };
                join(b, axis, results.iter().map(|parts| parts[result]).collect())
            })
            .collect()
    }

    /// Hidden states with zeros for the steps behind a sequence's end.
    fn padded(&self, b: &mut Builder<'_>, y: ValueId, steps: usize) -> Result<ValueId, Error> {
        if steps == self.steps {
            return Ok(y);
        }
        b.push(Pad { pads: vec![[0, self.steps - steps], [0; 2], [0; 2], [0; 2]], value: 0.0 }, &[y])
    }
}

/// One behind the other along an axis.
fn join(b: &mut Builder<'_>, axis: usize, parts: Vec<ValueId>) -> Result<ValueId, Error> {
    if let [only] = parts[..] { Ok(only) } else { b.push(Concat { axis }, &parts) }
}

/// A range along an axis.
fn part(b: &mut Builder<'_>, id: ValueId, axis: usize, range: Range<usize>) -> Result<ValueId, Error> {
    let shape = b.shape(id).to_vec();
    if range == (0..shape[axis]) {
        return Ok(id);
    }
    let mut op = Slice { starts: vec![0; shape.len()], steps: vec![1; shape.len()], shape };
    (op.starts[axis], op.shape[axis]) = (range.start, range.len());
    b.push(op, &[id])
}

fn zeros(b: &mut Builder<'_>, shape: &[usize]) -> ValueId {
    b.constant(Tensor::F32(ArrayD::zeros(IxDyn(shape))))
}

/// The functions of each direction.
fn functions(b: &Builder<'_>, cell: Cell, directions: usize) -> Result<Vec<Vec<rt::Activation>>, Error> {
    let floats = |name: &'static str| match b.attribute(name) {
        None => Ok(Vec::new()),
        Some(Attribute::Floats(values)) => Ok(values.clone()),
        Some(_) => Err(Error::invalid("it should be a list of floats").part(format!("attribute `{name}`"))),
    };
    let (alphas, betas) = (floats("activation_alpha")?, floats("activation_beta")?);
    let names = match b.attribute("activations") {
        None => return Ok(vec![cell.functions().to_vec(); directions]),
        Some(Attribute::Strings(names)) => names,
        Some(_) => return Err(Error::invalid("it should be a list of strings").part("attribute `activations`")),
    };
    let count = cell.functions().len();
    if names.len() != directions * count {
        let message = format!("it names {} functions, not {}", names.len(), directions * count);
        return Err(Error::invalid(message).part("attribute `activations`"));
    }
    // Each function takes as many numbers from the lists as it needs, in order.
    let (mut alphas, mut betas) = (alphas.into_iter(), betas.into_iter());
    let mut function = |name: &String| {
        let mut alpha = |default: f32| alphas.next().unwrap_or(default);
        let mut beta = |default: f32| betas.next().unwrap_or(default);
        Ok(match name.to_ascii_lowercase().as_str() {
            "tanh" => rt::Activation::Tanh,
            "sigmoid" => rt::Activation::Sigmoid,
            "relu" => rt::Activation::Relu,
            "affine" => rt::Activation::Affine { alpha: alpha(1.0), beta: beta(0.0) },
            "leakyrelu" => rt::Activation::LeakyRelu { alpha: alpha(0.01) },
            "thresholdedrelu" => rt::Activation::ThresholdedRelu { alpha: alpha(1.0) },
            "scaledtanh" => rt::Activation::ScaledTanh { alpha: alpha(1.0), beta: beta(1.0) },
            "hardsigmoid" => rt::Activation::HardSigmoid { alpha: alpha(0.2), beta: beta(0.5) },
            "elu" => rt::Activation::Elu { alpha: alpha(1.0) },
            "softsign" => rt::Activation::Softsign,
            "softplus" => rt::Activation::Softplus,
            _ => {
                let error = Error::unsupported(format!("the function `{name}`"));
                return Err(error.instead("a function that ONNX names").part("attribute `activations`"));
            }
        })
    };
    let all: Vec<rt::Activation> = names.iter().map(&mut function).collect::<Result<_, Error>>()?;
    Ok(all.chunks(count).map(<[_]>::to_vec).collect())
}
