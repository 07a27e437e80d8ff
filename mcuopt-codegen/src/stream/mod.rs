//! From a network over a window of frames to one that takes the new frames alone and remembers the rest.
//!
//! The stage stands behind the assignment of quantizations, so that both networks have the same ones and their outputs are
//! equal bit for bit. [`stream`] follows an axis of the input through the graph. A value along it becomes its *last*
//! frames: as many as a call brings, divided by the strides before. What an operator does to them is one of these:
//!
//! - It works frame by frame: it stays as it is, on fewer frames.
//! - It looks back, as convolutions and pools do: it gets a [`History`](crate::ops::history::History) of the frames that
//!   its last windows span, and loses its padding.
//! - It has a state, as a recurrent layer has: it keeps it.
//! - It needs all frames, as a mean over time or a dense layer behind a Flatten does, or this stage does not know it: it
//!   gets a history of the whole window, and runs as before, like everything behind it.
//!
//! What a history holds before the first frame makes the padding of causal layers, so that after a reset a network of
//! causal and recurrent layers computes what it would over the whole sequence. Layers without padding see a full window
//! after as many frames as it has; a recurrent layer or padding behind such a layer has no exact counterpart, as the
//! frames before the window is full are not zeros there. `Frames::exact` keeps track.
//!
//! [`stateful`] leaves the input as long as it is, and lets recurrent layers and causal convolutions go on from call to
//! call.

mod forms;
mod operators;
mod stateful;

use crate::error::{Error, Errors};
use crate::graph::{Graph, ValueId};
use crate::onnx::{self, Dim};
use crate::ops::Op;
use forms::Rewriting;

pub use stateful::stateful;

/// The axis of each input along which new frames come.
pub type Axes = Vec<(ValueId, usize)>;

/// A network that takes new frames alone.
pub struct Streamed {
    /// The network.
    pub graph: Graph<Op>,
    /// Frames of the window.
    pub window: usize,
    /// New frames of a call.
    pub frames: usize,
}

/// The axis that the user names: by its name in the file, in all inputs that have it, or by its position in the first
/// input.
pub fn axes(model: &onnx::Model, graph: &Graph<Op>, name: &str) -> Result<Axes, Error> {
    let part = "option `stream`";
    let mut names = Vec::new();
    let mut found = Vec::new();
    for &input in &graph.inputs {
        let info = model.graph.inputs.iter().find(|info| info.name == graph.value(input).name);
        for (axis, dim) in info.and_then(|info| info.shape.as_ref()).into_iter().flatten().enumerate() {
            if let Dim::Symbolic(own) = dim {
                names.push(own.clone());
                found.extend((own == name).then_some((input, axis)));
            }
        }
    }
    if !found.is_empty() {
        return Ok(found);
    }
    let first = graph.inputs.first().copied().ok_or_else(|| Error::options("the network has no input").part(part))?;
    let rank = graph.value(first).ty.shape.len();
    match name.parse::<usize>() {
        Ok(axis) if axis < rank => Ok(vec![(first, axis)]),
        Ok(_) => Err(Error::options(format!("the first input has {rank} axes, counted from 0")).part(part)),
        Err(_) if names.is_empty() => {
            let message = format!("no axis of an input has a name in the file; say its position, 0 to {}", rank - 1);
            Err(Error::options(message).part(part))
        }
        Err(_) => {
            names.sort_unstable();
            names.dedup();
            Err(Error::options(format!("no axis is called `{name}`; there are: {}", names.join(", "))).part(part))
        }
    }
}

/// Rewrites a network with quantizations so that each call takes `frames` new frames along the axes, or as few as the
/// strides allow. With `keeps_state`, recurrent layers keep their state even where the frames before the first full window
/// reach them.
pub fn stream(graph: &Graph<Op>, axes: &Axes, frames: Option<usize>, keeps_state: bool) -> Result<Streamed, Errors> {
    let mut windows: Vec<usize> = axes.iter().map(|(id, axis)| graph.value(*id).ty.shape[*axis]).collect();
    windows.dedup();
    let [window] = windows[..] else {
        return Err(Error::options("the inputs differ in their number of frames").part("option `stream`").into());
    };
    if let Some(frames) = frames.filter(|frames| !(1..=window).contains(frames)) {
        let error = Error::options(format!("{frames} frames of a window of {window}"));
        return Err(error.part("option `stream_frames`").into());
    }
    let rewrite = |frames: usize| Rewriting::new(graph, axes, frames, keeps_state).run();
    for count in frames.map_or(1..=window, |frames| frames..=frames) {
        match rewrite(count)? {
            Some(graph) => return Ok(Streamed { graph, window, frames: count }),
            None => continue,
        }
    }
    let works = (1..=window).find(|&count| matches!(rewrite(count), Ok(Some(_))));
    let message = match works {
        Some(count) => {
            format!("the strides along the axis divide no less than {count} frames; take a multiple of {count}")
        }
        None => format!("the strides along the axis divide no number of frames up to the window's {window}"),
    };
    Err(Error::options(message).part("option `stream_frames`").into())
}
