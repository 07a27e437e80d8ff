//! What differs between number formats where kernels are otherwise the same.

#[cfg(mcuopt_dsp)]
use crate::arch::dsp::rows;
#[cfg(not(mcuopt_dsp))]
use crate::arch::scalar as rows;

/// Which numbers a linear layer multiplies and sums.
pub(crate) trait Arithmetic {
    /// An activation.
    type X: Copy + Default + PartialEq;
    /// What a sum starts with.
    type Bias: Copy;
    /// The accumulator.
    type Sum: Copy;
    /// A weight.
    type W: Copy;
    /// Weights as they lie in memory.
    type Weights<'a>: Row<Element = Self::W>;

    /// `sum + x · weight`.
    fn mac(sum: Self::Sum, x: Self::X, weight: Self::W) -> Self::Sum;

    /// Sums that begin with biases.
    fn start<const N: usize>(bias: [Self::Bias; N]) -> [Self::Sum; N];

    /// Adds `Σ x[i] · weights[j][i]` to `sums[j]`, in the order of `i`: `N` outputs share each load of `x`.
    fn dot<const N: usize>(sums: [Self::Sum; N], x: &[Self::X], weights: [Self::Weights<'_>; N]) -> [Self::Sum; N];

    /// From the start of one filter of `taps` weights to the next one's.
    #[inline(always)]
    fn stride(taps: usize) -> usize {
        taps
    }
}

/// Weights side by side.
pub(crate) trait Row: Copy {
    type Element: Copy;

    /// Number of weights.
    fn len(self) -> usize;

    /// `len` weights from `start` on.
    fn part(self, start: usize, len: usize) -> Self;

    /// A weight.
    fn get(self, index: usize) -> Self::Element;

    /// `N` weights from `at` on.
    #[inline(always)]
    fn lanes<const N: usize>(self, at: usize) -> [Self::Element; N] {
        let row = self.part(at, N);
        core::array::from_fn(|i| row.get(i))
    }
}

impl<T: Copy> Row for &[T] {
    type Element = T;

    #[inline(always)]
    fn len(self) -> usize {
        <[T]>::len(self)
    }

    #[inline(always)]
    fn part(self, start: usize, len: usize) -> Self {
        &self[start..][..len]
    }

    #[inline(always)]
    fn get(self, index: usize) -> T {
        self[index]
    }

    #[inline(always)]
    fn lanes<const N: usize>(self, at: usize) -> [T; N] {
        *lanes(self, at)
    }
}

/// int4 weights, two to a byte, the first one in the low half.
#[derive(Clone, Copy)]
pub(crate) struct Nibbles<'a> {
    bytes: &'a [i8],
    start: usize,
    len: usize,
}

impl<'a> Nibbles<'a> {
    #[inline(always)]
    pub(crate) fn new(bytes: &'a [i8], len: usize) -> Self {
        assert!(len.div_ceil(2) <= bytes.len(), "weights");
        Self { bytes, start: 0, len }
    }
}

/// The weights of a byte.
#[inline(always)]
const fn halves(byte: i8) -> [i8; 2] {
    [byte << 4 >> 4, byte >> 4]
}

impl Row for Nibbles<'_> {
    type Element = i8;

    #[inline(always)]
    fn len(self) -> usize {
        self.len
    }

    #[inline(always)]
    fn part(self, start: usize, len: usize) -> Self {
        assert!(start <= self.len && len <= self.len - start, "weights");
        Self { bytes: self.bytes, start: self.start + start, len }
    }

    #[inline(always)]
    fn get(self, index: usize) -> i8 {
        let at = self.start + index;
        halves(self.bytes[at / 2])[at % 2]
    }
}

/// f32 activations and weights.
pub(crate) enum Float {}

impl Arithmetic for Float {
    type X = f32;
    type Bias = f32;
    type Sum = f32;
    type W = f32;
    type Weights<'a> = &'a [f32];

    #[inline(always)]
    fn mac(sum: f32, x: f32, weight: f32) -> f32 {
        sum + x * weight
    }

    #[inline(always)]
    fn start<const N: usize>(bias: [f32; N]) -> [f32; N] {
        bias
    }

    #[inline(always)]
    fn dot<const N: usize>(sums: [f32; N], x: &[f32], weights: [&[f32]; N]) -> [f32; N] {
        dot_rows::<Self, N>(sums, x, weights, dot4::<Self, _>)
    }
}

/// f32 activations, int8 weights.
pub(crate) enum FloatInt8 {}

impl Arithmetic for FloatInt8 {
    type X = f32;
    type Bias = f32;
    type Sum = f32;
    type W = i8;
    type Weights<'a> = &'a [i8];

