//! Finding the precision of each layer: the cheapest network that is still right.
//!
//! [`sensitivity`] measures what each layer alone does to the network's outputs. From that, and from what the layers cost on
//! the target, [`search`] makes a [ladder](self::ladder()) of networks from the cheapest to the most exact one, finds by
//! measuring whole networks the lowest rung that reaches the goal, and then tries to make single layers cheaper again.

mod ladder;
mod measure;
mod sensitivity;

use std::collections::BTreeMap;

pub use ladder::{Choice, ladder};
pub use measure::Quality;
pub use sensitivity::{Damage, LayerSensitivity, Sensitivity};

use crate::calibrate::Samples;
use crate::compiled::Compiled;
use crate::cost::{self, Core, Estimate};
use crate::error::{Error, Errors};
use crate::options::{Optimize, Options};
use crate::pipeline::{Prepared, Quantized};
use crate::quantize::{self, LayerPrecision, Precisions, Record};
use measure::{Reference, decibels};

/// Is told how much of the work is done: so many parts of so many, and what they are.
pub type Progress<'a> = &'a (dyn Fn(usize, usize, &str) + Sync);

/// What the quantized network has to reach.
#[derive(Clone, Debug, PartialEq)]
pub struct Goal {
    /// Signal-to-noise ratio of the outputs in decibels.
    pub min_sqnr: Option<f64>,
    /// How much of the float network's accuracy on the labelled samples may be lost, 0 to 1. Without labels it is the share
    /// of samples that may be classified otherwise than by the float network, which is never less.
    pub max_accuracy_drop: Option<f64>,
    /// The core that costs are modelled for.
    pub core: Core,
    /// The precisions to choose from.
    pub precisions: Vec<LayerPrecision>,
}

impl Default for Goal {
    /// No limit; costs on the Cortex-M4; all precisions.
    fn default() -> Self {
        let precisions = LayerPrecision::ALL.to_vec();
        Self { min_sqnr: None, max_accuracy_drop: None, core: Core::CortexM4, precisions }
    }
}

/// A network that reaches the goal.
#[derive(Clone, Debug)]
pub struct Found {
    /// What each layer alone does and costs.
    pub sensitivity: Sensitivity,
    /// The precision of each layer.
    pub precisions: Precisions,
    /// How good the network is over the samples.
    pub quality: Quality,
    /// What it costs.
    pub estimate: Estimate,
    /// The network with these precisions.
    pub compiled: Compiled,
    /// What builds take as given, to be written to [`Options::quantization_default`].
    pub record: Record,
    /// The same of the network that is int8 throughout, to compare.
    pub int8: (Quality, Estimate),
    /// Number of networks that were measured.
    pub measured: usize,
}

/// What each layer does to the outputs if it alone is quantized, in each of the precisions.
pub fn sensitivity(
    options: &Options,
    precisions: &[LayerPrecision],
    core: Core,
    progress: Progress<'_>,
) -> Result<Sensitivity, Errors> {
    let shown = options.model.display().to_string();
    let measure = || sensitivity::sensitivity(&Prepared::to_compare(options)?, precisions, core, progress);
    measure().map_err(|errors: Errors| errors.in_file(&shown))
}

/// Finds the cheapest network that reaches the goal within the options' limits of RAM and flash.
///
/// What the options name a precision for keeps it. Costs are cycles, bytes of flash and bytes of RAM, each by what the int8
/// network takes, weighed by `optimize`; with a limit of flash, flash weighs more until it is kept.
///
/// # Errors
/// If the samples are missing, or if no network reaches the goal: then the layer that limits it is named, and what it
/// would cost to lift it.
pub fn search(options: &Options, goal: &Goal, progress: Progress<'_>) -> Result<Found, Errors> {
    let shown = options.model.display().to_string();
    Search::run(options, goal, progress).map_err(|errors| errors.in_file(&shown))
}

