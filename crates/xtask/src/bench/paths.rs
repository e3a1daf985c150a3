//! The three ways to the same database, and the processes that stand in each.

use std::{fs, path::PathBuf, process::Command, time::Duration};

use anyhow::{Context, Result};

use crate::{
    demo::{self, CONNECTION, ROLE, State},
    packages,
    process::{self, Process},
    shell,
};

/// The database of the loads.
pub(super) const DATABASE: &str = "bench";

/// One way to the database.
pub(super) struct Path {
    /// `direct`, `pgbouncer` or `hoop`.
    pub name: &'static str,
    /// Port on 127.0.0.1.
    pub port: u16,
    /// Whom clients name.
    pub user: String,
    /// What they prove it with.
    pub password: String,
    /// What stands between client and server.
    pub between: Vec<(&'static str, Process)>,
    /// How a session of its own is opened on stdin and stdout; absent where a session is just a connection.
    pub opener: Option<(PathBuf, PathBuf)>,
    /// The folder of PostgreSQL's programs.
    pub bin: PathBuf,
}

impl Path {
    /// A client program of PostgreSQL that takes this way, given up after `limit`.
    pub(super) fn client(&self, program: &str, limit: Duration) -> Command {
        let mut command = Command::new("timeout");
        command.arg(limit.as_secs().to_string()).arg(self.bin.join(program));
        command.envs([("PGHOST", "127.0.0.1"), ("PGDATABASE", DATABASE), ("PGSSLMODE", "disable")]);
        command
            .env("PGPORT", self.port.to_string())
            .env("PGUSER", &self.user)
            .env("PGPASSWORD", &self.password);
        command
    }
}

/// All three, running.
pub(super) struct Paths {
    all: Vec<Path>,
    ours: Vec<(&'static str, Process)>,
}

impl Paths {
    /// The direct way, and pgbouncer started.
    pub(super) fn start(state: &State, connections: usize) -> Result<Self> {
        let mut started = Self { all: Vec::new(), ours: Vec::new() };
        started.all.push(plain(state, "direct", state.ports.postgres)?);
        let (port, bouncer) = pgbouncer(state, connections)?;
        started.ours.push(("pgbouncer", bouncer));
        started.all.push(Path { between: vec![("pgbouncer", bouncer)], ..plain(state, "pgbouncer", port)? });
        Ok(started)
    }

    /// Starts `hoop connect`.
    pub(super) fn start_hoop(&mut self, state: &State) -> Result<()> {
        let person = state.engineer()?;
        let port = process::free_port()?;
        let mut connect = demo::hoop(state, person)?;
        connect.args(["connect", CONNECTION, "--port", &port.to_string()]);
        let log = state.log("cli");
        let cli = process::start_detached(&connect, &log)?;
        self.ours.push(("cli", cli));
        process::wait_ready("hoop connect", cli, &log, Duration::from_secs(30), || process::listens(port))?;
        let daemon = |process: Option<Process>| process.context("the demo's processes are not known");
        let (gateway, agent) = (daemon(state.running.gateway)?, daemon(state.running.agent)?);
        self.all.push(Path {
            user: person.name.clone(),
            password: "not asked for".into(),
            between: vec![("gateway", gateway), ("agent", agent), ("cli", cli)],
            opener: Some((
                state.binaries.as_ref().context("no binaries")?.hoop.clone(),
                state.profile(person),
            )),
            ..plain(state, "hoop", port)?
        });
        Ok(())
    }

    /// In the order in which each load takes them.
    pub(super) fn all(&self) -> impl Iterator<Item = &Path> {
        self.all.iter()
    }
}

fn plain(state: &State, name: &'static str, port: u16) -> Result<Path> {
    Ok(Path {
        name,
        port,
        user: ROLE.into(),
        password: state.app_password.clone(),
        between: Vec::new(),
        opener: None,
        bin: packages::postgres_bin()?,
    })
}

impl Drop for Paths {
    fn drop(&mut self) {
        for (name, process) in self.ours.drain(..).rev() {
            if let Err(error) = process.end(name, Duration::from_secs(5)) {
                shell::say(format!("{error:#}"));
            }
        }
    }
}

/// pgbouncer with session pooling. It refuses to be root, so then it runs as the cluster's owner.
fn pgbouncer(state: &State, connections: usize) -> Result<(u16, Process)> {
    let folder = state.cluster.join("pgbouncer");
    fs::create_dir_all(&folder)?;
    let port = process::free_port()?;
    let config = folder.join("pgbouncer.ini");
    let users = folder.join("users.txt");
    fs::write(&users, format!("\"{ROLE}\" \"{}\"\n", state.app_password))?;
    fs::write(
        &config,
        format!(
            "[databases]\n{DATABASE} = host=127.0.0.1 port={} dbname={DATABASE}\n[pgbouncer]\n\
             listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = scram-sha-256\n\
             auth_file = {}\npool_mode = session\nmax_client_conn = {max}\ndefault_pool_size = {max}\n\
             server_idle_timeout = 3\nlog_connections = 0\nlog_disconnections = 0\nignore_startup_parameters = extra_float_digits\n",
            state.ports.postgres,
            users.display(),
            max = connections + 100,
        ),
    )?;
    let program = shell::which("pgbouncer").context("pgbouncer is not installed")?;
    let command = if shell::is_root() {
        shell::run(Command::new("chown").args(["-R", "postgres:postgres"]).arg(&folder))?;
        let mut command = Command::new("setpriv");
        command.args(["--reuid=postgres", "--regid=postgres", "--init-groups"]).arg(program);
        command
    } else {
        Command::new(program)
    };
    let mut command = command;
    command.arg(&config).current_dir("/");
    let log = state.log("pgbouncer");
    let bouncer = process::start_detached(&command, &log)?;
    process::wait_ready("pgbouncer", bouncer, &log, Duration::from_secs(20), || process::listens(port))?;
    Ok((port, bouncer))
}
