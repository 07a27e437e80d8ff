//! The network as a picture: layers from top to bottom, by ranks.
//!
//! The method is Sugiyama's: each node's rank is the longest path to it; an edge over several ranks gets a joint in each;
//! the order within a rank follows the mean of the neighbours in the rank before, up and down in turns; places follow in
//! the same way, as far as the distance to the neighbours in the rank allows.

use std::fmt::Write as _;

use super::html::{bytes, escaped, start};
use super::{Report, Target};
use crate::answer::grouped;

const WIDTH: f64 = 196.0;
const HEIGHT: f64 = 44.0;
const GAP_X: f64 = 22.0;
const GAP_Y: f64 = 30.0;
/// Of an edge that passes a rank.
const JOINT: f64 = 12.0;
const SWEEPS: usize = 8;

/// A node, or a joint of an edge.
#[derive(Clone, Debug)]
struct Spot {
    rank: usize,
    /// Position among `Picture::nodes`; `None` for a joint.
    node: Option<usize>,
    /// Centre.
    x: f64,
    /// Neighbours in the ranks before and behind.
    above: Vec<usize>,
    below: Vec<usize>,
}

impl Spot {
    fn half(&self) -> f64 {
        if self.node.is_some() { WIDTH / 2.0 } else { JOINT / 2.0 }
    }
}

/// Nodes with places.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    spots: Vec<Spot>,
    /// For each rank its spots, from left to right.
    ranks: Vec<Vec<usize>>,
}

impl Layout {
    /// `reads` holds for each node the nodes before it; nodes stand in topological order.
    pub(super) fn new(reads: &[Vec<usize>]) -> Self {
        let mut spots: Vec<Spot> = Vec::with_capacity(reads.len());
        for (node, sources) in reads.iter().enumerate() {
            let rank = sources.iter().map(|source| spots[*source].rank + 1).max().unwrap_or(0);
            spots.push(Spot { rank, node: Some(node), x: 0.0, above: Vec::new(), below: Vec::new() });
        }
        for (node, sources) in reads.iter().enumerate() {
            for &source in sources {
                let mut before = source;
                for rank in spots[source].rank + 1..spots[node].rank {
                    let joint = spots.len();
                    spots.push(Spot { rank, node: None, x: 0.0, above: vec![before], below: Vec::new() });
                    spots[before].below.push(joint);
                    before = joint;
                }
                spots[before].below.push(node);
                spots[node].above.push(before);
            }
        }
        let count = spots.iter().map(|spot| spot.rank + 1).max().unwrap_or(0);
        let mut ranks = vec![Vec::new(); count];
        for (index, spot) in spots.iter().enumerate() {
            ranks[spot.rank].push(index);
        }
        let mut layout = Self { spots, ranks };
        layout.order();
        layout.place();
        layout
    }

    /// Untangles edges.
    fn order(&mut self) {
        let mut best = (self.crossings(), self.ranks.clone());
        for sweep in 0..SWEEPS {
            let down = sweep % 2 == 0;
            let mut positions = self.positions();
            let mut ranks: Vec<usize> = (0..self.ranks.len()).collect();
            if !down {
                ranks.reverse();
            }
            for rank in ranks {
                let mean = |index: usize| {
                    let spot = &self.spots[index];
                    let neighbours = if down { &spot.above } else { &spot.below };
                    let sum: usize = neighbours.iter().map(|other| positions[*other]).sum();
                    if neighbours.is_empty() { positions[index] as f64 } else { sum as f64 / neighbours.len() as f64 }
                };
                let mut order: Vec<(f64, usize)> =
                    self.ranks[rank].iter().map(|index| (mean(*index), *index)).collect();
                order.sort_by(|a, b| a.0.total_cmp(&b.0));
                self.ranks[rank] = order.into_iter().map(|(_, index)| index).collect();
                for (position, index) in self.ranks[rank].iter().enumerate() {
                    positions[*index] = position;
                }
            }
            let crossings = self.crossings();
            if crossings < best.0 {
                best = (crossings, self.ranks.clone());
            }
        }
        self.ranks = best.1;
    }

    fn positions(&self) -> Vec<usize> {
        let mut positions = vec![0; self.spots.len()];
        for rank in &self.ranks {
            rank.iter().enumerate().for_each(|(position, index)| positions[*index] = position);
        }
        positions
    }

    /// Pairs of edges that cross.
    fn crossings(&self) -> usize {
        let positions = self.positions();
        let of_rank = |rank: &Vec<usize>| {
            let edges: Vec<(usize, usize)> = rank
                .iter()
                .flat_map(|from| self.spots[*from].below.iter().map(|to| (positions[*from], positions[*to])))
                .collect();
            let pairs = edges.iter().enumerate().flat_map(|(index, a)| edges[index + 1..].iter().map(move |b| (a, b)));
            pairs.filter(|(a, b)| (a.0 < b.0 && a.1 > b.1) || (a.0 > b.0 && a.1 < b.1)).count()
        };
        self.ranks.iter().map(of_rank).sum()
    }

