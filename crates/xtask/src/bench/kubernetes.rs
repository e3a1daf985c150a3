//! `cargo xtask bench kubernetes`: the same kubectl on the same cluster, directly and through hoop.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::{Run, load::quantile, rows::Rows};
use crate::{
    demo::{self, CLUSTER, Shape, Size, State},
    packages,
    process::Process,
    shell::{self, say},
};

/// Kubernetes: kubectl get, exec, its output, cp, a long list, many watches.
///
/// Starts a demo of its own (release builds, recording on) with a Kubernetes of one node; needs root. Each load runs directly (the
/// cluster's own credential) and through hoop (`hoop kube login`), in turns. Every load is bounded in time.
///
/// Rows of --json: {"case", "path": "direct|hoop", "value", "unit"}.
#[derive(clap::Args)]
pub(super) struct Kubernetes {
    #[command(flatten)]
    run: Run,
    /// A short run, to see that it works.
    #[arg(long)]
    quick: bool,
    /// Only cases whose name contains this: get, exec, out, cp, list, watch.
    #[arg(long, value_name = "TEXT", default_value = "")]
    only: String,
}

/// How much is done.
#[derive(Debug, Clone, Copy)]
struct Effort {
    /// Commands, one after the other.
    commands: usize,
    /// Of output.
    megabytes: u64,
    /// Of a file that is copied.
    file: u64,
    /// Objects of a list.
    objects: usize,
    /// Watches at the same time, by so many clients.
    watches: usize,
    clients: usize,
}

const FULL: Effort =
    Effort { commands: 60, megabytes: 512, file: 500, objects: 5000, watches: 1000, clients: 20 };
const QUICK: Effort = Effort { commands: 8, megabytes: 32, file: 20, objects: 200, watches: 100, clients: 4 };
/// How long any one load may take, s.
const LIMIT: &str = "300";
/// The node's own pod.
const POD: &str = "shell";

/// One way to the cluster.
struct Way {
    name: &'static str,
    kubeconfig: PathBuf,
    profile: Option<PathBuf>,
}

pub(super) fn run(options: &Kubernetes) -> Result<()> {
    packages::ensure(&[&packages::POSTGRESQL, &packages::OPENSSL])?;
    let folder = options.run.folder()?;
    let size = Size { max_connections: 50, shared_buffers_mib: 64 };
    let shape = Shape {
        build: !options.run.no_build,
        size,
        host: false,
        kubernetes: true,
        ..Shape::demo(options.run.dev)
    };
    let state = demo::start(&folder, shape)?;
    options.run.end(&folder, Rows::table, |rows| measure(&state, options, rows))
}

fn measure(state: &State, options: &Kubernetes, rows: &mut Rows) -> Result<()> {
    type Load = fn(&[Way; 2], Effort, &Path, &mut Rows) -> Result<()>;
    const LOADS: [(&str, Load); 5] =
        [("get", get), ("exec", exec), ("out", out), ("cp", copy), ("list", list)];
    let effort = if options.quick { QUICK } else { FULL };
    let scratch = state.folder.join("bench-kubernetes");
    fs::create_dir_all(&scratch)?;
    let is_wanted = |name: &str| name.contains(options.only.as_str());
    // Idle memory first: a process that has carried load keeps pages of it.
    if is_wanted("watch") {
        watch(state, effort, rows).context("watch")?;
    }
    let ways = [direct(state)?, hoop(state, &scratch)?];
    for (name, load) in LOADS {
        if is_wanted(name) {
            say(name);
            load(&ways, effort, &scratch, rows).context(name)?;
        }
    }
    shell::run(&mut ways[1].hoop(state, &["kube", "logout", CLUSTER])?)
}

fn direct(state: &State) -> Result<Way> {
    let kubeconfig = demo::cluster_config(state).context("no cluster")?;
    Ok(Way { name: "direct", kubeconfig, profile: None })
}

fn hoop(state: &State, scratch: &Path) -> Result<Way> {
    let kubeconfig = scratch.join("kubeconfig");
    let way = Way { name: "hoop", kubeconfig, profile: Some(state.profile(state.engineer()?)) };
    let mut login = way.hoop(state, &["kube", "login", CLUSTER, "--kubeconfig"])?;
    shell::run(login.arg(&way.kubeconfig))?;
    Ok(way)
}

impl Way {
    fn signed_in(&self, command: &mut Command) {
        command.env("KUBECONFIG", &self.kubeconfig);
        if let Some(profile) = &self.profile {
            command.env("HOOP_CONFIG_DIR", profile);
        }
    }

