//! What quantization does to each layer: the same samples through the float graph and through the kernels.

use std::collections::BTreeMap;
use std::fmt;

use mcuopt_rt::v0 as rt;

use super::lower::lower_with_origins;
use crate::calibrate::{Range, Samples, calibrate};
use crate::error::{Error, Errors};
use crate::graph::{Graph, Node, ValueId, Width};
use crate::interp;
use crate::ops::{Layer, Op};
use crate::tensor::{DType, Element as _, Tensor};

/// Samples that say enough about the error.
const SAMPLES: usize = 64;

/// Bins of a layer's histogram, of equal width over its range.
pub(super) const BINS: usize = 32;

/// The error of a quantized network, layer by layer.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// Number of samples that were run.
    pub samples: usize,
    /// The layers, in the order in which they run.
    pub layers: Vec<LayerReport>,
    /// For each output of the network, its signal-to-noise ratio in decibels.
    pub outputs: Vec<f64>,
}

/// What quantization does to one layer.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerReport {
    /// The node's name in the file.
    pub name: String,
    /// The operator.
    pub operator: String,
    /// The element type of the result.
    pub element: DType,
    /// Signal-to-quantization-noise ratio of the result, with all layers before quantized as well: 10·log10 of the
    /// float result's energy by the error's; +∞ without an error.
    pub sqnr: f64,
    /// The same if this layer alone is quantized: its operands are the rounded float values.
    pub own_sqnr: f64,
    /// Cosine of the angle between float and quantized result.
    pub cosine: f64,
    /// Largest absolute error of an element.
    pub largest_error: f32,
    /// Share of the float result's elements that lie outside of what its integers can stand for.
    pub clipped: f64,
    /// Smallest and largest element of the float result over all samples.
    pub range: Range,
    /// Scale and zero point of the result, if it is quantized.
    pub quantization: Option<(f32, i32)>,
    /// How many elements of the float result fall into each of 32 equal parts of the range.
    pub histogram: Vec<u64>,
}

impl Report {
    /// The layer in which most of the error is born: the one with the lowest signal-to-noise ratio of its own.
    pub fn worst(&self) -> Option<&LayerReport> {
        let known = self.layers.iter().filter(|layer| !layer.own_sqnr.is_nan());
        known.min_by(|a, b| a.own_sqnr.total_cmp(&b.own_sqnr))
    }
}

/// Sums over samples.
#[derive(Clone, Debug, Default)]
struct Sums {
    signal: f64,
    quantized: f64,
    product: f64,
    noise: f64,
    own_noise: f64,
    largest: f32,
    clipped: u64,
    count: u64,
    histogram: Vec<u64>,
}

