//! What a program takes of a chip's memories.

use std::fs;
use std::path::Path;

use object::{Object, ObjectSection, SectionFlags, elf};

/// Bytes of a linked program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// Code, constants and the initial values of variables.
    pub flash: u64,
    /// Variables, initialised or not, without the stack.
    pub ram: u64,
}

impl Sizes {
    /// Adds up the sections of an ELF file.
    pub fn of(program: &Path) -> Self {
        let bytes = fs::read(program).expect("the program was built");
        let file = object::File::parse(&*bytes).expect("the program is an ELF file");
        let mut sizes = Sizes::default();
        for section in file.sections() {
            let SectionFlags::Elf { sh_flags, .. } = section.flags() else { continue };
            let has = |flag: u32| sh_flags & u64::from(flag) != 0;
            // The linker scripts reserve the stack and the heap as a section without content: not the program's.
            let reserved = matches!(section.name(), Ok(".stack" | ".heap"));
            if !has(elf::SHF_ALLOC) || reserved {
                continue;
            }
            if section.kind() != object::SectionKind::UninitializedData {
                sizes.flash += section.size();
            }
            if has(elf::SHF_WRITE) {
                sizes.ram += section.size();
            }
        }
        sizes
    }
}
