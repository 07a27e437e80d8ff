//! Memory that is lent to a kernel, between memory that is not.

/// Elements beyond each end that are watched.
const MARGIN: usize = 64;

/// A part of a buffer. What is around it holds a pattern, which no kernel may change.
pub struct Guarded<'a, T> {
    memory: &'a mut [T],
    start: usize,
    len: usize,
}

impl<'a, T: Pattern> Guarded<'a, T> {
    /// A part that starts `offset` elements behind an aligned place, full of the pattern.
    pub fn new(memory: &'a mut [T], offset: usize, len: usize) -> Self {
        let start = MARGIN + offset;
        let memory = &mut memory[..start + len + MARGIN];
        memory.iter_mut().enumerate().for_each(|(index, element)| *element = T::at(index));
        Guarded { memory, start, len }
    }

    /// The last part of a buffer.
    pub fn last(memory: &'a mut [T], len: usize) -> Self {
        let first = memory.len() - len - MARGIN;
        let memory = &mut memory[first..];
        memory.iter_mut().enumerate().for_each(|(index, element)| *element = T::at(index));
        Guarded { memory, start: MARGIN, len }
    }

    /// The part's bytes behind a multiple of 4.
    pub fn alignment(&self) -> usize {
        self.memory[self.start..].as_ptr() as usize % 4
    }

    /// The part.
    pub fn lend(&mut self) -> &mut [T] {
        &mut self.memory[self.start..][..self.len]
    }

    /// Where, from the part's start, something else changed.
    pub fn trespass(&self) -> Option<isize> {
        let inside = self.start..self.start + self.len;
        let changed = |(index, element): (usize, &T)| !inside.contains(&index) && *element != T::at(index);
        self.memory.iter().enumerate().position(changed).map(|index| index as isize - self.start as isize)
    }
}

/// Element types with a pattern that hardly anybody would write by accident.
pub trait Pattern: Copy + PartialEq {
    /// The element at a place.
    fn at(index: usize) -> Self;
}

impl Pattern for i8 {
    fn at(index: usize) -> Self {
        (index as u8).wrapping_mul(151) as i8 ^ 0x5a
    }
}

impl Pattern for u32 {
    fn at(index: usize) -> Self {
        (index as u32 + 1).wrapping_mul(0x9e37_79b9)
    }
}
