use serde_json::json;

use crate::common::{Result, Sketch};
use crate::ensure;
use crate::models::written;
use crate::program::{command, finish, json, kws, mcuopt};

#[test]
fn a_network_before_and_after_the_simplifier() -> Result {
    let found = json(0, &[&"inspect", &kws()])?;
    ensure!(found["inputs"] == json!([{ "name": "features", "type": "float[1, 1, 49, 10]" }]), "{found}");
    ensure!(found["outputs"][0]["type"] == "float[1, 12]" && found["opsets"]["ai.onnx"] == 13, "{found}");
    let operator = |name: &str| {
        let all = found["operators"].as_array().into_iter().flatten();
        all.clone().find(|operator| operator["operator"] == name).cloned().unwrap_or_default()
    };
    for (name, in_file, simplified) in [("Conv", 9, 9), ("Relu", 9, 0), ("GlobalAveragePool", 1, 0), ("Gemm", 1, 1)] {
        let operator = operator(name);
        ensure!(operator["in_file"] == in_file && operator["simplified"] == simplified, "{name}: {operator}");
        ensure!(operator["supported"] == true, "{operator}");
    }
    // The first convolution has 48 filters of 10×4 over one channel, four pairs of 3×3 depthwise and 48×48 pointwise ones
    // follow, and the dense layer has 12 outputs; all with biases.
    let expected = 48 * 41 + 4 * (48 * 10 + 48 * 49) + 12 * 49;
    ensure!(found["parameters"] == expected, "{} parameters, not {expected}", found["parameters"]);
    ensure!(found["macs"].as_u64() > Some(1_000_000) && found["arithmetic"] == "int8", "{found}");
    let rules = found["simplified"].as_array().ok_or("rules")?;
    let folded = rules.iter().find(|rule| rule["rule"] == "fold an activation into the layer before");
    ensure!(folded.is_some_and(|rule| rule["nodes"].as_array().is_some_and(|nodes| nodes.len() == 9)), "{rules:?}");
    ensure!(found["errors"] == json!([]), "{found}");
    let text = mcuopt(&[&"inspect", &kws()])?;
    ensure!(text.code == Some(0) && text.out.contains("All 22 nodes are supported"), "{text:?}");
    Ok(())
}

/// A model with two operators that nobody knows, and one between them that is known.
fn unknown() -> Sketch {
    Sketch::new(17)
        .input("x", &[1, 4])
        .floats("weight", &[4, 4], vec![0.5; 16])
        .node("MatMul", &["x", "weight"], &["a"], &[])
        .node("Blurr", &["a", "weight"], &["b"], &[])
        .node("Relu", &["b"], &["c"], &[])
        .node("Sharpen", &["c"], &["d"], &[])
        .node("Blurr", &["d"], &["e"], &[])
        .output("e")
}

#[test]
fn all_that_is_not_supported_at_once_with_its_neighbours() -> Result {
    let path = written("unknown", &unknown(), 0)?;
    let found = json(1, &[&"inspect", &path])?;
    let errors = found["errors"].as_array().ok_or("errors")?;
    let operators: Vec<_> = errors.iter().filter_map(|error| error["operator"].as_str()).collect();
    ensure!(operators == ["Blurr", "Sharpen"] && errors[0]["node"] == "b", "{errors:?}");
    ensure!(
        errors[0]["message"].as_str().is_some_and(|text| text.contains("2 nodes, this is the first")),
        "{errors:?}"
    );
    ensure!(found["operators"][0]["supported"] == false && found["macs"].is_null(), "{found}");

    let run = mcuopt(&[&"inspect", &path])?;
    let drawing = [
        "      ┌─ a (MatMul) ─ a",
        "      ├─ weight  constant float[4, 4]",
        "    ▶ b (Blurr)",
        "      └─ b ─ c (Relu)",
    ];
    let lines: Vec<&str> = run.out.lines().collect();
    ensure!(lines.windows(drawing.len()).any(|window| window == drawing), "{}", run.out);
    // What the macro says, the tool says too.
    let Err(errors) = mcuopt_codegen::Config::new(&path).compile() else { return Err("it compiles".into()) };
    for error in errors.iter() {
        ensure!(run.out.contains(&error.to_string()), "{error}\n{}", run.out);
    }
    Ok(())
}

#[test]
fn colours_only_where_they_belong() -> Result {
    let escapes = |variables: &[&str]| -> Result<bool> {
        let mut command = command(&[&"inspect", &kws()]);
        command.envs(variables.iter().map(|variable| (*variable, "1")));
        Ok(finish(&mut command)?.out.contains('\u{1b}'))
    };
    ensure!(!escapes(&[])?, "a pipe gets colours");
    ensure!(escapes(&["CLICOLOR_FORCE"])?, "no colours, though they are forced");
    ensure!(!escapes(&["CLICOLOR_FORCE", "NO_COLOR"])?, "NO_COLOR does not take them away");
    Ok(())
}