/// What the options lead to without a goal: what their precisions and ranges find in the samples, to be kept as it is.
pub fn fix(options: &Options) -> Result<(Record, Quality, Compiled), Errors> {
    let fix = || {
        let prepared = Prepared::to_search(options)?;
        let precisions = Precisions::resolve(LayerPrecision::Int8, &prepared.options.layers, prepared.float())?;
        let quantized = prepared.quantize(&precisions)?;
        let samples = prepared.samples(&quantized.float)?;
        let quality =
            Reference::run(&quantized.float, &samples)?.compare(&quantize::lower(&quantized.graph)?, &samples)?;
        Ok((prepared.record(&quantized, &precisions), quality, prepared.finish(quantized)?))
    };
    fix().map_err(|errors: Errors| errors.in_file(&options.model.display().to_string()))
}

/// Fails if a quantized network misses the goal, naming the layer in which most of the error is born.
pub(crate) fn check(quantized: &Quantized, samples: &Samples, goal: &Goal) -> Result<(), Errors> {
    let reference = Reference::run(&quantized.float, samples)?;
    let quality = reference.compare(&quantize::lower(&quantized.graph)?, samples)?;
    if goal.is_met(&quality, reference.accuracy()) {
        return Ok(());
    }
    let mut text = format!("the quantized network misses {goal}: it reaches {}", reference.describe(&quality));
    if let Some(worst) = quantize::report(&quantized.float, &quantized.graph, samples)?.worst() {
        text += &format!("; most of the error is born in the layer `{}` ({})", worst.name, worst.operator);
    }
    text += "; `mcuopt quantize` finds precisions that reach it, and says what they cost";
    Err(Error::budget(text).into())
}

/// The flash of a network weighs so much more, again and again, until it fits.
const HEAVIER: f64 = 4.0;

/// How often.
const TRIES: i32 = 6;

struct Search<'a> {
    goal: &'a Goal,
    progress: Progress<'a>,
    prepared: Prepared,
    sensitivity: Sensitivity,
    reference: Reference,
    samples: Samples,
    /// Precisions that the user chose.
    named: BTreeMap<String, LayerPrecision>,
    /// What was measured already, by the precisions of the layers.
    known: BTreeMap<Vec<LayerPrecision>, Quality>,
    estimates: BTreeMap<Vec<LayerPrecision>, Estimate>,
}

impl<'a> Search<'a> {
    fn run(options: &Options, goal: &'a Goal, progress: Progress<'a>) -> Result<Found, Errors> {
        let prepared = Prepared::to_compare(options)?;
        let mut precisions = goal.precisions.clone();
        if !precisions.contains(&LayerPrecision::Int8) {
            precisions.push(LayerPrecision::Int8);
        }
        let named = Precisions::resolve(LayerPrecision::Float32, &prepared.options.layers, prepared.float())?.layers;
        precisions.extend(named.values());
        precisions.sort_unstable();
        precisions.dedup();
        let sensitivity = sensitivity::sensitivity(&prepared, &precisions, goal.core, progress)?;
        let int8 = prepared.quantize(&Precisions::all(LayerPrecision::Int8))?;
        let samples = prepared.samples(&int8.float)?;
        let reference = Reference::run(&int8.float, &samples)?;
        let (known, estimates) = (BTreeMap::new(), BTreeMap::new());
        let mut search = Search { goal, progress, prepared, sensitivity, reference, samples, named, known, estimates };
        search.find()
    }

    fn find(&mut self) -> Result<Found, Errors> {
        let all_int8 = vec![LayerPrecision::Int8; self.sensitivity.layers.len()];
        let int8_quality = self.quality(&all_int8)?;
        let int8_estimate = self.estimate(&all_int8)?;
        let mut failure = None;
        for attempt in 0..TRIES {
            let heavier = HEAVIER.powi(attempt);
            let Some(mut assignment) = self.start(heavier)? else { return Err(self.unreachable()?.into()) };
            self.trim(&mut assignment, heavier)?;
            let precisions = self.precisions(&assignment);
            let mut prepared = self.prepared.clone();
            prepared.is_trial = false;
            let quantized = prepared.quantize(&precisions)?;
            let quality = self.reference.compare(&quantize::lower(&quantized.graph)?, &self.samples)?;
            // Learned rounding may cost a sample or two: then it is known, and the next attempt looks elsewhere.
            self.known.insert(assignment, quality);
            if !self.goal.is_met(&quality, self.reference.accuracy()) {
                let text = format!("learned rounding of weights leaves {}", self.reference.describe(&quality));
                failure = Some(Error::budget(text).into());
                continue;
            }
            let record = prepared.record(&quantized, &precisions);
            match prepared.finish(quantized) {
                Ok(compiled) => {
                    return Ok(Found {
                        record,
                        quality,
                        precisions,
                        estimate: cost::estimate(&compiled, self.goal.core),
                        sensitivity: self.sensitivity.clone(),
                        compiled,
                        int8: (int8_quality, int8_estimate),
                        measured: self.known.len(),
                    });
                }
                Err(errors) => failure = Some(errors),
            }
        }
        Err(failure.unwrap_or_else(|| Error::bug("a search without an attempt").into()))
    }

