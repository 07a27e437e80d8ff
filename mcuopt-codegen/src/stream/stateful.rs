//! Networks that go on from call to call, over as many frames as their input has.

use super::forms::{Form, Frames, Rewriting};
use super::operators::fill_of;
use crate::error::{Error, Errors};
use crate::graph::{Graph, Node, ValueId};
use crate::ops::pool::Pool;
use crate::ops::recurrent::STARTS_AT;
use crate::ops::{Op, conv::Conv};
use crate::reference::Window;

/// Lets recurrent layers keep their state, instead of one that inputs of the network pass on, which disappear; and convolutions and pools with padding before the first frame alone, along one
/// axis, the frames that the padding stands for.
///
/// # Errors
/// If a recurrent layer cannot go on (backwards, or from a state that the file gives), a stride does not divide the frames
/// of a call, or there is nothing that keeps anything.
pub fn stateful(source: &Graph<Op>) -> Result<Graph<Op>, Errors> {
    let axes = Vec::new();
    let mut rewriting = Rewriting::new(source, &axes, 0, true);
    let mut errors = Vec::new();
    let mut found = false;
    rewriting.start();
    for node in &source.nodes {
        match rewriting.go_on(node) {
            Ok(kept) => found |= kept,
            Err(error) => {
                errors.push(error.at_node(&node.name, node.op.name()));
                rewriting.pass(node);
            }
        }
    }
    Errors::check(errors, ())?;
    if !found {
        let error =
            Error::options("nothing in the network keeps a state: there is no recurrent layer and no causal one");
        return Err(error.part("option `stateful`").into());
    }
    rewriting.finish()
}

impl Rewriting<'_> {
    /// Rewrites a node; whether it keeps something.
    fn go_on(&mut self, node: &Node<Op>) -> Result<bool, Error> {
        let made = match &node.op {
            Op::Recurrent(op) => {
                if op.reverse || op.directions > 1 {
                    return Err(Error::unsupported("a backward layer that goes on from call to call")
                        .instead("a forward layer, or a network without `stateful`"));
                }
                if !self.starts_from_inputs(node) {
                    return Err(Error::unsupported("a state to start from beside the one that is kept")
                        .instead("a layer that starts from zeros, or from inputs of the network"));
                }
                let mut inputs = self.inputs(node);
                inputs.truncate(STARTS_AT);
                Some(self.keep_state(node, op, &inputs)?)
            }
            Op::Conv(conv) => {
                self.causal(node, &conv.window, Some(0.0), &|window| Conv { window, ..conv.clone() }.into())?
            }
            Op::Pool(pool) => {
                self.causal(node, &pool.window, fill_of(&pool.kind), &|window| Pool { window, ..pool.clone() }.into())?
            }
            _ => None,
        };
        match made {
            Some(id) => self.set(node.outputs[0], Form::Same(id)),
            None => self.pass(node),
        }
        Ok(made.is_some())
    }

    /// A window with padding before the first frame alone along one axis, with a history instead.
    fn causal(
        &mut self,
        node: &Node<Op>,
        window: &Window,
        fill: Option<f32>,
        op: &dyn Fn(Window) -> Op,
    ) -> Result<Option<ValueId>, Error> {
        let causal: Vec<usize> =
            (0..window.pads.len()).filter(|&axis| window.pads[axis][0] > 0 && window.pads[axis][1] == 0).collect();
        let [spatial] = causal[..] else {
            return match causal.len() {
                0 => Ok(None),
                _ => Err(Error::unsupported("padding before the first element alone along several axes")
                    .instead("the axis named with `stream`")),
            };
        };
        let axis = spatial + 1;
        let (stride, extent, before) = (window.strides[spatial], window.extent(spatial), window.pads[spatial][0]);
        let frames = self.source.value(node.inputs[0]).ty.shape[axis];
        if !frames.is_multiple_of(stride) {
            return Err(Error::unsupported(format!("{frames} frames in steps of {stride}"))
                .instead(format!("a multiple of {stride} frames")));
        }
        if fill.is_none() || before >= extent || extent > before + stride {
            let least = extent.saturating_sub(stride);
            return Err(Error::unsupported(format!("padding of {before} frames, which the layer does not span"))
                .instead(format!("{least} to {} frames, which a mean counts", extent - 1)));
        }
        let inputs = self.inputs(node);
        let x = Frames { id: inputs[0], axis, count: frames, whole: frames, exact: true };
        let source = self.history(&x, frames + before, fill)?;
        let mut own = window.clone();
        own.pads[spatial] = [0; 2];
        let inputs = [&[source], &inputs[1..]].concat();
        self.add_for(node, op(own), &inputs).map(Some)
    }
}
