//! Folders of rules: which files in them are rules, which are tests, and which tests are of which rules.

use std::{
    ffi::OsStr,
    io,
    path::{Path, PathBuf},
};

use hoop_client::ClientError;

use crate::failure::Result;

/// What a file of tests ends with.
const TESTS: &str = ".test.yaml";
/// Files of one folder that are looked at.
const MOST_FILES: usize = 1_000;

pub(super) fn is_of_tests(path: &Path) -> bool {
    path.file_name().and_then(OsStr::to_str).is_some_and(|name| name.ends_with(TESTS))
}

/// Its `*.yaml` and `*.yml`, by name; folders in it are not looked into.
pub(super) fn yaml_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let unreadable = |error: io::Error| {
        ClientError::usage("HOOP-1016", format!("{} cannot be read: {error}", folder.display()))
    };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let is_yaml = path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
        if is_yaml && path.is_file() {
            files.push(path);
        }
    }
    if files.is_empty() || files.len() > MOST_FILES {
        let found = if files.is_empty() { "no" } else { "too many" };
        let message = format!("{} holds {found} YAML files", folder.display());
        return Err(ClientError::usage("HOOP-1016", message).into());
    }
    files.sort();
    Ok(files)
}

/// The rule files of a folder, and its files of tests.
pub(super) fn apart(folder: &Path) -> Result<(Vec<PathBuf>, Vec<PathBuf>)> {
    let (tests, rules) = yaml_files(folder)?.into_iter().partition(|path| is_of_tests(path));
    Ok((rules, tests))
}

/// The rule file that a file of tests is about: the one it names, or the only one.
pub(super) fn tested<'a>(rules: &'a [PathBuf], tests: &Path, named: Option<&str>) -> Result<&'a PathBuf> {
    let file = tests.display();
    let found = match (named, rules) {
        (Some(name), _) => rules
            .iter()
            .find(|path| path.file_name().and_then(OsStr::to_str) == Some(name))
            .ok_or_else(|| format!("{file}: `rules` names {name:?}, and there is no such file beside it")),
        (None, [only]) => Ok(only),
        (None, []) => Err(format!("{file}: there is no rule file beside it")),
        (None, _) => Err(format!("{file}: there are several rule files beside it: name one, `rules: FILE`")),
    };
    Ok(found.map_err(|message| ClientError::usage("HOOP-2016", message))?)
}
