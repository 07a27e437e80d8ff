//! The report's text.

use std::fmt::Write;

use mcuopt_tests::board::Board;
use mcuopt_tests::counts::Count;
use mcuopt_tests::report::bars::Bars;
use mcuopt_tests::report::peers::{self, CmsisNn, Kind};
use mcuopt_tests::report::{Table, grouped, three_digits};

use crate::measure::{Cost, Costs, Layer, Variant};

const INTRODUCTION: &str = "\
# Benchmarks

Made by `cargo run -p mcuopt-tests --bin bench`; do not edit.

One warm inference of each reference model on QEMU's `mps2-an386` board (Cortex-M4F, no wait states). Instructions are
counted by a QEMU plugin, `mcuopt-codegen/src/profile/mcount.c`; cycles are modelled from them by the table in the Cortex-M4 manual.
So they are ratios to compare by, not times: silicon with flash wait states takes 1.2 to 1.4 times as many. The firmware
is `tests/firmware`, without its messages: opt-level 3, fat LTO, one codegen unit.

TFLM is TensorFlow Lite Micro with CMSIS-NN in int8 at its fastest exact setting, and onnx2c the C compiler of that name
on the float model, both on the same board with the same counter.
";

/// The report with these tables.
pub(crate) fn report(tables: &str) -> String {
    format!("{INTRODUCTION}\n{tables}")
}

/// All tables.
pub(crate) fn tables(costs: &Costs) -> String {
    let sections = [bars(costs), speed(costs), memory(costs), cores(costs), layers(costs)];
    let sections: Vec<String> = sections.into_iter().filter(|section| !section.is_empty()).collect();
    sections.join("\n")
}

fn millions(number: u64) -> String {
    three_digits(number as f64 / 1e6)
}

fn or_dash(text: Option<String>) -> String {
    text.unwrap_or_else(|| "–".into())
}

/// A figure that should not exceed a bar; bold if it does.
fn held(text: String, holds: bool) -> String {
    if holds { text } else { format!("**{text}**") }
}

fn bytes(number: u64, bar: Option<u64>) -> String {
    held(grouped(number), bar.is_none_or(|bar| number <= bar))
}

fn bars(costs: &Costs) -> String {
    let mut limits = Table::new(&[
        "model",
        "cycles, speed",
        "bar",
        "stretch",
        "RAM_BYTES + stack, speed",
        "bar",
        "code without weights, speed",
        "bar",
        "flash, size",
        "bar",
    ]);
    let mut balance = Table::new(&["model", "cycles, balanced ÷ speed", "flash, balanced ÷ size", "bar"]);
    for (model, bars) in costs.models().filter_map(|model| Some((model, Bars::of(model)?))) {
        let [speed, balanced, size] =
            [Variant::Speed, Variant::Balanced, Variant::Size].map(|variant| costs.find(model, variant));
        let cycles = |cost: &Cost| {
            let cycles = cost.run.total.cycles;
            held(millions(cycles), cycles as f64 <= bars.cycles * 1e6)
        };
        let ram = |cost: &Cost| bytes((cost.report.ram_bytes + cost.report.stack) as u64, Some(bars.ram));
        let code = |cost: &Cost| bytes(code(cost), Some(Bars::CODE));
        limits.row(vec![
            model.name().into(),
            or_dash(speed.map(cycles)),
            bars.cycles.to_string(),
            bars.stretch.to_string(),
            or_dash(speed.map(ram)),
            grouped(bars.ram),
            or_dash(speed.map(code)),
            grouped(Bars::CODE),
            or_dash(size.map(|cost| bytes(cost.sizes.flash, bars.flash))),
            or_dash(bars.flash.map(grouped)),
        ]);
        let ratio = |a: u64, b: u64| {
            let ratio = a as f64 / b as f64;
            held(format!("{ratio:.2}"), ratio <= Bars::BALANCE)
        };
        balance.row(vec![
            model.name().into(),
            or_dash(balanced.zip(speed).map(|(a, b)| ratio(a.run.total.cycles, b.run.total.cycles))),
            or_dash(balanced.zip(size).map(|(a, b)| ratio(a.sizes.flash, b.sizes.flash))),
            Bars::BALANCE.to_string(),
        ]);
    }
    format!(
        "## The bars\n\nWhat int8 must not exceed; **bold** is what does. Cycles are millions, memory is bytes.\n\n\
         {limits}\n{balance}"
    )
}

fn speed(costs: &Costs) -> String {
    let mut table = Table::new(&[
        "model",
        "TFLM int8",
        "int8, speed",
        "int8, balanced",
        "int8, size",
        "int16x8, speed",
        "int4, speed",
        "TFLM ÷ speed",
        "onnx2c float",
        "float32",
    ]);
    let both = |count: Count| format!("{} ({})", millions(count.cycles), millions(count.instructions));
    for model in costs.models() {
        let count = |variant| costs.find(model, variant).map(|cost| cost.run.total);
        let peer = CmsisNn::of(model);
        let ratio = peer.zip(count(Variant::Speed)).map(|(peer, own)| peer.cycles * 1e6 / own.cycles as f64);
        let peer = peer.map(|peer| format!("{} ({})", three_digits(peer.cycles), three_digits(peer.instructions)));
        let other = peers::onnx2c(model);
        let other =
            other.map(|(cycles, instructions, _)| format!("{} ({})", three_digits(cycles), three_digits(instructions)));
        table.row(vec![
            model.name().into(),
            or_dash(peer),
            or_dash(count(Variant::Speed).map(both)),
            or_dash(count(Variant::Balanced).map(both)),
            or_dash(count(Variant::Size).map(both)),
            or_dash(count(Variant::Int16x8).map(both)),
            or_dash(count(Variant::Int4).map(both)),
            or_dash(ratio.map(|ratio| format!("{ratio:.2}"))),
            or_dash(other),
            or_dash(count(Variant::Float32).map(both)),
        ]);
    }
    format!("## Modelled cycles, in millions (instructions)\n\n{table}")
}

