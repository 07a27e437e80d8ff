//! An example of each operator that needs more than one float operand.

use mcuopt_codegen::onnx::Attribute;
use mcuopt_codegen::tensor::{DType, Tensor};

/// A model of one node, `y = op(…, x, …)`, with a shape that suits the operator.
#[derive(Clone)]
pub(crate) struct Case {
    pub(crate) dtype: DType,
    pub(crate) shape: Vec<usize>,
    pub(crate) attributes: Vec<(&'static str, Attribute)>,
    pub(crate) operands: Vec<Operand>,
    pub(crate) outputs: usize,
}

/// An operand of the node.
#[derive(Clone)]
pub(crate) enum Operand {
    X,
    Constant(Tensor),
    Absent,
}

impl Case {
    /// `op(x)`.
    pub(crate) fn new(shape: &[usize]) -> Self {
        let (shape, operands) = (shape.to_vec(), vec![Operand::X]);
        Self { dtype: DType::F32, shape, attributes: Vec::new(), operands, outputs: 1 }
    }

    /// The element type of x.
    fn of(mut self, dtype: DType) -> Self {
        self.dtype = dtype;
        self
    }

    fn outputs(mut self, outputs: usize) -> Self {
        self.outputs = outputs;
        self
    }

    pub(crate) fn x(mut self) -> Self {
        self.operands.push(Operand::X);
        self
    }

    fn absent(mut self) -> Self {
        self.operands.push(Operand::Absent);
        self
    }

    fn constant(mut self, tensor: Tensor) -> Self {
        self.operands.push(Operand::Constant(tensor));
        self
    }

    fn floats(self, shape: &[usize]) -> Self {
        let count: usize = shape.iter().product();
        let values: Vec<f32> = (0..count).map(|i| (i % 7) as f32 * 0.25 + 0.125).collect();
        self.constant(Tensor::F32(ndarray::ArrayD::from_shape_vec(shape, values).expect("as many as the shape says")))
    }

    fn integers(self, values: &[i64]) -> Self {
        self.constant(Tensor::from_i64s(values))
    }

    fn integer(self, value: i64) -> Self {
        self.constant(Tensor::I64(ndarray::ArrayD::from_elem(vec![], value)))
    }

    fn attribute(mut self, name: &'static str, value: Attribute) -> Self {
        self.attributes.push((name, value));
        self
    }

    fn int(self, name: &'static str, value: i64) -> Self {
        self.attribute(name, Attribute::Int(value))
    }

    fn ints(self, name: &'static str, values: &[i64]) -> Self {
        self.attribute(name, Attribute::Ints(values.to_vec()))
    }

