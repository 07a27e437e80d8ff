//! Pools over int8, four channels at a time.

/// Cells of a window: `rows` rows of `columns` cells.
#[derive(Clone, Copy)]
pub(crate) struct Cells {
    /// The first cell's place in the tensor.
    pub(crate) first: usize,
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    /// From a cell to the next one in its row, and to the one below.
    pub(crate) column_step: usize,
    pub(crate) row_step: usize,
}

impl Cells {
    /// Whether four channels of every cell lie in a tensor of `len` elements.
    #[inline(always)]
    fn are_inside(&self, len: usize) -> bool {
        let last = self.first + (self.rows - 1) * self.row_step + (self.columns - 1) * self.column_step;
        last + 4 <= len
    }

    /// Calls `f` with four channels of each cell.
    ///
    /// # Panics
    /// If a cell is outside.
    #[inline(always)]
    fn for_each(&self, x: &[i8], mut f: impl FnMut(u32)) {
        if self.rows == 0 || self.columns == 0 {
            return;
        }
        assert!(self.are_inside(x.len()), "a cell outside the image");
        let mut row = x[self.first..].as_ptr();
        for _ in 0..self.rows {
            let mut cell = row;
            for _ in 0..self.columns {
                // SAFETY: the cell is inside, as the last one is.
                unsafe {
                    f(cell.cast::<u32>().read_unaligned());
                    cell = cell.wrapping_add(self.column_step);
                }
            }
            row = row.wrapping_add(self.row_step);
        }
    }
}

/// The sums of four channels over at most 255 cells, which fit int16.
#[inline(never)]
pub(crate) fn sum(cells: &Cells, x: &[i8]) -> [i32; 4] {
    let (mut even, mut odd) = (0u32, 0u32);
    cells.for_each(x, |word| {
        // SAFETY: only registers are touched.
        unsafe {
            dsp_asm!(asm: "sxtab16 {0}, {0}, {1}", inlateout(reg) even, in(reg) word,
                options(pure, nomem, nostack, preserves_flags));
            dsp_asm!(asm: "sxtab16 {0}, {0}, {1}, ror #8", inlateout(reg) odd, in(reg) word,
                options(pure, nomem, nostack, preserves_flags));
        }
    });
    [even as i16, odd as i16, (even >> 16) as i16, (odd >> 16) as i16].map(i32::from)
}

/// The largest elements of four channels; −128 where there are no cells.
#[inline(never)]
pub(crate) fn max(cells: &Cells, x: &[i8]) -> [i8; 4] {
    let mut max = 0x8080_8080u32;
    cells.for_each(x, |word| {
        // SAFETY: only registers and the GE flags are touched.
        unsafe {
            dsp_asm!(asm: "ssub8 {2}, {0}, {1}", "sel {0}, {0}, {1}", inlateout(reg) max, in(reg) word,
                out(reg) _, options(pure, nomem, nostack));
        }
    });
    max.to_le_bytes().map(|byte| byte as i8)
}
