//! What a compiled network will cost on a target, without building for it.
//!
//! [`estimate`] says for each layer which kernel runs, what it multiplies, and how many cycles and bytes it takes.
//!
//! Cycles are those of memory without wait states; flash with wait states adds 20 to 40 % on many chips. On the Cortex-M4
//! int8 networks come within a few percent of what is counted in QEMU with a cycle model of its manual's table, as their
//! loops are assembly. Layers in float32, and all layers on the Cortex-M3, M0+ and RISC-V, are what the compiler makes of
//! each shape, and of how many there are: the reference models come within 15 % in float32, mostly within 25 % on the
//! other cores; other float32 networks may be off by 40 %, and ones of less than 100,000 cycles, which are calls more
//! than loops, by 60 %. For the Cortex-M7, M33 and M55 no manual says how long instructions take: figures are those of
//! the Cortex-M4, divided by how much faster these cores run CoreMark. Bytes of code are those of firmware that is built
//! for speed, within 25 % in int8; in float32 they may be off by half and more, where LLVM unrolls a layer's loops.

mod board;
mod coefficients;
mod core;
mod work;

pub use self::board::Board;
pub use self::core::Core;
pub use self::work::Work;

use crate::compiled::Compiled;
use crate::emit;
use crate::graph::Graph;
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
    /// Bytes of flash for machine code that is this layer's alone, modelled: what layers share is in none of them.
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
    /// Bytes of stack that an inference takes, roughly: interrupts and the caller need theirs besides.
    pub stack_bytes: usize,
    /// Bytes of flash for weights and the like: exact.
    pub weight_bytes: usize,
    /// Bytes of flash for machine code, modelled; what several layers share is counted once.
    pub code_bytes: usize,
    /// Both.
    pub flash_bytes: usize,
}

/// What each layer of a lowered graph costs, in the order of execution.
pub fn layers(lowered: &Graph<Layer>, core: Core) -> Vec<LayerCost> {
    costs(lowered, core, &Work::all(lowered, core.arch()))
}

fn costs(lowered: &Graph<Layer>, core: Core, works: &[Work]) -> Vec<LayerCost> {
    let names = emit::layer_names(lowered).into_iter().zip(works).enumerate();
    names.map(|(index, (name, work))| named(lowered, index, core, name, work)).collect()
}

/// What a compiled network costs.
pub fn estimate(compiled: &Compiled, core: Core) -> Estimate {
    let works = Work::all(&compiled.lowered, core.arch());
    let layers = costs(&compiled.lowered, core, &works);
    let weight_bytes = compiled.weight_bytes(core.arch());
    let own_code = layers.iter().map(|layer| layer.code_bytes).sum::<usize>();
    let code_bytes = coefficients::shared_code(works.iter(), core) + own_code;
    Estimate {
        core,
        cycles: layers.iter().map(|layer| layer.cycles).sum(),
        macs: layers.iter().map(|layer| layer.macs).sum(),
        ram_bytes: compiled.plan.arena_bytes,
        stack_bytes: stack_bytes(&layers),
        weight_bytes,
        code_bytes,
        flash_bytes: weight_bytes + code_bytes,
        layers,
    }
}

/// What the deepest kernel takes, as painted stacks of emulated firmware have it; loops that are inlined into the
/// network's own function leave some variables each in its frame.
fn stack_bytes(layers: &[LayerCost]) -> usize {
    let deepest = |layer: &LayerCost| match layer.kernel.split_once('_') {
        Some(("depthwise", kernel)) if kernel.ends_with("_dsp") => 760,
        Some(("conv2d", kernel)) if kernel.ends_with("_dsp") || kernel.ends_with("_winograd") => 700,
        Some(("dense", kernel)) if kernel.ends_with("_dsp") => 580,
        _ => 150,
    };
    let is_inlined = |layer: &&LayerCost| matches!(layer.kernel, "conv2d_f32" | "depthwise_f32" | "conv2d_s8");
    let inlined = layers.iter().filter(is_inlined).count();
    layers.iter().map(deepest).max().unwrap_or(0) + 50 * inlined
}

fn named(lowered: &Graph<Layer>, index: usize, core: Core, name: String, work: &Work) -> LayerCost {
    let node = &lowered.nodes[index];
    let output = &lowered.value(node.outputs[0]).ty;
    let (kernel, remark) = match node.op.choice(core.arch()) {
        Some(choice) => (choice.name, choice.remark),
        None => (work::function(lowered, node), ""),
    };
    LayerCost {
        name,
        operator: node.op.operator,
        kernel,
        remark,
        macs: node.op.kernel.macs(),
        cycles: coefficients::cycles(work, core),
        weight_bytes: node.op.weight_bytes(output.dtype, core.arch()),
        code_bytes: coefficients::own_code(work, core),
        output_bytes: output.bytes(),
    }
}
