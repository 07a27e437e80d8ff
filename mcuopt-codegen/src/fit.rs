//! Quantization by samples: ranges, scales and repairs, and what the cache keeps of them.

use std::path::PathBuf;

use crate::calibrate::{self, Method, Ranges, Samples};
use crate::error::Error;
use crate::graph::Graph;
use crate::ops::Op;
use crate::options::Options;
use crate::quantize::{self, Fit, Headroom, LEAST_SAMPLES, Repair};

/// Half a decibel more noise than the least is no price for room.
const FREE: f64 = 1.122;

/// Gives every tensor its quantization, and repairs what that costs. The network before weights and biases were changed,
/// too.
pub(crate) fn fit(
    options: &Options,
    calibration: &Calibration,
    graph: &mut Graph<Op>,
) -> Result<(Graph<Op>, Vec<Repair>), Error> {
    let mut repairs = calibration
        .cached("channels", graph, &channel_settings(options), |graph| scale_channels(options, calibration, graph))?;
    let ranges = calibration.ranges(graph)?;
    let (headroom, gained) = calibration.headroom(graph, &ranges)?;
    repairs.extend(gained);
    let ranges = headroom.widen(graph, &ranges);
    quantize::assign(graph, Some(&ranges))?;
    let float = graph.clone();
    let (bias, adaround) = (options.bias_correction.unwrap_or(true), options.adaround.unwrap_or(false));
    let fit = Fit { bias, adaround, bits: 8 };
    let layers = quantize::choose_scales(graph, &ranges, fit.bits, options.ranges != Method::MinMax)?;
    if bias || adaround {
        repairs.extend(calibration.cached("fit", graph, &format!("{fit:?} {}", options.ranges.name()), |graph| {
            let samples = calibration.read(graph)?;
            match adaround {
                true => quantize::refine(graph, &layers, &samples, fit),
                false => quantize::correct_bias(graph, &layers, &ranges, &samples, fit),
            }
        })?);
    }
    Ok((float, repairs))
}

fn channel_settings(options: &Options) -> String {
    format!("{:?} {:?} {}", options.bias_absorption, options.equalization, options.ranges.name())
}

/// What shifts and scales channels between layers; nothing of it if the network's outputs do not gain.
fn scale_channels(options: &Options, calibration: &Calibration, graph: &mut Graph<Op>) -> Result<Vec<Repair>, Error> {
    let (absorption, equalization) = (options.bias_absorption.unwrap_or(true), options.equalization.unwrap_or(true));
    if !absorption && !equalization {
        return Ok(Vec::new());
    }
    let samples = calibration.read(graph)?;
    let before = calibration.ranges(graph)?;
    let (mut changed, mut ranges, mut repairs) = (graph.clone(), before.clone(), Vec::new());
    if absorption {
        repairs.extend(quantize::absorb(&mut changed, &ranges, &samples)?);
    }
    if !repairs.is_empty() {
        ranges = calibration.ranges(&changed)?;
    }
    if equalization {
        let equalized = quantize::equalize(&mut changed, &ranges, &samples)?;
        if !equalized.is_empty() {
            ranges = calibration.ranges(&changed)?;
        }
        repairs.extend(equalized);
    }
    if repairs.is_empty() {
        return Ok(repairs);
    }
    if samples.len() >= LEAST_SAMPLES {
        let noise = |graph: &Graph<Op>, ranges: &Ranges| {
            Ok::<f64, Error>(quantize::held_out(graph, &samples, ranges, &[Headroom::NONE])?[0])
        };
        if noise(&changed, &ranges)? >= noise(graph, &before)? {
            return Ok(Vec::new());
        }
    }
    *graph = changed;
    Ok(repairs)
}

/// The samples of a compilation, and what is computed from them: once, as the cache keeps it.
pub(crate) struct Calibration {
    path: PathBuf,
    /// The path in messages.
    shown: String,
    method: Method,
    /// Hash of the model, and of the samples.
    key: String,
}

impl Calibration {
    /// Of a compilation of `model`, the bytes of its file.
    pub(crate) fn new(options: &Options, model: &[u8]) -> Result<Self, Error> {
        let path: PathBuf = options.calibration_path().ok_or_else(|| Error::bug("calibration without data"))?;
        let shown = path.display().to_string();
        let path = options.root.join(path);
        let samples = calibrate::hash_samples(&path).map_err(|error| Error::io(error).in_file(&shown))?;
        let key = calibrate::content_hash(&[model, samples.as_bytes()]);
        Ok(Self { path, shown, method: options.ranges, key })
    }

