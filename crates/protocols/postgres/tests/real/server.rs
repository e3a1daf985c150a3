//! A private PostgreSQL server, gone with its folder at the end. No binary: the test fails.

use std::{
    fs,
    io::Write as _,
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

pub(crate) const PASSWORD: &str = "canary-7f3a-pässword";

pub(crate) struct Server {
    pub(crate) port: u16,
    folder: tempfile::TempDir,
    child: Child,
}

/// A program of the newest installed server version.
pub(crate) fn program(name: &str) -> PathBuf {
    let mut versions: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .expect("PostgreSQL is installed")
        .map(|entry| entry.unwrap().path().join("bin").join(name))
        .filter(|path| path.exists())
        .collect();
    versions.sort();
    versions.pop().unwrap_or_else(|| panic!("no {name} under /usr/lib/postgresql"))
}

/// The server refuses to run as root: there it runs as `postgres`.
fn as_server(name: &str) -> Command {
    if fs::metadata("/proc/self").is_ok_and(|m| std::os::unix::fs::MetadataExt::uid(&m) == 0) {
        let mut command = Command::new("runuser");
        command.args(["-u", "postgres", "--"]).arg(program(name));
        command
    } else {
        Command::new(program(name))
    }
}

impl Server {
    pub(crate) fn start(method: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let password = folder.path().join("password");
        fs::write(&password, PASSWORD).unwrap();
        let done = as_server("initdb")
            .args(["-U", "app", "--no-sync", "-E", "UTF8", "--locale=C.UTF-8", "-A", method])
            .arg(format!("--pwfile={}", password.display()))
            .arg("-D")
            .arg(folder.path().join("data"))
            .current_dir("/")
            .output()
            .unwrap();
        assert!(done.status.success(), "initdb: {}", String::from_utf8_lossy(&done.stderr));
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let log = fs::File::create(folder.path().join("log")).unwrap();
        let mut command = as_server("postgres");
        command.arg("-D").arg(folder.path().join("data")).args(["-p", &port.to_string()]);
        for setting in [
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            "fsync=off",
            "wal_level=logical",
            "log_statement=all",
            "log_line_prefix=%p ",
            "max_connections=50",
        ] {
            command.args(["-c", setting]);
        }
        let child = command.stderr(log).stdout(Stdio::null()).current_dir("/").spawn().unwrap();
        let mut server = Self { port, folder, child };
        server.wait();
        server
    }

    fn wait(&mut self) {
        let end = Instant::now() + Duration::from_secs(60);
        while !self.log().contains("ready to accept connections")
            || TcpStream::connect(("127.0.0.1", self.port)).is_err()
        {
            assert!(self.child.try_wait().unwrap().is_none(), "the server ended: {}", self.log());
            assert!(Instant::now() < end, "the server does not start: {}", self.log());
            std::thread::yield_now();
        }
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A client program, straight to the server or through a gate.
    pub(crate) fn client(&self, name: &str, port: u16) -> Command {
        let mut command = Command::new(program(name));
        command
            .env("PGHOST", "127.0.0.1")
            .env("PGPORT", port.to_string())
            .env("PGDATABASE", "postgres")
            .env("PGUSER", if port == self.port { "app" } else { "ada" })
            .env("PGPASSFILE", "/nonexistent");
        if port == self.port {
            command.env("PGPASSWORD", PASSWORD);
        }
        command
    }
}

/// Runs to the end; what it printed.
pub(crate) fn run(mut command: Command, input: &str) -> String {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let done = child.wait_with_output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "{command:?}\n{out}\n{err}");
    format!("{out}{err}")
}

impl Drop for Server {
    fn drop(&mut self) {
        // The server is a child of `runuser`, so it is told by its own process id.
        let file = fs::read_to_string(self.folder.path().join("data/postmaster.pid")).unwrap_or_default();
        if let Some(process) = file.lines().next() {
            let _ = Command::new("kill").args(["-QUIT", process]).status();
        }
        let _ = self.child.wait();
    }
}
