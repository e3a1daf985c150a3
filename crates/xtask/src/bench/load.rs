//! The loads, and what is read off each: rate, latency, CPU of what stands between, memory.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};

use super::{
    LIMIT,
    paths::{DATABASE, Path},
    rows::Rows,
};
use crate::{
    demo::Cluster,
    shell::{self, say},
};

/// What each transaction does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Script {
    /// One SELECT by primary key.
    Select,
    /// pgbench's TPC-B.
    TpcB,
    /// One SELECT on a connection of its own.
    Connect,
}

/// In which form statements go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// The simple protocol.
    Simple,
    /// Prepared once, then bound.
    Prepared,
}

/// One run of pgbench.
#[derive(Debug, Clone, Copy)]
pub(super) struct Load {
    /// What.
    pub script: Script,
    /// How.
    pub mode: Mode,
    /// By how many at once.
    pub clients: u32,
    /// How long.
    pub seconds: u32,
}

impl Load {
    /// Stable: stands in the JSON.
    pub(super) fn name(&self) -> String {
        let script = match self.script {
            Script::Select => "select",
            Script::TpcB => "tpcb",
            Script::Connect => "connect",
        };
        let mode = match self.mode {
            Mode::Simple => "simple",
            Mode::Prepared => "prepared",
        };
        format!("{script}.{mode}.c{}", self.clients)
    }

    fn arguments(&self) -> Vec<String> {
        let mut arguments: Vec<String> = vec!["-n".into(), "-c".into(), self.clients.to_string()];
        arguments.extend([
            "-j".into(),
            self.clients.min(2).to_string(),
            "-T".into(),
            self.seconds.to_string(),
        ]);
        match self.mode {
            Mode::Simple => {}
            Mode::Prepared => arguments.extend(["-M".into(), "prepared".into()]),
        }
        match self.script {
            Script::Select => arguments.push("-S".into()),
            Script::TpcB => {}
            Script::Connect => arguments.extend(["-S".into(), "-C".into()]),
        }
        arguments
    }
}

/// All runs of pgbench.
pub(super) fn cases(seconds: u32) -> Vec<Load> {
    let both = [1, 16];
    let of = |script, mode| both.map(|clients| super::load(script, mode, clients, seconds));
    [
        of(Script::Select, Mode::Simple),
        of(Script::Select, Mode::Prepared),
        of(Script::TpcB, Mode::Simple),
        of(Script::Connect, Mode::Simple),
    ]
    .concat()
}

/// Seconds of one turn.
const TURN: u32 = 6;

/// Runs pgbench on each path in turn, and again until its time is over, so that what else the machine does meets all of them
/// alike; keeps rate, latencies and CPU.
pub(super) fn pgbench<'a>(load: &Load, paths: impl Iterator<Item = &'a Path>, rows: &mut Rows) -> Result<()> {
    let mut all: Vec<_> = paths.map(|path| (path, Ran::default())).collect();
    let turns = (load.seconds / TURN).max(1);
    for turn in 1..=turns {
        for (path, ran) in &mut all {
            say(format!("{} {}, {turn} of {turns}", load.name(), path.name));
            ran.once(&Load { seconds: load.seconds / turns, ..*load }, path)
                .with_context(|| format!("{} through {}", load.name(), path.name))?;
        }
    }
    all.into_iter().for_each(|(path, ran)| ran.tell(load, path, rows));
    Ok(())
}

/// What runs of one load on one path came to.
#[derive(Default)]
struct Ran {
    transactions: f64,
    seconds: f64,
    /// Seconds in which connections were made, of all transactions together.
    connecting: f64,
    /// CPU seconds of what stands between.
    spent: Vec<(&'static str, f64)>,
    latencies: Vec<u64>,
}

impl Ran {
    fn once(&mut self, load: &Load, path: &Path) -> Result<()> {
        let folder = Scratch::new()?;
        let before = cpu(path)?;
        let mut command = path.client("pgbench", Duration::from_secs(u64::from(load.seconds)) + LIMIT);
        command.args(load.arguments()).arg("-l");
        command.arg(format!("--log-prefix={}", folder.0.join("tx").display()));
        let printed = shell::capture(&mut command)?;
        let after = cpu(path)?;
        let number = |label| number_after(&printed, label);
        let transactions = number("transactions actually processed:").context("pgbench counts nothing")?;
        let failed = number("failed transactions:").unwrap_or(0.0);
        ensure!(failed == 0.0, "{failed} transactions failed");
        let rate = number("\ntps =").context("pgbench prints no rate")?;
        self.transactions += transactions;
        self.seconds += transactions / rate;
        let spent = since(&before, &after);
        match self.spent.is_empty() {
            true => self.spent = spent,
            false => self.spent.iter_mut().zip(spent).for_each(|(all, (_, now))| all.1 += now),
        }
        if load.script == Script::Connect {
            // pgbench's log leaves the connecting out.
            let mean = number("average connection time =").context("no connection time")?;
            self.connecting += mean / 1000.0 * transactions;
        } else {
            self.latencies.extend(latencies(&folder.0)?);
            ensure!(!self.latencies.is_empty(), "pgbench logged no transaction");
        }
        Ok(())
    }

