//! The program `mcuopt`, run as users run it: by its arguments, its exit codes and what it prints.

#[path = "../common/mod.rs"]
mod common;

mod browser;
mod build;
mod completions;
mod diff;
mod emulated;
mod failures;
mod inspect;
mod models;
mod program;
mod quantize;
mod report;
mod validate;
