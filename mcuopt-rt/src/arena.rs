//! The memory of a model: one block of bytes, in which the compiler has given every tensor a place.
//!
//! Generated code names places as [`Slot`]s in `const` items and asks the [`Arena`] for the views that a layer
//! needs at once. Overlap, bounds and alignment are asserted; as slots are constants, the assertions fold away.
//!
//! ```
//! use mcuopt_rt::arena::{Arena, Slot};
//! const X: Slot<i8, 8> = Slot::at(0);
//! const SUM: Slot<i32, 2> = Slot::at(8);
//! let mut arena = Arena::<16>::new();
//! arena.write(X)[3] = 5;
//! let (x, sum) = arena.views((X.read(), SUM.write()));
//! sum[0] = x.iter().map(|&x| i32::from(x)).sum();
//! assert_eq!(arena.read(SUM), &[5, 0]);
//! ```

use core::marker::PhantomData;

pub use crate::arch::memory::{Arena, Element};
#[doc(hidden)]
pub use crate::arch::memory::{Part, Span};

/// `N` elements of `T` at a fixed place in an [`Arena`].
#[derive(Debug, PartialEq)]
pub struct Slot<T, const N: usize> {
    byte_offset: usize,
    element: PhantomData<T>,
}

// Not derived: that would ask for `T: Clone`.
impl<T, const N: usize> Copy for Slot<T, N> {}
impl<T, const N: usize> Clone for Slot<T, N> {
    #[inline(always)]
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: Element, const N: usize> Slot<T, N> {
    /// The slot that begins `byte_offset` bytes into the arena.
    ///
    /// # Panics
    /// If the offset is not a multiple of the element's alignment: an error of the build in a `const`.
    #[inline(always)]
    pub const fn at(byte_offset: usize) -> Self {
        assert!(byte_offset.is_multiple_of(align_of::<T>()), "misaligned slot");
        Slot { byte_offset, element: PhantomData }
    }

    /// To be read by a layer.
    #[inline(always)]
    pub const fn read(self) -> Read<T, N> {
        Read(self)
    }

    /// To be written by a layer.
    #[inline(always)]
    pub const fn write(self) -> Write<T, N> {
        Write(self)
    }

    /// The same place with its length as a value, for layers with any number of operands.
    #[inline(always)]
    pub const fn erase(self) -> SliceSlot<T> {
        SliceSlot { byte_offset: self.byte_offset, len: N, element: PhantomData }
    }
}

/// `len` elements of `T` at a fixed place in an [`Arena`]; made by [`Slot::erase`].
#[derive(Debug, PartialEq)]
pub struct SliceSlot<T> {
    byte_offset: usize,
    len: usize,
    element: PhantomData<T>,
}

impl<T> Copy for SliceSlot<T> {}
impl<T> Clone for SliceSlot<T> {
    #[inline(always)]
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: Element> SliceSlot<T> {
    #[inline(always)]
    const fn span(self, writes: bool) -> Span {
        Span { start: self.byte_offset, bytes: self.len * size_of::<T>(), writes }
    }
}

/// A slot that a layer reads; it becomes `&[T; N]` in [`Arena::views`].
#[derive(Debug, PartialEq)]
pub struct Read<T, const N: usize>(Slot<T, N>);

/// A slot that a layer writes; it becomes `&mut [T; N]` in [`Arena::views`].
#[derive(Debug, PartialEq)]
pub struct Write<T, const N: usize>(Slot<T, N>);

/// A [`Read`] or a [`Write`].
pub trait View: sealed::Sealed {
    /// The reference that it becomes.
    type Out<'a>;
    #[doc(hidden)]
    fn span(&self) -> Span;
    #[doc(hidden)]
    fn open(self, part: Part<'_>) -> Self::Out<'_>;
}

impl<T: Element, const N: usize> View for Read<T, N> {
    type Out<'a> = &'a [T; N];

    #[inline(always)]
    fn span(&self) -> Span {
        self.0.erase().span(false)
    }

    #[inline(always)]
    fn open(self, part: Part<'_>) -> Self::Out<'_> {
        part.array()
    }
}

impl<T: Element, const N: usize> View for Write<T, N> {
    type Out<'a> = &'a mut [T; N];

