//! Test data of the reference models.

use std::fs::File;
use std::path::Path;

use ndarray::{ArrayD, IxDyn, OwnedRepr};
use ndarray_npy::{NpzReader, ReadableElement};

/// Inputs and what is known about the answers, an item each.
#[derive(Clone, Debug)]
pub struct TestSet {
    /// What the float network takes.
    pub inputs: Vec<Vec<f32>>,
    /// Class or target value; its meaning depends on the model.
    pub labels: Vec<f32>,
    /// ONNX Runtime's answer of the float network to the first items.
    pub expected: Vec<Vec<f32>>,
}

impl TestSet {
    /// Reads a `test.npz`: `x` as numbers of the sensor, `scale` and `zero_point` where those are not the floats that
    /// the network takes, labels `y`, and `expected`.
    pub fn read(path: &Path) -> Self {
        let mut npz = Npz::open(path);
        let scale = npz.get("scale").map_or(1.0, |array| array.sum());
        let zero_point = npz.get("zero_point").map_or(0.0, |array| array.sum());
        let items = |array: &ArrayD<f32>| array.outer_iter().map(|item| item.iter().copied().collect()).collect();
        Self {
            inputs: items(&npz.require("x").mapv(|x| (x - zero_point) * scale)),
            labels: npz.require("y").into_iter().collect(),
            expected: items(&npz.require("expected")),
        }
    }
}

impl TestSet {
    /// Inputs for comparing two implementations of a network: `count` items from all over the set, and some that no
    /// sensor makes, far outside of what the network knows.
    pub fn probes(&self, count: usize) -> Vec<Vec<f32>> {
        let items = (0..count).map(|index| self.inputs[index * self.inputs.len() / count].clone());
        let length = self.inputs[0].len();
        let largest = self.inputs.iter().flatten().fold(0.0, |largest: f32, x| largest.max(x.abs()));
        let extremes = [2.0 * largest, -2.0 * largest, 0.0].map(|x| vec![x; length]);
        let stripes = (0..length).map(|index| if index % 2 == 0 { largest } else { -largest }).collect();
        items.chain(extremes).chain([stripes]).collect()
    }
}

/// An archive of arrays, each of which becomes float whatever it was.
pub(crate) struct Npz<'a> {
    archive: NpzReader<File>,
    path: &'a Path,
}

impl<'a> Npz<'a> {
    pub(crate) fn open(path: &'a Path) -> Self {
        let file = File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let archive = NpzReader::new(file).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self { archive, path }
    }

    pub(crate) fn require(&mut self, name: &str) -> ArrayD<f32> {
        self.get(name).unwrap_or_else(|| panic!("{} has no numbers named `{name}`", self.path.display()))
    }

    pub(crate) fn get(&mut self, name: &str) -> Option<ArrayD<f32>> {
        self.typed::<f32>(name, |x| x)
            .or_else(|| self.typed::<i8>(name, f32::from))
            .or_else(|| self.typed::<u8>(name, f32::from))
            .or_else(|| self.typed::<i32>(name, |x| x as f32))
            .or_else(|| self.typed::<i64>(name, |x| x as f32))
            .or_else(|| self.typed::<f64>(name, |x| x as f32))
            .or_else(|| self.typed::<bool>(name, |x| f32::from(u8::from(x))))
    }

    /// Whether the array holds floats.
    pub(crate) fn is_float(&mut self, name: &str) -> bool {
        self.typed::<f32>(name, |x| x).is_some() || self.typed::<f64>(name, |x| x as f32).is_some()
    }

    fn typed<T: ReadableElement + Copy>(&mut self, name: &str, to_f32: impl Fn(T) -> f32) -> Option<ArrayD<f32>> {
        let array = self.archive.by_name::<OwnedRepr<T>, IxDyn>(&format!("{name}.npy")).ok()?;
        Some(array.mapv(to_f32))
    }
}