/// Compares a float graph with the graph that it became by quantization; both have the same values, but for constants.
pub fn report(float: &Graph<Op>, quantized: &Graph<Op>, samples: &Samples) -> Result<Report, Errors> {
    let (lowered, origins) = lower_with_origins(quantized)?;
    let count = samples.len().min(SAMPLES);
    let ranges = calibrate(float, samples)?;
    let mut layers: Vec<Sums> = vec![Sums { histogram: vec![0; BINS], ..Sums::default() }; lowered.nodes.len()];
    for index in 0..count {
        let inputs = samples.sample(index * samples.len() / count)?;
        let mut expected: BTreeMap<ValueId, Tensor> = BTreeMap::new();
        interp::run_float(float, &inputs, |id, tensor| {
            expected.insert(id, tensor.clone());
        })?;
        let quantized_inputs: Vec<Tensor> =
            lowered.inputs.iter().zip(&inputs).map(|(id, tensor)| stored(&lowered, *id, tensor)).collect();
        let mut results: Vec<Tensor> = Vec::with_capacity(lowered.nodes.len());
        interp::run_lowered(&lowered, &quantized_inputs, |_, tensor| results.push(tensor.clone()))?;
        for ((node, found), sums) in lowered.nodes.iter().zip(&results).zip(&mut layers) {
            let output = node.outputs[0];
            let Some(reference) = origins.get(&output).and_then(|id| expected.get(id)) else { continue };
            let own = alone(&lowered, node, &origins, &expected)?;
            let range = origins.get(&output).and_then(|id| ranges.get(id)).map(|known| known.range);
            sums.add(&lowered, output, reference, found, own.as_ref(), range);
        }
    }
    let layer = |(node, sums): (&Node<Layer>, &Sums)| {
        let output = lowered.value(node.outputs[0]);
        let single = output.quantization.as_ref().and_then(|quantization| quantization.single());
        let range = origins.get(&node.outputs[0]).and_then(|id| ranges.get(id)).map(|known| known.range);
        LayerReport {
            name: node.name.clone(),
            operator: node.op.operator.to_string(),
            element: output.ty.dtype,
            sqnr: decibels(sums.signal, sums.noise),
            own_sqnr: decibels(sums.signal, sums.own_noise),
            cosine: cosine(sums),
            largest_error: sums.largest,
            clipped: sums.clipped as f64 / sums.count.max(1) as f64,
            range: range.unwrap_or(Range { min: 0.0, max: 0.0 }),
            quantization: single.filter(|_| output.ty.dtype != DType::F32),
            histogram: sums.histogram.clone(),
        }
    };
    let reports: Vec<LayerReport> = lowered.nodes.iter().zip(&layers).map(layer).collect();
    let output = |id: &ValueId| {
        let position = lowered.nodes.iter().position(|node| node.outputs[0] == *id);
        position.map_or(f64::INFINITY, |position| reports[position].sqnr)
    };
    let outputs = lowered.outputs.iter().map(output).collect();
    Ok(Report { samples: count, outputs, layers: reports })
}

/// The result of a layer whose operands are the rounded float values; `None` if one of them has no float value.
fn alone(
    lowered: &Graph<Layer>,
    node: &Node<Layer>,
    origins: &BTreeMap<ValueId, ValueId>,
    expected: &BTreeMap<ValueId, Tensor>,
) -> Result<Option<Tensor>, Error> {
    let mut operands = Vec::with_capacity(node.inputs.len());
    for id in &node.inputs {
        let operand = match (lowered.constant(*id), origins.get(id).and_then(|id| expected.get(id))) {
            (Some(constant), _) => constant.clone(),
            (None, Some(float)) => stored(lowered, *id, float),
            (None, None) => return Ok(None),
        };
        operands.push(operand);
    }
    let ty = &lowered.value(node.outputs[0]).ty;
    let mut result = Tensor::zeros(ty.dtype, &ty.shape);
    node.op.kernel.run(&operands.iter().collect::<Vec<_>>(), &mut result);
    Ok(Some(result))
}

/// A tensor of the float graph as the lowered graph holds it.
pub(crate) fn stored(lowered: &Graph<Layer>, id: ValueId, tensor: &Tensor) -> Tensor {
    let value = lowered.value(id);
    let shaped = |tensor: Tensor| tensor.reshaped(&value.ty.shape).unwrap_or(tensor);
    match (tensor.f32s(), &value.quantization) {
        (Some(elements), Some(known)) if Width::of(value.ty.dtype).is_some() => {
            let integers = elements.iter().map(|&x| known.round(x).unwrap_or_default() as f32).collect();
            let integers = Tensor::new(&value.ty.shape, integers).and_then(|reals: Tensor| reals.cast(value.ty.dtype));
            integers.unwrap_or_else(|| tensor.clone())
        }
        _ => shaped(tensor.at_run_time()),
    }
}

