//! From an arena's bytes to disjoint typed slices. Everything unsafe about the arena is in this file, behind
//! functions that are safe to call with any arguments.

use core::marker::PhantomData;
use core::slice;

/// The bytes of a model's tensors: `BYTES` of them, 16-byte aligned, zero at first.
#[repr(C, align(16))]
#[derive(Debug)]
pub struct Arena<const BYTES: usize>([u8; BYTES]);

impl<const BYTES: usize> Arena<BYTES> {
    /// An arena full of zeros; as the initial value of a static it goes to `.bss` and takes no flash.
    #[inline(always)]
    pub const fn new() -> Self {
        Arena([0; BYTES])
    }

    /// The bytes of one span, which must be for reading.
    #[inline(always)]
    pub(crate) fn part(&self, span: Span) -> Part<'_> {
        assert!(!span.writes, "a shared arena is read only");
        span.check_inside(BYTES);
        Part { base: self.0.as_ptr().cast_mut(), span, borrow: PhantomData }
    }

    /// To take several spans at once.
    #[inline(always)]
    pub(crate) fn carve(&mut self) -> Carver<'_, ()> {
        Carver { base: self.0.as_mut_ptr(), bytes: BYTES, taken: (), borrow: PhantomData }
    }
}

impl<const BYTES: usize> Default for Arena<BYTES> {
    fn default() -> Self {
        Self::new()
    }
}

/// int8 elements as bytes.
pub(crate) const fn u8s(elements: &[i8]) -> &[u8] {
    // SAFETY: a byte each, any byte is a u8, and the borrow is the same.
    unsafe { slice::from_raw_parts(elements.as_ptr().cast(), elements.len()) }
}

/// Words as bytes, in memory order.
#[inline(always)]
pub(crate) fn i8s(words: &[u32]) -> &[i8] {
    // SAFETY: four bytes a word, any byte is an i8, and the borrow is the same.
    unsafe { slice::from_raw_parts(words.as_ptr().cast(), 4 * words.len()) }
}

/// Words as bytes to be changed, in memory order.
#[inline(always)]
pub(crate) fn i8s_mut(words: &mut [u32]) -> &mut [i8] {
    // SAFETY: as in `i8s`; any bytes are a u32.
    unsafe { slice::from_raw_parts_mut(words.as_mut_ptr().cast(), 4 * words.len()) }
}

/// Words as floats to be changed.
#[inline(always)]
pub(crate) fn f32s_mut(words: &mut [u32]) -> &mut [f32] {
    // SAFETY: u32 and f32 have the same size and alignment, no bits are invalid in either, and the borrow is the same.
    unsafe { slice::from_raw_parts_mut(words.as_mut_ptr().cast(), words.len()) }
}

/// Words as pairs of int16 to be changed, in memory order.
#[inline(always)]
pub(crate) fn i16s_mut(words: &mut [u32]) -> &mut [i16] {
    // SAFETY: two int16 a word, of less alignment; no bits are invalid in either, and the borrow is the same.
    unsafe { slice::from_raw_parts_mut(words.as_mut_ptr().cast(), 2 * words.len()) }
}

/// The bytes of int16 elements.
#[inline(always)]
pub(crate) fn bytes_of(elements: &[i16]) -> &[i8] {
    // SAFETY: two bytes an element, of less alignment; no bits are invalid, and the borrow is the same.
    unsafe { slice::from_raw_parts(elements.as_ptr().cast(), 2 * elements.len()) }
}

/// The bytes of int16 elements, to be changed.
#[inline(always)]
pub(crate) fn bytes_of_mut(elements: &mut [i16]) -> &mut [i8] {
    // SAFETY: as above; no bits are invalid in an int16 either.
    unsafe { slice::from_raw_parts_mut(elements.as_mut_ptr().cast(), 2 * elements.len()) }
}

/// Words as signed ones.
#[inline(always)]
pub(crate) fn i32s(words: &[u32]) -> &[i32] {
    // SAFETY: u32 and i32 have the same size and alignment, and no bits are invalid.
    unsafe { slice::from_raw_parts(words.as_ptr().cast(), words.len()) }
}

/// Gives out parts of an arena, of which those that are written overlap no other.
///
/// Invariant: the parts given out for `'a` are those of `taken`.
pub(crate) struct Carver<'a, S> {
    base: *mut u8,
    bytes: usize,
    taken: S,
    borrow: PhantomData<&'a mut [u8]>,
}

impl<'a, S: Spans> Carver<'a, S> {
    #[inline(always)]
    pub(crate) fn take(self, span: Span) -> (Part<'a>, Carver<'a, (Span, S)>) {
        span.check_inside(self.bytes);
        self.taken.check_apart(&span);
        let Carver { base, bytes, taken, borrow } = self;
        (Part { base, span, borrow }, Carver { base, bytes, taken: (span, taken), borrow })
    }

