//! The documents against the code and each other: every option is documented, what they show as options is accepted, and
//! no link leads nowhere.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use mcuopt_codegen::Options;
use mcuopt_codegen::options::KEYS;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The chapters of the book.
fn chapters() -> Vec<PathBuf> {
    let entries = fs::read_dir(repository().join("examples/book/text")).expect("the book's text");
    let mut chapters: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    chapters.sort();
    assert!(chapters.len() > 5, "{chapters:?}");
    chapters
}

/// All documents that link to each other.
fn documents() -> Vec<PathBuf> {
    let root = repository();
    let mut documents = chapters();
    let names = ["README.md", "CONTRIBUTING.md", "OPERATORS.md", "BENCHMARKS.md", "ACCURACY.md", "CHANGELOG.md"];
    documents.extend(names.map(|name| root.join(name)));
    documents.push(root.join("mcuopt-codegen/ARCHITECTURE.md"));
    let examples = fs::read_dir(root.join("examples")).expect("the examples");
    let readmes = examples.map(|entry| entry.expect("an entry").path().join("README.md"));
    documents.extend(readmes.filter(|readme| readme.is_file()));
    documents
}

/// Lines outside of code blocks, and for each block what its fence says and its text.
fn split(text: &str) -> (Vec<&str>, Vec<(&str, String)>) {
    let (mut prose, mut blocks) = (Vec::new(), Vec::new());
    let mut open: Option<(&str, String)> = None;
    for line in text.lines() {
        match (&mut open, line.trim_start().strip_prefix("```")) {
            (None, Some(fence)) => open = Some((fence, String::new())),
            (None, None) => prose.push(line),
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some((_, block)), None) => *block += &format!("{line}\n"),
        }
    }
    assert!(open.is_none(), "a code block has no end");
    (prose, blocks)
}

/// The targets of a line's links.
fn links(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target)
}

/// The name by which a page refers to a heading, as GitHub and mdBook make it.
fn anchor(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = text.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[test]
fn every_option_is_documented_and_every_documented_option_exists() {
    let keys: BTreeSet<&str> = KEYS.iter().copied().collect();
    let book = read(&repository().join("examples/book/text/options.md"));
    let headings: BTreeSet<&str> =
        book.lines().filter_map(|line| line.strip_prefix("### `")?.strip_suffix('`')).collect();
    assert_eq!(headings, keys, "headings of examples/book/text/options.md");

    // The generated type's name stands in front in the macro.
    let keys: BTreeSet<&str> = keys.into_iter().filter(|key| *key != "name").collect();
    for (path, start) in [("README.md", "| `"), ("mcuopt-macros/src/lib.rs", "/// | `")] {
        let text = read(&repository().join(path));
        let after = text.split_once("| key | value |").unwrap_or_else(|| panic!("{path} has a table of options")).1;
        let rows = after.lines().skip(2).map_while(|line| line.strip_prefix(start)?.split_once(" | "));
        let named: BTreeSet<&str> =
            rows.flat_map(|(names, _)| names.split(", ")).map(|name| name.trim_matches('`')).collect();
        assert_eq!(named, keys, "the table of options in {path}");
    }
}

#[test]
fn options_in_the_book_are_accepted() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("documentation");
    fs::create_dir_all(&folder).expect("a folder");
    let mut count = 0;
    for chapter in chapters() {
        let text = read(&chapter);
        for (fence, block) in split(&text).1 {
            if fence != "toml,options" {
                continue;
            }
            count += 1;
            let config = folder.join(format!("{count}.toml"));
            fs::write(&config, &block).expect("the file can be written");
            let mut options = Options { config: Some(config), ..Options::default() };
            if let Err(error) = options.read_config() {
                panic!("{}: {error}\n{block}", chapter.display());
            }
            assert_ne!(Options { config: None, ..options }, Options::default(), "{}: {block}", chapter.display());
        }
    }
    assert!(count > 3, "only {count} blocks");
}

