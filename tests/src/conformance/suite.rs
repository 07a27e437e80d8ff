//! The tests as the Python package has them: a folder each, with `model.onnx` and one or more sets of inputs and
//! outputs.

use std::fs;
use std::path::{Path, PathBuf};

use mcuopt_codegen::onnx::{Model, ValueInfo};
use mcuopt_codegen::tensor::Tensor;

/// The kinds of tests whose models come with weights and data. Those of `light` have one number in place of all weights of a
/// tensor; those of `real` are on the network.
const KINDS: [&str; 4] = ["node", "pytorch-converted", "pytorch-operator", "simple"];

/// One test.
#[derive(Clone, Debug)]
pub struct Test {
    /// Kind and name, as `node/test_abs`.
    pub name: String,
    /// The operator that it is about: in a test of a node that node's, else empty.
    pub operator: String,
    /// The ONNX file.
    pub path: PathBuf,
    /// What is in the file, or why it cannot be read.
    pub model: Result<Model, String>,
    /// The inputs that the model takes (initializers are none), by name.
    pub inputs: Vec<(String, Result<Tensor, String>)>,
    /// The outputs that it should give.
    pub outputs: Vec<Result<Tensor, String>>,
}

/// All tests, sorted by name; those alone whose names satisfy `wanted`.
pub fn read(data: &Path, wanted: impl Fn(&str) -> bool) -> Vec<Test> {
    let mut tests = Vec::new();
    for kind in KINDS {
        for folder in folders(&data.join(kind)) {
            let name = format!("{kind}/{}", folder.file_name().unwrap_or_default().to_string_lossy());
            if wanted(&name) && folder.join("model.onnx").is_file() {
                tests.push(Test::read(name, &folder));
            }
        }
    }
    tests
}

fn folders(parent: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(parent).unwrap_or_else(|error| panic!("{}: {error}", parent.display()));
    let mut folders: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    folders.sort();
    folders
}

impl Test {
    fn read(name: String, folder: &Path) -> Self {
        let path = folder.join("model.onnx");
        let model = Model::read(&path).map_err(|error| error.to_string());
        let set = folder.join("test_data_set_0");
        let files = |kind: &str| {
            let file = |index| Some(set.join(format!("{kind}_{index}.pb"))).filter(|path| path.is_file());
            (0..).map_while(file).collect::<Vec<PathBuf>>()
        };
        let infos = model.as_ref().map(taken).unwrap_or_default();
        let inputs = infos.iter().zip(files("input")).map(|(info, path)| (info.name.clone(), read_tensor(&path, info)));
        let inputs = inputs.collect();
        let infos = model.as_ref().map(|model| model.graph.outputs.clone()).unwrap_or_default();
        let outputs = infos.iter().zip(files("output")).map(|(info, path)| read_tensor(&path, info)).collect();
        Self { operator: operator(&name, folder, model.as_ref().ok()), name, path, model, inputs, outputs }
    }

    /// The name as an identifier.
    pub fn identifier(&self) -> String {
        self.name.replace(|c: char| !c.is_ascii_alphanumeric(), "_").to_ascii_lowercase()
    }
}

/// The inputs that are given at run time.
fn taken(model: &Model) -> Vec<ValueInfo> {
    let graph = &model.graph;
    graph.inputs.iter().filter(|info| !graph.initializers.contains_key(&info.name)).cloned().collect()
}

/// The operator of a test of one node. Where the node was replaced with the operator's definition by others, the test
/// without `_expanded` says which it was.
fn operator(name: &str, folder: &Path, model: Option<&Model>) -> String {
    if !name.starts_with("node/") {
        return String::new();
    }
    let own = folder.file_name().unwrap_or_default().to_string_lossy();
    let original = own.split_once("_expanded").map(|(before, _)| folder.with_file_name(before).join("model.onnx"));
    let original = original.and_then(|path| Model::read(&path).ok());
    let node = original.as_ref().or(model).and_then(|model| model.graph.nodes.first());
    node.map(|node| node.op_type.clone()).unwrap_or_default()
}

/// A file with a tensor is a `TensorProto`. As the one initializer of a model, it is decoded by the compiler.
fn read_tensor(path: &Path, info: &ValueInfo) -> Result<Tensor, String> {
    let mut tensor = fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    // `name = "t"`; the last of several names counts.
    tensor.extend(field(8, b"t"));
    // The suite has the patterns of bfloat16 as uint16: `data_type = 16`.
    if info.type_name == "tensor(bfloat16)" {
        tensor.extend([0x10, 16]);
    }
    // `ir_version = 8`, and `opset_import` of version 18.
    let mut model = vec![0x08, 8];
    model.extend(field(8, &[0x10, 18]));
    model.extend(field(7, &field(5, &tensor)));
    let mut model = Model::decode(&model, Path::new("")).map_err(|error| error.to_string())?;
    model.graph.initializers.remove("t").ok_or_else(|| match model.graph.unreadable.get("t") {
        Some(error) => error.to_string(),
        None => "it is no tensor".into(),
    })
}

/// A field of bytes of a protobuf message.
fn field(tag: u8, bytes: &[u8]) -> Vec<u8> {
    let mut message = vec![tag << 3 | 2];
    let mut length = bytes.len();
    while length >= 0x80 {
        message.push(length as u8 | 0x80);
        length >>= 7;
    }
    message.push(length as u8);
    message.extend(bytes);
    message
}
