//! `mcuopt diff`: what a retrained or edited model changes.

use std::fmt::Write as _;
use std::path::PathBuf;

use mcuopt_codegen::Compiled;
use mcuopt_codegen::calibrate::Samples;
use serde::Serialize;

use crate::answer::{Answer, BOLD, DIM, Failure, NAME, NOTE};
use crate::inference::{as_taken, for_each, largest, reals};
use crate::progress;
use crate::report::{Comparison, Port, Report, cores_and_boards};
use crate::settings::{Settings, cores};

/// Samples that say enough.
const SAMPLES: usize = 256;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The ONNX file as it was
    old: PathBuf,
    /// The ONNX file as it is now
    new: PathBuf,
    /// Cores to compare on, with commas between
    #[arg(long, value_name = "CORE", value_delimiter = ',', value_parser = cores(), default_value = "cortex-m4")]
    target: Vec<String>,
    /// Samples to compare outputs over [default: the calibration data of the old model, or else of the new one]
    #[arg(long, value_name = "FILE")]
    samples: Option<PathBuf>,
    #[command(flatten)]
    settings: Settings,
}

/// What `--json` prints: the fields of `report --compare`, and these.
#[derive(Debug, Serialize)]
struct Difference {
    #[serde(flatten)]
    comparison: Comparison,
    /// Inputs and outputs whose name, element type, shape or quantization changed, old and new.
    ports: Vec<PortChange>,
    /// How far the outputs differ; null without samples that fit both models.
    outputs: Option<Vec<OutputChange>>,
    notes: Vec<String>,
}

#[derive(Debug, Serialize)]
struct PortChange {
    /// `input` or `output`.
    kind: &'static str,
    position: usize,
    old: Option<Port>,
    new: Option<Port>,
}

