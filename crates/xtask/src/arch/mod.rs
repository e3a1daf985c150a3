//! `cargo xtask arch`: the invariants of docs/ARCHITECTURE.md, checked against what cargo would build and against the
//! sources. A broken rule says what, where and what to do.

mod graph;
mod rules;
mod sources;

use std::{fmt, process::Command};

use anyhow::{Context, Result, bail};

use crate::shell;
use graph::Graph;

/// Check the invariants of docs/ARCHITECTURE.md.
///
/// Reads `cargo metadata` and the sources, builds nothing, takes about a second. Rules: pure crates stay pure; protocols
/// know neither each other nor a daemon; only `store` speaks SQL and only the gateway uses it; dependencies point down
/// the list in the root Cargo.toml; no ring, openssl or native-tls is compiled; every file opens with `//!`;
/// the tests that docs/THREATS.md names exist.
/// Exit status 1 if a rule is broken; notes do not fail.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Print notes too: long files, places that spawn tasks.
    #[arg(long)]
    notes: bool,
}

/// One broken rule.
#[derive(Debug, PartialEq, Eq)]
struct Violation {
    /// Which rule.
    rule: &'static str,
    /// What is wrong.
    what: String,
    /// The file to open.
    place: String,
    /// How it is mended.
    remedy: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}] {}\n    where: {}\n    to do: {}", self.rule, self.what, self.place, self.remedy)
    }
}

/// Checks everything.
pub(crate) fn run(options: &Options) -> Result<()> {
    let root = shell::root()?;
    let metadata = shell::capture(shell::command("cargo")?.args([
        "metadata",
        "--format-version",
        "1",
        "--filter-platform",
        &host()?,
    ]))?;
    let tree = shell::capture(shell::command("cargo")?.args([
        "tree",
        "--workspace",
        "--edges",
        "normal,build,dev",
        "--prefix",
        "none",
        "--format",
        "{p}",
    ]))?;
    let manifest = std::fs::read_to_string(root.join("Cargo.toml")).context("the root Cargo.toml")?;
    let graph = Graph::parse(&metadata, &tree, &manifest)?;
    let mut violations = rules::check(&graph);
    let mut notes = Vec::new();
    for member in &graph.members {
        let (bad, remarks) = sources::check(&root, member)?;
        violations.extend(bad);
        notes.extend(remarks);
    }
    violations.extend(sources::check_list(&root, &graph)?);
    violations.extend(sources::check_threats(&root)?);
    if options.notes {
        for note in &notes {
            println!("note: {note}");
        }
    }
    if violations.is_empty() {
        println!(
            "arch: {} crates, {} packages compiled, all rules hold ({} notes{})",
            graph.members.len(),
            graph.compiled.len(),
            notes.len(),
            if options.notes { "" } else { ", shown by --notes" }
        );
        return Ok(());
    }
    for violation in &violations {
        println!("{violation}\n");
    }
    bail!("{} rule(s) broken; docs/ARCHITECTURE.md says why they stand", violations.len())
}

/// The platform we are on, in rustc's words.
fn host() -> Result<String> {
    let text = shell::capture(Command::new("rustc").arg("-vV"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(line.context("`rustc -vV` names no host")?.to_owned())
}
