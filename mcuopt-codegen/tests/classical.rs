//! Models of scikit-learn and operators of the domain ai.onnx.ml against onnxruntime, in float; and trees in int8 against
//! themselves.
//!
//! The cases are made by `data/operators/ml.py`.

mod common;

use std::collections::BTreeMap;

use common::{Random, Result, check_cases, check_outputs, compile};
use mcuopt_codegen::calibrate::{Samples, calibrate};
use mcuopt_codegen::onnx::{Attribute, Graph, Model, Node, ValueInfo};
use mcuopt_codegen::tensor::{DType, Tensor};
use mcuopt_codegen::{Precision, import, quantize, simplify};

fn numbers(tensor: &Tensor) -> Vec<f64> {
    match (tensor.f32s(), tensor.to_i64s()) {
        (Some(values), _) => values.iter().map(|&value| f64::from(value)).collect(),
        (None, values) => values.unwrap_or_default().iter().map(|&value| value as f64).collect(),
    }
}

fn same(found: &Tensor, expected: &Tensor) -> bool {
    let (values, wanted) = (numbers(found), numbers(expected));
    let close = |(a, b): (&f64, &f64)| a == b || (a - b).abs() <= 1e-5 + 1e-4 * b.abs();
    found.dtype() == expected.dtype() && found.shape() == expected.shape() && values.iter().zip(&wanted).all(close)
}

#[test]
fn models_as_onnxruntime_computes_them() -> Result {
    check_cases("ml.bin", 80, |case| check_outputs(case, same))
}

/// A forest of random trees between a DequantizeLinear and a QuantizeLinear: integers in, integers out.
fn quantized_forest(random: &mut Random, single: bool) -> Model {
    let (trees, inner, features, targets) = (5, 15, 3, if single { 1 } else { 3 });
    let count = 2 * inner + 1;
    let all = 0..trees * count;
    let is_leaf = |index: &usize| index % count >= inner;
    let ints = |values: Vec<usize>| Attribute::Ints(values.into_iter().map(|value| value as i64).collect());
    let leaves: Vec<usize> = all.clone().filter(is_leaf).collect();
    let votes: Vec<(usize, usize)> =
        leaves.iter().flat_map(|leaf| (0..targets).map(move |target| (*leaf, target))).collect();
    let modes = ["BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ"];
    let mode = |index: usize| if is_leaf(&index) { "LEAF" } else { modes[index % modes.len()] };
    let child = |step: usize| ints(all.clone().map(|i| if is_leaf(&i) { 0 } else { 2 * (i % count) + step }).collect());
    // Some thresholds lie outside of what the integers stand for, and some are one of them.
    let thresholds =
        all.clone().map(|i| if i % 3 == 0 { (random.below(400) as f32 - 200.0) * 0.02 } else { random.float() * 4.0 });
    let thresholds = thresholds.collect();
    let attributes: BTreeMap<String, Attribute> = [
        ("nodes_treeids", ints(all.clone().map(|i| i / count).collect())),
        ("nodes_nodeids", ints(all.clone().map(|i| i % count).collect())),
        ("nodes_featureids", ints(all.clone().map(|_| random.below(features)).collect())),
        ("nodes_modes", Attribute::Strings(all.clone().map(|i| mode(i).to_string()).collect())),
        ("nodes_values", Attribute::Floats(thresholds)),
        ("nodes_truenodeids", child(1)),
        ("nodes_falsenodeids", child(2)),
        ("target_treeids", ints(votes.iter().map(|vote| vote.0 / count).collect())),
        ("target_nodeids", ints(votes.iter().map(|vote| vote.0 % count).collect())),
        ("target_ids", ints(votes.iter().map(|vote| vote.1).collect())),
        ("target_weights", Attribute::Floats(random.floats(votes.len()))),
        ("n_targets", Attribute::Int(targets as i64)),
        ("base_values", Attribute::Floats(random.floats(targets))),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_string(), value))
    .collect();
    let node = |op: &str, domain: &str, inputs: &[&str], output: &str, attributes| Node {
        op_type: op.into(),
        domain: domain.into(),
        inputs: inputs.iter().map(|name| name.to_string()).collect(),
        outputs: vec![output.into()],
        attributes,
        ..Node::default()
    };
    let zero_point = Tensor::new(&[], vec![-5i8]).unwrap_or_else(|| Tensor::scalar(0.0));
    let graph = Graph {
        name: "forest".into(),
        inputs: vec![ValueInfo::tensor("q", DType::I8, &[64, features])],
        outputs: vec![ValueInfo { name: "y".into(), ..ValueInfo::default() }],
        initializers: BTreeMap::from([
            ("x_scale".into(), Tensor::scalar(0.02)),
            ("y_scale".into(), Tensor::scalar(0.03)),
            ("zero".into(), zero_point),
        ]),
        nodes: vec![
            node("DequantizeLinear", "", &["q", "x_scale", "zero"], "x", BTreeMap::new()),
            node("TreeEnsembleRegressor", "ai.onnx.ml", &["x"], "r", attributes),
            node("QuantizeLinear", "", &["r", "y_scale", "zero"], "y", BTreeMap::new()),
        ],
        ..Graph::default()
    };
    let opsets = BTreeMap::from([(String::new(), 17), ("ai.onnx.ml".into(), 3)]);
    Model { ir_version: 8, opsets, graph, ..Model::default() }
}

