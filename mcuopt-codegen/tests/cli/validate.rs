use std::path::{Path, PathBuf};

use mcuopt_codegen::{Config, Precision};
use serde_json::Value;

use crate::common::Result;
use crate::ensure;
use crate::models::{Arrays, CLASSES, autoencoder, classifier, samples, shape, written};
use crate::program::{json, mcuopt};

const ITEMS: usize = 60;

/// A classifier with a labelled set: labels are the float network's own answers, but for the first `wrong`.
fn labelled(name: &str, wrong: usize) -> Result<(PathBuf, PathBuf)> {
    let sketch = classifier(11, 2);
    let path = written(name, &sketch, 32)?;
    let float = Config::new(&path).precision(Precision::Float32).compile()?;
    let items = samples(&sketch, 0, ITEMS)?;
    let mut labels = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let outputs = float.run_float(std::slice::from_ref(item))?;
        let scores = outputs[0].f32s().ok_or("scores")?;
        let best = (0..CLASSES).fold(0, |best, class| if scores[class] > scores[best] { class } else { best });
        labels.push(((best + usize::from(index < wrong)) % CLASSES) as i64);
    }
    let data = path.with_extension("test.npz");
    let elements: Vec<f32> = items.iter().flat_map(|item| item.f32s().unwrap_or_default().to_vec()).collect();
    let dims = [&[ITEMS], &shape(&sketch, 0)?[..]].concat();
    Arrays::create(&data)?.add("x", &dims, elements)?.add("y", &[ITEMS], labels)?.finish()?;
    Ok((path, data))
}

fn score(found: &Value, run: &str) -> f64 {
    let runs = found["runs"].as_array().into_iter().flatten();
    let run = runs.clone().find(|candidate| candidate["name"] == run);
    run.and_then(|run| run["score"].as_f64()).unwrap_or(f64::NAN)
}

#[test]
fn accuracy_by_an_independent_implementation_and_by_the_kernels() -> Result {
    let (path, data) = labelled("labelled", 15)?;
    let found = json(0, &[&"validate", &path, &"--data", &data])?;
    ensure!(found["reference"] == "tract" && found["metric"] == "accuracy" && found["items"] == ITEMS, "{found}");
    // A quarter of the labels is wrong.
    ensure!((score(&found, "reference") - 0.75).abs() < 0.02, "{found}");
    ensure!((score(&found, "float32") - 0.75).abs() < 0.02 && score(&found, "int8") > 0.6, "{found}");
    ensure!(found["runs"][1]["difference"].as_f64() < Some(1e-9), "float differs from tract: {}", found["runs"][1]);
    ensure!(found["runs"][2]["agreement"].as_f64() > Some(0.8), "{}", found["runs"][2]);
    let matrix: u64 = (found["confusion"]["matrix"].as_array().into_iter().flatten())
        .flat_map(|row| row.as_array().into_iter().flatten().filter_map(Value::as_u64))
        .sum();
    ensure!(matrix == ITEMS as u64, "{matrix} items in the matrix");
    ensure!(found["layers"][0]["own_sqnr"].as_f64() > Some(20.0), "{}", found["layers"]);
    ensure!(found["device_equals_host"].is_null(), "{found}");
    Ok(())
}

#[test]
fn thresholds_are_gates() -> Result {
    let (path, data) = labelled("gates", 30)?;
    let gate = |option: &str, limit: &str| -> Result<Option<i32>> {
        Ok(mcuopt(&[&"validate", &path, &"--data", &data, &option, &limit])?.code)
    };
    ensure!(gate("--min-accuracy", "0.3")? == Some(0), "half of the labels are right");
    ensure!(gate("--min-accuracy", "0.9")? == Some(3), "half of the labels are wrong");
    ensure!(gate("--min-agreement", "0.5")? == Some(0), "int8 is like float");
    ensure!(gate("--min-agreement", "1.01")? == Some(3), "no agreement is above 1");
    ensure!(gate("--max-error", "0.1")? == Some(0) && gate("--max-error", "0")? == Some(3), "errors");
    let found = json(3, &[&"validate", &path, &"--data", &data, &"--min-accuracy", &"0.9"])?;
    ensure!(found["missed"][0].as_str().is_some_and(|text| text.contains("below 0.9")), "{found}");
    Ok(())
}

/// A sensor's integers with their scale are the same items as the reals that they stand for.
#[test]
fn items_as_a_sensor_gives_them() -> Result {
    let sketch = autoencoder();
    let path = written("sensor", &sketch, 32)?;
    let integers: Vec<u8> = (0..40 * 12).map(|index| (index * 37 % 256) as u8).collect();
    let reals: Vec<f32> = integers.iter().map(|x| (f32::from(*x) - 3.0) * 0.004).collect();
    let [raw, real] = ["raw.npz", "real.npz"].map(|name| path.with_file_name(name));
    let arrays = Arrays::create(&raw)?.add("x", &[40, 12], integers)?;
    arrays.add("scale", &[], vec![0.004_f32])?.add("zero_point", &[], vec![3_i32])?.finish()?;
    Arrays::create(&real)?.add("x", &[40, 12], reals)?.finish()?;
    let of = |data: &Path| json(0, &[&"validate", &path, &"--data", &data]);
    let (raw, real) = (of(&raw)?, of(&real)?);
    ensure!(raw["metric"] == "reconstruction" && raw["items"] == 40, "{raw}");
    for run in ["reference", "float32", "int8"] {
        ensure!((score(&raw, run) - score(&real, run)).abs() < 1e-6, "{run}: {raw} {real}");
    }
    // What it gives back is near its input.
    ensure!(score(&raw, "int8") < 0.02, "{raw}");
    Ok(())
}

#[test]
fn targets_and_nothing_known() -> Result {
    let sketch = autoencoder();
    let path = written("targets", &sketch, 32)?;
    let items = samples(&sketch, 0, 20)?;
    let elements: Vec<f32> = items.iter().flat_map(|item| item.f32s().unwrap_or_default().to_vec()).collect();
    // Targets that are off by 0.5 everywhere.
    let targets: Vec<f32> = elements.iter().map(|x| x + 0.5).collect();
    let data = path.with_file_name("targets.npz");
    Arrays::create(&data)?.add("x", &[20, 12], elements)?.add("labels", &[20, 12], targets)?.finish()?;
    let found = json(0, &[&"validate", &path, &"--data", &data])?;
    ensure!(found["metric"] == "targets" && (score(&found, "reference") - 0.25).abs() < 0.05, "{found}");
    let found = json(0, &[&"validate", &path, &"--data", &data, &"--metric", &"difference", &"--limit", &"7"])?;
    ensure!(found["items"] == 7 && score(&found, "reference") == 0.0 && score(&found, "int8") > 0.0, "{found}");
    let run = mcuopt(&[&"validate", &path, &"--data", &data, &"--metric", &"accuracy"])?;
    ensure!(run.code == Some(2) && run.err.contains("labels are whole numbers"), "{run:?}");
    Ok(())
}

#[test]
fn data_that_does_not_fit() -> Result {
    let (_, data) = labelled("misfit", 0)?;
    let other = written("other", &autoencoder(), 8)?;
    let run = mcuopt(&[&"validate", &other, &"--data", &data])?;
    ensure!(run.code == Some(1) && run.err.contains("expected [items, 1, 12]"), "{run:?}");
    ensure!(run.err.contains("misfit.test.npz"), "{run:?}");
    let run = mcuopt(&[&"validate", &other, &"--data", &"nowhere.npz"])?;
    ensure!(run.code == Some(1) && run.err.contains("nowhere.npz"), "{run:?}");
    Ok(())
}
