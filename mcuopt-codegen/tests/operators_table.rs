//! `OPERATORS.md` is generated: every importable operator is compiled in a model of its own, in float32 and int8, and
//! the table says which kernels it became. The test fails where the committed table differs;
//! `UPDATE_TABLES=1 cargo test -p mcuopt-codegen --test operators_table` writes it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use mcuopt_codegen::calibrate::{Samples, calibrate};
use mcuopt_codegen::graph::Graph;
use mcuopt_codegen::onnx::{self, Attribute, ValueInfo};
use mcuopt_codegen::ops::{self, Layer};
use mcuopt_codegen::tensor::{DType, Tensor};
use mcuopt_codegen::{Errors, import, quantize, simplify};
use mcuopt_rt::Arch;

/// A model of one node, `y = op(x, constants…)`, with a shape that suits the operator.
struct Case {
    shape: Vec<usize>,
    dtype: DType,
    attributes: Vec<(&'static str, Attribute)>,
    constants: Vec<Tensor>,
    /// Whether `x` is the second operand as well.
    twice: bool,
}

impl Case {
    fn new(shape: &[usize]) -> Self {
        Self { shape: shape.to_vec(), dtype: DType::F32, attributes: Vec::new(), constants: Vec::new(), twice: false }
    }

    fn attribute(mut self, name: &'static str, value: Attribute) -> Self {
        self.attributes.push((name, value));
        self
    }

    fn floats(mut self, shape: &[usize]) -> Self {
        let count: usize = shape.iter().product();
        let values: Vec<f32> = (0..count).map(|i| (i % 7) as f32 * 0.25 + 0.125).collect();
        self.constants.extend(Tensor::new(shape, values));
        self
    }

    fn integers(mut self, values: &[i64]) -> Self {
        self.constants.push(Tensor::from_i64s(values));
        self
    }

    fn of(mut self, dtype: DType) -> Self {
        self.dtype = dtype;
        self
    }

