//! From the cheapest network to the most exact one, a layer at a time.

/// A way to compute a layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Choice {
    /// What it costs, in any unit.
    pub cost: f64,
    /// What it does to the network's outputs: energy of the error by energy of the signal.
    pub noise: f64,
}

/// Assignments, for each layer the position of a choice, in ascending order of cost and descending order of noise.
///
/// The first takes the cheapest choice of each layer. Each further one improves one layer, the one whose noise falls most
/// for what it costs, along the lower convex hull of its choices: the linear relaxation of the multiple-choice knapsack
/// problem (Sinha and Zoltners, "The Multiple-Choice Knapsack Problem", 1979), in which noises of layers add up as those of
/// independent errors do.
pub fn ladder(layers: &[Vec<Choice>]) -> Vec<Vec<usize>> {
    let hulls: Vec<Vec<usize>> = layers.iter().map(|choices| hull(choices)).collect();
    let mut steps: Vec<(f64, usize, usize)> = Vec::new();
    for (layer, hull) in hulls.iter().enumerate() {
        for pair in hull.windows(2) {
            steps.push((slope(&layers[layer], pair[0], pair[1]), layer, pair[1]));
        }
    }
    // Slopes along a hull fall, so that steps of one layer stay in order.
    steps.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut rungs = vec![hulls.iter().map(|hull| hull.first().copied().unwrap_or(0)).collect::<Vec<usize>>()];
    for (_, layer, choice) in steps {
        let mut next = rungs[rungs.len() - 1].clone();
        next[layer] = choice;
        rungs.push(next);
    }
    rungs
}

/// How much noise falls for each unit of cost.
fn slope(choices: &[Choice], from: usize, to: usize) -> f64 {
    (choices[from].noise - choices[to].noise) / (choices[to].cost - choices[from].cost)
}

/// The choices on the lower convex hull, from the cheapest on; none costs more than another that is as exact.
fn hull(choices: &[Choice]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..choices.len()).collect();
    order.sort_by(|&a, &b| {
        choices[a].cost.total_cmp(&choices[b].cost).then(choices[a].noise.total_cmp(&choices[b].noise))
    });
    let mut hull: Vec<usize> = Vec::new();
    for choice in order {
        if hull.last().is_some_and(|&last| choices[choice].noise >= choices[last].noise) {
            continue;
        }
        while let [.., before, last] = hull[..] {
            if slope(choices, before, last) > slope(choices, last, choice) {
                break;
            }
            hull.pop();
        }
        hull.push(choice);
    }
    hull
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choice(cost: f64, noise: f64) -> Choice {
        Choice { cost, noise }
    }

    #[test]
    fn steps_with_the_most_for_their_cost_come_first() {
        let cheap_gain = vec![choice(1.0, 8.0), choice(2.0, 1.0)];
        let dear_gain = vec![choice(1.0, 8.0), choice(8.0, 1.0)];
        assert_eq!(ladder(&[dear_gain, cheap_gain]), [[0, 0], [0, 1], [1, 1]]);
    }

    #[test]
    fn what_costs_more_and_is_no_better_is_never_taken() {
        let choices = vec![choice(3.0, 4.0), choice(1.0, 4.0), choice(2.0, 5.0), choice(4.0, 0.0)];
        assert_eq!(ladder(&[choices]), [[1], [3]]);
    }

    #[test]
    fn choices_above_the_hull_are_skipped() {
        let choices = vec![choice(0.0, 10.0), choice(5.0, 9.0), choice(6.0, 1.0)];
        assert_eq!(ladder(&[choices]), [[0], [2]]);
    }

    /// Against all assignments: no rung is dearer than another assignment with at most its noise, where both lie on the
    /// hull of the whole problem.
    #[test]
    fn rungs_are_the_cheapest_for_their_noise() {
        let mut seed = 1u64;
        let mut next = || {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (seed >> 33) as f64 / (1u64 << 31) as f64
        };
        for _ in 0..50 {
            let layers: Vec<Vec<Choice>> = (0..4).map(|_| (0..3).map(|_| choice(next(), next())).collect()).collect();
            let sums = |assignment: &[usize]| {
                let chosen = assignment.iter().zip(&layers).map(|(&choice, layer)| layer[choice]);
                chosen.fold((0.0, 0.0), |sum, choice| (sum.0 + choice.cost, sum.1 + choice.noise))
            };
            for rung in ladder(&layers) {
                let (cost, noise) = sums(&rung);
                for code in 0..81usize {
                    let other: Vec<usize> = (0..4).map(|layer| code / 3usize.pow(layer) % 3).collect();
                    let (other_cost, other_noise) = sums(&other);
                    assert!(other_noise > noise - 1e-12 || other_cost > cost - 1e-12, "{rung:?} {other:?}");
                }
            }
        }
    }
}
