//! Small models made on the spot. Between them they have every operator that the compiler knows, odd shapes, branches
//! and several inputs and outputs.

mod activations;
mod branches;
mod convolutions;
mod grid;
mod networks;
mod quantized;
mod random;
mod sequences;
mod shapes;
mod sketch;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use mcuopt_codegen::Config;
use mcuopt_codegen::onnx::{self, Dim};
use ndarray::Array2;
use ndarray_npy::NpzWriter;

use crate::case::Case;
use crate::folder;
use crate::shared::Variant;
use random::Random;

/// A model and the numbers that it is meant for.
#[derive(Clone, Debug)]
pub struct Synthetic {
    /// Its name, fit for a file.
    pub name: String,
    /// The file's content.
    pub model: onnx::Model,
}

impl Synthetic {
    /// All of them.
    pub fn all() -> Vec<Self> {
        vec![
            convolutions::planes(),
            convolutions::lines(),
            branches::branches(),
            shapes::shapes(),
            activations::activations(),
            quantized::quantized(),
            sequences::forward(),
            sequences::both_ways(),
        ]
    }

    /// Layers of all sizes, to measure what kernels cost.
    pub fn grid() -> Vec<Self> {
        grid::all()
    }

    /// What some of its outputs, by their numbers, depend on, under another name.
    pub fn part(&self, name: &str, outputs: &[usize]) -> Self {
        let mut model = self.model.clone();
        let graph = &mut model.graph;
        graph.outputs = outputs.iter().map(|index| self.model.graph.outputs[*index].clone()).collect();
        let mut needed: BTreeSet<String> = graph.outputs.iter().map(|output| output.name.clone()).collect();
        let mut nodes: Vec<onnx::Node> = std::mem::take(&mut graph.nodes);
        nodes.reverse();
        nodes.retain(|node| {
            let is_needed = node.outputs.iter().any(|output| needed.contains(output));
            needed.extend(node.inputs.iter().filter(|_| is_needed).cloned());
            is_needed
        });
        nodes.reverse();
        graph.nodes = nodes;
        graph.inputs.retain(|input| needed.contains(&input.name));
        graph.initializers.retain(|name, _| needed.contains(name));
        Synthetic { name: name.into(), model }
    }

    /// The one of this name.
    #[track_caller]
    pub fn named(name: &str) -> Self {
        let found = Self::all().into_iter().find(|synthetic| synthetic.name == name);
        found.unwrap_or_else(|| panic!("there is no synthetic model `{name}`"))
    }

    /// A network drawn at random, the same for the same seed, and the variant that it is meant for.
    pub fn network(seed: u64) -> (Self, Variant) {
        networks::network(seed)
    }

    /// Where the files of a variant are: `model.onnx` and, where it takes samples, `samples.npz`.
    pub fn folder(&self, variant: Variant) -> PathBuf {
        folder::output(&format!("{}-{variant}", self.name))
    }

    /// The options for a variant, to which more can be added; writes the files that they name.
    pub fn config(&self, variant: Variant) -> Config {
        let folder = self.folder(variant);
        let (model, samples) = (folder.join("model.onnx"), folder.join("samples.npz"));
        folder::publish(&model, |path| fs::write(path, self.model.encode()).expect("the target folder is writable"));
        let config = Config::new(model).name("Net");
        variant.of(config, || {
            folder::publish(&samples, |path| self.write_samples(path));
            samples
        })
    }

    /// The model compiled with the default options.
    pub fn compile(&self, variant: Variant) -> Case {
        Case::compile(format!("{}-{variant}", self.name), &self.config(variant))
    }

    /// Inputs of `count` inferences: noise, and at the end the corners of the range.
    pub fn inputs(&self, count: usize) -> Vec<Vec<Vec<f32>>> {
        let mut random = Random::new(&self.name);
        let mut inference = |index: usize| -> Vec<Vec<f32>> {
            let fill = |length: usize| match count - index {
                1 => vec![-RANGE; length],
                2 => vec![RANGE; length],
                3 => vec![0.0; length],
                _ => random.numbers(length, RANGE),
            };
            self.input_lengths().map(fill).collect()
        };
        (0..count).map(&mut inference).collect()
    }

    fn input_lengths(&self) -> impl Iterator<Item = usize> + '_ {
        let length = |info: &onnx::ValueInfo| {
            let extent = |dim: &Dim| if let Dim::Known(extent) = dim { *extent } else { 1 };
            info.shape.iter().flatten().map(extent).product()
        };
        self.model.graph.inputs.iter().map(length)
    }

    fn write_samples(&self, path: &Path) {
        let samples = self.inputs(32);
        let file = File::create(path).expect("the target folder is writable");
        let mut archive = NpzWriter::new(file);
        for (index, info) in self.model.graph.inputs.iter().enumerate() {
            let rows: Vec<f32> = samples.iter().flat_map(|inputs| &inputs[index]).copied().collect();
            let array = Array2::from_shape_vec((samples.len(), rows.len() / samples.len()), rows);
            archive
                .add_array(info.name.as_str(), &array.expect("as many numbers in each row"))
                .expect("it can be written");
        }
        archive.finish().expect("it can be written");
    }
}

/// Inputs lie between −RANGE and RANGE.
const RANGE: f32 = 2.0;
