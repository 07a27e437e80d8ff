//! Any function of one int8 variable, as a table.

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
