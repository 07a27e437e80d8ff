//! What the workspace's own tests have in common: models to try, the compiler's answer to them, and machines to run
//! that answer on.
//!
//! * [`shared`]: the reference models and their test data, which lie outside the repository; [`synthetic`]: small
//!   models made on the spot, which need nothing.
//! * [`case`]: one model compiled in one way. [`firmware`]: a case as a program, for a chip or for the host.
//!   [`board`]: the emulated chips.
//! * [`kernels`]: the kernels alone, compared with their definitions on the emulated chips.
//! * [`conformance`]: ONNX's own tests, on the host. [`examples`]: an example of each operator, likewise.
//! * [`metric`]: how good an answer is. [`counts`] and [`elf`]: what it costs.
//! * [`skip`]: what happens where QEMU or the models are missing.
//!
//! This is test code: where something fails, it panics and says what.

pub mod board;
pub mod case;
pub mod conformance;
pub mod counts;
pub mod elf;
pub mod examples;
pub mod exported;
pub mod firmware;
pub mod folder;
pub mod kernels;
pub mod metric;
pub mod report;
pub mod shared;
pub mod skip;
pub mod synthetic;
pub mod test_set;
mod workshop;
