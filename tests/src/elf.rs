//! What a program takes of a chip's memories.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use object::{Architecture, Object, ObjectSection, ObjectSymbol, SectionFlags, SymbolKind, elf};

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

/// A function of a linked program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// Its mangled name.
    pub symbol: String,
    /// Bytes of its code.
    pub bytes: u64,
    /// Where the markers are that firmware for counting has in front of the first layer and behind each.
    pub marks: Vec<u64>,
}

/// The instructions that mark the start of an inference and the end of a layer, little-endian: `mov r9, r9` and
/// `mov r11, r11`, or `slti x0, x0, 1` and `slti x0, x0, 3`.
const MARKS: [(Architecture, [&[u8]; 2]); 2] = [
    (Architecture::Arm, [&[0xc9, 0x46], &[0xdb, 0x46]]),
    (Architecture::Riscv32, [&[0x13, 0x20, 0x10, 0x00], &[0x13, 0x20, 0x30, 0x00]]),
];

/// The functions of a program, those with several names once.
pub fn functions(program: &Path) -> Vec<Function> {
    let bytes = fs::read(program).expect("the program was built");
    let file = object::File::parse(&*bytes).expect("the program is an ELF file");
    let (_, marks) =
        MARKS.into_iter().find(|(architecture, _)| *architecture == file.architecture()).expect("a chip's");
    let mut functions: BTreeMap<u64, Function> = BTreeMap::new();
    for symbol in file.symbols().filter(|symbol| symbol.kind() == SymbolKind::Text && symbol.size() > 0) {
        // The lowest bit of a Thumb function's address says that it is one.
        let address = if file.architecture() == Architecture::Arm { symbol.address() & !1 } else { symbol.address() };
        let code = symbol.section_index().and_then(|index| file.section_by_index(index).ok());
        let code = code.and_then(|section| section.data_range(address, symbol.size()).ok().flatten());
        let is_mark = |at: &usize| code.is_some_and(|code| marks.iter().any(|mark| code[*at..].starts_with(mark)));
        let marks = (0..symbol.size() as usize).step_by(2).filter(is_mark).map(|at| at as u64).collect();
        let name = symbol.name().expect("names are text").to_string();
        functions.entry(address).or_insert(Function { symbol: name, bytes: symbol.size(), marks });
    }
    functions.into_values().collect()
}
