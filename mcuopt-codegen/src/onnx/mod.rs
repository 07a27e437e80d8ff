//! ONNX files: the only code that knows protobuf.
//!
//! [`Model::read`] gives the file as plain Rust data, with every constant decoded to a [`Tensor`], whichever of
//! ONNX's many encodings it was stored in. Nothing is interpreted here: operators, shapes and the order of nodes are
//! the business of later stages. [`Model::encode`] is the way back, for tests and tools.
//!
//! Files come from strangers. Sizes are checked against the bytes that are there before anything is allocated, and
//! nothing here panics on them.

mod constant;
mod decode;
mod element;
mod encode;
mod external;
mod float;
mod foreign;
mod proto;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::tensor::{DType, Tensor};

/// An ONNX file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Model {
    /// Version of the file format (not of the operators).
    pub ir_version: i64,
    /// Version of each operator set used, by domain; `""` is ONNX's own (also spelt `ai.onnx` in files).
    pub opsets: BTreeMap<String, i64>,
    /// Name and version of the program that wrote the file.
    pub producer: String,
    /// The network.
    pub graph: Graph,
    /// Operators that the file defines itself.
    pub functions: Vec<Function>,
    /// Files with constants that were read besides the model, relative to its folder, sorted.
    pub side_files: Vec<PathBuf>,
}

/// A network, or the body of a control-flow operator.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Graph {
    /// Its name in the file.
    pub name: String,
    /// The operations, in the order of the file.
    pub nodes: Vec<Node>,
    /// The constants, sparse ones made dense.
    pub initializers: BTreeMap<String, Tensor>,
    /// Constants in valid forms that the compiler does not support, with the error to report if one is used.
    pub unreadable: BTreeMap<String, Error>,
    /// The inputs. Up to IR version 3 (and in some files of later versions) initializers are listed here as well.
    pub inputs: Vec<ValueInfo>,
    /// The outputs.
    pub outputs: Vec<ValueInfo>,
    /// What the file says about intermediate values.
    pub value_infos: Vec<ValueInfo>,
}

/// One operation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Node {
    /// Its name in the file, often empty and not always unique.
    pub name: String,
    /// The operator; never empty in a decoded file.
    pub op_type: String,
    /// The operator set it belongs to, `""` for ONNX's own.
    pub domain: String,
    /// Names of the values it takes; `""` is an optional input left out.
    pub inputs: Vec<String>,
    /// Names of the values it makes; `""` is an optional output left out.
    pub outputs: Vec<String>,
    /// Its attributes by name.
    pub attributes: BTreeMap<String, Attribute>,
}

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Attribute {
    Float(f32),
    Int(i64),
    String(String),
    /// A constant; a sparse one was made dense.
    Tensor(Tensor),
    Graph(Graph),
    Floats(Vec<f32>),
    Ints(Vec<i64>),
    Strings(Vec<String>),
    Tensors(Vec<Tensor>),
    Graphs(Vec<Graph>),
    /// Inside a function: the attribute of this name of the node that calls the function.
    Reference(String),
    /// A valid form that the compiler does not support, with the error to report if the attribute is used.
    Unreadable(Error),
}

/// An operator that the file defines by other operators.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Function {
    /// The operator's name: nodes call it by `op_type`.
    pub name: String,
    /// The domain it belongs to.
    pub domain: String,
    /// Versions of the operator sets used in the body.
    pub opsets: BTreeMap<String, i64>,
    /// Names of its inputs.
    pub inputs: Vec<String>,
    /// Names of its outputs.
    pub outputs: Vec<String>,
    /// Names of the attributes without a default.
    pub attributes: Vec<String>,
    /// The attributes with a default.
    pub defaults: BTreeMap<String, Attribute>,
    /// The body.
    pub nodes: Vec<Node>,
}

/// Name, type and shape of a value, as far as the file says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ValueInfo {
    /// The value's name.
    pub name: String,
    /// Element type after the conversions that [`DType`] lists; `None` if unknown or not a tensor the compiler
    /// supports.
    pub dtype: Option<DType>,
    /// The type in ONNX's notation, for messages: `tensor(float16)`, `tensor(string)`, `sequence`, or empty.
    pub type_name: String,
    /// The dimensions; `None` if not even their number is known.
    pub shape: Option<Vec<Dim>>,
}

/// One dimension of a [`ValueInfo`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dim {
    /// A fixed size, at least 1 in a decoded file.
    Known(usize),
    /// A name; equal names stand for equal sizes.
    Symbolic(String),
    /// Not given, or zero or negative, which exporters write for "any".
    Unknown,
}

impl Model {
    /// Reads a file, and the files beside it that hold its constants.
    pub fn read(path: &Path) -> Result<Model, Error> {
        let file = path.display().to_string();
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) => return Err(Error::io(format!("cannot read the model: {error}")).in_file(file)),
        };
        Model::decode(&bytes, path.parent().unwrap_or(Path::new(""))).map_err(|error| error.in_file(file))
    }

    /// Decodes the bytes of a file; `base` is the folder in which external constants are looked up.
    ///
    /// Reports the first thing that breaks ONNX's rules. What is merely unsupported is kept as
    /// [`Graph::unreadable`] or [`Attribute::Unreadable`]: it may not matter.
    pub fn decode(bytes: &[u8], base: &Path) -> Result<Model, Error> {
        decode::model(bytes, base)
    }

    /// The bytes of an ONNX file with this content.
    ///
    /// Constants are written as they are held (a decoded float16 tensor becomes a float tensor), all inside the file;
    /// what could not be read is left out. Decoding gives an equal model if there is no such thing, no side file and
    /// no [`Dim::Known`] of zero.
    #[doc(hidden)]
    pub fn encode(&self) -> Vec<u8> {
        encode::model(self)
    }
}

impl ValueInfo {
    /// A tensor of fixed shape.
    #[doc(hidden)]
    pub fn tensor(name: &str, dtype: DType, shape: &[usize]) -> Self {
        ValueInfo {
            name: name.into(),
            dtype: Some(dtype),
            type_name: format!("tensor({dtype})"),
            shape: Some(shape.iter().map(|&size| Dim::Known(size)).collect()),
        }
    }
}

/// The compiler's element type for one of ONNX's numbers (`TensorProto.DataType`), if it has one.
///
/// Constants of float8 and of 4 bits are read as something wider; results of these types would need their rounding
/// and saturation, so these have none.
pub fn dtype(code: i64) -> Option<DType> {
    let element = i32::try_from(code).ok().and_then(element::Element::of)?;
    element.dtype.filter(|_| element.bits > 4 && !element.name.starts_with("float8"))
}
