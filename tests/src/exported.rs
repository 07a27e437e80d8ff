//! Networks as PyTorch, Keras and scikit-learn export them, trained by `tests/exporters/generate`, and how the compiled
//! ones compare with ONNX Runtime.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use mcuopt_codegen::interp::run_lowered;
use mcuopt_codegen::tensor::{DType, Tensor};
use mcuopt_codegen::{Compiled, Config, Precision};

use crate::test_set::Npz;
use crate::{folder, metric, skip};

/// Largest deviation of float outputs, relative to the largest output.
const TOLERANCE: f32 = 1e-4;

/// How many points of 100 int8 may lose.
const LOSS: f64 = 1.0;

/// How many points of 100 a network that its file's author quantized may be away from ONNX Runtime's score of the file.
const AWAY: f64 = 0.5;

/// What share of its outputs may be off by more than a step of their quantization, and by how many: ONNX Runtime computes in
/// float between roundings, so that a sum near the middle of two steps may go the other way, and layers behind add that up.
const BEYOND: (f64, f32) = (0.06, 5.0);

/// An exported network with its data.
#[derive(Clone, Debug)]
pub struct Exported {
    /// Network and export.
    pub name: String,
    /// Exporter and opset.
    pub about: String,
    folder: PathBuf,
}

/// What a network in one precision reached, or why there is nothing.
pub type Outcome = Result<Figures, String>;

/// What a compiled network reached.
#[derive(Clone, Debug)]
pub struct Figures {
    /// Percent of right classes, or of the targets' variance that is explained.
    pub score: f64,
    /// Largest deviation from ONNX Runtime's outputs, relative to the largest output of the item.
    pub deviation: f32,
    /// Largest deviation in steps of the output's quantization; an output in float has steps as coarse as the
    /// activations before it.
    pub steps: f32,
    /// Share of the outputs that are off by more than a step.
    pub beyond: f64,
    /// Layers that compute in float, and all layers.
    pub float_layers: (usize, usize),
    /// Bytes of the arena.
    pub ram_bytes: usize,
}

/// The comparison of one network.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// ONNX Runtime's score of the file.
    pub expected: f64,
    /// How many layers the author of a quantized file left in float; `None` of a float file.
    pub author: Option<usize>,
    /// Compiled in float32.
    pub float: Outcome,
    /// Compiled in int8.
    pub int8: Outcome,
}

impl Comparison {
    /// What is wrong with the compiled networks.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        if let Some(left_in_float) = self.author {
            match &self.float {
                Err(error) => faults.push(format!("float32: {error}")),
                Ok(figures) if figures.score >= self.expected - LOSS => {}
                Ok(figures) => faults.push(format!("float32 reaches {:.1}, not {:.1}", figures.score, self.expected)),
            }
            match &self.int8 {
                Err(error) => faults.push(error.clone()),
                Ok(figures) => {
                    if (figures.score - self.expected).abs() > AWAY {
                        faults.push(format!("{:.1} instead of {:.1}", figures.score, self.expected));
                    }
                    if figures.beyond > BEYOND.0 || figures.steps > BEYOND.1 {
                        let (share, steps) = (100.0 * figures.beyond, figures.steps);
                        faults.push(format!("{share:.2} % are off by more than a step, by {steps:.1} at most"));
                    }
                    if figures.float_layers.0 > left_in_float {
                        faults.push(format!(
                            "{} of {} layers are in float",
                            figures.float_layers.0, figures.float_layers.1
                        ));
                    }
                }
            }
            return faults;
        }
        match &self.float {
            Err(error) => faults.push(format!("float32: {error}")),
            Ok(figures) if figures.deviation <= TOLERANCE => {}
            Ok(figures) => faults.push(format!("float32 is off by {:.1e}", figures.deviation)),
        }
        match &self.int8 {
            Err(error) => faults.push(format!("int8: {error}")),
            Ok(figures) if figures.score >= self.expected - LOSS => {}
            Ok(figures) => faults.push(format!("int8 reaches {:.1}, float {:.1}", figures.score, self.expected)),
        }
        faults
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ONNX Runtime {:.1}", self.expected)?;
        if let Ok(figures) = &self.float {
            write!(f, ", float32 off by {:.1e}", figures.deviation)?;
        }
        if let Ok(figures) = &self.int8 {
            let (float, all) = figures.float_layers;
            write!(f, ", int8 {:.1} with {float} of {all} layers in float", figures.score)?;
            if self.author.is_some() {
                write!(f, ", {:.2} % off by 1 to {:.1} steps", 100.0 * figures.beyond, figures.steps)?;
            }
        }
        Ok(())
    }
}