    fn string(self, name: &'static str, value: &str) -> Self {
        self.attribute(name, Attribute::String(value.into()))
    }
}

/// A float for a scalar operand.
fn number(value: f32) -> Tensor {
    Tensor::scalar(value)
}

/// The example of an operator; `None` for those that take one or two float operands and nothing else.
pub(crate) fn case(op: &str) -> Option<Case> {
    let image = Case::new(&[1, 4, 6, 6]);
    let matrix = Case::new(&[2, 6]);
    let bools = matrix.clone().of(DType::Bool);
    let integers = matrix.clone().of(DType::I32);
    Some(match op {
        // Convolution and pooling.
        "Conv" => image.floats(&[4, 4, 3, 3]),
        "ConvTranspose" => image.floats(&[4, 4, 3, 3]).ints("strides", &[2, 2]),
        "MaxPool" | "AveragePool" | "LpPool" => image.ints("kernel_shape", &[2, 2]),
        "GlobalMaxPool" | "GlobalAveragePool" | "GlobalLpPool" | "Flatten" => image,
        "DepthToSpace" | "SpaceToDepth" => image.int("blocksize", 2),
        "MaxUnpool" => image.integers(&[]).ints("kernel_shape", &[2, 2]),
        "Resize" => image.absent().constant(one_dimension(&[1.0, 1.0, 2.0, 2.0])).string("mode", "nearest"),
        "Upsample" => image.constant(one_dimension(&[1.0, 1.0, 2.0, 2.0])),
        "LRN" => image.int("size", 3),
        "GridSample" => image.floats(&[1, 2, 2, 2]),
        "RoiAlign" => image.floats(&[1, 4]).integers(&[0]),
        "Col2Im" => Case::new(&[1, 8, 9]).integers(&[4, 4]).integers(&[2, 2]),
        "AffineGrid" => Case::new(&[1, 2, 3]).integers(&[1, 1, 4, 4]),
        "DeformConv" => image.floats(&[4, 4, 3, 3]).floats(&[1, 18, 4, 4]),
        "CenterCropPad" => matrix.integers(&[4, 4]),
        // Normalization.
        "BatchNormalization" => image.floats(&[4]).floats(&[4]).floats(&[4]).floats(&[4]),
        "InstanceNormalization" => image.floats(&[4]).floats(&[4]),
        "GroupNormalization" => image.floats(&[4]).floats(&[4]).int("num_groups", 2),
        "LayerNormalization" => matrix.floats(&[6]).floats(&[6]),
        "RMSNormalization" | "SimplifiedLayerNormalization" => matrix.floats(&[6]),
        // Products.
        "Gemm" => matrix.floats(&[6, 5]).floats(&[5]),
        "MatMul" => Case::new(&[6, 6]).x(),
        "Einsum" => Case::new(&[6, 6]).x().string("equation", "ij,jk->ik"),
        "PRelu" => matrix.floats(&[6]),
        "RNN" => recurrent(1),
        "GRU" => recurrent(3),
        "LSTM" => recurrent(4),
        // Reductions and indices.
        "ReduceMean" | "ReduceSum" | "ReduceMax" | "ReduceMin" | "ReduceProd" | "ReduceL1" | "ReduceL2"
        | "ReduceLogSum" | "ReduceLogSumExp" | "ReduceSumSquare" => matrix.integers(&[1]),
        "TopK" => matrix.integers(&[2]).outputs(2),
        "CumSum" => matrix.integer(1),
        // Movement.
        "Concat" => matrix.x().int("axis", 1),
        "Pad" => matrix.integers(&[0, 1, 0, 1]),
        "Slice" => matrix.integers(&[1]).integers(&[4]).integers(&[1]),
        "Split" => matrix.integers(&[2, 4]).int("axis", 1).outputs(2),
        "Gather" => matrix.integer(0),
        "GatherElements" => matrix.constant(indices(&[1, 6])),
        "GatherND" => matrix.constant(indices(&[2, 1])),
        "Compress" => matrix.constant(Tensor::new(&[2], vec![true, false]).expect("two")).int("axis", 0),
        "Scatter" | "ScatterElements" => matrix.constant(indices(&[1, 6])).floats(&[1, 6]),
        "ScatterND" => matrix.constant(indices(&[1, 1])).floats(&[1, 6]),
        "Reshape" => matrix.integers(&[3, 4]),
        "Squeeze" => Case::new(&[2, 1, 6]).integers(&[1]),
        "Unsqueeze" => matrix.integers(&[1]),
        "Expand" => Case::new(&[1, 6]).integers(&[2, 6]),
        "Tile" => matrix.integers(&[2, 1]),
        "ReverseSequence" => Case::new(&[4, 2, 3]).integers(&[2, 4]),
        "OneHot" => Case::new(&[3]).of(DType::I64).integer(4).floats(&[2]),
        "Where" => matrix.x().constant(Tensor::new(&[6], vec![true; 6]).expect("six")).x_to_the_end(),
        // Types, logic and bits.
        "Cast" => matrix.int("to", 1),
        "CastLike" => matrix.constant(number(0.0)),
        "And" | "Or" | "Xor" => bools.x(),
        "Not" => bools,
        "BitwiseAnd" | "BitwiseOr" | "BitwiseXor" => integers.x(),
        "BitwiseNot" => integers,
        "BitShift" => matrix.of(DType::U32).x().string("direction", "LEFT"),
        "Mod" => matrix.x().int("fmod", 1),
        "Constant" => matrix.attribute("value", Attribute::Tensor(number(1.0))),
        _ => return crate::domains::case(op),
    })
}

impl Case {
    /// The operands that are constants come first.
    fn x_to_the_end(mut self) -> Self {
        self.operands.sort_by_key(|operand| matches!(operand, Operand::X));
        self
    }
}

fn one_dimension(values: &[f32]) -> Tensor {
    Tensor::new(&[values.len()], values.to_vec()).expect("as many as there are")
}

fn indices(shape: &[usize]) -> Tensor {
    Tensor::new(shape, vec![1_i64; shape.iter().product()]).expect("as many as the shape says")
}

/// Two steps of a layer with three units.
fn recurrent(gates: usize) -> Case {
    Case::new(&[2, 1, 4]).floats(&[1, 3 * gates, 4]).floats(&[1, 3 * gates, 3]).int("hidden_size", 3)
}
