//! `hoop policy`: rule files read, tested and explained here. No gateway is asked, so a pipeline can do it.

mod bundle;
mod explain;
mod folder;
mod init;
mod trial;

use std::path::{Path, PathBuf};

use hoop_client::{Class, ClientError};
use hoop_model::Fault;
use hoop_policy::{
    cases::{CaseError, Cases},
    rules::{AccessPolicy, Place, PolicyError},
};
use serde::Serialize;

use super::file;
use crate::{
    args::{CheckPolicy, Policy},
    failure::{Failure, Result},
    output::{Out, Table},
};

pub(super) fn run(command: Policy, out: &Out) -> Result {
    match command {
        Policy::Check(args) => {
            let checked = check(&args)?;
            out.data(&checked, |checked| checked_table(checked))?;
            found(checked.iter().all(|file| file.problem.is_none()))
        }
        Policy::Test(args) => {
            let tested = trial::run(&args.folder, args.min_coverage)?;
            out.data(&tested, trial::Tested::shown)?;
            found(tested.passed)
        }
        Policy::Explain(args) => {
            let explained = explain::run(*args)?;
            Ok(out.data(&explained, explain::Explained::shown)?)
        }
        Policy::Init(args) => init::run(&args, out),
        Policy::Bundle(command) => bundle::run(&command, out),
    }
}

/// What was to be found out has been printed; the exit code says how it stands.
const fn found(is_well: bool) -> Result {
    if is_well { Ok(()) } else { Err(Failure::Found) }
}

/// A file, and what is wrong with it, if anything is.
#[derive(Debug, Serialize)]
struct Checked {
    file: String,
    /// What was read, such as `3 rules`.
    #[serde(skip_serializing_if = "Option::is_none")]
    holds: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<Wrong>,
}

/// What is wrong in a file.
#[derive(Debug, Serialize)]
struct Wrong {
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<u64>,
    code: String,
    message: String,
}

impl Wrong {
    fn new(place: Option<Place>, fault: Fault) -> Self {
        Self {
            line: place.map(|place| place.line),
            column: place.map(|place| place.column),
            code: fault.code.as_str().to_owned(),
            message: fault.message,
        }
    }
}

fn check(args: &CheckPolicy) -> Result<Vec<Checked>> {
    let mut files: Vec<PathBuf> = Vec::new();
    for path in &args.paths {
        if path.is_dir() { files.extend(folder::yaml_files(path)?) } else { files.push(path.clone()) }
    }
    files.iter().map(|path| check_file(path)).collect()
}

fn check_file(path: &Path) -> Result<Checked> {
    let text = file::read_text(path)?;
    let read = if folder::is_of_tests(path) {
        Cases::from_yaml(&text)
            .map(|cases| count(cases.cases().len(), "case"))
            .map_err(|error| Wrong::new(error.place(), error.to_fault()))
    } else {
        AccessPolicy::from_yaml(&text)
            .map(|policy| count(policy.rules().len() + policy.break_glass().len(), "rule"))
            .map_err(|error| Wrong::new(error.place(), error.to_fault()))
    };
    let file = path.display().to_string();
    Ok(match read {
        Ok(holds) => Checked { file, holds: Some(holds), problem: None },
        Err(wrong) => Checked { file, holds: None, problem: Some(wrong) },
    })
}

fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

fn checked_table(checked: &[Checked]) -> String {
    let mut table = Table::new(["FILE", "", "WHAT"]);
    for Checked { file, holds, problem } in checked {
        let (verdict, what) = match problem {
            // The message begins with the place, where there is one.
            Some(wrong) => ("WRONG", format!("{} ({})", wrong.message, wrong.code)),
            None => ("ok", holds.clone().unwrap_or_default()),
        };
        table.row([file, verdict, &what]);
    }
    table.render()
}

/// The rules of a file, or what is wrong with them.
fn read_rules(path: &Path) -> Result<AccessPolicy> {
    rules_of(path, &file::read_text(path)?)
}

fn rules_of(path: &Path, text: &str) -> Result<AccessPolicy> {
    Ok(AccessPolicy::from_yaml(text).map_err(|error: PolicyError| wrong(path, error.to_fault()))?)
}

/// The cases of a file, or what is wrong with them.
fn read_cases(path: &Path) -> Result<Cases> {
    cases_of(path, &file::read_text(path)?)
}

fn cases_of(path: &Path, text: &str) -> Result<Cases> {
    Ok(Cases::from_yaml(text).map_err(|error: CaseError| wrong(path, error.to_fault()))?)
}

fn wrong(path: &Path, mut fault: Fault) -> ClientError {
    fault.message = format!("{}: {}", path.display(), fault.message);
    ClientError { class: Class::Usage, fault }
}

#[cfg(test)]
mod tests;
