//! What each layer alone costs in accuracy, and what it would cost in cycles and flash to spare it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::Progress;
use super::measure::{Errors, Reference, answer, as_reals, decibels};
use crate::calibrate::Samples;
use crate::cost::{self, Core, LayerCost};
use crate::error::{self, Error};
use crate::graph::{Graph, ValueId};
use crate::interp;
use crate::ops::{Layer, Op};
use crate::parallel;
use crate::pipeline::Prepared;
use crate::quantize::{self, LayerPrecision, Origins, Precisions, lower_with_origins, stored};
use crate::tensor::Tensor;
use crate::{prefer, specialise};

/// Samples that tell layers apart.
const SAMPLES: usize = 64;

/// The damage that each layer does to the network's outputs if it alone is quantized.
#[derive(Clone, Debug, PartialEq)]
pub struct Sensitivity {
    /// Number of samples that the signal-to-noise ratios come from.
    pub samples: usize,
    /// The float network's accuracy on the labelled samples, if there are labels.
    pub float_accuracy: Option<f64>,
    /// The layers, in the order in which they run.
    pub layers: Vec<LayerSensitivity>,
}

/// The damage that one layer does.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerSensitivity {
    /// The node's name in the file.
    pub name: String,
    /// The operator.
    pub operator: String,
    /// For each precision that was tried, what it does and costs.
    pub damages: Vec<Damage>,
}

/// What one layer does and costs in one precision; all others are float32.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Damage {
    /// The layer's.
    pub precision: LayerPrecision,
    /// Energy of the error at the network's outputs by the energy of the outputs, of the worst output.
    pub noise: f64,
    /// Share of the labelled samples that are classified right, if there are labels.
    pub accuracy: Option<f64>,
    /// Modelled cycles of the layer.
    pub cycles: u64,
    /// Bytes of its weights in flash.
    pub weight_bytes: usize,
    /// Bytes of its result in RAM.
    pub output_bytes: usize,
}

impl Damage {
    /// Signal-to-noise ratio at the network's outputs in decibels; +∞ without an error.
    pub fn sqnr(&self) -> f64 {
        decibels(self.noise)
    }
}

impl LayerSensitivity {
    /// What the layer does and costs in a precision, if that was tried.
    pub fn damage(&self, precision: LayerPrecision) -> Option<&Damage> {
        self.damages.iter().find(|damage| damage.precision == precision)
    }
}

/// A network that has all layers in one precision.
struct Variant {
    precision: LayerPrecision,
    float: Graph<Op>,
    lowered: Graph<Layer>,
    origins: Origins,
    /// For each layer's name the nodes of the lowered graph that compute it, conversions for it alone included.
    groups: BTreeMap<String, Vec<usize>>,
    /// For each layer's name what the nodes cost that compute it in the end.
    costs: BTreeMap<String, Vec<LayerCost>>,
}

/// For each node's name in the float graph the nodes of a lowered graph that compute it.
fn groups_of(float: &Graph<Op>, lowered: &Graph<Layer>) -> BTreeMap<String, Vec<usize>> {
    let mut groups: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    let names: BTreeSet<&str> = float.nodes.iter().map(|node| node.name.as_str()).collect();
    for (index, node) in lowered.nodes.iter().enumerate() {
        // `<layer>.<operand>.requantize` is a step that only this layer needs.
        let steps = || node.name.ends_with(".requantize");
        let owner = names.get(node.name.as_str()).or_else(|| {
            let before = |name: &&&str| node.name.strip_prefix(**name).is_some_and(|rest| rest.starts_with('.'));
            names.iter().filter(|_| steps()).filter(before).max_by_key(|name| name.len())
        });
        if let Some(owner) = owner {
            groups.entry(owner.to_string()).or_default().push(index);
        }
    }
    groups
}