    /// Gives each spot its place.
    fn place(&mut self) {
        for rank in 0..self.ranks.len() {
            let mut x = 0.0;
            for index in self.ranks[rank].clone() {
                self.spots[index].x = x + self.spots[index].half();
                x += 2.0 * self.spots[index].half() + GAP_X;
            }
            let shift = (x - GAP_X) / 2.0;
            self.ranks[rank].clone().into_iter().for_each(|index| self.spots[index].x -= shift);
        }
        for sweep in 0..SWEEPS {
            let down = sweep % 2 == 0;
            let mut ranks: Vec<usize> = (0..self.ranks.len()).collect();
            if !down {
                ranks.reverse();
            }
            ranks.into_iter().for_each(|rank| self.straighten(rank, down));
        }
    }

    /// Moves the spots of a rank to their neighbours' mean, as far as they do not come too near to each other.
    fn straighten(&mut self, rank: usize, down: bool) {
        let order = self.ranks[rank].clone();
        let wanted: Vec<f64> = order
            .iter()
            .map(|index| {
                let spot = &self.spots[*index];
                let neighbours = if down { &spot.above } else { &spot.below };
                let sum: f64 = neighbours.iter().map(|other| self.spots[*other].x).sum();
                if neighbours.is_empty() { spot.x } else { sum / neighbours.len() as f64 }
            })
            .collect();
        let apart =
            |left: usize, right: usize| self.spots[order[left]].half() + GAP_X + self.spots[order[right]].half();
        // As far to the right, and as far to the left, as the distances ask for; between both they hold as well.
        let (mut right, mut left) = (wanted.clone(), wanted.clone());
        for index in 1..order.len() {
            right[index] = right[index].max(right[index - 1] + apart(index - 1, index));
        }
        for index in (1..order.len()).rev() {
            left[index - 1] = left[index - 1].min(left[index] - apart(index - 1, index));
        }
        for (index, spot) in order.iter().enumerate() {
            self.spots[*spot].x = (left[index] + right[index]) / 2.0;
        }
    }

    /// The leftmost and the rightmost point of all.
    fn extent(&self) -> (f64, f64) {
        let edges = self.spots.iter().map(|spot| (spot.x - spot.half(), spot.x + spot.half()));
        edges.fold((0.0, 0.0), |(low, high): (f64, f64), (left, right)| (low.min(left), high.max(right)))
    }
}

