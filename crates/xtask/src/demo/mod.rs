//! `cargo xtask demo`: the whole system on this machine, with a clinic and a host to work on and people who can sign in.
//!
//! Everything goes through what an operator would use: the daemons' subcommands and the `hoop` command. Nothing here
//! reaches into the product.

mod cluster;
mod people;
mod postgres;
mod report;
mod sshd;
mod state;

use std::{
    fs,
    io::IsTerminal as _,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::{
    console::Console,
    packages,
    process::{self, Process},
    shell::{self, say},
};
pub(crate) use cluster::kubeconfig as cluster_config;
pub(crate) use people::hoop;
pub(crate) use postgres::{Cluster, DATABASE, ROLE, Size};
pub(crate) use sshd::user_key as host_key;
pub(crate) use state::State;
use state::{Binaries, write_secret};

/// The connection that the demo offers.
pub(crate) const CONNECTION: &str = "demo-pg";
/// The same database, with its answers masked.
pub(crate) const MASKED: &str = "demo-pg-masked";
/// A host.
pub(crate) const HOST: &str = "demo-ssh";
/// A cluster.
pub(crate) const CLUSTER: &str = "demo-kube";
const AGENT: &str = "demo-agent";

/// Start all of hoop on this machine, with a sample clinic and two people, and say what to try.
///
/// Installs what is missing (PostgreSQL, OpenSSH, Node) after saying so, builds the console and the release binaries, then
/// starts a private PostgreSQL (50,000 made-up patients), a private OpenSSH server, the gateway (SQLite, recordings on disk, a local key) and an
/// agent, and signs in two people: ada, an engineer, and grace, an admin. A second run keeps everything. Ctrl-C ends
/// all of it. Progress goes to stderr.
///
/// For scripts: `--detach --json --state DIR` prints one JSON object and leaves everything running; `--stop --state DIR`
/// ends it.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Folder that keeps it all [default: $XDG_STATE_HOME/hoop-demo, or ~/.local/state/hoop-demo].
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// Leave it running in the background and return.
    #[arg(long, conflicts_with = "stop")]
    detach: bool,
    /// Print one JSON object: URLs, ports, process ids, people, paths.
    #[arg(long, conflicts_with = "stop")]
    json: bool,
    /// End the demo that runs with this state folder. The state stays.
    #[arg(long)]
    stop: bool,
    /// Throw the old state away first.
    #[arg(long, conflicts_with = "stop")]
    fresh: bool,
    /// Only the PostgreSQL with the sample clinic: no build, no gateway, no agent.
    #[arg(long, conflicts_with = "stop")]
    target_only: bool,
    /// With a Kubernetes of one node too; the first time its servers are built, which takes some minutes. Needs root.
    #[arg(long, conflicts_with_all = ["stop", "target_only"])]
    kubernetes: bool,
    /// Use unoptimised builds: quicker to build, slower to run.
    #[arg(long)]
    dev: bool,
    /// Use optimised builds (the default).
    #[arg(long, conflicts_with = "dev")]
    release: bool,
    /// Build nothing: take the binaries as they were built last.
    #[arg(long)]
    no_build: bool,
}

/// What differs between the demo, the tests' and the bench's.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    /// Unoptimised builds.
    pub dev: bool,
    /// Build first.
    pub build: bool,
    /// The server's size.
    pub size: Size,
    /// Lines added to the gateway's configuration.
    pub gateway_config: &'static str,
    /// Whether the agent speaks TLS to the target.
    pub target_tls: bool,
    /// Whether the admin may open the connection too.
    pub admin_may_connect: bool,
    /// There is a host too.
    pub host: bool,
    /// And a cluster.
    pub kubernetes: bool,
    /// Features of our programs to build with; none if empty.
    pub features: &'static str,
}

impl Shape {
    /// The demo's own.
    pub(crate) const fn demo(dev: bool) -> Self {
        let size = Size { max_connections: 300, shared_buffers_mib: 128 };
        Self {
            dev,
            build: true,
            size,
            gateway_config: "",
            target_tls: true,
            admin_may_connect: false,
            host: true,
            kubernetes: false,
            features: "",
        }
    }
}

