//! A private PostgreSQL: own cluster, own port on 127.0.0.1, TLS with a CA of its own, SCRAM, sample data.

use std::{
    ffi::OsStr,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, bail};

use super::state::{State, write_secret};
use crate::{
    packages,
    process::{self, Process},
    shell::{self, say},
};

/// The database that people work in.
pub(crate) const DATABASE: &str = "clinic";
/// The role that the agent becomes.
pub(crate) const ROLE: &str = "clinic_app";
/// The superuser, for comparison only.
pub(crate) const SUPERUSER: &str = "postgres";

/// How big the server may get.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    /// Connections.
    pub max_connections: u32,
    /// Shared buffers in MiB.
    pub shared_buffers_mib: u32,
}

/// A cluster in a folder.
pub(crate) struct Cluster<'a> {
    state: &'a State,
    bin: PathBuf,
}

impl<'a> Cluster<'a> {
    /// The cluster of a demo.
    pub(crate) fn of(state: &'a State) -> Result<Self> {
        Ok(Self { state, bin: packages::postgres_bin()? })
    }

    /// Starts it, made first if there is none.
    pub(crate) fn start(&self, size: Size) -> Result<Process> {
        if let Some(running) = self.running() {
            return Ok(running);
        }
        let port = self.state.ports.postgres;
        if process::listens(port) {
            bail!(
                "port {port}, which this demo's PostgreSQL uses, is taken by another program: end that, or use --fresh"
            );
        }
        if !self.data().join("PG_VERSION").is_file() {
            self.make()?;
        }
        self.configure(size)?;
        say(format!("starting PostgreSQL on 127.0.0.1:{port}"));
        let log = self.log();
        let mut start = self.as_owner("pg_ctl", [OsStr::new("start"), "-w".as_ref(), "-s".as_ref()]);
        start.args(["-t", "60", "-D"]).arg(self.data()).arg("-l").arg(&log);
        // pg_ctl's child must not inherit a pipe of ours that we would wait on.
        if !start.stdin(std::process::Stdio::null()).stdout(std::io::stderr()).status()?.success() {
            bail!("PostgreSQL does not start. The end of {}:\n{}", log.display(), process::tail(&log));
        }
        self.running().context("PostgreSQL started and ended at once")
    }

    /// Stops it: sessions are cut, data is kept.
    pub(crate) fn stop(&self) -> Result<()> {
        let Some(running) = self.running() else { return Ok(()) };
        let mut stop = self.as_owner("pg_ctl", [OsStr::new("stop"), "-s".as_ref(), "-w".as_ref()]);
        stop.args(["-m", "fast", "-t", "30", "-D"]).arg(self.data());
        if shell::run(&mut stop).is_err() {
            running.end("PostgreSQL", Duration::from_secs(10))?;
        }
        Ok(())
    }

    /// The postmaster, if it runs.
    pub(crate) fn running(&self) -> Option<Process> {
        let text = fs::read_to_string(self.data().join("postmaster.pid")).ok()?;
        let process = Process::with_id(text.lines().next()?.trim().parse().ok()?)?;
        // After a crash the file stays and its id may be somebody else's.
        let name = fs::read_to_string(format!("/proc/{}/comm", process.pid)).ok()?;
        (name.trim() == "postgres" && process.alive()).then_some(process)
    }

    /// Runs SQL as the superuser; answers with psql's bare output.
    pub(crate) fn sql(&self, database: &str, sql: &str) -> Result<String> {
        let mut psql = self.psql(database, SUPERUSER, &self.state.superuser_password);
        shell::capture_with_input(
            psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-f", "-"]),
            sql.as_bytes(),
        )
    }

    /// Makes the role and the sample data, once.
    pub(crate) fn load(&self) -> Result<()> {
        say("loading the sample clinic: 50,000 patients, 150,000 visits, 150,000 notes");
        let password = &self.state.app_password;
        self.sql(
            "postgres",
            &format!(
                "DROP DATABASE IF EXISTS {DATABASE};\nDROP ROLE IF EXISTS {ROLE};\n\
                 CREATE ROLE {ROLE} LOGIN PASSWORD '{password}';\nCREATE DATABASE {DATABASE} OWNER {ROLE};\n"
            ),
        )?;
        let mut psql = self.psql(DATABASE, ROLE, password);
        shell::capture_with_input(psql.args(["-X", "-q", "-f", "-"]), include_bytes!("clinic.sql"))?;
        Ok(())
    }