    /// How much cycles, flash and RAM weigh, each by what it is of the int8 network's.
    fn weights(&self) -> [f64; 3] {
        match self.prepared.options.optimize {
            Optimize::Speed => [1.0, 0.1, 0.1],
            Optimize::Balanced => [1.0, 0.5, 0.25],
            Optimize::Size => [0.25, 1.0, 0.5],
        }
    }

    /// What a whole network costs.
    fn cost(&mut self, assignment: &[LayerPrecision], heavier: f64) -> Result<f64, Errors> {
        let int8 = self.estimate(&vec![LayerPrecision::Int8; assignment.len()])?;
        let own = self.estimate(assignment)?;
        let part = |own: u64, int8: u64| own as f64 / int8.max(1) as f64;
        let [by_cycles, by_flash, by_ram] = self.weights();
        Ok(by_cycles * part(own.cycles, int8.cycles)
            + heavier * by_flash * part(own.weight_bytes as u64, int8.weight_bytes as u64)
            + by_ram * part(own.ram_bytes as u64, int8.ram_bytes as u64))
    }

    fn estimate(&mut self, assignment: &[LayerPrecision]) -> Result<Estimate, Errors> {
        if let Some(known) = self.estimates.get(assignment) {
            return Ok(known.clone());
        }
        let mut prepared = self.prepared.clone();
        (prepared.options.max_ram, prepared.options.max_flash) = (None, None);
        let quantized = prepared.quantize(&self.precisions(assignment))?;
        let estimate = cost::estimate(&prepared.finish(quantized)?, self.goal.core);
        self.estimates.insert(assignment.to_vec(), estimate.clone());
        Ok(estimate)
    }

    /// The cheapest network to start from that reaches the goal: the lowest such rung of the ladder, or one that has a single
    /// precision. Layers are not independent: a channel that is constant in int8 and vanishes may not be so in int4.
    fn start(&mut self, heavier: f64) -> Result<Option<Vec<LayerPrecision>>, Errors> {
        let choices = self.choices(heavier);
        let mut candidates: Vec<Vec<LayerPrecision>> = self.lowest(&choices)?.into_iter().collect();
        for precision in self.goal.precisions.clone() {
            let one = |layer: &Vec<(LayerPrecision, Choice)>| {
                let known = layer.iter().find(|(known, _)| *known == precision).or(layer.first());
                known.map_or(precision, |(known, _)| *known)
            };
            candidates.push(choices.iter().map(one).collect());
        }
        let mut best = None;
        for candidate in candidates {
            if !self.reaches(&candidate)? {
                continue;
            }
            let cost = self.cost(&candidate, heavier)?;
            if best.as_ref().is_none_or(|(known, _)| cost < *known) {
                best = Some((cost, candidate));
            }
        }
        Ok(best.map(|(_, candidate)| candidate))
    }