/// The subcommand.
pub(crate) fn run(options: &Options) -> Result<()> {
    let folder = match &options.state {
        Some(folder) => folder.clone(),
        None => default_state()?,
    };
    if options.stop {
        return stop(&folder);
    }
    if options.fresh && folder.exists() {
        stop(&folder)?;
        remove(&folder)?;
    }
    if options.target_only {
        let state = start_target(&folder, Shape::demo(true).size)?;
        println!("{}", report::json(&state)?);
        return Ok(());
    }
    if !options.detach {
        watch(&State::open(&folder)?)?;
    }
    let shape =
        Shape { build: !options.no_build, kubernetes: options.kubernetes, ..Shape::demo(options.dev) };
    let state = start(&folder, shape)?;
    if options.json {
        println!("{}", report::json(&state)?);
    } else {
        print!("{}", report::text(&state, options.detach)?);
    }
    if options.detach { Ok(()) } else { hold(&state) }
}

fn default_state() -> Result<PathBuf> {
    let base = match std::env::var_os("XDG_STATE_HOME").filter(|base| !base.is_empty()) {
        Some(base) => PathBuf::from(base),
        None => PathBuf::from(std::env::var_os("HOME").context("HOME is not set: give --state DIR")?)
            .join(".local/state"),
    };
    Ok(base.join("hoop-demo"))
}

/// Starts everything that does not run yet.
pub(crate) fn start(folder: &Path, shape: Shape) -> Result<State> {
    packages::ensure(&[&packages::POSTGRESQL, &packages::OPENSSL])?;
    if shape.host {
        packages::ensure(&[&packages::OPENSSH_SERVER, &packages::OPENSSH_CLIENT])?;
    }
    let binaries = build(shape)?;
    let mut state = State::open(folder)?;
    fs::create_dir_all(state.folder.join("logs"))?;
    state.binaries = Some(binaries);
    state.save()?;
    match start_parts(&mut state, shape) {
        Ok(()) => Ok(state),
        Err(error) => {
            // Half a demo is of no use, and would be in the way of the next start.
            say("the demo does not start; ending what was started");
            if let Err(again) = stop(&state.folder) {
                say(format!("and that failed too: {again:#}"));
            }
            Err(error)
        }
    }
}

fn build(shape: Shape) -> Result<Binaries> {
    let profile = if shape.dev { "debug" } else { "release" };
    let folder = shell::target_dir()?.join(profile);
    let binary = |name: &str| folder.join(name);
    let binaries =
        Binaries { hoop: binary("hoop"), gateway: binary("hoop-gateway"), agent: binary("hoop-agent") };
    if !shape.build {
        return Ok(binaries);
    }
    Console::prepare()?.build()?;
    let first = if shape.dev { "7 minutes" } else { "20 minutes (7 with --dev)" };
    say(format!(
        "building hoop, hoop-gateway and hoop-agent ({profile}); on two cores the first time takes about {first}"
    ));
    let mut cargo = shell::command("cargo")?;
    cargo.args(["build", "-p", "hoop-cli", "-p", "hoop-gateway", "-p", "hoop-agent", "--bins"]);
    if !shape.dev {
        cargo.arg("--release");
    }
    // Who sits there sees how far it is; a script's log is not filled.
    if !std::io::stderr().is_terminal() {
        cargo.arg("--quiet");
    }
    if !shape.features.is_empty() {
        cargo.args(["--features", shape.features]);
    }
    shell::run(&mut cargo)?;
    Ok(binaries)
}

fn start_parts(state: &mut State, shape: Shape) -> Result<()> {
    load_target(state, shape.size)?;
    if shape.host {
        sshd::start(state)?;
    }
    if shape.kubernetes || state.kubernetes.is_some() {
        cluster::start(state)?;
    }
    let config = write_gateway_config(state, shape)?;
    for index in 0..state.people.len() {
        let Some(person) = state.people.get(index).filter(|person| person.totp_secret.is_empty()) else {
            continue;
        };
        let secret = people::make(&binaries(state)?.gateway, &config, person)?;
        if let Some(person) = state.people.get_mut(index) {
            person.totp_secret = secret;
        }
        state.save()?;
    }
    let fingerprint = join_token(state, &config)?;
    start_gateway(state, &config)?;
    for person in &state.people {
        people::sign_in(state, person, &fingerprint)?;
    }
    start_agent(state)?;
    if let Err(refused) = put_connection(state, shape) {
        // Who administers proves a second factor anew from time to time: the one of an earlier run may be too old.
        if !format!("{refused:#}").contains("HOOP-2003") {
            return Err(refused);
        }
        people::sign_in_anew(state, state.admin()?, &fingerprint)?;
        put_connection(state, shape)?;
    }
    people::wait_online(state, CONNECTION)
}

