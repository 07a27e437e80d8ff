//! The report as a page: one file that needs nothing else.
//!
//! Everything is in the HTML when it is opened; the script only sorts tables and switches between cores.

use std::fmt::Write as _;

use super::{Layer, OnBoard, Report, Target, graph, memory};
use crate::answer::grouped;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// Decibels below which an error is one to look at, and below which it is one to worry about.
const DOUBTFUL: f64 = 25.0;
const BAD: f64 = 15.0;

/// Decibels at which a bar is full: quantization to 8 bits is not better than that.
const FULL: f64 = 50.0;

/// The page.
pub(super) fn page(report: &Report) -> String {
    let title = escaped(&report.model);
    let name = report.model.rfind(['/', '\\']).map_or(0, |slash| slash + 1);
    let (folder, file) = report.model.split_at(name);
    let mut html = format!(
        "<!doctype html>\n<html lang=en>\n<head>\n<meta charset=utf-8>\n\
         <meta name=viewport content=\"width=device-width, initial-scale=1\">\n\
         <meta name=color-scheme content=\"light dark\">\n<title>{title} – mcuopt report</title>\n\
         <style>\n{STYLE}</style>\n</head>\n<body>\n<header>\n<div>\n<h1><small>{}</small>{}</h1>\n\
         <p class=facts><span>{}</span><span>{} layers</span><span>{} multiply-accumulates</span>\
         <span>mcuopt {}</span></p>\n</div>\n",
        escaped(folder),
        escaped(file),
        report.arithmetic,
        report.layers.len(),
        grouped(report.macs),
        report.mcuopt,
    );
    if report.targets.len() > 1 {
        html.push_str("<nav aria-label=\"Processor core\">");
        for (index, target) in report.targets.iter().enumerate() {
            let _ = write!(
                html,
                "<button type=button data-show={index} aria-pressed={}>{}</button>",
                index == 0,
                target.target
            );
        }
        html.push_str("</nav>\n");
    }
    html.push_str("</header>\n<main>\n");
    for (index, target) in report.targets.iter().enumerate() {
        let hidden = if index == 0 { "" } else { " hidden" };
        let _ = writeln!(html, "<div class=target data-target={index}{hidden}>");
        tiles(&mut html, report, target);
        let _ = writeln!(
            html,
            "<div class=columns>\n<section class=card id=network-{index}>\n<h2>Network</h2>\n\
             <p class=hint>The stronger the colour, the more of the cycles.</p>\n<div class=\"scroll tall\">{}</div>\n\
             </section>\n<div class=stack>",
            graph::picture(report, target, &format!("layer-{index}"))
        );
        let cycles = target.layers.iter().map(|cost| cost.cycles);
        bars(&mut html, report, "Cycles", "of an inference, modelled", &cycles.collect::<Vec<_>>(), "cycles", grouped);
        let flash = target.layers.iter().map(|cost| cost.weight_bytes + cost.code_bytes);
        bars(
            &mut html,
            report,
            "Flash",
            "weights, tables and code of each layer",
            &flash.collect::<Vec<_>>(),
            "flash",
            bytes,
        );
        html.push_str("</div>\n</div>\n");
        layers(&mut html, report, target, index);
        boards(&mut html, target);
        html.push_str("</div>\n");
    }
    let _ = writeln!(
        html,
        "<section class=card>\n<h2>Memory over time</h2>\n<p class=hint>Each buffer's life, from the layer that writes \
         it to the last one that reads it, and its place in the arena. Where outputs lie over operands, the kernel \
         works in place. The shaded column needs most.</p>\n<div class=scroll>{}</div>\n</section>",
        memory::picture(report)
    );
    quantization(&mut html, report);
    if !report.notes.is_empty() {
        html.push_str("<section class=card>\n<h2>Notes</h2>\n<ul>");
        for note in &report.notes {
            let _ = write!(html, "<li>{}</li>", escaped(note));
        }
        html.push_str("</ul>\n</section>\n");
    }
    let _ = write!(html, "</main>\n<script>\n{SCRIPT}</script>\n</body>\n</html>\n");
    html
}

/// The figures that decide.
fn tiles(html: &mut String, report: &Report, target: &Target) {
    html.push_str("<div class=tiles>");
    let mut tile = |name: &str, figure: String, detail: String| {
        let _ = write!(
            html,
            "<div class=tile><span class=name>{name}</span><strong>{figure}</strong><span class=detail>{detail}</span></div>"
        );
    };
    let stack = format!("{} of it tensors, the rest stack", bytes(report.ram_bytes));
    tile("RAM", bytes(report.ram_bytes + target.stack_bytes), stack);
    let code = format!("{} weights, {} code", bytes(target.weight_bytes), bytes(target.code_bytes));
    tile("Flash", bytes(target.flash_bytes), code);
    let per_mac = target.cycles as f64 / report.macs.max(1) as f64;
    let detail = if report.macs == 0 { "modelled".into() } else { format!("{per_mac:.2} a multiply-accumulate") };
    tile(&format!("Cycles, {}", target.target), short(target.cycles), detail);
    if let Some(OnBoard { board, megahertz, milliseconds, millijoules, .. }) = target.boards.first() {
        let board = escaped(board);
        tile("Latency", format!("{} ms", figures(*milliseconds)), format!("{board} at {megahertz:.0} MHz"));
        tile("Energy", format!("{} mJ", figures(*millijoules)), format!("an inference, {board}"));
    }
    if let Some(quantization) = &report.quantization {
        let worst = quantization.outputs.iter().flatten().copied().reduce(f64::min);
        let figure = worst.map_or("no error".into(), |worst| format!("{worst:.1} dB"));
        tile("Quantized against float", figure, format!("at the output, {} samples", quantization.samples));
    }
    html.push_str("</div>\n");
}