/// Flash besides the weights.
fn code(cost: &Cost) -> u64 {
    cost.sizes.flash - cost.report.weight_bytes as u64
}

fn memory(costs: &Costs) -> String {
    let mut table = Table::new(&[
        "model",
        "RAM_BYTES",
        "peak stack",
        "RAM in all",
        "TFLM's",
        "flash in all",
        "TFLM's",
        "without weights",
        "TFLM's",
    ]);
    for cost in costs.all() {
        let peer = CmsisNn::of(cost.model).filter(|_| cost.variant != Variant::Float32);
        let peer = |index: usize| or_dash(peer.and_then(|peer| peer.memory).map(|memory| grouped(memory[index])));
        let Cost { model, variant, sizes, report, .. } = cost;
        table.row(vec![
            format!("{} {}", model.name(), variant.label()),
            grouped(report.ram_bytes as u64),
            grouped(report.stack as u64),
            grouped(sizes.ram + report.stack as u64),
            peer(0),
            grouped(sizes.flash),
            peer(1),
            grouped(code(cost)),
            peer(2),
        ]);
    }
    format!("## Memory, in bytes\n\n{table}")
}

fn cores(costs: &Costs) -> String {
    if costs.travellers().next().is_none() {
        return String::new();
    }
    let boards = [Board::CortexM0, Board::CortexM3, Board::CortexM4, Board::CortexM7, Board::CortexM33, Board::RiscV];
    let mut head = vec!["model".to_string()];
    for board in boards {
        head.push(board.to_string());
        match board {
            Board::CortexM0 => head.push("TFLM, Cortex-M0+".into()),
            Board::CortexM4 => head.push("TFLM, Cortex-M4".into()),
            Board::CortexM33 => head.push("TFLM, Cortex-M55".into()),
            _ => {}
        }
    }
    let mut table = Table::new(&head.iter().map(String::as_str).collect::<Vec<_>>());
    for model in costs.travellers() {
        let peer = CmsisNn::of(model);
        let mut row = vec![model.name().to_string()];
        for board in boards {
            let count = match board {
                Board::CortexM4 => costs.find(model, Variant::Speed).map(|cost| cost.run.total.instructions),
                other => costs.instructions(model, other),
            };
            row.push(or_dash(count.map(millions)));
            match board {
                Board::CortexM0 => row.push(or_dash(peer.and_then(|peer| peer.m0_plus).map(three_digits))),
                Board::CortexM4 => row.push(or_dash(peer.map(|peer| three_digits(peer.instructions)))),
                Board::CortexM33 => row.push(or_dash(peer.and_then(|peer| peer.m55).map(three_digits))),
                _ => {}
            }
        }
        table.row(row);
    }
    format!(
        "## Other cores, in millions of instructions\n\nInt8, for speed. The Cortex-M0 board has 256 kB of flash and \
         16 kB of RAM: a dash is a model that does not fit. TFLM on the Cortex-M55 uses its vector instructions, which \
         the Cortex-M33 has not.\n\n{table}"
    )
}

fn layers(costs: &Costs) -> String {
    let mut text = "## Layers, int8 for speed\n\nThe last column is CMSIS-NN's cycles/MAC for a layer of this kind, \
                    where that was measured.\n"
        .to_string();
    let costs: Vec<&Cost> = costs.all().iter().filter(|cost| !cost.layers.is_empty()).collect();
    for cost in &costs {
        let head = ["layer", "kernel", "MACs", "instr/MAC", "cycles", "cycles/MAC", "cycles/output", "CMSIS-NN"];
        let mut table = Table::new(&head);
        for layer in &cost.layers {
            table.row(vec![
                layer.name.clone(),
                layer.kernel.into(),
                grouped(layer.macs),
                for_each(layer.count.instructions, layer.macs),
                grouped(layer.count.cycles),
                for_each(layer.count.cycles, layer.macs),
                for_each(layer.count.cycles, layer.outputs),
                or_dash(layer.kind.and_then(Kind::cmsis_nn)),
            ]);
        }
        write!(text, "\n### {}\n\n{table}{}", cost.model.name(), remarks(&cost.layers))
            .expect("a string takes any text");
    }
    if costs.is_empty() { String::new() } else { text }
}

fn for_each(number: u64, count: u64) -> String {
    or_dash((count > 0).then(|| format!("{:.2}", number as f64 / count as f64)))
}

/// Why layers do not have the fast kernels.
fn remarks(layers: &[Layer]) -> String {
    let with_remark = layers.iter().filter(|layer| !layer.remark.is_empty());
    let lines: String = with_remark.map(|layer| format!("- `{}`: {}\n", layer.name, layer.remark)).collect();
    if lines.is_empty() { lines } else { format!("\n{lines}") }
}
