//! `cargo xtask bench ssh`: the same work on the same host, by OpenSSH directly and through hoop, with the same cipher.

use std::{
    fs::{self, File},
    io::{Read, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};

use super::{Run, load::quantile, rows::Rows};
use crate::{
    demo::{self, HOST, Shape, Size, State},
    packages,
    process::Process,
    shell::{self, say},
};

/// SSH: one command, bulk both ways, files by sftp and rsync, keystrokes beside a transfer, new sessions, idle sessions.
///
/// Starts a demo of its own (release builds, recording on) with an OpenSSH server. Each load runs directly and through hoop,
/// one right after the other, with the cipher that OpenSSH chooses by itself (chacha20-poly1305) at both clients; bulk with aes256-gcm
/// too, which `hoop ssh` chooses. Every load is bounded in time.
///
/// Rows of --json: {"case", "path": "direct|hoop", "value", "unit"}.
#[derive(clap::Args)]
pub(super) struct Ssh {
    #[command(flatten)]
    run: Run,
    /// A short run, to see that it works.
    #[arg(long)]
    quick: bool,
    /// Only cases whose name contains this: true, opened, idle, out, in, sftp, rsync, echo.
    #[arg(long, value_name = "TEXT", default_value = "")]
    only: String,
}

/// How much is done.
#[derive(Debug, Clone, Copy)]
struct Effort {
    /// Of each bulk transfer.
    megabytes: u64,
    /// Small files of rsync.
    files: usize,
    /// Commands one after the other, and at once.
    commands: usize,
    /// Idle sessions.
    idle: usize,
    /// Keystrokes.
    keys: usize,
}

const FULL: Effort = Effort { megabytes: 2048, files: 10_000, commands: 30, idle: 50, keys: 400 };
const QUICK: Effort = Effort { megabytes: 64, files: 200, commands: 5, idle: 5, keys: 40 };
/// How long any one load may take, s.
const LIMIT: &str = "300";
/// What two OpenSSHs agree on, if nobody says anything.
const CIPHER: &str = "chacha20-poly1305@openssh.com";
/// The quickest that they have: next to nothing hides what is in between.
const QUICKEST: &str = "aes256-gcm@openssh.com";
/// Of bulk.
const CIPHERS: [(&str, &str); 2] = [("", CIPHER), (".aes", QUICKEST)];
/// Commands at the same time, where sessions are opened as fast as they can be.
const AT_ONCE: usize = 4;
/// A person's pause between two keys.
const PAUSE: Duration = Duration::from_millis(20);

/// One way to the host.
struct Way {
    name: &'static str,
    /// What is run in the place of `ssh`.
    program: Vec<String>,
    /// What the host is called.
    host: &'static str,
    /// Where the command finds its sign-in.
    profile: Option<PathBuf>,
    agent: Option<Process>,
}

pub(super) fn run(options: &Ssh) -> Result<()> {
    packages::ensure(&[
        &packages::POSTGRESQL,
        &packages::OPENSSL,
        &packages::OPENSSH_SERVER,
        &packages::OPENSSH_CLIENT,
        &packages::RSYNC,
    ])?;
    let folder = options.run.folder()?;
    let size = Size { max_connections: 50, shared_buffers_mib: 64 };
    let shape = Shape { build: !options.run.no_build, size, ..Shape::demo(options.run.dev) };
    let state = demo::start(&folder, shape)?;
    options.run.end(&folder, Rows::table, |rows| measure(&state, options, rows))
}

fn measure(state: &State, options: &Ssh, rows: &mut Rows) -> Result<()> {
    type Load = fn(&Way, Effort, &Path, &mut Rows) -> Result<()>;
    // Idle memory first: a process that has carried load keeps pages of it.
    const LOADS: [(&str, Load); 8] = [
        ("idle", idle),
        ("true", one_command),
        ("opened", opened),
        ("echo", echo),
        ("out", out),
        ("in", into),
        ("sftp", sftp),
        ("rsync", rsync),
    ];
    let effort = if options.quick { QUICK } else { FULL };
    let ways = [direct(state)?, hoop(state)?];
    let scratch = state.folder.join("bench-ssh");
    fs::create_dir_all(&scratch)?;
    for (name, load) in LOADS {
        for way in ways.iter().filter(|_| name.contains(options.only.as_str())) {
            say(format!("{name} {}", way.name));
            load(way, effort, &scratch, rows).with_context(|| format!("{name} {}", way.name))?;
        }
    }
    Ok(())
}

fn direct(state: &State) -> Result<Way> {
    let folder = state.folder.join("sshd");
    let known = folder.join("known_hosts");
    let key = fs::read_to_string(folder.join("host_key.pub")).context("the host's key")?;
    fs::write(&known, format!("[127.0.0.1]:{} {key}", state.ports.ssh))?;
    let option = |name: &str, value: String| ["-o".to_owned(), format!("{name}={value}")];
    let mut program = vec!["ssh".to_owned(), "-F".into(), "none".into()];
    program.extend(option("UserKnownHostsFile", known.display().to_string()));
    program.extend(option("IdentityFile", demo::host_key(state).display().to_string()));
    program.extend(option("Port", state.ports.ssh.to_string()));
    Ok(Way { name: "direct", program, host: "127.0.0.1", profile: None, agent: None })
}

fn hoop(state: &State) -> Result<Way> {
    let binary = state.binaries.as_ref().context("no binaries")?.hoop.display().to_string();
    let program = vec![binary, "ssh".into()];
    let profile = Some(state.profile(state.engineer()?));
    let agent = Some(state.running.agent.context("no agent")?);
    Ok(Way { name: "hoop", program, host: HOST, profile, agent })
}

impl Way {
    /// A client of the host with these options, given up after a while.
    fn ssh(&self, options: &[&str], command: &[&str]) -> Command {
        self.ssh_with(CIPHER, options, command)
    }

    fn ssh_with(&self, cipher: &str, options: &[&str], command: &[&str]) -> Command {
        let mut ssh = Command::new("timeout");
        ssh.arg(LIMIT).args(&self.program).args(["-o", &format!("Ciphers={cipher}")]);
        ssh.args(options).arg(self.host).args(command);
        self.signed_in(&mut ssh);
        ssh
    }

    fn signed_in(&self, command: &mut Command) {
        if let Some(profile) = &self.profile {
            command.env("HOOP_CONFIG_DIR", profile);
        }
    }
}

/// `ssh host true`, from nothing to nothing.
fn one_command(way: &Way, effort: Effort, _: &Path, rows: &mut Rows) -> Result<()> {
    let mut taken = Vec::new();
    for _ in 0..effort.commands {
        let began = Instant::now();
        shell::run(&mut way.ssh(&[], &["true"]))?;
        taken.push(micros(began));
    }
    taken.sort_unstable();
    rows.add("ssh.true.p50".into(), way.name, quantile(&taken, 0.5) / 1000.0, "ms");
    rows.add("ssh.true.p99".into(), way.name, quantile(&taken, 0.99) / 1000.0, "ms");
    Ok(())
}

/// As many as there can be.
fn opened(way: &Way, effort: Effort, _: &Path, rows: &mut Rows) -> Result<()> {
    let began = Instant::now();
    thread::scope(|scope| {
        let worker = || (0..effort.commands).try_for_each(|_| shell::run(&mut way.ssh(&[], &["true"])));
        let workers: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(worker)).collect();
        workers
            .into_iter()
            .try_for_each(|worker| worker.join().unwrap_or_else(|_| anyhow::bail!("a worker broke")))
    })?;
    let opened = (AT_ONCE * effort.commands) as f64;
    rows.add("ssh.opened.rate".into(), way.name, opened / began.elapsed().as_secs_f64(), "sessions/s");
    Ok(())
}

