//! Repairs of a network that is to run in integers, what each of them gains by the samples, and what the cache keeps of it.

use std::collections::BTreeSet;

use crate::calibrate::{self, Method, Ranges};
use crate::emit::fnv1a;
use crate::error::Error;
use crate::graph::{Graph, ValueId};
use crate::ops::Op;
use crate::options::TensorRange;
use crate::pipeline::Prepared;
use crate::quantize::{self, Fit, Headroom, LEAST_SAMPLES, Repair, pattern};

/// Half a decibel more noise than the least is no price for room.
const FREE: f64 = 1.122;

/// Noise of 40 dB below the signal is ample: what is left of precision is better spent on room.
const AMPLE: f64 = 1e-4;

/// Noise of 20 dB below the signal and less is what int8 costs a network whose channels share their ranges well; scaling
/// them costs the build many runs of the network, and is for those whose channels do not.
const HARD: f64 = 1e-2;

impl Prepared {
    /// Shifts and scales channels between layers, and finds room beyond the samples' ranges: what does not depend on what
    /// layers compute in.
    pub(crate) fn repair(&mut self) -> Result<(), Error> {
        // Scales that were written down include all of it, unless channels were scaled, too.
        if self.record.as_ref().is_some_and(|record| record.channels.is_empty()) {
            return Ok(());
        }
        let options = &self.options;
        let switches = [options.bias_absorption, options.equalization].map(|switch| switch.unwrap_or(true));
        let settings = format!("{switches:?} {} {:?}", options.ranges.name(), options.tensors);
        let mut noises = self.noises(&self.graph)?;
        // The last one has no headroom. Too few samples to hold some out leave the guard to each single step.
        let plain = noises.last().copied();
        if switches.contains(&true) && plain.is_none_or(|plain| plain > HARD) {
            let mut graph = self.graph.clone();
            self.repairs =
                self.cached("channels", &mut graph, &settings, |graph| self.scale_channels(graph, switches, plain))?;
            if !self.repairs.is_empty() {
                noises = self.noises(&graph)?;
            }
            self.graph = graph;
        }
        let gained;
        (self.headroom, gained) = self.find_headroom(&noises);
        self.repairs.extend(gained);
        Ok(())
    }

    /// A hash of what channels became; empty if they are as they were.
    pub(crate) fn channels(&self) -> String {
        let changed = self.repairs.iter().any(|repair| repair.step != "headroom");
        if changed { format!("{:016x}", fnv1a(quantize::text(&self.graph, &[]).as_bytes())) } else { String::new() }
    }

    /// The values whose ranges the user chose.
    pub(crate) fn fixed(&self, graph: &Graph<Op>) -> BTreeSet<ValueId> {
        let is_fixed = |id: &ValueId| match pattern::best(&self.options.tensors, &graph.value(*id).name) {
            Some(range) => *range != TensorRange::By(Method::Auto),
            None => false,
        };
        graph.ids().filter(is_fixed).collect()
    }

    /// The ranges of all tensors by the samples and the method for all of them.
    fn plain_ranges(&self, graph: &Graph<Op>) -> Result<Ranges, Error> {
        let method = self.options.ranges;
        let (mut ranges, _) = self.measured(graph, method)?;
        if method != Method::Auto {
            ranges.values_mut().for_each(|statistics| statistics.method = method);
        }
        Ok(ranges)
    }

    /// Absorbs biases and equalizes; nothing of both if the network's outputs do not gain on samples held out, where their
    /// noise was `plain`.
    fn scale_channels(
        &self,
        graph: &mut Graph<Op>,
        [absorb, equalize]: [bool; 2],
        plain: Option<f64>,
    ) -> Result<Vec<Repair>, Error> {
        let (samples, fixed) = (self.samples(graph)?, self.fixed(graph));
        let mut ranges = self.plain_ranges(graph)?;
        let (mut changed, mut repairs) = (graph.clone(), Vec::new());
        if absorb {
            repairs.extend(quantize::absorb(&mut changed, &ranges, &samples, &fixed)?);
        }
        if !repairs.is_empty() {
            ranges = self.plain_ranges(&changed)?;
        }
        if equalize {
            let equalized = quantize::equalize(&mut changed, &ranges, &samples, &fixed)?;
            if !equalized.is_empty() {
                ranges = self.plain_ranges(&changed)?;
            }
            repairs.extend(equalized);
        }
        if repairs.is_empty() {
            return Ok(Vec::new());
        }
        let noise = || quantize::held_out(&changed, &samples, &ranges, &[Headroom::NONE], &fixed);
        if let Some(plain) = plain
            && noise()?[0] >= plain
        {
            return Ok(Vec::new());
        }
        *graph = changed;
        Ok(repairs)
    }

