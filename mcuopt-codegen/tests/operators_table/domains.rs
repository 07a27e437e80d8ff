//! Examples of operators on quantized operands, and of the domains com.microsoft and ai.onnx.ml.

use mcuopt_codegen::onnx::Attribute;
use mcuopt_codegen::tensor::{DType, Tensor};

use crate::cases::{Case, Operand};

/// The example of an operator; `None` for those that take float operands and nothing else.
pub(crate) fn case(op: &str) -> Option<Case> {
    let matrix = Case::new(&[2, 6]);
    let (domain, name) = op.split_once(':').unwrap_or(("", op));
    Some(match (domain, name) {
        (_, "MatMulInteger") => with(bytes(&[2, 6]), [whole(&[6, 5])]),
        (_, "ConvInteger") => with(bytes(&[1, 4, 6, 6]), [whole(&[4, 4, 3, 3])]),
        (_, "QLinearConv") => quantized(&[1, 4, 6, 6], Some(whole(&[4, 4, 3, 3]))),
        (_, "QLinearMatMul") => quantized(&[2, 6], Some(whole(&[6, 5]))),
        (_, "QGemm") => {
            let mut case = quantized(&[2, 6], Some(whole(&[6, 5])));
            // The bias stands before the scale of the result.
            case.operands.insert(6, Operand::Absent);
            case
        }
        (_, "QLinearAdd" | "QLinearMul") => {
            let mut case = quantized(&[2, 6], Some(whole(&[1])));
            case.operands[3] = Operand::X;
            case
        }
        (_, "QLinearConcat") => {
            let mut case = quantized(&[2, 6], None);
            // Scale and zero point of the result come first.
            case.operands.rotate_right(2);
            case.operands.extend_from_within(2..5);
            with_attribute(case, "axis", Attribute::Int(1))
        }
        (_, "QLinearAveragePool") => {
            let case = quantized(&[1, 4, 6, 6], None);
            with_attribute(case, "kernel_shape", Attribute::Ints(vec![2, 2]))
        }
        (_, "QLinearGlobalAveragePool") => quantized(&[1, 4, 6, 6], None),
        (_, "QLinearLeakyRelu" | "QLinearSigmoid" | "QLinearSoftmax") => quantized(&[2, 6], None),
        ("com.microsoft", "QuantizeLinear") => with(matrix, [scale(), zero()]),
        ("com.microsoft", "DequantizeLinear") => with(bytes(&[2, 6]), [scale(), zero()]),
        ("com.microsoft", "FusedConv") => with(Case::new(&[1, 4, 6, 6]), [reals(&[4, 4, 3, 3])]),
        ("com.microsoft", "FusedGemm" | "FusedMatMul" | "TransposeMatMul") => with(matrix, [reals(&[6, 5])]),
        ("com.microsoft", "MatMulIntegerToFloat") => with(bytes(&[2, 6]), [whole(&[6, 5]), scale(), scale()]),
        ("com.microsoft", "DynamicQuantizeMatMul") => with(matrix, [whole(&[6, 5]), scale()]),
        ("com.microsoft", "SkipLayerNormalization" | "SkipSimplifiedLayerNormalization") => {
            with(matrix, [reals(&[2, 6]), reals(&[6])])
        }
        ("ai.onnx.ml", name) => learned(name, matrix)?,
        _ => return None,
    })
}

