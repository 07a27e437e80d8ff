//! Typical inputs, from files or from memory.

use std::fs::{self, File};
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use ndarray::{ArrayD, Axis};
use zip::ZipArchive;

use super::{Range, npy};
use crate::error::Error;
use crate::graph::{Graph, Type};
use crate::ops::Op;
use crate::tensor::Tensor;

/// Samples for each input of a graph: as many for each.
pub struct Samples {
    /// For each input, in the graph's order.
    inputs: Arc<Vec<Source>>,
    /// Which of them.
    indices: Vec<usize>,
    /// The class of each sample.
    labels: Option<Vec<i64>>,
}

/// The name of the array, and of the file in a folder, that holds the class of each sample.
const LABELS: &str = "labels";

/// The samples of one input.
enum Source {
    /// A tensor for each sample.
    Memory(Vec<Tensor>),
    /// Files that are read when their samples are wanted: of a folder that may hold more than memory does.
    Files(Files),
}

struct Files {
    name: String,
    ty: Type,
    /// For each sample its file, and its position there.
    places: Vec<(PathBuf, usize)>,
    /// The file that was read last: samples are asked for more or less in order.
    last: Mutex<Option<(PathBuf, Arc<Vec<Tensor>>)>>,
}

impl Samples {
    /// Reads `.npz` (arrays named as the inputs; a single array may have any name), `.npy` (one input), or a folder of
    /// `.npy` files in the order of their names (for several inputs, in folders named as these).
    ///
    /// The first axis of an array counts the samples; the rest has the input's shape, or its elements. A file in a folder
    /// may also hold one sample. Files of a folder are read one at a time, so that together they may be larger than
    /// memory.
    ///
    /// An array `labels` that is no input, or a file `labels.npy` in the folder, holds the class of each sample.
    pub fn read(path: &Path, graph: &Graph<Op>) -> Result<Self, Error> {
        if path.is_dir() {
            let several = graph.inputs.len() > 1;
            let values = graph.inputs.iter().map(|id| graph.value(*id));
            let files = values.map(|value| {
                let folder = if several { path.join(&value.name) } else { path.to_path_buf() };
                Files::find(&folder, &value.name, &value.ty).map(Source::Files)
            });
            let samples = Self::new(files.collect::<Result<_, _>>()?)?;
            let labels = path.join(LABELS).with_extension("npy");
            return match labels.is_file() {
                true => {
                    let in_file = |error: Error| error.in_file(labels.display().to_string());
                    samples.labelled(&read_npy(&labels).map_err(in_file)?).map_err(in_file)
                }
                false => Ok(samples),
            };
        }
        let file = File::open(path).map_err(Error::io)?;
        let mut arrays = match path.extension().is_some_and(|extension| extension == "npy") {
            true => vec![(String::new(), read_npy(path)?)],
            false => read_npz(file)?,
        };
        let is_input = |name: &str| graph.inputs.iter().any(|id| graph.value(*id).name == name);
        let labels = arrays.iter().position(|(name, _)| name == LABELS && !is_input(name));
        let labels = labels.map(|position| arrays.remove(position).1);
        let mut inputs = Vec::new();
        for id in &graph.inputs {
            let value = graph.value(*id);
            let named = arrays.iter().find(|(name, _)| *name == value.name);
            let only = || arrays.first().filter(|_| arrays.len() == 1 && graph.inputs.len() == 1);
            let Some((_, array)) = named.or_else(only) else {
                let names: Vec<_> = arrays.iter().map(|(name, _)| format!("`{name}`")).collect();
                return Err(Error::calibration(format!(
                    "no array for the input `{}`, only {}",
                    value.name,
                    names.join(", ")
                )));
            };
            inputs.push(Source::Memory(split(array, &value.name, &value.ty)?));
        }
        let samples = Self::new(inputs)?;
        match labels {
            Some(labels) => samples.labelled(&labels),
            None => Ok(samples),
        }
    }

    /// Samples that are in memory already: for each input of the graph, in order, a tensor for each sample.
    pub fn from_tensors(inputs: Vec<Vec<Tensor>>) -> Self {
        let count = inputs.first().map_or(0, Vec::len);
        Self {
            inputs: Arc::new(inputs.into_iter().map(Source::Memory).collect()),
            indices: (0..count).collect(),
            labels: None,
        }
    }

