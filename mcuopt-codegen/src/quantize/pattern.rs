//! Names of layers and tensors with `*` in them.

use std::collections::{BTreeMap, BTreeSet};

use crate::emit::snake_case;
use crate::error::Error;

/// What is said of the name: a pattern without `*` goes before one with it, among these the longer one.
pub(crate) fn best<'a, T>(named: &'a BTreeMap<String, T>, name: &str) -> Option<&'a T> {
    let matching = named.iter().filter(|(pattern, _)| matches(pattern, name));
    matching.max_by_key(|(pattern, _)| (!pattern.contains('*'), pattern.len())).map(|(_, said)| said)
}

/// Whether every pattern is the name of something; `what` says of what.
pub(crate) fn check<'a, T, I: Iterator<Item = &'a str>>(
    named: &BTreeMap<String, T>,
    names: impl Fn() -> I,
    what: &str,
) -> Result<(), Error> {
    // A network may be left without layers; all of them are none then.
    let known = |pattern: &String| pattern == "*" || names().any(|name| matches(pattern, name));
    let unknown = named.keys().find(|pattern| !known(pattern));
    let Some(pattern) = unknown else { return Ok(()) };
    let names: BTreeSet<&str> = names().collect();
    let mut names: Vec<&str> = names.into_iter().collect();
    names.sort_by_cached_key(|name| distance(pattern, name));
    let near: Vec<String> = names.iter().take(3).map(|name| format!("`{name}`")).collect();
    Err(Error::options(format!(
        "there is no {what} `{pattern}`, but {}; what is fused into another layer goes by that one's name",
        near.join(", ")
    )))
}

fn matches(pattern: &str, name: &str) -> bool {
    matches_whole(pattern, name) || matches_whole(pattern, &snake_case(name))
}

/// Whether `pattern`, in which `*` stands for any characters, is all of `name`.
fn matches_whole(pattern: &str, name: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(name) = name.strip_prefix(head) else { return false };
    let mut ends = name.char_indices().map(|(at, _)| at).chain([name.len()]);
    ends.any(|at| matches_whole(rest, &name[at..]))
}

/// Levenshtein's distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
