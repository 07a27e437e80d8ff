//! What a file is that is not an ONNX model.

use crate::error::Error;

/// The error for bytes that did not decode because of `reason`, naming the kind of file where it is recognised.
///
/// Only asked after decoding failed: a valid model could contain any of these marks.
pub(super) fn explain(bytes: &[u8], reason: &str) -> Error {
    let what = recognise(bytes).map(String::from).unwrap_or_else(|| {
        let hint = if bytes.len() < 16 { "" } else { "; it may be truncated or damaged" };
        format!("{reason}{hint}")
    });
    Error::invalid(format!("not an ONNX protobuf file: {what}"))
}

fn recognise(bytes: &[u8]) -> Option<&'static str> {
    let contains = |mark: &[u8]| bytes.windows(mark.len()).any(|window| window == mark);
    let text = bytes.trim_ascii_start();
    Some(match bytes {
        [] => "the file is empty",
        _ if bytes.starts_with(b"version https://git-lfs") => {
            "a git-lfs pointer stands in its place; fetch the file itself with `git lfs pull`"
        }
        [_, _, _, _, b'T', b'F', b'L', b'3', ..] => {
            "it is a TensorFlow Lite model; convert it with tf2onnx (`python -m tf2onnx.convert --tflite …`)"
        }
        [_, _, _, _, b'O', b'R', b'T', b'M', ..] => {
            "it is an onnxruntime .ort model; use the .onnx file it was made from"
        }
        [b'P', b'K', 3 | 5, 4 | 6, ..] => {
            "it is a zip archive (a PyTorch or Keras file, or a zipped model); export or extract the .onnx file"
        }
        [0x1f, 0x8b, ..] => "it is compressed with gzip; extract it first",
        [0x89, b'H', b'D', b'F', ..] => "it is an HDF5 (Keras) file; convert it with tf2onnx",
        [0x93, b'N', b'U', b'M', b'P', b'Y', ..] => "it is a NumPy array",
        [0x80, 2..=5, ..] => "it is a Python pickle (PyTorch); export it with torch.onnx.export",
        // Before the protobuf marks: a newline is one of them.
        _ if text.starts_with(b"<!") || text.starts_with(b"<html") => {
            "it is a web page; the download did not give the model itself"
        }
        _ if text.starts_with(b"{") || text.starts_with(b"ir_version") || text.starts_with(b"<") => {
            "it is text; the binary form of the model is needed"
        }
        // The first field of a GraphDef is a node; the first field of an ONNX model is a number.
        [0x0a, ..] => "it is another protobuf message, perhaps a TensorFlow graph (.pb); convert it with tf2onnx",
        [0x08, 1, 0x12, ..] if contains(b"serve") => "it is a TensorFlow SavedModel; convert it with tf2onnx",
        _ => return None,
    })
}
