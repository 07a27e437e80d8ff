//! Linear models and support vector machines (domain ai.onnx.ml), and what all classifiers have in common: labels, and
//! what becomes of their scores.
//!
//! <https://onnx.ai/onnx/operators/onnx_aionnxml_LinearClassifier.html> and its siblings. What the specification leaves
//! open is as ONNX Runtime does it.

use crate::builder::Builder;
use crate::error::Error;
use crate::graph::ValueId;
use crate::onnx::{self, Attribute};
use crate::tensor::{DType, Tensor};

/// Linear models → Gemm and what becomes of the scores; support vector machines → products with the vectors.
pub fn import(node: &onnx::Node, b: &mut Builder<'_>) -> Result<Vec<ValueId>, Error> {
    match node.op_type.as_str() {
        "LinearClassifier" => linear_classifier(b),
        "LinearRegressor" => linear_regressor(b),
        "SVMClassifier" => svm_classifier(b),
        "SVMRegressor" => svm_regressor(b),
        "ZipMap" => {
            for name in ["classlabels_int64s", "classlabels_strings"] {
                b.attribute(name);
            }
            b.note(format!("`{}` gives the scores as a tensor with a column for each class, not as maps", node.outputs[0]));
            Ok(vec![b.input(0)?])
        }
        other => Err(Error::bug(format!("{other} is no classifier"))),
    }
}

/// Operand 0 as a matrix of floats.
pub fn features(b: &mut Builder<'_>) -> Result<ValueId, Error> {
    let mut x = b.input(0)?;
    if b.graph.value(x).ty.dtype != DType::F32 {
        x = b.import("Cast", &[Some(x)], vec![("to".into(), Attribute::Int(1))])?;
    }
    match b.shape(x).to_vec()[..] {
        [columns] => b.reshape(x, &[1, columns]),
        [_, _] => Ok(x),
        ref shape => Err(Error::unsupported(format!("features of shape {shape:?}")).instead("a matrix").part("input 0")),
    }
}

/// The classes of a classifier.
pub struct Labels(Vec<i64>);

/// The classes that one of two attributes lists. Strings are not known in firmware: their positions stand for them.
pub fn labels(b: &mut Builder<'_>, [integers, strings]: [&str; 2]) -> Result<Labels, Error> {
    let names = match b.attribute(strings) {
        Some(Attribute::Strings(names)) => names.clone(),
        _ => Vec::new(),
    };
    let numbers = b.ints(integers)?.unwrap_or_default();
    if names.is_empty() && numbers.is_empty() {
        return Err(Error::invalid("it has no classes").part(format!("attribute `{integers}`")));
    }
    if names.is_empty() {
        return Ok(Labels(numbers));
    }
    b.note(format!("`{}` gives the class as a number, in the order {}", b.name, names.join(", ")));
    Ok(Labels((0..names.len() as i64).collect()))
}

impl Labels {
    /// Number of classes.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The labels at positions.
    fn at(&self, b: &mut Builder<'_>, positions: ValueId) -> Result<ValueId, Error> {
        if self.0.iter().copied().eq(0..self.0.len() as i64) {
            return Ok(positions);
        }
        let labels = b.constant(Tensor::from_i64s(&self.0));
        b.import("Gather", &[Some(labels), Some(positions)], vec![("axis".into(), Attribute::Int(0))])
    }

    /// The label of the largest score of each row.
    pub fn largest(&self, b: &mut Builder<'_>, scores: ValueId) -> Result<ValueId, Error> {
        let attributes = vec![("axis".into(), Attribute::Int(1)), ("keepdims".into(), Attribute::Int(0))];
        let positions = b.import("ArgMax", &[Some(scores)], attributes)?;
        self.at(b, positions)
    }

    /// The second label where the score, a column, is above the threshold, else the first.
    pub fn above(&self, b: &mut Builder<'_>, score: ValueId, threshold: f32) -> Result<ValueId, Error> {
        let rows = b.shape(score)[0];
        let flat = b.reshape(score, &[rows])?;
        let threshold = b.constant(Tensor::scalar(threshold));
        let is_above = b.import("Greater", &[Some(flat), Some(threshold)], Vec::new())?;
        let positions = b.import("Cast", &[Some(is_above)], vec![("to".into(), Attribute::Int(7))])?;
        self.at(b, positions)
    }
}