/// The reals that a lowered tensor stands for; `None` for integers of the file.
pub(crate) fn reals(lowered: &Graph<Layer>, id: ValueId, tensor: &Tensor) -> Option<Vec<f32>> {
    let single = lowered.value(id).quantization.as_ref().and_then(|quantization| quantization.single());
    match (tensor, single) {
        (Tensor::F32(_), _) => Some(f32::of(tensor).to_vec()),
        (Tensor::I8(_), Some((scale, zero_point))) => {
            Some(i8::of(tensor).iter().map(|&q| rt::dequantize(q, scale, zero_point)).collect())
        }
        (Tensor::I16(_), Some((scale, zero_point))) => {
            Some(i16::of(tensor).iter().map(|&q| rt::dequantize_i16(q, scale, zero_point)).collect())
        }
        _ => None,
    }
}

impl Sums {
    fn add(
        &mut self,
        lowered: &Graph<Layer>,
        id: ValueId,
        reference: &Tensor,
        found: &Tensor,
        own: Option<&Tensor>,
        range: Option<Range>,
    ) {
        let (Some(reference), Some(found)) = (reference.f32s(), reals(lowered, id, found)) else { return };
        let own = own.and_then(|own| reals(lowered, id, own)).unwrap_or_else(|| found.clone());
        let value = lowered.value(id);
        let limits = value.quantization.as_ref().and_then(|quantization| {
            let ((scale, zero), (min, max)) = (quantization.single()?, quantization.width.limits());
            Some([min, max].map(|end| (end - zero) as f32 * scale))
                .map(|[min, max]| [min - scale / 2.0, max + scale / 2.0])
        });
        // A mask of attention is infinite where it hides; integers do not come near, and need not.
        for ((&x, &y), &own) in reference.iter().zip(&found).zip(&own).filter(|((x, _), _)| x.is_finite()) {
            let (x64, y64) = (f64::from(x), f64::from(y));
            self.signal += x64 * x64;
            self.quantized += y64 * y64;
            self.product += x64 * y64;
            self.noise += (x64 - y64).powi(2);
            self.own_noise += (x64 - f64::from(own)).powi(2);
            self.largest = self.largest.max((x - y).abs());
            self.clipped += u64::from(limits.is_some_and(|[low, high]| x < low || x > high));
            if let Some(Range { min, max }) = range.filter(|range| range.max > range.min) {
                let bin = ((x - min) / (max - min) * BINS as f32) as usize;
                self.histogram[bin.min(BINS - 1)] += 1;
            }
        }
        self.count += reference.len() as u64;
    }
}

fn decibels(signal: f64, noise: f64) -> f64 {
    if noise == 0.0 { f64::INFINITY } else { 10.0 * (signal / noise).log10() }
}

fn cosine(sums: &Sums) -> f64 {
    let lengths = (sums.signal * sums.quantized).sqrt();
    if lengths == 0.0 { 1.0 } else { sums.product / lengths }
}

impl fmt::Display for Report {
    /// A table, a line for each layer.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.layers.iter().map(|layer| layer.name.chars().count()).max().unwrap_or(0).clamp(5, 40);
        writeln!(
            f,
            "{:width$} {:>18} {:>7} {:>8} {:>8} {:>8} {:>10} {:>8}",
            "layer", "operator", "type", "SQNR dB", "own dB", "cosine", "max error", "clipped"
        )?;
        for layer in &self.layers {
            let name: String = layer.name.chars().rev().take(width).collect::<Vec<_>>().into_iter().rev().collect();
            writeln!(
                f,
                "{name:width$} {:>18} {:>7} {:>8.1} {:>8.1} {:>8.5} {:>10.4} {:>7.3}%",
                layer.operator,
                layer.element.name(),
                layer.sqnr,
                layer.own_sqnr,
                layer.cosine,
                layer.largest_error,
                layer.clipped * 100.0
            )?;
        }
        if let Some(worst) = self.worst() {
            writeln!(f, "most of the error is born in `{}` ({:.1} dB of its own)", worst.name, worst.own_sqnr)?;
        }
        Ok(())
    }
}
