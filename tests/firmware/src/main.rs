//! Runs one compiled model over the inputs in the file `inputs` and writes what it answers to the file `outputs`,
//! both in the working directory; on a chip, the files are those of the computer behind the debugger.
//!
//! The program is the same on all emulated boards and on the host, so their outputs must be too. Which model it is,
//! the environment variable `MCUOPT_CASE` says at build time: a folder with a `case.rs` that holds what the compiler
//! emitted and a line [`network!`] about it.

#![cfg_attr(target_os = "none", no_std, no_main)]

mod board;
mod drive;
mod markers;
#[macro_use]
mod network;
mod stack;

#[cfg(not(target_os = "none"))]
use board::main;

include!(concat!(env!("MCUOPT_CASE"), "/case.rs"));
