//! What a compiled network will cost on a target, without building for it.
//!
//! [`estimate`] says for each layer which kernel runs, what it multiplies, and how many cycles and bytes it takes.

mod board;
mod core;

pub use self::board::Board;
pub use self::core::Core;

use crate::compiled::Compiled;
use crate::emit;
use crate::graph::{Graph, Node};
use crate::ops::Layer;

/// What one layer costs.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerCost {
    /// Its name in the generated code.
    pub name: String,
    /// The ONNX operator that it stands for.
    pub operator: &'static str,
    /// The kernel of mcuopt-rt.
    pub kernel: &'static str,
    /// Why that is not the core's fast kernel; empty if it is, or if there is none.
    pub remark: &'static str,
    /// Multiply-accumulates.
    pub macs: u64,
    /// Cycles of one inference, modelled.
    pub cycles: u64,
    /// Bytes of flash for weights, biases, multipliers and tables.
    pub weight_bytes: usize,
    /// Bytes of flash for machine code that is this layer's alone, modelled.
    pub code_bytes: usize,
    /// Bytes of the output.
    pub output_bytes: usize,
}

/// What a network costs on a core.
#[derive(Clone, Debug, PartialEq)]
pub struct Estimate {
    /// The core.
    pub core: Core,
    /// Each layer, in the order of execution.
    pub layers: Vec<LayerCost>,
    /// Cycles of one inference, modelled: without wait states of the flash.
    pub cycles: u64,
    /// Multiply-accumulates of one inference.
    pub macs: u64,
    /// Bytes of RAM: the constant `RAM_BYTES` of the generated type. The stack is not in it.
    pub ram_bytes: usize,
    /// Bytes of stack that an inference takes, modelled.
    pub stack_bytes: usize,
    /// Bytes of flash for weights and the like: exact.
    pub weight_bytes: usize,
    /// Bytes of flash for machine code, modelled; what several layers share is counted once.
    pub code_bytes: usize,
    /// Both.
    pub flash_bytes: usize,
}

/// What a layer of a lowered graph costs.
pub fn layer(lowered: &Graph<Layer>, index: usize, core: Core) -> LayerCost {
    named(lowered, index, core, emit::layer_names(lowered)[index].clone())
}

/// What a compiled network costs.
pub fn estimate(compiled: &Compiled, core: Core) -> Estimate {
    let lowered = &compiled.lowered;
    let names = emit::layer_names(lowered).into_iter().enumerate();
    let layers: Vec<LayerCost> = names.map(|(index, name)| named(lowered, index, core, name)).collect();
    let weight_bytes = compiled.weight_bytes(core.arch());
    let code_bytes = layers.iter().map(|layer| layer.code_bytes).sum();
    Estimate {
        core,
        cycles: layers.iter().map(|layer| layer.cycles).sum(),
        macs: layers.iter().map(|layer| layer.macs).sum(),
        ram_bytes: compiled.plan.arena_bytes,
        stack_bytes: 0,
        weight_bytes,
        code_bytes,
        flash_bytes: weight_bytes + code_bytes,
        layers,
    }
}

fn named(lowered: &Graph<Layer>, index: usize, core: Core, name: String) -> LayerCost {
    let node = &lowered.nodes[index];
    let output = &lowered.value(node.outputs[0]).ty;
    let (kernel, remark) = match node.op.choice(core.arch()) {
        Some(choice) => (choice.name, choice.remark),
        None => (node.op.kernel.call(output.dtype).function, ""),
    };
    LayerCost {
        name,
        operator: node.op.operator,
        kernel,
        remark,
        macs: node.op.kernel.macs(),
        cycles: cycles(lowered, node, core),
        weight_bytes: node.op.weight_bytes(output.dtype, core.arch()),
        code_bytes: 0,
        output_bytes: output.bytes(),
    }
}

fn cycles(lowered: &Graph<Layer>, node: &Node<Layer>, _: Core) -> u64 {
    let outputs = lowered.value(node.outputs[0]).ty.len() as u64;
    100 + 10 * outputs + 3 * node.op.kernel.macs() / 2
}
