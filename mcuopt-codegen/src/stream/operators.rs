//! What each operator does to the last frames of its operands.

use super::forms::{Form, Frames, Outcome, Rewriting};
use crate::error::Error;
use crate::graph::{Node, ValueId};
use crate::ops::pool::Kind;
use crate::ops::recurrent::{Recurrent, STARTS_AT, hidden_bits};
use crate::ops::{Op, Operator as _, Scales, pool::Pool, reshape::Reshape, slice::Slice};
use crate::reference::Window;

impl Rewriting<'_> {
    /// The form of a node's result, at least one of whose operands is there in its last frames.
    pub(super) fn operator(&mut self, node: &Node<Op>, operands: &[Form]) -> Result<Outcome, Error> {
        match (&node.op, operands) {
            (
                Op::Unary(_)
                | Op::Table(_)
                | Op::FakeQuantize(_)
                | Op::QuantizeLinear(_)
                | Op::DequantizeLinear(_)
                | Op::Cast(_),
                [Form::Last(x), rest @ ..],
            ) if are_same(rest) => self.keep(node, node.op.clone(), operands, *x),
            (op, _) if op.pointwise() => self.elementwise(node, operands),
            (Op::Concat(concat), [first, rest @ ..]) => match first {
                Form::Last(x) if x.axis != concat.axis && rest.iter().all(|form| fits(form, x)) => {
                    let exact = exact(operands);
                    self.keep(node, node.op.clone(), operands, Frames { exact, ..*x })
                }
                _ => Ok(Outcome::Whole),
            },
            (Op::Transpose(transpose), [Form::Last(x)]) => {
                let axis = transpose.perm.iter().position(|&from| from == x.axis).unwrap_or(x.axis);
                self.keep(node, node.op.clone(), operands, Frames { axis, ..*x })
            }
            (
                Op::Softmax(_) | Op::Hardmax(_) | Op::ArgExtreme(_) | Op::Reduce(_) | Op::InverseDeviation(_),
                [Form::Last(x)],
            ) if !works_along(&node.op, x.axis) => self.keep(node, node.op.clone(), operands, *x),
            (Op::Normalize(normalize), [Form::Last(x), rest @ ..]) if are_same(rest) => {
                // Blocks of their own are the first axes.
                let through: usize = self.source.value(node.inputs[0]).ty.shape[..=x.axis].iter().product();
                let mut op = normalize.clone();
                if x.whole == 1 || through > op.geometry.outer {
                    return Ok(Outcome::Whole);
                }
                op.geometry.outer = op.geometry.outer / x.whole * x.count;
                self.keep(node, op.into(), operands, *x)
            }
            (Op::Pad(pad), [Form::Last(x)]) if pad.pads[x.axis] == [0; 2] => {
                self.keep(node, node.op.clone(), operands, *x)
            }
            (Op::Dense(_), [Form::Last(x), weights @ ..]) if x.axis + 1 < self.rank(x.id) && are_same(weights) => {
                self.keep(node, node.op.clone(), operands, *x)
            }
            (Op::Reshape(reshape), [Form::Last(x)]) => self.reshape(node, reshape, x),
            (Op::Slice(slice), [Form::Last(x)]) => self.slice(node, slice, x),
            (Op::Conv(conv), [Form::Last(x), Form::Same(_), Form::Same(_)]) => {
                let op = |window: Window| Op::Conv(crate::ops::conv::Conv { window, ..conv.clone() });
                self.window(node, operands, x, &conv.window, Some(0.0), &op)
            }
            (Op::Pool(pool), [Form::Last(x)]) => {
                let fill = fill_of(&pool.kind);
                let op = |window: Window| Op::Pool(Pool { window, ..pool.clone() });
                if pool.round_up
                    && pool.window.output(&self.spatial(node), true) != pool.window.output(&self.spatial(node), false)
                {
                    return Ok(Outcome::Whole);
                }
                self.window(node, operands, x, &pool.window, fill, &op)
            }
            (Op::Recurrent(op), [Form::Last(x), ..]) => self.recurrent(node, op, operands, x),
            _ => Ok(Outcome::Whole),
        }
    }

    fn rank(&self, id: ValueId) -> usize {
        self.graph.value(id).ty.shape.len()
    }

    /// The spatial extents of a node's first operand over the whole window.
    fn spatial(&self, node: &Node<Op>) -> Vec<usize> {
        let shape = &self.source.value(node.inputs[0]).ty.shape;
        shape[1..shape.len() - 1].to_vec()
    }

    /// An operator that works frame by frame, and how its result lies; the number of frames stays.
    fn keep(&mut self, node: &Node<Op>, op: Op, operands: &[Form], frames: Frames) -> Result<Outcome, Error> {
        let inputs: Vec<ValueId> = operands.iter().map(id_of).collect();
        let id = self.add_for(node, op, &inputs)?;
        Ok(Outcome::Made(Form::Last(Frames { id, ..frames })))
    }

    /// Operands are aligned at their last axes, and may be 1 along any.
    fn elementwise(&mut self, node: &Node<Op>, operands: &[Form]) -> Result<Outcome, Error> {
        let shape = self.source.value(node.outputs[0]).ty.shape.clone();
        let mut found: Option<Frames> = None;
        let behind = |rank: usize, axis: usize| rank - axis;
        for form in operands {
            let Form::Last(x) = form else { continue };
            let axis = shape.len() - behind(self.rank(x.id), x.axis);
            let x = Frames { axis, ..*x };
            match found {
                Some(other) if !(other.axis == x.axis && other.count == x.count && other.whole == x.whole) => {
                    return Ok(Outcome::Whole);
                }
                Some(other) => found = Some(Frames { exact: other.exact && x.exact, ..other }),
                None => found = Some(x),
            }
        }
        let Some(frames) = found.filter(|x| shape[x.axis] == x.whole) else { return Ok(Outcome::Whole) };
        for form in operands {
            // What differs from frame to frame stays with the frames of a window, which move through it.
            let Form::Same(id) = form else { continue };
            let own = &self.graph.value(*id).ty.shape;
            let along = (own.len() + frames.axis).checked_sub(shape.len()).map_or(1, |axis| own[axis]);
            if along != 1 {
                return Ok(Outcome::Whole);
            }
        }
        self.keep(node, node.op.clone(), operands, frames)
    }

    /// The axis may move, but not be divided or joined with others.
    fn reshape(&mut self, node: &Node<Op>, reshape: &Reshape, x: &Frames) -> Result<Outcome, Error> {
        let before = |shape: &[usize], axis: usize| shape[..axis].iter().product::<usize>();
        let outer = before(&self.graph.value(x.id).ty.shape, x.axis);
        let target = &reshape.shape;
        let fits = |axis: &usize| target.get(*axis) == Some(&x.whole) && before(target, *axis) == outer;
        let Some(axis) = [x.axis].into_iter().chain(0..target.len()).find(fits) else { return Ok(Outcome::Whole) };
        let mut shape = target.clone();
        shape[axis] = x.count;
        self.keep(node, Reshape { shape }.into(), &[Form::Last(*x)], Frames { axis, ..*x })
    }

    /// What is cut off at the start was older than the last frames; what is cut off at the end delays them.
    fn slice(&mut self, node: &Node<Op>, slice: &Slice, x: &Frames) -> Result<Outcome, Error> {
        let (start, length) = (slice.starts[x.axis], slice.shape[x.axis]);
        if slice.steps[x.axis] != 1 {
            return Ok(Outcome::Whole);
        }
        let mut op = slice.clone();
        if length < x.count {
            // Some of the last frames are all that is asked for.
            let first = x.whole - x.count;
            if start < first {
                return Ok(Outcome::Whole);
            }
            op.starts[x.axis] = start - first;
            return Ok(Outcome::Made(Form::Same(self.add_for(node, op.into(), &[x.id])?)));
        }
        let delay = x.whole - (start + length);
        let source = self.history(x, x.count + delay, None)?;
        (op.starts[x.axis], op.shape[x.axis]) = (0, x.count);
        let exact = x.exact && start == 0 && delay == 0;
        let frames = Frames { whole: length, exact, ..*x };
        if op.shape == self.graph.value(source).ty.shape && op.steps.iter().all(|&step| step == 1) {
            return Ok(Outcome::Made(Form::Last(Frames { id: source, ..frames })));
        }
        let id = self.add_for(node, op.into(), &[source])?;
        Ok(Outcome::Made(Form::Last(Frames { id, ..frames })))
    }

    /// A window that slides along the axis; along the others it stays as it is.
    fn window(
        &mut self,
        node: &Node<Op>,
        operands: &[Form],
        x: &Frames,
        window: &Window,
        fill: Option<f32>,
        op: &dyn Fn(Window) -> Op,
    ) -> Result<Outcome, Error> {
        let Some(spatial) = x.axis.checked_sub(1).filter(|&axis| axis < window.kernel.len()) else {
            return Ok(Outcome::Whole);
        };
        let (extent, stride, [before, after]) = (window.extent(spatial), window.strides[spatial], window.pads[spatial]);
        if after > 0 {
            return Err(Error::unsupported(format!(
                "padding behind the last frame, [{before}, {after}] along the axis that is streamed"
            ))
            .instead("padding before the first frame alone (causal), or none (valid)"));
        }
        if before > 0 && !x.exact {
            return Err(Error::unsupported(format!(
                "padding of {before} frames behind a layer that shortens the sequence along the axis that is streamed"
            ))
            .instead("causal padding in all layers, or none behind one without"));
        }
        if before > 0 && fill.is_none() {
            return Err(Error::unsupported("a mean that leaves out the padding along the axis that is streamed")
                .instead("count_include_pad = 1, or no padding"));
        }
        if !x.count.is_multiple_of(stride) {
            return Ok(Outcome::Stride);
        }
        let (count, whole) = (x.count / stride, self.source.value(node.outputs[0]).ty.shape[x.axis]);
        if count > whole {
            return Ok(Outcome::Whole);
        }
        // From the first window of the last ones to the last frame; some frames at the end may belong to no window yet.
        let needed = x.whole + before - (whole - count) * stride;
        let source = match needed.checked_sub(x.count) {
            Some(_) => self.history(x, needed, fill.filter(|_| before > 0))?,
            None => {
                let shape = self.graph.value(x.id).ty.shape.clone();
                let mut op = Slice { starts: vec![0; shape.len()], steps: vec![1; shape.len()], shape };
                (op.starts[x.axis], op.shape[x.axis]) = (x.count - needed, needed);
                let name = format!("{}.last", self.graph.value(x.id).name);
                self.add(&node.name, op.into(), &[x.id], &name, x.id)?
            }
        };
        let mut own = window.clone();
        own.pads[spatial] = [0; 2];
        let inputs: Vec<ValueId> = [source].into_iter().chain(operands[1..].iter().map(id_of)).collect();
        let id = self.add_for(node, op(own), &inputs)?;
        if self.graph.value(id).ty.shape[x.axis] != count {
            return Err(Error::bug(format!("{count} frames became {:?}", self.graph.value(id).ty.shape)));
        }
        let exact = x.exact && before < extent && extent <= before + stride && x.whole.is_multiple_of(stride);
        Ok(Outcome::Made(Form::Last(Frames { id, count, whole, exact, ..*x })))
    }

    /// A recurrent layer keeps its state, if all frames since a reset reach it.
    fn recurrent(&mut self, node: &Node<Op>, op: &Recurrent, operands: &[Form], x: &Frames) -> Result<Outcome, Error> {
        let forward = x.axis == 0 && !op.reverse && op.directions == 1 && op.state_rows == 0;
        let free =
            if self.keeps_state { self.starts_from_inputs(node) } else { x.exact && node.inputs.len() <= STARTS_AT };
        if !forward || !free || (op.sequence && op.last) {
            return Ok(Outcome::Whole);
        }
        let inputs: Vec<ValueId> = operands.iter().take(STARTS_AT).map(id_of).collect();
        let id = self.keep_state(node, op, &inputs)?;
        Ok(Outcome::Made(match op.sequence {
            true => Form::Last(Frames { id, ..*x }),
            false => Form::Same(id),
        }))
    }

    /// Whether the state that a recurrent layer starts from is zeros, or what the network's inputs pass on.
    pub(super) fn starts_from_inputs(&self, node: &Node<Op>) -> bool {
        let producers = self.source.producers();
        node.inputs.iter().skip(STARTS_AT).all(|start| {
            let mut id = *start;
            while let Some(before) = producers[id.index()].map(|producer| &self.source.nodes[producer]) {
                match before.op {
                    Op::Reshape(_) | Op::Transpose(_) | Op::Slice(_) => id = before.inputs[0],
                    _ => return false,
                }
            }
            self.source.inputs.contains(&id)
        })
    }

    /// A recurrent layer that goes on from where its last call ended; the result without what it keeps behind it.
    pub(super) fn keep_state(&mut self, node: &Node<Op>, op: &Recurrent, inputs: &[ValueId]) -> Result<ValueId, Error> {
        // As lowering decides.
        let integers = op.scales() != Scales::Float
            && hidden_bits(self.source.value(node.outputs[0]).quantization.as_ref()).is_some()
            && self.graph.value(inputs[0]).quantization.is_some();
        if op.state_rows > 0 {
            // Its cells stand where the kernel keeps them, and those who read them find them there.
            return self.add_for(node, Recurrent { stateful: true, ..op.clone() }.into(), inputs);
        }
        let rows = op.rows_kept(integers);
        let stateful = Recurrent { stateful: true, state_rows: rows, ..op.clone() };
        let id = self.add_for(node, stateful.into(), inputs)?;
        if rows == 0 {
            return Ok(id);
        }
        let mut shape = self.graph.value(id).ty.shape.clone();
        shape[0] -= rows;
        let slice = Slice { starts: vec![0; 3], steps: vec![1; 3], shape };
        let name = self.graph.value(id).name.clone();
        self.add(&format!("{}.slice", node.name), slice.into(), &[id], &name, id)
    }
}