impl Exported {
    /// All of them, sorted; none, with a note, where they have not been made.
    pub fn all() -> Vec<Self> {
        let root = folder::repository().join("target/exporters");
        let found = Self::in_folder(root);
        if found.is_empty() {
            skip::note("exported networks", "they are not here (tests/exporters/generate makes them)");
        }
        found
    }

    /// Those in a folder.
    pub fn in_folder(root: PathBuf) -> Vec<Self> {
        let entries = fs::read_dir(root).into_iter().flatten().flatten();
        let read = |folder: PathBuf| {
            let about = fs::read_to_string(folder.join("about.txt")).ok()?.trim().to_string();
            let name = folder.file_name()?.to_string_lossy().into_owned();
            Some(Self { name, about, folder })
        };
        let mut found: Vec<_> = entries.filter_map(|entry| read(entry.path())).collect();
        found.sort_by(|a, b| a.name.cmp(&b.name));
        found
    }

    /// Compiles the network and runs its test set.
    pub fn compare(&self) -> Comparison {
        let test = Test::read(&self.folder.join("test.npz"));
        Comparison {
            expected: test.score(&test.outputs[0]),
            author: test.left_in_float,
            float: self.measure(Precision::Float32, &test),
            int8: self.measure(Precision::Int8, &test),
        }
    }

    fn measure(&self, precision: Precision, test: &Test) -> Outcome {
        let config = Config::new(self.folder.join("model.onnx")).name("Net").precision(precision);
        let compiled = config.compile().map_err(|errors| errors.to_string())?;
        compiled.source().map_err(|error| error.to_string())?;
        let answers: Vec<_> = (0..test.items()).map(|item| run(&compiled, test, item)).collect::<Result<_, _>>()?;
        if answers[0].len() != test.outputs.len() {
            return Err(format!("{} outputs instead of {}", answers[0].len(), test.outputs.len()));
        }
        let deviations = test.outputs.iter().enumerate().map(|(index, expected)| {
            let found: Vec<_> = answers.iter().map(|answer| answer[index].clone()).collect();
            let lengths = found.iter().map(Vec::len).eq(expected.rows.iter().map(Vec::len));
            match expected.rows[0].len() {
                _ if !lengths => f32::INFINITY,
                // A single number may be near zero; then the largest of all items is the measure.
                1 => metric::deviation(&[found.concat()], &[expected.rows.concat()]),
                _ => metric::deviation(&found, &expected.rows),
            }
        });
        let steps: Vec<f32> = (test.outputs.iter().enumerate())
            .flat_map(|(index, expected)| {
                let largest = expected.rows.iter().flatten().fold(0f32, |largest, y| largest.max(y.abs()));
                let step = compiled.output_quantization(index).map_or(2.0 * largest / test.levels, |(scale, _)| scale);
                let found = answers.iter().flat_map(move |answer| &answer[index]);
                found.zip(expected.rows.iter().flatten()).map(move |(a, b)| (a - b).abs() / step)
            })
            .collect();
        // A NaN must not get lost.
        let deviation = deviations.fold(0.0, |worst: f32, one| if one <= worst { worst } else { one });
        let first =
            Rows { rows: answers.iter().map(|answer| answer[0].clone()).collect(), is_float: test.outputs[0].is_float };
        let layers = &compiled.lowered.nodes;
        let is_float = |id| compiled.lowered.value(id).ty.dtype == DType::F32;
        let floats = layers.iter().filter(|layer| is_float(layer.outputs[0])).count();
        Ok(Figures {
            score: test.score(&first),
            deviation,
            steps: steps.iter().fold(0.0, |worst: f32, one| if *one <= worst { worst } else { *one }),
            // Floats of both sides are rounded.
            beyond: steps.iter().filter(|steps| **steps > 1.01).count() as f64 / steps.len() as f64,
            float_layers: (floats, layers.len()),
            ram_bytes: compiled.plan.arena_bytes,
        })
    }
}

