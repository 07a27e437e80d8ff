use std::fs;

use crate::common::Result;
use crate::ensure;
use crate::models::{classifier, written};
use crate::program::{json, mcuopt};

#[test]
fn what_each_layer_does_alone_is_shown() -> Result {
    let model = written("sensitive", &classifier(4, 2), 24)?;
    let found = json(0, &[&"sensitivity", &model, &"--target", &"cortex-m0plus"])?;
    let layers = found["layers"].as_array().ok_or("layers")?;
    ensure!(layers.len() >= 3 && found["samples"] == 24, "{found}");
    for layer in layers {
        let ratios: Vec<f64> = (layer["damages"].as_array().ok_or("damages")?.iter())
            .map(|damage| damage["sqnr_db"].as_f64().unwrap_or(f64::INFINITY))
            .collect();
        ensure!(ratios.len() == 3 && ratios[1] >= ratios[0], "{layer}");
    }
    let text = mcuopt(&[&"sensitivity", &model, &"--precisions", &"int8"])?;
    ensure!(text.out.contains("int8 dB") && text.out.lines().count() == layers.len() + 2, "{text:?}");
    Ok(())
}

#[test]
fn precisions_are_found_written_and_built() -> Result {
    let model = written("searched", &classifier(5, 2), 24)?;
    let record = model.with_extension("quant.toml");
    let plain = json(0, &[&"quantize", &model])?;
    let reached = plain["found"]["sqnr_db"].as_f64().ok_or("a ratio")?;
    ensure!(plain["layers"] == serde_json::json!({}) && plain["default"] == "int8", "{plain}");
    let build = |name: &str| -> Result<String> {
        let file = model.with_file_name(name);
        json(0, &[&"build", &model, &"-o", &file])?;
        Ok(fs::read_to_string(file)?)
    };
    let with_record = build("with.rs")?;
    fs::remove_file(&record)?;
    ensure!(build("without.rs")? == with_record, "the record changes what it was made of");
    // More than int8 gives.
    let limit = format!("{}", reached + 6.0);
    let found = json(0, &[&"quantize", &model, &"--min-sqnr", &limit])?;
    ensure!(found["found"]["sqnr_db"].as_f64() >= Some(reached + 6.0), "{found}");
    ensure!(found["int8"]["sqnr_db"].as_f64() < Some(reached + 6.0), "{found}");
    ensure!(build("found.rs")? != with_record, "the record is not read");
    ensure!(fs::read_to_string(&record)?.contains("# Found by `mcuopt quantize"), "{}", record.display());
    // With int8 alone it cannot be reached.
    let failed = json(1, &[&"quantize", &model, &"--min-sqnr", &limit, &"--precisions", &"int8"])?;
    let message = failed["errors"][0]["message"].to_string();
    ensure!(message.contains("min_sqnr") && message.contains("limits it"), "{failed}");
    let text = mcuopt(&[&"quantize", &model, &"--max-accuracy-drop", &"0.5"])?;
    ensure!(text.out.contains("int8 throughout") && text.out.contains("found"), "{text:?}");
    Ok(())
}