    fn twice(mut self) -> Self {
        self.twice = true;
        self
    }
}

fn case(op: &str) -> Case {
    let image = Case::new(&[1, 4, 6, 6]);
    let matrix = Case::new(&[2, 6]);
    match op {
        "Conv" => image.floats(&[4, 4, 3, 3]),
        "MaxPool" | "AveragePool" => image.attribute("kernel_shape", Attribute::Ints(vec![2, 2])),
        "GlobalMaxPool" | "GlobalAveragePool" | "Flatten" => image,
        "BatchNormalization" => image.floats(&[4]).floats(&[4]).floats(&[4]).floats(&[4]),
        "Gemm" => matrix.floats(&[6, 5]).floats(&[5]),
        "MatMul" => Case::new(&[6, 6]).twice(),
        "Add" | "Sub" | "Mul" | "Div" | "Max" | "Min" | "Sum" | "Mean" | "Equal" | "Greater" | "GreaterOrEqual"
        | "Less" | "LessOrEqual" => matrix.twice(),
        "Mod" => matrix.twice().attribute("fmod", Attribute::Int(1)),
        "Pow" => matrix.twice(),
        "PRelu" => matrix.floats(&[6]),
        "And" | "Or" | "Xor" => matrix.of(DType::Bool).twice(),
        "Not" => matrix.of(DType::Bool),
        "BitwiseAnd" | "BitwiseOr" | "BitwiseXor" => matrix.of(DType::I32).twice(),
        "BitwiseNot" => matrix.of(DType::I32),
        "BitShift" => matrix.of(DType::U8).twice().attribute("direction", Attribute::String("LEFT".into())),
        "CastLike" => Case { constants: vec![Tensor::from_i64s(&[1])], ..matrix },
        "Concat" => matrix.twice().attribute("axis", Attribute::Int(1)),
        "Constant" => matrix.attribute("value", Attribute::Tensor(Tensor::scalar(1.0))),
        "ConstantOfShape" => Case { constants: vec![Tensor::from_i64s(&[2])], ..matrix },
        "Cast" => matrix.attribute("to", Attribute::Int(1)),
        "Pad" => matrix.integers(&[0, 1, 0, 1]),
        "Slice" => matrix.integers(&[1]).integers(&[4]).integers(&[1]),
        "Gather" => Case { constants: vec![Tensor::I64(ndarray::ArrayD::zeros(vec![]))], ..matrix },
        "Reshape" => matrix.integers(&[3, 4]),
        "Squeeze" => Case::new(&[2, 1, 6]).integers(&[1]),
        "Unsqueeze" => matrix.integers(&[1]),
        "QuantizeLinear" | "DequantizeLinear" => matrix,
        "ReduceMean" => matrix.integers(&[1]),
        _ => matrix,
    }
}

/// The model; operators that make constants get an Add behind them, so that the graph has an input.
fn model(op: &str, case: &Case) -> onnx::Model {
    let mut graph = onnx::Graph {
        name: op.into(),
        inputs: vec![ValueInfo::tensor("x", case.dtype, &case.shape)],
        outputs: vec![ValueInfo { name: "y".into(), ..Default::default() }],
        ..Default::default()
    };
    let mut inputs = vec!["x".to_string()];
    if case.twice {
        inputs.push("x".into());
    }
    for (index, constant) in case.constants.iter().enumerate() {
        let name = format!("c{index}");
        graph.initializers.insert(name.clone(), constant.clone());
        inputs.push(name);
    }
    let attributes = case.attributes.iter().map(|(name, value)| (name.to_string(), value.clone())).collect();
    let node = |op: &str, inputs: Vec<String>, output: &str, attributes: BTreeMap<String, Attribute>| onnx::Node {
        op_type: op.into(),
        inputs,
        outputs: vec![output.into()],
        attributes,
        ..Default::default()
    };
    let add = |value: &str| node("Add", vec!["x".into(), value.into()], "y", BTreeMap::new());
    match op {
        "Constant" => graph.nodes.extend([node(op, vec![], "c", attributes), add("c")]),
        "ConstantOfShape" => {
            graph.initializers.insert("one".into(), Tensor::from_i64s(&[1]));
            graph.nodes.extend([node(op, vec!["one".into()], "c", attributes), add("c")]);
        }
        "Shape" | "Size" => {
            let to = BTreeMap::from([("to".to_string(), Attribute::Int(1))]);
            graph.initializers.insert("zero".into(), Tensor::I64(ndarray::ArrayD::zeros(vec![])));
            graph.nodes.extend([
                node(op, vec!["x".into()], "s", attributes),
                node("Cast", vec!["s".into()], "f", to),
                node("ReduceMean", vec!["f".into()], "c", BTreeMap::new()),
                add("c"),
            ]);
        }
        "QuantizeLinear" | "DequantizeLinear" => {
            graph.initializers.insert("scale".into(), Tensor::scalar(0.05));
            let operands = |x: &str| vec![x.to_string(), "scale".into()];
            graph.nodes.extend([
                node("QuantizeLinear", operands("x"), "q", BTreeMap::new()),
                node("DequantizeLinear", operands("q"), "d", BTreeMap::new()),
                node("Relu", vec!["d".into()], "y", BTreeMap::new()),
            ]);
        }
        _ => graph.nodes.push(node(op, inputs, "y", attributes)),
    }
    onnx::Model { ir_version: 8, opsets: BTreeMap::from([(String::new(), 18)]), graph, ..Default::default() }
}

/// The kernels that the model of an operator becomes.
fn kernels(op: &str, model: &onnx::Model, int8: bool) -> Result<String, Errors> {
    let mut graph = import::import(model, &Default::default())?.graph;
    if !int8 {
        quantize::forget(&mut graph);
    }
    simplify::simplify(&mut graph)?;
    if int8 {
        let shape = graph.value(graph.inputs[0]).ty.shape.clone();
        let count = shape.iter().product::<usize>();
        // Both signs, but for operators that are not defined for all numbers.
        let (first, step) = match op {
            "Log" | "Div" | "Mod" | "Pow" | "Sqrt" | "Reciprocal" => (0.2, 0.2),
            "Acosh" => (1.0, 0.2),
            "Acos" | "Asin" | "Atanh" => (-0.9, 0.08),
            _ => (-2.3, 0.2),
        };
        let dtype = graph.value(graph.inputs[0]).ty.dtype;
        let sample = |seed: usize| {
            let values: Vec<f32> = (0..count).map(|i| ((i * 7 + seed) % 23) as f32 * step + first).collect();
            Tensor::new(&shape, values)?.cast(dtype)
        };
        quantize::tables(&mut graph, true)?;
        let samples = Samples::from_tensors(vec![(0..16).filter_map(sample).collect()]);
        let ranges = calibrate(&graph, &samples)?;
        quantize::assign(&mut graph, Some(&ranges))?;
    }
    let lowered: Graph<Layer> = quantize::lower(&graph)?;
    let function = |node: &mcuopt_codegen::graph::Node<Layer>| {
        let function = node.op.kernel.call(lowered.value(node.outputs[0]).ty.dtype).function;
        node.op.choice(Arch::Portable).map_or(function, |choice| choice.name).to_string()
    };
    // Layout changes around a lone operator, and copies where an output would share memory with the input, vanish
    // in a network.
    let own = |node: &&mcuopt_codegen::graph::Node<Layer>| {
        op == "Transpose" || !matches!(node.op.operator, "Transpose" | "Identity")
    };
    let names: Vec<String> = lowered.nodes.iter().filter(own).map(function).collect();
    Ok(if names.is_empty() {
        "–".into()
    } else {
        names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" ")
    })
}

#[test]
fn the_table_is_current() -> Result<(), Box<dyn std::error::Error>> {
    let mut table = String::from(
        "# Operators\n\nGenerated by `UPDATE_TABLES=1 cargo test -p mcuopt-codegen --test operators_table`: each \
         operator compiled in a\nmodel of its own. The columns name the kernels of mcuopt-rt that it becomes; – means \
         that nothing is left to compute.\nKernels of an int8 model that end in `_f32` run in float32, between a \
         Dequantize and a Quantize. A QDQ model takes the\nint8 column wherever operands and result carry the author's \
         scales.\n\n| ONNX operator | float32 | int8 |\n|---|---|---|\n",
    );
    for op in ops::operators() {
        let model = model(op, &case(op));
        let [float, int8] =
            [false, true].map(|int8| kernels(op, &model, int8).map_err(|errors| format!("{op}: {errors}")));
        writeln!(table, "| {op} | {} | {} |", float?, int8?)?;
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../OPERATORS.md");
    if std::env::var_os("UPDATE_TABLES").is_some() {
        std::fs::write(&path, &table)?;
    }
    assert_eq!(std::fs::read_to_string(&path)?, table, "OPERATORS.md is out of date; see the top of this file");
    Ok(())
}
