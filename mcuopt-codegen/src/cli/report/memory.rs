//! What lies in the arena when: as figures, and as a picture of time against bytes.

use std::fmt::Write as _;

use mcuopt_codegen::Compiled;
use mcuopt_codegen::emit;
use mcuopt_codegen::graph::ValueId;

use super::html::{bytes, escaped, start};
use super::{Report, Tenant};

/// The tensors and work memories of a plan, in the order in which they are written.
pub(super) fn tenants(compiled: &Compiled) -> Vec<Tenant> {
    let (lowered, plan) = (&compiled.lowered, &compiled.plan);
    let names = emit::layer_names(lowered);
    let (producers, consumers) = (lowered.producers(), lowered.consumers());
    let end = lowered.nodes.len() + 1;
    let tenant = |(&id, &offset): (&ValueId, &usize)| {
        let value = lowered.value(id);
        let producer = producers[id.index()];
        let is_kept = producer.is_some_and(|index| lowered.nodes[index].op.kernel.initial().is_some());
        let is_output = lowered.is_output(id);
        let first = producer.map_or(0, |index| index + 1);
        let last = consumers[id.index()].iter().map(|index| index + 1).max().unwrap_or(first);
        let (kind, first, last) = match (is_kept, is_output, producer) {
            (true, ..) => ("state", 0, end),
            (_, true, _) => ("output", first, end),
            (.., None) => ("input", first, last),
            _ => ("tensor", first, last),
        };
        let name = producer.map_or_else(|| value.name.clone(), |index| names[index].clone());
        Tenant { name, kind: kind.into(), offset: offset as u64, bytes: value.ty.bytes() as u64, first, last }
    };
    let mut tenants: Vec<Tenant> = plan.offsets.iter().map(tenant).collect();
    tenants.extend(plan.scratch.iter().map(|(index, range)| Tenant {
        name: names[*index].clone(),
        kind: "work".into(),
        offset: range.start as u64,
        bytes: range.len() as u64,
        first: index + 1,
        last: index + 1,
    }));
    tenants.sort_by_key(|tenant| (tenant.first, tenant.offset));
    tenants
}

/// Bytes of the arena that are in use while a layer runs; overlaps count once.
fn in_use(report: &Report, time: usize) -> u64 {
    let alive = report.memory.iter().filter(|tenant| (tenant.first..=tenant.last).contains(&time));
    let mut ranges: Vec<(u64, u64)> = alive.map(|tenant| (tenant.offset, tenant.offset + tenant.bytes)).collect();
    ranges.sort_unstable();
    let mut end = 0;
    let new = |(first, last): (u64, u64)| {
        let new = last.saturating_sub(first.max(end));
        end = end.max(last);
        new
    };
    ranges.into_iter().map(new).sum()
}

const LEFT: f64 = 62.0;
const TOP: f64 = 26.0;
const HEIGHT: f64 = 300.0;
/// Below the axis, for the layers' names.
const FOOT: f64 = 96.0;

