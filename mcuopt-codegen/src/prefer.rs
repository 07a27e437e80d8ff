//! Which layers are compiled for speed, and which for size.

use mcuopt_rt::v0::{Arch, Prefer};

use crate::compiled::weight_bytes;
use crate::error::Error;
use crate::graph::Graph;
use crate::ops::Layer;
use crate::options::{Input, Optimize, Options};
use crate::plan::{self, Plan};

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

/// Gives layers that are compiled for speed the kernels that are faster at the price of memory, [`Prefer::Fastest`], and
/// returns the plan with them.
///
/// A layer gets its kernel where the arena does not grow, or stays within `max_ram`, and the weights stay within
/// `max_flash`. Those with most to compute come first.
pub fn spend_memory(graph: &mut Graph<Layer>, plan: Plan, options: &Options) -> Result<Plan, Error> {
    if options.optimize != Optimize::Speed {
        return Ok(plan);
    }
    let most_ram = options.max_ram.unwrap_or(0).max(plan.arena_bytes);
    let most_flash = options.max_flash.unwrap_or(usize::MAX);
    let gains = |layer: &Layer| {
        let name = |prefer: Prefer, arch: Arch| layer.kernel.choice(prefer, arch).map(|choice| choice.name);
        Arch::ALL.iter().any(|arch| name(Prefer::Speed, *arch) != name(Prefer::Fastest, *arch))
    };
    let mut candidates: Vec<usize> = (0..graph.nodes.len()).filter(|index| gains(&graph.nodes[*index].op)).collect();
    candidates.sort_by_key(|index| std::cmp::Reverse(graph.nodes[*index].op.kernel.macs()));
    if candidates.is_empty() {
        return Ok(plan);
    }
    let before: Vec<Prefer> = graph.nodes.iter().map(|node| node.op.prefer).collect();
    let fits = |graph: &Graph<Layer>| -> Result<Option<Plan>, Error> {
        let tried = plan::plan(graph, options.input == Input::Borrowed)?;
        let flash = Arch::ALL.iter().all(|arch| weight_bytes(graph, *arch) <= most_flash);
        Ok((tried.arena_bytes <= most_ram && flash).then_some(tried))
    };
    // Often there is memory for all of them; planning for each alone takes its time in large networks.
    candidates.iter().for_each(|index| graph.nodes[*index].op.prefer = Prefer::Fastest);
    if let Some(all) = fits(graph)? {
        return Ok(all);
    }
    graph.nodes.iter_mut().zip(before).for_each(|(node, prefer)| node.op.prefer = prefer);
    let mut best = plan;
    for index in candidates {
        let before = std::mem::replace(&mut graph.nodes[index].op.prefer, Prefer::Fastest);
        match fits(graph)? {
            Some(tried) => best = tried,
            None => graph.nodes[index].op.prefer = before,
        }
    }
    Ok(best)
}
