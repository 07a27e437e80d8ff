//! Sliding windows against lists of all frames.

mod common;

use common::Random;
use mcuopt_rt::v0::*;

#[test]
fn a_window_holds_the_last_frames() {
    let mut random = Random::new(1);
    for _ in 0..300 {
        let (outer, frames, inner) = (random.size(1, 3), random.size(1, 9), random.size(1, 5));
        let p = Slide { outer, frames, new: random.size(1, frames), inner };
        // All frames of each block: zeros before the first call.
        let mut all = vec![vec![0i8; frames * inner]; outer];
        let mut y = vec![0; outer * frames * inner];
        for _ in 0..5 {
            let x = random.i8s(outer * p.new * inner);
            for (all, x) in all.iter_mut().zip(x.chunks_exact(p.new * inner)) {
                all.extend_from_slice(x);
            }
            slide(&p, &x, &mut y);
            let expected: Vec<i8> = all.iter().flat_map(|all| all[all.len() - frames * inner..].to_vec()).collect();
            assert_eq!(y, expected, "{p:?}");
        }
    }
}
