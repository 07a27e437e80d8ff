//! Constants: every way in which ONNX stores a tensor, to [`Tensor`].

use std::borrow::Cow;

use ndarray::ArrayD;

use super::element::{self, Element};
use super::external::SideFiles;
use super::float;
use super::proto::{EXTERNAL, SparseTensorProto, TensorProto};
use crate::each_dtype;
use crate::error::Error;
use crate::tensor::Tensor;

/// No network has nearly as many dimensions; damaged files can, and messages print them.
const MAX_RANK: usize = 64;

/// Decodes a dense tensor. Doubles beyond the range of f32 become infinite.
pub(super) fn dense(proto: &TensorProto, files: &mut SideFiles<'_>) -> Result<Tensor, Error> {
    read_dense(proto, files).map_err(|error| error.part(tensor_part(&proto.name)))
}

/// Decodes a sparse tensor, writing out its zeros.
pub(super) fn sparse(proto: &SparseTensorProto, files: &mut SideFiles<'_>) -> Result<Tensor, Error> {
    let name = proto.values.as_ref().map_or("", |values| &values.name);
    read_sparse(proto, files).map_err(|error| error.part(tensor_part(name)))
}

fn tensor_part(name: &str) -> String {
    if name.is_empty() { "tensor without a name".into() } else { format!("tensor `{name}`") }
}

fn read_dense(proto: &TensorProto, files: &mut SideFiles<'_>) -> Result<Tensor, Error> {
    let (shape, count) = shape(&proto.dims)?;
    let element = supported(proto.data_type)?;
    let raw = if proto.data_location == EXTERNAL {
        // No overflow: at most 64 bits an element, and `count` fits 63.
        let bytes = (count as u128 * element.bits as u128).div_ceil(8);
        Some(Cow::Owned(files.read(&proto.external_data, bytes)?))
    } else if !proto.raw_data.is_empty() {
        if has_typed_data(proto) {
            return Err(Error::invalid("it has both raw_data and a typed data field"));
        }
        Some(Cow::Borrowed(proto.raw_data.as_slice()))
    } else {
        None
    };
    Storage { raw, shape, count, proto }.decode(element)
}

fn has_typed_data(proto: &TensorProto) -> bool {
    !(proto.float_data.is_empty()
        && proto.int32_data.is_empty()
        && proto.int64_data.is_empty()
        && proto.double_data.is_empty()
        && proto.uint64_data.is_empty()
        && proto.string_data.is_empty())
}

fn supported(code: i32) -> Result<&'static Element, Error> {
    match Element::of(code) {
        Some(element) if element.dtype.is_some() => Ok(element),
        Some(element) => Err(Error::unsupported(format!("constants of type {}", element.name))
            .instead("integers, bool, float, float16, bfloat16, float8 and double")),
        None if code <= 0 => Err(Error::invalid("it has no element type")),
        None => Err(Error::unsupported(format!("constants of element type {code}, which is newer than ONNX 1.20"))),
    }
}

/// Dimensions and number of elements. Like ndarray, refuses a product of the non-zero dimensions beyond `isize`.
fn shape(dims: &[i64]) -> Result<(Vec<usize>, usize), Error> {
    if dims.len() > MAX_RANK {
        return Err(Error::invalid(format!("it has {} dimensions", dims.len())));
    }
    let mut shape = Vec::with_capacity(dims.len());
    let mut product = 1_usize;
    for &dim in dims {
        let size =
            usize::try_from(dim).map_err(|_| Error::invalid(format!("its dimensions {dims:?} are impossible")))?;
        product = product
            .checked_mul(size.max(1))
            .filter(|&product| isize::try_from(product).is_ok())
            .ok_or_else(|| Error::invalid(format!("its dimensions {dims:?} are absurdly large")))?;
        shape.push(size);
    }
    let count = if shape.contains(&0) { 0 } else { product };
    Ok((shape, count))
}

/// The bytes or numbers of one tensor, not yet checked against its shape.
struct Storage<'a> {
    /// `raw_data` or the part of an external file; `None` if a typed field holds the elements.
    raw: Option<Cow<'a, [u8]>>,
    shape: Vec<usize>,
    count: usize,
    proto: &'a TensorProto,
}

