//! Which layers are compiled for speed, and which for size.

use mcuopt_rt::v0::Prefer;

use crate::graph::Graph;
use crate::ops::Layer;
use crate::options::Optimize;

/// Layers with fewer of all multiply-accumulates than one in so many share one copy of their kernel when speed and
/// flash are balanced.
const MINOR_SHARE: u64 = 25;

/// Sets [`Layer::prefer`] of every layer.
pub fn prefer(graph: &mut Graph<Layer>, optimize: Optimize) {
    let total: u64 = graph.nodes.iter().map(|node| node.op.kernel.macs()).sum();
    for node in &mut graph.nodes {
        let macs = node.op.kernel.macs();
        let major = macs > 0 && macs * MINOR_SHARE >= total;
        node.op.prefer = match optimize {
            Optimize::Speed => Prefer::Speed,
            Optimize::Balanced if major => Prefer::Speed,
            Optimize::Balanced | Optimize::Size => Prefer::Size,
        };
    }
}
