use std::fs;

use mcuopt_codegen::Config;
use mcuopt_codegen::cost::Core;
use serde_json::Value;

use crate::common::{Result, scratch};
use crate::ensure;
use crate::models::{classifier, written};
use crate::program::{json, kws, mcuopt};

fn numbers(list: &Value, field: &str) -> Vec<u64> {
    list.as_array().into_iter().flatten().filter_map(|entry| entry[field].as_u64()).collect()
}

#[test]
fn figures_add_up_and_are_the_compilers() -> Result {
    let found = json(0, &[&"report", &kws(), &"--target", &"cortex-m4,cortex-m0plus"])?;
    let compiled = Config::new(kws()).compile()?;
    let layers = compiled.lowered.nodes.len();
    ensure!(found["ram_bytes"] == compiled.plan.arena_bytes && found["format"] == 1, "{found}");
    ensure!(numbers(&found["layers"], "macs").iter().sum::<u64>() == found["macs"], "{found}");
    for (target, core) in found["targets"].as_array().into_iter().flatten().zip([Core::CortexM4, Core::CortexM0Plus]) {
        ensure!(target["target"] == core.name(), "{target}");
        ensure!(target["weight_bytes"] == compiled.weight_bytes(core.arch()), "{target}");
        let cycles = numbers(&target["layers"], "cycles");
        ensure!(cycles.len() == layers && cycles.iter().all(|cycles| *cycles > 0), "{target}");
        ensure!(cycles.iter().sum::<u64>() == target["cycles"], "{target}");
        for board in target["boards"].as_array().into_iter().flatten() {
            let milliseconds =
                target["cycles"].as_f64().unwrap_or(0.0) / board["megahertz"].as_f64().unwrap_or(0.0) / 1e3;
            ensure!((board["milliseconds"].as_f64().unwrap_or(0.0) - milliseconds).abs() < 1e-9, "{board}");
            ensure!(board["source"].as_str().is_some_and(|source| !source.is_empty()), "{board} has no source");
        }
    }
    let error = &found["quantization"];
    ensure!(error["samples"].as_u64() > Some(10) && error["outputs"][0].as_f64() > Some(20.0), "{error}");
    ensure!(found["layers"][0]["own_sqnr"].as_f64() > Some(20.0), "{}", found["layers"][0]);
    let text = mcuopt(&[&"report", &kws()])?;
    ensure!(text.out.contains("conv2d_s8_dsp") && text.out.contains("most of the error is born in"), "{text:?}");
    Ok(())
}

/// What lies in the arena at the same time lies apart, unless one is written over the other.
#[test]
fn the_memorys_picture_is_the_plan() -> Result {
    let path = written("memory", &classifier(9, 3), 8)?;
    let found = json(0, &[&"report", &path])?;
    let arena = found["ram_bytes"].as_u64().ok_or("the arena")?;
    let field = |tenant: &Value, name: &str| tenant[name].as_u64().unwrap_or(u64::MAX);
    let tenants: Vec<[u64; 4]> = (found["memory"].as_array().into_iter().flatten())
        .map(|tenant| ["offset", "bytes", "first", "last"].map(|name| field(tenant, name)))
        .collect();
    let layers = found["layers"].as_array().ok_or("layers")?.len();
    ensure!(tenants.len() > layers, "{} tenants of {layers} layers", tenants.len());
    let ends = tenants.iter().map(|[offset, bytes, ..]| offset + bytes).max();
    ensure!(ends == Some(arena), "{ends:?} of {arena} bytes");
    for (index, a) in tenants.iter().enumerate() {
        for b in &tenants[index + 1..] {
            let together = a[2].max(b[2])..=a[3].min(b[3]);
            let apart = a[0] + a[1] <= b[0] || b[0] + b[1] <= a[0];
            // An output and the operand that it is written over meet in one layer.
            let in_place = together.start() == together.end() && (a[3] == b[2] || b[3] == a[2]);
            ensure!(together.is_empty() || apart || in_place, "{a:?} and {b:?}");
        }
    }
    Ok(())
}