/// The target alone.
pub(crate) fn start_target(folder: &Path, size: Size) -> Result<State> {
    packages::ensure(&[&packages::POSTGRESQL, &packages::OPENSSL])?;
    let mut state = State::open(folder)?;
    fs::create_dir_all(state.folder.join("logs"))?;
    load_target(&mut state, size)?;
    Ok(state)
}

fn load_target(state: &mut State, size: Size) -> Result<()> {
    let cluster = Cluster::of(state)?;
    if !state.loaded && state.cluster.exists() {
        say("removing a PostgreSQL whose demo is gone");
        cluster.stop()?;
        fs::remove_dir_all(&state.cluster).with_context(|| state.cluster.display().to_string())?;
    }
    let postmaster = cluster.start(size)?;
    if !state.loaded {
        cluster.load()?;
    }
    state.loaded = true;
    state.running.postgres = Some(postmaster);
    state.save()
}

fn binaries(state: &State) -> Result<&Binaries> {
    state.binaries.as_ref().context("no binaries were built")
}

fn write_gateway_config(state: &State, shape: Shape) -> Result<PathBuf> {
    let file = state.folder.join("gateway.toml");
    let text = format!(
        "# Written by `cargo xtask demo` at every start. All options: docs/CONFIG.md\n\
         data_dir = \"{}\"\nlisten = \"127.0.0.1:{}\"\nops_listen = \"127.0.0.1:{}\"\npublic_host = \"localhost\"\n{}",
        state.folder.join("gateway").display(),
        state.ports.gateway,
        state.ports.ops,
        shape.gateway_config
    );
    write_secret(&file, &text)?;
    let mut check = people::clean(&binaries(state)?.gateway);
    shell::capture(check.arg("--config").arg(&file).args(["config", "check"]))?;
    Ok(file)
}

/// A fresh one-use token for the agent; answers with the fingerprint of the gateway's CA, which the token carries.
fn join_token(state: &mut State, config: &Path) -> Result<String> {
    let fingerprint_file = state.folder.join("gateway-ca.sha256");
    if state.enrolled {
        return fs::read_to_string(&fingerprint_file).with_context(|| fingerprint_file.display().to_string());
    }
    let mut command = people::clean(&binaries(state)?.gateway);
    command.arg("--config").arg(config).args(["join-token", AGENT, "--json"]);
    let answer: Value = serde_json::from_str(&shell::capture(&mut command)?)
        .context("`hoop-gateway join-token --json` printed no JSON")?;
    let token = answer
        .get("token")
        .and_then(Value::as_str)
        .context("`hoop-gateway join-token --json` has no token")?;
    let fingerprint = token.rsplit('.').next().unwrap_or_default().to_owned();
    write_secret(&state.folder.join("agent/join-token"), token)?;
    write_secret(&fingerprint_file, &fingerprint)?;
    Ok(fingerprint)
}

fn start_gateway(state: &mut State, config: &Path) -> Result<()> {
    if state.running.gateway.is_some_and(Process::alive) {
        return Ok(());
    }
    for port in [state.ports.gateway, state.ports.ops] {
        if process::listens(port) {
            bail!(
                "port {port}, which this demo's gateway uses, is taken by another program: end that, or use --fresh"
            );
        }
    }
    say(format!("starting the gateway on {}", state.url()));
    let log = state.log("gateway");
    let mut command = Command::new(&binaries(state)?.gateway);
    command.arg("--config").arg(config).arg("serve");
    let gateway = process::start_detached(&command, &log)?;
    state.running.gateway = Some(gateway);
    state.save()?;
    let ops = state.ports.ops;
    process::wait_ready("the gateway", gateway, &log, Duration::from_secs(60), || {
        process::http_get(ops, "/readyz").is_ok_and(|(status, _)| status == 200)
    })
    .context("if another version made this demo's state, begin anew with --fresh")
}

