//! The rules about the sources themselves: what a file says first, how long it is, who spawns tasks.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::{
    Violation,
    graph::{Graph, Member},
    rules::HOSTED,
};

/// A file longer than this gets a note.
const LONG_FILE: usize = 500;
/// Calls that make a channel without a bound. Written in two parts, so that this file does not find itself.
const UNBOUNDED: [&str; 2] = [concat!("unbounded_", "channel("), concat!("mpsc::", "unbounded(")];
/// The call that starts a task which nobody owns.
const SPAWN: &str = concat!("tokio::", "spawn(");

/// What a hosted protocol gets from its host, and must not reach for itself: sockets, files, clocks, processes.
const HOSTS_OWN: [&str; 9] = [
    "tokio::net",
    "std::net",
    "tokio::fs",
    "std::fs",
    "tokio::process",
    "std::process",
    "SystemTime",
    "jiff::",
    "std::env",
];

/// Checks every source of one crate: violations, and notes that do not fail.
pub(super) fn check(root: &Path, member: &Member) -> Result<(Vec<Violation>, Vec<String>)> {
    let (mut violations, mut notes) = (Vec::new(), Vec::new());
    let folder = root.join(&member.folder);
    let mut files = Vec::new();
    // A member's own folder may hold other members (none does today) or outputs; its sources are in these.
    for part in ["src", "tests", "benches", "examples"] {
        rust_files(&folder.join(part), &mut files)?;
    }
    for file in files {
        let text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        let shown = file.strip_prefix(root).unwrap_or(&file).display().to_string();
        let (bad, remarks) = check_file(&shown, &text);
        violations.extend(bad);
        if HOSTED.contains(&member.folder.as_str()) && shown.contains("/src/") {
            violations.extend(check_hosted(&shown, &text));
        }
        notes.extend(remarks);
    }
    let manifest = std::fs::read_to_string(folder.join("Cargo.toml")).context("Cargo.toml")?;
    violations.extend(check_manifest(&format!("{}/Cargo.toml", member.folder), &manifest));
    Ok((violations, notes))
}

/// `crates/README.md` must name every crate, in the order of the list.
pub(super) fn check_list(root: &Path, graph: &Graph) -> Result<Vec<Violation>> {
    let file = "crates/README.md";
    let text = std::fs::read_to_string(root.join(file)).context(file)?;
    Ok(check_list_text(file, &text, graph))
}

/// Each test that `docs/THREATS.md` names, as `file#test`, must be there: evidence that cannot go missing unnoticed.
pub(super) fn check_threats(root: &Path) -> Result<Vec<Violation>> {
    let document = "docs/THREATS.md";
    let text = std::fs::read_to_string(root.join(document)).context(document)?;
    let mut found = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        for (file, test) in named_tests(line) {
            let source = std::fs::read_to_string(root.join(file)).unwrap_or_default();
            if !source.contains(&format!("fn {test}(")) {
                found.push(Violation {
                    rule: "threat-tests",
                    what: format!("there is no test {test} in {file}"),
                    place: format!("{document}:{number}"),
                    remedy: "name the test that shows it now; or write **open** if none does".into(),
                });
            }
        }
    }
    Ok(found)
}

fn named_tests(line: &str) -> impl Iterator<Item = (&str, &str)> {
    // Text in backticks is every second piece.
    line.split('`')
        .skip(1)
        .step_by(2)
        .filter_map(|code| code.split_once('#'))
        .filter(|(file, _)| file.ends_with(".rs"))
}

fn check_list_text(file: &str, text: &str, graph: &Graph) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut last = 0;
    for member in &graph.members {
        // As a whole word in backticks, so that `crates/tunnel` is not found in a sentence.
        match text.find(&format!("`{}`", member.folder)) {
            Some(place) if place >= last => last = place,
            seen => found.push(Violation {
                rule: "crates-list",
                what: match seen {
                    None => format!("{} is missing in the list of crates", member.folder),
                    Some(_) => format!("{} is not in the order of the root Cargo.toml", member.folder),
                },
                place: file.to_owned(),
                remedy: format!("add one line with `{}` and what it is for, at its place", member.folder),
            }),
        }
    }
    found
}

