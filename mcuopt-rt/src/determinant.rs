//! ONNX Det: determinants of small matrices.

/// Rows of the largest matrix: a copy of it lies on the stack.
pub const MAX_DETERMINANT: usize = 8;

/// Determinants in f32 of `x: [matrices, size, size]`, `y: [matrices]`, by elimination with partial pivoting.
///
/// # Panics
/// If a slice's length is not that of its shape, or `size` is 0 or above [`MAX_DETERMINANT`].
pub fn determinant_f32(size: usize, x: &[f32], y: &mut [f32]) {
    assert!((1..=MAX_DETERMINANT).contains(&size), "size");
    assert_eq!(x.len(), y.len() * size * size, "x");
    for (x, y) in x.chunks_exact(size * size).zip(y) {
        let mut rows = [[0.0; MAX_DETERMINANT]; MAX_DETERMINANT];
        for (row, x) in rows.iter_mut().zip(x.chunks_exact(size)) {
            row[..size].copy_from_slice(x);
        }
        *y = eliminate(&mut rows, size);
    }
}

fn eliminate(rows: &mut [[f32; MAX_DETERMINANT]; MAX_DETERMINANT], size: usize) -> f32 {
    let mut product = 1.0;
    for column in 0..size {
        let mut pivot = column;
        for row in column + 1..size {
            if rows[row][column].abs() > rows[pivot][column].abs() {
                pivot = row;
            }
        }
        if pivot != column {
            rows.swap(pivot, column);
            product = -product;
        }
        let top = rows[column];
        product *= top[column];
        if top[column] == 0.0 {
            return product;
        }
        for row in &mut rows[column + 1..size] {
            let factor = row[column] / top[column];
            for (x, top) in row.iter_mut().zip(&top) {
                *x -= factor * top;
            }
        }
    }
    product
}
