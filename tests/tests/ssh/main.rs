//! SSH through hoop: the real OpenSSH client and what runs over it, a real OpenSSH server, and everything between them ours.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod browser;
mod channels;
mod ends;
mod evidence;
mod exec;
mod files;
mod forwards;
mod libraries;
mod logins;
#[path = "../page/mod.rs"]
mod page;
mod refused;
mod replay;
mod rules;
mod terminal;
mod ways;

use std::{
    path::Path,
    process::{Child, Command, Stdio},
};

use hoop_testkit::{Sshd, World, run, wait_until};
use serde_json::{Value, json};

/// A world with a host in it.
pub(crate) fn hospital() -> (World, Sshd) {
    with(json!({}))
}

/// With changes of the connection's definition.
pub(crate) fn with(changes: Value) -> (World, Sshd) {
    let (world, sshd) = (World::start(), Sshd::start());
    world.put_host("web", &sshd, changes);
    (world, sshd)
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Output, complaints, exit code.
pub(crate) fn done(command: &mut Command) -> (String, String, Option<i32>) {
    let done = command.output().unwrap();
    (text(&done.stdout), text(&done.stderr), done.status.code())
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

/// A master that later clients share (ControlMaster), in the world's folder.
pub(crate) fn master(world: &World) -> Running {
    let path = world.folder.path().join("control");
    let shown = format!("ControlPath={}", path.display());
    let master = Running::start(&mut world.ssh(&["-M", "-N", "-o", &shown, "web"]));
    wait_until("the master's socket", || path.exists().then_some(()));
    master
}

/// A client of that master.
pub(crate) fn shared(world: &World, words: &[&str]) -> Command {
    let shown = format!("ControlPath={}", world.folder.path().join("control").display());
    let mut all = vec!["-o", shown.as_str(), "web"];
    all.extend(words);
    world.ssh(&all)
}

/// So many bytes that do not repeat.
pub(crate) fn noise(path: &Path, megabytes: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let words = (0..megabytes << 17).flat_map(|_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    let bytes: Vec<u8> = words.collect();
    std::fs::write(path, &bytes).unwrap();
    bytes
}
