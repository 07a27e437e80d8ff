//! The public types to protobuf: the way back of `decode`, in one encoding each.

use std::collections::BTreeMap;

use prost::Message;

use super::element::{self, Element};
use super::proto::{
    AttributeProto, DimensionProto, FunctionProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto,
    OtherTypeProto, TensorProto, TensorShapeProto, TensorTypeProto, TypeProto, ValueInfoProto, kind,
};
use super::{Attribute, Dim, Function, Graph, Model, Node, ValueInfo};
use crate::tensor::{DType, Tensor};

pub(super) fn model(model: &Model) -> Vec<u8> {
    let proto = ModelProto {
        ir_version: Some(model.ir_version),
        producer_name: model.producer.clone(),
        producer_version: String::new(),
        graph: Some(graph(&model.graph)),
        opset_import: opsets(&model.opsets),
        functions: model.functions.iter().map(function).collect(),
    };
    proto.encode_to_vec()
}

fn opsets(opsets: &BTreeMap<String, i64>) -> Vec<OperatorSetIdProto> {
    let proto = |(domain, &version): (&String, &i64)| OperatorSetIdProto { domain: domain.clone(), version };
    opsets.iter().map(proto).collect()
}

fn graph(graph: &Graph) -> GraphProto {
    GraphProto {
        node: graph.nodes.iter().map(node).collect(),
        name: graph.name.clone(),
        initializer: graph.initializers.iter().map(|(name, value)| tensor(name, value)).collect(),
        input: graph.inputs.iter().map(value_info).collect(),
        output: graph.outputs.iter().map(value_info).collect(),
        value_info: graph.value_infos.iter().map(value_info).collect(),
        sparse_initializer: Vec::new(),
    }
}

fn function(function: &Function) -> FunctionProto {
    FunctionProto {
        name: function.name.clone(),
        input: function.inputs.clone(),
        output: function.outputs.clone(),
        attribute: function.attributes.clone(),
        node: function.nodes.iter().map(node).collect(),
        opset_import: opsets(&function.opsets),
        domain: function.domain.clone(),
        attribute_proto: attributes(&function.defaults),
        overload: String::new(),
    }
}

fn node(node: &Node) -> NodeProto {
    NodeProto {
        input: node.inputs.clone(),
        output: node.outputs.clone(),
        name: node.name.clone(),
        op_type: node.op_type.clone(),
        attribute: attributes(&node.attributes),
        domain: node.domain.clone(),
        overload: String::new(),
    }
}

fn attributes(attributes: &BTreeMap<String, Attribute>) -> Vec<AttributeProto> {
    attributes.iter().filter_map(|(name, value)| attribute(name, value)).collect()
}

fn attribute(name: &str, value: &Attribute) -> Option<AttributeProto> {
    let mut proto = AttributeProto { name: name.into(), ..AttributeProto::default() };
    proto.kind = match value {
        Attribute::Float(value) => {
            proto.f = Some(*value);
            kind::FLOAT
        }
        Attribute::Int(value) => {
            proto.i = Some(*value);
            kind::INT
        }
        Attribute::String(value) => {
            proto.s = Some(value.clone().into_bytes());
            kind::STRING
        }
        Attribute::Tensor(value) => {
            proto.t = Some(Box::new(tensor("", value)));
            kind::TENSOR
        }
        Attribute::Graph(value) => {
            proto.g = Some(Box::new(graph(value)));
            kind::GRAPH
        }
        Attribute::Floats(values) => {
            proto.floats.clone_from(values);
            kind::FLOATS
        }
        Attribute::Ints(values) => {
            proto.ints.clone_from(values);
            kind::INTS
        }
        Attribute::Strings(values) => {
            proto.strings = values.iter().map(|value| value.clone().into_bytes()).collect();
            kind::STRINGS
        }
        Attribute::Tensors(values) => {
            proto.tensors = values.iter().map(|value| tensor("", value)).collect();
            kind::TENSORS
        }
        Attribute::Graphs(values) => {
            proto.graphs = values.iter().map(graph).collect();
            kind::GRAPHS
        }
        // The kind of what is referred to is not kept, and no reader needs it.
        Attribute::Reference(name) => {
            proto.ref_attr_name.clone_from(name);
            0
        }
        Attribute::Unreadable(_) => return None,
    };
    Some(proto)
}

fn code(dtype: DType) -> i32 {
    match dtype {
        DType::F32 => element::FLOAT,
        DType::I8 => element::INT8,
        DType::U8 => element::UINT8,
        DType::I16 => element::INT16,
        DType::U16 => element::UINT16,
        DType::I32 => element::INT32,
        DType::U32 => element::UINT32,
        DType::I64 => element::INT64,
        DType::U64 => element::UINT64,
        DType::Bool => element::BOOL,
    }
}

fn tensor(name: &str, value: &Tensor) -> TensorProto {
    let raw_data = match value {
        Tensor::F32(array) => array.iter().flat_map(|v| v.to_le_bytes()).collect(),
        Tensor::I8(array) => array.iter().flat_map(|v| v.to_le_bytes()).collect(),
        Tensor::U8(array) => array.iter().copied().collect(),
        Tensor::I16(array) => array.iter().flat_map(|v| v.to_le_bytes()).collect(),
        Tensor::U16(array) => array.iter().flat_map(|v| v.to_le_bytes()).collect(),
        Tensor::I32(array) => array.iter().flat_map(|v| v.to_le_bytes()).collect(),
        Tensor::U32(array) => array.iter().flat_map(|v| v.to_le_bytes()).collect(),
        Tensor::I64(array) => array.iter().flat_map(|v| v.to_le_bytes()).collect(),
        Tensor::U64(array) => array.iter().flat_map(|v| v.to_le_bytes()).collect(),
        Tensor::Bool(array) => array.iter().map(|&v| u8::from(v)).collect(),
    };
    TensorProto {
        dims: value.shape().iter().map(|&size| size as i64).collect(),
        data_type: code(value.dtype()),
        name: name.into(),
        raw_data,
        ..TensorProto::default()
    }
}

fn value_info(info: &ValueInfo) -> ValueInfoProto {
    let mut proto = TypeProto::default();
    match info.type_name.as_str() {
        "sequence" => proto.sequence = Some(OtherTypeProto {}),
        "map" => proto.map = Some(OtherTypeProto {}),
        "optional" => proto.optional = Some(OtherTypeProto {}),
        "sparse_tensor" => proto.sparse_tensor = Some(TensorTypeProto::default()),
        name => {
            // The name says more than the converted type: a float16 input stays one.
            let element = name.strip_prefix("tensor(").and_then(|name| name.strip_suffix(')'));
            let named = element.and_then(|name| Element::named(name).map_or(name.parse().ok(), |e| Some(e.code)));
            let shape = info.shape.as_ref().map(|dims| TensorShapeProto { dim: dims.iter().map(dimension).collect() });
            let elem_type = named.or(info.dtype.map(code));
            proto.tensor = elem_type.map(|elem_type| TensorTypeProto { elem_type, shape });
        }
    }
    let r#type = if proto == TypeProto::default() { None } else { Some(proto) };
    ValueInfoProto { name: info.name.clone(), r#type }
}

fn dimension(dim: &Dim) -> DimensionProto {
    let mut proto = DimensionProto::default();
    match dim {
        Dim::Known(size) => proto.dim_value = Some(*size as i64),
        Dim::Symbolic(name) => proto.dim_param = Some(name.clone()),
        Dim::Unknown => {}
    }
    proto
}
