//! What the file's names stand for, level by level: the graph, the bodies of control flow, functions.

use std::collections::BTreeMap;

use crate::error::Error;
use crate::graph::ValueId;

/// What a name of the file stands for.
#[derive(Clone, Debug)]
pub(super) enum Meaning {
    /// A value of the graph.
    Value(ValueId),
    /// An optional operand that a function's caller left out.
    Absent,
    /// Something valid that is not supported; an error for whoever reads it.
    Refused(Error),
    /// What would have been made by a node that failed; its error is reported already.
    Failed,
}

/// The names of one level. What is not found there is looked up in the level around it.
#[derive(Debug, Default)]
pub(super) struct Scope<'a> {
    names: BTreeMap<String, Meaning>,
    outer: Option<&'a Scope<'a>>,
}

impl<'a> Scope<'a> {
    /// An empty level inside `outer`.
    pub(super) fn inside(outer: &'a Scope<'a>) -> Self {
        Self { names: BTreeMap::new(), outer: Some(outer) }
    }

    /// Gives a name a meaning; the one it had on this level is returned.
    pub(super) fn define(&mut self, name: &str, meaning: Meaning) -> Option<Meaning> {
        self.names.insert(name.to_string(), meaning)
    }

    /// Whether the name is defined on this very level.
    pub(super) fn is_own(&self, name: &str) -> bool {
        self.names.contains_key(name)
    }

    /// What the name stands for here.
    pub(super) fn get(&self, name: &str) -> Option<&Meaning> {
        let mut scope = Some(self);
        while let Some(level) = scope {
            if let Some(meaning) = level.names.get(name) {
                return Some(meaning);
            }
            scope = level.outer;
        }
        None
    }
}
