//! The ONNX reader on whole files: one written by the package onnx, real models, files that are something else, and damage.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use mcuopt_codegen::error::Error;
use mcuopt_codegen::onnx::{Attribute, Dim, Function, Graph, Model, Node, ValueInfo};
use mcuopt_codegen::tensor::{DType, Tensor};

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/onnx")
}

fn encodings() -> Model {
    Model::read(&data().join("encodings.onnx")).expect("encodings.onnx")
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| name.to_string()).collect()
}

/// Equality in which NaN equals NaN, and zero does not equal negative zero.
fn same(left: &Tensor, right: &Tensor) -> bool {
    match (left.f32s(), right.f32s()) {
        (Some(a), Some(b)) => {
            let equal = |(a, b): (&f32, &f32)| a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan();
            left.shape() == right.shape() && a.iter().zip(b).all(equal)
        }
        _ => left == right,
    }
}

#[test]
fn constants_have_the_expected_values() {
    let graph = encodings().graph;
    let mut compared = 0;
    for (name, tensor) in &graph.initializers {
        if name.starts_with("expect/") {
            continue;
        }
        let expected = &graph.initializers[&format!("expect/{name}")];
        assert!(
            same(tensor, expected),
            "{name}: {tensor:?} {:?} is not {expected:?} {:?}",
            tensor.f32s(),
            expected.f32s()
        );
        compared += 1;
    }
    assert_eq!(compared, 2 * (8 + 3 + 2 + 4) + 8 + 3 + 2 + 1);
    assert_eq!(graph.unreadable.len(), 2);
    let error = graph.unreadable["unreadable/string"].to_string();
    assert!(error.starts_with("tensor `unreadable/string`: not supported: constants of type string"), "{error}");
}

#[test]
fn everything_else_in_a_file() {
    let model = encodings();
    assert_eq!((model.ir_version, model.producer.as_str()), (10, "generate.py 1"));
    assert_eq!(model.opsets, BTreeMap::from([(String::new(), 21), ("test.domain".into(), 1)]));
    assert_eq!(model.side_files, [Path::new("side.bin")]);

    let inputs = &model.graph.inputs;
    assert_eq!((inputs[0].dtype, inputs[0].type_name.as_str()), (Some(DType::F32), "tensor(float16)"));
    let shape = [Dim::Symbolic("batch".into()), Dim::Known(3), Dim::Unknown, Dim::Unknown];
    assert_eq!(inputs[0].shape.as_deref(), Some(shape.as_slice()));
    assert_eq!((inputs[1].dtype, inputs[1].type_name.as_str()), (None, "tensor(string)"));
    assert_eq!(inputs[1].shape.as_deref(), Some([].as_slice()));
    assert_eq!((inputs[2].dtype, inputs[2].type_name.as_str()), (None, "sequence"));
    assert_eq!(model.graph.outputs, [ValueInfo::tensor("out", DType::I8, &[1])]);

    let [node] = model.graph.nodes.as_slice() else { panic!("one node") };
    assert_eq!(
        (node.op_type.as_str(), node.domain.as_str(), node.name.as_str()),
        ("Everything", "test.domain", "node")
    );
    assert_eq!((&node.inputs, &node.outputs), (&names(&["x", "", "y"]), &names(&["out"])));
    let attribute = |name: &str| &node.attributes[name];
    assert_eq!(attribute("f"), &Attribute::Float(0.5));
    assert_eq!(attribute("i"), &Attribute::Int(-3));
    assert_eq!(attribute("s"), &Attribute::String("text".into()));
    assert_eq!(attribute("t"), &Attribute::Tensor(Tensor::from_i64s(&[1, 2])));
    assert_eq!(attribute("floats"), &Attribute::Floats(vec![1.0, 2.0]));
    assert_eq!(attribute("ints"), &Attribute::Ints(vec![1, -2]));
    assert_eq!(attribute("strings"), &Attribute::Strings(names(&["a", "b"])));
    assert_eq!(attribute("tensors"), &Attribute::Tensors(vec![Tensor::scalar(1.0)]));
    assert_eq!(attribute("sparse"), &Attribute::Tensor(model.graph.initializers["expect/sparse/linear"].clone()));
    assert!(matches!(attribute("g"), Attribute::Graph(graph) if graph.nodes[0].op_type == "Identity"));
    assert!(matches!(attribute("graphs"), Attribute::Graphs(graphs) if graphs.len() == 2));
    let Attribute::Unreadable(error) = attribute("type") else { panic!("types are not read") };
    assert_eq!(
        error.to_string(),
        "node `node` (Everything), attribute `type`: not supported: attributes that are types"
    );

    let [function] = model.functions.as_slice() else { panic!("one function") };
    assert_eq!((function.name.as_str(), function.domain.as_str()), ("Everything", "test.domain"));
    assert_eq!((&function.inputs, &function.outputs), (&names(&["a"]), &names(&["b"])));
    assert_eq!((&function.attributes, function.opsets[""]), (&names(&["i"]), 21));
    assert_eq!(function.defaults["alpha"], Attribute::Float(0.25));
    assert_eq!(function.nodes[0].attributes["alpha"], Attribute::Reference("alpha".into()));
}

