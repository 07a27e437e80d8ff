//! The loop over the inputs.

use crate::board::{Error, Write, create, open};
use crate::network::{Network, Outputs};
use crate::stack::Paint;

/// Answers every input in the file `inputs`, then writes the file `report`: the model's `RAM_BYTES` and
/// `WEIGHT_BYTES` and the deepest stack of its first inference, as 32-bit integers.
pub fn run<N: Network>(network: &mut N) -> Result<(), Error> {
    let mut inputs = open(c"inputs")?;
    let mut outputs = create(c"outputs")?;
    let count = inputs.metadata()?.len() / network.input_bytes() as u64;
    let mut deepest = 0;
    for index in 0..count {
        network.read_inputs(&mut inputs)?;
        // Only once: painting takes longer than a small network.
        let paint = (index == 0).then(Paint::below_here);
        let answer = network.infer();
        if let Some(paint) = paint {
            deepest = paint.depth();
        }
        answer.write(&mut outputs)?;
    }
    let mut report = create(c"report")?;
    for figure in [N::RAM_BYTES, N::WEIGHT_BYTES, deepest] {
        report.write_all(&(figure as u32).to_le_bytes())?;
    }
    Ok(())
}