    #[inline(always)]
    fn mac(sum: f32, x: f32, weight: i8) -> f32 {
        sum + x * f32::from(weight)
    }

    #[inline(always)]
    fn start<const N: usize>(bias: [f32; N]) -> [f32; N] {
        bias
    }

    #[inline(always)]
    fn dot<const N: usize>(sums: [f32; N], x: &[f32], weights: [&[i8]; N]) -> [f32; N] {
        dot_rows::<Self, N>(sums, x, weights, dot4::<Self, _>)
    }
}

/// int8 activations and weights.
pub(crate) enum Int8 {}

impl Arithmetic for Int8 {
    type X = i8;
    type Bias = i32;
    type Sum = i32;
    type W = i8;
    type Weights<'a> = &'a [i8];

    #[inline(always)]
    fn mac(sum: i32, x: i8, weight: i8) -> i32 {
        sum + i32::from(x) * i32::from(weight)
    }

    #[inline(always)]
    fn start<const N: usize>(bias: [i32; N]) -> [i32; N] {
        bias
    }

    #[inline(always)]
    fn dot<const N: usize>(sums: [i32; N], x: &[i8], weights: [&[i8]; N]) -> [i32; N] {
        dot_rows::<Self, N>(sums, x, weights, |sums, x, weights| {
            // A call takes as long as some elements.
            if x.len() < 16 { dot4::<Self, _>(sums, x, weights) } else { rows::dot4(sums, x, weights) }
        })
    }
}

/// int8 activations, int4 weights.
pub(crate) enum Int8x4 {}
/// int16 activations, int8 weights.
pub(crate) enum Int16x8 {}
/// int16 activations, int4 weights.
pub(crate) enum Int16x4 {}
/// int16 activations, int8 weights, sums that 32 bits do not hold.
pub(crate) enum Int16x8Wide {}

macro_rules! slices {
    ($($name:ident $x:ident $sum:ident $dot4:path;)*) => {$(
        impl Arithmetic for $name {
            type X = $x;
            type Bias = i32;
            type Sum = $sum;
            type W = i8;
            type Weights<'a> = &'a [i8];

            #[inline(always)]
            fn mac(sum: $sum, x: $x, weight: i8) -> $sum {
                sum + $sum::from(i32::from(x) * i32::from(weight))
            }

            #[inline(always)]
            fn start<const N: usize>(bias: [i32; N]) -> [$sum; N] {
                bias.map($sum::from)
            }

            #[inline(always)]
            fn dot<const N: usize>(sums: [$sum; N], x: &[$x], weights: [&[i8]; N]) -> [$sum; N] {
                dot_rows::<Self, N>(sums, x, weights, $dot4)
            }
        }
    )*};
}
slices! { Int16x8 i16 i32 dot4_s16; Int16x8Wide i16 i64 dot4::<Int16x8Wide, i8>; }

#[inline(always)]
fn dot4_s16(sums: [i32; 4], x: &[i16], weights: [&[i8]; 4]) -> [i32; 4] {
    #[cfg(mcuopt_dsp)]
    if x.len() >= 16 {
        return rows::dot4_s16(sums, x, weights);
    }
    dot4::<Int16x8, _>(sums, x, weights)
}

