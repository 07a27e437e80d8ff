//! n-grams, counted from every list of positions.

mod common;

use common::Random;
use mcuopt_rt::v0::*;

/// How often the n-gram is read at `start`, `start + stride`, …
fn count(ngram: &[i64], row: &[i64], skips: usize) -> f32 {
    let strides = if ngram.len() == 1 { 1 } else { skips + 1 };
    let mut found = 0;
    for stride in 1..=strides {
        for start in 0..row.len() {
            let read = |index: usize| row.get(start + index * stride).copied();
            found += i32::from((0..ngram.len()).all(|index| read(index) == Some(ngram[index])));
        }
    }
    found as f32
}

#[test]
fn ngrams() {
    let mut random = Random::new(90);
    for _ in 0..200 {
        let [rows, columns] = random.sizes(1, 9);
        let p = NGrams { columns, counts: random.size(1, 5), skips: random.size(0, 10) };
        let ngrams: Vec<Vec<i64>> =
            (0..random.size(0, 6)).map(|_| (0..random.size(1, 4)).map(|_| random.range(0, 2)).collect()).collect();
        let places: Vec<usize> = ngrams.iter().map(|_| random.size(0, p.counts - 1)).collect();
        let x: Vec<i64> = (0..rows * columns).map(|_| random.range(0, 2)).collect();
        let lengths = ngrams.iter().zip(&places).flat_map(|(ngram, place)| [ngram.len() as i32, *place as i32]);
        let mut y = vec![f32::NAN; rows * p.counts];
        count_ngrams(&p, &ngrams.concat(), &lengths.collect::<Vec<_>>(), &x, &mut y);
        for (row, y) in x.chunks(columns).zip(y.chunks(p.counts)) {
            let mut expected = vec![0.0; p.counts];
            ngrams.iter().zip(&places).for_each(|(ngram, place)| expected[*place] += count(ngram, row, p.skips));
            assert_eq!(y, expected, "{p:?} {ngrams:?} {row:?}");
        }
    }
}
