//! The report in a terminal.

use std::fmt::Write as _;

use super::{Report, Target};
use crate::answer::{BAD, BOLD, DIM, NOTE, grouped};
use crate::table::{Table, shortened};

/// A share of the cycles from which a layer is one to look at.
const HOT: f64 = 0.2;

/// What the source of a board's figures begins with if nobody could look it up: `cost/boards.toml`.
const UNVERIFIED: &str = "not verified";

pub(super) fn show(report: &Report) -> String {
    let mut text = String::new();
    let _ = writeln!(
        text,
        "{BOLD}{}{BOLD:#}  {DIM}{}, {} layers, {} multiply-accumulates{DIM:#}",
        report.model,
        report.arithmetic,
        report.layers.len(),
        grouped(report.macs)
    );
    for target in &report.targets {
        let _ = write!(text, "\n{}", of_target(report, target));
    }
    if let Some(quantization) = &report.quantization {
        let output = |sqnr: &Option<f64>| sqnr.map_or("no error".into(), |sqnr| format!("{sqnr:.1} dB"));
        let outputs: Vec<String> = quantization.outputs.iter().map(output).collect();
        let _ = write!(
            text,
            "\n  {} against float over {} samples: {}",
            report.arithmetic,
            quantization.samples,
            outputs.join(", ")
        );
        if let Some(worst) = &quantization.worst {
            let _ = write!(text, "; most of the error is born in `{worst}`");
        }
        text.push('\n');
    }
    for note in &report.notes {
        let _ = writeln!(text, "{NOTE}note:{NOTE:#} {note}");
    }
    text
}

fn of_target(report: &Report, target: &Target) -> String {
    let with_error = report.quantization.is_some();
    let mut text = format!("{BOLD}{}{BOLD:#}\n", target.target);
    let mut columns = vec!["layer", "operator", "kernel", ">MACs", ">cycles", ">%", ">weights", ">output"];
    if with_error {
        columns.extend([">own dB", ">dB"]);
    }
    let mut table = Table::new(&columns);
    for (layer, cost) in report.layers.iter().zip(&target.layers) {
        let share = cost.cycles as f64 / target.cycles.max(1) as f64;
        let mut cells = vec![
            shortened(&layer.name, 32),
            layer.operator.clone(),
            cost.kernel.clone(),
            if layer.macs == 0 { "–".into() } else { grouped(layer.macs) },
            grouped(cost.cycles),
            format!("{:.1}", share * 100.0),
            grouped(cost.weight_bytes),
            grouped(layer.output_bytes),
        ];
        if with_error {
            cells.extend([layer.own_sqnr, layer.sqnr].map(|sqnr| sqnr.map_or("–".into(), |sqnr| format!("{sqnr:.1}"))));
        }
        table.styled(cells, if share >= HOT { BOLD } else { Default::default() });
    }
    let _ = write!(text, "{table}");
    let _ = writeln!(
        text,
        "\n  RAM     {:>9} bytes for tensors, {} of stack",
        grouped(report.ram_bytes),
        modelled(target.stack_bytes)
    );
    let _ = writeln!(
        text,
        "  flash   {:>9} bytes: {} of weights and tables, {} of code",
        grouped(target.flash_bytes),
        grouped(target.weight_bytes),
        modelled(target.code_bytes)
    );
    let _ = writeln!(text, "  time    {:>9} cycles, modelled", grouped(target.cycles));
    if !target.boards.is_empty() {
        let mut table = Table::new(&["board", ">MHz", ">ms", ">mJ", "fits"]);
        for board in &target.boards {
            let fits = if board.fits { "yes" } else { "no" };
            let cells = vec![
                board.board.clone(),
                format!("{:.0}", board.megahertz),
                format!("{:.2}", board.milliseconds),
                format!("{}{:.3}", if board.source.starts_with(UNVERIFIED) { "~" } else { "" }, board.millijoules),
                fits.into(),
            ];
            table.styled(cells, if board.fits { Default::default() } else { BAD });
        }
        let _ = write!(text, "\n{table}");
        if target.boards.iter().any(|board| board.source.starts_with(UNVERIFIED)) {
            let _ = writeln!(text, "\n  ~: of a current that was not verified; --html and --json name the sources");
        }
    }
    text
}

fn modelled(bytes: u64) -> String {
    format!("about {}", grouped(bytes))
}