/// The outputs of one inference as real numbers.
fn run(compiled: &Compiled, test: &Test, item: usize) -> Result<Vec<Vec<f32>>, String> {
    let lowered = &compiled.lowered;
    let inputs = lowered.inputs.iter().zip(&test.inputs).enumerate().map(|(index, (id, rows))| {
        let (ty, reals) = (&lowered.value(*id).ty, rows.rows[item].clone());
        match compiled.input_quantization(index) {
            None => Tensor::new(&ty.shape, reals)?.cast(ty.dtype),
            Some((scale, zero_point)) => {
                let (min, max) = if ty.dtype == DType::I16 { (-32768, 32767) } else { (-128, 127) };
                let quantize =
                    |real: f32| ((real / scale).round_ties_even() as i32 + zero_point).clamp(min, max) as f32;
                Tensor::new(&ty.shape, reals.into_iter().map(quantize).collect::<Vec<f32>>())?.cast(ty.dtype)
            }
        }
    });
    let inputs: Option<Vec<Tensor>> = inputs.collect();
    let inputs = inputs.filter(|inputs| inputs.len() == test.inputs.len()).ok_or("its inputs are not the file's")?;
    let outputs = run_lowered(lowered, &inputs, |_, _| {}).map_err(|error| error.to_string())?;
    let reals = |(index, tensor): (usize, &Tensor)| match (tensor, compiled.output_quantization(index)) {
        (Tensor::F32(array), _) => array.iter().copied().collect(),
        (integers, Some((scale, zero_point))) => {
            let integers = integers.to_i64s().unwrap_or_default().into_iter();
            integers.map(|q| (q - i64::from(zero_point)) as f32 * scale).collect()
        }
        (other, _) => other.to_i64s().unwrap_or_default().into_iter().map(|x| x as f32).collect(),
    };
    Ok(outputs.iter().enumerate().map(reals).collect())
}

/// One input, or one output, of all items.
struct Rows {
    rows: Vec<Vec<f32>>,
    is_float: bool,
}

/// A test set: inputs, ONNX Runtime's outputs, and what the first output should have been.
struct Test {
    inputs: Vec<Rows>,
    outputs: Vec<Rows>,
    answers: Rows,
    /// Of a quantized file.
    left_in_float: Option<usize>,
    /// How many numbers a quantized activation can be.
    levels: f32,
}

impl Test {
    fn read(path: &Path) -> Self {
        let mut npz = Npz::open(path);
        let mut numbered = |kind: &str| -> Vec<Rows> {
            (0..).map_while(|index| Rows::read(&mut npz, &format!("{kind}_{index}"))).collect()
        };
        let (inputs, outputs) = (numbered("input"), numbered("output"));
        let answers = Rows::read(&mut npz, "classes").or_else(|| Rows::read(&mut npz, "targets"));
        let left_in_float = npz.get("left_in_float").map(|count| count.sum() as usize);
        let levels = npz.get("levels").map_or(255.0, |levels| levels.sum());
        Self { inputs, outputs, answers: answers.expect("a test set has answers"), left_in_float, levels }
    }

    fn items(&self) -> usize {
        self.answers.rows.len()
    }

    /// Percent of right classes, or of the targets' variance that is explained.
    fn score(&self, output: &Rows) -> f64 {
        if self.answers.is_float {
            return 100.0 * self.explained(output);
        }
        let mut right = 0;
        for (answer, classes) in output.rows.iter().zip(&self.answers.rows) {
            right += classes
                .iter()
                .enumerate()
                .filter(|&(pixel, &class)| {
                    let stride = classes.len();
                    let found = match output.is_float {
                        // Scores of the classes, along the axis behind the batch.
                        true => {
                            metric::largest(&answer.iter().skip(pixel).step_by(stride).copied().collect::<Vec<_>>())
                                as f32
                        }
                        false => answer[pixel],
                    };
                    found == class
                })
                .count();
        }
        100.0 * right as f64 / (self.items() * self.answers.rows[0].len()) as f64
    }

    fn explained(&self, output: &Rows) -> f64 {
        let width = self.answers.rows[0].len();
        let count = self.items() as f64;
        let (mut error, mut variance) = (0.0, 0.0);
        for column in 0..width {
            let targets = self.answers.rows.iter().map(|row| f64::from(row[column]));
            let mean = targets.clone().sum::<f64>() / count;
            variance += targets.clone().map(|target| (target - mean).powi(2)).sum::<f64>();
            error +=
                targets.zip(&output.rows).map(|(target, row)| (target - f64::from(row[column])).powi(2)).sum::<f64>();
        }
        1.0 - error / variance
    }
}

impl Rows {
    fn read(npz: &mut Npz<'_>, name: &str) -> Option<Self> {
        let is_float = npz.is_float(name);
        let array = npz.get(name)?;
        let rows = array.outer_iter().map(|row| row.iter().copied().collect()).collect();
        Some(Self { rows, is_float })
    }
}
