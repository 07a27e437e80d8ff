//! What no well-behaved writer produces, so made of the private messages.

use std::path::Path;

use prost::Message;

use super::proto::{
    AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, SparseTensorProto,
    StringStringEntryProto, TensorProto, kind,
};
use super::{Attribute, Model, element};
use crate::error::Error;
use crate::tensor::Tensor;

fn file(graph: GraphProto) -> ModelProto {
    let opset = OperatorSetIdProto { domain: String::new(), version: 13 };
    ModelProto { ir_version: Some(8), graph: Some(graph), opset_import: vec![opset], ..ModelProto::default() }
}

fn decode(proto: &ModelProto) -> Result<Model, Error> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/onnx");
    Model::decode(&proto.encode_to_vec(), &folder)
}

fn decode_tensor(tensor: TensorProto) -> Result<Model, Error> {
    decode(&file(GraphProto { initializer: vec![tensor], ..GraphProto::default() }))
}

fn decode_sparse(tensor: SparseTensorProto) -> Result<Model, Error> {
    decode(&file(GraphProto { sparse_initializer: vec![tensor], ..GraphProto::default() }))
}

fn decode_attribute(attribute: AttributeProto) -> Result<Attribute, Error> {
    let node = NodeProto { op_type: "Op".into(), attribute: vec![attribute], ..NodeProto::default() };
    let mut model = decode(&file(GraphProto { node: vec![node], ..GraphProto::default() }))?;
    Ok(model.graph.nodes[0].attributes.remove("a").expect("the attribute"))
}

#[track_caller]
fn message<T: std::fmt::Debug>(result: Result<T, Error>, expected: &str) {
    let message = result.expect_err("an error").to_string();
    assert!(message.contains(expected), "`{message}` does not say `{expected}`");
}

fn tensor(data_type: i32, dims: &[i64]) -> TensorProto {
    TensorProto { name: "w".into(), data_type, dims: dims.into(), ..TensorProto::default() }
}

#[test]
fn sizes_must_match_the_shape() {
    let floats = |dims: &[i64]| TensorProto { float_data: vec![1.0; 3], ..tensor(element::FLOAT, dims) };
    assert!(decode_tensor(floats(&[3])).is_ok());
    message(decode_tensor(floats(&[2])), "tensor `w`: invalid model: it has 3 numbers in float_data");
    message(decode_tensor(floats(&[])), "its shape [] is of 1 elements");
    message(decode_tensor(floats(&[1 << 40])), "3 numbers");
    message(decode_tensor(floats(&[0, 3])), "3 numbers");
    message(decode_tensor(floats(&[-3])), "impossible");
    message(decode_tensor(floats(&[1 << 33, 1 << 33])), "absurdly large");
    message(decode_tensor(floats(&[i64::MAX, 0, i64::MAX])), "absurdly large");
    message(decode_tensor(floats(&[1; 1000])), "1000 dimensions");

    let raw = |bytes| TensorProto { raw_data: vec![0; bytes], ..tensor(element::FLOAT16, &[3]) };
    assert!(decode_tensor(raw(6)).is_ok());
    message(decode_tensor(raw(7)), "it has 7 bytes");
    message(decode_tensor(raw(12)), "it has 12 bytes");
    message(decode_tensor(TensorProto { float_data: vec![1.0], ..raw(6) }), "both raw_data and a typed");

    let nibbles = |bytes| TensorProto { raw_data: vec![0; bytes], ..tensor(element::INT4, &[3]) };
    assert!(decode_tensor(nibbles(2)).is_ok());
    message(decode_tensor(nibbles(3)), "3 bytes of two elements");
    message(decode_tensor(TensorProto { dims: vec![i64::MAX], ..nibbles(3) }), "3 bytes of two elements");
}

