//! `mcuopt quantize`: finds the precision of each layer and the scale of each tensor, and writes them down for builds.

use std::path::PathBuf;

use mcuopt_codegen::LayerPrecision;
use mcuopt_codegen::cost::{Estimate, estimate};
use mcuopt_codegen::search::{self, Goal, Quality};
use serde_json::{Value, json};

use crate::answer::{Answer, DIM, Failure, GOOD, NAME, NOTE, grouped, write_file};
use crate::progress;
use crate::sensitivity::{self, core, precisions};
use crate::settings::{Compilation, cores};
use crate::table::{Table, shortened};

/// What `--help` says below the options.
pub(crate) const GOAL: &str = "\
With --min-sqnr or --max-accuracy-drop, the cheapest precision of each layer is searched that keeps the limit, by modelled
cycles, flash and RAM as --optimize weighs them; --max-ram and --max-flash are kept as well. Layers that --layers names stay
as they are. Without a limit, all other layers are int8, and the ranges of all tensors are written down.

Accuracy needs an array `labels` beside the samples; without it, the share of samples counts that are not classified as by the
float network.";

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    compilation: Compilation,
    /// The core that costs are estimated for
    #[arg(long, value_name = "CORE", default_value = "cortex-m4", value_parser = cores())]
    target: String,
    /// The precisions to choose from, separated by commas
    #[arg(long, value_name = "TYPES", value_delimiter = ',', value_parser = precisions(),
        default_value = "int8,int16x8,int4,int16x4,float32")]
    precisions: Vec<String>,
    /// Where the result goes [default: <model>.quant.toml, where builds look for it]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Answer, Failure> {
    let model = &arguments.compilation.model;
    let mut options = arguments.compilation.settings.options(model)?;
    options.read_config().map_err(Failure::of(model))?;
    let goal = Goal {
        min_sqnr: options.min_sqnr.take(),
        max_accuracy_drop: options.max_accuracy_drop.take(),
        core: core(&arguments.target)?,
        precisions: arguments.precisions.iter().filter_map(|name| LayerPrecision::of(name)).collect(),
    };
    let path = arguments.output.clone().unwrap_or_else(|| options.quantization_default());
    let bar = progress::watched();
    let report = |done: usize, all: usize, what: &str| progress::show(&bar, done, all, what);
    let has_goal = goal.min_sqnr.is_some() || goal.max_accuracy_drop.is_some();
    let found = match has_goal {
        true => search::search(&options, &goal, &report).map(|found| {
            let json = json!({
                "measured_networks": found.measured,
                "int8": costs(&found.int8.0, &found.int8.1),
                "sensitivity": sensitivity::json(&found.sensitivity),
            });
            (found.record, found.quality, found.compiled, Some(found.int8), json)
        }),
        false => search::fix(&options).map(|(record, quality, compiled)| (record, quality, compiled, None, json!({}))),
    };
    bar.finish_and_clear();
    let (record, quality, compiled, int8, mut json) = found.map_err(Failure::of(model))?;
    let command = format!("mcuopt quantize {}", model.file_name().unwrap_or_default().to_string_lossy());
    let command = if has_goal { format!("{command}: {goal}, on the {}", arguments.target) } else { command };
    write_file(&path, &record.text(&command))?;

    let estimate = estimate(&compiled, goal.core);
    let mut text = format!("{GOOD}wrote{GOOD:#} {}\n\n", path.display());
    let mut table = Table::new(&["", ">SQNR", ">right", ">as float32", ">cycles", ">RAM", ">weights"]);
    let mut row = |name: &str, quality: &Quality, estimate: &Estimate| {
        table.row(vec![
            name.to_string(),
            format!("{:.1} dB", quality.sqnr),
            quality.accuracy.map_or("-".to_string(), |accuracy| format!("{:.2} %", accuracy * 100.0)),
            format!("{:.2} %", quality.agreement * 100.0),
            grouped(estimate.cycles),
            grouped(estimate.ram_bytes as u64),
            grouped(estimate.weight_bytes as u64),
        ]);
    };
    if let Some((quality, estimate)) = &int8 {
        row("int8 throughout", quality, estimate);
    }
    row(if has_goal { "found" } else { "as asked" }, &quality, &estimate);
    text += &table.to_string();
    text += &format!("\nlayers are {NAME}{}{NAME:#}", record.precisions.default.name());
    if !record.precisions.layers.is_empty() {
        text += ", but\n";
        let mut table = Table::new(&["layer", "precision"]);
        for (name, precision) in &record.precisions.layers {
            table.row(vec![shortened(name, 60), precision.name().to_string()]);
        }
        text += &table.to_string();
    } else {
        text.push('\n');
    }
    for note in &compiled.notes {
        text += &format!("{NOTE}note:{NOTE:#} {note}\n");
    }
    text += &format!("{DIM}Builds take this file as given; review it like code.{DIM:#}\n");

    let layers: serde_json::Map<String, Value> =
        record.precisions.layers.iter().map(|(name, precision)| (name.clone(), precision.name().into())).collect();
    json["file"] = json!(path);
    json["found"] = costs(&quality, &estimate);
    json["default"] = record.precisions.default.name().into();
    json["layers"] = layers.into();
    json["notes"] = json!(compiled.notes);
    Ok(Answer { text, json, ..Answer::default() })
}

fn costs(quality: &Quality, estimate: &Estimate) -> Value {
    json!({
        "sqnr_db": Some(quality.sqnr).filter(|ratio| ratio.is_finite()),
        "accuracy": quality.accuracy,
        "agreement": quality.agreement,
        "cycles": estimate.cycles,
        "ram_bytes": estimate.ram_bytes,
        "weight_bytes": estimate.weight_bytes,
    })
}