    /// For each layer its choices: the goal's precisions, or the one that the user named.
    fn choices(&self, heavier: f64) -> Vec<Vec<(LayerPrecision, Choice)>> {
        let int8 = |layer: &LayerSensitivity| layer.damage(LayerPrecision::Int8).or(layer.damages.first()).copied();
        let total = |cost: &dyn Fn(&Damage) -> f64| -> f64 {
            self.sensitivity.layers.iter().filter_map(int8).map(|damage| cost(&damage)).sum::<f64>().max(1.0)
        };
        let cycles = total(&|damage| damage.cycles as f64);
        let flash = total(&|damage| damage.weight_bytes as f64);
        let ram = total(&|damage| damage.output_bytes as f64);
        let [by_cycles, by_flash, by_ram] = self.weights();
        let cost = |damage: &Damage| {
            by_cycles * damage.cycles as f64 / cycles
                + heavier * by_flash * damage.weight_bytes as f64 / flash
                + by_ram * damage.output_bytes as f64 / ram
        };
        let layer = |layer: &LayerSensitivity| {
            let named = self.named.get(&layer.name);
            let may = |precision: LayerPrecision| match named {
                Some(named) => precision == *named,
                None => self.goal.precisions.contains(&precision),
            };
            let mut choices: Vec<(LayerPrecision, Choice)> = (layer.damages.iter())
                .filter(|damage| may(damage.precision))
                .map(|damage| (damage.precision, Choice { cost: cost(damage), noise: damage.noise }))
                .collect();
            if choices.is_empty() {
                let only = named.copied().unwrap_or(LayerPrecision::Int8);
                choices.push((only, Choice { cost: 0.0, noise: 0.0 }));
            }
            choices
        };
        self.sensitivity.layers.iter().map(layer).collect()
    }

    /// The lowest rung of the ladder that reaches the goal, by bisection: rungs are the more exact the higher they are.
    fn lowest(&mut self, choices: &[Vec<(LayerPrecision, Choice)>]) -> Result<Option<Vec<LayerPrecision>>, Errors> {
        let numbers: Vec<Vec<Choice>> =
            choices.iter().map(|layer| layer.iter().map(|(_, choice)| *choice).collect()).collect();
        let rungs: Vec<Vec<LayerPrecision>> = ladder(&numbers)
            .into_iter()
            .map(|rung| rung.iter().zip(choices).map(|(choice, layer)| layer[*choice].0).collect())
            .collect();
        let (mut low, mut high) = (0, rungs.len() - 1);
        if !self.reaches(&rungs[high])? {
            return Ok(None);
        }
        while low < high {
            let middle = (low + high) / 2;
            match self.reaches(&rungs[middle])? {
                true => high = middle,
                false => low = middle + 1,
            }
        }
        Ok(Some(rungs[high].clone()))
    }

    /// Tries to make layers cheaper again, those first that save most.
    fn trim(&mut self, assignment: &mut Vec<LayerPrecision>, heavier: f64) -> Result<(), Errors> {
        let mut savings = Vec::new();
        for (index, choices) in self.choices(heavier).iter().enumerate() {
            let Some((_, now)) = choices.iter().find(|(precision, _)| *precision == assignment[index]) else {
                continue;
            };
            let cheaper = choices.iter().filter(|(_, choice)| choice.cost < now.cost);
            savings.extend(cheaper.map(|(precision, choice)| (now.cost - choice.cost, index, *precision)));
        }
        savings.sort_by(|a, b| b.0.total_cmp(&a.0));
        // What saves a hundredth of a percent is not worth a measurement.
        savings.retain(|(saved, ..)| *saved > 1e-4);
        let mut done = vec![false; assignment.len()];
        let mut cost = self.cost(assignment, heavier)?;
        for (_, index, precision) in savings {
            if done[index] {
                continue;
            }
            let mut candidate = assignment.clone();
            candidate[index] = precision;
            let cheaper = self.cost(&candidate, heavier)?;
            if cheaper < cost && self.reaches(&candidate)? {
                *assignment = candidate;
                cost = cheaper;
                done[index] = true;
            }
        }
        Ok(())
    }

    fn reaches(&mut self, assignment: &[LayerPrecision]) -> Result<bool, Errors> {
        let quality = self.quality(assignment)?;
        Ok(self.goal.is_met(&quality, self.reference.accuracy()))
    }

    fn quality(&mut self, assignment: &[LayerPrecision]) -> Result<Quality, Errors> {
        if let Some(known) = self.known.get(assignment) {
            return Ok(*known);
        }
        let quantized = self.prepared.quantize(&self.precisions(assignment))?;
        let lowered = quantize::lower(&quantized.graph)?;
        let quality = self.reference.compare(&lowered, &self.samples)?;
        self.known.insert(assignment.to_vec(), quality);
        (self.progress)(self.known.len(), self.known.len(), "networks");
        Ok(quality)
    }