#[derive(Debug, Serialize)]
struct OutputChange {
    /// The new model's name of it.
    output: String,
    samples: usize,
    /// Largest and mean absolute difference of an element.
    largest: f64,
    mean: f64,
    /// Share of samples whose largest element is the same; null for an output of one element.
    agreement: Option<f64>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Answer, Failure> {
    let (targets, _) = cores_and_boards(&arguments.target, &[], None)?;
    let old = arguments.settings.compile(&arguments.old)?;
    let new = arguments.settings.compile(&arguments.new)?;
    let reports = [(&old, &arguments.old), (&new, &arguments.new)]
        .map(|(compiled, path)| Report::new(compiled, None, &targets, &[]).map_err(Failure::of(path)));
    let [before, after] = reports;
    let (before, after) = (before?, after?);
    let mut notes = Vec::new();
    let outputs = match outputs(arguments, &old, &new) {
        Ok(outputs) => Some(outputs),
        Err(reason) => {
            notes.push(format!("outputs are not compared: {reason}"));
            None
        }
    };
    let ports = ["input", "output"].into_iter().flat_map(|kind| port_changes(kind, &before, &after)).collect();
    let difference = Difference { comparison: Comparison::new(&before, &after), ports, outputs, notes };
    let json = serde_json::to_value(&difference).unwrap_or_default();
    Ok(Answer { text: difference.text(), json, ..Answer::default() })
}

fn port_changes(kind: &'static str, before: &Report, after: &Report) -> Vec<PortChange> {
    let of = |report: &Report| if kind == "input" { report.inputs.clone() } else { report.outputs.clone() };
    let (old, new) = (of(before), of(after));
    let change = |position: usize| {
        let (old, new) = (old.get(position).cloned(), new.get(position).cloned());
        (old != new).then_some(PortChange { kind, position, old, new })
    };
    (0..old.len().max(new.len())).filter_map(change).collect()
}

/// How far the outputs of both models differ over samples, or why that cannot be said.
fn outputs(arguments: &Arguments, old: &Compiled, new: &Compiled) -> Result<Vec<OutputChange>, String> {
    let path = arguments.samples.clone();
    let path = path.or_else(|| old.options.calibration_path()).or_else(|| new.options.calibration_path());
    let path = path.ok_or("there are no samples; name some with --samples")?;
    let shapes = |compiled: &Compiled, inputs: bool| -> Vec<Vec<usize>> {
        let ids = if inputs { &compiled.graph.inputs } else { &compiled.graph.outputs };
        ids.iter().map(|id| compiled.graph.value(*id).ty.shape.clone()).collect()
    };
    if shapes(old, true) != shapes(new, true) || shapes(old, false) != shapes(new, false) {
        return Err("the models differ in the shapes of inputs or outputs".into());
    }
    if old.whole.is_some() || new.whole.is_some() {
        return Err("samples are whole windows; leave off `stream`".into());
    }
    let samples = Samples::read(&path, &old.float).map_err(|error| format!("{}: {error}", path.display()))?;
    let count = samples.len().min(SAMPLES);
    let bar = progress::steps(count, "comparing outputs");
    let answers = for_each(count, &bar, |index| {
        let sample = samples.sample(index * samples.len() / count)?;
        let [a, b] = [old, new].map(|compiled| {
            let outputs = compiled.run(&as_taken(compiled, &sample)?)?;
            Ok(reals(compiled, &outputs))
        });
        Ok((a?, b?))
    });
    bar.finish_and_clear();
    let answers = answers.map_err(|error| error.to_string())?;
    let change = |(position, id): (usize, &mcuopt_codegen::graph::ValueId)| {
        let pairs = answers.iter().map(|(a, b)| (&a[position], &b[position]));
        let elements = pairs.clone().flat_map(|(a, b)| a.iter().zip(b).map(|(a, b)| f64::from((a - b).abs())));
        let (sum, number, largest_difference) =
            elements.fold((0.0, 0_u64, 0.0_f64), |(sum, number, most), x| (sum + x, number + 1, most.max(x)));
        let same = pairs.filter(|(a, b)| largest(a) == largest(b)).count();
        let value = new.graph.value(*id);
        OutputChange {
            output: value.name.clone(),
            samples: count,
            largest: largest_difference,
            mean: sum / number.max(1) as f64,
            agreement: (value.ty.len() > 1).then(|| same as f64 / count.max(1) as f64),
        }
    };
    Ok(new.graph.outputs.iter().enumerate().map(change).collect())
}

impl Difference {
    fn text(&self) -> String {
        let mut text = self.comparison.text();
        if !self.ports.is_empty() {
            let _ = writeln!(text, "\n{BOLD}Inputs and outputs{BOLD:#}");
            for change in &self.ports {
                let shown = |port: &Option<Port>| port.as_ref().map_or("–".into(), describe);
                let _ = writeln!(text, "  {} {}: {}", change.kind, change.position, shown(&change.old));
                let _ = writeln!(
                    text,
                    "  {DIM}{:>width$}{DIM:#} {}",
                    "→",
                    shown(&change.new),
                    width = change.kind.len() + 3
                );
            }
        }
        for output in self.outputs.iter().flatten() {
            let _ = write!(
                text,
                "\n{BOLD}Output{BOLD:#} {NAME}{}{NAME:#} over {} samples: differs by {:.4} on average, {:.4} at most",
                output.output, output.samples, output.mean, output.largest
            );
            if let Some(agreement) = output.agreement {
                let _ = write!(text, "; the largest element is the same in {:.1} %", agreement * 100.0);
            }
            text.push('\n');
        }
        for note in &self.notes {
            let _ = writeln!(text, "\n{NOTE}note:{NOTE:#} {note}");
        }
        text
    }
}

fn describe(port: &Port) -> String {
    let quantization = port.scale.zip(port.zero_point);
    let quantization =
        quantization.map_or(String::new(), |(scale, zero)| format!(", scale {scale}, zero point {zero}"));
    format!("{NAME}{}{NAME:#} {}{:?}{quantization}", port.name, port.element, port.shape)
}