#[test]
fn numbers_must_fit_their_type() {
    let one = |data_type, value| TensorProto { int32_data: vec![value], ..tensor(data_type, &[]) };
    message(decode_tensor(one(element::INT8, 128)), "128 in int32_data is outside");
    message(decode_tensor(one(element::UINT8, -1)), "outside");
    message(decode_tensor(one(element::UINT4, 256)), "not a byte");
    message(decode_tensor(one(element::FLOAT16, 65536)), "outside");
    let uint32 = TensorProto { uint64_data: vec![1 << 32], ..tensor(element::UINT32, &[]) };
    message(decode_tensor(uint32), "outside");
    // Patterns that were sign-extended: -1 in half precision, -448 in float8e4m3fn, the nibbles -1 and -8.
    let value = |proto| decode_tensor(proto).expect("a model").graph.initializers.remove("w").expect("a tensor");
    assert_eq!(value(one(element::FLOAT16, 0xbc00_u16 as i16 as i32)), Tensor::scalar(-1.0));
    assert_eq!(value(one(element::FLOAT8E4M3FN, -2)), Tensor::scalar(-448.0));
    let pair = TensorProto { dims: vec![2], ..one(element::INT4, 0x8f_u8 as i8 as i32) };
    assert_eq!(value(pair), Tensor::new(&[2], vec![-1_i8, -8]).expect("two elements"));
}

#[test]
fn unknown_types_wait_until_they_are_used() {
    message(decode_tensor(tensor(0, &[1])), "no element type");
    for code in [element::STRING, 14, 23, 99] {
        let graph = decode_tensor(tensor(code, &[1])).expect("a model").graph;
        assert!(graph.initializers.is_empty() && graph.unreadable["w"].to_string().contains("not supported"));
    }
}

#[test]
fn sparse_tensors_are_checked() {
    let sparse = |positions: &[i64], dims: &[i64]| SparseTensorProto {
        values: Some(TensorProto { float_data: vec![1.0, 2.0], ..tensor(element::FLOAT, &[2]) }),
        indices: Some(TensorProto {
            int64_data: positions.into(),
            ..tensor(element::INT64, &[positions.len() as i64])
        }),
        dims: dims.into(),
    };
    let coordinates = |positions: &[i64], rank: i64, dims: &[i64]| {
        let mut proto = sparse(positions, dims);
        proto.indices.as_mut().expect("indices").dims = vec![positions.len() as i64 / rank.max(1), rank];
        proto
    };
    assert!(decode_sparse(sparse(&[0, 5], &[2, 3])).is_ok());
    assert!(decode_sparse(coordinates(&[0, 1, 1, 2], 2, &[2, 3])).is_ok());
    message(decode_sparse(sparse(&[0, 6], &[2, 3])), "outside the shape [2, 3]");
    message(decode_sparse(sparse(&[-1, 5], &[2, 3])), "outside");
    message(decode_sparse(sparse(&[1, 1], &[2, 3])), "ascending");
    message(decode_sparse(sparse(&[0, 1, 2], &[2, 3])), "for 2 values");
    message(decode_sparse(sparse(&[0, 1], &[2, 0])), "outside");
    message(decode_sparse(coordinates(&[0, 1, 2, 0], 2, &[2, 3])), "outside");
    message(decode_sparse(coordinates(&[0, 1, 1, 2], 2, &[2, 3, 1])), "for 2 values");
    message(decode_sparse(SparseTensorProto { indices: None, ..sparse(&[], &[2]) }), "without values or indices");
    let huge = decode_sparse(sparse(&[0, 1], &[1 << 31, 1 << 31])).expect("a model").graph;
    assert!(huge.unreadable["w"].to_string().contains("up to 256 MiB"));
}

