//! `cargo xtask bench`: the same loads directly, through pgbouncer and through hoop, in one run on one machine; and how
//! long policy takes to decide, how fast answers are masked, what a host's sessions take, and how long a session takes to end
//! that is no longer allowed.

mod kubernetes;
mod load;
mod masking;
mod paths;
mod policy;
mod recording;
mod revoke;
mod rows;
mod ssh;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result};

use crate::{
    demo::{self, Cluster, Shape, Size, State},
    packages,
    shell::{self, say},
};
use load::{Load, Mode, Script};
use paths::Paths;
use rows::Rows;

/// Measure hoop against a direct connection and against pgbouncer, and its decisions.
#[derive(clap::Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    Postgres(Postgres),
    Masking(masking::Masking),
    Policy(policy::Policy),
    Recording(recording::Recording),
    Revoke(revoke::Revoke),
    Ssh(ssh::Ssh),
    Kubernetes(kubernetes::Kubernetes),
}

/// What the benches with a demo of their own have in common.
#[derive(clap::Args)]
struct Run {
    /// Write the rows to this file, as a JSON list.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Use unoptimised builds; the figures mean nothing.
    #[arg(long)]
    dev: bool,
    /// Build nothing: take the binaries as they were built last.
    #[arg(long)]
    no_build: bool,
    /// Folder of the demo [default: ~/.cache/hoop/bench].
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
}

impl Run {
    /// Where everything is made anew: what an earlier run left there, perhaps of another version, is ended and removed.
    fn folder(&self) -> Result<PathBuf> {
        let folder = match &self.state {
            Some(folder) => folder.clone(),
            None => packages::cache()?.join("bench"),
        };
        if State::read(&folder)?.is_some() {
            demo::stop(&folder)?;
            demo::remove(&folder)?;
        }
        Ok(folder)
    }

    /// Measures, ends the demo, and shows the rows.
    fn end<T>(
        &self,
        folder: &Path,
        shown: fn(&Rows) -> String,
        measure: impl FnOnce(&mut Rows) -> Result<T>,
    ) -> Result<T> {
        let mut rows = Rows::default();
        let outcome = measure(&mut rows);
        let stopped = demo::stop(folder);
        // What was measured before a failure is worth seeing.
        print!("{}", shown(&rows));
        let measured = outcome?;
        if let Some(file) = &self.json {
            write_json(file, &rows)?;
        }
        stopped.map(|()| measured)
    }
}

/// PostgreSQL: pgbench, COPY, session opening, idle sessions; rate, latency, CPU and memory.
///
/// Starts a demo of its own (release builds, recording on), pgbouncer with session pooling, and `hoop connect` with a
/// local port. Each load runs directly, through pgbouncer, and through hoop, a few seconds each in turn. No path uses TLS
/// to PostgreSQL, unless --target-tls asks for it on hoop's. CPU is that of what stands between client and server:
/// pgbouncer, or gateway + agent + CLI; PostgreSQL and the load itself are left out. Every load is bounded in time.
///
/// Rows of --json: {"case", "path": "direct|pgbouncer|hoop", "value", "unit"}.
#[derive(clap::Args)]
struct Postgres {
    #[command(flatten)]
    run: Run,
    /// A short run, to see that it works: 2 s a load, 100 MB copied, 100 idle sessions.
    #[arg(long)]
    quick: bool,
    /// Only cases whose name contains this: select, tpcb, connect, copy, open, idle.
    #[arg(long, value_name = "TEXT", default_value = "")]
    only: String,
    /// Leave hoop out: what direct and pgbouncer reach on this machine.
    #[arg(long)]
    baseline: bool,
    /// Let the agent speak TLS (verify-full) to PostgreSQL.
    #[arg(long)]
    target_tls: bool,
}

/// How much is done.
#[derive(Debug, Clone, Copy)]
struct Effort {
    /// Seconds of each load of pgbench.
    seconds: u32,
    /// pgbench's scale: 100,000 accounts each, some 10 MB as COPY text.
    scale: u32,
    /// Idle connections of one session, and idle sessions.
    idle: usize,
    /// Sessions opened one after the other.
    opened: usize,
}

const FULL: Effort = Effort { seconds: 18, scale: 100, idle: 1000, opened: 40 };
const QUICK: Effort = Effort { seconds: 2, scale: 10, idle: 100, opened: 8 };

/// Room for a thousand connections through one `hoop connect`, and for a thousand of those: two of the gateway's each.
const GATEWAY_CONFIG: &str = "[limits]\nsessions_per_user = 4096\nconnections_per_address = 16384\nstreams_per_session = 4096\nwaiting_per_agent = 4096\n";

