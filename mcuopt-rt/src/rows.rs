//! Walking the rows of a tensor of any rank.

/// Calls `f(index, row)` for each row of `y: [outer…, len]` in memory order; `index` is the row's place on the
/// outer axes.
#[inline(always)]
pub(crate) fn for_each_row<T, const R: usize>(
    outer: [usize; R],
    len: usize,
    y: &mut [T],
    f: impl FnMut([usize; R], &mut [T]),
) {
    // Rows of length 0 have no elements, and no chunks.
    for_each_index(outer, y.chunks_exact_mut(len.max(1)), f);
}

/// Calls `f(index, row)` for each of `rows` in memory order; `index` is the row's place on the outer axes.
#[inline(always)]
pub(crate) fn for_each_index<Row, const R: usize>(
    outer: [usize; R],
    rows: impl Iterator<Item = Row>,
    mut f: impl FnMut([usize; R], Row),
) {
    let mut index = [0; R];
    for row in rows {
        f(index, row);
        // An odometer: the last axis turns fastest.
        for axis in (0..R).rev() {
            index[axis] += 1;
            if index[axis] < outer[axis] {
                break;
            }
            index[axis] = 0;
        }
    }
}

/// `Σ index · stride`.
#[inline(always)]
pub(crate) fn offset<const R: usize>(index: [usize; R], strides: &[usize]) -> usize {
    index.iter().zip(strides).map(|(index, stride)| index * stride).sum()
}
