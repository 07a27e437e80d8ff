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

    fn bytes(self, shape: &[usize]) -> Self {
        let values = (0..shape.iter().product()).map(|i: usize| (i % 7) as i8 * 20 - 60);
        self.constant(Tensor::new(shape, values.collect::<Vec<i8>>()).expect("as many as the shape says"))
    }

    /// A scale and a zero point.
    fn scaled(self) -> Self {
        self.constant(number(0.05)).constant(Tensor::zeros(DType::I8, &[]))
    }

    /// x in int8, with scale and zero point.
    fn quantized(self) -> Self {
        self.of(DType::I8).scaled()
    }

    /// The operands that are constants come first.
    fn x_to_the_end(mut self) -> Self {
        self.operands.sort_by_key(|operand| matches!(operand, Operand::X));
        self
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
        "MaxUnpool" => Case::new(&[1, 1, 2, 2]).constant(indices(&[1, 1, 2, 2])).ints("kernel_shape", &[2, 2]),
        "Resize" => image.absent().constant(one_dimension(&[1.0, 1.0, 2.0, 2.0])).string("mode", "nearest"),
        "Upsample" => image.constant(one_dimension(&[1.0, 1.0, 2.0, 2.0])),
        "LRN" => image.int("size", 3),
        "GridSample" => image.floats(&[1, 2, 2, 2]),
        "RoiAlign" => image.floats(&[1, 4]).integers(&[0]),
        "Col2Im" => Case::new(&[1, 8, 9]).integers(&[4, 4]).integers(&[2, 2]),
        "AffineGrid" => Case::new(&[1, 2, 3]).integers(&[1, 1, 4, 4]),
        "DeformConv" => image.floats(&[4, 4, 3, 3]).floats(&[1, 18, 4, 4]),
        "CenterCropPad" => matrix.integers(&[4, 4]),
        "MaxRoiPool" => image.floats(&[1, 5]).ints("pooled_shape", &[2, 2]),
        "NonMaxSuppression" => {
            let scores = Case::new(&[1, 1, 4]).floats(&[1, 4, 4]).x_to_the_end();
            scores.integers(&[2]).constant(one_dimension(&[0.5])).constant(one_dimension(&[0.1]))
        }
        // Normalization.
        "MeanVarianceNormalization" => image,
        "BatchNormalization" => image.floats(&[4]).floats(&[4]).floats(&[4]).floats(&[4]),
        "InstanceNormalization" => image.floats(&[4]).floats(&[4]),
        "GroupNormalization" => image.floats(&[2]).floats(&[2]).int("num_groups", 2),
        "LayerNormalization" => matrix.floats(&[6]).floats(&[6]),
        "RMSNormalization" | "SimplifiedLayerNormalization" => matrix.floats(&[6]),
        // Products.
        "Gemm" => matrix.floats(&[6, 5]).floats(&[5]),
        "MatMul" => Case::new(&[6, 6]).x(),
        "Einsum" => Case::new(&[6, 6]).x().string("equation", "ij,jk->ik"),
        "Attention" => Case::new(&[1, 2, 3, 4]).x().x(),
        "PRelu" => matrix.floats(&[6]),
        "RNN" => recurrent(1),
        "GRU" => recurrent(3),
        "LSTM" => recurrent(4),
        // Reductions and indices.
        "ReduceMean" | "ReduceSum" | "ReduceMax" | "ReduceMin" | "ReduceProd" | "ReduceL1" | "ReduceL2"
        | "ReduceLogSum" | "ReduceLogSumExp" | "ReduceSumSquare" => matrix.integers(&[1]),
        "TopK" => matrix.integers(&[2]).outputs(2),
        "CumSum" => matrix.integer(1),
        "Det" => Case::new(&[3, 3]),
        "NegativeLogLikelihoodLoss" | "SoftmaxCrossEntropyLoss" => matrix.integers(&[1, 3]),
        // Signals.
        "DFT" => Case::new(&[1, 8, 1]).int("axis", 1),
        "STFT" => Case::new(&[1, 16, 1]).integer(4).floats(&[8]),
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
        "TensorScatter" => Case::new(&[1, 4, 3]).floats(&[1, 2, 3]).integers(&[1]),
        "OneHot" => Case::new(&[3]).of(DType::I64).integer(4).floats(&[2]),
        "Where" => matrix.x().constant(Tensor::new(&[6], vec![true; 6]).expect("six")).x_to_the_end(),
        "TfIdfVectorizer" => {
            let grams = matrix.of(DType::I32).ints("pool_int64s", &[1, 2, 3, 1, 2]).ints("ngram_counts", &[0, 3]);
            grams.ints("ngram_indexes", &[0, 1, 2, 3]).int("max_gram_length", 2).string("mode", "TF")
        }
        // Types, logic and bits.
        "Cast" => matrix.int("to", 1),
        "CastLike" => matrix.constant(number(0.0)),
        "And" | "Or" | "Xor" => bools.x(),
        "Not" => bools,
        "BitwiseAnd" | "BitwiseOr" | "BitwiseXor" => integers.x(),
        "BitwiseNot" => integers,
        "BitShift" => matrix.of(DType::U32).x().string("direction", "LEFT"),
        "Pow" => matrix.constant(number(3.0)),
        "Mod" => matrix.x().int("fmod", 1),
        // Quantized operands.
        "MatMulInteger" => matrix.of(DType::I8).bytes(&[6, 4]),
        "ConvInteger" => image.of(DType::I8).bytes(&[4, 4, 3, 3]),
        "QLinearConv" | "com.microsoft:QLinearConv" => image.quantized().bytes(&[4, 4, 3, 3]).scaled().scaled(),
        "QLinearMatMul" => matrix.quantized().bytes(&[6, 4]).scaled().scaled(),
        "com.microsoft:QGemm" => matrix.quantized().bytes(&[6, 4]).scaled().absent().scaled(),
        "com.microsoft:QLinearAdd" | "com.microsoft:QLinearMul" => matrix.quantized().x().scaled().scaled(),
        "com.microsoft:QLinearConcat" => {
            let y = Case { operands: Vec::new(), ..matrix.of(DType::I8) }.scaled();
            y.x().scaled().x().scaled().int("axis", 1)
        }
        "com.microsoft:QLinearAveragePool" => image.quantized().scaled().ints("kernel_shape", &[2, 2]),
        "com.microsoft:QLinearGlobalAveragePool" => image.quantized().scaled(),
        "com.microsoft:QLinearLeakyRelu" | "com.microsoft:QLinearSigmoid" => matrix.quantized().scaled(),
        "com.microsoft:QLinearSoftmax" => matrix.quantized().scaled().int("opset", 13),
        "com.microsoft:DynamicQuantizeMatMul" => matrix.bytes(&[6, 4]).constant(number(0.05)),
        "com.microsoft:MatMulIntegerToFloat" => {
            matrix.of(DType::I8).bytes(&[6, 4]).constant(number(0.05)).constant(number(0.05))
        }
        // Fused by ONNX Runtime.
        "com.microsoft:FusedConv" => image.floats(&[4, 4, 3, 3]).string("activation", "Relu"),
        "com.microsoft:FusedGemm" => matrix.floats(&[6, 5]).floats(&[5]).string("activation", "Relu"),
        "com.microsoft:FusedMatMul" | "com.microsoft:TransposeMatMul" => Case::new(&[6, 6]).x().int("transB", 1),
        "com.microsoft:BiasGelu" => matrix.floats(&[6]),
        "com.microsoft:SkipLayerNormalization" | "com.microsoft:SkipSimplifiedLayerNormalization" => {
            Case::new(&[1, 2, 6]).x().floats(&[6])
        }
        "Constant" => matrix.attribute("value", Attribute::Tensor(number(1.0))),
        _ => return super::learned::case(op),
    })
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