fn attribute(name: &str, value: Attribute) -> (String, Attribute) {
    (name.into(), value)
}

/// A small model with a piece of everything that can be encoded.
fn small() -> Model {
    let weights = Tensor::new(&[2, 3], vec![0.5_f32, -1.0, 2.0, 3.0, -0.0, 1e-9]).expect("six elements");
    let body = Graph {
        name: "body".into(),
        nodes: vec![Node { op_type: "Relu".into(), inputs: names(&["x"]), outputs: names(&["r"]), ..Node::default() }],
        outputs: vec![ValueInfo { name: "r".into(), ..ValueInfo::default() }],
        ..Graph::default()
    };
    let attributes = BTreeMap::from([
        attribute("float", Attribute::Float(0.1)),
        attribute("int", Attribute::Int(-1)),
        attribute("string", Attribute::String("SAME".into())),
        attribute("tensor", Attribute::Tensor(Tensor::new(&[3], vec![true, false, true]).expect("three"))),
        attribute("graph", Attribute::Graph(body.clone())),
        attribute("floats", Attribute::Floats(vec![])),
        attribute("ints", Attribute::Ints(vec![i64::MIN, i64::MAX])),
        attribute("strings", Attribute::Strings(names(&["", "é"]))),
        attribute("tensors", Attribute::Tensors(vec![Tensor::from_i64s(&[]), Tensor::scalar(2.0)])),
        attribute("graphs", Attribute::Graphs(vec![body])),
    ]);
    let node = Node {
        name: "gemm".into(),
        op_type: "Gemm".into(),
        inputs: names(&["x", "w", ""]),
        outputs: names(&["y"]),
        attributes,
        ..Node::default()
    };
    let dims = Some(vec![Dim::Symbolic("n".into()), Dim::Known(3), Dim::Unknown]);
    let info = |name: &str, dtype, type_name: &str, shape| ValueInfo {
        name: name.into(),
        dtype,
        type_name: type_name.into(),
        shape,
    };
    Model {
        ir_version: 8,
        opsets: BTreeMap::from([(String::new(), 13), ("com.microsoft".into(), 1)]),
        producer: "test".into(),
        graph: Graph {
            name: "small".into(),
            nodes: vec![node],
            initializers: BTreeMap::from([
                ("w".into(), weights),
                ("i".into(), Tensor::new(&[1, 2], vec![-128_i8, 127]).expect("two elements")),
                ("none".into(), Tensor::new::<u16>(&[0, 4], vec![]).expect("no elements")),
            ]),
            inputs: vec![ValueInfo::tensor("x", DType::F32, &[1, 2]), info("s", None, "sequence", None)],
            outputs: vec![ValueInfo::tensor("y", DType::F32, &[1, 3])],
            value_infos: vec![
                info("h", Some(DType::F32), "tensor(float16)", dims),
                info("t", None, "tensor(string)", Some(vec![])),
                info("u", None, "tensor(99)", None),
            ],
            ..Graph::default()
        },
        functions: vec![Function {
            name: "F".into(),
            domain: "local".into(),
            opsets: BTreeMap::from([(String::new(), 13)]),
            inputs: names(&["a"]),
            outputs: names(&["b"]),
            attributes: names(&["k"]),
            defaults: BTreeMap::from([attribute("alpha", Attribute::Float(1.0))]),
            nodes: vec![Node {
                op_type: "Elu".into(),
                inputs: names(&["a"]),
                outputs: names(&["b"]),
                attributes: BTreeMap::from([attribute("alpha", Attribute::Reference("alpha".into()))]),
                ..Node::default()
            }],
        }],
        side_files: vec![],
    }
}

