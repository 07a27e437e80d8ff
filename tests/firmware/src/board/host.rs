//! The machine that builds: files of the working directory, and the list of layers on standard output.

use std::ffi::CStr;
use std::fs::File;
pub use std::io::{Error, Read, Write};

use mcuopt_rt::Model;

use crate::Chosen;

/// Runs the network, then prints each layer: name, operator, kernel, multiply-accumulates, weight bytes, output bytes,
/// apart by tabs.
pub fn main() -> Result<(), Error> {
    crate::drive::run(Box::new(Chosen::new()).as_mut())?;
    for layer in <Chosen as Model>::LAYERS {
        let mcuopt_rt::Layer { name, op, kernel, remark: _, macs, weight_bytes, output_bytes } = layer;
        println!("{name}\t{op}\t{kernel}\t{macs}\t{weight_bytes}\t{output_bytes}");
    }
    Ok(())
}

/// Opens a file for reading.
pub fn open(name: &CStr) -> Result<File, Error> {
    File::open(path(name))
}

/// Creates or empties a file.
pub fn create(name: &CStr) -> Result<File, Error> {
    File::create(path(name))
}

fn path(name: &CStr) -> &str {
    name.to_str().unwrap_or_default()
}
