//! Small networks with samples.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use mcuopt_codegen::tensor::Tensor;
use ndarray::{Array, ArrayD, IxDyn};
use ndarray_npy::{NpzWriter, WritableElement};

use crate::common::{Random, Result, Sketch, ints, scratch};

pub(crate) const CLASSES: usize = 4;
const HEIGHT: usize = 8;

/// Arrays for a `.npz` file.
pub(crate) struct Arrays(NpzWriter<File>);

impl Arrays {
    pub(crate) fn create(path: &Path) -> Result<Self> {
        Ok(Self(NpzWriter::new_compressed(File::create(path)?)))
    }

    pub(crate) fn add<T: WritableElement>(mut self, name: &str, shape: &[usize], elements: Vec<T>) -> Result<Self> {
        let array: ArrayD<T> = Array::from_shape_vec(IxDyn(shape), elements)?;
        self.0.add_array(name, &array)?;
        Ok(self)
    }

    pub(crate) fn finish(self) -> Result {
        self.0.finish()?;
        Ok(())
    }
}

/// A classifier of 8×8 images with a branch: convolution, Relu, convolution, Add, pool, dense layer, softmax. `seed` makes
/// the weights, and `layers` counts the convolutions behind the first one.
pub(crate) fn classifier(seed: u64, layers: usize) -> Sketch {
    let mut random = Random(seed | 1);
    let mut sketch = Sketch::new(13)
        .input("image", &[1, 1, HEIGHT, HEIGHT])
        .floats("first.weight", &[6, 1, 3, 3], random.floats(54))
        .floats("first.bias", &[6], random.floats(6))
        .node("Conv", &["image", "first.weight", "first.bias"], &["first"], &[("pads", ints(&[1, 1, 1, 1]))])
        .node("Relu", &["first"], &["x0"], &[]);
    for layer in 0..layers {
        let [x, w, y, z] = ["x", "w", "y", "z"].map(|name| format!("{name}{layer}"));
        let next = format!("x{}", layer + 1);
        sketch = sketch
            .floats(&w, &[6, 6, 3, 3], random.floats(324).iter().map(|weight| weight / 4.0).collect())
            .node("Conv", &[&x, &w], &[&y], &[("pads", ints(&[1, 1, 1, 1]))])
            .node("Relu", &[&y], &[&z], &[])
            .node("Add", &[&z, &x], &[&next], &[]);
    }
    let last = format!("x{layers}");
    sketch
        .node("MaxPool", &[&last], &["pooled"], &[("kernel_shape", ints(&[4, 4])), ("strides", ints(&[4, 4]))])
        .node("Flatten", &["pooled"], &["flat"], &[])
        .floats("last.weight", &[24, CLASSES], random.floats(24 * CLASSES))
        .node("MatMul", &["flat", "last.weight"], &["logits"], &[])
        .node("Softmax", &["logits"], &["scores"], &[])
        .output("scores")
}

/// A dense network that gives back something like its input.
pub(crate) fn autoencoder() -> Sketch {
    const WIDTH: usize = 12;
    let mut random = Random(77);
    let near_identity = |random: &mut Random| {
        let one = |index: usize| if index / WIDTH == index % WIDTH { 1.0 } else { 0.0 };
        (0..WIDTH * WIDTH).map(|index| one(index) + random.float() * 0.02).collect::<Vec<f32>>()
    };
    let (encode, decode) = (near_identity(&mut random), near_identity(&mut random));
    Sketch::new(13)
        .input("x", &[1, WIDTH])
        .floats("encode", &[WIDTH, WIDTH], encode)
        .floats("decode", &[WIDTH, WIDTH], decode)
        .node("MatMul", &["x", "encode"], &["code"], &[])
        .node("Relu", &["code"], &["positive"], &[])
        .node("MatMul", &["positive", "decode"], &["y"], &[])
        .output("y")
}

/// A network with two inputs and two outputs: their sum and the largest of their products' rows.
pub(crate) fn two_of_each() -> Sketch {
    let mut random = Random(5);
    Sketch::new(13)
        .input("left", &[1, 6])
        .input("right", &[1, 6])
        .floats("weight", &[6, 5], random.floats(30))
        .node("Add", &["left", "right"], &["sum"], &[])
        .node("MatMul", &["sum", "weight"], &["scores"], &[])
        .output("sum")
        .output("scores")
}

/// Writes the model into a folder of its own, and `count` samples beside it if that is not 0.
pub(crate) fn written(name: &str, sketch: &Sketch, count: usize) -> Result<PathBuf> {
    let path = scratch(name);
    fs::create_dir_all(path.parent().ok_or("a folder")?)?;
    fs::write(&path, sketch.0.encode())?;
    if count > 0 {
        let mut arrays = Arrays::create(&path.with_extension("calib.npz"))?;
        for (index, info) in sketch.0.graph.inputs.iter().enumerate() {
            let (shape, samples) = (shape(sketch, index)?, samples(sketch, index, count)?);
            let elements = samples.iter().flat_map(|sample| sample.f32s().unwrap_or_default().to_vec()).collect();
            arrays = arrays.add(&info.name, &[&[count], &shape[..]].concat(), elements)?;
        }
        arrays.finish()?;
    }
    Ok(path)
}

/// Dimensions of an input.
pub(crate) fn shape(sketch: &Sketch, index: usize) -> Result<Vec<usize>> {
    let dims = sketch.0.graph.inputs[index].shape.as_ref().ok_or("a shape")?;
    let size = |dim: &mcuopt_codegen::onnx::Dim| match dim {
        mcuopt_codegen::onnx::Dim::Known(size) => Ok(*size),
        other => Err(format!("{other:?}").into()),
    };
    dims.iter().map(size).collect()
}

/// Numbers from 0 to 1 for an input.
pub(crate) fn samples(sketch: &Sketch, index: usize, count: usize) -> Result<Vec<Tensor>> {
    let shape = shape(sketch, index)?;
    let mut random = Random(1000 + index as u64);
    let mut sample = || random.floats(shape.iter().product()).iter().map(|x| (x + 1.0) / 2.0).collect::<Vec<f32>>();
    (0..count).map(|_| Tensor::new(&shape, sample()).ok_or_else(|| "a tensor".into())).collect()
}
