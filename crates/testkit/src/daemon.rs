//! A process of our own that a test may kill and start again.

use std::{
    fs::File,
    hash::{BuildHasher, RandomState},
    net::TcpListener,
    ops::Range,
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixListener},
    },
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::Mutex,
    time::{Duration, Instant},
};

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is promised within two seconds has so long: the rest is for a machine that is busy with other tests. The clock starts when the
/// order has been answered: what gives it is a program, which takes its time to start. `tests/ends.rs`, beside which nothing runs,
/// watches the two seconds.
pub const SOON: Duration = Duration::from_secs(5);

/// Waits until `condition` gives something.
pub fn wait_until<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = condition() {
            return found;
        }
        assert!(Instant::now() < end, "after {} s still waiting for {what}", PATIENCE.as_secs());
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

/// A free port of 127.0.0.1 for a server to come, given to nobody else while this process lives: it is below those that
/// Linux gives to clients, and a socket with its number in its name keeps tests of other processes away. The name is an
/// abstract one: like the port it belongs to the network namespace, and it is gone with the process.
pub fn free_port() -> u16 {
    const RANGE: Range<u16> = 11_000..20_000;
    static RESERVED: Mutex<Vec<UnixListener>> = Mutex::new(Vec::new());
    for _ in 0..200 {
        let random = RandomState::new().hash_one(()) % u64::from(RANGE.end - RANGE.start);
        let port = RANGE.start + u16::try_from(random).unwrap();
        let name = SocketAddr::from_abstract_name(format!("hoop-test-port-{port}")).unwrap();
        let Ok(reserved) = UnixListener::bind_addr(&name) else { continue };
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            RESERVED.lock().unwrap().push(reserved);
            return port;
        }
    }
    panic!("of the ports {RANGE:?} none seems to be free")
}

/// Connections of a process to a local port.
pub fn connections_to(port: u16, process: u32) -> usize {
    let folder = format!("/proc/{process}");
    let held = std::fs::read_dir(format!("{folder}/fd")).unwrap().filter_map(|entry| {
        let target = std::fs::read_link(entry.ok()?.path()).ok()?;
        Some(target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned())
    });
    let held: Vec<_> = held.collect();
    let remote = format!(":{port:04X}");
    // Address, address of the other end, state (1: established), …, inode.
    let is_one = |line: &str| {
        let fields: Vec<_> = line.split_whitespace().collect();
        fields[2].ends_with(&remote) && fields[3] == "01" && held.iter().any(|inode| inode == fields[9])
    };
    let tables = ["tcp", "tcp6"].map(|name| std::fs::read_to_string(format!("{folder}/net/{name}")).unwrap());
    tables.iter().flat_map(|table| table.lines().skip(1)).filter(|line| is_one(line)).count()
}

/// Bytes of memory that a process has resident.
pub fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

/// A binary of this workspace, built beside the test that asks for it (`cargo xtask test` builds them first).
pub fn binary(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let folder = test.ancestors().find(|folder| folder.join(name).is_file());
    folder
        .unwrap_or_else(|| panic!("{name} is not built: run `cargo build --workspace --bins` first"))
        .join(name)
}

/// A daemon and its log.
#[derive(Debug)]
pub struct Daemon {
    name: String,
    log: PathBuf,
    child: Option<Child>,
}

impl Daemon {
    /// Starts it; its output goes to a log in `folder`, appended over restarts.
    pub fn start(name: &str, folder: &Path, command: &mut Command) -> Self {
        let log = folder.join(format!("{name}.log"));
        let out = File::options().create(true).append(true).open(&log).unwrap();
        let child = command
            .stdin(Stdio::null())
            .stdout(out.try_clone().unwrap())
            .stderr(out)
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Self { name: name.to_owned(), log, child: Some(child) }
    }

    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("it runs").id()
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits for a text in the log.
    pub fn wait_for(&mut self, text: &str) {
        let (name, path) = (&self.name, &self.log);
        let log = || std::fs::read_to_string(path).unwrap_or_default();
        let child = self.child.as_mut().expect("it runs");
        wait_until(&format!("{text:?} of {name}:\n{}", log()), || {
            if let Ok(Some(status)) = child.try_wait() {
                panic!("{name} ended with {status}:\n{}", log());
            }
            log().contains(text).then_some(())
        });
    }

    /// kill -9.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// This signal, and how it ended; killed if that does not come in a while.
    pub fn end_by(&mut self, signal: &str) -> Option<ExitStatus> {
        let mut child = self.child.take()?;
        let _ = Command::new("kill").args([signal, &child.id().to_string()]).status();
        let until = Instant::now() + Duration::from_secs(5);
        while Instant::now() < until {
            if let Some(status) = child.try_wait().ok()? {
                return Some(status);
            }
            std::thread::park_timeout(Duration::from_millis(10));
        }
        let _ = child.kill();
        child.wait().ok()
    }

    /// SIGTERM, and how it ended.
    pub fn terminate(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("it runs");
        let _ = Command::new("kill").arg(child.id().to_string()).status();
        wait_until(&format!("the end of {}", self.name), || child.try_wait().unwrap())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            #[expect(clippy::print_stderr, reason = "what a failed test shows")]
            {
                let log = self.log();
                let tail = log.len().saturating_sub(6000);
                eprintln!("---- {} ----\n{}", self.name, log.get(tail..).unwrap_or(&log));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_given_once() {
        let mut given: Vec<u16> = (0..300).map(|_| free_port()).collect();
        for port in &given {
            let name = SocketAddr::from_abstract_name(format!("hoop-test-port-{port}")).unwrap();
            assert!(UnixListener::bind_addr(&name).is_err(), "another process could have {port}");
            assert!(TcpListener::bind(("127.0.0.1", *port)).is_ok());
        }
        given.sort_unstable();
        given.dedup();
        assert_eq!(given.len(), 300);
    }
}