/// Scores after the transformation that a `post_transform` names.
pub fn transformed(b: &mut Builder<'_>, scores: ValueId, name: &str) -> Result<ValueId, Error> {
    match name {
        "NONE" | "" => Ok(scores),
        "LOGISTIC" => b.import("Sigmoid", &[Some(scores)], Vec::new()),
        "SOFTMAX" => b.import("Softmax", &[Some(scores)], vec![("axis".into(), Attribute::Int(1))]),
        other => {
            let error = Error::unsupported(format!("`{other}`")).instead("NONE, SOFTMAX or LOGISTIC");
            Err(error.part("attribute `post_transform`"))
        }
    }
}

/// The columns 1 − s and s.
pub fn complement(b: &mut Builder<'_>, score: ValueId) -> Result<ValueId, Error> {
    let one = b.constant(Tensor::scalar(1.0));
    let other = b.import("Sub", &[Some(one), Some(score)], Vec::new())?;
    beside(b, other, score)
}

/// The columns −s and s.
pub fn opposite(b: &mut Builder<'_>, score: ValueId) -> Result<ValueId, Error> {
    let other = b.import("Neg", &[Some(score)], Vec::new())?;
    beside(b, other, score)
}

fn beside(b: &mut Builder<'_>, left: ValueId, right: ValueId) -> Result<ValueId, Error> {
    b.import("Concat", &[Some(left), Some(right)], vec![("axis".into(), Attribute::Int(1))])
}

/// A column of a matrix.
pub fn column(b: &mut Builder<'_>, x: ValueId, index: usize) -> Result<ValueId, Error> {
    let limits = [index as i64, index as i64 + 1, 1].map(|value| Some(b.constant(Tensor::from_i64s(&[value]))));
    b.import("Slice", &[&[Some(x)], &limits[..]].concat(), Vec::new())
}

/// A list of floats.
fn floats(b: &Builder<'_>, name: &str) -> Result<Option<Vec<f32>>, Error> {
    match b.attribute(name) {
        None => Ok(None),
        Some(Attribute::Floats(values)) => Ok(Some(values.clone())),
        Some(_) => Err(Error::invalid("it should be a list of floats").part(format!("attribute `{name}`"))),
    }
}

fn required(b: &Builder<'_>, name: &str) -> Result<Vec<f32>, Error> {
    let values = floats(b, name)?.filter(|values| !values.is_empty());
    values.ok_or_else(|| Error::invalid("it is missing").part(format!("attribute `{name}`")))
}

/// A constant matrix.
fn matrix(b: &mut Builder<'_>, rows: usize, columns: usize, values: Vec<f32>) -> Result<ValueId, Error> {
    let count = values.len();
    let tensor = Tensor::new(&[rows, columns], values);
    Ok(b.constant(tensor.ok_or_else(|| Error::invalid(format!("{count} numbers for {rows} by {columns}")))?))
}

/// x · weightsᵀ + bias, with one row of weights for each of `outputs`.
fn affine(b: &mut Builder<'_>, x: ValueId, outputs: usize, weights: Vec<f32>, bias: Vec<f32>) -> Result<ValueId, Error> {
    let columns = b.shape(x)[1];
    let weights = matrix(b, outputs, columns, weights)?;
    let bias = if bias.is_empty() { vec![0.0; outputs] } else { bias };
    let bias = matrix(b, 1, outputs, bias)?;
    b.import("Gemm", &[Some(x), Some(weights), Some(bias)], vec![("transB".into(), Attribute::Int(1))])
}

fn linear_classifier(b: &mut Builder<'_>) -> Result<Vec<ValueId>, Error> {
    let x = features(b)?;
    b.attribute("multi_class");
    let labels = labels(b, ["classlabels_ints", "classlabels_strings"])?;
    let (weights, bias) = (required(b, "coefficients")?, floats(b, "intercepts")?.unwrap_or_default());
    let post = b.string("post_transform", "NONE")?;
    let rows = weights.len() / b.shape(x)[1].max(1);
    let scores = affine(b, x, rows, weights, bias)?;
    if rows == 1 && labels.count() == 2 {
        let label = labels.above(b, scores, 0.0)?;
        let scores = match post.as_str() {
            "LOGISTIC" => {
                let scores = opposite(b, scores)?;
                transformed(b, scores, &post)?
            }
            _ => complement(b, scores)?,
        };
        return Ok(vec![label, scores]);
    }
    if rows != labels.count() {
        return Err(Error::invalid(format!("{rows} rows of coefficients for {} classes", labels.count())));
    }
    Ok(vec![labels.largest(b, scores)?, transformed(b, scores, &post)?])
}

