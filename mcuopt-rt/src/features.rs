//! Operators of the domain ai.onnx.ml that prepare features: Normalizer, Binarizer, Imputer, LabelEncoder, OneHotEncoder.

use crate::math;

/// By what Normalizer divides a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Norm {
    /// The largest element.
    Max,
    /// The sum of magnitudes.
    L1,
    /// The square root of the sum of squares.
    L2,
}

/// Rows of a matrix, each divided by its norm; a row whose norm is 0 stays.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Normalizer {
    /// Elements of a row.
    pub columns: usize,
    /// The norm.
    pub norm: Norm,
}

/// ONNX Normalizer.
///
/// # Panics
/// If `columns` is 0.
pub fn normalize_rows(p: &Normalizer, x: &[f32], y: &mut [f32]) {
    for (x, y) in x.chunks_exact(p.columns).zip(y.chunks_exact_mut(p.columns)) {
        let norm = match p.norm {
            Norm::Max => x.iter().fold(f32::NEG_INFINITY, |max, &x| if x > max { x } else { max }),
            Norm::L1 => x.iter().map(|x| x.abs()).sum(),
            Norm::L2 => math::sqrt(x.iter().map(|x| x * x).sum()),
        };
        let norm = if norm == 0.0 { 1.0 } else { norm };
        for (y, x) in y.iter_mut().zip(x) {
            *y = x / norm;
        }
    }
}

/// ONNX Binarizer: 1 where `x` is above the threshold, else 0.
///
/// # Panics
/// If the lengths differ.
pub fn binarize(threshold: f32, x: &[f32], y: &mut [f32]) {
    assert_eq!(x.len(), y.len(), "x and y");
    for (y, x) in y.iter_mut().zip(x) {
        *y = if *x > threshold { 1.0 } else { 0.0 };
    }
}

/// ONNX Imputer: what equals `replaced` (NaN equals NaN) becomes the number for its column in `imputed`, or the only one
/// there is.
///
/// # Panics
/// If the lengths differ, or `imputed` or `replaced` is empty.
#[allow(clippy::eq_op)]
pub fn impute<T: Copy + PartialEq>(imputed: &[T], replaced: &[T], x: &[T], y: &mut [T]) {
    assert_eq!(x.len(), y.len(), "x and y");
    let replaced = replaced[0];
    for (index, (y, &x)) in y.iter_mut().zip(x).enumerate() {
        let is_missing = x == replaced || (x != x && replaced != replaced);
        *y = if is_missing { imputed[index % imputed.len()] } else { x };
    }
}

/// ONNX LabelEncoder: the value of the last key that equals an element (NaN equals NaN), or the default.
///
/// # Panics
/// If the lengths of `x` and `y` or those of `keys` and `values` differ, or `default` is empty.
#[allow(clippy::eq_op)]
pub fn look_up<K: Copy + PartialEq, V: Copy>(keys: &[K], values: &[V], default: &[V], x: &[K], y: &mut [V]) {
    assert_eq!(x.len(), y.len(), "x and y");
    assert_eq!(keys.len(), values.len(), "keys and values");
    for (y, &x) in y.iter_mut().zip(x) {
        let found = keys.iter().rposition(|&key| key == x || (x != x && key != key));
        *y = found.map_or(default[0], |position| values[position]);
    }
}

/// ONNX OneHotEncoder: for each element a row with 1 at the category that it is.
///
/// # Panics
/// If `y` is not as long as `x` times the categories.
pub fn one_hot_encode<T: Copy + PartialEq>(categories: &[T], x: &[T], y: &mut [f32]) {
    assert_eq!(x.len() * categories.len(), y.len(), "x, categories and y");
    for (y, x) in y.chunks_exact_mut(categories.len().max(1)).zip(x) {
        for (y, category) in y.iter_mut().zip(categories) {
            *y = if x == category { 1.0 } else { 0.0 };
        }
    }
}
