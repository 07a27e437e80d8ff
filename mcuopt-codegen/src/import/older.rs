//! Opset 6, the last in which operands did not broadcast by themselves: its nodes in the terms of opset 7. Of older
//! opsets, only operators that are the same today.
//!
//! <https://onnx.ai/onnx/operators/onnx__Add.html#add-6> and its siblings: with `broadcast = 1`, the second operand
//! lies along the axes of the first from `axis` on, or along the last ones.

use super::{OPSETS, not_known};
use crate::builder::Builder;
use crate::error::Error;
use crate::graph::ValueId;
use crate::onnx::{Attribute, Node};

/// Operators with the attributes `axis` and `broadcast`.
const BROADCASTING: [&str; 11] = ["Add", "And", "Div", "Equal", "Greater", "Less", "Mul", "Or", "Pow", "Sub", "Xor"];

/// Operators that have been the same since opset 1.
const UNCHANGED: [&str; 3] = ["Identity", "Not", "Transpose"];

/// Gives the node the attributes that it would have in opset 7; returns what stands for its second operand, where
/// that has another shape.
pub(super) fn modernise(node: &mut Node, b: &mut Builder<'_>) -> Result<Option<ValueId>, Error> {
    let op = node.op_type.as_str();
    if b.opset < *OPSETS.start() && !UNCHANGED.contains(&op) {
        return Err(not_known(b.opset));
    }
    if BROADCASTING.contains(&op) {
        node.attributes.remove("broadcast");
        return match node.attributes.remove("axis") {
            Some(Attribute::Int(axis)) => along(axis, b).map(Some),
            Some(_) => Err(Error::invalid("it is no int").part("attribute `axis`")),
            None => Ok(None),
        };
    }
    match op {
        "BatchNormalization" | "Dropout" => match node.attributes.remove("is_test") {
            Some(Attribute::Int(1..)) => Ok(None),
            _ => Err(Error::unsupported("training mode").instead("`is_test = 1`").part("attribute `is_test`")),
        },
        "Gemm" => {
            node.attributes.remove("broadcast");
            Ok(None)
        }
        // A slope for each channel.
        "PRelu" if b.shape(b.input(1)?).len() == 1 => along(1, b).map(Some),
        _ => Ok(None),
    }
}

/// The second operand with axes of one element, such that its axes lie along those of the first from `axis` on.
fn along(axis: i64, b: &mut Builder<'_>) -> Result<ValueId, Error> {
    let (first, second) = (b.input(0)?, b.input(1)?);
    let rank = b.shape(first).len();
    let mut shape = b.shape(second).to_vec();
    // A number needs no axes.
    if shape.iter().product::<usize>() == 1 {
        return b.reshape(second, &[]);
    }
    let axis = if axis < 0 { axis.checked_add_unsigned(rank as u64) } else { Some(axis) };
    let end = axis.and_then(|axis| usize::try_from(axis).ok()).and_then(|axis| axis.checked_add(shape.len()));
    let Some(end) = end.filter(|&end| end <= rank) else {
        return Err(
            Error::invalid(format!("{shape:?} does not lie along {:?}", b.shape(first))).part("attribute `axis`")
        );
    };
    shape.extend(std::iter::repeat_n(1, rank - end));
    b.reshape(second, &shape)
}