/// The picture: a rectangle for each tenant, from the layer that writes it to the last one that reads it.
pub(super) fn picture(report: &Report) -> String {
    let moments = report.layers.len() + 2;
    let column = (1040.0 / moments as f64).clamp(12.0, 90.0);
    let width = LEFT + column * moments as f64 + 12.0;
    let arena = report.ram_bytes.max(1) as f64;
    let x = |time: usize| LEFT + column * time as f64;
    let y = |byte: u64| TOP + HEIGHT - HEIGHT * byte as f64 / arena;
    let mut svg = String::new();
    let total = TOP + HEIGHT + FOOT;
    let _ = write!(
        svg,
        "<svg class=memory width={width:.0} height={total:.0} viewBox=\"0 0 {width:.0} {total:.0}\" role=img \
         aria-label=\"Each buffer's life and place in the arena\">\
         <defs><pattern id=work width=6 height=6 patternUnits=userSpaceOnUse patternTransform=\"rotate(45)\">\
         <rect width=6 height=6 class=workground /><line x1=0 y1=0 x2=0 y2=6 class=workline /></pattern></defs>"
    );
    let step = nice_step(report.ram_bytes);
    for byte in (0..).map(|index| index * step).take_while(|byte| *byte as f64 <= arena) {
        let (at, right) = (y(byte), width - 12.0);
        let _ = write!(
            svg,
            "<line class=rule x1={LEFT} y1={at:.1} x2={right:.1} y2={at:.1} />\
             <text class=tick x={:.1} y={:.1} text-anchor=end>{}</text>",
            LEFT - 6.0,
            at + 4.0,
            bytes(byte)
        );
    }
    let busiest = (0..moments).rev().max_by_key(|time| in_use(report, *time)).unwrap_or(0);
    let _ = write!(svg, "<rect class=busiest x={:.1} y={TOP} width={column:.1} height={HEIGHT} />", x(busiest));
    for (index, tenant) in report.memory.iter().enumerate() {
        let (left, top) = (x(tenant.first), y(tenant.offset + tenant.bytes));
        let (wide, high) = (x(tenant.last + 1) - left, y(tenant.offset) - top);
        let kind = &tenant.kind;
        let told = match kind.as_str() {
            "work" => "work memory of ",
            "state" => "kept from run to run: ",
            "input" => "input ",
            "output" => "output of ",
            _ => "output of ",
        };
        let _ = write!(
            svg,
            "<g class=\"tenant {kind} hue{}\"><title>{told}{}: {}, bytes {} to {} of the arena, {}</title>\
             <rect x={:.1} y={top:.1} width={:.1} height={:.1} rx=2 />",
            index % 6,
            escaped(&tenant.name),
            bytes(tenant.bytes),
            tenant.offset,
            tenant.offset + tenant.bytes,
            moments_of(tenant, report.layers.len()),
            left + 0.75,
            (wide - 1.5).max(1.0),
            high.max(1.5),
        );
        svg.push_str("</g>");
    }
    for tenant in &report.memory {
        let (top, high) = (y(tenant.offset + tenant.bytes), y(tenant.offset) - y(tenant.offset + tenant.bytes));
        let middle = tenant.offset + tenant.bytes / 2;
        // As far as nothing that is written later lies over it.
        let covers = |other: &&Tenant| {
            (tenant.first + 1..=tenant.last).contains(&other.first)
                && (other.offset..other.offset + other.bytes).contains(&middle)
        };
        let end = report.memory.iter().filter(covers).map(|other| other.first).min().unwrap_or(tenant.last + 1);
        let letters = ((x(end) - x(tenant.first) - 8.0) / 7.2) as usize;
        let name = if tenant.kind == "work" { "work" } else { &tenant.name };
        if high >= 13.0 && letters >= name.chars().count().min(5) {
            let class = if tenant.kind == "work" { "label work" } else { "label" };
            let (left, at, text) = (x(tenant.first) + 5.0, top + high / 2.0 + 4.0, start(name, letters));
            let _ = write!(svg, "<text class=\"{class}\" x={left:.1} y={at:.1}>{}</text>", escaped(&text));
        }
    }
    let at = y(report.ram_bytes);
    let _ = write!(
        svg,
        "<line class=peak x1={LEFT} y1={at:.1} x2={:.1} y2={at:.1} /><text class=peak x={:.1} y={:.1} \
         text-anchor=end>arena {}</text>",
        width - 12.0,
        width - 12.0,
        at - 6.0,
        bytes(report.ram_bytes)
    );
    // Where columns are narrow, names would lie over each other: every second or third is enough.
    let every = (13.0 / column).ceil() as usize;
    for time in (0..moments).step_by(every) {
        let name = match time {
            0 => "caller".to_string(),
            time if time == moments - 1 => "caller".to_string(),
            time => report.layers[time - 1].name.clone(),
        };
        let (left, at) = (x(time) + column / 2.0 + 3.0, TOP + HEIGHT + 12.0);
        let _ = write!(
            svg,
            "<text class=tick transform=\"translate({left:.1},{at:.1}) rotate(-45)\" text-anchor=end>{}</text>",
            escaped(&start(&name, 18))
        );
    }
    svg.push_str("</svg>");
    svg
}

fn moments_of(tenant: &Tenant, layers: usize) -> String {
    let moment = |time: usize| match time {
        0 => "the caller".to_string(),
        time if time > layers => "the caller".to_string(),
        time => format!("layer {time}"),
    };
    if tenant.first == tenant.last {
        format!("during {}", moment(tenant.first))
    } else {
        format!("from {} to {}", moment(tenant.first), moment(tenant.last))
    }
}

/// A round number of bytes such that some five steps make the whole.
fn nice_step(total: u64) -> u64 {
    let rough = (total / 5).max(1);
    let power = 1_u64 << rough.ilog2();
    if rough > power + power / 2 { power * 2 } else { power }
}

#[cfg(test)]
mod tests {
    use super::nice_step;

    #[test]
    fn steps_are_powers_of_two_and_few() {
        for total in [1, 5, 100, 1000, 22_000, 100_000, 1 << 30] {
            let step = nice_step(total);
            assert!(step.is_power_of_two() && total / step <= 9, "{total}: {step}");
        }
    }
}