impl Storage<'_> {
    fn decode(&self, element: &Element) -> Result<Tensor, Error> {
        let p = self.proto;
        let (int32, int64, uint64) = (p.int32_data.as_slice(), p.int64_data.as_slice(), p.uint64_data.as_slice());
        match element.code {
            element::FLOAT => self.elements(f32::from_le_bytes, "float_data", &p.float_data, Some),
            element::DOUBLE => self.elements(
                |bytes| f64::from_le_bytes(bytes) as f32,
                "double_data",
                &p.double_data,
                |value| Some(value as f32),
            ),
            element::INT8 => self.elements(i8::from_le_bytes, "int32_data", int32, |v| v.try_into().ok()),
            element::UINT8 => self.elements(u8::from_le_bytes, "int32_data", int32, |v| v.try_into().ok()),
            element::INT16 => self.elements(i16::from_le_bytes, "int32_data", int32, |v| v.try_into().ok()),
            element::UINT16 => self.elements(u16::from_le_bytes, "int32_data", int32, |v| v.try_into().ok()),
            element::INT32 => self.elements(i32::from_le_bytes, "int32_data", int32, Some),
            element::INT64 => self.elements(i64::from_le_bytes, "int64_data", int64, Some),
            element::UINT32 => self.elements(u32::from_le_bytes, "uint64_data", uint64, |v| v.try_into().ok()),
            element::UINT64 => self.elements(u64::from_le_bytes, "uint64_data", uint64, Some),
            element::BOOL => self.elements(|[byte]| byte != 0, "int32_data", int32, |v| Some(v != 0)),
            element::FLOAT16 => self.patterns16(float::float16),
            element::BFLOAT16 => self.patterns16(float::bfloat16),
            element::FLOAT8E4M3FN => self.patterns8(float::float8e4m3fn),
            element::FLOAT8E4M3FNUZ => self.patterns8(float::float8e4m3fnuz),
            element::FLOAT8E5M2 => self.patterns8(float::float8e5m2),
            element::FLOAT8E5M2FNUZ => self.patterns8(float::float8e5m2fnuz),
            element::UINT4 => self.nibbles(|nibble| nibble),
            // Sign extension: the nibble moves to the top and comes back arithmetically.
            element::INT4 => self.nibbles(|nibble| (nibble << 4) as i8 >> 4),
            _ => Err(Error::bug(format!("no decoder for constants of type {}", element.name))),
        }
    }

    /// Elements of whole bytes, one number each in the typed `field`; `number` gives `None` where it does not fit.
    fn elements<const N: usize, S: Copy + std::fmt::Display, T>(
        &self,
        bytes: impl Fn([u8; N]) -> T,
        field_name: &str,
        field: &[S],
        number: impl Fn(S) -> Option<T>,
    ) -> Result<Tensor, Error>
    where
        Tensor: From<ArrayD<T>>,
    {
        let data = match &self.raw {
            Some(raw) => {
                let (chunks, rest) = raw.as_chunks::<N>();
                if chunks.len() != self.count || !rest.is_empty() {
                    return Err(self.wrong_size(raw.len(), "bytes"));
                }
                chunks.iter().map(|&chunk| bytes(chunk)).collect()
            }
            None => {
                if field.len() != self.count {
                    return Err(self.wrong_size(field.len(), &format!("numbers in {field_name}")));
                }
                let out_of_range = |v: S| Error::invalid(format!("{v} in {field_name} is outside its element type"));
                field.iter().map(|&v| number(v).ok_or_else(|| out_of_range(v))).collect::<Result<_, _>>()?
            }
        };
        self.tensor(data)
    }

    /// 16-bit patterns, sign-extended into `int32_data` by some writers.
    fn patterns16(&self, widen: impl Fn(u16) -> f32) -> Result<Tensor, Error> {
        let narrow = |v: i32| u16::try_from(v).or_else(|_| i16::try_from(v).map(|v| v as u16)).ok();
        self.elements(|b| widen(u16::from_le_bytes(b)), "int32_data", &self.proto.int32_data, |v| narrow(v).map(&widen))
    }

    /// 8-bit patterns, sign-extended into `int32_data` by some writers.
    fn patterns8(&self, widen: impl Fn(u8) -> f32) -> Result<Tensor, Error> {
        self.elements(|[byte]| widen(byte), "int32_data", &self.proto.int32_data, |v| byte(v).map(&widen))
    }

    /// Two elements a byte, the low half first; a last half byte is padding.
    fn nibbles<T: Copy>(&self, element: impl Fn(u8) -> T) -> Result<Tensor, Error>
    where
        Tensor: From<ArrayD<T>>,
    {
        let bytes = match &self.raw {
            Some(raw) => raw.to_vec(),
            None => {
                let bytes = self.proto.int32_data.iter().map(|&v| byte(v)).collect::<Option<Vec<u8>>>();
                bytes.ok_or_else(|| Error::invalid("a number in int32_data is not a byte of two elements"))?
            }
        };
        if bytes.len() != self.count.div_ceil(2) {
            return Err(self.wrong_size(bytes.len(), "bytes of two elements"));
        }
        let mut data: Vec<T> = bytes.iter().flat_map(|&b| [element(b & 15), element(b >> 4)]).collect();
        data.truncate(self.count);
        self.tensor(data)
    }

    fn tensor<T>(&self, data: Vec<T>) -> Result<Tensor, Error>
    where
        Tensor: From<ArrayD<T>>,
    {
        Tensor::new(&self.shape, data).ok_or_else(|| Error::bug("a constant's data was not checked against its shape"))
    }

    fn wrong_size(&self, found: usize, unit: &str) -> Error {
        Error::invalid(format!("it has {found} {unit}, but its shape {:?} is of {} elements", self.shape, self.count))
    }
}

