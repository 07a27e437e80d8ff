//! One model, compiled in one way.

use mcuopt_codegen::tensor::{DType, Tensor};
use mcuopt_codegen::{Compiled, Config, Input};

/// A compiled model with a name for the files made from it.
#[derive(Clone, Debug)]
pub struct Case {
    /// Distinct among all cases of a test run, and fit for a file name.
    pub name: String,
    /// What the compiler made of it.
    pub compiled: Compiled,
}

/// The inputs of one inference, in the types that the firmware takes.
pub type Inputs = Vec<Tensor>;

impl Case {
    /// Compiles, and panics with the compiler's messages if it refuses.
    #[track_caller]
    pub fn compile(name: impl Into<String>, config: &Config) -> Self {
        let name = name.into();
        match config.compile() {
            Ok(compiled) => Self { name, compiled },
            Err(errors) => panic!("{name} does not compile:\n{errors}"),
        }
    }

    /// Element type and length of each input.
    pub fn input_types(&self) -> Vec<(DType, usize)> {
        let lowered = &self.compiled.lowered;
        lowered.inputs.iter().map(|id| &lowered.value(*id).ty).map(|ty| (ty.dtype, ty.len())).collect()
    }

    /// What `tests/firmware` includes: the generated code, and how to drive it.
    pub fn source(&self) -> String {
        let code = self.compiled.source().unwrap_or_else(|error| panic!("{}: {error}", self.name));
        let inputs: Vec<String> = self
            .input_methods()
            .zip(self.input_types())
            .map(|(method, (dtype, length))| match self.compiled.options.input {
                Input::Arena => method,
                Input::Borrowed => format!("{method} [{}; {length}]", rust_type(dtype)),
            })
            .collect();
        let door = match self.compiled.options.input {
            Input::Arena => "network",
            Input::Borrowed => "borrower",
        };
        format!("{code}\n{door}!({}: {});\n", self.compiled.type_name, inputs.join(", "))
    }

    /// Names of the methods that give access to the inputs.
    fn input_methods(&self) -> impl Iterator<Item = String> + '_ {
        let graph = &self.compiled.graph;
        graph.inputs.iter().map(move |id| match graph.inputs.len() {
            1 => "input_mut".into(),
            // The models with several inputs are ours, and have names that are identifiers already.
            _ => format!("input_{}_mut", graph.value(*id).name),
        })
    }

    /// The inputs of one inference from real numbers, quantized where the firmware takes integers.
    pub fn inputs(&self, reals: &[Vec<f32>]) -> Inputs {
        let graph = &self.compiled.graph;
        let input = |(index, reals): (usize, &Vec<f32>)| {
            let shape = &graph.value(graph.inputs[index]).ty.shape;
            let tensor = match self.compiled.input_quantization(index) {
                None => Tensor::new(shape, reals.clone()),
                Some((scale, zero_point)) => {
                    let quantize = |real: &f32| (real / scale).round_ties_even() as i32 + zero_point;
                    match self.compiled.lowered.value(self.compiled.lowered.inputs[index]).ty.dtype {
                        DType::I16 => {
                            let integer = |real| quantize(real).clamp(i16::MIN.into(), i16::MAX.into()) as i16;
                            Tensor::new(shape, reals.iter().map(integer).collect())
                        }
                        _ => {
                            Tensor::new(shape, reals.iter().map(|real| quantize(real).clamp(-128, 127) as i8).collect())
                        }
                    }
                }
            };
            tensor.unwrap_or_else(|| panic!("{}: {} numbers for an input of shape {shape:?}", self.name, reals.len()))
        };
        reals.iter().enumerate().map(input).collect()
    }

    /// The outputs of one inference as real numbers, from their bytes as the firmware writes them.
    pub fn reals(&self, outputs: &[u8]) -> Vec<f32> {
        let mut rest = outputs;
        let mut reals = Vec::new();
        for (index, id) in self.compiled.lowered.outputs.iter().enumerate() {
            let ty = &self.compiled.lowered.value(*id).ty;
            let (own, others) = rest.split_at(ty.bytes());
            rest = others;
            match (self.compiled.output_quantization(index), ty.dtype) {
                (None, _) => reals.extend(
                    own.chunks_exact(4).map(|bytes| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])),
                ),
                (Some((scale, zero_point)), DType::I16) => {
                    let integers = own.chunks_exact(2).map(|bytes| i16::from_le_bytes([bytes[0], bytes[1]]));
                    reals.extend(integers.map(|integer| (i32::from(integer) - zero_point) as f32 * scale));
                }
                (Some((scale, zero_point)), _) => {
                    reals.extend(own.iter().map(|&byte| (i32::from(byte as i8) - zero_point) as f32 * scale));
                }
            }
        }
        reals
    }

    /// Bytes of all outputs of one inference.
    pub fn output_bytes(&self) -> usize {
        let lowered = &self.compiled.lowered;
        lowered.outputs.iter().map(|id| lowered.value(*id).ty.bytes()).sum()
    }

    /// Runs the compiler's interpreter over many inputs, one after the other; the answers as bytes, like the firmware's.
    pub fn interpret(&self, inputs: &[Inputs]) -> Vec<u8> {
        let mut steps = self.compiled.steps();
        let run = |inputs: &Inputs| match steps.run(inputs, |_, _| {}) {
            Ok(outputs) => to_bytes(&outputs),
            Err(error) => panic!("{}: {error}", self.name),
        };
        inputs.iter().flat_map(run).collect()
    }
}

/// Elements in order, the lowest byte first.
pub fn to_bytes(tensors: &[Tensor]) -> Vec<u8> {
    let one = |tensor: &Tensor| -> Vec<u8> {
        match tensor {
            Tensor::F32(array) => array.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Tensor::I8(array) => array.iter().map(|&x| x as u8).collect(),
            Tensor::I16(array) => array.iter().flat_map(|x| x.to_le_bytes()).collect(),
            other => panic!("no firmware takes or gives {}", other.dtype()),
        }
    };
    tensors.iter().flat_map(one).collect()
}

fn rust_type(dtype: DType) -> &'static str {
    match dtype {
        DType::F32 => "f32",
        DType::I8 => "i8",
        DType::I16 => "i16",
        other => panic!("no firmware takes {other}"),
    }
}
