//! Functions of three elements, with ONNX's broadcasting: Where.

use crate::function::{Function, functions};
use crate::rows::{for_each_row, offset};

/// How the elements of three operands meet: `y[i…] = f(a[Σ i · strides[0]], b[Σ i · strides[1]], c[Σ i · strides[2]])`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Broadcast3 {
    /// Shape of the output, with leading 1s; the fewer axes the compiler needs, the faster.
    pub shape: [usize; 6],
    /// For each operand and axis, the elements from one index to the next; 0 repeats.
    pub strides: [[usize; 6]; 3],
}

impl Broadcast3 {
    /// Panics unless an operand has the elements that its strides reach, so that none is read behind its end.
    #[inline(always)]
    fn check(&self, operand: usize, len: usize) {
        let reach = offset(self.shape.map(|extent| extent - 1), &self.strides[operand]) + 1;
        assert_eq!(len, reach, "operand {operand}");
    }
}

functions! {
    /// `a` where `c` is true, else `b`. The condition comes last, so that the output may overwrite `a`.
    Where
    /// `b` where `c` is true, else `a`.
    WhereNot
}

impl<T: Copy> Function<(T, T, u8), T> for Where {
    #[inline(always)]
    fn apply(&self, (a, b, c): (T, T, u8)) -> T {
        if c != 0 { a } else { b }
    }
}

impl<T: Copy> Function<(T, T, u8), T> for WhereNot {
    #[inline(always)]
    fn apply(&self, (a, b, c): (T, T, u8)) -> T {
        if c != 0 { b } else { a }
    }
}

/// `y = f(a, b, c)`, element by element; broadcast as `p` says.
///
/// # Panics
/// If a slice's length is not what `p` reaches.
pub fn ternary<F, A, B, C, Y>(p: &Broadcast3, f: &F, a: &[A], b: &[B], c: &[C], y: &mut [Y])
where
    F: Function<(A, B, C), Y> + ?Sized,
    A: Copy,
    B: Copy,
    C: Copy,
{
    let [outer @ .., len] = p.shape;
    p.check(0, a.len());
    p.check(1, b.len());
    p.check(2, c.len());
    assert_eq!(y.len(), p.shape.iter().product(), "y");
    let [a_step, b_step, c_step] = p.strides.map(|strides| strides[5]);

    for_each_row(outer, len, y, |index, row| {
        let [at_a, at_b, at_c] = p.strides.map(|strides| offset(index, &strides));
        for (i, y) in row.iter_mut().enumerate() {
            *y = f.apply((a[at_a + i * a_step], b[at_b + i * b_step], c[at_c + i * c_step]));
        }
    });
}

/// [`ternary`] where `a` and `y` share memory: `a` has the output's shape.
///
/// # Panics
/// If a slice's length is not what `p` reaches.
pub fn ternary_in_place<F, A, B, C>(p: &Broadcast3, f: &F, ay: &mut [A], b: &[B], c: &[C])
where
    F: Function<(A, B, C), A> + ?Sized,
    A: Copy,
    B: Copy,
    C: Copy,
{
    let [outer @ .., len] = p.shape;
    assert_eq!(ay.len(), p.shape.iter().product(), "ay");
    p.check(1, b.len());
    p.check(2, c.len());
    let [_, b_step, c_step] = p.strides.map(|strides| strides[5]);

    for_each_row(outer, len, ay, |index, row| {
        let [_, at_b, at_c] = p.strides.map(|strides| offset(index, &strides));
        for (i, ay) in row.iter_mut().enumerate() {
            *ay = f.apply((*ay, b[at_b + i * b_step], c[at_c + i * c_step]));
        }
    });
}
