//! DepthToSpace and SpaceToDepth: channels to blocks of pixels, and back.
//!
//! <https://onnx.ai/onnx/operators/onnx__DepthToSpace.html>, opset 1 to 13;
//! <https://onnx.ai/onnx/operators/onnx__SpaceToDepth.html>, opset 1 to 13. Both are a Reshape, a Transpose and a
//! Reshape, on channels-last tensors.

use crate::builder::Builder;
use crate::error::Error;
use crate::graph::ValueId;
use crate::onnx;

/// DepthToSpace, SpaceToDepth → Transpose, Reshape, Transpose, Reshape, Transpose.
pub fn import(node: &onnx::Node, b: &mut Builder<'_>) -> Result<Vec<ValueId>, Error> {
    let x = b.input(0)?;
    let &[n, channels, height, width] = b.shape(x) else {
        return Err(Error::invalid(format!("{} axes instead of 4", b.shape(x).len())).part("input 0"));
    };
    let size = b.int("blocksize", 0)?;
    let size = usize::try_from(size).ok().filter(|&size| (1..=1 << 15).contains(&size));
    let size = size.ok_or_else(|| Error::invalid("it is not positive").part("attribute `blocksize`"))?;
    let mismatch =
        || Error::invalid(format!("blocks of {size} × {size} do not fit {:?}", [n, channels, height, width]));
    let x = b.transpose(x, &[0, 2, 3, 1])?;
    let y = if node.op_type == "SpaceToDepth" {
        if height % size != 0 || width % size != 0 {
            return Err(mismatch());
        }
        let (height, width) = (height / size, width / size);
        let y = b.reshape(x, &[n, height, size, width, size, channels])?;
        let y = b.transpose(y, &[0, 1, 3, 2, 4, 5])?;
        b.reshape(y, &[n, height, width, size * size * channels])?
    } else {
        if channels % (size * size) != 0 {
            return Err(mismatch());
        }
        let depth = channels / (size * size);
        // Channel = (row · size + column) · depth + depth index, or with the depth in front.
        let (apart, perm) = match b.string("mode", "DCR")?.as_str() {
            "DCR" => ([n, height, width, size, size, depth], [0, 1, 3, 2, 4, 5]),
            "CRD" => ([n, height, width, depth, size, size], [0, 1, 4, 2, 5, 3]),
            other => return Err(Error::invalid(format!("`{other}` is neither DCR nor CRD")).part("attribute `mode`")),
        };
        let y = b.reshape(x, &apart)?;
        let y = b.transpose(y, &perm)?;
        b.reshape(y, &[n, height * size, width * size, depth])?
    };
    Ok(vec![b.transpose(y, &[0, 3, 1, 2])?])
}