#[test]
fn a_board_of_ones_own() -> Result {
    let path = scratch("boards").with_extension("toml");
    fs::create_dir_all(path.parent().ok_or("a folder")?)?;
    fs::write(
        &path,
        "[mine]\ncore = \"cortex-m33\"\nmegahertz = 100\nmilliamperes = 10\nvolts = 2.0\nram_kib = 1\nflash_kib = 512\n",
    )?;
    let found = json(0, &[&"report", &kws(), &"--boards", &path, &"--board", &"mine"])?;
    let target = &found["targets"][0];
    ensure!(found["targets"].as_array().is_some_and(|targets| targets.len() == 1), "{found}");
    ensure!(target["target"] == "cortex-m33" && target["boards"][0]["board"] == "mine", "{target}");
    // 10 mA at 2 V are 20 mW: 20 µJ a millisecond. Its kilobyte of RAM is too little.
    let figure = |name: &str| target["boards"][0][name].as_f64().unwrap_or(f64::NAN);
    ensure!((figure("millijoules") - figure("milliseconds") * 0.02).abs() < 1e-9, "{target}");
    ensure!(target["boards"][0]["fits"] == false, "{target}");
    let run = mcuopt(&[&"report", &kws(), &"--boards", &path, &"--board", &"mine", &"--target", &"cortex-m4"])?;
    ensure!(run.code == Some(2) && run.err.contains("has a cortex-m33"), "{run:?}");
    fs::write(&path, "[mine]\ncore = \"z80\"\n")?;
    let run = mcuopt(&[&"report", &kws(), &"--boards", &path])?;
    ensure!(run.code == Some(2) && run.err.contains("board `mine`, `core`"), "{run:?}");
    Ok(())
}

#[test]
fn what_a_change_did() -> Result {
    let path = written("compared", &classifier(9, 2), 8)?;
    let [int8, float] = ["int8.json", "float.json"].map(|name| path.with_file_name(name));
    json(0, &[&"report", &path, &"-o", &int8])?;
    json(0, &[&"report", &path, &"--precision", &"float32", &"-o", &float])?;
    let found = json(0, &[&"report", &"--compare", &float, &int8])?;
    let figure = |name: &str| {
        let figures = found["figures"].as_array().into_iter().flatten();
        figures.clone().find(|figure| figure["name"] == name).cloned().unwrap_or_default()
    };
    for name in ["ram_bytes", "cortex-m4.weight_bytes"] {
        ensure!(figure(name)["new"].as_u64() < figure(name)["old"].as_u64(), "{name}: {}", figure(name));
    }
    ensure!(figure("macs")["new"] == figure("macs")["old"], "{found}");
    let changed = &found["layers"][0];
    ensure!(changed["change"] == "changed" && changed["differences"]["kernel"][0] == "conv2d_f32", "{changed}");
    let same = mcuopt(&[&"report", &"--compare", &int8, &int8])?;
    ensure!(same.code == Some(0) && same.out.contains("The layers are the same"), "{same:?}");
    let wrong = mcuopt(&[&"report", &"--compare", &path, &int8])?;
    ensure!(wrong.code == Some(1) && !wrong.err.is_empty(), "{wrong:?}");
    Ok(())
}

/// One file that needs nothing else, and in which names are names.
#[test]
fn the_page_stands_alone() -> Result {
    let mut sketch = classifier(9, 2);
    sketch.0.graph.inputs[0].name = "<img src=x>".into();
    sketch.0.graph.nodes[0].inputs[0] = "<img src=x>".into();
    let path = written("page", &sketch, 8)?;
    let page = path.with_extension("html");
    let run = mcuopt(&[&"report", &path, &"--target", &"cortex-m4,riscv32imc", &"--html", &page])?;
    ensure!(run.code == Some(0), "{run:?}");
    let html = fs::read_to_string(&page)?;
    for outside in ["http://", "https://", "src=", "@import", "<link", "url(//"] {
        let found = html.find(outside).map(|at| &html[at.saturating_sub(40)..(at + 40).min(html.len())]);
        ensure!(found.is_none() || outside == "src=", "{outside}: {found:?}");
    }
    ensure!(!html.contains("<img") && html.contains("&lt;img src=x&gt;"), "a name became markup");
    ensure!(
        html.matches("<svg class=network").count() == 2 && html.matches("<svg class=memory").count() == 1,
        "pictures"
    );
    let layers = json(0, &[&"report", &path])?["layers"].as_array().ok_or("layers")?.len();
    ensure!(html.matches("class=\"node layer\"").count() == 2 * layers, "{layers} layers");
    Ok(())
}
