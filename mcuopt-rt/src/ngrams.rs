//! ONNX TfIdfVectorizer: how often sequences of numbers occur.

/// Extents of a count of n-grams.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NGrams {
    /// Numbers in a row of `x`.
    pub columns: usize,
    /// Counts in a row of `y`.
    pub counts: usize,
    /// How many numbers may at most lie between two of an n-gram.
    pub skips: usize,
}

/// `y[r, place]` is how often the n-gram of that place occurs in row `r` of `x`, its numbers one behind the other or with
/// gaps of one size, up to `skips`; `x: [rows, columns]`, `y: [rows, counts]`.
///
/// `pool` has the n-grams one behind the other, `places` length and place of each.
///
/// # Panics
/// If a slice's length is not that of its shape, a place is not below `counts`, or `pool` is shorter than its n-grams.
pub fn count_ngrams<T: PartialEq>(p: &NGrams, pool: &[T], places: &[i32], x: &[T], y: &mut [f32]) {
    assert_eq!(x.len() * p.counts, y.len() * p.columns, "x and y");

    y.fill(0.0);
    for (x, y) in x.chunks_exact(p.columns.max(1)).zip(y.chunks_exact_mut(p.counts.max(1))) {
        let mut pool = pool;
        for &[length, place] in places.as_chunks().0 {
            let (ngram, others) = pool.split_at(length as usize);
            pool = others;
            // One number has no gaps.
            let gaps = if ngram.len() > 1 { p.skips } else { 0 };
            for stride in 1..=gaps + 1 {
                let occurs = |start: &usize| ngram.iter().zip(x[*start..].iter().step_by(stride)).all(|(a, b)| a == b);
                let span = ngram.len().saturating_sub(1) * stride;
                y[place as usize] += (0..p.columns.saturating_sub(span)).filter(occurs).count() as f32;
            }
        }
    }
}