/// What the agent needs for a session that does nothing.
fn idle(way: &Way, effort: Effort, _: &Path, rows: &mut Rows) -> Result<()> {
    let Some(agent) = way.agent else { return Ok(()) };
    let before = agent.resident_kib()?;
    let mut held = Vec::new();
    for _ in 0..effort.idle {
        held.push(Held::start(&mut way.ssh(&["-tt"], &["echo ready; exec cat"]))?);
        held.last_mut().context("none")?.until(b"ready")?;
    }
    let each = agent.resident_kib()?.saturating_sub(before) as f64 / effort.idle as f64;
    rows.add("ssh.idle.agent".into(), way.name, each, "KiB/session");
    Ok(())
}

fn out(way: &Way, effort: Effort, _: &Path, rows: &mut Rows) -> Result<()> {
    let command = format!("head -c {}M /dev/zero", effort.megabytes);
    for (name, cipher) in CIPHERS {
        let median = median(|| rate(effort, way.ssh_with(cipher, &[], &[&command]).stdout(Stdio::null())))?;
        rows.add(format!("ssh.out{name}.rate"), way.name, median, "MB/s");
    }
    Ok(())
}

fn into(way: &Way, effort: Effort, _: &Path, rows: &mut Rows) -> Result<()> {
    for (name, cipher) in CIPHERS {
        let median = median(|| {
            let mut source = Command::new("head");
            source.args(["-c", &format!("{}M", effort.megabytes), "/dev/zero"]).stdout(Stdio::piped());
            let mut source = source.spawn()?;
            let mut ssh = way.ssh_with(cipher, &[], &["cat > /dev/null"]);
            let outcome = rate(effort, ssh.stdin(source.stdout.take().context("no output")?));
            source.wait()?;
            outcome
        })?;
        rows.add(format!("ssh.in{name}.rate"), way.name, median, "MB/s");
    }
    Ok(())
}

