//! `cargo xtask bench recording`: what recording costs, what it takes on disk, and how fast evidence is verified and written.

use std::{
    fs,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::{
    LIMIT, Run,
    load::{self, Load, Mode, Script},
    paths::Paths,
    rows::Rows,
};
use crate::{
    demo::{self, Cluster, Shape, Size, State},
    packages,
    shell::{self, say},
};

/// Recording: off (a build for this bench alone), bounded and strict; disk, verification, ledger.
///
/// Starts a demo of its own whose agent has a switch that no other build has. In each mode: select-only prepared at 1 and 16
/// clients, TPC-B, COPY out, and an answer of many rows. Then: bytes of recording for each byte that the person saw, how fast
/// a recording and an export of the ledger are verified offline, and how many events a second the ledger takes.
///
/// Rows of --json: {"case", "path": "hoop", "value", "unit"}.
#[derive(clap::Args)]
pub(super) struct Recording {
    #[command(flatten)]
    run: Run,
    /// A short run, to see that it works.
    #[arg(long)]
    quick: bool,
}

/// The admin's second factor is asked for once, however long this takes.
const GATEWAY_CONFIG: &str = "[tokens]\nfresh_mfa = \"12h\"\n";
/// Present in the agent's spool: its streams are not recorded (agent/src/recording/unrecorded.rs).
const SWITCH: &str = "bench-without-recording";
/// Rows of one answer, some 100 bytes each: less than what is kept of a request.
const ANSWER: u32 = 100_000;

pub(super) fn run(options: &Recording) -> Result<()> {
    packages::ensure(&[&packages::POSTGRESQL, &packages::OPENSSL, &packages::PGBOUNCER])?;
    let folder = options.run.folder()?;
    let shape = Shape {
        host: false,
        kubernetes: false,
        dev: options.run.dev,
        build: !options.run.no_build,
        size: Size { max_connections: 100, shared_buffers_mib: 512 },
        gateway_config: GATEWAY_CONFIG,
        target_tls: false,
        admin_may_connect: false,
        features: "hoop-agent/bench-unrecorded",
    };
    let state = demo::start(&folder, shape)?;
    options.run.end(&folder, Rows::lines, |rows| measure(&state, options, rows))
}

fn measure(state: &State, options: &Recording, rows: &mut Rows) -> Result<()> {
    let effort = if options.quick { super::QUICK } else { super::FULL };
    super::prepare(&Cluster::of(state)?, state, effort)?;
    let rules = shell::capture(demo::hoop(state, state.admin()?)?.args(["admin", "export", "-o", "json"]))?;
    let switch = state.folder.join("agent/state/spool").join(SWITCH);
    for mode in ["off", "bounded", "strict"] {
        match mode {
            "off" => fs::write(&switch, "").with_context(|| switch.display().to_string())?,
            "bounded" => fs::remove_file(&switch)?,
            _ => strictly(state, &rules)?,
        }
        let mut mode_rows = Rows::default();
        loads(state, effort.seconds, &mut mode_rows)?;
        mode_rows.into_each(|case, path, value, unit| {
            if path == "hoop" {
                rows.add(format!("{mode}.{case}"), path, value, unit);
            }
        });
        if mode == "bounded" {
            on_disk(state, rows)?;
        }
    }
    verification(state, rows)?;
    examples(state, options, rows)
}

/// The same loads through `hoop connect`; a session each time.
fn loads(state: &State, seconds: u32, rows: &mut Rows) -> Result<()> {
    let mut paths = Paths::start(state, 32)?;
    paths.start_hoop(state)?;
    let hoop = paths.all().find(|path| path.name == "hoop").context("hoop was not started")?;
    let select = |clients| Load { script: Script::Select, mode: Mode::Prepared, clients, seconds };
    let tpcb = Load { script: Script::TpcB, mode: Mode::Simple, clients: 16, seconds };
    for case in [select(1), select(16), tpcb] {
        load::pgbench(&case, std::iter::once(hoop), rows)?;
    }
    load::copy_out(hoop, rows)?;
    let began = Instant::now();
    let mut psql = hoop.client("psql", LIMIT);
    let sql = format!("SELECT * FROM pgbench_accounts ORDER BY aid LIMIT {ANSWER}");
    let answer = shell::capture(psql.args(["-X", "-q", "-A", "-t", "-c", &sql]))?;
    ensure!(answer.lines().count() == ANSWER as usize, "the answer is not whole");
    let megabytes = answer.len() as f64 / 1e6;
    rows.add("rows.rate".into(), "hoop", megabytes / began.elapsed().as_secs_f64(), "MB/s");
    Ok(())
}

/// Puts the same rules in force, with strict recording.
fn strictly(state: &State, rules: &str) -> Result<()> {
    let mut rules: Value = serde_json::from_str(rules).context("the rules in force")?;
    let document = if rules.get("rules").is_some_and(Value::is_array) {
        &mut rules
    } else {
        rules.get_mut("document").context("no document")?
    };
    let list = document.get_mut("rules").and_then(Value::as_array_mut).context("no rules")?;
    for rule in list {
        rule["limits"]["recording"] = "strict".into();
    }
    let file = state.folder.join("strict.json");
    fs::write(&file, document.to_string())?;
    shell::capture(demo::hoop(state, state.admin()?)?.args(["admin", "apply", "-f"]).arg(&file)).map(drop)
}

fn sessions(state: &State) -> Result<Vec<Value>> {
    let list = shell::capture(demo::hoop(state, state.admin()?)?.args(["sessions", "ls", "-o", "json"]))?;
    serde_json::from_str::<Value>(&list)?.as_array().cloned().context("no list of sessions")
}

/// Bytes of recording for each byte that the person saw, of the newest session.
fn on_disk(state: &State, rows: &mut Rows) -> Result<()> {
    let session = ended(state)?;
    let number = |name: &str| session[name].as_f64().with_context(|| format!("no {name}"));
    rows.add("stored.mixed".into(), "hoop", number("recording_bytes")? / number("bytes_out")?, "bytes/byte");
    // Rows alone, none of them too many to be kept.
    let mut answer = demo::hoop(state, state.engineer()?)?;
    let sql = format!("SELECT * FROM pgbench_accounts ORDER BY aid LIMIT {ANSWER}");
    answer.args([
        "connect",
        demo::CONNECTION,
        "--",
        "psql",
        "-X",
        "-q",
        "-A",
        "-t",
        "-d",
        super::paths::DATABASE,
        "-c",
        &sql,
    ]);
    shell::capture(&mut answer)?;
    let session = ended(state)?;
    let number = |name: &str| session[name].as_f64().with_context(|| format!("no {name}"));
    rows.add("stored.rows".into(), "hoop", number("recording_bytes")? / number("bytes_out")?, "bytes/byte");
    Ok(())
}

/// The newest session, once its recording is sealed.
fn ended(state: &State) -> Result<Value> {
    let found = shell::wait_until(Duration::from_secs(60), || {
        Ok(sessions(state)?.into_iter().next().filter(|session| session["state"] == "ended"))
    })?;
    found.context("the newest session does not end")
}

/// How fast the longest recording and the ledger are verified, from files alone.
fn verification(state: &State, rows: &mut Rows) -> Result<()> {
    let longest = sessions(state)?
        .into_iter()
        .filter(|session| session["state"] == "ended")
        .max_by_key(|session| session["recording_bytes"].as_u64())
        .context("no session")?;
    let id = longest["id"].as_str().context("no id")?;
    let file = state.folder.join("longest.hoopr");
    let admin = || demo::hoop(state, state.admin()?);
    shell::capture(admin()?.args(["sessions", "export", id, "--format", "raw", "--out"]).arg(&file))?;
    let began = Instant::now();
    shell::capture(admin()?.args(["sessions", "verify", "--file"]).arg(&file))?;
    let megabytes = fs::metadata(&file)?.len() as f64 / 1e6;
    rows.add("verify.recording".into(), "hoop", megabytes / began.elapsed().as_secs_f64(), "MB/s");
    rows.add("verify.recording.size".into(), "hoop", megabytes, "MB");
    fs::remove_file(&file)?;
    Ok(())
}

/// What needs no gateway: examples of the crates print `case value unit`.
fn examples(state: &State, options: &Recording, rows: &mut Rows) -> Result<()> {
    let cluster = Cluster::of(state)?;
    cluster.sql("postgres", "DROP DATABASE IF EXISTS ledger;")?;
    cluster.sql("postgres", &format!("CREATE DATABASE ledger OWNER {};", demo::ROLE))?;
    let sqlite = state.folder.join("ledger.db");
    let _ = fs::remove_file(&sqlite);
    let (role, password, port) = (demo::ROLE, &state.app_password, state.ports.postgres);
    for (package, example) in [("hoop-ledger", "verify_speed"), ("hoop-store", "append_speed")] {
        say(format!("{package}: {example}"));
        let mut cargo = shell::command("cargo")?;
        cargo.args(["run", "--quiet", "-p", package, "--example", example]);
        if !options.run.dev {
            cargo.arg("--release");
        }
        cargo.args(["--", if options.quick { "quick" } else { "full" }]);
        // By the environment: an address with a password is no argument.
        cargo.env("HOOP_BENCH_SQLITE", format!("sqlite:{}", sqlite.display()));
        cargo.env("HOOP_BENCH_POSTGRES", format!("postgres://{role}:{password}@127.0.0.1:{port}/ledger"));
        for line in shell::capture(&mut cargo)?.lines() {
            let [case, value, unit] = line.split_whitespace().collect::<Vec<_>>()[..] else {
                bail!("not a figure: {line:?}");
            };
            let unit = match unit {
                "events/s" => "events/s",
                "MB/s" => "MB/s",
                other => bail!("not a unit: {other:?}"),
            };
            rows.add(case.to_owned(), "hoop", value.parse().with_context(|| line.to_owned())?, unit);
        }
    }
    Ok(())
}
