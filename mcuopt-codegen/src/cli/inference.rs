//! Running a compiled network on the host with real numbers at both ends.

use mcuopt_codegen::graph::Type;
use mcuopt_codegen::tensor::{DType, Element as _, Tensor};
use mcuopt_codegen::{Compiled, Error};
use mcuopt_rt::v0 as rt;

/// The inputs of an inference as the firmware takes them.
pub(crate) fn as_taken(compiled: &Compiled, inputs: &[Tensor]) -> Result<Vec<Tensor>, Error> {
    let one = |(index, tensor): (usize, &Tensor)| {
        let taken = match (compiled.input_quantization(index), tensor.f32s()) {
            (Some((scale, zero_point)), Some(reals)) => {
                let integers: Vec<i8> = reals.iter().map(|&x| rt::quantize_f32(x, scale, zero_point)).collect();
                Tensor::new(tensor.shape(), integers)
            }
            // Integers of the file may be narrower in firmware.
            _ => tensor.cast(compiled.lowered.value(compiled.lowered.inputs[index]).ty.dtype),
        };
        taken.ok_or_else(|| Error::bug(format!("input {index} does not become what firmware takes")))
    };
    inputs.iter().enumerate().map(one).collect()
}

/// The outputs of an inference as reals.
pub(crate) fn reals(compiled: &Compiled, outputs: &[Tensor]) -> Vec<Vec<f32>> {
    outputs.iter().enumerate().map(|(index, tensor)| real(compiled, index, tensor)).collect()
}

/// Output `index` as reals.
pub(crate) fn real(compiled: &Compiled, index: usize, tensor: &Tensor) -> Vec<f32> {
    match compiled.output_quantization(index) {
        Some((scale, zero_point)) => i8::of(tensor).iter().map(|&q| rt::dequantize(q, scale, zero_point)).collect(),
        None => numbers(tensor),
    }
}

/// A tensor from its bytes, the lowest of a number first.
pub(crate) fn from_bytes(ty: &Type, bytes: &[u8]) -> Tensor {
    let mut tensor = Tensor::zeros(ty.dtype, &ty.shape);
    macro_rules! load {
        ($($element:ident),*) => {$(
            for (number, bytes) in $element::of_mut(&mut tensor).iter_mut().zip(bytes.chunks_exact(size_of::<$element>())) {
                *number = bytes.try_into().map(<$element>::from_le_bytes).unwrap_or_default();
            }
        )*};
    }
    load!(f32, i8, u8, i16, u16, i32, u32, i64, u64);
    tensor
}

/// The elements of a tensor of any type.
pub(crate) fn numbers(tensor: &Tensor) -> Vec<f32> {
    match tensor.cast(DType::F32) {
        Some(floats) => f32::of(&floats).to_vec(),
        None => Vec::new(),
    }
}

/// The bytes of tensors as firmware has them in memory on a little-endian core.
pub(crate) fn bytes(tensors: &[Tensor]) -> Vec<u8> {
    tensors.iter().flat_map(|tensor| mcuopt_codegen::call::Data::from(tensor).bytes()).collect()
}

/// Position of the largest number, the first of equals.
pub(crate) fn largest(numbers: &[f32]) -> usize {
    (0..numbers.len()).fold(0, |best, index| if numbers[index] > numbers[best] { index } else { best })
}

/// Does the same for each of `count` items on all processors; the results come in order.
pub(crate) fn for_each<T: Send>(
    count: usize,
    bar: &indicatif::ProgressBar,
    work: impl Fn(usize) -> Result<T, Error> + Sync,
) -> Result<Vec<T>, Error> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(count.max(1));
    let share = count.div_ceil(threads).max(1);
    let part = |thread: usize| {
        let range = (thread * share).min(count)..((thread + 1) * share).min(count);
        range.map(|index| work(index).inspect(|_| bar.inc(1))).collect::<Result<Vec<T>, Error>>()
    };
    let part = &part;
    let parts = std::thread::scope(|scope| {
        let handles: Vec<_> = (0..threads).map(|thread| scope.spawn(move || part(thread))).collect();
        let joined =
            handles.into_iter().map(|handle| handle.join().unwrap_or_else(|_| Err(Error::bug("a thread ended"))));
        joined.collect::<Result<Vec<_>, _>>()
    })?;
    Ok(parts.into_iter().flatten().collect())
}