/// Of three.
fn median(mut measure: impl FnMut() -> Result<f64>) -> Result<f64> {
    let mut three = [measure()?, measure()?, measure()?];
    three.sort_by(f64::total_cmp);
    Ok(three[1])
}

/// MB/s of a transfer.
fn rate(effort: Effort, ssh: &mut Command) -> Result<f64> {
    let began = Instant::now();
    let status = ssh.status()?;
    ensure!(status.success(), "it ended with {status}");
    Ok(effort.megabytes as f64 * 1.048_576 / began.elapsed().as_secs_f64())
}

/// One file, up and down.
fn sftp(way: &Way, effort: Effort, scratch: &Path, rows: &mut Rows) -> Result<()> {
    let (here, there) = (scratch.join("file"), scratch.join("file.there"));
    File::create(&here)?.set_len(effort.megabytes << 20)?;
    for (case, batch) in [
        ("ssh.sftp.put.rate", format!("put {} {}\n", here.display(), there.display())),
        ("ssh.sftp.get.rate", format!("get {} /dev/null\n", there.display())),
    ] {
        let batched = scratch.join("batch");
        fs::write(&batched, batch)?;
        let program = wrapper(way, scratch)?;
        let mut sftp = Command::new("timeout");
        sftp.arg(LIMIT).args(["sftp", "-q", "-S"]).arg(program).arg("-b").arg(batched).arg(way.host);
        way.signed_in(&mut sftp);
        rows.add(case.into(), way.name, rate(effort, sftp.stdout(Stdio::null()))?, "MB/s");
    }
    fs::remove_file(here)?;
    fs::remove_file(there)?;
    Ok(())
}

/// A program that other programs run as they run `ssh`.
fn wrapper(way: &Way, scratch: &Path) -> Result<PathBuf> {
    use std::os::unix::fs::PermissionsExt as _;
    let path = scratch.join(format!("ssh-{}", way.name));
    let words: Vec<_> = way.program.iter().map(|word| format!("'{word}'")).collect();
    fs::write(&path, format!("#!/bin/sh\nexec {} -o Ciphers={CIPHER} \"$@\"\n", words.join(" ")))?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    Ok(path)
}