    fn hoop(&self, state: &State, words: &[&str]) -> Result<Command> {
        let mut hoop = Command::new(&state.binaries.as_ref().context("no binaries")?.hoop);
        hoop.args(words).stdout(Stdio::null());
        self.signed_in(&mut hoop);
        Ok(hoop)
    }

    /// A kubectl that is given up after a while.
    fn kubectl(&self, words: &[&str]) -> Command {
        let mut kubectl = Command::new("timeout");
        kubectl.args([LIMIT, packages::KUBECTL]).args(words).stdout(Stdio::null());
        self.signed_in(&mut kubectl);
        kubectl
    }
}

/// A command from nothing to nothing, in turns, so that both ways see the same machine.
fn commands(case: &str, words: &[&str], ways: &[Way; 2], effort: Effort, rows: &mut Rows) -> Result<()> {
    let mut taken = [Vec::new(), Vec::new()];
    for _ in 0..effort.commands {
        for (way, taken) in ways.iter().zip(&mut taken) {
            let began = Instant::now();
            shell::capture(&mut way.kubectl(words))?;
            taken.push(u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX));
        }
    }
    for (way, mut taken) in ways.iter().zip(taken) {
        taken.sort_unstable();
        rows.add(format!("kubernetes.{case}.p50"), way.name, quantile(&taken, 0.5) / 1000.0, "ms");
        rows.add(format!("kubernetes.{case}.p99"), way.name, quantile(&taken, 0.99) / 1000.0, "ms");
    }
    Ok(())
}

fn get(ways: &[Way; 2], effort: Effort, _: &Path, rows: &mut Rows) -> Result<()> {
    commands("get", &["get", "pods"], ways, effort, rows)
}

fn exec(ways: &[Way; 2], effort: Effort, _: &Path, rows: &mut Rows) -> Result<()> {
    commands("exec", &["exec", POD, "--", "true"], ways, effort, rows)
}

fn out(ways: &[Way; 2], effort: Effort, _: &Path, rows: &mut Rows) -> Result<()> {
    let count = format!("{}", effort.megabytes << 20);
    for way in ways {
        let mut command = way.kubectl(&["exec", POD, "--", "head", "-c", &count, "/dev/zero"]);
        rate("kubernetes.out.rate", way, effort.megabytes, rows, &mut command)?;
    }
    Ok(())
}

fn rate(case: &str, way: &Way, megabytes: u64, rows: &mut Rows, command: &mut Command) -> Result<()> {
    let began = Instant::now();
    let status = command.status()?;
    ensure!(status.success(), "it ended with {status}");
    let rate = megabytes as f64 * 1.048_576 / began.elapsed().as_secs_f64();
    rows.add(case.into(), way.name, rate, "MB/s");
    Ok(())
}

/// One file, up and down.
fn copy(ways: &[Way; 2], effort: Effort, scratch: &Path, rows: &mut Rows) -> Result<()> {
    let (here, back) = (scratch.join("file"), scratch.join("file.back"));
    File::create(&here)?.set_len(effort.file << 20)?;
    let there = format!("{POD}:/tmp/bench-file");
    let shown = |path: &Path| path.display().to_string();
    for way in ways {
        let mut up = way.kubectl(&["cp", &shown(&here), &there]);
        rate("kubernetes.cp.up.rate", way, effort.file, rows, &mut up)?;
        let mut down = way.kubectl(&["cp", &there, &shown(&back)]);
        rate("kubernetes.cp.down.rate", way, effort.file, rows, &mut down)?;
    }
    shell::run(&mut ways[0].kubectl(&["exec", POD, "--", "rm", "/tmp/bench-file"]))?;
    fs::remove_file(here)?;
    fs::remove_file(back)?;
    Ok(())
}

/// A list, as objects and not as the short table.
fn list(ways: &[Way; 2], effort: Effort, scratch: &Path, rows: &mut Rows) -> Result<()> {
    let object = |number: usize| {
        json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": format!("bench-{number}"), "labels": {"bench": "list"}},
            "data": {"text": "x".repeat(500)},
        })
    };
    let all: Vec<_> = (0..effort.objects).map(object).collect();
    let file = scratch.join("objects.json");
    fs::write(&file, json!({"apiVersion": "v1", "kind": "List", "items": all}).to_string())?;
    shell::capture(ways[0].kubectl(&["create", "-f"]).arg(&file))?;
    let mut taken = [Vec::new(), Vec::new()];
    for _ in 0..5 {
        for (way, taken) in ways.iter().zip(&mut taken) {
            let path = "/api/v1/namespaces/default/configmaps?labelSelector=bench%3Dlist";
            let began = Instant::now();
            shell::capture(&mut way.kubectl(&["get", "--raw", path]))?;
            taken.push(u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX));
        }
    }
    for (way, mut taken) in ways.iter().zip(taken) {
        taken.sort_unstable();
        rows.add("kubernetes.list.p50".into(), way.name, quantile(&taken, 0.5) / 1000.0, "ms");
    }
    shell::capture(&mut ways[0].kubectl(&["delete", "configmaps", "-l", "bench=list", "--wait=false"]))
        .map(drop)
}

