//! A whole hoop on loopback: PostgreSQL, gateway, agent, two people with signed-in command lines.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};

use crate::{
    Cluster, Daemon, Postgres, PostgresOptions, Sshd, binary,
    daemon::{free_port, wait_until},
    postgres::PASSWORD,
    run, run_with_input,
};

/// A password good enough for the gateway.
const PERSON_PASSWORD: &str = "correct-horse-battery";

/// What differs between worlds.
#[derive(Default)]
pub struct WorldOptions {
    pub postgres: PostgresOptions,
    /// Lines for the gateway's configuration file.
    pub gateway: &'static str,
    /// Environment of the gateway.
    pub gateway_env: Vec<(&'static str, String)>,
    /// Flags for the agent.
    pub agent: &'static [&'static str],
    /// Environment of the agent.
    pub agent_env: Vec<(&'static str, String)>,
    /// The gateway is reached through this port (a proxy that cuts, a load balancer), which leads to the gateway's own.
    pub behind: Option<Box<dyn Fn(u16) -> u16>>,
    /// Authorities that command lines and the agent trust as those of the system, instead of pinning the gateway's own.
    pub system_authorities: Option<PathBuf>,
    /// Changes of the connection's definition.
    pub connection: Option<Value>,
}

/// Somebody with a signed-in command line.
#[derive(Debug, Clone)]
pub struct Person {
    pub name: String,
    pub password: String,
    pub totp_secret: String,
    pub profile: PathBuf,
}

/// All of it.
pub struct World {
    pub gateway: Daemon,
    pub agent: Daemon,
    pub postgres: Postgres,
    pub port: u16,
    pub ops_port: u16,
    /// Opens `pg`, and nothing else.
    pub engineer: Person,
    /// Manages and looks at evidence.
    pub admin: Person,
    pub folder: tempfile::TempDir,
    options: WorldOptions,
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("World").field("port", &self.port).finish_non_exhaustive()
    }
}

/// The code of this moment (RFC 6238).
pub fn totp_now(secret: &str) -> String {
    totp_ahead(secret, 0)
}

/// The code of so many half minutes from now.
pub fn totp_ahead(secret: &str, steps: u64) -> String {
    let now = hoop_model::Timestamp::from(jiff::Timestamp::now());
    let secret = hoop_identity::totp::TotpSecret::from_base32(secret).unwrap();
    secret.code(hoop_identity::totp::step_at(now).expect("after 1970") + steps)
}

impl World {
    pub fn start() -> Self {
        Self::with(WorldOptions::default())
    }

