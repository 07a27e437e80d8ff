//! Arrays in NumPy's `.npy` format, version 1 to 3: a header that is a Python dictionary of three known keys, and the
//! elements. <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>

use std::io::Read;

use ndarray::{ArrayD, IxDyn, ShapeBuilder as _};

/// Elements of the largest array that is taken seriously, as for a tensor of a model.
const MOST: usize = crate::builder::MAX_ELEMENTS * 16;

/// Reads an array of numbers of any type, as floats.
///
/// # Errors
/// What is wrong with it, in a few words.
pub(super) fn read(mut file: impl Read) -> Result<ArrayD<f32>, String> {
    let mut start = [0; 8];
    file.read_exact(&mut start).map_err(|error| error.to_string())?;
    let [magic @ .., major, _] = start;
    if &magic != b"\x93NUMPY" {
        return Err("it does not start as a .npy file does".into());
    }
    let mut length = [0; 4];
    file.read_exact(&mut length[..if major == 1 { 2 } else { 4 }]).map_err(|error| error.to_string())?;
    let mut header = Vec::new();
    let mut bounded = file.by_ref().take(u64::from(u32::from_le_bytes(length)));
    bounded.read_to_end(&mut header).map_err(|error| error.to_string())?;
    let header = String::from_utf8_lossy(&header);
    let missing = |key: &str| format!("its header has no readable `{key}`");

    let descr = value(&header, "descr").ok_or_else(|| missing("descr"))?;
    let descr = descr.trim_start().get(1..).and_then(|text| text.split(['\'', '"']).next());
    let element = Element::of(descr.ok_or_else(|| missing("descr"))?)?;
    let fortran =
        value(&header, "fortran_order").ok_or_else(|| missing("fortran_order"))?.trim_start().starts_with("True");
    let shape =
        value(&header, "shape").and_then(|text| text.split_once('(')?.1.split_once(')').map(|(inside, _)| inside));
    let extents = shape.ok_or_else(|| missing("shape"))?.split(',').map(str::trim).filter(|extent| !extent.is_empty());
    let shape: Vec<usize> = extents.map(str::parse).collect::<Result<_, _>>().map_err(|_| missing("shape"))?;

    let count =
        shape.iter().try_fold(1usize, |count, &extent| count.checked_mul(extent)).filter(|count| *count <= MOST);
    let count = count.ok_or_else(|| format!("its shape {shape:?} is too large"))?;
    let mut bytes = Vec::new();
    // Read as far as there is something: a header may promise more than any file holds.
    file.take((count * element.bytes) as u64).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    let elements: Vec<f32> = bytes.chunks_exact(element.bytes).map(element.to_f32).collect();
    if elements.len() < count {
        return Err(format!("it ends after {} of {count} elements", elements.len()));
    }
    let layout = IxDyn(&shape).set_f(fortran);
    let array = ArrayD::from_shape_vec(layout, elements).map_err(|error| error.to_string())?;
    Ok(if array.is_standard_layout() { array } else { array.as_standard_layout().into_owned() })
}

/// What stands behind a key of the header.
fn value<'a>(header: &'a str, key: &str) -> Option<&'a str> {
    let (_, rest) = header.split_once(&format!("'{key}'"))?;
    rest.trim_start().strip_prefix(':')
}

/// A type of numbers.
struct Element {
    bytes: usize,
    to_f32: fn(&[u8]) -> f32,
}

impl Element {
    /// The type that NumPy describes as byte order, kind and bytes.
    fn of(descr: &str) -> Result<Self, String> {
        macro_rules! read {
            ($type:ident, $from:ident, |$value:ident| $float:expr) => {
                Element {
                    bytes: size_of::<$type>(),
                    to_f32: |bytes| {
                        let $value = bytes.try_into().map($type::$from).unwrap_or_default();
                        $float
                    },
                }
            };
        }
        Ok(match descr {
            "<f4" => read!(f32, from_le_bytes, |x| x),
            ">f4" => read!(f32, from_be_bytes, |x| x),
            "<f8" => read!(f64, from_le_bytes, |x| x as f32),
            ">f8" => read!(f64, from_be_bytes, |x| x as f32),
            "<f2" => read!(u16, from_le_bytes, |x| half(x)),
            "|u1" => read!(u8, from_le_bytes, |x| f32::from(x)),
            "|i1" => read!(i8, from_le_bytes, |x| f32::from(x)),
            "|b1" => read!(u8, from_le_bytes, |x| f32::from(u8::from(x != 0))),
            "<u2" => read!(u16, from_le_bytes, |x| f32::from(x)),
            "<i2" => read!(i16, from_le_bytes, |x| f32::from(x)),
            "<u4" => read!(u32, from_le_bytes, |x| x as f32),
            "<i4" => read!(i32, from_le_bytes, |x| x as f32),
            "<u8" => read!(u64, from_le_bytes, |x| x as f32),
            "<i8" => read!(i64, from_le_bytes, |x| x as f32),
            other => return Err(format!("its elements are `{other}`, not numbers of up to 64 bits")),
        })
    }
}

/// An IEEE 754 half-precision number.
fn half(bits: u16) -> f32 {
    let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
    let (exponent, fraction) = (i32::from(bits >> 10 & 0x1f), f32::from(bits & 0x3ff));
    sign * match exponent {
        0 => fraction * 2f32.powi(-24),
        31 if fraction == 0.0 => f32::INFINITY,
        31 => f32::NAN,
        exponent => (1024.0 + fraction) * 2f32.powi(exponent - 25),
    }
}

#[cfg(test)]
mod tests {
    use super::read;

    fn file(descr: &str, order: &str, shape: &str, data: &[u8]) -> Vec<u8> {
        let header = format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}\n");
        let length = (header.len() as u16).to_le_bytes();
        [b"\x93NUMPY\x01\x00", &length[..], header.as_bytes(), data].concat()
    }

    #[test]
    fn numbers_of_every_kind() {
        let array = read(&file("<f4", "False", "(2, 1)", &[0, 0, 128, 63, 0, 0, 0, 192])[..]);
        assert_eq!(array, Ok(ndarray::arr2(&[[1.0], [-2.0]]).into_dyn()));
        assert_eq!(
            read(&file("|i1", "False", "(3,)", &[1, 255, 128])[..]),
            Ok(ndarray::arr1(&[1.0, -1.0, -128.0]).into_dyn())
        );
        assert_eq!(
            read(&file("|u1", "True", "(2, 2)", &[1, 2, 3, 4])[..]),
            Ok(ndarray::arr2(&[[1.0, 3.0], [2.0, 4.0]]).into_dyn())
        );
        assert_eq!(read(&file("<i8", "False", "()", &(-5i64).to_le_bytes())[..]).map(|array| array.sum()), Ok(-5.0));
        assert_eq!(
            read(&file("<f2", "False", "(2,)", &[0, 0x3c, 1, 0])[..]),
            Ok(ndarray::arr1(&[1.0, 2f32.powi(-24)]).into_dyn())
        );
    }

    #[test]
    fn what_is_no_array_of_numbers() {
        assert!(read(&b"PK"[..]).is_err());
        assert!(read(&b"\x93NUMPX\x01\x00"[..]).is_err());
        assert!(read(&file("<U4", "False", "(1,)", &[0; 16])[..]).is_err());
        assert!(read(&file("<f4", "False", "(2,)", &[0; 7])[..]).is_err_and(|error| error.contains("1 of 2")));
        assert!(read(&file("<f4", "False", "(99999999999, 99999999999)", &[])[..]).is_err());
        assert!(read(&file("<f4", "False", "(999999999)", &[])[..]).is_err());
    }
}
