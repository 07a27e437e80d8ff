//! `mcuopt sensitivity`: what each layer alone does to the network's answers, in each precision.

use std::path::Path;

use clap::builder::PossibleValuesParser;
use mcuopt_codegen::LayerPrecision;
use mcuopt_codegen::cost::Core;
use mcuopt_codegen::search::{self, Sensitivity};
use serde_json::{Value, json};

use crate::answer::{Answer, Failure, grouped};
use crate::progress;
use crate::settings::{Compilation, cores};
use crate::table::{Table, shortened};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    compilation: Compilation,
    /// The core that cycles are estimated for
    #[arg(long, value_name = "CORE", default_value = "cortex-m4", value_parser = cores())]
    target: String,
    /// The precisions to try, separated by commas
    #[arg(long, value_name = "TYPES", value_delimiter = ',', value_parser = precisions(), default_value = "int8,int16x8,int4")]
    precisions: Vec<String>,
}

/// The names of precisions of layers.
pub(crate) fn precisions() -> PossibleValuesParser {
    PossibleValuesParser::new(LayerPrecision::ALL.map(LayerPrecision::name))
}

/// A core by its name, which the command line has checked.
pub(crate) fn core(name: &str) -> Result<Core, Failure> {
    Core::of(name).ok_or_else(|| Failure::Usage(format!("there is no core `{name}`")))
}

pub(crate) fn run(arguments: &Arguments) -> Result<Answer, Failure> {
    let model = &arguments.compilation.model;
    let options = arguments.compilation.settings.options(model)?;
    let precisions: Vec<LayerPrecision> =
        arguments.precisions.iter().filter_map(|name| LayerPrecision::of(name)).collect();
    let bar = progress::watched();
    let report = |done: usize, all: usize, what: &str| progress::show(&bar, done, all, what);
    let found = search::sensitivity(&options, &precisions, core(&arguments.target)?, &report);
    bar.finish_and_clear();
    let found = found.map_err(Failure::of(model))?;
    Ok(Answer { text: text(&found, model, &arguments.target), json: json(&found), ..Answer::default() })
}

fn text(found: &Sensitivity, model: &Path, target: &str) -> String {
    let mut text = format!(
        "{}: what each layer alone does to the outputs, over {} samples; cycles on the {target}\n",
        model.display(),
        found.samples
    );
    if let Some(accuracy) = found.float_accuracy {
        text += &format!("float32 is right for {:.2} % of the labelled samples\n", accuracy * 100.0);
    }
    let first = found.layers.first().map_or(&[][..], |layer| &layer.damages);
    let mut columns = vec!["layer".to_string(), "operator".to_string()];
    for damage in first {
        columns.push(format!(">{} dB", damage.precision.name()));
        columns.extend(damage.accuracy.map(|_| ">right".to_string()));
        columns.push(">cycles".to_string());
        columns.push(">flash".to_string());
    }
    let mut table = Table::new(&columns.iter().map(String::as_str).collect::<Vec<_>>());
    let mut layers: Vec<_> = found.layers.iter().collect();
    layers.sort_by(|a, b| {
        let noise = |damages: &[search::Damage]| damages.first().map_or(0.0, |damage| damage.noise);
        noise(&b.damages).total_cmp(&noise(&a.damages))
    });
    for layer in layers {
        let mut cells = vec![shortened(&layer.name, 40), layer.operator.clone()];
        for damage in first {
            match layer.damage(damage.precision) {
                Some(known) => {
                    cells.push(format!("{:.1}", known.sqnr()));
                    cells.extend(known.accuracy.map(|accuracy| format!("{:.2} %", accuracy * 100.0)));
                    cells.push(grouped(known.cycles));
                    cells.push(grouped(known.weight_bytes as u64));
                }
                None => cells.resize(cells.len() + 3 + usize::from(damage.accuracy.is_some()), "-".to_string()),
            }
        }
        table.row(cells);
    }
    text + &table.to_string()
}

/// `null` stands for a ratio without an error.
pub(crate) fn json(found: &Sensitivity) -> Value {
    let damage = |damage: &search::Damage| {
        json!({
            "precision": damage.precision.name(),
            "sqnr_db": Some(damage.sqnr()).filter(|ratio| ratio.is_finite()),
            "accuracy": damage.accuracy,
            "cycles": damage.cycles,
            "weight_bytes": damage.weight_bytes,
            "output_bytes": damage.output_bytes,
        })
    };
    let layer = |layer: &search::LayerSensitivity| {
        json!({
            "name": layer.name,
            "operator": layer.operator,
            "damages": layer.damages.iter().map(damage).collect::<Vec<_>>(),
        })
    };
    json!({
        "samples": found.samples,
        "float_accuracy": found.float_accuracy,
        "layers": found.layers.iter().map(layer).collect::<Vec<_>>(),
    })
}
