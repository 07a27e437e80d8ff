//! What the tests share: models made in place, compiled through the file system as users do it.
#![allow(dead_code)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{fs, process};

use mcuopt_codegen::calibrate::{Method, Ranges, Samples, calibrate};
use mcuopt_codegen::graph::Graph as CompilerGraph;
use mcuopt_codegen::onnx::{Attribute, Graph, Model, Node, ValueInfo};
use mcuopt_codegen::ops::Op;
use mcuopt_codegen::tensor::{DType, Tensor};
use mcuopt_codegen::{Compiled, Config, Errors, Precision};

/// Fails with a message unless it holds.
#[macro_export]
macro_rules! ensure {
    ($condition:expr, $($message:tt)*) => {
        let holds: bool = $condition;
        if !holds {
            return Err(format!($($message)*).into());
        }
    };
}

pub(crate) type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

/// A path in a folder of its own in Cargo's scratch folder for tests, however many tests ask for the same name at once.
pub(crate) fn scratch(name: &str) -> PathBuf {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let unique = format!("{}-{}", process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let safe: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(unique).join(format!("{safe}.onnx"))
}

/// Compiles the bytes of a file.
pub(crate) fn compile(name: &str, bytes: &[u8], precision: Precision) -> std::result::Result<Compiled, Errors> {
    let path = scratch(name);
    let folder = path.parent().unwrap_or(&path);
    let written = fs::create_dir_all(folder).and_then(|()| fs::write(&path, bytes)).map_err(mcuopt_codegen::Error::io);
    let compiled =
        written.map_err(Errors::from).and_then(|()| Config::new(&path).name("Model").precision(precision).compile());
    let _ = fs::remove_dir_all(folder);
    compiled
}

/// A model with inputs and the outputs that others give for them.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) model: Model,
    pub(crate) inputs: Vec<Tensor>,
    pub(crate) outputs: Vec<Tensor>,
}

/// The cases of a file in `data/operators`: models one behind the other, each with its length before it, whose inputs and
/// expected outputs stand among the initializers.
pub(crate) fn cases(file: &str) -> Result<Vec<Case>> {
    let bytes = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/operators").join(file))?;
    let mut rest = bytes.as_slice();
    let mut cases = Vec::new();
    while let Some((length, behind)) = rest.split_first_chunk() {
        let (case, behind) = behind.split_at(u32::from_le_bytes(*length) as usize);
        rest = behind;
        let mut model = Model::decode(case, Path::new(""))?;
        let mut take = |kind: &str| {
            let names = (0..).map(|index| format!("{kind}/{index}"));
            names.map_while(|name| model.graph.initializers.remove(&name)).collect::<Vec<_>>()
        };
        let (inputs, outputs) = (take("input"), take("output"));
        cases.push(Case { name: model.graph.name.clone(), model, inputs, outputs });
    }
    Ok(cases)
}

/// Checks all cases of a file, of which there are more than `least`; those that fail are named together.
pub(crate) fn check_cases(file: &str, least: usize, check: impl Fn(&Case) -> Result) -> Result {
    let cases = cases(file)?;
    let failed = cases.iter().filter_map(|case| check(case).err().map(|error| format!("{}: {error}", case.name)));
    let failed: Vec<String> = failed.collect();
    ensure!(failed.is_empty(), "{} of {} cases fail:\n{}", failed.len(), cases.len(), failed.join("\n"));
    ensure!(cases.len() > least, "{} cases", cases.len());
    Ok(())
}

/// Compares the outputs of a case in float32, by the reference evaluation and by the kernels that firmware calls, with the
/// expected ones; `same` says whether one is as it should be.
pub(crate) fn check_outputs(case: &Case, same: impl Fn(&Tensor, &Tensor) -> bool) -> Result {
    let compiled = compile(&case.name, &case.model.encode(), Precision::Float32)?;
    compiled.source()?;
    for (how, found) in [("reference", compiled.run_float(&case.inputs)?), ("kernels", compiled.run(&case.inputs)?)] {
        ensure!(found.len() == case.outputs.len(), "{} outputs", found.len());
        for (index, (found, expected)) in found.iter().zip(&case.outputs).enumerate() {
            let told = [show(found), show(expected)];
            ensure!(
                same(found, expected),
                "{how}: output {index} is {found:?} {}, not {expected:?} {}",
                told[0],
                told[1]
            );
        }
    }
    Ok(())
}

fn show(tensor: &Tensor) -> String {
    let text = tensor.f32s().map_or_else(|| format!("{:?}", tensor.to_i64s()), |floats| format!("{floats:?}"));
    text.chars().take(200).collect()
}

/// The range of each float value over samples, each a tensor for every input, of which nothing is left out.
pub(crate) fn min_max_ranges(graph: &CompilerGraph<Op>, samples: &[Vec<Tensor>]) -> Result<Ranges> {
    let of_input = |index: usize| samples.iter().map(|sample| sample[index].clone()).collect();
    let samples = Samples::from_tensors((0..graph.inputs.len()).map(of_input).collect());
    let mut ranges = calibrate(graph, &samples)?;
    ranges.values_mut().for_each(|statistics| statistics.method = Method::MinMax);
    Ok(ranges)
}

/// A model under construction.
pub(crate) struct Sketch(pub(crate) Model);

impl Sketch {
    pub(crate) fn new(opset: i64) -> Self {
        Self(Model { ir_version: 8, opsets: BTreeMap::from([(String::new(), opset)]), ..Model::default() })
    }

    pub(crate) fn graph(&mut self) -> &mut Graph {
        &mut self.0.graph
    }

    pub(crate) fn input(mut self, name: &str, shape: &[usize]) -> Self {
        self.0.graph.inputs.push(ValueInfo::tensor(name, DType::F32, shape));
        self
    }

    pub(crate) fn output(mut self, name: &str) -> Self {
        self.0.graph.outputs.push(ValueInfo { name: name.into(), ..ValueInfo::default() });
        self
    }

    pub(crate) fn constant(mut self, name: &str, value: Tensor) -> Self {
        self.0.graph.initializers.insert(name.into(), value);
        self
    }

    /// A float constant.
    pub(crate) fn floats(self, name: &str, shape: &[usize], values: Vec<f32>) -> Self {
        let tensor = Tensor::new(shape, values).unwrap_or_else(|| Tensor::scalar(f32::NAN));
        self.constant(name, tensor)
    }

    pub(crate) fn node(
        mut self,
        op: &str,
        inputs: &[&str],
        outputs: &[&str],
        attributes: &[(&str, Attribute)],
    ) -> Self {
        let names = |names: &[&str]| names.iter().map(|name| name.to_string()).collect();
        self.0.graph.nodes.push(Node {
            op_type: op.into(),
            inputs: names(inputs),
            outputs: names(outputs),
            attributes: attributes.iter().map(|(name, value)| (name.to_string(), value.clone())).collect(),
            ..Node::default()
        });
        self
    }
}

pub(crate) fn int(value: i64) -> Attribute {
    Attribute::Int(value)
}

pub(crate) fn ints(values: &[i64]) -> Attribute {
    Attribute::Ints(values.to_vec())
}

/// Numbers that look random and are the same everywhere (xorshift).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn bits(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        (self.bits() >> 11) as usize % limit.max(1)
    }

    /// One of −1 … 1.
    pub(crate) fn float(&mut self) -> f32 {
        (self.bits() >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }

    pub(crate) fn floats(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.float()).collect()
    }
}