    fn new(inputs: Vec<Source>) -> Result<Self, Error> {
        let counts: Vec<usize> = inputs.iter().map(Source::len).collect();
        match counts.first() {
            Some(0) | None => Err(Error::calibration("there are no samples")),
            Some(first) if counts.iter().any(|count| count != first) => {
                Err(Error::calibration(format!("the inputs have {counts:?} samples, not as many each")))
            }
            Some(first) => Ok(Self { indices: (0..*first).collect(), inputs: Arc::new(inputs), labels: None }),
        }
    }

    /// With the class of each sample.
    fn labelled(mut self, labels: &ArrayD<f32>) -> Result<Self, Error> {
        if labels.len() != self.len() {
            let error = format!("the array `{LABELS}` has the shape {:?}; expected [{}]", labels.shape(), self.len());
            return Err(Error::calibration(error));
        }
        if let Some(label) = labels.iter().find(|label| label.fract() != 0.0 || !label.is_finite()) {
            return Err(Error::calibration(format!("the array `{LABELS}` holds {label}, which is no class")));
        }
        self.labels = Some(labels.iter().map(|&label| label as i64).collect());
        Ok(self)
    }

    /// The class of each sample, if it is known.
    pub fn labels(&self) -> Option<&[i64]> {
        self.labels.as_deref()
    }

    /// Number of samples.
    pub fn len(&self) -> usize {
        self.indices.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.indices.is_empty()
    }

    /// Sample `index`: a tensor for each input. A file that was there before may be gone.
    pub fn sample(&self, index: usize) -> Result<Vec<Tensor>, Error> {
        self.inputs.iter().map(|source| source.get(self.indices[index])).collect()
    }

    /// Those of the samples for which `keep` of their position says so.
    pub fn only(&self, keep: impl Fn(usize) -> bool) -> Self {
        let kept: Vec<usize> = (0..self.len()).filter(|position| keep(*position)).collect();
        Self {
            inputs: Arc::clone(&self.inputs),
            indices: kept.iter().map(|position| self.indices[*position]).collect(),
            labels: self.labels.as_ref().map(|labels| kept.iter().map(|position| labels[*position]).collect()),
        }
    }
}

impl Source {
    fn len(&self) -> usize {
        match self {
            Source::Memory(samples) => samples.len(),
            Source::Files(files) => files.places.len(),
        }
    }

    fn get(&self, index: usize) -> Result<Tensor, Error> {
        match self {
            Source::Memory(samples) => Ok(samples[index].clone()),
            Source::Files(files) => files.get(index),
        }
    }
}

impl Files {
    /// The `.npy` files of a folder, all of which are looked through once.
    fn find(folder: &Path, name: &str, ty: &Type) -> Result<Self, Error> {
        let paths = entries(folder).map_err(|error| Error::io(error).in_file(folder.display().to_string()))?;
        let mut places = Vec::new();
        let is_labels = |path: &Path| path.file_stem().is_some_and(|stem| stem == LABELS);
        for path in paths.into_iter().filter(|path| is_npy(path) && !is_labels(path)) {
            let count = samples_of(&path, name, ty)?.len();
            places.extend((0..count).map(|position| (path.clone(), position)));
        }
        Ok(Self { name: name.to_string(), ty: ty.clone(), places, last: Mutex::new(None) })
    }

    fn get(&self, index: usize) -> Result<Tensor, Error> {
        let (path, position) = &self.places[index];
        let known = |last: &Option<(PathBuf, Arc<Vec<Tensor>>)>| {
            last.as_ref().filter(|(file, _)| file == path).map(|(_, samples)| Arc::clone(samples))
        };
        let cached = self.last.lock().map_or(None, |last| known(&last));
        let samples = match cached {
            Some(samples) => samples,
            None => {
                let samples = Arc::new(samples_of(path, &self.name, &self.ty)?);
                if let Ok(mut last) = self.last.lock() {
                    *last = Some((path.clone(), Arc::clone(&samples)));
                }
                samples
            }
        };
        let changed = || Error::calibration("it changed while it was read").in_file(path.display().to_string());
        samples.get(*position).cloned().ok_or_else(changed)
    }
}