fn rust_files(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Ok(()) };
    let mut paths: Vec<PathBuf> = entries.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    paths.sort();
    for path in paths {
        if path.is_dir() {
            rust_files(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(())
}

fn check_file(shown: &str, text: &str) -> (Vec<Violation>, Vec<String>) {
    let (mut violations, mut notes) = (Vec::new(), Vec::new());
    if shown.split('/').any(|part| part == "generated") {
        return (violations, notes);
    }
    if !text.starts_with("//!") {
        violations.push(Violation {
            rule: "file-says-what-for",
            what: "the file does not open with `//!`".into(),
            place: format!("{shown}:1"),
            remedy: "say in a sentence or two what it is for and what it must not know".into(),
        });
    }
    let lines = text.lines().count();
    if lines > LONG_FILE {
        notes.push(format!("{shown} has {lines} lines; beside {LONG_FILE} is a good place to cut"));
    }
    // Tests stand last; what they spawn dies with them.
    let product = text.rsplit_once("#[cfg(test)]").map_or(text, |(product, _)| product);
    for (number, line) in (1..).zip(product.lines()) {
        let code = line.split("//").next().unwrap_or(line);
        if code.contains(SPAWN) && !shown.contains("/tests/") {
            notes.push(format!(
                "{shown}:{number} spawns a task: it needs an owner (TaskTracker) and a cancellation"
            ));
        }
        if UNBOUNDED.iter().any(|call| code.contains(call)) {
            violations.push(Violation {
                rule: "bounded-channels",
                what: "a channel without a bound".into(),
                place: format!("{shown}:{number}"),
                remedy: "give it a bound and decide what a full one means".into(),
            });
        }
    }
    (violations, notes)
}

/// Tests stand last, and may reach for anything.
fn check_hosted(shown: &str, text: &str) -> Vec<Violation> {
    let product = text.rsplit_once("#[cfg(test)]").map_or(text, |(product, _)| product);
    let lines = (1..).zip(product.lines()).filter_map(|(number, line)| {
        let code = line.split("//").next().unwrap_or(line);
        HOSTS_OWN.iter().find(|word| code.contains(**word)).map(|word| (number, *word))
    });
    lines
        .map(|(number, word)| Violation {
            rule: "hosted-opens-nothing",
            what: format!("a hosted protocol uses {word}"),
            place: format!("{shown}:{number}"),
            remedy: "take it from `hoop_engine::hosted::Host`: streams, decisions, recording, time and end are the host's"
                .into(),
        })
        .collect()
}

fn check_manifest(shown: &str, text: &str) -> Option<Violation> {
    let lints =
        text.split("[lints]").nth(1).is_some_and(|rest| rest.trim_start().starts_with("workspace = true"));
    (!lints).then(|| Violation {
        rule: "workspace-lints",
        what: "the crate does not take the workspace's lints".into(),
        place: shown.to_owned(),
        remedy: "add `[lints]` with `workspace = true`".into(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::graph::testing::graph;
    use super::*;

    fn rules(shown: &str, text: &str) -> Vec<&'static str> {
        check_file(shown, text).0.iter().map(|violation| violation.rule).collect()
    }

    #[test]
    fn a_file_without_a_word_is_found() {
        assert_eq!(rules("a/src/lib.rs", "use std::fmt;\n"), ["file-says-what-for"]);
        assert_eq!(rules("a/src/lib.rs", ""), ["file-says-what-for"]);
        assert_eq!(rules("a/src/lib.rs", "\n//! Late.\n"), ["file-says-what-for"]);
        assert_eq!(rules("a/src/lib.rs", "//! For this.\n"), [] as [&str; 0]);
    }

    #[test]
    fn generated_code_says_nothing() {
        assert_eq!(rules("a/src/generated/x.rs", "pub struct X;\n"), [] as [&str; 0]);
    }

    #[test]
    fn a_channel_without_a_bound_is_found_outside_tests_and_comments() {
        let text = "//! X.\nlet (a, b) = mpsc::unbounded_channel();\n";
        assert_eq!(rules("a/src/lib.rs", text), ["bounded-channels"]);
        let text =
            "//! X.\n// never unbounded_channel()\n#[cfg(test)]\nmod t { fn x() { unbounded_channel(); } }\n";
        assert_eq!(rules("a/src/lib.rs", text), [] as [&str; 0]);
    }

    #[test]
    fn spawning_and_length_are_noted_not_refused() {
        let text = format!("//! X.\ntokio::spawn(work);\n{}", "\n".repeat(600));
        let (violations, notes) = check_file("a/src/lib.rs", &text);
        assert!(violations.is_empty());
        assert_eq!(notes.len(), 2, "{notes:?}");
        assert!(notes.iter().any(|note| note.contains("lib.rs:2")));
    }

    #[test]
    fn a_hosted_protocol_that_opens_something_is_found() {
        let text = "//! X.\nuse tokio::net::TcpStream; // and std::fs\nlet a = 1; // std::net\n#[cfg(test)]\nuse std::fs;\n";
        let found = check_hosted("a/src/lib.rs", text);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].place, "a/src/lib.rs:2");
    }

    #[test]
    fn a_crate_without_the_lints_is_found() {
        assert!(check_manifest("x", "[package]\n[lints]\nworkspace = true\n").is_none());
        assert!(check_manifest("x", "[package]\n").is_some());
        assert!(check_manifest("x", "[lints]\n[dependencies]\nworkspace = true\n").is_some());
    }

    #[test]
    fn tests_are_read_from_the_table_of_threats() {
        let line = "| A1 | `x` a # b | `crates/a/src/b.rs#is_refused`, `crates/a/tests/c.rs#other`; rest: **open** |";
        let named: Vec<_> = named_tests(line).collect();
        assert_eq!(named, [("crates/a/src/b.rs", "is_refused"), ("crates/a/tests/c.rs", "other")]);
    }

    #[test]
    fn a_crate_that_the_list_forgets_or_misplaces_is_found() {
        let graph = graph(&[("crates/a", "a", &[]), ("crates/b", "b", &[])], &[]);
        let of = |text: &str| check_list_text("crates/README.md", text, &graph).len();
        assert_eq!(of("- `crates/a` x\n- `crates/b` y\n"), 0);
        assert_eq!(of("- `crates/a` x\n"), 1);
        assert_eq!(of("- `crates/b` x\n- `crates/a` y\n"), 1);
        assert_eq!(of(""), 2);
    }
}
