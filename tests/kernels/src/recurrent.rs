//! Recurrent layers: four units at a time against one unit after the other, which has loops of its own.

use core::array;

use mcuopt_rt::v0::{CellsS8, GatesS8, Recurrent, lstm_s8};

use crate::memory::Memory;
use crate::random::Random;
use crate::trial::{Kernel, Subject, Trial};

/// Units at most.
const HIDDEN: usize = 12;

/// A step from zeros, in which a unit knows nothing of the others.
pub fn lstm(memory: &mut Memory, random: &mut Random, trial: &mut Trial) {
    let p = Recurrent {
        steps: 1,
        batch: 1,
        inputs: random.size(1, 90),
        hidden: random.size(4, HIDDEN),
        directions: 1,
        reverse: false,
        sequence: true,
        last: false,
        state: false,
        stateful: false,
    };
    let q = GatesS8 { input_shift: 0, hidden_shift: 0, hidden_bits: 7, clip: i32::MAX };
    let cells = CellsS8 { bits: 12, peephole_bits: 12, input_forget: random.once_in(4) };
    let Memory { constants, x, b, expected, fields } = memory;
    let (x, expected) = (&mut x[..p.inputs], &mut expected[..p.hidden]);
    random.fill(x);
    // At any alignment.
    let w = &mut b.0[random.size(0, 3)..][..4 * p.hidden * p.inputs];
    random.fill(w);
    let r = &mut constants.weights[..4 * p.hidden * p.hidden];
    random.fill(r);
    let (bias, multipliers) = (&mut constants.bias[..4 * p.hidden], &mut constants.multipliers[..4 * p.hidden]);
    bias.fill_with(|| random.range(-10_000, 10_000));
    multipliers.fill_with(|| random.range(1 << 20, 1 << 29));
    let one = Recurrent { hidden: 1, ..p };
    for (unit, y) in expected.iter_mut().enumerate() {
        // Its four rows.
        let rows: [usize; 4] = array::from_fn(|gate| gate * p.hidden + unit);
        let own = &mut constants.weight_bytes[..4 * p.inputs];
        for (gate, row) in rows.into_iter().enumerate() {
            let from = w[row * p.inputs..][..p.inputs].iter();
            own[gate * p.inputs..][..p.inputs].iter_mut().zip(from).for_each(|(to, from)| *to = *from as u8);
        }
        let mut own_w = [0; 4 * 90];
        own_w.iter_mut().zip(&*own).for_each(|(to, from)| *to = *from as i8);
        let (own_bias, own_multipliers) = (rows.map(|row| bias[row]), rows.map(|row| multipliers[row]));
        let mut result = [0];
        let own_w = &own_w[..4 * p.inputs];
        lstm_s8(
            &one,
            &q,
            &cells,
            own_w,
            &own_bias,
            &own_multipliers,
            &[0; 4],
            &[0; 4],
            &[],
            x,
            &mut result,
            &mut [0; 2],
        );
        *y = result[0];
    }
    let subject = Subject { layer: &(p, q, cells), x, expected, element: 1 };
    let scratch_bytes = 4 * p.lstm_s8_words();
    trial.apart(Kernel::named("lstm_s8"), &subject, scratch_bytes, fields, random, |x, y, scratch| {
        lstm_s8(&p, &q, &cells, w, bias, multipliers, r, multipliers, &[], x, y, scratch);
    });
}