fn start_agent(state: &mut State) -> Result<()> {
    if state.running.agent.is_some_and(Process::alive) {
        return Ok(());
    }
    say("starting the agent");
    let log = state.log("agent");
    let folder = state.folder.join("agent");
    let password = folder.join("clinic_app.password");
    write_secret(&password, &state.app_password)?;
    let mut command = Command::new(&binaries(state)?.agent);
    command.args(["run", "--gateway", &format!("localhost:{}", state.ports.gateway), "--name", AGENT]);
    command.arg("--state-dir").arg(folder.join("state"));
    // It may dial these targets and read this one folder, whatever the gateway says.
    for port in
        [state.ports.postgres, state.ports.ssh, state.ports.kubernetes].into_iter().filter(|port| *port != 0)
    {
        command.args(["--allow-target", &format!("127.0.0.1:{port}")]);
    }
    command.arg("--allow-secret").arg(format!("file:{}/", folder.display()));
    let token = folder.join("join-token");
    if !state.enrolled {
        command.arg("--join-token-file").arg(&token);
    }
    let agent = process::start_detached(&command, &log)?;
    state.running.agent = Some(agent);
    state.save()?;
    let online = || agent_online(state).unwrap_or(false);
    process::wait_ready("the agent", agent, &log, Duration::from_secs(60), online)?;
    state.enrolled = true;
    drop(fs::remove_file(token));
    state.save()
}

fn agent_online(state: &State) -> Result<bool> {
    let list = shell::capture(hoop(state, state.admin()?)?.args(["admin", "agents", "ls", "-o", "json"]))?;
    Ok(people::is_online(&serde_json::from_str(&list)?, AGENT))
}

fn put_connection(state: &State, shape: Shape) -> Result<()> {
    let folder = state.folder.join("agent");
    let tls = if shape.target_tls {
        json!({"mode": "verify_full", "ca_file": Cluster::of(state)?.authority()})
    } else {
        json!({"mode": "disabled"})
    };
    let mut definition = json!({
        "agent": AGENT,
        "protocol": "postgres",
        "description": "The sample clinic",
        "labels": {"app": "clinic"},
        "settings": {
            "host": "127.0.0.1",
            "port": state.ports.postgres,
            "user": ROLE,
            "password": format!("file:{}", folder.join("clinic_app.password").display()),
            "database": DATABASE,
            "tls": tls,
        },
    });
    let put = |name: &str, definition: &Value| -> Result<()> {
        let mut put = hoop(state, state.admin()?)?;
        put.args(["admin", "connections", "put", name, "--file", "-"]);
        shell::capture_with_input(&mut put, definition.to_string().as_bytes()).map(drop)
    };
    put(CONNECTION, &definition)?;
    definition["description"] = "The sample clinic, masked".into();
    definition["labels"] = json!({"app": "clinic-masked"});
    put(MASKED, &definition)?;
    if shape.host {
        put(HOST, &sshd::definition(state, AGENT)?)?;
    }
    if state.kubernetes.is_some() {
        put(CLUSTER, &cluster::definition(state, AGENT)?)?;
    }
    put_rules(state, shape)
}

/// Rules that somebody wrote in the meantime are kept.
fn put_rules(state: &State, shape: Shape) -> Result<()> {
    let known = shell::capture(hoop(state, state.admin()?)?.args(["admin", "export", "-o", "json"]))?;
    let known: Value = serde_json::from_str(&known)?;
    if known["version"] != 0 {
        return Ok(());
    }
    let groups = if shape.admin_may_connect { "engineers, admins" } else { "engineers" };
    let rules = RULES.replace("GROUPS", groups);
    let mut apply = hoop(state, state.admin()?)?;
    apply.args(["admin", "apply", "--file", "-", "--note", "the demo's own"]);
    shell::capture_with_input(&mut apply, rules.as_bytes()).map(drop)
}

/// What the demo's people may: engineers reach the clinic, and by another connection they see it masked.
const RULES: &str = "\
version: 1
rules:
  - name: clinic-engineers
    description: Engineers of the clinic, with a second factor of the last 12 h
    subjects: {groups: [GROUPS]}
    connections: {labels: {app: [clinic]}}
    limits: {duration: 8h, idle: 30m}
    masking: none
  - name: hosts
    description: Hosts and clusters, whose output cannot be masked
    subjects: {groups: [GROUPS]}
    connections: {labels: {app: [clinic-host]}}
    limits: {duration: 8h, idle: 30m}
    forwarding: [local]
    masking: none
  - name: clinic-masked
    description: The same people, when they need not know who the patients are
    subjects: {groups: [GROUPS]}
    connections: {labels: {app: [clinic-masked]}}
    limits: {duration: 8h, idle: 30m}
    masking:
      modes: {email: partial, phone: partial, ssn: partial, mrn: hash, birth_date: fake}
      columns:
        - {columns: [patients.first_name, patients.last_name], kind: name}
        - {columns: [patients.birth_date], kind: birth_date}
        - {columns: [patients.ssn], kind: ssn}
        - {columns: [patients.mrn], kind: mrn}
        - {columns: [patients.email], kind: email}
        - {columns: [patients.phone], kind: phone}
        - {columns: [patients.street], kind: address}
        - {columns: [patients.zip], kind: zip}