    #[inline(always)]
    fn span(&self) -> Span {
        self.0.erase().span(true)
    }

    #[inline(always)]
    fn open(self, part: Part<'_>) -> Self::Out<'_> {
        part.array_mut()
    }
}

/// A tuple of one to eight [`View`]s.
pub trait Views: sealed::Sealed {
    /// The tuple of references that it becomes.
    type Out<'a>;
    #[doc(hidden)]
    fn open<const BYTES: usize>(self, arena: &mut Arena<BYTES>) -> Self::Out<'_>;
}

macro_rules! views {
    ($($view:ident $part:ident)*) => {
        impl<$($view: View),*> sealed::Sealed for ($($view,)*) {}
        impl<$($view: View),*> Views for ($($view,)*) {
            type Out<'a> = ($($view::Out<'a>,)*);

            #[inline(always)]
            #[allow(non_snake_case)]
            fn open<const BYTES: usize>(self, arena: &mut Arena<BYTES>) -> Self::Out<'_> {
                let ($($view,)*) = self;
                let carver = arena.carve();
                $(let ($part, carver) = carver.take($view.span());)*
                let _ = carver;
                ($($view.open($part),)*)
            }
        }
    };
}

views!(A a);
views!(A a B b);
views!(A a B b C c);
views!(A a B b C c D d);
views!(A a B b C c D d E e);
views!(A a B b C c D d E e F f);
views!(A a B b C c D d E e F f G g);
views!(A a B b C c D d E e F f G g H h);

impl<const BYTES: usize> Arena<BYTES> {
    /// The elements of one slot.
    ///
    /// # Panics
    /// If the slot ends outside the arena.
    #[inline(always)]
    pub fn read<T: Element, const N: usize>(&self, slot: Slot<T, N>) -> &[T; N] {
        self.part(slot.erase().span(false)).array()
    }

    /// The elements of one slot, to be changed.
    ///
    /// # Panics
    /// If the slot ends outside the arena.
    #[inline(always)]
    pub fn write<T: Element, const N: usize>(&mut self, slot: Slot<T, N>) -> &mut [T; N] {
        let (part, _) = self.carve().take(slot.erase().span(true));
        part.array_mut()
    }

    /// All that a layer reads and writes at once: `arena.views((A.read(), B.read(), C.write()))` gives
    /// `(&[T; N], &[U; M], &mut [V; K])`.
    ///
    /// # Panics
    /// If a slot ends outside the arena, or one that is written overlaps any other. Reads may overlap reads.
    #[inline(always)]
    pub fn views<V: Views>(&mut self, views: V) -> V::Out<'_> {
        views.open(self)
    }

    /// As [`views`](Self::views), for any number of inputs of one type and one output (Concat).
    ///
    /// # Panics
    /// As [`views`](Self::views).
    #[inline(always)]
    pub fn many_to_one<T: Element, U: Element, const K: usize, const N: usize>(
        &mut self,
        reads: [SliceSlot<T>; K],
        write: Write<U, N>,
    ) -> ([&[T]; K], &mut [U; N]) {
        let (write, rest) = self.carve().take(write.span());
        let (reads, _) = rest.take_all(reads.map(|slot| slot.span(false)));
        (reads.map(Part::slice), write.array_mut())
    }

    /// As [`views`](Self::views), for one input and any number of outputs of one type (Split).
    ///
    /// # Panics
    /// As [`views`](Self::views).
    #[inline(always)]
    pub fn one_to_many<T: Element, U: Element, const N: usize, const K: usize>(
        &mut self,
        read: Read<T, N>,
        writes: [SliceSlot<U>; K],
    ) -> (&[T; N], [&mut [U]; K]) {
        let (read, rest) = self.carve().take(read.span());
        let (writes, _) = rest.take_all(writes.map(|slot| slot.span(true)));
        (read.array(), writes.map(Part::slice_mut))
    }
}

mod sealed {
    use super::{Element, Read, Write};

    pub trait Sealed {}
    impl<T: Element, const N: usize> Sealed for Read<T, N> {}
    impl<T: Element, const N: usize> Sealed for Write<T, N> {}
}
