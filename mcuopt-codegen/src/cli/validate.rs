//! `mcuopt validate`: is it right? A labelled set through an independent implementation, through the kernels on the host,
//! and through the firmware on an emulated or real core.

mod data_set;
mod reference;
mod score;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use mcuopt_codegen::calibrate::Samples;
use mcuopt_codegen::graph::Type;
use mcuopt_codegen::profile::{self, Options, Step};
use mcuopt_codegen::tensor::Tensor;
use mcuopt_codegen::{Compiled, Error, quantize};
use serde::Serialize;

use crate::answer::{Answer, BAD, BOLD, DIM, Failure, GOOD, NOTE, grouped};
use crate::inference::{as_taken, bytes, for_each, from_bytes, real, reals};
use crate::inspect::arithmetic;
use crate::profile::options as profile_options;
use crate::progress;
use crate::settings::{Compilation, cores, platforms};
use crate::table::{Table, shortened};
use data_set::DataSet;
use reference::Reference;
use score::{Confusion, Metric};

/// Classes up to which the confusion matrix is shown; of more, the pairs that are confused most.
const MATRIX: usize = 14;

pub(crate) const DATA: &str = "\
The data is a .npz file:
  the name of an input, or x   the items, the first axis one each; the rest is the input's shape, or its elements
  y, or labels                 the class of each item as a number from 0, or what the network should answer
                               (without: int8 is measured against float)
  scale, zero_point            for items that are a sensor's integers: the network takes (x - zero_point) * scale";

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Items and labels: an .npz file, as shown below
    #[arg(long, value_name = "FILE")]
    data: PathBuf,
    /// Run the firmware on an emulated core as well, and compare it with the host byte for byte
    #[arg(long, value_name = "CORE", value_parser = cores(), conflicts_with = "board")]
    target: Option<String>,
    /// Run it on this board, an emulated one or, with --runner, a real one
    #[arg(long, value_name = "BOARD", value_parser = platforms())]
    board: Option<String>,
    /// A command that runs a program on the board and prints what it says: `probe-rs run --chip nRF52840_xxAA`
    #[arg(long, value_name = "COMMAND", requires = "board")]
    runner: Option<String>,
    /// Take the first items alone
    #[arg(long, value_name = "COUNT")]
    limit: Option<usize>,
    /// What to measure [default: accuracy where the labels are classes, the error against targets where they are as many
    /// numbers as the output, reconstruction where the output is as large as the input, else the error against float]
    #[arg(long, value_enum, value_name = "METRIC")]
    metric: Option<Metric>,
    /// The output to measure [default: the first with more than one element, or the first]
    #[arg(long, value_name = "NAME")]
    output: Option<String>,
    /// Names of the classes, a line each
    #[arg(long, value_name = "FILE")]
    classes: Option<PathBuf>,
    /// End with exit code 3 if the deployed network's accuracy is below this share
    #[arg(long, value_name = "SHARE")]
    min_accuracy: Option<f64>,
    /// End with exit code 3 if it agrees with the float reference on fewer items than this share
    #[arg(long, value_name = "SHARE")]
    min_agreement: Option<f64>,
    /// End with exit code 3 if its mean squared error is above this
    #[arg(long, value_name = "ERROR")]
    max_error: Option<f64>,
    #[command(flatten)]
    compilation: Compilation,
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Validation {
    model: String,
    data: String,
    items: usize,
    /// The output that is measured.
    output: String,
    metric: Metric,
    /// `tract`, or `mcuopt float32` where tract does not take the model.
    reference: String,
    /// One for each way in which the network ran; the last one is what is deployed.
    runs: Vec<Run>,
    /// Of the last run; null without classes.
    confusion: Option<Confusion>,
    /// Whether the firmware answered with the host's very bytes; null without a target.
    device_equals_host: Option<bool>,
    /// Signal-to-quantization-noise ratio of each layer in decibels; empty for a network in float32.
    layers: Vec<LayerError>,
    notes: Vec<String>,
    missed: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Run {
    /// `reference`, `float32`, the arithmetic as `report` names it, or the target.
    name: String,
    /// Accuracy, or a mean squared error, as `metric` says.
    score: f64,
    /// Share of items with the reference's largest element; null without classes.
    agreement: Option<f64>,
    /// Mean squared difference from the reference.
    difference: f64,
    /// Inferences per second, on all processors of the host or in the emulator.
    per_second: f64,
}

#[derive(Debug, Serialize)]
struct LayerError {
    /// The node's name in the file.
    layer: String,
    operator: String,
    /// Null: without an error.
    sqnr: Option<f64>,
    own_sqnr: Option<f64>,
}

/// The answers of one way to run the network: for each item the numbers of the output that is measured.
type Answers = Vec<Vec<f32>>;

pub(crate) fn run(arguments: &Arguments) -> Result<Answer, Failure> {
    let path = &arguments.compilation.model;
    let compiled = arguments.compilation.compile()?;
    if compiled.whole.is_some() || compiled.options.stateful {
        let what = "a network that goes on from call to call has no items of its own: validate it without `stream` and \
                    `stateful`, whose outputs are the same bit for bit";
        return Err(Failure::Usage(what.into()));
    }
    let data = DataSet::read(&arguments.data, &compiled.float, arguments.limit)?;
    let output = arguments.output_position(&compiled)?;
    let length = compiled.graph.value(compiled.graph.outputs[output]).ty.len();
    let metric = arguments.metric(&data, &compiled, length)?;
    let mut notes = compiled.notes.clone();
    if data.answers.is_some()
        && matches!(metric, Metric::Reconstruction | Metric::Difference)
        && arguments.metric.is_none()
    {
        notes.push(format!(
            "the answers in {} are neither classes nor targets of this output",
            arguments.data.display()
        ));
    }

    let float = float_twin(arguments, &compiled)?;
    let (name, expected, reference_rate) = reference_answers(path, &compiled, &float, &data, output, &mut notes)?;
    let score = |answers: &Answers| metric.measure(answers, &data, &expected, length);
    let measured = |name: &str, answers: &Answers, per_second: f64| Run {
        name: name.into(),
        score: score(answers),
        agreement: metric.agreement(answers, &expected, length),
        difference: score::mean_square(answers, &expected),
        per_second,
    };
    let mut runs = vec![measured("reference", &expected, reference_rate)];
    let host = on_host(&float, &data, output, "float32")?;
    runs.push(measured("float32", &host.answers, host.per_second));
    let mut deployed = host;
    if arithmetic(&compiled) != "float32" {
        deployed = on_host(&compiled, &data, output, arithmetic(&compiled))?;
        runs.push(measured(arithmetic(&compiled), &deployed.answers, deployed.per_second));
    }
    let mut device_equals_host = None;
    if let Some((name, options)) = arguments.device()? {
        let device = on_device(&compiled, &data, output, name, &options)?;
        device_equals_host = Some(device.bytes == deployed.bytes);
        runs.push(measured(name, &device.answers, device.per_second));
        deployed = device;
    }

    let layers = layer_errors(&compiled, &data)?;
    let confusion = match metric {
        Metric::Accuracy => Some(Confusion::new(&deployed.answers, &data, length, arguments.class_names(length)?)),
        _ => None,
    };
    let mut missed = arguments.missed(metric, &runs[runs.len() - 1]);
    if device_equals_host == Some(false) {
        missed.push("device and host do not answer with the same bytes: please report it".into());
    }
    let validation = Validation {
        model: path.display().to_string(),
        data: arguments.data.display().to_string(),
        items: data.items.len(),
        output: compiled.graph.value(compiled.graph.outputs[output]).name.clone(),
        metric,
        reference: name,
        runs,
        confusion,
        device_equals_host,
        layers,
        notes,
        missed: missed.clone(),
    };
    let json = serde_json::to_value(&validation).unwrap_or_default();
    Ok(Answer { text: validation.text(), json, missed, ..Answer::default() })
}

impl Arguments {
    /// Where the firmware is to run, and the name of that.
    fn device(&self) -> Result<Option<(&str, Options)>, Failure> {
        let name = self.board.as_deref().or(self.target.as_deref());
        let options = profile_options(self.target.as_deref(), self.board.as_deref(), self.runner.as_deref())?;
        Ok(name.zip(options))
    }

    fn output_position(&self, compiled: &Compiled) -> Result<usize, Failure> {
        let outputs = &compiled.graph.outputs;
        let value = |index: usize| compiled.graph.value(outputs[index]);
        match &self.output {
            None => Ok((0..outputs.len()).find(|index| value(*index).ty.len() > 1).unwrap_or(0)),
            Some(name) => (0..outputs.len()).find(|index| value(*index).name == *name).ok_or_else(|| {
                let names: Vec<&str> = (0..outputs.len()).map(|index| value(index).name.as_str()).collect();
                Failure::Usage(format!("no output `{name}`; there are: {}", names.join(", ")))
            }),
        }
    }

    /// The metric that the user names, or the one that the data suggests.
    fn metric(&self, data: &DataSet, compiled: &Compiled, length: usize) -> Result<Metric, Failure> {
        let reconstructs = compiled.graph.inputs.len() == 1 && data.items[0][0].len() == length;
        let possible = |metric: &Metric| match metric {
            Metric::Accuracy => data.classes(length.max(2)).is_some(),
            Metric::Targets => data.targets(length).is_some(),
            Metric::Reconstruction => reconstructs && length > 1,
            Metric::Difference => true,
        };
        let all = [Metric::Accuracy, Metric::Targets, Metric::Reconstruction, Metric::Difference];
        match self.metric {
            Some(metric) if !possible(&metric) => {
                let what =
                    format!("the data allows no {metric:?}: the output has {length} elements, {}", metric.needs());
                Err(Failure::Usage(what))
            }
            Some(metric) => Ok(metric),
            None => Ok(all.into_iter().find(possible).unwrap_or(Metric::Difference)),
        }
    }

    fn class_names(&self, count: usize) -> Result<Vec<String>, Failure> {
        let count = count.max(2);
        let Some(path) = &self.classes else { return Ok((0..count).map(|class| class.to_string()).collect()) };
        let shown = path.display();
        let text = std::fs::read_to_string(path).map_err(|error| Failure::Usage(format!("{shown}: {error}")))?;
        let names: Vec<String> =
            text.lines().map(|line| line.trim().to_string()).filter(|line| !line.is_empty()).collect();
        match names.len() == count {
            true => Ok(names),
            false => Err(Failure::Usage(format!("{shown} has {} names for {count} classes", names.len()))),
        }
    }

    /// The thresholds that the deployed network misses.
    fn missed(&self, metric: Metric, run: &Run) -> Vec<String> {
        let mut missed = Vec::new();
        let name = &run.name;
        match (self.min_accuracy, metric) {
            (Some(least), Metric::Accuracy) if run.score < least => {
                missed.push(format!("the accuracy of {name} is {:.4}, below {least}", run.score));
            }
            (Some(_), Metric::Accuracy) | (None, _) => {}
            (Some(_), _) => {
                missed.push("there is no accuracy to hold --min-accuracy against: the labels are no classes".into())
            }
        }
        match (self.min_agreement, run.agreement) {
            (Some(least), Some(agreement)) if agreement < least => {
                missed.push(format!("{name} agrees with the reference on {agreement:.4} of the items, below {least}"));
            }
            (Some(_), None) => {
                missed.push("there is no agreement to hold --min-agreement against: the output has one element".into())
            }
            _ => {}
        }
        if let Some(most) = self.max_error {
            let (what, error) = match metric {
                Metric::Accuracy => ("mean squared difference from the reference", run.difference),
                _ => ("mean squared error", run.score),
            };
            if error > most || error.is_nan() {
                missed.push(format!("the {what} of {name} is {error:.6}, above {most}"));
            }
        }
        missed
    }
}

/// The same network in float32.
fn float_twin(arguments: &Arguments, compiled: &Compiled) -> Result<Compiled, Failure> {
    if arithmetic(compiled) == "float32" {
        return Ok(compiled.clone());
    }
    let options = mcuopt_codegen::Options {
        precision: mcuopt_codegen::Precision::Float32,
        // They are limits for what is deployed.
        max_ram: None,
        max_flash: None,
        ..arguments.compilation.settings.options(&arguments.compilation.model)?
    };
    let mut twin = mcuopt_codegen::compile(&options);
    if let Err(errors) = &twin
        && errors.iter().all(|error| matches!(error.kind, mcuopt_codegen::error::Kind::Budget(_)))
    {
        // The limits stand in the TOML file: what they say about float32 is of no interest.
        let lifted = mcuopt_codegen::Options { max_ram: Some(usize::MAX), max_flash: Some(usize::MAX), ..options };
        twin = mcuopt_codegen::compile(&lifted);
    }
    twin.map_err(Failure::of(&arguments.compilation.model))
}

/// What the reference answers, its name, and inferences per second.
fn reference_answers(
    path: &Path,
    compiled: &Compiled,
    float: &Compiled,
    data: &DataSet,
    output: usize,
    notes: &mut Vec<String>,
) -> Result<(String, Answers, f64), Failure> {
    let bar = progress::steps(data.items.len(), "reference");
    let begin = Instant::now();
    let answers = Reference::new(path, &compiled.graph).and_then(|reference| {
        let first = reference.run(&data.items[0])?;
        let wanted = compiled.graph.value(compiled.graph.outputs[output]).ty.len();
        if first.get(output).map(Vec::len) != Some(wanted) {
            return Err("its outputs have other shapes".into());
        }
        let answer = |index: usize| {
            let outputs = reference.run(&data.items[index]).map_err(Error::io)?;
            Ok(outputs.into_iter().nth(output).unwrap_or_default())
        };
        for_each(data.items.len(), &bar, answer).map_err(|error| error.to_string())
    });
    bar.finish_and_clear();
    match answers {
        Ok(answers) => Ok(("tract".into(), answers, rate(data, begin))),
        Err(reason) => {
            notes.push(format!("tract does not run this model, so float32 of mcuopt is the reference: {reason}"));
            let own = on_host(float, data, output, "reference")?;
            Ok(("mcuopt float32".into(), own.answers, own.per_second))
        }
    }
}

/// How the network answered somewhere.
struct Answered {
    answers: Answers,
    /// All outputs of all items, byte for byte.
    bytes: Vec<u8>,
    per_second: f64,
}

/// Runs the firmware's kernels on the host.
fn on_host(compiled: &Compiled, data: &DataSet, output: usize, name: &str) -> Result<Answered, Failure> {
    let bar = progress::steps(data.items.len(), format!("{name} on this machine"));
    let begin = Instant::now();
    let answer = |index: usize| {
        let outputs = compiled.run(&as_taken(compiled, &data.items[index])?)?;
        Ok((reals(compiled, &outputs).swap_remove(output), bytes(&outputs)))
    };
    let answered = for_each(data.items.len(), &bar, answer)?;
    bar.finish_and_clear();
    let per_second = rate(data, begin);
    let (answers, outputs): (Vec<_>, Vec<_>) = answered.into_iter().unzip();
    Ok(Answered { answers, bytes: outputs.concat(), per_second })
}

/// Runs the firmware.
fn on_device(
    compiled: &Compiled,
    data: &DataSet,
    output: usize,
    name: &str,
    options: &Options,
) -> Result<Answered, Failure> {
    let items = data.items.iter().map(|item| Ok(bytes(&as_taken(compiled, item)?)));
    let items: Vec<Vec<u8>> = items.collect::<Result<_, Error>>()?;
    let types: Vec<&Type> = compiled.lowered.outputs.iter().map(|id| &compiled.lowered.value(*id).ty).collect();
    let size: usize = types.iter().map(|ty| ty.bytes()).sum();
    let spinner = progress::spinner("");
    let bar = progress::steps(data.items.len(), format!("{name}, firmware"));
    let mut begin = Instant::now();
    let mut doing = |step: Step| {
        spinner.set_message(crate::profile::doing(step, options.platform));
        if step == Step::Run {
            spinner.finish_and_clear();
            begin = Instant::now();
        }
    };
    let mut done = |bytes: u64| bar.set_position(bytes / size.max(1) as u64);
    let outputs = profile::answers(compiled, options, &items.concat(), &mut doing, &mut done)?;
    bar.finish_and_clear();
    let per_second = rate(data, begin);
    if outputs.len() != size * data.items.len() {
        let what = format!("the firmware answered with {} bytes of {}", outputs.len(), size * data.items.len());
        return Err(Error::bug(what).into());
    }
    let start: usize = types[..output].iter().map(|ty| ty.bytes()).sum();
    let answer = |outputs: &[u8]| {
        let own = &outputs[start..start + types[output].bytes()];
        let tensor = from_bytes(types[output], own);
        real(compiled, output, &tensor)
    };
    let answers = outputs.chunks_exact(size.max(1)).map(answer).collect();
    Ok(Answered { answers, bytes: outputs, per_second })
}

fn rate(data: &DataSet, begin: Instant) -> f64 {
    data.items.len() as f64 / begin.elapsed().as_secs_f64().max(1e-9)
}

/// The error that is born in each layer, over the set's items.
fn layer_errors(compiled: &Compiled, data: &DataSet) -> Result<Vec<LayerError>, Failure> {
    if arithmetic(compiled) == "float32" {
        return Ok(Vec::new());
    }
    let bar = progress::spinner("comparing layers");
    let of_input = |index: usize| data.items.iter().map(|item| item[index].clone()).collect::<Vec<Tensor>>();
    let samples = Samples::from_tensors((0..compiled.float.inputs.len()).map(of_input).collect());
    let report = quantize::report(&compiled.float, &compiled.graph, &samples);
    bar.finish_and_clear();
    let report = report.map_err(Failure::of(&compiled.options.model))?;
    let finite = |sqnr: f64| Some(sqnr).filter(|sqnr| sqnr.is_finite());
    let layer = |layer: &quantize::LayerReport| LayerError {
        layer: layer.name.clone(),
        operator: layer.operator.clone(),
        sqnr: finite(layer.sqnr),
        own_sqnr: finite(layer.own_sqnr),
    };
    Ok(report.layers.iter().map(layer).collect())
}

impl Validation {
    fn text(&self) -> String {
        let mut text = String::new();
        let _ = writeln!(
            text,
            "{BOLD}{}{BOLD:#}  {DIM}{} items of {}, output `{}`, reference: {}{DIM:#}\n",
            self.model, self.items, self.data, self.output, self.reference
        );
        let with_agreement = self.runs.iter().any(|run| run.agreement.is_some());
        let mut columns = vec!["", self.metric.column()];
        if with_agreement {
            columns.push(">as the reference");
        }
        columns.extend([">squared difference", ">inferences/s"]);
        let mut table = Table::new(&columns);
        for run in &self.runs {
            let mut cells = vec![run.name.clone(), self.metric.shown(run.score)];
            if with_agreement {
                cells.push(run.agreement.map_or("–".into(), |share| format!("{:.2} %", share * 100.0)));
            }
            cells.extend([format!("{:.3e}", run.difference), grouped(run.per_second.round() as u64)]);
            table.row(cells);
        }
        let _ = write!(text, "{table}");
        match self.device_equals_host {
            Some(true) => {
                let _ = writeln!(
                    text,
                    "\n  {GOOD}Device and host agree byte for byte on all {} items.{GOOD:#}",
                    self.items
                );
            }
            Some(false) => {
                let _ = writeln!(text, "\n  {BAD}Device and host do not agree.{BAD:#}");
            }
            None => {}
        }
        if let Some(confusion) = &self.confusion {
            let _ = write!(
                text,
                "\n{BOLD}Confusion{BOLD:#} {DIM}(rows: label, columns: answer){DIM:#}\n{}",
                confusion.text(MATRIX)
            );
        }
        if !self.layers.is_empty() {
            let _ = writeln!(text, "\n{BOLD}Layers{BOLD:#} {DIM}(signal to quantization noise){DIM:#}");
            let mut table = Table::new(&["layer", "operator", ">own dB", ">dB"]);
            for layer in &self.layers {
                let shown = |sqnr: Option<f64>| sqnr.map_or("exact".into(), |sqnr| format!("{sqnr:.1}"));
                table.row(vec![
                    shortened(&layer.layer, 40),
                    layer.operator.clone(),
                    shown(layer.own_sqnr),
                    shown(layer.sqnr),
                ]);
            }
            let _ = write!(text, "{table}");
        }
        for note in &self.notes {
            let _ = writeln!(text, "{NOTE}note:{NOTE:#} {note}");
        }
        text
    }
}