#[test]
fn trees_decide_on_integers_as_on_reals() -> Result {
    let mut random = Random(11);
    for round in 0..8 {
        let model = quantized_forest(&mut random, round % 2 == 0);
        let x: Vec<i8> = (0..64 * 3).map(|_| random.below(256) as u8 as i8).collect();
        let x = Tensor::new(&[64, 3], x).ok_or("a matrix")?;
        let integers = compile("forest", &model.encode(), Precision::Auto)?;
        let kernels: Vec<&str> =
            integers.lowered.nodes.iter().map(|node| node.op.kernel.call(DType::I8).function).collect();
        ensure!(kernels == ["trees_s8"], "{kernels:?}");
        let reals = compile("forest", &model.encode(), Precision::Float32)?;
        let (found, expected) = (integers.run(std::slice::from_ref(&x))?, reals.run(&[x])?);
        ensure!(found[0].shape() == expected[0].shape(), "{found:?}");
        let (found, expected) = (numbers(&found[0]), numbers(&expected[0]));
        // Half a step is rounded in two ways: up, and to even.
        ensure!(found.iter().zip(&expected).all(|(a, b)| (a - b).abs() <= 1.0), "{found:?}\n{expected:?}");
        let differ = found.iter().zip(&expected).filter(|(a, b)| a != b).count();
        ensure!(differ * 50 <= found.len(), "{differ} of {} differ", found.len());
    }
    Ok(())
}

/// The kernels of a stump for each column, calibrated on rows that hold the thresholds.
fn calibrated(thresholds: [[f32; 2]; 2]) -> Result<Vec<&'static str>> {
    let ints = |values: &[i64]| Attribute::Ints(values.to_vec());
    let modes = ["BRANCH_LEQ", "BRANCH_LEQ", "LEAF", "LEAF", "LEAF"].repeat(2).into_iter().map(String::from).collect();
    let attributes: [(&str, Attribute); 13] = [
        ("nodes_treeids", ints(&[0, 0, 0, 0, 0, 1, 1, 1, 1, 1])),
        ("nodes_nodeids", ints(&[0, 1, 2, 3, 4, 0, 1, 2, 3, 4])),
        ("nodes_featureids", ints(&[0, 0, 0, 0, 0, 1, 1, 0, 0, 0])),
        ("nodes_modes", Attribute::Strings(modes)),
        ("nodes_values", Attribute::Floats(thresholds.iter().flat_map(|t| [t[1], t[0], 0.0, 0.0, 0.0]).collect())),
        ("nodes_truenodeids", ints(&[1, 2, 0, 0, 0, 1, 2, 0, 0, 0])),
        ("nodes_falsenodeids", ints(&[4, 3, 0, 0, 0, 4, 3, 0, 0, 0])),
        ("target_treeids", ints(&[0, 0, 0, 1, 1, 1])),
        ("target_nodeids", ints(&[2, 3, 4, 2, 3, 4])),
        ("target_ids", ints(&[0; 6])),
        ("target_weights", Attribute::Floats(vec![0.5, -0.25, 1.0, 0.75, 0.0, -1.0])),
        ("n_targets", Attribute::Int(1)),
        ("post_transform", Attribute::String("NONE".into())),
    ];
    let node = Node {
        op_type: "TreeEnsembleRegressor".into(),
        domain: "ai.onnx.ml".into(),
        inputs: vec!["x".into()],
        outputs: vec!["y".into()],
        attributes: attributes.into_iter().map(|(name, value)| (name.to_string(), value)).collect(),
        ..Node::default()
    };
    let graph = Graph {
        inputs: vec![ValueInfo::tensor("x", DType::F32, &[1, 2])],
        outputs: vec![ValueInfo { name: "y".into(), ..ValueInfo::default() }],
        nodes: vec![node],
        ..Graph::default()
    };
    let model = Model { ir_version: 8, opsets: [("ai.onnx.ml".to_string(), 3)].into(), graph, ..Model::default() };
    let mut graph = import::import(&model, &Default::default())?.graph;
    simplify::simplify(&mut graph)?;
    let row = |t: usize| Tensor::new(&[1, 2], vec![thresholds[0][t % 2] * 1.5, thresholds[1][t / 2 % 2] * 1.5]);
    let ranges = calibrate(&graph, &Samples::from_tensors(vec![(0..16).filter_map(row).collect()]))?;
    quantize::assign(&mut graph, Some(&ranges))?;
    let lowered = quantize::lower(&graph)?;
    Ok(lowered.nodes.iter().map(|node| node.op.kernel.call(DType::I8).function).collect())
}

#[test]
fn trees_stay_in_float_where_one_scale_is_too_coarse() -> Result {
    let alike = calibrated([[-1.0, 2.0], [0.5, -3.0]])?;
    ensure!(alike == ["trees_s8"], "{alike:?}");
    let apart = calibrated([[0.001, 0.002], [500.0, -800.0]])?;
    ensure!(apart == ["trees_f32", "quantize_f32_s8"], "{apart:?}");
    Ok(())
}