#[test]
fn encoded_models_decode_to_the_same() {
    let model = small();
    assert_eq!(Model::decode(&model.encode(), Path::new("")).expect("a model"), model);
}

/// Damaged files may decode or not; they never panic, and what is wrong with them can be printed.
#[test]
fn damage_never_panics() {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    let file = fs::read(data().join("encodings.onnx")).expect("a file");
    for (original, base, rounds) in [(small().encode(), PathBuf::new(), 2000), (file, data(), 500)] {
        for round in 0..rounds {
            let mut bytes = original.clone();
            if round % 4 == 0 {
                bytes.truncate(random(bytes.len()));
            }
            for _ in 0..random(4) + usize::from(round % 4 != 0) {
                if !bytes.is_empty() {
                    let position = random(bytes.len());
                    bytes[position] = if round % 2 == 0 { bytes[position] ^ 1 << random(8) } else { random(256) as u8 };
                }
            }
            match Model::decode(&bytes, &base) {
                Ok(model) => drop(Model::decode(&model.encode(), &base)),
                Err(error) => assert!(!error.to_string().is_empty()),
            }
        }
    }
}

#[test]
fn other_files_are_named() {
    let decode = |bytes: &[u8]| Model::decode(bytes, Path::new("")).expect_err("no model").to_string();
    let cases: [(&[u8], &str); 12] = [
        (b"", "the file is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n", "git lfs pull"),
        (b"\x1c\0\0\0TFL3\0\0\0\0", "TensorFlow Lite"),
        (b"\x18\0\0\0ORTM\0\0\0\0", "onnxruntime .ort"),
        (b"PK\x03\x04\x14\0", "zip archive"),
        (b"\x1f\x8b\x08\0", "gzip"),
        (b"\x89HDF\r\n\x1a\n", "HDF5"),
        (b"\x0a\x0b\x0a\x01x\x12\x06Const!", "TensorFlow graph (.pb)"),
        (b"\x08\x01\x12\x0a\x12\xffserve\xff\xff\xff", "SavedModel"),
        (b"\n<!DOCTYPE html><html>", "web page"),
        (b"{ \"irVersion\": 8 }", "it is text"),
        (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", "damaged"),
    ];
    for (bytes, expected) in cases {
        let message = decode(bytes);
        assert!(message.contains("not an ONNX protobuf file: ") && message.contains(expected), "{message}");
    }
    let truncated = small().encode();
    let message = decode(&truncated[..truncated.len() / 2]);
    assert!(message.contains("truncated"), "{message}");
}

#[test]
fn errors_name_the_file() {
    let path = data().join("nowhere.onnx");
    let message = Model::read(&path).expect_err("no file").to_string();
    assert!(message.starts_with(&format!("{}: cannot read the model: ", path.display())), "{message}");
    let error: Error = Model::read(&data().join("side.bin")).expect_err("no model");
    assert_eq!(error.site.file, data().join("side.bin").display().to_string());
}

/// The reference models, which are not part of the repository.
#[test]
fn real_models_decode() {
    let shared = std::env::var_os("MCUOPT_SHARED").map(PathBuf::from);
    let models = shared.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared")).join("models");
    let Ok(folders) = fs::read_dir(&models) else {
        eprintln!("skipped: there is no {}", models.display());
        return;
    };
    let mut count = 0;
    for folder in folders.map(|entry| entry.expect("an entry").path()).filter(|path| path.is_dir()) {
        for file in fs::read_dir(&folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
            if file.extension().is_some_and(|extension| extension == "onnx") {
                let model = Model::read(&file).unwrap_or_else(|error| panic!("{error}"));
                assert!(!model.graph.nodes.is_empty() && model.graph.unreadable.is_empty(), "{}", file.display());
                assert_eq!(Model::decode(&model.encode(), Path::new("")), Ok(model), "{}", file.display());
                count += 1;
            } else if file.extension().is_some_and(|extension| extension == "tflite") {
                let message = Model::read(&file).expect_err("not ONNX").to_string();
                assert!(message.contains("TensorFlow Lite"), "{message}");
            }
        }
        assert!(folder.join("model.onnx").exists());
    }
    assert!(count >= 9, "only {count} models in {}", models.display());
}
