//! `cargo xtask test`: puts every real part on the machine, then runs every test there is.

use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{
    console::Console,
    demo, packages,
    shell::{self, say},
};

/// Install the real parts, then run every test.
///
/// What it installs if it is missing, after saying so: Debian packages (PostgreSQL, pgbouncer, tinyproxy, Chromium,
/// psycopg, the JDBC driver and Java, openssl), Node, cargo-nextest, the npm packages of console/ and lab/oidc/.
/// Then: console build, unit tests and generated-client check; the OpenID provider's own tests; `cargo nextest run
/// --workspace`; doc tests; the console's end-to-end tests in headless Chromium against a demo it starts and ends.
///
/// Tests read where the parts are from HOOP_TEST_BIN (folder of hoop, hoop-gateway, hoop-agent), HOOP_TEST_PG_BIN,
/// HOOP_TEST_OIDC (lab/oidc/server.mjs), HOOP_TEST_NODE, HOOP_TEST_JDBC_JAR, HOOP_TEST_CHROMIUM, HOOP_TEST_DEMO
/// (file with the demo's JSON, for the console). HOOP_TEST_ALL=1 tells a test to fail, never to skip, when its part is
/// missing.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Only what needs no installed part: the Rust tests of every crate but `testkit` and `tests`. For the inner loop.
    #[arg(long)]
    fast: bool,
    /// Leave out the console (its build, unit tests and end-to-end tests).
    #[arg(long)]
    no_console: bool,
    /// Handed to `cargo nextest run`, such as a filter: `-- -E 'test(cancel)'`.
    #[arg(last = true)]
    nextest: Vec<String>,
}

/// The subcommand.
pub(crate) fn run(options: &Options) -> Result<()> {
    packages::ensure_cargo_tool("cargo-nextest", "runs the tests in parallel, one process each")?;
    if options.fast {
        say("fast: every crate but testkit and tests; no console");
        let mut nextest = shell::command("cargo")?;
        nextest.args([
            "nextest",
            "run",
            "--workspace",
            "--exclude",
            "hoop-testkit",
            "--exclude",
            "hoop-tests",
        ]);
        return shell::run(nextest.args(&options.nextest));
    }
    packages::ensure(&[
        &packages::POSTGRESQL,
        &packages::OPENSSL,
        &packages::PGBOUNCER,
        &packages::TINYPROXY,
        &packages::CHROMIUM,
        &packages::PSYCOPG,
        &packages::JAVA,
        &packages::JDBC,
    ])?;
    let parts = Parts::find()?;
    parts.test_provider()?;
    let console = if options.no_console {
        say("left out by --no-console: the console's build and tests");
        None
    } else {
        let console = Console::prepare()?;
        console.build()?;
        console.test()?;
        Some(console)
    };
    say("building every program and test");
    shell::run(shell::command("cargo")?.args(["build", "--workspace", "--bins"]))?;
    let mut nextest = shell::command("cargo")?;
    nextest.args(["nextest", "run", "--workspace"]).args(&options.nextest);
    shell::run(parts.name_in(&mut nextest))?;
    say("doc tests");
    shell::run(shell::command("cargo")?.args(["test", "--workspace", "--doc", "--quiet"]))?;
    if let Some(console) = console {
        end_to_end(&console, &parts)?;
    }
    say("all tests have passed");
    Ok(())
}

/// Where the real parts are.
struct Parts {
    variables: Vec<(&'static str, std::ffi::OsString)>,
    path: std::ffi::OsString,
    provider: std::path::PathBuf,
}

impl Parts {
    fn find() -> Result<Self> {
        let path = packages::path_with(packages::ensure_node()?.as_deref())?;
        let provider = shell::root()?.join("lab/oidc");
        packages::npm_ci(&provider, &path)?;
        let node = std::env::split_paths(&path)
            .map(|folder| folder.join("node"))
            .find(|node| node.is_file())
            .context("node is not on PATH")?;
        let found =
            |program: &str| shell::which(program).with_context(|| format!("{program} is not installed"));
        let variables = vec![
            ("HOOP_TEST_ALL", "1".into()),
            ("HOOP_TEST_BIN", shell::target_dir()?.join("debug").into_os_string()),
            ("HOOP_TEST_PG_BIN", packages::postgres_bin()?.into_os_string()),
            ("HOOP_TEST_OIDC", provider.join("server.mjs").into_os_string()),
            ("HOOP_TEST_NODE", node.into_os_string()),
            ("HOOP_TEST_JDBC_JAR", packages::JDBC_JAR.into()),
            ("HOOP_TEST_CHROMIUM", found("chromium")?.into_os_string()),
        ];
        Ok(Self { variables, path, provider })
    }

    fn name_in<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.envs(self.variables.iter().map(|(name, value)| (*name, value))).env("PATH", &self.path)
    }

    fn test_provider(&self) -> Result<()> {
        say("lab/oidc: the OpenID provider's own tests");
        shell::run(
            Command::new("npm")
                .args(["test", "--silent"])
                .current_dir(&self.provider)
                .env("PATH", &self.path),
        )
    }
}

/// The console in a browser, against the whole system.
fn end_to_end(console: &Console, parts: &Parts) -> Result<()> {
    let folder = shell::root()?.join("console/e2e");
    let any = std::fs::read_dir(&folder)
        .with_context(|| folder.display().to_string())?
        .flatten()
        .any(|entry| entry.file_name().to_string_lossy().ends_with(".test.mjs"));
    if !any {
        bail!("{} holds no *.test.mjs: the console would go untested in a browser", folder.display());
    }
    let state = shell::target_dir()?.join("e2e-demo");
    if state.exists() {
        demo::stop(&state)?;
        demo::remove(&state)?;
    }
    say("console: end to end in headless Chromium, against a demo");
    let running = demo::start_for_tests(&state)?;
    let file = state.join("for-tests.json");
    std::fs::write(&file, running.to_string())?;
    let outcome =
        shell::run(parts.name_in(&mut console.script("e2e")).env("HOOP_TEST_DEMO", &file).env("CI", "true"));
    let stopped = demo::stop(&state);
    outcome?;
    stopped
}