";

/// What `--json` prints of a demo, for a script.
pub(crate) fn report(state: &State) -> Result<String> {
    Ok(report::json(state)?.to_string())
}

/// Ends what runs: agent, gateway, sshd, PostgreSQL, in this order, so that sessions are sealed and acknowledged.
pub(crate) fn stop(folder: &Path) -> Result<()> {
    let Some(mut state) = State::read(folder)? else {
        bail!("{} holds no demo", folder.display());
    };
    let patience = Duration::from_secs(15);
    let mut failed = None;
    for (name, process) in [
        ("the agent", state.running.agent.take()),
        ("the gateway", state.running.gateway.take()),
        ("the OpenSSH server", state.running.sshd.take()),
    ] {
        let Some(process) = process.filter(|process| process.alive()) else { continue };
        say(format!("ending {name}"));
        failed = process.end(name, patience).err().or(failed);
    }
    if let Some(node) = cluster::node(&state) {
        say("ending Kubernetes");
        failed = node.stop().err().or(failed);
    }
    let cluster = Cluster::of(&state)?;
    if cluster.running().is_some() {
        say("ending PostgreSQL");
        failed = cluster.stop().err().or(failed);
    }
    state.running.postgres = None;
    state.save()?;
    drop(fs::remove_file(state.folder.join(FOREGROUND)));
    failed.map_or(Ok(()), Err)
}

/// Names the process in whose foreground a demo runs.
const FOREGROUND: &str = "foreground";

/// Sees to it that nothing stays behind when we end before everything has started, however we end: a small process that
/// waits for our end. `stop` and a later start take the matter out of its hands.
fn watch(state: &State) -> Result<()> {
    let file = state.folder.join(FOREGROUND);
    let pid = std::process::id().to_string();
    fs::write(&file, &pid).with_context(|| file.display().to_string())?;
    let script = "while kill -0 \"$2\" 2>/dev/null; do sleep 1; done\n\
        [ \"$(cat \"$3\" 2>/dev/null)\" = \"$2\" ] && exec \"$0\" demo --stop --state \"$1\"";
    let mut watcher = Command::new("setsid");
    watcher.args(["sh", "-c", script]).arg(std::env::current_exe()?).arg(&state.folder).arg(pid).arg(file);
    watcher.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    watcher.spawn().context("cannot start setsid").map(drop)
}

/// Deletes a demo that does not run.
pub(crate) fn remove(folder: &Path) -> Result<()> {
    let Some(state) = State::read(folder)? else { bail!("{} holds no demo", folder.display()) };
    for folder in [&state.cluster, &state.folder] {
        if folder.exists() {
            fs::remove_dir_all(folder).with_context(|| folder.display().to_string())?;
        }
    }
    Ok(())
}

/// Stays in the foreground until Ctrl-C or until a part ends, then ends all of it. A shell holds the place, because it can
/// wait for a signal and the standard library cannot.
fn hold(state: &State) -> Result<()> {
    let script = "trap 'echo >&2; exec \"$0\" demo --stop --state \"$1\"' INT TERM HUP\n\
        while kill -0 \"$2\" 2>/dev/null && kill -0 \"$3\" 2>/dev/null; do sleep 1 & wait $!; done\n\
        echo 'xtask: the gateway or the agent has ended by itself; see the logs' >&2\n\
        \"$0\" demo --stop --state \"$1\"; exit 1";
    let pid =
        |process: Option<Process>| process.map(|process| process.pid.to_string()).context("not running");
    let error = Command::new("sh")
        .arg("-c")
        .arg(script)
        .arg(std::env::current_exe()?)
        .arg(&state.folder)
        .arg(pid(state.running.gateway)?)
        .arg(pid(state.running.agent)?)
        .exec();
    Err(error).context("cannot start sh")
}