    /// `psql` with everything it needs to sign in directly, past hoop.
    pub(crate) fn psql(&self, database: &str, user: &str, password: &str) -> Command {
        let mut psql = Command::new(self.bin.join("psql"));
        psql.envs([
            ("PGHOST", "127.0.0.1"),
            ("PGDATABASE", database),
            ("PGUSER", user),
            ("PGPASSWORD", password),
        ]);
        psql.env("PGPORT", self.state.ports.postgres.to_string());
        psql
    }

    /// The certificate authority that the agent is told to trust.
    pub(crate) fn authority(&self) -> PathBuf {
        self.state.folder.join("agent/postgres-ca.pem")
    }

    /// The server's log.
    pub(crate) fn log(&self) -> PathBuf {
        self.state.cluster.join("postgres.log")
    }

    fn data(&self) -> PathBuf {
        self.state.cluster.join("data")
    }

    fn make(&self) -> Result<()> {
        say(format!("making a private PostgreSQL cluster in {}", self.state.cluster.display()));
        let cluster = &self.state.cluster;
        fs::create_dir_all(cluster).with_context(|| cluster.display().to_string())?;
        let password_file = cluster.join("superuser.password");
        write_secret(&password_file, &self.state.superuser_password)?;
        self.own(cluster)?;
        let mut initdb = self.as_owner("initdb", ["--no-instructions"].map(OsStr::new));
        initdb.args(["-A", "scram-sha-256", "-E", "UTF8", "--locale=C.UTF-8", "-U", SUPERUSER]);
        initdb.arg(format!("--pwfile={}", password_file.display())).arg("-D").arg(self.data());
        shell::capture(&mut initdb)?;
        fs::remove_file(&password_file)?;
        self.certify()
    }

    /// A CA and a server certificate for 127.0.0.1, so that the agent can check what it reaches.
    fn certify(&self) -> Result<()> {
        let folder = self.state.folder.join("postgres-tls");
        fs::create_dir_all(&folder)?;
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700))?;
        let configuration = "[req]\ndistinguished_name=dn\n[dn]\n\
            [ca]\nbasicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\nsubjectKeyIdentifier=hash\n\
            [server]\nbasicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\n\
            extendedKeyUsage=serverAuth\nsubjectAltName=IP:127.0.0.1,DNS:localhost\n";
        fs::write(folder.join("openssl.cnf"), configuration)?;
        let openssl =
            |line: &str| shell::capture(Command::new("openssl").args(line.split(' ')).current_dir(&folder));
        let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -config openssl.cnf";
        openssl(&format!(
            "req -x509 -days 825 -extensions ca -subj /CN=hoop-demo-ca -keyout ca.key -out ca.pem {key}"
        ))?;
        openssl(&format!("req -new -subj /CN=hoop-demo-postgres -keyout server.key -out server.csr {key}"))?;
        openssl(
            "x509 -req -days 825 -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -extfile openssl.cnf \
             -extensions server -out server.pem",
        )?;
        fs::remove_file(folder.join("ca.key"))?;
        for file in ["server.key", "server.pem"] {
            fs::copy(folder.join(file), self.data().join(file))?;
            fs::set_permissions(self.data().join(file), fs::Permissions::from_mode(0o600))?;
        }
        write_secret(&self.authority(), &fs::read_to_string(folder.join("ca.pem"))?)?;
        fs::remove_dir_all(&folder)?;
        self.own(&self.state.cluster)
    }

    fn configure(&self, size: Size) -> Result<()> {
        let text = format!(
            "# Written by `cargo xtask demo` at every start.\n\
             listen_addresses = '127.0.0.1'\nport = {}\nunix_socket_directories = ''\n\
             ssl = on\nssl_cert_file = 'server.pem'\nssl_key_file = 'server.key'\n\
             password_encryption = 'scram-sha-256'\n\
             max_connections = {}\nshared_buffers = '{}MB'\nmax_wal_size = '4GB'\n\
             log_connections = on\nlog_line_prefix = '%m [%p] %u@%d '\n",
            self.state.ports.postgres, size.max_connections, size.shared_buffers_mib
        );
        let file = self.data().join("postgresql.auto.conf");
        fs::write(&file, text).with_context(|| file.display().to_string())?;
        self.own(&self.data())
    }

    /// A program of PostgreSQL, run by the user that the cluster belongs to.
    fn as_owner<const N: usize>(&self, program: &str, arguments: [&OsStr; N]) -> Command {
        let program = self.bin.join(program);
        let mut command = if shell::is_root() {
            let mut command = Command::new("runuser");
            command.args(["-u", "postgres", "--"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        command.args(arguments).current_dir("/").env("LC_ALL", "C.UTF-8");
        command
    }

    fn own(&self, folder: &Path) -> Result<()> {
        if shell::is_root() {
            shell::run(Command::new("chown").args(["-R", "postgres:postgres"]).arg(folder))?;
        }
        Ok(())
    }
}