/// Measures each layer alone, in each of the precisions.
///
/// A layer's operands are what the float network gives it, rounded to its integers; its kernels run on these; and from its
/// result on the rest of the network runs in float. This is the network in which that layer alone is quantized.
pub(super) fn sensitivity(
    prepared: &Prepared,
    precisions: &[LayerPrecision],
    core: Core,
    progress: Progress<'_>,
) -> Result<Sensitivity, error::Errors> {
    let variants = precisions.iter().map(|precision| Variant::new(prepared, *precision, core));
    let variants = variants.collect::<Result<Vec<_>, _>>()?;
    let Some(first) = variants.first() else { return Err(Error::bug("no precision to measure").into()) };
    let samples = prepared.samples(&first.float)?;
    let labels = samples.labels();
    // With labels all samples count; without, some tell the layers apart.
    let count = if labels.is_some() { samples.len() } else { samples.len().min(SAMPLES) };
    let chosen: Vec<usize> = (0..count).map(|index| index * samples.len() / count).collect();
    let mut layers: Vec<LayerSensitivity> = Vec::new();
    for name in first.names() {
        let operator = first.groups[&name].first().map_or("", |index| first.lowered.nodes[*index].op.operator);
        layers.push(LayerSensitivity { name, operator: operator.to_string(), damages: Vec::new() });
    }
    let total = variants.len() * layers.len();
    let mut float_accuracy = None;
    for (position, variant) in variants.iter().enumerate() {
        if labels.is_some() && float_accuracy.is_none() {
            float_accuracy = Reference::run(&variant.float, &samples)?.accuracy();
        }
        // float32 does no damage, so there is nothing to run.
        let chosen: &[usize] = if variant.precision == LayerPrecision::Float32 { &[] } else { &chosen };
        let run = |sample: &usize| variant.damages(&layers, &samples, *sample);
        // A few at a time: what is measured of one sample takes little memory, and the progress is seen.
        let mut measured: Vec<Vec<Option<Outcome>>> = Vec::new();
        for some in chosen.chunks(8) {
            measured.extend(parallel::map(some, run)?);
            let done = position * layers.len() + layers.len() * measured.len() / chosen.len();
            progress(done, total, "layers");
        }
        for (index, layer) in layers.iter_mut().enumerate() {
            let mut errors = Errors::new(variant.float.outputs.len());
            let (mut right, mut known) = (0, true);
            for (sample, outcomes) in chosen.iter().zip(&measured) {
                let Some(outcome) = &outcomes[index] else {
                    known = false;
                    break;
                };
                errors.join(&outcome.errors);
                right += usize::from(labels.is_some_and(|labels| outcome.answer == Some(labels[*sample])));
            }
            if known && variant.groups.contains_key(&layer.name) {
                let costs = variant.costs.get(&layer.name).map_or(&[][..], Vec::as_slice);
                layer.damages.push(Damage {
                    precision: variant.precision,
                    noise: errors.noise(),
                    accuracy: match chosen.len() {
                        0 => float_accuracy,
                        count => labels.map(|_| right as f64 / count as f64),
                    },
                    cycles: costs.iter().map(|cost| cost.cycles).sum(),
                    weight_bytes: costs.iter().map(|cost| cost.weight_bytes).sum(),
                    output_bytes: costs.last().map_or(0, |cost| cost.output_bytes),
                });
            }
        }
    }
    Ok(Sensitivity { samples: count, float_accuracy, layers })
}

/// What one layer does to one sample.
struct Outcome {
    errors: Errors,
    answer: Option<i64>,
}

impl Variant {
    fn new(prepared: &Prepared, precision: LayerPrecision, core: Core) -> Result<Self, error::Errors> {
        let quantized = prepared.quantize(&Precisions::all(precision))?;
        let (lowered, origins) = lower_with_origins(&quantized.graph)?;
        let groups = groups_of(&quantized.float, &lowered);
        // What the layers cost is seen when constant channels are gone and kernels are chosen.
        let mut shrunk = lowered.clone();
        quantize::compose(&mut shrunk)?;
        specialise::specialise(&mut shrunk)?;
        prefer::prefer(&mut shrunk, prepared.options.optimize);
        let layers = cost::layers(&shrunk, core);
        let costs = groups_of(&quantized.float, &shrunk)
            .into_iter()
            .map(|(name, nodes)| (name, nodes.iter().map(|node| layers[*node].clone()).collect()))
            .collect();
        Ok(Self { precision, float: quantized.float, lowered, origins, groups, costs })
    }

    /// The layers' names, in the order in which they run.
    fn names(&self) -> Vec<String> {
        let mut names: Vec<(usize, &String)> =
            self.groups.iter().filter_map(|(name, nodes)| Some((*nodes.first()?, name))).collect();
        names.sort_unstable();
        names.into_iter().map(|(_, name)| name.clone()).collect()
    }

    /// For each layer what it does to a sample; `None` for one that is not in this variant.
    fn damages(
        &self,
        layers: &[LayerSensitivity],
        samples: &Samples,
        sample: usize,
    ) -> Result<Vec<Option<Outcome>>, Error> {
        let inputs = samples.sample(sample)?;
        let mut values: BTreeMap<ValueId, Tensor> = BTreeMap::new();
        let expected = interp::run_float(&self.float, &inputs, |id, tensor| {
            values.insert(id, tensor.clone());
        })?;
        let outcome = |layer: &LayerSensitivity| {
            let Some(nodes) = self.groups.get(&layer.name) else { return Ok(None) };
            let changed = self.results(nodes, &values)?;
            // What the kernels made stays as they made it.
            let given = changed.clone();
            let settle = |id: ValueId, tensor| given.get(&id).cloned().unwrap_or(tensor);
            let changed = interp::rerun_float(&self.float, &values, changed, |_| false, settle)?;
            let output = |(id, expected): (&ValueId, &Tensor)| changed.get(id).unwrap_or(expected).clone();
            let outputs: Vec<Tensor> = self.float.outputs.iter().zip(&expected).map(output).collect();
            let mut errors = Errors::new(outputs.len());
            errors.add(&outputs, &expected);
            Ok(Some(Outcome { errors, answer: answer(&outputs[0]) }))
        };
        layers.iter().map(outcome).collect()
    }

