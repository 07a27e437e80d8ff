//! Axes as mcuopt-rt's loops take them: six at most, and the fewer the faster.

use crate::builder::Builder;
use crate::error::Error;
use crate::graph::ValueId;

/// Axes that mcuopt-rt's loops over shapes have.
pub const LOOPS: usize = 6;

/// One entry for each axis, with `fill` for the axes in front that the tensor does not have.
pub fn padded<T: Copy>(values: &[T], fill: T) -> Result<[T; LOOPS], Error> {
    let mut padded = [fill; LOOPS];
    let start = LOOPS.checked_sub(values.len()).ok_or_else(|| {
        Error::unsupported(format!("{} axes that move against each other", values.len())).instead("up to six")
    })?;
    padded[start..].copy_from_slice(values);
    Ok(padded)
}

/// Elements from one index to the next along each axis of a tensor.
pub fn strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis] * shape[axis];
    }
    strides
}

/// Shape and strides with as few axes as they allow: one whose step is that over the whole next one becomes one with
/// it.
pub fn merged(shape: &[usize], strides: &[usize]) -> (Vec<usize>, Vec<usize>) {
    let mut axes: Vec<(usize, usize)> = Vec::new();
    for (&extent, &stride) in shape.iter().zip(strides).filter(|(extent, _)| **extent != 1) {
        match axes.last_mut() {
            Some((last, step)) if *step == extent * stride => (*last, *step) = (*last * extent, stride),
            _ => axes.push((extent, stride)),
        }
    }
    axes.into_iter().unzip()
}

/// Where more axes are there than loops, the value with those of them merged that `touched` does not name, and what
/// axes became one: `groups[i]` are those that axis `i` is made of.
pub fn with_few_axes(
    b: &mut Builder<'_>,
    x: ValueId,
    touched: impl Fn(usize) -> bool,
) -> Result<(ValueId, Vec<Vec<usize>>), Error> {
    let shape = b.shape(x).to_vec();
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for axis in 0..shape.len() {
        match groups.last_mut() {
            Some(group) if shape.len() > LOOPS && !touched(axis) && !touched(group[0]) => group.push(axis),
            _ => groups.push(vec![axis]),
        }
    }
    let merged: Vec<usize> = groups.iter().map(|group| group.iter().map(|&axis| shape[axis]).product()).collect();
    Ok((b.reshape(x, &merged)?, groups))
}
