//! What a user sees who gets something wrong: the texts of the compile errors, held by trybuild.
//!
//! The models are made here and put where the test programs' package is, so that the texts hold no path of this
//! machine. `TRYBUILD=overwrite cargo test -p mcuopt-macros --test compile_fail` writes the texts anew.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use mcuopt_codegen::onnx::{Attribute, Dim, Graph, Model, Node, ValueInfo};
use mcuopt_codegen::tensor::{DType, Tensor};
use ndarray_npy::NpzWriter;

fn node(name: &str, op_type: &str, inputs: &[&str], output: &str) -> Node {
    Node {
        name: name.into(),
        op_type: op_type.into(),
        inputs: inputs.iter().map(|name| name.to_string()).collect(),
        outputs: vec![output.into()],
        ..Default::default()
    }
}

/// `scores = Softmax(Gemm(x, weights))`, eight inputs and four outputs.
fn classifier() -> Model {
    let weights = Tensor::new(&[8, 4], (0..32).map(|i| (i % 5) as f32 * 0.5 - 1.0).collect::<Vec<f32>>());
    let graph = Graph {
        name: "classifier".into(),
        nodes: vec![
            node("dense", "Gemm", &["x", "weights"], "logits"),
            node("softmax", "Softmax", &["logits"], "scores"),
        ],
        initializers: weights.into_iter().map(|weights| ("weights".to_string(), weights)).collect(),
        inputs: vec![ValueInfo::tensor("x", DType::F32, &[1, 8])],
        outputs: vec![ValueInfo::tensor("scores", DType::F32, &[1, 4])],
        ..Default::default()
    };
    Model { ir_version: 8, opsets: BTreeMap::from([(String::new(), 17)]), graph, ..Default::default() }
}

/// Where trybuild builds the test programs.
fn package() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("../tests/trybuild/mcuopt-macros")
}

fn write_models(folder: &Path) -> Result<(), Box<dyn std::error::Error>> {
    fs::create_dir_all(folder)?;
    let write = |name: &str, model: &Model| fs::write(folder.join(name), model.encode());
    let good = classifier();
    write("classifier.onnx", &good)?;
    let bytes = good.encode();
    fs::write(folder.join("truncated.onnx"), &bytes[..bytes.len() / 2])?;
    fs::write(folder.join("text.onnx"), "not a model\n")?;

    let mut cyclic = classifier();
    cyclic.graph.nodes[0].inputs[0] = "scores".into();
    write("cyclic.onnx", &cyclic)?;

    let mut unsupported = classifier();
    unsupported.graph.nodes[1].op_type = "RandomNormalLike".into();
    unsupported.graph.nodes.push(node("mask", "StringSplit", &["scores"], "mask"));
    unsupported.graph.outputs.push(ValueInfo::tensor("mask", DType::F32, &[1, 4]));
    write("unsupported.onnx", &unsupported)?;

    let mut dynamic = classifier();
    dynamic.graph.inputs[0].shape = Some(vec![Dim::Known(1), Dim::Symbolic("length".into())]);
    write("dynamic.onnx", &dynamic)?;

    let mut mismatched = classifier();
    mismatched.graph.inputs[0] = ValueInfo::tensor("x", DType::F32, &[1, 9]);
    write("mismatched.onnx", &mismatched)?;

    let mut integers = classifier();
    integers.graph.inputs[0] = ValueInfo::tensor("x", DType::I64, &[1, 8]);
    write("integers.onnx", &integers)?;

    let mut attribute = classifier();
    attribute.graph.nodes[1].attributes.insert("temperature".into(), Attribute::Float(2.0));
    write("attribute.onnx", &attribute)?;

    let npz = |name: &str, shape: [usize; 2], value: f32| -> Result<(), Box<dyn std::error::Error>> {
        let mut writer = NpzWriter::new(fs::File::create(folder.join(name))?);
        writer.add_array("x", &ndarray::Array2::from_elem(shape, value))?;
        writer.finish()?;
        Ok(())
    };
    npz("wrong_shape.npz", [20, 7], 1.0)?;
    npz("nan.npz", [20, 8], f32::NAN)?;
    npz("good.npz", [20, 8], 0.5)?;
    fs::write(folder.join("unknown_key.toml"), "precison = \"int8\"\n")?;
    Ok(())
}

#[test]
fn mistakes_are_explained() -> Result<(), Box<dyn std::error::Error>> {
    write_models(&package().join("models"))?;
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/ui/*.rs");
    Ok(())
}
