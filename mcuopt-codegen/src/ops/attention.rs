//! Attention as one operator, taken apart: products, a softmax, products.
//!
//! <https://onnx.ai/onnx/operators/onnx__Attention.html>, opset 23, without a cache of keys and values.

use super::binary::{Binary, Kind};
use super::matmul::MatMul;
use crate::builder::Builder;
use crate::error::Error;
use crate::graph::ValueId;
use crate::onnx::{self, Attribute};
use crate::tensor::{DType, Tensor};

/// Attention → MatMul, Mul, Add of the masks, Softmax, MatMul.
///
/// Queries and keys that share a head of keys and values (grouped heads) meet by broadcasting: `[batch, key heads, query
/// heads for each, …]`.
pub fn import(_: &onnx::Node, b: &mut Builder<'_>) -> Result<Vec<ValueId>, Error> {
    if b.optional(4)?.is_some() || b.optional(5)?.is_some() || b.output_count() > 1 {
        let error = Error::unsupported("keys and values of earlier calls, and outputs that hand them on");
        return Err(error.instead("all keys and values as inputs 1 and 2, and the first output alone"));
    }
    for name in ["qk_matmul_output_mode", "softmax_precision"] {
        b.attribute(name);
    }
    if b.float("softcap", 0.0)? != 0.0 {
        return Err(Error::unsupported("limited scores").instead("0, the default").part("attribute `softcap`"));
    }
    let flat = b.shape(b.input(0)?).len() == 3;
    let (query_heads, heads) = (b.int("q_num_heads", 0)?, b.int("kv_num_heads", 0)?);
    let q = by_head(b, 0, query_heads)?;
    let [k, v] = [by_head(b, 1, heads)?, by_head(b, 2, heads)?];
    let [&[batch, query_heads, rows, width], &[_, heads, columns, _], &[.., value_width]] =
        [b.shape(q), b.shape(k), b.shape(v)]
    else {
        return Err(Error::invalid("queries, keys and values should have four axes, or three"));
    };
    if heads == 0 || !query_heads.is_multiple_of(heads) || b.shape(v)[..3] != [batch, heads, columns] {
        let message = format!("queries {:?}, keys {:?} and values {:?} do not go together", b.shape(q), b.shape(k), b.shape(v));
        return Err(Error::invalid(message));
    }
    let each = query_heads / heads;
    let q = b.reshape(q, &[batch, heads, each, rows, width])?;
    let k = b.reshape(k, &[batch, heads, 1, columns, width])?;
    let k = b.transpose(k, &[0, 1, 2, 4, 3])?;
    let v = b.reshape(v, &[batch, heads, 1, columns, value_width])?;

    let scale = b.float("scale", 1.0 / (width as f32).sqrt())?;
    let mut scores = b.push(MatMul::new(scale), &[q, k])?;
    if b.int("is_causal", 0)? != 0 {
        let hidden = |at: usize| if at % columns > at / columns { f32::NEG_INFINITY } else { 0.0 };
        let mask = Tensor::new(&[rows, columns], (0..rows * columns).map(hidden).collect::<Vec<f32>>());
        let mask = b.constant(mask.ok_or_else(|| Error::bug("a mask of another size"))?);
        scores = b.push(Binary::new(Kind::Add), &[scores, mask])?;
    }
    if let Some(mask) = mask(b, heads, each)? {
        scores = b.push(Binary::new(Kind::Add), &[scores, mask])?;
    }
    let last = vec![("axis".to_string(), Attribute::Int(-1))];
    let weights = b.import("Softmax", &[Some(scores)], last)?;
    let y = b.push(MatMul::new(1.0), &[weights, v])?;
    let y = b.reshape(y, &[batch, query_heads, rows, value_width])?;
    if !flat {
        return Ok(vec![y]);
    }
    let y = b.transpose(y, &[0, 2, 1, 3])?;
    Ok(vec![b.reshape(y, &[batch, rows, query_heads * value_width])?])
}

/// Operand `index` as `[batch, heads, rows, width]`; with three axes, the heads lie side by side in the last one.
fn by_head(b: &mut Builder<'_>, index: usize, heads: i64) -> Result<ValueId, Error> {
    let x = b.input(index)?;
    let &[batch, rows, width] = b.shape(x) else { return Ok(x) };
    let heads = usize::try_from(heads).ok().filter(|&heads| heads > 0 && width.is_multiple_of(heads));
    let heads = heads.ok_or_else(|| {
        let message = format!("{width} elements are not divided by the numbers of heads in the attributes");
        Error::invalid(message).part(format!("input {index}"))
    })?;
    let x = b.reshape(x, &[batch, rows, heads, width / heads])?;
    b.transpose(x, &[0, 2, 1, 3])
}

/// The mask as what is added to the scores `[batch, heads, each, rows, columns]`: 0 or −∞ for a mask of truth values.
fn mask(b: &mut Builder<'_>, heads: usize, each: usize) -> Result<Option<ValueId>, Error> {
    let Some(mut mask) = b.optional(3)? else { return Ok(None) };
    if b.graph.value(mask).ty.dtype == DType::Bool {
        let [seen, hidden] = [0.0, f32::NEG_INFINITY].map(|value| b.constant(Tensor::scalar(value)));
        mask = b.import("Where", &[Some(mask), Some(seen), Some(hidden)], Vec::new())?;
    }
    let shape = b.shape(mask).to_vec();
    let shape = match shape[..] {
        [.., batch, 1, rows, columns] => vec![batch, 1, 1, rows, columns],
        [.., batch, all, rows, columns] if all == heads * each => vec![batch, heads, each, rows, columns],
        // Rows and columns alone, or one head of the batch: as they broadcast.
        [_, _] | [1, _, _] => shape,
        _ => return Err(Error::invalid(format!("its shape is {shape:?}")).part("input 3")),
    };
    b.reshape(mask, &shape).map(Some)
}
