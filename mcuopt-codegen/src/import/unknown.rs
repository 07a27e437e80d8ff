//! Operators that no importer knows: each is reported once, with what comes nearest.

use std::collections::{BTreeMap, BTreeSet};

use super::{Place, operator};
use crate::error::Error;
use crate::onnx::Node;
use crate::ops;

/// The unknown operators found so far.
#[derive(Debug, Default)]
pub(super) struct Unknown {
    /// By domain and name: where the first node stands, and how many there are.
    found: BTreeMap<(String, String), Found>,
    /// Functions that were searched already.
    functions: BTreeSet<(String, String)>,
}

#[derive(Debug)]
struct Found {
    order: usize,
    node: String,
    operator: String,
    opset: String,
    count: usize,
}

impl Unknown {
    /// Notes a node whose operator is unknown.
    pub(super) fn note(&mut self, node: &Node, place: &Place<'_>) {
        let domain = if node.domain.is_empty() { "ai.onnx" } else { &node.domain };
        let first = || Found {
            order: 0,
            node: place.label(node),
            operator: operator(node),
            opset: place.version(&node.domain).map_or(domain.to_string(), |version| format!("{domain} {version}")),
            count: 0,
        };
        let order = self.found.len();
        let key = (node.domain.clone(), node.op_type.clone());
        let found = self.found.entry(key).or_insert_with(|| Found { order, ..first() });
        found.count += 1;
    }

    /// Whether a function is to be searched: the first time only.
    pub(super) fn enter(&mut self, domain: &str, name: &str) -> bool {
        self.functions.insert((domain.to_string(), name.to_string()))
    }

    /// An error for each operator, in the order in which they were found.
    pub(super) fn errors(self) -> Vec<Error> {
        let mut found: Vec<_> = self.found.into_iter().collect();
        found.sort_by_key(|(_, found)| found.order);
        let error = |((domain, name), found): ((String, String), Found)| {
            let count = match found.count {
                1 => String::new(),
                count => format!(" ({count} nodes, this is the first)"),
            };
            let error = Error::unsupported(format!("the operator {}{count}", found.operator));
            error.instead(instead(&domain, &name)).at_node(&found.node, &found.operator).in_opset(found.opset)
        };
        found.into_iter().map(error).collect()
    }
}

/// What works in place of an unknown operator.
fn instead(domain: &str, name: &str) -> String {
    const BY_MEANING: &[(&[&str], &str)] = &[
        (&["Random", "Bernoulli", "Multinomial"], "random numbers as an input of the model"),
        (&["Sequence", "ConcatFromSequence", "SplitToSequence"], "tensors in place of sequences"),
        (&["Optional"], "an export without optional values"),
        (&["String", "Regex", "Tokenizer"], "numbers computed from the text before the model is called"),
        (&["NonZero", "Unique", "Compress"], "a form whose result has the same shape for every input"),
        (&["Gradient", "Adagrad", "Adam", "Momentum"], "the model exported for inference"),
        (&["ImageDecoder"], "pixels as the model's input"),
    ];
    if matches!(domain, "" | "ai.onnx") {
        let starts = |prefixes: &&[&str]| prefixes.iter().any(|prefix| name.starts_with(prefix));
        if let Some((_, form)) = BY_MEANING.iter().find(|(prefixes, _)| starts(prefixes)) {
            return form.to_string();
        }
    }
    let known = ops::operators().into_iter().map(|known| known.rsplit_once(':').unwrap_or(("ai.onnx", known)));
    let nearest = known.map(|(domain, known)| (distance(known, name), known, domain)).min();
    match nearest {
        Some((0, known, domain)) => format!("{known} of the domain {domain}"),
        Some((edits, known, _)) if edits * 3 <= name.chars().count() => format!("{known}, if that is meant"),
        _ => "the operators that OPERATORS.md lists, or a function in the file that is made of them".into(),
    }
}

/// The number of letters to insert, remove or exchange to get from one name to another.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.chars().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, right) in b.iter().enumerate() {
            let exchanged = diagonal + usize::from(!left.eq_ignore_ascii_case(right));
            diagonal = row[j + 1];
            row[j + 1] = exchanged.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