/// A figure for each layer as a bar.
fn bars(
    html: &mut String,
    report: &Report,
    title: &str,
    hint: &str,
    figures: &[u64],
    class: &str,
    show: fn(u64) -> String,
) {
    let largest = figures.iter().copied().max().unwrap_or(0).max(1) as f64;
    let total = figures.iter().sum::<u64>().max(1) as f64;
    let _ = writeln!(
        html,
        "<section class=card>\n<h2>{title}</h2>\n<p class=hint>{hint}</p>\n<div class=\"bars {class}\">"
    );
    for (layer, &figure) in report.layers.iter().zip(figures) {
        let _ = writeln!(
            html,
            "<div title=\"{}: {} ({:.1} %)\"><span class=label>{}</span><span class=track><i style=\"width:{:.1}%\">\
             </i></span><span class=value>{}</span></div>",
            escaped(&layer.name),
            show(figure),
            figure as f64 / total * 100.0,
            escaped(&layer.name),
            figure as f64 / largest * 100.0,
            show(figure)
        );
    }
    html.push_str("</div>\n</section>\n");
}

/// The table of all layers.
fn layers(html: &mut String, report: &Report, target: &Target, anchor: usize) {
    let with_error = report.quantization.is_some();
    html.push_str(
        "<section class=card>\n<h2>Layers</h2>\n<div class=scroll><table class=sortable>\n<thead><tr>\
         <th class=number>#</th><th>layer</th><th>operator</th><th>kernel</th><th class=number>MACs</th>\
         <th class=number>cycles</th><th class=number>share</th><th class=number>weights</th><th class=number>output</th>",
    );
    if with_error {
        html.push_str("<th class=number>own dB</th>");
    }
    html.push_str("</tr></thead>\n<tbody>\n");
    for (index, (layer, cost)) in report.layers.iter().zip(&target.layers).enumerate() {
        let share = cost.cycles as f64 / target.cycles.max(1) as f64 * 100.0;
        let shape = layer.shape.iter().map(usize::to_string).collect::<Vec<_>>().join(" × ");
        let remark = match cost.remark.as_str() {
            "" => String::new(),
            remark => format!("<small>{}</small>", escaped(remark)),
        };
        let _ = write!(
            html,
            "<tr id=layer-{anchor}-{index}><td class=number data-value={index}>{}</td>\
             <td title=\"{}\">{}<small>{} {shape}</small></td><td>{}</td><td><code>{}</code>{remark}</td>",
            index + 1,
            escaped(&layer.node),
            escaped(&layer.name),
            layer.element,
            escaped(&layer.operator),
            escaped(&cost.kernel)
        );
        for (value, shown) in [
            (layer.macs as f64, if layer.macs == 0 { "–".into() } else { grouped(layer.macs) }),
            (cost.cycles as f64, grouped(cost.cycles)),
            (share, format!("{share:.1} %")),
            (cost.weight_bytes as f64, grouped(cost.weight_bytes)),
            (layer.output_bytes as f64, grouped(layer.output_bytes)),
        ] {
            let _ = write!(html, "<td class=number data-value={value}>{shown}</td>");
        }
        if with_error {
            let (value, shown) = decibels(layer.own_sqnr, layer);
            let _ = write!(html, "<td class=number data-value={value}>{shown}</td>");
        }
        html.push_str("</tr>\n");
    }
    html.push_str("</tbody>\n</table></div>\n</section>\n");
}

/// The boards that have the core.
fn boards(html: &mut String, target: &Target) {
    if target.boards.is_empty() {
        return;
    }
    html.push_str(
        "<section class=card>\n<h2>Boards</h2>\n<p class=hint>Latency and energy of an inference, by the datasheets' \
         active currents.</p>\n<div class=scroll><table class=sortable>\n<thead><tr><th>board</th>\
         <th class=number>MHz</th><th class=number>ms</th><th class=number>mJ</th><th class=number>RAM</th>\
         <th class=number>flash</th><th>fits</th><th>source</th></tr></thead>\n<tbody>\n",
    );
    for board in &target.boards {
        let _ = write!(html, "<tr><td>{}</td>", escaped(&board.board));
        let memory = |size: u64| if size == 0 { "external".into() } else { bytes(size) };
        for (value, shown) in [
            (board.megahertz, format!("{:.0}", board.megahertz)),
            (board.milliseconds, figures(board.milliseconds)),
            (board.millijoules, figures(board.millijoules)),
            (board.ram_bytes as f64, memory(board.ram_bytes)),
            (board.flash_bytes as f64, memory(board.flash_bytes)),
        ] {
            let _ = write!(html, "<td class=number data-value={value}>{shown}</td>");
        }
        let fits = if board.fits { "<span class=yes>yes</span>" } else { "<span class=no>no</span>" };
        let _ = writeln!(html, "<td>{fits}</td><td class=source>{}</td></tr>", escaped(&board.source));
    }
    html.push_str("</tbody>\n</table></div>\n</section>\n");
}