/// What a pool's padding holds, if that is the same as elements of the tensor.
pub(super) fn fill_of(kind: &Kind) -> Option<f32> {
    match kind {
        Kind::Max => Some(f32::MIN),
        Kind::Lp { .. } | Kind::Average { count_include_pad: true, .. } => Some(0.0),
        Kind::Average { count_include_pad: false, .. } => None,
    }
}

fn id_of(form: &Form) -> ValueId {
    match form {
        Form::Same(id) | Form::Last(Frames { id, .. }) => *id,
    }
}

/// Whether an operator with axes of its own looks from one position to another along an axis.
fn works_along(op: &Op, axis: usize) -> bool {
    match op {
        Op::Softmax(op) => op.axis == axis,
        Op::Hardmax(op) => op.axis == axis,
        Op::ArgExtreme(op) => op.axis == axis,
        Op::Reduce(op) => op.axes.contains(&axis),
        Op::InverseDeviation(op) => op.axis <= axis,
        _ => true,
    }
}

fn are_same(operands: &[Form]) -> bool {
    operands.iter().all(|form| matches!(form, Form::Same(_)))
}

/// Whether a form has the same frames as another.
fn fits(form: &Form, x: &Frames) -> bool {
    matches!(form, Form::Last(y) if y.axis == x.axis && y.count == x.count && y.whole == x.whole)
}

fn exact(operands: &[Form]) -> bool {
    operands.iter().all(|form| matches!(form, Form::Last(x) if x.exact))
}
