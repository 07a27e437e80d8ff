//! Constants from byte strings.
//!
//! Generated code holds weights as byte-string literals, which rustc reads far faster than one token for each
//! element, and turns them into typed statics at compile time:
//!
//! ```
//! use mcuopt_rt::weights::{Aligned, i8s, i32s};
//! static WEIGHTS: Aligned<[i8; 4]> = i8s(b"\x01\x02\xff\x80");
//! static BIAS: Aligned<[i32; 1]> = i32s(b"\x00\x01\x00\x00");
//! assert_eq!(*WEIGHTS, [1, 2, -1, -128]);
//! assert_eq!(*BIAS, [256]);
//! ```

use core::ops::Deref;

use crate::arch::memory;

/// A value aligned to 16 bytes, so that kernels may load its elements by the word or vector.
#[repr(C, align(16))]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Aligned<T>(pub T);

impl<T> Deref for Aligned<T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        &self.0
    }
}

/// int8 values as generated code writes them down: the compiler asks for kernels with weights of megabytes, which it would
/// have to copy otherwise.
pub const fn as_bytes(values: &[i8]) -> &[u8] {
    memory::u8s(values)
}

/// `N` int8 values, a byte each.
pub const fn i8s<const N: usize>(bytes: &[u8; N]) -> Aligned<[i8; N]> {
    let mut values = [0; N];
    let mut i = 0;
    while i < N {
        values[i] = bytes[i] as i8;
        i += 1;
    }
    Aligned(values)
}

/// A function from `B` little-endian bytes to `N` elements, and its size check.
macro_rules! from_bytes {
    ($name:ident, $type:ident, $doc:literal) => {
        #[doc = $doc]
        ///
        /// # Panics
        /// If `B` is not `N` times the element's size: an error of the build where the result is a static.
        pub const fn $name<const B: usize, const N: usize>(bytes: &[u8; B]) -> Aligned<[$type; N]> {
            const SIZE: usize = size_of::<$type>();
            assert!(B == N * SIZE, "the byte string is not N elements long");
            let mut values = [0 as $type; N];
            let (elements, _) = bytes.as_chunks::<SIZE>();
            let mut i = 0;
            while i < N {
                values[i] = $type::from_le_bytes(elements[i]);
                i += 1;
            }
            Aligned(values)
        }
    };
}

from_bytes!(i16s, i16, "`N` little-endian `i16` values.");
from_bytes!(i32s, i32, "`N` little-endian `i32` values.");
from_bytes!(i64s, i64, "`N` little-endian `i64` values.");
from_bytes!(u8s, u8, "`N` bytes as they are.");
from_bytes!(u16s, u16, "`N` little-endian `u16` values.");
from_bytes!(u32s, u32, "`N` little-endian `u32` values.");
from_bytes!(u64s, u64, "`N` little-endian `u64` values.");
from_bytes!(f32s, f32, "`N` little-endian `f32` values.");