/// What quantization does to each layer.
fn quantization(html: &mut String, report: &Report) {
    let Some(quantization) = &report.quantization else { return };
    let _ = write!(
        html,
        "<section class=card>\n<h2>Quantization error</h2>\n<p class=hint>Signal-to-quantization-noise ratio of each \
         layer's output in decibels, over {} samples: thick bars with this layer alone quantized, thin ones with all \
         layers before it. Longer is better.",
        quantization.samples
    );
    if let Some(worst) = &quantization.worst {
        let _ = write!(html, " Most of the error is born in <b>{}</b>.", escaped(worst));
    }
    html.push_str("</p>\n<div class=\"bars decibels\">\n");
    for layer in report.layers.iter().filter(|layer| layer.largest_error.is_some()) {
        let width = |sqnr: Option<f64>| sqnr.map_or(100.0, |sqnr| (sqnr / FULL * 100.0).clamp(0.5, 100.0));
        let class = match layer.own_sqnr {
            Some(sqnr) if sqnr < BAD => "bad",
            Some(sqnr) if sqnr < DOUBTFUL => "doubtful",
            _ => "good",
        };
        let shown = |sqnr: Option<f64>| sqnr.map_or("no error".into(), |sqnr| format!("{sqnr:.1} dB"));
        let _ = writeln!(
            html,
            "<div class={class} title=\"{}: {} of its own, {} in all; largest error {:.4}, {:.3} % clipped\">\
             <span class=label>{}</span><span class=track><i style=\"width:{:.1}%\"></i><b style=\"width:{:.1}%\"></b>\
             </span><span class=value>{}</span></div>",
            escaped(&layer.name),
            shown(layer.own_sqnr),
            shown(layer.sqnr),
            layer.largest_error.unwrap_or_default(),
            layer.clipped.unwrap_or_default() * 100.0,
            escaped(&layer.name),
            width(layer.own_sqnr),
            width(layer.sqnr),
            shown(layer.own_sqnr)
        );
    }
    html.push_str("</div>\n</section>\n");
}

/// Decibels as a table sorts and shows them.
fn decibels(sqnr: Option<f64>, layer: &Layer) -> (f64, String) {
    match (sqnr, layer.largest_error) {
        (Some(sqnr), _) => (sqnr, format!("{sqnr:.1}")),
        (None, Some(_)) => (1e9, "exact".into()),
        (None, None) => (1e9, "–".into()),
    }
}

/// Text that means what it says in HTML.
pub(super) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            c => safe.push(c),
        }
    }
    safe
}

/// The first letters of a name.
pub(super) fn start(name: &str, letters: usize) -> String {
    if name.chars().count() <= letters {
        return name.to_string();
    }
    name.chars().take(letters.saturating_sub(1)).chain(['…']).collect()
}

/// A number of bytes for people.
pub(super) fn bytes(count: u64) -> String {
    match count {
        0..1024 => format!("{count} B"),
        1024..1_048_576 => format!("{:.1} KiB", count as f64 / 1024.0),
        _ => format!("{:.2} MiB", count as f64 / 1_048_576.0),
    }
}

/// A large number for people.
fn short(number: u64) -> String {
    match number {
        0..10_000 => grouped(number),
        10_000..1_000_000 => format!("{:.1} k", number as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.2} M", number as f64 / 1e6),
        _ => format!("{:.2} G", number as f64 / 1e9),
    }
}

/// Three figures.
fn figures(number: f64) -> String {
    match number {
        number if number >= 100.0 => format!("{number:.0}"),
        number if number >= 10.0 => format!("{number:.1}"),
        number if number >= 1.0 => format!("{number:.2}"),
        number if number >= 0.1 => format!("{number:.3}"),
        number => format!("{number:.4}"),
    }
}

#[cfg(test)]
mod tests {
    use super::{bytes, escaped, start};

    #[test]
    fn names_cannot_become_markup() {
        assert_eq!(escaped("<script>\"&\""), "&lt;script&gt;&quot;&amp;&quot;");
    }

    #[test]
    fn names_and_sizes_are_short() {
        assert_eq!([start("conv", 4), start("convolution", 5)], ["conv", "conv…"]);
        assert_eq!([bytes(1023), bytes(1536), bytes(3 << 20)], ["1023 B", "1.5 KiB", "3.00 MiB"]);
    }
}
