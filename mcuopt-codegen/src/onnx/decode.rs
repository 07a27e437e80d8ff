//! Protobuf messages to the public types.

use std::collections::BTreeMap;
use std::path::Path;

use prost::Message;

use super::element::Element;
use super::external::SideFiles;
use super::proto::{
    AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorShapeProto, TypeProto,
    ValueInfoProto, kind,
};
use super::{Attribute, Dim, Function, Graph, Model, Node, ValueInfo, constant, foreign};
use crate::error::{Error, Kind};

/// Decodes a file. Messages nest at most 100 deep (prost's limit), so recursion over them is bounded.
pub(super) fn model(bytes: &[u8], base: &Path) -> Result<Model, Error> {
    let proto = ModelProto::decode(bytes).map_err(|error| foreign::explain(bytes, &error.to_string()))?;
    let Some(graph_proto) = proto.graph else {
        return Err(foreign::explain(bytes, "there is no graph in it"));
    };
    let Some(ir_version) = proto.ir_version else {
        return Err(foreign::explain(bytes, "there is no ir_version in it"));
    };
    let mut opsets = opsets(proto.opset_import)?;
    if opsets.is_empty() {
        // The first two versions of the format had no operator sets: the first set is meant.
        if ir_version >= 3 {
            return Err(Error::invalid("the model does not say which operator sets it uses (opset_import)"));
        }
        opsets.insert(String::new(), 1);
    }
    let mut files = SideFiles::new(base);
    let graph = graph(graph_proto, &mut files)?;
    let functions = proto.functions.into_iter().map(|f| function(f, &mut files)).collect::<Result<_, _>>()?;
    let producer = [proto.producer_name, proto.producer_version].join(" ").trim().to_string();
    Ok(Model { ir_version, opsets, producer, graph, functions, side_files: files.into_paths() })
}

fn opsets(protos: Vec<OperatorSetIdProto>) -> Result<BTreeMap<String, i64>, Error> {
    let mut opsets = BTreeMap::new();
    for OperatorSetIdProto { domain: name, version } in protos {
        let name = domain(name);
        if let Some(other) = opsets.insert(name.clone(), version)
            && other != version
        {
            let what = format!("versions {other} and {version} of the operator set `{name}` in one model");
            return Err(Error::invalid(what));
        }
    }
    Ok(opsets)
}

/// ONNX's own domain has two spellings.
fn domain(name: String) -> String {
    if name == "ai.onnx" { String::new() } else { name }
}

fn graph(proto: GraphProto, files: &mut SideFiles<'_>) -> Result<Graph, Error> {
    let mut graph = Graph { name: proto.name, ..Graph::default() };
    let mut narrow = Vec::new();
    for tensor in proto.initializer {
        if let Some(element) = Element::of(tensor.data_type).filter(|element| element.bits == 4) {
            let type_name = format!("tensor({})", element.name);
            narrow.push(ValueInfo { name: tensor.name.clone(), dtype: element.dtype, type_name, shape: None });
        }
        let value = constant::dense(&tensor, files);
        graph.add_constant(tensor.name, value)?;
    }
    for tensor in proto.sparse_initializer {
        let value = constant::sparse(&tensor, files);
        graph.add_constant(tensor.values.map(|values| values.name).unwrap_or_default(), value)?;
    }
    graph.nodes = nodes(proto.node, files)?;
    graph.inputs = proto.input.into_iter().map(value_info).collect();
    graph.outputs = proto.output.into_iter().map(value_info).collect();
    graph.value_infos = proto.value_info.into_iter().map(value_info).collect();
    // Their tensors have 8 bits, so this is where their own type is kept.
    graph.value_infos.extend(narrow);
    Ok(graph)
}