    /// The samples, as the graph takes them.
    pub(crate) fn read(&self, graph: &Graph<Op>) -> Result<Samples, Error> {
        Samples::read(&self.path, graph).map_err(|error| error.in_file(&self.shown))
    }

    /// The ranges of all tensors. The graph is part of the key: it names the tensors, and it changes with the compiler.
    fn ranges(&self, graph: &Graph<Op>) -> Result<Ranges, Error> {
        let content = quantize::content(graph);
        let key = calibrate::content_hash(&[self.key.as_bytes(), self.method.name().as_bytes(), &content]);
        if let Some(ranges) = calibrate::load(&key, graph) {
            return Ok(ranges);
        }
        let ranges = self.run(graph).map_err(|error| error.in_file(&self.shown))?;
        calibrate::store(&key, &ranges);
        Ok(ranges)
    }

    fn run(&self, graph: &Graph<Op>) -> Result<Ranges, Error> {
        let samples = Samples::read(&self.path, graph)?;
        let mut ranges = calibrate::calibrate(graph, &samples)?;
        match self.method {
            Method::Auto => calibrate::choose(graph, &samples, &mut ranges)?,
            method => ranges.values_mut().for_each(|statistics| statistics.method = method),
        }
        Ok(ranges)
    }

    /// The most room beyond the samples' ranges that costs nothing, for ranges that are chosen by their error.
    fn headroom(&self, graph: &Graph<Op>, ranges: &Ranges) -> Result<(Headroom, Option<Repair>), Error> {
        let samples = self.read(graph)?;
        if self.method != Method::Auto || samples.len() < LEAST_SAMPLES {
            return Ok((Headroom::NONE, None));
        }
        let key = calibrate::content_hash(&[self.key.as_bytes(), &quantize::content(graph)]);
        let known = calibrate::read(&key, "headroom")
            .and_then(|text| text.split_whitespace().map(|word| word.parse().ok()).collect::<Option<Vec<f64>>>());
        let noises = match known.filter(|noises| noises.len() == Headroom::TRIED.len()) {
            Some(noises) => noises,
            None => {
                let noises = quantize::held_out(graph, &samples, ranges, &Headroom::TRIED)?;
                let text: Vec<String> = noises.iter().map(f64::to_string).collect();
                calibrate::write(&key, "headroom", &text.join(" "));
                noises
            }
        };
        let least = noises.iter().copied().fold(f64::INFINITY, f64::min);
        let free = noises.iter().position(|noise| *noise <= least * FREE);
        let Some((headroom, noise)) = free.map(|index| (Headroom::TRIED[index], noises[index])) else {
            return Ok((Headroom::NONE, None));
        };
        let none = noises.last().copied().unwrap_or(noise);
        let repair = Repair {
            step: "headroom",
            node: format!("ranges × {}{}", headroom.factor, if headroom.inputs { "" } else { ", but for inputs" }),
            before_db: quantize::decibels(1.0, none),
            after_db: quantize::decibels(1.0, noise),
        };
        Ok((headroom, Some(repair).filter(|_| headroom != Headroom::NONE)))
    }

    /// What `repair` does to a graph, once for a graph and its settings.
    fn cached(
        &self,
        kind: &str,
        graph: &mut Graph<Op>,
        settings: &str,
        repair: impl FnOnce(&mut Graph<Op>) -> Result<Vec<Repair>, Error>,
    ) -> Result<Vec<Repair>, Error> {
        let key = calibrate::content_hash(&[self.key.as_bytes(), settings.as_bytes(), &quantize::content(graph)]);
        let mut known = graph.clone();
        if let Some(repairs) = calibrate::read(&key, kind).and_then(|text| quantize::parse(&text, &mut known)) {
            *graph = known;
            return Ok(repairs);
        }
        let repairs = repair(graph).map_err(|error| error.in_file(&self.shown))?;
        calibrate::write(&key, kind, &quantize::text(graph, &repairs));
        Ok(repairs)
    }
}