    fn tell(mut self, load: &Load, path: &Path, rows: &mut Rows) {
        let name = load.name();
        rows.add(format!("{name}.rate"), path.name, self.transactions / self.seconds, "tx/s");
        add_cpu(&name, path, &self.spent, self.transactions / 100_000.0, "s/100k tx", rows);
        if load.script == Script::Connect {
            let mean = self.connecting / self.transactions * 1e6;
            rows.add(format!("{name}.connecting_mean"), path.name, mean, "us");
            return;
        }
        self.latencies.sort_unstable();
        let latencies = &self.latencies;
        rows.add(format!("{name}.latency_mean"), path.name, mean(latencies), "us");
        rows.add(format!("{name}.latency_p50"), path.name, quantile(latencies, 0.5), "us");
        rows.add(format!("{name}.latency_p99"), path.name, quantile(latencies, 0.99), "us");
    }
}

/// Reads the accounts by COPY and counts what comes.
pub(super) fn copy_out(path: &Path, rows: &mut Rows) -> Result<()> {
    let before = cpu(path)?;
    let started = Instant::now();
    let mut child = path
        .client("psql", LIMIT)
        .args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-c", "COPY pgbench_accounts TO STDOUT"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut out = child.stdout.take().context("no stdout")?;
    let (mut buffer, mut bytes) = (vec![0; 1 << 18], 0_u64);
    loop {
        match out.read(&mut buffer)? {
            0 => break,
            read => bytes += read as u64,
        }
    }
    ensure!(child.wait()?.success(), "COPY through {} failed", path.name);
    let seconds = started.elapsed().as_secs_f64();
    let after = cpu(path)?;
    ensure!(bytes > 1_000_000, "COPY through {} gave only {bytes} bytes", path.name);
    let gigabytes = bytes as f64 / 1e9;
    rows.add("copy_out.rate".into(), path.name, gigabytes * 1000.0 / seconds, "MB/s");
    add_cpu("copy_out", path, &since(&before, &after), gigabytes, "s/GB", rows);
    Ok(())
}

/// Opens sessions one after the other: from nothing to the first byte of the target.
pub(super) fn open(path: &Path, count: usize, rows: &mut Rows) -> Result<()> {
    let mut times = Vec::new();
    for _ in 0..count {
        let started = Instant::now();
        match &path.opener {
            None => open_plainly(path)?,
            Some((program, profile)) => drop(Session::open(path, program, profile, 30)?),
        }
        times.push(u64::try_from(started.elapsed().as_micros())?);
    }
    times.sort_unstable();
    rows.add("open.p50".into(), path.name, quantile(&times, 0.5) / 1000.0, "ms");
    rows.add("open.p99".into(), path.name, quantile(&times, 0.99) / 1000.0, "ms");
    Ok(())
}

/// Holds idle connections and looks at memory.
pub(super) fn idle(path: &Path, cluster: &Cluster<'_>, count: usize, rows: &mut Rows) -> Result<()> {
    let folder = Scratch::new()?;
    let script = folder.0.join("idle.sql");
    // A statement first: pgbouncer gives a session its connection to the server only then.
    fs::write(&script, "SELECT 1;\n\\sleep 600 s\n")?;
    // What earlier loads left must be gone (pgbouncer keeps the server's end for a while).
    let gone = shell::wait_until(Duration::from_secs(60), || Ok((connections(cluster)? == 0).then_some(())))?;
    gone.with_context(|| {
        format!("{} connections of earlier loads do not end", connections(cluster).unwrap_or(0))
    })?;
    let before = memory(path)?;
    let mut command = path.client("pgbench", LIMIT);
    command.args(["-n", "-c", &count.to_string(), "-j", "1", "-t", "1", "-f"]).arg(&script);
    let mut load = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let outcome = hold_idle(path, cluster, count);
    // `timeout` passes the signal on to pgbench.
    if let Some(process) = crate::process::Process::with_id(load.id()) {
        process.end("pgbench", Duration::from_secs(5))?;
    }
    load.wait()?;
    let after = outcome?;
    let mut total = 0.0;
    for ((name, before), (_, after)) in before.iter().zip(&after) {
        let each = after.saturating_sub(*before) as f64 / count as f64;
        total += each;
        rows.add(format!("idle.{name}"), path.name, each, "KiB/connection");
        rows.add(format!("idle.{name}.resident"), path.name, *after as f64 / 1024.0, "MiB");
    }
    if !before.is_empty() {
        rows.add("idle.total".into(), path.name, total, "KiB/connection");
    }
    Ok(())
}

fn hold_idle(path: &Path, cluster: &Cluster<'_>, count: usize) -> Result<Vec<(&'static str, u64)>> {
    let all =
        shell::wait_until(Duration::from_secs(120), || Ok((connections(cluster)? >= count).then_some(())))?;
    if all.is_none() {
        bail!("only {} of {count} connections stand through {}", connections(cluster)?, path.name);
    }
    let mut last = memory(path)?;
    // Until nothing moves any more: what was needed to open them is not what it takes to keep them.
    for _ in 0..20 {
        std::thread::sleep(Duration::from_millis(500));
        let now = memory(path)?;
        if now.iter().zip(&last).all(|((_, now), (_, last))| now.abs_diff(*last) * 200 < *last) {
            return Ok(now);
        }
        last = now;
    }
    Ok(last)
}

fn connections(cluster: &Cluster<'_>) -> Result<usize> {
    let sql = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = '{DATABASE}' AND usename <> 'postgres';"
    );
    cluster.sql("postgres", &sql)?.trim().parse().context("count")
}

