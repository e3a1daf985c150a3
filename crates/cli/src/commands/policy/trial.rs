//! `hoop policy test`: every case of a folder, and what they cover.

use std::path::{Path, PathBuf};

use hoop_client::ClientError;
use hoop_policy::{
    cases::{CaseReport, Coverage, Covered},
    rules::Policy,
};
use serde::Serialize;

use super::{cases_of, file, folder, rules_of};
use crate::{failure::Result, output::Table};

/// What came of it.
#[derive(Debug, Serialize)]
pub(super) struct Tested {
    /// Nothing failed, and enough is covered.
    pub(super) passed: bool,
    cases_passed: usize,
    cases_failed: usize,
    files: Vec<TestedFile>,
    coverage: Vec<CoveredFile>,
    #[serde(skip_serializing_if = "Option::is_none")]
    min_coverage: Option<u8>,
}

#[derive(Debug, Serialize)]
struct TestedFile {
    file: String,
    rules: String,
    cases: Vec<CaseReport>,
}

/// How much of a rule file its tests cover.
#[derive(Debug, Serialize)]
struct CoveredFile {
    file: String,
    percent: usize,
    decided: usize,
    rules: Vec<Covered>,
}

pub(super) fn run(folder: &Path, min_coverage: Option<u8>) -> Result<Tested> {
    let (rule_files, test_files) = folder::apart(folder)?;
    let of = |path: &PathBuf| Ok((path.clone(), file::read_text(path)?));
    let rules = rule_files.iter().map(of).collect::<Result<_>>()?;
    let tests = test_files.iter().map(of).collect::<Result<_>>()?;
    run_texts(folder, rules, tests, min_coverage)
}

/// The same of texts, each with the name of its file.
pub(super) fn run_texts(
    folder: &Path,
    rules: Vec<(PathBuf, String)>,
    tests: Vec<(PathBuf, String)>,
    min_coverage: Option<u8>,
) -> Result<Tested> {
    let mut policies = Vec::new();
    for (path, text) in &rules {
        let document = rules_of(path, text)?;
        let coverage = Coverage::of(&document);
        policies.push((path, Policy::compile(document), coverage));
    }
    let rule_files: Vec<PathBuf> = rules.iter().map(|(path, _)| path.clone()).collect();
    let mut files = Vec::new();
    for (path, text) in &tests {
        let cases = cases_of(path, text)?;
        let rules = folder::tested(&rule_files, path, cases.rules.as_deref())?;
        let found = policies.iter_mut().find(|(path, ..)| *path == rules);
        if let Some((_, policy, coverage)) = found {
            let cases = cases.run(policy, coverage);
            files.push(TestedFile { file: name(path), rules: name(rules), cases });
        }
    }
    let cases = || files.iter().flat_map(|file| &file.cases);
    let (passed, all) = (cases().filter(|case| case.passed).count(), cases().count());
    if all == 0 {
        let message = format!("{} holds no case: tests are in *.test.yaml", folder.display());
        return Err(ClientError::usage("HOOP-2016", message).into());
    }
    let coverage: Vec<_> = policies
        .into_iter()
        .map(|(path, _, coverage)| CoveredFile {
            file: name(path),
            percent: coverage.percent(),
            decided: coverage.figures().0,
            rules: coverage.rules().to_vec(),
        })
        .collect();
    let enough = min_coverage.is_none_or(|min| coverage.iter().all(|file| file.percent >= min.into()));
    Ok(Tested {
        passed: enough && passed == all,
        cases_passed: passed,
        cases_failed: all - passed,
        files,
        coverage,
        min_coverage,
    })
}

pub(super) fn name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

impl Tested {
    /// How many cases passed, of how many.
    pub(super) const fn figures(&self) -> (usize, usize) {
        (self.cases_passed, self.cases_passed + self.cases_failed)
    }

    pub(super) fn shown(&self) -> String {
        let mut shown = String::new();
        for file in &self.files {
            let mut table = Table::new([file.file.as_str(), "", "WHAT DIFFERED"]);
            for case in &file.cases {
                let verdict = if case.passed { "passed" } else { "FAILED" };
                table.row([&case.name, verdict, &case.differs.join("; ")]);
            }
            shown.push_str(&table.render());
            shown.push('\n');
        }
        for file in &self.coverage {
            shown.push_str(&file.shown(self.min_coverage));
            shown.push('\n');
        }
        shown.push_str(&format!("{} passed, {} failed\n", self.cases_passed, self.cases_failed));
        shown
    }
}

impl CoveredFile {
    fn shown(&self, min: Option<u8>) -> String {
        let mut table = Table::new([self.file.as_str(), "DECIDED"]);
        for Covered { rule, statement, break_glass, decided } in &self.rules {
            let what = match statement {
                Some(statement) => format!("{rule} / {statement}"),
                None if *break_glass => format!("{rule} (emergency)"),
                None => rule.to_string(),
            };
            let times = if *decided == 0 { "never".to_owned() } else { decided.to_string() };
            table.row([&what, &times]);
        }
        let below = match min {
            Some(min) if self.percent < min.into() => format!(": BELOW the minimum of {min} %"),
            _ => String::new(),
        };
        let (decided, all) = (self.decided, self.rules.len());
        format!("{}{decided} of {all} rules have decided, {} %{below}\n", table.render(), self.percent)
    }
}
