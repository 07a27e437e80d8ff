//! Any function of one int8 or int16 variable, as a table.

/// `y = table[x + 128]`, element by element.
///
/// # Panics
/// If the lengths of `x` and `y` differ.
#[inline(always)]
pub fn lut_s8<T: Copy>(table: &[T; 256], x: &[i8], y: &mut [T]) {
    assert_eq!(x.len(), y.len(), "x and y");
    for (y, &x) in y.iter_mut().zip(x) {
        *y = table[index(x)];
    }
}

/// [`lut_s8`] where `x` and `y` share memory.
#[inline(always)]
pub fn lut_s8_in_place(table: &[i8; 256], xy: &mut [i8]) {
    for y in xy {
        *y = table[index(*y)];
    }
}

/// `x + 128`, without leaving the byte: no bounds check remains.
#[inline(always)]
const fn index(x: i8) -> usize {
    (x as u8 ^ 0x80) as usize
}

/// Entries of the table of [`lut_s16`].
pub const LUT_S16_LEN: usize = 513;

/// A function of int16 between the entries of a table, which are its values at −32768, −32640, … 32640 and 32768.
///
/// With `at` and `part` the quotient and the remainder of `x + 32768` by 128:
/// `y = table[at] + floor(((table[at + 1] − table[at]) · part + 64) / 128)`. Besides the entries' rounding and this one, at
/// most one step together, the result is wrong by at most `h² · max |f″| / 8` for a function with a second derivative,
/// with `h` the 128 steps of the input between entries; beside a kink at an entry, such as that of a Relu, it is exact.
///
/// # Panics
/// If the lengths of `x` and `y` differ.
pub fn lut_s16(table: &[i16; LUT_S16_LEN], x: &[i16], y: &mut [i16]) {
    assert_eq!(x.len(), y.len(), "x and y");
    for (y, &x) in y.iter_mut().zip(x) {
        *y = between(table, x);
    }
}

/// [`lut_s16`] where `x` and `y` share memory.
pub fn lut_s16_in_place(table: &[i16; LUT_S16_LEN], xy: &mut [i16]) {
    for y in xy {
        *y = between(table, *y);
    }
}

#[inline(always)]
fn between(table: &[i16; LUT_S16_LEN], x: i16) -> i16 {
    let x = usize::from(x as u16 ^ 0x8000);
    let (at, part) = (x / 128, (x % 128) as i32);
    let (low, high) = (i32::from(table[at]), i32::from(table[at + 1]));
    // Between both, hence within int16.
    (low + (((high - low) * part + 64) >> 7)) as i16
}