fn learned(name: &str, matrix: Case) -> Option<Case> {
    let floats = |values: &[f32]| Attribute::Floats(values.to_vec());
    let ints = |values: &[i64]| Attribute::Ints(values.to_vec());
    let attributes: Vec<(&'static str, Attribute)> = match name {
        "ArrayFeatureExtractor" => return Some(with(matrix, [Tensor::from_i64s(&[1, 3])])),
        "Imputer" => {
            vec![("imputed_value_floats", floats(&[1.0])), ("replaced_value_float", Attribute::Float(f32::NAN))]
        }
        "LabelEncoder" => vec![("keys_floats", floats(&[0.5])), ("values_floats", floats(&[1.0]))],
        "OneHotEncoder" => vec![("cats_int64s", ints(&[0, 1]))],
        "LinearRegressor" => vec![("coefficients", floats(&[0.5; 6]))],
        "LinearClassifier" => vec![
            ("coefficients", floats(&[0.5, 0.25, 0.0, 0.5, 1.0, -1.0].repeat(3))),
            ("classlabels_ints", ints(&[0, 1, 2])),
            ("post_transform", Attribute::String("SOFTMAX".into())),
        ],
        "SVMRegressor" => vec![
            ("coefficients", floats(&[0.5, -0.5])),
            ("rho", floats(&[0.25])),
            ("support_vectors", floats(&[0.5; 12])),
            ("n_supports", Attribute::Int(2)),
            ("kernel_type", Attribute::String("RBF".into())),
            ("kernel_params", floats(&[0.5, 0.0, 0.0])),
        ],
        "SVMClassifier" => vec![
            ("coefficients", floats(&[0.5, -0.5])),
            ("rho", floats(&[0.25])),
            ("support_vectors", floats(&[0.5; 12])),
            ("vectors_per_class", ints(&[1, 1])),
            ("classlabels_ints", ints(&[0, 1])),
        ],
        "TreeEnsembleRegressor" => stump("target"),
        "TreeEnsembleClassifier" => [stump("class"), vec![("classlabels_int64s", ints(&[0, 1]))]].concat(),
        "TreeEnsemble" => vec![
            ("tree_roots", ints(&[0])),
            ("nodes_modes", Attribute::Tensor(Tensor::new(&[1], vec![0u8])?)),
            ("nodes_splits", Attribute::Tensor(Tensor::new(&[1], vec![0.5f32])?)),
            ("nodes_featureids", ints(&[1])),
            ("nodes_truenodeids", ints(&[0])),
            ("nodes_trueleafs", ints(&[1])),
            ("nodes_falsenodeids", ints(&[1])),
            ("nodes_falseleafs", ints(&[1])),
            ("leaf_targetids", ints(&[0, 0])),
            ("leaf_weights", Attribute::Tensor(Tensor::new(&[2], vec![0.5f32, 1.0])?)),
            ("n_targets", Attribute::Int(1)),
        ],
        _ => return None,
    };
    Some(attributes.into_iter().fold(matrix, |case, (name, value)| with_attribute(case, name, value)))
}

/// A tree of one node; `kind` is what leaves are counted by.
fn stump(kind: &str) -> Vec<(&'static str, Attribute)> {
    let ints = |values: &[i64]| Attribute::Ints(values.to_vec());
    let modes = ["BRANCH_LEQ", "LEAF", "LEAF"].map(String::from).to_vec();
    let leaves = match kind {
        "class" => ["class_treeids", "class_nodeids", "class_ids", "class_weights"],
        _ => ["target_treeids", "target_nodeids", "target_ids", "target_weights"],
    };
    vec![
        ("nodes_treeids", ints(&[0, 0, 0])),
        ("nodes_nodeids", ints(&[0, 1, 2])),
        ("nodes_featureids", ints(&[1, 0, 0])),
        ("nodes_modes", Attribute::Strings(modes)),
        ("nodes_values", Attribute::Floats(vec![0.5, 0.0, 0.0])),
        ("nodes_truenodeids", ints(&[1, 0, 0])),
        ("nodes_falsenodeids", ints(&[2, 0, 0])),
        (leaves[0], ints(&[0, 0])),
        (leaves[1], ints(&[1, 2])),
        (leaves[2], ints(&[0, 0])),
        (leaves[3], Attribute::Floats(vec![0.25, 0.75])),
    ]
}

fn with<const N: usize>(mut case: Case, constants: [Tensor; N]) -> Case {
    case.operands.extend(constants.map(Operand::Constant));
    case
}

fn with_attribute(mut case: Case, name: &'static str, value: Attribute) -> Case {
    case.attributes.push((name, value));
    case
}

/// `op(x)` on int8.
fn bytes(shape: &[usize]) -> Case {
    Case { dtype: DType::I8, ..Case::new(shape) }
}

/// x, another operand, and the result, each with scale and zero point.
fn quantized(shape: &[usize], other: Option<Tensor>) -> Case {
    let case = with(bytes(shape), [scale(), zero()]);
    let case = match other {
        Some(other) => with(case, [other, scale(), zero()]),
        None => case,
    };
    with(case, [scale(), zero()])
}

fn scale() -> Tensor {
    Tensor::scalar(0.05)
}

fn zero() -> Tensor {
    Tensor::zeros(DType::I8, &[])
}

fn whole(shape: &[usize]) -> Tensor {
    let count: usize = shape.iter().product();
    Tensor::new(shape, (0..count).map(|i| (i % 7) as i8 - 3).collect()).expect("as many as the shape says")
}

fn reals(shape: &[usize]) -> Tensor {
    let count: usize = shape.iter().product();
    Tensor::new(shape, (0..count).map(|i| i as f32 * 0.25).collect()).expect("as many as the shape says")
}