fn cpu(path: &Path) -> Result<Vec<(&'static str, f64)>> {
    path.between.iter().map(|(name, process)| Ok((*name, process.cpu_seconds()?))).collect()
}

fn since(before: &[(&'static str, f64)], after: &[(&'static str, f64)]) -> Vec<(&'static str, f64)> {
    after.iter().zip(before).map(|((name, after), (_, before))| (*name, after - before)).collect()
}

fn memory(path: &Path) -> Result<Vec<(&'static str, u64)>> {
    path.between.iter().map(|(name, process)| Ok((*name, process.resident_kib()?))).collect()
}

fn add_cpu(
    case: &str,
    path: &Path,
    spent: &[(&'static str, f64)],
    amount: f64,
    unit: &'static str,
    rows: &mut Rows,
) {
    for (name, seconds) in spent {
        rows.add(format!("{case}.cpu.{name}"), path.name, seconds / amount, unit);
    }
    if !spent.is_empty() {
        let total: f64 = spent.iter().map(|(_, seconds)| seconds).sum();
        rows.add(format!("{case}.cpu.total"), path.name, total / amount, unit);
    }
}

/// <https://www.postgresql.org/docs/current/protocol-message-formats.html>, StartupMessage, version 3.0.
pub(super) fn startup_message(user: &str, database: &str) -> Vec<u8> {
    let mut body = 196_608_u32.to_be_bytes().to_vec();
    for text in ["user", user, "database", database] {
        body.extend_from_slice(text.as_bytes());
        body.push(0);
    }
    body.push(0);
    let length = u32::try_from(body.len() + 4).unwrap_or(u32::MAX);
    [length.to_be_bytes().to_vec(), body].concat()
}

/// Terminate.
const GOODBYE: [u8; 5] = [b'X', 0, 0, 0, 4];

fn open_plainly(path: &Path) -> Result<()> {
    let mut stream = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], path.port)))?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    stream.write_all(&startup_message(&path.user, DATABASE))?;
    stream.read_exact(&mut [0]).with_context(|| format!("nothing comes through {}", path.name))
}

/// A session of a `hoop connect --stdio` of its own, after the first byte of the target. It ends when it is dropped.
struct Session {
    child: Option<Child>,
    stdin: ChildStdin,
    stdout: Option<ChildStdout>,
}

impl Session {
    fn open(path: &Path, program: &std::path::Path, profile: &std::path::Path, seconds: u32) -> Result<Self> {
        let mut child = Command::new("timeout")
            .arg(seconds.to_string())
            .arg(program)
            .args(["connect", crate::demo::CONNECTION, "--stdio"])
            .env("HOOP_CONFIG_DIR", profile)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let mut stdin = child.stdin.take().context("no stdin")?;
        stdin.write_all(&startup_message(&path.user, DATABASE))?;
        let mut stdout = child.stdout.take().context("no stdout")?;
        stdout.read_exact(&mut [0]).context("`hoop connect --stdio` gave no byte")?;
        Ok(Self { child: Some(child), stdin, stdout: Some(stdout) })
    }
}