macro_rules! nibbles {
    ($($name:ident $x:ident;)*) => {$(
        impl Arithmetic for $name {
            type X = $x;
            type Bias = i32;
            type Sum = i32;
            type W = i8;
            type Weights<'a> = Nibbles<'a>;

            #[inline(always)]
            fn mac(sum: i32, x: $x, weight: i8) -> i32 {
                sum + i32::from(x) * i32::from(weight)
            }

            #[inline(always)]
            fn start<const N: usize>(bias: [i32; N]) -> [i32; N] {
                bias
            }

            #[inline(always)]
            fn dot<const N: usize>(sums: [i32; N], x: &[$x], weights: [Nibbles<'_>; N]) -> [i32; N] {
                dot_nibbles::<Self, N>(sums, x, weights)
            }

            /// Filters start with a byte, so that all have the same weights in the same half.
            #[inline(always)]
            fn stride(taps: usize) -> usize {
                taps.next_multiple_of(2)
            }
        }
    )*};
}
nibbles! { Int8x4 i8; Int16x4 i16; }

#[inline(always)]
fn dot4<M, W>(sums: [M::Sum; 4], x: &[M::X], weights: [&[W]; 4]) -> [M::Sum; 4]
where
    M: for<'a> Arithmetic<W = W, Weights<'a> = &'a [W]>,
    W: Copy + 'static,
{
    let ([mut t0, mut t1, mut t2, mut t3], [w0, w1, w2, w3]) = (sums, weights);
    for ((((&x, &w0), &w1), &w2), &w3) in x.iter().zip(w0).zip(w1).zip(w2).zip(w3) {
        t0 = M::mac(t0, x, w0);
        t1 = M::mac(t1, x, w1);
        t2 = M::mac(t2, x, w2);
        t3 = M::mac(t3, x, w3);
    }
    [t0, t1, t2, t3]
}

/// [`Arithmetic::dot`] where `dot4` is that of four outputs.
#[inline(always)]
fn dot_rows<'w, M: Arithmetic, const N: usize>(
    mut sums: [M::Sum; N],
    x: &[M::X],
    weights: [M::Weights<'w>; N],
    dot4: impl Fn([M::Sum; 4], &[M::X], [M::Weights<'w>; 4]) -> [M::Sum; 4],
) -> [M::Sum; N] {
    match (&mut sums[..], &weights[..]) {
        // Four lanes are spelled out: at opt-level s and z LLVM unrolls no loop over them, and then the sums would
        // live in memory instead of registers.
        ([s0, s1, s2, s3], [w0, w1, w2, w3]) => {
            [*s0, *s1, *s2, *s3] = dot4([*s0, *s1, *s2, *s3], x, [*w0, *w1, *w2, *w3]);
        }
        (sums, weights) => {
            for (sum, weights) in sums.iter_mut().zip(weights) {
                let weights = weights.part(0, x.len());
                *sum = x.iter().enumerate().fold(*sum, |sum, (i, &x)| M::mac(sum, x, weights.get(i)));
            }
        }
    }
    sums
}

/// [`Arithmetic::dot`] for weights that lie in the same half of a byte in all rows.
#[inline(always)]
fn dot_nibbles<M, const N: usize>(mut sums: [i32; N], x: &[M::X], weights: [Nibbles<'_>; N]) -> [i32; N]
where
    M: for<'a> Arithmetic<Sum = i32, W = i8, Weights<'a> = Nibbles<'a>>,
{
    let odd = weights[0].start % 2;
    let (first, x) = x.split_at(odd.min(x.len()));
    for &x in first {
        for j in 0..N {
            sums[j] = M::mac(sums[j], x, weights[j].get(0));
        }
    }
    let (pairs, rest) = x.as_chunks::<2>();
    let bytes = weights.map(|row| &row.bytes[row.start.div_ceil(2)..][..x.len().div_ceil(2)]);
    for (i, &[x0, x1]) in pairs.iter().enumerate() {
        for j in 0..N {
            let [w0, w1] = halves(bytes[j][i]);
            sums[j] = M::mac(M::mac(sums[j], x0, w0), x1, w1);
        }
    }
    for &x in rest {
        for j in 0..N {
            sums[j] = M::mac(sums[j], x, halves(bytes[j][pairs.len()])[0]);
        }
    }
    sums
}

/// [`Arithmetic::dot`] for a handful of elements: LLVM does not unroll this form, which for so few costs more than it
/// saves.
#[inline(always)]
pub(crate) fn short_dot<M: Arithmetic, const N: usize>(
    mut sums: [M::Sum; N],
    x: &[M::X],
    weights: [M::Weights<'_>; N],
) -> [M::Sum; N] {
    // Equal lengths, known to be so: no bounds checks in the loop.
    let weights = weights.map(|row| row.part(0, x.len()));
    for (i, &x) in x.iter().enumerate() {
        for j in 0..N {
            sums[j] = M::mac(sums[j], x, weights[j].get(i));
        }
    }
    sums
}

/// `sums[j] = f(sums[j], x[j])`.
#[inline(always)]
pub(crate) fn each<S: Copy, T: Copy, const N: usize>(mut sums: [S; N], x: &[T; N], f: impl Fn(S, T) -> S) -> [S; N] {
    match (&mut sums[..], &x[..]) {
        // Spelled out as in `dot`.
        ([s0, s1, s2, s3], [x0, x1, x2, x3]) => {
            (*s0, *s1, *s2, *s3) = (f(*s0, *x0), f(*s1, *x1), f(*s2, *x2), f(*s3, *x3));
        }
        (sums, x) => sums.iter_mut().zip(x).for_each(|(sum, &x)| *sum = f(*sum, x)),
    }
    sums
}

/// `N` elements from `at` on.
#[inline(always)]
pub(crate) fn lanes<T, const N: usize>(elements: &[T], at: usize) -> &[T; N] {
    elements[at..].first_chunk().expect("N more channels")
}

/// Stores `finish(first + j, sums[j])` in `outputs[j]`.
#[inline(always)]
pub(crate) fn store<S: Copy, T, const N: usize>(
    outputs: &mut [T; N],
    first: usize,
    sums: [S; N],
    finish: impl Fn(usize, S) -> T,
) {
    for j in 0..N {
        outputs[j] = finish(first + j, sums[j]);
    }
}
