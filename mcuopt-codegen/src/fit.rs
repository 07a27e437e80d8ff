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

impl Prepared {
    /// Shifts and scales channels between layers, and finds room beyond the samples' ranges: what does not depend on what
    /// layers compute in.
    pub(crate) fn repair(&mut self) -> Result<(), Error> {
        let options = &self.options;
        let switches = [options.bias_absorption, options.equalization].map(|switch| switch.unwrap_or(true));
        let settings = format!("{switches:?} {} {:?}", options.ranges.name(), options.tensors);
        let mut graph = self.graph.clone();
        self.repairs = self.cached("channels", &mut graph, &settings, |graph| self.scale_channels(graph, switches))?;
        self.graph = graph;
        let gained;
        (self.headroom, gained) = self.find_headroom()?;
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

    /// Absorbs biases and equalizes; nothing of both if the network's outputs do not gain on samples
    /// held out, or are good as they are.
    fn scale_channels(&self, graph: &mut Graph<Op>, [absorb, equalize]: [bool; 2]) -> Result<Vec<Repair>, Error> {
        if !absorb && !equalize {
            return Ok(Vec::new());
        }
        let (samples, fixed) = (self.samples(graph)?, self.fixed(graph));
        let before = self.plain_ranges(graph)?;
        let noise = |graph: &Graph<Op>, ranges: &Ranges| match samples.len() {
            0..LEAST_SAMPLES => Ok(None),
            _ => Ok::<_, Error>(Some(quantize::held_out(graph, &samples, ranges, &[Headroom::NONE], &fixed)?[0])),
        };
        let plain = noise(graph, &before)?;
        if plain.is_some_and(|plain| plain <= AMPLE) {
            return Ok(Vec::new());
        }
        let (mut changed, mut ranges, mut repairs) = (graph.clone(), before.clone(), Vec::new());
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
        if repairs.is_empty() || plain.is_some() && noise(&changed, &ranges)? >= plain {
            return Ok(Vec::new());
        }
        *graph = changed;
        Ok(repairs)
    }

    /// The most room beyond the samples' ranges that costs nothing, for ranges that are chosen by their error.
    fn find_headroom(&self) -> Result<(Headroom, Option<Repair>), Error> {
        let samples = self.samples(&self.graph)?;
        if self.options.ranges != Method::Auto || samples.len() < LEAST_SAMPLES {
            return Ok((Headroom::NONE, None));
        }
        let key = self.key(&self.graph, &format!("{:?}", self.options.tensors))?;
        let known = calibrate::read(&key, "headroom");
        let known = known.and_then(|text| text.split(' ').map(|word| word.parse().ok()).collect::<Option<Vec<f64>>>());
        let noises = match known.filter(|noises| noises.len() == Headroom::TRIED.len()) {
            Some(noises) => noises,
            None => {
                let ranges = self.plain_ranges(&self.graph)?;
                let fixed = self.fixed(&self.graph);
                let noises = quantize::held_out(&self.graph, &samples, &ranges, &Headroom::TRIED, &fixed)?;
                let text: Vec<String> = noises.iter().map(f64::to_string).collect();
                calibrate::write(&key, "headroom", &text.join(" "));
                noises
            }
        };
        let least = noises.iter().copied().fold(f64::INFINITY, f64::min);
        let free = noises.iter().position(|noise| *noise <= (least * FREE).max(AMPLE));
        let free = free.map(|index| (Headroom::TRIED[index], noises[index]));
        let Some((headroom, noise)) = free.filter(|(headroom, _)| *headroom != Headroom::NONE) else {
            return Ok((Headroom::NONE, None));
        };
        let none = noises.last().copied().unwrap_or(noise);
        let repair = Repair {
            step: "headroom",
            node: format!("ranges × {}{}", headroom.factor, if headroom.inputs { "" } else { ", but for inputs" }),
            before_db: quantize::decibels(1.0, none),
            after_db: quantize::decibels(1.0, noise),
        };
        Ok((headroom, Some(repair)))
    }

    /// Fits weights and biases to what the float network computes; `packed` weights have scales of the compiler's.
    pub(crate) fn fit(
        &self,
        graph: &mut Graph<Op>,
        float: &Graph<Op>,
        ranges: &Ranges,
        packed: &BTreeSet<ValueId>,
    ) -> Result<Vec<Repair>, Error> {
        let options = &self.options;
        let (bias, adaround) = (options.bias_correction.unwrap_or(true), options.adaround.unwrap_or(false));
        let layers = quantize::choose_scales(graph, ranges, packed, options.ranges != Method::MinMax)?;
        let learns = adaround || !packed.is_empty();
        match (learns, bias) {
            (false, false) => Ok(Vec::new()),
            (_, true) if self.is_search => {
                *graph = quantize::correct_by_means(graph, &layers, ranges)?;
                Ok(Vec::new())
            }
            (true, false) if self.is_search => Ok(Vec::new()),
            _ => {
                let settings = format!("{bias} {adaround} {} {:?}", options.ranges.name(), options.tensors);
                self.cached("fit", graph, &settings, |graph| {
                    let samples = self.samples(graph)?;
                    match learns {
                        true => quantize::refine(graph, &layers, &samples, Fit { bias, adaround }),
                        false => quantize::correct_bias(graph, float, &layers, ranges, &samples),
                    }
                })
            }
        }
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