    /// What the kernels of a layer make of the float network's values, as reals by the values of the float graph.
    fn results(&self, nodes: &[usize], values: &BTreeMap<ValueId, Tensor>) -> Result<BTreeMap<ValueId, Tensor>, Error> {
        let mut made: BTreeMap<ValueId, Tensor> = BTreeMap::new();
        for node in nodes {
            self.run(*node, values, &mut made)?;
        }
        let mut changed = BTreeMap::new();
        for node in nodes {
            let output = self.lowered.nodes[*node].outputs[0];
            let Some(origin) = self.origins.get(&output).filter(|origin| values.contains_key(*origin)) else {
                continue;
            };
            let declared = &self.float.value(*origin).ty;
            let reals = as_reals(&self.lowered, output, &made[&output]);
            let reals = reals.cast(declared.dtype).and_then(|tensor| tensor.reshaped(&declared.shape));
            changed
                .insert(*origin, reals.ok_or_else(|| Error::bug("a layer's result has another type than declared"))?);
        }
        Ok(changed)
    }

    /// Runs a kernel, and before it whatever makes its operands of the float network's values.
    fn run(
        &self,
        node: usize,
        values: &BTreeMap<ValueId, Tensor>,
        made: &mut BTreeMap<ValueId, Tensor>,
    ) -> Result<(), Error> {
        let node = &self.lowered.nodes[node];
        let output = node.outputs[0];
        if made.contains_key(&output) {
            return Ok(());
        }
        let mut operands = Vec::with_capacity(node.inputs.len());
        for id in &node.inputs {
            let float = self.origins.get(id).and_then(|origin| values.get(origin));
            let operand = match (self.lowered.constant(*id), made.get(id), float) {
                (Some(constant), _, _) => constant.clone(),
                (None, Some(result), _) => result.clone(),
                (None, None, Some(float)) => stored(&self.lowered, *id, float),
                (None, None, None) => {
                    let producer = self.lowered.nodes.iter().position(|node| node.outputs[0] == *id);
                    let producer = producer.ok_or_else(|| Error::bug("a value that nothing makes"))?;
                    self.run(producer, values, made)?;
                    made[id].clone()
                }
            };
            operands.push(operand);
        }
        let ty = &self.lowered.value(output).ty;
        let mut result = match node.op.kernel.initial() {
            Some(number) => Tensor::filled(ty.dtype, &ty.shape, number),
            None => Tensor::zeros(ty.dtype, &ty.shape),
        };
        node.op.kernel.run(&operands.iter().collect::<Vec<_>>(), &mut result);
        made.insert(output, result);
        Ok(())
    }
}

impl fmt::Display for Sensitivity {
    /// A table, a line for each layer, the most sensitive in the first precision first.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut layers: Vec<&LayerSensitivity> = self.layers.iter().collect();
        let noise = |layer: &LayerSensitivity| layer.damages.first().map_or(0.0, |damage| damage.noise);
        layers.sort_by(|a, b| noise(b).total_cmp(&noise(a)));
        let width = self.layers.iter().map(|layer| layer.name.chars().count()).max().unwrap_or(0).clamp(5, 40);
        let precisions: Vec<LayerPrecision> = self
            .layers
            .first()
            .map_or(Vec::new(), |layer| layer.damages.iter().map(|damage| damage.precision).collect());
        write!(f, "{:width$} {:>18}", "layer", "operator")?;
        for precision in &precisions {
            write!(f, " {:>8} dB {:>10}", precision.name(), "cycles")?;
            if self.float_accuracy.is_some() {
                write!(f, " {:>8}", "accuracy")?;
            }
        }
        writeln!(f)?;
        for layer in layers {
            let name: Vec<char> = layer.name.chars().collect();
            let name: String = name[name.len().saturating_sub(width)..].iter().collect();
            write!(f, "{name:width$} {:>18}", layer.operator)?;
            for precision in &precisions {
                match layer.damage(*precision) {
                    Some(damage) => {
                        write!(f, " {:>11.1} {:>10}", damage.sqnr(), damage.cycles)?;
                        if let Some(accuracy) = damage.accuracy {
                            write!(f, " {accuracy:>8.4}")?;
                        }
                    }
                    None => write!(f, " {:>11} {:>10}", "-", "-")?,
                }
            }
            writeln!(f)?;
        }
        Ok(())
    }
}
