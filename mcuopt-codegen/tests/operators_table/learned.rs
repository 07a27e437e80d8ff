//! Examples of operators of the domain ai.onnx.ml.

use mcuopt_codegen::onnx::Attribute;
use mcuopt_codegen::tensor::Tensor;

use super::cases::{Case, Operand};

/// The example of an operator; `None` for those that take float operands and nothing else.
pub(crate) fn case(op: &str) -> Option<Case> {
    let (name, matrix) = (op.strip_prefix("ai.onnx.ml:")?, Case::new(&[2, 6]));
    let floats = |values: &[f32]| Attribute::Floats(values.to_vec());
    let ints = |values: &[i64]| Attribute::Ints(values.to_vec());
    let attributes: Vec<(&'static str, Attribute)> = match name {
        "ArrayFeatureExtractor" => {
            let mut case = matrix;
            case.operands.push(Operand::Constant(Tensor::from_i64s(&[1, 3])));
            return Some(case);
        }
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
    Some(Case { attributes, ..matrix })
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
