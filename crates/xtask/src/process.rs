//! Servers that we start and leave running: started detached, found again by id and start time, ended in order.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::shell::{self, say};

/// A process, surely the same one: ids are used again, a start time with an id is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Process {
    /// Its id.
    pub pid: u32,
    /// When it started, in the kernel's ticks since boot.
    started: u64,
}

impl Process {
    /// The running process with this id.
    pub(crate) fn with_id(pid: u32) -> Option<Self> {
        Some(Self { pid, started: stat(pid)?.started })
    }

    /// Whether it still runs (a zombie does not).
    pub(crate) fn alive(self) -> bool {
        stat(self.pid).is_some_and(|stat| stat.started == self.started && stat.state != 'Z')
    }

    /// Ends it: first politely, after `patience` for good. Does nothing if it is gone.
    pub(crate) fn end(self, name: &str, patience: Duration) -> Result<()> {
        for signal in ["TERM", "KILL"] {
            if !self.alive() {
                return Ok(());
            }
            self.signal(signal)?;
            if shell::wait_until(patience, || Ok((!self.alive()).then_some(())))?.is_some() {
                return Ok(());
            }
            say(format!("{name} (process {}) does not end on SIG{signal}", self.pid));
        }
        bail!("{name} (process {}) cannot be ended", self.pid)
    }

    fn signal(self, signal: &str) -> Result<()> {
        // The shell's own `kill`: there is no safe one in the standard library.
        let script = format!("kill -{signal} {} 2>/dev/null || true", self.pid);
        shell::run(Command::new("sh").arg("-c").arg(script))
    }

    /// CPU seconds used so far, by the process with all its threads.
    pub(crate) fn cpu_seconds(self) -> Result<f64> {
        let stat = stat(self.pid).with_context(|| format!("process {} is gone", self.pid))?;
        // 100 ticks a second on every Linux that a demo runs on (USER_HZ).
        Ok(f64::from(stat.ticks) / 100.0)
    }

    /// Resident memory in KiB.
    pub(crate) fn resident_kib(self) -> Result<u64> {
        let text = fs::read_to_string(format!("/proc/{}/status", self.pid))
            .with_context(|| format!("process {} is gone", self.pid))?;
        text.lines()
            .find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix("kB")?.trim().parse().ok())
            .with_context(|| format!("no VmRSS of process {}", self.pid))
    }
}

struct Stat {
    state: char,
    ticks: u32,
    started: u64,
}

/// proc(5): `pid (name) state …`, where the name may hold anything; fields are counted from 3 after it.
fn stat(pid: u32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = text.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
    Some(Stat {
        state: fields.first()?.chars().next()?,
        ticks: u32::try_from(number(14)? + number(15)?).ok()?,
        started: number(22)?,
    })
}

/// Starts a server in a session of its own, with its output in `log`. It outlives us, and the terminal's Ctrl-C does not
/// reach it. As many files may be open as the system lets us.
pub(crate) fn start_detached(command: &Command, log: &Path) -> Result<Process> {
    let mut file = fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(log)
        .with_context(|| log.display().to_string())?;
    writeln!(file, "--- started by xtask: {:?}", command.get_program())?;
    let mut wrapped = Command::new("setsid");
    wrapped.args(["sh", "-c", "ulimit -n \"$(ulimit -Hn)\"; exec \"$0\" \"$@\""]);
    wrapped.arg(command.get_program()).args(command.get_args());
    if let Some(folder) = command.get_current_dir() {
        wrapped.current_dir(folder);
    }
    // What the caller's shell sets for hoop is not meant for a demo.
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("HOOP_")) {
        wrapped.env_remove(name);
    }
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => wrapped.env(name, value),
            None => wrapped.env_remove(name),
        };
    }
    let mut child = wrapped
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file)
        .spawn()
        .with_context(|| format!("cannot start {:?}", command.get_program()))?;
    let pid = child.id();
    // Reaped if it ends while we are here, so that "alive" is true of the living only.
    std::thread::spawn(move || drop(child.wait()));
    Process::with_id(pid)
        .with_context(|| format!("{:?} ended at once; see {}", command.get_program(), log.display()))
}

