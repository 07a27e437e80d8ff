//! Names of the emitted code: from the file's, as short as they stay distinct.

use std::collections::BTreeSet;

use crate::graph::Graph;
use crate::ops::Layer;

/// A snake_case name for each layer: the node's name in the file without the folders that all such names share.
pub fn layer_names(graph: &Graph<Layer>) -> Vec<String> {
    let mut paths: Vec<Vec<&str>> = graph.nodes.iter().map(|node| segments(&node.name)).collect();
    // Names without folders (exporters give them to nodes they add) do not count.
    while let Some(folder) = shared_folder(&paths) {
        paths.iter_mut().filter(|path| path.len() > 1 && path[0] == folder).for_each(|path| {
            path.remove(0);
        });
    }
    let mut taken = BTreeSet::new();
    let mut names = Vec::with_capacity(paths.len());
    for (path, node) in paths.iter().zip(&graph.nodes) {
        let base = match snake_case(&path.join("_")) {
            name if name.is_empty() => snake_case(node.op.operator),
            name if name.starts_with(|c: char| c.is_ascii_digit()) => {
                format!("{}_{name}", snake_case(node.op.operator))
            }
            name => name,
        };
        let mut name = base.clone();
        let mut count = 1;
        while is_reserved(&name) || !taken.insert(name.clone()) {
            count += 1;
            name = format!("{base}_{count}");
        }
        names.push(name);
    }
    names
}

/// Names that the memory map and the constants of another layer may have.
fn is_reserved(name: &str) -> bool {
    const SUFFIXES: [&str; 4] = ["_xy", "_scratch", "_linear", "_constants"];
    matches!(name, "input" | "output") || SUFFIXES.iter().any(|suffix| name.ends_with(suffix))
}

/// The first folder of all names that lie in one, if it is the same for several of them.
fn shared_folder<'a>(paths: &[Vec<&'a str>]) -> Option<&'a str> {
    let mut folders = paths.iter().filter(|path| path.len() > 1).map(|path| path[0]);
    let first = folders.next()?;
    let mut others = folders.peekable();
    (others.peek().is_some() && others.all(|folder| folder == first)).then_some(first)
}

fn segments(name: &str) -> Vec<&str> {
    name.split(['/', ':', ';']).filter(|segment| !segment.is_empty()).collect()
}

/// `Conv2d_1/BiasAdd` → `conv2d_1_bias_add`; other characters than letters and digits become underscores.
pub(crate) fn snake_case(name: &str) -> String {
    let mut snake = String::with_capacity(name.len());
    let mut previous = '_';
    for c in name.chars() {
        if !c.is_ascii_alphanumeric() {
            if previous != '_' {
                snake.push('_');
            }
            previous = '_';
            continue;
        }
        if c.is_ascii_uppercase() && (previous.is_ascii_lowercase() || previous.is_ascii_digit()) && previous != '_' {
            snake.push('_');
        }
        snake.push(c.to_ascii_lowercase());
        previous = c;
    }
    snake.trim_end_matches('_').to_string()
}

#[cfg(test)]
mod tests {
    use super::snake_case;

    #[test]
    fn names_of_exporters_become_identifiers() {
        assert_eq!(snake_case("functional_1/conv2d/BiasAdd"), "functional_1_conv2d_bias_add");
        assert_eq!(snake_case("/layers.0/conv/Conv"), "layers_0_conv_conv");
        assert_eq!(snake_case("StatefulPartitionedCall:0"), "stateful_partitioned_call_0");
        assert_eq!(snake_case("Conv2D"), "conv2_d");
        assert_eq!(snake_case("é"), "");
    }
}
