//! All memory there is: the boards have much, and a heap would hide who writes where.

use core::ptr::addr_of_mut;
use core::slice;

/// The most weights of a layer.
pub const WEIGHTS: usize = 48 * 1024;
/// The most output channels, of a layer.
pub const OUTPUTS: usize = 512;
/// The most elements of a tensor.
pub const ELEMENTS: usize = 32 * 1024;
/// More than any kernel asks for, in words.
const WORDS: usize = 64 * 1024;

/// Aligned as an arena is, so that an offset in it is an alignment.
#[repr(align(16))]
pub struct Aligned<T>(pub T);

/// Every buffer.
pub struct Memory {
    pub constants: Constants,
    /// The inputs, once and for all.
    pub x: [i8; ELEMENTS],
    /// A second operand.
    pub b: Aligned<[i8; ELEMENTS]>,
    /// What the formula says.
    pub expected: [i8; ELEMENTS],
    pub fields: Fields,
}

/// The constants of a linear layer: as the definitions take them, as bytes, and packed.
pub struct Constants {
    pub weights: [i8; WEIGHTS],
    pub bias: [i32; OUTPUTS],
    pub multipliers: [i32; OUTPUTS],
    pub weight_bytes: [u8; WEIGHTS],
    pub bias_bytes: [u8; 4 * OUTPUTS],
    pub multiplier_bytes: [u8; 4 * OUTPUTS],
    pub packed: Aligned<[u32; WORDS]>,
}

/// What a kernel works on.
pub struct Fields {
    pub x: Aligned<[i8; ELEMENTS + 256]>,
    /// Also for input and output together.
    pub y: Aligned<[i8; 2 * ELEMENTS + 256]>,
    pub scratch: Aligned<[u32; WORDS]>,
    /// The end of the memory, once it is there: what is read behind it is a fault, on boards that have such.
    pub edge: Option<&'static mut [u32]>,
}

/// The end of the memory.
///
/// # Safety
/// To be called once.
pub unsafe fn edge() -> &'static mut [u32] {
    unsafe extern "C" {
        static mut _edge: u32;
        static mut _edge_end: u32;
    }
    let (start, end) = (addr_of_mut!(_edge), addr_of_mut!(_edge_end));
    // SAFETY: the board's memory layout gives this memory to nobody else, and the caller promises to come once.
    unsafe { slice::from_raw_parts_mut(start, (end as usize - start as usize) / size_of::<u32>()) }
}

/// Words as bytes.
pub fn bytes(words: &mut [u32]) -> &mut [i8] {
    // SAFETY: any bits are an i8.
    let (_, bytes, _) = unsafe { words.align_to_mut() };
    bytes
}

impl Memory {
    pub const fn new() -> Self {
        Memory {
            constants: Constants {
                weights: [0; WEIGHTS],
                bias: [0; OUTPUTS],
                multipliers: [0; OUTPUTS],
                weight_bytes: [0; WEIGHTS],
                bias_bytes: [0; 4 * OUTPUTS],
                multiplier_bytes: [0; 4 * OUTPUTS],
                packed: Aligned([0; WORDS]),
            },
            x: [0; ELEMENTS],
            b: Aligned([0; ELEMENTS]),
            expected: [0; ELEMENTS],
            fields: Fields {
                x: Aligned([0; ELEMENTS + 256]),
                y: Aligned([0; 2 * ELEMENTS + 256]),
                scratch: Aligned([0; WORDS]),
                edge: None,
            },
        }
    }
}