/// Waits until `ready` says so; fails with the log's tail if the process ends or `limit` passes.
pub(crate) fn wait_ready(
    name: &str,
    process: Process,
    log: &Path,
    limit: Duration,
    mut ready: impl FnMut() -> bool,
) -> Result<()> {
    let outcome = shell::wait_until(limit, || {
        if !process.alive() {
            return Ok(Some(false));
        }
        Ok(ready().then_some(true))
    })?;
    let why = match outcome {
        Some(true) => return Ok(()),
        Some(false) => "ended while starting".to_owned(),
        None => format!("was not ready after {} s", limit.as_secs()),
    };
    bail!("{name} {why}. The end of {}:\n{}", log.display(), tail(log))
}

/// The last lines of a log.
pub(crate) fn tail(log: &Path) -> String {
    let bytes = fs::read(log).unwrap_or_default();
    shell::last_lines(&String::from_utf8_lossy(&bytes), 25)
}

/// A port that is free on 127.0.0.1 now, and that the system gives to no client meanwhile: a server keeps its port from run
/// to run.
pub(crate) fn free_port() -> Result<u16> {
    free_ports(1)
}

/// The first of so many in a row.
pub(crate) fn free_ports(count: u16) -> Result<u16> {
    // Below what Linux gives to clients.
    const RANGE: std::ops::Range<u16> = 20_000..32_000;
    let room = u64::from(RANGE.end - RANGE.start - count);
    for _ in 0..200 {
        let random = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), ()) % room;
        let first = RANGE.start + u16::try_from(random)?;
        if (first..first + count).all(is_free) {
            return Ok(first);
        }
    }
    bail!("{count} free ports in a row are not found")
}

fn is_free(port: u16) -> bool {
    TcpListener::bind(("127.0.0.1", port)).is_ok()
}

/// Whether somebody listens there.
pub(crate) fn listens(port: u16) -> bool {
    TcpStream::connect_timeout(&SocketAddr::from(([127, 0, 0, 1], port)), Duration::from_secs(1)).is_ok()
}

/// The status and body of `GET path` from plain HTTP on loopback.
pub(crate) fn http_get(port: u16, path: &str) -> Result<(u16, String)> {
    let limit = Some(Duration::from_secs(5));
    let mut stream = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port)))?;
    stream.set_read_timeout(limit)?;
    stream.set_write_timeout(limit)?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.take(4 << 20).read_to_end(&mut answer)?;
    let text = String::from_utf8_lossy(&answer).into_owned();
    let status = text.split_whitespace().nth(1).and_then(|status| status.parse().ok()).context("not HTTP")?;
    let body = text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default();
    Ok((status, body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn we_are_alive_and_a_later_process_with_our_id_would_not_be() {
        let us = Process::with_id(std::process::id()).unwrap();
        assert!(us.alive());
        assert!(us.cpu_seconds().unwrap() >= 0.0 && us.resident_kib().unwrap() > 0);
        assert!(!Process { started: us.started + 1, ..us }.alive());
    }

    #[test]
    fn what_is_gone_is_gone() {
        assert_eq!(Process::with_id(u32::MAX), None);
        let gone = Process { pid: u32::MAX, started: 1 };
        gone.end("nobody", Duration::ZERO).unwrap();
        assert!(gone.cpu_seconds().is_err());
    }

    #[test]
    fn a_server_that_dies_while_starting_is_told_with_its_last_words() {
        let log = std::env::temp_dir().join(format!("xtask-test-{}.log", std::process::id()));
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 0.2; echo 'port taken'; exit 1"]);
        let process = start_detached(&command, &log).unwrap();
        let error = wait_ready("the server", process, &log, Duration::from_secs(10), || false).unwrap_err();
        fs::remove_file(&log).unwrap();
        assert!(
            error.to_string().contains("ended while starting") && error.to_string().contains("port taken"),
            "{error}"
        );
    }

    #[test]
    fn a_server_that_ignores_a_polite_signal_ends_all_the_same() {
        let log = std::env::temp_dir().join(format!("xtask-test-stubborn-{}.log", std::process::id()));
        let mut command = Command::new("sh");
        command.args(["-c", "trap '' TERM; echo up; while :; do sleep 0.1; done"]);
        let process = start_detached(&command, &log).unwrap();
        let up = || fs::read_to_string(&log).is_ok_and(|text| text.contains("up\n"));
        wait_ready("stubborn", process, &log, Duration::from_secs(10), up).unwrap();
        process.end("stubborn", Duration::from_millis(300)).unwrap();
        assert!(!process.alive());
        fs::remove_file(&log).unwrap();
    }
}