fn linear_regressor(b: &mut Builder<'_>) -> Result<Vec<ValueId>, Error> {
    let x = features(b)?;
    let targets = usize::try_from(b.int("targets", 1)?).unwrap_or(0);
    let (weights, bias) = (required(b, "coefficients")?, floats(b, "intercepts")?.unwrap_or_default());
    let post = b.string("post_transform", "NONE")?;
    let y = affine(b, x, targets, weights, bias)?;
    Ok(vec![transformed(b, y, &post)?])
}

/// The kernel function of x and each support vector: a matrix with a column for each vector.
fn kernel(b: &mut Builder<'_>, x: ValueId, vectors: Vec<f32>, count: usize) -> Result<ValueId, Error> {
    let name = b.string("kernel_type", "LINEAR")?;
    let parameters = floats(b, "kernel_params")?.unwrap_or_default();
    let [gamma, coef0, degree] = [0, 1, 2].map(|index| parameters.get(index).copied().unwrap_or(0.0));
    let (rows, columns) = (b.shape(x)[0], b.shape(x)[1]);
    let scaled = |b: &mut Builder<'_>, y: ValueId, factor: f32, summand: f32| {
        let [factor, summand] = [factor, summand].map(|value| b.constant(Tensor::scalar(value)));
        let y = b.import("Mul", &[Some(y), Some(factor)], Vec::new())?;
        b.import("Add", &[Some(y), Some(summand)], Vec::new())
    };
    match name.as_str() {
        "LINEAR" => affine(b, x, count, vectors, Vec::new()),
        "POLY" => {
            if degree.fract() != 0.0 || !(1.0..=8.0).contains(&degree) {
                let error = Error::unsupported(format!("degree {degree}")).instead("1 to 8");
                return Err(error.part("attribute `kernel_params`"));
            }
            let y = affine(b, x, count, vectors, Vec::new())?;
            let y = scaled(b, y, gamma, coef0)?;
            let mut power = y;
            for _ in 1..degree as usize {
                power = b.import("Mul", &[Some(power), Some(y)], Vec::new())?;
            }
            Ok(power)
        }
        "SIGMOID" => {
            let y = affine(b, x, count, vectors, Vec::new())?;
            let y = scaled(b, y, gamma, coef0)?;
            b.import("Tanh", &[Some(y)], Vec::new())
        }
        "RBF" => {
            // Σ (x − v)² by differences: |x|² − 2xv + |v|² would cancel.
            let x = b.reshape(x, &[rows, 1, columns])?;
            let tensor = Tensor::new(&[1, count, columns], vectors);
            let vectors = b.constant(tensor.ok_or_else(|| Error::invalid("support vectors of another length than x"))?);
            let difference = b.import("Sub", &[Some(x), Some(vectors)], Vec::new())?;
            let square = b.import("Mul", &[Some(difference), Some(difference)], Vec::new())?;
            let square = b.reshape(square, &[rows * count, columns])?;
            let distance = affine(b, square, 1, vec![-gamma; columns], Vec::new())?;
            let distance = b.reshape(distance, &[rows, count])?;
            b.import("Exp", &[Some(distance)], Vec::new())
        }
        other => Err(Error::invalid(format!("`{other}` is no kernel")).part("attribute `kernel_type`")),
    }
}