/// The network on a core: the more cycles a layer takes, the stronger its colour.
pub(super) fn picture(report: &Report, target: &Target, anchor: &str) -> String {
    let inputs = report.inputs.len();
    let outputs: Vec<usize> = (0..report.layers.len())
        .filter(|index| {
            let is_it = |name: &str| name == report.layers[*index].name;
            report.memory.iter().any(|tenant| tenant.kind == "output" && is_it(&tenant.name))
        })
        .collect();
    let place = |read: &i64| if *read < 0 { (-1 - read) as usize } else { inputs + *read as usize };
    let mut reads: Vec<Vec<usize>> = vec![Vec::new(); inputs];
    for layer in &report.layers {
        let mut sources: Vec<usize> = layer.reads.iter().map(place).collect();
        sources.dedup();
        reads.push(sources);
    }
    reads.extend(outputs.iter().map(|layer| vec![inputs + layer]));
    let layout = Layout::new(&reads);
    let (low, high) = layout.extent();
    let width = high - low + 16.0;
    let height = layout.ranks.len() as f64 * (HEIGHT + GAP_Y) - GAP_Y + 16.0;
    let x = |spot: &Spot| spot.x - low + 8.0;
    let top = |spot: &Spot| spot.rank as f64 * (HEIGHT + GAP_Y) + 8.0;
    let mut svg = format!(
        "<svg class=network width={width:.0} height={height:.0} viewBox=\"0 0 {width:.0} {height:.0}\" role=img \
         aria-label=\"The network as a graph\">"
    );
    for spot in &layout.spots {
        for below in spot.below.iter().map(|below| &layout.spots[*below]) {
            let from = top(spot) + if spot.node.is_some() { HEIGHT } else { HEIGHT / 2.0 };
            let to = top(below) + if below.node.is_some() { 0.0 } else { HEIGHT / 2.0 };
            let middle = (from + to) / 2.0;
            let (a, b) = (x(spot), x(below));
            let _ = write!(
                svg,
                "<path class=edge d=\"M{a:.1} {from:.1}C{a:.1} {middle:.1} {b:.1} {middle:.1} {b:.1} {to:.1}\" />"
            );
        }
    }
    for (spot, node) in layout.spots.iter().filter_map(|spot| Some((spot, spot.node?))) {
        let (left, top) = (x(spot) - WIDTH / 2.0, top(spot));
        let layer = node.checked_sub(inputs).filter(|index| *index < report.layers.len());
        let (class, heat, first, second, title) = match layer {
            Some(index) => {
                let (layer, cost) = (&report.layers[index], &target.layers[index]);
                let share = cost.cycles as f64 / target.cycles.max(1) as f64;
                let title = format!(
                    "{}: {} by {}, {} multiply-accumulates, {} cycles ({:.1} %), {} of flash, output {} {:?}",
                    layer.name,
                    layer.operator,
                    cost.kernel,
                    grouped(layer.macs),
                    grouped(cost.cycles),
                    share * 100.0,
                    bytes(cost.weight_bytes),
                    layer.element,
                    layer.shape
                );
                let shape = layer.shape.iter().map(usize::to_string).collect::<Vec<_>>().join("×");
                let second = format!("{} · {shape}", layer.operator);
                // The largest layers of a network take some tenth of the time: they have most of the colour.
                ("layer", (share * 2.5).min(1.0), layer.name.clone(), second, title)
            }
            None => {
                let (kind, port) = match report.inputs.get(node) {
                    Some(port) => ("input", Some(port)),
                    None => ("output", report.outputs.get(node - inputs - report.layers.len())),
                };
                let shape = port.map(|port| port.shape.iter().map(usize::to_string).collect::<Vec<_>>().join("×"));
                let name = port.map(|port| port.name.clone()).unwrap_or_default();
                let second = format!("{kind} · {}", shape.unwrap_or_default());
                (kind, 0.0, name.clone(), second, name)
            }
        };
        let link = layer.map(|index| format!("<a href=\"#{anchor}-{index}\">"));
        let _ = write!(
            svg,
            "{}<g class=\"node {class}\" style=\"--share:{:.0}%\"><title>{}</title>\
             <rect x={left:.1} y={top:.1} width={WIDTH} height={HEIGHT} rx=8 />\
             <text class=first x={:.1} y={:.1}>{}</text><text class=second x={:.1} y={:.1}>{}</text></g>{}",
            link.as_deref().unwrap_or_default(),
            heat * 100.0,
            escaped(&title),
            left + 11.0,
            top + 18.5,
            escaped(&start(&first, 24)),
            left + 11.0,
            top + 34.5,
            escaped(&start(&second, 28)),
            if link.is_some() { "</a>" } else { "" },
        );
    }
    svg.push_str("</svg>");
    svg
}

#[cfg(test)]
mod tests {
    use super::{GAP_X, Layout};

    /// A chain stands in one column; two branches stand side by side, and meet again below the middle.
    #[test]
    fn a_diamond_is_symmetric() {
        let layout = Layout::new(&[vec![], vec![0], vec![1], vec![1], vec![2, 3], vec![4]]);
        let x: Vec<f64> = layout.spots.iter().map(|spot| spot.x).collect();
        assert!((x[0] - x[1]).abs() < 1.0 && (x[1] - x[4]).abs() < 1.0 && (x[4] - x[5]).abs() < 1.0, "{x:?}");
        assert!((x[2] + x[3] - 2.0 * x[1]).abs() < 1.0 && x[3] - x[2] >= super::WIDTH + GAP_X, "{x:?}");
    }

    /// Nothing in a rank lies over another, and edges over several ranks have a joint in each.
    #[test]
    fn nothing_overlaps() {
        let reads =
            [vec![], vec![0], vec![0], vec![0], vec![1, 2], vec![3, 4], vec![0, 5], vec![2, 6], vec![7], vec![7, 8]];
        let layout = Layout::new(&reads);
        for rank in &layout.ranks {
            for pair in rank.windows(2) {
                let [left, right] = [pair[0], pair[1]].map(|index| &layout.spots[index]);
                assert!(right.x - left.x >= left.half() + right.half() + GAP_X - 1e-6, "{rank:?}");
            }
        }
        for spot in &layout.spots {
            assert!(spot.below.iter().all(|below| layout.spots[*below].rank == spot.rank + 1));
        }
    }

    /// Two edges that cross in the order of the file do not cross in the picture.
    #[test]
    fn edges_are_untangled() {
        let layout = Layout::new(&[vec![], vec![], vec![1], vec![0], vec![2], vec![3]]);
        assert_eq!(layout.crossings(), 0);
    }
}