    pub fn with(options: WorldOptions) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let postgres = Postgres::start(&options.postgres);
        let (port, ops_port) = (free_port(), free_port());
        let public = options.behind.as_ref().map_or(port, |behind| behind(port));
        let config = format!(
            "data_dir = {:?}\nlisten = \"127.0.0.1:{port}\"\npublic_host = \"localhost\"\npublic_port = {public}\nops_listen = \"127.0.0.1:{ops_port}\"\n{}\n",
            path.join("gateway"),
            options.gateway,
        );
        fs::write(path.join("gateway.toml"), config).unwrap();
        let command = || gateway_command(path, &options);
        let engineer = add(path, command(), "ada", "user", "engineers");
        let admin = add(path, command(), "grace", "admin", "admins");
        let token = json_of(&run(command().args(["join-token", "agent-1", "--json"])));
        fs::write(path.join("join-token"), token["token"].as_str().unwrap()).unwrap();
        let gateway = start_gateway(path, &options);
        let agent = start_agent(path, public, &options);
        let mut world =
            Self { gateway, agent, postgres, port: public, ops_port, engineer, admin, folder, options };
        world.gateway.wait_for("gateway listens");
        world.sign_in(&world.engineer);
        world.sign_in(&world.admin);
        world.agent.wait_for("the control stream is up");
        world.put_connection("pg", world.options.connection.clone().unwrap_or_else(|| json!({})));
        world.rule(json!({}));
        world
    }

    /// A configured `hoop` for somebody.
    pub fn hoop(&self, person: &Person) -> Command {
        let mut command = Command::new(binary("hoop"));
        command
            .env("HOOP_CONFIG_DIR", &person.profile)
            .envs(self.options.system_authorities.iter().map(|file| ("SSL_CERT_FILE", file)))
            .env_remove("HTTPS_PROXY")
            .current_dir(self.folder.path());
        command
    }

    /// A command of somebody that must work, and its JSON answer.
    pub fn json(&self, person: &Person, arguments: &[&str]) -> Value {
        json_of(&run(self.hoop(person).args(arguments).args(["-o", "json"])))
    }

    /// A program run through `hoop connect pg --`.
    pub fn through(&self, arguments: &[&str]) -> Command {
        let mut command = self.hoop(&self.engineer);
        command.args(["connect", "pg", "--"]).args(arguments).env("PGDATABASE", "clinic");
        command
    }

    /// SQL through psql through hoop: what it printed.
    pub fn psql(&self, sql: &str) -> String {
        run(self
            .through(&["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", sql])
            .env("PGDATABASE", "clinic"))
    }

    pub fn sign_in(&self, person: &Person) {
        // A join token ends in the fingerprint of the gateway's CA.
        let token = fs::read_to_string(self.folder.path().join("join-token")).unwrap();
        let fingerprint = token.rsplit('.').next().unwrap().to_owned();
        // A code is good once: whoever signs in twice within 30 s needs the next one.
        wait_until("a fresh code", || {
            let mut login = self.hoop(person);
            login.args([
                "login",
                &format!("https://localhost:{}", self.port),
                "--password",
                "--user",
                &person.name,
            ]);
            if self.options.system_authorities.is_none() {
                login.args(["--ca-fingerprint", &fingerprint]);
            }
            let input = format!("{}\n{}\n", person.password, totp_now(&person.totp_secret));
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run_with_input(&mut login, &input))).ok()
        });
    }

    /// Whoever signed in with a profile of this name.
    pub fn profile(&self, name: &str) -> Person {
        Person { profile: self.folder.path().join("profiles").join(name), ..self.engineer.clone() }
    }

    /// Makes or replaces a connection to the world's PostgreSQL, with changes merged into its definition.
    pub fn put_connection(&self, name: &str, changes: Value) {
        let tls = if self.options.postgres.tls {
            json!({"mode": "verify_full", "ca_file": self.postgres.ca_file()})
        } else {
            json!({"mode": "disabled"})
        };
        let secret = self.folder.path().join("target-password");
        fs::write(&secret, PASSWORD).unwrap();
        let mut definition = json!({
            "agent": "agent-1",
            "protocol": "postgres",
            "description": "the clinic",
            "labels": {"app": "clinic"},
            "settings": {
                "host": "localhost", "port": self.postgres.port, "user": "app", "database": "clinic",
                "password": format!("file:{}", secret.display()), "tls": tls,
            },
        });
        merge(&mut definition, changes);
        let mut put = self.hoop(&self.admin);
        put.args(["admin", "connections", "put", name, "--file", "-"]);
        run_with_input(&mut put, &definition.to_string());
    }

    /// Makes or replaces a connection to a host, with changes merged into its definition.
    pub fn put_host(&self, name: &str, sshd: &Sshd, changes: Value) {
        let mut definition = json!({
            "agent": "agent-1",
            "protocol": "ssh",
            "description": "a host of the clinic",
            "labels": {"app": "clinic"},
            "settings": {
                "host": "localhost", "port": sshd.port, "user": sshd.user(),
                "private_key": format!("file:{}", sshd.user_key().display()), "host_keys": [sshd.host_key()],
            },
        });
        merge(&mut definition, changes);
        let mut put = self.hoop(&self.admin);
        put.args(["admin", "connections", "put", name, "--file", "-"]);
        run_with_input(&mut put, &definition.to_string());
    }

    /// Makes or replaces a connection to a cluster, with changes merged into its definition.
    pub fn put_cluster(&self, name: &str, cluster: &Cluster, changes: Value) {
        let mut definition = json!({
            "agent": "agent-1",
            "protocol": "kubernetes",
            "description": "a cluster of the clinic",
            "labels": {"app": "clinic"},
            "settings": {
                "host": "localhost", "port": cluster.port, "token": format!("file:{}", cluster.token().display()),
                "tls": {"ca_file": cluster.pki("ca.crt")},
                "groups": {"engineers": ["hoop:engineers"]},
            },
        });
        merge(&mut definition, changes);
        let mut put = self.hoop(&self.admin);
        put.args(["admin", "connections", "put", name, "--file", "-"]);
        run_with_input(&mut put, &definition.to_string());
    }

    /// `hoop connect NAME -- kubectl …` of the engineer, in the cluster's namespace.
    pub fn kubectl(&self, name: &str, cluster: &Cluster, words: &[&str]) -> Command {
        let mut command = self.hoop(&self.engineer);
        command.args(["connect", name, "--", "kubectl", "--namespace", &cluster.namespace]).args(words);
        command
    }

    /// `hoop ssh` of the engineer, with these words behind it.
    pub fn ssh(&self, words: &[&str]) -> Command {
        let mut command = self.hoop(&self.engineer);
        command.arg("ssh").args(words);
        command
    }

    /// Puts one rule in force, with changes merged into it: engineers may open what is labelled as the clinic's.
    pub fn rule(&self, changes: Value) {
        let mut rule = json!({
            "name": "engineers",
            "subjects": {"groups": ["engineers"]},
            "connections": {"labels": {"app": ["clinic"]}},
            "masking": "none",
        });
        merge(&mut rule, changes);
        self.apply(&json!({"version": 1, "rules": [rule]}).to_string());
    }

    /// Puts a rule file in force.
    pub fn apply(&self, file: &str) {
        let mut apply = self.hoop(&self.admin);
        apply.args(["admin", "apply", "--file", "-"]);
        run_with_input(&mut apply, file);
    }

    /// kill -9 of the gateway, and a new one on the same state.
    pub fn crash_gateway(&mut self) {
        self.gateway.kill();
        self.gateway = start_gateway(self.folder.path(), &self.options);
    }

    /// kill -9 of the gateway.
    pub fn stop_gateway(&mut self) {
        self.gateway.kill();
    }

    /// A new gateway on the same state.
    pub fn start_gateway(&mut self) {
        self.gateway = start_gateway(self.folder.path(), &self.options);
        wait_until("the gateway's port", || std::net::TcpStream::connect(("127.0.0.1", self.port)).ok());
    }

    /// Adds lines to the configuration, and starts the gateway anew with them.
    pub fn reconfigure(&mut self, lines: &str) {
        let path = self.folder.path().join("gateway.toml");
        let config = fs::read_to_string(&path).unwrap() + lines;
        fs::write(&path, config).unwrap();
        self.stop_gateway();
        self.start_gateway();
    }

    /// Waits until the gateway has the agent.
    pub fn wait_for_agent(&self) {
        wait_until("the agent at the gateway", || {
            let mut list = self.hoop(&self.admin);
            let done = list.args(["admin", "agents", "ls", "-o", "json"]).output().unwrap();
            let agents: Value = serde_json::from_slice(&done.stdout).ok()?;
            agents.as_array()?.iter().any(|agent| agent["online"] == true).then_some(())
        });
    }

    /// kill -9 of the agent, and a new one on the same state.
    pub fn crash_agent(&mut self) {
        self.kill_agent();
        self.start_agent();
    }

    /// kill -9 of the agent.
    pub fn kill_agent(&mut self) {
        self.agent.kill();
    }

    /// A new agent on the same state.
    pub fn start_agent(&mut self) {
        self.agent = start_agent(self.folder.path(), self.port, &self.options);
    }

    /// The command that starts the agent.
    pub fn agent_command(&self) -> Command {
        agent_command(self.folder.path(), self.port, &self.options)
    }

    /// A configured `hoop-gateway`.
    pub fn gateway_command(&self) -> Command {
        let mut command = gateway_command(self.folder.path(), &self.options);
        command.current_dir(self.folder.path());
        command
    }

    /// Another folder for the gateway from its next start on.
    pub fn move_gateway(&mut self, data_dir: &Path) {
        let path = self.folder.path().join("gateway.toml");
        let config = fs::read_to_string(&path).unwrap();
        let line = config.lines().find(|line| line.starts_with("data_dir")).unwrap().to_owned();
        fs::write(&path, config.replace(&line, &format!("data_dir = {data_dir:?}"))).unwrap();
    }

    /// Another environment for the gateway from its next start on.
    pub fn set_gateway_env(&mut self, environment: Vec<(&'static str, String)>) {
        self.options.gateway_env = environment;
    }

    /// The engineer's sessions, newest first, as the admin sees them.
    pub fn sessions(&self) -> Vec<Value> {
        self.json(&self.admin, &["sessions", "ls"]).as_array().expect("a list").clone()
    }

    /// The newest session once its recording is at the gateway to the end.
    pub fn ended_session(&self) -> Value {
        wait_until("the newest session's end", || {
            let newest = self.sessions().first()?.clone();
            matches!(newest["state"].as_str(), Some("ended" | "interrupted")).then_some(newest)
        })
    }

    /// The statements of a session, as its replay shows them.
    pub fn statements(&self, session: &str) -> Vec<Value> {
        let replay = self.json(&self.admin, &["sessions", "replay", session, "--no-wait"]);
        let list = replay.get("statements").unwrap_or(&replay);
        list.as_array().expect("statements").clone()
    }

    /// A metric of the gateway, 0 if it has not been counted yet.
    pub fn metrics(&self) -> String {
        run(Command::new("curl").args(["-s", &format!("http://127.0.0.1:{}/metrics", self.ops_port)]))
    }
}

