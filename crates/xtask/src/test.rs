//! `cargo xtask test`: puts every real part on the machine, then runs every test there is.

use std::{
    process::{Command, Stdio},
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result};

use crate::{
    console::Console,
    demo::{self, Shape, State},
    kubernetes::{self, Node},
    packages,
    process::Process,
    shell::{self, say},
    totp,
};

/// Install the real parts, then run every test.
///
/// What it installs if it is missing, after saying so: Debian packages (PostgreSQL, OpenSSH, rsync, Chromium, psycopg, the
/// JDBC driver and Java, openssl), a Kubernetes node (built from Debian's sources), Node, cargo-nextest, s3s-fs, the npm packages of
/// console/, lab/oidc/ and lab/node/.
/// Then: console build, unit tests and generated-client check; the OpenID provider's own tests; `cargo nextest run
/// --workspace`; doc tests; the console's end-to-end tests in headless Chromium against a demo it starts and ends.
///
/// Tests find PostgreSQL, Java and Python where Debian puts them, and our programs beside themselves. The OpenID
/// provider they find by HOOP_TEST_OIDC (lab/oidc/server.mjs) and HOOP_TEST_NODE, the Kubernetes node that runs meanwhile by
/// HOOP_TEST_KUBERNETES (its folder).
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Only the Rust tests of every crate but `testkit` and `tests`; installs PostgreSQL alone. For the inner loop.
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
    packages::ensure_cargo_tool("cargo-nextest", &[], "runs the tests in parallel, one process each")?;
    if options.fast {
        say("fast: every crate but testkit and tests; no console");
        // The store and the PostgreSQL engine are nothing without a real server.
        packages::ensure(&[&packages::POSTGRESQL])?;
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
        &packages::OPENSSH_SERVER,
        &packages::OPENSSH_CLIENT,
        &packages::RSYNC,
        &packages::XVFB,
        &packages::XAUTH,
        &packages::X11_UTILS,
        &packages::GIT,
        &packages::HAPROXY,
        &packages::FAKETIME,
        &packages::RSYSLOG,
        &packages::CHROMIUM,
        &packages::PSYCOPG,
        &packages::PIP,
        &packages::JAVA,
        &packages::JDBC,
    ])?;
    packages::ensure_cargo_tool(
        "s3s-fs",
        &["--version", "0.14.1", "--features", "binary"],
        "keeps objects as files, for recordings to go to",
    )?;
    kubernetes::install()?;
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
    with_a_node(|node| {
        let mut nextest = shell::command("cargo")?;
        nextest.args(["nextest", "run", "--workspace"]).args(&options.nextest);
        shell::run(parts.name_in(&mut nextest).env("HOOP_TEST_KUBERNETES", node.folder()))
    })?;
    say("doc tests");
    shell::run(shell::command("cargo")?.args(["test", "--workspace", "--doc", "--quiet"]))?;
    if let Some(console) = console {
        end_to_end(&console, &parts)?;
    }
    say("all tests have passed");
    Ok(())
}

/// One node serves all tests: each has a namespace of its own on it.
fn with_a_node(work: impl FnOnce(&Node) -> Result<()>) -> Result<()> {
    let node = Node::fresh(&format!("test-{}", std::process::id()))?;
    let outcome = node.start().and_then(|()| work(&node));
    let stopped = node.stop();
    outcome?;
    stopped
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
        packages::npm_ci(&shell::root()?.join("lab/node"), &path)?;
        let node = std::env::split_paths(&path)
            .map(|folder| folder.join("node"))
            .find(|node| node.is_file())
            .context("node is not on PATH")?;
        let chromium = shell::which("chromium").context("chromium is not installed")?;
        let variables = vec![
            ("HOOP_TEST_OIDC", provider.join("server.mjs").into_os_string()),
            ("HOOP_TEST_NODE", node.into_os_string()),
            ("HOOP_CHROMIUM", chromium.into_os_string()),
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

/// What ada does in the demo, so that the console has something to show.
const STATEMENT: &str = "SELECT count(*) AS patients FROM patients";

/// The console in a browser, against the whole system.
fn end_to_end(console: &Console, parts: &Parts) -> Result<()> {
    let state = shell::target_dir()?.join("e2e-demo");
    if state.exists() {
        demo::stop(&state)?;
        demo::remove(&state)?;
    }
    say("console: end to end in headless Chromium, against a demo");
    let running = demo::start(&state, Shape { admin_may_connect: true, ..Shape::demo(true) })?;
    let outcome = drive_console(console, parts, &running);
    let stopped = demo::stop(&state);
    outcome?;
    stopped
}

fn drive_console(console: &Console, parts: &Parts, demo: &State) -> Result<()> {
    let engineer = demo.engineer()?;
    let psql = |statement: &str| {
        let mut command = demo::hoop(demo, engineer)?;
        command.args(["connect", demo::CONNECTION, "--", "psql", "-X", "-c", statement]);
        Ok::<_, anyhow::Error>(command)
    };
    let shown = shell::capture(&mut psql(STATEMENT)?)?;
    // The one row, behind the column's name and a line.
    let result = shown.lines().nth(2).context("psql showed no row")?;
    let mut live = psql("SELECT pg_sleep(300)")?
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    // The demo's own sign-in has used up the present code.
    let wait = totp::until_next(SystemTime::now());
    say(format!("waiting {} s for the next code of the second factor", wait.as_secs()));
    std::thread::sleep(wait);
    let admin = demo.admin()?;
    let mut script = console.script("e2e");
    parts.name_in(&mut script).env("CI", "true").envs([
        ("HOOP_E2E_URL", demo.url().as_str()),
        ("HOOP_E2E_USER", &admin.name),
        ("HOOP_E2E_PASSWORD", &admin.password),
        ("HOOP_E2E_TOTP_SECRET", &admin.totp_secret),
        ("HOOP_E2E_CONNECTION", demo::CONNECTION),
        ("HOOP_E2E_STATEMENT", "count(*) AS patients"),
        ("HOOP_E2E_RESULT", result.trim()),
        ("HOOP_E2E_KILL", "1"),
        ("HOOP_E2E_DEMO", &demo::report(demo)?),
    ]);
    let outcome = shell::run(&mut script);
    if let Some(process) = Process::with_id(live.id()) {
        process.end("psql", Duration::from_secs(5))?;
    }
    live.wait()?;
    outcome
}
