//! What each tensor holds over a set of samples: its range, and the mean of each channel.
//!
//! The samples go through the float graph. Results are
//! cached in the user's cache folder under a hash of everything they depend on.

mod histogram;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hasher};
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};

use ndarray::{ArrayD, Axis};
use ndarray_npy::{NpzReader, ReadNpyExt, ViewElement};

use crate::error::Error;
use crate::graph::{Graph, Type, ValueId};
use crate::interp;
use crate::ops::Op;
use crate::tensor::Tensor;

pub use histogram::Histogram;

/// Smallest and largest element of a tensor over all samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    /// Smallest.
    pub min: f32,
    /// Largest.
    pub max: f32,
}

impl Range {
    const EMPTY: Range = Range { min: f32::INFINITY, max: f32::NEG_INFINITY };

    /// The part of this range under which int8 quantization has the least mean square error over the elements.
    ///
    /// A narrower range has smaller steps but clips; see Banner et al., "Post-Training 4-bit Quantization of
    /// Convolution Networks for Rapid-Deployment", 2019. Both ends are searched in steps of a hundredth.
    fn least_error(self, histogram: &Histogram) -> Range {
        let bins: Vec<(f64, f64)> = histogram.bins().map(|(middle, count)| (middle, f64::from(count))).collect();
        let error = |range: Range| {
            let (min, max) = (f64::from(range.min.min(0.0)), f64::from(range.max.max(0.0)));
            let step = (max - min) / 255.0;
            let clipped = |x: f64| {
                if x < min {
                    min - x
                } else if x > max {
                    x - max
                } else {
                    0.0
                }
            };
            bins.iter().map(|&(x, count)| count * (step * step / 12.0 + clipped(x) * clipped(x))).sum::<f64>()
        };
        let mut best = (error(self), self);
        for part in (30..100).rev() {
            let candidate = Range { max: self.max * part as f32 / 100.0, ..self };
            let error = error(candidate);
            if error < best.0 {
                best = (error, candidate);
            }
        }
        let max = best.1.max;
        for part in (30..100).rev() {
            let candidate = Range { min: self.min * part as f32 / 100.0, max };
            let error = error(candidate);
            if error < best.0 {
                best = (error, candidate);
            }
        }
        best.1
    }

    fn join(self, other: Range) -> Range {
        Range { min: self.min.min(other.min), max: self.max.max(other.max) }
    }

    /// The range of a tensor's elements; `None` if one of them is not finite.
    ///
    /// A plain loop, for the reason that the `reference` module gives.
    pub fn of(elements: &[f32]) -> Option<Range> {
        let (mut min, mut max) = (f32::INFINITY, f32::NEG_INFINITY);
        let mut i = 0;
        while i < elements.len() {
            let x = elements[i];
            if !x.is_finite() {
                return None;
            }
            if x < min {
                min = x;
            }
            if x > max {
                max = x;
            }
            i += 1;
        }
        Some(Range { min, max })
    }
}

/// What is known of one float value.
#[derive(Clone, Debug, PartialEq)]
pub struct Statistics {
    /// Smallest and largest element.
    pub range: Range,
    /// The range whose int8 quantization has the least mean square error.
    pub best: Range,
    /// The mean for each index along the last axis.
    pub means: Vec<f32>,
}

/// The statistics of each float value of a graph.
pub type Ranges = BTreeMap<ValueId, Statistics>;

/// Statistics under way.
#[derive(Clone, Debug)]
struct Sums {
    range: Range,
    histogram: Histogram,
    sums: Vec<f64>,
    count: u64,
}

impl Sums {
    fn new(channels: usize) -> Self {
        Self { range: Range::EMPTY, histogram: Histogram::default(), sums: vec![0.0; channels], count: 0 }
    }

    /// Adds a tensor; `false` if an element is not finite.
    fn add(&mut self, elements: &[f32]) -> bool {
        let Some(range) = Range::of(elements) else { return false };
        self.range = self.range.join(range);
        self.histogram.add(elements, range.min.abs().max(range.max.abs()));
        let channels = self.sums.len();
        let sums = self.sums.as_mut_slice();
        let (mut i, mut channel) = (0, 0);
        while i < elements.len() {
            sums[channel] += elements[i] as f64;
            channel += 1;
            if channel == channels {
                channel = 0;
            }
            i += 1;
        }
        self.count += (elements.len() / channels.max(1)) as u64;
        true
    }

    fn join(&mut self, other: &Sums) {
        self.range = self.range.join(other.range);
        self.histogram.join(&other.histogram);
        self.sums.iter_mut().zip(&other.sums).for_each(|(sum, other)| *sum += other);
        self.count += other.count;
    }

    fn finish(&self) -> Statistics {
        let mean = |sum: &f64| (sum / self.count.max(1) as f64) as f32;
        let best = self.range.least_error(&self.histogram);
        Statistics { range: self.range, best, means: self.sums.iter().map(mean).collect() }
    }
}