    /// The most frequent precision as the default, the others by name.
    fn precisions(&self, assignment: &[LayerPrecision]) -> Precisions {
        let count = |precision: &LayerPrecision| assignment.iter().filter(|other| *other == precision).count();
        let default = LayerPrecision::ALL
            .into_iter()
            .max_by_key(|precision| (count(precision), *precision == LayerPrecision::Int8));
        let default = default.unwrap_or_default();
        let names = self.sensitivity.layers.iter().map(|layer| layer.name.clone());
        let layers = names.zip(assignment).filter(|(_, precision)| **precision != default);
        Precisions { default, layers: layers.map(|(name, precision)| (name, *precision)).collect() }
    }

    /// Which layer keeps the network from the goal, and what it would cost to lift it.
    fn unreachable(&mut self) -> Result<Error, Errors> {
        let choices = self.choices(1.0);
        let best: Vec<(LayerPrecision, f64)> = choices
            .iter()
            .map(|layer| {
                let best = layer.iter().min_by(|a, b| a.1.noise.total_cmp(&b.1.noise));
                best.map_or((LayerPrecision::Int8, 0.0), |(precision, choice)| (*precision, choice.noise))
            })
            .collect();
        let assignment: Vec<LayerPrecision> = best.iter().map(|(precision, _)| *precision).collect();
        let quality = self.quality(&assignment)?;
        let reached = self.reference.describe(&quality);
        let worst = (0..best.len()).max_by(|&a, &b| best[a].1.total_cmp(&best[b].1));
        let Some(worst) = worst else { return Ok(Error::calibration("there is no layer to quantize")) };
        let layer = self.sensitivity.layers[worst].clone();
        let (precision, noise) = best[worst];
        let mut text = format!(
            "no choice of precisions reaches the goal ({}); the most exact one reaches {reached}. The layer `{}` ({}) limits \
             it: in {} it alone leaves {:.1} dB",
            self.goal,
            layer.name,
            layer.operator,
            precision.name(),
            decibels(noise)
        );
        let more_exact = [LayerPrecision::Int16x8, LayerPrecision::Float32].into_iter();
        let lifted =
            more_exact.filter(|other| !choices[worst].iter().any(|(known, _)| known == other)).find_map(|other| {
                let variant = sensitivity::sensitivity(&self.prepared, &[other], self.goal.core, &|_, _, _| {}).ok()?;
                let damage = *variant.layers.iter().find(|known| known.name == layer.name)?.damage(other)?;
                (damage.noise < noise).then_some((other, damage))
            });
        match (lifted, layer.damage(precision)) {
            (Some((other, damage)), Some(now)) => {
                text += &format!(
                    "; in {} it would leave {:.1} dB, for {:+} cycles and {:+} bytes of weights",
                    other.name(),
                    damage.sqnr(),
                    damage.cycles as i64 - now.cycles as i64,
                    damage.weight_bytes as i64 - now.weight_bytes as i64
                );
            }
            _ => text += "; nothing more exact than that is there for it",
        }
        Ok(Error::budget(text))
    }
}

impl Goal {
    /// Whether a network is good enough, beside the float network's accuracy on the same samples.
    pub fn is_met(&self, quality: &Quality, float_accuracy: Option<f64>) -> bool {
        let lost = match (quality.accuracy, float_accuracy) {
            (Some(accuracy), Some(float)) => float - accuracy,
            _ => 1.0 - quality.agreement,
        };
        self.min_sqnr.is_none_or(|limit| quality.sqnr >= limit)
            && self.max_accuracy_drop.is_none_or(|limit| lost <= limit + 1e-9)
    }
}

impl std::fmt::Display for Goal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut separator = "";
        if let Some(limit) = self.min_sqnr {
            write!(f, "min_sqnr = {limit}")?;
            separator = ", ";
        }
        if let Some(limit) = self.max_accuracy_drop {
            write!(f, "{separator}max_accuracy_drop = {limit}")?;
        }
        Ok(())
    }
}
