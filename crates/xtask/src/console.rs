//! Builds and tests the console, which the gateway embeds: npm's part, only when its sources have changed.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::Command,
    time::SystemTime,
};

use anyhow::{Context, Result};

use crate::{
    packages,
    shell::{self, say},
};

/// Build the console into console/dist, where the gateway's build takes it from.
///
/// Installs Node and npm if they are missing, runs `npm ci`, type check and Vite. Does nothing if console/dist is newer
/// than the console's sources. `--test` also runs its unit tests and checks that the API client is the one that the
/// OpenAPI document gives.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Also run unit tests and the check of the generated client.
    #[arg(long)]
    test: bool,
}

/// The subcommand.
pub(crate) fn run(options: &Options) -> Result<()> {
    let console = Console::prepare()?;
    console.build()?;
    if options.test { console.test() } else { Ok(()) }
}

/// The console's folder with its packages installed.
pub(crate) struct Console {
    folder: PathBuf,
    path: OsString,
}

impl Console {
    /// Installs what is missing.
    pub(crate) fn prepare() -> Result<Self> {
        let folder = shell::root()?.join("console");
        let path = packages::path_with(packages::ensure_node()?.as_deref())?;
        packages::npm_ci(&folder, &path)?;
        Ok(Self { folder, path })
    }

    /// An npm script of it.
    pub(crate) fn script(&self, name: &str) -> Command {
        let mut command = Command::new("npm");
        command.args(["run", "--silent", name]).current_dir(&self.folder).env("PATH", &self.path);
        command
    }

    /// Builds `dist`, if it is older than a source.
    pub(crate) fn build(&self) -> Result<()> {
        let built = modified(&self.folder.join("dist/index.html"));
        if built.is_some() && built >= newest_source(&self.folder)? {
            return Ok(());
        }
        say("building the console");
        shell::run(&mut self.script("build"))
    }

    /// Unit tests, and that the generated client is current.
    pub(crate) fn test(&self) -> Result<()> {
        say("console: generated API client, unit tests");
        shell::run(&mut self.script("check:generated"))
            .context("src/api/schema.d.ts is not what openapi.json gives: npm run generate")?;
        shell::run(self.script("test").env("CI", "true"))
    }
}

fn modified(file: &Path) -> Option<SystemTime> {
    std::fs::metadata(file).and_then(|meta| meta.modified()).ok()
}

fn newest_source(folder: &Path) -> Result<Option<SystemTime>> {
    let mut newest = None;
    let mut open = vec![folder.to_path_buf()];
    while let Some(path) = open.pop() {
        let entries = std::fs::read_dir(&path).with_context(|| path.display().to_string())?;
        for entry in entries {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if ["node_modules", "dist", "e2e", "test-results"].contains(&name) {
                continue;
            }
            newest = newest.max(modified(&path));
            if path.is_dir() {
                open.push(path);
            }
        }
    }
    Ok(newest)
}
