//! What the pages say is what the sources say.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// Shown in documentation comments as an example of a code; never sent.
const EXAMPLES: [&str; 2] = ["HOOP-0000", "HOOP-1203"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            let name = path.file_name().unwrap().to_str().unwrap();
            if !matches!(name, "tests" | "node_modules") {
                sources(&path, found);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn codes(text: &str) -> BTreeSet<String> {
    let code = |(at, _): (usize, &str)| text.get(at..at + 9).map(str::to_owned);
    let all = text.match_indices("HOOP-").filter_map(code);
    all.filter(|code| {
        code[5..].bytes().all(|byte| byte.is_ascii_digit()) && !EXAMPLES.contains(&code.as_str())
    })
    .collect()
}

#[test]
fn every_code_is_explained_and_nothing_else() {
    let page = fs::read_to_string(root().join("docs/ERRORS.md")).unwrap();
    let mut files = Vec::new();
    for folder in ["crates", "gateway", "agent"] {
        sources(&root().join(folder), &mut files);
    }
    let mut used: BTreeMap<String, PathBuf> = BTreeMap::new();
    for file in files {
        for code in codes(&fs::read_to_string(&file).unwrap()) {
            used.entry(code).or_insert_with(|| file.clone());
        }
    }
    assert!(used.len() > 90, "only {} codes found", used.len());
    let explained = codes(&page);
    let missing: Vec<_> = used.iter().filter(|(code, _)| !explained.contains(*code)).collect();
    let stale: Vec<_> = explained.iter().filter(|code| !used.contains_key(*code)).collect();
    assert!(missing.is_empty(), "docs/ERRORS.md does not explain {missing:?}");
    assert!(stale.is_empty(), "docs/ERRORS.md explains what nothing sends: {stale:?}");
    let mut rows = BTreeSet::new();
    for row in page.lines().filter(|line| line.starts_with("| `HOOP-")) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        assert!(cells.len() == 4 && cells.iter().all(|cell| !cell.is_empty()), "{row}");
        assert!(matches!(cells[1], "caller" | "policy" | "target" | "network" | "system"), "{row}");
        assert!(rows.insert(cells[0].to_owned()), "twice: {row}");
    }
    assert_eq!(rows.len(), explained.len(), "one row for each code");
}
