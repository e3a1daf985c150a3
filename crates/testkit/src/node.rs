//! npm packages that tests need: the folders of `lab/` that have a `package.json`.

use std::{path::PathBuf, process::Command};

use crate::run;

/// A folder of the lab, with its packages installed. Sought from where the test runs: clones that build into one folder may
/// have built this crate elsewhere.
pub(crate) fn npm_packages(part: &str) -> PathBuf {
    let here = std::env::current_dir().unwrap();
    let lab = here.ancestors().map(|above| above.join("lab")).find(|lab| lab.is_dir());
    let folder = lab.expect("tests run inside the workspace").join(part);
    if !folder.join("node_modules").exists() {
        run(Command::new("npm").args(["ci", "--no-audit", "--no-fund"]).current_dir(&folder));
    }
    folder
}

/// Where Node finds drivers of PostgreSQL.
pub fn node_packages() -> PathBuf {
    npm_packages("node").join("node_modules")
}
