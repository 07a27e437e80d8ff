//! ONNX Trilu: a triangle of each matrix.

/// Which elements of matrices stay.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trilu {
    /// Rows of a matrix.
    pub rows: usize,
    /// Columns of a matrix.
    pub columns: usize,
    /// The diagonal that belongs to the triangle: 0 is the main one, positive ones are to its right.
    pub diagonal: isize,
    /// Whether the triangle is the one to the right of the diagonal.
    pub upper: bool,
}

/// `x` where it lies in the triangle, `zero` elsewhere; `x, y: [n, rows, columns]`.
///
/// # Panics
/// If the slices' lengths differ.
pub fn trilu<T: Copy>(p: &Trilu, zero: T, x: &[T], y: &mut [T]) {
    y.copy_from_slice(x);
    trilu_in_place(p, zero, y);
}

/// [`trilu`](trilu()) over its operand.
pub fn trilu_in_place<T: Copy>(p: &Trilu, zero: T, xy: &mut [T]) {
    for (index, row) in xy.chunks_exact_mut(p.columns.max(1)).enumerate() {
        let diagonal = (index % p.rows) as isize;
        let diagonal = diagonal.saturating_add(p.diagonal).saturating_add(isize::from(!p.upper));
        let split = diagonal.clamp(0, p.columns as isize) as usize;
        let (left, right) = row.split_at_mut(split);
        if p.upper { left.fill(zero) } else { right.fill(zero) }
    }
}