#[test]
fn toml_is_toml() {
    for document in documents() {
        let text = read(&document);
        for (fence, block) in split(&text).1 {
            if fence.starts_with("toml") {
                let parsed = toml::de::DeTable::parse(&block);
                assert!(parsed.is_ok(), "{}: {:?}\n{block}", document.display(), parsed.err());
            }
        }
    }
}

#[test]
fn no_link_leads_nowhere() {
    let mut count = 0;
    for document in documents() {
        let text = read(&document);
        for line in split(&text).0 {
            for target in links(line) {
                count += 1;
                let own = "https://github.com/mcuopt/mcuopt/";
                let (base, target) = match target.strip_prefix(own) {
                    Some(target) => {
                        let path = target.split_once("/main").map_or("", |(_, path)| path.trim_start_matches('/'));
                        (repository(), path)
                    }
                    None if target.contains("://") => continue,
                    None => (document.parent().expect("a folder").to_path_buf(), target),
                };
                let (path, heading) = target.split_once('#').unwrap_or((target, ""));
                let file = if path.is_empty() && base != repository() { document.clone() } else { base.join(path) };
                assert!(file.exists(), "{}: {target} is not there", document.display());
                if !heading.is_empty() {
                    let text = read(&file);
                    let has = split(&text).0.iter().any(|line| line.starts_with('#') && anchor(line) == heading);
                    assert!(has, "{}: {target} has no such heading", document.display());
                }
            }
        }
    }
    assert!(count > 30, "only {count} links");
}

#[test]
fn the_summary_has_every_chapter_and_every_chapter_is_compiled() {
    let summary = read(&repository().join("examples/book/text/SUMMARY.md"));
    let compiled = read(&repository().join("examples/book/src/lib.rs"));
    for chapter in chapters() {
        let name = chapter.file_name().expect("a name").to_string_lossy();
        if name != "SUMMARY.md" {
            assert!(summary.contains(&format!("]({name})")), "{name} is missing in SUMMARY.md");
            assert!(compiled.contains(&format!("/text/{name}\"")), "{name} is missing in examples/book/src/lib.rs");
        }
    }
}

/// The command lines of `mcuopt` that a document shows, in blocks of a shell and within a line.
fn command_lines(text: &str) -> Vec<String> {
    let (prose, blocks) = split(text);
    let shells = blocks.iter().filter(|(fence, _)| *fence == "sh").flat_map(|(_, block)| block.lines());
    let inline = prose.iter().flat_map(|line| line.split('`').skip(1).step_by(2));
    let lines = shells.chain(inline).chain(prose.iter().filter_map(|line| line.strip_prefix("    ")));
    lines.map(str::trim).filter(|line| line.starts_with("mcuopt ")).map(String::from).collect()
}

#[test]
fn commands_and_their_options_exist() {
    let sources = repository().join("mcuopt-codegen/src/cli");
    let main = read(&sources.join("main.rs"));
    let body = main.split_once("enum Command {").expect("the commands").1;
    let variants = body.lines().take_while(|line| *line != "}").filter_map(|line| line.trim().split_once('('));
    let commands: BTreeSet<String> = variants.map(|(name, _)| name.to_lowercase()).collect();
    let entries = fs::read_dir(&sources).expect("the program's sources");
    let files = entries.map(|entry| entry.expect("an entry").path()).filter(|path| path.is_file());
    let all: String = files.map(|path| read(&path)).collect();

    let mut count = 0;
    for document in documents() {
        for line in command_lines(&read(&document)) {
            count += 1;
            let command = line.split_whitespace().nth(1).unwrap_or_default();
            assert!(commands.contains(command), "{}: `{line}`: no such command", document.display());
            for word in line.split_whitespace().filter_map(|word| word.strip_prefix("--")) {
                let field = format!("{}: ", word.split('=').next().unwrap_or_default().replace('-', "_"));
                assert!(all.contains(&field), "{}: `{line}`: no such option", document.display());
            }
        }
    }
    assert!(count > 15, "only {count} command lines");
}