/// Samples for each input of a graph: as many for each.
pub struct Samples {
    /// For each input, in the graph's order: one tensor for each sample.
    inputs: Vec<Vec<Tensor>>,
}

impl Samples {
    /// Reads `.npz` (arrays named as the inputs; a single array may have any name) or `.npy` (one input).
    ///
    /// The first axis of each array counts the samples; the rest has the input's shape, or its elements.
    pub fn read(path: &Path, graph: &Graph<Op>) -> Result<Self, Error> {
        let file = File::open(path).map_err(Error::io)?;
        let arrays = if path.extension().is_some_and(|extension| extension == "npy") {
            let unreadable = |error| Error::calibration(format!("not a readable .npy file: {error}"));
            vec![(String::new(), ArrayD::<f32>::read_npy(file).map_err(unreadable)?)]
        } else {
            read_npz(file)?
        };
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
            inputs.push(split(array, &value.name, &value.ty)?);
        }
        let counts: Vec<usize> = inputs.iter().map(Vec::len).collect();
        match counts.first() {
            Some(0) | None => Err(Error::calibration("there are no samples")),
            Some(first) if counts.iter().any(|count| count != first) => {
                Err(Error::calibration(format!("the inputs have {counts:?} samples, not as many each")))
            }
            Some(_) => Ok(Self { inputs }),
        }
    }

    /// Samples that are in memory already: for each input of the graph, in order, a tensor for each sample.
    pub fn from_tensors(inputs: Vec<Vec<Tensor>>) -> Self {
        Self { inputs }
    }

    /// Number of samples.
    pub fn len(&self) -> usize {
        self.inputs.first().map_or(0, Vec::len)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn sample(&self, index: usize) -> Vec<Tensor> {
        self.inputs.iter().map(|samples| samples[index].clone()).collect()
    }
}

fn read_npz(file: File) -> Result<Vec<(String, ArrayD<f32>)>, Error> {
    let mut npz =
        NpzReader::new(file).map_err(|error| Error::calibration(format!("not a readable .npz file: {error}")))?;
    let names = npz.names().map_err(|error| Error::calibration(format!("not a readable .npz file: {error}")))?;
    let mut arrays = Vec::new();
    for name in names {
        let array = read_array(&mut npz, &name)?;
        arrays.push((name.trim_end_matches(".npy").to_string(), array));
    }
    Ok(arrays)
}