impl Drop for Session {
    /// The time is taken; this is courtesy, so that it ends at once and is sealed.
    fn drop(&mut self) {
        drop(self.stdin.write_all(&GOODBYE));
        let (stdout, child) = (self.stdout.take(), self.child.take());
        std::thread::spawn(move || {
            drop(stdout.map(|mut stdout| std::io::copy(&mut stdout, &mut std::io::sink())));
            drop(child.map(Child::wait_with_output));
        });
    }
}

/// Holds idle sessions, each by a command line of its own, and looks at memory.
pub(super) fn idle_sessions(path: &Path, cluster: &Cluster<'_>, count: usize, rows: &mut Rows) -> Result<()> {
    let Some((program, profile)) = &path.opener else { return Ok(()) };
    let before = memory(path)?;
    let mut held = Vec::with_capacity(count);
    while held.len() < count {
        held.push(Session::open(path, program, profile, 600)?);
    }
    let after = hold_idle(path, cluster, count)?;
    for ((name, before), (_, after)) in before.iter().zip(&after).filter(|((name, _), _)| *name != "cli") {
        let each = after.saturating_sub(*before) as f64 / count as f64;
        rows.add(format!("idle_sessions.{name}"), path.name, each, "KiB/session");
        rows.add(format!("idle_sessions.{name}.resident"), path.name, *after as f64 / 1024.0, "MiB");
    }
    Ok(())
}

fn number_after(text: &str, label: &str) -> Option<f64> {
    let rest = text.split(label).nth(1)?.trim_start();
    let digits: String = rest.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
    digits.parse().ok()
}

/// pgbench's log, a line a transaction: client, number, microseconds, script, seconds, microseconds.
fn latencies(folder: &std::path::Path) -> Result<Vec<u64>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder)? {
        let text = fs::read_to_string(entry?.path())?;
        all.extend(text.lines().filter_map(|line| line.split(' ').nth(2)?.parse::<u64>().ok()));
    }
    Ok(all)
}

fn mean(sorted: &[u64]) -> f64 {
    sorted.iter().sum::<u64>() as f64 / sorted.len().max(1) as f64
}

/// The value that `part` of the others are not above (nearest rank).
pub(super) fn quantile(sorted: &[u64], part: f64) -> f64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index within the slice")]
    let rank = ((sorted.len() as f64 * part).ceil() as usize).clamp(1, sorted.len().max(1));
    sorted.get(rank - 1).map_or(0.0, |value| *value as f64)
}

/// A folder that goes away.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("hoop-bench-{}", std::process::id()));
        drop(fs::remove_dir_all(&folder));
        fs::create_dir(&folder).with_context(|| folder.display().to_string())?;
        Ok(Self(folder))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_pgbench_prints_is_read() {
        let text = "number of transactions actually processed: 162423\nnumber of failed transactions: 0 (0.000%)\n\
            latency average = 0.098 ms\ninitial connection time = 4.3 ms\ntps = 16243.811 (without initial connection time)\n";
        assert_eq!(number_after(text, "transactions actually processed:"), Some(162_423.0));
        assert_eq!(number_after(text, "failed transactions:"), Some(0.0));
        assert_eq!(number_after(text, "\ntps ="), Some(16_243.811));
        assert_eq!(number_after(text, "nothing"), None);
    }

    #[test]
    fn quantiles_are_values_that_occurred() {
        let values: Vec<u64> = (1..=100).collect();
        assert_eq!((quantile(&values, 0.5), quantile(&values, 0.99)), (50.0, 99.0));
        assert_eq!(quantile(&[7], 0.99), 7.0);
        assert_eq!(quantile(&[], 0.5), 0.0);
    }

    #[test]
    fn the_startup_message_is_that_of_the_protocol() {
        let message = startup_message("ada", DATABASE);
        assert_eq!(message.len(), 33);
        assert_eq!(message, b"\0\0\0\x21\0\x03\0\0user\0ada\0database\0bench\0\0");
    }

    #[test]
    fn names_are_stable_and_unique() {
        let names: Vec<String> = cases(1).iter().map(Load::name).collect();
        assert_eq!(
            names,
            [
                "select.simple.c1",
                "select.simple.c16",
                "select.prepared.c1",
                "select.prepared.c16",
                "tpcb.simple.c1",
                "tpcb.simple.c16",
                "connect.simple.c1",
                "connect.simple.c16"
            ]
        );
    }
}