    /// The noise of the outputs on samples held out, with each of [`Headroom::TRIED`]; empty if samples are too few.
    fn noises(&self, graph: &Graph<Op>) -> Result<Vec<f64>, Error> {
        let key = self.key(graph, &format!("{} {:?}", self.options.ranges.name(), self.options.tensors))?;
        let known = calibrate::read(&key, "headroom");
        let known = known
            .and_then(|text| text.split_terminator(' ').map(|word| word.parse().ok()).collect::<Option<Vec<f64>>>());
        if let Some(noises) = known.filter(|noises| noises.is_empty() || noises.len() == Headroom::TRIED.len()) {
            return Ok(noises);
        }
        let samples = self.samples(graph)?;
        let noises = match samples.len() {
            0..LEAST_SAMPLES => Vec::new(),
            _ => {
                let (ranges, fixed) = (self.plain_ranges(graph)?, self.fixed(graph));
                quantize::held_out(graph, &samples, &ranges, &Headroom::TRIED, &fixed)?
            }
        };
        let text: Vec<String> = noises.iter().map(f64::to_string).collect();
        calibrate::write(&key, "headroom", &text.join(" "));
        Ok(noises)
    }

    /// The most room beyond the samples' ranges that costs nothing, for ranges that are chosen by their error.
    fn find_headroom(&self, noises: &[f64]) -> (Headroom, Option<Repair>) {
        if self.options.ranges != Method::Auto || noises.is_empty() {
            return (Headroom::NONE, None);
        }
        let least = noises.iter().copied().fold(f64::INFINITY, f64::min);
        let free = noises.iter().position(|noise| *noise <= (least * FREE).max(AMPLE));
        let free = free.map(|index| (Headroom::TRIED[index], noises[index]));
        let Some((headroom, noise)) = free.filter(|(headroom, _)| *headroom != Headroom::NONE) else {
            return (Headroom::NONE, None);
        };
        let none = noises.last().copied().unwrap_or(noise);
        let repair = Repair {
            step: "headroom",
            node: format!("ranges × {}{}", headroom.factor, if headroom.inputs { "" } else { ", but for inputs" }),
            before_db: quantize::decibels(1.0, none),
            after_db: quantize::decibels(1.0, noise),
        };
        (headroom, Some(repair))
    }

    /// Fits weights and biases to what the float network computes; `packed` weights have scales of the compiler's.
    ///
    /// Biases are corrected by the means of inputs, which takes no run of the network; where the rounding of weights is
    /// learned, layer by layer along the quantized network, so are biases.
    pub(crate) fn fit(
        &self,
        graph: &mut Graph<Op>,
        ranges: &Ranges,
        packed: &BTreeSet<ValueId>,
    ) -> Result<Vec<Repair>, Error> {
        let options = &self.options;
        let fit = Fit { bias: options.bias_correction.unwrap_or(true), adaround: options.adaround };
        let layers = quantize::choose_scales(graph, ranges, packed, options.ranges != Method::MinMax)?;
        if !self.is_trial && quantize::learns(graph, &layers, fit) {
            let settings = format!("{fit:?} {} {:?}", options.ranges.name(), options.tensors);
            return self
                .cached("fit", graph, &settings, |graph| quantize::refine(graph, &layers, &self.samples(graph)?, fit));
        }
        if fit.bias {
            *graph = quantize::correct_by_means(graph, &layers, ranges)?;
        }
        Ok(Vec::new())
    }

    /// The key of what is computed from a graph and the samples.
    fn key(&self, graph: &Graph<Op>, settings: &str) -> Result<String, Error> {
        let path = self.calibration()?;
        let samples = calibrate::hash_samples(&self.options.root.join(&path));
        let samples = samples.map_err(|error| Error::io(error).in_file(path.display().to_string()))?;
        let content = quantize::content(graph);
        Ok(calibrate::content_hash(&[&self.bytes, samples.as_bytes(), settings.as_bytes(), &content]))
    }

    /// What `repair` does to a graph, once for a graph and its settings.
    fn cached(
        &self,
        kind: &str,
        graph: &mut Graph<Op>,
        settings: &str,
        repair: impl FnOnce(&mut Graph<Op>) -> Result<Vec<Repair>, Error>,
    ) -> Result<Vec<Repair>, Error> {
        let key = self.key(graph, settings)?;
        let mut known = graph.clone();
        if let Some(repairs) = calibrate::read(&key, kind).and_then(|text| quantize::parse(&text, &mut known)) {
            *graph = known;
            return Ok(repairs);
        }
        let shown = self.calibration()?.display().to_string();
        let repairs = repair(graph).map_err(|error| error.in_file(shown))?;
        calibrate::write(&key, kind, &quantize::text(graph, &repairs));
        Ok(repairs)
    }
}