    #[inline(always)]
    pub(crate) fn take_all<const K: usize>(self, spans: [Span; K]) -> ([Part<'a>; K], Carver<'a, ([Span; K], S)>) {
        for (i, span) in spans.iter().enumerate() {
            span.check_inside(self.bytes);
            self.taken.check_apart(span);
            spans[..i].iter().for_each(|other| other.check_apart(span));
        }
        let Carver { base, bytes, taken, borrow } = self;
        (spans.map(|span| Part { base, span, borrow }), Carver { base, bytes, taken: (spans, taken), borrow })
    }
}

/// Spans that are inside the arena. A type for each number of them instead of a list: no loop stands in the way
/// of folding the checks, even where LLVM does not unroll.
pub(crate) trait Spans {
    /// Panics if one of them must not overlap `span`, and does.
    fn check_apart(&self, span: &Span);
}

impl Spans for () {
    #[inline(always)]
    fn check_apart(&self, _: &Span) {}
}

impl<S: Spans> Spans for (Span, S) {
    #[inline(always)]
    fn check_apart(&self, span: &Span) {
        self.0.check_apart(span);
        self.1.check_apart(span);
    }
}

impl<S: Spans, const K: usize> Spans for ([Span; K], S) {
    #[inline(always)]
    fn check_apart(&self, span: &Span) {
        self.0.iter().for_each(|other| other.check_apart(span));
        self.1.check_apart(span);
    }
}

/// A range of an arena's bytes, and whether it is to be written.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct Span {
    pub(crate) start: usize,
    pub(crate) bytes: usize,
    pub(crate) writes: bool,
}

impl Span {
    #[inline(always)]
    fn check_inside(&self, arena_bytes: usize) {
        assert!(self.start <= arena_bytes && self.bytes <= arena_bytes - self.start, "a slot ends outside the arena");
    }

    /// Both spans must be inside the arena already, so that the sums cannot overflow.
    #[inline(always)]
    fn check_apart(&self, other: &Span) {
        let apart = self.start + self.bytes <= other.start || other.start + other.bytes <= self.start;
        assert!(apart || !(self.writes || other.writes), "a slot that is written overlaps another");
    }
}

/// The right to read, or to write, one span of an arena for `'a`.
///
/// Invariants: `base` points to a live arena of which `span` lies inside; during `'a` nobody writes these bytes,
/// and if `span.writes`, nobody else reads them either. Not `Copy`: a part is opened once.
#[doc(hidden)]
#[derive(Debug)]
pub struct Part<'a> {
    base: *mut u8,
    span: Span,
    borrow: PhantomData<&'a mut [u8]>,
}

impl<'a> Part<'a> {
    #[inline(always)]
    pub(crate) fn slice<T: Element>(self) -> &'a [T] {
        let len = self.elements::<T>();
        // SAFETY: `elements` checked alignment and that the span holds exactly `len` elements; any initialized
        // bytes are a `T`, as `Element` is sealed; the invariants give shared access for 'a.
        unsafe { slice::from_raw_parts(self.base.add(self.span.start).cast_const().cast::<T>(), len) }
    }

    #[inline(always)]
    pub(crate) fn slice_mut<T: Element>(self) -> &'a mut [T] {
        assert!(self.span.writes, "the slot is for reading");
        let len = self.elements::<T>();
        // SAFETY: as in `slice`; `span.writes` and the invariants give exclusive access for 'a, and the base came
        // from `&mut Arena`, as `Arena::part` refuses spans that are written.
        unsafe { slice::from_raw_parts_mut(self.base.add(self.span.start).cast::<T>(), len) }
    }

    #[inline(always)]
    pub(crate) fn array<T: Element, const N: usize>(self) -> &'a [T; N] {
        self.slice().try_into().expect("the span has N elements")
    }

    #[inline(always)]
    pub(crate) fn array_mut<T: Element, const N: usize>(self) -> &'a mut [T; N] {
        self.slice_mut().try_into().expect("the span has N elements")
    }

    /// The number of `T`s in the span.
    #[inline(always)]
    fn elements<T: Element>(&self) -> usize {
        // The base is 16-byte aligned, so the offset decides.
        const { assert!(align_of::<T>() <= align_of::<Arena<0>>()) };
        assert!(self.span.start.is_multiple_of(align_of::<T>()), "misaligned slot");
        assert!(self.span.bytes.is_multiple_of(size_of::<T>()), "a slot holds whole elements");
        self.span.bytes / size_of::<T>()
    }
}

/// A type that an arena can hold: any bits are a value, and it is aligned to at most 16 bytes.
pub trait Element: Copy + sealed::Sealed + 'static {}

macro_rules! element {
    ($($type:ident)*) => {$(
        impl sealed::Sealed for $type {}
        impl Element for $type {}
    )*};
}

element!(i8 u8 i16 u16 i32 u32 i64 u64 f32);

mod sealed {
    pub trait Sealed {}
}
