//! What the linker and the stack say about flash and RAM.

use core::ptr::{addr_of, read_volatile};

use cortex_m_rt::STACK_PAINT_VALUE;
use kws_features::{Extractor, FEATURES, SAMPLES};
use semihosting::println;

use crate::spotter::Kws;

unsafe extern "C" {
    static __vector_table: u32;
    static __sidata: u32;
    static __sdata: u32;
    static __edata: u32;
    static __sbss: u32;
    static __euninit: u32;
    static _stack_end: u32;
    static _stack_start: u32;
}

/// Taking the address of a linker symbol is all that may be done with it.
macro_rules! address {
    ($symbol:ident) => {
        addr_of!($symbol) as usize
    };
}

pub fn report() {
    let data = address!(__edata) - address!(__sdata);
    let flash = address!(__sidata) + data - address!(__vector_table);
    let statics = data + address!(__euninit) - address!(__sbss);
    let features = size_of::<Extractor>() + size_of::<[f32; FEATURES]>();
    println!("keyword spotter on {}", env!("BOARD"));
    println!("flash   {flash:7} bytes, of which network {}", Kws::WEIGHT_BYTES);
    println!(
        "RAM     {statics:7} bytes, of which network {}, features {features}, audio {}",
        Kws::RAM_BYTES,
        size_of::<[i16; SAMPLES]>(),
    );
    println!("network {:7} multiply-accumulates a clip", Kws::MACS);
}

/// How far the stack has reached into the paint that cortex-m-rt put there.
pub fn deepest_stack() -> usize {
    let (end, start) = (address!(_stack_end), address!(_stack_start));
    let clean = (end..start)
        .step_by(size_of::<u32>())
        // SAFETY: aligned words of RAM between the linker's symbols; nothing
        // but the stack lives there, and volatile reads do not disturb it.
        .take_while(|&word| unsafe { read_volatile(word as *const u32) } == STACK_PAINT_VALUE)
        .count();
    start - end - clean * size_of::<u32>()
}