/// The files that [`Samples::read`] reads for a path: itself, or the `.npy` files in the folder and the folders in it.
pub fn sample_files(path: &Path) -> io::Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_path_buf()]);
    }
    let mut files = Vec::new();
    for entry in entries(path)? {
        match entry.is_dir() {
            true => files.extend(entries(&entry)?),
            false => files.push(entry),
        }
    }
    files.retain(|file| is_npy(file));
    Ok(files)
}

/// What lies in a folder, in the order of the names.
fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

fn is_npy(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "npy")
}

/// The samples of a file in a folder: one, or one for each index along the first axis.
fn samples_of(path: &Path, name: &str, ty: &Type) -> Result<Vec<Tensor>, Error> {
    let in_file = |error: Error| error.in_file(path.display().to_string());
    let array = read_npy(path).map_err(in_file)?;
    let single = array.shape() == ty.shape && array.shape().first() != Some(&1);
    let array = if single { array.insert_axis(Axis(0)) } else { array };
    split(&array, name, ty).map_err(in_file)
}

fn read_npy(path: &Path) -> Result<ArrayD<f32>, Error> {
    let file = File::open(path).map_err(Error::io)?;
    npy::read(BufReader::new(file)).map_err(|error| Error::calibration(format!("not a readable .npy file: {error}")))
}

fn read_npz(file: File) -> Result<Vec<(String, ArrayD<f32>)>, Error> {
    let unreadable =
        |name: &str, error: String| Error::calibration(format!("the array `{name}` cannot be read: {error}"));
    let arrays = entries_of(file)?.into_iter();
    arrays.map(|(name, array)| array.map_err(|error| unreadable(&name, error)).map(|array| (name, array))).collect()
}

/// The arrays of a `.npz` file by name, those that hold numbers, in the order of the file.
pub fn arrays(path: &Path) -> Result<Vec<(String, ArrayD<f32>)>, Error> {
    let in_file = |error: Error| error.in_file(path.display().to_string());
    let entries = entries_of(File::open(path).map_err(|error| in_file(Error::io(error)))?).map_err(in_file)?;
    Ok(entries.into_iter().filter_map(|(name, array)| Some((name, array.ok()?))).collect())
}

/// An array, or what is wrong with it.
type Entry = (String, Result<ArrayD<f32>, String>);

/// The entries of an archive.
fn entries_of(file: File) -> Result<Vec<Entry>, Error> {
    let unreadable = |error| Error::calibration(format!("not a readable .npz file: {error}"));
    let mut npz = ZipArchive::new(BufReader::new(file)).map_err(unreadable)?;
    let mut arrays = Vec::new();
    for index in 0..npz.len() {
        let entry = npz.by_index(index).map_err(unreadable)?;
        let name = entry.name().trim_end_matches(".npy").to_string();
        arrays.push((name, npy::read(entry)));
    }
    Ok(arrays)
}

/// An array as samples of the given shape.
fn split(array: &ArrayD<f32>, name: &str, ty: &Type) -> Result<Vec<Tensor>, Error> {
    let shape = &ty.shape;
    let count: usize = shape.iter().product();
    let rest: usize = array.shape().iter().skip(1).product();
    if array.ndim() == 0 || rest != count {
        return Err(Error::calibration(format!(
            "the samples for `{name}` have the shape {:?}; expected [samples, {}]",
            array.shape(),
            shape.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")
        )));
    }
    let samples: Option<Vec<Tensor>> =
        array.axis_iter(Axis(0)).map(|sample| Tensor::new(shape, sample.iter().copied().collect())).collect();
    let samples = samples.ok_or_else(|| Error::bug("a sample has another size than its array says"))?;
    let broken = samples.iter().position(|sample| sample.f32s().is_none_or(|x| Range::of(x).is_none()));
    match broken {
        None => samples
            .iter()
            .map(|sample| sample.cast(ty.dtype))
            .collect::<Option<_>>()
            .ok_or_else(|| Error::calibration(format!("the samples for `{name}` are no {}", ty.dtype))),
        Some(index) => Err(Error::calibration(format!("sample {index} for `{name}` holds NaN or infinity"))),
    }
}
