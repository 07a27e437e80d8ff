//! What a program takes of flash and RAM.

use mcuopt_rt::Model;

/// Says what the linker placed where, and how much of it is the network's.
#[cfg(target_os = "none")]
pub fn report<M: Model>(what: &str) {
    let (flash, ram) = linker::sizes();
    crate::println!("{what}");
    crate::println!("flash   {flash:7} bytes, of which network {}", M::WEIGHT_BYTES);
    crate::println!("RAM     {ram:7} bytes and the stack, of which network {}", M::RAM_BYTES);
    crate::println!("network {:7} multiply-accumulates", M::MACS);
}

/// Says what the network takes; the rest of a program is of no interest on a computer.
#[cfg(not(target_os = "none"))]
pub fn report<M: Model>(what: &str) {
    crate::println!("{what}");
    crate::println!("network {:7} multiply-accumulates", M::MACS);
}

/// Taking the address of a linker's symbol is all that may be done with it.
#[cfg(target_os = "none")]
macro_rules! address {
    ($symbol:ident) => {
        core::ptr::addr_of!($symbol) as usize
    };
}

/// The symbols of cortex-m-rt.
#[cfg(target_arch = "arm")]
mod linker {
    unsafe extern "C" {
        static __vector_table: u32;
        static __sidata: u32;
        static __sdata: u32;
        static __edata: u32;
        static __sbss: u32;
        static __euninit: u32;
    }

    /// Bytes of flash and of statics.
    pub(super) fn sizes() -> (usize, usize) {
        let data = address!(__edata) - address!(__sdata);
        (address!(__sidata) + data - address!(__vector_table), data + address!(__euninit) - address!(__sbss))
    }
}

/// The symbols of riscv-rt.
#[cfg(target_arch = "riscv32")]
mod linker {
    unsafe extern "C" {
        static __stext: u32;
        static __sidata: u32;
        static __sdata: u32;
        static __edata: u32;
        static __sbss: u32;
        static __ebss: u32;
    }

    /// Bytes of flash and of statics.
    pub(super) fn sizes() -> (usize, usize) {
        let data = address!(__edata) - address!(__sdata);
        (address!(__sidata) + data - address!(__stext), data + address!(__ebss) - address!(__sbss))
    }
}
