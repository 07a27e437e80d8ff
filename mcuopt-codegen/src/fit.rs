//! Quantization by samples: ranges, scales and repairs, and what the cache keeps of them.

use std::path::PathBuf;

use crate::calibrate::{self, Method, Ranges, Samples};
use crate::error::Error;
use crate::graph::Graph;
use crate::ops::Op;
use crate::options::Options;
use crate::quantize::{self, Fit, Repair};

/// Gives every tensor its quantization, and repairs what that costs. The network before weights and biases were changed,
/// too.
pub(crate) fn fit(
    options: &Options,
    calibration: &Calibration,
    graph: &mut Graph<Op>,
) -> Result<(Graph<Op>, Vec<Repair>), Error> {
    let mut repairs = Vec::new();
    let mut ranges = calibration.ranges(graph)?;
    if options.bias_absorption.unwrap_or(true) {
        repairs.extend(quantize::absorb(graph, &ranges, &calibration.read(graph)?)?);
    }
    if !repairs.is_empty() {
        ranges = calibration.ranges(graph)?;
    }
    if options.equalization.unwrap_or(true) {
        let equalized = quantize::equalize(graph, &ranges, &calibration.read(graph)?)?;
        if !equalized.is_empty() {
            ranges = calibration.ranges(graph)?;
        }
        repairs.extend(equalized);
    }
    quantize::assign(graph, Some(&ranges))?;
    let float = graph.clone();
    let bias = options.bias_correction.unwrap_or(true);
    let fit = Fit { bias, adaround: options.adaround.unwrap_or(false), bits: 8 };
    let layers = quantize::choose_scales(graph, &ranges, fit.bits, options.ranges != Method::MinMax)?;
    repairs.extend(calibration.fit_layers(graph, &layers, fit)?);
    Ok((float, repairs))
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

    /// Fits weights and biases of the linear `layers` to the samples.
    fn fit_layers(&self, graph: &mut Graph<Op>, layers: &[usize], fit: Fit) -> Result<Vec<Repair>, Error> {
        if !fit.bias && !fit.adaround {
            return Ok(Vec::new());
        }
        let (content, settings) = (quantize::content(graph), format!("{fit:?}"));
        let key = calibrate::content_hash(&[self.key.as_bytes(), settings.as_bytes(), &content]);
        let mut known = graph.clone();
        if let Some(repairs) = calibrate::read(&key, "fit").and_then(|text| quantize::parse(&text, &mut known)) {
            *graph = known;
            return Ok(repairs);
        }
        let repairs = quantize::refine(graph, layers, &self.read(graph)?, fit)?;
        calibrate::write(&key, "fit", &quantize::text(graph, &repairs));
        Ok(repairs)
    }
}