fn merge(into: &mut Value, changes: Value) {
    match (into, changes) {
        (Value::Object(into), Value::Object(changes)) => {
            for (key, value) in changes {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, changes) => *into = changes,
    }
}

fn json_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("no JSON ({error}): {text}"))
}

fn gateway_command(folder: &Path, options: &WorldOptions) -> Command {
    let mut command = Command::new(binary("hoop-gateway"));
    command.arg("--config").arg(folder.join("gateway.toml"));
    command.envs(options.gateway_env.iter().map(|(name, value)| (*name, value.as_str())));
    command
}

fn start_gateway(folder: &Path, options: &WorldOptions) -> Daemon {
    Daemon::start("gateway", folder, gateway_command(folder, options).arg("serve"))
}

fn start_agent(folder: &Path, port: u16, options: &WorldOptions) -> Daemon {
    Daemon::start("agent", folder, &mut agent_command(folder, port, options))
}

fn agent_command(folder: &Path, port: u16, options: &WorldOptions) -> Command {
    let mut command = Command::new(binary("hoop-agent"));
    command
        .args(["run", "--gateway", &format!("localhost:{port}"), "--name", "agent-1"])
        .arg("--state-dir")
        .arg(folder.join("agent"))
        .arg("--join-token-file")
        .arg(folder.join("join-token"))
        .args(options.agent)
        .env_remove("HTTPS_PROXY")
        .envs(options.system_authorities.iter().map(|file| ("SSL_CERT_FILE", file)))
        .envs(options.agent_env.iter().map(|(name, value)| (*name, value.as_str())));
    command
}

fn add(folder: &Path, mut command: Command, name: &str, role: &str, group: &str) -> Person {
    command.args(["user", "add", name, "--role", role, "--groups", group, "--password-stdin", "--json"]);
    let answer = json_of(&run_with_input(&mut command, PERSON_PASSWORD));
    let profile = folder.join("profiles").join(name);
    Person {
        name: name.to_owned(),
        password: PERSON_PASSWORD.to_owned(),
        totp_secret: answer["totp_secret"].as_str().expect("a TOTP secret").to_owned(),
        profile,
    }
}
