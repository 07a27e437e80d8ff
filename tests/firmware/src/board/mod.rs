//! What differs between an emulated chip and the host: where the program starts, and who holds the files.

#[cfg(target_os = "none")]
mod semihosted;
#[cfg(target_os = "none")]
pub use semihosted::{Error, Read, Write, create, open};

#[cfg(not(target_os = "none"))]
mod host;
#[cfg(not(target_os = "none"))]
pub use host::{Error, Read, Write, create, main, open};