/// The subcommand.
pub(crate) fn run(options: &Options) -> Result<()> {
    match &options.what {
        What::Postgres(options) => postgres(options),
        What::Masking(options) => masking::run(options),
        What::Policy(options) => policy::run(options),
        What::Recording(options) => recording::run(options),
        What::Revoke(options) => revoke::run(options),
        What::Ssh(options) => ssh::run(options),
        What::Kubernetes(options) => kubernetes::run(options),
    }
}

fn postgres(options: &Postgres) -> Result<()> {
    packages::ensure(&[&packages::POSTGRESQL, &packages::OPENSSL, &packages::PGBOUNCER])?;
    let effort = if options.quick { QUICK } else { FULL };
    let folder = options.run.folder()?;
    let shape = Shape {
        host: false,
        kubernetes: false,
        dev: options.run.dev,
        build: !options.run.no_build,
        size: Size { max_connections: u32::try_from(effort.idle)? + 200, shared_buffers_mib: 1024 },
        gateway_config: GATEWAY_CONFIG,
        target_tls: options.target_tls,
        admin_may_connect: false,
        features: "",
    };
    let state = if options.baseline {
        demo::start_target(&folder, shape.size)?
    } else {
        demo::start(&folder, shape)?
    };
    options.run.end(&folder, Rows::table, |rows| measure(&state, effort, options, rows))
}

fn write_json(file: &Path, rows: &Rows) -> Result<()> {
    std::fs::write(file, format!("{}\n", rows.json())).with_context(|| file.display().to_string())?;
    say(format!("rows written to {}", file.display()));
    Ok(())
}

fn measure(state: &State, effort: Effort, options: &Postgres, rows: &mut Rows) -> Result<()> {
    let only = options.only.as_str();
    prepare(&Cluster::of(state)?, state, effort)?;
    let mut paths = Paths::start(state, effort.idle)?;
    if !options.baseline {
        paths.start_hoop(state)?;
    }
    let cluster = Cluster::of(state)?;
    // Idle memory first: a process that has carried load keeps pages of it, which would hide what a connection takes.
    let loads =
        [("idle", effort.idle), ("idle_sessions", effort.idle), ("open", effort.opened), ("copy_out", 1)];
    for (name, amount) in loads {
        for path in paths.all().filter(|_| name.contains(only)) {
            say(format!("{name} {} ({amount})", path.name));
            match name {
                "copy_out" => load::copy_out(path, rows)?,
                "idle_sessions" => load::idle_sessions(path, &cluster, amount, rows)?,
                "open" => load::open(path, amount, rows)?,
                _ => load::idle(path, &cluster, amount, rows)?,
            }
        }
    }
    for case in load::cases(effort.seconds).into_iter().filter(|case| case.name().contains(only)) {
        load::pgbench(&case, paths.all(), rows)?;
    }
    Ok(())
}

/// The database of the loads, kept between runs.
fn prepare(cluster: &Cluster<'_>, state: &State, effort: Effort) -> Result<()> {
    let database = paths::DATABASE;
    let role = demo::ROLE;
    let there = cluster
        .sql("postgres", &format!("SELECT count(*) FROM pg_database WHERE datname = '{database}';"))?;
    if there.trim() == "0" {
        cluster.sql("postgres", &format!("CREATE DATABASE {database} OWNER {role};"))?;
    }
    let scale = "SELECT CASE WHEN to_regclass('pgbench_branches') IS NULL THEN 0 ELSE \
        (xpath('/row/n/text()', query_to_xml('SELECT count(*) AS n FROM pgbench_branches', false, true, '')))[1]::text::int END;";
    if cluster.sql(database, scale)?.trim() == effort.scale.to_string() {
        return Ok(());
    }
    say(format!("filling the bench database: {} accounts", effort.scale * 100_000));
    let mut init = std::process::Command::new("timeout");
    init.arg("900").arg(packages::postgres_bin()?.join("pgbench"));
    init.args(["-i", "-q", "-s", &effort.scale.to_string()]);
    init.envs([("PGHOST", "127.0.0.1"), ("PGDATABASE", database), ("PGUSER", role)]);
    init.env("PGPORT", state.ports.postgres.to_string()).env("PGPASSWORD", &state.app_password);
    shell::capture(&mut init)?;
    cluster.sql(database, "CHECKPOINT;").map(drop)
}

/// How long any one load may take before it is given up.
const LIMIT: Duration = Duration::from_secs(300);

/// The loads by pgbench.
const fn load(script: Script, mode: Mode, clients: u32, seconds: u32) -> Load {
    Load { script, mode, clients, seconds }
}