impl Graph {
    fn add_constant(&mut self, name: String, value: Result<crate::tensor::Tensor, Error>) -> Result<(), Error> {
        if name.is_empty() {
            return Err(value.err().unwrap_or_else(|| Error::invalid("an initializer without a name")));
        }
        if self.initializers.contains_key(&name) || self.unreadable.contains_key(&name) {
            return Err(Error::invalid(format!("two initializers have the name `{name}`")));
        }
        match value {
            Ok(tensor) => {
                self.initializers.insert(name, tensor);
            }
            Err(error) if is_unsupported(&error) => {
                self.unreadable.insert(name, error);
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

fn is_unsupported(error: &Error) -> bool {
    matches!(error.kind, Kind::Unsupported { .. })
}

fn function(proto: FunctionProto, files: &mut SideFiles<'_>) -> Result<Function, Error> {
    if proto.name.is_empty() {
        return Err(Error::invalid("a function without a name"));
    }
    let part = format!("function `{}`", proto.name);
    let body = |files: &mut SideFiles<'_>| {
        no_overload(&proto.overload)?;
        Ok(Function {
            name: proto.name,
            domain: domain(proto.domain),
            opsets: opsets(proto.opset_import)?,
            inputs: proto.input,
            outputs: proto.output,
            attributes: proto.attribute,
            defaults: attributes(proto.attribute_proto, files)?,
            nodes: nodes(proto.node, files)?,
        })
    };
    body(files).map_err(|error: Error| error.part(part))
}

fn no_overload(overload: &str) -> Result<(), Error> {
    if overload.is_empty() {
        return Ok(());
    }
    Err(Error::unsupported(format!("overloaded functions (overload `{overload}`)"))
        .instead("functions inlined by onnx.inliner.inline_local_functions"))
}

fn nodes(protos: Vec<NodeProto>, files: &mut SideFiles<'_>) -> Result<Vec<Node>, Error> {
    protos.into_iter().map(|proto| node(proto, files)).collect()
}

fn node(proto: NodeProto, files: &mut SideFiles<'_>) -> Result<Node, Error> {
    let named = if proto.name.is_empty() { proto.output.first() } else { Some(&proto.name) };
    let (label, op_type) = (named.cloned().unwrap_or_default(), proto.op_type);
    if op_type.is_empty() {
        return Err(Error::invalid("a node without an operator").at_node(&label, ""));
    }
    let here = |error: Error| error.at_node(&label, &op_type);
    no_overload(&proto.overload).map_err(here)?;
    let mut attributes = attributes(proto.attribute, files).map_err(here)?;
    for attribute in attributes.values_mut() {
        if let Attribute::Unreadable(error) = attribute {
            *error = here(error.clone());
        }
    }
    let domain = domain(proto.domain);
    Ok(Node { name: proto.name, op_type, domain, inputs: proto.input, outputs: proto.output, attributes })
}

fn attributes(protos: Vec<AttributeProto>, files: &mut SideFiles<'_>) -> Result<BTreeMap<String, Attribute>, Error> {
    let mut attributes = BTreeMap::new();
    for mut proto in protos {
        let name = std::mem::take(&mut proto.name);
        if name.is_empty() {
            return Err(Error::invalid("an attribute without a name"));
        }
        let value = match attribute(proto, files).map_err(|error| error.part(format!("attribute `{name}`"))) {
            Err(error) if is_unsupported(&error) => Attribute::Unreadable(error),
            other => other?,
        };
        if attributes.contains_key(&name) {
            return Err(Error::invalid("given twice").part(format!("attribute `{name}`")));
        }
        attributes.insert(name, value);
    }
    Ok(attributes)
}

fn attribute(proto: AttributeProto, files: &mut SideFiles<'_>) -> Result<Attribute, Error> {
    if !proto.ref_attr_name.is_empty() {
        return Ok(Attribute::Reference(proto.ref_attr_name));
    }
    let missing = || Error::invalid("its type says a value that is not there");
    // Numbers and strings have defaults: writers with proto3 rules leave out zero and "".
    Ok(match kind_of(&proto) {
        kind::FLOAT => Attribute::Float(proto.f.unwrap_or_default()),
        kind::INT => Attribute::Int(proto.i.unwrap_or_default()),
        kind::STRING => Attribute::String(text(proto.s.unwrap_or_default())?),
        kind::TENSOR => Attribute::Tensor(constant::dense(&*proto.t.ok_or_else(missing)?, files)?),
        kind::SPARSE_TENSOR => Attribute::Tensor(constant::sparse(&*proto.sparse_tensor.ok_or_else(missing)?, files)?),
        kind::GRAPH => Attribute::Graph(graph(*proto.g.ok_or_else(missing)?, files)?),
        kind::FLOATS => Attribute::Floats(proto.floats),
        kind::INTS => Attribute::Ints(proto.ints),
        kind::STRINGS => Attribute::Strings(proto.strings.into_iter().map(text).collect::<Result<_, _>>()?),
        kind::TENSORS => Attribute::Tensors(collect(proto.tensors.iter().map(|t| constant::dense(t, files)))?),
        kind::SPARSE_TENSORS => {
            Attribute::Tensors(collect(proto.sparse_tensors.iter().map(|t| constant::sparse(t, files)))?)
        }
        kind::GRAPHS => Attribute::Graphs(collect(proto.graphs.into_iter().map(|g| graph(g, files)))?),
        kind::TYPE_PROTO | kind::TYPE_PROTOS => return Err(Error::unsupported("attributes that are types")),
        0 => return Err(Error::invalid("it has neither a type nor a value")),
        other => return Err(Error::invalid(format!("{other} is not a type of attributes"))),
    })
}

fn collect<T>(items: impl Iterator<Item = Result<T, Error>>) -> Result<Vec<T>, Error> {
    items.collect()
}

/// The kind that an attribute says, or in files of IR version 1, which did not say, that of the value it has.
fn kind_of(proto: &AttributeProto) -> i32 {
    let given = [
        (proto.kind != 0, proto.kind),
        (proto.f.is_some(), kind::FLOAT),
        (proto.i.is_some(), kind::INT),
        (proto.s.is_some(), kind::STRING),
        (proto.t.is_some(), kind::TENSOR),
        (proto.g.is_some(), kind::GRAPH),
        (proto.sparse_tensor.is_some(), kind::SPARSE_TENSOR),
        (!proto.floats.is_empty(), kind::FLOATS),
        (!proto.ints.is_empty(), kind::INTS),
        (!proto.strings.is_empty(), kind::STRINGS),
        (!proto.tensors.is_empty(), kind::TENSORS),
        (!proto.graphs.is_empty(), kind::GRAPHS),
        (!proto.sparse_tensors.is_empty(), kind::SPARSE_TENSORS),
        (proto.tp.is_some(), kind::TYPE_PROTO),
        (!proto.type_protos.is_empty(), kind::TYPE_PROTOS),
    ];
    given.into_iter().find(|(is_given, _)| *is_given).map_or(0, |(_, kind)| kind)
}

fn text(bytes: Vec<u8>) -> Result<String, Error> {
    // Custom operators keep binary data in strings; it matters only if such a node is not refused anyway.
    String::from_utf8(bytes).map_err(|_| Error::unsupported("strings that are not UTF-8"))
}

fn value_info(proto: ValueInfoProto) -> ValueInfo {
    let mut info = ValueInfo { name: proto.name, ..ValueInfo::default() };
    match proto.r#type.unwrap_or_default() {
        TypeProto { tensor: Some(tensor), .. } => {
            let element = Element::of(tensor.elem_type);
            info.dtype = element.and_then(|element| element.dtype);
            info.type_name = match element {
                Some(element) => format!("tensor({})", element.name),
                None => format!("tensor({})", tensor.elem_type),
            };
            info.shape = tensor.shape.map(dims);
        }
        TypeProto { sparse_tensor: Some(_), .. } => info.type_name = "sparse_tensor".into(),
        TypeProto { sequence: Some(_), .. } => info.type_name = "sequence".into(),
        TypeProto { map: Some(_), .. } => info.type_name = "map".into(),
        TypeProto { optional: Some(_), .. } => info.type_name = "optional".into(),
        _ => {}
    }
    info
}

fn dims(proto: TensorShapeProto) -> Vec<Dim> {
    let dim = |value: Option<i64>, name: Option<String>| match (value, name) {
        (Some(size), _) if size > 0 => usize::try_from(size).map_or(Dim::Unknown, Dim::Known),
        (_, Some(name)) if !name.is_empty() => Dim::Symbolic(name),
        _ => Dim::Unknown,
    };
    proto.dim.into_iter().map(|d| dim(d.dim_value, d.dim_param)).collect()
}