/// What the agent needs for a watch that waits.
fn watch(state: &State, effort: Effort, rows: &mut Rows) -> Result<()> {
    let agent = state.running.agent.context("no agent")?;
    let mut connect = demo::hoop(state, state.engineer()?)?;
    connect.args(["connect", CLUSTER, "-o", "json"]);
    let mut connect = Held::start(&mut connect)?;
    let told: serde_json::Value = serde_json::from_str(&connect.line()?)?;
    let kubeconfig =
        told.pointer("/kubeconfig").and_then(serde_json::Value::as_str).context("no kubeconfig")?;
    let port = Port::of(Path::new(kubeconfig), &state.folder)?;
    let each = effort.watches / effort.clients;
    // The first one pays for what all share.
    let mut held = vec![port.watches(1)?];
    let before = agent.resident_kib()?;
    for _ in 0..effort.clients {
        held.push(port.watches(each)?);
    }
    let kib = agent.resident_kib()?.saturating_sub(before) as f64 / (each * effort.clients) as f64;
    rows.add("kubernetes.watch.agent".into(), "hoop", kib, "KiB/watch");
    Ok(())
}

/// A session's local port, for a client that reads no kubeconfig.
struct Port {
    server: String,
    files: [PathBuf; 3],
}

impl Port {
    fn of(kubeconfig: &Path, folder: &Path) -> Result<Self> {
        const IN_FILES: [&str; 3] = [
            "{.clusters[0].cluster.certificate-authority-data}",
            "{.users[0].user.client-certificate-data}",
            "{.users[0].user.client-key-data}",
        ];
        let read = |path: &str| -> Result<String> {
            let mut view = Command::new(packages::KUBECTL);
            view.arg("--kubeconfig").arg(kubeconfig);
            shell::capture(view.args([
                "config",
                "view",
                "--raw",
                "--minify",
                "-o",
                &format!("jsonpath={path}"),
            ]))
        };
        let files = ["ca", "certificate", "key"].map(|name| folder.join(format!("bench-{name}.pem")));
        for (path, file) in IN_FILES.iter().zip(&files) {
            let pem = shell::capture_with_input(Command::new("base64").arg("-d"), read(path)?.as_bytes())?;
            fs::write(file, pem)?;
        }
        Ok(Self { server: read("{.clusters[0].cluster.server}")?, files })
    }

    /// So many watches on one connection; each has said what is there.
    fn watches(&self, count: usize) -> Result<Held> {
        let [ca, certificate, key] = &self.files;
        let mut curl = Command::new("curl");
        // Without --parallel-immediate: all share the first one's connection.
        curl.args([
            "-sN",
            "--http2",
            "--parallel",
            "--max-time",
            LIMIT,
            "--parallel-max",
            &count.to_string(),
        ]);
        curl.arg("--cacert").arg(ca).arg("--cert").arg(certificate).arg("--key").arg(key);
        let watch = "api/v1/namespaces/default/pods?fieldSelector=metadata.name%3Dshell&watch=1";
        curl.arg(format!("{}/{watch}&n=[1-{count}]", self.server));
        let mut held = Held::start(&mut curl)?;
        for _ in 0..count {
            held.line()?;
        }
        Ok(held)
    }
}

/// A client that ends with this.
struct Held {
    child: Child,
    output: BufReader<std::process::ChildStdout>,
}

impl Held {
    fn start(command: &mut Command) -> Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn()?;
        let output = BufReader::new(child.stdout.take().context("no output")?);
        Ok(Self { child, output })
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        ensure!(self.output.read_line(&mut line)? > 0, "it ended");
        Ok(line)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(process) = Process::with_id(self.child.id())
            && let Err(error) = process.end("a client", Duration::from_secs(5))
        {
            say(format!("{error:#}"));
        }
        let _ = self.child.wait();
    }
}