/// A tree of small files.
fn rsync(way: &Way, effort: Effort, scratch: &Path, rows: &mut Rows) -> Result<()> {
    let (here, there) = (scratch.join("tree"), scratch.join("tree.there"));
    for number in 0..effort.files {
        let folder = here.join((number / 100).to_string());
        fs::create_dir_all(&folder)?;
        fs::write(folder.join(number.to_string()), format!("{number}\n").repeat(100))?;
    }
    let mut rsync = Command::new("timeout");
    rsync.arg(LIMIT).args(["rsync", "-a", "-e"]).arg(wrapper(way, scratch)?);
    rsync.arg(format!("{}/", here.display())).arg(format!("{}:{}/", way.host, there.display()));
    way.signed_in(&mut rsync);
    let began = Instant::now();
    shell::run(&mut rsync)?;
    rows.add("ssh.rsync.time".into(), way.name, began.elapsed().as_secs_f64(), "s");
    fs::remove_dir_all(here)?;
    fs::remove_dir_all(there)?;
    Ok(())
}

/// From a key to its echo, while a transfer runs on the same connection.
fn echo(way: &Way, effort: Effort, scratch: &Path, rows: &mut Rows) -> Result<()> {
    let path = scratch.join(format!("control-{}", way.name));
    let control = format!("ControlPath={}", path.display());
    let _master = Held::start(&mut way.ssh(&["-M", "-N", "-o", &control], &[]))?;
    let there = shell::wait_until(Duration::from_secs(20), || Ok(path.exists().then_some(())))?;
    there.context("no master")?;
    let mut shell = Held::start(&mut way.ssh(&["-tt", "-o", &control], &["echo ready; exec cat"]))?;
    shell.until(b"ready")?;
    for (case, loaded) in [("ssh.echo.quiet", false), ("ssh.echo", true)] {
        let mut bulk = way.ssh(&["-o", &control], &["exec cat /dev/zero"]);
        let _bulk = loaded.then(|| Held::silent(&mut bulk)).transpose()?;
        let mut taken = Vec::new();
        for number in 0..effort.keys {
            let key = b"abcdefghijklmnopqrstuvwxyz"[number % 26];
            thread::sleep(PAUSE);
            let began = Instant::now();
            shell.type_key(key)?;
            taken.push(micros(began));
        }
        taken.sort_unstable();
        rows.add(format!("{case}.p50"), way.name, quantile(&taken, 0.5) / 1000.0, "ms");
        rows.add(format!("{case}.p99"), way.name, quantile(&taken, 0.99) / 1000.0, "ms");
    }
    Ok(())
}

/// A client that ends with this.
struct Held {
    child: Child,
    input: Option<ChildStdin>,
    output: Option<ChildStdout>,
}

impl Held {
    fn start(command: &mut Command) -> Result<Self> {
        Self::spawned(command.stdin(Stdio::piped()).stdout(Stdio::piped()))
    }

    /// What it prints is not wanted.
    fn silent(command: &mut Command) -> Result<Self> {
        Self::spawned(command.stdin(Stdio::null()).stdout(Stdio::null()))
    }

    fn spawned(command: &mut Command) -> Result<Self> {
        let mut child = command.stderr(Stdio::null()).spawn()?;
        let (input, output) = (child.stdin.take(), child.stdout.take());
        Ok(Self { child, input, output })
    }

    /// Reads up to these bytes.
    fn until(&mut self, wanted: &[u8]) -> Result<()> {
        let (mut seen, mut byte) = (Vec::new(), [0]);
        let output = self.output.as_mut().context("no output")?;
        while !seen.ends_with(wanted) {
            output.read_exact(&mut byte).context("it ended")?;
            seen.push(byte[0]);
        }
        Ok(())
    }

    /// Types a key, and waits for its echo.
    fn type_key(&mut self, key: u8) -> Result<()> {
        let input = self.input.as_mut().context("no input")?;
        input.write_all(&[key])?;
        input.flush()?;
        self.until(&[key])
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        drop(self.input.take());
        // It passes the signal on; killed, it would leave its client behind.
        if let Some(process) = Process::with_id(self.child.id())
            && let Err(error) = process.end("ssh", Duration::from_secs(5))
        {
            say(format!("{error:#}"));
        }
        let _ = self.child.wait();
    }
}

fn micros(began: Instant) -> u64 {
    u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX)
}
