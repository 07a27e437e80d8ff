//! From pixels to digits.

use mcuopt_macros::include_model;

include_model!(pub "digits.onnx");

/// Pixels of a side of the image.
const SIZE: usize = 40;
/// Pixels of an image.
pub const PIXELS: usize = SIZE * SIZE;
/// Pixels of a side of a cell, and cells of a side of the image.
const CELL: usize = 8;
const CELLS: usize = SIZE / CELL;
/// What a cell may hold: nothing, or one of ten digits.
const CLASSES: usize = 11;

/// A digit whose centre lies in a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digit {
    /// From 0 to 9.
    pub digit: u8,
    column: u8,
    row: u8,
}

impl Digit {
    /// One with its centre at a pixel.
    pub fn at_pixel(digit: u8, column: u8, row: u8) -> Self {
        Self { digit, column: column / CELL as u8, row: row / CELL as u8 }
    }

    /// Whether both are the same digit in the same cell or in cells that touch.
    pub fn is_same(self, other: Self) -> bool {
        self.digit == other.digit && self.column.abs_diff(other.column) <= 1 && self.row.abs_diff(other.row) <= 1
    }
}

/// The network, and what it said last. All the RAM it takes is in here.
pub struct Detector {
    image: [f32; PIXELS],
    scores: [f32; CELLS * CELLS * CLASSES],
    network: Digits,
}

impl Detector {
    /// A detector that has seen nothing.
    pub const fn new() -> Self {
        Self { image: [0.0; PIXELS], scores: [0.0; CELLS * CELLS * CLASSES], network: Digits::new() }
    }

    /// The digits in an image, from the surest on.
    pub fn look(&mut self, pixels: &[u8]) -> impl Iterator<Item = Digit> {
        for (value, &pixel) in self.image.iter_mut().zip(pixels) {
            *value = f32::from(pixel) / 255.0;
        }
        self.network.predict_into(&self.image, &mut self.scores);
        let mut found = [None; CELLS * CELLS];
        let mut count = 0;
        let mut cells: [usize; CELLS * CELLS] = core::array::from_fn(|cell| cell);
        let surest = |cell: &usize| Self::best(&self.scores, *cell).1;
        // By insertion, which leaves equals in their order; there are few.
        for end in 1..cells.len() {
            let place = (0..end).find(|&place| surest(&cells[place]) < surest(&cells[end])).unwrap_or(end);
            cells[place..=end].rotate_right(1);
        }
        for cell in cells {
            let (class, _) = Self::best(&self.scores, cell);
            let Some(digit) = class.checked_sub(1) else { continue };
            let digit = Digit { digit, column: (cell % CELLS) as u8, row: (cell / CELLS) as u8 };
            // The same one cell further is the same digit.
            if !found.iter().flatten().any(|other| digit.is_same(*other)) {
                found[count] = Some(digit);
                count += 1;
            }
        }
        found.into_iter().flatten()
    }

    /// What the network said about the last image, cell by cell.
    pub fn scores(&self) -> &[f32] {
        &self.scores
    }

    /// What a cell holds most likely, and how likely.
    fn best(scores: &[f32], cell: usize) -> (u8, f32) {
        let scores = &scores[cell * CLASSES..][..CLASSES];
        let class = example_board::best(scores);
        (class as u8, scores[class])
    }
}
