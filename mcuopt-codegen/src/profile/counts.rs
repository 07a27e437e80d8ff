//! What the plugin writes.

use std::fs;
use std::path::Path;

use crate::error::Error;

/// What was executed between two markers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Instructions.
    pub instructions: u64,
    /// Cycles, modelled.
    pub cycles: u64,
}

/// One inference.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Run {
    /// All of it.
    pub total: Count,
    /// Its segments, in firmware that marks them: one that ends with each layer, and the rest.
    pub laps: Vec<Count>,
}

/// Reads a file of counts; cycles are multiplied by a factor.
pub(super) fn read(file: &Path, factor: f64) -> Result<Vec<Run>, Error> {
    let shown = || file.display().to_string();
    let text = fs::read_to_string(file);
    let text = text.map_err(|error| Error::io(format!("QEMU wrote no counts ({error})")).in_file(shown()))?;
    parse(&text, factor).ok_or_else(|| Error::bug("the counts cannot be read").in_file(shown()))
}

fn parse(text: &str, factor: f64) -> Option<Vec<Run>> {
    let mut runs: Vec<Run> = Vec::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let [kind @ ("run" | "lap"), instructions, cycles] = words[..] else { continue };
        let cycles: u64 = cycles.parse().ok()?;
        let count = Count { instructions: instructions.parse().ok()?, cycles: (cycles as f64 * factor).round() as u64 };
        match kind {
            "run" => runs.push(Run { total: count, laps: Vec::new() }),
            _ => runs.last_mut()?.laps.push(count),
        }
    }
    Some(runs)
}

#[cfg(test)]
mod tests {
    use super::{Count, Run, parse};

    #[test]
    fn runs_have_laps() {
        let text = "run 10 20\nlap 4 8\nlap 6 12\nrun 5 6\nmnemonic smlad 3\n";
        let count = |instructions, cycles| Count { instructions, cycles };
        let expected = vec![
            Run { total: count(10, 10), laps: vec![count(4, 4), count(6, 6)] },
            Run { total: count(5, 3), laps: vec![] },
        ];
        assert_eq!(parse(text, 0.5), Some(expected));
        assert_eq!(parse("lap 1 2", 1.0), None);
        assert_eq!(parse("run 1 x", 1.0), None);
    }
}
