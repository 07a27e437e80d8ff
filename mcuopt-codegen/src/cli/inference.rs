//! Running a compiled network on the host with real numbers at both ends.

use mcuopt_codegen::graph::Type;
use mcuopt_codegen::tensor::{DType, Element as _, Tensor};
use mcuopt_codegen::{Compiled, Error};

/// The inputs of an inference as the firmware takes them.
pub(crate) fn as_taken(compiled: &Compiled, inputs: &[Tensor]) -> Result<Vec<Tensor>, Error> {
    let one = |(index, tensor): (usize, &Tensor)| {
        let value = compiled.lowered.value(compiled.lowered.inputs[index]);
        let known = value.quantization.as_ref().filter(|_| compiled.input_quantization(index).is_some());
        let taken = match (known, tensor.f32s()) {
            (Some(known), Some(reals)) => {
                let integers = reals.iter().map(|&x| known.round(x).unwrap_or_default() as f32).collect();
                Tensor::new(tensor.shape(), integers).and_then(|integers: Tensor| integers.cast(value.ty.dtype))
            }
            _ => in_firmware(tensor, value.ty.dtype),
        };
        taken.ok_or_else(|| Error::bug(format!("input {index} does not become what firmware takes")))
    };
    inputs.iter().enumerate().map(one).collect()
}

/// Integers of the file may be narrower in firmware, and bool is uint8.
fn in_firmware(tensor: &Tensor, dtype: DType) -> Option<Tensor> {
    match (tensor.at_run_time(), tensor.to_i64s()) {
        (tensor, _) if tensor.dtype() == dtype => Some(tensor),
        (_, Some(integers)) if dtype == DType::I32 => {
            let narrow: Option<Vec<i32>> = integers.into_iter().map(|integer| integer.try_into().ok()).collect();
            Tensor::new(tensor.shape(), narrow?)
        }
        _ => None,
    }
}

/// The outputs of an inference as reals.
pub(crate) fn reals(compiled: &Compiled, outputs: &[Tensor]) -> Vec<Vec<f32>> {
    outputs.iter().enumerate().map(|(index, tensor)| real(compiled, index, tensor)).collect()
}

/// Output `index` as reals.
pub(crate) fn real(compiled: &Compiled, index: usize, tensor: &Tensor) -> Vec<f32> {
    let mut numbers = numbers(tensor);
    if let Some((scale, zero_point)) = compiled.output_quantization(index) {
        numbers.iter_mut().for_each(|number| *number = (*number - zero_point as f32) * scale);
    }
    numbers
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
fn numbers(tensor: &Tensor) -> Vec<f32> {
    match (tensor.f32s(), tensor.to_i64s()) {
        (Some(reals), _) => reals.to_vec(),
        (None, integers) => integers.unwrap_or_default().into_iter().map(|integer| integer as f32).collect(),
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
