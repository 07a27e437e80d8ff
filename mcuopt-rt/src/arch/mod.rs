//! The only module with unsafe code: typed views of memory, and kernel bodies for one instruction set.

#![allow(unsafe_code)]

pub(crate) mod memory;