#[test]
fn external_data_stays_in_the_folder() {
    let external = |entries: &[(&str, &str)]| {
        let entry = |&(key, value): &(&str, &str)| StringStringEntryProto { key: key.into(), value: value.into() };
        let external_data = entries.iter().map(entry).collect();
        TensorProto { external_data, data_location: 1, ..tensor(element::UINT8, &[4]) }
    };
    let model = decode_tensor(external(&[("location", "./side.bin"), ("checksum", "?")])).expect("a model");
    assert_eq!(model.graph.initializers["w"], Tensor::new(&[4], vec![255_u8; 4]).expect("four elements"));
    assert_eq!(model.side_files, [Path::new("side.bin")]);

    for place in ["/etc/passwd", "../onnx/side.bin", "a/../../x", r"C:\x", r"..\x", "", "."] {
        message(decode_tensor(external(&[("location", place)])), "is not inside the model's folder");
    }
    message(decode_tensor(external(&[])), "tensor `w`: invalid model: external data without a location");
    message(
        decode_tensor(external(&[("location", "missing.bin")])),
        "tensor `w`: cannot read the external data file `missing.bin`",
    );
    let side = |key, value| decode_tensor(external(&[("location", "side.bin"), (key, value)]));
    message(side("offset", "11"), "`side.bin` has 14 bytes, too few for 4 at offset 11");
    message(side("offset", "18446744073709551615"), "too few");
    message(side("offset", "-1"), "offset `-1` is not a number");
    message(side("length", "5"), "5 bytes of external data in `side.bin`, but its type and shape need 4");
    let huge = TensorProto { dims: vec![i64::MAX], ..external(&[("location", "side.bin")]) };
    message(decode_tensor(huge), "too few");
}

#[test]
fn attributes_without_a_type_have_that_of_their_value() {
    let untyped = || AttributeProto { name: "a".into(), ..AttributeProto::default() };
    let ints = AttributeProto { ints: vec![1, 2], ..untyped() };
    assert_eq!(decode_attribute(ints), Ok(Attribute::Ints(vec![1, 2])));
    let zero = AttributeProto { i: Some(0), ..untyped() };
    assert_eq!(decode_attribute(zero), Ok(Attribute::Int(0)));
    let proto3_zero = AttributeProto { kind: kind::FLOAT, ..untyped() };
    assert_eq!(decode_attribute(proto3_zero), Ok(Attribute::Float(0.0)));
    message(
        decode_attribute(untyped()),
        "operator Op, attribute `a`: invalid model: it has neither a type nor a value",
    );
    message(decode_attribute(AttributeProto { kind: kind::TENSOR, ..untyped() }), "not there");
    message(decode_attribute(AttributeProto { kind: 77, ..untyped() }), "77 is not a type");
    let binary = AttributeProto { s: Some(vec![0xff]), ..untyped() };
    assert!(matches!(decode_attribute(binary), Ok(Attribute::Unreadable(_))));
}

#[test]
fn the_rules_of_onnx() {
    let named = || TensorProto { float_data: vec![1.0], ..tensor(element::FLOAT, &[]) };
    let with = |change: fn(&mut GraphProto)| {
        let mut graph = GraphProto { initializer: vec![named()], ..GraphProto::default() };
        change(&mut graph);
        decode(&file(graph))
    };
    assert!(with(|_| ()).is_ok());
    message(with(|g| g.initializer.push(g.initializer[0].clone())), "two initializers have the name `w`");
    message(with(|g| g.initializer[0].name.clear()), "without a name");
    message(with(|g| g.node.push(NodeProto { output: vec!["y".into()], ..NodeProto::default() })), "node `y`");

    let change = |change: fn(&mut ModelProto)| {
        let mut model = file(GraphProto::default());
        change(&mut model);
        decode(&model)
    };
    message(change(|m| m.graph = None), "there is no graph in it");
    message(change(|m| m.ir_version = None), "there is no ir_version in it");
    message(change(|m| m.opset_import.clear()), "which operator sets");
    message(
        change(|m| m.opset_import.push(OperatorSetIdProto { domain: "ai.onnx".into(), version: 14 })),
        "versions 13 and 14",
    );
    message(change(|m| m.functions.push(FunctionProto::default())), "a function without a name");
    let old = change(|m| (m.ir_version, m.opset_import) = (Some(2), Vec::new())).expect("an old model");
    assert_eq!(old.opsets[""], 1);
}

#[test]
fn nesting_is_limited() {
    let nested = |depth| {
        let mut graph = GraphProto::default();
        for _ in 0..depth {
            let attribute =
                AttributeProto { name: "body".into(), g: Some(Box::new(graph)), ..AttributeProto::default() };
            let node = NodeProto { op_type: "If".into(), attribute: vec![attribute], ..NodeProto::default() };
            graph = GraphProto { node: vec![node], ..GraphProto::default() };
        }
        decode(&file(graph))
    };
    assert!(nested(30).is_ok());
    message(nested(300), "recursion limit");
}
