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
/// What the network says: for each cell, how likely it is each of these.
pub type Scores = [i8; CELLS * CELLS * CLASSES];

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

/// The integer that stands for each pixel, from black to white: the network takes reals from 0 to 1.
static SHADES: [i8; 256] = {
    let mut shades = [0; 256];
    let mut pixel = 0;
    while pixel < shades.len() {
        shades[pixel] = Digits::INPUT_QUANTIZATION.quantize(pixel as f32 / 255.0);
        pixel += 1;
    }
    shades
};

/// The network. All the RAM it takes is in here; no float is computed.
pub struct Detector {
    network: Digits,
}

impl Detector {
    /// A detector that has seen nothing.
    pub const fn new() -> Self {
        Self { network: Digits::new() }
    }

    /// The digits in an image, from the surest on, and what the network said about all cells.
    pub fn look(&mut self, pixels: &[u8]) -> (impl Iterator<Item = Digit>, &Scores) {
        for (value, &pixel) in self.network.input_mut().iter_mut().zip(pixels) {
            *value = SHADES[usize::from(pixel)];
        }
        let scores = self.network.run();
        (digits(scores), scores)
    }
}

/// The digits that scores speak of, from the surest on.
fn digits(scores: &Scores) -> impl Iterator<Item = Digit> + use<> {
    let mut found = [None; CELLS * CELLS];
    let mut count = 0;
    let mut cells: [usize; CELLS * CELLS] = core::array::from_fn(|cell| cell);
    let surest = |cell: &usize| most_likely(scores, *cell).1;
    // By insertion, which leaves equals in their order; there are few.
    for end in 1..cells.len() {
        let place = (0..end).find(|&place| surest(&cells[place]) < surest(&cells[end])).unwrap_or(end);
        cells[place..=end].rotate_right(1);
    }
    for cell in cells {
        let (class, _) = most_likely(scores, cell);
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

/// What a cell holds most likely, and how likely.
fn most_likely(scores: &Scores, cell: usize) -> (u8, i8) {
    let scores = &scores[cell * CLASSES..][..CLASSES];
    let class = example_board::best(scores);
    (class as u8, scores[class])
}
