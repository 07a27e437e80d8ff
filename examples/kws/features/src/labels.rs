/// How many scores the network gives.
pub const CLASSES: usize = 12;

/// The word behind a score. The list is shared with the training script.
#[must_use]
pub fn label(class: usize) -> &'static str {
    include_str!("../../labels.txt").lines().nth(class).unwrap_or("?")
}

/// The class with the highest score, the first of equals, and that score.
#[must_use]
pub fn best(scores: &[f32; CLASSES]) -> (usize, f32) {
    let mut best = (0, scores[0]);
    for (class, &score) in scores.iter().enumerate() {
        if score > best.1 {
            best = (class, score);
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_label_for_every_class() {
        for class in 0..CLASSES {
            assert_ne!(label(class), "?");
        }
        assert_eq!(label(CLASSES), "?");
    }

    #[test]
    fn best_takes_the_first_of_equals() {
        let mut scores = [0.0; CLASSES];
        scores[3] = 0.4;
        scores[7] = 0.4;
        assert_eq!(best(&scores), (3, 0.4));
    }
}