/// A byte that `int32_data` holds as an unsigned or a signed number.
fn byte(value: i32) -> Option<u8> {
    u8::try_from(value).or_else(|_| i8::try_from(value).map(|value| value as u8)).ok()
}

fn read_sparse(proto: &SparseTensorProto, files: &mut SideFiles<'_>) -> Result<Tensor, Error> {
    let (Some(values), Some(indices)) = (&proto.values, &proto.indices) else {
        return Err(Error::invalid("a sparse tensor without values or indices"));
    };
    let (shape, count) = shape(&proto.dims)?;
    let values = read_dense(values, files)?;
    let positions = positions(&read_dense(indices, files)?, &shape, count, values.len())?;
    files.spend(count as u128 * values.dtype().size() as u128)?;
    let dense = each_dtype!(&values, array => {
        let mut data = vec![Default::default(); count];
        for (&position, &value) in positions.iter().zip(array) {
            data[position] = value;
        }
        Tensor::new(&shape, data)
    });
    dense.ok_or_else(|| Error::bug("a sparse constant's shape was not checked"))
}

/// Positions of `count_given` elements in a row-major tensor: indices are `[n]` of positions or `[n, rank]` of
/// coordinates, in ascending order.
fn positions(indices: &Tensor, shape: &[usize], count: usize, count_given: usize) -> Result<Vec<usize>, Error> {
    let Tensor::I64(array) = indices else {
        return Err(Error::invalid(format!("sparse indices are int64, not {}", indices.dtype())));
    };
    let outside = || Error::invalid(format!("a sparse index is outside the shape {shape:?}"));
    let within = |index: i64, size: usize| usize::try_from(index).ok().filter(|&i| i < size).ok_or_else(outside);
    let positions: Vec<usize> = match array.shape() {
        &[n] if n == count_given => array.iter().map(|&index| within(index, count)).collect::<Result<_, _>>()?,
        &[n, rank] if n == count_given && rank == shape.len() => {
            let linear = |row: ndarray::ArrayView1<'_, i64>| {
                row.iter().zip(shape).try_fold(0, |sum, (&i, &size)| Ok(sum * size + within(i, size)?))
            };
            let rows = array.view().into_shape_with_order((n, rank)).map_err(|_| outside())?;
            rows.outer_iter().map(linear).collect::<Result<_, Error>>()?
        }
        other => {
            let what = format!("sparse indices of shape {other:?} for {count_given} values in a tensor of {shape:?}");
            return Err(Error::invalid(what));
        }
    };
    if positions.windows(2).any(|pair| pair[0] >= pair[1]) {
        return Err(Error::invalid("sparse indices are not in ascending order"));
    }
    // The empty product: coordinates of rank 0 are all position 0 and exist only where the tensor has an element.
    if positions.last().is_some_and(|&last| last >= count) { Err(outside()) } else { Ok(positions) }
}
