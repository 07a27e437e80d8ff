//! Add, Sub, Mul and other functions of two tensors: channel for channel where an operand has channels, and all of it where it has one
//! number for all channels.

use mcuopt_rt::v0::Broadcast;

use super::kept::Kept;
use super::ties::Tie;

/// `None` where the operands' channels do not meet one to one.
pub(super) fn ties(p: &Broadcast, inputs: &[usize], outputs: usize) -> Option<Vec<Tie>> {
    let [.., row] = p.shape;
    let tie = |strides: &[usize; 4], channels: usize| match *strides {
        [.., 0] => Some(Tie::Whole),
        // Each of its rows begins with channel 0, as each row of the output does.
        [outer @ .., 1] if channels == outputs && outer.iter().all(|stride| stride.is_multiple_of(outputs)) => {
            Some(Tie::same(outputs))
        }
        _ => None,
    };
    let &[a, b] = inputs else { return None };
    if !row.is_multiple_of(outputs) {
        return None;
    }
    Some(vec![tie(&p.a_strides, a)?, tie(&p.b_strides, b)?])
}

pub(super) fn shrink(p: &mut Broadcast, y: &Kept) {
    p.shape[3] = y.scale(p.shape[3]);
    for strides in [&mut p.a_strides, &mut p.b_strides] {
        if let [outer @ .., 1] = strides {
            outer.iter_mut().for_each(|stride| *stride = y.scale(*stride));
        }
    }
}
