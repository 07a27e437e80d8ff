use crate::common::Result;
use crate::ensure;
use crate::models::{classifier, written};
use crate::program::{json, mcuopt};

#[test]
fn a_retrained_model_changes_its_outputs_alone() -> Result {
    let [old, new] = [(1, "old"), (2, "new")].map(|(seed, name)| written(name, &classifier(seed, 2), 16));
    let (old, new) = (old?, new?);
    let found = json(0, &[&"diff", &old, &new])?;
    let figures = found["figures"].as_array().ok_or("figures")?;
    ensure!(figures.iter().all(|figure| figure["name"] != "macs" || figure["old"] == figure["new"]), "{found}");
    let output = &found["outputs"][0];
    ensure!(output["samples"] == 16 && output["largest"].as_f64() > Some(0.01), "{output}");
    ensure!(output["agreement"].as_f64() < Some(1.0), "{output}");
    let same = json(0, &[&"diff", &old, &old])?;
    ensure!(same["outputs"][0]["largest"] == 0.0 && same["outputs"][0]["agreement"] == 1.0, "{same}");
    ensure!(same["layers"] == serde_json::json!([]) && same["ports"] == serde_json::json!([]), "{same}");
    Ok(())
}

#[test]
fn more_layers_cost_more() -> Result {
    let [old, new] = [(1, "fewer"), (3, "more")].map(|(layers, name)| written(name, &classifier(7, layers), 0));
    let (old, new) = (old?, new?);
    let found = json(0, &[&"diff", &old, &new])?;
    let changes: Vec<_> = found["layers"].as_array().into_iter().flatten().map(|layer| &layer["change"]).collect();
    ensure!(changes.iter().any(|change| *change == "added"), "{found}");
    let macs = found["figures"].as_array().into_iter().flatten().find(|figure| figure["name"] == "macs");
    // Two convolutions of 6 to 6 channels with 3×3 taps over 8×8 places.
    let more = macs.and_then(|macs| Some(macs["new"].as_u64()? - macs["old"].as_u64()?));
    ensure!(more == Some(2 * 6 * 6 * 9 * 64), "{macs:?}");
    ensure!(found["outputs"].is_null(), "{found}");
    let text = mcuopt(&[&"diff", &old, &new])?;
    ensure!(text.out.contains("outputs are not compared: there are no samples"), "{text:?}");
    Ok(())
}