fn svm_regressor(b: &mut Builder<'_>) -> Result<Vec<ValueId>, Error> {
    let x = features(b)?;
    let count = usize::try_from(b.int("n_supports", 0)?).unwrap_or(0);
    let (weights, rho) = (required(b, "coefficients")?, required(b, "rho")?);
    let post = b.string("post_transform", "NONE")?;
    let one_class = b.int("one_class", 0)? != 0;
    let vectors = floats(b, "support_vectors")?.unwrap_or_default();
    let terms = match count {
        0 => {
            b.attribute("kernel_type");
            b.attribute("kernel_params");
            x
        }
        _ => kernel(b, x, vectors, count)?,
    };
    let y = affine(b, terms, 1, weights, vec![rho[0]])?;
    if one_class {
        // 1 for what lies inside, −1 outside.
        let inside = b.push(super::features::Binarizer { threshold: 0.0 }, &[y])?;
        let [two, one] = [2.0, 1.0].map(|value| b.constant(Tensor::scalar(value)));
        let double = b.import("Mul", &[Some(inside), Some(two)], Vec::new())?;
        return Ok(vec![b.import("Sub", &[Some(double), Some(one)], Vec::new())?]);
    }
    Ok(vec![transformed(b, y, &post)?])
}

/// Each pair of classes has a score; the class that wins most pairs is the label.
fn svm_classifier(b: &mut Builder<'_>) -> Result<Vec<ValueId>, Error> {
    let x = features(b)?;
    let labels = labels(b, ["classlabels_ints", "classlabels_strings"])?;
    let (weights, rho) = (required(b, "coefficients")?, required(b, "rho")?);
    let post = b.string("post_transform", "NONE")?;
    let classes = labels.count();
    let (prob_a, prob_b) = (floats(b, "prob_a")?.unwrap_or_default(), floats(b, "prob_b")?.unwrap_or_default());
    let sizes = b.ints("vectors_per_class")?.unwrap_or_default();
    let sizes: Vec<usize> = sizes.iter().map(|size| usize::try_from(*size).unwrap_or(0)).collect();
    let total: usize = sizes.iter().sum();
    let vectors = floats(b, "support_vectors")?.unwrap_or_default();
    if total == 0 {
        let error = Error::unsupported("a classifier without support vectors").instead("LinearClassifier");
        return Err(error.part("attribute `vectors_per_class`"));
    }
    if !prob_a.is_empty() || !prob_b.is_empty() {
        let error = Error::unsupported("probabilities of pairs of classes").instead("SVC(probability=False)");
        return Err(error.part("attribute `prob_a`"));
    }
    if post != "NONE" {
        let error = Error::unsupported(format!("`{post}`")).instead("NONE");
        return Err(error.part("attribute `post_transform`"));
    }
    let pairs: Vec<(usize, usize)> = (0..classes).flat_map(|i| (i + 1..classes).map(move |j| (i, j))).collect();
    if sizes.len() != classes || weights.len() != (classes.max(2) - 1) * total || rho.len() != pairs.len() || classes < 2 {
        return Err(Error::invalid(format!("{} coefficients and {} rho for {classes} classes", weights.len(), rho.len())));
    }
    let start = |class: usize| sizes[..class].iter().sum::<usize>();
    // For each pair, its coefficients of all support vectors.
    let mut rows = vec![0.0; pairs.len() * total];
    for (row, &(i, j)) in rows.chunks_exact_mut(total).zip(&pairs) {
        for (class, line) in [(i, j - 1), (j, i)] {
            let range = start(class)..start(class) + sizes[class];
            row[range.clone()].copy_from_slice(&weights[line * total..][range]);
        }
    }
    let kernels = kernel(b, x, vectors, total)?;
    let scores = affine(b, kernels, pairs.len(), rows, rho)?;
    let wins = b.push(super::features::Binarizer { threshold: 0.0 }, &[scores])?;
    // A won pair counts for its first class, a lost one for its second.
    let mut votes = vec![0.0; classes * pairs.len()];
    let mut base = vec![0.0; classes];
    for (index, &(i, j)) in pairs.iter().enumerate() {
        votes[i * pairs.len() + index] += 1.0;
        votes[j * pairs.len() + index] -= 1.0;
        base[j] += 1.0;
    }
    let votes = affine(b, wins, classes, votes, base)?;
    let label = labels.largest(b, votes)?;
    if classes > 2 {
        return Ok(vec![label, scores]);
    }
    // Beside the score of two classes its opposite.
    let other = b.import("Neg", &[Some(scores)], Vec::new())?;
    Ok(vec![label, beside(b, other, scores)?])
}