/// An array of numbers, as floats.
fn read_array<R: Read + Seek>(npz: &mut NpzReader<R>, name: &str) -> Result<ArrayD<f32>, Error> {
    fn typed<R: Read + Seek, T: ndarray_npy::ReadableElement + ViewElement + Copy>(
        npz: &mut NpzReader<R>,
        name: &str,
        to_f32: impl Fn(T) -> f32,
    ) -> Result<ArrayD<f32>, ndarray_npy::ReadNpzError> {
        npz.by_name::<ndarray::OwnedRepr<T>, ndarray::IxDyn>(name).map(|array: ArrayD<T>| array.mapv(to_f32))
    }
    typed::<R, f32>(npz, name, |value| value)
        .or_else(|_| typed::<R, f64>(npz, name, |value| value as f32))
        .or_else(|_| typed::<R, u8>(npz, name, f32::from))
        .or_else(|_| typed::<R, i8>(npz, name, f32::from))
        .or_else(|_| typed::<R, i16>(npz, name, f32::from))
        .or_else(|_| typed::<R, i32>(npz, name, |value| value as f32))
        .or_else(|_| typed::<R, i64>(npz, name, |value| value as f32))
        .or_else(|_| typed::<R, bool>(npz, name, |value| f32::from(u8::from(value))))
        .map_err(|error| Error::calibration(format!("the array `{name}` does not hold numbers: {error}")))
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

/// Sums of floats depend on their order, so the samples are divided into so many parts whatever the number of
/// processors, and the parts are added up in order.
const PARTS: usize = 8;

/// Runs all samples through the graph, on all processors.
pub fn calibrate(graph: &Graph<Op>, samples: &Samples) -> Result<Ranges, Error> {
    let workers = std::thread::available_parallelism().map_or(1, usize::from).min(PARTS);
    let work = |worker: usize| {
        let parts = (worker..PARTS).step_by(workers);
        parts.map(|part| Ok((part, calibrate_part(graph, samples, part)?))).collect::<Result<Vec<_>, Error>>()
    };
    let mut parts = std::thread::scope(|scope| {
        let handles: Vec<_> = (0..workers).map(|worker| scope.spawn(move || work(worker))).collect();
        let joined = handles.into_iter().map(|handle| handle.join());
        let results = joined.map(|result| result.unwrap_or_else(|_| Err(Error::bug("a calibration thread panicked"))));
        results.collect::<Result<Vec<_>, _>>()
    })?
    .concat();
    parts.sort_by_key(|(part, _)| *part);
    let mut total: BTreeMap<ValueId, Sums> = BTreeMap::new();
    for (id, sums) in parts.into_iter().flat_map(|(_, sums)| sums) {
        total.entry(id).or_insert_with(|| Sums::new(sums.sums.len())).join(&sums);
    }
    Ok(total.iter().map(|(id, sums)| (*id, sums.finish())).collect())
}

fn calibrate_part(graph: &Graph<Op>, samples: &Samples, part: usize) -> Result<BTreeMap<ValueId, Sums>, Error> {
    let mut total: BTreeMap<ValueId, Sums> = BTreeMap::new();
    for index in (part..samples.len()).step_by(PARTS) {
        let mut broken = None;
        interp::run_float(graph, &samples.sample(index), |id, tensor| {
            let Some(elements) = tensor.f32s() else { return };
            let channels = tensor.shape().last().copied().unwrap_or(1);
            if !total.entry(id).or_insert_with(|| Sums::new(channels)).add(elements) {
                broken = broken.or(Some(id));
            }
        })?;
        if let Some(id) = broken {
            let name = &graph.value(id).name;
            return Err(Error::calibration(format!("sample {index} makes `{name}` NaN or infinite")));
        }
    }
    Ok(total)
}

/// Raised with every change of what is computed from samples or of how it is stored, so that older results are not
/// taken for new ones.
const CACHE_FORMAT: u32 = 1;

/// A hash of everything that ranges depend on: the files' bytes and the compiler's version.
///
/// Two runs of the standard library's hasher give 128 bits. It may change with the Rust release; then the samples
/// are run again.
pub fn content_hash(parts: &[&[u8]]) -> String {
    let run = |seed: u8| {
        let mut hasher = DefaultHasher::new();
        hasher.write_u8(seed);
        hasher.write_u32(CACHE_FORMAT);
        hasher.write(env!("CARGO_PKG_VERSION").as_bytes());
        for part in parts {
            hasher.write_usize(part.len());
            hasher.write(part);
        }
        hasher.finish()
    };
    format!("{:016x}{:016x}", run(1), run(2))
}

/// The cached ranges under `key`, if they are there and fit the graph.
pub fn load(key: &str, graph: &Graph<Op>) -> Option<Ranges> {
    let text = fs::read_to_string(cache_folder()?.join(format!("{key}.ranges"))).ok()?;
    let ids: BTreeMap<usize, ValueId> = graph.ids().map(|id| (id.index(), id)).collect();
    let entry = |line: &str| {
        let mut words = line.split(' ');
        let id = *ids.get(&words.next()?.parse().ok()?)?;
        let mut bits = || Some(f32::from_bits(u32::from_str_radix(words.next()?, 16).ok()?));
        let range = Range { min: bits()?, max: bits()? };
        let best = Range { min: bits()?, max: bits()? };
        let channels = graph.value(id).ty.shape.last().copied().unwrap_or(1);
        let means = (0..channels).map(|_| bits()).collect::<Option<_>>()?;
        words.next().is_none().then_some((id, Statistics { range, best, means }))
    };
    text.lines().map(entry).collect()
}

/// Stores ranges under `key`. A cache that cannot be written is no error: the next build calibrates again.
pub fn store(key: &str, ranges: &Ranges) {
    let Some(folder) = cache_folder() else { return };
    let line = |(id, statistics): (&ValueId, &Statistics)| {
        let Statistics { range, best, .. } = statistics;
        let numbers = [range.min, range.max, best.min, best.max].into_iter().chain(statistics.means.iter().copied());
        let words: String = numbers.map(|number| format!(" {:08x}", number.to_bits())).collect();
        format!("{}{words}\n", id.index())
    };
    let text: String = ranges.iter().map(line).collect();
    // Written aside and renamed, so that a build beside this one never reads half a file.
    let temporary = folder.join(format!("{key}.{}", std::process::id()));
    let written = fs::create_dir_all(&folder).and_then(|()| fs::write(&temporary, text));
    if written.and_then(|()| fs::rename(&temporary, folder.join(format!("{key}.ranges")))).is_err() {
        let _ = fs::remove_file(&temporary);
    }
}

/// `MCUOPT_CACHE_DIR`, or the folder `mcuopt` where the user's system keeps caches.
fn cache_folder() -> Option<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(folder) = variable("MCUOPT_CACHE_DIR") {
        return Some(folder);
    }
    let base = if cfg!(windows) {
        variable("LOCALAPPDATA")
    } else if cfg!(target_os = "macos") {
        variable("HOME").map(|home| home.join("Library/Caches"))
    } else {
        variable("XDG_CACHE_HOME").or_else(|| variable("HOME").map(|home| home.join(".cache")))
    };
    base.map(|base| base.join("mcuopt"))
}
