//! Kubernetes through hoop: real clients, a real cluster, and everything between them ours.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod ends;
mod hostile;
mod identity;
mod inside;
mod kube_rs;
mod masking;
mod rules;
mod streams;
mod ways;
mod writes;

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    os::unix::net::UnixStream,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use hoop_testkit::{Cluster, Person, World, run};
use serde_json::{Value, json};

/// A world with a cluster in it.
pub(crate) fn clinic() -> (World, Cluster) {
    with(json!({}))
}

/// With changes of the connection's definition.
pub(crate) fn with(changes: Value) -> (World, Cluster) {
    let (world, cluster) = (World::start(), Cluster::find());
    world.put_cluster("k8s", &cluster, changes);
    (world, cluster)
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Output, complaints, exit code.
pub(crate) fn done(command: &mut Command) -> (String, String, Option<i32>) {
    let done = command.stdin(Stdio::null()).output().unwrap();
    (text(&done.stdout), text(&done.stderr), done.status.code())
}

/// What kubectl prints through `hoop connect`.
pub(crate) fn kubectl(world: &World, cluster: &Cluster, words: &[&str]) -> (String, String, Option<i32>) {
    done(&mut world.kubectl("k8s", cluster, words))
}

/// The events of the newest session's recording, once it has ended.
pub(crate) fn events(world: &World) -> Vec<Value> {
    let session = world.ended_session();
    let id = session["id"].as_str().unwrap();
    let lines = run(world.hoop(&world.admin).args(["sessions", "export", id]));
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

pub(crate) fn of_kind<'e>(events: &'e [Value], kind: &str) -> Vec<&'e Value> {
    events.iter().filter(|event| event["kind"] == kind).collect()
}

/// What went one way, joined.
pub(crate) fn said(events: &[Value], direction: &str) -> String {
    let copies = of_kind(events, "copy").into_iter().filter(|event| event["direction"] == direction);
    copies.map(|event| event["data"].as_str().unwrap_or_default()).collect()
}

/// A line for each request of a form, with how it ended.
pub(crate) fn told(events: &[Value], form: &str) -> Vec<String> {
    let requests = of_kind(events, "request").into_iter().filter(|request| request["form"] == form);
    requests
        .map(|request| {
            let end = events.iter().find(|event| {
                let kinds = ["completed", "failed", "denied"];
                let is_its = event["id"] == request["id"] && event["stream"] == request["stream"];
                is_its && kinds.iter().any(|kind| event["kind"] == *kind)
            });
            let end = end.map_or("no end", |end| end["tag"].as_str().or(end["code"].as_str()).unwrap());
            format!("{}: {end}", request["text"].as_str().unwrap())
        })
        .collect()
}

/// A process that ends with the test.
pub(crate) struct Running(pub(crate) Child);

impl Running {
    pub(crate) fn start(command: &mut Command) -> Self {
        Self(command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A session that stays open: its port with a kubeconfig, and its socket for plain HTTP.
pub(crate) struct Open {
    hoop: Running,
    pub(crate) socket: PathBuf,
    pub(crate) kubeconfig: PathBuf,
}

impl Open {
    pub(crate) fn of(world: &World, person: &Person, name: &str) -> Self {
        let mut command = world.hoop(person);
        let mut hoop = Running::start(command.args(["connect", name, "--socket", "-o", "json"]));
        let mut line = String::new();
        BufReader::new(hoop.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let shown: Value = serde_json::from_str(&line).unwrap();
        let path = |value: &Value| PathBuf::from(value.as_str().unwrap());
        Self { socket: path(&shown["forms"]["socket"]), kubeconfig: path(&shown["kubeconfig"]), hoop }
    }

    pub(crate) fn start(world: &World) -> Self {
        Self::of(world, &world.engineer, "k8s")
    }

    /// kubectl beside others on the same session.
    pub(crate) fn kubectl(&self, cluster: &Cluster, words: &[&str]) -> Command {
        let mut kubectl = Command::new("kubectl");
        kubectl.env("KUBECONFIG", &self.kubeconfig).args(["--namespace", &cluster.namespace]).args(words);
        kubectl
    }

    /// A connection that nothing was sent on.
    pub(crate) fn dial(&self) -> UnixStream {
        let stream = UnixStream::connect(&self.socket).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream
    }

    /// Sends a request as it is written; the whole answer.
    pub(crate) fn raw(&self, request: &[u8]) -> Answer {
        let mut stream = self.dial();
        // Whoever refuses early does not read to the end.
        let _ = stream.write_all(request);
        let mut all = Vec::new();
        let _ = stream.read_to_end(&mut all);
        Answer::read(&all)
    }

    /// Method and path, headers (each ending its line), body.
    pub(crate) fn ask(&self, line: &str, headers: &str, body: &[u8]) -> Answer {
        let length =
            if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
        let head = format!("{line} HTTP/1.1\r\nHost: k8s\r\nConnection: close\r\n{length}{headers}\r\n");
        self.raw(&[head.as_bytes(), body].concat())
    }

    /// A WebSocket is asked for; the head of the answer, and the connection.
    pub(crate) fn upgrade(&self, path: &str, headers: &str) -> (Answer, UnixStream) {
        let mut stream = self.dial();
        let head = format!(
            "GET {path} HTTP/1.1\r\nHost: k8s\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: v5.channel.k8s.io\r\n{headers}\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut all = Vec::new();
        let mut byte = [0];
        while !all.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
            all.push(byte[0]);
        }
        (Answer::read(&all), stream)
    }
}

/// Ended as a person ends it: what is only cut off may come back.
impl Drop for Open {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.hoop.0.id().to_string()).status();
        let _ = self.hoop.0.wait();
    }
}

/// An answer to a raw request.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    fn read(all: &[u8]) -> Self {
        let split = all.windows(4).position(|four| four == b"\r\n\r\n").map_or(all.len(), |at| at + 4);
        let (head, body) = all.split_at(split);
        let head = text(head);
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        let is_chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
        let body = if is_chunked { unchunked(body) } else { body.to_vec() };
        Self { status, head, body }
    }

    pub(crate) fn text(&self) -> String {
        text(&self.body)
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {} {}", self.head, self.text()))
    }
}

fn unchunked(mut body: &[u8]) -> Vec<u8> {
    let mut all = Vec::new();
    while let Some(end) = body.windows(2).position(|two| two == b"\r\n") {
        let size = usize::from_str_radix(text(&body[..end]).trim(), 16).unwrap_or(0);
        let from = end + 2;
        all.extend_from_slice(body.get(from..from + size).unwrap_or(&[]));
        body = body.get(from + size + 2..).unwrap_or(&[]);
    }
    all
}
