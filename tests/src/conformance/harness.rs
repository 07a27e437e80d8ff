//! A program with many models: runs the one that its argument names on the inputs' bytes from standard input, and
//! writes the outputs' bytes to standard output.

use std::io::{Read, Write};
use std::sync::Mutex;

trait Element: Sized {
    fn read(bytes: &[u8]) -> Self;
    fn write(&self, results: &mut Vec<u8>);
}

macro_rules! elements {
    ($($type:ty)+) => {$(
        impl Element for $type {
            fn read(bytes: &[u8]) -> Self {
                Self::from_le_bytes(bytes.try_into().unwrap())
            }

            fn write(&self, results: &mut Vec<u8>) {
                results.extend(self.to_le_bytes());
            }
        }
    )+};
}
elements! { f32 i8 u8 i16 u16 i32 u32 i64 u64 }

/// The next input.
fn take<T: Element, const N: usize>(bytes: &mut &[u8]) -> Box<[T; N]> {
    let (own, rest) = bytes.split_at(N * size_of::<T>());
    *bytes = rest;
    let elements: Vec<T> = own.chunks_exact(size_of::<T>()).map(T::read).collect();
    elements.into_boxed_slice().try_into().ok().unwrap()
}

trait Outputs {
    fn put(&self, results: &mut Vec<u8>);
}

impl<T: Element, const N: usize> Outputs for &[T; N] {
    fn put(&self, results: &mut Vec<u8>) {
        self.iter().for_each(|element| element.write(results));
    }
}

macro_rules! tuples {
    ($(($($name:ident)+))+) => {$(
        impl<$($name: Outputs),+> Outputs for ($($name,)+) {
            #[allow(non_snake_case)]
            fn put(&self, results: &mut Vec<u8>) {
                let ($($name,)+) = self;
                $($name.put(results);)+
            }
        }
    )+};
}
tuples! { (A B) (A B C) (A B C D) (A B C D E) (A B C D E F) (A B C D E F G) (A B C D E F G H) }

macro_rules! programs {
    ($($name:ident)*) => {
        $(mod $name;)*

        fn main() {
            let name = std::env::args().nth(1).unwrap();
            let mut bytes = Vec::new();
            std::io::stdin().read_to_end(&mut bytes).unwrap();
            let mut results = Vec::new();
            match name.as_str() {
                $(stringify!($name) => $name::run(&bytes, &mut results),)*
                _ => panic!("no model is called {name}"),
            }
            std::io::stdout().write_all(&results).unwrap();
        }
    };
}
